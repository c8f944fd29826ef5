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
be taken (not those of terminal states); the normalisation of `scale` (C); the defaults of `scale` and `sensitivity`,
which are a setting in which the paper's statements hold as often as in any of the study ``river-schedule``. That
`decay` may differ from 1/2 is ours: with 0 levels do not rise with time, with `sensitivity` 0 they do not tell pairs
apart, with both the agent is `brmdp` at level 1 - scale, where the floor is below. In the study ``levels`` levels that
do not rise (`decay` 0, `scale` .2) lost less regret than the paper's in five of nine problems, beside the visit factor,
and more for certain in none; the default is the paper's.

Without a discount, which the paper does not have, k counts periods that end when a pair's visits have doubled, and the
plan is for the gain, as in `brmdp` (study ``average-levels``).
"""

from __future__ import annotations

from typing import Literal

from bayesmdp.agents.agent import Agent
from bayesmdp.agents.families.quantile_levels import LevelRules, check_visit_factor
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import make_belief
from bayesmdp.posterior.beliefs.exact import draw_rule

__all__ = ["aq_brmdp"]


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
    draws: Literal["fresh", "renewed", "kept", "weighted", "changed", "unseen"] = "fresh",
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

    Notes
    -----
    *When.* Where early plans have to be robust and later ones have to learn: levels start at the floor and rise.

    *When not.* Where nothing is at stake while learning: in the study ``levels`` levels that do not rise lost less
    regret in five of nine problems, and more for certain in none. Where plans must be cheap.

    *Cost.* A quantile plan over `num_draws` draws each pseudo-episode; drawing takes most of the time.

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
    return Agent(
        "aq-brmdp",
        LevelRules(visit_factor),
        lambda mdp: make_belief(prior, mdp, **rule),
        options,
        static,
        objectives=("discounted", "average"),
    )
