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

from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.coefficients import Rows
from bayesmdp.posterior.closed_forms.transitions import Conjugate

__all__ = ["conjugate_log_evidence"]


def conjugate_log_evidence(data: Transitions, conjugate: Conjugate, parameters: Mapping[str, NDArray[Any]]) -> float:
    """Log probability of the rows, each as often as its weight says, in their order.

    Parameters
    ----------
    data : Transitions
    conjugate : Conjugate
        The model, with the closed form of its posterior.
    parameters : mapping
        Those of the posterior, by site.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, steps=1, seed=0)
    >>> posterior = bm.infer(bm.models.dirichlet_transitions(river), log, draws=0)
    >>> round(float(np.exp(posterior.attrs["log_evidence"])), 3)  # one step: one of six next states
    0.167
    """
    point: dict[str, NDArray[Any]] = {}
    before = after = 0.0
    for name, site in conjugate.sites.items():
        posterior = np.asarray(parameters[name], float)
        values = site.family.mean(posterior)
        before += float(site.family.log_density(values, site.prior.parameters).sum())
        after += float(site.family.log_density(values, posterior).sum())
        point |= dict(zip(site.prior.sites, values, strict=True))
    once = data._replace(weight=np.ones(len(data.weight)))
    priors = {name: site.prior for name, site in conjugate.sites.items()}
    with jax.enable_x64(True):
        rows = Rows(conjugate.reading, once, priors).values(point)
    seen = np.asarray(data.weight) > 0
    return float(np.dot(np.asarray(data.weight)[seen], rows[seen])) + before - after
