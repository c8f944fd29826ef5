import arviz as az
import jax
import numpy as np
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.planning import Draws, Mean, Quantile, plan, policy_iteration
from bayesmdp.planning.cvar import CVaR
from bayesmdp.planning.dirichlet_quantile import DirichletQuantile
from bayesmdp.planning.posterior_draws import read_draws
from bayesmdp.planning.table_plan import solve_draws
from tests import oracles
from tests.statistical import threshold

DIMS = ("chain", "draw", "state", "action", "next_state")


def river_draws(seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(6, 0.3), size=(2, 25, 6, 2))


def river_posterior(**changes):
    river = bm.environments.riverswim(6)
    coords = {"state": list(river.states), "action": list(river.actions), "next_state": list(river.states)}
    return xr.Dataset({"transition": (DIMS, changes.pop("draws", river_draws()))}, coords=coords | changes)


RIVER = bm.environments.riverswim(6)


@pytest.mark.parametrize("solver", ["policy_iteration", "value_iteration"])
@pytest.mark.parametrize("level", [None, 0.2])
def test_a_plan_by_an_independent_computation(solver, level):
    found = plan(river_posterior(), RIVER, Mean() if level is None else Quantile(level), solver=solver)
    draws = river_draws().reshape(50, 6, 2, 6)
    value, q = oracles.iterate_value(draws, RIVER.reward, 0.95, level)
    np.testing.assert_allclose(found["value"], value, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found["q"], q, rtol=0, atol=1e-10)
    assert found["policy"].values.tolist() == [RIVER.actions[a] for a in q.argmax(-1)]
    assert found["q"].dims == ("state", "action")
    assert found["q"].sel(state=0, action="left") == found["q"][0, 0]
    assert found.attrs["converged"] == 1 and found.attrs["num_draws"] == 50 and found.attrs["solver"] == solver
    assert found.attrs["risk"] == ("mean" if level is None else "quantile:0.2")
    assert 0 <= found.attrs["residual"] < found.attrs["bound"] <= 1e-10


def test_the_users_precision_is_left_alone():
    assert not jax.config.jax_enable_x64
    assert plan(river_posterior(), RIVER)["value"].dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_every_form_of_posterior_gives_the_same_plan():
    posterior = river_posterior()
    expected = plan(posterior, RIVER, Quantile(0.3))
    tree = az.from_dict({"posterior": {"transition": river_draws()}}, dims={"transition": list(DIMS[2:])})
    forms = {
        "tree": tree,
        "group": tree["posterior"],
        "shuffled": posterior.transpose("next_state", "draw", "action", "chain", "state"),
        "draws only": posterior.stack(one=("chain", "draw")).drop_vars(["chain", "draw", "one"]).rename(one="draw"),
        "extracted": az.extract(xr.DataTree.from_dict({"posterior": posterior}), keep_dataset=True),
        "no coords": posterior.drop_vars(list(posterior.coords)),
    }
    for name, form in forms.items():
        found = plan(form, RIVER, Quantile(0.3))
        np.testing.assert_allclose(found["value"], expected["value"], rtol=0, atol=1e-12, err_msg=name)
        assert found.attrs["num_draws"] == 50
    rough = plan(posterior.astype(np.float32), RIVER, Quantile(0.3))
    np.testing.assert_allclose(rough["value"], expected["value"], rtol=1e-5)


def test_successor_tables_and_terminal_states():
    lake = bm.environments.frozen_lake()
    table = lake.with_successors()
    rng = np.random.default_rng(1)
    outcomes = rng.dirichlet(np.ones(3), size=(10, 16, 4))
    by_outcome = xr.Dataset({"transition": (("draw", "state", "action", "outcome"), outcomes)})
    dense = oracles.dense_transition(outcomes, table.successor, 16)
    # The rows of terminal states are never taken, so whatever stands there is no error.
    dense[:, lake.terminal] = np.nan
    by_state = xr.Dataset({"transition": (("draw", "state", "action", "next_state"), dense)})
    found, expected = plan(by_outcome, table, Quantile(0.3)), plan(by_state, lake, Quantile(0.3))
    np.testing.assert_allclose(found["value"], expected["value"], rtol=0, atol=1e-10)
    assert (found["value"].values[lake.terminal] == 0).all()


def test_unavailable_actions_are_missing_in_q():
    available = np.ones((6, 2), bool)
    available[3, 1] = False
    found = plan(river_posterior(), RIVER.replace(available=available))
    assert np.isnan(found["q"].sel(state=3, action="right"))
    assert found["policy"].values[3] == "left" and int(found["q"].isnull().sum()) == 1


@pytest.mark.parametrize(
    "dims",
    [("state",), ("state", "action"), ("chain", "draw", "action", "state"), ("chain", "draw", "next_state"), DIMS],
)
def test_drawn_rewards(dims):
    sizes = dict(zip(DIMS, (2, 25, 6, 2, 6), strict=True))
    reward = xr.DataArray(np.random.default_rng(2).normal(size=[sizes[dim] for dim in dims]), dims=dims, name="reward")
    full = reward.broadcast_like(river_posterior()["transition"]).transpose(*DIMS).values.reshape(50, 6, 2, 6)
    found = plan(river_posterior().assign(reward=reward), RIVER, Quantile(0.4))
    value, _ = oracles.iterate_value(river_draws().reshape(50, 6, 2, 6), full, 0.95, 0.4)
    np.testing.assert_allclose(found["value"], value, rtol=0, atol=1e-10)


def test_nothing_is_compiled_anew_for_other_numbers():
    plan(river_posterior(), RIVER, Quantile(0.2))
    before = solve_draws._cache_size()
    for level in (0.1, np.float32(0.5), 0.9):
        plan(river_posterior(), RIVER, Quantile(level), tolerance=1e-6, max_iterations=500)
    plan(river_posterior(draws=river_draws(3)), RIVER.replace(discount=0.9), Quantile(0.2))
    assert solve_draws._cache_size() == before
    plan(river_posterior(), RIVER, Quantile(np.full((6, 2), 0.2)))
    plan(river_posterior(), RIVER, Quantile(np.full((6, 2), 0.7)))
    assert solve_draws._cache_size() <= before + 1


def test_a_plan_survives_a_file(tmp_path):
    found = plan(river_posterior(), RIVER, Quantile(0.2))
    found.to_netcdf(tmp_path / "plan.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "plan.nc", engine="h5netcdf") as stored:
        xr.testing.assert_equal(stored.load(), found)
        assert stored.attrs == found.attrs


def test_a_solver_that_is_cut_short_says_so():
    with pytest.raises(RuntimeError, match=r"did not converge: after 2 iterations .* raise max_iterations"):
        plan(river_posterior(), RIVER, solver="value_iteration", max_iterations=2)
    loose = plan(river_posterior(), RIVER, solver="value_iteration", max_iterations=2, strict=False)
    assert loose.attrs["converged"] == 0
    truth = plan(river_posterior(), RIVER)["value"]
    assert float(abs(loose["value"] - truth).max()) <= loose.attrs["bound"]


def test_the_door_adds_nothing_to_the_solver():
    found = plan(river_posterior(), RIVER, Quantile(0.2))
    with jax.enable_x64(True):
        draws = Draws(river_draws().reshape(50, 6, 2, 6), RIVER.reward)
        inside = policy_iteration(RIVER.problem, draws, Quantile(0.2))
    np.testing.assert_allclose(found["value"], inside.value, rtol=0, atol=1e-12)


def spoiled(index, number):
    draws = river_draws()
    draws[index] = number
    return river_posterior(draws=draws)


BAD_POSTERIORS = [
    (lambda: river_draws(), TypeError, "must be an xarray DataTree or Dataset"),
    (lambda: river_posterior()["transition"], TypeError, "got DataArray"),
    (lambda: xr.Dataset({"theta": ("draw", [1.0])}), ValueError, r"no variable 'transition' \(its variables: theta\)"),
    (lambda: xr.Dataset(), ValueError, r"its variables: none"),
    (
        lambda: xr.DataTree.from_dict({"prior": river_posterior()}),
        ValueError,
        r"no group 'posterior' \(its groups: prior\); pass the group",
    ),
    (lambda: river_posterior().isel(state=0), ValueError, "lacks 'state'"),
    (lambda: river_posterior().rename(next_state="to"), ValueError, "lacks 'next_state'"),
    (
        lambda: river_posterior().drop_vars("next_state").rename(next_state="outcome"),
        ValueError,
        "no successor table, so the last dim is 'next_state'",
    ),
    (lambda: river_posterior().isel(chain=0, draw=0), ValueError, r"expand_dims\('draw'\)"),
    (lambda: river_posterior().isel(draw=0), ValueError, "do not number draws"),
    (lambda: river_posterior().expand_dims("task"), ValueError, r"unexpected dims \['task'\]"),
    (lambda: river_posterior().isel(draw=slice(0)), ValueError, "transition is empty"),
    (lambda: river_posterior().isel(state=slice(5)), ValueError, "has 5 entries along 'state'; the MDP has 6"),
    (lambda: river_posterior(action=["right", "left"]), ValueError, r"'right' at action\[0\].*'left'; reorder"),
    (lambda: river_posterior(action=["left", "up"]), ValueError, r"label 'up' at action\[1\].*another MDP"),
    (lambda: river_posterior(next_state=[1, 2, 3, 4, 5, 6]), ValueError, r"label 1 at next_state\[0\]"),
    (lambda: spoiled((1, 3, 2, 0), 0.2), ValueError, r"transition\[1, 3, 2, 0\] sums to 1\.2; .*chain, draw, state"),
    (lambda: spoiled((0, 7, 1, 1, 4), np.nan), ValueError, r"transition\[0, 7, 1, 1, 4\] = nan, which is not finite"),
    (lambda: spoiled((0, 7, 1, 1, 4), -0.5), ValueError, r"transition\[0, 7, 1, 1, 4\] = -0.5, which is negative"),
    (lambda: river_posterior().astype(str), TypeError, "must hold probabilities"),
    (
        lambda: river_posterior().assign(reward=("theta", [1.0])),
        ValueError,
        r"reward has the unexpected dims \['theta'\]",
    ),
    (lambda: river_posterior().assign(reward=("draw", np.ones(25))), ValueError, "numbers its draws by"),
    (lambda: river_posterior().assign(reward=("state", np.full(6, np.inf))), ValueError, "reward.* = inf"),
]


def test_draws_over_all_states_are_refused_by_a_successor_table_with_the_remedy():
    with pytest.raises(ValueError, match=r"last dim is 'outcome'.*mdp_from_log\(\.\.\., elsewhere='each'\)"):
        plan(river_posterior(), RIVER.with_successors())


@pytest.mark.parametrize(("posterior", "error", "message"), BAD_POSTERIORS)
def test_bad_posteriors_are_refused(posterior, error, message):
    with pytest.raises(error, match=message):
        plan(posterior(), RIVER)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"risk": 0.1}, TypeError, "risk must be a risk measure.*got 0.1"),
        ({"risk": Quantile}, TypeError, "got the class Quantile; make one"),
        ({"risk": Quantile(np.full((2, 6), 0.5))}, ValueError, r"level has shape \(2, 6\)"),
        ({"risk": Quantile(0.5, np.full((6, 3), 5))}, ValueError, r"num_draws has shape \(6, 3\)"),
        ({"solver": "lp"}, ValueError, "solver must be one of policy_iteration, value_iteration; got 'lp'"),
        ({"tolerance": -1.0}, ValueError, "tolerance must be a number of at least 0; got -1.0"),
        ({"risk": CVaR(np.full((2, 6), 0.5))}, ValueError, r"the CVaR's level has shape \(2, 6\)"),
        ({"quantile": "both"}, ValueError, "quantile must be one of draws, exact; got 'both'"),
        ({"quantile": "exact"}, ValueError, "only quantiles are known exactly, not mean: pass a Quantile, or use"),
        ({"quantile": "exact", "risk": CVaR(0.1)}, ValueError, "only quantiles are known exactly, not cvar:0.1"),
        ({"quantile": "exact", "risk": Quantile(0.1, 5)}, ValueError, "uses no draws: leave num_draws out"),
        ({"quantile": "exact", "risk": Quantile(0.1)}, ValueError, "group 'parameters'.*; use quantile='draws'"),
        ({"tolerance": float("nan")}, ValueError, "tolerance"),
        ({"tolerance": "small"}, ValueError, "tolerance"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be an integer of at least 1; got 0"),
        ({"max_iterations": 2.5}, ValueError, "max_iterations"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        plan(river_posterior(), RIVER, **options)


def test_something_else_than_an_mdp_is_refused():
    with pytest.raises(TypeError, match=r"mdp must be a bayesmdp\.MDP or a bayesmdp\.SimulatedMDP; got Dataset"):
        plan(river_posterior(), river_posterior())


def test_cvar_by_brute_force():
    found = plan(river_posterior(), RIVER, CVaR(0.3))
    value = np.zeros(6)
    for _ in range(700):
        ordered = np.sort(oracles.targets(river_draws().reshape(50, 6, 2, 6), RIVER.reward, 0.95, value), axis=0)
        value = ordered[:15].mean(0).max(-1)
    np.testing.assert_allclose(found["value"], value, rtol=0, atol=1e-10)
    assert found.attrs["risk"] == "cvar:0.3" and found.attrs["bound"] < 1e-10


def dirichlet_posterior(concentration, draws=0, seed=0, parameter="transition"):
    """As infer leaves it."""
    dims = DIMS[2:]
    groups = {"parameters": xr.Dataset({parameter: (dims, concentration)})}
    if draws:
        gammas = np.random.default_rng(seed).standard_gamma(concentration, size=(1, draws, *concentration.shape))
        groups["posterior"] = xr.Dataset({"transition": (DIMS, gammas / gammas.sum(-1, keepdims=True))})
    return xr.DataTree.from_dict(groups)


def river_concentration():
    return 1 / 6 + 30 * RIVER.transition


@pytest.mark.slow
def test_exact_quantiles_need_no_draws():
    level = np.random.default_rng(1).uniform(0.05, 0.6, (6, 2))
    posterior = dirichlet_posterior(river_concentration())
    found = plan(posterior, RIVER, Quantile(level), quantile="exact")
    assert found.attrs["num_draws"] == 0 and found.attrs["risk"].endswith(" exact") and found.attrs["converged"] == 1
    same = plan(posterior, RIVER, DirichletQuantile(level), solver="value_iteration")
    bound = found.attrs["bound"] + same.attrs["bound"]
    np.testing.assert_allclose(found["value"], same["value"], rtol=0, atol=bound)
    many = plan(dirichlet_posterior(river_concentration(), 4_000), RIVER, Quantile(level))
    np.testing.assert_allclose(many["value"], found["value"], rtol=0.1)


def test_from_a_log_to_an_exact_plan():
    prior = bm.models.dirichlet_transitions(RIVER, concentration=0.5)
    log = bm.collect(RIVER, policy="uniform", steps=500, seed=0)
    posterior = bm.infer(prior, log, mdp=RIVER, draws=0)
    level = np.full((6, 2), 0.2)
    found = plan(posterior, RIVER, Quantile(level), quantile="exact")
    counts = np.zeros((6, 2, 6))
    action = (log["action"].values == "right").astype(int)
    np.add.at(counts, (log["state"].values, action, log["next_state"].values), 1)
    expected = plan(dirichlet_posterior(0.5 + counts), RIVER, DirichletQuantile(level))
    np.testing.assert_allclose(found["value"], expected["value"], rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match=r"no group 'posterior'.*make draws of its parameters with bm\.draw"):
        plan(posterior, RIVER, Quantile(0.2))


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        (
            lambda: dirichlet_posterior(river_concentration(), parameter="ahead"),
            "where the rows themselves are Dirichlet",
        ),
        (lambda: dirichlet_posterior(river_concentration()[:5]), "has 5 entries along 'state'; the MDP has 6"),
        (
            lambda: dirichlet_posterior(-river_concentration()),
            r"parameters/transition\[0, 0, 0\] = -30.* no concentration",
        ),
        (
            lambda: dirichlet_posterior(0 * river_concentration()),
            r"parameters/transition\[0, 0\] sums to 0; a Dirichlet",
        ),
        (
            lambda: dirichlet_posterior(river_concentration()).assign(
                posterior=xr.DataTree(river_posterior().assign(reward=("draw", np.ones(25))))
            ),
            "needs a known reward.*use quantile='draws'",
        ),
    ],
)
def test_posteriors_without_exact_quantiles(posterior, message):
    with pytest.raises(ValueError, match=message):
        plan(posterior(), RIVER, Quantile(0.2), quantile="exact")


def test_the_guarantee_by_formula():
    level = np.linspace(0.01, 0.12, 12).reshape(6, 2)
    concentration = river_concentration()
    concentration[2] = np.eye(6)[2]

    def chosen_levels(found):
        """Of the planned actions, where a row is not certain."""
        action = [RIVER.actions.index(a) for a in found["policy"].values]
        return np.delete(level[np.arange(6), action], 2)

    for quantile in ("draws", "exact"):
        found = plan(dirichlet_posterior(concentration, 50), RIVER, Quantile(level), quantile=quantile)
        chosen = chosen_levels(found)
        assert found.attrs["guarantee_level"] == pytest.approx(1 - np.prod(1 - chosen), rel=1e-12)
    # Without parameters it is not known that rows are independent; what does not vary over draws is certain.
    drawn = dirichlet_posterior(concentration, 50)["posterior"].to_dataset()
    found = plan(drawn, RIVER, Quantile(level))
    assert found.attrs["guarantee_level"] == pytest.approx(chosen_levels(found).sum(), rel=1e-12)
    assert plan(drawn, RIVER, Quantile(0.5)).attrs["guarantee_level"] == 1
    assert plan(drawn, RIVER, CVaR(1.0)).attrs["guarantee_level"] == 1
    assert "guarantee_level" not in plan(drawn, RIVER).attrs


def test_the_guarantee_holds():
    """Proposition 1: under fresh kernels the policy is worth its planned value at least as often as is promised."""
    terminal = np.arange(6) == 5
    river = RIVER.replace(terminal=terminal, initial=0)
    concentration = 0.3 + 10 * RIVER.transition
    for level in (0.02, 0.1, 0.3):
        exact = Quantile(np.full((6, 2), level))
        found = plan(dirichlet_posterior(concentration), river, exact, quantile="exact")
        promised = found.attrs["guarantee_level"]
        assert promised == pytest.approx(1 - (1 - level) ** 5, rel=1e-12)
        action = np.array([river.actions.index(a) for a in found["policy"].values])
        draws = 4_000
        gammas = np.random.default_rng(2).standard_gamma(concentration[np.arange(6), action], size=(draws, 6, 6))
        kernels = gammas / gammas.sum(-1, keepdims=True) * ~terminal[:, None] * ~terminal
        reward = np.where(terminal, 0, river.reward[np.arange(6), action, 0])
        values = np.linalg.solve(np.eye(6) - 0.95 * kernels, np.broadcast_to(reward[:, None], (draws, 6, 1)))[..., 0]
        kept = (values >= found["value"].values - 1e-9).mean(0)
        slack = threshold(6) * np.sqrt(promised * (1 - promised) / draws)
        assert (kept >= 1 - promised - slack).all()


def test_ties_are_counted():
    twin = np.repeat(river_draws()[..., 1:, :], 2, axis=-2)
    same = xr.Dataset({"transition": (DIMS, twin)})
    mdp = bm.MDP(reward=RIVER.reward[:, 1, 0], actions=["a", "b"], discount=0.95)
    assert plan(same, mdp, Quantile(0.3)).attrs["ties"] == 6
    available = np.array([[True, False]] + [[True, True]] * 5)
    terminal = np.arange(6) == 5
    assert plan(same, mdp.replace(available=available, terminal=terminal), Quantile(0.3)).attrs["ties"] == 4
    assert plan(river_posterior(), RIVER, Quantile(0.3)).attrs["ties"] == 0
    # What is not known well enough is a tie.
    loose = plan(river_posterior(), RIVER, Quantile(0.3), max_iterations=1, strict=False)
    assert loose.attrs["ties"] == 6


def test_draws_are_copied_only_where_needed():
    posterior = river_posterior()
    array = posterior["transition"].values
    assert np.abs(array.sum(-1) - 1).max() <= 6 * np.finfo(float).eps
    assert np.shares_memory(read_draws(posterior, RIVER).transition, array)
    for changed in (array.astype(np.float32), array * (1 + 1e-9), np.ascontiguousarray(array.transpose(1, 0, 2, 3, 4))):
        dims = (DIMS[1], DIMS[0], *DIMS[2:]) if changed.shape[0] == 25 else DIMS
        found = read_draws(xr.Dataset({"transition": (dims, changed)}), RIVER).transition
        np.testing.assert_allclose(found, array.reshape(50, 6, 2, 6), rtol=1e-6)
        assert np.abs(found.sum(-1) - 1).max() <= 6 * np.finfo(float).eps and found.dtype == np.float64
    # A row that is never taken may be anything that is finite; what is not is replaced.
    available = np.ones((6, 2), bool)
    available[3, 1] = False
    mdp = RIVER.replace(available=available)
    idle = array.copy()
    idle[..., 3, 1, :] = 7.0
    assert np.shares_memory(read_draws(xr.Dataset({"transition": (DIMS, idle)}), mdp).transition, idle)
    idle[1, 24, 3, 1] = np.nan
    found = read_draws(xr.Dataset({"transition": (DIMS, idle)}), mdp).transition
    assert (found[:, 3, 1] == 0).all() and np.isnan(idle[1, 24, 3, 1]).all()
    kept = np.delete(found, 3, axis=1), np.delete(array.reshape(50, 6, 2, 6), 3, axis=1)
    np.testing.assert_allclose(*kept, rtol=1e-15, atol=0)


def test_wrong_draws_far_behind_are_found(monkeypatch):
    monkeypatch.setattr("bayesmdp.planning.posterior_draws.CHUNK", 200)
    for number, message in (
        (0.9, r"\[1, 20, 5, 0\] sums to"),
        (np.inf, r"\[1, 20, 5, 0, 2\] = inf"),
        (-1e-9, "negative"),
    ):
        with pytest.raises(ValueError, match=message):
            plan(spoiled((1, 20, 5, 0, 2), number), RIVER)
    plan(river_posterior(draws=river_draws().astype(np.float32)), RIVER)


def test_exact_plans_compile_once():
    plan(dirichlet_posterior(river_concentration()), RIVER, Quantile(0.2), quantile="exact")
    before = solve_draws._cache_size()
    for level in (0.1, 0.7):
        plan(dirichlet_posterior(3 * river_concentration()), RIVER, Quantile(level), quantile="exact", tolerance=1e-6)
    assert solve_draws._cache_size() == before
