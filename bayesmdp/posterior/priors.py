"""The priors of a model's unknowns, read from one run of it and compared with others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.data import Transitions
from bayesmdp.posterior.families import BETA, DIRICHLET, GAMMA, NORMAL, NORMAL_GAMMA, ExponentialFamily
from bayesmdp.posterior.program import Model, Program, base_distribution, sites

__all__ = ["NotConjugate", "Prior", "priors", "read_prior"]

KNOWN = "Dirichlet, Beta, Normal and Gamma"


class NotConjugate(ValueError):
    """Why a model's posterior is not known in closed form."""


class Prior(NamedTuple):
    """The prior of one site, or of a Gamma and a Normal site that are Normal-Gamma together.

    Attributes
    ----------
    sites : tuple of str
        One, or the precision and the mean.
    family : Family
    parameters : array [..., parameter]
        As the family orders them; a Dirichlet's last axis is its category.
    """

    sites: tuple[str, ...]
    family: ExponentialFamily
    parameters: NDArray[np.float64]


def priors(model: Model, data: Transitions, program: Program) -> dict[str, Prior]:
    """The prior of each latent site; that of a pair is under the name of its Normal site.

    Raises
    ------
    NotConjugate
        Where a prior is of another kind, is scaled, or depends on the data or on another unknown other than as the two
        of a Normal-Gamma do.
    ValueError
        For parameters in 32 bits.
    """
    # Some far out: a dependence may begin there only.
    runs = [sites(model, data, seed=seed, spread=(1, 3, 10)[seed % 3]) for seed in range(1, 13)]
    partner = _partners(runs, program)
    unseen = sites(model, data._replace(weight=np.zeros(len(data.weight)), reward=np.asarray(data.reward) + 1))
    found = {}
    for name, site in program.latents.items():
        read = read_prior(site["fn"])
        if read is None:
            kind = type(base_distribution(site["fn"])).__name__
            raise NotConjugate(f"the prior of {name!r} is {kind}; closed forms are known here for {KNOWN}")
        family, parameters = read
        before = read_prior(unseen[name]["fn"])
        if before is None or not np.array_equal(before[1], parameters):
            raise NotConjugate(f"the prior of {name!r} depends on the data")
        if site["scale"] is not None:
            raise NotConjugate(f"the prior of {name!r} is scaled, which leaves the {family.name} family")
        if parameters.dtype.kind not in "iu" and parameters.dtype != np.float64:
            what = "concentration" if family.simplex else family.labels[0] + " or " + family.labels[1]
            raise ValueError(
                f"the {what} of {name!r} is {parameters.dtype}, good to 8 digits only; "
                "give the model Python or NumPy float64 numbers, not a JAX array made beforehand"
            )
        shape = np.shape(site["value"]) + (2,) * (family is not DIRICHLET)
        found[name] = Prior((name,), family, np.broadcast_to(parameters.astype(np.float64), shape))
    for name, other in partner.items():
        mean, shape_rate = found[name].parameters[..., 0], found[other].parameters
        weight = 1 / (found[name].parameters[..., 1] ** 2 * np.asarray(program.latents[other]["value"]))
        parameters = np.stack([mean, weight, shape_rate[..., 0], shape_rate[..., 1]], -1)
        found[name] = Prior((other, name), NORMAL_GAMMA, parameters)
    return {name: prior for name, prior in found.items() if name not in partner.values()}


def read_prior(fn: Any) -> tuple[ExponentialFamily, NDArray[Any]] | None:
    """The family of a distribution and its parameters [..., parameter]."""
    base = base_distribution(fn)
    if isinstance(base, dist.Dirichlet):
        return DIRICHLET, np.asarray(base.concentration)
    if isinstance(base, dist.Beta):
        return BETA, _stack(base.concentration1, base.concentration0)
    if isinstance(base, dist.Uniform) and np.all(base.low == 0) and np.all(base.high == 1):
        return BETA, np.ones((*base.batch_shape, 2))
    if isinstance(base, dist.Normal):
        return NORMAL, _stack(base.loc, base.scale)
    if isinstance(base, dist.Gamma):
        return GAMMA, _stack(base.concentration, base.rate)
    if isinstance(base, dist.Exponential):
        return GAMMA, _stack(np.ones(()), base.rate)
    return None


def _stack(*parameters: Any) -> NDArray[Any]:
    return np.stack(np.broadcast_arrays(*parameters), -1)


def _partners(runs: list[dict[str, Any]], program: Program) -> dict[str, str]:
    """The precision of each Normal site whose scale is 1 / sqrt(weight precision); other dependence is refused.

    Priors depend on other unknowns if their parameters move when those are drawn anew.
    """
    read = {name: [read_prior(run[name]["fn"]) for run in runs] for name in program.latents}
    moving = [name for name, drawn in read.items() if _moves(drawn)]
    partner: dict[str, str] = {}
    for name in moving:
        others = [other for other in program.latents if other != name]
        if any(one is None or one[0] is not NORMAL for one in read[name]):
            listed = ", ".join(map(repr, others))
            raise NotConjugate(f"the prior of {name!r} depends on another unknown ({listed}): a hierarchical model")
        for other in others:
            if other in moving or other in partner.values() or any(o is None or o[0] is not GAMMA for o in read[other]):
                continue
            if _is_pair([run[name] for run in runs], [np.asarray(run[other]["value"]) for run in runs]):
                partner[name] = other
                break
        else:
            listed = ", ".join(map(repr, others))
            raise NotConjugate(
                f"the prior of {name!r} depends on another unknown ({listed}), and not as Normal(mean, 1 / sqrt(weight "
                "* precision)) with a Gamma precision of its own for each of its elements: a hierarchical model"
            )
    return partner


def _moves(drawn: list[tuple[ExponentialFamily, NDArray[Any]] | None]) -> bool:
    first = drawn[0]
    return first is not None and any(one is None or not np.array_equal(first[1], one[1]) for one in drawn)


def _is_pair(normal: list[dict[str, Any]], precision: list[NDArray[Any]]) -> bool:
    """Whether over all runs the mean stands still and scale^2 precision does, element by element."""
    if np.shape(normal[0]["value"]) != precision[0].shape:
        return False
    base = [base_distribution(site["fn"]) for site in normal]
    mean = np.array([one.loc for one in base])
    product = np.array([np.square(one.scale) * t for one, t in zip(base, precision, strict=True)])
    return bool((mean == mean[0]).all() and (np.ptp(product, axis=0) <= 1e-12 * product[0]).all())
