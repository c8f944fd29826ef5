"""Levels of quantile Bayesian-risk plans, and the agents that plan at them: constant, or by the schedule of AQ-BRMDP.

See :mod:`bayesmdp.agents.aq_brmdp` for the schedule. A constant level is its floor, where nothing lifts the levels
above; so agents of both kinds are one program that reads other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Bool, Float, Num

from bayesmdp.agents.agent import Options, Rules
from bayesmdp.agents.families.planning import quantile_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.planning import Quantile, quantile_budget
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem

__all__ = ["VISIT_FACTORS", "LevelRules", "adaptive_level", "check_visit_factor", "constant_level", "level_of"]


def mixture(relative: Num[Array, "*pair"], sensitivity: Array | float) -> Float[Array, "*pair"]:
    """The visit factor whose mean over pairs is exactly 1."""
    return 1 - sensitivity + sensitivity * relative


def power(relative: Num[Array, "*pair"], sensitivity: Array | float) -> Float[Array, "*pair"]:
    """The visit factor whose mean over pairs is at most 1, and 1 where all were tried equally often."""
    return relative**sensitivity


VISIT_FACTORS: Mapping[str, Callable[[Array, Array | float], Array]] = {"mixture": mixture, "power": power}
"""Readings of how relative visits move a level."""


def check_visit_factor(name: str) -> str:
    """Return the name of a visit factor; a `ValueError` tells the names that there are."""
    if name not in VISIT_FACTORS:
        hint = did_you_mean(name, VISIT_FACTORS)
        raise ValueError(f"visit_factor: there is no {name!r}; {hint}")
    return name


def adaptive_level(
    period: Array | float,
    visits: Num[Array, "state action"],
    *,
    scale: Array | float,
    sensitivity: Array | float,
    floor: Array | float,
    decay: Array | float = 0.5,
    live: Bool[Array, "state action"] | None = None,
    visit_factor: str = "mixture",
) -> Float[Array, "state action"]:
    """Return the levels of all pairs at a pseudo-episode, by the schedule of AQ-BRMDP.

    Parameters
    ----------
    period : float
        k, the number of the pseudo-episode, from 1.
    visits : array [state, action]
        n(s, a) so far.
    scale, sensitivity, floor, decay : float
        As for `aq_brmdp`.
    live : bool array [state, action], optional
        The pairs that can be taken, over which the mean is; all by default.
    visit_factor : {"mixture", "power"}
        f, by name.

    Returns
    -------
    array [state, action]

    Examples
    --------
    >>> import numpy as np
    >>> visits = np.array([[0, 30], [2, 8]])
    >>> adaptive_level(4, visits, scale=1.0, sensitivity=0.5, floor=0.1).round(3).tolist()
    [[0.726, 0.1], [0.701, 0.555]]
    """
    # m = max(n, 1), r = m / mean(m).
    adjusted = jnp.maximum(visits, 1)
    relative = adjusted / jnp.mean(adjusted, where=live)
    schedule = {"scale": scale, "sensitivity": sensitivity, "floor": floor, "decay": decay}
    return level_of(period, relative, **schedule, visit_factor=visit_factor)


def level_of(
    period: Array | float,
    relative: Num[Array, "*pair"],
    *,
    scale: Array | float,
    sensitivity: Array | float,
    floor: Array | float,
    decay: Array | float = 0.5,
    visit_factor: str = "mixture",
) -> Float[Array, "*pair"]:
    """Return level_k = max(floor, 1 - scale / k^decay f(r)) of pairs.

    Parameters
    ----------
    period : float
        k.
    relative : array [...]
        r: how often pairs were tried, in units of the mean over pairs.
    scale, sensitivity, floor, decay : float
        As for `aq_brmdp`.
    visit_factor : {"mixture", "power"}
        f, by name.

    Returns
    -------
    array [...]
    """
    return jnp.maximum(floor, 1 - scale / period**decay * VISIT_FACTORS[visit_factor](relative, sensitivity))


def constant_level(level: float) -> dict[str, float]:
    """Return the schedule's numbers for levels that are `level` at every pair and time."""
    return {"scale": 1.0, "sensitivity": 0.0, "floor": level, "decay": 0.0}


@dataclass(frozen=True)
class LevelRules:
    """The rules of an agent that plans at the schedule's levels.

    Attributes
    ----------
    visit_factor : {"mixture", "power"}
    """

    visit_factor: str = "mixture"

    def __call__(self, belief: Belief, problem: Problem, options: Options) -> Rules:
        live = problem.available & (problem.continuation > 0)[:, None]

        def risk(period: Float[Array, ""], visits: Float[Array, "state action"], options: Options) -> Quantile:
            schedule = {name: options[name] for name in ("scale", "sensitivity", "floor", "decay")}
            level = adaptive_level(period, visits, **schedule, live=live, visit_factor=self.visit_factor)
            return Quantile(level, num_draws=quantile_budget(level, options["draw_scale"]))

        return quantile_rules(belief, problem, options, risk)
