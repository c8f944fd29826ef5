"""Closed forms for models of recorded primitives, where a site observes an unknown directly.

An unknown of some family is observed by a site that has it for its parameter (de Groot, 1970, chapter 9); each family
says by what likelihood, and what a row adds to it (:mod:`~bayesmdp.posterior.closed_forms.families`). Such pairs cannot
be found by differentiating, as conjugacy is for finite MDPs (:mod:`~bayesmdp.posterior.closed_forms.transitions`): of
``value ~ Uniform(0, unknown)`` the likelihood's gradient, -1 / unknown, is that of a Gamma, and where it is 0 no
derivative tells. Pairs are therefore read off the distributions. A site belongs to an element of an unknown if its
parameter *is* that element, at several random values of all unknowns; which one it is may depend on the row. Masks and
scales say how often the row counts. A site that is in no pair must not depend on the unknowns at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Int, Key, Num
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.likelihood import row_values
from bayesmdp.model_reading.model_runs import (
    Latent,
    base_distribution,
    messages_at_random,
    parameters_of,
    sites,
)
from bayesmdp.model_reading.primitives import bare, per_row, row_counts
from bayesmdp.model_reading.read_model import Model, Reading
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import Frozen, freeze, thaw
from bayesmdp.posterior.closed_forms.draws import Layout, draw_sites
from bayesmdp.posterior.closed_forms.families import FAMILIES, Family, Likelihood
from bayesmdp.posterior.closed_forms.priors import NotConjugate, full_parameters, recognised
from bayesmdp.posterior.closed_forms.transitions import check_independent

__all__ = ["Pairs", "find_pairs", "learn"]

TRIALS = 6
"""Random values of the unknowns at which sites and unknowns are compared."""


class Pairs(NamedTuple):
    """A model whose posterior is a product of known families; hashable.

    Attributes
    ----------
    observes : tuple of (observed site, the unknown it is of)
    families : tuple of (unknown, its family)
    priors : tuple of (unknown, its prior's parameters)
    dims : tuple of (unknown, names of its axes)
    """

    observes: tuple[tuple[str, str], ...]
    families: tuple[tuple[str, Family], ...]
    priors: tuple[tuple[str, Frozen], ...]
    dims: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def layout(self) -> Layout:
        return Layout(tuple(((name,), family) for name, family in self.families), ())

    def described(self) -> str:
        """The form without its numbers, as an attr of a posterior."""
        return json.dumps({"families": json.loads(self.layout.to_text()), "dims": self.dims})

    @classmethod
    def of_parameters(cls, described: str, parameters: Mapping[str, NDArray[Any]]) -> Pairs:
        """The form whose prior is a posterior; it serves for draws, and observes nothing.

        Parameters
        ----------
        described : str
        parameters : mapping of unknown to array [..., parameter]
        """
        told = json.loads(described)
        layout = Layout.from_text(json.dumps(told["families"]), ())
        families = tuple((names[-1], family) for names, family in layout.sites)
        priors = tuple((name, freeze(np.asarray(parameters[name]))) for name, _ in families)
        return cls((), families, priors, tuple((name, tuple(axes)) for name, axes in told["dims"]))

    @property
    def before(self) -> dict[str, NDArray[np.float64]]:
        """The prior's parameters by unknown [..., parameter]: what data add to is that."""
        return {name: thaw(parameters) for name, parameters in self.priors}

    @property
    def work(self) -> int:
        """Products that a row takes, about."""
        return len(self.observes)

    def learn(self, model: Model, sums: dict[str, Array], data: Records) -> dict[str, Array]:
        """The parameters after these rows; may be traced."""
        return learn(model, self, sums, data)

    def learn_log(self, model: Model, sums: dict[str, Array], data: Records) -> dict[str, NDArray[np.float64]]:
        """The parameters after a log."""
        return {name: np.asarray(values) for name, values in learn(model, self, sums, data).items()}

    def parameters(self, sums: dict[str, Array]) -> dict[str, Array]:
        """The posterior's parameters by unknown."""
        return sums

    def draw(self, key: Key[Array, ""], sums: dict[str, Array], num_draws: int) -> dict[str, Array]:
        """Draw the unknowns [draw, ...] by site; may be traced."""
        return draw_sites(key, None, self.layout, None, sums, num_draws)

    def mean_values(self, sums: dict[str, Array]) -> dict[str, NDArray[np.float64]]:
        """The unknowns at the posterior's mean, by site."""
        families = dict(self.families)
        return {name: np.asarray(families[name].moments(np.asarray(own))[0]) for name, own in sums.items()}

    def log_evidence(self, reading: Reading, sums: dict[str, NDArray[np.float64]], data: Records) -> float:
        """The log probability of the data under the prior.

        Parameters
        ----------
        reading : Reading
        sums : mapping of unknown to array [..., parameter]
            After the data.
        data : Records
        """
        families = dict(self.families)
        values = {name: families[name].values_that_allow_all(own, 2.0) for name, own in sums.items()}
        once = data._replace(weight=np.ones(len(data.weight)))
        (messages,) = messages_at_random(reading.model, once, reading.latents, [values])
        rest = _rest(reading.model, once, messages, values, {name: families[of] for name, of in self.observes})
        gained = [
            families[name].log_normaliser(own) - families[name].log_normaliser(self.before[name])
            for name, own in sums.items()
        ]
        seen = np.asarray(data.weight) > 0
        return float(sum(gained) + np.dot(np.asarray(data.weight)[seen], rest[seen]))

    def impossible(self, model: Model, data: Records) -> NDArray[np.bool_]:
        """Find the rows that have probability 0 whatever the unknowns are."""
        families = dict(self.families)
        far = {name: families[name].values_that_allow_all(before, 1e100) for name, before in self.before.items()}
        return np.asarray(row_values(model, data, {name: jnp.asarray(each) for name, each in far.items()})) < -1e300


def find_pairs(reading: Reading, data: Records) -> Pairs:
    """Find the closed form of a model's posterior for data in these rows, whatever their weights.

    Parameters
    ----------
    reading : Reading
        The model, as `read_sites` found it.
    data : Records

    Returns
    -------
    Pairs

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
    >>> from bayesmdp.model_reading.read_model import read_sites
    >>> from bayesmdp.model_reading.records import check_records
    >>> with jax.enable_x64(True):
    ...     reading = read_sites(bm.environments.slippery_lake().model, check_records(one))
    >>> find_pairs(reading, check_records(one)).observes
    (('turn', 'direction'), ('freed', 'mobility'), ('length', 'reach'))
    """
    with jax.enable_x64(True):
        model, latents = reading.model, reading.latents
        if not latents:
            raise ValueError("the model has no unknown: none of its sites outside data.rows() is sampled")
        check_independent(reading.factors)
        data = data._replace(weight=np.ones(len(data.weight)))
        parameters = reading.run(data).parameters
        drawn = [_values(latents, parameters, seed) for seed in range(TRIALS)]
        runs = messages_at_random(model, data, latents, drawn)
        nothing = data._replace(weight=np.zeros(len(data.weight)))
        (unseen,) = messages_at_random(model, nothing, latents, drawn[:1])
        priors = {name: _prior(name, [run[name] for run in (*runs, unseen)]) for name in latents}
        families = {name: family for name, (family, _) in priors.items()}
        observes = []
        for name in per_row(runs[0]):
            messages = [run[name] for run in runs]
            _check_still(name, messages, len(data.weight))
            of = _unknown(messages, runs, families)
            if of is not None:
                observes.append((name, of))
        _check_rest(model, data, runs, dict(observes), families)
    return Pairs(
        tuple(observes),
        tuple(families.items()),
        tuple((name, freeze(np.asarray(parameters))) for name, (_, parameters) in priors.items()),
        tuple(reading.dims.items()),
    )


def _values(
    latents: dict[str, Latent], parameters: dict[str, dict[str, Array]], number: int
) -> dict[str, NDArray[np.float64]]:
    """Random values of the unknowns whose families ask for some of their own, in the trial of this number."""
    rng, values = np.random.default_rng(number), {}
    for name, latent in latents.items():
        prior = recognised(_observed(), latent.kind, parameters[name])
        trial = None if prior is None else prior[0].trial_values(rng, prior[1], latent.shape, number)
        if trial is not None:
            values[name] = trial
    return values


def _observed() -> list[Family]:
    """The families that a site can observe directly."""
    return [family for family in FAMILIES.values() if family.likelihood is not None]


def _check_still(name: str, messages: list[dict[str, Any]], rows: int) -> None:
    """Refuse a primitive that counts as often as the unknowns say, or whose value they change."""
    times = [np.asarray(row_counts(site, rows)) for site in messages]
    values = [np.asarray(site["value"]) for site in messages]
    for what, drawn in (("how often rows count for", times), ("the value of", values)):
        if any(not np.array_equal(one, drawn[0]) for one in drawn):
            raise NotConjugate(f"{what} {name!r} depends on the unknowns")


@partial(jax.jit, static_argnums=(0, 1))
def learn(model: Model, pairs: Pairs, parameters: dict[str, Array], data: Records) -> dict[str, Array]:
    """Compute the parameters by unknown after these rows; may be traced.

    Parameters
    ----------
    model : NumPyro function of the data
    pairs : Pairs
    parameters : mapping of unknown to array [..., parameter]
        Before the rows.
    data : Records

    Returns
    -------
    dict of arrays [..., parameter] by unknown
    """
    families, markers, rows = dict(pairs.families), dict(_markers(pairs)), len(data.weight)
    messages = sites(model, data, {name: jnp.asarray(thaw(marker)) for name, marker in markers.items()})
    after = {name: jnp.asarray(values) for name, values in parameters.items()}
    for name, of in pairs.observes:
        site, family = messages[name], families[of]
        elements = _elements(family, jnp.asarray(thaw(markers[of])))
        element = _matching(_parameter(family, site["fn"], rows), elements)
        flat = after[of].reshape(len(elements), -1)
        flat = _likelihood(family).add(flat, element, jnp.asarray(site["value"]), row_counts(site, rows))
        after[of] = flat.reshape(after[of].shape)
    return after


@lru_cache(maxsize=256)
def _markers(pairs: Pairs) -> tuple[tuple[str, Frozen], ...]:
    """Values of the unknowns of which no two elements are equal."""
    rng, families = np.random.default_rng(20260101), dict(pairs.families)
    return tuple(
        (name, freeze(np.asarray(families[name].distinct_values(rng, prior)))) for name, prior in pairs.before.items()
    )


def _prior(name: str, messages: list[dict[str, Any]]) -> tuple[Family, NDArray[np.float64]]:
    """The family of an unknown and its prior's parameters [..., parameter], which must be the same in all runs."""
    fn = messages[0]["fn"]
    if messages[0]["scale"] is not None or isinstance(fn, dist.MaskedDistribution):
        raise NotConjugate(f"the prior of {name!r} is scaled or masked")
    first, *others = (recognised(_observed(), *parameters_of(site["fn"])) for site in messages)
    if first is None:
        kind, kinds = type(base_distribution(fn)).__name__, ", ".join(family.name for family in _observed())
        raise NotConjugate(f"the prior of {name!r} is {kind}; closed forms are known here for {kinds}")
    if any(other is None or not np.array_equal(other[1], first[1]) for other in others):
        raise NotConjugate(f"the prior of {name!r} depends on another unknown, or on the data")
    family, parameters = first
    return family, full_parameters(family, parameters, np.shape(messages[0]["value"]))


def _unknown(messages: list[dict[str, Any]], runs: list[dict[str, Any]], families: Mapping[str, Family]) -> str | None:
    """The unknown that a site observes in all runs."""
    rows = len(np.asarray(messages[0]["value"]))
    if np.ndim(messages[0]["value"]) != 1:
        return None
    for name, family in families.items():
        if not _likelihood(family).takes(bare(messages[0]["fn"])):
            continue
        by_run = []
        for message, run in zip(messages, runs, strict=True):
            parameter = _parameter(family, message["fn"], rows)
            elements = _elements(family, np.asarray(run[name]["value"]))
            if elements.shape[1:] != parameter.shape[1:]:
                break
            element = _matching(parameter, elements)
            if not np.array_equal(elements[element], parameter):
                break
            by_run.append(element)
        if len(by_run) == len(runs) and all(np.array_equal(element, by_run[0]) for element in by_run):
            return name
    return None


def _check_rest(
    model: Model,
    data: Records,
    runs: list[dict[str, Any]],
    observes: Mapping[str, str],
    families: Mapping[str, Family],
) -> None:
    """Refuse a likelihood that is another than the pairs' in some row, at random values of the unknowns."""
    observing = {name: families[of] for name, of in observes.items()}
    rest = np.stack([_rest(model, data, run, families, observing) for run in runs])
    possible = np.isfinite(rest).any(0)
    filled = np.where(np.isfinite(rest), rest, np.nanmax(np.where(possible, rest, 0.0), axis=0))
    wrong = ~(np.ptp(filled, axis=0) <= 1e-9 * (1 + np.abs(filled).max(0)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        pairs = ", ".join(f"{_likelihood(family).name} of a {family.name}" for family in _observed())
        raise NotConjugate(
            f"the likelihood of row {row} depends on the unknowns {', '.join(map(repr, families))} other than by sites "
            f"that observe one of them: {pairs}"
        )


def _rest(
    model: Model,
    data: Records,
    messages: dict[str, Any],
    unknowns: Iterable[str],
    observing: Mapping[str, Family],
) -> NDArray[np.float64]:
    """Log-likelihood [row] of rows of weight 1 but for the pairs' sites; NaN where those give probability 0.

    Parameters
    ----------
    messages : dict
        Those of one run, whose values of the unknowns are meant.
    observing : mapping
        The family of the unknown that each of the pairs' sites observes.
    """
    explained, rows = np.zeros(len(data.weight)), len(data.weight)
    for name, site in messages.items():
        if name in observing:
            family, times = observing[name], np.asarray(row_counts(site, rows))
            with np.errstate(divide="ignore"):
                each = _likelihood(family).log_likelihood(
                    _parameter(family, site["fn"], rows), np.asarray(site["value"])
                )
            explained += np.where(times > 0, times * np.where(times > 0, each, 0.0), 0.0)
    possible = explained > -np.inf
    values = {name: messages[name]["value"] for name in unknowns}
    total = np.maximum(np.asarray(row_values(model, data, values)), -1e300)
    return np.where(possible, total - np.where(possible, explained, 0.0), np.nan)


def _likelihood(family: Family) -> Likelihood:
    """The likelihood of a family that has one."""
    assert family.likelihood is not None
    return family.likelihood


def _parameter(family: Family, fn: Any, rows: int) -> Num[Array, "row ..."]:
    """What a distribution of rows has in the place of the unknown [row, ...]."""
    parameter = _likelihood(family).parameter(bare(fn))
    xp = np if isinstance(parameter, np.ndarray | float | int) else jnp
    parameter = xp.asarray(parameter)
    return xp.broadcast_to(parameter, (rows, *parameter.shape[parameter.ndim - family.event_dim :]))


def _elements(family: Family, values: Num[Array, "..."]) -> Num[Array, "element ..."]:
    """The elements [element, ...] of an unknown."""
    return values.reshape(-1, *values.shape[values.ndim - family.event_dim :])


def _matching(parameter: Num[Array, "row ..."], elements: Num[Array, "element ..."]) -> Int[Array, " row"]:
    """The element [row] nearest to each row's parameter [row, ...]."""
    xp = elements.__array_namespace__()
    apart = xp.abs(elements[None] - parameter[:, None])
    return xp.argmin(apart if apart.ndim == 2 else apart.sum(-1), axis=1)
