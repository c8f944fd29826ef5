"""Linear contextual Thompson sampling: each stage a bandit, its context the state, its target the reward alone.

The learner of :mod:`~bayesmdp.agents.tsrl` with b = r: what happens after an action is not charged to it. With a prior
learned from earlier tasks it is Meta-TS (Kveton et al., 2021) or AdaTS (Basu et al., 2021), which see rewards only.
"""

from __future__ import annotations

from bayesmdp.agents.agent import Agent
from bayesmdp.agents.families.linear_q import linear_q_agent
from bayesmdp.model_reading.read_model import Model

__all__ = ["bandit_ts"]


def bandit_ts(prior: Model, *, episodes: int | None = None) -> Agent:
    """Draw mean rewards from their posterior, and look at nothing that follows (contextual Thompson sampling).

    Parameters
    ----------
    prior : NumPyro model with a site ``theta`` [stage, feature]
        Of mean rewards, not of Q-values.
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
    *When.* Where an action has no later consequences, so that looking ahead is wasted.

    *When not.* Where it has: what follows is not charged to it.

    *Cost.* One regression a stage and episode, of order features cubed.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(4, 3)
    >>> agent = bm.agents.bandit_ts(bm.models.gaussian_q(shop, covariance=5.0, noise=0.03))
    >>> bm.simulate(shop, {"bandit": agent}, steps=30, replicates=2)["regret"].shape
    (1, 2, 30)
    """
    return linear_q_agent("bandit-ts", lambda mdp: prior, episodes, lookahead=0.0)
