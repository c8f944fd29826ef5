"""Quantile Bayesian-risk planning at levels that the posterior's own spread sets: nothing to tune. Ours.

AQ-BRMDP (:mod:`bayesmdp.agents.aq_brmdp`) lets its level rise with time and fall with a pair's visits, by two numbers,
C and kappa, that have to be tuned. Here both are read off the posterior. The *doubt* of a pair is the root of the share
that not knowing its row has in the variance of its next state,

    d(s, a) = sqrt(sum_s' Var p(s') / sum_s' m(s') (1 - m(s'))),    m = E p,

the square of which is 1 / (alpha + n + 1) for a Dirichlet row of total concentration alpha after n visits: near 1 where
nothing is known, falling as 1 / sqrt(n), and 0 where a row is known. With D its mean over the pairs that can be taken,

    level(s, a) = max(floor, 1 - D),    or, relative to other pairs,    max(floor, 1 - D D / d(s, a)),

so that planning starts cautious and grows optimistic as doubt falls on the whole, and, with `relative`, soonest for the
pairs that are doubted most: D stands where AQ-BRMDP has C / sqrt(k), and D / d where it has its visit factor. Moments
are those of the draws that are planned for. In the study ``doubt-levels`` it does not replace AQ-BRMDP: where caution
keeps pairs from being tried, their doubt does not fall and caution does not end (RiverSwim-10, Chain).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.periods import pseudo_episode
from bayesmdp.agents.families.planning import Decision, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import Quantile, believed_draws, quantile_budget
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.posterior.beliefs.exact import draw_rule
from bayesmdp.problems.problem import Problem

__all__ = ["doubt_brmdp", "doubt_of"]

LEAST = 1e-6
"""Doubt below which a pair counts as known."""


def doubt_brmdp(
    prior: Model, *, relative: bool = True, floor: float = 0.1, num_draws: int = 200, draw_scale: float = 68.0
) -> Agent:
    """Plan for a quantile of the posterior whose level the posterior's own spread sets.

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site
    relative : bool
        Whether pairs that are doubted more than others have higher levels.
    floor : float in (0, 1)
        The lowest level: the robustness asked for.
    num_draws, draw_scale
        As for `brmdp`.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* As AQ-BRMDP, where nothing should be tuned: its levels come from the posterior's spread.

    *When not.* Where a tuned constant level or schedule is known; the study ``doubt-levels`` compares them.

    *Cost.* As of `brmdp`: a quantile plan over `num_draws` draws each pseudo-episode.

    It reports ``level``, that of the pair in this period; ``doubt``, D; and ``short``, as `aq_brmdp` does.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> agent = bm.agents.doubt_brmdp(bm.models.dirichlet_transitions(river, concentration=1 / 6))
    >>> doubt = bm.simulate(river, {"doubt": agent}, steps=300, replicates=2)["doubt"].isel(agent=0)
    >>> bool((doubt.isel(step=-1) < doubt.isel(step=0)).all())
    True
    """
    options = {
        "floor": number("floor", floor, above=0, below=1),
        "draw_scale": number("draw_scale", draw_scale, above=0),
        "relative": float(bool(relative)),
    }
    rule = draw_rule(num_draws, "fresh", 0.1)
    return Agent("doubt-brmdp", _rules, lambda mdp: make_belief(prior, mdp, **rule), options, {"num_draws": num_draws})


def doubt_of(draws: Float[Array, "draw *pair outcome"]) -> Float[Array, "*pair"]:
    """Return the doubt d of each pair.

    Parameters
    ----------
    draws : array [draw, ..., outcome]
        Rows drawn from the posterior.

    Returns
    -------
    array [...]
        From 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> doubt_of(np.array([[[1.0, 0.0]], [[0.0, 1.0]]])).tolist(), doubt_of(np.array([[[0.5, 0.5]]] * 2)).tolist()
    ([1.0], [0.0])
    """
    mean, variance = jnp.mean(draws, 0), jnp.var(draws, 0)
    whole = jnp.sum(mean * (1 - mean), -1)
    return jnp.where(whole > LEAST**2, jnp.sqrt(variance.sum(-1) / jnp.where(whole > LEAST**2, whole, 1)), 0)


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    live = problem.available & (problem.continuation > 0)[:, None]

    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        believed, sites = belief.draw(key, state)
        draws = believed_draws(sites, problem)
        doubt = doubt_of(draws.transition)
        mean = jnp.mean(doubt, where=live)
        # 1 - D (D / d)^relative.
        factor = jnp.where(options["relative"] > 0, mean / jnp.maximum(doubt, LEAST), 1)
        level = jnp.maximum(options["floor"], 1 - mean * factor)
        # A level of 1 is the largest draw, which no number of draws tells.
        level = jnp.minimum(level, 1 - 1 / draws.transition.shape[0])
        budget = quantile_budget(level, options["draw_scale"])
        account = {"level": level, "doubt": mean, "short": jnp.mean(budget > draws.transition.shape[0], dtype=float)}
        return Decision(believed, draws, Quantile(level, num_draws=budget), account)

    return planning_rules(belief, problem, prepare, pseudo_episode(problem))
