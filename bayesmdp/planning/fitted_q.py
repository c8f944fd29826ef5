"""Fitted Q iteration: planning on a space of numbers, by simulation from draws of a posterior.

Each iteration picks places at random, simulates for every action there and every draw m of the unknowns some next
states s', and regresses Q on

    target(s, a) = judge over m of  y_m(s, a),    y_m(s, a) = mean over s' of  r(s, a, s') + discount max_a' Q(s', a'),

clipped to what values can be. Over a number of steps there is a fit for each stage: targets then count the fit of the
stage after, and after the last step nothing. Judging by the mean of one draw is posterior sampling; by a quantile over
many it is quantile Bayesian-risk planning (Song, Wang and Zhou, 2026, section EC.7.7). Approximations of Q
(:mod:`~bayesmdp.planning.approximations`) start from where the last plan left them.

All draws are given the same random numbers. Independent ones would add their spread, which does not shrink with data,
to that of the y_m over m, which does; quantiles, and levels that adapt to that spread, would look at the simulation's
noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Float

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.approximations import Approximation
from bayesmdp.problems.simulated_problem import SimulatedProblem, simulate_steps

__all__ = [
    "acted_in",
    "drawn_targets",
    "fitted_q_iteration",
    "simulated_targets",
    "worth_ahead",
]


type Judge = Callable[[Array, Array, Array], tuple[Array, Any]]
"""``judge(y [draw, place, action], y at the anchors [draw, anchor, action], alike [place]) -> (target, account)``."""


def worth_ahead(approximation: Approximation, fit: Any, problem: SimulatedProblem) -> Callable[[Array], Array] | None:
    """Return what says in targets what states are worth; None for the largest Q-value.

    Parameters
    ----------
    approximation : Approximation
        With a method ``ahead(fit, features, allowed)`` if it has a rule of its own, as `DoubleQ` has.
    fit : pytree
    problem : SimulatedProblem
    """
    rule: Any = getattr(approximation, "ahead", None)
    if rule is None:
        return None
    return lambda state: rule(fit, problem.features(state), lambda q: problem.allowed(q, state))


def simulated_targets(
    key: Array,
    problem: SimulatedProblem,
    model: Callable[[Any], Any],
    values: Mapping[str, Array],
    places: Float[Array, "place coordinate"],
    value: Callable[[Array], Array],
    samples: int,
    ahead: Callable[[Array], Array] | None = None,
) -> Float[Array, "draw place action"]:
    """Return expected targets y under each draw of the unknowns, all with the same random numbers.

    Parameters
    ----------
    values : mapping of site to array [draw, ...]
    places : array [place, coordinate]
    value : callable
        Q-values [..., action] of states [..., coordinate].
    samples : int
        Next states of each pair and draw.
    ahead : callable, optional
        What next states are worth [...], if not their largest Q-value.

    Returns
    -------
    array [draw, place, action]
    """
    actions = problem.num_actions
    state = jnp.repeat(places, actions * samples, 0)
    action = jnp.tile(jnp.repeat(jnp.arange(actions), samples), len(places))

    def under(values: Mapping[str, Array]) -> Array:
        following, reward, goes_on = simulate_steps(problem, model, key, values, state, action)
        future = problem.allowed(value(following), following).max(-1) if ahead is None else ahead(following)
        worth = reward + problem.discount_ahead * goes_on * future
        return worth.reshape(len(places), actions, samples).mean(-1)

    if not values:  # nothing is unknown
        return under(values)[None]
    # One draw after the other: all at once their values take some hundred times the room of a cache.
    return lax.map(under, values)


def fitted_q_iteration(
    key: Array,
    problem: SimulatedProblem,
    model: Callable[[Any], Any],
    values: Mapping[str, Array],
    fit: Any,
    judge: Judge,
    *,
    approximation: Approximation,
    iterations: int,
    places: int,
    samples: int,
    after: Any = None,
    averaged: int = 1,
) -> tuple[Any, Any]:
    """Return the fit after some iterations, and the judge's account of the last.

    Parameters
    ----------
    model : NumPyro function of `Records`
        What next states are simulated with.
    values : mapping of site to array [draw, ...]
    fit : pytree
        From ``approximation.init`` or an earlier plan.
    judge : callable
        See the module.
    approximation, iterations, places, samples
        Static; `places` and next states a pair and draw of each iteration.
    after : pytree, optional
        The fit by which next states are valued, where that is another one: of the stage after.
    averaged : int
        Static; how many of the last iterations' fits are averaged, where the approximation allows it.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room, q = bm.environments.thermostat(), bm.planning.LinearQ()
    >>> drawn = {name: jnp.asarray(value)[None] for name, value in room.truth.items()}
    >>> fit = q.init(random.key(0), room.problem.features(room.problem.start).shape[-1], room.num_actions)
    >>> fit, _ = fitted_q_iteration(
    ...     random.key(1),
    ...     room.problem,
    ...     room.model,
    ...     drawn,
    ...     fit,
    ...     lambda target, anchors, alike: (target[0], None),  # one draw, whose targets are taken as they are
    ...     approximation=q,
    ...     iterations=3,
    ...     places=32,
    ...     samples=2,
    ... )
    >>> q.value(fit, room.problem.features(room.problem.start)).shape
    (3,)
    """

    def iterate(fit: Any, key: Array) -> tuple[Any, Any]:
        valued = fit if after is None else after
        drawn_places, target, account = drawn_targets(
            key, problem, model, values, valued, judge, approximation=approximation, places=places, samples=samples
        )
        fit = approximation.improve(fit, problem.features(drawn_places), target)
        return fit, (account, fit if averaged > 1 else None)

    fit, (account, fits) = lax.scan(iterate, fit, random.split(key, iterations))
    if averaged > 1:  # the last fit alone is as noisy as its places
        fit = jax.tree.map(lambda leaf: leaf[-averaged:].mean(0), fits)
    return fit, jax.tree.map(lambda leaf: leaf[-1], account)


def drawn_targets(
    key: Array,
    problem: SimulatedProblem,
    model: Callable[[Any], Any],
    values: Mapping[str, Array],
    fit: Any,
    judge: Judge,
    *,
    approximation: Approximation,
    places: int,
    samples: int,
) -> tuple[Float[Array, "place coordinate"], Float[Array, "place action"], Any]:
    """Draw the places of one iteration, and return what Q is to be there.

    Parameters
    ----------
    key, problem, model, values, judge, approximation, places, samples
        As for `fitted_q_iteration`.
    fit : pytree
        By which next states are valued.

    Returns
    -------
    places : array [place, coordinate]
    target : array [place, action]
    account : Any
        The judge's.
    """
    low, high = jnp.asarray(problem.low), jnp.asarray(problem.high)
    bounds, anchors = jnp.asarray(problem.value_range), jnp.asarray(problem.anchors)
    place_key, next_state_key = random.split(key)
    drawn_places = low + (high - low) * random.uniform(place_key, (places, len(low)))
    if problem.terminal is not None:
        drawn_places = acted_in(random.fold_in(key, 2), problem, drawn_places)

    def value(state: Array) -> Array:
        return approximation.value(fit, problem.features(state))

    ahead = worth_ahead(approximation, fit, problem)
    y = simulated_targets(
        next_state_key, problem, model, values, jnp.concatenate([drawn_places, anchors]), value, samples, ahead
    )
    y = jnp.clip(y, bounds[0], bounds[1])
    target, account = judge(y[:, :places], y[:, places:], problem.alike(drawn_places))
    return drawn_places, target, account


def acted_in(
    key: Array, problem: SimulatedProblem, places: Float[Array, "place coordinate"]
) -> Float[Array, "place coordinate"]:
    """Put others of the places, drawn at random, where terminal ones are: nobody acts in those.

    Parameters
    ----------
    key : key
    problem : SimulatedProblem
    places : array [place, coordinate]
    """
    goes_on = problem.continues(places)
    others = random.categorical(key, jnp.log(goes_on), shape=goes_on.shape)
    return jnp.where(goes_on[:, None] > 0, places, places[others])
