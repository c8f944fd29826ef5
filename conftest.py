"""Set before anything imports JAX or Matplotlib: compiled programs are kept on disk, for all processes; no windows."""

import os
from collections.abc import Iterator

import pytest

from bayesmdp.compiled import forget_programs, keep_programs

os.environ.setdefault("MPLBACKEND", "Agg")
keep_programs()


@pytest.fixture(autouse=True)
def room_for_programs() -> Iterator[None]:
    """Programs are dropped before a process of tests grows above 2.5 GB: 9,000 mappings are about 2."""
    yield
    forget_programs(9_000)
