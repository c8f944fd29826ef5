"""Rounds of fitted iteration, until values no longer drift.

A round is one compiled program of some iterations, as many as it is told; where the approximation is fitted outside of
compiled programs, one program an iteration makes its targets. When rounds end is said in
:mod:`~bayesmdp.planning.simulated_plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Float, Int
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.approximations import Approximation
from bayesmdp.planning.fitted_q import (
    Judge,
    drawn_targets,
    fitted_q_iteration,
    simulated_targets,
    worth_ahead,
)
from bayesmdp.problems.simulated_problem import SimulatedProblem

__all__ = ["FURTHER", "MOST", "Rounds", "Settled", "has_settled"]

FURTHER, SETTLED, MOST = 0.25, 0.05, 4
"""Iterations of a further round, as a share of the first; what it may change, in standard deviations; and the rounds,
all together as a multiple of the first."""


class Settled(NamedTuple):
    """A fit whose values no longer drift, or that had no more iterations left.

    Attributes
    ----------
    kept : pytree
        The fit, or the mean of the last round's.
    done : int
        Iterations.
    settled : bool
    square : float
        The mean square of its misfit.
    """

    kept: Any
    done: int
    settled: bool
    square: float


class Rounds(NamedTuple):
    """Rounds of fitted iteration, on one problem or one stage of it.

    Attributes
    ----------
    values : mapping of site to array [draw, ...]
    risk : Mean, Quantile or CVaR
    approximation : Approximation
    places, samples : int
    tolerance : float
    """

    values: Mapping[str, NDArray[np.float64]]
    risk: Any
    approximation: Approximation
    places: int
    samples: int
    tolerance: float

    def settle(
        self, key: Array, problem: SimulatedProblem, fit: Any, after: Any, *, first: int, length: int, most: int
    ) -> Settled:
        """Make rounds until values at the anchors do not drift.

        Parameters
        ----------
        key : key
        problem : SimulatedProblem
        fit : pytree
            To begin at.
        after : pytree or None
            The fit by which next states are valued; None is the fit itself.
        first, length, most : int
            Iterations at the least, of a round, and at the most.
        """
        program: dict[str, Any] = {
            "approximation": self.approximation,
            "places": self.places,
            "samples": self.samples,
        }
        one_round = _round_on_host if getattr(self.approximation, "on_host", False) else _round
        done, settled, kept, last = 0, False, fit, np.full(len(problem.anchors), np.nan)
        while not settled and done + length <= most:
            fit, kept, anchors = one_round(
                random.fold_in(key, 1 + done), problem, self.values, self.risk, fit, after, iterations=length, **program
            )
            done += length
            now = np.asarray(anchors)
            settled, last = done >= first and has_settled(last, now, self.tolerance), now
        valued = kept if after is None else after
        misfit = _misfit(random.fold_in(key, 2**30), problem, self.values, self.risk, kept, valued, **program)
        return Settled(kept, done, settled, float(np.nanmean(np.asarray(misfit) ** 2)))


def has_settled(last: NDArray[np.float64], now: NDArray[np.float64], tolerance: float) -> bool:
    """Whether values at the anchors have drifted by little, beside how they differ.

    Parameters
    ----------
    last, now : array [anchor]
    tolerance : float
    """
    return bool(abs((now - last).mean()) <= max(tolerance, SETTLED * now.std()))


def _judged_by(risk: Any) -> Judge:
    return lambda y, anchors, alike: (risk.value(y), ())


def _without_anchors(problem: SimulatedProblem) -> SimulatedProblem:
    """The problem for a judge that asks for no targets at the anchors, so that no steps are simulated from them."""
    return replace(problem, anchors=problem.anchors[:0])


@partial(jax.jit, static_argnames=("approximation", "places", "samples"))
def _round(
    key: Array,
    problem: SimulatedProblem,
    values: Mapping[str, Array],
    risk: Any,
    fit: Any,
    after: Any,
    *,
    iterations: Int[Array, ""],
    approximation: Approximation,
    places: int,
    samples: int,
) -> tuple[Any, Any, Float[Array, " anchor"]]:
    """Some iterations from a fit on, the mean of the fits where that is one, and its values at the anchors.

    How many is no part of the program: it hangs on the discount, and the model takes half a minute to compile.
    """
    problem, after = jax.tree.map(jnp.asarray, (problem, after))
    unwatched = _without_anchors(problem)
    averages = getattr(approximation, "averages", False)

    def iterate(i: Int[Array, ""], carry: tuple[Any, Any]) -> tuple[Any, Any]:
        fit, total = carry
        fit, _ = fitted_q_iteration(
            random.fold_in(key, i),
            unwatched,
            problem.model,
            values,
            fit,
            _judged_by(risk),
            approximation=approximation,
            iterations=1,
            places=places,
            samples=samples,
            after=after,
        )
        return fit, jax.tree.map(jnp.add, total, fit) if averages else fit

    start = jax.tree.map(jnp.zeros_like, fit) if averages else fit
    fit, total = lax.fori_loop(0, iterations, iterate, (fit, start))
    kept = jax.tree.map(lambda leaf: leaf / iterations, total) if averages else total
    return fit, kept, _best_at_anchors(problem, kept, approximation=approximation)


def _round_on_host(
    key: Array,
    problem: SimulatedProblem,
    values: Mapping[str, Array],
    risk: Any,
    fit: Any,
    after: Any,
    *,
    approximation: Approximation,
    iterations: int,
    places: int,
    samples: int,
) -> tuple[Any, Any, Float[Array, " anchor"]]:
    """The same as `_round`, of an approximation that is fitted between compiled programs."""
    for own in random.split(key, iterations):
        features, target = _targets_of(
            own,
            problem,
            values,
            risk,
            fit if after is None else after,
            approximation=approximation,
            places=places,
            samples=samples,
        )
        fit = approximation.improve(fit, features, target)
    return fit, fit, _best_at_anchors(problem, fit, approximation=approximation)


@partial(jax.jit, static_argnames=("approximation", "places", "samples"))
def _targets_of(
    key: Array,
    problem: SimulatedProblem,
    values: Mapping[str, Array],
    risk: Any,
    fit: Any,
    *,
    approximation: Approximation,
    places: int,
    samples: int,
) -> tuple[Float[Array, "place feature"], Float[Array, "place action"]]:
    """Features and targets of one iteration."""
    problem = _without_anchors(jax.tree.map(jnp.asarray, problem))
    at, target, _ = drawn_targets(
        key,
        problem,
        problem.model,
        values,
        jax.tree.map(jnp.asarray, fit),
        _judged_by(risk),
        approximation=approximation,
        places=places,
        samples=samples,
    )
    return problem.features(at), target


@partial(jax.jit, static_argnames="approximation")
def _best_at_anchors(problem: SimulatedProblem, fit: Any, *, approximation: Approximation) -> Float[Array, " anchor"]:
    problem = jax.tree.map(jnp.asarray, problem)
    q = approximation.value(fit, problem.features(problem.anchors))
    return problem.allowed(q, problem.anchors).max(-1)


@partial(jax.jit, static_argnames=("approximation", "places", "samples"))
def _misfit(
    key: Array,
    problem: SimulatedProblem,
    values: Mapping[str, Array],
    risk: Any,
    fit: Any,
    after: Any,
    *,
    approximation: Approximation,
    places: int,
    samples: int,
) -> Float[Array, "place action"]:
    """Targets, by the fit that values next states, less what Q says there, at places that were not fitted."""
    problem = jax.tree.map(jnp.asarray, problem)
    place_key, target_key = random.split(key)
    low, high = problem.low, problem.high
    at = low + (high - low) * random.uniform(place_key, (places, len(low)))
    counts = problem.allowed(problem.continues(at)[:, None], at) > 0
    value: Callable[[Array], Array] = lambda state: approximation.value(after, problem.features(state))  # noqa: E731
    ahead = worth_ahead(approximation, after, problem)
    y = simulated_targets(target_key, problem, problem.model, values, at, value, samples, ahead)
    bounds = problem.value_range
    return jnp.where(
        counts, risk.value(jnp.clip(y, bounds[0], bounds[1])) - approximation.value(fit, problem.features(at)), jnp.nan
    )
