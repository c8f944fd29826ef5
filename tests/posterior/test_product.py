"""Closed forms of models that fall apart: against their parts, Beta integrals and particles; online; refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from jax.scipy.special import expit
from scipy.special import betaln

import bayesmdp as bm
from bayesmdp.environments.linear_quadratic import CONTROL, MATRIX
from bayesmdp.model_reading.records import Records
from bayesmdp.posterior.beliefs.primitives import recorded_belief
from bayesmdp.problems.world import Step
from bayesmdp.results.files import write_tree

CART = bm.environments.linear_quadratic(controls=(-2.0, 0.0, 2.0))
A, B = np.array([1.0, 2.0, 0.5]), 4.0


def steps_of(rows):
    """A cart pushed at random. Every seventh step ends an episode, and each push forward after the thirtieth."""
    rng, states = np.random.default_rng(0), [np.zeros(2)]
    action = rng.integers(0, 3, rows)
    for push in np.array([-2.0, 0.0, 2.0])[action]:
        states.append(np.array(MATRIX) @ states[-1] + np.array(CONTROL) * push + 0.05 * rng.normal(size=2))
    number = np.arange(rows)
    over = ((number % 7 == 3) | ((number > 30) & (action == 2))).astype(np.int32)
    seen = {"next_state": np.array(states[1:]), "terminal": over, "reward": rng.normal(size=rows)}
    return Records(np.array(states[:-1]), action.astype(np.int32), seen, np.ones(rows))


LOG = steps_of(60)


def falling(moves, chance=lambda hazard, data: hazard[data.action]):
    """A prior of where steps lead, and ends of episodes with a probability of the action's own."""

    def falls(data):
        moves(data)
        with numpyro.plate("action", 3):
            hazard = numpyro.sample("hazard", dist.Beta(A, B))
        with data.rows():
            numpyro.sample("terminal", dist.Bernoulli(chance(hazard, data)), obs=data.terminal)

    return falls


LINEAR, CORRELATED = bm.models.linear_dynamics(CART), bm.models.matrix_dynamics(CART)
FALLS = falling(LINEAR)


def known_ends(data):
    """A regression, and ends of which nothing is to be learned."""
    LINEAR(data)
    with data.rows():
        numpyro.sample("terminal", dist.Bernoulli(0.25), obs=data.terminal)


def counted():
    """The Beta parameters after the log, and the log of the integral of their likelihood."""
    own = LOG.action[:, None] == np.arange(3)
    ends, rows = (own * LOG.seen["terminal"][:, None]).sum(0), own.sum(0)
    after = np.stack([A + ends, B + rows - ends], -1)
    return after, (betaln(*after.T) - betaln(A, B)).sum()


@pytest.mark.parametrize(
    ("both", "moves"),
    [(FALLS, LINEAR), pytest.param(falling(CORRELATED), CORRELATED, marks=pytest.mark.slow)],
    ids=["linear", "matrix"],
)
def test_the_posterior_is_that_of_both_parts_alone(both, moves):
    whole, part = (bm.infer(model, LOG, draws=4_000) for model in (both, moves))
    after, gained = counted()
    assert whole.attrs["engine"] == "exact" and "independent parts" in whole.attrs["reason"]
    told = whole["parameters"]
    np.testing.assert_allclose(told["hazard"].sel(parameter=["a", "b"]), after)
    for name, values in part["parameters"].data_vars.items():
        own = next(each for each in told if str(each).endswith(f".{name}"))
        np.testing.assert_allclose(told[own], values, rtol=1e-12)
    assert whole.attrs["log_evidence"] == pytest.approx(part.attrs["log_evidence"] + gained, rel=1e-12)
    # Draws are of these parameters, independent of each other.
    drawn = whole["posterior"]
    np.testing.assert_allclose(drawn["hazard"].mean(("chain", "draw")), after[:, 0] / after.sum(-1), atol=0.01)
    for name in part["posterior"].data_vars:
        error = part["posterior"][name].std(("chain", "draw")) / 4_000**0.5
        off = drawn[name].mean(("chain", "draw")) - part["posterior"][name].mean(("chain", "draw"))
        assert float(np.abs(off / error).max()) < 7
    flat = drawn["hazard"][..., 0].values.ravel(), drawn["weights"].values.reshape(4_000, -1)[:, 0]
    assert abs(np.corrcoef(*flat)[0, 1]) < 0.08


def test_a_part_of_which_nothing_is_unknown_has_its_likelihood():
    whole, part = (bm.infer(model, LOG, draws=0) for model in (known_ends, LINEAR))
    ends = LOG.seen["terminal"].sum()
    gained = ends * np.log(0.25) + (60 - ends) * np.log(0.75)
    assert whole.attrs["log_evidence"] == pytest.approx(part.attrs["log_evidence"] + gained, rel=1e-12)


@pytest.mark.slow
def test_rewards_beside_correlated_noise_are_a_product_too():
    rewards = bm.models.linear_rewards(CART, CORRELATED)
    posterior = bm.infer(rewards, LOG, draws=100)
    alone = bm.infer(bm.models.linear_rewards(CART, LINEAR), LOG, draws=100)
    assert posterior.attrs["engine"] == alone.attrs["engine"] == "exact"
    both = posterior.attrs["log_evidence"] - alone.attrs["log_evidence"]
    parts = (bm.infer(moves, LOG, draws=0).attrs["log_evidence"] for moves in (CORRELATED, LINEAR))
    assert both == pytest.approx(next(parts) - next(parts), abs=1e-6)


def test_a_belief_adds_up_the_same_step_by_step():
    belief = recorded_belief(FALLS, CART, 3, 1)
    with jax.enable_x64(True):
        state = start = belief.init(jax.random.key(0))
        observe = jax.jit(belief.observe)
        for row in range(10):
            seen = {name: jnp.asarray(values[row]) for name, values in LOG.seen.items()}
            reward, last = jnp.zeros(()), jnp.asarray(False)
            step = Step(LOG.state[row], LOG.action[row], seen, seen["next_state"], reward, last)
            state = observe(jax.random.key(1), state, step)
        sizes = [leaf.shape for leaf in jax.tree.leaves(state)]
        assert sizes == [leaf.shape for leaf in jax.tree.leaves(start)]
        told = belief.parameters(state)
        drawn = jax.eval_shape(belief.draw, jax.random.key(2), state)[1]
    batch = bm.infer(FALLS, steps_of(60)._replace(weight=np.arange(60) < 10.0), draws=0)["parameters"]
    assert set(told) == set(batch.data_vars) - {next(each for each in batch if str(each).endswith(".place"))}
    for name, values in told.items():
        np.testing.assert_allclose(values, batch[name].values, rtol=1e-9, err_msg=name)
    assert {name: values.shape for name, values in drawn.items()} == {
        "hazard": (3, 3),
        "precision": (3, 2),
        "weights": (3, 3, 3, 2),
    }


def test_draws_are_made_anew_from_a_file(tmp_path):
    made = bm.infer(FALLS, LOG, draws=4_000, seed=3)
    write_tree(made, tmp_path / "posterior.nc")
    kept = xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf").load()
    for name, values in bm.draw(kept, 4_000)["posterior"].data_vars.items():
        np.testing.assert_allclose(values, made["posterior"][name], rtol=1e-9)


@pytest.mark.slow
def test_plans_and_agents_heed_both():
    """Where each push forward is known to end the episode, and costs are all there is, it is the best from far off."""
    told = bm.infer(FALLS, LOG, draws=64)
    sure = told["posterior"].to_dataset().assign(hazard=0 * told["posterior"]["hazard"] + np.array([0.0, 0.0, 1.0]))
    cart = CART.replace(model=FALLS, truth=None)
    quick = bm.planning.FittedQ(places=256, samples=4, num_draws=8, rollouts=bm.planning.Rollouts(number=2_000))
    plan = bm.planning.fitted_policy(bm.plan(sure, cart, solver=quick), cart)
    assert plan.actions([[0.9, 0.9], [0.9, 0.0], [-0.9, -0.9]]).tolist() == [2.0] * 3
    agent = bm.agents.fitted_psrl(FALLS, approximation="linear", places=16, samples=2)
    result = bm.simulate(CART, {"psrl": agent}, steps=50, replicates=1, seed=0)
    assert np.isfinite(result["reward"].values).all()


def coupled(data):
    """The prior of the hazard hangs on the noise of the first coordinate."""
    precision = numpyro.sample("precision", dist.Gamma(2.0, 1.0))
    hazard = numpyro.sample("hazard", dist.Beta(1.0 + precision, 3.0))
    with data.rows():
        noise = dist.Normal(jnp.asarray(data.state), 1 / jnp.sqrt(precision)).to_event(1)
        numpyro.sample("next_state", noise, obs=data.next_state)
        numpyro.sample("terminal", dist.Bernoulli(hazard), obs=data.terminal)


def steep(data):
    """Ends that hang on the state by a logistic function, for which no family is known, beside a regression."""
    LINEAR(data)
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with data.rows():
        numpyro.sample("terminal", dist.Bernoulli(expit(slope * data.state[:, 0])), obs=data.terminal)


def rare(data):
    """Where the state is far out, as it is in one row of the log, what ends an episode also moves the state."""
    push = numpyro.sample("push", dist.Normal(np.zeros(3), 1.0))
    hazard = numpyro.sample("hazard", dist.Beta(1.0, 3.0))
    with data.rows():
        moved = push[data.action] + jnp.where(data.state[:, 0] > 999, hazard, 0.0)
        move = dist.Normal(data.state + moved[:, None], 0.3).to_event(1)
        numpyro.sample("next_state", move, obs=data.next_state)
        numpyro.sample("terminal", dist.Bernoulli(hazard), obs=data.terminal)


@pytest.mark.parametrize("model", [coupled, steep])
def test_parts_that_are_not_apart_or_not_in_closed_form_are_refused(model):
    with pytest.raises(bm.NotConjugate, match=r"(hazard|slope)"):
        bm.infer(model, LOG, method="exact")


def test_all_rows_of_a_log_are_asked_whether_parts_are_apart():
    log = steps_of(200)
    log.state[1] = 1_000.5  # no row that the form is found from
    with pytest.raises(bm.NotConjugate, match="'next_state' depends on push alone in some rows, and in others on more"):
        bm.infer(rare, log, method="exact")
    log.state[1] = 0.0
    assert bm.infer(rare, log, draws=0).attrs["engine"] == "exact"


@pytest.mark.slow
def test_particles_say_the_same():
    exact, sampled = (bm.infer(FALLS, LOG, draws=2_000, method=how) for how in ("exact", "smc"))
    off = sampled.attrs["log_evidence"] - exact.attrs["log_evidence"]
    assert abs(off) < 4.5 * sampled.attrs["log_evidence_sd"] + 0.1
    for name in ("hazard", "weights"):
        one, other = exact["posterior"][name], sampled["posterior"][name]
        error = one.std(("chain", "draw")) / 300**0.5
        assert float(np.abs((one.mean(("chain", "draw")) - other.mean(("chain", "draw"))) / error).max()) < 5
