"""States of a Bayes-adaptive MDP: where one is, and how often each uncertain outcome was seen.

With Dirichlet rows the belief is the counts n[s, a, o], so learning is itself an MDP, whose states are pairs (s, n) and
whose rows are the predictive probabilities (Duff, 2002; Guez, Silver and Dayan, 2012, section 2)::

    P((s', n + e_sao) | (s, n), a) = (concentration[s, a, o] + n[s, a, o]) / sum over o' of the same

Those that can be reached in t steps are a *level*. A hyperstate is kept as a few 64-bit words: the digits of a number
to mixed radix, one digit for each count that can grow and one for the state, so that a step adds a constant, and equal
hyperstates, reached in another order, are found by sorting words. Rows of one possible outcome are certain and have no
count, and outcomes of a row with the same next state and reward are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

__all__ = ["CountedRows", "Level", "Levels", "counted_rows"]

LARGEST_WORD = 2**62
BLOCK = 50_000
"""Hyperstates whose outcomes are worked on at once."""


class CountedRows(NamedTuple):
    """What a learner knows of each pair.

    Attributes
    ----------
    next_state : int array [state, action, outcome]
    reward : array [state, action, outcome]
    concentration : array [state, action, outcome]
        0 where an outcome is impossible, or is counted with an earlier one of its row.
    available : bool array [state, action]
    terminal : bool array [state]
    column : int array [state, action, outcome]
        Which count an outcome adds to; -1 where its row is certain.
    """

    next_state: Int[NDArray[np.int64], "state action outcome"]
    reward: Float[NDArray[np.float64], "state action outcome"]
    concentration: Float[NDArray[np.float64], "state action outcome"]
    available: Bool[NDArray[np.bool_], "state action"]
    terminal: Bool[NDArray[np.bool_], " state"]
    column: Int[NDArray[np.int64], "state action outcome"]

    @property
    def possible(self) -> NDArray[np.bool_]:
        """Which outcomes [state, action, outcome] a learner may see."""
        return (self.concentration > 0) & self.available[..., None] & ~self.terminal[:, None, None]


def counted_rows(
    next_state: NDArray[np.int64],
    reward: NDArray[np.float64],
    concentration: NDArray[np.float64],
    available: NDArray[np.bool_],
    terminal: NDArray[np.bool_],
) -> CountedRows:
    """Say which outcomes of each pair are counted, and in which column.

    Parameters
    ----------
    next_state, reward, concentration : arrays [state, action, outcome]
    available : bool array [state, action]
    terminal : bool array [state]

    Returns
    -------
    CountedRows
    """
    joined = concentration.copy()
    for later in range(1, joined.shape[-1]):
        for earlier in range(later):
            same = (next_state[..., later] == next_state[..., earlier]) & (reward[..., later] == reward[..., earlier])
            joined[..., earlier] += np.where(same, joined[..., later], 0)
            joined[..., later] = np.where(same, 0, joined[..., later])
    rows = CountedRows(next_state, reward, joined, available, terminal, np.full(joined.shape, -1))
    counted = rows.possible & (rows.possible.sum(-1, keepdims=True) > 1)
    rows.column[counted] = np.arange(counted.sum())
    return rows


class Level(NamedTuple):
    """Hyperstates after a number of steps.

    Attributes
    ----------
    words : int64 array [hyperstate, word]
    following : int32 array [hyperstate, action, outcome]
        Their places in the next level; -1 where an outcome is impossible or ends in a terminal state.
    """

    words: Int[NDArray[np.int64], "hyperstate word"]
    following: Int[NDArray[np.int32], "hyperstate action outcome"]


class Levels:
    """All hyperstates that can be reached from some states in a number of steps, level by level.

    Parameters
    ----------
    rows : CountedRows
    starts : int array [start]
    horizon : int
        Steps.
    most : int
        Hyperstates beyond which it is refused.

    Raises
    ------
    ValueError
        If there are more.
    """

    def __init__(self, rows: CountedRows, starts: NDArray[np.int64], horizon: int, most: int) -> None:
        self.rows = rows
        num_states = len(rows.terminal)
        # Digits: one a column, at most `horizon` each, and one for the state.
        self._unit, self._word = [], []
        words, room = 0, 1
        for radix in [*[horizon + 1] * (int(rows.column.max(initial=-1)) + 1), num_states]:
            if room * radix > LARGEST_WORD:
                words, room = words + 1, 1
            self._unit.append(room)
            self._word.append(words)
            room *= radix
        self._radix = horizon + 1
        # What a step adds to the words [state, action, outcome, word].
        self._adds = np.zeros((*rows.column.shape, words + 1), np.int64)
        for place in np.argwhere(rows.column >= 0):
            column = rows.column[tuple(place)]
            self._adds[(*place, self._word[column])] += self._unit[column]
        moves = rows.next_state - np.arange(num_states)[:, None, None]
        self._adds[..., self._word[-1]] += moves * self._unit[-1]
        goes_on = rows.possible & ~rows.terminal[rows.next_state]

        first = np.zeros((len(starts), words + 1), np.int64)
        first[:, self._word[-1]] = starts * self._unit[-1]
        self.levels: list[Level] = []
        total = len(first)
        for step in range(horizon):
            going, state = goes_on[self.state(first)], self.state(first)
            children = [
                (first[begin : begin + BLOCK, None, None] + self._adds[state[begin : begin + BLOCK]])[
                    going[begin : begin + BLOCK]
                ]
                for begin in range(0, len(first), BLOCK)
            ]
            distinct, place = _distinct(np.concatenate(children) if children else first[:0])
            total += len(distinct)
            # Where nothing ends, levels grow: this one's size, over the number of states to be on the safe side, stands
            # for each that is to come, so that nobody waits for what will be refused. An estimate, and no bound.
            ahead = 0 if rows.terminal.any() else (horizon - step - 1) * len(distinct) // num_states
            if total + ahead > most:
                told = f", and at this rate {total + ahead:,} or more in all of them" if total <= most else ""
                raise ValueError(
                    f"{total:,} hyperstates can be reached in {step + 1} of {horizon} steps{told}, more than "
                    f"max_hyperstates={most:,}; ask for fewer steps (horizon=), a larger tolerance, or more hyperstates"
                )
            following = np.full(going.shape, -1, np.int32)
            following[going] = place
            self.levels.append(Level(first, following))
            first = distinct
        self.last = first
        self.size = total

    def state(self, words: NDArray[np.int64]) -> NDArray[np.int64]:
        """State [hyperstate] of hyperstates."""
        return words[:, self._word[-1]] // self._unit[-1]

    def posterior(self, words: NDArray[np.int64]) -> NDArray[np.float64]:
        """Concentrations [hyperstate, state, action, outcome] of the posterior."""
        counts = np.broadcast_to(self.rows.concentration, (len(words), *self.rows.concentration.shape)).copy()
        for place in np.argwhere(self.rows.column >= 0):
            counts[(slice(None), *place)] += self._count(words, self.rows.column[tuple(place)])
        return counts

    def predictive(self, words: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probabilities [hyperstate, action, outcome] of the outcomes of each action; 0 where there are none."""
        state = self.state(words)
        alpha, column = self.rows.concentration[state], self.rows.column[state]
        for place in np.unique(column[column >= 0]):
            where = column == place
            seen = self._count(words, place)
            alpha[where] += seen[np.nonzero(where)[0]]
        total = alpha.sum(-1, keepdims=True)
        return alpha / np.where(total > 0, total, 1)

    def _count(self, words: NDArray[np.int64], column: int) -> NDArray[np.int64]:
        return words[:, self._word[column]] // self._unit[column] % self._radix

    def backwards(self) -> Iterator[tuple[int, Level]]:
        """Levels from the last step to the first, each with its number of steps taken."""
        return ((step, self.levels[step]) for step in reversed(range(len(self.levels))))

    def worth(
        self, level: Level, value: NDArray[np.float64], discount: float
    ) -> Float[NDArray[np.float64], "hyperstate action"]:
        """Worth of each action, ``sum p (r + discount V)``, -inf where it is not available; 0 at terminal states.

        Parameters
        ----------
        level : Level
        value : array [hyperstate]
            Of the next level.
        discount : float

        Returns
        -------
        array [hyperstate, action]
        """
        state = self.state(level.words)
        padded = np.append(value, 0.0)  # place -1: an episode's end
        worth = np.empty(level.following.shape[:2])
        for begin in range(0, len(state), BLOCK):
            of = slice(begin, begin + BLOCK)
            target = self.rows.reward[state[of]] + discount * padded[level.following[of]]
            worth[of] = (self.predictive(level.words[of]) * target).sum(-1)
        return np.where(self.rows.available[state], worth, -np.inf)


def _distinct(words: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct rows, and the place of each row among them."""
    if words.shape[1] == 1:
        distinct, place = np.unique(words[:, 0], return_inverse=True)
        return distinct[:, None], place
    distinct, place = np.unique(words, axis=0, return_inverse=True)
    return distinct, place.reshape(-1)
