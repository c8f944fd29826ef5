"""AQ-BRMDP: quantile Bayesian-risk planning whose level adapts to the stage of learning and to each pair's visits.

Song, Wang and Zhou (2026), section 3. At pseudo-episode k, with visits n(s, a) so far,

    m(s, a) = max(n(s, a), 1),   r(s, a) = m(s, a) / mean(m),   lambda_k = scale / k^decay,   decay = 1/2,
    level_k(s, a) = max(floor, 1 - lambda_k f(r(s, a))),   f(r) = 1 - sensitivity + sensitivity r,

so planning starts pessimistic (at the floor) and grows optimistic as k grows, soonest for the pairs visited least. The
quantile Bayesian-risk MDP with these levels is solved on posterior draws and its greedy policy followed for the
pseudo-episode, as in `brmdp`.

The visit factor f is a reading: its formula cannot be recovered from the text, but the proof of Lemma 1 ends in an
equality that needs the factors of all pairs to sum to their number. The mixture does so at every sensitivity (kappa).
The power ``f(r) = r^sensitivity``, ``visit_factor="power"``, sums to at most that, by Jensen's inequality; it was this
agent's reading before.

What the text leaves open besides and is chosen here: m = max(n, 1) rather than n + 1; its mean over the pairs that can
be taken (not those of terminal states); the normalisation of `scale` (C). The defaults of `scale` and `sensitivity` are
those of the study ``river-schedule``, which says how they were found. That `decay` may differ from 1/2 is ours: with 0
levels do not rise with time, with `sensitivity` 0 they do not tell pairs apart, with both the agent is `brmdp` at level
1 - scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Bool, Float, Num

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.planning import pseudo_episode_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Quantile, quantile_budget
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.posterior.beliefs.exact import draw_rule
from bayesmdp.problems.problem import Problem

__all__ = ["adaptive_level", "aq_brmdp", "level_of"]


def aq_brmdp(
    prior: Model,
    *,
    scale: float = 1.0,
    sensitivity: float = 0.25,
    floor: float = 0.1,
    decay: float = 0.5,
    visit_factor: Literal["mixture", "power"] = "mixture",
    num_draws: int = 200,
    draw_scale: float = 68.0,
    draws: Literal["fresh", "renewed", "kept"] = "fresh",
    share: float = 0.1,
) -> Agent:
    """Plan for a quantile of the posterior whose level adapts to the stage of learning and to visits (AQ-BRMDP).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site
    scale : float, positive
        C of the schedule: larger stays cautious for longer.
    sensitivity : float in [0, 1]
        kappa: how strongly a pair's relative visits move its level.
    floor : float in (0, 1)
        The lowest level: the robustness asked for.
    decay : float, at least 0
        How fast levels rise with the number of the pseudo-episode.
    visit_factor : {"mixture", "power"}
        What relative visits r count: ``1 - kappa + kappa r``, or ``r^kappa``; see the module.
    num_draws, draw_scale, draws, share
        As for `brmdp`; a pair whose budget exceeds `num_draws` uses all of them.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.aq_brmdp(dirichlet_transitions(river, concentration=1 / 6), floor=0.2)
    >>> agent.describe()["floor"]
    0.2
    """
    options = {
        "scale": number("scale", scale, above=0),
        "sensitivity": number("sensitivity", sensitivity, minimum=0, maximum=1),
        "floor": number("floor", floor, above=0, below=1),
        "decay": number("decay", decay, minimum=0),
        "draw_scale": number("draw_scale", draw_scale, above=0),
    }
    rule = draw_rule(num_draws, draws, share)
    static = {"visit_factor": check_visit_factor(visit_factor), **rule}
    return Agent("aq-brmdp", _ScheduleRules(visit_factor), lambda mdp: make_belief(prior, mdp, **rule), options, static)


type VisitFactor = Callable[[Array, Array | float], Array]


def mixture(relative: Num[Array, "*pair"], sensitivity: Array | float) -> Float[Array, "*pair"]:
    """The visit factor whose mean over pairs is exactly 1."""
    return 1 - sensitivity + sensitivity * relative


def power(relative: Num[Array, "*pair"], sensitivity: Array | float) -> Float[Array, "*pair"]:
    """The visit factor whose mean over pairs is at most 1, and 1 where all were tried equally often."""
    return relative**sensitivity


VISIT_FACTORS: Mapping[str, VisitFactor] = {"mixture": mixture, "power": power}
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
    """Return the levels of all pairs at a pseudo-episode, by the schedule of the module.

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
    return level_of(period, relative, **schedule, visit_factor=VISIT_FACTORS[visit_factor])


def level_of(
    period: Array | float,
    relative: Num[Array, "*pair"],
    *,
    scale: Array | float,
    sensitivity: Array | float,
    floor: Array | float,
    decay: Array | float = 0.5,
    visit_factor: VisitFactor = mixture,
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
    visit_factor : function of (relative, sensitivity)
        f, one of `VISIT_FACTORS`.

    Returns
    -------
    array [...]
    """
    return jnp.maximum(floor, 1 - scale / period**decay * visit_factor(relative, sensitivity))


@dataclass(frozen=True)
class _ScheduleRules:
    visit_factor: str

    def __call__(self, belief: Belief, problem: Problem, options: Options) -> Rules:
        live = problem.available & (problem.continuation > 0)[:, None]

        def risk(period: Float[Array, ""], visits: Float[Array, "state action"], options: Options) -> Quantile:
            schedule = {name: options[name] for name in ("scale", "sensitivity", "floor", "decay")}
            level = adaptive_level(period, visits, **schedule, live=live, visit_factor=self.visit_factor)
            return Quantile(level, num_draws=quantile_budget(level, options["draw_scale"]))

        return pseudo_episode_rules(belief, problem, options, risk)
