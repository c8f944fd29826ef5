"""Lay out what Sphinx reads: hand-written pages, cards, the reference, reproductions, tutorials and their notebooks.

``python -m docs.generator`` writes all of it to ``docs/_build/source``, where only files whose text has changed are
touched, so that what is executed once stays in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from docs.generator import cards, cheat_sheet, copies, reference, reproductions, tutorials

__all__ = ["BUILD", "DOCS", "SOURCE", "main"]

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
BUILD = DOCS / "_build"
SOURCE = BUILD / "source"
WRITTEN = {".md", ".rst", ".png", ".svg", ".py", ".csv"}


def written_by_hand() -> Iterator[tuple[str, bytes]]:
    """Pages, pictures and solutions of the course that stand in ``docs/``."""
    for path in sorted(DOCS.rglob("*")):
        place = path.relative_to(DOCS)
        inside = place.parts[0] not in ("_build", "_static", "generator", "conf.py")
        if path.suffix in WRITTEN and inside:
            yield place.as_posix(), path.read_bytes()


def everything() -> Iterator[tuple[str, bytes]]:
    """Each file of the source, by its place."""
    yield from written_by_hand()
    made = (reference.reference_pages, reference.index_pages, cards.card_pages, cards.card_lists, reproductions.made)
    for pages in made:
        for place, text in pages():
            yield f"{place}.rst", text.encode()
    yield "reference/cheat_sheet.pdf", cheat_sheet.printed(DOCS / "reference" / "cheat_sheet.md")
    yield from copies.made(ROOT)
    yield from tutorials.made(ROOT / "tutorials")


def main() -> None:
    """Write what has changed, and remove what is no longer there."""
    wanted = dict(everything())
    for place, content in wanted.items():
        path = SOURCE / place
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    pictures = SOURCE / "pictures"
    for path in SOURCE.rglob("*"):
        if path.is_file() and path.relative_to(SOURCE).as_posix() not in wanted and pictures not in path.parents:
            path.unlink()
    cards.draw_pictures(pictures)


if __name__ == "__main__":
    main()
