"""Levels by the posterior's spread, against Dirichlet moments and by hand."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.agents.doubt_brmdp import doubt_of


def test_doubt_of_a_dirichlet_row_is_known() -> None:
    rng = np.random.default_rng(0)
    for alpha in ([0.2, 0.3, 0.5], [4.0, 1.0, 2.0], [30.0, 20.0, 0.1]):
        with jax.enable_x64(True):
            found = float(doubt_of(rng.dirichlet(alpha, 200_000)))
        assert found == pytest.approx((sum(alpha) + 1) ** -0.5, rel=0.01)
    with jax.enable_x64(True):
        assert float(doubt_of(np.tile([1.0, 0.0], (5, 1)))) == 0


@pytest.mark.parametrize("relative", [False, True])
def test_levels_by_hand(relative: bool) -> None:
    """With S states and Dirichlet(1/S) rows d^2 is 1 / (n + 2), but for the error of draws."""
    river = bm.environments.riverswim(6)
    agent = bm.agents.doubt_brmdp(bm.models.dirichlet_transitions(river, 1 / 6), relative=relative, num_draws=4_000)
    run = bm.simulate(river, {"a": agent}, steps=150, replicates=1, seed=2).to_dataset().isel(agent=0, replicate=0)
    visits, begun, period = np.zeros((6, 2)), np.zeros((6, 2)), 0.0
    for s, a, level, doubt, now in zip(
        *(run[name].values for name in ("state", "action", "level", "doubt", "period")), strict=True
    ):
        if now > period:
            begun, period = visits.copy(), now
        each = (begun + 2) ** -0.5
        assert doubt == pytest.approx(each.mean(), rel=0.03)
        own = each.mean() / each[s, a] if relative else 1.0
        assert level == pytest.approx(max(0.1, 1 - each.mean() * own), abs=0.03)
        visits[s, a] += 1
    assert begun.sum() > 100


def test_mistakes_are_told() -> None:
    prior = bm.models.dirichlet_transitions(bm.environments.riverswim(6))
    with pytest.raises(ValueError, match="floor must"):
        bm.agents.doubt_brmdp(prior, floor=0)
    with pytest.raises(ValueError, match="num_draws"):
        bm.agents.doubt_brmdp(prior, num_draws=0)
