"""Tutorials and solutions as pages, from the scripts that are their source, and as notebooks to download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jupytext

__all__ = ["made", "notebook_of"]


def notebook_of(path: Path) -> str:
    """A script as the text of a notebook without outputs, the same each time."""
    notebook = jupytext.read(path)
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{index}"
    return jupytext.writes(notebook, fmt="ipynb")


def made(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each tutorial as a page that says where its notebook is, and the notebook."""
    for path in sorted(folder.glob("*.py")):
        yield f"tutorials/{path.name}", _with_link(path.read_text(), path.stem).encode()
        yield f"notebooks/{path.stem}.ipynb", notebook_of(path).encode()
    solutions = folder.parent / "docs" / "course" / "solutions"
    for path in sorted(solutions.glob("*.py")):
        yield f"notebooks/{path.stem}.ipynb", notebook_of(path).encode()


def _with_link(script: str, name: str) -> str:
    """The script with a line below its first heading that leads to the notebook."""
    head, heading, rest = script.partition("\n# # ")
    first, _, body = rest.partition("\n")
    link = f"""#
# {{download}}`This page as a notebook </notebooks/{name}.ipynb>`, which runs at full size. The figures below were made
# at a small size when the site was built. They show the form of the result, not its digits.
"""
    return f"{head}{heading}{first}\n{link}{body}"
