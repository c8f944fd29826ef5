"""NumPyro's own tools on models of ours and of users, beside `infer`: a sweep, run by tests and in processes apart.

``python -m tests.numpyro_tools ours`` runs `infer` before the tools of each model, and once more after them; ``theirs``
the tools first. Whether JAX has 64 bits is the environment's affair (``JAX_ENABLE_X64``).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import optim
from numpyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Predictive,
    Trace_ELBO,
    autoguide,
    init_to_median,
    init_to_uniform,
    log_likelihood,
)
from numpyro.infer.util import log_density

import bayesmdp as bm

RIVER = bm.environments.riverswim(6)
LOG = bm.collect(RIVER, policy="uniform", steps=60, seed=0)


class Case(NamedTuple):
    """A model, what NumPyro gives it, what `infer` is told, and where NumPyro's inference begins."""

    model: Callable[[Any], None]
    data: Any
    log: Any
    mdp: Any
    begin: Callable[..., Any] = init_to_uniform


def closed_over() -> Callable[[Any], None]:
    """A model that holds arrays of numbers and of indices, its own."""
    concentration, place = np.full((6, 2, 6), 0.5), np.arange(6)[:, None]

    def model(data: Any) -> None:
        with numpyro.plate("state", 6, dim=-2), numpyro.plate("action", 2, dim=-1):
            transition = numpyro.sample("transition", dist.Dirichlet(concentration))
        row = jnp.take(transition.sum(0), place[:, 0], axis=1) / 6  # index arrays of 64 bits, too
        numpyro.deterministic("mean_row", row + 0 * jnp.sum(concentration))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    return model


def current() -> Callable[[Any], None]:
    """The front page's model, with an environment and arrays of its own."""
    river, swimming = bm.environments.riverswim(6), np.arange(1, 5)[:, None]

    def model(data: Any) -> None:
        ahead = numpyro.sample("ahead", dist.Beta(2, 2))
        row = jnp.stack([(1 - ahead) / 13, (1 - ahead) * 12 / 13, ahead])
        transition = jnp.asarray(river.transition).at[swimming, 1, swimming + np.arange(-1, 2)].set(row)
        transition = numpyro.deterministic("transition", transition)
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    return model


def of_log(model: Callable[[Any], None]) -> Case:
    return Case(model, bm.compress(LOG, RIVER, distinct_rewards=True), LOG, RIVER)


def _shop() -> Any:
    return bm.environments.recommendation(3, 2)


def _logistic() -> Case:
    shop = _shop()
    pair, seen = np.arange(24, dtype=np.int32), np.arange(24) % 3
    data = bm.Transitions(pair // 3, pair % 3, pair % 2, np.zeros(24), seen.astype(float))
    return Case(bm.models.logistic_transitions(shop), data, data, shop)


def _queue() -> Case:
    queue = bm.environments.queue(capacity=4)
    log = bm.collect(queue, steps=40, seed=0)
    return Case(bm.models.queue_rates(queue), bm.compress(log, queue), log, queue)


def _slips() -> Case:
    lake = bm.environments.frozen_lake()
    log = bm.collect(lake, steps=40, seed=0)
    return Case(bm.models.tied_moves(lake, bm.environments.slips()), bm.compress(log, lake), log, lake)


def _positions() -> Case:
    from bayesmdp.logs.recorded_log import read_records
    from bayesmdp.model_reading.primitives import fit_rows

    lake = bm.environments.slippery_lake()
    model, log = bm.models.slippery_lake(lake), bm.collect(lake, steps=20, seed=0)
    with jax.enable_x64(True):
        return Case(model, fit_rows(model, read_records(log, lake)), log, lake)


def _next_states(model: str, environment: str, **options: Any) -> Case:
    """A model that observes next states themselves."""
    from bayesmdp.logs.recorded_log import read_records
    from bayesmdp.model_reading.primitives import fit_rows

    problem = bm.environments.ENVIRONMENTS[environment]()
    prior, log = bm.models.PRIORS[model](problem, **options), bm.collect(problem, steps=20, seed=0)
    with jax.enable_x64(True):
        return Case(prior, fit_rows(prior, read_records(log, problem)), log, problem)


def _q_values() -> Case:
    from bayesmdp.model_reading.rows import Targets

    shop = _shop()
    size = shop.features.shape[-1]
    rng = np.random.default_rng(0)
    data = Targets(np.arange(8) % 2, rng.normal(size=(8, size)), rng.normal(size=8), np.ones(8))
    return Case(bm.models.gaussian_q(shop), data, bm.collect(shop, steps=20, seed=0), shop)


CASES: Mapping[str, Callable[[], Case]] = {
    "current": lambda: of_log(current()),
    "thermostat": lambda: _next_states("thermostat", "thermostat"),
    "linear_dynamics": lambda: _next_states("linear_dynamics", "thermostat"),
    "matrix_dynamics": lambda: _next_states("matrix_dynamics", "linear_quadratic"),
    "neural_dynamics": lambda: _next_states("neural_dynamics", "thermostat", width=2),
    "fourier_dynamics": lambda: _next_states("fourier_dynamics", "thermostat", number=3),
    "linear_rewards": lambda: _next_states("linear_rewards", "thermostat"),
    "linear_system": lambda: _next_states("linear_system", "linear_quadratic"),
    "fishery": lambda: _next_states("fishery", "fishery"),
    "glucose": lambda: _next_states("glucose", "glucose")._replace(begin=init_to_median),
    "closed over": lambda: of_log(closed_over()),
    "dirichlet_transitions": lambda: of_log(bm.models.dirichlet_transitions(RIVER)),
    "sparse_dirichlet": lambda: of_log(bm.models.sparse_dirichlet(RIVER, (RIVER.transition > 0).astype(float))),
    "hierarchical_dirichlet": lambda: of_log(bm.models.hierarchical_dirichlet(RIVER)),
    "river_current": lambda: of_log(bm.models.river_current(RIVER)),
    "normal_rewards": lambda: of_log(bm.models.normal_rewards(RIVER, bm.models.river_current(RIVER))),
    "normal_gamma_rewards": lambda: of_log(
        bm.models.normal_gamma_rewards(RIVER, bm.models.river_current(RIVER), tied="state")
    ),
    "beta_bernoulli_rewards": lambda: Case(
        bm.models.beta_bernoulli_rewards(RIVER, bm.models.river_current(RIVER)),
        bm.compress(LOG.assign(reward=(LOG.reward > 0.5).astype(float)), RIVER, distinct_rewards=True),
        LOG.assign(reward=(LOG.reward > 0.5).astype(float)),
        RIVER,
    ),
    "logistic_transitions": _logistic,
    "queue_rates": _queue,
    "tied_moves": _slips,
    "slippery_lake": _positions,
    "gaussian_q": _q_values,
}


def ours(case: Case) -> None:
    bm.infer(case.model, case.log, mdp=case.mdp, draws=8, num_warmup=4, seed=0)


def predictive(case: Case) -> dict[str, Any]:
    drawn = Predictive(case.model, num_samples=3)(jax.random.key(0), case.data)
    for name, values in drawn.items():
        expected = jnp.asarray(0.0).dtype if jnp.issubdtype(values.dtype, jnp.floating) else values.dtype
        assert values.dtype == expected, f"{name} has {values.dtype}"
    return dict(drawn)


def _unknowns(case: Case) -> dict[str, Any]:
    """A draw of the unknowns alone, with a leading axis of draws."""
    with numpyro.handlers.block():
        sites = numpyro.handlers.trace(numpyro.handlers.seed(case.model, jax.random.key(0))).get_trace(case.data)
    latent = {name: site for name, site in sites.items() if site["type"] == "sample" and not site["is_observed"]}
    return {name: site["value"][None] for name, site in latent.items()}


def likelihood(case: Case) -> dict[str, Any]:
    return dict(log_likelihood(case.model, _unknowns(case), case.data))


def density(case: Case) -> float:
    total, _ = log_density(case.model, (case.data,), {}, {name: values[0] for name, values in _unknowns(case).items()})
    return float(total)


def nuts(case: Case) -> MCMC:
    mcmc = MCMC(NUTS(case.model, init_strategy=case.begin), num_warmup=4, num_samples=4, progress_bar=False)
    mcmc.run(jax.random.key(0), case.data)
    return mcmc


def arviz(case: Case) -> Any:
    import arviz as az

    return az.from_numpyro(nuts(case), log_likelihood=True)


def svi(case: Case) -> Any:
    guide = autoguide.AutoNormal(case.model, init_loc_fn=case.begin)
    run = SVI(case.model, guide, optim.Adam(0.01), Trace_ELBO())
    return run.run(jax.random.key(0), 3, case.data, progress_bar=False)


TOOLS: Mapping[str, Callable[[Case], Any]] = {
    "Predictive": predictive,
    "log_likelihood": likelihood,
    "log_density": density,
    "az.from_numpyro of NUTS": arviz,
    "SVI": svi,
}
LEFT_OUT = {"ours": {"log_likelihood", "SVI"}, "theirs": {"az.from_numpyro of NUTS"}}
"""NUTS and SVI take gradients of the same density, and ArviZ asks for log-likelihoods: each is tried in one order."""


def failures(name: str, tools: Mapping[str, Callable[[Case], Any]], *, ours_first: bool) -> list[str]:
    """What fails of `infer` and the tools on one model: tool, kind of error, its beginning."""
    case, told = CASES[name](), []
    turns = ([("infer", ours)] if ours_first else []) + list(tools.items()) + [("infer afterwards", ours)]
    turns += list(tools.items())[:1] if not ours_first else []
    for tool, use in turns:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", "(?s).*diverged", RuntimeWarning)
                warnings.filterwarnings("ignore", "Out-of-support")  # primitives of rows that are masked
                use(case)
        except Exception as error:
            told.append(f"{name}, {tool}: {type(error).__name__}: {str(error)[:200]}")
    return told


if __name__ == "__main__":
    chosen = {tool: use for tool, use in TOOLS.items() if tool not in LEFT_OUT[sys.argv[1]]}
    found = [told for name in CASES for told in failures(name, chosen, ours_first=sys.argv[1] == "ours")]
    sys.stdout.write("\n".join(found) or "none")
    sys.exit(bool(found))
