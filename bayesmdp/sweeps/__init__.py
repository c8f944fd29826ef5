"""Sweeps: studies over grids of settings, resumable, on as many machines as there are."""

import lazy_loader

# What sweeps there are can be listed without the packages that run them.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
