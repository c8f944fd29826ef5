"""Packages that only some uses need, and the extras of the installation that bring them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["brought_by"]


@contextmanager
def brought_by(extra: str) -> Iterator[None]:
    """Import packages of an extra; say how to install it where one is missing.

    Parameters
    ----------
    extra : str
        Its name in ``pyproject.toml``.

    Raises
    ------
    ImportError
        Naming the package that is missing and the command that installs it.

    Examples
    --------
    >>> with brought_by("sweeps"):
    ...     import no_such_package
    Traceback (most recent call last):
        ...
    ImportError: no_such_package is not installed; pip install "bayesmdp[sweeps]" brings it
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        raise ImportError(f'{package} is not installed; pip install "bayesmdp[{extra}]" brings it') from error
