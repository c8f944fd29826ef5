"""What is found conjugate, and what is refused: each model's closed form is written down here by hand."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

from bayesmdp.environments import riverswim
from bayesmdp.model_reading.likelihood import row_log_likelihood
from bayesmdp.model_reading.read_model import read
from bayesmdp.model_reading.rows import PLATE, Transitions, all_transitions
from bayesmdp.models import dirichlet_transitions, river_current
from bayesmdp.posterior import NotConjugate
from bayesmdp.posterior.closed_forms.transitions import find

pytestmark = pytest.mark.usefixtures("wide")

SHAPE = (3, 2, 3)
DATA = all_transitions(*SHAPE)
KERNELS = np.random.default_rng(0).dirichlet(np.ones(3), (2, 3, 2))


def observe(transition: Any, data: Transitions) -> None:
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


def rows_of(name: str, concentration: float = 1.0) -> Any:
    with numpyro.plate("state", 3, dim=-2), numpyro.plate("action", 2, dim=-1):
        return numpyro.sample(name, dist.Dirichlet(np.full(3, concentration)))


def known_but(probability: Any) -> Any:
    """Transitions that stay with one unknown probability and else go to the next state."""
    stay = jnp.eye(3)[:, None] * jnp.ones((1, 2, 1))
    return numpyro.deterministic("transition", stay * probability + jnp.roll(stay, 1, -1) * (1 - probability))


def weights(seed: int = 0, size: int = DATA.state.size) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 9, size).astype(float)


def test_dirichlet_rows_equal_counting() -> None:
    concentration = np.random.default_rng(1).uniform(0.1, 3, SHAPE)
    mdp = riverswim(3)
    found = find(read(dirichlet_transitions(mdp, concentration)), DATA)
    weight = weights()
    posterior = found.posterior(weight)["transition"]
    np.testing.assert_allclose(posterior, concentration + weight.reshape(SHAPE), rtol=0, atol=1e-9)
    assert not found.impossible.any()


def test_tied_river_equals_counting() -> None:
    river = riverswim(6)
    data = all_transitions(6, 2, 6)
    possible = river.transition.ravel() > 0
    found = find(read(river_current(riverswim(6), concentration=(0.5, 1.0, 2.0))), data)
    np.testing.assert_array_equal(found.impossible, ~possible)
    weight = weights(2, 72) * possible
    n = weight.reshape(6, 2, 6)[:, 1]
    inside = np.arange(1, 5)
    posterior = found.posterior(weight)
    moves = [n[inside, inside + step].sum() for step in (-1, 0, 1)]
    np.testing.assert_allclose(posterior["current"], np.add([0.5, 1.0, 2.0], moves), rtol=0, atol=1e-9)
    np.testing.assert_allclose(posterior["start"], [1 + n[0, 1], 1 + n[0, 0]], rtol=0, atol=1e-9)
    np.testing.assert_allclose(posterior["end"], [1 + n[5, 5], 1 + n[5, 4]], rtol=0, atol=1e-9)


def test_gradient_of_the_whole_log_likelihood_is_that_of_the_table() -> None:
    """p (g - sum p g) = n - N p, by reverse mode, which no part of the search uses."""
    model = dirichlet_transitions(riverswim(3), 0.5)
    weight = weights(3)
    data = DATA._replace(weight=weight)
    p = np.random.default_rng(4).dirichlet(np.ones(3), (3, 2))
    g = jax.grad(lambda at: row_log_likelihood(model, data, {"transition": at}).sum())(jnp.asarray(p))
    n = find(read(model), DATA).posterior(weight)["transition"] - 0.5
    np.testing.assert_allclose(p * (g - (p * g).sum(-1, keepdims=True)), n - n.sum(-1, keepdims=True) * p, atol=1e-9)


def test_stick_breaking_over_two_sites() -> None:
    """Move with probability q, and if so ahead with probability r: rows that add to two sites at once."""

    def model(data: Transitions) -> None:
        q, r = numpyro.sample("q", dist.Beta(1, 2)), numpyro.sample("r", dist.Uniform(0, 1))
        row = jnp.stack([1 - q, q * r, q * (1 - r)])
        observe(numpyro.deterministic("transition", jnp.broadcast_to(row, SHAPE)), data)

    weight = weights(5)
    stay, ahead, back = weight.reshape(-1, 3).sum(0)
    posterior = find(read(model), DATA).posterior(weight)
    np.testing.assert_allclose(posterior["q"], [1 + ahead + back, 2 + stay], atol=1e-9)
    np.testing.assert_allclose(posterior["r"], [1 + ahead, 1 + back], atol=1e-9)


def test_a_row_that_adds_to_both_entries_of_a_beta() -> None:
    def model(data: Transitions) -> None:
        q = numpyro.sample("q", dist.Beta(np.ones(2), 1.0).to_event(1))
        numpyro.deterministic("transition", jnp.full(SHAPE, 1 / 3))
        with data.rows():
            numpyro.sample("heads", dist.Binomial(5, q[data.action]), obs=data.next_state)

    weight = weights(6)
    posterior = find(read(model), DATA).posterior(weight)["q"]
    for a in range(2):
        mine = DATA.action == a
        heads = (weight * DATA.next_state)[mine].sum()
        np.testing.assert_allclose(posterior[a], [1 + heads, 1 + (5 * weight[mine]).sum() - heads], atol=1e-9)


def test_scale_and_mask_inside_the_model() -> None:
    def model(data: Transitions) -> None:
        transition = rows_of("transition")
        with handlers.scale(scale=0.25), handlers.mask(mask=data.action == 0):
            observe(transition, data)

    weight = weights(7)
    expected = 1 + 0.25 * weight.reshape(SHAPE) * np.array([1.0, 0.0])[:, None]
    np.testing.assert_allclose(find(read(model), DATA).posterior(weight)["transition"], expected, atol=1e-9)


def test_tied_through_a_batch_with_many_rows() -> None:
    """Which of 4 kinds of state a state is of is known: 40 states share 4 x 2 rows."""
    kind = np.random.default_rng(8).integers(0, 4, 40)

    def model(data: Transitions) -> None:
        with numpyro.plate("kind", 4, dim=-2), numpyro.plate("action", 2, dim=-1):
            move = numpyro.sample("move", dist.Dirichlet(np.full(40, 0.1)))
        observe(numpyro.deterministic("transition", move[kind]), data)

    data = all_transitions(40, 2, 40)
    weight = weights(9, data.state.size)
    expected = np.full((4, 2, 40), 0.1)
    np.add.at(expected, kind, weight.reshape(40, 2, 40))
    np.testing.assert_allclose(find(read(model), data).posterior(weight)["move"], expected, rtol=0, atol=1e-9)


def test_rows_seen_only() -> None:
    seen = np.array([1, 4, 17])
    data = Transitions(*(column[seen] for column in DATA))
    posterior = find(read(dirichlet_transitions(riverswim(3))), data).posterior(np.array([2.0, 3.0, 5.0]))["transition"]
    expected = np.ones(18)
    expected[seen] += [2, 3, 5]
    np.testing.assert_allclose(posterior.ravel(), expected, atol=1e-9)


def test_impossible_rows_by_a_product_with_zero() -> None:
    """`known_but` multiplies by zeros, through which the gradient of log 0 would spread NaN."""

    def model(data: Transitions) -> None:
        observe(known_but(numpyro.sample("q", dist.Beta(1, 1))), data)

    found = find(read(model), DATA)
    stays, moves = DATA.next_state == DATA.state, DATA.next_state == (DATA.state + 1) % 3
    np.testing.assert_array_equal(found.impossible, ~(stays | moves))
    weight = weights(10) * (stays | moves)
    np.testing.assert_allclose(
        found.posterior(weight)["q"], [1 + weight[stays].sum(), 1 + weight[moves].sum()], atol=1e-9
    )
    slope = jax.grad(lambda q: row_log_likelihood(model, DATA._replace(weight=weight), {"q": q}).sum())(0.3)
    assert slope == pytest.approx(weight[stays].sum() / 0.3 - weight[moves].sum() / 0.7)


def mixture_of_known_kernels(data: Transitions) -> None:
    share = numpyro.sample("share", dist.Beta(1, 1))
    observe(numpyro.deterministic("transition", share * KERNELS[0] + (1 - share) * KERNELS[1]), data)


def mixture_of_unknown_kernels(data: Transitions) -> None:
    with numpyro.plate("kind", 2, dim=-3), numpyro.plate("state", 3, dim=-2), numpyro.plate("action", 2, dim=-1):
        kernel = numpyro.sample("kernel", dist.Dirichlet(np.ones(3)))
    observe(numpyro.deterministic("transition", 0.3 * kernel[0] + 0.7 * kernel[1]), data)


def product(data: Transitions) -> None:
    q1, q2 = numpyro.sample("q1", dist.Beta(1, 1)), numpyro.sample("q2", dist.Beta(1, 1))
    observe(known_but(q1 * q2), data)


def noisy_observation(data: Transitions) -> None:
    transition = rows_of("transition")
    observe(transition @ (0.9 * jnp.eye(3) + 0.1 / 3), data)


def hierarchical(data: Transitions) -> None:
    strength = numpyro.sample("strength", dist.Gamma(2.0, 1.0))
    with numpyro.plate("state", 3, dim=-2), numpyro.plate("action", 2, dim=-1):
        transition = numpyro.sample("transition", dist.Dirichlet(strength * np.ones(3)))
    observe(transition, data)


def hierarchical_of_betas(data: Transitions) -> None:
    mean = numpyro.sample("mean", dist.Beta(2, 2))
    observe(known_but(numpyro.sample("q", dist.Beta(10 * mean, 10 * (1 - mean)))), data)


def logistic(data: Transitions) -> None:
    observe(known_but(1 / (1 + jnp.exp(-numpyro.sample("slope", dist.Normal(0, 1))))), data)


def merged_outcomes(data: Transitions) -> None:
    transition = rows_of("transition")
    with data.rows():
        seen = jnp.stack([transition[..., 0], transition[..., 1] + transition[..., 2]], -1)
        numpyro.sample("seen", dist.Categorical(seen[data.state, data.action]), obs=jnp.minimum(data.next_state, 1))


def clipped(data: Transitions) -> None:
    observe(known_but(jnp.clip(numpyro.sample("q", dist.Beta(1, 1)), 0.4, 0.6)), data)


def tempered_by_an_unknown(data: Transitions) -> None:
    q, power = numpyro.sample("q", dist.Beta(1, 1)), numpyro.sample("power", dist.Beta(1, 1))
    observe(known_but(q**power), data)


def factor_on_the_prior(data: Transitions) -> None:
    transition = rows_of("transition")
    numpyro.factor("smooth", -jnp.sum((transition[1:] - transition[:-1]) ** 2))
    observe(transition, data)


def scaled_prior(data: Transitions) -> None:
    with handlers.scale(scale=2.0):
        transition = rows_of("transition", 0.7)
    observe(transition, data)


REFUSED: dict[Callable[[Transitions], None], str] = {
    mixture_of_known_kernels: r"row \(state 0, action 0, next_state 0\).*not linear.*'share'.*mixture",
    mixture_of_unknown_kernels: "several elements of 'kernel' at once.*mixture",
    product: "joins the unknowns 'q1' and 'q2'",
    noisy_observation: "'transition'.*noisy observation",
    hierarchical: "prior of 'transition' depends on another unknown.*'strength'.*hierarchical",
    hierarchical_of_betas: "prior of 'q' depends on another unknown.*'mean'.*hierarchical",
    logistic: "not quadratic in .slope.",
    merged_outcomes: "'transition'.*sum of probabilities",
    clipped: "'q'",
    tempered_by_an_unknown: "not linear|joins the unknowns",
    factor_on_the_prior: "factor 'smooth'",
    scaled_prior: "prior of 'transition' is scaled",
}


@pytest.mark.parametrize(("model", "reason"), REFUSED.items(), ids=lambda case: getattr(case, "__name__", ""))
def test_refused_by_name(model: Callable[[Transitions], None], reason: str) -> None:
    with pytest.raises(NotConjugate, match=reason):
        find(read(model), DATA)


def test_a_concentration_in_32_bits_is_refused() -> None:
    with jax.enable_x64(False):
        third = jnp.full(3, 1 / 3)

    def model(data: Transitions) -> None:
        with numpyro.plate("state", 3, dim=-2), numpyro.plate("action", 2, dim=-1):
            transition = numpyro.sample("transition", dist.Dirichlet(third))
        observe(transition, data)

    with pytest.raises(ValueError, match="'transition' is float32"):
        find(read(model), DATA)


def without_transition(data: Transitions) -> None:
    numpyro.sample("chance", dist.Beta(1, 1))


def wrong_dims(data: Transitions) -> None:
    numpyro.deterministic("transition", jnp.ones(3))


def sums_to_two(data: Transitions) -> None:
    numpyro.deterministic("transition", jnp.full(SHAPE, 2 / 3))


def outside_the_rows(data: Transitions) -> None:
    transition = rows_of("transition")
    numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


def weights_ignored(data: Transitions) -> None:
    transition = rows_of("transition")
    with numpyro.plate(PLATE, len(data.state)):
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (without_transition, "no site 'transition'.*'chance'"),
        (wrong_dims, r"transition has shape \(3,\)"),
        (sums_to_two, r"transition\[0, 0\] sums to 2"),
        (outside_the_rows, "'next_state' is observed outside|outside the plate"),
        (weights_ignored, r"when seen once .* data\.rows\(\)"),
    ],
)
def test_contract(model: Callable[[Transitions], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find(read(model), DATA)


def test_not_a_function() -> None:
    with pytest.raises(TypeError, match="NumPyro function of the data; got str"):
        find(read("prior"), DATA)  # type: ignore[arg-type]


@pytest.mark.parametrize("least", [0.1, 0.01, 0.002])
def test_a_clipped_unknown_is_refused(least: float) -> None:
    def clipped(data: Any) -> None:
        x = jnp.clip(numpyro.sample("x", dist.Beta(1.0, 1.0)), least, 1 - least)
        numpyro.deterministic("transition", jnp.broadcast_to(jnp.stack([x, 1 - x]), (2, 1, 2)))
        with data.rows():
            numpyro.sample("next_state", dist.Bernoulli(1 - x), obs=data.next_state)

    with pytest.raises(NotConjugate):
        find(read(clipped), all_transitions(2, 1, 2))


@pytest.mark.parametrize("statistic", [lambda data: data.weight.sum(), lambda data: len(data.state)])
def test_a_prior_that_depends_on_the_data_is_refused(statistic: Callable[[Any], float]) -> None:
    def peeking(data: Any) -> None:
        x = numpyro.sample("x", dist.Beta(1.0 + statistic(data), 1.0))
        numpyro.deterministic("transition", jnp.broadcast_to(jnp.stack([x, 1 - x]), (2, 1, 2)))
        with data.rows():
            numpyro.sample("next_state", dist.Bernoulli(1 - x), obs=data.next_state)

    with pytest.raises(NotConjugate, match="depends on the data"):
        find(read(peeking), all_transitions(2, 1, 2))
