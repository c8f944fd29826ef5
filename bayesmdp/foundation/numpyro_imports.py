"""NumPyro whole, whatever was imported before it."""

from __future__ import annotations

import sys

import numpyro

__all__ = ["complete_distributions"]


def complete_distributions() -> None:
    """Let ``numpyro.distributions`` have its submodules, which NumPyro itself reads (`numpyro.factor`, and so NUTS).

    ArviZ keeps `numpyro` as a module that is loaded when it is first used. If that use is
    ``import numpyro.distributions``, Python runs that package twice, and the second one lacks them.

    Examples
    --------
    >>> complete_distributions()
    >>> hasattr(numpyro.distributions, "distribution")
    True
    """
    within = "numpyro.distributions."
    for name in [name for name in sys.modules if name.startswith(within)]:
        if not hasattr(numpyro.distributions, name.removeprefix(within)):
            setattr(numpyro.distributions, name.removeprefix(within), sys.modules[name])
