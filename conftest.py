"""Set before anything imports JAX or Matplotlib: compiled programs are kept on disk, for all processes; no windows."""

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from zlib import crc32

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


LONG = {
    "test_alone_as_in_a_batch[fitted_aq_brmdp]",
    "test_alone_as_in_a_batch[fitted_brmdp]",
    "test_alone_as_in_a_batch[fitted_psrl]",
    "test_alone_as_in_a_batch[futures_psrl]",
    "bayesmdp.agents.fitted_psrl.fitted_psrl",
    "bayesmdp.models.gaussian_q_hierarchy.gaussian_q_hierarchy",
    "bayesmdp.models.hierarchical_dirichlet.hierarchical_dirichlet",
    "bayesmdp.models.matrix_dynamics.matrix_dynamics",
    "bayesmdp.models.queue_rates.queue_rates",
    "bayesmdp.models.tied_moves.tied_moves",
    "bayesmdp.planning.fitted_policies.FittedPolicy",
    "bayesmdp.planning.fitted_policies.StagedPolicy",
    "bayesmdp.planning.futures_policy.FuturesPolicy",
    "bayesmdp.planning.simulated_gain.gain_policy",
    "bayesmdp.posterior.beliefs.make_belief.with_particles",
    "bayesmdp.posterior.beliefs.particles.smc_belief",
    "bayesmdp.studies.draw_reuse.comparison",
    "bayesmdp.studies.tseb_tables.reward_table",
    "bayesmdp.studies.tseb_tables.served_table",
    "bayesmdp.studies.two_kernels.trap",
}
"""Examples in docstrings, and cases of a contract, that compile for over ten seconds what other tests of their rooms
compile at smaller size."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests be taken in parts: ``--part 2/4`` runs the second quarter."""
    parser.addoption("--part", default="1/1", help="K/N runs the K-th of N parts of the tests, the same everywhere")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the long ones `slow`, and keep those of the part that was asked for."""
    for item in items:
        if item.name in LONG:
            item.add_marker("slow")
    part, parts = (int(number) for number in config.getoption("--part").split("/"))
    if not 1 <= part <= parts:
        raise pytest.UsageError(f"--part is K/N with K from 1 to N, such as 2/4; got {part}/{parts}")
    other = [item for item in items if crc32(item.nodeid.encode()) % parts != part - 1]
    if other:
        config.hook.pytest_deselected(items=other)
        items[:] = [item for item in items if crc32(item.nodeid.encode()) % parts == part - 1]


@pytest.fixture(autouse=True)
def room_for_programs() -> Iterator[None]:
    """Programs are dropped before a process of tests grows above 2.5 GB: 8,400 mappings are about 2."""
    yield
    forget_programs(8_400)
