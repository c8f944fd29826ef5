"""Dirichlet rows whose concentration is itself unknown: how concentrated rows are is learned from all of them.

    concentration       ~ LogNormal(log(typical), spread)
    transition[s, a, :] ~ Dirichlet(concentration size[s, a, :]), independent given it

with `size` how many next states each outcome stands for. Many rows that were seen to lead to few states make the
concentration small, and then a row seen once is believed to lead where it led. There is no closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import log
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist

from .arguments import Frozen, Sizes, freeze, frozen_numbers, pair_sizes, thaw

__all__ = ["hierarchical_dirichlet"]


def hierarchical_dirichlet(mdp: Sizes, typical: float = 0.3, spread: float = 1.0) -> Callable[[Any], None]:
    """Dirichlet rows that share one unknown concentration.

    Parameters
    ----------
    mdp
        Read for `num_states`, `num_actions`, `num_outcomes` and `outcome_size`.
    typical : float, positive
        Median of the concentration of one next state.
    spread : float, positive
        Standard deviation of its logarithm.

    Returns
    -------
    NumPyro model with the sites ``concentration`` and ``transition`` [state, action, next_state or outcome]

    Raises
    ------
    TypeError, ValueError
        If a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(3)
    >>> log = bm.collect(river, steps=100, seed=0)
    >>> posterior = bm.infer(hierarchical_dirichlet(river), log, method="smc", draws=1_000)
    >>> bool(posterior.posterior["concentration"].mean() < 0.3)  # most rows lead to two of the three states
    True
    """
    shape = *pair_sizes(mdp), mdp.num_outcomes
    sizes = np.ascontiguousarray(np.broadcast_to(np.asarray(mdp.outcome_size, float), shape))
    numbers = [
        float(thaw(frozen_numbers(name, given, ()))) for name, given in (("typical", typical), ("spread", spread))
    ]
    return _model(freeze(sizes), *numbers)


@lru_cache(maxsize=64)
def _model(sizes: Frozen, typical: float, spread: float) -> Callable[[Any], None]:
    (num_states, num_actions, _), *_ = sizes

    def model(data: Any) -> None:
        concentration = numpyro.sample("concentration", dist.LogNormal(log(typical), spread))
        with numpyro.plate("state", num_states, dim=-2), numpyro.plate("action", num_actions, dim=-1):
            transition = numpyro.sample("transition", dist.Dirichlet(concentration * thaw(sizes)))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    model.__name__ = "hierarchical_dirichlet"
    return model
