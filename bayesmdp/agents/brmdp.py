"""Bayesian-risk MDP at a fixed level: plan for one quantile of the posterior.

At the start of each pseudo-episode the quantile Bayesian-risk Bellman equation

    V(s) = max_a  quantile_level over the posterior of  sum_s' p(s' | s, a) (r + discount V(s'))

is solved on N posterior draws and its greedy policy followed until the next. A level below 1/2 is pessimistic about
what is not known, a level above it optimistic. Song, Wang and Zhou (2026), section 2.1 and EC.7.1; the baselines
BRMDP-0.1, BRMDP-0.3 and BRMDP-0.5 of their experiments.

Each pair uses the first ``N(level) = ceil(draw_scale * level (1 - level) / pdf(z_level)^2)`` draws, at most `num_draws`
(their EC.23; the scale and the cap are ours: the paper's numbers are not recoverable).

Without a discount, which the paper does not have, the plan is for the largest gain J of the same operator,

    J + h(s) = max_a  quantile_level over the posterior of  r + sum_s' p(s' | s, a) h(s'),

and a period ends when a pair's visits have doubled, as with `psrl`.
"""

from __future__ import annotations

from typing import Literal

from bayesmdp.agents.agent import Agent
from bayesmdp.agents.families.quantile_levels import LevelRules, constant_level
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import make_belief
from bayesmdp.posterior.beliefs.exact import draw_rule

__all__ = ["brmdp"]


def brmdp(
    prior: Model,
    *,
    level: float = 0.5,
    num_draws: int = 200,
    draw_scale: float = 68.0,
    draws: Literal["fresh", "renewed", "kept", "weighted", "changed", "unseen"] = "fresh",
    share: float = 0.1,
) -> Agent:
    """Plan for one quantile of the posterior (BR-MDP).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site
    level : float in (0, 1)
        Quantile of the posterior planned for.
    num_draws : int
        Most posterior draws a pair uses (a shape: changing it compiles again).
    draw_scale : float
        Scale of the budget of draws (see the module): level .5 takes 1.57 times as many, level .1 2.93 times. The
        default makes that 107 and 199.
    draws : {"fresh", "renewed", "kept", "weighted", "changed", "unseen"}
        Fresh posterior draws at each plan, or kept ones of which a `share` is renewed at each plan (an approximation),
        or none is. Draws that are only kept are the posterior's for data gathered regardless of them; an agent's are
        not, so that is for comparisons only (study ``draw-reuse``). The last three keep draws row by row, see
        :mod:`~bayesmdp.posterior.beliefs.held_rows` (study ``draw-weights``).
    share : float in (0, 1]; from 0 for the last three
        Of the draws that are renewed at each plan; of the rows, for the last three.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* To see what a fixed attitude to risk does, or where data come by themselves and nothing need be explored.

    *When not.* At a level below one half where the best states lie beyond what was tried: it may never go there, as on
    RiverSwim.

    *Cost.* A quantile plan over `num_draws` draws each pseudo-episode.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> bm.agents.brmdp(dirichlet_transitions(river), level=0.3).describe()["level"]
    0.3
    """
    level = number("level", level, above=0, below=1)
    draw_scale = number("draw_scale", draw_scale, above=0)
    rule = draw_rule(num_draws, draws, share)
    return Agent(
        "brmdp",
        LevelRules(),
        lambda mdp: make_belief(prior, mdp, **rule),
        constant_level(level) | {"draw_scale": draw_scale},
        rule,
        objectives=("discounted", "average"),
        described={"level": level, "draw_scale": draw_scale},
    )
