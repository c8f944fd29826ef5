"""Set before anything imports JAX or Matplotlib: compiled programs are kept on disk, for all processes; no windows."""

import gc
import os
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from zlib import crc32

import pytest
from jaxtyping import install_import_hook

from tests.array_types import ROOMS

# What is imported, traced and compiled stays: to look for garbage in it every 2,000 objects took 2% of the time.
gc.set_threshold(50_000, 20, 100)
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
    "test_alone_as_in_a_batch[futures_psrl]",
    "test_alone_as_in_a_batch[tile_q_learning]",
    "bayesmdp.agents.bamcp.bamcp",
    "bayesmdp.agents.bandit_ts.bandit_ts",
    "bayesmdp.agents.beb.beb",
    "bayesmdp.agents.bfs3.bfs3",
    "bayesmdp.agents.boss.boss",
    "bayesmdp.agents.doubt_brmdp.doubt_brmdp",
    "bayesmdp.agents.fitted_aq_brmdp.fitted_aq_brmdp",
    "bayesmdp.agents.fitted_brmdp.fitted_brmdp",
    "bayesmdp.agents.fitted_psrl.fitted_psrl",
    "bayesmdp.agents.futures_psrl.futures_psrl",
    "bayesmdp.agents.gamma_lscvi_ucb.gamma_lscvi_ucb",
    "bayesmdp.agents.gamma_lscvi_ucb_planned.gamma_lscvi_ucb_planned",
    "bayesmdp.agents.gamma_lscvi_ucb_visited.gamma_lscvi_ucb_visited",
    "bayesmdp.agents.gamma_ucb_cvi.gamma_ucb_cvi",
    "bayesmdp.agents.kl_ucrl.kl_ucrl",
    "bayesmdp.agents.lsvi.lsvi",
    "bayesmdp.agents.mdp_exp2.mdp_exp2",
    "bayesmdp.agents.mdp_oomd.mdp_oomd",
    "bayesmdp.agents.olsvi_fh.olsvi_fh",
    "bayesmdp.agents.rlsvi.rlsvi",
    "bayesmdp.agents.scal.scal",
    "bayesmdp.agents.sparse_sampling.sparse_sampling",
    "bayesmdp.agents.tseb.tseb",
    "bayesmdp.agents.ucbvi.ucbvi",
    "bayesmdp.environments.acrobot.acrobot",
    "bayesmdp.environments.generalised_chain.generalised_chain",
    "bayesmdp.environments.glucose.glucose",
    "bayesmdp.environments.linear_quadratic.linear_quadratic",
    "bayesmdp.environments.thermostat.thermostat",
    "bayesmdp.model_checks.prior_comparison.compare_priors",
    "bayesmdp.models.fourier_dynamics.fourier_dynamics",
    "bayesmdp.models.gaussian_q.gaussian_q",
    "bayesmdp.models.gaussian_q_hierarchy.gaussian_q_hierarchy",
    "bayesmdp.models.hierarchical_dirichlet.hierarchical_dirichlet",
    "bayesmdp.models.linear_dynamics.linear_dynamics",
    "bayesmdp.models.linear_rewards.linear_rewards",
    "bayesmdp.models.linear_system.linear_system",
    "bayesmdp.models.matrix_dynamics.matrix_dynamics",
    "bayesmdp.models.queue_rates.queue_rates",
    "bayesmdp.models.river_current.river_current",
    "bayesmdp.models.slippery_lake.slippery_lake",
    "bayesmdp.models.thermostat.thermostat",
    "bayesmdp.models.tied_moves.tied_moves",
    "bayesmdp.planning.confidence_sets.KLBall",
    "bayesmdp.planning.dirichlet_mean.mean_distribution",
    "bayesmdp.planning.dirichlet_quantile.DirichletQuantile",
    "bayesmdp.planning.dirichlet_quantile.dirichlet_quantile",
    "bayesmdp.planning.fitted_policies.FittedPolicy",
    "bayesmdp.planning.fitted_policies.StagedPolicy",
    "bayesmdp.planning.fitted_q.fitted_q_iteration",
    "bayesmdp.planning.futures_policy.FuturesPolicy",
    "bayesmdp.planning.known_dynamics.evaluate",
    "bayesmdp.planning.simulated_gain.gain_policy",
    "bayesmdp.planning.state_policies.fitted_policy",
    "bayesmdp.posterior.beliefs.make_belief.with_particles",
    "bayesmdp.posterior.beliefs.particles.smc_belief",
    "bayesmdp.posterior.beliefs.primitives.recorded_belief",
    "bayesmdp.problems.simulated_problem.next_states",
    "bayesmdp.simulation.simulate_tasks.simulate_tasks",
    "bayesmdp.studies.average_reward.regret_table",
    "bayesmdp.studies.draw_reuse.comparison",
    "bayesmdp.studies.mtsrl.regret_table",
    "bayesmdp.studies.tseb_tables.reward_table",
    "bayesmdp.studies.tseb_tables.served_table",
    "bayesmdp.studies.two_kernels.trap",
}
"""Examples in docstrings, and cases of a contract, that compile for two seconds or more.

Each is of something that a fast test calls as well: an agent, an environment or a prior by the contract of its room,
all else by a test of its own. What only its example calls is fast, however long it takes.
"""


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


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over the tests and what they import, which took it a twelfth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def room_for_programs() -> Iterator[None]:
    """Programs are dropped before a process of tests grows above 2.5 GB: 8,400 mappings are about 2.

    To count them takes milliseconds, and a test of less than a tenth of a second compiles next to nothing. Memory
    itself is not asked: what programs leave behind is not all given back, and they would be dropped ever more often.
    """
    begun = time.process_time()
    yield
    if time.process_time() - begun > 0.1:
        forget_programs(8_400)


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    """Close the figures that a test or an example made: pyplot holds them, and the next would see them."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
