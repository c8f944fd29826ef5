"""Operations of traced programs that move entries and compute nothing, on NumPy arrays.

Each takes arrays and the parameters of the operation of its name in JAX, and does on the host what that does in a
program. :mod:`bayesmdp.model_reading.distinct_entries` lets them move numbers of values in the place of values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmdp.model_reading.lookups import broadcast

__all__ = ["MOVED"]


def _indexed(
    shape: tuple[int, ...], indices: NDArray[Any], sizes: tuple[int, ...], axes: Any
) -> tuple[NDArray[np.intp], NDArray[np.bool_]] | None:
    """Where the windows of an array are that `indices` name: flat places [*batch, *window], and which are within.

    `axes` are, of gather or scatter, those of windows in what is looked up, those left out, those indexed, and those
    shared with the indices, and by which of theirs.
    """
    _, left_out, named, shared, shared_by = axes
    left_out = (*left_out, *shared)
    start = np.zeros((*indices.shape[:-1], len(shape)), np.intp)
    start[..., list(named)] = indices
    for axis, other in zip(shared, shared_by, strict=True):
        start[..., axis] = np.indices(indices.shape[:-1])[other]
    kept = [axis for axis in range(len(shape)) if axis not in left_out]
    window = np.moveaxis(np.indices([sizes[axis] for axis in kept]), 0, -1)
    offset = np.zeros((*window.shape[:-1], len(shape)), np.intp)
    offset[..., kept] = window
    batch = start.ndim - 1
    where = start.reshape(*start.shape[:-1], *(1,) * (offset.ndim - 1), len(shape)) + offset
    ends = np.array(shape) - [sizes[axis] for axis in range(len(shape))]
    within = np.reshape(((start >= 0) & (start <= ends)).all(-1), (*start.shape[:batch], *(1,) * (offset.ndim - 1)))
    flat = np.asarray((np.clip(where, 0, np.array(shape) - 1) * _strides(shape)).sum(-1))
    return flat, np.broadcast_to(within, flat.shape)


def _strides(shape: tuple[int, ...]) -> NDArray[np.intp]:
    return np.cumprod([1, *shape[:0:-1]])[::-1].astype(np.intp) if shape else np.zeros(0, np.intp)


def _gather(
    operand: NDArray[np.intp], indices: NDArray[Any], *, dimension_numbers: Any, slice_sizes: Any, **_: Any
) -> NDArray[np.intp] | None:
    found = _indexed(operand.shape, indices, slice_sizes, dimension_numbers)
    if found is None or not found[1].all():  # what is looked up outside depends on the mode
        return None
    # [*batch, *window]: the axes of windows go where the lookup says.
    return _laid(np.asarray(operand.ravel()[found[0]]), dimension_numbers.offset_dims)


def _scatter(
    operand: NDArray[np.intp],
    indices: NDArray[Any],
    updates: NDArray[np.intp],
    *,
    dimension_numbers: Any,
    update_jaxpr: Any,
    **_: Any,
) -> NDArray[np.intp] | None:
    if update_jaxpr is not None:
        return None
    axes = dimension_numbers.update_window_dims
    left_out = (*dimension_numbers.inserted_window_dims, *dimension_numbers.operand_batching_dims)
    windows = iter(updates.shape[axis] for axis in axes)
    sizes = tuple(1 if axis in left_out else next(windows) for axis in range(operand.ndim))
    found = _indexed(operand.shape, indices, sizes, dimension_numbers)
    if found is None or not found[1].all():
        return None
    others = [axis for axis in range(updates.ndim) if axis not in axes]
    values = updates.transpose(*others, *axes).reshape(found[0].shape)
    flat = operand.flatten()
    if len(np.unique(found[0])) < found[0].size:  # which of two values stays is not said
        return None
    flat[found[0]] = values
    return flat.reshape(operand.shape)


def _laid(made: NDArray[np.intp], windows: tuple[int, ...]) -> NDArray[np.intp]:
    """[*batch, *window] with the axes of windows at these places."""
    batch = made.ndim - len(windows)
    return np.moveaxis(made, range(batch, made.ndim), windows)


def _slice(x: Any, *, start_indices: Any, limit_indices: Any, strides: Any, **_: Any) -> Any:
    steps = strides or (1,) * x.ndim
    return x[tuple(slice(*bounds) for bounds in zip(start_indices, limit_indices, steps, strict=True))]


def _split(x: Any, *, sizes: Any, axis: int, **_: Any) -> list[Any]:
    return list(np.split(x, np.cumsum(sizes)[:-1], axis))


MOVED: dict[str, Callable[..., Any]] = {
    "broadcast_in_dim": lambda x, *, shape, broadcast_dimensions, **_: broadcast(x, shape, broadcast_dimensions),
    "concatenate": lambda *parts, dimension, **_: np.concatenate(parts, dimension),
    "reshape": lambda x, *, new_sizes, **_: np.reshape(x, new_sizes),
    "squeeze": lambda x, *, dimensions, **_: np.squeeze(x, dimensions),
    "expand_dims": lambda x, *, dimensions, **_: np.expand_dims(x, dimensions),
    "transpose": lambda x, *, permutation, **_: np.transpose(x, permutation),
    "rev": lambda x, *, dimensions, **_: np.flip(x, dimensions),
    "slice": _slice,
    "split": _split,
    "tile": lambda x, *, reps, **_: np.tile(x, reps),
    "stack": lambda *parts, axis, **_: np.stack(parts, axis),
    "unstack": lambda x, *, axis, **_: list(np.moveaxis(x, axis, 0)),
    "gather": _gather,
    "scatter": _scatter,
}
"""By name. Those that look up or set by indices return None where what JAX does depends on more than the indices."""
