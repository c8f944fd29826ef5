"""The shipped models: their sites, their sizes, and what they refuse."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from bayesmdp import MDP
from bayesmdp.environments import riverswim
from bayesmdp.model_reading.read_model import sites
from bayesmdp.model_reading.rows import all_transitions
from bayesmdp.models import (
    beta_bernoulli_rewards,
    dirichlet_transitions,
    normal_gamma_rewards,
    normal_rewards,
    river_current,
)

RIVER = riverswim(6)


def trace(model: Any, shape: tuple[int, int, int]) -> dict[str, Any]:
    with jax.enable_x64(True):
        return sites(model, all_transitions(*shape))


def test_dirichlet_transitions_sites() -> None:
    transition = trace(dirichlet_transitions(RIVER, 0.5), (6, 2, 6))["transition"]
    assert transition["value"].shape == (6, 2, 6)
    assert {frame.dim: frame.name for frame in transition["cond_indep_stack"]} == {-2: "state", -1: "action"}
    assert transition["fn"].concentration.dtype == np.float64
    np.testing.assert_array_equal(transition["fn"].concentration, 0.5)


def test_concentration_broadcasts() -> None:
    by_outcome = np.arange(1.0, 7.0)
    concentration = trace(dirichlet_transitions(RIVER, by_outcome), (6, 2, 6))["transition"]["fn"].concentration
    np.testing.assert_array_equal(concentration, np.broadcast_to(by_outcome, (6, 2, 6)))


def test_outcomes_of_a_successor_table() -> None:
    sizes = SimpleNamespace(num_states=5, num_actions=3, num_outcomes=2, outcome_size=np.ones(()))
    assert trace(dirichlet_transitions(sizes), (5, 3, 2))["transition"]["value"].shape == (5, 3, 2)


def test_a_number_is_the_concentration_of_each_next_state() -> None:
    # Row 0 names one state twice, row 1 leaves 9 of 10 states unnamed, in two entries.
    table = np.zeros((10, 2, 3), int)
    table[:, 0], table[:, 1] = [4, 4, 5], [4, -1, -1]
    mdp = MDP(successor=table, reward=np.zeros(10), discount=0.9)
    fn = trace(dirichlet_transitions(mdp, 0.5), (10, 2, 3))["transition"]["fn"]
    np.testing.assert_array_equal(fn.concentration[7], [[0.25, 0.25, 0.5], [0.5, 2.25, 2.25]])


def _with(index: tuple[int, int, int], value: float) -> np.ndarray:
    array = np.ones((6, 2, 6))
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("concentration", "error", "message"),
    [
        (0.0, ValueError, "concentration = 0; it must be positive"),
        (-1, ValueError, "concentration = -1"),
        (_with((3, 1, 2), -0.5), ValueError, r"concentration\[3, 1, 2\] = -0.5"),
        (_with((0, 0, 5), np.nan), ValueError, r"concentration\[0, 0, 5\] = nan"),
        (np.inf, ValueError, "concentration = inf"),
        (np.ones(5), ValueError, r"shape \(5,\), which does not broadcast to .* \(6, 2, 6\)"),
        ("one", TypeError, "must hold numbers"),
        (True, TypeError, "must hold numbers; got dtype bool"),
    ],
)
def test_bad_concentrations(concentration: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dirichlet_transitions(RIVER, concentration)


def test_river_current_contains_riverswim() -> None:
    """With the right unknowns the model's river is the environment's."""
    unknowns = {"current": np.array([0.05, 0.6, 0.35]), "start": 0.6, "end": 0.6}
    with jax.enable_x64(True):
        transition = sites(river_current(riverswim(6)), all_transitions(6, 2, 6), unknowns)["transition"]["value"]
    assert RIVER.transition is not None
    np.testing.assert_allclose(transition, RIVER.transition, atol=1e-15)


@pytest.mark.parametrize("num_states", [3, 10])
def test_river_rows_are_distributions_with_exact_zeros(num_states: int) -> None:
    transition = np.asarray(
        trace(river_current(riverswim(num_states)), (num_states, 2, num_states))["transition"]["value"]
    )
    np.testing.assert_allclose(transition.sum(-1), 1)
    distance = np.abs(np.arange(num_states)[:, None] - np.arange(num_states))
    assert (transition[np.broadcast_to(distance[:, None] > 1, transition.shape)] == 0).all()


@pytest.mark.parametrize("shape", [(2, 2, 2), (6, 3, 6)])
def test_bad_rivers(shape: Any) -> None:
    mdp = MDP(transition=np.full(shape, 1 / shape[-1]), reward=np.zeros(shape[:2]), discount=0.9)
    with pytest.raises(ValueError, match=f"this MDP has {shape[0]} and {shape[1]}"):
        river_current(mdp)


@pytest.mark.parametrize("concentration", [(1, 1), (1, 0, 1), (1, 1, -1), (1, 1, float("nan"))])
def test_bad_currents(concentration: Any) -> None:
    with pytest.raises(ValueError, match="concentration must be three positive numbers"):
        river_current(riverswim(5), concentration=concentration)


PRIOR = dirichlet_transitions(RIVER)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((PRIOR, RIVER), TypeError, "mdp must have num_states and num_actions, as an MDP has; got function"),
        ((RIVER, RIVER), TypeError, "transitions is a NumPyro function of the data; got MDP"),
        ((RIVER, dirichlet_transitions), TypeError, r"give dirichlet_transitions\(mdp\)"),
        ((RIVER, normal_rewards(RIVER, PRIOR)), ValueError, "transitions has rewards of its own"),
    ],
)
def test_what_rewards_are_composed_with(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        normal_rewards(*given)


REWARDS = (normal_rewards, normal_gamma_rewards, beta_bernoulli_rewards)


@pytest.mark.parametrize("make", REWARDS)
def test_equal_rewards_are_one_function(make: Any) -> None:
    for tied in (False, "state", np.zeros((6, 2), int)):
        assert make(RIVER, PRIOR, tied=tied) is make(riverswim(6, discount=0.5), PRIOR, tied=tied)
    assert make(RIVER, PRIOR, tied="all") is make(RIVER, PRIOR, tied=np.zeros((6, 2), int))
    assert make(RIVER, PRIOR) is not make(RIVER, river_current(RIVER))
    assert make(RIVER, PRIOR).__name__ == f"dirichlet_transitions + {make.__name__}"


@pytest.mark.parametrize("make", REWARDS)
def test_sites_of_rewards(make: Any) -> None:
    sites = trace(make(RIVER, river_current(RIVER)), (6, 2, 6))
    assert {"current", "start", "end", "transition", "next_state"} < set(sites)
    assert sites["reward"]["type"] == "sample"
    assert sites["reward"]["value"].shape == (6, 2)
    assert {frame.dim: frame.name for frame in sites["reward"]["cond_indep_stack"]} == {-2: "state", -1: "action"}
    groups = np.arange(12).reshape(6, 2) % 5
    tied = trace(make(RIVER, PRIOR, tied=groups), (6, 2, 6))
    assert tied["reward_level"]["cond_indep_stack"][0].name == "group"
    np.testing.assert_array_equal(tied["reward"]["value"], np.asarray(tied["reward_level"]["value"])[groups])
    entered = trace(make(RIVER, PRIOR, tied="next_state"), (6, 2, 6))
    assert entered["reward"]["value"].shape == (6,) and "reward_level" not in entered


def test_numbers_of_rewards_reach_their_distributions() -> None:
    mean, noise = np.arange(12.0).reshape(6, 2), np.arange(1.0, 7)[:, None]
    sites = trace(normal_rewards(RIVER, PRIOR, mean=mean, scale=[0.5, 2.0], noise=noise), (6, 2, 6))
    np.testing.assert_array_equal(sites["reward"]["fn"].loc, mean)
    np.testing.assert_array_equal(sites["reward"]["fn"].scale, np.broadcast_to([0.5, 2.0], (6, 2)))
    rows = all_transitions(6, 2, 6)
    np.testing.assert_array_equal(sites["observed_reward"]["fn"].base_dist.scale, rows.state + 1)
    tied = trace(normal_gamma_rewards(RIVER, PRIOR, tied="action", weight=[2.0, 8.0], shape=3, rate=5), (6, 2, 6))
    np.testing.assert_array_equal(tied["precision"]["fn"].concentration, [3, 3])
    scale = tied["reward_level"]["fn"].scale
    np.testing.assert_allclose(scale, (np.array([2.0, 8.0]) * np.asarray(tied["precision"]["value"])) ** -0.5)


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (normal_rewards, {"noise": 0.0}, ValueError, "noise = 0; it must be positive and finite"),
        (normal_rewards, {"mean": [0.0, np.nan]}, ValueError, r"mean\[1\] = nan; it must be finite"),
        (normal_rewards, {"scale": np.ones(3)}, ValueError, r"shape \(3,\), which does not .* action\] = \(6, 2\)"),
        (
            normal_rewards,
            {"scale": np.ones(3), "tied": "action"},
            ValueError,
            r"does not broadcast to \[group\] = \(2,\)",
        ),
        (normal_gamma_rewards, {"rate": -1}, ValueError, "rate = -1; it must be positive"),
        (normal_rewards, {"tied": np.full((6, 2), 12)}, ValueError, r"tied\[0, 0\] = 12, but 12 pairs have at most"),
        (normal_gamma_rewards, {"weight": "much"}, TypeError, "weight must hold numbers; got dtype"),
        (beta_bernoulli_rewards, {"a": True}, TypeError, "a must hold numbers; got dtype bool"),
        (beta_bernoulli_rewards, {"tied": "pair"}, ValueError, "tied must be False, 'state', 'action', 'all'.*'pair'"),
        (beta_bernoulli_rewards, {"tied": np.zeros(6, int)}, ValueError, r"tied has shape \(6,\); expected"),
        (beta_bernoulli_rewards, {"tied": np.zeros((6, 2))}, TypeError, "tied must hold integers"),
        (normal_rewards, {"tied": np.full((6, 2), -1)}, ValueError, r"tied\[0, 0\] = -1; groups are numbered"),
        (normal_rewards, {"tied": np.full((6, 2), 1)}, ValueError, "tied has no pair of group 0"),
        (
            normal_rewards,
            {"noise": np.ones(2), "tied": "next_state"},
            ValueError,
            r"broadcast to \[next_state\] = \(6,\)",
        ),
        (normal_rewards, {"transitions": "river"}, TypeError, "transitions is a NumPyro function of the data; got str"),
    ],
)
def test_bad_rewards(make: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(RIVER, **({"transitions": PRIOR} | options))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda: dirichlet_transitions(RIVER, 1 / 7),
        lambda: river_current(RIVER, concentration=(1 / 7, 1 / 3, 1 / 9)),
        *(lambda add=add: add(RIVER, dirichlet_transitions(RIVER, 1 / 7)) for add in REWARDS),
    ],
)
def test_each_precision_has_its_own_arrays(make: Any, first: bool) -> None:
    """JAX 0.12 reads a NumPy array at the precision of the compiled function that first did, while that one lives."""
    model, held = make(), []
    for wide in (first, not first):
        held.append(jax.jit(lambda: _numbers(sites(model, all_transitions(6, 2, 6)))))
        with jax.enable_x64(wide):
            found = held[-1]()
        assert {leaf.dtype for leaf in found} == {np.dtype(np.float64 if wide else np.float32)}


def _numbers(messages: dict[str, Any]) -> list[jax.Array]:
    """What the sites' distributions are made of."""
    made = [site["fn"] for site in messages.values() if isinstance(site.get("fn"), dist.Distribution)]
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(made) if hasattr(leaf, "dtype")]
    return [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]


def test_models_import_nothing_of_bayesmdp() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import models; "
        "assert not any(name.startswith('bayesmdp') for name in sys.modules)"
    )
    root = __file__.rsplit("tests", 1)[0]
    subprocess.run([sys.executable, "-c", code, root], check=True, cwd="/")
