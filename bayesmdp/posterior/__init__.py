"""Posteriors of models: exact, by particles or by NUTS; as a DataTree, or compiled for agents."""

from bayesmdp.posterior.belief import Belief
from bayesmdp.posterior.conjugate import NotConjugate
from bayesmdp.posterior.engines import make_belief, with_particles
from bayesmdp.posterior.evidence import concentration_by_evidence, dirichlet_log_evidence
from bayesmdp.posterior.exact import exact_belief
from bayesmdp.posterior.infer import draw, infer
from bayesmdp.posterior.q_belief import QBelief

__all__ = [
    "Belief",
    "NotConjugate",
    "QBelief",
    "concentration_by_evidence",
    "dirichlet_log_evidence",
    "draw",
    "exact_belief",
    "infer",
    "make_belief",
    "with_particles",
]
