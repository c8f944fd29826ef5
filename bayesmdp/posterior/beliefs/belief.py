"""Beliefs for use inside agents: what is known, in a fixed-size form, and draws from it.

A :class:`Belief` is a few functions of plain arrays, the same for every engine, so an agent does not know which engine
it runs on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.rows import Transitions

if TYPE_CHECKING:
    from bayesmdp.problems.world import Step

__all__ = ["Belief"]


def _nothing(state: Any) -> dict[str, Array]:
    del state
    return {}


class Belief(NamedTuple):
    """What an agent knows of the unknowns, as functions to call inside compiled code with 64 bits on.

    Attributes
    ----------
    init : (key) -> state
        Before any data.
    observe : (key, state, step) -> state
    draw : (key, state) -> (state, {site: array [draw, ...]})
        Posterior draws of every latent and deterministic site.
    visits : (state) -> array [state, action]
        How often each pair was tried.
    rows : (state) -> Transitions
        The data so far, each row with the mean of the rewards it brought, 0 where it was not seen.
    sample : (key, state, num_draws) -> {site: array [draw, ...]}
        Independent posterior draws, to be looked at rather than planned with; `num_draws` is static.
    dims : tuple of (site, names of its axes after the draw)
    identity : str
        Equal for equal models; what a run's results are kept under.
    concentration : (state) -> {site: array [..., category]} or None
        Those of the Dirichlet and Beta sites, where the engine has them.
    parameters : (state) -> {site: array} or None
        The posterior's parameters by site, where the engine has them.
    moments : (key, state) -> (state, {site: (mean, variance)}) or None
        Of ``transition`` [state, action, outcome] and, if it is modelled, ``reward`` [state, action].
    possible : (Transitions) -> bool array [row], or None
        Which rows bring rewards that can be learnt from, in a model that observes rewards.
    with_prior : ({site: array}) -> Belief, or None
        The same belief from other prior parameters, as `parameters` gives them, which may be traced.
    report : (state) -> {name: scalar}
        What the engine says of itself, to be recorded at each step.
    room : int or None
        The most steps it can take, where it keeps them.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> belief = bm.agents.psrl(bm.models.dirichlet_transitions(river)).make_belief(river)
    >>> isinstance(belief, Belief), dict(belief.dims)
    (True, {'transition': ('state', 'action', 'next_state')})
    """

    init: Callable[[Array], Any]
    observe: Callable[[Array, Any, Step], Any]
    draw: Callable[[Array, Any], tuple[Any, dict[str, Array]]]
    visits: Callable[[Any], Array]
    rows: Callable[[Any], Transitions]
    sample: Callable[[Array, Any, int], dict[str, Array]]
    dims: tuple[tuple[str, tuple[str, ...]], ...]
    identity: str
    concentration: Callable[[Any], dict[str, Array]] | None = None
    parameters: Callable[[Any], dict[str, Array]] | None = None
    moments: Callable[[Array, Any], tuple[Any, dict[str, tuple[Array, Array]]]] | None = None
    possible: Callable[[Transitions], NDArray[np.bool_]] | None = None
    with_prior: Callable[[dict[str, Array]], Belief] | None = None
    report: Callable[[Any], dict[str, Array]] = _nothing
    room: int | None = None
