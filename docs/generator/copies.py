"""Pages that are files of the checkout: how to write a model, the changelog, how to contribute, and parts of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["COPIES", "made"]

COPIES = {
    "howto/write_a_model.md": "models/README.md",
    "about/changelog.md": "CHANGELOG.md",
    "about/contribute.md": "CONTRIBUTING.md",
    "fragments/security.md": "SECURITY.md",
    "fragments/contributing.md": "CONTRIBUTING.md",
    "fragments/citation.cff": "CITATION.cff",
}
"""Where a file of the checkout stands in the site; fragments are included by pages, and are none themselves."""

PAGES = {file: page for page, file in COPIES.items() if not page.startswith("fragments/")}


def made(root: Path) -> Iterator[tuple[str, bytes]]:
    """Each copy, its links to files of the checkout led to their pages."""
    for place, file in COPIES.items():
        yield place, _links_led((root / file).read_text(), root, file).encode()


def _links_led(text: str, root: Path, file: str) -> str:
    def led(link: re.Match[str]) -> str:
        target = (root / file).parent.joinpath(link[2]).resolve()
        if not target.is_relative_to(root.resolve()):
            return link[0]
        place = target.relative_to(root.resolve()).as_posix()
        page = place.removeprefix("docs/") if place.startswith("docs/") else PAGES.get(place)
        return link[0] if page is None else f"[{link[1]}](/{page})"

    return re.sub(r"\[([^\]]+)\]\(([^)#:]+)\)", led, text)
