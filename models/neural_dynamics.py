"""Unknown dynamics by a small neural network: where a step leads is a layer of bends in the state and the action.

    x              = (u(s), one-hot a)                            u(s) in units of the box, as in `linear_dynamics`
    first[h, i]    ~ Normal(0, bend),    first_bias[h]  ~ Normal(0, bend)
    second[h, k]   ~ Normal(0, scale / root(width)),    second_bias[k] ~ Normal(0, scale)
    precision[k]   ~ Gamma(certainty, certainty noise^2)
    f(x)           = second' tanh(first x + first_bias) + second_bias
    next_state     ~ Normal(s + half f(x), half / root(precision))

For many hidden units the prior of f is a Gaussian process (Neal, 1996). Unlike those of `fourier_dynamics` the bends
are learned, and actions share them. There is no closed form, and hidden units may change places, so that weights mean
nothing by themselves: only what is predicted does. It is inferred by particles or NUTS, at a cost that grows with the
log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, frozen_numbers, thaw
from .linear_dynamics import box_of

__all__ = ["network", "neural_dynamics"]


def neural_dynamics(
    mdp: Any,
    *,
    width: int = 8,
    bend: float = 1.0,
    scale: float = 0.3,
    noise: ArrayLike = 0.05,
    certainty: float = 1.0,
) -> Callable[[Any], None]:
    """Smooth unknown dynamics by a network of one hidden layer, with Normal noise of unknown size.

    Parameters
    ----------
    mdp
        As for `linear_dynamics`.
    width : int
        Hidden units.
    bend : float, positive
        Standard deviation of weights into hidden units: how sharply they bend within the box.
    scale : float, positive
        Of what moves, in half widths of the box: steps have standard deviations of 1 to 1.4 times as much under the
        prior, besides the noise, since what hidden units add comes to the bias.
    noise, certainty
        As for `linear_dynamics`.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``first`` [hidden_below, input],
    ``first_bias`` [hidden], ``second`` [hidden_above, to], ``second_bias`` [to] and ``precision`` [to]

    Raises
    ------
    TypeError, ValueError
        If there is no box, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> neural_dynamics(room, width=4).__name__, neural_dynamics(room) is neural_dynamics(room, width=8)
    ('neural_dynamics', True)
    """
    low, high, actions = box_of(mdp)
    if isinstance(width, bool) or not isinstance(width, int | np.integer) or width < 1:
        raise ValueError(f"width must be an integer of at least 1; got {width!r}")
    size = len(thaw(low))
    return _model(
        low,
        high,
        actions,
        int(width),
        frozen_numbers("bend", bend, ()),
        frozen_numbers("scale", scale, ()),
        frozen_numbers("noise", noise, (size,), axes="[coordinate]"),
        frozen_numbers("certainty", certainty, ()),
    )


def network(x: Any, first: Any, first_bias: Any, second: Any, second_bias: Any) -> Any:
    """Return the outputs of the network.

    Parameters
    ----------
    x : array [..., input]
    first : array [hidden, input]
    first_bias : array [hidden]
    second : array [hidden, to]
    second_bias : array [to]

    Returns
    -------
    array [..., to]
    """
    return jnp.tanh(x @ first.T + first_bias) @ second + second_bias


@lru_cache(maxsize=64)
def _model(
    low: Frozen,
    high: Frozen,
    num_actions: int,
    width: int,
    bend: Frozen,
    scale: Frozen,
    noise: Frozen,
    certainty: Frozen,
) -> Callable[[Any], None]:
    coordinates = len(thaw(low))

    def model(data: Any) -> None:
        corner, half = thaw(low), (thaw(high) - thaw(low)) / 2
        shape, size = thaw(certainty), thaw(noise)
        state = jnp.asarray(data.state)
        x = jnp.concatenate([(state - corner) / half - 1, jax.nn.one_hot(data.action, num_actions)], -1)
        with numpyro.plate("to", coordinates, dim=-1):
            precision = numpyro.sample("precision", dist.Gamma(shape, shape * size**2))
            second_bias = numpyro.sample("second_bias", dist.Normal(0, thaw(scale)))
            with numpyro.plate("hidden_above", width, dim=-2):
                second = numpyro.sample("second", dist.Normal(0, thaw(scale) / np.sqrt(width)))
        with numpyro.plate("hidden", width, dim=-1):
            first_bias = numpyro.sample("first_bias", dist.Normal(0, thaw(bend)))
        # Automatic guides ask that a plate has one place, and that of the biases has the last.
        with numpyro.plate("input", coordinates + num_actions, dim=-1), numpyro.plate("hidden_below", width, dim=-2):
            first = numpyro.sample("first", dist.Normal(0, thaw(bend)))
        moved = network(x, first, first_bias, second, second_bias)
        sd = half / jnp.sqrt(precision)
        with data.rows():
            numpyro.sample("next_state", dist.Normal(state + half * moved, sd).to_event(1), obs=data.next_state)

    model.__name__ = "neural_dynamics"
    return model
