"""Reading a model: its unknowns, what they are called along each axis, and the log-likelihood of each row.

Everything here expects 64 bits to be on, and nothing is asked of the model but the contract that :func:`check` checks.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro import handlers

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import ROW_TOLERANCE
from bayesmdp.model_reading.lookups import check_lookups
from bayesmdp.model_reading.model_runs import (
    TRACING,
    Data,
    Latent,
    Model,
    base_distribution,
    is_latent,
    is_unobserved,
    latent_sites,
    latent_values,
    looked_at,
    repeated,
    run_at_random,
    sites,
    trace,
)
from bayesmdp.model_reading.rows import PLATE, Targets, Transitions, all_transitions

__all__ = [
    "PLATE",
    "TRACING",
    "Data",
    "Impossible",
    "Model",
    "Program",
    "base_distribution",
    "check",
    "describe_row",
    "factors",
    "latent_values",
    "log_likelihood_of",
    "of_prior",
    "prior_density",
    "read",
    "read_for_agents",
    "read_sites",
    "row_log_likelihood",
    "row_values",
    "sample_prior",
    "sites",
    "trace",
]

AXES = ("chain", "draw", "state", "action", "next_state", "outcome", "row", "parameter")
"""Names that posteriors give to axes, and sites may not have."""


class Impossible(ValueError):
    """A log holds what has probability 0 under a model, whatever its unknowns are."""


class Program(NamedTuple):
    """A model as read from abstract runs of it.

    Attributes
    ----------
    latents : dict of Latent
        Sampled and not observed sites, by name.
    deterministic : tuple of str
    dims : dict
        Names of the axes of each site of either kind.
    shape : (num_states, num_actions, num_outcomes)
        Of ``transition``.
    factors : tuple of str
        Factors outside the rows, which are part of the prior.
    rewarded : bool
        Whether it looks at ``data.reward``, so that rows may not be merged over rewards.
    """

    latents: dict[str, Latent]
    deterministic: tuple[str, ...]
    dims: dict[str, tuple[str, ...]]
    shape: tuple[int, int, int]
    factors: tuple[str, ...] = ()
    rewarded: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every site that is not observed."""
        return (*self.latents, *self.deterministic)


def read(model: Model, data: Transitions, outcome: str = "next_state") -> Program:
    """The unknowns of a model, checked against the contract of models.

    Parameters
    ----------
    outcome : {"next_state", "outcome"}
        What the last axis of ``transition`` is called.

    Raises
    ------
    TypeError, ValueError
        If `model` is no function, has no site ``transition`` [state, action, next_state], has rows that do not sum to
        1, has a ``reward`` of another shape, a site named as an axis or one whose shape depends on the data, or
        observes outside ``data.rows()``.
    """
    if not callable(model):
        raise TypeError(f"a model is a NumPyro function of the data; got {type(model).__name__}")
    row = repeated(data, 1)
    watched, asked = _watched(row)
    latents, deterministic, dims, factors, shapes = looked_at(model, watched, _unknowns)
    if "transition" not in dims:
        listed = ", ".join(map(repr, dims)) or "none"
        raise ValueError(
            "the model has no site 'transition': sample it, or compute it and call "
            f"numpyro.deterministic('transition', ...); its sites are {listed}"
        )
    _check_fixed(shapes, looked_at(model, repeated(data, 2), _shapes))
    for seed in range(3):
        _check_transition(run_at_random(model, row, latents, seed).values["transition"])
    shape: Any = shapes["transition"]
    for name, size in zip(("state", "action", "next_state"), shape, strict=True):
        largest = int(np.max(getattr(data, name), initial=0))
        if largest >= size:
            raise ValueError(f"transition has shape {shape}, but the data hold {name} {largest}")
    dims["transition"] = ("state", "action", outcome)
    _check_names(dims)
    if "reward" in dims:
        given: Any = shapes["reward"]
        if given not in (shape[:2], shape):
            raise ValueError(
                f"reward has shape {given}; expected [state, action] = {shape[:2]}, or with {outcome} {shape}; "
                "if it is another thing, give the site another name"
            )
        dims["reward"] = dims["transition"][: len(given)]
    return Program(latents, deterministic, dims, shape, factors, bool(asked))


type _Shapes = dict[str, tuple[int, ...] | None]
"""By site; None for what is observed."""


def _shapes(messages: dict[str, Any]) -> _Shapes:
    return {name: np.shape(site["value"]) if is_unobserved(site) else None for name, site in messages.items()}


def _unknowns(
    messages: dict[str, Any],
) -> tuple[dict[str, Latent], tuple[str, ...], dict[str, tuple[str, ...]], tuple[str, ...], _Shapes]:
    """The latents, the deterministic sites, the names of the axes of both, the factors, and all shapes."""
    latents = latent_sites(messages)
    deterministic = tuple(name for name, site in messages.items() if site["type"] == "deterministic")
    dims = {name: _dims(messages[name]) for name in (*latents, *deterministic)}
    return latents, deterministic, dims, factors(messages), _shapes(messages)


def factors(messages: dict[str, Any]) -> tuple[str, ...]:
    """Names of the factors outside the rows; those inside are masked where a row was not seen."""
    observed = {name: m["fn"] for name, m in messages.items() if m["type"] == "sample" and m["is_observed"]}
    return tuple(name for name, fn in observed.items() if isinstance(base_distribution(fn), dist.Unit))


def read_sites(model: Model, data: Data) -> tuple[dict[str, Latent], dict[str, tuple[str, ...]]]:
    """The unknowns of a model of recorded primitives, and the names of their axes.

    Raises
    ------
    TypeError, ValueError
        If `model` is no function, computes no ``next_state`` [row, coordinate] or one that depends on its unknowns, or
        has a site named as an axis.
    """
    if not callable(model):
        raise TypeError(f"a model is a NumPyro function of the data; got {type(model).__name__}")
    latents, deterministic, dims, _, shapes = looked_at(model, data, _unknowns)
    if "next_state" not in deterministic:
        raise ValueError(
            "the model computes no next state: call numpyro.deterministic('next_state', ...) [row, coordinate]; its "
            f"sites are {', '.join(map(repr, shapes))}"
        )
    if shapes["next_state"] != np.shape(data.state):
        raise ValueError(
            f"next_state has shape {shapes['next_state']}; expected [row, coordinate] = {np.shape(data.state)}"
        )
    first, *others = (run_at_random(model, data, latents, seed).values["next_state"] for seed in range(4))
    for other in others:
        moved = ~np.isclose(other, first, rtol=1e-9, atol=1e-12).all(-1)
        if moved.any():
            raise ValueError(
                f"next_state of row {int(np.flatnonzero(moved)[0])} depends on the unknowns {', '.join(latents)} "
                "though all primitives are given, and nothing would be learned from it: sample what it depends on in "
                "data.rows(), and record it"
            )
    dims = {name: dims[name] for name in latents}
    _check_names(dims)
    return latents, dims


def read_for_agents(model: Model, shape: tuple[int, int, int], outcome: str) -> tuple[Program, bool]:
    """`read` of a model about an MDP of `shape`, and whether it observes rewards, which must then be an unknown."""
    with jax.enable_x64(True):
        program = read(model, all_transitions(1, 1, 1), outcome)
        if program.shape != shape:
            raise ValueError(f"the model's transition has shape {program.shape}; the MDP's sizes are {shape}")
        check_lookups(model, all_transitions(*shape), program.latents)
    if program.rewarded and "reward" not in program.names:
        raise ValueError(
            "the model observes rewards but has no unknown 'reward' for agents to plan with: sample their means, or "
            "compute them and call numpyro.deterministic('reward', ...) [state, action]"
        )
    return program, program.rewarded


def check(model: Model, data: Transitions) -> NDArray[np.float64]:
    """Refuse a model whose rows are not counted `weight` times each.

    Returns
    -------
    array [row]
        The rows' log-likelihoods, each seen once, for some interior values of the unknowns.

    Raises
    ------
    ValueError
        Naming the site that is observed outside ``data.rows()``, or the row.
    """
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, len(data.state)).astype(float)
    values = latent_values(model, data)
    once = np.asarray(row_values(model, data._replace(weight=np.ones(len(weight))), values))
    often = np.asarray(row_values(model, data._replace(weight=weight), values))
    with np.errstate(invalid="ignore"):
        wrong = np.isfinite(once) & ~(np.abs(often - weight * once) <= 1e-9 * (1 + np.abs(weight * once)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"the log-likelihood of {describe_row(data, row)} is {once[row]:.6g} when seen once but {often[row]:.6g} "
            f"when seen {weight[row]:g} times; observe inside `with data.rows():` and leave data.weight to it"
        )
    return once


def row_log_likelihood(model: Model, data: Transitions | Targets, values: dict[str, Array]) -> Array:
    """Log-likelihood [row] of the observed sites given all latents, with the model's own masks and scales.

    It is -inf where a value is none that its distribution can take, whether NumPyro validates or not.
    """
    return log_likelihood_of(sites(model, data, values), data)


def log_likelihood_of(messages: dict[str, Any], data: Data) -> Array:
    """`row_log_likelihood`, of one run of the model."""
    total = jnp.zeros(len(data.weight))
    for name, site in messages.items():
        if site["type"] != "sample" or not site["is_observed"]:
            continue
        log_likelihood = _log_probability(site["fn"], site["value"])
        if site["scale"] is not None:
            log_likelihood = site["scale"] * log_likelihood
        frames = [frame for frame in site["cond_indep_stack"] if frame.name == PLATE]
        if not frames:
            if isinstance(site["fn"], dist.Unit):  # a numpyro.factor outside the rows is part of the prior
                continue
            raise ValueError(f"site {name!r} is observed outside the plate of rows; observe inside `with data.rows():`")
        log_likelihood = jnp.moveaxis(log_likelihood, frames[0].dim, 0)
        total = total + log_likelihood.reshape(len(data.weight), -1).sum(-1)
    return total


def prior_density(messages: dict[str, Any]) -> Array:
    """Log density of the latents of one run, with what the model multiplies it by outside the rows."""
    total = jnp.zeros(())
    for site in messages.values():
        if site["type"] == "sample" and of_prior(site):
            density = site["fn"].log_prob(site["value"])
            total = total + (density if site["scale"] is None else site["scale"] * density).sum()
    return total


def of_prior(site: dict[str, Any]) -> bool:
    """Whether a site's density is part of the prior: unknowns, and factors outside the rows."""
    inside = any(frame.name == PLATE for frame in site["cond_indep_stack"])
    return is_latent(site) or (isinstance(site["fn"], dist.Unit) and not inside)


# Compiled once for a model and a number of rows, whatever the log; and compiled, NumPyro does not warn of values that a
# distribution cannot take, which are refused by name elsewhere.
@partial(jax.jit, static_argnums=0)
def row_values(model: Model, data: Transitions, values: dict[str, Array]) -> Array:
    """`row_log_likelihood`, compiled."""
    return row_log_likelihood(model, data, values)


def _log_probability(fn: Any, value: Array) -> Array:
    log_probability = fn.log_prob(value)
    seen: Any = True
    while isinstance(fn, dist.MaskedDistribution):
        fn, seen = fn.base_dist, seen & fn._mask
    if isinstance(fn, dist.Unit):  # a numpyro.factor: there is no value to be impossible
        return log_probability
    try:
        allowed = fn.support(value)
    except (NotImplementedError, TypeError):  # a distribution that does not say
        return log_probability
    return jnp.where(allowed | ~jnp.asarray(seen), log_probability, -jnp.inf)


def reads_reward(model: Model) -> bool:
    """Whether the model looks at ``data.reward``, so that rows may not be merged over rewards."""
    row, asked = _watched(all_transitions(1, 1, 1))
    with jax.enable_x64(True):
        looked_at(model, row, list)
    return bool(asked)


def _watched(data: Transitions) -> tuple[Transitions, list[bool]]:
    """The same data, and a list that is not empty once something looks at their reward."""
    asked = []

    class Watched(Transitions):
        @property
        def reward(self) -> Array:
            asked.append(True)
            return self[3]

    return Watched(*data), asked


def describe_row(data: Transitions, row: int, *, reward: bool = False) -> str:
    """A row in words."""
    ending = f", reward {data.reward[row]:.10g}" if reward else ""
    return f"row (state {data.state[row]}, action {data.action[row]}, next_state {data.next_state[row]}{ending})"


def _dims(site: dict[str, Any]) -> tuple[str, ...]:
    """Plate names, then the model's own `infer={"event_dims": [...]}`, then the names ArviZ would give."""
    ndim = np.ndim(site["value"])
    names = {frame.dim: frame.name for frame in site.get("cond_indep_stack", ())}
    event = site["fn"].event_dim if site["type"] == "sample" else ndim - len(names)
    given = list(site.get("infer", {}).get("event_dims", []))
    tail = given if len(given) == event else [f"{site['name']}_dim_{i}" for i in range(event)]
    head = [names.get(i - (ndim - event), f"{site['name']}_plate_{i}") for i in range(ndim - event)]
    return (*head, *tail)


def _check_names(dims: dict[str, tuple[str, ...]]) -> None:
    axes = {*AXES, *(axis for own in dims.values() for axis in own)}
    taken = [name for name in dims if name in axes]
    if taken:
        raise ValueError(f"the site {taken[0]!r} has the name of an axis of posteriors; give it another")


def _check_fixed(once: _Shapes, twice: _Shapes) -> None:
    """Refuse unknowns whose shape depends on how many rows there are."""
    for name in (*once, *twice):
        if name not in once or name not in twice:
            raise ValueError(f"the site {name!r} is there for some data only; sites must not depend on the data")
        if once[name] != twice[name]:
            raise ValueError(
                f"the site {name!r} has shape {once[name]} for 1 rows of data and {twice[name]} for twice as many; "
                "unknowns must have one shape, whatever the data"
            )


def _check_transition(transition: Array) -> None:
    values = np.asarray(transition, float)
    if values.ndim != 3:
        raise ValueError(f"transition has shape {values.shape}; expected [state, action, next_state]")
    total = values.sum(-1)
    wrong = ~(np.abs(total - 1) <= ROW_TOLERANCE)
    if wrong.any():
        s, a = np.argwhere(wrong)[0]
        raise ValueError(
            f"transition[{s}, {a}] sums to {total[s, a]:.6g} for some values of the unknowns; it must sum to 1"
        )
    if (values < 0).any():
        index = ", ".join(map(str, np.argwhere(values < 0)[0]))
        raise ValueError(f"transition[{index}] is negative for some values of the unknowns")


@partial(jax.jit, static_argnames=("model", "shape"))
def sample_prior(model: Model, key: Array, shape: tuple[int, int, int]) -> dict[str, Array]:
    """One prior draw of every latent and deterministic site of a model about an MDP of `shape`."""
    messages = trace(handlers.seed(model, key), all_transitions(*shape))
    return {name: site["value"] for name, site in messages.items() if is_unobserved(site)}
