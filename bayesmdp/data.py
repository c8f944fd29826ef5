"""Experience: logs of steps, and the weighted rows that models are conditioned on.

A *log* is an `xarray.Dataset` over the dim ``step`` with variables ``state``, ``action``, ``reward``, ``next_state``
(labels, as a person would write them), ``terminated`` (the next state is terminal: nothing follows) and ``truncated``
(the recording was cut off: something would have followed). Its attrs carry the label sets.

:class:`Transitions` is the same experience compressed: one row per distinct (state, action, next state), weighted by
how often it was seen. Length is fixed by what can be seen rather than by how much was, so nothing recompiles as data
grow and the cost of a posterior does not grow with the number of steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.primitives import Messenger

from bayesmdp.mdp import MDP, Array, label_array
from bayesmdp.widths import keep_widths_apart

__all__ = [
    "MeanRewards",
    "Targets",
    "Transitions",
    "all_transitions",
    "as_labels",
    "compress",
    "label_indices",
    "label_set",
    "left_out_told",
    "make_log",
    "safe_log",
]

PLATE = "data_rows"
"""The plate of `data.rows()`; no site of a model may have this name."""

COLUMNS = ("state", "action", "reward", "next_state")

LARGEST_REWARD = 1e100
"""Beyond, sums of rewards and values overflow."""

keep_widths_apart()


class Transitions(NamedTuple):
    """Weighted rows of experience: what a model's `data` argument is.

    Attributes
    ----------
    state, action, next_state : int array [row]
        Indices. With a successor table `next_state` holds the *outcome*, so that in either form
        ``transition[data.state, data.action, data.next_state]`` is the probability of a row.
    reward : array [row]
        Mean reward of the row's steps.
    weight : array [row]
        How often the row was seen; 0 is no observation.
    """

    state: Array
    action: Array
    next_state: Array
    reward: Array
    weight: Array

    @contextlib.contextmanager
    def rows(self) -> Iterator[None]:
        """Enter the plate ``data_rows`` with each row's log-likelihood counted `weight` times.

        Rows of weight 0 are masked (NumPyro's `scale` refuses zeros), so the same model function gives the prior, the
        posterior and predictions. Categorical probabilities may be exactly 0: see :class:`_SafeLogarithm`.
        """
        with weighted_rows(self.weight), _SafeLogarithm():
            yield

    def __getattr__(self, name: str) -> Any:
        raise no_column(self, name)


class MeanRewards(Transitions):
    """Rows of which at least one stands for steps that were paid differently, so that its reward is none of theirs.

    They tell all there is to know of transitions. To a model that observes rewards a mean would pass for a reward.
    """


class Targets(NamedTuple):
    """Weighted rows of a regression of Q-values: what the `data` argument of a model with a site ``theta`` is.

    Attributes
    ----------
    stage : int array [row]
    features : array [row, feature]
    target : array [row]
        What the pair turned out to be worth.
    weight : array [row]
        How often; 0 is no observation.
    """

    stage: Array
    features: Array
    target: Array
    weight: Array

    @contextlib.contextmanager
    def rows(self) -> Iterator[None]:
        """Enter the plate ``data_rows``, as in `Transitions.rows`."""
        with weighted_rows(self.weight):
            yield

    def __getattr__(self, name: str) -> Any:
        raise no_column(self, name)


def no_column(data: Any, name: str) -> AttributeError:
    """What is said of a column that the rows of a model do not have; of no interest to those who only try."""
    columns = ", ".join(data._fields)
    return AttributeError(
        f"the data have no {name!r}: a model may read {columns} of them, and enter rows(). Other columns of a log are "
        "dropped; what a model needs of them it must hold itself, as an array indexed by state or action"
    )


@contextlib.contextmanager
def weighted_rows(weight: Array) -> Iterator[None]:
    """Enter the plate of rows, with rows of weight 0 masked and the others scaled by it."""
    seen = jnp.asarray(weight) > 0
    if isinstance(weight, jax.core.Tracer):
        times: Any = jnp.where(seen, weight, 1)
    else:
        times = _Times(np.where(np.asarray(weight) > 0, weight, 1))
    with numpyro.plate(PLATE, len(weight)), handlers.mask(mask=seen), handlers.scale(scale=times):
        yield


class _Times:
    """How often each row counts, as what `handlers.scale` takes.

    A site's scale is among what NumPyro and ArviZ compare and hash where they look at a model abstractly
    (`PytreeTrace`), which arrays are not made for.
    """

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def __jax_array__(self) -> Array:
        return jnp.asarray(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, jax.Array):
            return jnp.asarray(self.values) * other
        return _Times(self.values * np.asarray(other))

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Times) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.values.shape, self.values.tobytes()))


class _SafeLogarithm(Messenger):  # type: ignore[misc]
    """Takes logs of a Categorical's probabilities only where they are positive.

    The log of 0 has the gradient 0 / 0, and the NaN would reach every unknown through any product with a zero, even
    from an outcome nobody saw. Here the log is -inf with gradient 0.
    """

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and type(msg["fn"]) is dist.CategoricalProbs:
            msg["fn"] = _SafeCategorical(msg["fn"].probs, validate_args=False)


class _SafeCategorical(dist.CategoricalProbs):  # type: ignore[misc]
    """Takes the log of the one probability that was observed, and not of all of its row."""

    def log_prob(self, value: Array) -> Array:
        place = jnp.expand_dims(value, -1)
        shape = jnp.broadcast_shapes(place.shape[:-1], self.probs.shape[:-1])
        rows = jnp.broadcast_to(self.probs, (*shape, self.probs.shape[-1]))
        probability = jnp.take_along_axis(rows, jnp.broadcast_to(place, (*shape, 1)), axis=-1)[..., 0]
        return safe_log(probability)


def safe_log(probability: Array) -> Array:
    """Logs, -inf with gradient 0 where the probability is 0."""
    possible = probability > 0
    return jnp.where(possible, jnp.log(jnp.where(possible, probability, 1)), -jnp.inf)


def all_transitions(num_states: int, num_actions: int, num_outcomes: int) -> Transitions:
    """Every possible row, none seen: the form in which an agent carries its experience.

    Row ``(state * num_actions + action) * num_outcomes + outcome`` is that transition, so `weight` reshapes to
    counts [state, action, outcome].

    Examples
    --------
    >>> rows = all_transitions(2, 1, 2)
    >>> rows.state.tolist(), rows.next_state.tolist()
    ([0, 0, 1, 1], [0, 1, 0, 1])
    """
    state, action, outcome = np.indices((num_states, num_actions, num_outcomes)).reshape(3, -1).astype(np.int32)
    nothing = np.zeros(state.size)
    return Transitions(state, action, outcome, nothing, nothing)


def make_log(
    mdp: MDP,
    state: NDArray[Any],
    action: NDArray[Any],
    reward: NDArray[Any],
    next_state: NDArray[Any],
    terminated: NDArray[Any] | None = None,
    truncated: NDArray[Any] | None = None,
) -> xr.Dataset:
    """A log from arrays of *indices* [step], written with the MDP's labels."""
    ends = {"terminated": terminated, "truncated": truncated}
    states, actions = label_array(mdp.states), label_array(mdp.actions)
    columns = {"state": states[state], "action": actions[action], "reward": np.asarray(reward, float)}
    columns |= {"next_state": states[next_state]}
    columns |= {
        name: np.zeros(len(state), bool) if end is None else np.asarray(end, bool) for name, end in ends.items()
    }
    return xr.Dataset(
        {name: ("step", values) for name, values in columns.items()},
        coords={"step": np.arange(len(state))},
        attrs={"mdp": mdp.name, "states": list(mdp.states), "actions": list(mdp.actions)},
    )


def compress(log: xr.Dataset, mdp: MDP | None = None, *, distinct_rewards: bool = False) -> Transitions:
    """The distinct transitions of a log, with how often each was seen as weight.

    Parameters
    ----------
    log : Dataset
        Variables ``state``, ``action``, ``reward``, ``next_state`` over ``step``, holding labels.
    mdp : MDP, optional
        Gives the label sets (and the successor table); by default the log's attrs ``states`` and ``actions`` do.
    distinct_rewards : bool
        One row for each reward that a transition brought, instead of their mean: for models that observe rewards.
        :func:`~bayesmdp.infer` asks the model, so give it the log itself.

    Returns
    -------
    Transitions
        Where rewards of one transition that differ became their mean, :class:`MeanRewards`, which are refused by models
        that observe rewards.

    Raises
    ------
    ValueError
        For an empty log, a missing column, a missing label set, a label that is in no set, a reward that is not finite
        or a next state outside the successor table: with the step at which it happened.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> rows = compress(bm.collect(river, policy="uniform", steps=100, seed=0))
    >>> float(rows.weight.sum())
    100.0
    """
    _check_columns(log)
    states = mdp.states if mdp is not None else label_set(log, "states")
    actions = mdp.actions if mdp is not None else label_set(log, "actions")
    state = label_indices(log, "state", states)
    action = label_indices(log, "action", actions)
    next_state = label_indices(log, "next_state", states)
    reward = np.asarray(log["reward"].values, float)
    wrong = ~(np.abs(reward) <= LARGEST_REWARD)
    if wrong.any():
        step = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"log reward at step {step} is {reward[step]}; rewards must be finite, up to {LARGEST_REWARD:g}"
        )
    values, kind = np.unique(reward, return_inverse=True) if distinct_rewards else (np.zeros(1), np.zeros_like(state))
    size = len(states), len(actions), len(states), len(values)
    index, first, row, weight, total = _distinct((state, action, next_state, kind), size, np.ones(len(state)), reward)
    if mdp is not None and mdp.successor is not None:
        # Looked up once a distinct row; then those that are all elsewhere are one row more.
        outcome = _outcomes(mdp, index[0], index[1], index[2], first)
        size = len(states), len(actions), mdp.num_outcomes, len(values)
        index, merged, lump, weight, total = _distinct((*index[:2], outcome, index[3]), size, weight, total)
        first, row = first[merged], lump[row]
    seen = [column.astype(np.int32) for column in index[:3]]
    if distinct_rewards:
        return Transitions(seen[0], seen[1], seen[2], values[index[3]], weight)
    paid_alike = (reward == reward[first][row]).all()
    return (Transitions if paid_alike else MeanRewards)(seen[0], seen[1], seen[2], total / weight, weight)


type _Columns = tuple[NDArray[np.int64], ...]


def _distinct(
    index: _Columns, size: tuple[int, ...], weight: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[_Columns, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The distinct rows in order, where each is first seen, which one each given row is, and sums over its copies."""
    rows, first, row = np.unique(np.ravel_multi_index(index, size), return_index=True, return_inverse=True)
    sums = (np.bincount(row, weights=values) for values in (weight, total))
    return np.unravel_index(rows, size), first, row, *sums  # type: ignore[return-value]


def _check_columns(log: xr.Dataset) -> None:
    if not isinstance(log, xr.Dataset):
        raise TypeError(f"a log is an xarray.Dataset over 'step'; got {type(log).__name__}")
    missing = [name for name in COLUMNS if name not in log]
    if missing:
        raise ValueError(f"the log has no {', '.join(missing)}; its variables are {', '.join(map(str, log))}")
    for name in COLUMNS:
        if log[name].dims != ("step",):
            raise ValueError(f"log {name} has dims {log[name].dims}; expected ('step',)")
    if log.sizes["step"] == 0:
        raise ValueError("the log is empty; a posterior needs at least one step (the prior is the model itself)")


def label_set(log: xr.Dataset, kind: str) -> Sequence[Hashable]:
    """The labels of "states" or "actions" that a log's attrs carry; refused if there are none."""
    if kind not in log.attrs:
        raise ValueError(f"the log's attrs have no {kind!r}; set log.attrs[{kind!r}] to the labels, or pass mdp")
    return as_labels(log.attrs[kind])


def as_labels(given: Any) -> list[Hashable]:
    """Labels as an attr holds them: a list as it was written, an array as files return it, or one label alone."""
    return list(given) if isinstance(given, list | tuple) else list(np.atleast_1d(given).tolist())


def label_indices(log: xr.Dataset, name: str, labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Positions [step] of a column's labels in their set; refused, with the step, if one is not there."""
    positions = {label: i for i, label in enumerate(labels)}
    code, values = pd.factorize(log[name].values, use_na_sentinel=False)  # by hashing: labels may be of any kinds
    index = np.array([_position(positions, labels, value) for value in values.tolist()])[code]
    if (index < 0).any():
        step = int(np.flatnonzero(index < 0)[0])
        kind = "action" if name == "action" else "state"
        raise ValueError(
            f"log {name} at step {step} is {log[name].values[step : step + 1].tolist()[0]!r}, which is no {kind}; "
            f"the {len(labels)} {kind}s are {', '.join(map(repr, labels[:6]))}{', ...' if len(labels) > 6 else ''}"
        )
    return index


def _position(positions: dict[Hashable, int], labels: Sequence[Hashable], value: Any) -> int:
    """Where a label stands, -1 if nowhere; a float that was rounded is not the whole number it is equal to."""
    found = positions.get(value, -1)
    rounded = isinstance(value, float) and abs(value) > 2**53 and isinstance(labels[found], int)
    return -1 if rounded else found


@contextlib.contextmanager
def left_out_told(log: Any) -> Iterator[None]:
    """Add to an error about a column that `read_log` left out why it is not there, and what to do."""
    try:
        yield
    except (AttributeError, ValueError) as error:
        left = as_labels(log.attrs.get("left_out", [])) if isinstance(log, xr.Dataset) else []
        asked = [name for name in left if f"'{name}'" in str(error)]
        if not asked:
            raise
        kind = ValueError if isinstance(error, ValueError) else AttributeError
        raise kind(
            f"{error}. The log's source has a column {asked[0]!r}, which read_log left out: a row of data stands for "
            "all steps from one state by one action to one next state, so nothing else can differ within it; make it a "
            "part of the state"
        ) from error


def _outcomes(
    mdp: MDP,
    state: NDArray[np.int64],
    action: NDArray[np.int64],
    next_state: NDArray[np.int64],
    step: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Position of each next state in the successor table; that of elsewhere where the row does not name it."""
    assert mdp.successor is not None
    table = np.asarray(mdp.successor)[state, action]
    match = table == next_state[:, None]
    named = match.any(-1, keepdims=True)
    match = np.where(named, match, table == -1)
    lost = ~match.any(-1)
    if lost.any():
        # The first of the log, whatever the order of the rows.
        row = np.flatnonzero(lost)[np.argmin(step[lost])]
        seen, reachable = mdp.states[next_state[row]], [mdp.states[i] for i in table[row]]
        raise ValueError(f"log next_state at step {step[row]} is {seen!r}, not among its successors {reachable}")
    rewards = np.broadcast_to(mdp.reward, mdp.successor.shape)[state, action]
    least, most = (np.where(match, rewards, bad).T for bad in (np.inf, -np.inf))
    torn = (match.sum(-1) > 1) & (least.min(0) < most.max(0))
    if torn.any():
        s, a, t = (column[np.flatnonzero(torn)[0]] for column in (state, action, next_state))
        raise ValueError(
            f"{mdp.name} has several outcomes of (state {mdp.states[s]!r}, action {mdp.actions[a]!r}) that lead to "
            f"{mdp.states[t]!r} and earn differently, which a log cannot tell apart: give them one reward, their mean"
        )
    if mdp.transition is not None:
        # Of outcomes that a log cannot tell apart, one that can happen.
        likely = match & (mdp.transition[state, action] > 0)
        match = np.where(likely.any(-1, keepdims=True), likely, match)
    return match.argmax(-1)
