"""One contract for all priors: their sites and engine are those they say, and rows of weight 0 teach nothing."""

import re
from collections.abc import Callable
from functools import cache
from inspect import getdoc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpyro import handlers
from numpyro.infer import init_to_uniform
from numpyro.infer.util import log_density

from bayesmdp import NotConjugate, Targets, collect, compress, environments, infer
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.models import GROUPS, Example
from bayesmdp.posterior.inference.q_values import of_q_values

PROBLEMS = {example.make.__name__: example for group in environments.GROUPS.values() for example in group}
EXAMPLES = {example.make.__name__: example for group in GROUPS.values() for example in group}
OF_A_PROBLEM = [name for name, example in EXAMPLES.items() if example.environment is not None]
OF_A_LOG = [name for name, example in EXAMPLES.items() if example.engine]


OF_TRANSITIONS = [name for name in OF_A_LOG if "transition" in (getdoc(EXAMPLES[name].make) or "")]


@cache
def problem_of(environment: str) -> Any:
    return PROBLEMS[environment].problem


@cache
def log_of(environment: str) -> xr.Dataset:
    return collect(problem_of(environment), steps=20, seed=0)


@cache
def model_of(name: str) -> Callable[[Any], None]:
    example = EXAMPLES[name]
    return example.model(None if example.environment is None else problem_of(example.environment))


def rows_of(name: str) -> Any:
    """The rows of a small log in the form that the model asks for."""
    environment, model = EXAMPLES[name].environment, model_of(name)
    assert environment is not None
    problem, log = problem_of(environment), log_of(environment)
    if problem.space == "simulated":
        with jax.enable_x64(True):
            return fit_rows(model, read_records(log, problem))
    if of_q_values(model, problem):
        live = problem.stage < problem.horizon
        return Targets(problem.stage[live], problem.features[live, 0], np.ones(live.sum()), np.ones(live.sum()))
    return compress(log, problem, distinct_rewards=True)


def documented_sites(example: Example) -> set[str]:
    """What the docstring says in double backticks that the model holds; it may stand on others' sites."""
    told = re.search(r"Returns\n-+\n(.*?)\n\n", getdoc(example.make) or "", re.DOTALL)
    assert told, f"{example.make.__name__} does not say what it returns"
    below = {"transition"} if "the sites of `transitions`" in told[1] else set()
    return below | set(re.findall(r"``(\w+)``", told[1]))


def unknown_of(sites: dict[str, Any]) -> dict[str, Any]:
    """The messages of the sites that are neither observed nor computed."""
    return {name: each for name, each in sites.items() if each["type"] == "sample" and not each["is_observed"]}


def test_every_example_makes_a_model_of_data() -> None:
    for name in EXAMPLES:
        model = model_of(name)
        assert name in model.__name__.split(" + ")
        assert EXAMPLES[name].environment is None or model_of.__wrapped__(name) is model, (
            f"equal {name} are two programs"
        )


# Their closed forms are held against NumPy in tests/posterior, one by one.
PROVED = {"gaussian_q", "slippery_lake", "linear_dynamics", "matrix_dynamics", "thermostat"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in PROVED else name for name in OF_A_LOG]
)
def test_a_log_is_inferred_by_the_engine_it_declares(name: str) -> None:
    example = EXAMPLES[name]
    assert example.environment is not None
    problem, log = problem_of(example.environment), log_of(example.environment)
    if example.engine != "exact":
        with pytest.raises(NotConjugate):
            infer(model_of(name), log, method="exact", draws=8, mdp=problem)
        return
    posterior = infer(model_of(name), log, draws=8, mdp=problem)
    assert posterior.attrs["engine"] == "exact"
    assert set(posterior["posterior"].data_vars) <= documented_sites(example)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OF_A_LOG if EXAMPLES[name].engine != "exact"])
@pytest.mark.filterwarnings("ignore:(?s).*diverged")
def test_a_log_is_inferred_without_a_closed_form(name: str) -> None:
    example = EXAMPLES[name]
    assert example.environment is not None
    options: dict[str, Any] = {"draws": 8, "num_warmup": 4, "mdp": problem_of(example.environment)}
    posterior = infer(model_of(name), log_of(example.environment), **options)
    assert posterior.attrs["engine"] == example.engine
    assert set(posterior["posterior"].data_vars) <= documented_sites(example)


class Told(NamedTuple):
    """What a model says at some values of its unknowns: densities of all and of the prior, and of steps seen.

    `steps` are log-likelihoods of the rows' next states, and `entries` the logs of their entries of the transition.
    """

    joint: Any
    prior: Any
    steps: Any
    entries: Any


@cache
def told_by(name: str) -> tuple[Told, set[str]]:
    """What a model says, by one program, and the names of its unknowns; to draw them from the prior compiles longer."""
    model, rows = model_of(name), rows_of(name)
    unseen = rows._replace(weight=np.zeros(len(rows.weight)))
    unknowns: set[str] = set()

    @jax.jit
    def tell(key: Any) -> Told:
        somewhere = handlers.substitute(handlers.seed(model, key), substitute_fn=init_to_uniform)
        sites = handlers.trace(somewhere).get_trace(rows)
        unknowns.update(unknown_of(sites))
        values = {site: message["value"] for site, message in unknown_of(sites).items()}
        prior = sum(jnp.sum(message["fn"].log_prob(message["value"])) for message in unknown_of(sites).values())
        joint, _ = log_density(model, (unseen,), {}, values)
        if name not in OF_TRANSITIONS:
            return Told(joint, prior, (), ())
        observed = [each for each in sites.values() if each["type"] == "sample" and each["is_observed"]]
        (steps,) = (each for each in observed if each["value"] is rows.next_state)
        entries = sites["transition"]["value"][rows.state, rows.action, rows.next_state]
        return Told(joint, prior, steps["fn"].log_prob(steps["value"]), jnp.log(entries))

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, tell(jax.random.key(0))), unknowns


@pytest.mark.parametrize("name", OF_TRANSITIONS)
def test_rows_are_as_likely_as_its_transition_says(name: str) -> None:
    """Without what the model says of rewards: log transition[state, action, next_state]."""
    told, _ = told_by(name)
    np.testing.assert_allclose(told.steps, told.entries, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Out-of-support")  # primitives of rows that are masked
@pytest.mark.parametrize("name", OF_A_PROBLEM)
def test_its_sites_are_documented_and_rows_of_weight_0_teach_nothing(name: str) -> None:
    """Of the joint density nothing but the prior's is left, so that one function is prior and posterior."""
    told, unknowns = told_by(name)
    assert float(told.joint) == pytest.approx(float(told.prior), abs=1e-9)
    assert unknowns and unknowns <= documented_sites(EXAMPLES[name])
