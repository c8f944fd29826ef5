"""States from measurements: declared once, settled on the rows of a log, and applied to any other rows the same way.

A log often has no states but measurements: an age, a blood value, a ward. A *recoding* makes a state of them. Its parts
(:mod:`bayesmdp.logs.measured_parts`, :mod:`bayesmdp.logs.estimated_parts`) each turn one measurement into one of a few
levels, and a *state* is a combination of levels that occurs, such as ``age 40 to <65, lactate >=4``. What has to be
taken from data (quantiles, the names of categories, what an estimator learns) is taken once, by `Recoding.fit`; from
then on a recoding is constant. It is written to the file of a plan, so that :func:`bayesmdp.recommend` finds the state
of a new row as the log's reader did.

How coarse states should be is a trade: two patients in one state are taken for alike, and each further state has fewer
steps to learn from. :func:`bayesmdp.judge_states` asks the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.logs.binned_parts import Bins, Quantiles
from bayesmdp.logs.category_parts import Categories
from bayesmdp.logs.estimated_parts import Estimated, Leaves, Nearest
from bayesmdp.logs.measured_parts import Part
from bayesmdp.logs.state_specs import part_from_text

__all__ = ["Read", "Recoding", "Spec", "as_recoding", "states"]

FORMAT = 1
"""Of recodings as JSON."""

type Spec = "Recoding | str | tuple[Any, Any] | Sequence[str | tuple[Any, Any]]"
"""What declares a recoding: texts as in `state_specs`, (columns, estimator), a list of these, or a recoding itself."""

PARTS: Mapping[str, Callable[..., Part]] = {
    "bins": Bins,
    "quantiles": Quantiles,
    "categories": Categories,
    "nearest": Nearest,
    "leaves": Leaves,
}


class Read(NamedTuple):
    """Rows as states, with what was wrong with those that have none.

    Attributes
    ----------
    labels : array of str [row]
        Empty where there is no state.
    why : dict of row to (complaint, remedy)
        For each row without one.
    """

    labels: NDArray[np.object_]
    why: dict[int, tuple[str, str]]


@dataclass(frozen=True)
class Recoding:
    """How measurements become states.

    Attributes
    ----------
    parts : tuple of Part
    cells : tuple of tuples of int [state][part]
        The levels of each state; none until fitted.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"age": [30, 65, 80]})
    >>> recoding = states(rows, ["age:bins(0,40,90)"])
    >>> isinstance(recoding, Recoding), recoding.apply(rows).tolist()
    (True, ['age 0 to <40', 'age 40 to 90', 'age 40 to 90'])
    """

    parts: tuple[Part, ...]
    cells: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a recoding needs a part or more, such as 'age:bins(0,40,65,80)'")
        seen: set[str] = set()
        for part in self.parts:
            for column in part.columns:
                if column in seen:
                    raise ValueError(f"the column {column!r} is recoded twice; give it one part")
                seen.add(column)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return tuple(column for part in self.parts for column in part.columns)

    @property
    def states(self) -> tuple[str, ...]:
        """The label of each state, by the order of their levels."""
        labels = [part.labels for part in self.parts]
        return tuple(_label(labels, cell) for cell in self.cells)

    @property
    def told(self) -> tuple[str, ...]:
        """What became other than was asked for, such as quantiles that fall together."""
        return tuple(part.told for part in self.parts if part.told)

    def fit(self, frame: pd.DataFrame, *others: pd.DataFrame, decimal: str = ".") -> Recoding:
        """Settle what is taken from data, and which combinations of levels occur.

        Parameters
        ----------
        frame : DataFrame
            With the columns. Quantiles, categories and estimators are fitted to it, unless they are settled already.
        *others : DataFrames
            With the same columns, such as those of what followed, whose combinations are states too.
        decimal : {".", ","}
            The sign in numbers that are written as text.

        Returns
        -------
        Recoding

        Raises
        ------
        ValueError
            For a column that is missing, or a row that has no state: with row, column, value and remedy.
        """
        settled = self.settled(frame, *others, decimal=decimal)
        return settled.over(*(settled.levels_of(each, decimal=decimal) for each in (frame, *others)))

    def settled(self, frame: pd.DataFrame, *others: pd.DataFrame, decimal: str = ".") -> Recoding:
        """Take from data what the parts need; see `fit`."""
        frames = [self._chosen(each) for each in (frame, *others)]
        parts = []
        for part in self.parts:
            # What followed may show categories that no row begins with; each row counts once for quantiles.
            of_part = [each[list(part.columns)] for each in (frames if isinstance(part, Categories) else frames[:1])]
            parts.append(part.settled(of_part[0] if len(of_part) == 1 else pd.concat(of_part), decimal))
        return replace(self, parts=tuple(parts))

    def over(self, *levels: NDArray[np.int64]) -> Recoding:
        """The same recoding with the states that occur among levels [row, part]."""
        found = {cell for each in levels for cell in map(tuple, self._distinct(each)[0].tolist())}
        return replace(self, cells=tuple(sorted(found)))

    def levels_of(
        self, frame: pd.DataFrame, *, decimal: str = ".", place: Callable[[int], str] = "row {}".format
    ) -> NDArray[np.int64]:
        """The level [row, part] of each part in each row.

        Raises
        ------
        ValueError
            For the first row that has no state.
        """
        levels, chosen = self._levels(frame, decimal)
        wrong = (levels < 0).any(-1)
        if wrong.any():
            row = int(np.argmax(wrong))
            complaint, remedy = self._wrong(levels, chosen, row, decimal)
            raise ValueError(f"{place(row)}: {complaint}; {remedy}")
        return levels

    def codes_of(self, frame: pd.DataFrame, *, decimal: str = ".") -> NDArray[np.int64]:
        """The levels of each row [row] as one number, which is in the order of states; also of rows without one."""
        levels, _ = self._levels(frame, decimal)
        return np.ravel_multi_index(tuple((levels + 1).T), self._sizes)  # -1 is moved to 0

    def levels_of_codes(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The levels [row, part] that such numbers stand for."""
        return np.stack(np.unravel_index(codes, self._sizes), -1) - 1

    @property
    def _sizes(self) -> tuple[int, ...]:
        return tuple(len(part.labels) + 1 for part in self.parts)

    def labels_of(self, levels: NDArray[np.int64]) -> NDArray[np.object_]:
        """The label [row] of levels [row, part]; empty where one is -1."""
        labels = [part.labels for part in self.parts]
        found, place = self._distinct(levels)
        texts = np.array(["" if -1 in cell else _label(labels, cell) for cell in found.tolist()], object)
        return np.asarray(texts[place])

    def apply(self, frame: pd.DataFrame, *, decimal: str = ".") -> NDArray[np.object_]:
        """Find the state of each row; it may be one that the rows it was fitted to did not show.

        Parameters
        ----------
        frame : DataFrame
            With the columns.
        decimal : {".", ","}
            The sign in numbers that are written as text.

        Returns
        -------
        array of str [row]

        Raises
        ------
        ValueError
            For a column that is missing, or a row that has no state: with row, column, value and remedy.
        """
        return self.labels_of(self.levels_of(frame, decimal=decimal))

    def read(self, frame: pd.DataFrame, *, decimal: str = ".") -> Read:
        """Do as `apply`, and tell of the rows that have no state in the place of refusing them."""
        levels, chosen = self._levels(frame, decimal)
        rows = np.flatnonzero((levels < 0).any(-1)).tolist()
        return Read(self.labels_of(levels), {row: self._wrong(levels, chosen, row, decimal) for row in rows})

    def to_json(self) -> str:
        """Write the recoding as text, from which `from_json` makes an equal one.

        Raises
        ------
        TypeError
            For states by an estimator that is not kept as numbers.
        """
        parts = [part.to_dict() for part in self.parts]
        return json.dumps({"format": FORMAT, "parts": parts, "cells": self.cells}, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> Recoding:
        """Read a recoding that `to_json` wrote.

        Raises
        ------
        ValueError
            If it is none, or of a later format.
        """
        try:
            told = json.loads(text)
            if told["format"] != FORMAT:
                raise ValueError(f"it has the format {told['format']}, and this version knows {FORMAT}")
            parts = tuple(_part(**part) for part in told["parts"])
            return Recoding(parts, tuple(tuple(map(int, cell)) for cell in told["cells"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no recoding that can be read: {error}") from error

    def _chosen(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The columns that are read, by the names that the parts have for them."""
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(f"measurements are a DataFrame; got {type(frame).__name__}")
        names = list(map(str, frame.columns))
        for column in self.columns:
            if names.count(column) != 1:
                fault = "more than once; rename all but one" if column in names else did_you_mean(column, names)
                raise ValueError(
                    f"the table has {'the column' if column in names else 'no column'} {column!r}"
                    f"{' ' if column in names else ' to make states of; '}{fault}"
                )
        return pd.DataFrame({column: frame.iloc[:, names.index(column)].array for column in self.columns})

    def _levels(self, frame: pd.DataFrame, decimal: str) -> tuple[NDArray[np.int64], pd.DataFrame]:
        chosen = self._chosen(frame)
        unsettled = [part for part in self.parts if not part.labels]
        if unsettled:
            unsettled[0].levels(chosen, decimal)
            raise ValueError("the recoding is not fitted; use bm.states(frame, spec), or its fit(frame)")
        return np.stack([part.levels(chosen, decimal) for part in self.parts], -1), chosen

    def _distinct(self, levels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The distinct rows of levels [row, part], and which of them each row is."""
        # As one number a row, which sorts ten times as fast.
        code, place = np.unique(np.ravel_multi_index(tuple((levels + 1).T), self._sizes), return_inverse=True)
        return self.levels_of_codes(code), place

    def _wrong(self, levels: NDArray[np.int64], chosen: pd.DataFrame, row: int, decimal: str) -> tuple[str, str]:
        part = self.parts[int(np.argmin(levels[row]))]
        return part.wrong(chosen.iloc[row : row + 1], decimal)


def states(frame: pd.DataFrame, spec: Spec) -> Recoding:
    """Declare how measurements become states, and settle it on a table.

    Parameters
    ----------
    frame : DataFrame
        The measurements, one row a step.
    spec : str, (columns, estimator), a list of these, or a Recoding
        Texts are written as ``"age:bins(0,40,65,80)"``, ``"lactate:quantiles(4)"``, ``"lactate:cutoffs(2,4)"``,
        ``"ward:categories(low,mid,high)"`` or ``"ward"``; see :mod:`bayesmdp.logs.state_specs` for their options. An
        estimator of scikit-learn stands beside the columns that it reads, as in ``(["age", "lactate"], KMeans(8))``.

    Returns
    -------
    Recoding
        For ``read_log(..., state=recoding)``; its ``apply(frame)`` gives the state of each row.

    Raises
    ------
    ValueError, TypeError
        For a spec that says nothing of the kind, a column that is missing, or a row that has no state (a missing value,
        one outside the bins): with row, column, value and remedy.

    See Also
    --------
    bayesmdp.judge_states : are they well cut?
    bayesmdp.SimulatedMDP : states that stay numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [30, 65, 80], "lactate": [1.0, 2.5, 4.0]})
    >>> recoding = states(frame, ["age:bins(0,40,65,80)", "lactate:quantiles(2)"])
    >>> recoding.apply(frame).tolist()
    ['age 0 to <40, lactate <2', 'age 65 to 80, lactate >=2', 'age 65 to 80, lactate >=2']
    >>> recoding == Recoding.from_json(recoding.to_json())
    True
    """
    return as_recoding(spec).fit(frame)


def as_recoding(spec: Spec) -> Recoding:
    """Read what declares a recoding, without data; see `states`."""
    if isinstance(spec, Recoding):
        return spec
    if isinstance(spec, str):
        return Recoding((part_from_text(spec),))
    if isinstance(spec, tuple) and len(spec) == 2 and hasattr(spec[1], "get_params"):
        columns = [spec[0]] if isinstance(spec[0], str) else list(spec[0])
        return Recoding((Estimated(tuple(map(str, columns)), spec[1]),))
    if isinstance(spec, list | tuple):
        return Recoding(tuple(part for each in spec for part in as_recoding(each).parts))
    raise TypeError(
        "states are declared by texts such as 'age:bins(0,40,65,80)', by (columns, estimator), or by a list of these; "
        f"got {spec!r}"
    )


def _label(labels: Sequence[Sequence[str]], cell: Sequence[int]) -> str:
    return ", ".join(of_part[level] for of_part, level in zip(labels, cell, strict=True))


def _part(kind: str, **fields: Any) -> Part:
    """One part from what `to_dict` says of it."""

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    if kind == "bins":
        fields["edges"] = [float(edge) for edge in fields["edges"]]
    return PARTS[kind](**{name: frozen(value) for name, value in fields.items()})
