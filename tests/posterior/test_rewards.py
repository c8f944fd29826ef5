"""Models of rewards: their closed forms written down by hand, in `infer` and in the belief of an agent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from numpyro import handlers
from scipy import stats

import bayesmdp as bm
from bayesmdp.environments import riverswim
from bayesmdp.logs.log import make_log
from bayesmdp.model_reading.read_model import read
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.models import (
    beta_bernoulli_rewards,
    dirichlet_transitions,
    normal_gamma_rewards,
    normal_rewards,
    river_current,
)
from bayesmdp.posterior import Belief, NotConjugate, draw, exact_belief, infer
from bayesmdp.posterior.closed_forms.transitions import find_for_any_reward
from bayesmdp.posterior.inference import reward_summary as summary
from bayesmdp.problems.world import Step
from tests.posterior.test_exact import kind_of
from tests.statistical import assert_follows, assert_means, assert_standard_normal

pytestmark = pytest.mark.usefixtures("wide")

RIVER = riverswim(3)
PAIRS = (3, 2)
TRANSITIONS = {"dirichlet": dirichlet_transitions(RIVER, 0.5), "river": river_current(RIVER)}
GROUPS = np.array([[0, 1], [1, 1], [2, 0]])
KNOWN: dict[str, dict[str, Any]] = {
    "normal": {"mean": -1.5, "scale": 0.7, "noise": 2.5},
    "normal-gamma": {"mean": 3.0, "weight": 0.3, "shape": 1.2, "rate": 0.05},
    "beta": {"a": 0.5, "b": 2.0},
}
MAKERS = {"normal": normal_rewards, "normal-gamma": normal_gamma_rewards, "beta": beta_bernoulli_rewards}


def make(kind: str, transitions: str = "dirichlet", tied: Any = False) -> Any:
    return MAKERS[kind](RIVER, TRANSITIONS[transitions], tied=tied, **KNOWN[kind])


def rewards(kind: str, size: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random(size) < 0.3).astype(float) if kind == "beta" else rng.normal(0.5, 2, size)


def walk(steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, actions and next states of a uniform walk along the river."""
    rng, s = np.random.default_rng(seed), 0
    rows = np.empty((steps, 3), np.int32)
    luck = rng.random(steps)
    actions = rng.integers(2, size=steps)
    for i in range(steps):
        t = int(np.searchsorted(RIVER.transition[s, actions[i]].cumsum(), luck[i], side="right"))
        rows[i] = s, actions[i], t
        s = t
    return rows[:, 0], rows[:, 1], rows[:, 2]


def log_of(kind: str, steps: int = 80) -> xr.Dataset:
    s, a, t = walk(steps)
    return make_log(RIVER, s, a, rewards(kind, steps), t)


def closed_form(kind: str, given: np.ndarray) -> list[float]:
    """Parameters after the rewards `given` to one unknown, as in a textbook."""
    k, n = KNOWN[kind], len(given)
    if kind == "normal":
        precision = 1 / k["scale"] ** 2 + n / k["noise"] ** 2
        return [(k["mean"] / k["scale"] ** 2 + given.sum() / k["noise"] ** 2) / precision, precision**-0.5]
    if kind == "beta":
        return [k["a"] + given.sum(), k["b"] + n - given.sum()]
    m, weight = given.mean() if n else 0.0, k["weight"] + n
    rate = k["rate"] + ((given - m) ** 2).sum() / 2 + k["weight"] * n * (m - k["mean"]) ** 2 / (2 * weight)
    return [(k["weight"] * k["mean"] + n * m) / weight, weight, k["shape"] + n / 2, rate]


def by_group(
    kind: str, tied: Any, s: np.ndarray, a: np.ndarray, r: np.ndarray, t: np.ndarray | None = None
) -> np.ndarray:
    """Closed forms [state, action, parameter], or [group, parameter]."""
    if isinstance(tied, str) and tied == "next_state":
        return np.array([closed_form(kind, r[t == g]) for g in range(3)])
    if tied is False:
        return np.array([[closed_form(kind, r[(s == i) & (a == j)]) for j in range(2)] for i in range(3)])
    group = {"action": np.indices(PAIRS)[1], "state": np.indices(PAIRS)[0], "all": np.zeros(PAIRS, int)}
    number = group[tied] if isinstance(tied, str) else tied
    return np.array([closed_form(kind, r[number[s, a] == g]) for g in range(number.max() + 1)])


def as_steps(kind: str, steps: int) -> Step:
    s, a, t = walk(steps)
    return Step(s, a, t, t, rewards(kind, steps), np.zeros(steps, bool))


def run(belief: Belief, steps: Step) -> Any:
    def body(state: Any, step: Step) -> Any:
        return belief.observe(jax.random.key(0), state, step), None

    state = jax.jit(lambda steps: jax.lax.scan(body, belief.init(jax.random.key(0)), steps)[0])(steps)
    return jax.tree.map(np.asarray, state)  # of NumPy's, what a belief says of it needs no program


CASES = [(kind, "dirichlet", False) for kind in KNOWN] + [
    ("normal", "dirichlet", "state"),
    ("normal-gamma", "river", GROUPS),
    ("normal-gamma", "dirichlet", "all"),
    ("normal", "dirichlet", "next_state"),
]
SECOND = [
    ("beta", "river", "action"),
    ("normal", "river", False),
    ("beta", "river", "next_state"),
    ("normal-gamma", "dirichlet", "next_state"),
]


@pytest.mark.parametrize(
    ("kind", "transitions", "tied"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in SECOND)],
    ids=str,
)
def test_closed_forms(kind: str, transitions: str, tied: Any) -> None:
    s, a, t = walk(80)
    r = rewards(kind, 80)
    expected = by_group(kind, tied, s, a, r, t)
    model = make(kind, transitions, tied)
    site = "reward" if tied is False or (isinstance(tied, str) and tied == "next_state") else "reward_level"
    tree = infer(model, log_of(kind), draws=0, method="exact")
    labels = {"normal": ["mean", "sd"], "beta": ["a", "b"], "normal-gamma": ["mean", "weight", "shape", "rate"]}[kind]
    found = tree.parameters[site].sel(parameter=labels)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    belief = exact_belief(model, RIVER, 1)
    state = run(belief, as_steps(kind, 80))
    assert belief.parameters is not None
    np.testing.assert_allclose(belief.parameters(state)[site], expected, rtol=1e-9, atol=1e-9)
    n = np.zeros((3, 2, 3))
    np.add.at(n, (s, a, t), 1)
    if transitions == "dirichlet":
        np.testing.assert_allclose(tree.parameters["transition"], 0.5 + n, atol=1e-9)
        np.testing.assert_allclose(belief.parameters(state)["transition"], 0.5 + n, atol=1e-9)
    else:
        start = [1 + n[0, 1, 1], 1 + n[0, 1, 0]]
        np.testing.assert_allclose(tree.parameters["start"].sel(parameter=["a", "b"]), start, atol=1e-9)
    rows = belief.rows(state)
    np.testing.assert_array_equal(rows.weight, n.ravel())
    total = np.zeros((3, 2, 3))
    np.add.at(total, (s, a, t), r)
    np.testing.assert_allclose(rows.reward, (total / np.maximum(n, 1)).ravel(), atol=1e-12)


@pytest.mark.parametrize(
    "kind", ["normal-gamma", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("normal", "beta"))]
)
def test_draws_and_moments(kind: str) -> None:
    belief = exact_belief(make(kind), RIVER, 40_000)
    state = run(belief, as_steps(kind, 80))
    sites = jax.jit(belief.draw)(jax.random.key(1), state)[1]
    parameters = np.asarray(belief.parameters(state)["reward"])  # type: ignore[misc]
    assert belief.moments is not None
    _, moments = jax.jit(belief.moments)(jax.random.key(2), state)
    assert sites["reward"].shape == (40_000, *PAIRS)
    for index in np.ndindex(PAIRS):
        at = parameters[index]
        truth: Any = {"normal": lambda at=at: stats.norm(*at), "beta": lambda at=at: stats.beta(*at)}.get(
            kind, lambda at=at: stats.t(2 * at[2], at[0], np.sqrt(at[3] / (at[1] * at[2])))
        )()
        assert_follows(sites["reward"][(slice(None), *index)], truth, f"reward{index}")
        np.testing.assert_allclose([m[index] for m in moments["reward"]], [truth.mean(), truth.var()], rtol=1e-9)
        if kind == "normal-gamma":
            assert_follows(sites["precision"][(slice(None), *index)], stats.gamma(at[2], scale=1 / at[3]))
    concentration = np.asarray(belief.concentration(state)["transition"])  # type: ignore[misc]
    assert set(belief.concentration(state)) == {"transition"} | ({"reward"} if kind == "beta" else set())  # type: ignore[misc]
    truth = stats.beta(concentration, concentration.sum(-1, keepdims=True) - concentration)
    np.testing.assert_allclose(moments["transition"], [truth.mean(), truth.var()], rtol=1e-9)


def test_moments_before_any_data() -> None:
    belief = exact_belief(make("normal-gamma"), RIVER, 1)
    assert belief.moments is not None
    mean, variance = jax.jit(belief.moments)(jax.random.key(0), jax.jit(belief.init)(jax.random.key(0)))[1]["reward"]
    np.testing.assert_allclose(mean, 3.0)
    np.testing.assert_allclose(variance, 0.05 / (0.3 * 0.2))
    wide = normal_gamma_rewards(RIVER, TRANSITIONS["dirichlet"], shape=0.5)
    belief = exact_belief(wide, RIVER, 1)
    assert belief.moments is not None
    assert np.isinf(
        jax.jit(belief.moments)(jax.random.key(0), jax.jit(belief.init)(jax.random.key(0)))[1]["reward"][1]
    ).all()


def test_moments_of_computed_sites() -> None:
    """Exact where they are linear in unknowns of known families, Dirichlet rows among them."""
    belief = exact_belief(make("normal", "river", "action"), RIVER, 1)
    state = run(belief, as_steps("normal", 80))
    assert belief.moments is not None
    _, moments = jax.jit(belief.moments)(jax.random.key(0), state)
    s, a, t = walk(80)
    mean, sd = by_group("normal", "action", s, a, rewards("normal", 80)).T
    np.testing.assert_allclose(moments["reward"][0], np.tile(mean, (3, 1)), rtol=1e-9)
    np.testing.assert_allclose(moments["reward"][1], np.tile(sd**2, (3, 1)), rtol=1e-9)
    # To the left one always gets; to the right by the current in the middle, and from each end by a Beta of its own.
    means, variances = np.zeros((3, 2, 3)), np.zeros((3, 2, 3))
    means[[0, 1, 2], 0, [0, 0, 1]] = 1
    for state, reached in enumerate(([0, 1], [0, 1, 2], [1, 2])):
        rows = 1 + np.array([((s == state) & (a == 1) & (t == after)).sum() for after in reached])
        share = rows / rows.sum()
        means[state, 1, reached], variances[state, 1, reached] = share, share * (1 - share) / (rows.sum() + 1)
    np.testing.assert_allclose(moments["transition"], [means, variances], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", ["normal-gamma", pytest.param("beta", marks=pytest.mark.slow)])
def test_many_steps_are_the_log_of_them(kind: str) -> None:
    steps = as_steps(kind, 100_000)
    belief = exact_belief(make(kind), RIVER, 1)
    state = run(belief, steps)
    log = make_log(RIVER, steps.state, steps.action, steps.reward, steps.next_state)
    tree = infer(make(kind), log, draws=0, method="exact")
    assert belief.parameters is not None
    np.testing.assert_allclose(tree.parameters["reward"], belief.parameters(state)["reward"], rtol=1e-9)
    np.testing.assert_allclose(tree.parameters["transition"], belief.parameters(state)["transition"], rtol=1e-9)
    expected = by_group(kind, False, steps.state, steps.action, steps.reward)
    np.testing.assert_allclose(tree.parameters["reward"], expected, rtol=1e-9)
    summarised = "two rows a transition, with the same mean and variance"
    assert tree.attrs["rewards"] == ("as seen" if kind == "beta" else summarised)
    assert len(tree.constant_data["row"]) <= 2 * 18


def test_rewards_are_summarised_where_the_likelihood_permits_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_laplace(data: Transitions) -> None:
        TRANSITIONS["dirichlet"](data)
        level = numpyro.sample("level", dist.Normal(0, 1))
        with data.rows():
            numpyro.sample("paid", dist.Laplace(level, 1.0), obs=data.reward)

    rows = Transitions(*(np.zeros(60, np.int32),) * 3, np.random.default_rng(0).normal(2, 1, 60), np.ones(60))
    whole = infer(make("normal"), rows, draws=0)
    assert len(whole.constant_data["row"]) == 60
    monkeypatch.setattr(summary, "MANY_ROWS", 10)
    short = infer(make("normal"), rows, draws=0)
    assert short.constant_data["weight"].values.tolist() == [30, 30]
    np.testing.assert_allclose(short.parameters["reward"], whole.parameters["reward"], rtol=1e-12)
    assert summary.summarise_rewards(read(with_laplace), rows) is rows


# What users write themselves


def tied_rows(data: Transitions) -> None:
    """One level; action 1 pays it twice over, noise is that of the pair, state 2 counts half or not at all."""
    TRANSITIONS["dirichlet"](data)
    level = numpyro.sample("level", dist.Normal(1.0, 2.0))
    reward = numpyro.deterministic("reward", jnp.ones((3, 1)) * jnp.array([1, 2]) * level - 0.3)
    noise = jnp.array([[0.5, 1.5], [1.0, 2.0], [3.0, 1.0]])
    seen, times = (data.state != 2) | (data.action == 0), jnp.where(data.state == 2, 0.5, 1.0)
    with data.rows(), handlers.mask(mask=seen), handlers.scale(scale=times):
        mean = reward[data.state, data.action]
        numpyro.sample("paid", dist.Normal(mean, noise[data.state, data.action]), obs=data.reward)


def poisson(data: Transitions) -> None:
    TRANSITIONS["dirichlet"](data)
    with numpyro.plate("state", 3, dim=-2), numpyro.plate("action", 2, dim=-1):
        rate = numpyro.sample("reward", dist.Gamma(2.0, 0.5))
    with data.rows():
        numpyro.sample("paid", dist.Poisson(rate[data.state, data.action]), obs=data.reward)


def noise_of_a_known_mean(data: Transitions) -> None:
    TRANSITIONS["dirichlet"](data)
    precision = numpyro.sample("precision", dist.Gamma(1.5, 2.0).expand([2]).to_event(1))
    numpyro.deterministic("reward", jnp.full(PAIRS, 0.25))
    with data.rows():
        numpyro.sample("paid", dist.Normal(0.25, precision[data.action] ** -0.5), obs=data.reward)


def waiting(data: Transitions) -> None:
    TRANSITIONS["dirichlet"](data)
    rate = numpyro.sample("rate", dist.Exponential(4.0))
    numpyro.deterministic("reward", jnp.ones(PAIRS) / rate)
    with data.rows():
        numpyro.sample("paid", dist.Exponential(rate), obs=data.reward)


def by_next_state(data: Transitions) -> None:
    TRANSITIONS["dirichlet"](data)
    reward = numpyro.sample("reward", dist.Normal(np.zeros((3, 2, 3)), 2.0).to_event(3))
    with data.rows():
        numpyro.sample("paid", dist.Normal(reward[data.state, data.action, data.next_state], 1.0), obs=data.reward)


def both(model: Any, r: np.ndarray, site: str) -> list[np.ndarray]:
    """Parameters of a site by `infer` and by the belief."""
    s, a, t = walk(len(r))
    tree = infer(model, make_log(RIVER, s, a, r, t), draws=0, method="exact")
    belief = exact_belief(model, RIVER, 1)
    state = run(belief, Step(s, a, t, t, r, np.zeros(len(r), bool)))
    assert belief.parameters is not None
    return [tree.parameters[site].values, np.asarray(belief.parameters(state)[site])]


def test_an_affine_link_with_scale_and_mask() -> None:
    s, a, _ = walk(80)
    r = rewards("normal", 80)
    noise = np.array([[0.5, 1.5], [1.0, 2.0], [3.0, 1.0]])[s, a]
    weight = np.where(s == 2, 0.5, 1.0) * ((s != 2) | (a == 0))
    slope = 1 + a
    precision = 1 / 4 + (weight * slope**2 / noise**2).sum()
    mean = (1 / 4 + (weight * slope * (r + 0.3) / noise**2).sum()) / precision
    for found in both(tied_rows, r, "level"):
        np.testing.assert_allclose(found, [mean, precision**-0.5], rtol=1e-9)


def test_gamma_poisson() -> None:
    s, a, _ = walk(80)
    r = np.random.default_rng(0).poisson(3.0, 80).astype(float)
    for found in both(poisson, r, "reward"):
        for index in np.ndindex(PAIRS):
            mine = (s == index[0]) & (a == index[1])
            np.testing.assert_allclose(found[index], [2 + r[mine].sum(), 0.5 + mine.sum()], rtol=1e-9)


def test_precision_about_a_known_mean() -> None:
    _, a, _ = walk(80)
    r = rewards("normal", 80)
    expected = [[1.5 + (a == i).sum() / 2, 2 + ((r - 0.25)[a == i] ** 2).sum() / 2] for i in range(2)]
    for found in both(noise_of_a_known_mean, r, "precision"):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_rate_of_exponential_rewards() -> None:
    r = np.abs(rewards("normal", 80))
    for found in both(waiting, r, "rate"):
        np.testing.assert_allclose(found, [81, 4 + r.sum()], rtol=1e-9)


def test_rewards_by_next_state() -> None:
    s, a, t = walk(80)
    r = rewards("normal", 80)
    n, total = np.zeros((3, 2, 3)), np.zeros((3, 2, 3))
    np.add.at(n, (s, a, t), 1)
    np.add.at(total, (s, a, t), r)
    for found in both(by_next_state, r, "reward"):
        np.testing.assert_allclose(found[..., 0], total / (n + 0.25), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found[..., 1], (n + 0.25) ** -0.5, rtol=1e-9)


def test_large_rewards_and_vague_priors_keep_their_digits() -> None:
    s, a, _ = walk(80)
    r = 1e4 + rewards("normal", 80)
    model = normal_rewards(RIVER, TRANSITIONS["dirichlet"], mean=0.0, scale=1e6, noise=0.5)
    n = np.array([[((s == i) & (a == j)).sum() for j in range(2)] for i in range(3)])
    total = np.array([[r[(s == i) & (a == j)].sum() for j in range(2)] for i in range(3)])
    for found in both(model, r, "reward"):
        np.testing.assert_allclose(found[..., 0], 4 * total / (1e-12 + 4 * n), rtol=1e-9)


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_a_normal_gamma_counts_rewards_of_any_size(size: float) -> None:
    """Half a count a reward is the difference of slopes of the size of the reward squared."""
    s, a, _ = walk(80)
    n = np.array([[((s == i) & (a == j)).sum() for j in range(2)] for i in range(3)])
    for found in both(normal_gamma_rewards(RIVER, TRANSITIONS["dirichlet"]), size * rewards("normal", 80), "reward"):
        np.testing.assert_allclose(found[..., 1], 1 + n, rtol=1e-9)
        np.testing.assert_allclose(found[..., 2], 1 + n / 2, rtol=1e-9)


@pytest.mark.parametrize("maker", [normal_rewards, normal_gamma_rewards])
def test_rewards_beyond_all_digits_are_refused(maker: Any) -> None:
    s, a, t = walk(20)
    log = make_log(RIVER, s, a, 1e20 * rewards("normal", 20), t)
    with pytest.raises(ValueError, match=r"row \(state 0, .* too far from what the prior of 'reward' expects"):
        infer(maker(RIVER, TRANSITIONS["dirichlet"]), log, draws=0)


def test_moments_of_an_affine_reward() -> None:
    def model(data: Transitions) -> None:
        TRANSITIONS["dirichlet"](data)
        with numpyro.plate("action", 2):
            level = numpyro.sample("level", dist.Normal(np.array([1.0, -2.0]), 0.5))
        worth = numpyro.sample("worth", dist.Beta(2.0, 3.0))
        numpyro.deterministic("reward", 3 + np.arange(1.0, 4)[:, None] * level - 2 * worth)
        with data.rows():
            numpyro.sample("seen", dist.Normal(level[data.action], 1.0), obs=data.reward)
            numpyro.factor("nothing", jnp.zeros(len(data.state)))

    belief = exact_belief(model, RIVER, 1)
    assert belief.moments is not None
    mean, variance = jax.jit(belief.moments)(jax.random.key(0), jax.jit(belief.init)(jax.random.key(0)))[1]["reward"]
    np.testing.assert_allclose(mean, 3 + np.arange(1.0, 4)[:, None] * [1.0, -2.0] - 0.8, rtol=1e-12)
    np.testing.assert_allclose(variance, np.arange(1.0, 4)[:, None] ** 2 * 0.25 + 4 * 0.04 * np.ones(2), rtol=1e-12)


# What has no closed form


def _paid(make_reward: Callable[[Transitions], Any]) -> Callable[[Transitions], None]:
    def model(data: Transitions) -> None:
        TRANSITIONS["dirichlet"](data)
        numpyro.deterministic("reward", jnp.zeros(PAIRS))  # agents ask for one
        observed = make_reward(data)
        with data.rows():
            numpyro.sample("paid", observed, obs=data.reward)

    return model


def _level(name: str = "level", scale: Any = 1.0) -> Any:
    return numpyro.sample(name, dist.Normal(0.0, scale))


def mixture(data: Transitions) -> Any:
    parts = dist.Normal(jnp.stack([jnp.zeros(()), _level()]), 1.0)
    return dist.MixtureSameFamily(dist.Categorical(jnp.array([0.5, 0.5])), parts)


def laplace(data: Transitions) -> Any:
    return dist.Laplace(_level(), 1.0)


def scale_of_the_mean(data: Transitions) -> Any:
    level = _level()
    return dist.Normal(level, 1 + level**2)


def independent_precision(data: Transitions) -> Any:
    return dist.Normal(_level(), numpyro.sample("precision", dist.Gamma(2.0, 1.0)) ** -0.5)


def wrong_power(data: Transitions) -> Any:
    precision = numpyro.sample("precision", dist.Gamma(2.0, 1.0))
    return dist.Normal(_level(scale=1 / precision), precision**-0.5)


def shared_precision(data: Transitions) -> Any:
    precision = numpyro.sample("precision", dist.Gamma(2.0, 1.0))
    with numpyro.plate("action", 2):
        level = numpyro.sample("level", dist.Normal(0.0, precision**-0.5))
    return dist.Normal(level[data.action], precision**-0.5)


def crossed_precision(data: Transitions) -> Any:
    with numpyro.plate("action", 2):
        precision = numpyro.sample("precision", dist.Gamma(2.0, 1.0))
        level = numpyro.sample("level", dist.Normal(0.0, precision[::-1] ** -0.5))
    return dist.Normal(level[data.action], precision[data.action] ** -0.5)


def hyperprior(data: Transitions) -> Any:
    centre = _level("centre")
    return dist.Normal(numpyro.sample("level", dist.Normal(centre, 1.0)), 1.0)


def sum_of_two(data: Transitions) -> Any:
    with numpyro.plate("action", 2):
        level = _level()
    return dist.Normal(level.sum(), 1.0)


def clipped(data: Transitions) -> Any:
    return dist.Normal(jnp.clip(_level(), -3, 3), 1.0)


def far_hyperprior(data: Transitions) -> Any:
    centre = jnp.maximum(_level("centre"), 2.5)
    return dist.Normal(numpyro.sample("level", dist.Normal(centre, 1.0)), 1.0)


def floored_precision(data: Transitions) -> Any:
    precision = numpyro.sample("precision", dist.Gamma(1.0, 1.0))
    return dist.Normal(_level(scale=jnp.maximum(precision, 0.3) ** -0.5), precision**-0.5)


def heavy_prior(data: Transitions) -> Any:
    return dist.Normal(numpyro.sample("level", dist.Cauchy(0.0, 1.0)), 1.0)


def prior_from_the_rewards(data: Transitions) -> Any:
    return dist.Normal(numpyro.sample("level", dist.Normal(jnp.mean(data.reward), 1.0)), 1.0)


REFUSED: dict[Callable[[Transitions], Any], str] = {
    mixture: "not quadratic in 'level'.*mixture",
    laplace: "not quadratic in 'level'",
    scale_of_the_mean: "not quadratic in 'level'",
    independent_precision: "joins the unknowns|that of a Normal",
    wrong_power: "prior of 'level' depends on another unknown.*'precision'.*not as Normal",
    shared_precision: "prior of 'level' depends on another unknown",
    crossed_precision: "prior of 'level' depends on another unknown",
    hyperprior: "prior of 'level' depends on another unknown.*'centre'.*hierarchical",
    sum_of_two: "several elements of 'level' at once",
    clipped: "not quadratic in 'level'",
    far_hyperprior: "prior of 'level' depends on another unknown",
    floored_precision: "prior of 'level' depends on another unknown",
    heavy_prior: "the prior of 'level' is Cauchy; closed forms are known here for Dirichlet, Beta, .* and ",
    prior_from_the_rewards: "the prior of 'level' depends on the data",
}


MUCH_ALIKE = {laplace, scale_of_the_mean, shared_precision, crossed_precision}


@pytest.mark.parametrize(
    ("reward", "reason"),
    [pytest.param(*case, marks=pytest.mark.slow) if case[0] in MUCH_ALIKE else case for case in REFUSED.items()],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_refused_by_name(reward: Callable[[Transitions], Any], reason: str) -> None:
    with pytest.raises(NotConjugate, match=reason):
        infer(_paid(reward), log_of("normal", 20), method="exact")


@pytest.mark.parametrize(
    "reward",
    [each if each in (mixture, sum_of_two) else pytest.param(each, marks=pytest.mark.slow) for each in REFUSED],
    ids=lambda reward: reward.__name__,
)
def test_an_agents_belief_refuses_the_same(reward: Callable[[Transitions], Any]) -> None:
    with pytest.raises(NotConjugate, match=REFUSED[reward]):
        exact_belief(_paid(reward), RIVER, 1)


@pytest.mark.parametrize(
    "bend",
    [
        lambda r: jnp.clip(r, -10, 10),
        lambda r: jnp.round(8 * r) / 8,
        lambda r: jnp.where(jnp.abs(r) > 50, 0.0, r),
    ],
)
def test_bent_rewards_are_for_infer_only(bend: Callable[[Any], Any]) -> None:
    """Agents cannot tell beforehand which rewards they will meet; the far and the crooked count too."""

    def model(data: Transitions) -> None:
        TRANSITIONS["dirichlet"](data)
        reward = numpyro.sample("reward", dist.Normal(np.zeros(PAIRS), 1.0).to_event(2))
        with data.rows():
            seen = dist.Normal(reward[data.state, data.action], 1.0)
            numpyro.sample("seen", seen, obs=bend(jnp.asarray(data.reward)))

    assert infer(model, log_of("normal", 20), draws=0, method="exact").attrs["engine"] == "exact"
    with pytest.raises(NotConjugate, match="no square in the reward"):
        exact_belief(model, RIVER, 1)


def test_a_reward_that_enters_by_its_log_is_for_infer_only() -> None:
    model = _paid(lambda data: dist.LogNormal(_level(), 1.0))
    s, a, t = walk(40)
    r = np.exp(rewards("normal", 40))
    tree = infer(model, make_log(RIVER, s, a, r, t), draws=0, method="exact")
    np.testing.assert_allclose(tree.parameters["level"], [np.log(r).sum() / 41, 41**-0.5], rtol=1e-9)
    with pytest.raises(NotConjugate, match="no square in the reward"):
        exact_belief(model, RIVER, 1)


def test_rewards_of_another_kind_are_refused_by_name() -> None:
    log = log_of("beta")
    log["reward"][5] = 0.5
    s, a, t = (column[5] for column in walk(80))
    message = rf"row \(state {s}, action {a}, next_state {t}, reward 0.5\), which has probability 0"
    for method in ("exact", "nuts"):
        with pytest.raises(ValueError, match=message):
            infer(make("beta"), log, method=method)


@pytest.mark.parametrize("draws", ["renewed", "kept"])
def test_renewed_draws_are_refused(draws: str) -> None:
    with pytest.raises(ValueError, match="need Dirichlet and Beta unknowns; 'reward' is Normal"):
        exact_belief(make("normal"), RIVER, 3, draws=draws)
    with pytest.raises(ValueError, match="need rows that add 1 to 'reward', whatever the reward"):
        exact_belief(make("beta"), RIVER, 3, draws=draws)


def test_a_reward_of_another_shape_is_refused() -> None:
    def model(data: Transitions) -> None:
        TRANSITIONS["dirichlet"](data)
        numpyro.sample("reward", dist.Normal(0, 1).expand([4]).to_event(1))

    with pytest.raises(ValueError, match=r"reward has shape \(4,\); expected \[state, action\] = \(3, 2\)"):
        infer(model, log_of("normal"))


# At the doors


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_arviz_reads_it_and_files_keep_it(tmp_path: Path) -> None:
    import arviz as az

    model = make("normal-gamma", "river")
    tree = infer(model, log_of("normal-gamma"), draws=200, seed=2)
    assert tree.attrs["reason"].endswith("end is Beta, precision and reward are Normal-Gamma")
    assert tree.posterior["reward"].dims == ("chain", "draw", "state", "action")
    assert len(az.summary(tree, var_names=["reward"])) == 6
    assert tree.observed_data["reward"].dims == ("row",)
    assert tree.parameters["parameter"].values.tolist() == ["a", "b", "mean", "weight", "shape", "rate"]
    assert np.isnan(tree.parameters["start"].sel(parameter="rate"))
    tree.to_netcdf(tmp_path / "posterior.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as back:
        again = draw(back.load(), 200, model=model).posterior
    for site in tree.posterior:
        np.testing.assert_array_equal(again[site].values, tree.posterior[site].values)
        assert again[site].dims == tree.posterior[site].dims


def test_prior_draws() -> None:
    tree = infer(make("normal"), log_of("normal"), draws=20_000)
    assert_follows(tree.prior["reward"][..., 0, 0], stats.norm(-1.5, 0.7))
    s, a, _ = walk(80)
    expected = by_group("normal", False, s, a, rewards("normal", 80))
    assert_means(tree.posterior["reward"].values.reshape(-1, *PAIRS), expected[..., 0])


def test_what_is_carried_keeps_its_types() -> None:
    """So that nothing is traced again as data grow."""
    belief, key = exact_belief(make("normal-gamma", "river", GROUPS), RIVER, 1), jax.random.key(0)
    state, step = jax.eval_shape(belief.init, key), Step(*(column[0] for column in as_steps("normal-gamma", 1)))
    for after in (jax.eval_shape(belief.observe, key, state, step), jax.eval_shape(belief.draw, key, state)[0]):
        assert jax.tree.map(kind_of, after) == jax.tree.map(kind_of, state)


@pytest.mark.slow
def test_nothing_is_traced_again_as_data_grow() -> None:
    traces = []

    def counted(data: Transitions) -> None:
        traces.append(1)
        make("normal-gamma", "river")(data)

    belief = exact_belief(counted, RIVER, 8)
    observe, drawn = jax.jit(belief.observe), jax.jit(belief.draw)
    state, steps = belief.init(jax.random.key(0)), as_steps("normal-gamma", 10)
    for i in range(10):
        state = observe(jax.random.key(i), state, Step(*(column[i] for column in steps)))
        state, _ = drawn(jax.random.key(i), state)
        if i == 0:
            after_first = len(traces)
    assert len(traces) == after_first
    assert observe._cache_size() == drawn._cache_size() == 1


def test_coefficients_are_polynomials_in_the_reward() -> None:
    from bayesmdp.model_reading.rows import all_transitions

    found = find_for_any_reward(read(make("normal")), all_transitions(3, 2, 3)).sites
    # z = (x + 1.5) / 0.7: precision 1 / 2.5^2 becomes 0.7^2 / 2.5^2, and the reward counts from -1.5.
    gain = (0.7 / 2.5) ** 2
    expected = [[1.5 * gain / 0.7, gain / 0.7, 0], [gain, 0, 0]]
    np.testing.assert_allclose(found["reward"].coefficient[4], expected, rtol=1e-12, atol=1e-12)
    assert found["transition"].coefficient.shape == (18, 1)
    counts = find_for_any_reward(read(make("beta")), all_transitions(3, 2, 3)).sites["reward"].coefficient
    np.testing.assert_array_equal(counts[4], [[0, 1, 0], [1, -1, 0]])


@pytest.mark.parametrize("kind", KNOWN)
def test_rewards_that_became_means_are_refused(kind: str) -> None:
    log = log_of(kind)
    means = bm.compress(log, RIVER)
    with pytest.raises(ValueError, match=r"means over steps that were paid differently, .* distinct_rewards=True"):
        infer(make(kind), means, mdp=RIVER, draws=0)
    # They tell all there is to know to a model of the transitions alone, and nothing is lost where a row is paid alike.
    assert infer(TRANSITIONS["dirichlet"], means, mdp=RIVER, draws=0).attrs["num_transitions"] == 80
    alike = log.assign(reward=(log["state"] == 0).astype(float))
    for data in (alike, bm.compress(alike, RIVER)):
        assert infer(make(kind), data, mdp=RIVER, draws=0).attrs["rewards"] == "as seen"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There are not enough devices")
@pytest.mark.parametrize("kind", KNOWN)
def test_nuts_agrees_with_exact(kind: str) -> None:
    import arviz as az

    tree = infer(make(kind, tied="action"), log_of(kind), draws=2_000, num_warmup=500, method="nuts")
    assert int(tree.sample_stats["diverging"].sum()) == 0
    s, a, _ = walk(80)
    at = by_group(kind, "action", s, a, rewards(kind, 80))
    truth = at[:, 0] / at.sum(-1) if kind == "beta" else at[:, 0]
    error = az.mcse(tree, var_names=["reward_level"])["reward_level"].values
    drawn = tree.posterior["reward_level"].mean(("chain", "draw")).values
    assert_standard_normal((drawn - truth) / error, "reward_level")
    if kind == "normal-gamma":
        error = az.mcse(tree, var_names=["precision"])["precision"].values
        drawn = tree.posterior["precision"].mean(("chain", "draw")).values
        assert_standard_normal((drawn - at[:, 2] / at[:, 3]) / error, "precision")
