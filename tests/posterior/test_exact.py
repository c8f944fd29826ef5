"""The belief that agents carry."""

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

from bayesmdp.environments import riverswim
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.models import dirichlet_transitions, normal_rewards, river_current
from bayesmdp.posterior import Belief, NotConjugate, draw, exact_belief
from bayesmdp.posterior.beliefs import held_rows
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.world import Step
from tests.statistical import assert_follows, assert_means, assert_same_distribution

pytestmark = pytest.mark.usefixtures("wide")

RIVER = riverswim(4)
PRIOR = dirichlet_transitions(RIVER, 0.25)


def walk(steps: int, seed: int = 0) -> np.ndarray:
    """States, actions and next states [step, 3] of a uniform walk along the river."""
    rng, s, rows = np.random.default_rng(seed), 0, []
    for _ in range(steps):
        a = int(rng.integers(2))
        t = int(rng.choice(4, p=RIVER.transition[s, a]))
        rows.append((s, a, t))
        s = t
    return np.array(rows, np.int32)


def as_step(row: Any) -> Step:
    s, a, t = row
    return Step(s, a, t, t, 0.0, False)


def run(belief: Belief, rows: np.ndarray, seed: int = 0) -> Any:
    def body(carry: Any, row: Any) -> Any:
        key, state = carry
        key, subkey = jax.random.split(key)
        return (key, belief.observe(subkey, state, as_step(row))), None

    start, key = jax.random.split(jax.random.key(seed))
    return jax.jit(lambda rows: jax.lax.scan(body, (key, belief.init(start)), rows)[0][1])(rows)


def counts_of(rows: np.ndarray) -> np.ndarray:
    n = np.zeros((4, 2, 4))
    np.add.at(n, tuple(rows.T), 1)
    return n


@pytest.mark.parametrize("draws", ["fresh", "renewed", "kept"])
def test_counts(draws: str) -> None:
    rows = walk(200)
    belief = exact_belief(PRIOR, RIVER, 5, draws=draws)
    state = run(belief, rows)
    n = counts_of(rows)
    np.testing.assert_allclose(belief.concentration(state)["transition"], 0.25 + n, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(belief.visits(state), n.sum(-1))
    data = belief.rows(state)
    assert isinstance(data, Transitions)
    np.testing.assert_array_equal(data.weight, n.ravel())


def test_fresh_draws_are_posterior_draws() -> None:
    rows = walk(100)
    belief = exact_belief(PRIOR, RIVER, 20_000)
    state = run(belief, rows)
    _, sites = jax.jit(belief.draw)(jax.random.key(1), state)
    a = 0.25 + counts_of(rows)
    assert_means(sites["transition"], a / a.sum(-1, keepdims=True))
    assert_follows(sites["transition"][:, 0, 1, 1], stats.beta(a[0, 1, 1], a[0, 1].sum() - a[0, 1, 1]))


def test_a_structured_prior_fills_in_its_transition() -> None:
    rows = walk(150)
    belief = exact_belief(river_current(riverswim(4)), RIVER, 20_000)
    _, sites = jax.jit(belief.draw)(jax.random.key(1), run(belief, rows))
    assert set(sites) == {"current", "start", "end", "transition"}
    n = counts_of(rows)[:, 1]
    current = np.array([1 + n[1, 1 + m] + n[2, 2 + m] for m in (-1, 0, 1)])
    expected = np.zeros((4, 2, 4))
    expected[[0, 1, 2, 3], 0, [0, 0, 1, 2]] = 1
    for s in (1, 2):
        expected[s, 1, s - 1 : s + 2] = current / current.sum()
    expected[0, 1, :2] = (1 + n[0, :2]) / (2 + n[0, :2].sum())
    expected[3, 1, 2:] = (1 + n[3, 2:]) / (2 + n[3, 2:].sum())
    assert_means(sites["transition"], expected)
    assert (np.asarray(sites["transition"])[:, expected == 0] == 0).all()


def test_kept_draws_are_posterior_draws_for_data_gathered_regardless() -> None:
    """Share small and a single call: all but a few draws were made before the data came."""
    rows = walk(60)
    belief = exact_belief(PRIOR, RIVER, 20_000, draws="renewed", share=1e-4)
    state, sites = jax.jit(belief.draw)(jax.random.key(1), run(belief, rows))
    a = 0.25 + counts_of(rows)
    p, mean = np.asarray(sites["transition"]), a / a.sum(-1, keepdims=True)
    assert int(state.cursor) == 2
    np.testing.assert_allclose(p.sum(-1), 1, atol=1e-12)
    assert_means(p, mean, "mean")
    assert_means((p - mean) ** 2, mean * (1 - mean) / (a.sum(-1, keepdims=True) + 1), "variance")
    assert_follows(p[:, 0, 1, 1], stats.beta(a[0, 1, 1], a[0, 1].sum() - a[0, 1, 1]))
    assert_follows(p[:, 3, 0, 0], stats.beta(a[3, 0, 0], a[3, 0].sum() - a[3, 0, 0]))


def test_kept_draws_stay_and_are_posterior_draws_on_a_fixed_log() -> None:
    rows = walk(80)
    belief = exact_belief(PRIOR, RIVER, 20_000, draws="kept")
    state = run(belief, rows)
    draw = jax.jit(belief.draw)
    again, sites = draw(jax.random.key(1), state)
    np.testing.assert_array_equal(again.log_gamma["transition"], state.log_gamma["transition"])
    np.testing.assert_array_equal(sites["transition"], draw(jax.random.key(2), again)[1]["transition"])
    a = 0.25 + counts_of(rows)
    for s, action, t in [(0, 1, 1), (2, 1, 2), (3, 0, 2)]:
        truth = stats.beta(a[s, action, t], a[s, action].sum() - a[s, action, t])
        assert_follows(np.asarray(sites["transition"])[:, s, action, t], truth, f"transition{s, action, t}")


@pytest.mark.slow
@pytest.mark.parametrize("draws", ["fresh", "kept"])
def test_kept_draws_are_not_the_posteriors_of_one_who_acts_on_them(draws: str) -> None:
    """A pair is tried while its draw looks good: never tried, it is as unknown as ever, but its kept draw is bad."""
    coin = MDP(transition=np.full((2, 2, 2), 0.5), reward=np.zeros(2), discount=0.9)
    belief = exact_belief(dirichlet_transitions(coin), coin, 1, draws=draws)

    def live(key: Any) -> Any:
        def step(state: Any, key: Any) -> Any:
            draw, luck, grow = jax.random.split(key, 3)
            state, sites = belief.draw(draw, state)
            action = jnp.where(sites["transition"][0, 0, 1, 1] > 0.5, 1, 0)
            t = jax.random.bernoulli(luck).astype(int)
            return belief.observe(grow, state, Step(0, action, t, t, 0.0, False)), None

        first, key, last = jax.random.split(key, 3)
        state, _ = jax.lax.scan(step, belief.init(first), jax.random.split(key, 3))
        return belief.visits(state)[0, 1], belief.draw(last, state)[1]["transition"][0, 0, 1, 1]

    visits, draw = map(np.asarray, jax.jit(jax.vmap(live))(jax.random.split(jax.random.key(0), 1_000)))
    never = draw[visits == 0]
    assert never.size > 80
    if draws == "fresh":
        assert_follows(never, stats.uniform())
    else:
        assert never.max() <= 0.5


def test_kept_draws_of_tied_betas() -> None:
    rows = walk(60)
    belief = exact_belief(river_current(riverswim(4)), RIVER, 10_000, draws="renewed", share=1e-4)
    _, sites = jax.jit(belief.draw)(jax.random.key(1), run(belief, rows))
    n = counts_of(rows)[:, 1]
    assert_follows(sites["start"], stats.beta(1 + n[0, 1], 1 + n[0, 0]))
    assert_follows(sites["end"], stats.beta(1 + n[3, 3], 1 + n[3, 2]))
    ahead = n[1, 2] + n[2, 3]
    assert_follows(sites["current"][:, 2], stats.beta(1 + ahead, 2 + n[1:3].sum() - ahead))


@pytest.mark.slow
def test_renewing_all_is_fresh() -> None:
    rows = walk(40)
    fresh, renewed = (exact_belief(PRIOR, RIVER, 5_000, draws=d, share=1.0) for d in ("fresh", "renewed"))
    one = jax.jit(fresh.draw)(jax.random.key(1), run(fresh, rows))[1]["transition"]
    other = jax.jit(renewed.draw)(jax.random.key(2), run(renewed, rows))[1]["transition"]
    for index in [(0, 1, 0), (1, 0, 0), (3, 1, 3)]:
        assert_same_distribution(one[(slice(None), *index)], other[(slice(None), *index)], f"transition{index}")


def test_renewal_goes_round() -> None:
    belief = exact_belief(PRIOR, RIVER, 10, draws="renewed", share=0.3)
    state, draw = run(belief, walk(5)), jax.jit(belief.draw)
    before = np.asarray(state.log_gamma["transition"])
    for i, expected in enumerate([[0, 1, 2], [0, 1, 2, 3, 4, 5], list(range(9)), list(range(10))]):
        state, _ = draw(jax.random.key(i), state)
        changed = (np.asarray(state.log_gamma["transition"]) != before).all(-1)
        assert np.flatnonzero(changed).tolist() == expected
    assert int(state.cursor) == 2


@pytest.mark.slow
@pytest.mark.parametrize("draws", ["fresh", "weighted", "renewed"])
def test_nothing_is_traced_again_as_data_grow(draws: str) -> None:
    traces = []

    def counted(data: Transitions) -> None:
        traces.append(1)
        river_current(riverswim(4))(data)

    belief = exact_belief(counted, RIVER, 8, draws=draws)
    observe, draw = jax.jit(belief.observe), jax.jit(belief.draw)
    state = belief.init(jax.random.key(0))
    rows = walk(20)
    for i, row in enumerate(rows):
        state = observe(jax.random.key(i), state, as_step(row))
        state, _ = draw(jax.random.key(i), state)
        if i == 0:
            after_first = len(traces)
    assert len(traces) == after_first
    assert observe._cache_size() == draw._cache_size() == 1


@pytest.mark.parametrize("draws", ["fresh", "weighted", "renewed"])
def test_what_is_carried_keeps_its_types(draws: str) -> None:
    """So that a draw may stand in a branch of a loop over steps, and nothing is traced again as data grow."""
    belief, key = exact_belief(river_current(riverswim(4)), RIVER, 6, draws=draws), jax.random.key(0)
    state = jax.eval_shape(belief.init, key)
    for after in (
        jax.eval_shape(belief.observe, key, state, as_step(walk(1)[0])),
        jax.eval_shape(belief.draw, key, state)[0],
    ):
        assert jax.tree.map(kind_of, after) == jax.tree.map(kind_of, state)


def kind_of(array: Any) -> tuple[Any, ...]:
    return array.shape, array.dtype, array.weak_type


@pytest.mark.slow
def test_branches_of_compiled_code() -> None:
    belief = exact_belief(river_current(riverswim(4)), RIVER, 6, draws="renewed")

    def step(carry: Any, row: Any) -> Any:
        key, state = carry
        key, a, b = jax.random.split(key, 3)
        state = belief.observe(a, state, as_step(row))
        state, mean = jax.lax.cond(
            row[0] == 0,
            lambda state: (lambda new, sites: (new, sites["transition"].mean(0)))(*belief.draw(b, state)),
            lambda state: (state, jnp.zeros((4, 2, 4))),
            state,
        )
        return (key, state), mean

    start = (jax.random.key(1), belief.init(jax.random.key(0)))
    _, means = jax.jit(lambda rows: jax.lax.scan(step, start, rows))(walk(30))
    assert np.isfinite(means).all()


def test_same_arguments_same_functions() -> None:
    assert exact_belief(PRIOR, RIVER, 7) is exact_belief(PRIOR, riverswim(4, discount=0.5), 7)
    assert exact_belief(PRIOR, RIVER, 7) is not exact_belief(PRIOR, RIVER, 8)


def test_successor_tables() -> None:
    table = RIVER.with_successors()
    belief, key = exact_belief(dirichlet_transitions(table), table, 3), jax.random.key(0)
    state = jax.jit(belief.observe)(key, jax.jit(belief.init)(key), Step(1, 1, 2, 2, 0.0, False))
    assert jax.eval_shape(belief.draw, key, state)[1]["transition"].shape == (3, 4, 2, 3)
    assert float(belief.concentration(state)["transition"][1, 1, 2]) == 2


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 2, 4\); the MDP's sizes are \(6, 2, 6\)"):
        exact_belief(PRIOR, riverswim(6), 3)
    with pytest.raises(ValueError, match=r"shape \(4, 2, 4\); the MDP's sizes are \(3, 2, 3\)"):
        exact_belief(PRIOR, riverswim(3), 3)
    with pytest.raises(ValueError, match="num_draws must be an integer of at least 1; got 0"):
        exact_belief(PRIOR, RIVER, 0)
    with pytest.raises(
        ValueError, match="draws must be one of fresh, renewed, kept, weighted, changed, unseen; got 'stale'"
    ):
        exact_belief(PRIOR, RIVER, 3, draws="stale")
    with pytest.raises(ValueError, match="share must be a number above 0 and at most 1; got 0"):
        exact_belief(PRIOR, RIVER, 3, draws="renewed", share=0)

    def halved(data: Transitions) -> None:
        with handlers.scale(scale=0.5):
            PRIOR(data)

    with pytest.raises(NotConjugate, match="scaled"):
        exact_belief(halved, RIVER, 3)

    def half_rows(data: Transitions) -> None:
        with numpyro.plate("state", 4, dim=-2), numpyro.plate("action", 2, dim=-1):
            transition = numpyro.sample("transition", dist.Dirichlet(np.ones(4)))
        with data.rows(), handlers.scale(scale=0.5):
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    exact_belief(half_rows, RIVER, 3)
    with pytest.raises(ValueError, match=r"one adds 0\.5"):
        exact_belief(half_rows, RIVER, 3, draws="renewed")


def test_a_category_of_concentration_0_never_occurs() -> None:
    """Parameters that a user writes down may rule an outcome out, or all but."""
    concentration = np.array([[[3.0, 0.0, 1.0]], [[0.0, 2.0, 1e-300]], [[1.0, 1.0, 0.0]]])
    parameters = xr.Dataset({"transition": (("state", "action", "next_state"), concentration)})
    tree = draw(xr.DataTree.from_dict({"parameters": parameters}), 2_000, seed=0)
    transition = tree["posterior/transition"].stack(sample=("chain", "draw")).transpose("sample", ...).values
    assert (transition[:, concentration == 0] == 0).all()
    assert_means(transition[:, 0, 0], concentration[0, 0] / 4, "means")
    np.testing.assert_array_equal(transition[:, 1, 0], np.broadcast_to([0, 1, 0], (2_000, 3)))


@pytest.mark.parametrize("rule", ["weighted", "changed", "unseen"])
def test_rows_that_are_held_are_posterior_draws_on_a_fixed_log(rule: str) -> None:
    """Looked at often, so that some rows are held, some weighted and some drawn anew."""
    rows, belief = walk(60), exact_belief(PRIOR, RIVER, 20_000, draws=rule, share=0.0)
    key, draw, observe = jax.random.key(3), jax.jit(belief.draw), jax.jit(belief.observe)
    state = belief.init(key)
    for number, row in enumerate(rows):
        state = observe(key, state, as_step(row))
        if number % 12 == 11:
            state, sites = draw(jax.random.fold_in(key, number), state)
        if number == 11:  # of pairs that were never tried, what another draw changes
            never = counts_of(rows[:12]).sum(-1) == 0
            again = draw(jax.random.key(4), state)[1]["transition"]
            anew = np.asarray(again != sites["transition"]).any((0, -1))
            assert never.any() and (anew[never] == (rule == "unseen")).all()
    a, made = 0.25 + counts_of(rows), np.asarray(state.made["transition"]).reshape(4, 2, 4)
    assert observe._cache_size() == draw._cache_size() == 1
    held = (made != a).any(-1)
    assert held.any() == (rule != "changed")
    p, mean = np.asarray(sites["transition"]), a / a.sum(-1, keepdims=True)
    np.testing.assert_allclose(p.sum(-1), 1, atol=1e-12)
    # Draws of a row that is weighted are worth at least half of their number, and repeat each other.
    assert_means(p[::8], mean, "mean")
    assert_means((p[::8] - mean) ** 2, mean * (1 - mean) / (a.sum(-1, keepdims=True) + 1), "variance")


def test_weights_are_likelihoods_and_size_says_what_they_are_worth() -> None:
    rows = np.log([[[0.2, 0.8], [0.5, 0.5]], [[0.6, 0.4], [0.5, 0.5]]])  # [draw, row, category]
    weight = held_rows._weights(jnp.asarray(rows), jnp.array([[2.0, 1.0], [0.0, 3.0]]))
    one, other = 0.2**2 * 0.8, 0.6**2 * 0.4
    np.testing.assert_allclose(weight, [[one / (one + other), 0.5], [other / (one + other), 0.5]], rtol=1e-12)
    sizes = [(one + other) ** 2 / (one**2 + other**2), 2]
    np.testing.assert_allclose(held_rows.effective_size(weight), sizes, rtol=1e-12)


def test_a_draw_comes_out_as_often_as_its_weight_says() -> None:
    weight = np.random.default_rng(0).dirichlet(np.full(50, 0.3), 3).T
    rows = np.broadcast_to(np.arange(50.0)[:, None, None], (50, 3, 1))
    taken = np.asarray(held_rows.resampled(jax.random.key(0), jnp.asarray(weight), jnp.asarray(rows)))[..., 0]
    times = (taken == np.arange(50)[:, None, None]).sum(1)
    assert (np.abs(times - 50 * weight) < 1).all()
    # The first fifth stands for all.
    assert np.abs(np.sort(taken[:10, 0])[::2] - np.quantile(taken[:, 0], np.arange(0, 1, 0.2))).max() < 12


@pytest.mark.parametrize(
    "rule, share, trapped",
    [
        pytest.param("weighted", 0.0, True, marks=pytest.mark.slow),
        pytest.param("weighted", 1.0, False, marks=pytest.mark.slow),
        pytest.param("unseen", 0.0, False, marks=pytest.mark.slow),
    ],
)
def test_what_is_drawn_anew_regardless_of_data_opens_the_trap(rule: str, share: float, trapped: bool) -> None:
    """A pair that is tried while its only draw looks good: where it was never tried, nothing is known of it."""
    coin = MDP(transition=np.full((2, 2, 2), 0.5), reward=np.zeros(2), discount=0.9)
    belief = exact_belief(dirichlet_transitions(coin), coin, 1, draws=rule, share=share)
    begin, draw = (jax.jit(jax.vmap(each)) for each in (belief.init, belief.draw))

    @jax.jit
    @jax.vmap
    def toss(key: Any, state: Any, p: Any) -> Any:
        t = jax.random.bernoulli(key).astype(int)
        return belief.observe(key, state, Step(0, jnp.where(p > 0.5, 1, 0), t, t, 0.0, False))

    keys = jax.random.split(jax.random.key(0), (5, 1_000))
    state = begin(keys[0])
    for step in keys[1:4]:
        state, sites = draw(step, state)
        state = toss(step, state, sites["transition"][:, 0, 0, 1, 1])
    visits = np.asarray(jax.vmap(belief.visits)(state))[:, 0, 1]
    never = np.asarray(draw(keys[4], state)[1]["transition"])[visits == 0, 0, 0, 1, 1]
    assert never.size > 80
    if trapped:
        assert never.max() <= 0.5
    else:
        assert_follows(never, stats.uniform())


@pytest.mark.parametrize("rule", ["weighted", "changed", "unseen"])
def test_rows_of_probabilities_alone_are_held(rule: str) -> None:
    model = normal_rewards(RIVER, PRIOR)
    with pytest.raises(ValueError, match=f"{rule} draws need Dirichlet and Beta unknowns; .*Use draws='fresh'"):
        exact_belief(model, RIVER, 3, draws=rule)
