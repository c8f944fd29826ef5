"""Problems drawn from known priors, DeepSea and SixArms: published figures, closed forms, rules written anew."""

from functools import partial

import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp import environments
from bayesmdp.model_reading.read_model import sample_prior
from bayesmdp.models import dirichlet_transitions, sparse_dirichlet
from bayesmdp.posterior.beliefs.exact import exact_belief

MAKERS = {
    "chain": environments.generalised_chain,
    "double loop": environments.generalised_double_loop,
    "grid": partial(environments.generalised_grid, 3),
}
# Castronovo et al. (2016): 95% intervals of the optimal policy's return in 500 problems of the exact prior.
OPTIMUM = {"chain": (67.5, 78.0), "double loop": (3.38, 3.63)}


def on_states(mdp, kernel):
    """A kernel [draw, state, action, outcome] on a table, as one on states."""
    dense = np.zeros((*kernel.shape[:-1], mdp.num_states))
    state, action = np.indices(mdp.successor.shape[:2])
    for outcome in range(kernel.shape[-1]):
        dense[:, state, action, mdp.successor[..., outcome]] += kernel[..., outcome]
    return dense


def drawn(prior, mdp, number):
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(5), number)
        return np.asarray(jax.vmap(lambda key: sample_prior(prior, key, mdp.sizes)["transition"])(keys))


@pytest.mark.parametrize("name", MAKERS)
def test_without_a_seed_rows_are_the_mean_of_the_exact_prior(name):
    table, dense = MAKERS[name](), MAKERS[name](dense=True)
    counts = (dense.transition > 0).astype(float)
    for kernel in (dense.transition, on_states(table, table.transition[None])[0]):
        np.testing.assert_allclose(kernel, counts / counts.sum(-1, keepdims=True), atol=1e-15)


@pytest.mark.parametrize(
    "name", ["chain", *(pytest.param(name, marks=pytest.mark.slow) for name in ("double loop", "grid"))]
)
def test_the_exact_prior_is_that_of_the_counts_on_a_table_and_on_states(name):
    """Both forms of the exact prior have the mean and the variance of Dirichlet rows with counts 1."""
    table, dense = MAKERS[name](), MAKERS[name](dense=True)
    counts = (dense.transition > 0).astype(float)
    total = counts.sum(-1, keepdims=True)
    mean, variance = counts / total, counts * (total - counts) / (total**2 * (total + 1))
    number = 2_000
    for kernels in (
        on_states(table, drawn(dirichlet_transitions(table, 1.0), table, number)),
        drawn(sparse_dirichlet(dense, counts), dense, number),
    ):
        np.testing.assert_allclose(kernels.sum(-1), 1, atol=1e-12)
        assert (kernels[:, counts == 0] == 0).all()
        np.testing.assert_allclose(kernels.mean(0), mean, atol=5 * np.sqrt(1 / 12 / number))
        np.testing.assert_allclose(kernels.var(0), variance, atol=0.01)


@pytest.mark.parametrize("name", OPTIMUM)
def test_the_optimum_over_problems_of_the_prior_is_the_published_one(name):
    lower, upper = OPTIMUM[name]
    values = [float(bm.solve(MAKERS[name](seed=seed))["value"][0]) for seed in range(150)]
    assert lower < np.mean(values) < upper


def test_a_seed_draws_one_problem_on_either_form():
    for make in MAKERS.values():
        table, dense, other = make(seed=3), make(seed=3, dense=True), make(seed=4)
        np.testing.assert_allclose(on_states(table, table.transition[None])[0], dense.transition, atol=1e-15)
        np.testing.assert_allclose(bm.solve(table)["value"], bm.solve(dense)["value"], rtol=1e-9)
        assert not np.allclose(table.transition, other.transition)


@pytest.mark.slow
def test_an_inexact_prior_and_the_exact_one_face_the_same_truths():
    dense = environments.generalised_chain(dense=True)
    exact = sparse_dirichlet(dense, (dense.transition > 0).astype(float))
    agents = {"exact": bm.agents.psrl(exact), "inexact": bm.agents.psrl(dirichlet_transitions(dense, 1.0))}
    result = bm.simulate(dense, agents, steps=100, replicates=8, truth=exact)
    # In the truth only two states follow each, whoever acts.
    state = result["state"].values
    assert ((state[..., 1:] == 0) | (state[..., 1:] == np.minimum(state[..., :-1] + 1, 4))).all()
    saved = result["regret"].sum("step")
    assert float(saved.sel(agent="exact").mean()) < float(saved.sel(agent="inexact").mean())


@pytest.mark.parametrize(
    ("concentration", "message"),
    [
        (np.array([1.0, -1, 0, 0, 0]), r"concentration\[0, 0, 1\] = -1; it must be positive, or 0"),
        (np.zeros(5), r"concentration\[0, 0\] allows no next state"),
        (np.array([1.0, np.inf, 0, 0, 0]), r"concentration\[1\] = inf"),
        (np.ones(4), r"does not broadcast to \[state, action, outcome\]"),
    ],
)
def test_wrong_concentrations_are_refused(concentration, message):
    with pytest.raises(ValueError, match=message):
        sparse_dirichlet(environments.generalised_chain(dense=True), concentration)


def walked_deep_sea(size, seed, ways):
    """Returns of ways down, by the rules of bsuite's `_step`, for the mapping that the environment drew."""
    rights = np.random.default_rng(seed).integers(0, 2, (size, size))
    for way in ways:
        column, total = 0, 0.0
        for row, action in enumerate(way):
            right = action == rights[row, column]
            total += (column == size - 1 and right) - 0.01 / size * right
            column = min(max(column + (1 if right else -1), 0), size - 1)
        yield total


def test_deep_sea_pays_every_way_down_as_bsuite_does():
    size, seed = 5, 3
    sea = environments.deep_sea(size, seed=seed)
    ways = list(np.ndindex((2,) * size))
    for way, expected in zip(ways, walked_deep_sea(size, seed, ways), strict=True):
        state, total = 0, 0.0
        for action in way:
            total += sea.reward[state, action, 0]
            state = int(sea.transition[state, action].argmax())
        assert sea.terminal[state] and total == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [2, 6, 20])
def test_deep_sea_optimal_returns(size):
    """.99 without chance; with it one goes right until that fails, for (1 - 1/N)^(N-1) - .01 (1 - (1 - 1/N)^N)."""
    assert float(bm.solve(environments.deep_sea(size))["value"][0]) == pytest.approx(0.99, abs=1e-12)
    holds = 1 - 1 / size
    best = holds ** (size - 1) - 0.01 * (1 - holds**size)
    assert float(bm.solve(environments.deep_sea(size, stochastic=True))["value"][0]) == pytest.approx(best, abs=1e-12)


def test_six_arms_scale_is_a_number() -> None:
    with pytest.raises((ValueError, TypeError), match="scale must be a number; got 'a'"):
        environments.six_arms(scale="a")  # type: ignore[arg-type]


def test_six_arms_values_of_arms_in_closed_form():
    """Trying arm a until it opens and staying is worth g p / (1 - g (1 - p)) r / (1 - g)."""
    discount = 0.95
    rooms = environments.six_arms(discount=discount)
    best = np.array([p * discount / (1 - discount * (1 - p)) for p in (1, 0.15, 0.1, 0.05, 0.03, 0.01)])
    worth = best * np.array([50, 133, 300, 800, 1660, 6000]) / (1 - discount)
    solved = bm.solve(rooms)
    assert float(solved["value"][0]) == pytest.approx(worth.max(), rel=1e-9)
    for arm in range(6):
        stays = np.full(7, arm)
        stays[1] = 0
        assert float(bm.evaluate(rooms, stays)[0]) == pytest.approx(worth[arm], rel=1e-9)
    assert float(bm.solve(environments.six_arms(discount=None, scale=1 / 6000)).gain) == pytest.approx(1, rel=1e-9)


def test_moments_of_rows_with_impossible_next_states_are_those_of_the_shorter_rows():
    mdp = environments.generalised_chain(dense=True)
    concentration = np.where(mdp.transition > 0, 0.5 + np.arange(mdp.num_outcomes), 0.0)
    prior = sparse_dirichlet(mdp, concentration)
    log = bm.collect(mdp, steps=40, seed=3)
    belief = exact_belief(prior, mdp, 1)
    seen = np.zeros(concentration.shape)
    np.add.at(seen, tuple(log[name].values - 1 for name in ("state", "action", "next_state")), 1)
    with jax.enable_x64(True):
        sums = np.stack([seen.ravel(), 0 * seen.ravel()], -1)
        state = belief.init(jax.random.key(0))._replace(seen=jax.numpy.asarray(sums))
        mean, variance = belief.moments(jax.random.key(1), state)[1]["transition"]
    total = (concentration + seen).sum(-1, keepdims=True)
    expected = (concentration + seen) / total
    np.testing.assert_allclose(mean, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(variance, expected * (1 - expected) / (total + 1), rtol=1e-9, atol=1e-15)
