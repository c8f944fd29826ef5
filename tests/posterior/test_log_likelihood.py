"""Log-likelihoods and prior densities of draws: against NumPy and SciPy, and what ArviZ makes of them."""

import re
from typing import Any

import arviz as az
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions, gaussian_q, normal_gamma_rewards, river_current
from bayesmdp.posterior.inference.draw_densities import set_apart
from tests.statistical import assert_standard_normal

RIVER = bm.environments.riverswim(4)
LOG = bm.collect(RIVER, policy="uniform", steps=150, seed=3)
LEFT = LOG["action"].values == "left"
WHERE = LOG["state"].values, 1 - LEFT, LOG["next_state"].values
COIN = bm.MDP(transition=np.full((1, 1, 2), 0.5), reward=np.zeros((1, 1)), discount=0.9, successor=[[[0, 0]]])


def tosses(heads: float, tails: float) -> bm.Transitions:
    zeros = np.zeros(2, np.int32)
    return bm.Transitions(zeros, zeros, np.array([0, 1], np.int32), np.zeros(2), np.array([heads, tails]))


def flat(array: xr.DataArray) -> NDArray[Any]:
    return array.stack(sample=("chain", "draw")).transpose("sample", ...).values


def total(tree: xr.DataTree) -> NDArray[Any]:
    return flat(tree["log_likelihood"]["observed"]).sum(1)


def test_steps_rows_and_episodes_of_dirichlet_rows() -> None:
    """Logs of the drawn probabilities, step by step; episodes end at every fortieth step."""
    log = LOG.copy()
    log["truncated"] = "step", np.arange(150) % 40 == 39
    log["terminated"] = "step", np.arange(150) == 60
    log = log.assign_coords(episode=("step", np.arange(150)))  # a column of ours, in nobody's way
    prior = dirichlet_transitions(RIVER, 0.5)
    tree = bm.infer(prior, log, draws=40, log_likelihood="step")
    expected = np.log(flat(tree["posterior"]["transition"])[:, *WHERE])
    found = tree["log_likelihood"]["observed"]
    assert found.dims == ("chain", "draw", "step")
    np.testing.assert_allclose(flat(found), expected, rtol=1e-12)
    # Rows are those of the posterior, and each counts as often as it was seen.
    by_row = bm.with_log_likelihood(tree, prior, log, by="row")["log_likelihood"]["observed"]
    rows = tree["constant_data"].to_dataset().assign(next_state=tree["observed_data"]["next_state"])
    where = rows["state"], (rows["action"] == "right").astype(int), rows["next_state"]
    of_row = np.log(flat(tree["posterior"]["transition"])[:, *where])
    np.testing.assert_allclose(flat(by_row), rows["weight"].values * of_row, rtol=1e-12)
    by_episode = bm.with_log_likelihood(tree, prior, log, by="episode")["log_likelihood"]["observed"]
    starts = [0, 40, 61, 80, 120]
    np.testing.assert_allclose(flat(by_episode), np.add.reduceat(expected, starts, axis=1), rtol=1e-12)
    # The prior's density, and Bayes' rule for the three together.
    densities = flat(tree["log_prior"]["transition"])
    rows_of = flat(tree["posterior"]["transition"]).reshape(40, 8, 4)
    by_hand = [sum(stats.dirichlet([0.5] * 4).logpdf(row) for row in draw) for draw in rows_of]
    np.testing.assert_allclose(densities, by_hand, rtol=1e-9)
    after = tree["parameters"]["transition"].values.reshape(8, 4)
    posterior = [sum(map(lambda a, p: stats.dirichlet(a).logpdf(p), after, draw)) for draw in rows_of]
    np.testing.assert_allclose(total(tree) + densities - tree.attrs["log_evidence"], posterior, rtol=1e-9)


def test_rewards_and_a_successor_table() -> None:
    """Where each row is told apart by its reward too, and next states never seen after a pair are one outcome."""
    rng = np.random.default_rng(0)
    log = LOG.assign(reward=("step", np.round(rng.normal(size=150), 1)))
    problem = bm.mdp_from_log(log, discount=0.9)
    model = normal_gamma_rewards(problem, dirichlet_transitions(problem, 0.7))
    tree = bm.infer(model, log, mdp=problem, draws=20, log_likelihood="step")
    s, a, t = WHERE
    table = np.asarray(problem.successor)[s, a]
    outcome = (table == t[:, None]).argmax(1)
    draws = {name: flat(values) for name, values in tree["posterior"].data_vars.items()}
    (noise,) = set(draws) - {"transition", "reward"}
    spread = draws[noise][:, s, a] ** -0.5
    expected = np.log(draws["transition"][:, s, a, outcome])
    expected += stats.norm(draws["reward"][:, s, a], spread).logpdf(log["reward"].values)
    np.testing.assert_allclose(flat(tree["log_likelihood"]["observed"]), expected, rtol=1e-9, atol=1e-9)
    assert set(tree["log_prior"].data_vars) == {"transition", "reward", noise}


def test_recorded_primitives_keep_bayes_rule() -> None:
    lake = bm.environments.slippery_lake()
    log = bm.collect(lake, steps=200, seed=1)
    tree = bm.infer(bm.models.slippery_lake(lake), log, mdp=lake, draws=40, log_likelihood="step")
    assert tree["log_likelihood"].sizes["step"] == 200
    after = {name: v.values[~np.isnan(v.values)] for name, v in tree["parameters"].data_vars.items()}
    draws = {name: flat(tree["posterior"][name]) for name in after}
    density = [stats.dirichlet(after["direction"]).logpdf(p) for p in draws["direction"]]
    density += stats.beta(*after["mobility"]).logpdf(draws["mobility"])
    scale, shape = after["reach"]
    density += stats.pareto(shape, scale=scale).logpdf(draws["reach"])
    prior = sum(flat(values) for values in tree["log_prior"].data_vars.values())
    np.testing.assert_allclose(total(tree) + prior - tree.attrs["log_evidence"], density, rtol=1e-9)


def test_targets_of_q_values() -> None:
    layers = bm.environments.layers(2, 2, 3)
    rng = np.random.default_rng(0)
    rows = bm.Targets(rng.integers(0, 3, 9), rng.normal(size=(9, 4)), rng.normal(size=9), rng.integers(0, 4, 9) * 1.0)
    noise = np.array([0.3, 0.5, 1.0])
    model = gaussian_q(layers, np.zeros(4), np.eye(4), noise=noise)
    tree = bm.infer(model, rows, mdp=layers, draws=20, log_likelihood="step")
    theta = flat(tree["posterior"]["theta"])
    steps = np.repeat(np.arange(9), rows.weight.astype(int))
    stage = rows.stage[steps]
    mean = np.einsum("nri,ri->nr", theta[:, stage], rows.features[steps])
    expected = stats.norm(mean, noise[stage]).logpdf(rows.target[steps])
    np.testing.assert_allclose(flat(tree["log_likelihood"]["observed"]), expected, rtol=1e-9)
    np.testing.assert_allclose(flat(tree["log_prior"]["theta"]), stats.norm.logpdf(theta).sum((1, 2)), rtol=1e-9)
    log = bm.collect(layers, policy="uniform", steps=60, seed=0)
    assert bm.infer(model, log, mdp=layers, draws=20, log_likelihood="row")["log_likelihood"].sizes["row"] == 60
    with pytest.raises(ValueError, match="made from one another"):
        bm.infer(model, log, mdp=layers, draws=20, log_likelihood="step")


def test_leave_one_out_is_the_predictive_without_the_step() -> None:
    """Of a row: (concentration + count - 1) / (their sum - 1)."""
    tree = bm.infer(dirichlet_transitions(RIVER, 2.0), LOG, draws=4_000, log_likelihood="step")
    found = az.loo(tree, pointwise=True)
    counts = np.zeros((4, 2, 4))
    np.add.at(counts, WHERE, 1)
    s, a, _ = WHERE
    expected = np.log((counts + 1.0)[WHERE] / (counts.sum(-1) + 7)[s, a])
    inverse = np.exp(-flat(tree["log_likelihood"]["observed"]))
    error = inverse.std(0) / inverse.mean(0) / np.sqrt(len(inverse))
    assert_standard_normal((found.elpd_i.values - expected) / error)
    # Rows and weights, as priors are compared, are the same thing.
    table = bm.compare_priors(LOG, {"rows": dirichlet_transitions(RIVER, 2.0)}, draws=4_000)
    assert table.loc["rows", "elpd_loo"] == pytest.approx(found.elpd, abs=1e-6)
    assert table.loc["rows", "p_loo"] == pytest.approx(found.p, abs=1e-6)


@pytest.mark.slow
def test_compare_prefers_the_structure_that_is_there_and_certain_steps_cost_nothing() -> None:
    priors = {"rows": dirichlet_transitions(RIVER), "current": river_current(RIVER)}
    trees = {name: bm.infer(prior, LOG, log_likelihood="step") for name, prior in priors.items()}
    table = az.compare(trees, round_to="none")
    assert table.index.tolist() == ["current", "rows"]
    assert table.loc["rows", "elpd_diff"] < -2 * table.loc["rows", "dse"]
    elpd = az.loo(trees["current"], pointwise=True).elpd_i.values
    np.testing.assert_allclose(elpd[LEFT], 0, atol=1e-8)
    assert (elpd[~LEFT] < -1e-3).any()


@pytest.mark.slow
def test_a_discrete_unknown_has_ties_and_a_leave_one_out() -> None:
    """Two coins: as few values of the likelihood, so that a tail is one number."""

    def which(data: Any) -> None:
        fair = numpyro.sample("fair", dist.Bernoulli(0.5))
        heads = jnp.where(fair == 1, 0.5, 0.6)
        transition = jnp.stack([heads, 1 - heads])[None, None]
        numpyro.deterministic("transition", transition)
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    tree = bm.infer(which, tosses(12, 8), mdp=COIN, draws=4_000, log_likelihood="step")
    np.testing.assert_allclose(flat(tree["log_prior"]["fair"]), np.log(0.5), atol=1e-8)
    p, q = np.array([0.5, 0.6]), np.array([0.5, 0.4])
    without = [p**11 * q**8, p**12 * q**7]
    expected = [np.log(w @ x / w.sum()) for w, x in zip(without, (p, q), strict=True)]
    found = az.loo(tree, pointwise=True).elpd_i.values
    np.testing.assert_allclose(found, np.repeat(expected, (12, 8)), atol=0.01)


def shifted_mean(tree: xr.DataTree, power: float) -> tuple[float, float]:
    """Mean of the coin's heads if the prior were raised to a power, by weights, and its standard error."""
    heads = flat(tree["posterior"]["transition"])[:, 0, 0, 0]
    weight = np.exp((power - 1) * flat(tree["log_prior"]["transition"]))
    weight /= weight.sum()
    mean = float(weight @ heads)
    return mean, float(np.sqrt((weight**2) @ (heads - mean) ** 2))


def sensitivity(before: NDArray[Any], seen: NDArray[Any], heads: NDArray[Any]) -> float:
    """ArviZ's prior sensitivity, from exact distribution functions: cumulative Jensen-Shannon distances.

    As ArviZ does, from the least of the draws to the largest.
    """
    x = np.linspace(heads.min(), heads.max(), 20_001)

    def cdf(power: float) -> NDArray[Any]:
        return stats.beta(*(1 + power * (before - 1) + seen)).cdf(x)

    def divergence(p: NDArray[Any], q: NDArray[Any]) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.nan_to_num(p * np.log2(2 * p / (p + q))) + np.nan_to_num(q * np.log2(2 * q / (p + q)))
        return float(np.sqrt(terms.sum() / (p + q).sum()))

    base, slopes = cdf(1.0), []
    for power in (0.99, 1.01):
        other = cdf(power)
        distance = max(divergence(base, other), divergence(1 - base, 1 - other))
        slopes.append(distance / abs(np.log2(power)))
    return float(np.mean(slopes))


@pytest.mark.parametrize(
    "before, diagnosis",
    [
        ([60.0, 20.0], "potential prior-data conflict"),
        pytest.param([1.5, 1.2], "✓", marks=pytest.mark.slow),
    ],
)
def test_prior_sensitivity_has_its_closed_form(before: list[float], diagnosis: str) -> None:
    seen = np.array([15.0, 45.0])
    prior = dirichlet_transitions(COIN, before)
    tree = bm.infer(prior, tosses(*seen), mdp=COIN, draws=20_000, log_likelihood="row")
    for power in (0.8, 1.25):
        a, b = 1 + power * (np.array(before) - 1) + seen
        mean, error = shifted_mean(tree, power)
        assert_standard_normal((mean - a / (a + b)) / error)
    table = az.psense_summary(tree, round_to=6)
    assert set(table["diagnosis"]) == {diagnosis}
    expected = sensitivity(np.array(before), seen, flat(tree["posterior"]["transition"])[:, 0, 0, 0])
    # To first order the distance grows with the shift of the mean, which weights estimate to 2%.
    np.testing.assert_allclose(table["prior"], expected, rtol=0.1, atol=2e-3)


def test_a_uniform_prior_is_not_sensitive_and_sparse_draws_have_a_density() -> None:
    flat_prior = bm.infer(dirichlet_transitions(COIN), tosses(15, 45), mdp=COIN, log_likelihood="row")
    assert (az.psense_summary(flat_prior)["prior"] < 0.02).all()  # ArviZ's own error, of so many draws
    sparse = bm.infer(dirichlet_transitions(RIVER, 0.005), LOG, log_likelihood="row")
    assert (sparse["posterior"]["transition"] == 0).any()  # rounded
    assert np.isfinite(sparse["log_prior"]["transition"]).all()


def test_ties_are_set_apart_and_nothing_else_is() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(size=(2, 50)), np.full((2, 50), -3.0), np.full((2, 50), -np.inf)], -1)
    found = set_apart(values)
    np.testing.assert_array_equal(found[..., [0, 2]], values[..., [0, 2]])
    assert len(np.unique(found[..., 1])) == 100
    np.testing.assert_allclose(found[..., 1], -3.0, atol=1e-8)


def test_new_draws_have_none_until_they_are_asked_for() -> None:
    prior = dirichlet_transitions(RIVER)
    tree = bm.infer(prior, LOG, draws=40, log_likelihood="step")
    again = bm.draw(tree, 80, seed=5)
    assert not {"log_likelihood", "log_prior"} & set(again.children)
    assert {"log_likelihood", "log_prior"} < set(tree.children)
    assert total(bm.with_log_likelihood(again, prior, LOG)).shape == (80,)
    kept = bm.draw(bm.infer(prior, LOG, draws=0), 40)
    np.testing.assert_array_equal(total(bm.with_log_likelihood(kept, prior, LOG)), total(tree))


PRIOR = dirichlet_transitions(RIVER)
POSTERIOR = bm.infer(PRIOR, LOG, draws=8)
HALF = bm.Transitions(*(np.zeros(1, np.int32),) * 3, np.zeros(1), np.array([149.5]))


@pytest.mark.parametrize(
    "posterior, model, log, by, error",
    [
        (
            POSTERIOR["posterior"].to_dataset(),
            PRIOR,
            LOG,
            "step",
            "posterior must be a DataTree from infer; got Dataset",
        ),
        (xr.DataTree(), PRIOR, LOG, "step", "the posterior is not one from infer"),
        (POSTERIOR, PRIOR, LOG, "steps", "by must be one of step, episode, row; got 'steps'"),
        (bm.infer(PRIOR, LOG, draws=0), PRIOR, LOG, "step", "no draws; make them with bm.draw(posterior, 1000)"),
        (POSTERIOR, PRIOR, LOG.isel(step=slice(9)), "step", "inferred from 150 steps, and the log has 9"),
        (
            POSTERIOR,
            river_current(RIVER),
            LOG,
            "step",
            "'current' has shape [3], and the posterior holds no such unknown",
        ),
        (POSTERIOR, dirichlet_transitions(bm.environments.riverswim(5)), LOG, "step", "the posterior holds [4, 2, 4]"),
        (
            POSTERIOR,
            PRIOR,
            LOG,
            "episode",
            "the log is one episode: no step before the last is terminated or truncated",
        ),
        (POSTERIOR, PRIOR, bm.compress(LOG), "episode", "weighted rows do not say which episode they are of"),
        (POSTERIOR, PRIOR, LOG.assign_attrs(ordered=0), "episode", "the log's rows are in no order"),
        (
            bm.infer(PRIOR, HALF, draws=8),
            PRIOR,
            HALF,
            "step",
            "row 0 has the weight 149.5, which is no number of steps",
        ),
        (POSTERIOR, PRIOR, bm.Targets(*(np.zeros(1),) * 4), "step", "the posterior is not one of Q-values"),
    ],
)
def test_bad_input(posterior: Any, model: Any, log: Any, by: str, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(error)):
        bm.with_log_likelihood(posterior, model, log, by=by)


@pytest.mark.parametrize(
    "options, error",
    [({"log_likelihood": "each"}, "log_likelihood must be one of step, episode, row, or None; got 'each'"),
     ({"log_likelihood": "step", "draws": 0}, "draws for a log_likelihood must be an integer of at least 1; got 0")],
)  # fmt: skip
def test_bad_options_of_infer(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        bm.infer(PRIOR, LOG, **options)
