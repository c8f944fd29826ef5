"""How many programs a call makes XLA compile: a count, which unlike a time is the same on every machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax

__all__ = ["compiled_programs"]

# Timed around both compiling and loading from JAX's cache on disk, so that a warm cache hides nothing.
COMPILED = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def compiled_programs() -> Iterator[list[str]]:
    """Collect the names of the programs compiled, or loaded from the cache on disk, inside.

    Programs that are in memory already are not among them: start from ``jax.clear_caches()``, or use a function or
    shapes that were not compiled before. A program of an operation outside of any function is named after it.

    Yields
    ------
    list of str
        In order of compilation; it grows while inside.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> def twice(x):
    ...     return 2 * x
    >>> three = jnp.ones(3)
    >>> with compiled_programs() as programs:
    ...     _ = jax.jit(twice)(three)
    >>> programs
    ['jit(twice)']
    """
    names: list[str] = []

    def note(event: str, duration_secs: float, **told: Any) -> None:
        if event == COMPILED:
            names.append(str(told.get("fun_name", "?")))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
