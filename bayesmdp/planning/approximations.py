"""What Q is fitted with on spaces of numbers: linear in features, two linear fits, or a network.

Each is a family of functions of features that starts from where its last fit left it. The maximum of noisy fits is too
high on average: `DoubleQ` has two, each from half of the places, and lets one choose the action that the other values.
Trees and neighbours, which are fitted outside of compiled programs, are in
:mod:`~bayesmdp.planning.trees_and_neighbours`.
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

__all__ = ["APPROXIMATIONS", "Approximation", "DoubleQ", "LinearQ", "NeuralQ", "approximation"]


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
        """Return Q-values [..., action], features times weights; to 32 bits where features have no more."""
        bits = jnp.float32 if features.dtype == jnp.float32 else fit.dtype
        return (features @ fit.astype(bits)).astype(fit.dtype)

    def improve(
        self,
        fit: Float[Array, "feature action"],
        features: Num[Array, "place feature"],
        target: Float[Array, "place action"],
    ) -> Float[Array, "feature action"]:
        """Return the weights after one ridge regression of what the last ones leave unexplained."""
        features = features.astype(fit.dtype)
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
