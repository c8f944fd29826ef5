"""Priors learned across tasks: what the posteriors of earlier tasks say of the next."""

from bayesmdp.learned_priors.methods import learn_prior
from bayesmdp.learned_priors.true_distribution import q_distribution

__all__ = ["learn_prior", "q_distribution"]
