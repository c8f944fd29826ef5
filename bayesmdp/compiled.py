"""Programs that JAX has compiled: kept between processes, and forgotten before a process has too many."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

__all__ = ["forget_programs", "keep_programs"]

MAPS = 20_000
"""Pieces of memory: Linux lets a process map 65,530, a program takes some 24, and who can have no more dies."""


def keep_programs() -> None:
    """Let JAX keep compiled programs between processes, which saves most of a short run; the user's settings win.

    To be called before JAX is imported, which reads the settings then.
    """
    home = Path.home()
    system = {"win32": os.environ.get("LOCALAPPDATA") or home / "AppData/Local", "darwin": home / "Library/Caches"}
    folder = Path(os.environ.get("XDG_CACHE_HOME") or system.get(sys.platform, home / ".cache"))
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "bayesmdp" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def forget_programs(most: int = MAPS) -> None:
    """Drop all compiled programs if this process has mapped more than `most` pieces of memory."""
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > most:
        import jax

        jax.clear_caches()  # type: ignore[no-untyped-call]
        gc.collect()
