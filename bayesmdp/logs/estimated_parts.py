"""States by an estimator of scikit-learn: clusters of k-means, leaves of a decision tree, or what another predicts.

What k-means and trees have learned is a handful of numbers: the centres of the clusters (after a `StandardScaler`, its
means and scales), or the questions of the tree. These are taken out, tried against the estimator on every row at hand,
and kept; the estimator is not. So such a recoding is frozen, is written to a plan's file as any other, and new rows
need no scikit-learn. That is the safe choice: the usual ways to keep an estimator, pickle and joblib, run whatever a
file says when they are opened, and a plan is handed on.

Any other estimator stays in memory, in a copy: its recoding is not written to files, and whoever wants it later keeps
the estimator in a way of their own (skops.io lists what a file would run before it does), and gives the recoding to
`bayesmdp.recommend`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.foundation.extras import brought_by
from bayesmdp.logs.binned_parts import Bins
from bayesmdp.logs.measured_parts import Part
from bayesmdp.logs.measurements import numbers

__all__ = ["Estimated", "Leaves", "Nearest"]

AT_ONCE = 1 << 16
"""Rows whose distances from all centres are in memory at a time."""


@dataclass(frozen=True)
class _OfNumbers:
    """What parts of several columns of numbers have in common.

    Attributes
    ----------
    columns : tuple of str
    """

    columns: tuple[str, ...]
    told: str = field(default="", kw_only=True)

    @property
    def ordered(self) -> bool:
        return False

    def settled(self, frame: pd.DataFrame, decimal: str, times: NDArray[np.int64] | None = None) -> Part:
        return self  # type: ignore[return-value] # what this class lacks of a part, those below have

    def levels(self, frame: pd.DataFrame, decimal: str) -> NDArray[np.int64]:
        matrix = _matrix(frame, self.columns, decimal)
        whole = ~np.isnan(matrix).any(-1)
        levels = np.full(len(matrix), -1, np.int64)
        if whole.any():
            levels[whole] = self._of_matrix(matrix[whole])
        return levels

    def wrong(self, row: pd.DataFrame, decimal: str) -> tuple[str, str]:
        for column in self.columns:
            complaint, remedy = Bins(column, (-np.inf, np.inf)).wrong(row, decimal)
            if np.isnan(numbers(row[column], decimal)[0][0]):
                return complaint, remedy.replace(", or make it a state of its own with missing=state", "")
        return "the estimator gives a label that it did not give before", "fit it again"

    def _of_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.int64]:
        raise NotImplementedError


@dataclass(frozen=True)
class Nearest(_OfNumbers):
    """Clusters: a row belongs to the nearest centre, the first of several.

    Attributes
    ----------
    centres : tuple of tuples of float [cluster][column]
    shift, scale : tuple of float [column]
        Distances are of ``(value - shift) / scale``.
    """

    centres: tuple[tuple[float, ...], ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"cluster {cluster}" for cluster in range(len(self.centres)))

    def _of_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.int64]:
        centres, scaled = np.array(self.centres), (matrix - np.array(self.shift)) / np.array(self.scale)
        parts = [
            ((scaled[begin : begin + AT_ONCE, None] - centres) ** 2).sum(-1).argmin(-1)
            for begin in range(0, len(scaled), AT_ONCE)
        ]
        return np.concatenate(parts)

    def to_dict(self) -> dict[str, Any]:
        of_column = {"shift": list(self.shift), "scale": list(self.scale)}
        return {"kind": "nearest", "columns": list(self.columns), "centres": [*map(list, self.centres)], **of_column}


@dataclass(frozen=True)
class Leaves(_OfNumbers):
    """Leaves of a tree, which asks at each node whether a column is at most a threshold, and goes left if so.

    Attributes
    ----------
    feature : tuple of int [node]
        Which column; -2 for a leaf.
    threshold : tuple of float [node]
    left, right : tuple of int [node]
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def _leaves(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.array(self.feature) < 0)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"leaf {leaf}" for leaf in self._leaves.tolist())

    def _of_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.int64]:
        feature, left, right = (np.array(each) for each in (self.feature, self.left, self.right))
        node, row = np.zeros(len(matrix), np.int64), np.arange(len(matrix))
        narrow = matrix.astype(np.float32)  # as scikit-learn's trees have it
        while len(row := row[feature[node[row]] >= 0]):
            at = node[row]
            below = narrow[row, feature[at]] <= np.array(self.threshold)[at]
            node[row] = np.where(below, left[at], right[at])
        return np.searchsorted(self._leaves, node)

    def to_dict(self) -> dict[str, Any]:
        nodes = {name: list(getattr(self, name)) for name in ("feature", "threshold", "left", "right")}
        return {"kind": "leaves", "columns": list(self.columns), **nodes}


@dataclass(frozen=True)
class Estimated(_OfNumbers):
    """States by an estimator, until it is known to be one of the kinds above.

    Attributes
    ----------
    estimator : Any
        Of scikit-learn, with ``predict``, or a tree with ``apply``.
    classes : tuple of str
        The labels that it gave, once it is settled.
    """

    estimator: Any
    classes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return self.classes

    def settled(self, frame: pd.DataFrame, decimal: str, times: NDArray[np.int64] | None = None) -> Part:
        if self.classes:
            return self
        matrix = _matrix(frame, self.columns, decimal)
        whole = matrix[~np.isnan(matrix).any(-1)]
        if not len(whole):
            raise ValueError(f"no row has a number in each of {', '.join(self.columns)}")
        estimator = _fitted(self.estimator, self.columns, whole)
        own = _asked(estimator, self.columns, whole)
        numbered = _in_numbers(estimator, self.columns)
        if numbered is not None and np.array_equal(np.array(numbered.labels)[numbered._of_matrix(whole)], own):
            return numbered
        kept = tuple(np.unique(own).tolist())
        return replace(self, estimator=estimator, classes=kept)

    def _of_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.int64]:
        own = _asked(self.estimator, self.columns, matrix).tolist()
        position = {name: level for level, name in enumerate(self.classes)}
        return np.array([position.get(name, -1) for name in own], np.int64)

    def to_dict(self) -> dict[str, Any]:
        kind = type(self.estimator).__name__
        raise TypeError(
            f"states by {kind} are not written to files, for only code could bring it back: keep the estimator "
            "yourself, as with skops.io, and give the recoding to bm.recommend(result, rows, recoding=...). States by "
            "KMeans, also after StandardScaler in a pipeline, and by decision trees are kept as numbers"
        )


def _matrix(frame: pd.DataFrame, columns: Sequence[str], decimal: str) -> NDArray[np.float64]:
    return np.stack([numbers(frame[column], decimal)[0] for column in columns], -1)


def _fitted(estimator: Any, columns: Sequence[str], matrix: NDArray[np.float64]) -> Any:
    """A copy of an estimator, fitted if it is not and needs no answers to learn from."""
    with brought_by("sklearn"):
        from sklearn.base import clone, is_clusterer
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        if not is_clusterer(estimator):
            raise ValueError(
                f"{type(estimator).__name__} is not fitted, and learns from answers which measurements alone do not "
                "give; fit it first"
            ) from None
        return clone(estimator).fit(_with_names(columns, matrix))
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and list(names) != list(columns):
        raise ValueError(f"the estimator was fitted to {', '.join(map(str, names))}; got {', '.join(columns)}")
    return copy.deepcopy(estimator)


def _with_names(columns: Sequence[str], matrix: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame(matrix, columns=list(columns))


def _asked(estimator: Any, columns: Sequence[str], matrix: NDArray[np.float64]) -> NDArray[Any]:
    """What an estimator says of each row; of trees it is the leaf, as `Leaves` calls it."""
    from sklearn.base import is_clusterer

    given: Any = _with_names(columns, matrix)
    if getattr(estimator, "feature_names_in_", None) is None:
        given = matrix
    if hasattr(estimator, "tree_"):
        return np.array([f"leaf {leaf}" for leaf in estimator.apply(given).tolist()])
    answers = np.asarray(estimator.predict(given))
    called = "cluster" if is_clusterer(estimator) else "class"
    return np.array([f"{called} {answer}" for answer in answers.tolist()])


def _in_numbers(estimator: Any, columns: Sequence[str]) -> Nearest | Leaves | None:
    """What k-means and trees have learned, as numbers; None for any other estimator."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    names = tuple(columns)
    if hasattr(estimator, "tree_"):
        tree = estimator.tree_
        nodes = (tree.feature, tree.threshold, tree.children_left, tree.children_right)
        return Leaves(names, *(tuple(each.tolist()) for each in nodes))
    scaler = None
    if isinstance(estimator, Pipeline) and len(estimator) == 2 and isinstance(estimator[0], StandardScaler):
        scaler, estimator = estimator[0], estimator[1]
    if type(estimator) not in (KMeans, MiniBatchKMeans):
        return None
    shift = getattr(scaler, "mean_", None)
    scale = getattr(scaler, "scale_", None)
    return Nearest(
        names,
        tuple(map(tuple, estimator.cluster_centers_.tolist())),
        tuple((np.zeros(len(names)) if shift is None else shift).tolist()),
        tuple((np.ones(len(names)) if scale is None else scale).tolist()),
    )
