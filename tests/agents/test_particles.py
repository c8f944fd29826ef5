"""Agents whose prior has no closed form: the same code, another belief."""

from typing import Any

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.models import queue_rates, river_current, tied_moves
from bayesmdp.simulation.rollout import advance
from tests.statistical import assert_standard_normal

RIVER = bm.environments.riverswim(6, discount=0.9)
LAKE = bm.environments.frozen_lake(("SFF", "FHG"), discount=0.9)
LINE = bm.environments.queue(0.4, capacity=5, discount=0.9)

PRIORS: dict[str, tuple[bm.MDP, Any]] = {
    "current": (RIVER, bm.with_particles(river_current(RIVER), 100)),
    "slip": (LAKE, bm.with_particles(tied_moves(LAKE, bm.environments.slips(("SFF", "FHG"))), 100)),
    "queue": (LINE, bm.with_particles(queue_rates(LINE), 100)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRIORS)
def test_any_prior_drives_any_agent(name: str) -> None:
    mdp, prior = PRIORS[name]
    agents = {
        "PSRL": bm.agents.psrl(prior),
        "BRMDP": bm.agents.brmdp(prior, level=0.3, num_draws=40),
        "AQ-BRMDP": bm.agents.aq_brmdp(prior, num_draws=40),
        "TSEB": bm.agents.tseb(prior),
        "variance": bm.agents.variance_bonus(prior),
    }
    if name != "current":
        # Each program takes half a minute to compile; what is left out differs from the rest in its planner only.
        del agents["BRMDP"], agents["TSEB"], agents["variance"]
    result = bm.simulate(mdp, agents, steps=120, replicates=2, seed=0)
    assert np.isfinite(result["regret"]).all()
    size = result["effective_size"].values
    assert ((size >= 0.5 * 100 * (1 - 1e-6)) & (size <= 100 * (1 + 1e-6))).all()
    alone = bm.simulate(mdp, {"PSRL": agents["PSRL"]}, steps=120, replicates=1, seed=0)
    np.testing.assert_array_equal(
        alone["regret"].sel(agent="PSRL", replicate=0), result["regret"].sel(agent="PSRL", replicate=0)
    )


@pytest.mark.slow
def test_particles_do_as_the_closed_form_does() -> None:
    """Regret of PSRL on common luck, and what is believed in the end."""
    exact, followed = river_current(RIVER), bm.with_particles(river_current(RIVER), 500)
    agents = {"exact": bm.agents.psrl(exact), "particles": bm.agents.psrl(followed)}
    result = bm.simulate(RIVER, agents, steps=1_500, replicates=48, seed=1, checkpoints=[1_500])
    regret = result["regret"].sum("step")
    apart = regret.sel(agent="particles") - regret.sel(agent="exact")
    assert_standard_normal(float(apart.mean() / (apart.std(ddof=1) / np.sqrt(48))), "difference of regret")


@pytest.mark.slow
def test_nothing_is_compiled_again_as_data_come_in() -> None:
    agent = bm.agents.psrl(PRIORS["current"][1])
    bm.simulate(RIVER, {"PSRL": agent}, steps=60, replicates=1, seed=0)
    before = advance._cache_size()
    bm.simulate(RIVER, {"PSRL": agent}, steps=60, replicates=3, seed=5)
    assert advance._cache_size() == before


@pytest.mark.slow
def test_draws_of_a_hopeless_model_are_reported() -> None:
    """A model that gives what happens probability 0 has an effective size of 0, from then on."""
    still = bm.MDP(transition=np.eye(3)[None].repeat(2, 0).swapaxes(0, 1), reward=np.zeros(3), discount=0.5)
    model = tied_moves(still, np.array([[[1], [2]], [[2], [0]], [[0], [1]]]))
    with pytest.warns(RuntimeWarning, match=r"agents\['PSRL'\] gave what happened the probability 0 in 1 of 1"):
        result = bm.simulate(still, {"PSRL": bm.agents.psrl(bm.with_particles(model, 20))}, steps=50, replicates=1)
    assert float(result["effective_size"].isel(step=-1).item()) == 0
