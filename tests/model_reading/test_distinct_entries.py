"""Each distinct entry once: the same numbers and slopes as the function has, and nothing merged that can differ."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.model_reading.distinct_entries import distinct_entries
from bayesmdp.model_reading.rows import all_transitions
from bayesmdp.models import dirichlet_transitions, normal_rewards, queue_rates, river_current, tied_moves
from bayesmdp.posterior.particles.coordinates import coordinates
from bayesmdp.posterior.particles.evaluation import evaluate

RIVER, LAKE, LINE = bm.environments.riverswim(6), bm.environments.frozen_lake(), bm.environments.queue(capacity=5)
SLIPS = bm.environments.slips()
PRIORS: dict[str, tuple[Any, Any, int]] = {
    # A probability of 0 and one of 1, three moves of the current, two at either end.
    "current": (river_current(RIVER), RIVER, 9),
    # What is impossible, and sums of none to three moves that a place can be reached by.
    "ice": (tied_moves(LAKE, SLIPS), LAKE, 7),
    "either ice": (tied_moves(LAKE, np.stack([SLIPS, SLIPS[:, ::-1]])), LAKE, 1_024),
    "queue": (queue_rates(LINE), LINE, 16),
    "rewards": (normal_rewards(RIVER, river_current(RIVER), noise=0.5), RIVER, 72),
    "nothing alike": (dirichlet_transitions(RIVER), RIVER, 72),
}
PLACES = np.array([[0, 1, 1, 0], [2, 2, 1, 0], [0, 1, 1, 0]])
TABLE = np.arange(12.0).reshape(3, 4) % 3


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "entry by entry": lambda p, tied: jnp.where(tied > 0.4, jnp.exp(tied) * 2, tied**2) + jnp.minimum(tied, 0.3),
    "known entries": lambda p, tied: jnp.sin(tied) * TABLE + (TABLE > 1),
    "laid out": lambda p, tied: jnp.concatenate([tied.T.reshape(4, 3), tied[:, ::-1].T, jnp.stack([p, p[::-1]])]),
    "parts": lambda p, tied: tied[1:, ::2] + jnp.split(tied, 2, axis=1)[1][:2],
    "set": lambda p, tied: jnp.zeros((4, 5)).at[np.array([0, 3]), 1:4].set(p).at[2].set(p[0]).at[1, 1].set(1 - p[1]),
    "set twice": lambda p, tied: jnp.zeros((4, 5)).at[np.array([0, 0]), 1].set(jnp.stack([p[0], p[0]])),
    "set beyond": lambda p, tied: jnp.zeros((4, 5)).at[np.array([0, 9]), 1].set(p[:2], mode="drop"),
    "looked up": lambda p, tied: jnp.tile(p, 4)[np.array([0, 3, 6, 1])],
    "looked up beyond": lambda p, tied: jnp.tile(p, 4).at[np.array([0, 3, 60, 1])].get(mode="fill", fill_value=7.0),
    "looked up by an unknown": lambda p, tied: jnp.tile(p, 4)[jnp.argmax(p) + np.arange(3)],
    "windows": lambda p, tied: jnp.stack([tied, 1 - tied])[:, np.array([0, 2, 1])],
    "sums": lambda p, tied: tied.sum(1) + jnp.stack([tied, tied]).max((0, 2)),
    "running sums": lambda p, tied: jnp.cumsum(tied, 1),
    "products": lambda p, tied: jnp.ones((6, 4)) @ tied.T @ jnp.ones((3, 2)),
    "batches": lambda p, tied: jnp.einsum("bij,bjk->bik", jnp.stack([tied, tied]), jnp.ones((2, 4, 3))),
    "rules of its own": lambda p, tied: jax.nn.softplus(tied) + jax.nn.relu(tied - 0.3),
    "a loop": lambda p, tied: jax.lax.fori_loop(0, 3, lambda _, x: x * tied, tied),
    "compiled inside": lambda p, tied: jax.jit(lambda x: x * 2)(tied),
    "a number alone": lambda p, tied: jnp.broadcast_to(p[0] * p[1], (3, 3)),
    "known alone": lambda p, tied: jnp.asarray(TABLE),
}
"""Arrays made of three numbers, `tied` being one that repeats them."""


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def test_any_operation_gives_the_same_numbers_and_slopes() -> None:
    def weighed(rows: Any) -> Any:
        return rows @ np.sin(np.arange(len(rows)))

    def of(make: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        return lambda p: (p.sum(), make(p, p[PLACES]).ravel())

    functions = {name: of(make) for name, make in WAYS.items()}
    made = {name: distinct_entries(function, np.zeros(3)) for name, function in functions.items()}

    # In one program, which compiles sooner than forty.
    @jax.jit
    def compared(p: Any) -> Any:
        found = {}
        for name, function in functions.items():
            distinct, place = made[name]
            again = lambda p, distinct=distinct, place=place: (distinct(p)[0], distinct(p)[1][place])  # noqa: E731
            found[name] = [(*f(p), jax.grad(lambda p, f=f: weighed(f(p)[1]))(p)) for f in (function, again)]
        return found

    for p in np.random.default_rng(1).uniform(size=(4, 3)):
        for name, (wanted, got) in compared(p).items():
            for one, other in zip(wanted, got, strict=True):
                np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-13, err_msg=name)
    sizes = {name: len(np.unique(place)) for name, (_, place) in made.items()}
    assert sizes["a number alone"] == 1 and sizes["looked up"] == 2 and sizes["windows"] == 6
    assert sizes["entry by entry"] == sizes["known alone"] == 3 and sizes["products"] == 1
    # Each entry stays where one of two is said to be set, or an index is not known.
    assert sizes["set twice"] == 20 and sizes["looked up by an unknown"] == 3


SECOND = {"either ice", "queue", "nothing alike"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SECOND else name for name in PRIORS]
)
def test_priors_have_the_same_likelihoods(name: str) -> None:
    model, mdp, size = PRIORS[name]
    rows = all_transitions(mdp.num_states, mdp.num_actions, mdp.num_outcomes)
    rows = rows._replace(weight=np.ones(len(rows.state)), reward=np.arange(len(rows.state)) % 2 * 1.0)
    layout = coordinates(model, rows)

    def function(z: Any, choice: Any) -> Any:
        return evaluate(model, layout, z, choice, rows)

    distinct, place = distinct_entries(function, np.zeros(layout.size), np.int32(0))
    rng = np.random.default_rng(0)
    z, choice = rng.normal(size=(20, layout.size)), rng.integers(layout.choices, size=20).astype(np.int32)
    prior, likelihood = jax.jit(jax.vmap(function))(z, choice)
    same, entries = jax.jit(jax.vmap(distinct))(z, choice)
    np.testing.assert_allclose(same, prior, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(entries)[:, place], likelihood, rtol=1e-11, atol=1e-12)
    assert entries.shape[1] == size


def test_what_is_equal_by_chance_stays_apart() -> None:
    def function(x: Any) -> Any:
        alike = jnp.stack([x, jnp.where(x > 3, 2 * x, x), jnp.clip(x, -9.0, 9.0), x * 1.0, 0.0 * x])
        return x, jnp.concatenate([alike, alike])

    distinct, place = distinct_entries(function, np.zeros(()))
    assert len(set(place)) == 5 and place.tolist() == [*place[:5]] * 2
    for x in (0.0, 1.0, 4.0, 10.0):
        np.testing.assert_array_equal(np.asarray(distinct(x)[1])[place], function(x)[1])
