"""Which pages of the reference there are: one for each public name, by the packages' own lists.

Nothing is listed by hand but the packages. A name that two packages export, such as `bayesmdp.plan`, which is
`bayesmdp.planning.plan` too, has one page, in the section that comes first below.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from bayesmdp import agents, environments, models

__all__ = ["PACKAGES", "REGISTRIES", "Page", "page_of", "pages", "public_names"]

REGISTRIES: Mapping[str, tuple[str, Any]] = {
    "agents": ("bayesmdp.agents", agents),
    "environments": ("bayesmdp.environments", environments),
    "priors": ("bayesmdp.models", models),
}
"""Sections of cards, with the package whose registry they are made of."""

PACKAGES: Mapping[str, str] = {
    "bayesmdp": "bayesmdp",
    "bayesmdp.planning": "planning",
    "bayesmdp.agents": "agents",
    "bayesmdp.environments": "environments",
    "bayesmdp.models": "priors",
    "bayesmdp.posterior": "posterior",
    "bayesmdp.results": "results",
    "bayesmdp.results.comparison": "comparison",
    "bayesmdp.sweeps": "sweeps",
    "bayesmdp.studies": "studies",
    "bayesmdp.studies.claims": "claims",
}
"""Packages whose public names have pages, with the folder of these pages."""


class Page(NamedTuple):
    """A page of the reference.

    Attributes
    ----------
    place : str
        Where it is, without its suffix.
    name : str
        What it documents, in full.
    value : object
        The same, imported.
    kind : {"function", "class", "data", "package"}
    heading : str
        Of the registry, where it is a card; otherwise empty.
    example : object
        The entry of the registry, where it is a card; otherwise None.
    """

    place: str
    name: str
    value: Any
    kind: str
    heading: str = ""
    example: Any = None


def public_names(package: str) -> list[str]:
    """What a package says that it exports, in order."""
    return sorted(import_module(package).__all__)


@cache
def pages() -> tuple[Page, ...]:
    """All pages of the reference, each thing once."""
    return tuple(_pages())


def _pages() -> Iterator[Page]:
    seen: set[int] = set()
    for folder, (package, module) in REGISTRIES.items():
        for heading, row in module.GROUPS.items():
            for example in row:
                name = example.make.__name__
                seen.add(id(example.make))
                yield Page(
                    f"reference/{folder}/{name}", f"{package}.{name}", example.make, "function", heading, example
                )
    for package, folder in PACKAGES.items():
        for name in public_names(package):
            value = getattr(import_module(package), name)
            if isinstance(value, types.ModuleType):
                yield Page(f"reference/{PACKAGES[value.__name__]}/index", f"{package}.{name}", value, "package")
            elif id(value) not in seen:
                seen.add(id(value))
                yield Page(f"reference/{folder}/{name}", f"{package}.{name}", value, _kind(value))


def _kind(value: Any) -> str:
    if inspect.isclass(value):
        return "class"
    return "function" if callable(value) else "data"


@cache
def _by_identity() -> dict[int, Page]:
    return {id(page.value): page for page in pages()}


def page_of(value: Any) -> Page | None:
    """The page of an imported thing, if it has one."""
    return _by_identity().get(id(value))
