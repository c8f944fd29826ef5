"""Structured priors: they contain the worlds they are about, and refuse tables and numbers that make no sense."""

from typing import Any

import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.model_reading.read_model import sites
from bayesmdp.model_reading.rows import all_transitions
from bayesmdp.models import hierarchical_dirichlet, queue_rates, tied_moves

LAKE = bm.environments.frozen_lake()
LINE = bm.environments.queue(0.35, capacity=7)
SLIPS = bm.environments.slips()


def kernel(model: Any, mdp: bm.MDP, unknowns: dict[str, Any]) -> np.ndarray:
    with jax.enable_x64(True):
        shape = mdp.num_states, mdp.num_actions, mdp.num_outcomes
        return np.asarray(sites(model, all_transitions(*shape), unknowns)["transition"]["value"])


@pytest.mark.parametrize("slip", [0.0, 0.1, 1 / 3])
def test_ice_contains_the_lake(slip: float) -> None:
    lake = bm.environments.frozen_lake(slip=slip)
    unknown = {"cause": np.array([2 * slip, 1 - 2 * slip])}
    made = kernel(tied_moves(LAKE, SLIPS, pattern=[[0.5, 0, 0.5], [0, 1, 0]]), LAKE, unknown)
    np.testing.assert_allclose(made, lake.transition, atol=1e-15)
    made = kernel(tied_moves(LAKE, SLIPS), LAKE, {"cause": np.array([slip, 1 - 2 * slip, slip])})
    np.testing.assert_allclose(made, lake.transition, atol=1e-15)


def test_the_map_is_chosen_by_its_number() -> None:
    tables = np.stack([SLIPS, np.zeros_like(SLIPS)])
    made = kernel(tied_moves(LAKE, tables), LAKE, {"cause": np.array([0, 1, 0.0]), "map": np.array(1)})
    assert (made[..., 0] == 1).all()


def test_rates_contain_the_queue() -> None:
    made = kernel(queue_rates(LINE), LINE, {"arrival": np.array(0.35), "service": np.array([0.3, 0.8])})
    np.testing.assert_allclose(made, LINE.transition, atol=1e-15)


def test_equal_priors_are_one_function() -> None:
    assert tied_moves(LAKE, SLIPS) is tied_moves(bm.environments.frozen_lake(discount=0.5), SLIPS.copy())
    assert queue_rates(LINE) is queue_rates(bm.environments.queue(0.9, capacity=7))
    assert hierarchical_dirichlet(LAKE) is hierarchical_dirichlet(LAKE, 0.3, 1.0)


def _with(index: tuple[int, ...], value: int) -> np.ndarray:
    table = SLIPS.copy()
    table[index] = value
    return table


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: tied_moves(LAKE, SLIPS[0]),
            ValueError,
            r"leads_to has shape \(4, 3\); expected \[state, action, move\]",
        ),
        (lambda: tied_moves(LAKE, _with((3, 1, 2), 16)), ValueError, r"leads_to\[3, 1, 2\] = 16; it must be in 0..15"),
        (lambda: tied_moves(LAKE, SLIPS * 1.0), TypeError, "leads_to must hold indices; got dtype float64"),
        (lambda: tied_moves(LAKE, SLIPS, 0.0), ValueError, "concentration = 0; it must be positive"),
        (lambda: tied_moves(LAKE, SLIPS, pattern=[[1, 1, 0]]), ValueError, r"pattern\[0\] = .* sums to 2"),
        (lambda: tied_moves(LAKE, SLIPS, pattern=[[1, 0]]), ValueError, r"pattern has shape \(1, 2\)"),
        (lambda: tied_moves(LAKE, np.stack([SLIPS] * 2), weight=[1, -1]), ValueError, r"weight\[1\] = -1"),
        (lambda: queue_rates(LAKE), ValueError, "the 3 outcomes one less, as many, one more; this MDP has 16 and 16"),
        (lambda: queue_rates(LINE, (1.0, 0.0)), ValueError, r"arrival\[1\] = 0"),
        (lambda: queue_rates(LINE, service=(1.0, np.inf)), ValueError, r"service\[1\] = inf"),
        (lambda: hierarchical_dirichlet(LAKE, -1.0), ValueError, "typical = -1"),
        (lambda: hierarchical_dirichlet(LAKE, 0.3, 0.0), ValueError, "spread = 0"),
    ],
)
def test_bad_input(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
