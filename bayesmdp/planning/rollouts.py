"""Returns of a policy on a space of numbers, by simulation: the unbiased statement beside what a fit of Q says.

A rollout follows the policy from a start for H steps, under one draw of the unknowns, and adds up discounted rewards.
What comes after has at most the discount^H-th part of what values can be: H is the least number of steps for which

    discount^H (highest - lowest value) <= tolerance,

and both ends of what is left are told, so that an interval holds them too. In a terminal state a rollout is over, and
nothing is left. Of a problem with a horizon H is that, and nothing is left either.

The range of rewards is what the problem says of its box, and steps may leave that. Where a reward was outside of the
range, the range is taken to reach twice as far out as it, for what was not simulated may go on to grow, and H is raised
for that. This is a rule of thumb. Where rewards grow so fast that H is never enough, a warning says that intervals do
not hold the value.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning.state_rules import StatePolicy, after_steps
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import SimulatedProblem, simulate_steps

__all__ = ["Rollouts", "SimulatedReturns", "count_draws", "horizon_within", "simulate_returns", "tolerance_of"]

SHARE = 1e-4
"""The part of what values can differ by that rollouts may leave out, where no tolerance is given."""

TOGETHER, AT_ONCE = 320, 2_048
"""Rollouts that are simulated side by side, and by one call, where a draw of the unknowns has fewer: about. With 16 of
each draw 20 draws stand together, and 100 or 200 of them leave no batch half empty."""

STREAMS = 256
"""Streams of random numbers that a call has at the least: more than there are draws by default."""

FARTHEST = 4
"""Times the horizon that the range of rewards asks for, by the finer of `SHARE` and the tolerance, that rollouts go at
most where rewards lie outside of that range."""


@dataclass(frozen=True)
class Rollouts:
    """How values are simulated.

    Parameters
    ----------
    number : int
        Of rollouts, shared equally by the draws of the unknowns; each gets at least 16.
    max_draws : int
        Posterior draws that a value is simulated under, at most.
    tolerance : float, optional
        Of what a value may lack for steps that are not simulated any more, in the units of the value; by default a
        ten-thousandth of what values can differ by.
    confidence : float in (0, 1)
        Of intervals.
    seed : int

    Raises
    ------
    ValueError
        For a number out of range.

    Examples
    --------
    >>> Rollouts(number=1_000).confidence
    0.95
    """

    number: int = 20_000
    max_draws: int = 200
    tolerance: float | None = None
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        integer("number", self.number, 16)
        integer("max_draws", self.max_draws, 1)
        number("confidence", self.confidence, above=0, below=1)
        integer("seed", self.seed, 0)
        if self.tolerance is not None:
            number("tolerance", self.tolerance, above=0)

    def each(self, draws: int) -> int:
        """How many rollouts one of so many draws gets; an even number."""
        return max(16, 2 * (self.number // (2 * draws)))


class SimulatedReturns(NamedTuple):
    """Discounted returns of rollouts.

    Attributes
    ----------
    lowest, highest : array [draw, rollout]
        With the least and the most that the steps beyond the horizon can add.
    horizon : int
    """

    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    horizon: int

    @property
    def middle(self) -> NDArray[np.float64]:
        """Halfway between the two [draw, rollout]."""
        return (self.lowest + self.highest) / 2


def tolerance_of(mdp: SimulatedMDP, tolerance: float | None, share: float = SHARE) -> float:
    """Return a tolerance, by default a share of what values can differ by, or of what they are where they cannot.

    Parameters
    ----------
    mdp : SimulatedMDP
    tolerance : float, optional
    share : float

    Returns
    -------
    float
    """
    if tolerance is not None:
        return tolerance
    return share * (_span(mdp) or float(np.abs(mdp.problem.value_range).max()))


def _span(mdp: SimulatedMDP) -> float:
    return float(np.ptp(mdp.problem.value_range))


def _steps_within(span: float, discount: float, tolerance: float) -> int:
    """The least number of steps after which a span of values is discounted to the tolerance, but one at least."""
    if not span > tolerance or not discount:
        return 1
    return math.ceil(math.log(tolerance / span) / math.log(discount))


def horizon_within(mdp: SimulatedMDP, tolerance: float) -> int:
    """Return the least number of steps that leaves no more than `tolerance`, or the problem's horizon; see the module.

    Parameters
    ----------
    mdp : SimulatedMDP
    tolerance : float

    Returns
    -------
    int

    Examples
    --------
    >>> import bayesmdp as bm
    >>> horizon_within(bm.environments.slippery_lake(), 0.02)  # .95^135 / .05 = .0197
    135
    """
    if mdp.horizon is not None:
        return mdp.horizon
    return _steps_within(_span(mdp), float(mdp.problem.discount), tolerance)


def count_draws(values: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of draws of the unknowns; one, where nothing is unknown.

    Parameters
    ----------
    values : mapping of site to array [draw, ...]
    """
    return len(next(iter(values.values()))) if values else 1


def simulate_returns(
    mdp: SimulatedMDP,
    values: Mapping[str, NDArray[Any]],
    policy: StatePolicy,
    rollouts: Rollouts,
    *,
    start: NDArray[np.float64] | None = None,
    streams: NDArray[np.int64] | None = None,
) -> SimulatedReturns:
    """Simulate a policy from the problem's start, or another, under draws of the unknowns.

    Programs hang on how many rollouts a draw has, and on the rule, and serve any number of draws.

    Parameters
    ----------
    mdp : SimulatedMDP
    values : mapping of site to array [draw, ...]
    policy : StatePolicy
    rollouts : Rollouts
    start : array [coordinate] or [draw, coordinate], optional
    streams : int array [draw], optional
        Which random numbers each draw gets; by default its own. Draws that have the same ones differ by little else
        than their unknowns, and what noise does to the mean of one it does to all.

    Returns
    -------
    SimulatedReturns
    """
    draws, tolerance = count_draws(values), tolerance_of(mdp, rollouts.tolerance)
    horizon = horizon_within(mdp, tolerance)
    farthest = FARTHEST * max(horizon, horizon_within(mdp, tolerance_of(mdp, None)))
    begun = np.broadcast_to(mdp.problem.start if start is None else start, (draws, mdp.problem.start.size))
    own = np.arange(draws) if streams is None else streams
    while True:
        total, left, met = _by_calls(mdp, values, policy, rollouts, begun, own, horizon, elsewhere=start is not None)
        if mdp.horizon is not None:
            return SimulatedReturns(total, total, horizon)
        # Rewards may go on to grow: twice as far outside of the range as those met.
        least, most = replace(mdp.problem, reward_range=2 * met - mdp.problem.reward_range).value_range
        span = float(most - least)
        needed = _steps_within(span, float(mdp.problem.discount), tolerance) if math.isfinite(span) else math.inf
        if needed <= horizon:
            break
        if needed > farthest:
            _warn_of_rewards(mdp, met, horizon)
            break
        horizon = int(needed)
    return SimulatedReturns(total + left * least, total + left * most, horizon)


def _warn_of_rewards(mdp: SimulatedMDP, met: NDArray[np.float64], horizon: int) -> None:
    least, most = mdp.problem.reward_range
    farthest = met[0] if not met[0] >= least else met[1]
    warnings.warn(
        f"a reward of {mdp.name} was {farthest:g} within {horizon} steps, outside the reward_range "
        f"{(float(least), float(most))}, and rewards grow faster than the discount shrinks them: intervals do not hold "
        "what follows. Bound the reward, as with jnp.clip of the states in it, or use a prior whose steps stay in the "
        "box",
        UserWarning,
        stacklevel=5,
    )


def _by_calls(
    mdp: SimulatedMDP,
    values: Mapping[str, NDArray[Any]],
    policy: StatePolicy,
    rollouts: Rollouts,
    start: NDArray[np.float64],
    streams: NDArray[np.int64],
    horizon: int,
    *,
    elsewhere: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What `_returns` says, of all draws, some at a time."""
    draws = len(streams)
    each = rollouts.each(draws)
    together = max(1, TOGETHER // each)
    batches = max(1, AT_ONCE // (together * each))
    told = []
    with jax.enable_x64(True):
        # A power of two, and as large whether draws share their random numbers or not: other numbers compile nothing.
        number = max(STREAMS, int(streams.max()) + 1)
        keys = random.split(random.key(rollouts.seed), 1 << (number - 1).bit_length())
        for begin in range(0, draws, together * batches):
            taken = np.minimum(np.arange(begin, begin + together * batches), draws - 1)
            needed = min(batches, math.ceil((draws - begin) / together))
            total, left, met = _returns(
                keys,
                mdp.problem,
                {name: np.asarray(array)[taken] for name, array in values.items()},
                policy.parameters,
                start[taken],
                streams[taken],
                np.int32(horizon),
                np.bool_(elsewhere),
                np.int32(needed),
                rule=policy.rule,
                together=together,
                rollouts=each,
            )
            kept = min(draws - begin, len(taken))
            told.append((np.asarray(total)[:kept], np.asarray(left)[:kept], np.asarray(met)))
    total, left = (np.concatenate([one[i] for one in told]) for i in range(2))
    met = np.array([one[2] for one in told])
    return total, left, np.stack([met[:, 0].min(), met[:, 1].max()])


@partial(jax.jit, static_argnames=("rule", "together", "rollouts"))
def _returns(
    keys: Array,
    problem: SimulatedProblem,
    values: Mapping[str, Array],
    parameters: Any,
    start: Float[Array, "draw coordinate"],
    streams: Int[Array, " draw"],
    horizon: Int[Array, ""],
    elsewhere: Bool[Array, ""],
    needed: Int[Array, ""],
    *,
    rule: Callable[[Any, Array, Array], Array],
    together: int,
    rollouts: int,
) -> tuple[Float[Array, "draw rollout"], Float[Array, "draw rollout"], Float[Array, " 2"]]:
    """Sums of discounted rewards, what one after the horizon would be multiplied by, and the range with all met.

    Of so many batches of draws as are needed; others are left at 0.
    """
    problem, parameters = jax.tree.map(jnp.asarray, (problem, parameters))

    def under(key: Array, own: Mapping[str, Array], start: Array) -> tuple[Array, Array, Array]:
        state = jax.vmap(problem.draw_start)(random.split(random.fold_in(key, 2**31), rollouts))
        state = jnp.where(elsewhere, start, state)

        def step(t: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            state, total, weight, met = carry
            move_key, choice_key = random.split(random.fold_in(key, t))
            choose = jax.vmap(partial(rule, after_steps(rule, parameters, t)))
            action = choose(random.uniform(choice_key, (rollouts,)), state)
            following, paid, after = simulate_steps(problem, problem.model, move_key, own, state, action)
            # What is simulated after the end counts for nothing, and must not grow beyond all numbers.
            reward = jnp.where(weight > 0, paid, 0)
            # 0 need not be in the range; what is in it already adds nothing.
            counted = jnp.where(weight > 0, paid, problem.reward_range[0])
            met = jnp.stack([jnp.minimum(met[0], counted), jnp.maximum(met[1], counted)])
            state = jnp.where((after > 0)[:, None], following, state)
            return state, total + weight * reward, weight * problem.discount * after, met

        # Who starts in a terminal state has earned all there is.
        known = jnp.broadcast_to(problem.reward_range[:, None], (2, rollouts))
        begun = (state, jnp.zeros(rollouts), problem.continues(state), known)
        _, total, weight, met = lax.fori_loop(0, horizon, step, begun)
        return total, weight, jnp.stack([met[0].min(), met[1].max()])

    # Some draws side by side, as a loop over few rollouts takes as long as one over more.
    batched = jax.tree.map(lambda leaf: leaf.reshape(-1, together, *leaf.shape[1:]), (keys[streams], values, start))
    size = len(streams) // together, together, rollouts

    def batch(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        total, weight, met = carry
        one = jax.vmap(under)(*jax.tree.map(lambda leaf: leaf[i], batched))
        met = jnp.stack([jnp.minimum(met[0], one[2][:, 0].min()), jnp.maximum(met[1], one[2][:, 1].max())])
        return total.at[i].set(one[0]), weight.at[i].set(one[1]), met

    nothing = jnp.zeros(size), jnp.zeros(size), problem.reward_range.astype(float)
    total, weight, met = lax.fori_loop(0, needed, batch, nothing)
    return total.reshape(-1, rollouts), weight.reshape(-1, rollouts), met
