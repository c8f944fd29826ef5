"""Reading a model: its unknowns, what they are called along each axis, and whether it keeps the contract of models.

Everything here expects 64 bits to be on, and nothing is asked of the model but the contract that :func:`check` checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro import handlers

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.user_code import check_model
from bayesmdp.model_reading.likelihood import row_values
from bayesmdp.model_reading.lookups import check_lookups
from bayesmdp.model_reading.model_runs import (
    TRACING,
    Data,
    Latent,
    Model,
    Run,
    base_distribution,
    is_unobserved,
    latent_sites,
    looked_at,
    repeated,
    run_at_random,
    sites,
    trace,
)
from bayesmdp.model_reading.rows import PLATE, Transitions, all_transitions
from bayesmdp.model_reading.sites import Shapes, axes_of, check_fixed, check_names, check_transition

__all__ = [
    "PLATE",
    "TRACING",
    "Data",
    "Impossible",
    "Model",
    "Reading",
    "base_distribution",
    "check",
    "describe_row",
    "factors",
    "read",
    "read_for_agents",
    "read_sites",
    "sample_prior",
    "sites",
    "trace",
]

ONE_ROW = all_transitions(1, 1, 1)


class Impossible(ValueError):
    """A log holds what has probability 0 under a model, whatever its unknowns are."""


class Reading(NamedTuple):
    """A model, and what it was found to be when it was read: once, for all that work with it.

    Attributes
    ----------
    model : NumPyro function of the data
    latents : dict of Latent
        Sampled and not observed sites, by name.
    deterministic : tuple of str
    dims : dict
        Names of the axes of each site of either kind.
    factors : tuple of str
        Factors outside the rows, which are part of the prior.
    shape : (num_states, num_actions, num_outcomes)
        Of ``transition``; zeros for a model of recorded primitives.
    rewarded : bool
        Whether it looks at ``data.reward``, so that rows may not be merged over rewards.
    covariates : tuple of str
        Those of the data that it looks at, over which rows may not be merged either.
    row : Transitions
        One row that tells nothing, for what does not depend on the data.
    """

    model: Model
    latents: dict[str, Latent]
    deterministic: tuple[str, ...]
    dims: dict[str, tuple[str, ...]]
    factors: tuple[str, ...] = ()
    shape: tuple[int, int, int] = (0, 0, 0)
    rewarded: bool = False
    covariates: tuple[str, ...] = ()
    row: Transitions = ONE_ROW

    @property
    def names(self) -> tuple[str, ...]:
        """Every site that is not observed."""
        return (*self.latents, *self.deterministic)

    @property
    def discrete(self) -> list[str]:
        """The unknowns whose values are countable."""
        return [name for name, latent in self.latents.items() if latent.discrete]

    def run(self, data: Data, seed: int = 0, spread: float = 1.0) -> Run:
        """Run the model at random values of its unknowns; see `run_at_random`."""
        return run_at_random(self.model, data, self.latents, seed, spread)

    def latent_values(self, data: Data, seed: int = 0) -> dict[str, NDArray[Any]]:
        """Random values of the unknowns, of moderate size; of the data the first row is looked at."""
        values = self.run(repeated(data, 1), seed).values
        return {name: values[name] for name in self.latents}


def read(model: Model, outcome: str = "next_state", covariates: Mapping[str, NDArray[Any]] | None = None) -> Reading:
    """Read a model of transitions: its unknowns, checked against the contract of models.

    Parameters
    ----------
    model : NumPyro function of the data
    outcome : {"next_state", "outcome"}
        What the last axis of ``transition`` is called.
    covariates : mapping of name to array [row], optional
        Those of the data that it will be conditioned on; the first value of each is looked at.

    Returns
    -------
    Reading

    Raises
    ------
    TypeError, ValueError
        If `model` is no function, has no site ``transition`` [state, action, next_state], no unknown, rows that do not
        sum to 1, has a ``reward`` of another shape, a site named as an axis or one whose shape depends on the data, or
        observes outside ``data.rows()``.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> reading = read(bm.models.river_current(bm.environments.riverswim(4)))
    >>> list(reading.latents), reading.deterministic, reading.shape
    (['current', 'start', 'end'], ('transition',), (4, 2, 4))
    """
    check_model(model)
    with jax.enable_x64(True):
        return _read(model, outcome, {name: np.asarray(values)[:1] for name, values in (covariates or {}).items()})


def _read(model: Model, outcome: str, covariates: dict[str, NDArray[Any]]) -> Reading:
    # What a model is does not depend on which rows it is given: it is looked at with one row, and with two.
    row = ONE_ROW._replace(covariates=covariates)
    watched, asked = _watched(row)
    latents, deterministic, dims, factors, shapes = looked_at(model, watched, _unknowns)
    if "transition" not in dims:
        listed = ", ".join(map(repr, dims)) or "none"
        raise ValueError(
            "the model has no site 'transition': sample it, or compute it and call "
            f"numpyro.deterministic('transition', ...); its sites are {listed}"
        )
    check_fixed(shapes, looked_at(model, repeated(row, 2), _shapes))
    reading = Reading(
        model,
        latents,
        deterministic,
        dims,
        factors,
        rewarded="reward" in asked,
        covariates=tuple(name for name in covariates if name in asked),
        row=row,
    )
    for seed in range(3):
        check_transition(reading.run(row, seed).values["transition"])
    shape: Any = shapes["transition"]
    dims["transition"] = ("state", "action", outcome)
    check_names(dims)
    if "reward" in dims:
        given: Any = shapes["reward"]
        # What is paid for a pair, for each of its outcomes, or on entering a state, whatever led there.
        entered = [shape[2:]] if outcome == "next_state" else []
        if given not in (shape[:2], shape, *entered):
            raise ValueError(
                f"reward has shape {given}; expected [state, action] = {shape[:2]}, or with {outcome} {shape}"
                + f", or [next_state] = {shape[2:]}" * bool(entered)
                + "; if it is another thing, give the site another name"
            )
        dims["reward"] = dims["transition"][2:] if len(given) == 1 else dims["transition"][: len(given)]
    if not latents:
        raise ValueError(
            "the model has no unknown: none of its sites outside data.rows() is sampled, so nothing can be learned; "
            "sample what is not known, or plan for bm.MDP(transition=...) where all is"
        )
    return reading._replace(shape=shape)


def _shapes(messages: dict[str, Any]) -> Shapes:
    return {name: np.shape(site["value"]) if is_unobserved(site) else None for name, site in messages.items()}


def _unknowns(
    messages: dict[str, Any],
) -> tuple[dict[str, Latent], tuple[str, ...], dict[str, tuple[str, ...]], tuple[str, ...], Shapes]:
    """The latents, the deterministic sites, the names of the axes of both, the factors, and all shapes."""
    latents = latent_sites(messages)
    deterministic = tuple(name for name, site in messages.items() if site["type"] == "deterministic")
    dims = {name: axes_of(messages[name]) for name in (*latents, *deterministic)}
    return latents, deterministic, dims, factors(messages), _shapes(messages)


def factors(messages: dict[str, Any]) -> tuple[str, ...]:
    """Names of the factors outside the rows; those inside are masked where a row was not seen."""
    observed = {name: m["fn"] for name, m in messages.items() if m["type"] == "sample" and m["is_observed"]}
    return tuple(name for name, fn in observed.items() if isinstance(base_distribution(fn), dist.Unit))


def read_sites(model: Model, data: Data) -> Reading:
    """Read a model of recorded primitives: its unknowns, and the names of their axes.

    Parameters
    ----------
    model : NumPyro function of `Records`
    data : Records
        Steps with the primitives that the model asks for.

    Returns
    -------
    Reading
        Without deterministic sites, which are of rows.

    Raises
    ------
    TypeError, ValueError
        If `model` is no function, computes no ``next_state`` [row, coordinate] or one that depends on its unknowns, or
        has a site named as an axis.
    """
    check_model(model)
    with jax.enable_x64(True):
        return _read_sites(model, data)


def _read_sites(model: Model, data: Data) -> Reading:
    (latents, deterministic, dims, factors, shapes), observed = looked_at(
        model, data, lambda messages: (_unknowns(messages), _observed_next_state(messages))
    )
    if "next_state" not in deterministic and observed is None:
        raise ValueError(
            "the model computes no next state: call numpyro.deterministic('next_state', ...) [row, coordinate], or "
            f"sample it in data.rows() with obs=data.next_state; its sites are {', '.join(map(repr, shapes))}"
        )
    shape = shapes["next_state"] if observed is None else observed
    if shape != np.shape(data.state):
        raise ValueError(f"next_state has shape {shape}; expected [row, coordinate] = {np.shape(data.state)}")
    if observed is not None:
        reading = Reading(model, latents, (), {name: dims[name] for name in latents}, factors)
        check_names(reading.dims)
        return reading
    reading = Reading(model, latents, (), {name: dims[name] for name in latents}, factors)
    first, *others = (reading.run(data, seed).values["next_state"] for seed in range(4))
    for other in others:
        moved = ~np.isclose(other, first, rtol=1e-9, atol=1e-12).all(-1)
        if moved.any():
            raise ValueError(
                f"next_state of row {int(np.flatnonzero(moved)[0])} depends on the unknowns {', '.join(latents)} "
                "though all primitives are given, and nothing would be learned from it: sample what it depends on in "
                "data.rows(), and record it"
            )
    check_names(reading.dims)
    return reading


def _observed_next_state(messages: dict[str, Any]) -> tuple[int, ...] | None:
    """The shape of next states that are observed in the rows; None where they are not."""
    site = messages.get("next_state", {"type": "none"})
    rows = any(frame.name == PLATE for frame in site.get("cond_indep_stack", ()))
    return np.shape(site["value"]) if site["type"] == "sample" and site["is_observed"] and rows else None


def read_for_agents(model: Model, shape: tuple[int, int, int], outcome: str) -> Reading:
    """`read` a model about an MDP of `shape`; if it observes rewards, their means must be an unknown of it.

    Parameters
    ----------
    model : NumPyro function of the data
    shape : (num_states, num_actions, num_outcomes)
        The MDP's.
    outcome : {"next_state", "outcome"}
        Name of the last axis of ``transition``.

    Returns
    -------
    Reading
    """
    with jax.enable_x64(True):
        reading = read(model, outcome)
        if reading.shape != shape:
            raise ValueError(f"the model's transition has shape {reading.shape}; the MDP's sizes are {shape}")
        check_lookups(model, all_transitions(*shape), reading.latents)
    if reading.rewarded and "reward" not in reading.names:
        raise ValueError(
            "the model observes rewards but has no unknown 'reward' for agents to plan with: sample their means, or "
            "compute them and call numpyro.deterministic('reward', ...) [state, action]"
        )
    return reading


def _values_of_rows(reading: Reading, data: Transitions, values: dict[str, NDArray[Any]]) -> Array:
    return row_values(reading.model, data, values)


def check(
    reading: Reading,
    data: Transitions,
    values_of_rows: Callable[[Reading, Transitions, dict[str, NDArray[Any]]], Array] = _values_of_rows,
) -> NDArray[np.float64]:
    """Refuse a model whose rows are not counted `weight` times each.

    Parameters
    ----------
    reading : Reading
        The model.
    data : Transitions
    values_of_rows : callable
        ``values_of_rows(reading, data, values)``: log-likelihoods [row], by a program that is compiled anyway.

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
    values = reading.latent_values(data)
    once = np.asarray(values_of_rows(reading, data._replace(weight=np.ones(len(weight))), values))
    often = np.asarray(values_of_rows(reading, data._replace(weight=weight), values))
    with np.errstate(invalid="ignore"):
        wrong = np.isfinite(once) & ~(np.abs(often - weight * once) <= 1e-9 * (1 + np.abs(weight * once)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"the log-likelihood of {describe_row(data, row)} is {once[row]:.6g} when seen once but {often[row]:.6g} "
            f"when seen {weight[row]:g} times; observe inside `with data.rows():` and leave data.weight to it"
        )
    return once


def _watched(data: Transitions) -> tuple[Transitions, set[str]]:
    """The same data, and the names of what was looked at among the reward and the covariates."""
    asked = set()

    class Watched(Transitions):
        @property
        def reward(self) -> Array:
            asked.add("reward")
            return self[3]

        def __getattr__(self, name: str) -> Any:
            asked.add(name)
            return super().__getattr__(name)

    return Watched(*data), asked


def describe_row(data: Transitions, row: int, *, reward: bool = False) -> str:
    """Describe a row in words.

    Parameters
    ----------
    data : Transitions
    row : int
    reward : bool
        Whether to say the reward too.

    Returns
    -------
    str
    """
    ending = f", reward {data.reward[row]:.10g}" if reward else ""
    return f"row (state {data.state[row]}, action {data.action[row]}, next_state {data.next_state[row]}{ending})"


@partial(jax.jit, static_argnames=("model", "shape"))
def sample_prior(model: Model, key: Array, shape: tuple[int, int, int]) -> dict[str, Array]:
    """Draw every latent and deterministic site of a model once from the prior.

    Parameters
    ----------
    model : NumPyro function of the data
    key : key
    shape : (num_states, num_actions, num_outcomes)
        Of the MDP that the model is about.

    Returns
    -------
    dict of arrays by site
    """
    messages = trace(handlers.seed(model, key), all_transitions(*shape))
    return {name: site["value"] for name, site in messages.items() if is_unobserved(site)}
