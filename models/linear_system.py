"""A linear system of unknown matrices: next states are linear in the state and in one control.

    drift[j, i]   ~ Normal(0, scale),     push[i] ~ Normal(0, scale)
    next_state[i] ~ Normal(state[i] + sum_j state[j] drift[j, i] + push[i] control[a], noise[i])

The drift is the change that the state makes by itself. The noise is known, so that the posterior is Normal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, freeze, frozen_numbers, thaw
from .linear_dynamics import box_of

__all__ = ["linear_system", "system_model"]


def linear_system(mdp: Any, *, scale: float = 1.0, noise: ArrayLike = 0.05) -> Callable[[Any], None]:
    """A linear system whose drift and push are unknown, with known noise.

    Parameters
    ----------
    mdp
        Read for `problem.low`, `num_actions` and `actions`, which are the numbers of the control, as
        `linear_quadratic` has them.
    scale : float, positive
        Standard deviation of the entries of both.
    noise : float, or array [coordinate]
        Known standard deviation of the next state; positive.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``drift`` [from, to] and ``push``
    [to]

    Raises
    ------
    TypeError, ValueError
        If there is no box, an action is no number, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> cart = bm.environments.linear_quadratic()
    >>> posterior = bm.infer(linear_system(cart), bm.collect(cart, steps=300, seed=0), mdp=cart, draws=100)
    >>> posterior.attrs["engine"], posterior.posterior["push"].mean(("chain", "draw")).round(1).values.tolist()
    ('exact', [0.0, 0.2])
    """
    low, _, actions = box_of(mdp)
    size = len(thaw(low))
    control = frozen_numbers("actions", np.asarray(mdp.actions), (actions,), positive=False, axes="[action]")
    return system_model(
        control, freeze(np.zeros(size)), frozen_numbers("scale", scale, ()), frozen_numbers("noise", noise, (size,))
    )


@lru_cache(maxsize=64)
def system_model(control: Frozen, like: Frozen, scale: Frozen, noise: Frozen) -> Callable[[Any], None]:
    """Make the model; see the module.

    Parameters
    ----------
    control : array [action]
    like : array [coordinate]
        A state, for its size.
    scale : float
    noise : array [coordinate]
    """
    coordinates = len(thaw(like))

    def model(data: Any) -> None:
        with numpyro.plate("to", coordinates, dim=-1):
            push = numpyro.sample("push", dist.Normal(0, thaw(scale)))
            with numpyro.plate("from", coordinates, dim=-2):
                drift = numpyro.sample("drift", dist.Normal(0, thaw(scale)))
        state = jnp.asarray(data.state)
        after = state + state @ drift + push * jnp.asarray(thaw(control))[data.action][:, None]
        with data.rows():
            numpyro.sample("next_state", dist.Normal(after, thaw(noise)).to_event(1), obs=data.next_state)

    model.__name__ = "linear_system"
    return model
