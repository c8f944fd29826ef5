"""Randomised least-squares value iteration (RLSVI): Thompson sampling of Q-functions, without an informed prior.

Osband, Van Roy and Wen (2016). Q-values are linear in features phi(s, a), with unknown weights theta[h] for each stage
h of an episode. Before each episode the weights are drawn from the last stage to the first. At stage h every step seen
there is a regression target,

    b = r + discount max over a' of <phi(s', a'), theta[h + 1]>,    b = <phi(s, a), theta[h]> + Normal noise,

and theta[h] is drawn from its posterior under the prior Normal(0, I / ridge). The episode is played greedily for these
Q-values. What was seen seldom varies much from draw to draw, which makes the agent explore. The paper's lambda is
`ridge`, its sigma is `noise`. :mod:`~bayesmdp.agents.tsrl` is the same with a prior of your own.
"""

from __future__ import annotations

from bayesmdp.agents.agent import Agent
from bayesmdp.agents.families.linear_q import linear_q_agent
from bayesmdp.foundation.validation import number
from bayesmdp.models import gaussian_q

__all__ = ["rlsvi"]


def rlsvi(*, ridge: float = 0.2, noise: float = 0.001**0.5, episodes: int | None = None) -> Agent:
    """Draw Q-functions from a Bayesian regression on features, without an informed prior (RLSVI).

    Parameters
    ----------
    ridge : float, positive
        lambda: one over the prior variance of each weight. The defaults of `ridge` and `noise` are those of the
        paper's recommendation engine.
    noise : float, positive
        sigma: standard deviation of the targets.
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
    *When.* In episodes of a fixed length, with features in which Q-values are linear, and without a prior.

    *When not.* Where Q-values are not linear in the features. Where an informed prior is available, which `tsrl` takes.

    *Cost.* One regression for each stage before each episode, cubic in the number of features.

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
