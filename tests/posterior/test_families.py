"""One contract for all conjugate families, against quadrature; and a family that is added here and nowhere else.

Each family gives an example of itself, two elements of it with what observes them. All unknowns stand in one model of
rewards and in one of recorded primitives, so that each is compiled once.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions.transforms import biject_to
from scipy import stats
from scipy.special import gammaln

import bayesmdp as bm
from bayesmdp.model_reading.model_runs import parameters_of
from bayesmdp.model_reading.read_model import read_sites
from bayesmdp.model_reading.records import Records
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.draws import draw_sites
from bayesmdp.posterior.closed_forms.families import FAMILIES, Example, ExponentialFamily, Likelihood
from bayesmdp.posterior.closed_forms.families.family import stacked
from bayesmdp.posterior.closed_forms.families.gamma import Gamma
from bayesmdp.posterior.closed_forms.primitives import find_pairs, learn
from bayesmdp.posterior.closed_forms.priors import recognised
from bayesmdp.problems.world import Step
from tests.statistical import assert_means

pytestmark = pytest.mark.usefixtures("wide", "inverse_gamma")


class Laplace(Likelihood):
    """``value ~ Laplace(0, unknown)``."""

    name = "Laplace(0, .)"

    def takes(self, distribution):
        return isinstance(distribution, dist.Laplace) and bool(np.all(np.asarray(distribution.loc) == 0))

    def parameter(self, distribution):
        return distribution.scale

    def log_likelihood(self, parameter, value):
        return -np.log(parameter) - np.abs(value) / parameter

    def add(self, parameters, element, value, times):
        return parameters.at[element].add(jnp.stack([times, times * jnp.abs(value)], -1))


class InverseGamma(Gamma):
    """A variance, whose inverse is a Gamma variable; observed directly it is the scale of a Laplace distribution."""

    name = "Inverse-gamma"
    labels = ("shape", "scale")
    likelihood = Laplace()
    complaint = "linear in 1 / {0!r} and its log, as an inverse-gamma prior asks"

    def example(self):
        return Example(
            ((3.0, 1.5), (4.0, 2.0)),
            (lambda: dist.InverseGamma(np.array([3.0, 4.0]), np.array([1.5, 2.0])),),
            lambda x: dist.Normal(0.2, x**0.5),
            lambda x: dist.Laplace(0.0, x),
            ((0.3, -0.8, 1.1), (-0.2, 0.6, 0.1)),
        )

    def of(self, kind, parameters):
        return stacked(parameters["concentration"], parameters["rate"]) if issubclass(kind, dist.InverseGamma) else None

    def draws(self, parameters, log_gamma, normal):
        return (1 / super().draws(parameters, log_gamma, normal)[0],)

    def moments(self, parameters):
        shape, scale = parameters[..., 0], parameters[..., 1]
        return scale / (shape - 1), (scale / (shape - 1)) ** 2 / (shape - 2)

    def statistics(self, values, prior):
        return super().statistics((1 / values[0],), prior)

    def place(self, point, prior):
        return (1 / super().place(point, prior)[0],)

    def units(self, values, prior):
        return (-values[0],)

    def mean(self, parameters):
        return (parameters[..., 1] / parameters[..., 0],)

    def log_density(self, values, parameters):
        return stats.invgamma.logpdf(values[0], parameters[..., 0], scale=parameters[..., 1])

    def log_normaliser(self, parameters):
        return float((gammaln(parameters[..., 0]) - parameters[..., 0] * np.log(parameters[..., 1])).sum())

    def distinct_values(self, rng, prior):
        return rng.uniform(0.5, 2, prior.shape[:-1])

    def values_that_allow_all(self, parameters, stretch):
        return self.mean(parameters)[0]


# One that is registered under the name goes before the one above.
EVERY = {"Inverse-gamma": InverseGamma(), **FAMILIES}
REWARDED = [name for name, family in EVERY.items() if family.example().reward]
DIRECT = [name for name, family in EVERY.items() if family.likelihood]
STATE, NEXT = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 1, 0, 0, 1, 0])
REWARD, WEIGHT = np.array([1.0, 0, 1, 0, 0, 1, 1]), np.array([1.0, 1, 2, 1, 3, 1, 1])
MDP = bm.MDP(transition=np.full((2, 1, 2), 0.5), reward=np.zeros((2, 1)), discount=0.9)
DRAWS = 4_000


@pytest.fixture(scope="module")
def inverse_gamma():
    """The one line that registers a family, and all as it was thereafter."""
    before = dict(FAMILIES)
    FAMILIES["Inverse-gamma"] = EVERY["Inverse-gamma"]
    yield
    FAMILIES.clear()
    FAMILIES.update(before)


def names_of(name):
    """Sites of a family's unknowns in the models below."""
    count = len(EVERY[name].example().priors)
    return [f"{name} {i}" for i in range(count)] if count > 1 else [name]


def sampled(name):
    values: list[Any] = []
    for site, prior in zip(names_of(name), EVERY[name].example().priors, strict=True):
        fn = prior(*values)
        values.append(numpyro.sample(site, fn.to_event(fn.batch_shape and len(fn.batch_shape))))
    return values


def rewarded(data):
    """All families that rewards say something of; the reward is observed once for each."""
    transition = numpyro.sample("transition", dist.Dirichlet(np.array([[[1.0, 2.0]], [[0.5, 1.5]]])).to_event(2))
    values = {name: sampled(name) for name in REWARDED}
    numpyro.deterministic("reward", values["Normal"][0][:, None])
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)
        for name, own in values.items():
            likelihood = EVERY[name].example().reward(*(value[data.state] for value in own))
            numpyro.sample(f"seen by {name}", likelihood, obs=data.reward)


def recorded(data):
    """All families that a site can observe directly: row i observes element `action[i]` of each."""
    values = {name: sampled(name)[0] for name in DIRECT}
    numpyro.deterministic("next_state", data.state)
    with data.rows():
        for name, value in values.items():
            numpyro.sample(
                f"seen of {name}",
                EVERY[name].example().direct(value[data.action]),
                obs=data.seen.get(f"seen of {name}"),
            )


class Truth(NamedTuple):
    """By quadrature: the log probability of the data, and the last site's mean and variance [element, ...]."""

    log_evidence: Any
    mean: Any
    variance: Any


def by_quadrature(name, observe, observed, weight):
    """Trapezoids in unconstrained coordinates, of which there are one or two; so fine that a jump does not matter."""
    priors = EVERY[name].example().priors
    ends = 25.0
    if len(priors) == 1 and not priors[0]().event_dim:
        z = np.linspace(-ends, ends, 200_001)[:, None]
    else:
        z = np.stack(np.meshgrid(*[np.linspace(-ends, ends, 401)] * 2), -1).reshape(-1, 2)

    @jax.jit
    def integrals(z):
        values, density = [], 0.0
        for number, prior in enumerate(priors):
            fn = prior(*values)
            bijection = biject_to(fn.support)
            own = z[:, None, :] if fn.event_dim else z[:, number, None]
            value = bijection(own)
            density += fn.log_prob(value) + bijection.log_abs_det_jacobian(own, value)
            values.append(value)
        likelihood = observe(*values)
        for seen, times in zip(jnp.asarray(observed).T, jnp.asarray(weight).T, strict=True):
            # NumPyro's log_prob does not look at the support.
            log_prob = jnp.where(likelihood.support(seen), likelihood.log_prob(seen), -jnp.inf)
            density += jnp.where(times > 0, times * log_prob, 0.0)
        most = density.max(0)
        share = jnp.exp(density - most)
        total = share.sum(0)
        share = (share / total).reshape(*share.shape, *(1,) * (values[-1].ndim - 2))
        mean = (share * values[-1]).sum(0)
        return most + jnp.log(total), mean, (share * (values[-1] - mean) ** 2).sum(0)

    log_total, mean, variance = integrals(z)
    spacing = 2 * ends / (len(np.unique(z[:, 0])) - 1)
    return Truth(np.asarray(log_total) + z.shape[1] * np.log(spacing), np.asarray(mean), np.asarray(variance))


@pytest.fixture(scope="module")
def rewards(inverse_gamma):
    """What `infer` and an agent's belief make of all families at once, and the truth."""
    data = Transitions(STATE, np.zeros(7, int), NEXT, REWARD, WEIGHT)
    posterior = bm.infer(rewarded, data, draws=DRAWS, method="exact")
    belief = bm.posterior.exact_belief(rewarded, MDP, DRAWS)

    def run(key):
        columns = (column[np.repeat(np.arange(7), WEIGHT.astype(int))] for column in (STATE, NEXT, REWARD))

        def see(state, row):
            s, t, reward = row
            return belief.observe(key, state, Step(s, 0, t, t, reward, False)), None

        state, _ = jax.lax.scan(see, belief.init(key), tuple(columns))
        return belief.parameters(state), belief.draw(key, state)[1]

    with jax.enable_x64(True):
        after, drawn = jax.jit(run)(jax.random.key(0))
        of_state = [STATE == 0, STATE == 1]
        weight = np.stack([np.where(here, WEIGHT, 0) for here in of_state])
        truths = {
            name: by_quadrature(name, EVERY[name].example().reward, np.tile(REWARD, (2, 1)), weight)
            for name in REWARDED
        }
    return posterior, after, drawn, truths


@pytest.fixture(scope="module")
def primitives(inverse_gamma):
    """The same of recorded primitives."""
    seen = {f"seen of {name}": np.ravel(EVERY[name].example().observed) for name in DIRECT}
    data = Records(np.zeros((6, 1)), np.repeat([0, 1], 3), seen, np.array([1.0, 2, 1, 1, 1, 3]))
    posterior = bm.infer(recorded, data, draws=DRAWS, method="exact")
    with jax.enable_x64(True):
        truths = {}
        for name in DIRECT:
            example = EVERY[name].example()
            truths[name] = by_quadrature(name, example.direct, example.observed, data.weight.reshape(2, 3))
    return posterior, data, truths


def parameters(posterior, name):
    labels = list(EVERY[name].labels)
    own = posterior["parameters"][names_of(name)[-1]]
    return own.sel(parameter=labels).values if labels else own.values


@pytest.mark.parametrize("name", EVERY)
def test_a_family_reads_its_prior_and_no_other_does(name):
    example = EVERY[name].example()
    assert EVERY[name].name == name
    if len(example.priors) > 1:  # found out from how one prior depends on the other
        assert EVERY[name].parts
        return
    kind, read = parameters_of(example.priors[0]())
    read = jax.tree.map(np.asarray, read)
    assert [family.name for family in FAMILIES.values() if family.of(kind, read) is not None] == [name]
    np.testing.assert_array_equal(recognised(FAMILIES.values(), kind, read)[1], example.parameters)


@pytest.mark.parametrize("name", [name for name, family in EVERY.items() if isinstance(family, ExponentialFamily)])
def test_densities_are_numpyros(name):
    family, example = EVERY[name], EVERY[name].example()
    before = np.array(example.parameters)
    own = family.random_values(np.random.default_rng(0), before, 0.5)
    values, expected = [], 0.0
    for value, prior in zip(own, example.priors, strict=True):
        expected += prior(*values).log_prob(family.site_value(value))
        values.append(value)
    np.testing.assert_allclose(family.log_density(own, before), expected, rtol=1e-10)
    np.testing.assert_allclose(family.standard(family.natural(before), before), before, rtol=1e-14)


@pytest.mark.parametrize("name", REWARDED)
def test_rewards(name, rewards):
    posterior, after, drawn, truths = rewards
    truth, found = truths[name], parameters(posterior, name)
    for moment, expected in zip(EVERY[name].moments(found), truth[1:], strict=True):
        np.testing.assert_allclose(moment, expected, rtol=1e-6)
    site = names_of(name)[-1]
    np.testing.assert_allclose(after[site], found, rtol=1e-9)
    assert_means(drawn[site], truth.mean)
    assert_means(posterior.posterior[site].values.reshape(DRAWS, 2), truth.mean)
    assert_means(bm.draw(posterior, DRAWS, seed=1, model=rewarded).posterior[site].values.reshape(DRAWS, 2), truth.mean)


def test_the_evidence_of_rewards_is_that_of_all_families(rewards):
    posterior, _, _, truths = rewards
    a, n = np.array([[1.0, 2.0], [0.5, 1.5]]), np.zeros((2, 2))
    np.add.at(n, (STATE, NEXT), WEIGHT)
    transitions = (gammaln(a.sum(-1)) - gammaln((a + n).sum(-1)) + (gammaln(a + n) - gammaln(a)).sum(-1)).sum()
    expected = transitions + sum(truth.log_evidence.sum() for truth in truths.values())
    assert posterior.attrs["log_evidence"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", DIRECT)
def test_recorded_primitives(name, primitives):
    posterior, _, truths = primitives
    # The density of a Pareto posterior begins with a jump.
    for moment, expected in zip(EVERY[name].moments(parameters(posterior, name)), truths[name][1:], strict=True):
        np.testing.assert_allclose(moment, expected, rtol=2e-3)
    draws = posterior.posterior[name].values
    assert_means(draws.reshape(DRAWS, *draws.shape[2:]), EVERY[name].moments(parameters(posterior, name))[0])


def test_the_evidence_of_recorded_primitives_is_that_of_all_families(primitives):
    posterior, _, truths = primitives
    expected = sum(truth.log_evidence.sum() for truth in truths.values())
    assert posterior.attrs["log_evidence"] == pytest.approx(expected, abs=2e-3)


def test_an_agents_belief_about_recorded_primitives(primitives):
    posterior, data, _ = primitives
    pairs = find_pairs(read_sites(recorded, data), data)
    after = pairs.before
    for row in np.repeat(np.arange(6), data.weight.astype(int)):
        step = jax.tree.map(lambda column, row=row: column[row : row + 1], data)._replace(weight=np.ones(1))
        after = learn(recorded, pairs, after, step)
    drawn = draw_sites(jax.random.key(0), None, pairs.layout, None, after, DRAWS)
    for name in DIRECT:
        np.testing.assert_allclose(after[name], parameters(posterior, name), rtol=1e-12)
        assert_means(drawn[name], EVERY[name].moments(np.asarray(after[name]))[0])
