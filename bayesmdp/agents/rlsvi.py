"""Randomised least-squares value iteration (RLSVI): Thompson sampling of Q-functions that nothing is known of.

:mod:`~bayesmdp.agents.tsrl` with prior Normal(0, I / ridge) on every stage's weights. Osband, Van Roy and Wen (2016),
whose lambda and sigma are `ridge` and `noise`.
"""

from __future__ import annotations

from bayesmdp.agents.agent import Agent
from bayesmdp.agents.families.linear_q import linear_q_agent
from bayesmdp.foundation.validation import number
from bayesmdp.models import gaussian_q

__all__ = ["rlsvi"]


def rlsvi(*, ridge: float = 0.2, noise: float = 0.001**0.5, episodes: int | None = None) -> Agent:
    """Draw Q-functions from a regression on features, under a prior that knows nothing (RLSVI).

    Parameters
    ----------
    ridge : float, positive
        lambda: one over the prior variance of each weight. The default is that of their recommendation engine, as is
        the noise's.
    noise : float, positive
        sigma: standard deviation of targets.
    episodes : int, optional
        As for `tsrl`.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* In episodes of a fixed length with features in which values are linear, without a prior.

    *When not.* Where values are not linear in the features, or an informed prior is at hand, which `tsrl` takes.

    *Cost.* One regression a stage and episode, of order features cubed.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(4, 3)
    >>> bm.simulate(shop, {"RLSVI": bm.agents.rlsvi()}, steps=30, replicates=2)["regret"].shape
    (1, 2, 30)
    """
    variance, deviation = 1 / number("ridge", ridge, above=0), number("noise", noise, above=0)
    return linear_q_agent(
        "rlsvi",
        lambda mdp: gaussian_q(mdp, covariance=variance, noise=deviation),
        episodes,
        ridge=ridge,
        noise=deviation,
    )
