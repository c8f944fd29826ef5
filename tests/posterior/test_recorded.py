"""Recorded primitives: closed forms against counts and integrals, particles against both, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from scipy import integrate
from scipy.special import betaln, gammaln

import bayesmdp as bm
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.read_model import read, read_sites
from bayesmdp.model_reading.records import Records
from bayesmdp.posterior.beliefs.primitives import recorded_belief
from bayesmdp.posterior.closed_forms.primitives import find_pairs, learn
from bayesmdp.posterior.closed_forms.transitions import find
from bayesmdp.posterior.particles.coordinates import Unsuitable
from bayesmdp.problems.world import Step

LAKE = bm.environments.slippery_lake()
PRIOR = {"direction": (2.0, 3.0, 0.5), "mobility": (1.5, 2.5), "reach": (0.3, 1.5)}
MODEL = bm.models.slippery_lake(LAKE, **PRIOR)
LETTERS = np.array(list("".join(LAKE.layout)))


def kinds(state):
    down, across = np.minimum(np.floor(state[:, ::-1]), 3).astype(int).T
    return LETTERS[4 * down + across]


def counted(log):
    """The posterior's parameters by hand."""
    kind = kinds(log["state"].values)
    turn, freed, length = (log[name].values for name in ("turn", "freed", "length"))
    ice, hole = np.isin(kind, ("S", "F")), kind == "H"
    moved = ice | (hole & (freed == 1))
    return {
        "direction": np.array(PRIOR["direction"]) + np.bincount(turn[ice].astype(int), minlength=3),
        "mobility": np.add(PRIOR["mobility"], (freed[hole].sum(), (1 - freed[hole]).sum())),
        "reach": np.array([max(PRIOR["reach"][0], length[moved].max(initial=0)), PRIOR["reach"][1] + moved.sum()]),
    }


def parameters(posterior, name):
    values = posterior["parameters"][name].values
    return values[~np.isnan(values)]


def log_multinomial_evidence(before, after):
    return gammaln(before.sum()) - gammaln(before).sum() + gammaln(after).sum() - gammaln(after.sum())


@pytest.mark.parametrize(
    "steps, seed", [(60, 1), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((1, 0), (700, 2)))]
)
def test_the_closed_form_is_counts_and_the_longest_move(steps, seed):
    log = bm.collect(LAKE, steps=steps, seed=seed)
    posterior = bm.infer(MODEL, log, mdp=LAKE, draws=100)
    expected = counted(log)
    assert posterior.attrs["engine"] == "exact"
    for name, values in expected.items():
        np.testing.assert_allclose(parameters(posterior, name), values, rtol=1e-14)
    # Beyond moves: the log also has those that would have left the lake, and resets.
    before = {name: np.array(values) for name, values in PRIOR.items()}
    evidence = log_multinomial_evidence(before["direction"], expected["direction"])
    evidence += betaln(*expected["mobility"]) - betaln(*before["mobility"])
    (scale, shape), (longest, total) = before["reach"], expected["reach"]
    evidence += np.log(shape) + shape * np.log(scale) - np.log(total) - total * np.log(longest)
    resets = (kinds(log["state"].values) == "G").sum()
    assert posterior.attrs["log_evidence"] == pytest.approx(evidence - resets * np.log(11), rel=1e-10)


def test_the_pareto_posterior_is_the_integral_of_prior_times_likelihood():
    lengths = np.array([0.2, 0.9, 0.55, 0.1])
    scale, shape = PRIOR["reach"]
    ice = Records(np.full((4, 2), 0.5), np.zeros(4, int), seen_of(4, length=lengths), np.array([1.0, 2, 1, 3]))
    posterior = bm.infer(MODEL, ice, draws=4_000)

    def density(reach):
        return shape * scale**shape / reach ** (shape + 1) * reach**-7.0 * (reach >= 0.9)

    total = integrate.quad(density, 0.9, np.inf)[0]
    mean = integrate.quad(lambda reach: reach * density(reach), 0.9, np.inf)[0] / total
    assert parameters(posterior, "reach") == pytest.approx([0.9, shape + 7])
    assert float(posterior.posterior["reach"].mean()) == pytest.approx(mean, abs=5 * mean / 8 / np.sqrt(4_000))
    assert float(posterior.posterior["reach"].min()) >= 0.9


def seen_of(rows, **columns):
    nothing = {"turn": 1, "freed": 0, "length": 0.1, "cell": 0}
    return {name: np.full(rows, value) for name, value in nothing.items()} | {"offset": np.zeros((rows, 2))} | columns


def test_weights_are_repetitions():
    data = read_records(bm.collect(LAKE, steps=60, seed=4), LAKE)
    times = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 20))  # as many rows in both
    repeated = jax.tree.map(lambda column: np.repeat(column, times, 0), data)
    once = bm.infer(MODEL, data._replace(weight=times.astype(float)), draws=0)
    long = bm.infer(MODEL, repeated, draws=0)
    for name in PRIOR:
        np.testing.assert_allclose(once["parameters"][name], long["parameters"][name], rtol=1e-14)
    assert once.attrs["log_evidence"] == pytest.approx(long.attrs["log_evidence"], rel=1e-12)


def test_draws_can_be_made_later():
    log = bm.collect(LAKE, steps=60, seed=4)
    kept = bm.infer(MODEL, log, mdp=LAKE, draws=0, seed=3)
    now = bm.infer(MODEL, log, mdp=LAKE, draws=40, seed=3)
    later = bm.draw(kept, 40)
    for name in PRIOR:
        np.testing.assert_array_equal(later.posterior[name], now.posterior[name])


def test_an_agents_belief_is_the_posterior_of_its_log():
    log = bm.collect(LAKE, steps=60, seed=5)
    belief = recorded_belief(MODEL, LAKE, 10, 100)
    data = read_records(log, LAKE)
    with jax.enable_x64(True):
        state = belief.init(jax.random.key(0))
        observe = jax.jit(belief.observe)
        for i in range(60):
            seen = {name: np.nan_to_num(values[i]) for name, values in data.seen.items()}
            state = observe(jax.random.key(0), state, Step(data.state[i], data.action[i], seen, None, 0.0, False))
    for name, values in counted(log).items():
        np.testing.assert_allclose(state[name], values, rtol=1e-14)
    assert belief is recorded_belief(MODEL, LAKE, 10, 100)
    assert belief.identity != recorded_belief(bm.models.slippery_lake(LAKE), LAKE, 10, 100).identity


@pytest.mark.slow
def test_particles_agree_with_the_closed_form():
    log = bm.collect(LAKE, steps=150, seed=6)
    exact = bm.infer(MODEL, log, mdp=LAKE, draws=20_000)
    runs = [bm.infer(MODEL, log, mdp=LAKE, draws=2_000, method="smc", seed=seed) for seed in range(3)]
    for name in PRIOR:
        mean, sd = exact.posterior[name].mean(("chain", "draw")), exact.posterior[name].std(("chain", "draw"))
        found = np.mean([run.posterior[name].mean(("chain", "draw")) for run in runs], axis=0)
        spread = np.mean([run.posterior[name].std(("chain", "draw")) for run in runs], axis=0)
        np.testing.assert_allclose((found - mean) / sd, 0, atol=0.12)
        np.testing.assert_allclose(spread / sd, 1, atol=0.12)
    evidence = [run.attrs["log_evidence"] for run in runs]
    assert np.mean(evidence) == pytest.approx(exact.attrs["log_evidence"], abs=0.25)
    assert all(run.attrs["least_effective_size"] > 50 for run in runs)


def test_an_unknown_for_each_cell_is_found_whichever_rows_it_is_of():
    def model(data):
        with numpyro.plate("cell", 3):
            free = numpyro.sample("free", dist.Beta(1.0, np.array([1.0, 2.0, 3.0])))
        place = jax.numpy.clip(jax.numpy.floor(jax.numpy.asarray(data.state)[:, 0]), 0, 2).astype(int)
        with data.rows():
            freed = numpyro.sample("freed", dist.Bernoulli(free[place]), obs=data.seen.get("freed"))
        numpyro.deterministic("next_state", data.state + freed[:, None])

    rng = np.random.default_rng(0)
    state, freed = rng.uniform(0, 3, (200, 1)), rng.integers(0, 2, 200)
    posterior = bm.infer(model, Records(state, np.zeros(200, int), {"freed": freed}, np.ones(200)), draws=0)
    place = state[:, 0].astype(int)
    won, tried = np.bincount(place, freed, 3), np.bincount(place, minlength=3)
    expected = np.stack([1 + won, np.array([1, 2, 3]) + tried - won], -1)
    np.testing.assert_allclose(posterior["parameters"]["free"].values, expected)
    assert posterior["parameters"]["free"].dims == ("cell", "parameter")


def lengths(of):
    """A model of one unknown whose lengths have the distribution that `of` makes of it."""

    def model(data):
        reach = of("prior", None)
        with data.rows():
            length = numpyro.sample("length", of("length", reach), obs=data.seen.get("length"))
        numpyro.deterministic("next_state", data.state + length[:, None])

    return model


def sampled(prior, likelihood):
    return lengths(lambda what, reach: numpyro.sample("reach", prior) if what == "prior" else likelihood(reach))


PARETO = dist.Pareto(0.5, 2.0)


@pytest.mark.parametrize(
    "model, why",
    [
        (sampled(PARETO, lambda reach: dist.Uniform(0, jnp.minimum(reach, 8))), "other than by sites that observe"),
        (sampled(PARETO, lambda reach: dist.Uniform(0, 2 * reach)), "other than by sites that observe"),
        (sampled(PARETO, lambda reach: dist.Uniform(-0.1, reach)), "other than by sites that observe"),
        (sampled(PARETO, lambda reach: dist.Exponential(1 / reach)), "other than by sites that observe"),
        (sampled(dist.LogNormal(0.0, 1.0), lambda reach: dist.Uniform(0, reach)), "is LogNormal"),
        (sampled(PARETO.mask(False), lambda reach: dist.Uniform(0, reach)), "scaled or masked"),
    ],
)
def test_what_is_no_pair_is_refused(model, why):
    data = Records(np.zeros((9, 1)), np.zeros(9, int), {"length": np.linspace(0.1, 0.4, 9)}, np.ones(9))
    with pytest.raises(bm.NotConjugate, match=why):
        bm.infer(model, data, method="exact")


def test_particles_of_a_prior_without_closed_form_agree_with_quadrature(capsys):
    model = sampled(dist.LogNormal(0.0, 1.0), lambda reach: dist.Uniform(0, reach))
    data = Records(np.zeros((5, 1)), np.zeros(5, int), {"length": np.array([0.1, 0.4, 1.2, 0.7, 0.3])}, np.ones(5))

    def density(reach):
        return np.exp(-(np.log(reach) ** 2) / 2) / reach / np.sqrt(2 * np.pi) * reach**-5.0

    total = integrate.quad(density, 1.2, np.inf)[0]
    mean = integrate.quad(lambda reach: reach * density(reach), 1.2, np.inf)[0] / total
    posterior = bm.infer(model, data, draws=4_000, progress=True)
    assert posterior.attrs["engine"] == "smc" and "no closed form" in posterior.attrs["reason"]
    assert "runs of particles" in capsys.readouterr().err
    assert posterior.attrs["least_effective_size"] > 0 and posterior.attrs["resampled"] >= 1
    assert float(posterior.posterior["reach"].mean()) == pytest.approx(mean, rel=0.02)
    assert posterior.attrs["log_evidence"] == pytest.approx(np.log(total), abs=0.15)


def test_derivatives_do_not_pass_a_pareto_for_conjugate():
    """In a finite MDP, where closed forms are found by differentiating, a Pareto-uniform pair must not be claimed."""
    river = bm.environments.riverswim(3)

    def model(data):
        reach = numpyro.sample("reach", PARETO)
        kernel = numpyro.sample("transition", dist.Dirichlet(np.ones((3, 2, 3))).to_event(0))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(kernel[data.state, data.action]), obs=data.next_state)
            numpyro.sample("earned", dist.Uniform(0, reach), obs=data.reward)

    log = bm.collect(river, steps=50, seed=0)
    rows = bm.compress(log, river, distinct_rewards=True)
    with pytest.raises(bm.NotConjugate, match="'reach' is Pareto"):
        find(read(model), rows)
    with pytest.raises(bm.NotConjugate, match="'reach' is Pareto"):
        bm.infer(model, log, method="exact")


def hierarchical(data):
    scale = numpyro.sample("scale", dist.Beta(2.0, 2.0))
    reach = numpyro.sample("reach", dist.Pareto(scale, 2.0))
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, reach), obs=data.seen.get("length"))
    numpyro.deterministic("next_state", data.state + length[:, None])


def masked_by_an_unknown(data):
    on, reach = numpyro.sample("on", dist.Beta(1.0, 1.0)), numpyro.sample("reach", PARETO)
    with data.rows(), handlers.mask(mask=jnp.full(len(data.weight), on > 0.5)):
        length = numpyro.sample("length", dist.Uniform(0, reach), obs=data.seen.get("length"))
    numpyro.deterministic("next_state", data.state + length[:, None])


def scaled_by_an_unknown(data):
    often, reach = numpyro.sample("often", dist.Beta(1.0, 1.0)), numpyro.sample("reach", PARETO)
    with data.rows(), handlers.scale(scale=often):
        length = numpyro.sample("length", dist.Uniform(0, reach), obs=data.seen.get("length"))
    numpyro.deterministic("next_state", data.state + length[:, None])


def changed_by_an_unknown(data):
    gain, reach = numpyro.sample("gain", dist.Beta(2.0, 2.0)), numpyro.sample("reach", PARETO)
    with data.rows():
        seen = data.seen["length"] * gain if "length" in data.seen else None
        numpyro.sample("length", dist.Uniform(0, reach), obs=seen)
    numpyro.deterministic("next_state", data.state + (data.seen["length"] if data.seen else data.weight)[:, None])


def tilted(data):
    reach = numpyro.sample("reach", PARETO)
    numpyro.factor("tilt", -reach)
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, reach), obs=data.seen.get("length"))
    numpyro.deterministic("next_state", data.state + length[:, None])


def of_the_data(data):
    reach = numpyro.sample("reach", dist.Pareto(0.5, 1 + jnp.sum(data.weight)))
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, reach), obs=data.seen.get("length"))
    numpyro.deterministic("next_state", data.state + length[:, None])


def with_factor(data):
    reach = numpyro.sample("reach", PARETO)
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, reach), obs=data.seen.get("length"))
        numpyro.factor("more", -reach * length)
    numpyro.deterministic("next_state", data.state + length[:, None])


@pytest.mark.parametrize(
    "model, why",
    [
        (hierarchical, "depends on another unknown"),
        (of_the_data, "or on the data"),
        (with_factor, "other than by sites"),
        (masked_by_an_unknown, "how often rows count for 'length' depends on the unknowns"),
        (scaled_by_an_unknown, "how often rows count for 'length' depends on the unknowns"),
        (changed_by_an_unknown, "the value of 'length' depends on the unknowns"),
        (tilted, "the factor 'tilt'"),
    ],
)
def test_dependence_and_factors_are_refused(model, why):
    data = Records(np.zeros((9, 1)), np.zeros(9, int), {"length": np.linspace(0.1, 0.4, 9)}, np.ones(9))
    with pytest.raises(bm.NotConjugate, match=why):
        find_pairs(read_sites(model, data), data)


def test_a_pareto_for_each_action_is_found() -> None:
    def model(data):
        with numpyro.plate("way", 2):
            reach = numpyro.sample("reach", dist.Pareto(0.1, 2.0))
        with data.rows():
            length = numpyro.sample("length", dist.Uniform(0, reach[data.action]), obs=data.seen.get("length"))
        numpyro.deterministic("next_state", data.state + length[:, None])

    length, action = np.array([0.4, 0.9, 0.05, 0.6]), np.array([0, 1, 1, 0])
    posterior = bm.infer(model, Records(np.zeros((4, 1)), action, {"length": length}, np.ones(4)), draws=0)
    np.testing.assert_allclose(posterior["parameters"]["reach"].values, [[0.6, 4.0], [0.9, 4.0]])


def test_evidence_of_a_sharp_prior() -> None:
    def model(data):
        free = numpyro.sample("free", dist.Beta(1e-3, 1e-3))
        with data.rows():
            freed = numpyro.sample("freed", dist.Bernoulli(free), obs=data.seen.get("freed"))
        numpyro.deterministic("next_state", data.state + freed[:, None])

    data = Records(np.zeros((50, 1)), np.zeros(50, int), {"freed": np.ones(50, int)}, np.ones(50))
    found = bm.infer(model, data, draws=10).attrs["log_evidence"]
    assert found == pytest.approx(betaln(50.001, 0.001) - betaln(0.001, 0.001), rel=1e-10)


def gained(data):
    gain = numpyro.sample("gain", dist.Beta(1.0, 1.0))
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, 1), obs=data.seen.get("length"))
    numpyro.deterministic("next_state", data.state + gain * length[:, None])


def no_next(data):
    numpyro.sample("reach", PARETO)


def wrong_shape(data):
    reach = numpyro.sample("reach", PARETO)
    numpyro.deterministic("next_state", reach + data.state[:, 0])


def known(data):
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, 1), obs=data.seen.get("length"))
    numpyro.deterministic("next_state", data.state + length[:, None])


def discrete(data):
    many = numpyro.sample("many", dist.Poisson(3.0))
    with data.rows():
        length = numpyro.sample("length", dist.Uniform(0, 1.0 + many), obs=data.seen.get("length"))
    numpyro.deterministic("next_state", data.state + length[:, None])


@pytest.mark.parametrize(
    "model, error, why",
    [
        (no_next, ValueError, "no next state"),
        (wrong_shape, ValueError, r"next_state has shape \(9,\)"),
        (known, ValueError, "no unknown"),
        (gained, ValueError, "next_state of row 0 depends on the unknowns gain"),
        (discrete, Unsuitable, "'many' is Poisson"),
        ("a model", TypeError, "a NumPyro function"),
    ],
)
def test_bad_models_are_refused_by_name(model, error, why):
    data = Records(np.zeros((9, 1)), np.zeros(9, int), {"length": np.linspace(0.1, 0.4, 9)}, np.ones(9))
    with pytest.raises(error, match=why):
        bm.infer(model, data, draws=100)


def changed(log, name, step, value):
    values = log[name].values.copy()
    values[step] = value
    return log.assign({name: (log[name].dims, values)})


@functools.cache
def log_of_lake():
    return bm.collect(LAKE, steps=60, seed=0)


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda log: log.drop_vars("reward"), "no reward"),
        (
            lambda log: log.drop_vars("turn"),
            "draws 'turn' for each row, and the data do not hold it; they hold cell, freed",
        ),
        (lambda log: log.isel(step=slice(0)), "empty"),
        (
            lambda log: changed(log, "length", 3, np.nan),
            r"length\[3\] is missing, and the model observes it in that row",
        ),
        (lambda log: changed(log, "turn", 3, 0.5), r"turn\[3\] is 0.5; the model draws numbers of type int"),
        (lambda log: log.assign(turn=("step", ["ahead"] * 60)), "turn holds <U5; expected numbers"),
        (lambda log: log.assign(offset=log["length"]), r"offset has shape \(60,\); the model draws \(60, 2\)"),
        (lambda log: changed(log, "state", 2, np.inf), r"state\[2, 0\] is not finite"),
        (lambda log: changed(log, "action", 4, "jump"), "action at step 4 is 'jump"),
        (lambda log: changed(log, "next_state", 5, 3.9), "next_state at step 5"),
    ],
)
def test_bad_logs_are_refused_with_the_step(change, why):
    with pytest.raises(ValueError, match=why):
        bm.infer(MODEL, change(log_of_lake()), mdp=LAKE)


def test_impossible_primitives_are_refused_with_the_row():
    data = Records(np.full((3, 2), 0.5), np.zeros(3, int), seen_of(3, length=np.array([0.1, -0.2, 0.3])), np.ones(3))
    with pytest.raises(ValueError, match=r"row 1 \(.*length -0.2"):
        bm.infer(MODEL, data)
    for turn in (7, -1):
        data = Records(np.full((3, 2), 0.5), np.zeros(3, int), seen_of(3, turn=np.array([1, 1, turn])), np.ones(3))
        with pytest.raises(ValueError, match=rf"row 2 \(turn {turn}"):
            bm.infer(MODEL, data)


def test_what_the_model_does_not_ask_for_is_not_looked_at() -> None:
    log = log_of_lake()
    plain = bm.infer(MODEL, log, mdp=LAKE, draws=0)
    noted = log.assign(note=("step", ["x"] * 60), other=("step", np.full(60, np.nan)))
    held = bm.infer(MODEL, noted.assign(freed=noted["freed"].astype(float)), mdp=LAKE, draws=0)
    np.testing.assert_array_equal(plain["parameters"]["direction"], held["parameters"]["direction"])


def test_rows_of_weight_0_teach_nothing():
    data = Records(np.full((2, 2), 0.5), np.zeros(2, int), seen_of(2, length=np.array([0.1, 0.9])), np.array([1.0, 0]))
    pairs = find_pairs(read_sites(MODEL, data), data)
    with jax.enable_x64(True):
        after = learn(MODEL, pairs, pairs.before, data)
    assert np.asarray(after["reach"]).tolist() == [0.3, 2.5]
