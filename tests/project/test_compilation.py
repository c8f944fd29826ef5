"""How many programs the front page compiles, each call in a process that has compiled nothing.

Counted and not timed: a count is the same on every machine. `tests/posterior/test_compilation.py` counts those of
`infer` for other models and those of beliefs.
"""

import jax
import pytest

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions
from tests.programs import compiled_programs

LAKE = bm.environments.frozen_lake()
PRIOR = dirichlet_transitions(LAKE, concentration=1 / 16)
AGENTS = {"PSRL": bm.agents.psrl(PRIOR), "AQ-BRMDP": bm.agents.aq_brmdp(PRIOR)}


@pytest.fixture(scope="module")
def front_page():
    """Calls of the front page, by name."""
    log = bm.collect(LAKE, policy="uniform", steps=500, seed=0)
    posterior = bm.infer(PRIOR, log, draws=1_000, seed=1)
    return {
        "collect": lambda: bm.collect(LAKE, policy="uniform", steps=500, seed=0),
        "infer": lambda: bm.infer(PRIOR, log, draws=1_000, seed=1),
        "plan": lambda: bm.plan(posterior, LAKE, risk=bm.Quantile(0.1)),
        "simulate": lambda: bm.simulate(LAKE, AGENTS, steps=300, replicates=2, seed=0),
        "robust": lambda: bm.simulate(
            LAKE, {"PSRL": AGENTS["PSRL"]}, steps=300, replicates=2, seed=0, checkpoints=[300], robust=bm.Robust()
        ),
    }


# `simulate` compiles two programs an agent, a baseline and two of keys; the rest are of the belief.
@pytest.mark.parametrize(
    ("call", "most"),
    [("collect", 4), ("infer", 4), ("plan", 1), ("simulate", 11), pytest.param("robust", 17, marks=pytest.mark.slow)],
)
def test_front_page(front_page, call: str, most: int) -> None:
    jax.clear_caches()  # type: ignore[no-untyped-call]
    with compiled_programs() as programs:
        front_page[call]()
    assert len(programs) <= most, programs


def test_a_second_run_of_another_length_compiles_nothing(front_page) -> None:
    front_page["simulate"]()
    with compiled_programs() as programs:
        bm.simulate(LAKE, AGENTS, steps=450, replicates=3, seed=7, thin=10)
    assert not programs


def test_agents_that_differ_in_numbers_share_their_programs() -> None:
    agents = {"a": bm.agents.aq_brmdp(PRIOR), "b": bm.agents.aq_brmdp(PRIOR, scale=0.5, floor=0.2)}
    bm.simulate(LAKE, {"a": agents["a"]}, steps=20, replicates=1)
    with compiled_programs() as programs:
        bm.simulate(LAKE, {"b": agents["b"]}, steps=20, replicates=1)
        bm.simulate(LAKE, {"constant": bm.agents.brmdp(PRIOR, level=0.3)}, steps=20, replicates=1)
    assert not programs
