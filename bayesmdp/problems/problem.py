"""What planners and agents read of a problem: arrays and numbers."""

from __future__ import annotations

from typing import NamedTuple

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.elsewhere import Elsewhere
from bayesmdp.problems.envelope import Envelope
from bayesmdp.problems.reward_noise import Noise

__all__ = ["Problem"]


OBJECTIVES = ("discounted", "average", "episode", "horizon")


class Problem(NamedTuple):
    """What an agent may know of an MDP, as arrays (a pytree).

    Attributes
    ----------
    reward : array [..., state, action, outcome or 1]
        Known reward; the last axis has length 1 when the reward does not depend on where the step leads. A leading
        ``draw`` axis is allowed where the reward is itself uncertain.
    discount : float or None
        None where the objective is the average reward; 1 where it is that of a number of steps without a discount.
    successor : int array [state, action, outcome] or None
        Reachable next states; None means that outcomes are the states themselves.
    continuation : array [state]
        0 at terminal states, 1 elsewhere: what multiplies the value of a next state.
    available : bool array [state, action]
    initial : array [state]
        Distribution of the first state, and of the state after a terminal one.
    elsewhere : Elsewhere or None
        What the entries -1 of `successor` are worth; None where there are none.
    noise : Noise or None
        How rewards scatter about `reward`, their mean; read by the simulator only.
    features : array [state, action, feature] or None
        What agents with linear models know of pairs.
    stage : int array [state] or None
        Of episodes of a fixed length; their number at terminal states. See :mod:`bayesmdp.problems.stages`.
    envelope : Envelope or None
        Of a successor table, where it is narrow: policies of chains, queues and small grids are then evaluated quickly.
    """

    reward: Array
    discount: Array
    successor: Array | None
    continuation: Array
    available: Array
    initial: Array
    elsewhere: Elsewhere | None = None
    noise: Noise | None = None
    features: Array | None = None
    stage: Array | None = None
    envelope: Envelope | None = None

    @property
    def horizon(self) -> Array:
        """Steps of an episode of a fixed length."""
        return self.stage.max()  # type: ignore[union-attr]

    @property
    def num_states(self) -> int:
        return int(self.available.shape[0])

    @property
    def num_actions(self) -> int:
        return int(self.available.shape[1])

    @property
    def num_outcomes(self) -> int:
        return self.num_states if self.successor is None else int(self.successor.shape[-1])
