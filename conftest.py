"""Set before anything imports JAX or Matplotlib: compiled programs are kept on disk, for all processes; no windows."""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from tests.array_types import ROOMS

install_import_hook(ROOMS, "tests.array_types.arrays_checked")

from bayesmdp.foundation.compiled_programs import forget_programs, keep_programs  # noqa: E402

os.environ.setdefault("MPLBACKEND", "Agg")
keep_programs()


def pytest_collect_file(file_path: Path) -> None:
    """Import a module of the package in the ordinary way before pytest does.

    Under ``--import-mode=importlib`` pytest sets the module that it imports as an attribute of its package, over the
    function of that name which the package exports; one that is imported already it takes as it is.
    """
    place = file_path.relative_to(Path(__file__).parent).with_suffix("").parts
    if place[0] == "bayesmdp" and file_path.suffix == ".py":
        import_module(".".join(place).removesuffix(".__init__"))


LONG_EXAMPLES = {
    "bayesmdp.agents.fitted_psrl.fitted_psrl",
    "bayesmdp.models.hierarchical_dirichlet.hierarchical_dirichlet",
    "bayesmdp.models.queue_rates.queue_rates",
    "bayesmdp.models.tied_moves.tied_moves",
    "bayesmdp.posterior.beliefs.make_belief.with_particles",
    "bayesmdp.posterior.beliefs.particles.smc_belief",
}
"""Examples in docstrings that compile for over ten seconds what the tests of their rooms compile at smaller size."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long examples `slow`."""
    for item in items:
        if item.name in LONG_EXAMPLES:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def room_for_programs() -> Iterator[None]:
    """Programs are dropped before a process of tests grows above 2.5 GB: 9,000 mappings are about 2."""
    yield
    forget_programs(9_000)
