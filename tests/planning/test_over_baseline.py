"""Plans for the gain over a baseline, against NumPy's solutions, finite differences and a search of all policies."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import bayesmdp as bm
from bayesmdp.planning import CVaR, Draws, Mean, Quantile, over_baseline
from bayesmdp.planning.gain_ascent import _gradients
from bayesmdp.planning.over_baseline import _ranks

STATES, ACTIONS, DRAWS, DISCOUNT = 4, 2, 40, 0.9
RNG = np.random.default_rng(0)
REWARD = RNG.normal(size=(STATES, ACTIONS))
KERNELS = RNG.dirichlet(np.full(STATES, 0.5), (DRAWS, STATES, ACTIONS))
MDP = bm.MDP(transition=KERNELS.mean(0), reward=REWARD, discount=DISCOUNT, initial=0)
POSTERIOR = xr.Dataset({"transition": (("draw", "state", "action", "next_state"), KERNELS)})
BASELINE = RNG.dirichlet(np.ones(ACTIONS), STATES)


def values(policy: NDArray[np.float64], kernels: NDArray[np.float64] = KERNELS) -> NDArray[np.float64]:
    """Values [draw, state], by plain solves."""
    rows = np.einsum("sa,dsat->dst", policy, kernels)
    system = np.eye(STATES) - DISCOUNT * rows
    return np.linalg.solve(system, np.broadcast_to((policy * REWARD).sum(-1), system.shape[:2])[..., None])[..., 0]


def gains(policy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sort((values(policy) - values(BASELINE))[:, 0])


OBJECTIVES = {
    "mean": (Mean(), lambda sorted_gains: sorted_gains.mean()),
    "cvar": (CVaR(0.25), lambda sorted_gains: sorted_gains[:10].mean()),
    "quantile": (Quantile(0.25), lambda sorted_gains: sorted_gains[9]),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_gain_is_as_large_as_a_search_finds_and_what_is_said_of_it_is_true(name: str) -> None:
    risk, objective = OBJECTIVES[name]
    plan = bm.plan(POSTERIOR, MDP, risk, baseline=BASELINE)
    policy = plan["probability"].values
    np.testing.assert_allclose(policy.sum(-1), 1, atol=1e-12)
    assert plan.attrs["gain"] == pytest.approx(objective(gains(policy)), abs=1e-10)
    assert plan.attrs["better"] == pytest.approx((gains(policy) > 0).mean())
    np.testing.assert_allclose(plan["value"], values(policy).mean(0), atol=1e-10)
    # All policies with probabilities in sixths; the optimum lies between these.
    shares = np.linspace(0, 1, 7)
    tried = [np.stack([share, 1 - np.array(share)], -1) for share in itertools.product(shares, repeat=STATES)]
    best = max(objective(gains(one)) for one in tried)
    assert best > 0.1
    # A single rank has no smooth direction, so that less is asked of the quantile.
    assert plan.attrs["gain"] >= best * (0.97 if name == "quantile" else 0.9999)
    # What each departure is worth, by going back in one state.
    for state in range(STATES):
        back = policy.copy()
        back[state] = BASELINE[state]
        assert plan["worth"].values[state] == pytest.approx(objective(gains(policy)) - objective(gains(back)), abs=1e-9)
    np.testing.assert_allclose(plan["departure"], np.abs(policy - BASELINE).sum(-1) / 2)
    modal = np.eye(ACTIONS)[policy.argmax(-1)]
    assert plan.attrs["gain_deterministic"] == pytest.approx(objective(gains(modal)), abs=1e-10)


def test_its_gradient_is_that_of_finite_differences() -> None:
    with jax.enable_x64(True):
        problem, draws, baseline = jax.tree.map(jnp.asarray, (MDP.problem, Draws(KERNELS, MDP.reward), BASELINE))
        by_policy, visits = jax.device_get(_gradients(problem, draws, baseline, jnp.arange(3)))
    changed, apart = BASELINE.copy(), 1e-6
    changed[2, 1] += apart
    np.testing.assert_allclose(
        by_policy[:, 2, 1], (values(changed)[:3, 0] - values(BASELINE)[:3, 0]) / apart, rtol=1e-4
    )
    np.testing.assert_allclose(visits.sum(-1), 1 / (1 - DISCOUNT))


def test_a_baseline_that_nothing_beats_is_kept() -> None:
    known = POSTERIOR.isel(draw=[0] * DRAWS)
    best = bm.plan(known, MDP)["policy"]
    plan = bm.plan(known, MDP, CVaR(0.25), baseline=best)
    assert plan.attrs["gain"] == 0
    assert float(plan["departure"].max()) == 0
    # And from another baseline it is found.
    found = bm.plan(known, MDP, CVaR(0.25), baseline="uniform", deterministic=True)
    assert found["policy"].equals(best)
    assert found["value"].values == pytest.approx(bm.plan(known, MDP)["value"].values, abs=1e-8)


def test_gains_are_differences_of_values() -> None:
    gain = bm.gain_draws(POSTERIOR, MDP, [0, 1, 0, 1], BASELINE)
    expected = values(np.eye(2)[[0, 1, 0, 1]]) - values(BASELINE)
    assert gain.dims == ("draw", "state")
    np.testing.assert_allclose(gain, expected, atol=1e-10)


def test_successor_tables_rewards_drawn_and_ends() -> None:
    """The same problem told by a table of successors, with a terminal state and rewards that differ by draw."""
    reward = REWARD + np.random.default_rng(1).normal(size=(DRAWS, STATES, ACTIONS)) / 10
    end = np.arange(STATES) == 3
    dense = MDP.replace(terminal=end)
    table = np.broadcast_to(np.arange(STATES), (STATES, ACTIONS, STATES))
    sparse = bm.MDP(
        transition=dense.transition, reward=REWARD, discount=DISCOUNT, initial=0, terminal=end, successor=table
    )
    drawn = POSTERIOR.assign(reward=(("draw", "state", "action"), reward))
    one = bm.plan(drawn, dense, CVaR(0.25), baseline="uniform")
    other = bm.plan(drawn.rename(next_state="outcome"), sparse, CVaR(0.25), baseline="uniform")
    np.testing.assert_allclose(one["probability"], other["probability"], atol=1e-8)
    np.testing.assert_allclose(one["worth"], other["worth"], atol=1e-10)
    start = bm.gain_draws(drawn, dense, one["probability"], "uniform").isel(state=0)
    assert one.attrs["gain"] == pytest.approx(np.sort(start)[:10].mean(), abs=1e-10)


def test_weights_by_rank() -> None:
    np.testing.assert_allclose(_ranks(CVaR(0.31), 20).objective[:8], [*[1 / 6.2] * 6, 0.2 / 6.2, 0])
    ranks = _ranks(Quantile(0.3), 20)
    assert ranks.objective.argmax() == 5 and ranks.first == 2
    np.testing.assert_allclose(ranks.direction, np.array([1, 2, 3, 4, 3, 2, 1]) / 16)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"risk": CVaR(0.1)}, "hold 4 of the tail at level 0.1.*use 50 draws or more"),
        ({"risk": CVaR(np.full((STATES, ACTIONS), 0.5))}, "one level"),
        ({"risk": CVaR(0.5, 20)}, "uses all draws"),
        ({"risk": Quantile(0.5), "quantile": "exact"}, "no exact quantile"),
        ({"baseline": np.full((STATES, ACTIONS), 0.4)}, r"policy\[0\] sums to 0.8"),
        ({"baseline": "today"}, "the only policy with a name is 'uniform'"),
        ({"baseline": None, "deterministic": True}, "without a baseline are deterministic"),
        ({"mdp": MDP.replace(discount=None, horizon=5)}, "judged by 'horizon'"),
        ({"mdp": MDP.replace(discount=None)}, "judged by 'average'"),
    ],
)
def test_bad_input(options: dict[str, object], told: str) -> None:
    given = {"posterior": POSTERIOR, "mdp": MDP, "risk": CVaR(0.25), "baseline": BASELINE} | options
    with pytest.raises(ValueError, match=told):
        bm.plan(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["cvar", *(pytest.param(name, marks=pytest.mark.slow) for name in ("quantile", "mean"))]
)
def test_asking_all_draws_in_every_fifth_step_only_finds_as_much(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On 30 states, where the tail changes with the policy; what is said of the gain is that of all draws."""
    rng = np.random.default_rng(1)
    kernels = rng.dirichlet(np.full(30, 0.2), (100, 30, 3))
    mdp = bm.MDP(transition=kernels.mean(0), reward=rng.normal(size=(30, 3)), discount=0.9, initial=0)
    posterior = xr.Dataset({"transition": (("draw", "state", "action", "next_state"), kernels)})
    baseline = rng.dirichlet(np.ones(3), 30)
    found = []
    for many in (300, 10):
        monkeypatch.setattr(over_baseline, "MANY", many)
        plan = bm.plan(posterior, mdp, OBJECTIVES[name][0], baseline=baseline)
        gained = bm.gain_draws(posterior, mdp, plan["probability"].values, baseline).values @ mdp.initial
        number = {"mean": slice(None), "cvar": slice(25), "quantile": slice(24, 25)}[name]
        assert plan.attrs["gain"] == pytest.approx(np.sort(gained)[number].mean(), rel=1e-9)
        found.append(plan.attrs["gain"])
    assert found[1] >= 0.98 * found[0] > 0
