"""Quantile Bayesian-risk planning on a space of numbers, at one level, by fitted Q iteration.

As `brmdp`, with states that are numbers: the target is the quantile over the draws of the expected target under each.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Float

from bayesmdp.agents.agent import Agent, Options
from bayesmdp.agents.families.fitted_q import fitted_agent
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Quantile, quantile_budget
from bayesmdp.planning.approximations import Approximation
from bayesmdp.planning.fitted_q import Judge

__all__ = ["fitted_brmdp"]


def fitted_brmdp(
    prior: Model,
    *,
    level: float = 0.3,
    num_draws: int = 32,
    draw_scale: float = 10.0,
    approximation: str | Approximation = "neural",
    iterations: int = 20,
    places: int = 64,
    samples: int = 8,
    averaged: int = 1,
    room: int = 5_000,
) -> Agent:
    """Plan for one quantile of the posterior on a space of numbers, by fitted Q iteration (BR-MDP).

    Parameters
    ----------
    prior, approximation, iterations, places, samples, averaged, room
        As for `fitted_psrl`.
    level : float in (0, 1)
        Quantile of the posterior planned for.
    num_draws : int
        Draws of the posterior a plan, and the cap on a pair's budget.
    draw_scale : float, positive
        Scale of the budget, EC.23.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* As `fitted_psrl`, for a fixed attitude to risk.

    *When not.* At a low level where what pays was never tried.

    *Cost.* One fitted Q iteration a pseudo-episode, under `num_draws` draws at once.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> fitted_brmdp(bm.models.slippery_lake(lake), level=0.1).describe()["level"]
    0.1
    """
    options = {
        "level": number("level", level, above=0, below=1),
        "draw_scale": number("draw_scale", draw_scale, above=0),
    }
    return fitted_agent(
        "fitted-brmdp",
        prior,
        _judge,
        options,
        num_draws=num_draws,
        by=approximation,
        iterations=iterations,
        places=places,
        samples=samples,
        averaged=averaged,
        room=room,
    )


def _judge(period: Float[Array, ""], options: Options) -> Judge:
    level = jnp.asarray(options["level"])
    risk = Quantile(level, num_draws=quantile_budget(level, options["draw_scale"]))
    return lambda y, anchors, alike: (risk.value(y), {"level": level})
