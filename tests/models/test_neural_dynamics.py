"""The small network as a prior of dynamics: its density by hand, calibrated predictions, both engines, refusals."""

import jax
import numpy as np
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density
from scipy import stats

import bayesmdp as bm
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import draw_rows, fit_rows
from bayesmdp.model_reading.read_model import trace
from bayesmdp.model_reading.records import Records
from bayesmdp.models.neural_dynamics import neural_dynamics
from tests.statistical import assert_p_value, calibration_p_value

ROOM = bm.environments.thermostat()
PRIOR = neural_dynamics(ROOM, width=3, bend=1.5, scale=0.4, noise=0.05, certainty=2.0)
ONE = Records(np.zeros((1, 1)), np.zeros(1, int), {}, np.ones(1))


def drawn_from_the_prior(seed):
    messages = trace(handlers.seed(PRIOR, jax.random.key(seed)), ONE)
    names = ("first", "first_bias", "second", "second_bias", "precision")
    return {name: np.asarray(messages[name]["value"], float) for name in names}


def moved(values, state, action):
    """Where the network leads [..., row, 1] from temperatures [row, 1], in NumPy."""
    x = np.concatenate([state / 20 - 1, np.eye(3)[action]], -1)
    hidden = np.tanh(x @ np.swapaxes(values["first"], -1, -2) + values["first_bias"][..., None, :])
    return state + 20 * (hidden @ values["second"] + values["second_bias"][..., None, :])


def test_a_log_is_as_likely_as_the_network_says():
    log = bm.collect(ROOM, steps=20, seed=0)
    rng = np.random.default_rng(1)
    sizes = {"first": (3, 4), "first_bias": (3,), "second": (3, 1), "second_bias": (1,)}
    values = {name: rng.normal(size=size) for name, size in sizes.items()} | {"precision": rng.gamma(4.0, 100.0, 1)}
    with jax.enable_x64(True):
        rows = fit_rows(PRIOR, read_records(log, ROOM))
        joint = jax.jit(lambda values: log_density(PRIOR, (rows,), {}, values)[0])(values)
    action = np.array([ROOM.actions.index(label) for label in log["action"].values.tolist()])
    expected = stats.norm(0, 1.5).logpdf(np.append(values["first"], values["first_bias"])).sum()
    expected += stats.norm(0, 0.4 / 3**0.5).logpdf(values["second"]).sum()
    expected += stats.norm(0, 0.4).logpdf(values["second_bias"]).sum()
    expected += stats.gamma(2.0, scale=1 / (2.0 * 0.05**2)).logpdf(values["precision"]).sum()
    after = moved(values, log["state"].values, action)
    expected += stats.norm(after, 20 / values["precision"] ** 0.5).logpdf(log["next_state"].values).sum()
    assert float(joint) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_predictions_are_calibrated():
    """Simulation-based calibration (Talts et al., 2018) of what is predicted in two places, and of the noise."""
    rows, draws, repetitions = 12, 100, 40
    rng, ranks = np.random.default_rng(0), []
    places, there = np.array([[8.0], [30.0]]), np.array([0, 2])
    for seed in range(repetitions):
        with jax.enable_x64(True):
            truth = drawn_from_the_prior(seed)
            state, action = rng.uniform(0, 40, (rows, 1)), np.arange(rows) % 3
            _, seen = draw_rows(PRIOR, jax.random.key(1_000 + seed), truth, state, action)
        data = Records(state, action, {name: np.asarray(value) for name, value in seen.items()}, np.ones(rows))
        posterior = bm.infer(PRIOR, data, draws=draws, chains=1, seed=seed).posterior
        drawn = {name: posterior[name].values[0] for name in truth}
        below = np.append(
            moved(drawn, places, there)[..., 0] < moved(truth, places, there)[:, 0],
            drawn["precision"] < truth["precision"],
            axis=1,
        )
        ranks.append(below.sum(0))
    for element, name in zip(np.array(ranks).T, ("cold", "warm", "noise"), strict=True):
        assert_p_value(calibration_p_value(element, draws), f"ranks of {name}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(?s).*diverged")
def test_both_engines_predict_the_same_and_close_to_the_truth():
    log = bm.collect(ROOM, steps=40, seed=0)
    prior = neural_dynamics(ROOM, width=3, noise=0.02)
    places, action = np.array([[10.0], [15.0], [20.0]]), np.array([2, 1, 0])
    told = []
    for method in ("smc", "nuts"):
        posterior = bm.infer(prior, log, mdp=ROOM, draws=400, num_warmup=400, method=method).posterior
        drawn = {name: posterior[name].values.reshape(400, *posterior[name].shape[2:]) for name in posterior.data_vars}
        told.append(moved(drawn, places, action)[..., 0])
    one, other = told
    spread = other.std(0)
    assert (np.abs(one.mean(0) - other.mean(0)) < 0.5 * spread).all()
    np.testing.assert_allclose(one.std(0), spread, rtol=0.4)
    truth = places[:, 0] + 0.1 * (5 - places[:, 0]) + 3.0 * np.array([1.0, 0.5, 0.0])
    assert (np.abs(one.mean(0) - truth) < 4 * spread).all() and spread.max() < 0.5


@pytest.mark.parametrize(
    "options, why",
    [
        ({"width": 0}, "width"),
        ({"width": True}, "width"),
        ({"bend": 0}, "bend"),
        ({"scale": -1}, "scale"),
        ({"noise": [0.1, 0.1]}, "noise has shape"),
    ],
)
def test_bad_numbers_are_refused(options, why):
    with pytest.raises(ValueError, match=why):
        neural_dynamics(ROOM, **options)


def test_a_problem_without_a_box_is_refused():
    with pytest.raises(TypeError, match="a box of states"):
        neural_dynamics(bm.environments.riverswim(3))
