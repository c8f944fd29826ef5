"""Independent Dirichlet rows: nothing is known of the dynamics but which next states there are.

    transition[s, a, :] ~ Dirichlet(concentration[s, a, :])
    next_state | s, a   ~ Categorical(transition[s, a, :])

After n[s, a, s'] observed transitions the posterior of a row is Dirichlet(concentration[s, a, :] + n[s, a, :]).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, Sizes, frozen_numbers, pair_sizes, thaw

__all__ = ["dirichlet_transitions"]


def dirichlet_transitions(mdp: Sizes, concentration: ArrayLike = 1.0) -> Callable[[Any], None]:
    """A Dirichlet prior on every row of the transition probabilities.

    Parameters
    ----------
    mdp
        Read for `num_states`, `num_actions`, `num_outcomes` and `outcome_size`, nothing else.
    concentration : float, or array broadcastable to [state, action, outcome]; default 1
        Positive. A number is that of each next state: an outcome that stands for many has so many times as much, and
        entries of a row that name one state share it. An array is taken as it is. 1 is uniform over distributions;
        below 1 rows with few likely next states are preferred; a row of sum n weighs as much as n observations.

    Returns
    -------
    NumPyro model with the site ``transition`` [state, action, next_state or outcome]

    Raises
    ------
    ValueError
        If a concentration is not a positive finite number, or its shape does not fit: with its index.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> prior = dirichlet_transitions(river, concentration=1 / 6)
    >>> prior.__name__
    'dirichlet_transitions'
    """
    shape = *pair_sizes(mdp), mdp.num_outcomes
    if np.ndim(concentration) == 0:
        with np.errstate(over="ignore"):  # what is too large is refused below
            concentration = thaw(frozen_numbers("concentration", concentration, ())) * mdp.outcome_size
    return _model(frozen_numbers("concentration", concentration, shape))


@lru_cache(maxsize=64)
def _model(concentration: Frozen) -> Callable[[Any], None]:
    (num_states, num_actions, _), *_ = concentration

    def model(data: Any) -> None:
        with numpyro.plate("state", num_states, dim=-2), numpyro.plate("action", num_actions, dim=-1):
            transition = numpyro.sample("transition", dist.Dirichlet(thaw(concentration)))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    model.__name__ = "dirichlet_transitions"
    return model
