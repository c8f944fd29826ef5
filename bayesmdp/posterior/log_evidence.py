"""The log evidence of a conjugate model: prior times likelihood over posterior, which is the same at every point.

    log p(data) = log p(data | x) + log p(x) - log p(x | data),

taken at the posterior's mean. The data are steps in their order, so that no binomial coefficients count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import gammaln, xlogy

from bayesmdp.data import Transitions
from bayesmdp.posterior.conjugate import Conjugate
from bayesmdp.posterior.program import Model, prior_density, row_values, sites

__all__ = ["conjugate_log_evidence"]


def conjugate_log_evidence(
    model: Model, data: Transitions, found: Conjugate, parameters: Mapping[str, NDArray[Any]]
) -> float:
    """Log probability of the rows, each as often as its weight says, in their order.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions
    found : Conjugate
        Of the model.
    parameters : mapping
        Of the posterior by site.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, steps=1, seed=0)
    >>> posterior = bm.infer(bm.models.dirichlet_transitions(river), log, draws=0)
    >>> round(float(np.exp(posterior.attrs["log_evidence"])), 3)  # one step: one of six next states
    0.167
    """
    values: dict[str, Any] = {}
    after = 0.0
    for name, site in found.sites.items():
        at, density = _AT[site.family.name](np.asarray(parameters[name], float))
        after += float(density.sum())
        values |= dict(zip(site.prior.sites, at, strict=True))
    with jax.enable_x64(True):
        rows = np.asarray(row_values(model, data._replace(weight=np.ones(len(data.weight))), values))
        before = float(prior_density(sites(model, data, values)))
    seen = np.asarray(data.weight) > 0
    return float(np.dot(np.asarray(data.weight)[seen], rows[seen])) + before - after


type _Point = tuple[tuple[NDArray[Any], ...], NDArray[Any]]
"""Values of a family's sites at the mean, and the log of its density there."""


def _dirichlet(a: NDArray[Any]) -> _Point:
    mean = a / a.sum(-1, keepdims=True)
    return (mean,), gammaln(a.sum(-1)) + (xlogy(a - 1, mean) - gammaln(a)).sum(-1)


def _beta(ab: NDArray[Any]) -> _Point:
    (mean,), density = _dirichlet(ab)
    return (mean[..., 0],), density


def _normal(parameters: NDArray[Any]) -> _Point:
    mean, sd = np.moveaxis(parameters, -1, 0)
    return (mean,), stats.norm.logpdf(mean, mean, sd)


def _gamma(parameters: NDArray[Any]) -> _Point:
    shape, rate = np.moveaxis(parameters, -1, 0)
    return (shape / rate,), stats.gamma.logpdf(shape / rate, shape, scale=1 / rate)


def _normal_gamma(parameters: NDArray[Any]) -> _Point:
    mean, weight, shape, rate = np.moveaxis(parameters, -1, 0)
    (precision,), density = _gamma(np.stack([shape, rate], -1))
    return (precision, mean), density + stats.norm.logpdf(mean, mean, 1 / np.sqrt(weight * precision))


_AT = {"Dirichlet": _dirichlet, "Beta": _beta, "Normal": _normal, "Gamma": _gamma, "Normal-Gamma": _normal_gamma}
