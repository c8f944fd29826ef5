"""What beliefs over finite MDPs keep of experience: sums by row, of fixed size however many steps there were."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.rows import Transitions, all_transitions

if TYPE_CHECKING:
    from bayesmdp.problems.world import Step

__all__ = ["Tally"]


class Tally(NamedTuple):
    """Sums over the steps of each row; hashable.

    The sums are an array [row, 2 or 3]: how often the row was seen, the sum of its rewards, and if `squares` that of
    their squares. Rows are those of :func:`~bayesmdp.model_reading.rows.all_transitions`.

    Attributes
    ----------
    shape : (num_states, num_actions, num_outcomes)
    squares : bool

    Examples
    --------
    >>> import jax
    >>> with jax.enable_x64(True):
    ...     Tally((2, 1, 2), squares=False).nothing().shape
    (4, 2)
    """

    shape: tuple[int, int, int]
    squares: bool

    def nothing(self) -> Float[Array, "row sum"]:
        """The sums before any step."""
        states, actions, outcomes = self.shape
        return jnp.zeros((states * actions * outcomes, 3 if self.squares else 2), jnp.float64)

    def row(self, step: Step) -> Int[Array, ""] | int:
        """The row that a step is of."""
        return (step.state * self.shape[1] + step.action) * self.shape[2] + step.outcome

    def add(self, seen: Float[Array, "row sum"], step: Step) -> Float[Array, "row sum"]:
        """The sums after one more step."""
        reward = jnp.asarray(step.reward, jnp.float64)
        more = jnp.stack([jnp.ones(()), reward, reward**2][: seen.shape[-1]])
        # Not seen.at[row].add, a scatter, which would keep a loop of steps from being compiled into one kernel.
        row = jnp.asarray(self.row(step))
        return lax.dynamic_update_index_in_dim(seen, lax.dynamic_index_in_dim(seen, row, 0, False) + more, row, 0)

    def visits(self, seen: Float[Array, "row sum"]) -> Float[Array, "state action"]:
        """How often each pair was tried [state, action]."""
        return seen[:, 0].reshape(self.shape).sum(-1)

    def rows(self, seen: Float[Array, "row sum"]) -> Transitions:
        """All rows, each with its mean reward."""
        weight, total = seen[:, 0], seen[:, 1]
        return all_transitions(*self.shape)._replace(weight=weight, reward=total / jnp.maximum(weight, 1))
