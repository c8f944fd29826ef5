"""Links to the pages of other libraries, from the names listed in ``docs/inventories.toml``."""

from __future__ import annotations

import tomllib
import zlib
from pathlib import Path
from typing import Any

__all__ = ["aliases", "outer_links", "read"]


def read(file: Path) -> dict[str, Any]:
    """The libraries, each with its address and its names."""
    return tomllib.loads(file.read_text())


def outer_links(file: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """Sphinx's ``intersphinx_mapping``, its inventories written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for library, told in read(file).items():
        rows = [
            f"{name} py:{role} 1 {told['page'].replace('$', name)} -"
            for role in ("class", "function")
            for name in told.get(role, ())
        ]
        head = f"# Sphinx inventory version 2\n# Project: {library}\n# Version: \n# The rest is compressed by zlib.\n"
        place = folder / f"{library}.inv"
        place.write_bytes(head.encode() + zlib.compress("\n".join([*rows, ""]).encode()))
        mapping[library] = (told["url"], str(place))
    return mapping


def aliases(file: Path, own: dict[str, str]) -> dict[str, str]:
    """Full names of the classes that docstrings name by their last part, of other libraries and of this one."""
    outer = {name.rpartition(".")[2]: name for told in read(file).values() for name in told.get("class", ())}
    return outer | own
