"""Episodes on spaces of numbers: where they end, begin and are cut off, and what that is worth, against a table."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.planning import FittedQ, LinearQ, fitted_policy
from tests.statistical import assert_follows

RUNGS, DISCOUNT = 6, 0.9
LIKELY = np.array([0.45, 0.6])


def ladder(data):
    """Up a rung with a probability of the action's own, else down; the ground is 0, the roof at `RUNGS`."""
    likely = numpyro.sample("likely", dist.Beta(np.array([2.0, 2.0]), 2.0))
    with data.rows():
        up = numpyro.sample("up", dist.Bernoulli(likely[data.action]), obs=data.seen.get("up"))
    numpyro.deterministic("next_state", data.state + jnp.where(up == 1, 1.0, -1.0)[:, None])


def rung(state):
    return jnp.clip(jnp.round(state[..., 0]), 0, RUNGS).astype(int)


def which_rung(state):
    """The ends look like the rungs next to them, so that Q says something of them that must not count."""
    return jnp.eye(RUNGS - 1)[jnp.clip(rung(state), 1, RUNGS - 1) - 1]


def at_an_end(state):
    return (rung(state) == 0) | (rung(state) == RUNGS)


def paid(state, action, next_state):
    """Steps cost, the bold one more; the roof pays."""
    return 5.0 * (rung(next_state) == RUNGS) - 0.1 - 0.3 * (action == 1)


GOOD = {
    "model": ladder,
    "truth": {"likely": LIKELY},
    "reward": paid,
    "reward_range": (-0.4, 4.9),
    "features": which_rung,
    "start": [2.0],
    "low": [-0.5],
    "high": [RUNGS + 0.5],
    "actions": ("careful", "bold"),
    "discount": DISCOUNT,
    "anchors": np.arange(1.0, RUNGS)[:, None],
    "terminal": at_an_end,
    "name": "ladder",
}
LADDER = bm.SimulatedMDP(**GOOD)
LOW = dist.Uniform(np.array([0.6]), np.array([1.4])).to_event(1)


def table(likely):
    kernel, reward = np.zeros((RUNGS + 1, 2, RUNGS + 1)), np.zeros((RUNGS + 1, 2, RUNGS + 1))
    for s in range(1, RUNGS):
        kernel[s, :, s + 1], kernel[s, :, s - 1] = likely, 1 - np.asarray(likely)
    kernel[[0, RUNGS], :, [0, RUNGS]] = 1
    reward += np.array([-0.1, -0.4])[:, None]
    reward[:, :, RUNGS] += 5
    return bm.MDP(
        transition=kernel, reward=reward, discount=DISCOUNT, terminal=[0, RUNGS], initial=2, actions=("careful", "bold")
    )


def test_an_episode_is_worth_what_the_table_says():
    exact = bm.evaluate(table(LIKELY), "uniform")
    told = bm.evaluate(LADDER, "uniform", states=np.arange(1.0, RUNGS)[:, None])
    z = (told - exact[1:-1].values) / (told["upper"] - told["lower"]) * 2 * 1.96
    assert np.abs(z).max() < 4.5
    # All rollouts but a few are over long before the horizon, and nothing is left of those.
    assert told.attrs["beyond_horizon"] < 1e-6


def test_nothing_is_earned_from_a_terminal_state_on():
    told = bm.evaluate(LADDER, "uniform", states=[[0.0], [RUNGS], [2.0]])
    for each in (told, told["lower"], told["upper"]):
        assert each.values[:2].tolist() == [0, 0] and each.values[2] != 0


@pytest.mark.parametrize("likely", [LIKELY, [0.7, 0.75]])
def test_a_plan_is_that_of_the_table_with_its_ends(likely):
    exact = bm.solve(table(likely))
    ways = FittedQ(LinearQ(ridge=1e-6), places=100, samples=20)
    plan = bm.solve(bm.SimulatedMDP(**{**GOOD, "truth": {"likely": likely}}), solver=ways)
    assert float(plan["lower"]) <= float(exact.value[2]) <= float(plan["upper"])
    assert float(plan["q"][0].max()) == pytest.approx(float(exact.value[2]), abs=0.1)
    chosen = fitted_policy(plan, LADDER).actions(np.arange(1.0, RUNGS)[:, None])
    assert chosen.tolist() == exact.policy.values[1:-1].tolist()
    assert np.abs(fitted_policy(plan, LADDER).q([[0.0], [RUNGS]])).min() > 0.05  # what would be counted there


def test_logs_tell_where_episodes_end_and_are_cut_off():
    log = bm.collect(LADDER.replace(length=7, start=LOW), steps=3_000, seed=1)
    state, after = log["state"].values[:, 0], log["next_state"].values[:, 0]
    ended, cut = log["terminated"].values, log["truncated"].values
    np.testing.assert_array_equal(ended, (np.round(after) == 0) | (np.round(after) == RUNGS))
    assert not (ended & cut).any()
    over = np.flatnonzero(ended | cut)
    lengths = np.diff(over)
    assert lengths.max() == 7 and (lengths[cut[over[1:]]] == 7).all()
    assert cut.sum() > 50 and ended.sum() > 500
    # Within an episode one goes on from where the step led; afterwards from a first state.
    goes_on = ~(ended | cut)[:-1]
    np.testing.assert_array_equal(after[:-1][goes_on], state[1:][goes_on])
    assert_follows(np.append(state[0], state[1:][~goes_on]), stats.uniform(0.6, 0.8), "first states")


def test_agents_meet_the_same_episodes():
    problem = LADDER.replace(length=7, start=LOW)
    agent = bm.agents.fitted_psrl(ladder, approximation="linear", iterations=2, places=8, samples=2)
    run = bm.simulate(problem, {"A": agent}, steps=400, replicates=1)
    state = run["state"].values[0, 0, :, 0]
    firsts = np.flatnonzero((state >= 0.6) & (state <= 1.4) & (np.abs(np.diff(state, prepend=9.0)) != 1.0))
    lengths = np.diff(firsts)
    assert lengths.max() == 7 and (lengths < 7).any()
    assert ((np.round(state) > 0) & (np.round(state) < RUNGS)).all()  # nobody acts at an end
    short = bm.simulate(problem, {"A": agent}, steps=100, replicates=1)
    np.testing.assert_array_equal(short["state"].values, run["state"].values[:, :, :100])


def test_an_episode_that_is_begun_again_has_its_whole_length():
    """Of 7 steps, where everybody is sent back after every 5."""
    never_ends = LADDER.replace(length=7, start=LOW, terminal=None)
    agent = bm.agents.fitted_psrl(ladder, approximation="linear", iterations=2, places=8, samples=2)
    state = bm.simulate(never_ends, {"A": agent}, steps=60, replicates=1, restart=5)["state"].values[0, 0, :, 0]
    breaks = 1 + np.flatnonzero(~np.isclose(np.abs(np.diff(state)), 1.0))
    assert breaks.tolist() == list(range(5, 60, 5))


def test_values_are_of_the_distribution_of_starts():
    spread = LADDER.replace(start=dist.Uniform(np.array([0.6]), np.array([4.4])).to_event(1))
    told = bm.evaluate(spread, "uniform")
    exact = bm.evaluate(table(LIKELY), "uniform").values
    mean = np.array([0.9, 1.0, 1.0, 0.9]) @ exact[1:5] / 3.8
    assert told["lower"] <= mean <= told["upper"]


@pytest.mark.slow
def test_plans_are_worth_what_the_distribution_of_starts_says():
    spread = LADDER.replace(start=dist.Uniform(np.array([0.6]), np.array([4.4])).to_event(1))
    plan = bm.solve(spread, solver=FittedQ(LinearQ(ridge=1e-6), places=100, samples=20))
    mean = np.array([0.9, 1.0, 1.0, 0.9]) @ bm.solve(table(LIKELY)).value.values[1:5] / 3.8
    assert plan["lower"] <= mean <= plan["upper"]


def test_a_log_is_learned_from_whatever_ends_in_it():
    log = bm.collect(LADDER.replace(length=7), steps=2_000, seed=3)
    posterior = bm.infer(ladder, log, mdp=LADDER, draws=10)
    a, b = posterior["parameters"]["likely"].values.T
    action = log["action"].values == "bold"
    up = np.array([log["up"].values[action == kind].sum() for kind in (False, True)])
    np.testing.assert_allclose(a, 2 + up)
    np.testing.assert_allclose(a + b, 4 + np.array([(~action).sum(), action.sum()]))


@pytest.mark.parametrize(
    "change, error, why",
    [
        ({"terminal": lambda s: s}, ValueError, r"terminal of 1 states is float64 of shape \(1, 1\)"),
        ({"terminal": lambda s: jnp.asarray(True)}, ValueError, r"bool of shape \(\); expected bool \(1,\)"),
        ({"start": [0.2]}, ValueError, r"the start \[0.2\] is terminal"),
        ({"start": dist.Uniform(0.6, 1.4)}, ValueError, r"say .to_event\(1\)"),
        ({"start": dist.Normal(np.ones(1), 3.0).to_event(1)}, ValueError, "lies outside of the box"),
        ({"start": dist.Uniform(np.zeros(1), np.ones(1)).to_event(1)}, ValueError, "is terminal"),
        ({"length": 0}, ValueError, "length must be an integer of at least 1"),
        ({"length": 2.5}, ValueError, "length must be an integer"),
        ({"actions": "up"}, TypeError, "actions must be a finite list of labels; got 'up'"),
        ({"actions": dist.Uniform(-1, 1)}, TypeError, "no continuous actions here: give a grid"),
        ({"actions": ()}, TypeError, "actions must be a finite list"),
    ],
)
def test_bad_episodes_are_refused(change, error, why):
    with pytest.raises(error, match=why):
        bm.SimulatedMDP(**{**GOOD, **change})


def test_a_gymnasium_range_of_actions_is_refused():
    gymnasium = pytest.importorskip("gymnasium")
    with pytest.raises(TypeError, match=r"got Box\(-2.0, 2.0, \(1,\), float32\)\. There are no continuous actions"):
        bm.SimulatedMDP(**{**GOOD, "actions": gymnasium.spaces.Box(-2, 2, (1,))})


def test_problems_with_other_ends_have_other_fingerprints():
    def prints(problem):
        return [np.asarray(part).tobytes() for part in problem.fingerprint()]

    other = LADDER.replace(terminal=lambda state: state[..., 0] < 0.5)
    assert prints(LADDER) != prints(other) != prints(LADDER.replace(terminal=None))
    assert prints(LADDER) == prints(LADDER.replace())
    assert jax.tree.structure(LADDER.problem) != jax.tree.structure(LADDER.replace(length=5).problem)


def test_agents_plan_anew_where_an_episode_is_cut_off():
    """Discounted so little that pseudo-episodes hardly end, in a world that nobody is sent back in."""
    never_ends = LADDER.replace(length=7, start=LOW, terminal=None, discount=0.999_999)
    agent = bm.agents.fitted_psrl(ladder, approximation="linear", iterations=2, places=8, samples=2)
    run = bm.simulate(never_ends, {"A": agent}, steps=60, replicates=1, restart=1_000)
    np.testing.assert_array_equal(run["period"].values.ravel(), 1 + np.arange(60) // 7)


@pytest.mark.slow
@pytest.mark.parametrize("length", [5, 7])
def test_agents_that_learn_rewards_plan_anew_where_an_episode_is_cut_off(length):
    """Discounted so little that pseudo-episodes hardly end, in a room in which no episode ends by itself.

    The room's reward is a function, which the agent's prior has to learn.
    """
    room = bm.environments.thermostat(discount=0.9999).replace(length=length)
    prior = bm.models.linear_rewards(room)
    agent = bm.agents.fitted_psrl(prior, approximation="linear", iterations=1, places=4, samples=1)
    learned = {name for name, _ in agent.make_belief(room).dims}
    assert learned == {"precision", "weights", "reward_precision", "reward_weights"}
    run = bm.simulate(room, {"PSRL": agent}, steps=4 * length + 2, replicates=1, thin=1)
    assert np.isfinite(run["reward"].values).all()
    period = run["period"].values.ravel()
    np.testing.assert_array_equal(period, 1 + np.arange(len(period)) // length)
