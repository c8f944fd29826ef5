"""Programs that JAX has compiled: kept between processes, and forgotten before a process has too many."""

from __future__ import annotations

import ctypes
import functools
import gc
import hashlib
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["forget_programs", "keep_programs", "quickly_compiled"]

MAPPINGS = 20_000
"""Memory mappings above which compiled programs are dropped.

Linux allows 65,530 per process; each compiled program uses about 24; at the limit the process is killed.
"""


def keep_programs(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Let JAX keep compiled programs on disk, so that later processes need not compile them again.

    One call, at the top of a notebook or script; the command line and the tutorials make it. Nothing is written without
    it. A folder that the user has already told JAX to keep programs in is left as it is.

    Parameters
    ----------
    folder : path, optional
        By default one in the user's cache folder that belongs to this kind of processor.

    Returns
    -------
    Path or None
        The folder; None where nothing is kept, since the user's cache folder cannot be written.

    Raises
    ------
    OSError
        For a `folder` that cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp()
    >>> keep_programs(path) in (Path(path), Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", path)))
    True
    """
    asked = os.environ.get("JAX_COMPILATION_CACHE_DIR") or folder
    path = Path(asked or _user_folder())
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        if asked:
            raise
    if not asked and not os.access(path, os.W_OK):  # JAX would warn at each program
        return None
    settings = {
        "JAX_COMPILATION_CACHE_DIR": os.fspath(path),
        # A first result is made of many small programs, each quick to compile and quicker to read.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    # JAX reads these when it is imported, which takes a second and need not happen here.
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    if "jax" in sys.modules:
        import jax

        if jax.config.jax_compilation_cache_dir is None:
            jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])  # type: ignore[no-untyped-call]
            least = float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
            jax.config.update("jax_persistent_cache_min_compile_time_secs", least)  # type: ignore[no-untyped-call]
        return Path(jax.config.jax_compilation_cache_dir)
    return Path(os.environ["JAX_COMPILATION_CACHE_DIR"])


def _user_folder() -> Path:
    """Programs are made for the processor that compiled them, and a home folder may be shared by several kinds."""
    home = Path.home()
    system = {"win32": os.environ.get("LOCALAPPDATA") or home / "AppData/Local", "darwin": home / "Library/Caches"}
    caches = Path(os.environ.get("XDG_CACHE_HOME") or system.get(sys.platform, home / ".cache"))
    told, kind = Path("/proc/cpuinfo"), platform.machine()
    if told.exists():
        lines = told.read_text().splitlines()
        kind += next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return caches / "bayesmdp" / "jax" / hashlib.sha256(kind.encode()).hexdigest()[:8]


def quickly_compiled[**P, T](function: Callable[P, T], static_argnums: int | Sequence[int] = ()) -> Callable[P, T]:
    """Like `jax.jit`, for what is run a few times on a few numbers and waits for its compiler only.

    XLA is asked not to optimise, which takes it two thirds of the time; numbers differ by rounding from those of an
    optimised program.

    Parameters
    ----------
    function : callable
        Of arrays; it is not called where another function is traced.
    static_argnums : int or sequence of int
        As in `jax.jit`.

    Returns
    -------
    callable

    Examples
    --------
    >>> import numpy as np
    >>> float(quickly_compiled(lambda x: 2 * x)(np.float32(3)))
    6.0
    """

    @functools.cache
    def program() -> Callable[P, T]:
        import jax

        # The option is known to be kept to by this backend.
        options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
        return jax.jit(function, static_argnums=static_argnums, compiler_options=options)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return program()(*args, **kwargs)

    return run


def forget_programs(most: int = MAPPINGS) -> None:
    """Drop all compiled programs if this process has more than `most` memory mappings."""
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > most:
        import jax

        jax.clear_caches()  # type: ignore[no-untyped-call]
        gc.collect()
        # The C library keeps what was freed, and the next programs would be laid out beside it.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
