"""Least-squares value iteration without posterior draws: the mean of the posterior, and actions left to chance.

What randomised value functions are compared with (Osband, Van Roy and Wen, 2016): the same regression, stage by stage,
with the posterior mean in the place of a draw, explored by now and then taking any action (epsilon-greedy) or by taking
actions in proportion to exp(Q / temperature) (Boltzmann).
"""

from __future__ import annotations

from bayesmdp.agents.agent import Agent
from bayesmdp.agents.families.linear_q import linear_q_agent
from bayesmdp.foundation.validation import number
from bayesmdp.model_reading.read_model import Model

__all__ = ["lsvi"]


def lsvi(prior: Model, *, epsilon: float = 0.0, temperature: float = 0.0, episodes: int | None = None) -> Agent:
    """Regress Q-functions on features, and explore by chance (LSVI).

    Parameters
    ----------
    prior : NumPyro model with a site ``theta`` [stage, feature]
        Its mean and covariance are what the regression is pulled towards, and how strongly.
    epsilon : float in [0, 1]
        Probability with which any available action is taken.
    temperature : float, at least 0
        Actions are taken in proportion to exp(Q / temperature), in units of reward; the best one at 0.
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
    *When.* As what a learner without exploration does, to be compared with.

    *When not.* To learn by itself: it acts by its best guess, and may never find what it did not try.

    *Cost.* One regression a stage and episode, of order features cubed.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(4, 3)
    >>> prior = bm.models.gaussian_q(shop, covariance=5.0, noise=0.03)
    >>> greedy, soft = bm.agents.lsvi(prior), bm.agents.lsvi(prior, temperature=0.1)
    >>> bm.simulate(shop, {"greedy": greedy, "Boltzmann": soft}, steps=30, replicates=2)["regret"].shape
    (2, 2, 30)
    """
    return linear_q_agent(
        "lsvi",
        lambda mdp: prior,
        episodes,
        spread=0.0,
        epsilon=number("epsilon", epsilon, minimum=0, maximum=1),
        temperature=number("temperature", temperature, minimum=0),
    )
