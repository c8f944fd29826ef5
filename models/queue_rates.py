"""A queue whose arrivals and services are coins of unknown bias.

    arrival             ~ Beta(a, b)
    service[action]     ~ Beta(a, b), independent
    less                = service (1 - arrival)        one served, none arrived; nothing is served from an empty queue
    more                = (1 - service) arrival        a packet that finds no room is lost
    same                the rest: neither, or both

Whether a packet came and went or nothing happened is not seen, so there is no closed form. The outcomes are those of
`bayesmdp.environments.queue`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from .arguments import Sizes, frozen_numbers, pair_sizes, thaw

__all__ = ["queue_rates"]


def queue_rates(
    mdp: Sizes, arrival: tuple[float, float] = (1.0, 1.0), service: tuple[float, float] = (1.0, 1.0)
) -> Callable[[Any], None]:
    """A queue with an unknown rate of arrivals, and one of services for each action.

    Parameters
    ----------
    mdp
        Read for `num_states`, at least 2, `num_actions`, and `num_outcomes`, which are one less, as many, one more.
    arrival, service : two positive floats
        a and b of the Beta priors.

    Returns
    -------
    NumPyro model with the sites ``arrival``, ``service`` [action] and ``transition`` [state, action, outcome]

    Raises
    ------
    ValueError
        If the MDP has not three outcomes, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> line = bm.environments.queue()
    >>> log = bm.collect(line, steps=2_000, seed=0)
    >>> posterior = bm.infer(queue_rates(line), log, mdp=line, method="smc", draws=1_000)
    >>> posterior.posterior["service"].mean(("chain", "draw")).round(1).values.tolist()
    [0.3, 0.8]
    """
    num_states, num_actions = pair_sizes(mdp)
    if num_states < 2 or mdp.num_outcomes != 3:
        raise ValueError(
            "a queue has at least 2 states and the 3 outcomes one less, as many, one more; this MDP has "
            f"{num_states} and {mdp.num_outcomes}"
        )
    numbers = [
        tuple(thaw(frozen_numbers(name, given, (2,), axes="(a, b)")).tolist())
        for name, given in (("arrival", arrival), ("service", service))
    ]
    return _model(num_states, num_actions, *numbers)


@lru_cache(maxsize=64)
def _model(
    num_states: int, num_actions: int, arrivals: tuple[float, float], services: tuple[float, float]
) -> Callable[[Any], None]:
    def model(data: Any) -> None:
        arrival = numpyro.sample("arrival", dist.Beta(*arrivals))
        with numpyro.plate("action", num_actions, dim=-1):
            service = numpyro.sample("service", dist.Beta(*services))
        held = np.arange(num_states)[:, None]
        served = jnp.where(held > 0, service, 0.0)
        less, more = served * (1 - arrival), jnp.where(held < num_states - 1, (1 - served) * arrival, 0.0)
        transition = numpyro.deterministic("transition", jnp.stack([less, 1 - less - more, more], -1))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    model.__name__ = "queue_rates"
    return model
