"""What the models are given: checked once, and kept in a form that is hashable and has all its digits."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Frozen",
    "Sizes",
    "freeze",
    "frozen_actions",
    "frozen_normals",
    "frozen_numbers",
    "frozen_root",
    "pair_sizes",
    "thaw",
]

type Frozen = tuple[tuple[int, ...], str, bytes]
"""An array as its shape, its dtype and its bytes."""


class Sizes(Protocol):
    """What is asked of an MDP: its sizes, and how many next states an outcome stands for."""

    @property
    def num_states(self) -> int: ...
    @property
    def num_actions(self) -> int: ...
    @property
    def num_outcomes(self) -> int: ...
    @property
    def outcome_size(self) -> NDArray[np.float64]: ...


def pair_sizes(mdp: Sizes) -> tuple[int, int]:
    """Numbers of states and actions of an MDP, or of whatever has them."""
    try:
        return mdp.num_states, mdp.num_actions
    except AttributeError:
        raise TypeError(f"mdp must have num_states and num_actions, as an MDP has; got {type(mdp).__name__}") from None


def freeze(array: NDArray[Any]) -> Frozen:
    """The array as a key, so that equal priors are one function, and what was compiled for one serves the next."""
    return array.shape, array.dtype.str, array.tobytes()


def thaw(frozen: Frozen) -> NDArray[Any]:
    """The array again; to be called as a model runs.

    JAX would go on reading an array from outside at the precision it first compiled it with.
    """
    shape, dtype, numbers = frozen
    return np.frombuffer(numbers, dtype).reshape(shape)


def frozen_root(
    name: str, covariance: ArrayLike, shape: tuple[int, int], widening: NDArray[np.float64] | float = 0.0
) -> Frozen:
    """Return the lower triangular root [stage, feature, feature] of a covariance, widened by so much of each stage.

    A number is the variance of each of the `shape` = (stages, features); a matrix is that of all stages.

    Raises
    ------
    TypeError, ValueError
        If it is of another shape, not finite, not symmetric or not positive definite: with its stage.

    Parameters
    ----------
    name : str
        For messages.
    covariance : float, or array [feature, feature] or [stage, feature, feature]
    shape : (int, int)
        Stages and features.
    widening : float or array [stage]
        Added to the variances.

    Returns
    -------
    Frozen
    """
    stages, size = shape
    full = np.asarray(covariance)
    if full.ndim == 1:
        raise ValueError(f"{name} has shape {full.shape}; give a number, [feature, feature] or one a stage")
    full = full * np.eye(size) if full.ndim == 0 else full
    axes = "[stage, feature, feature]"
    full = thaw(frozen_numbers(name, full, (stages, size, size), positive=False, axes=axes))
    for stage, matrix in enumerate(full):
        off = np.abs(matrix - matrix.T).max(initial=0)
        if off > 1e-9 * np.abs(matrix).max(initial=0):
            raise ValueError(f"{name}[{stage}] is not symmetric: entries differ from their mirror by up to {off:g}")
    full = (full + full.swapaxes(1, 2)) / 2 + np.broadcast_to(widening, (stages,))[:, None, None] * np.eye(size)
    try:
        return freeze(np.linalg.cholesky(full))
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(full)[:, 0]
        stage = int(np.argmin(least))
        raise ValueError(
            f"{name}[{stage}] is not positive definite: its smallest eigenvalue is {least[stage]:.3g}; widen it"
        ) from None


AXES = {1: "[group]", 2: "[state, action]", 3: "[state, action, outcome]"}


def frozen_numbers(
    name: str, given: ArrayLike, shape: tuple[int, ...], *, positive: bool = True, axes: str = ""
) -> Frozen:
    """Return numbers as float64 of a shape, frozen.

    Raises
    ------
    TypeError, ValueError
        If they are no numbers, not finite, not positive where they must be, or do not broadcast to `shape`.

    Parameters
    ----------
    name : str
        For messages.
    given : array_like
        Broadcastable to `shape`.
    shape : tuple of int
    positive : bool
        Whether they must be above 0.
    axes : str, optional
        Names of the axes, for messages; by default those of pairs.

    Returns
    -------
    Frozen
    """
    array = np.asarray(given)
    if array.dtype == bool or array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold numbers; got dtype {array.dtype}")
    array = array.astype(np.float64)
    wrong = ~(np.isfinite(array) & (array > 0)) if positive else ~np.isfinite(array)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = f"{name}[{', '.join(map(str, index))}]" if index else name
        raise ValueError(f"{place} = {array[index]:g}; it must be {'positive and ' if positive else ''}finite")
    try:
        return freeze(np.broadcast_to(array, shape))
    except ValueError:
        expected = f"{axes or AXES[len(shape)]} = {shape}"
        raise ValueError(f"{name} has shape {array.shape}, which does not broadcast to {expected}") from None


def frozen_normals(**given: ArrayLike) -> tuple[Frozen, ...]:
    """Return means and standard deviations, one pair for each name, frozen.

    Raises
    ------
    TypeError, ValueError
        If one is no pair of finite numbers, or a standard deviation is not positive: with its name.

    Parameters
    ----------
    **given : array [2]
        Mean and standard deviation.

    Returns
    -------
    tuple of Frozen
    """
    pairs = tuple(frozen_numbers(name, pair, (2,), positive=False, axes="[mean or sd]") for name, pair in given.items())
    for name, pair in zip(given, pairs, strict=True):
        frozen_numbers(f"the standard deviation of {name}", thaw(pair)[1], ())
    return pairs


def frozen_actions(mdp: Any, *, positive: bool) -> Frozen:
    """Return the actions of a problem, which are numbers, frozen.

    Raises
    ------
    TypeError, ValueError
        If it has none, or one is no finite number, or below 0, or 0 where they must be positive.

    Parameters
    ----------
    mdp
        With `actions`.
    positive : bool

    Returns
    -------
    Frozen
    """
    actions = np.asarray(getattr(mdp, "actions", ()))
    if not actions.size:
        raise TypeError(f"mdp must have actions, as a SimulatedMDP has; got {type(mdp).__name__}")
    frozen = frozen_numbers("actions", actions, actions.shape, positive=positive, axes="[action]")
    if (thaw(frozen) < 0).any():
        raise ValueError(f"actions are {actions.tolist()}; they must be at least 0")
    return frozen
