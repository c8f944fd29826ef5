from collections.abc import Iterator

import jax
import pytest


@pytest.fixture
def wide() -> Iterator[None]:
    """64 bits, as inside bayesmdp's compiled code."""
    with jax.enable_x64(True):
        yield
