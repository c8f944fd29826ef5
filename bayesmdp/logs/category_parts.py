"""Categories: the names in a column, as they were declared or as they come."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.logs.measured_parts import OfOneColumn, missing_told
from bayesmdp.logs.measurements import category, named

__all__ = ["Categories", "name_written"]

DECIMALS = 20
"""Distinct numbers, not whole, from which on a column is taken to be cut, and not to name categories."""


@dataclass(frozen=True)
class Categories(OfOneColumn):
    """The names in a column.

    Attributes
    ----------
    column : str
    names : tuple of str
        All that there are, in order; empty until fitted where they are taken as they come.
    ordered : bool
        Whether they were declared, and so in an order that means something.
    missing : bool
        As for `Bins`.
    """

    column: str
    names: tuple[str, ...] = ()
    ordered: bool = False
    missing: bool = False
    told: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(category(name) or "" for name in self.names))
        for place, name in enumerate(self.names):
            if not name or name in self.names[:place]:
                fault = f"the category {name!r} stands there twice"
                if not name:
                    fault = "a category is empty or a word for a missing value; use missing=state for those"
                raise ValueError(f"{self.column}: {fault}")

    @property
    def labels(self) -> tuple[str, ...]:
        levels = [*map(name_written, self.names), *["missing"] * self.missing]
        return tuple(f"{self.column} {name}" for name in levels) if self.names else ()

    def settled(self, frame: pd.DataFrame, decimal: str, times: NDArray[np.int64] | None = None) -> Categories:
        if self.names:
            return self
        found = named(frame[self.column])
        if not found.names:
            rows = len(frame) if times is None else int(times.sum())
            raise ValueError(f"{self.column} names no category; all {rows:,} rows are missing")
        if found.order is not None:
            return replace(self, names=tuple(found.order), ordered=True)
        worth = [_as_number(name) for name in found.names]
        if not np.isnan(worth).any():
            if len(worth) > DECIMALS and any(not value.is_integer() for value in worth):
                raise ValueError(
                    f"{self.column} holds {len(worth):,} distinct numbers, each of which would be a state; cut them, "
                    f"as in {self.column}:quantiles(4), or name the categories"
                )
            return replace(self, names=tuple(found.names[i] for i in np.argsort(worth, kind="stable")))
        return replace(self, names=tuple(sorted(found.names)))

    def levels(self, frame: pd.DataFrame, decimal: str) -> NDArray[np.int64]:
        found = named(frame[self.column])
        position = {name: level for level, name in enumerate(self.names)}
        absent = len(self.names) if self.missing else -1
        levels = np.array([position.get(name, -1) for name in found.names] + [absent], np.int64)
        return np.asarray(levels[found.codes])

    def wrong(self, row: pd.DataFrame, decimal: str) -> tuple[str, str]:
        found = named(row[self.column])
        if found.codes[0] < 0:
            return missing_told(self.column)
        hint = did_you_mean(found.names[0], self.names)
        return f"{self.column} is {found.names[0]!r}, none of the {len(self.names)} categories", hint

    def to_dict(self) -> dict[str, Any]:
        options = {"ordered": self.ordered, "missing": self.missing}
        return {"kind": "categories", "column": self.column, "names": list(self.names), **options}


def name_written(name: str) -> str:
    """A category in a label, in quotation marks where it could be taken for something else.

    Examples
    --------
    >>> name_written("high"), name_written("high, rising"), name_written("missing")
    ('high', '"high, rising"', '"missing"')
    """
    return json.dumps(name, ensure_ascii=False) if "," in name or name.startswith('"') or name == "missing" else name


def _as_number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return np.nan
