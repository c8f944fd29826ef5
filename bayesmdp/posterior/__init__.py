"""Posteriors of models: exact where that is possible, NUTS elsewhere; as a DataTree, or compiled for agents."""

from bayesmdp.posterior.conjugate import NotConjugate
from bayesmdp.posterior.exact import Belief, exact_belief
from bayesmdp.posterior.infer import draw, infer

__all__ = ["Belief", "NotConjugate", "draw", "exact_belief", "infer"]
