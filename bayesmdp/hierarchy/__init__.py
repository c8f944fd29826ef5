"""Priors learned across tasks: what the posteriors of earlier tasks say of the next."""

from bayesmdp.hierarchy.learn import learn_prior
from bayesmdp.hierarchy.oracle import q_distribution

__all__ = ["learn_prior", "q_distribution"]
