"""Thompson sampling with a prior on Q-functions (TSRL): randomised least-squares value iteration, informed.

At the start of each episode the weights of every stage are drawn from their posterior, the last stage's first, each
regressed on targets made with the draw of the next, and the episode is played greedily for them. The formulas are in
:mod:`~bayesmdp.posterior.q_regression` and :mod:`~bayesmdp.posterior.closed_forms.q_values`. With prior Normal(0, I /
ridge) it is RLSVI (:func:`rlsvi`; Osband, Van Roy and Wen, 2016); with the true prior of the tasks, the meta-oracle;
with a prior learned from earlier tasks, MTSRL and MTSRL+ (:func:`~bayesmdp.learn_prior`).
"""

from __future__ import annotations

from bayesmdp.agents.agent import Agent
from bayesmdp.agents.families.linear_q import linear_q_agent
from bayesmdp.model_reading.read_model import Model

__all__ = ["tsrl"]


def tsrl(
    prior: Model, *, episodes: int | None = None, excitation: float | None = None, at_random: int | None = None
) -> Agent:
    """Draw Q-functions from their posterior under a prior on them (TSRL).

    Parameters
    ----------
    prior : NumPyro model with a site ``theta`` [stage, feature], linear and Normal, such as `gaussian_q`
    episodes : int, optional
        Room for experience, where pairs and outcomes are too many to have a row each; see
        :func:`~bayesmdp.posterior.beliefs.q_values.q_belief`.
    excitation : float, optional
        Play the first episodes of each task at random until the least eigenvalue of each stage's Gram matrix is this,
        and learn the next tasks' prior from these episodes alone: MTSRL's non-adaptive warm-up, whose estimates luck
        does not bias. See :mod:`~bayesmdp.agents.families.linear_q`. Without it an agent begins to adapt at once.
    at_random : int, optional
        How many episodes that may take at most; given with `excitation`.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* As `rlsvi`, with a prior on the weights, such as one learned from earlier tasks.

    *When not.* Where the prior is from other tasks than this one's kind: it misleads until data outweigh it.

    *Cost.* One regression a stage and episode, of order features cubed.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(4, 3)
    >>> prior = bm.models.gaussian_q(shop, covariance=5.0, noise=0.03)
    >>> result = bm.simulate(shop, {"TSRL": bm.agents.tsrl(prior)}, steps=300, replicates=2)
    >>> float(result["period"].max())
    100.0
    """
    return linear_q_agent("tsrl", lambda mdp: prior, episodes, excitation=excitation, at_random=at_random)
