"""Priors over unknown decision problems, as NumPyro functions."""

from .dirichlet_transitions import dirichlet_transitions
from .river_current import river_current

__all__ = ["dirichlet_transitions", "river_current"]
