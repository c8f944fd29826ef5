"""Episodes as arrays: one observation more than actions, as environments, and the datasets made from them, record them.

The observation after an action is the one before the next. Observations that are whole numbers or text are states;
vectors become columns ``observation_0``, ``observation_1``, ... and the same after ``next_``, of which states are made
by `read_log`'s ``state=``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["frame_of_episodes", "is_recorded"]

PARTS = ("observations", "actions", "rewards")
ENDS = {"terminations": "terminated", "truncations": "truncated"}


def is_recorded(source: Any) -> bool:
    """Return whether a source is a dataset of episodes, as Minari's are, or a list of episodes."""
    if hasattr(source, "iterate_episodes"):
        return True
    first = source[0] if isinstance(source, list | tuple) and source else None
    return first is not None and all(_part(first, name) is not None for name in PARTS)


def frame_of_episodes(source: Any) -> pd.DataFrame:
    """Lay out episodes as rows, one a step.

    Parameters
    ----------
    source : dataset of Minari, or list of episodes
        An episode has, as attributes or by name, ``observations`` [step + 1 (, part)], ``actions`` and ``rewards``
        [step], and perhaps ``terminations`` and ``truncations`` [step]. Without these its last step is truncated.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        For an episode whose arrays do not fit each other, or are neither numbers nor text: with its number.

    Examples
    --------
    >>> walk = {
    ...     "observations": [0, 1, 2],
    ...     "actions": ["go", "go"],
    ...     "rewards": [0.0, 1.0],
    ...     "terminations": [False, True],
    ... }
    >>> frame_of_episodes([walk])[["state", "next_state", "terminated"]].values.tolist()
    [[0, 1, False], [1, 2, True]]
    """
    episodes: Iterable[Any] = source.iterate_episodes() if hasattr(source, "iterate_episodes") else source
    frames = [_rows(number, episode) for number, episode in enumerate(episodes)]
    if not frames:
        raise ValueError("the dataset has no episodes; a log needs at least one step")
    return pd.concat(frames, ignore_index=True)


def _rows(number: int, episode: Any) -> pd.DataFrame:
    arrays = {name: _array(number, name, _part(episode, name)) for name in PARTS}
    steps = len(arrays["actions"])
    for name, due in (("observations", steps + 1), ("rewards", steps)):
        if len(arrays[name]) != due:
            raise ValueError(
                f"episode {number} has {steps} actions and {len(arrays[name])} {name}; expected {due}, "
                + ("one more: the last is what followed the last action" if due > steps else "one each")
            )
    columns: dict[str, Any] = {}
    for name, prefix in (("observations", "observation"), ("actions", "action")):
        array = arrays[name]
        if name == "observations":
            named = _columns(array, prefix)
            columns |= {"state" if key == prefix else key: values[:-1] for key, values in named.items()}
            columns |= {"next_state" if key == prefix else f"next_{key}": values[1:] for key, values in named.items()}
        elif array.ndim > 1 and array[0].size > 1:
            raise ValueError(
                f"episode {number} has actions of shape {array.shape[1:]}; an action is one whole number or text: name "
                "the combinations that matter"
            )
        else:
            columns["action"] = array.reshape(steps)
    columns["reward"] = _one_each(number, "rewards", arrays["rewards"], steps)
    for theirs, ours in ENDS.items():
        given = _part(episode, theirs)
        columns[ours] = np.zeros(steps, bool)
        if given is not None:
            columns[ours] |= _flags(number, theirs, _one_each(number, theirs, _array(number, theirs, given), steps))
    if steps:
        columns["truncated"][-1] |= not columns["terminated"][-1]
    return pd.DataFrame(columns)


def _columns(array: NDArray[Any], prefix: str) -> dict[str, NDArray[Any]]:
    """One column of a vector of one, or of none; else one each part."""
    flat = array.reshape(len(array), -1)
    if flat.shape[1] == 1:
        return {prefix: flat[:, 0]}
    return {f"{prefix}_{part}": flat[:, part] for part in range(flat.shape[1])}


def _one_each(number: int, name: str, array: NDArray[Any], steps: int) -> NDArray[Any]:
    if array.size != steps:
        raise ValueError(f"episode {number} has {steps} actions and {array.size} {name}; expected one each")
    return array.reshape(steps)


def _flags(number: int, name: str, array: NDArray[Any]) -> NDArray[np.bool_]:
    """Return what is true or false, or 1 or 0; to NumPy the word False is as true as any, and so is what is missing."""
    if array.dtype.kind == "U" or not np.isin(array, (0, 1)).all():
        wrong = array[0] if array.dtype.kind == "U" else array[~np.isin(array, (0, 1))][0]
        raise ValueError(f"episode {number} has {name} of {wrong.item()!r}; write true or false, or 1 or 0")
    return array.astype(bool)


def _array(number: int, name: str, values: Any) -> NDArray[Any]:
    if values is None:
        raise ValueError(f"episode {number} has no {name}; each episode needs {', '.join(PARTS)}")
    if isinstance(values, Mapping | tuple):
        kind = type(values).__name__
        raise ValueError(f"episode {number} has {name} in several parts, {kind}; join these to one array [step, part]")
    array = np.asarray(values)
    if array.ndim == 0 or array.dtype.kind not in "biufU":
        raise ValueError(
            f"episode {number} has {name} of type {array.dtype}; expected an array [step] of numbers or text"
        )
    return array


def _part(episode: Any, name: str) -> Any:
    return episode.get(name) if isinstance(episode, Mapping) else getattr(episode, name, None)
