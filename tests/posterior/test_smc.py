"""Particles against closed forms, enumeration and NUTS; calibration; surprises; what they refuse."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from scipy.special import betaln, gammaln
from scipy.stats import norm

import bayesmdp as bm
from bayesmdp.logs.compress import compress
from bayesmdp.model_reading.rows import Transitions, all_transitions
from bayesmdp.models import (
    beta_bernoulli_rewards,
    dirichlet_transitions,
    hierarchical_dirichlet,
    normal_rewards,
    queue_rates,
    river_current,
    tied_moves,
)
from bayesmdp.posterior.beliefs.exact import exact_belief
from bayesmdp.posterior.beliefs.particles import smc_belief
from bayesmdp.posterior.beliefs.reward_nodes import lagrange
from bayesmdp.posterior.particles import sampler as smc
from bayesmdp.posterior.particles.coordinates import coordinates
from bayesmdp.posterior.particles.evaluation import (
    evaluate,
    prior_draw,
    values_at,
)
from bayesmdp.posterior.particles.sampler import Settings, Target, advance, effective_size, start
from bayesmdp.problems.world import Step
from tests.statistical import assert_means, assert_p_value, assert_standard_normal, calibration_p_value, ranks

pytestmark = pytest.mark.usefixtures("wide")

RIVER = bm.environments.riverswim(6)
CURRENT = river_current(RIVER)
SIZES = SimpleNamespace(num_states=3, num_actions=2, num_outcomes=3, outcome_size=np.ones(()))


@functools.cache  # Tests of one model share its programs.
def follower(model: Any, shape: tuple[int, int, int], settings: Settings) -> Any:
    """From (key, weights [stage, row]) to (weights, values {site: [particle, ...]}, Particles) after the last stage."""
    rows = all_transitions(*shape)
    once = rows._replace(weight=np.ones(len(rows.state)))
    layout = coordinates(model, rows)
    target = Target(
        lambda key: prior_draw(model, layout, key, once), lambda *at: evaluate(model, layout, *at, once), layout.choices
    )

    @jax.jit
    def begin(key: Any) -> Any:
        return start(random.fold_in(key, 0), target, settings)

    @jax.jit
    def take_in(key: Any, number: Any, particles: Any, weight: Any) -> Any:
        words = random.bits(random.fold_in(key, 1 + number), (2,), "uint32")
        return advance(words, particles, weight, target, settings)

    @jax.jit
    def told(particles: Any) -> Any:
        values = jax.vmap(lambda *at: values_at(model, layout, *at, once))(particles.z, particles.choice)
        return jnp.exp(particles.log_weight), values, particles

    def follow(key: Any, weights: Any) -> Any:
        particles = begin(key)
        for number, weight in enumerate(weights):
            particles = take_in(key, number, particles, weight)
        return told(particles)

    return follow


def dirichlet_multinomial(concentration: Any, counts: Any) -> float:
    """Log probability of a sequence with these counts."""
    a, n = np.asarray(concentration, float), np.asarray(counts, float)
    whole = gammaln(a.sum(-1)) - gammaln((a + n).sum(-1))
    return float((whole + (gammaln(a + n) - gammaln(a)).sum(-1)).sum())


def river_counts(steps: int, seed: int) -> np.ndarray:
    data = compress(bm.collect(RIVER, steps=steps, seed=seed), RIVER)
    counts = np.zeros((6, 2, 6))
    counts[data.state, data.action, data.next_state] = data.weight
    return counts


def river_evidence(n: np.ndarray) -> float:
    inside = [sum(n[s, 1, s + k] for s in range(1, 5)) for k in (-1, 0, 1)]
    ends = [[n[0, 1, 1], n[0, 1, 0]], [n[5, 1, 5], n[5, 1, 4]]]
    return dirichlet_multinomial(np.ones(3), inside) + dirichlet_multinomial(np.ones((2, 2)), ends)


@pytest.mark.slow
def test_a_river_agrees_with_its_closed_form() -> None:
    """Means, variances and evidence over 25 runs, each of which takes the data in at three times."""
    counts = [river_counts(steps, seed=5) for steps in (20, 300, 3000)]
    follow = follower(CURRENT, (6, 2, 6), Settings(particles=500))
    weights = np.array([n.ravel() for n in counts])
    runs = [follow(random.key(seed), weights) for seed in range(25)]
    n = counts[-1]
    moved = np.array([sum(n[s, 1, s + k] for s in range(1, 5)) for k in (-1, 0, 1)]) + 1
    share = moved / moved.sum()
    means = np.array([weight @ values["current"] for weight, values, _ in runs])
    squares = np.array([weight @ values["current"] ** 2 for weight, values, _ in runs])
    variance = share * (1 - share) / (moved.sum() + 1)
    assert_means(means, share, "mean of current")
    assert_means(squares, variance + share**2, "mean square of current")
    estimates = np.array([particles.log_evidence for *_, particles in runs])
    # The evidence, not its logarithm, has no bias.
    assert_means(np.exp(estimates - river_evidence(n)), 1.0, "evidence")
    assert estimates.std() < 0.15
    assert not any(particles.failed for *_, particles in runs)


@pytest.mark.slow
def test_sixty_unknowns_agree_with_their_closed_form() -> None:
    counts = river_counts(2000, seed=0)
    follow = follower(dirichlet_transitions(RIVER, 0.5), (6, 2, 6), Settings(particles=500))
    runs = [follow(random.key(seed), counts.reshape(1, -1)) for seed in range(3)]
    a = 0.5 + counts
    mean = a / a.sum(-1, keepdims=True)
    sd = np.sqrt(mean * (1 - mean) / (a.sum(-1, keepdims=True) + 1))
    found = np.mean([jnp.tensordot(weight, values["transition"], 1) for weight, values, _ in runs], 0)
    assert np.abs((found - mean) / sd).max() < 0.2
    evidence = [float(particles.log_evidence) for *_, particles in runs]
    assert abs(np.mean(evidence) - dirichlet_multinomial(np.full(6, 0.5), counts)) < 1.0


MAPS = np.random.default_rng(3).integers(0, 3, (3, 3, 2, 2))
UNKNOWN_MAP = tied_moves(SIZES, MAPS, (2.0, 1.0), weight=[1.0, 2.0, 3.0])


@pytest.mark.slow
def test_which_map_is_true_by_enumeration() -> None:
    """Three maps, and one unknown slip: the probability of each is a sum over a grid of slips."""
    table, rng = MAPS, np.random.default_rng(3)
    counts = np.zeros((3, 2, 3))
    truth = np.eye(3)[table[1]].swapaxes(-1, -2) @ np.array([0.8, 0.2])
    for s, a in np.ndindex(3, 2):
        counts[s, a] = rng.multinomial(2, truth[s, a])
    grid = (np.arange(20_000) + 0.5) / 20_000
    kernels = np.eye(3)[table].swapaxes(-1, -2) @ np.stack([grid, 1 - grid])  # [map, state, action, outcome, point]
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(counts[None, ..., None] > 0, counts[None, ..., None] * np.log(kernels), 0).sum((1, 2, 3))
    prior = np.log([1 / 6, 2 / 6, 3 / 6])[:, None] + np.log(grid) - betaln(2, 1)
    joint = np.exp(each + prior).mean(-1)
    follow = follower(UNKNOWN_MAP, (3, 2, 3), Settings(particles=400))
    weights = np.stack([counts.ravel() // 2, counts.ravel()])
    runs = [follow(random.key(seed), weights) for seed in range(60)]
    chosen = np.array([[weight[values["map"] == k].sum() for k in range(3)] for weight, values, _ in runs])
    assert_means(chosen, joint / joint.sum(), "probability of each map")
    evidence = np.array([particles.log_evidence for *_, particles in runs])
    assert_means(np.exp(evidence) / joint.sum(), 1.0, "evidence")


SMALL = ("SFF", "FHG")
LAKE = bm.environments.frozen_lake(SMALL)
LINE = bm.environments.queue(0.4, capacity=8)

STRUCTURED: dict[str, Callable[[], tuple[Any, bm.MDP, str]]] = {
    "slip": lambda: (tied_moves(LAKE, bm.environments.slips(SMALL), pattern=[[0.5, 0, 0.5], [0, 1, 0]]), LAKE, "cause"),
    "moves": lambda: (tied_moves(LAKE, bm.environments.slips(SMALL)), LAKE, "cause"),
    "queue": lambda: (queue_rates(LINE), LINE, "service"),
    "hierarchy": lambda: (hierarchical_dirichlet(RIVER), RIVER, "concentration"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slip", "moves", "queue"])
def test_agrees_with_nuts(name: str) -> None:
    model, mdp, site = STRUCTURED[name]()
    log = bm.collect(mdp, steps=400, seed=1)
    particles = bm.infer(model, log, mdp=mdp, method="smc", draws=4000, seed=2)
    chains = bm.infer(model, log, mdp=mdp, method="nuts", draws=4000, seed=3)
    assert particles.attrs["engine"] == "smc"
    assert particles.attrs["log_evidence_sd"] < 0.5
    one, two = (tree.posterior[site].stack(sample=("chain", "draw")) for tree in (particles, chains))
    sd = two.std("sample")
    # Particles share ancestors, and draws of NUTS are not independent: 400 in effect of 4000.
    assert_standard_normal((one.mean("sample") - two.mean("sample")) / sd * np.sqrt(400 / 2), "means")
    assert (np.abs(np.log(one.std("sample") / sd)) < 0.15).all()


@pytest.mark.slow
def test_an_unknown_concentration_by_quadrature() -> None:
    """Of rows so concentrated that most of their mass lies where stick-breaking transforms are cut off."""
    counts = np.zeros((3, 2, 3))
    counts[0, 0, 1], counts[0, 1, 0], counts[1, 0, 2], counts[2, 1, 2] = 9, 4, 6, 2
    grid = np.linspace(np.log(1e-5), np.log(20), 20_000)
    a = np.exp(grid)[:, None, None]
    each = (
        gammaln(3 * a)
        - gammaln(3 * a + counts.sum(-1))
        + (gammaln(a[..., None] + counts) - gammaln(a[..., None])).sum(-1)
    )
    log_joint = each.sum((1, 2)) + norm.logpdf(grid, np.log(0.1), 0.7)
    evidence = np.trapezoid(np.exp(log_joint), grid)
    mean, square = (np.trapezoid(np.exp(log_joint + k * grid), grid) / evidence for k in (1, 2))
    follow = follower(hierarchical_dirichlet(SIZES, 0.1, 0.7), (3, 2, 3), Settings(particles=500))
    runs = [follow(random.key(seed), counts.reshape(1, -1)) for seed in range(12)]
    assert_means([weight @ values["concentration"] for weight, values, _ in runs], mean, "mean")
    assert_means([weight @ values["concentration"] ** 2 for weight, values, _ in runs], square, "square")
    assert_means([np.exp(p.log_evidence) / evidence for *_, p in runs], 1.0, "evidence")


def calibrated(model: Any, sizes: Any, site: str, steps: int, seed: int, size: int = 200) -> np.ndarray:
    """Ranks [replicate, ...] of the truth among 99 draws, of data that come in at three times."""
    shape = sizes.num_states, sizes.num_actions, sizes.num_outcomes
    rows = all_transitions(*shape)
    layout, once = coordinates(model, rows), rows._replace(weight=np.ones(len(rows.state)))
    follow = follower(model, shape, Settings(particles=400, share=0.1))

    @jax.jit
    def truth(key: Any) -> Any:
        at = prior_draw(model, layout, random.fold_in(key, 0), once)
        return values_at(model, layout, *at, once)

    rng, found = np.random.default_rng(seed), []
    for replicate in range(size):
        key = random.key(seed * 10_000 + replicate)
        true = truth(key)
        kernel = np.asarray(true["transition"], float)
        kernel = kernel / kernel.sum(-1, keepdims=True)
        counts = np.cumsum([rng.multinomial(steps, kernel).ravel() for _ in range(3)], 0).astype(float)
        weight, values, particles = follow(random.fold_in(key, 1), counts)
        assert not particles.failed
        drawn = np.asarray(values[site])[rng.choice(len(weight), 99, p=np.asarray(weight) / float(weight.sum()))]
        found.append(ranks(np.asarray(true[site]), drawn))
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STRUCTURED, "river"])
def test_calibration(name: str) -> None:
    if name == "river":
        model, sizes, site = river_current(bm.environments.riverswim(4)), bm.environments.riverswim(4), "current"
    elif name == "hierarchy":
        model, sizes, site = hierarchical_dirichlet(SIZES), SIZES, "concentration"  # type: ignore[assignment]
    else:
        model, sizes, site = STRUCTURED[name]()
    found = calibrated(model, sizes, site, steps=2, seed=4, size=40 if name == "hierarchy" else 200)
    for index in np.ndindex(found.shape[1:]):
        assert_p_value(calibration_p_value(found[(slice(None), *index)], 99), f"{site}{index}")


@pytest.mark.slow
def test_recovers_after_surprising_data() -> None:
    """A thousand steps of one river, then ten thousand of its opposite: the ESS is acted on, and nothing is lost."""
    first, second = np.zeros((6, 2, 6)), np.zeros((6, 2, 6))
    for s in range(1, 5):
        first[s, 1, s - 1 : s + 2] = [10, 40, 200]
        second[s, 1, s - 1 : s + 2] = [2000, 400, 100]
    settings = Settings(particles=500)
    follow = follower(CURRENT, (6, 2, 6), settings)
    weight, values, particles = follow(random.key(0), np.stack([first.ravel(), (first + second).ravel()]))
    moved = 1 + sum((first + second)[s, 1, s - 1 : s + 2] for s in range(1, 5))
    share = moved / moved.sum()
    sd = np.sqrt(share * (1 - share) / (moved.sum() + 1))
    assert not particles.failed
    assert float(effective_size(particles)) >= settings.threshold * settings.particles * (1 - 1e-9)
    assert float(particles.resampled) >= 8
    np.testing.assert_allclose(weight @ values["current"], share, atol=0.25 * sd.max())
    spread = np.sqrt(weight @ (np.asarray(values["current"]) - share) ** 2)
    np.testing.assert_allclose(spread, sd, rtol=0.25)
    # A hundred steps, each of which adds its error to the log.
    others = [follow(random.key(seed), np.stack([first.ravel(), (first + second).ravel()])) for seed in range(1, 9)]
    errors = np.array([float(p.log_evidence) for *_, p in others]) - river_evidence(first + second)
    assert errors.std() < 1
    assert abs(np.log(np.exp(errors).mean())) < 1


@pytest.mark.slow
def test_what_does_not_fit_in_one_call_is_taken_in_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smc, "MAX_STEPS", 4)
    many = np.zeros((6, 2, 6))
    many[3, 1, 2:5] = [200, 400, 2000]
    calls = 4
    follow = follower(CURRENT, (6, 2, 6), Settings(particles=200))
    *_, once = follow(random.key(0), np.stack([many.ravel()]))
    assert float(once.taken.sum()) < 2600
    weight, values, particles = follow(random.key(0), np.stack([many.ravel()] * calls))
    assert not bool(once.failed) and not bool(particles.failed)
    assert float(particles.taken.sum()) == pytest.approx(2600)
    share = (1 + many[3, 1, 2:5]) / 2603
    np.testing.assert_allclose(weight @ values["current"], share, atol=0.005)
    rows = jax.tree.map(lambda column: column[many.ravel() > 0], all_transitions(6, 2, 6))._replace(
        weight=many[many > 0]
    )
    monkeypatch.setattr(smc, "MAX_STEPS", 1)
    with pytest.raises(RuntimeError, match="too many steps"):
        bm.infer(CURRENT, rows, method="smc", draws=100, chains=1)


def test_all_particles_impossible_is_reported() -> None:
    every = np.ones((1, 18))  # three next states of each pair, of which each map has two at most
    *_, particles = follower(UNKNOWN_MAP, (3, 2, 3), Settings(particles=400))(random.key(0), every)
    assert bool(particles.failed)


REWARDED = {
    "normal": (normal_rewards(SIZES, dirichlet_transitions(SIZES), noise=0.5), [-1.0, 0.5, 2.0, 7.5]),
    "bernoulli": (beta_bernoulli_rewards(SIZES, dirichlet_transitions(SIZES)), [0.0, 1.0, 1.0, 1.0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["normal", "bernoulli"])
def test_rewards_agree_with_exact(name: str) -> None:
    """Learned from sums alone, by an agent's own path."""
    model, rewards = REWARDED[name]
    one, other = smc_belief(model, SIZES, 500, Settings(particles=500)), exact_belief(model, SIZES, 500)
    states = [jax.jit(belief.init)(random.key(1)) for belief in (one, other)]
    observe = [jax.jit(belief.observe) for belief in (one, other)]
    for number, reward in enumerate(rewards):
        place = jnp.int32(number % 2)
        step = Step(jnp.int32(0), jnp.int32(1), place, place, jnp.float64(reward), jnp.bool_(False))
        states = [see(random.key(2), state, step) for see, state in zip(observe, states, strict=True)]
    assert one.moments is not None
    assert other.moments is not None
    (mean, variance), (true, spread) = (
        jax.jit(moments)(random.key(3), state)[1]["reward"]
        for moments, state in zip((one.moments, other.moments), states, strict=True)
    )
    np.testing.assert_allclose(mean, true, atol=0.25 * np.sqrt(spread).max())
    np.testing.assert_allclose(variance, spread, rtol=0.3)
    _, sites = jax.jit(one.draw)(random.key(4), states[0])
    assert sites["reward"].shape == (500, 3, 2)


def test_lagrange_is_worth_the_same_sums() -> None:
    rewards, nodes = np.array([0.3, -2.0, 5.5, 1.0]), np.array([0.0, 1.0, 3.0])
    times = np.asarray(lagrange(np.array([[4.0, rewards.sum(), (rewards**2).sum()]]), nodes))
    for power in range(3):
        np.testing.assert_allclose(times @ nodes**power, (rewards**power).sum(), rtol=1e-12)


def simple(transition: Any) -> Callable[[Transitions], None]:
    """A model of 3 states and 2 actions around a function of the data that returns its transition."""

    def model(data: Transitions) -> None:
        kernel = numpyro.deterministic("transition", transition(data))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(kernel[data.state, data.action]), obs=data.next_state)

    return model


def known(*_: Any) -> Any:
    return jnp.full((3, 2, 3), 1 / 3)


def counted(data: Transitions) -> Any:
    numpyro.sample("count", dist.Poisson(3.0))
    return known()


def many(data: Transitions) -> Any:
    with numpyro.plate("cell", 12):
        numpyro.sample("open", dist.Bernoulli(0.5))
    return known()


def improper(data: Transitions) -> Any:
    numpyro.sample("anything", dist.ImproperUniform(dist.constraints.real, (), ()))
    return known()


def growing(data: Transitions) -> Any:
    with numpyro.plate("each", len(data.state)):
        numpyro.sample("own", dist.Normal(0, 1))
    return known()


def shadowing(data: Transitions) -> Any:
    numpyro.sample("state", dist.Normal(0, 1))
    return known()


def misshapen(data: Transitions) -> Any:
    numpyro.sample("reward", dist.Normal(0, 1))
    return known()


def hopeless(data: Transitions) -> Any:
    numpyro.sample("x", dist.Normal(0, 1))
    numpyro.factor("never", -jnp.inf)
    return known()


def weighed(data: Transitions) -> Any:
    numpyro.factor("weight", -50 * numpyro.sample("x", dist.Normal(0, 1)) ** 2)
    return known()


def scaled(data: Transitions) -> Any:
    with handlers.scale(scale=2.0):
        numpyro.sample("x", dist.Normal(0, 1))
    return known()


def shaped(data: Transitions) -> Any:
    numpyro.sample("x", dist.Beta(1, 1), sample_shape=(3,))
    return known()


def dependent(data: Transitions) -> Any:
    n = numpyro.sample("n", dist.Categorical(np.ones(3) / 3))
    numpyro.sample("k", dist.Binomial(n + 1, 0.5))
    return known()


@pytest.mark.parametrize(
    ("transition", "message"),
    [
        (known, "the model has no unknown"),
        (counted, "'count' is Poisson, whose values cannot be enumerated"),
        (many, "'open' have 4096 joint values, of which at most 256 are tried"),
        (improper, "the prior of 'anything' is improper"),
        (growing, r"'own' has shape \(1,\) for 1 rows of data and \(2,\) for twice"),
        (shadowing, "'state' has the name of an axis"),
        (misshapen, r"reward has shape \(\); expected \[state, action\]"),
        (hopeless, "the factor of 'never' is -inf at a draw of the prior"),
        (weighed, "the factor 'weight' makes the prior another"),
        (scaled, "the prior of 'x' is scaled or masked"),
        (shaped, "'x' has a sample_shape"),
        (dependent, "the values that 'k' can take depend on another unknown"),
    ],
)
def test_bad_models(transition: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smc_belief(simple(transition), SIZES, 1)


@pytest.mark.slow
def test_large_rewards_do_not_cancel() -> None:
    """A posterior of rewards about 10,000 known to one unit, from 100 of them."""
    paying = SimpleNamespace(**vars(SIZES), reward=np.array([9_000.0, 11_000.0]))
    model = normal_rewards(SIZES, dirichlet_transitions(SIZES), mean=1e4, scale=1e3, noise=1.0)
    belief = smc_belief(model, paying, 1, Settings(particles=300))
    state = jax.jit(belief.init)(random.key(0))
    step = Step(jnp.int32(0), jnp.int32(1), jnp.int32(0), jnp.int32(0), jnp.float64(10_345.0), jnp.bool_(False))
    observe = jax.jit(belief.observe)
    for _ in range(100):
        state = observe(random.key(1), state, step)
    assert belief.moments is not None
    mean, variance = jax.jit(belief.moments)(random.key(2), state)[1]["reward"]
    assert abs(float(mean[0, 1]) - 10_345) < 0.05
    assert abs(float(variance[0, 1]) ** 0.5 - 0.1) < 0.03


@pytest.mark.slow
def test_a_handful_of_survivors_is_no_sample() -> None:
    """Of 200 maps one permits what was seen: rather reported than a posterior of one particle."""
    table = np.stack([np.full((3, 2, 1), 0)] * 200)
    table[7] = 2
    model = tied_moves(SIZES, table)
    counts = np.zeros((3, 2, 3))
    counts[0, 0, 2] = 1
    *_, particles = follower(model, (3, 2, 3), Settings(particles=100))(random.key(0), counts.reshape(1, -1))
    assert bool(particles.failed)


def test_rewards_that_sums_do_not_tell() -> None:
    def model(data: Transitions) -> None:
        with numpyro.plate("state", 3, dim=-2), numpyro.plate("action", 2, dim=-1):
            transition = numpyro.sample("transition", dist.Dirichlet(np.ones(3)))
            reward = numpyro.sample("reward", dist.Normal(0, 1))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)
            numpyro.sample("paid", dist.Cauchy(reward[data.state, data.action], 1.0), obs=data.reward)

    with pytest.raises(ValueError, match=r"rewards of row .* is not quadratic in the reward"):
        smc_belief(model, SIZES, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"particles": 1}, "particles must be"),
        ({"threshold": 1.0}, "threshold must be"),
        ({"moves": 0}, "moves must be"),
        ({"leapfrog": 0}, "leapfrog must be"),
        ({"share": 1.5}, "share must be"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bm.with_particles(CURRENT, **options)


def test_renewed_draws_are_of_exact_beliefs() -> None:
    with pytest.raises(ValueError, match="particles have draws='fresh'"):
        agent = bm.agents.brmdp(bm.with_particles(CURRENT), draws="renewed")
        bm.simulate(RIVER, {"BRMDP": agent}, steps=10, replicates=1)
