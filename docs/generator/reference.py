"""Pages of the reference: for each package a list, for each public name a page made of its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module

from docs.generator.names import PACKAGES, REGISTRIES, Page, page_of, pages, public_names
from docs.generator.words import first_sentence, title

__all__ = ["documented", "index_pages", "reference_pages"]

HEADS = {
    "bayesmdp": "bayesmdp",
    "planning": "Planning",
    "posterior": "Posteriors",
    "results": "Results",
    "comparison": "Comparisons",
    "sweeps": "Sweeps",
    "studies": "Studies",
    "claims": "Claims of the papers",
}


def reference_pages() -> Iterator[tuple[str, str]]:
    """Every page that is no card: where it is, and its text."""
    for page in pages():
        if page.kind != "package" and page.example is None:
            yield page.place, f"{title(page.name.rpartition('.')[2])}\n{documented(page)}"


def documented(page: Page) -> str:
    """The directive that shows a thing by its docstring, and where it is from."""
    lines = [f".. auto{page.kind}:: {page.name}"]
    if page.kind == "data":
        lines.append("   :no-value:")
    if page.kind == "class":
        members = [
            name
            for name, member in vars(page.value).items()
            if not name.startswith("_")
            and (inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod))
            and (inspect.getdoc(member) or "")
        ]
        if members:
            lines.append(f"   :members: {', '.join(members)}")
    return "\n".join(lines) + "\n"


def index_pages() -> Iterator[tuple[str, str]]:
    """The list of each package that has no cards."""
    cards = {package for package, _ in REGISTRIES.values()}
    for package, folder in PACKAGES.items():
        if package not in cards:
            yield f"reference/{folder}/index", f"{title(HEADS[folder])}\n{_described(package)}\n{listed(package)}"


def _described(package: str) -> str:
    return f"``{package}``. {first_sentence(import_module(package))}\n"


def listed(package: str, *, cards: bool = True) -> str:
    """A table of a package's public names, and what the navigation shows of them."""
    rows, here = [], []
    for name in public_names(package):
        value = getattr(import_module(package), name)
        page = page_of(value)
        if page is None or (page.example is not None and not cards):
            continue
        rows.append(f"   * - :doc:`{name} </{page.place}>`\n     - {_sentence(page)}")
        if page.name == f"{package}.{name}" and page.kind != "package":
            here.append(f"   /{page.place}")
    table = [".. list-table::", "   :widths: 30 70", "", *rows, ""]
    tree = [".. toctree::", "   :hidden:", "", *here, ""] if here else []
    return "\n".join([*table, *tree])


def _sentence(page: Page) -> str:
    return "" if page.kind == "data" else first_sentence(page.value)
