"""AQ-BRMDP on a space of numbers: the level adapts to how much the posterior still disagrees about each target.

Song, Wang and Zhou (2026), section EC.7.7. There are no visits to count. What the posterior does not know of a pair is

    u(s, a) = the standard deviation over draws of the expected target,    n(s, a) = 1 / max(u(s, a), least)^2

a pseudo-count, and with the mean of n over the anchors (the cells' middles but the goal's) and all actions

    level_k(s, a) = max(floor, 1 - scale / sqrt(k) f(n(s, a) / mean n)),

f the visit factor of :mod:`~bayesmdp.agents.aq_brmdp`, and 1/2 where all actions are alike.

Ours: `least`, without which targets that no draw disagrees about, such as all before Q has learned anything, would make
the mean; the same random numbers for all draws, see :mod:`~bayesmdp.planning.fitted_q`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Bool, Float

from bayesmdp.agents.agent import Agent, Options
from bayesmdp.agents.families.fitted_q import fitted_agent
from bayesmdp.agents.families.quantile_levels import check_visit_factor, level_of
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Quantile, quantile_budget
from bayesmdp.planning.approximations import Approximation
from bayesmdp.planning.fitted_q import Judge

__all__ = ["fitted_aq_brmdp"]


def fitted_aq_brmdp(
    prior: Model,
    *,
    scale: float = 1.0,
    sensitivity: float = 0.25,
    floor: float = 0.1,
    visit_factor: Literal["mixture", "power"] = "mixture",
    least: float = 0.01,
    num_draws: int = 32,
    draw_scale: float = 10.0,
    approximation: str | Approximation = "neural",
    iterations: int = 20,
    places: int = 64,
    samples: int = 8,
    averaged: int = 1,
    room: int = 5_000,
) -> Agent:
    """Plan for a quantile whose level adapts to what is not known, by fitted Q iteration (AQ-BRMDP).

    Parameters
    ----------
    prior, approximation, iterations, places, samples, averaged, room
        As for `fitted_psrl`.
    scale, sensitivity, floor, visit_factor
        As for `aq_brmdp`.
    least : float, positive
        Disagreements below count as this one.
    num_draws, draw_scale
        As for `fitted_brmdp`.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* As `aq_brmdp`, where states are numbers.

    *When not.* Where plans must be quick, or the dimension is high: places of the fit fill the box of states.

    *Cost.* One fitted Q iteration a pseudo-episode, under `num_draws` draws at once.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> fitted_aq_brmdp(bm.models.slippery_lake(lake), floor=0.2).describe()["floor"]
    0.2
    """
    options = {
        "scale": number("scale", scale, above=0),
        "sensitivity": number("sensitivity", sensitivity, minimum=0, maximum=1),
        "floor": number("floor", floor, above=0, below=1),
        "least": number("least", least, above=0),
        "draw_scale": number("draw_scale", draw_scale, above=0),
    }
    return fitted_agent(
        "fitted-aq-brmdp",
        prior,
        _Adapting(check_visit_factor(visit_factor)),
        options,
        chosen={"visit_factor": visit_factor},
        num_draws=num_draws,
        by=approximation,
        iterations=iterations,
        places=places,
        samples=samples,
        averaged=averaged,
        room=room,
    )


@dataclass(frozen=True)
class _Adapting:
    """The judge's maker."""

    visit_factor: str

    def __call__(self, period: Float[Array, ""], options: Options) -> Judge:
        schedule = {name: options[name] for name in ("scale", "sensitivity", "floor")}

        def count(y: Float[Array, "draw place action"]) -> Float[Array, "place action"]:
            # n = 1 / max(u, least)^2, u the standard deviation over draws.
            return 1 / jnp.maximum(y.std(0), options["least"]) ** 2

        def judge(
            y: Float[Array, "draw place action"],
            anchors: Float[Array, "draw anchor action"],
            alike: Bool[Array, " place"],
        ) -> tuple[Float[Array, "place action"], dict[str, Float[Array, ""]]]:
            # level = max(floor, 1 - scale / sqrt(k) f(n / mean n)); 1/2 where all actions are alike.
            level = level_of(period, count(y) / count(anchors).mean(), **schedule, visit_factor=self.visit_factor)
            level = jnp.where(alike[:, None], 0.5, level)
            risk = Quantile(level, num_draws=quantile_budget(level, options["draw_scale"]))
            short = jnp.mean(jnp.asarray(risk.num_draws) > len(y), dtype=float)
            return risk.value(y), {"level": level.mean(), "uncertainty": anchors.std(0).mean(), "short": short}

        return judge
