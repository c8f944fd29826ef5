"""Conjugate families, one a file, and the one list of them.

A family's density is ``exp(eta . T(x) - A(eta))`` with natural parameters eta and statistics T. A likelihood
``c . T(x)`` plus a constant, seen w times, adds ``w c`` to eta. Where a site observes an unknown directly, as in models
of recorded primitives, the family's `likelihood` says what a row adds, whether or not the family is an exponential one.
"""

from bayesmdp.posterior.closed_forms.families.beta import BETA
from bayesmdp.posterior.closed_forms.families.dirichlet import DIRICHLET
from bayesmdp.posterior.closed_forms.families.example import Example
from bayesmdp.posterior.closed_forms.families.family import ExponentialFamily, Family, Values
from bayesmdp.posterior.closed_forms.families.gamma import GAMMA
from bayesmdp.posterior.closed_forms.families.likelihood import Likelihood
from bayesmdp.posterior.closed_forms.families.normal import NORMAL
from bayesmdp.posterior.closed_forms.families.normal_gamma import NORMAL_GAMMA
from bayesmdp.posterior.closed_forms.families.pareto import PARETO
from bayesmdp.posterior.closed_forms.families.smooth import Smooth

__all__ = ["FAMILIES", "Example", "ExponentialFamily", "Family", "Likelihood", "Smooth", "Values"]

FAMILIES: dict[str, Family] = {family.name: family for family in (DIRICHLET, BETA, NORMAL, GAMMA, NORMAL_GAMMA, PARETO)}
"""The families that priors are recognised as, by name."""
