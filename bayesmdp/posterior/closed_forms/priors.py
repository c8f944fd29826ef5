"""The priors of a model's unknowns, read from one run of it and compared with those of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bayesmdp.model_reading.model_runs import Run, repeated
from bayesmdp.model_reading.read_model import Reading
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.families import FAMILIES, ExponentialFamily, Family

__all__ = ["NotConjugate", "Prior", "full_parameters", "priors", "recognised"]


class NotConjugate(ValueError):
    """Why a model's posterior is not known in closed form.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, steps=20)
    >>> try:
    ...     bm.infer(bm.models.hierarchical_dirichlet(river), log, method="exact")
    ... except bm.NotConjugate as why:
    ...     print("no closed form:", "concentration" in str(why))
    no closed form: True
    """


class Prior(NamedTuple):
    """The prior of one site, or of two that are one joint family, as a Gamma and a Normal site are Normal-Gamma.

    Attributes
    ----------
    sites : tuple of str
        One, or the two of a joint family in its order.
    family : ExponentialFamily
    parameters : array [..., parameter]
        As the family orders them; a Dirichlet's last axis is its category.
    """

    sites: tuple[str, ...]
    family: ExponentialFamily
    parameters: NDArray[np.float64]


type Read = tuple[ExponentialFamily, NDArray[Any]] | None
"""The family and the parameters of a site's prior in one run of the model; None where its family is not known."""


def priors(reading: Reading, data: Transitions) -> dict[str, Prior]:
    """Read the prior of each latent site; that of a pair is under the name of its second site.

    Parameters
    ----------
    reading : Reading
    data : Transitions

    Returns
    -------
    dict of Prior

    Raises
    ------
    NotConjugate
        Where a prior is of another kind, is scaled, or depends on the data or on another unknown other than as the two
        of a joint family do.
    ValueError
        For parameters in 32 bits.
    """
    row = repeated(data, 1)
    runs = [reading.run(row)]
    # Some far out: a dependence may begin there only.
    runs += [reading.run(row, seed, spread=(1, 3, 10)[seed % 3]) for seed in range(1, 13)]
    # Another row, another reward, other weights, and twice as many rows.
    last = jax.tree.map(lambda column: np.asarray(column)[-1:], data)
    others = repeated(last._replace(weight=np.zeros(1), reward=row.reward + 1), 2)
    unseen = reading.run(others)
    pairs = _pairs(runs, reading)
    single = {name: _single(name, runs[0], unseen, reading) for name in reading.latents}
    firsts = {pair.sites[0] for pair in pairs.values()}
    return {name: pairs.get(name, prior) for name, prior in single.items() if name not in firsts}


def recognised[F: Family](
    families: Iterable[F], kind: type, parameters: Mapping[str, Any]
) -> tuple[F, NDArray[Any]] | None:
    """Find the one of some families that a distribution is of.

    Parameters
    ----------
    families : iterable of Family
    kind : type
    parameters : mapping
        As `parameters_of` says them.

    Returns
    -------
    (Family, parameters) or None
    """
    for family in families:
        read = family.of(kind, parameters)
        if read is not None:
            return family, read
    return None


def _read(name: str, run: Run, reading: Reading) -> Read:
    return recognised(_exponential(), reading.latents[name].kind, run.parameters[name])


def _exponential() -> list[ExponentialFamily]:
    return [family for family in FAMILIES.values() if isinstance(family, ExponentialFamily)]


def _single(name: str, run: Run, unseen: Run, reading: Reading) -> Prior:
    """The prior of one site, by itself, which a run on other data must repeat."""
    latent, read, again = reading.latents[name], _read(name, run, reading), _read(name, unseen, reading)
    if read is None:
        *others, last = (family.name for family in _exponential() if not family.parts)
        raise NotConjugate(
            f"the prior of {name!r} is {latent.kind.__name__}; closed forms are known here for {', '.join(others)} "
            f"and {last}"
        )
    family, parameters = read
    if again is None or not np.array_equal(again[1], parameters):
        raise NotConjugate(f"the prior of {name!r} depends on the data")
    if latent.scaled:
        raise NotConjugate(f"the prior of {name!r} is scaled, which leaves the {family.name} family")
    if parameters.dtype.kind not in "iu" and parameters.dtype != np.float64:
        what = "concentration" if family.simplex else " or ".join(family.labels)
        raise ValueError(
            f"the {what} of {name!r} is {parameters.dtype}, good to 8 digits only; "
            "give the model Python or NumPy float64 numbers, not a JAX array made beforehand"
        )
    return Prior((name,), family, full_parameters(family, parameters, latent.shape))


def full_parameters(family: Family, parameters: NDArray[Any], site_shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the parameters of each element of a site, [*site, parameter], or [*site] of a Dirichlet.

    Parameters
    ----------
    family : Family
    parameters : array [..., parameter]
        A prior may give them once for all elements.
    site_shape : tuple of int
    """
    shape = site_shape if family.event_dim else (*site_shape, len(family.labels))
    return np.broadcast_to(parameters.astype(np.float64), shape)


def _pairs(runs: Sequence[Run], reading: Reading) -> dict[str, Prior]:
    """The joint prior of each site whose own depends on another as a joint family says; others that do are refused.

    Priors depend on other unknowns if their parameters move when those are drawn anew.
    """
    read = {name: [_read(name, run, reading) for run in runs] for name in reading.latents}
    moving = [name for name, by_run in read.items() if _moves(by_run)]
    pairs: dict[str, Prior] = {}
    for name in moving:
        others = [other for other in reading.latents if other != name]
        joint = [family for family in _exponential() if family.parts and _all_of(family.parts[1], read[name])]
        taken = {pair.sites[0] for pair in pairs.values()}
        pair = next(
            (
                pair
                for family in joint
                for other in others
                if other not in moving and other not in taken and _all_of(family.parts[0], read[other])
                if (pair := _joined(family, other, name, read, runs, reading)) is not None
            ),
            None,
        )
        if pair is None:
            how = f", and not as {' or '.join(family.relation for family in joint)}" if joint else ""
            listed = ", ".join(map(repr, others))
            raise NotConjugate(
                f"the prior of {name!r} depends on another unknown ({listed}){how}: a hierarchical model"
            )
        pairs[name] = pair
    return pairs


def _joined(
    family: ExponentialFamily,
    first: str,
    second: str,
    read: Mapping[str, list[Read]],
    runs: Sequence[Run],
    reading: Reading,
) -> Prior | None:
    """The joint prior of two sites, if they are of this family and each element of one goes with one of the other."""
    shape = reading.latents[second].shape
    if reading.latents[first].shape != shape:
        return None
    (_, first_prior), *_ = (one for one in read[first] if one is not None)
    second_priors = np.array([one[1] for one in read[second] if one is not None])
    parameters = family.join(np.array([run.values[first] for run in runs]), first_prior, second_priors)
    return None if parameters is None else Prior((first, second), family, full_parameters(family, parameters, shape))


def _all_of(family: Family, by_run: list[Read]) -> bool:
    return all(one is not None and one[0] is family for one in by_run)


def _moves(by_run: list[Read]) -> bool:
    first = by_run[0]
    return first is not None and any(one is None or not np.array_equal(first[1], one[1]) for one in by_run)
