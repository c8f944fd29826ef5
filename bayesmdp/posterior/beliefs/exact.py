"""Beliefs of conjugate models.

They carry how often each possible row was seen, n, the sum of the rewards it brought, and for models that observe
rewards the sum of their squares; with the tables of :mod:`~bayesmdp.posterior.closed_forms.transitions` a draw of a
Dirichlet site is

    p ~ Dirichlet(concentration + sum over rows of n[row] c[row]),

one of another family accordingly (:mod:`~bayesmdp.posterior.closed_forms.families`), and ``transition`` and ``reward``
are whatever the model makes of them. Sums of squares have a price: a precision loses twice as many of its 16 digits as
the mean reward has more than its standard deviation.

*Fresh* draws are independent at every call. *Renewed* draws are kept between calls as Gamma variables g, p = g /
sum(g): since ``Gamma(a + 1) = Gamma(a) + Exp(1)``, a transition changes the entries it adds to and nothing else, and a
call replaces only a share of the draws, in rotation. *Kept* draws are the limit in which none is ever replaced.

For data gathered regardless of the draws, such as a fixed log, kept draws are draws from the posterior. An agent's data
are not: its actions depended on the draws, so a set that happens to be bad may keep it from learning otherwise (a pair
that looks bad in all of them is never tried again). That makes renewal an approximation; the smaller the share, the
faster and the coarser it is. Never replacing draws is wrong for agents; it is offered only as a baseline.

*Weighted*, *changed* and *unseen* draws are kept row by row, see :mod:`~bayesmdp.posterior.beliefs.held_rows`: rows are
weighted for what was seen since they were made, and drawn anew where the weights have become too unequal, where
something was seen, or where nothing was.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.model_reading.model_runs import repeated
from bayesmdp.model_reading.read_model import Model, read_for_agents
from bayesmdp.model_reading.rows import Transitions, all_transitions
from bayesmdp.posterior.beliefs.belief import Belief
from bayesmdp.posterior.beliefs.fresh_draws import FreshDraws
from bayesmdp.posterior.beliefs.held_rows import RULES, HeldRows, check_holdable
from bayesmdp.posterior.beliefs.renewed_draws import RenewedDraws, check_renewable
from bayesmdp.posterior.beliefs.tally import Tally
from bayesmdp.posterior.closed_forms.linear_sites import Linear, linear_in
from bayesmdp.posterior.closed_forms.transitions import Conjugate, find, find_for_any_reward

if TYPE_CHECKING:
    from bayesmdp.models.arguments import Sizes

__all__ = ["draw_rule", "exact_belief"]

DRAWS = ("fresh", "renewed", "kept", *RULES)


def exact_belief(model: Model, mdp: Sizes, num_draws: int, *, draws: str = "fresh", share: float = 0.1) -> Belief:
    """The belief of a conjugate model about an MDP of the given sizes.

    The same arguments give the same functions, so agents that share a prior share its compiled code.

    Parameters
    ----------
    model : NumPyro function of the data
    mdp
        Read for `num_states`, `num_actions` and `num_outcomes`.
    num_draws : int
        Draws a call of `draw` returns.
    draws : {"fresh", "renewed", "kept", "weighted", "changed", "unseen"}
        Kept draws are right for data gathered regardless of them only; see the module.
    share : float in (0, 1], default 0.1
        Of the draws that each call replaces, when renewed; of the rows that each call draws anew regardless of data,
        when weighted, changed or unseen, for which it may be 0.

    Raises
    ------
    NotConjugate
        With the reason.
    ValueError
        If an option or the model's ``transition`` is not as expected, or renewal is asked of a model with unknowns of
        other families than Dirichlet and Beta, or that adds other than whole observations to its concentrations.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> belief = exact_belief(dirichlet_transitions(river), river, 10)
    >>> with jax.enable_x64(True):
    ...     state, sites = belief.draw(jax.random.key(1), belief.init(jax.random.key(0)))
    >>> sites["transition"].shape
    (10, 6, 2, 6)
    """
    draw_rule(num_draws, draws, share)
    return _exact_belief(
        model,
        (int(mdp.num_states), int(mdp.num_actions), int(mdp.num_outcomes)),
        num_draws,
        draws,
        0.0 if draws in ("fresh", "kept") else share,
        "next_state" if getattr(mdp, "successor", None) is None else "outcome",
    )


def draw_rule(num_draws: int, draws: str, share: float) -> dict[str, Any]:
    """Check the options of `exact_belief` that say how draws are made.

    Parameters
    ----------
    num_draws : int
        Draws a call of ``draw`` returns.
    draws : {"fresh", "renewed", "kept", "weighted", "changed", "unseen"}
    share : float in (0, 1], or [0, 1] of draws that are kept row by row
        Of the draws, or the rows, that each call renews.

    Returns
    -------
    dict
    """
    if draws not in DRAWS:
        raise ValueError(f"draws must be one of {', '.join(DRAWS)}; got {draws!r}")
    return {
        "num_draws": integer("num_draws", num_draws, 1),
        "draws": draws,
        "share": number("share", share, **{"minimum" if draws in RULES else "above": 0}, maximum=1),
    }


@lru_cache(maxsize=256)
def _conjugate(model: Model, shape: tuple[int, int, int], outcome: str) -> Conjugate:
    reading = read_for_agents(model, shape, outcome)
    return (find_for_any_reward if reading.rewarded else find)(reading, all_transitions(*shape))


@lru_cache(maxsize=256)
def _exact_belief(
    model: Model, shape: tuple[int, int, int], num_draws: int, draws: str, share: float, outcome: str
) -> Belief:
    conjugate, data = _conjugate(model, shape, outcome), all_transitions(*shape)
    tally = Tally(shape, squares=any(site.coefficient.ndim > 2 for site in conjugate.sites.values()))
    computed = [n for n in ("transition", "reward") if n in conjugate.reading.dims and n not in conjugate.sites]
    by_site = {name: linear_in(name, data, conjugate) for name in computed}
    linear: dict[str, Linear] = {name: site for name, site in by_site.items() if site is not None}
    parts = (conjugate, tally, num_draws, linear, _identity(conjugate, data))
    if draws == "fresh":
        return FreshDraws(*parts).belief()
    if draws in RULES:
        check_holdable(conjugate, draws)
        return HeldRows(*parts, rule=draws, share=share).belief()
    check_renewable(conjugate)
    num_renewed = max(1, math.ceil(share * num_draws - 1e-9)) if draws == "renewed" else 0
    return RenewedDraws(*parts, num_renewed=num_renewed).belief()


def _identity(conjugate: Conjugate, data: Transitions) -> str:
    """A digest of what the posterior is made of: priors, tables, and the kernel at a fixed point."""
    with jax.enable_x64(True):
        kernel = conjugate.reading.run(repeated(data, 1)).values["transition"].astype(float)
    digest = hashlib.sha256(kernel.tobytes())
    for name, site in conjugate.sites.items():
        digest.update((name if site.family.simplex else f"{site.prior.sites}{site.family.name}").encode())
        for table in (site.concentration, site.entry, site.coefficient):
            digest.update(np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()[:16]
