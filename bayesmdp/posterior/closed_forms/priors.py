"""The priors of a model's unknowns, read from one run of it and compared with those of others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.model_reading.model_runs import Run, repeated, run_at_random
from bayesmdp.model_reading.read_model import Model, Program
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.families import BETA, DIRICHLET, GAMMA, NORMAL, NORMAL_GAMMA, ExponentialFamily

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
    row = repeated(data, 1)
    runs = [run_at_random(model, row, program.latents)]
    # Some far out: a dependence may begin there only.
    runs += [run_at_random(model, row, program.latents, seed, spread=(1, 3, 10)[seed % 3]) for seed in range(1, 13)]
    # Another row, another reward, other weights, and twice as many rows.
    last = Transitions(*(np.asarray(column)[-1:] for column in data))
    others = repeated(last._replace(weight=np.zeros(1), reward=row.reward + 1), 2)
    unseen = run_at_random(model, others, program.latents)
    partner = _partners(runs, program)
    found = {}
    for name, latent in program.latents.items():
        read = read_prior(latent.kind, runs[0].parameters[name])
        if read is None:
            raise NotConjugate(
                f"the prior of {name!r} is {latent.kind.__name__}; closed forms are known here for {KNOWN}"
            )
        family, parameters = read
        before = read_prior(latent.kind, unseen.parameters[name])
        if before is None or not np.array_equal(before[1], parameters):
            raise NotConjugate(f"the prior of {name!r} depends on the data")
        if latent.scaled:
            raise NotConjugate(f"the prior of {name!r} is scaled, which leaves the {family.name} family")
        if parameters.dtype.kind not in "iu" and parameters.dtype != np.float64:
            what = "concentration" if family.simplex else family.labels[0] + " or " + family.labels[1]
            raise ValueError(
                f"the {what} of {name!r} is {parameters.dtype}, good to 8 digits only; "
                "give the model Python or NumPy float64 numbers, not a JAX array made beforehand"
            )
        shape = latent.shape + (2,) * (family is not DIRICHLET)
        found[name] = Prior((name,), family, np.broadcast_to(parameters.astype(np.float64), shape))
    for name, precision in partner.items():
        mean, shape_rate = found[name].parameters[..., 0], found[precision].parameters
        weight = 1 / (found[name].parameters[..., 1] ** 2 * runs[0].values[precision])
        parameters = np.stack([mean, weight, shape_rate[..., 0], shape_rate[..., 1]], -1)
        found[name] = Prior((precision, name), NORMAL_GAMMA, parameters)
    return {name: prior for name, prior in found.items() if name not in partner.values()}


def read_prior(kind: type, parameters: tuple[Any, ...]) -> tuple[ExponentialFamily, NDArray[Any]] | None:
    """The family of a distribution and its parameters [..., parameter], from what `parameters_of` says of it."""
    if issubclass(kind, dist.Dirichlet):
        return DIRICHLET, np.asarray(parameters[0])
    if issubclass(kind, dist.Beta):
        return BETA, _stack(*parameters)
    if issubclass(kind, dist.Uniform) and np.all(parameters[0] == 0) and np.all(parameters[1] == 1):
        return BETA, np.ones((*np.broadcast_shapes(*map(np.shape, parameters)), 2))
    if issubclass(kind, dist.Normal):
        return NORMAL, _stack(*parameters)
    if issubclass(kind, dist.Gamma):
        return GAMMA, _stack(*parameters)
    if issubclass(kind, dist.Exponential):
        return GAMMA, _stack(np.ones(()), *parameters)
    return None


def _stack(*parameters: Any) -> NDArray[Any]:
    return np.stack(np.broadcast_arrays(*parameters), -1)


def _partners(runs: list[Run], program: Program) -> dict[str, str]:
    """The precision of each Normal site whose scale is 1 / sqrt(weight precision); other dependence is refused.

    Priors depend on other unknowns if their parameters move when those are drawn anew.
    """
    read = {
        name: [read_prior(latent.kind, run.parameters[name]) for run in runs]
        for name, latent in program.latents.items()
    }
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
            if program.latents[name].shape == program.latents[other].shape and _is_pair(name, other, runs):
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


def _is_pair(normal: str, precision: str, runs: list[Run]) -> bool:
    """Whether over all runs the mean stands still and scale^2 precision does, element by element."""
    mean = np.array([run.parameters[normal][0] for run in runs])
    product = np.array([np.square(run.parameters[normal][1]) * run.values[precision] for run in runs])
    return bool((mean == mean[0]).all() and (np.ptp(product, axis=0) <= 1e-12 * product[0]).all())
