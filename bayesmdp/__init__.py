"""Bayesian reinforcement learning as probabilistic programming.

Declare what is unknown about a decision problem as a NumPyro model, infer, plan, learn online, compare:

    model -> posterior -> plan -> policy -> simulate -> results -> analysis, plots

Names are imported when they are first used, so that ``import bayesmdp`` and the command line start at once. They are
declared once, in ``__init__.pyi``, which type checkers read too.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
