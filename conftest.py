"""Set before anything imports JAX or Matplotlib: one cache of compiled programs for all test processes, no windows."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Before there are so many compiled programs that the process dies of them."""
    yield
    from bayesmdp.compiled import forget_programs

    forget_programs()
