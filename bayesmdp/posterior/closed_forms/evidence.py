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

from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.coefficients import Rows
from bayesmdp.posterior.closed_forms.families import BETA
from bayesmdp.posterior.closed_forms.transitions import Conjugate

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
    values: dict[str, NDArray[Any]] = {}
    before = after = 0.0
    for name, site in found.sites.items():
        mean, density = _FUNCTIONS[site.family.name]
        posterior = np.asarray(parameters[name], float)
        at = mean(posterior)
        before += float(density(at, site.prior.parameters).sum())
        after += float(density(at, posterior).sum())
        values |= {key: x[..., 0] if site.family is BETA else x for key, x in zip(site.prior.sites, at, strict=True)}
    with jax.enable_x64(True):
        rows = Rows(model, data._replace(weight=np.ones(len(data.weight))), found.program.shape[-1]).values(values)
    seen = np.asarray(data.weight) > 0
    return float(np.dot(np.asarray(data.weight)[seen], rows[seen])) + before - after


type _Point = tuple[NDArray[Any], ...]
"""Values of a family's sites, those of a Beta as pairs (x, 1 - x)."""


def _simplex_mean(a: NDArray[Any]) -> _Point:
    return (a / a.sum(-1, keepdims=True),)


def _simplex(at: _Point, a: NDArray[Any]) -> NDArray[Any]:
    return gammaln(a.sum(-1)) + (xlogy(a - 1, at[0]) - gammaln(a)).sum(-1)


def _normal_mean(parameters: NDArray[Any]) -> _Point:
    return (parameters[..., 0],)


def _normal(at: _Point, parameters: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(stats.norm.logpdf(at[0], parameters[..., 0], parameters[..., 1]))


def _gamma_mean(parameters: NDArray[Any]) -> _Point:
    return (parameters[..., 0] / parameters[..., 1],)


def _gamma(at: _Point, parameters: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(stats.gamma.logpdf(at[0], parameters[..., 0], scale=1 / parameters[..., 1]))


def _normal_gamma_mean(parameters: NDArray[Any]) -> _Point:
    return parameters[..., 2] / parameters[..., 3], parameters[..., 0]


def _normal_gamma(at: _Point, parameters: NDArray[Any]) -> NDArray[Any]:
    precision, value = at
    mean, weight, *_ = np.moveaxis(parameters, -1, 0)
    scale = 1 / np.sqrt(weight * precision)
    return _gamma((precision,), parameters[..., 2:]) + stats.norm.logpdf(value, mean, scale)


_FUNCTIONS = {
    "Dirichlet": (_simplex_mean, _simplex),
    "Beta": (_simplex_mean, _simplex),
    "Normal": (_normal_mean, _normal),
    "Gamma": (_gamma_mean, _gamma),
    "Normal-Gamma": (_normal_gamma_mean, _normal_gamma),
}
"""The mean, and the log of the density at a point, of parameters [..., parameter]."""
