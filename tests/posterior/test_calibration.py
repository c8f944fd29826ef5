"""Simulation-based calibration: ranks of the truth among posterior draws are uniform, and not so for a wrong model.

Truths and data are drawn by NumPy from the prior as written here, not by the code under test.
"""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from bayesmdp.environments import riverswim
from bayesmdp.model_reading.likelihood import row_log_likelihood
from bayesmdp.model_reading.read_model import read, sites
from bayesmdp.model_reading.rows import Transitions, all_transitions
from bayesmdp.models import (
    beta_bernoulli_rewards,
    dirichlet_transitions,
    normal_gamma_rewards,
    normal_rewards,
    river_current,
)
from bayesmdp.posterior import exact_belief, infer
from bayesmdp.posterior.closed_forms.draws import draw_sites
from bayesmdp.posterior.closed_forms.transitions import find
from bayesmdp.posterior.inference import nuts
from bayesmdp.problems.world import Step
from tests.statistical import FAILURE_RATE, NUM_CALLS, assert_p_value, calibration_p_value, ranks

pytestmark = pytest.mark.usefixtures("wide")

SIZES = SimpleNamespace(num_states=3, num_actions=2, num_outcomes=3, outcome_size=np.ones(()))
NUM_DRAWS = 99


def dirichlet_truths(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows [replicate, state, action, next_state] from Dirichlet(0.7), and counts of 6 transitions from each."""
    rows = rng.dirichlet(np.full(3, 0.7), (size, 3, 2))
    return rows, rng.multinomial(6, rows).reshape(size, -1).astype(float)


def river_truths(rng: np.random.Generator, size: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Unknowns of the current, and counts of 4 transitions from each state and action of a river of 4."""
    truth = {"current": rng.dirichlet([1, 2, 2], size), "start": rng.beta(1, 1, size), "end": rng.beta(1, 1, size)}
    rows = np.zeros((size, 4, 2, 4))
    rows[:, [0, 1, 2, 3], 0, [0, 0, 1, 2]] = 1
    rows[:, 1, 1, 0:3] = rows[:, 2, 1, 1:4] = truth["current"]
    rows[:, 0, 1, 1], rows[:, 0, 1, 0] = truth["start"], 1 - truth["start"]
    rows[:, 3, 1, 3], rows[:, 3, 1, 2] = truth["end"], 1 - truth["end"]
    return truth, rng.multinomial(4, rows).reshape(size, -1).astype(float)


def overconfident(data: Transitions) -> None:
    """The Dirichlet model, but every observation counts three times."""
    with numpyro.plate("state", 3, dim=-2), numpyro.plate("action", 2, dim=-1):
        transition = numpyro.sample("transition", dist.Dirichlet(np.full(3, 0.7)))
    with data.rows(), handlers.scale(scale=3.0):
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


def exact_draws(model: Any, shape: tuple[int, int, int], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Draws [draw, replicate, ...]."""
    data = all_transitions(*shape)
    found = find(read(model), data)
    keys = jax.random.split(jax.random.key(11), len(weights))

    def one(args: Any) -> Any:
        key, weight = args
        return draw_sites(key, model, found.layout, data, found.posterior(weight), NUM_DRAWS)

    drawn = jax.jit(lambda keys, weights: jax.lax.map(one, (keys, weights)))(keys, weights)
    return {name: np.moveaxis(np.asarray(values), 0, 1) for name, values in drawn.items()}


def nuts_draws(model: Any, shape: tuple[int, int, int], weights: np.ndarray) -> dict[str, np.ndarray]:
    """The same from one run of NUTS on all replicates side by side, thinned to be nearly independent."""
    data = all_transitions(*shape)
    messages = sites(model, data)
    latents = {name: messages[name] for name in read(model).latents}

    def side_by_side(weights: Any) -> None:
        values = {}
        for name, site in latents.items():
            batch = (len(weights), *site["fn"].batch_shape)
            values[name] = numpyro.sample(name, site["fn"].expand(batch).to_event(len(batch)))

        def log_likelihood(values: Any, weight: Any) -> Any:
            with handlers.block():
                return row_log_likelihood(model, data._replace(weight=weight), values).sum()

        numpyro.factor("data", jax.vmap(log_likelihood)(values, weights).sum())

    drawn, statistics = nuts.run(
        side_by_side,
        weights,
        list(latents),
        num_draws=1200,
        num_chains=4,
        num_warmup=400,
        seed=0,
    )
    assert statistics["diverging"].mean() < 0.01
    return {name: values[:, ::12].reshape(-1, *values.shape[2:])[:NUM_DRAWS] for name, values in drawn.items()}


def p_value(truth: np.ndarray, draws: np.ndarray) -> float:
    return calibration_p_value(ranks(truth, draws), NUM_DRAWS)


def test_exact_dirichlet() -> None:
    truth, weights = dirichlet_truths(np.random.default_rng(1), 2000)
    draws = exact_draws(dirichlet_transitions(SIZES, 0.7), (3, 2, 3), weights)["transition"]
    for index in [(0, 0, 0), (1, 1, 2), (2, 0, 1)]:
        assert_p_value(p_value(truth[(..., *index)], draws[(..., *index)]), f"transition{index}")


@pytest.mark.slow
def test_exact_river() -> None:
    truth, weights = river_truths(np.random.default_rng(2), 2000)
    draws = exact_draws(river_current(riverswim(4), concentration=(1, 2, 2)), (4, 2, 4), weights)
    assert_p_value(p_value(truth["start"], draws["start"]), "start")
    assert_p_value(p_value(truth["end"], draws["end"]), "end")
    for k in range(3):
        assert_p_value(p_value(truth["current"][:, k], draws["current"][..., k]), f"current[{k}]")


def test_exact_with_a_wrong_model_fails() -> None:
    truth, weights = dirichlet_truths(np.random.default_rng(3), 1000)
    draws = exact_draws(overconfident, (3, 2, 3), weights)["transition"]
    assert p_value(truth[:, 0, 0, 0], draws[..., 0, 0, 0]) < FAILURE_RATE / NUM_CALLS


REWARDS = {
    "normal": (normal_rewards, {"mean": 1.0, "scale": 0.8, "noise": 1.5}),
    "normal-gamma": (normal_gamma_rewards, {"mean": -1.0, "weight": 0.5, "shape": 2.0, "rate": 3.0}),
    "beta": (beta_bernoulli_rewards, {"a": 0.7, "b": 2.0}),
}


def reward_truths(rng: np.random.Generator, kind: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean rewards [replicate, state, action], and 4 rewards [replicate, state, action, 4] of each pair."""
    shape = (size, 3, 2)
    if kind == "beta":
        truth = rng.beta(0.7, 2.0, shape)
        return truth, rng.binomial(1, truth[..., None], (*shape, 4)).astype(float)
    noise: Any = 1.5
    truth = rng.normal(1.0, 0.8, shape)
    if kind == "normal-gamma":
        noise = rng.gamma(2.0, 1 / 3.0, shape) ** -0.5
        truth = rng.normal(-1.0, noise / np.sqrt(0.5))
        noise = noise[..., None]
    return truth, rng.normal(truth[..., None], noise, (*shape, 4))


@pytest.mark.slow
@pytest.mark.parametrize("kind", REWARDS)
def test_rewards_in_the_belief_of_an_agent(kind: str) -> None:
    truth, given = reward_truths(np.random.default_rng(7), kind, 2000)
    make, options = REWARDS[kind]
    belief = exact_belief(make(SIZES, dirichlet_transitions(SIZES), **options), SIZES, NUM_DRAWS)
    s, a, _ = np.indices((3, 2, 4)).reshape(3, -1).astype(np.int32)

    def one(args: Any) -> Any:
        key, rewards = args

        def step(state: Any, row: Any) -> Any:
            s, a, r = row
            return belief.observe(key, state, Step(s, a, 0, 0, r, False)), None

        state, _ = jax.lax.scan(step, belief.init(key), (s, a, rewards))
        return belief.draw(key, state)[1]["reward"]

    keys = jax.random.split(jax.random.key(3), len(truth))
    drawn = jax.jit(lambda keys, given: jax.lax.map(one, (keys, given)))(keys, given.reshape(len(truth), -1))
    draws = np.moveaxis(np.asarray(drawn), 0, 1)
    for index in [(0, 0), (2, 1)]:
        assert_p_value(p_value(truth[(..., *index)], draws[(..., *index)]), f"reward{index}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", REWARDS)
def test_rewards_in_infer(kind: str) -> None:
    """Replicates are states of one large problem: independent unknowns, one posterior."""
    truth, given = reward_truths(np.random.default_rng(8), kind, 300)
    make, options = REWARDS[kind]
    sizes = SimpleNamespace(num_states=900, num_actions=2, num_outcomes=1, outcome_size=np.ones(()))
    s, a, _ = np.indices((900, 2, 4)).reshape(3, -1).astype(np.int32)
    rows = Transitions(s, a, np.zeros_like(s), given.ravel(), np.ones(s.size))
    tree = infer(make(sizes, dirichlet_transitions(sizes), **options), rows, draws=NUM_DRAWS, method="exact")
    draws = tree.posterior["reward"].values.reshape(NUM_DRAWS, 900, 2)
    assert_p_value(p_value(truth.reshape(900, 2), draws), "reward")


# Under NUTS one component of each independent row is ranked: 6 rows x 40 replicates.


@pytest.mark.slow
def test_nuts_dirichlet() -> None:
    truth, weights = dirichlet_truths(np.random.default_rng(4), 40)
    draws = nuts_draws(dirichlet_transitions(SIZES, 0.7), (3, 2, 3), weights)["transition"]
    assert_p_value(p_value(truth[..., 0], draws[..., 0]), "transition")


@pytest.mark.slow
def test_nuts_river() -> None:
    truth, weights = river_truths(np.random.default_rng(5), 40)
    draws = nuts_draws(river_current(riverswim(4), concentration=(1, 2, 2)), (4, 2, 4), weights)
    together = [ranks(truth["start"], draws["start"]), ranks(truth["end"], draws["end"])]
    together.append(ranks(truth["current"][:, 1], draws["current"][..., 1]))
    assert_p_value(calibration_p_value(np.concatenate(together), NUM_DRAWS), "river")


@pytest.mark.slow
def test_nuts_with_a_wrong_model_fails() -> None:
    truth, weights = dirichlet_truths(np.random.default_rng(6), 40)
    draws = nuts_draws(overconfident, (3, 2, 3), weights)["transition"]
    assert p_value(truth[..., 0], draws[..., 0]) < FAILURE_RATE / NUM_CALLS
