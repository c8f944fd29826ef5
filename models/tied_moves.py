"""Moves that are alike everywhere: a few causes, the same for all pairs, of which the effects are known.

    cause                ~ Dirichlet(concentration)                       [cause]
    move                 = cause @ pattern                                [move]
    map                  ~ Categorical(weight)                            if there are several
    transition[s, a, i]  = sum of move[m] over the m with leads_to[map, s, a, m] = i

Ice that slips the same way in every cell has the moves left, ahead and right of where one meant to go. With one cause
a move (the default pattern) nothing is assumed of their probabilities; with the pattern ``[[.5, 0, .5], [0, 1, 0]]``
there is one unknown, how often one slips at all, to either side alike. Several tables are several maps, of which it is
not known which is true. Where two moves of a pair lead to one state their probabilities add up, so there is no closed
form.
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

__all__ = ["tied_moves"]


def tied_moves(
    mdp: Sizes,
    leads_to: ArrayLike,
    concentration: ArrayLike = 1.0,
    *,
    pattern: ArrayLike | None = None,
    weight: ArrayLike = 1.0,
) -> Callable[[Any], None]:
    """Transitions made of a few moves, whose probabilities are the same for all pairs.

    Parameters
    ----------
    mdp
        Read for `num_states`, `num_actions` and `num_outcomes`.
    leads_to : int array [state, action, move], or [map, state, action, move]
        Which next state (outcome, on a successor table) each move of a pair leads to.
    concentration : float, or array [cause]
        Positive.
    pattern : array [cause, move], optional
        The probability of each move given its cause; rows sum to 1. By default each move is a cause of its own.
    weight : float, or array [map]
        How likely each map is before any data, up to a factor.

    Returns
    -------
    NumPyro model with the sites ``cause`` [kind], ``transition`` [state, action, next_state or outcome], and ``map``
    if there are several

    Raises
    ------
    TypeError, ValueError
        If a table names no such state, a row of the pattern does not sum to 1, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.frozen_lake()
    >>> ice = tied_moves(lake, bm.environments.slips(), pattern=[[0.5, 0, 0.5], [0, 1, 0]])
    >>> log = bm.collect(lake, steps=1_000, seed=0)
    >>> posterior = bm.infer(ice, log, mdp=lake, method="smc", draws=1_000)
    >>> round(float(posterior.posterior["cause"].sel(kind=0).mean()), 1)  # 2/3 of the moves slip
    0.7
    """
    num_states, num_actions = pair_sizes(mdp)
    table = np.asarray(leads_to)
    table = table[None] if table.ndim == 3 else table
    if table.ndim != 4 or table.shape[1:3] != (num_states, num_actions):
        raise ValueError(
            f"leads_to has shape {np.shape(leads_to)}; expected [state, action, move] = ({num_states}, {num_actions}, "
            "moves), or with a leading axis of maps"
        )
    if table.dtype.kind not in "iu":
        raise TypeError(f"leads_to must hold indices; got dtype {table.dtype}")
    wrong = (table < 0) | (table >= mdp.num_outcomes)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = ", ".join(map(str, index if np.ndim(leads_to) == 4 else index[1:]))
        raise ValueError(f"leads_to[{place}] = {table[index]}; it must be in 0..{mdp.num_outcomes - 1}")
    maps, moves = table.shape[0], table.shape[-1]
    effect = np.eye(moves) if pattern is None else np.asarray(pattern, float)
    if effect.ndim != 2 or effect.shape[1] != moves:
        raise ValueError(f"pattern has shape {effect.shape}; expected [cause, move] with {moves} moves")
    for cause, row in enumerate(effect):
        if (row < 0).any() or not abs(row.sum() - 1) <= 1e-9:
            raise ValueError(
                f"pattern[{cause}] = {row.tolist()} is no distribution over moves: it sums to {row.sum():g}"
            )
    return _model(
        freeze(np.ascontiguousarray(table, dtype=np.int32)),
        int(mdp.num_outcomes),
        frozen_numbers("concentration", concentration, (len(effect),), axes="[cause]"),
        freeze(effect),
        frozen_numbers("weight", weight, (maps,), axes="[map]"),
    )


@lru_cache(maxsize=64)
def _model(
    leads_to: Frozen, num_outcomes: int, concentration: Frozen, pattern: Frozen, weight: Frozen
) -> Callable[[Any], None]:
    maps = leads_to[0][0]

    def model(data: Any) -> None:
        prior = dist.Dirichlet(thaw(concentration))
        cause = numpyro.sample("cause", prior, infer={"event_dims": ["kind"]})
        # [map, state, action, outcome, move]
        effect = np.eye(num_outcomes)[thaw(leads_to)].swapaxes(-1, -2)
        place: Any = 0
        if maps > 1:
            likely = thaw(weight)
            place = numpyro.sample("map", dist.Categorical(likely / likely.sum()))
        transition = jnp.asarray(effect)[place] @ (cause @ thaw(pattern))
        numpyro.deterministic("transition", transition)
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    model.__name__ = "tied_moves"
    return model
