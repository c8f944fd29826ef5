"""Fitted Q iteration: planning on a space of numbers, by simulation from draws of a posterior.

Each iteration picks places at random, simulates for every action there and every draw m of the unknowns some next
states s', and regresses Q on

    target(s, a) = judge over m of  y_m(s, a),    y_m(s, a) = mean over s' of  r(s, a, s') + discount max_a' Q(s', a'),

clipped to what values can be. Over a number of steps there is a fit for each stage: targets then count the fit of the
stage after, and after the last step nothing. Judging by the mean of one draw is posterior sampling; by a quantile over
many it is quantile Bayesian-risk planning (Song, Wang and Zhou, 2026, section EC.7.7). Approximations start from where
the last plan left them.

The maximum of noisy fits is too high on average. `DoubleQ` has two, each from half of the places, and lets one choose
the action that the other values.

All draws are given the same random numbers. Independent ones would add their spread, which does not shrink with data,
to that of the y_m over m, which does; quantiles, and levels that adapt to that spread, would look at the simulation's
noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Float, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.extras import brought_by
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning.trees_and_neighbours import NeighboursQ, TreesQ
from bayesmdp.problems.simulated_problem import SimulatedProblem, simulate_steps

__all__ = [
    "Approximation",
    "DoubleQ",
    "LinearQ",
    "NeuralQ",
    "acted_in",
    "approximation",
    "drawn_targets",
    "fitted_q_iteration",
    "simulated_targets",
    "worth_ahead",
]

type Judge = Callable[[Array, Array, Array], tuple[Array, Any]]
"""``judge(y [draw, place, action], y at the anchors [draw, anchor, action], alike [place]) -> (target, account)``."""


@runtime_checkable
class Approximation(Protocol):
    """A family of functions of features, one value for each action; hashable."""

    def init(self, key: Array, num_features: int, num_actions: int) -> Any:
        """Return a fit before any target: its parameters and what learning them carries along."""
        ...

    def value(self, fit: Any, features: Num[Array, "... feature"]) -> Float[Array, "... action"]:
        """Return Q-values [..., action] at features [..., feature]."""
        ...

    def improve(self, fit: Any, features: Num[Array, "place feature"], target: Float[Array, "place action"]) -> Any:
        """Return the fit after regressing on targets [place, action] at features [place, feature]."""
        ...


@dataclass(frozen=True)
class LinearQ:
    """Q linear in the features: a least-squares step from the last weights, as if those had been seen `ridge` times.

    Attributes
    ----------
    ridge : float, positive
    averages : bool
        Whether the mean of fits has the mean of their values, so that plans may average fits.

    See Also
    --------
    bayesmdp.planning.NeuralQ : where Q bends more than features say.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.agents.fitted_psrl(bm.models.thermostat(), approximation=LinearQ(ridge=1e-4)).algorithm
    'fitted-psrl'
    """

    ridge: float = 1.0
    averages: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number("ridge", self.ridge, above=0)

    def init(self, key: Array, num_features: int, num_actions: int) -> Float[Array, "feature action"]:
        """Return weights [feature, action] of 0."""
        del key
        return jnp.zeros((num_features, num_actions))

    def value(
        self, fit: Float[Array, "feature action"], features: Num[Array, "... feature"]
    ) -> Float[Array, "... action"]:
        """Return Q-values [..., action], features times weights."""
        return features @ fit

    def improve(
        self,
        fit: Float[Array, "feature action"],
        features: Num[Array, "place feature"],
        target: Float[Array, "place action"],
    ) -> Float[Array, "feature action"]:
        """Return the weights after one ridge regression of what the last ones leave unexplained."""
        gram = features.T @ features + self.ridge * jnp.eye(features.shape[-1])
        return fit + jnp.linalg.solve(gram, features.T @ (target - features @ fit))


@dataclass(frozen=True)
class DoubleQ:
    """Two linear fits, from half of the places each, against over-estimation: one chooses, the other values.

    Where targets ask what the next state is worth, each fit's best action is worth what the other says of it, and the
    mean of both is taken (van Hasselt, 2010; that targets have the mean, and the halves, are ours). Errors of two fits
    are independent, so that choosing the largest by one does not choose the other's errors. Q is the mean of both.

    Attributes
    ----------
    ridge : float, positive
        As of `LinearQ`.
    averages : bool
        As of `LinearQ`.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.agents.fitted_psrl(bm.models.thermostat(), approximation=DoubleQ(ridge=1e-4)).algorithm
    'fitted-psrl'
    """

    ridge: float = 1.0
    averages: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number("ridge", self.ridge, above=0)

    def init(self, key: Array, num_features: int, num_actions: int) -> Float[Array, "fit feature action"]:
        """Return weights [fit, feature, action] of 0."""
        del key
        return jnp.zeros((2, num_features, num_actions))

    def value(
        self, fit: Float[Array, "fit feature action"], features: Num[Array, "... feature"]
    ) -> Float[Array, "... action"]:
        """Return the mean of both fits' values [..., action]."""
        return features @ fit.mean(0)

    def ahead(
        self,
        fit: Float[Array, "fit feature action"],
        features: Num[Array, "... feature"],
        allowed: Callable[[Array], Array],
    ) -> Float[Array, "..."]:
        """Return what states are worth in targets [...]; `allowed` puts -inf where an action may not be taken."""
        one, other = features @ fit[0], features @ fit[1]

        def valued(q: Array, by: Array) -> Array:
            best = jnp.argmax(allowed(by), -1)
            return jnp.take_along_axis(q, best[..., None], -1)[..., 0]

        return (valued(one, other) + valued(other, one)) / 2

    def improve(
        self,
        fit: Float[Array, "fit feature action"],
        features: Num[Array, "place feature"],
        target: Float[Array, "place action"],
    ) -> Float[Array, "fit feature action"]:
        """Return both fits after a ridge regression, each on every other place."""
        linear = LinearQ(self.ridge)
        return jnp.stack([linear.improve(fit[i], features[i::2], target[i::2]) for i in range(2)])


@dataclass(frozen=True)
class NeuralQ:
    """Q by a network of two hidden layers with ReLUs, in 32 bits, trained with Adam.

    Attributes
    ----------
    width : int
        Of each hidden layer.
    rate : float, positive
        Adam's learning rate.
    gradient_steps : int
        On the targets of one iteration.

    See Also
    --------
    bayesmdp.planning.LinearQ : quick, and a least-squares problem.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.agents.fitted_psrl(bm.models.thermostat(), approximation=NeuralQ(width=32)).algorithm
    'fitted-psrl'
    """

    width: int = 64
    rate: float = 1e-3
    gradient_steps: int = 20

    def __post_init__(self) -> None:
        integer("width", self.width, 1)
        number("rate", self.rate, above=0)
        integer("gradient_steps", self.gradient_steps, 1)

    def _network(self, key: Array, num_features: int, num_actions: int) -> Any:
        with brought_by("neural"):
            import equinox as eqx

        return eqx.nn.MLP(num_features, num_actions, self.width, 2, dtype=jnp.float32, key=key)

    def init(self, key: Array, num_features: int, num_actions: int) -> Any:
        """Return random weights and Adam's moments for them."""
        with brought_by("neural"):
            import equinox as eqx

        weights = eqx.filter(self._network(key, num_features, num_actions), eqx.is_array)
        return weights, self._adam().init(weights)

    def _adam(self) -> Any:
        with brought_by("neural"):
            import optax

        return optax.adam(self.rate)

    def value(self, fit: Any, features: Num[Array, "... feature"]) -> Float[Array, "... action"]:
        """Return the network's outputs [..., action]."""
        with brought_by("neural"):
            import equinox as eqx

        shape = fit[0].layers[0].weight.shape[1], fit[0].layers[-1].weight.shape[0]
        still = eqx.filter_eval_shape(self._network, random.key(0), *shape)
        network = eqx.combine(fit[0], eqx.filter(still, lambda leaf: not isinstance(leaf, jax.ShapeDtypeStruct)))
        flat = features.reshape(-1, features.shape[-1]).astype(jnp.float32)
        return jax.vmap(network)(flat).reshape(*features.shape[:-1], -1)

    def improve(self, fit: Any, features: Num[Array, "place feature"], target: Float[Array, "place action"]) -> Any:
        """Return the fit after `gradient_steps` of Adam on the mean squared error."""
        with brought_by("neural"):
            import optax

        adam, wanted = self._adam(), target.astype(jnp.float32)

        def loss(weights: Any) -> Float[Array, ""]:
            return jnp.mean((self.value((weights, None), features) - wanted) ** 2)

        def step(fit: Any, _: None) -> tuple[Any, None]:
            weights, moments = fit
            updates, moments = adam.update(jax.grad(loss)(weights), moments)
            return (optax.apply_updates(weights, updates), moments), None

        return lax.scan(step, fit, None, length=self.gradient_steps)[0]


APPROXIMATIONS: Mapping[str, Approximation] = {
    "neural": NeuralQ(),
    "linear": LinearQ(),
    "double": DoubleQ(),
    "trees": TreesQ(),
    "neighbours": NeighboursQ(),
}


def approximation(given: str | Approximation) -> Approximation:
    """Return an approximation by its name, one of `APPROXIMATIONS`, or as it is.

    Raises
    ------
    TypeError, ValueError
        For another name, or what is none.

    Examples
    --------
    >>> approximation("linear")
    LinearQ(ridge=1.0)
    """
    if not isinstance(given, str):
        if isinstance(given, type) or not isinstance(given, Approximation):
            raise TypeError(f"approximation must be 'neural', 'linear' or made, as LinearQ() is; got {given!r}")
        return given
    if given not in APPROXIMATIONS:
        raise ValueError(f"approximation must be one of {', '.join(APPROXIMATIONS)}, or made; got {given!r}")
    return APPROXIMATIONS[given]


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

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room, q = bm.environments.thermostat(), LinearQ()
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
        return approximation.improve(fit, problem.features(drawn_places), target), account

    fit, account = lax.scan(iterate, fit, random.split(key, iterations))
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
