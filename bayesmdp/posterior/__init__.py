"""Posteriors of models: exact, by particles or by NUTS; as a DataTree, or compiled for agents."""

from bayesmdp.posterior.beliefs.belief import Belief
from bayesmdp.posterior.beliefs.exact import exact_belief
from bayesmdp.posterior.beliefs.make_belief import make_belief, with_particles
from bayesmdp.posterior.beliefs.q_values import QBelief
from bayesmdp.posterior.closed_forms.transitions import NotConjugate
from bayesmdp.posterior.dirichlet_evidence import concentration_by_evidence, dirichlet_log_evidence
from bayesmdp.posterior.inference.draw import draw
from bayesmdp.posterior.inference.infer import infer
from bayesmdp.posterior.inference.log_likelihood import with_log_likelihood

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
    "with_log_likelihood",
    "with_particles",
]
