"""Agents that learn online, one algorithm a file; see :mod:`bayesmdp.agents.base` for the grammar they share."""

from bayesmdp.agents.aq_brmdp import aq_brmdp
from bayesmdp.agents.base import Agent, Rules
from bayesmdp.agents.brmdp import brmdp
from bayesmdp.agents.psrl import psrl

__all__ = ["Agent", "Rules", "aq_brmdp", "brmdp", "psrl"]
