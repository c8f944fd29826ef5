"""Closed forms for models of recorded primitives, where a site observes an unknown directly.

Three pairs are known (de Groot, 1970, chapter 9):

    unknown ~ Dirichlet(a)               value ~ Categorical(unknown)       a[value] + 1
    unknown ~ Beta(a, b)                 value ~ Bernoulli(unknown)         a + value, b + 1 - value
    unknown ~ Pareto(scale, shape)       value ~ Uniform(0, unknown)        max(scale, value), shape + 1

The last cannot be found by differentiating, as conjugacy is for finite MDPs
(:mod:`~bayesmdp.posterior.closed_forms.transitions`): the likelihood's gradient, -1 / unknown, is that of a Gamma, and
where it is 0 no derivative tells. Pairs are therefore read off the distributions. A site belongs to an element of an
unknown if its parameter *is* that element, at several random values of all unknowns; which one it is may depend on the
row. Masks and scales say how often the row counts. A site that is in no pair must not depend on the unknowns at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray
from scipy.special import gammaln

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.model_runs import (
    Latent,
    base_distribution,
    latent_sites,
    looked_at,
    messages_at_random,
    parameters_of,
    run_at_random,
    sites,
)
from bayesmdp.model_reading.primitives import bare, per_row, row_counts
from bayesmdp.model_reading.read_model import Model, factors, read_sites, row_values
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import Frozen, freeze, thaw
from bayesmdp.posterior.closed_forms.families import DIRICHLET, PARETO, Family
from bayesmdp.posterior.closed_forms.priors import NotConjugate, read_prior
from bayesmdp.posterior.closed_forms.transitions import Layout, check_independent

__all__ = ["Pairs", "find_pairs", "impossible_rows", "learn", "log_evidence"]

LIKELIHOOD = {"Dirichlet": "Categorical", "Beta": "Bernoulli", "Pareto": "Uniform(0, .)"}
TRIALS = 6


class Pairs(NamedTuple):
    """A model whose posterior is a product of known families; hashable.

    Attributes
    ----------
    observes : tuple of (observed site, the unknown it is of)
    families : tuple of (unknown, name of its family)
    priors : tuple of (unknown, its prior's parameters)
    dims : tuple of (unknown, names of its axes)
    """

    observes: tuple[tuple[str, str], ...]
    families: tuple[tuple[str, str], ...]
    priors: tuple[tuple[str, Frozen], ...]
    dims: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def layout(self) -> Layout:
        return Layout(tuple(((name,), family) for name, family in self.families), ())

    @property
    def before(self) -> dict[str, NDArray[np.float64]]:
        """The prior's parameters by unknown [..., parameter]."""
        return {name: thaw(parameters) for name, parameters in self.priors}


def find_pairs(model: Model, data: Records) -> Pairs:
    """The closed form of a model's posterior for data in these rows, whatever their weights.

    Raises
    ------
    NotConjugate
        With the reason.
    TypeError, ValueError
        If the model is none, or has no unknown.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> seen = {"turn": [1], "freed": [0], "length": [0.3], "cell": [0], "offset": [[0.0, 0.0]]}
    >>> one = bm.Records([[0.5, 0.5]], [2], seen, [1.0])
    >>> from bayesmdp.model_reading.records import check_records
    >>> find_pairs(bm.environments.slippery_lake().model, check_records(one)).observes
    (('turn', 'direction'), ('freed', 'mobility'), ('length', 'reach'))
    """
    with jax.enable_x64(True):
        latents, dims = read_sites(model, data)
        if not latents:
            raise ValueError("the model has no unknown: none of its sites outside data.rows() is sampled")
        check_independent(looked_at(model, data, factors))
        data = data._replace(weight=np.ones(len(data.weight)))
        parameters = run_at_random(model, data, latents).parameters
        drawn = [_values(latents, parameters, seed) for seed in range(TRIALS)]
        runs = [messages_at_random(model, data, latents, seed, values) for seed, values in enumerate(drawn)]
        nothing = data._replace(weight=np.zeros(len(data.weight)))
        unseen = messages_at_random(model, nothing, latents, numbers=drawn[0])
        known = {name: _prior(name, [run[name] for run in (*runs, unseen)]) for name in latents}
        observes = []
        for name in per_row(runs[0]):
            messages = [run[name] for run in runs]
            _check_still(name, messages, len(data.weight))
            of = _unknown(messages, runs, known)
            if of is not None:
                observes.append((name, of))
        _check_rest(model, data, runs, dict(observes), known)
    return Pairs(
        tuple(observes),
        tuple((name, family.name) for name, (family, _) in known.items()),
        tuple((name, freeze(np.asarray(parameters))) for name, (_, parameters) in known.items()),
        tuple(dims.items()),
    )


def _values(
    latents: dict[str, Latent], parameters: dict[str, tuple[Array, ...]], seed: int
) -> dict[str, NDArray[np.float64]]:
    """Random values of Pareto unknowns, some far out: what is cut off there must not pass for a pair."""
    rng, found = np.random.default_rng(seed), {}
    for name, latent in latents.items():
        if issubclass(latent.kind, dist.Pareto):
            found[name] = np.asarray(parameters[name][0] * np.exp(rng.exponential(4.0**seed / 8, latent.shape)))
    return found


def _check_still(name: str, messages: list[dict[str, Any]], rows: int) -> None:
    """Refuse a primitive that counts as often as the unknowns say, or whose value they change."""
    times = [np.asarray(row_counts(site, rows)) for site in messages]
    values = [np.asarray(site["value"]) for site in messages]
    for what, drawn in (("how often rows count for", times), ("the value of", values)):
        if any(not np.array_equal(one, drawn[0]) for one in drawn):
            raise NotConjugate(f"{what} {name!r} depends on the unknowns")


@partial(jax.jit, static_argnums=(0, 1))
def learn(model: Model, pairs: Pairs, parameters: dict[str, Array], data: Records) -> dict[str, Array]:
    """The parameters by unknown after these rows; may be traced."""
    families, markers = dict(pairs.families), dict(_markers(pairs))
    messages = sites(model, data, {name: jnp.asarray(thaw(marker)) for name, marker in markers.items()})
    after = {name: jnp.asarray(values) for name, values in parameters.items()}
    for name, of in pairs.observes:
        site = messages[name]
        kind, width = families[of], thaw(markers[of]).shape[-1:] if families[of] == "Dirichlet" else ()
        elements = jnp.asarray(thaw(markers[of])).reshape(-1, *width)
        entry = _matching(_parameter(site["fn"], len(data.weight)), elements)
        times, value = row_counts(site, len(data.weight)), jnp.asarray(site["value"])
        flat = after[of].reshape(len(elements), -1)
        if kind == "Dirichlet":
            flat = flat.at[entry, value].add(times)
        elif kind == "Beta":
            flat = flat.at[entry].add(jnp.stack([times * value, times * (1 - value)], -1))
        else:
            flat = flat.at[entry, 1].add(times).at[entry, 0].max(jnp.where(times > 0, value, 0.0))
        after[of] = flat.reshape(after[of].shape)
    return after


@lru_cache(maxsize=256)
def _markers(pairs: Pairs) -> tuple[tuple[str, Frozen], ...]:
    """Values of the unknowns of which no two elements are equal."""
    found, rng = [], np.random.default_rng(20260101)
    families = dict(pairs.families)
    for name, before in pairs.before.items():
        kind, shape = families[name], before.shape if families[name] == "Dirichlet" else before.shape[:-1]
        if kind == "Dirichlet":
            values = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
        elif kind == "Beta":
            values = rng.uniform(0.05, 0.95, shape)
        else:
            values = before[..., 0] * (1 + rng.uniform(0, 1, shape))
        found.append((name, freeze(np.asarray(values))))
    return tuple(found)


def _prior(name: str, messages: list[dict[str, Any]]) -> tuple[Family, NDArray[np.float64]]:
    fn = messages[0]["fn"]
    if messages[0]["scale"] is not None or isinstance(fn, dist.MaskedDistribution):
        raise NotConjugate(f"the prior of {name!r} is scaled or masked")
    base = base_distribution(fn)
    read = [
        _pareto(site["fn"]) if isinstance(base, dist.Pareto) else read_prior(*parameters_of(site["fn"]))
        for site in messages
    ]
    first = read[0]
    if first is None or first[0].name not in LIKELIHOOD:
        kinds = ", ".join(LIKELIHOOD)
        raise NotConjugate(f"the prior of {name!r} is {type(base).__name__}; closed forms are known here for {kinds}")
    if any(one is None or not np.array_equal(one[1], first[1]) for one in read):
        raise NotConjugate(f"the prior of {name!r} depends on another unknown, or on the data")
    family, parameters = first
    shape = np.shape(messages[0]["value"]) + (() if family is DIRICHLET else (2,))
    return family, np.broadcast_to(np.asarray(parameters, float), shape)


def _pareto(fn: Any) -> tuple[Family, NDArray[Any]] | None:
    base = base_distribution(fn)
    if not isinstance(base, dist.Pareto):
        return None
    return PARETO, np.stack(np.broadcast_arrays(base.scale, base.alpha), -1)


def _unknown(messages: list[dict[str, Any]], runs: list[dict[str, Any]], known: dict[str, Any]) -> str | None:
    """The unknown that a site observes in all runs."""
    rows = len(np.asarray(messages[0]["value"]))
    if np.ndim(messages[0]["value"]) != 1:
        return None
    for name, (family, _) in known.items():
        if not _fits(family.name, bare(messages[0]["fn"])):
            continue
        entries = []
        for message, run in zip(messages, runs, strict=True):
            parameter, value = np.asarray(_parameter(message["fn"], rows)), np.asarray(run[name]["value"])
            elements = value.reshape(-1, *(value.shape[-1:] if family is DIRICHLET else ()))
            if elements.shape[1:] != parameter.shape[1:]:
                break
            entry = np.asarray(_matching(parameter, elements))
            if not np.array_equal(elements[entry], parameter):
                break
            entries.append(entry)
        if len(entries) == len(runs) and all(np.array_equal(entry, entries[0]) for entry in entries):
            return name
    return None


def _check_rest(
    model: Model, data: Records, runs: list[dict[str, Any]], observes: dict[str, str], known: dict[str, Any]
) -> None:
    """Refuse a likelihood that is another than the pairs' in some row, at random values of the unknowns."""
    families = {name: known[of][0].name for name, of in observes.items()}
    rest = np.stack([_rest(model, data, run, known, families) for run in runs])
    there = np.isfinite(rest).any(0)
    filled = np.where(np.isfinite(rest), rest, np.nanmax(np.where(there, rest, 0.0), axis=0))
    wrong = ~(np.ptp(filled, axis=0) <= 1e-9 * (1 + np.abs(filled).max(0)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise NotConjugate(
            f"the likelihood of row {row} depends on the unknowns {', '.join(map(repr, known))} other than by sites "
            f"that observe one of them: {', '.join(f'{b} of a {a}' for a, b in LIKELIHOOD.items())}"
        )


def _rest(
    model: Model,
    data: Records,
    messages: dict[str, Any],
    unknowns: Iterable[str],
    families: dict[str, str],
) -> NDArray[np.float64]:
    """Log-likelihood [row] of rows of weight 1 but for the pairs' sites; NaN where those give probability 0.

    `messages` are those of one run, whose values of the unknowns are meant.
    """
    explained = np.zeros(len(data.weight))
    for name, site in messages.items():
        if name in families:
            times = np.asarray(row_counts(site, len(data.weight)))
            each = _log_probability(families[name], site, len(data.weight))
            explained += np.where(times > 0, times * np.where(times > 0, each, 0.0), 0.0)
    possible = explained > -np.inf
    values = {name: messages[name]["value"] for name in unknowns}
    total = np.maximum(np.asarray(row_values(model, data, values)), -1e300)
    return np.where(possible, total - np.where(possible, explained, 0.0), np.nan)


def log_evidence(model: Model, pairs: Pairs, after: dict[str, NDArray[np.float64]], data: Records) -> float:
    """Log probability of the data under the prior, given the posterior's parameters."""
    families = dict(pairs.families)
    values = {name: _inside(families[name], parameters) for name, parameters in after.items()}
    of_pairs = {name: families[of] for name, of in pairs.observes}
    once = data._replace(weight=np.ones(len(data.weight)))
    messages = messages_at_random(model, once, looked_at(model, once, latent_sites), numbers=values)
    rest = _rest(model, once, messages, values, of_pairs)
    gained = [
        _log_normaliser(families[name], after[name]) - _log_normaliser(families[name], pairs.before[name])
        for name in after
    ]
    seen = np.asarray(data.weight) > 0
    return float(sum(gained) + np.dot(np.asarray(data.weight)[seen], rest[seen]))


def impossible_rows(model: Model, pairs: Pairs, data: Records) -> NDArray[np.bool_]:
    """Rows [row] that have probability 0 whatever the unknowns are."""
    families = dict(pairs.families)
    far = {name: _inside(families[name], before, 1e100) for name, before in pairs.before.items()}
    return np.asarray(row_values(model, data, {name: jnp.asarray(value) for name, value in far.items()})) < -1e300


def _inside(kind: str, parameters: NDArray[np.float64], times: float = 2.0) -> NDArray[np.float64]:
    """Values of an unknown under which all is possible that may be."""
    if kind == "Dirichlet":
        return np.full(parameters.shape, 1 / parameters.shape[-1])
    return np.full(parameters.shape[:-1], 0.5) if kind == "Beta" else times * parameters[..., 0]


def _log_normaliser(kind: str, parameters: NDArray[np.float64]) -> float:
    """Of the density without its constants, summed over elements."""
    if kind == "Pareto":
        return float(-(np.log(parameters[..., 1]) + parameters[..., 1] * np.log(parameters[..., 0])).sum())
    return float((gammaln(parameters).sum(-1) - gammaln(parameters.sum(-1))).sum())


def _fits(kind: str, base: Any) -> bool:
    """Whether a distribution is one that observes an unknown of this kind."""
    if kind == "Dirichlet":
        return isinstance(base, dist.CategoricalProbs)
    if kind == "Beta":
        return isinstance(base, dist.BernoulliProbs)
    return isinstance(base, dist.Uniform) and bool(np.all(np.asarray(base.low) == 0))


@partial(jax.jit, static_argnums=1)
def _parameter(fn: Any, rows: int) -> Array:
    """What a distribution of rows has of an unknown [row, ...]."""
    base = bare(fn)
    if isinstance(base, dist.CategoricalProbs):
        return jnp.broadcast_to(base.probs, (rows, base.probs.shape[-1]))
    return jnp.broadcast_to(base.probs if isinstance(base, dist.BernoulliProbs) else base.high, (rows,))


def _log_probability(kind: str, site: dict[str, Any], rows: int) -> NDArray[np.float64]:
    """Of the value under the pair's likelihood [row]; -inf where it has none."""
    parameter, value = np.asarray(_parameter(site["fn"], rows)), np.asarray(site["value"])
    with np.errstate(divide="ignore"):
        if kind == "Dirichlet":
            there = (value >= 0) & (value < parameter.shape[-1])
            found = np.take_along_axis(parameter, np.where(there, value, 0)[:, None], -1)[:, 0]
            return np.log(np.where(there, found, 0.0))
        if kind == "Beta":
            return np.log(np.where(value == 1, parameter, np.where(value == 0, 1 - parameter, 0.0)))
        return np.where((value >= 0) & (value <= parameter), -np.log(parameter), -np.inf)


@jax.jit
def _matching(parameter: Array, elements: Array) -> Array:
    """The element nearest to each row's parameter [row]."""
    apart = jnp.abs(jnp.asarray(elements)[None] - parameter[:, None])
    return jnp.argmin(apart if apart.ndim == 2 else apart.sum(-1), axis=1)
