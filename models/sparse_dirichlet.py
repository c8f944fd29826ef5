"""Independent Dirichlet rows of which some next states are known to be impossible.

    transition[s, a, R(s, a)] ~ Dirichlet(concentration[s, a, R(s, a)]),    R(s, a) = {s' : concentration[s, a, s'] > 0}
    transition[s, a, s']      = 0                                           for every other s'
    next_state | s, a         ~ Categorical(transition[s, a, :])

It is :func:`dirichlet_transitions` with zeros. Where an MDP has a successor table of the same next states that one
says the same and is quicker; this one is for dense MDPs, in which other agents know less. Rows of equally many possible
next states are one site, ``rows_of_2``, ``rows_of_3`` and so on; rows of one are certain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike

from .arguments import Frozen, Sizes, freeze, frozen_numbers, pair_sizes, thaw

__all__ = ["sparse_dirichlet"]


def sparse_dirichlet(mdp: Sizes, concentration: ArrayLike) -> Callable[[Any], None]:
    """Dirichlet rows of which some next states are known to be impossible.

    Parameters
    ----------
    mdp
        Read for `num_states`, `num_actions` and `num_outcomes`.
    concentration : array broadcastable to [state, action, outcome]
        Not negative; 0 where the next state is impossible. Every row needs a positive entry.

    Returns
    -------
    NumPyro model with the site ``transition`` [state, action, next_state or outcome], and sites ``rows_of_2``,
    ``rows_of_3`` and so on [row, kind], one for each number of possible next states above 1 that some row has

    Raises
    ------
    TypeError, ValueError
        If a concentration is negative or not finite, the shape does not fit, or a row has no positive entry: with its
        index.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> chain = bm.environments.generalised_chain(dense=True)
    >>> counts = (chain.transition > 0).astype(float)  # 1 for each of the two next states of a pair
    >>> known = bm.infer(sparse_dirichlet(chain, counts), bm.collect(chain, steps=50, seed=0), mdp=chain, draws=10)
    >>> known.attrs["engine"], float(known.posterior["transition"].sel(state=1, action=1, next_state=4).max())
    ('exact', 0.0)
    """
    shape = *pair_sizes(mdp), mdp.num_outcomes
    given = thaw(frozen_numbers("concentration", concentration, shape, positive=False))
    if (given < 0).any():
        index = ", ".join(map(str, np.argwhere(given < 0)[0]))
        raise ValueError(f"concentration[{index}] = {given[given < 0][0]:g}; it must be positive, or 0 for impossible")
    empty = ~(given > 0).any(-1)
    if empty.any():
        index = ", ".join(map(str, np.argwhere(empty)[0]))
        raise ValueError(f"concentration[{index}] allows no next state; give one of them a positive number")
    return _model(freeze(given))


@lru_cache(maxsize=64)
def _model(concentration: Frozen) -> Callable[[Any], None]:
    shape = concentration[0]
    table = thaw(concentration).reshape(-1, shape[-1])
    widths = np.count_nonzero(table, axis=-1)
    # Rows by their number of possible next states: which rows they are, and which states.
    groups = {int(width): np.flatnonzero(widths == width) for width in np.unique(widths)}
    places = {width: np.nonzero(table[rows])[1].reshape(-1, width) for width, rows in groups.items()}

    def model(data: Any) -> None:
        rows = thaw(concentration).reshape(-1, shape[-1])
        kernel: Any = jnp.zeros(rows.shape, jnp.result_type(float))
        for width, where in groups.items():
            place = where[:, None], places[width]
            possible: Any = 1.0
            if width > 1:
                with numpyro.plate(f"row_of_{width}", len(where)):
                    prior = dist.Dirichlet(rows[place])
                    possible = numpyro.sample(f"rows_of_{width}", prior, infer={"event_dims": [f"kind_of_{width}"]})
            kernel = kernel.at[place].set(possible)
        transition = numpyro.deterministic("transition", kernel.reshape(shape))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    model.__name__ = "sparse_dirichlet"
    return model
