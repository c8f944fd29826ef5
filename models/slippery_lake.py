"""A frozen lake to slide about on: states are positions, and how moves slip, and how far they go, is unknown.

    direction ~ Dirichlet(direction)          which way a move on ice turns: to the left of what was meant, ahead, right
    mobility  ~ Beta(*mobility)               whether a hole lets go
    reach     ~ Pareto(*reach)                the longest move

    on ice       turn ~ Categorical(direction),    length ~ Uniform(0, reach)
    in a hole    freed ~ Bernoulli(mobility),      length ~ Uniform(0, reach) if freed, straight ahead
    at the goal  cell ~ uniform over those of ice, offset ~ Uniform(0, 1) in it, both ways: known, and teaches nothing

A move that would leave the lake stays, and still tells how long it was meant to be. This is the continuous FrozenLake
of Song, Wang and Zhou (2026), section EC.7.7. The *primitives* (turn, freed, length, cell, offset) are recorded with
each step and the model observes them; where they are not given it draws them, so that it is also the simulator. A
position is (across, down), cells are the unit squares row by row, and actions are left, down, right, up.

Given the primitives the posterior is known: n lengths of which m is the longest make of Pareto(scale, shape) a
Pareto(max(scale, m), shape + n).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import ArrayLike, NDArray
from numpyro import handlers

from .arguments import Frozen, frozen_numbers, thaw

__all__ = ["HEADINGS", "TURNS", "cells_at", "slippery_lake"]

HEADINGS = ((-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0))
"""(across, down) of left, down, right and up."""

TURNS = (1, 0, -1)
"""Headings further on, for a turn to the left of what was meant, none, and one to the right."""


def slippery_lake(
    mdp: Any,
    *,
    direction: ArrayLike = 1.0,
    mobility: ArrayLike = 1.0,
    reach: ArrayLike = (0.5, 2.0),
) -> Callable[[Any], None]:
    """Independent priors of how moves turn, whether holes let go, and how far moves reach.

    Parameters
    ----------
    mdp
        Read for `layout`, rows of the letters S(tart), F(rozen), H(ole), G(oal), as
        :func:`bayesmdp.environments.slippery_lake` has it; or such rows.
    direction : float, or array [way]
        Concentration of left, ahead, right; positive.
    mobility : float, or array [2]
        Concentrations of getting out of a hole and of staying in it; positive.
    reach : array [2]
        Scale (the least reach there can be) and shape of the Pareto prior; positive.

    Returns
    -------
    NumPyro model of :class:`~bayesmdp.model_reading.records.Records`, with the sites ``direction`` [way], ``mobility``
    and ``reach``

    Raises
    ------
    TypeError, ValueError
        If there is no layout, or a number is not positive.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> log = bm.collect(lake, steps=500, seed=0)
    >>> posterior = bm.infer(slippery_lake(lake), log, mdp=lake, draws=2_000)
    >>> posterior.attrs["engine"], round(float(posterior.posterior["reach"].mean()), 2)
    ('exact', 1.0)
    """
    layout = getattr(mdp, "layout", mdp)
    if not isinstance(layout, Sequence) or isinstance(layout, str) or not all(isinstance(row, str) for row in layout):
        raise TypeError(f"mdp must have a layout, rows of letters; got {type(mdp).__name__}")
    return _model(
        tuple(layout),
        frozen_numbers("direction", direction, (len(TURNS),), axes="[way]"),
        frozen_numbers("mobility", mobility, (2,), axes="[free or not]"),
        frozen_numbers("reach", reach, (2,), axes="[scale, shape]"),
    )


def cells_at(state: Any, shape: tuple[int, int]) -> Any:
    """Return the cells of positions on a lake.

    Parameters
    ----------
    state : array [..., coordinate]
        Across, then down.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    int array [...]
    """
    rows, columns = shape
    across = jnp.clip(jnp.floor(state[..., 0]), 0, columns - 1)
    down = jnp.clip(jnp.floor(state[..., 1]), 0, rows - 1)
    return (down * columns + across).astype(jnp.int32)


@lru_cache(maxsize=64)
def _model(layout: tuple[str, ...], direction: Frozen, mobility: Frozen, reach: Frozen) -> Callable[[Any], None]:
    shape = len(layout), len(layout[0])
    letters = np.array([list(row) for row in layout]).ravel()

    def model(data: Any) -> None:
        likely = numpyro.sample("direction", dist.Dirichlet(thaw(direction)), infer={"event_dims": ["way"]})
        free = numpyro.sample("mobility", dist.Beta(*thaw(mobility)))
        longest = numpyro.sample("reach", dist.Pareto(*thaw(reach)))
        place = cells_at(jnp.asarray(data.state), shape)
        hole, goal = jnp.asarray(letters == "H")[place], jnp.asarray(letters == "G")[place]
        ice = ~(hole | goal)
        with data.rows():
            with handlers.mask(mask=ice):
                turn = numpyro.sample("turn", dist.Categorical(likely), obs=data.seen.get("turn"))
            with handlers.mask(mask=hole):
                freed = numpyro.sample("freed", dist.Bernoulli(free), obs=data.seen.get("freed"))
            moves = ice | (hole & (freed == 1))
            with handlers.mask(mask=moves):
                length = numpyro.sample("length", dist.Uniform(0, longest), obs=data.seen.get("length"))
            with handlers.mask(mask=goal):
                cell = numpyro.sample("cell", _uniform(letters), obs=data.seen.get("cell"))
                inside = dist.Uniform(np.zeros(2), np.ones(2)).to_event(1)
                offset = numpyro.sample("offset", inside, obs=data.seen.get("offset"))
        heading = jnp.where(ice, (data.action + jnp.asarray(TURNS)[turn]) % len(HEADINGS), data.action)
        ahead = data.state + length[..., None] * jnp.asarray(HEADINGS)[heading]
        inside_lake = ((ahead >= 0) & (ahead <= np.array(shape[::-1]))).all(-1)
        moved = jnp.where((moves & inside_lake)[..., None], ahead, data.state)
        back = jnp.stack([cell % shape[1], cell // shape[1]], -1) + offset
        numpyro.deterministic("next_state", jnp.where(goal[..., None], back, moved))

    model.__name__ = "slippery_lake"
    return model


def _uniform(letters: NDArray[Any]) -> dist.Categorical:
    """Over the cells of ice."""
    ice = np.isin(letters, ("S", "F"))
    return dist.Categorical(ice / ice.sum())
