"""The lumped outcome: what an entry -1 of a successor table is worth.

A table made from a log names, for each pair, the next states that were seen. Any other state might still follow, and
together they are one more outcome, *elsewhere*. What it is worth is not settled by a log:

* *mean*: the average value of the states that the row does not name. Under a prior that is symmetric in the next
  states the posterior shares the probability of elsewhere evenly among them in expectation, so for a plan under the
  mean this is exact; for a risk measure it leaves out that the shares are themselves uncertain.
* *least*: the smallest value among them, a bound for whoever must not be surprised.

Both are monotone in the value and move with constants, so the operator of planning stays a contraction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayesmdp.foundation.arrays import Array

__all__ = ["ELSEWHERE", "Elsewhere", "LeastElsewhere", "MeanElsewhere", "describe_rows"]


class MeanElsewhere(NamedTuple):
    """Elsewhere is worth the average of the states it stands for.

    Attributes
    ----------
    number : array [state, action]
        How many states a row does not name.
    first : bool array [state, action, outcome]
        The first mention of a named state in its row, so that a repeated one is counted once.
    """

    number: Array
    first: Array

    def value(self, future: Array, successor: Array) -> Array:
        """Value of elsewhere [...] for rows `successor` [..., outcome], given the value of each state [state]."""
        named = jnp.sum(jnp.where(self.first, future[successor], 0), axis=-1)
        return (jnp.sum(future) - named) / jnp.maximum(self.number, 1)

    def at(self, *index: Any) -> MeanElsewhere:
        """Return the same for some pairs only."""
        return MeanElsewhere(self.number[index], self.first[index])


class LeastElsewhere(NamedTuple):
    """Elsewhere is worth the least of the states it stands for; the fields are those of `MeanElsewhere`."""

    number: Array
    first: Array

    def value(self, future: Array, successor: Array) -> Array:
        """Return what elsewhere is worth [...]; see `MeanElsewhere.value`."""
        return future[self.state(future, successor)]

    def state(self, future: Array, successor: Array) -> Array:
        """The state of least value [...] that a row does not name."""
        # A row of k outcomes names at most k states, so one of the k + 1 worst is not among them.
        worst = lax.top_k(-future, min(successor.shape[-1] + 1, future.shape[0]))[1]
        # One candidate after the other: all at once is an array [state, action, outcome, candidate].
        named = jnp.stack([(successor == candidate).any(-1) for candidate in worst], axis=-1)
        return worst[jnp.argmin(named, axis=-1)]

    def at(self, *index: Any) -> LeastElsewhere:
        """Return the same for some pairs only."""
        return LeastElsewhere(self.number[index], self.first[index])


type Elsewhere = MeanElsewhere | LeastElsewhere

ELSEWHERE: dict[str, type[MeanElsewhere] | type[LeastElsewhere]] = {"mean": MeanElsewhere, "least": LeastElsewhere}


def describe_rows(successor: NDArray[np.int32], num_states: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """What a table's rows name, each state counted once.

    Parameters
    ----------
    successor : int array [state, action, outcome]
        -1 is elsewhere.

    Returns
    -------
    size : array [state, action, outcome]
        How many next states an outcome stands for: 1, or a share of 1 where the row names the state several times; all
        the unnamed states, shared among the entries -1.
    number : int array [state, action]
        How many states the row does not name.
    first : bool array [state, action, outcome]
        First mentions of named states.

    Examples
    --------
    >>> size, number, first = describe_rows(np.array([[[3, 3, -1]]]), 10)
    >>> size.tolist(), number.tolist(), first.tolist()
    ([[[0.5, 0.5, 9.0]]], [[9]], [[[True, False, False]]])
    """
    shape = successor.shape
    pair = np.arange(shape[0] * shape[1])[:, None]
    entry = (pair * (num_states + 1) + successor.reshape(-1, shape[-1]) + 1).ravel()
    _, place, inverse, times = np.unique(entry, return_index=True, return_inverse=True, return_counts=True)
    first = np.zeros(entry.size, bool)
    first[place] = True
    first = first.reshape(shape) & (successor >= 0)
    number = num_states - first.sum(-1)
    share = 1 / times[inverse].reshape(shape)
    return np.where(successor < 0, number[..., None] * share, share), number, first
