"""Versions of the packages that numbers depend on, as results tell them."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

__all__ = ["package_versions"]


def package_versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, looked up once a process: a lookup reads the package's metadata.

    Parameters
    ----------
    *packages : str
        Their names, as they are installed.

    Returns
    -------
    dict of package to version

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If one of them is not installed.

    Examples
    --------
    >>> sorted(package_versions("numpy", "jax"))
    ['jax', 'numpy']
    """
    return {package: _version(package) for package in packages}


_version = cache(version)
