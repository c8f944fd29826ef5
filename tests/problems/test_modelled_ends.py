"""Ends of episodes that a model draws, and a posterior tells of: against a table with one more state."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayesmdp as bm
from bayesmdp.planning import FittedQ, LinearQ, Rollouts, SampledFutures, futures_policy
from tests.problems.test_simulated_episodes import DISCOUNT, GOOD, LIKELY, RUNGS, rung

HAZARD = np.array([0.05, 0.3])
FEW = Rollouts(number=16, tolerance=1e3)


def which_rung(state):
    return jnp.eye(RUNGS + 1)[rung(state)]


def climb(data, ends):
    """Up a rung with a probability of the action's own, else down, between the ground and the roof."""
    likely = numpyro.sample("likely", dist.Beta(np.array([2.0, 2.0]), 2.0))
    hazard = numpyro.sample("hazard", dist.Beta(np.array([1.0, 1.0]), 3.0))
    with data.rows():
        up = numpyro.sample("up", dist.Bernoulli(likely[data.action]), obs=data.seen.get("up"))
        ends(data, hazard)
    moved = jnp.clip(data.state + jnp.where(up == 1, 1.0, -1.0)[:, None], 0.0, RUNGS)
    numpyro.deterministic("next_state", moved)


def slippery(data):
    """One falls off with a probability of the action's own."""
    climb(data, lambda d, hazard: numpyro.sample("terminal", dist.Bernoulli(hazard[d.action]), obs=d.terminal))


def normal_ends(data):
    climb(data, lambda d, hazard: numpyro.sample("terminal", dist.Normal(hazard[d.action]), obs=d.terminal))


def two_ends(data):
    chance = lambda d, hazard: dist.Bernoulli(jnp.stack([hazard[d.action]] * 2, -1)).to_event(1)  # noqa: E731
    climb(data, lambda d, hazard: numpyro.sample("terminal", chance(d, hazard), obs=d.terminal))


def on_the_roof(state):
    return rung(state) == RUNGS


def paid(state, action, next_state):
    return 1.0 * rung(next_state)


CLIFF = {
    **GOOD,
    "model": slippery,
    "truth": {"likely": LIKELY, "hazard": HAZARD},
    "reward": paid,
    "reward_range": (0.0, float(RUNGS)),
    "features": which_rung,
    "terminal": None,
    "anchors": np.arange(RUNGS + 1.0)[:, None],
    "name": "cliff",
}


@cache
def cliff():
    return bm.SimulatedMDP(**CLIFF)


def table():
    """The rungs, and last the state in which one has fallen off."""
    kernel, reward = np.zeros((RUNGS + 2, 2, RUNGS + 2)), np.zeros((RUNGS + 2, 2, RUNGS + 2))
    for s in range(RUNGS + 1):
        for up, rate in ((1, LIKELY), (-1, 1 - LIKELY)):
            after = min(max(s + up, 0), RUNGS)
            kernel[s, :, after] += rate * (1 - HAZARD)
            kernel[s, :, -1] += rate * HAZARD
            reward[s, :, after] = after
    # The step off the cliff pays as the step would have.
    for s in range(RUNGS + 1):
        mean = LIKELY * min(s + 1, RUNGS) + (1 - LIKELY) * max(s - 1, 0)
        reward[s, :, -1] = mean
    kernel[-1, :, -1] = 1
    return bm.MDP(
        transition=kernel,
        reward=reward,
        discount=DISCOUNT,
        terminal=[RUNGS + 1],
        initial=2,
        actions=("careful", "bold"),
    )


EXACT = table()


def test_a_policy_is_worth_what_the_table_says():
    exact = bm.evaluate(EXACT, "uniform").values[:-1]
    told = bm.evaluate(cliff(), "uniform", states=np.arange(RUNGS + 1.0)[:, None])
    z = (told - exact) / (told["upper"] - told["lower"]) * 2 * 1.96
    assert np.abs(z).max() < 4.5
    lasting = bm.evaluate(bm.SimulatedMDP(**{**CLIFF, "truth": {"likely": LIKELY, "hazard": 0 * HAZARD}}), "uniform")
    assert float(told[2]) < 0.7 * float(lasting)


def test_a_plan_knows_what_it_is_to_fall_off():
    """The bold action climbs, and is not worth its hazard: the best policy, and its value, are the table's."""
    exact = bm.solve(EXACT)
    told = bm.solve(cliff(), solver=FittedQ(LinearQ(1e-6), places=256, samples=16))
    fitted = bm.planning.fitted_policy(told, cliff()).actions(np.arange(RUNGS + 1.0)[:, None])
    assert fitted.tolist() == exact.policy.values[:-1].tolist()
    assert float(told["lower"]) - 0.02 < float(exact.value[2]) < float(told["upper"]) + 0.02


@pytest.mark.slow
def test_sampled_futures_end_where_one_falls_off():
    exact = bm.solve(EXACT)
    ahead = bm.solve(cliff(), solver=SampledFutures(horizon=20, sequences=64, samples=16, rollouts=FEW))
    assert futures_policy(ahead, cliff()).actions([[2.0]]).tolist() == [exact.policy.values[2]]


def test_logs_say_where_episodes_ended_and_the_posterior_counts_it():
    """In closed form: Beta, as often as rows ended and did not."""
    log = bm.collect(cliff(), policy="uniform", steps=600, seed=0)
    assert "terminal" not in log and log["terminated"].values.any()
    follows = (log["state"].values[1:] == log["next_state"].values[:-1]).all(-1)
    started = log["state"].values[1:][log["terminated"].values[:-1]]
    assert (started == 2).all() and follows[~log["terminated"].values[:-1]].all()
    posterior = bm.infer(slippery, log, draws=0, mdp=cliff())
    assert posterior.attrs["engine"] == "exact"
    bold = log["action"].values == "bold"
    for i, own in enumerate((~bold, bold)):
        ended = log["terminated"].values[own].sum()
        found = posterior["parameters"]["hazard"].values[i]
        np.testing.assert_allclose(np.sort(found), np.sort([1 + ended, 3 + own.sum() - ended]))


def test_ends_that_are_known_anyway_teach_nothing_of_the_hazard():
    """Half of the steps enter the roof, where any episode ends: the log holds what the model drew of them as well."""
    roofed = bm.SimulatedMDP(**{**CLIFF, "terminal": on_the_roof, "start": [RUNGS - 1.0]})
    log = bm.collect(roofed, policy="uniform", steps=600, seed=0)
    drawn, known = log["terminal"].values, rung(log["next_state"].values) == RUNGS
    np.testing.assert_array_equal(log["terminated"].values, (drawn == 1) | known)
    found = bm.infer(slippery, log, draws=0, mdp=roofed)["parameters"]["hazard"].values
    for i, own in enumerate(log["action"].values == name for name in ("careful", "bold")):
        np.testing.assert_allclose(np.sort(found[i]), np.sort([1 + drawn[own].sum(), 3 + (1 - drawn[own]).sum()]))
    hidden = log.drop_vars("terminal")
    with pytest.raises(
        ValueError, match=rf"{known.sum()} rows .* first step {known.argmax()}, to \[{RUNGS}.*'terminal'"
    ):
        bm.infer(slippery, hidden, draws=0, mdp=roofed)


@pytest.mark.slow
def test_an_agent_learns_where_episodes_end():
    """Of a world whose ends are a function of the state, too: the prior's hazard is what steps say of it."""
    agent = bm.agents.fitted_psrl(slippery, approximation="linear", places=16, samples=2)
    result = bm.simulate(cliff(), {"psrl": agent}, steps=200, replicates=2, seed=0)
    assert np.isfinite(result["reward"].values).all()


def test_ends_by_a_function_and_by_the_model_both_count():
    both = bm.SimulatedMDP(**{**CLIFF, "terminal": on_the_roof, "start": [2.0]})
    fewer, more = (bm.evaluate(each, "uniform", states=np.arange(RUNGS + 1.0)[:, None]) for each in (both, cliff()))
    assert float(fewer[2]) < float(more[2])


@pytest.mark.parametrize(
    "model, why",
    [
        (normal_ends, r"the model's terminal is a Normal of shape \(1,\) for one row; expected a Bernoulli"),
        (two_ends, r"the model's terminal is a Bernoulli.* of shape \(1, 2\) for one row"),
    ],
)
def test_other_ends_are_refused(model, why):
    with pytest.raises(ValueError, match=why):
        bm.SimulatedMDP(**{**CLIFF, "model": model})
