"""Posteriors of models: exact where that is possible, NUTS elsewhere; as a DataTree, or compiled for agents."""

from bayesmdp.posterior.belief import Belief
from bayesmdp.posterior.conjugate import NotConjugate
from bayesmdp.posterior.evidence import concentration_by_evidence, dirichlet_log_evidence
from bayesmdp.posterior.exact import exact_belief
from bayesmdp.posterior.infer import draw, infer

__all__ = [
    "Belief",
    "NotConjugate",
    "concentration_by_evidence",
    "dirichlet_log_evidence",
    "draw",
    "exact_belief",
    "infer",
]
