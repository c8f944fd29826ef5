"""Fitted Q iteration and its agents: against tabular planning, formulas, and what they are asked to refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayesmdp as bm
from bayesmdp.agents.fitted_aq_brmdp import _Adapting
from bayesmdp.planning import Draws, LinearQ, NeuralQ, Quantile, fitted_q_iteration, policy_iteration
from bayesmdp.planning.fitted_q import simulated_targets
from bayesmdp.studies.control_learning import STUDIES, arrivals, episode_lengths
from tests.corridor import MDP, ROOMS, corridor, rooms_where, tabular

LAKE = bm.environments.slippery_lake()
PRIOR = bm.models.slippery_lake(LAKE)


@pytest.mark.parametrize(
    "level, approximation",
    [
        (0.15, LinearQ(ridge=1e-6)),
        pytest.param(0.9, LinearQ(ridge=1e-6), marks=pytest.mark.slow),
        pytest.param(0.15, NeuralQ(gradient_steps=60, rate=3e-3), marks=pytest.mark.slow),
    ],
)
def test_a_problem_in_rooms_is_solved_as_the_table_is(level, approximation):
    likely = np.random.default_rng(0).beta([3.0, 5.0], 2.0, (20, 2))
    problem, kernel, reward = tabular(likely)
    with jax.enable_x64(True):
        exact = policy_iteration(problem, Draws(kernel, reward[None]), Quantile(level))
        values = {"likely": jnp.asarray(likely)}
        judge = lambda y, anchors, alike: (Quantile(level).value(y), ())  # noqa: E731
        known = jax.tree.map(jnp.asarray, MDP.problem)
        fit = approximation.init(jax.random.key(0), ROOMS, 2)
        sizes = {"approximation": approximation, "iterations": 40, "places": 40, "samples": 60}
        plan = jax.jit(lambda key, fit: fitted_q_iteration(key, known, corridor, values, fit, judge, **sizes)[0])
        found = []
        for seed in range(12):
            fit = plan(jax.random.key(seed), fit)
            found.append(np.asarray(approximation.value(fit, jnp.eye(ROOMS))))
    # Luck is that of 60 places with 60 next states each; the mean over plans halves what is left.
    np.testing.assert_allclose(np.mean(found[4:], axis=0), exact.q, atol=0.03)
    assert np.ptp(exact.q) > 0.3


def test_the_mean_of_the_last_fits_is_taken():
    values, q = {"likely": jnp.asarray([[0.5, 0.8]])}, LinearQ()
    sizes = {"approximation": q, "places": 6, "samples": 2}

    def fit_after(iterations, averaged=1):
        told = {"iterations": iterations, "averaged": averaged, **sizes}
        begun = q.init(jax.random.key(0), ROOMS, 2)
        judge = lambda y, anchors, alike: (y[0], ())  # noqa: E731
        return fitted_q_iteration(jax.random.key(3), MDP.problem, corridor, values, begun, judge, **told)[0]

    with jax.enable_x64(True):
        # The numbers of an iteration do not depend on how many follow.
        alone = [fit_after(iterations) for iterations in (3, 4)]
        np.testing.assert_allclose(fit_after(4, averaged=2), np.mean(alone, axis=0), rtol=1e-12)
    assert np.abs(alone[1] - alone[0]).max() > 1e-3


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(ValueError, match="averaged is at most the number of iterations, 20; got 21"):
        bm.agents.fitted_brmdp(PRIOR, approximation="linear", averaged=21)
    with pytest.raises(ValueError, match="the mean of fits of NeuralQ is none of them"):
        bm.agents.fitted_psrl(PRIOR, averaged=2)


def test_draws_that_are_alike_agree_exactly():
    """Common luck: there is no disagreement but the posterior's."""
    values = {"likely": jnp.tile(jnp.asarray([0.5, 0.8]), (6, 1))}
    with jax.enable_x64(True):
        y = simulated_targets(
            jax.random.key(0), MDP.problem, corridor, values, jnp.arange(5)[:, None] + 0.5, lambda s: s, 3
        )
    assert y.shape == (6, 5, 2)
    assert np.ptp(np.asarray(y), axis=0).max() == 0


@pytest.mark.parametrize("reading", ["mixture", "power"])
def test_the_adaptive_level_is_the_papers(reading):
    rng = np.random.default_rng(1)
    y, anchors = rng.normal(0, rng.uniform(0.001, 0.3, (7, 4)), (32, 7, 4)), rng.normal(0, 0.1, (32, 15, 4))
    options = {"scale": 1.3, "sensitivity": 0.4, "floor": 0.2, "least": 0.01, "draw_scale": 3.0}
    alike = np.arange(7) == 6
    with jax.enable_x64(True):
        target, told = _Adapting(reading)(jnp.asarray(9.0), options)(
            jnp.asarray(y), jnp.asarray(anchors), jnp.asarray(alike)
        )
        budget = np.asarray(bm.planning.quantile_budget(jnp.asarray(0.5), 3.0))
    count = 1 / np.maximum(y.std(0), 0.01) ** 2
    mean = (1 / np.maximum(anchors.std(0), 0.01) ** 2).mean()
    factor = {"mixture": 0.6 + 0.4 * count / mean, "power": (count / mean) ** 0.4}[reading]
    level = np.maximum(0.2, 1 - 1.3 / 3 * factor)
    level[6] = 0.5
    assert float(told["level"]) == pytest.approx(level.mean())
    assert float(told["uncertainty"]) == pytest.approx(anchors.std(0).mean())
    used = y[: int(budget), 6, 0]
    assert float(target[6, 0]) == np.quantile(used, 0.5, method="inverted_cdf")


def test_networks_learn_what_they_are_shown_and_start_warm():
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.uniform(-1, 1, (64, 3)))
    target = jnp.stack([jnp.sin(3 * features[:, 0]), features[:, 1] * features[:, 2]], -1)
    network = NeuralQ(gradient_steps=200, rate=3e-3)
    with jax.enable_x64(True):
        fit = network.init(jax.random.key(0), 3, 2)
        assert sum(leaf.size for leaf in jax.tree.leaves(fit[0])) == 3 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2
        assert {leaf.dtype for leaf in jax.tree.leaves(fit[0])} == {jnp.dtype("float32")}
        improve = jax.jit(network.improve)
        errors = []
        for _ in range(5):
            fit = improve(fit, features, target)
            errors.append(float(jnp.mean((network.value(fit, features) - target) ** 2)))
    assert errors[0] < 1e-2
    assert errors[-1] < errors[0] / 4


def test_least_squares_is_ridge_from_the_last_weights():
    rng = np.random.default_rng(0)
    x, y, before = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), rng.normal(size=(4, 2))
    with jax.enable_x64(True):
        after = np.asarray(LinearQ(ridge=2.5).improve(jnp.asarray(before), jnp.asarray(x), jnp.asarray(y)))
    stacked = np.vstack([x, np.sqrt(2.5) * np.eye(4)]), np.vstack([y, np.sqrt(2.5) * before])
    np.testing.assert_allclose(after, np.linalg.lstsq(*stacked, rcond=None)[0], atol=1e-10)


def lognormal_lake(data):
    """The lake with another prior of the reach: no closed form."""

    def other(site):
        if site["type"] == "sample" and site["name"] == "reach":
            site["fn"] = dist.LogNormal(0.0, 0.5)
        return site

    class Replaced(numpyro.primitives.Messenger):
        def process_message(self, msg):
            other(msg)

    with Replaced():
        PRIOR(data)


@pytest.mark.slow
def test_particles_carry_any_prior_and_a_network_plans_with_it():
    sizes = {"iterations": 3, "places": 8, "samples": 2, "room": 80, "approximation": "linear"}
    agents = {
        "particles": bm.agents.fitted_aq_brmdp(bm.with_particles(PRIOR, 100), **sizes),
        "own": bm.agents.fitted_psrl(lognormal_lake, **sizes),
    }
    run = bm.simulate(LAKE, agents, steps=80, replicates=1, checkpoints=[80], checkpoint_draws=400)
    assert (run["effective_size"].values > 0).all()
    for name in agents:
        reach = run[f"beliefs/{name}/posterior"]["reach"].values.ravel()
        assert reach.min() > 0.9 and reach.mean() == pytest.approx(1.0, abs=0.08)
    assert run["log_evidence"].sel(agent="own").values[0, -1] < -30


def test_it_learns_which_action_leads_on():
    """Both actions are alike under the prior's mean; the bold one hardly ever fails."""
    sizes = {"iterations": 10, "places": 10, "samples": 4, "approximation": "linear"}
    agent = bm.agents.fitted_psrl(corridor, **sizes)
    action = bm.simulate(rooms_where([0.2, 0.95]), {"PSRL": agent}, steps=200, replicates=4, seed=0)["action"].values[0]
    assert action[:, :10].mean() < 0.8
    assert action[:, 100:].mean() > 0.95


@pytest.mark.slow
def test_a_told_agent_loses_little_and_learners_lose_less_with_time():
    told = bm.models.slippery_lake(LAKE, direction=(1e5, 8e5, 1e5), mobility=(1e5, 9e5), reach=(1.0, 1e6))
    sizes = {"iterations": 20, "places": 48, "samples": 4, "approximation": NeuralQ(width=32)}
    agents = {"told": bm.agents.fitted_psrl(told, **sizes), "PSRL": bm.agents.fitted_psrl(PRIOR, **sizes)}
    regret = bm.simulate(LAKE, agents, steps=400, replicates=4, seed=1)["regret"].mean("replicate")
    early, late = regret.isel(step=slice(100)).mean("step"), regret.isel(step=slice(300, None)).mean("step")
    assert float(late.sel(agent="PSRL")) < 0.5 * float(early.sel(agent="PSRL"))
    assert float(regret.sel(agent="told").sum()) < float(regret.sel(agent="PSRL").sum())


@pytest.mark.parametrize(
    "options, why",
    [
        ({"iterations": 0}, "iterations"),
        ({"places": 1.5}, "places"),
        ({"samples": -1}, "samples"),
        ({"room": 0}, "room"),
        ({"approximation": "quadratic"}, "neural, linear"),
        ({"approximation": LinearQ}, "or made, as LinearQ"),
    ],
)
def test_bad_options_are_refused(options, why):
    for maker in (bm.agents.fitted_psrl, bm.agents.fitted_brmdp, bm.agents.fitted_aq_brmdp):
        with pytest.raises((ValueError, TypeError), match=why):
            maker(PRIOR, **options)


@pytest.mark.parametrize(
    "maker, options",
    [
        (bm.agents.fitted_brmdp, {"level": 1.0}),
        (bm.agents.fitted_brmdp, {"draw_scale": 0.0}),
        (bm.agents.fitted_aq_brmdp, {"least": 0.0}),
        (bm.agents.fitted_aq_brmdp, {"sensitivity": 1.5}),
        (bm.agents.fitted_aq_brmdp, {"num_draws": 0}),
        (NeuralQ, {"width": 0}),
        (NeuralQ, {"rate": -1.0}),
        (LinearQ, {"ridge": 0.0}),
    ],
)
def test_numbers_out_of_range_are_refused(maker, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        maker(*() if maker in (NeuralQ, LinearQ) else (PRIOR,), **options)


def glide(data):
    reach = numpyro.sample("reach", dist.Gamma(2.0, 1.0))
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, reach), obs=data.seen.get("length"))
    way = jnp.where(data.action == 0, -1.0, 1.0)
    numpyro.deterministic("next_state", jnp.clip(data.state + (way * length)[:, None], 0, 1))


def polynomials(state):
    return jnp.concatenate([jnp.ones_like(state), state, state**2], -1)


def arrive(state, action, next_state):
    return (next_state[..., 0] >= 1).astype(float)


@pytest.mark.slow
def test_room_that_is_empty_yet_does_not_count():
    """Rows that nobody has filled hold lengths that many particles think impossible."""
    rink = bm.SimulatedMDP(
        model=glide,
        truth={"reach": 0.3},
        reward=arrive,
        reward_range=(0, 1),
        features=polynomials,
        start=[0.0],
        low=[0.0],
        high=[1.0],
        actions=("left", "right"),
        discount=0.9,
    )
    agent = bm.agents.fitted_psrl(glide, approximation="linear", iterations=1, places=4, samples=1, room=60)
    run = bm.simulate(rink, {"A": agent}, steps=40, replicates=1, checkpoints=[40], checkpoint_draws=200)
    assert (run["effective_size"].values > 100).all()
    assert float(run["beliefs/A/posterior"]["reach"].mean()) == pytest.approx(0.305, abs=0.03)


@pytest.mark.slow
def test_psrl_learns_to_balance_a_pole_in_a_few_episodes():
    """500 steps are the most, and 475 on average solve it; in the study ``control-learning`` more runs do."""
    study = STUDIES["cart-pole"]
    cart = study.make_mdp()
    run = bm.simulate(cart, study.make_agents(cart, study.make_prior(cart)), steps=2_500, replicates=1, seed=5)
    (lengths,) = episode_lengths(run["state"].values[0])
    assert lengths[0] < 200 and lengths[:20][-3:].mean() >= 475


@pytest.mark.slow
def test_psrl_drives_out_of_the_valley_in_a_few_episodes():
    """Six at most; Q-learning with tiles takes 24 to 33 (study ``control-learning``)."""
    car = bm.environments.mountain_car()
    prior = bm.models.fourier_dynamics(car, noise=0.002)
    sizes = {"iterations": 150, "places": 400, "samples": 1}
    agent = bm.agents.fitted_psrl(prior, approximation=LinearQ(ridge=0.01), **sizes)
    run = bm.simulate(car, {"PSRL": agent}, steps=1_200, replicates=2, seed=3)
    assert arrivals(run["state"].values[0]).any(-1).all()
