"""Planning for what a policy gains over a baseline, such as what is done today.

A plan for the value of a policy may be worse than what it replaces: where the baseline is good, all that a log shows of
other actions is little, and a policy is chosen among many by what luck favoured. Here the object is the *gain* at the
start, the value of the policy less that of the baseline under the same posterior draw. Both share what the draw says of
the world, so that the gain is far less uncertain than either; a policy that stays with the baseline in a state risks
nothing there, and is what comes out where the draws do not agree that something else is better.

The policy mixes actions. The maximum is a local one, climbed to from the baseline by
:mod:`~bayesmdp.planning.gain_ascent`.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.cvar import CVaR
from bayesmdp.planning.gain_ascent import Ascent, Ranks, ascend, mixed_value
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.policy_values import DENSE_LIMIT, policy_evaluation, policy_transition
from bayesmdp.planning.quantile import Quantile
from bayesmdp.planning.risk import Mean, Risk
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.problem import Problem

__all__ = ["best_over_baseline", "departures", "plan_over_baseline", "refuse_gain"]

STEPS, STRIDE, EVERY, MANY = 40, 10.0, 5, 300
"""Of each ascent. More steps gained less than 1 in 1,000 of the objective in our trials. Of problems with more than
`MANY` states all draws are asked in every fifth step only."""

ROUNDS, ROUNDING = 5, 1e-10
"""How often states are asked whether they go back to a baseline whose actions are not all available; and differences
of values that are none, as a share."""

FEWEST = 5
"""Draws that the tail must hold: of fewer, the policy fits their luck."""


def plan_over_baseline(
    draws: Draws,
    mdp: MDP,
    risk: Risk,
    baseline: NDArray[np.float64],
    *,
    deterministic: bool = False,
    open_actions: NDArray[np.bool_] | None = None,
) -> xr.Dataset:
    """The policy whose gain over a baseline, at the start, is the largest by a statistic of the draws.

    Parameters
    ----------
    draws : Draws
        transition [draw, state, action, outcome], reward [..., state, action, outcome or 1].
    mdp : MDP
    risk : Mean, Quantile or CVaR
        Of the gain.
    baseline : array [state, action]
        Probabilities.
    deterministic : bool
        Whether the policy may not mix actions: the most probable ones are then taken.
    open_actions : bool array [state, action], optional
        Those that the policy may take where it does otherwise than the baseline; by default all that are available. In
        a state where the baseline takes others it is kept whole, or left for these alone, whichever is better.

    Returns
    -------
    Dataset
        As `plan` describes it.

    Raises
    ------
    ValueError
        For levels by pair; too few draws; more than 2,000 states; what is elsewhere worth the least.
    """
    ranks = refuse_gain(mdp, risk, len(draws.transition))
    with jax.enable_x64(True):
        allowed = mdp.available if open_actions is None else open_actions
        problem, given, base = _placed(mdp.problem._replace(available=allowed), draws, baseline)
        earned = _values_at_start(problem, given, base)
        found = _climbed(problem, given, base, earned, ranks)
        policy = found.policy
        modal = np.eye(mdp.num_actions)[policy.argmax(-1)]
        rounded = _objective(problem, given, earned, ranks, modal)
        if deterministic:
            policy = modal
        values, back, earned = jax.device_get((*_effects(problem, given, jnp.asarray(policy), base), earned))
    gains = values @ mdp.initial - earned
    objective = float(ranks.objective @ np.sort(gains))
    worth = _worth(objective, back, earned, ranks)
    rise = float(found.history[-1] - found.history[3 * len(found.history) // 4])
    attrs = {
        "risk": f"{risk} of the gain",
        "solver": "natural_gradient",
        "num_draws": len(gains),
        "gain": objective,
        "gain_deterministic": float(rounded),
        "better": float((gains > 0).mean()),
        "rise": rise,
        "mdp": mdp.name,
        "discount": mdp.discount,
    }
    actions = label_array(mdp.actions)
    live = ~mdp.terminal
    return xr.Dataset(
        {
            "value": ("state", values.mean(0)),
            "policy": ("state", actions[policy.argmax(-1)]),
            "probability": (("state", "action"), policy),
            "departure": ("state", live * np.abs(policy - baseline).sum(-1) / 2),
            "worth": ("state", np.where(live, worth, 0)),
        },
        coords={"state": label_array(mdp.states), "action": actions},
        attrs=attrs,
    )


def best_over_baseline(problem: Problem, draws: Draws, risk: Risk, baseline: NDArray[np.float64]) -> Ascent:
    """Climb from a baseline to the policy whose gain is the largest, and stay there if none is better.

    Parameters
    ----------
    problem : Problem
        Whose available actions the policy may take where it does otherwise than the baseline.
    draws : Draws
    risk : Mean, Quantile or CVaR
    baseline : array [state, action]

    Returns
    -------
    Ascent
        Of NumPy arrays.
    """
    ranks = _ranks(risk, len(draws.transition))
    with jax.enable_x64(True):
        problem, given, base = _placed(problem, draws, baseline)
        return _climbed(problem, given, base, _values_at_start(problem, given, base), ranks)


def _placed(problem: Problem, draws: Draws, *policies: NDArray[np.float64]) -> Any:
    """The problem, the draws and policies as JAX arrays."""
    given = Draws(jnp.asarray(draws.transition), jnp.asarray(draws.reward))
    return jax.tree.map(jnp.asarray, problem), given, *map(jnp.asarray, policies)


def _climbed(problem: Problem, draws: Draws, baseline: Array, earned: Array, ranks: Ranks) -> Ascent:
    """The best policy that an ascent from the baseline met, in NumPy arrays; the baseline itself if none is better."""
    found: Ascent = jax.device_get(
        ascend(
            problem,
            draws,
            problem.available,
            earned,
            baseline,
            ranks,
            STRIDE,
            steps=STEPS,
            every=EVERY if problem.num_states > MANY else 1,
        )
    )
    rounding = ROUNDING * (1 + float(np.abs(earned).max()))
    found = _back_where_no_worse(problem, draws, baseline, earned, ranks, found, rounding)
    # Staying with the baseline gains 0, exactly.
    return found if found.objective > rounding else found._replace(policy=np.asarray(baseline), objective=np.zeros(()))


def _back_where_no_worse(
    problem: Problem, draws: Draws, baseline: Array, earned: Array, ranks: Ranks, found: Ascent, rounding: float
) -> Ascent:
    """The policy, with the baseline itself where it has actions that are not available, and the policy gains nothing.

    The ascent cannot stay with such actions, nor see what they are worth, so that it is asked of each state afterwards.
    """
    usual, policy, objective = np.asarray(baseline), found.policy, float(found.objective)
    cut = (np.where(np.asarray(problem.available), 0, usual) > 0).any(-1)
    for _ in range(ROUNDS):
        cut &= (policy != usual).any(-1)
        if not cut.any():
            break
        _, back = _effects(problem, draws, jnp.asarray(policy), baseline)
        worth = _worth(objective, np.asarray(back), np.asarray(earned), ranks)
        states = np.flatnonzero(cut & (worth <= rounding))
        states = states[np.argsort(worth[states], kind="stable")]
        while len(states):
            other = policy.copy()
            other[states] = usual[states]
            reached = float(_objective(problem, draws, earned, ranks, jnp.asarray(other)))
            if reached >= objective - rounding:
                policy, objective = other, reached
                break
            # Together they may cost what each alone does not.
            states = states[: len(states) // 2]
        else:
            break
    return found._replace(policy=policy, objective=np.asarray(objective))


def _worth(
    objective: float, back: NDArray[np.float64], earned: NDArray[np.float64], ranks: Ranks
) -> NDArray[np.float64]:
    """By how much less would be gained with the baseline in one state [state], of values at the start [draw, state]."""
    return np.asarray(objective - np.sort(back - earned[:, None], axis=0).T @ ranks.objective)


def departures(
    draws: Draws, mdp: MDP, policy: NDArray[np.float64], baseline: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what a policy is worth more at the start than if it did as a baseline in one state [draw, state].

    Parameters
    ----------
    draws : Draws
    mdp : MDP
        With a discount, and no more than 2,000 states.
    policy, baseline : array [state, action]
        Probabilities.
    """
    with jax.enable_x64(True):
        values, back = jax.device_get(_effects(*_placed(mdp.problem, draws, policy, baseline)))
    return np.where(mdp.terminal, 0, (values @ mdp.initial)[:, None] - back)


def refuse_gain(mdp: MDP, risk: Risk, draws: int) -> Ranks:
    """Refuse what cannot be planned for over a baseline, and return what the sorted gains weigh if it can.

    Parameters
    ----------
    mdp : MDP
    risk : Risk
    draws : int

    Raises
    ------
    ValueError
        As `plan_over_baseline` does.
    """
    ranks = _ranks(risk, draws)
    if mdp.objective != "discounted":
        raise ValueError(
            f"a gain over a baseline is of discounted reward, and {mdp.name} is judged by {mdp.objective!r}: use "
            "mdp.replace(discount=0.99, horizon=None), or leave the baseline out"
        )
    if mdp.num_states > DENSE_LIMIT:
        raise ValueError(
            f"planning for a gain solves dense systems, up to {DENSE_LIMIT:,} states; {mdp.name} has "
            f"{mdp.num_states:,}: merge states, or leave the baseline out"
        )
    if mdp.has_elsewhere and mdp.elsewhere == "least":
        raise ValueError("with elsewhere='least' a policy has no gradient; use elsewhere='mean' or 'each'")
    return ranks


def _ranks(risk: Risk, size: int) -> Ranks:
    """What the sorted gains weigh in the objective, and which draws its direction is of."""
    if not isinstance(risk, Mean | Quantile | CVaR):
        raise ValueError(f"of a gain the mean, a quantile or CVaR can be planned for; got {risk}")
    if isinstance(risk, Mean):
        even = np.full(size, 1 / size)
        return Ranks(even, even, np.int64(0))
    if np.ndim(risk.level) or risk.num_draws is not None:
        raise ValueError(f"the risk of a gain has one level and uses all draws; got {risk}")
    level = float(risk.level)
    fewest = int(np.ceil(FEWEST / level))
    if size < fewest:
        raise ValueError(
            f"{size} draws hold {level * size:.3g} of the tail at level {level:g}, and a policy would fit their luck; "
            f"use {fewest} draws or more"
        )
    number = np.arange(size)
    if isinstance(risk, CVaR):
        weights = np.clip(level * size - number, 0, 1) / (level * size)
        return Ranks(weights, weights[weights > 0], np.int64(0))
    rank = min(int(np.ceil(level * size)), size) - 1
    # Which draw is at a rank changes with each step: the direction is of those about it, nearer ones more.
    reach = max(2, round(level * size / 2))
    first, last = max(rank - reach, 0), min(rank + reach, size - 1)
    window = 1 - np.abs(np.arange(first, last + 1) - rank) / (reach + 1)
    return Ranks((number == rank).astype(float), window / window.sum(), np.int64(first))


_values_at_start = jax.jit(mixed_value)


@jax.jit
def _objective(problem: Problem, draws: Draws, earned: Array, ranks: Ranks, policy: Array) -> Float[Array, ""]:
    return jnp.sum(ranks.objective * jnp.sort(mixed_value(problem, draws, policy) - earned))


@jax.jit
def _effects(problem: Problem, draws: Draws, policy: Array, baseline: Array) -> tuple[Array, Array]:
    """Values of the policy [draw, state], and at the start if it went back to the baseline in one state [draw, state].

    Another row is a change of the system by rank one, so that one inverse tells of all states (Sherman and Morrison)::

        V' - V = N[:, s] (dr(s) + discount dP(s) V) / (1 - discount dP(s) N[:, s]),    N = (I - discount P)^-1
    """
    states = problem.num_states
    discount = problem.discount

    def of(pair: Any) -> tuple[Array, Array]:
        transition, reward = pair[0], pair[1] if draws.reward.ndim == 4 else draws.reward
        value = policy_evaluation(problem, transition, reward, policy)
        kernel, other = (policy_transition(problem, transition, chosen) for chosen in (policy, baseline))
        inverse = jnp.linalg.inv(jnp.eye(states) - discount * kernel)
        paid = jnp.sum((baseline - policy) * _expected(transition, reward), axis=-1) * (problem.continuation > 0)
        change = other - kernel
        gained = paid + discount * (change @ value)
        itself = discount * jnp.sum(change * inverse.T, axis=-1)
        return value, problem.initial @ value + (problem.initial @ inverse) * gained / (1 - itself)

    each = (draws.transition, draws.reward) if draws.reward.ndim == 4 else (draws.transition,)
    values, back = jax.lax.map(of, each)
    return values, back


def _expected(transition: Array, reward: Array) -> Float[Array, "state action"]:
    return jnp.sum(transition * reward, axis=-1)
