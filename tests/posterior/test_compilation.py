"""How many programs it takes to read a model: four, and one more where it computes sites from others.

Counted and not timed, so that operations run one by one, each a program of its own, cannot creep back unseen. The front
page's are counted in `tests/project/test_compilation.py`.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayesmdp as bm
from bayesmdp.models import (
    beta_bernoulli_rewards,
    dirichlet_transitions,
    normal_gamma_rewards,
    normal_rewards,
    river_current,
    slippery_lake,
)
from bayesmdp.posterior.beliefs.particles import smc_belief
from bayesmdp.posterior.beliefs.primitives import recorded_belief
from tests.programs import compiled_programs

RIVER, LAKE = bm.environments.riverswim(6), bm.environments.frozen_lake()
LOG = bm.collect(RIVER, policy="uniform", steps=300, seed=0)
PAID = LOG.assign(reward=(LOG.reward > 0.5).astype(float))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """As in a process that has compiled nothing."""
    jax.clear_caches()  # type: ignore[no-untyped-call]
    yield


def current(data: Any) -> None:
    """The README's river, whose current is one unknown number."""
    swimming = np.arange(1, 5)[:, None]
    ahead = numpyro.sample("ahead", dist.Beta(2, 2))
    row = jnp.stack([(1 - ahead) / 13, (1 - ahead) * 12 / 13, ahead])
    transition = jnp.asarray(RIVER.transition).at[swimming, 1, swimming + np.arange(-1, 2)].set(row)
    transition = numpyro.deterministic("transition", transition)
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


@pytest.mark.parametrize(
    ("model", "most"),
    [
        (current, 5),
        pytest.param(river_current(RIVER), 5, marks=pytest.mark.slow),
        (normal_rewards(RIVER, dirichlet_transitions(RIVER)), 4),
        pytest.param(normal_gamma_rewards(RIVER, dirichlet_transitions(RIVER)), 4, marks=pytest.mark.slow),
        (beta_bernoulli_rewards(RIVER, dirichlet_transitions(RIVER), tied="state"), 5),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_exact_posteriors_and_beliefs(model: Any, most: int) -> None:
    with compiled_programs() as programs:
        bm.infer(model, PAID, draws=1_000)
    assert len(programs) <= most, programs
    jax.clear_caches()  # type: ignore[no-untyped-call]
    with compiled_programs() as programs:
        bm.posterior.exact_belief(model, RIVER, 7)
    assert len(programs) <= most, programs


def test_logs_of_about_the_same_size_share_their_programs() -> None:
    prior = dirichlet_transitions(LAKE)
    log = bm.collect(LAKE, policy="uniform", steps=500, seed=0)
    bm.infer(prior, log, draws=100)
    with compiled_programs() as programs:
        bm.infer(prior, log.isel(step=slice(10, 490)), draws=200)
    assert not programs
    bm.infer(prior, log.isel(step=slice(3)), draws=100)
    with compiled_programs() as programs:
        bm.infer(prior, log.isel(step=slice(10)), draws=100)
    assert not programs


@pytest.mark.slow
def test_particles(capsys: pytest.CaptureFixture[str]) -> None:
    """A log's posterior, with its prior, is one program beside those that read the model."""
    log = bm.collect(RIVER, policy="uniform", steps=300, seed=0)
    with compiled_programs() as programs:
        tree = bm.infer(current, log, method="smc", draws=1_000, progress=True)
    assert len(programs) <= 5, programs
    assert "runs of particles" in capsys.readouterr().err
    # What `infer` says of its statistics.
    assert "sample_stats" not in tree.children
    assert tree.attrs["least_effective_size"] > 0 and tree.attrs["resampled"] >= 1
    jax.clear_caches()  # type: ignore[no-untyped-call]
    with compiled_programs() as programs:
        smc_belief(current, RIVER, 7)
    assert len(programs) <= 3, programs


@pytest.mark.slow
def test_recorded_primitives() -> None:
    lake = bm.environments.slippery_lake()
    model, log = slippery_lake(lake), bm.collect(lake, steps=50, seed=0)
    jax.clear_caches()  # type: ignore[no-untyped-call]
    with compiled_programs() as programs:
        bm.infer(model, log, mdp=lake, draws=100)
    assert len(programs) <= 9, programs
    jax.clear_caches()  # type: ignore[no-untyped-call]
    with compiled_programs() as programs:
        recorded_belief(model, lake, 7, 60)
    assert len(programs) <= 11, programs
