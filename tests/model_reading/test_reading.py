"""A model is read once: how often a user's function is called, abstract runs and traces for compiling together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.model_reading.read_model import read
from bayesmdp.problems.unroll import unroll

RIVER = bm.environments.riverswim(5)
LAKE = bm.environments.slippery_lake()
EPISODES = unroll(RIVER.replace(features=np.eye(10).reshape(5, 2, 10)), 6)


class Counted:
    """A model that counts its calls."""

    def __init__(self, model: Callable[[Any], Any]) -> None:
        self.model, self.calls = model, 0

    def __call__(self, data: Any) -> None:
        self.calls += 1
        self.model(data)


def calls(model: Counted, use: Callable[[], Any]) -> int:
    before = model.calls
    use()
    return model.calls - before


def test_reading_takes_three_runs_and_reading_again_two() -> None:
    """With one row and with two, both abstract; and one that is compiled, at random values."""
    model = Counted(bm.models.dirichlet_transitions(RIVER))
    assert calls(model, lambda: read(model)) == 3
    assert calls(model, lambda: read(model)) == 2


# What comes on top: whether lookups stay inside, whether priors depend on other rows, the rows' log-likelihoods, and
# where sites are computed from others their values.
@pytest.mark.parametrize("make, first", [("dirichlet_transitions", 6), ("river_current", 7)])
def test_inference_in_closed_form(make: str, first: int) -> None:
    model = Counted(getattr(bm.models, make)(RIVER))
    for seed, most in enumerate((first, 2, 2)):
        log = bm.collect(RIVER, steps=100 + 100 * seed, seed=seed)
        assert calls(model, lambda log=log: bm.infer(model, log, mdp=RIVER, draws=50)) == most  # type: ignore[misc]


def test_an_agent() -> None:
    model = Counted(bm.models.dirichlet_transitions(RIVER))
    agent = bm.agents.psrl(model)
    assert calls(model, lambda: agent.make_belief(RIVER)) == 6
    assert calls(model, lambda: bm.simulate(RIVER, {"A": agent}, steps=20, replicates=2)) == 0


def test_recorded_primitives() -> None:
    model, log = Counted(bm.models.slippery_lake(LAKE)), bm.collect(LAKE, steps=40, seed=0)
    assert calls(model, lambda: bm.infer(model, log, mdp=LAKE, draws=50)) == 11


def test_q_values() -> None:
    model, log = Counted(bm.models.gaussian_q(EPISODES, covariance=4.0, noise=0.1)), bm.collect(EPISODES, steps=60)
    assert calls(model, lambda: bm.infer(model, log, mdp=EPISODES, draws=50)) == 6
