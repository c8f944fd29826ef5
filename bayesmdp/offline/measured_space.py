"""The problem that a log of measurements describes: the box that it lies in, where it starts, and what Q is linear in.

The box is the range of all states of the log, a twentieth of its width wider on each side. What lies outside of it the
log never saw: simulated steps that would leave it end on its border, and nothing is recommended there. What steps pay
is kept in the range of the log's rewards, half its width wider on each side.

Q is linear in bumps on a grid for up to three coordinates, and in random Fourier features for more. These choices, and
the numbers, are ours.

Nothing that is the log's own is part of a compiled program. The priors that ship are in units of the box
(:class:`~bayesmdp.problems.model_units.ModelUnits`), so that they are the same models for every log; and there are
always as many starts and anchors. A second log of as many coordinates and actions is planned with the programs of the
first.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import xarray as xr
from jax import random
from numpy.typing import ArrayLike, NDArray

from bayesmdp.environments.state_features import Bumps
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import finite_array
from bayesmdp.logs.log import label_set
from bayesmdp.model_reading.read_model import Model
from bayesmdp.models.fourier_dynamics import FourierFeatures
from bayesmdp.problems.model_units import ArrayFunction, ModelUnits
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["AmongRows", "MeasuredSpace", "begins_of_rows", "is_measured", "space_of_log"]

WIDER, PAID_WIDER = 0.05, 0.5
"""By how much, as shares of their widths, the box and the range of rewards are wider than the log on each side."""

BUMPS = {1: 21, 2: 9, 3: 6}
"""Points of the grid along each coordinate, by how many coordinates there are."""

WAVES, LENGTH = 200, 1.0
"""Of Fourier features where there are more: how many, and over how many half widths of the box they change."""

ANCHORS, STARTS = 24, 64
"""States of the log at which values are watched while Q is fitted, and first states that are kept, at most; the latter
a power of two."""


class AmongRows(dist.Distribution):  # type: ignore[misc] # untyped
    """One of some states, each as probable as any other.

    Parameters
    ----------
    rows : array [row, coordinate]
    number : int, optional
        Of the first rows, the others only fill up; by default all.

    Examples
    --------
    >>> drawn = AmongRows(np.array([[1.0], [2.0]])).sample(jax.random.key(0), (100,))
    >>> sorted(set(np.asarray(drawn)[:, 0].tolist()))
    [1.0, 2.0]
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = dist.constraints.real_vector
    pytree_data_fields = ("rows", "number")

    def __init__(self, rows: ArrayLike, number: int | None = None, *, validate_args: bool | None = None) -> None:
        self.rows, self.number = rows, np.int32(np.shape(rows)[0] if number is None else number)
        super().__init__((), np.shape(rows)[-1:], validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw states [..., coordinate]."""
        return jnp.asarray(self.rows)[random.randint(key, sample_shape, 0, self.number)]

    @property
    def all(self) -> NDArray[np.float64]:
        """The states [row, coordinate], without those that only fill up."""
        return np.asarray(self.rows)[: int(self.number)]

    @classmethod
    def filled(cls, rows: NDArray[np.float64], least: int = 1) -> AmongRows:
        """One of some states, filled up to a power of two of them, so that programs serve other numbers of states.

        Parameters
        ----------
        rows : array [row, coordinate]
        least : int
            States to fill up to, at the least.
        """
        size = max(least, 1 << (len(rows) - 1).bit_length())
        return cls(rows[np.minimum(np.arange(size), len(rows) - 1)], len(rows))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class InBox(ArrayFunction):
    """Features of states in units of a box.

    Attributes
    ----------
    low, high : array [coordinate]
    features : callable
        Of places in [-1, 1].
    """

    low: Array
    high: Array
    features: Callable[[Any], Any] = field(metadata={"static": True})

    def __call__(self, state: Array) -> Array:
        """Return features [..., feature] of states [..., coordinate]."""
        return jnp.asarray(self.features(2 * (state - self.low) / (self.high - self.low) - 1))


class MeasuredSpace(NamedTuple):
    """What is known of the problem before its dynamics are.

    Attributes
    ----------
    coordinates : tuple of str
    actions : tuple of labels
    low, high : tuple of float
        The box [coordinate].
    rewards : (float, float)
        The range of the log's rewards.
    starts : tuple of tuples of float
        First states [start, coordinate].
    anchors : tuple of tuples of float
        States of the log [anchor, coordinate], from all over it.
    discount : float or None
    horizon : int or None
        Steps that count; None where all do, with a discount.
    """

    coordinates: tuple[str, ...]
    actions: tuple[Any, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    rewards: tuple[float, float]
    starts: tuple[tuple[float, ...], ...]
    anchors: tuple[tuple[float, ...], ...]
    discount: float | None
    horizon: int | None = None

    @property
    def sizes(self) -> Any:
        """What priors on spaces of numbers read of a problem: its box, its rewards and its actions."""
        known = {"low": np.array(self.low), "high": np.array(self.high), "reward_range": np.array(self.rewards)}
        return SimpleNamespace(problem=SimpleNamespace(**known), num_actions=len(self.actions), actions=self.actions)

    @property
    def units(self) -> ModelUnits:
        """The units in which the box and the range of rewards are from -1 to 1."""
        return ModelUnits.of_box(np.array(self.low), np.array(self.high), self.rewards)

    @property
    def sizes_in_units(self) -> Any:
        """The `sizes` in these units, which are the same for all logs of as many coordinates and actions."""
        box = np.ones(len(self.low))
        known = {"low": -box, "high": box, "reward_range": np.array([-1.0, 1.0])}
        return SimpleNamespace(problem=SimpleNamespace(**known), num_actions=len(self.actions), actions=self.actions)

    @property
    def features(self) -> Callable[[Array], Array]:
        """What Q is linear in."""
        size = len(self.low)
        own: Callable[[Any], Any] = FourierFeatures(size, WAVES, LENGTH, 0, bits=32)
        if size in BUMPS:
            own = Bumps(((-1.0, 1.0, BUMPS[size]),) * size)
        return InBox(np.array(self.low), np.array(self.high), own)

    def problem(
        self,
        model: Model,
        reward: Callable[..., Array] | None = None,
        terminal: Callable[[Array], Array] | None = None,
        available: Callable[[Array], Array] | None = None,
        *,
        units: ModelUnits | None = None,
    ) -> SimulatedMDP:
        """Return the problem with a model of its steps.

        Parameters
        ----------
        model : NumPyro function of `Records`
        reward : callable, optional
            Where rewards are known; else the model samples them.
        terminal : callable, optional
        available : callable, optional
            What plans may do.
        units : ModelUnits, optional
            Of the model, where they are not those of the log.
        """
        least, most = self.rewards
        more = PAID_WIDER * (most - least) or 1.0
        return SimulatedMDP(
            model=model,
            truth=None,
            reward=reward,
            reward_range=(least - more, most + more),
            features=self.features,
            start=AmongRows.filled(np.array(self.starts), STARTS),
            low=self.low,
            high=self.high,
            actions=self.actions,
            discount=self.discount,
            horizon=self.horizon,
            anchors=np.array(self.anchors),
            terminal=terminal,
            name="log",
            confined=True,
            available=available,
            units=units,
        )

    def to_json(self) -> str:
        """The space as text, which `from_json` reads."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> MeasuredSpace:
        """The space again.

        Parameters
        ----------
        text : str
        """
        told = json.loads(text)
        for name in ("coordinates", "actions", "low", "high", "rewards"):
            told[name] = tuple(told[name])
        for name in ("starts", "anchors"):
            told[name] = tuple(map(tuple, told[name]))
        return cls(**told)


def is_measured(log: Any) -> bool:
    """Whether the states of a log are numbers, in coordinates.

    Parameters
    ----------
    log : Dataset over ``step``
    """
    return isinstance(log, xr.Dataset) and "state" in log and log["state"].dims == ("step", "coordinate")


def begins_of_rows(log: xr.Dataset) -> NDArray[np.bool_]:
    """Find the rows [step] in which episodes begin: the first, those after an end, and where rows do not go on.

    Parameters
    ----------
    log : Dataset over ``step``
        Whose states are numbers.

    Returns
    -------
    bool array [step]
    """
    ended = np.zeros(log.sizes["step"], bool)
    for name in ("terminated", "truncated"):
        if name in log:
            ended |= log[name].values.astype(bool)
    broken = (log["state"].values[1:] != log["next_state"].values[:-1]).any(-1)
    return np.concatenate([[True], ended[:-1] | broken])


def space_of_log(
    log: xr.Dataset, discount: float | None, initial: ArrayLike | None = None, *, horizon: int | None = None
) -> MeasuredSpace:
    """Read off a log where its states lie, where it starts, and what it pays.

    Parameters
    ----------
    log : Dataset over ``step``
        With ``state`` and ``next_state`` [step, coordinate].
    discount : float, optional
    initial : array [coordinate], optional
        Where episodes start; by default where those of the log do.
    horizon : int, optional
        Steps that count, in the place of a discount.

    Returns
    -------
    MeasuredSpace

    Raises
    ------
    ValueError
        If a coordinate never changes, `initial` lies outside of the box, or nobody knows where episodes start.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.thermostat(), steps=50, seed=0)
    >>> space = space_of_log(log, 0.95)
    >>> len(space.starts), space.actions, MeasuredSpace.from_json(space.to_json()) == space
    (1, ('off', 'low', 'high'), True)
    """
    state, after = log["state"].values.astype(float), log["next_state"].values.astype(float)
    size = state.shape[1]
    names = log["coordinate"].values.tolist() if "coordinate" in log.coords else [f"x{i}" for i in range(size)]
    every = np.concatenate([state, after])
    least, most = every.min(0), every.max(0)
    if (least == most).any():
        i = int(np.argmax(least == most))
        raise ValueError(f"the coordinate {names[i]!r} is {least[i]:g} in every row; leave it out")
    low, high = least - WIDER * (most - least), most + WIDER * (most - least)
    if initial is None and not log.attrs.get("starts_known", 1):
        raise ValueError(
            "the log has gaps and was read with gaps='allow', so it does not show where episodes start; pass initial=, "
            "the coordinates of a state, or read it with gaps='cut' if the recording was cut off there"
        )
    begins = np.flatnonzero(begins_of_rows(log))
    first = state[begins[np.linspace(0, len(begins) - 1, min(len(begins), STARTS)).round().astype(int)]]
    if initial is not None:
        first = finite_array("initial", initial, (size,))[None]
        if ((first < low) | (first > high)).any():
            i = int(np.argmax(((first < low) | (first > high))[0]))
            raise ValueError(
                f"initial {names[i]} = {first[0, i]:g} is outside the range of the log, {least[i]:g} to {most[i]:g}"
            )
    spread = state[np.linspace(0, len(state) - 1, ANCHORS).round().astype(int)]
    rewards = log["reward"].values.astype(float)
    return MeasuredSpace(
        tuple(map(str, names)),
        tuple(label_set(log, "actions")),
        tuple(low.tolist()),
        tuple(high.tolist()),
        (float(rewards.min()), float(rewards.max())),
        tuple(map(tuple, first.tolist())),
        tuple(map(tuple, spread.tolist())),
        discount,
        horizon,
    )
