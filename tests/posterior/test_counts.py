"""Counts of unknown rates, as the demand of a shop: the posterior by hand, calibration, and agents that learn them."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.special import gammaln

import bayesmdp as bm
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import draw_rows
from bayesmdp.model_reading.read_model import read_sites
from bayesmdp.model_reading.records import Records
from bayesmdp.posterior.beliefs.primitives import recorded_belief
from bayesmdp.posterior.closed_forms.draws import draw_sites
from bayesmdp.posterior.closed_forms.primitives import find_pairs, learn
from bayesmdp.problems.world import Step
from tests.statistical import assert_means, assert_p_value, calibration_p_value

SHAPE, RATE = np.array([2.0, 3.0]), np.array([1.0, 0.5])


def shop(data):
    """What is in stock is sold as it is asked for, at a rate that hangs on the price; an order comes each day."""
    rate = numpyro.sample("rate", dist.Gamma(SHAPE, RATE).to_event(1))
    with data.rows():
        demand = numpyro.sample("demand", dist.Poisson(rate[data.action]), obs=data.seen.get("demand"))
    left = jnp.maximum(jnp.asarray(data.state)[:, 0] - demand, 0.0)
    numpyro.deterministic("next_state", jnp.minimum(left + 3.0, 10.0)[:, None])


def sold(state, action, next_state):
    """What was sold, at a price of 3 or 2."""
    return (state[..., 0] + 3.0 - next_state[..., 0]).clip(0, 10) * jnp.where(action == 0, 3.0, 2.0)


@cache
def the_shop():
    return bm.SimulatedMDP(
        model=shop,
        truth={"rate": [1.5, 4.0]},
        reward=sold,
        reward_range=(0.0, 30.0),
        features=lambda state: jnp.stack([jnp.ones(state.shape[:-1]), state[..., 0], state[..., 0] ** 2], -1),
        start=[5.0],
        low=[0.0],
        high=[10.0],
        actions=("dear", "cheap"),
        discount=0.9,
    )


def test_the_posterior_adds_up_counts():
    log = bm.collect(the_shop(), steps=60, seed=0)
    posterior = bm.infer(shop, log, mdp=the_shop(), draws=4_000)
    assert posterior.attrs["engine"] == "exact"
    demand, dear = log["demand"].values, log["action"].values == "dear"
    number = np.array([dear.sum(), (~dear).sum()])
    total = np.array([demand[dear].sum(), demand[~dear].sum()])
    found = posterior["parameters"]["rate"]
    np.testing.assert_allclose(found.sel(parameter="shape"), SHAPE + total)
    np.testing.assert_allclose(found.sel(parameter="rate"), RATE + number)
    assert_means(posterior.posterior["rate"].values.reshape(-1, 2), (SHAPE + total) / (RATE + number), "rate")
    evidence = (SHAPE * np.log(RATE) - gammaln(SHAPE) + gammaln(SHAPE + total)).sum()
    evidence -= ((SHAPE + total) * np.log(RATE + number)).sum() + gammaln(demand + 1.0).sum()
    assert posterior.attrs["log_evidence"] == pytest.approx(evidence, rel=1e-10)


@pytest.mark.slow
def test_it_is_calibrated():
    """Simulation-based calibration (Talts et al., 2018): 12 steps under each of 400 truths of the prior."""
    rows, draws, repetitions = 12, 99, 400
    state, action = jnp.full((rows, 1), 5.0), jnp.arange(rows) % 2
    probe = Records(np.asarray(state), np.asarray(action), {"demand": np.arange(rows) % 3}, np.ones(rows))
    with jax.enable_x64(True):
        pairs = find_pairs(read_sites(shop, probe), probe)

        @jax.jit
        @jax.vmap
        def rank(key):
            prior_key, step_key, draw_key = jax.random.split(key, 3)
            truth = dist.Gamma(SHAPE, RATE).sample(prior_key)
            _, seen = draw_rows(shop, step_key, {"rate": truth}, state, action)
            before = {name: jnp.asarray(value) for name, value in pairs.before.items()}
            after = learn(shop, pairs, before, Records(state, action, seen, jnp.ones(rows)))
            drawn = draw_sites(draw_key, None, pairs.layout, None, after, draws)
            return (drawn["rate"] < truth).sum(0)

        found = np.asarray(rank(jax.random.split(jax.random.key(5), repetitions)))
    for element in found.T:
        assert_p_value(calibration_p_value(element, draws), "ranks of the rate")


def test_a_belief_adds_up_the_same_counts_step_by_step():
    log = read_records(bm.collect(the_shop(), steps=60, seed=0), the_shop())
    belief = recorded_belief(shop, the_shop(), 7, 1)
    with jax.enable_x64(True):
        state, observe = belief.init(jax.random.key(0)), jax.jit(belief.observe)
        for i in range(60):
            seen = {name: values[i] for name, values in log.seen.items()}
            step = Step(log.state[i], log.action[i], seen, None, 0.0, np.bool_(False))
            state = observe(jax.random.key(1), state, step)
        told = jax.tree.map(np.asarray, belief.parameters(state))
    number, total = (np.bincount(log.action, weight, 2) for weight in (None, log.seen["demand"]))
    np.testing.assert_allclose(told["rate"], np.stack([SHAPE + total, RATE + number], -1))
    assert belief.room is None  # sums alone are carried


@pytest.mark.slow
def test_an_agent_learns_rates_in_closed_form():
    agent = bm.agents.fitted_psrl(shop, approximation="linear", iterations=3, places=8, samples=2)
    run = bm.simulate(the_shop(), {"PSRL": agent}, steps=20, replicates=1)
    assert np.isfinite(run["reward"].values).all()


def scaled(data):
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    with data.rows():
        numpyro.sample("demand", dist.Poisson(rate * (1.0 + data.action)), obs=data.seen.get("demand"))
    numpyro.deterministic("next_state", jnp.asarray(data.state))


def test_rates_that_are_multiples_of_the_unknown_are_refused():
    data = Records(np.ones((6, 1)), np.arange(6) % 2, {"demand": np.arange(6) % 3}, np.ones(6))
    with pytest.raises(bm.NotConjugate):
        bm.infer(scaled, data, method="exact")
