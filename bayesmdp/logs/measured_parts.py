"""What one or more measurements say of the state: the parts of a recoding.

A *part* reads one column, or a few, and gives each row a *level*: an interval (:mod:`bayesmdp.logs.binned_parts`), a
category (:mod:`bayesmdp.logs.category_parts`), or what an estimator says (:mod:`bayesmdp.logs.estimated_parts`). It is
*settled* once on data, where it takes anything from them, and constant from then on.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["OfOneColumn", "Part", "missing_told"]


class Part(Protocol):
    """One part of a recoding: some columns in, a level for each row out."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> tuple[str, ...]:
        """What each level is called, in order; none before the part is settled."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether neighbouring levels are next to each other in what they mean."""
        ...

    @property
    def told(self) -> str:
        """What became other than was asked for; empty if nothing."""
        ...

    def settled(self, frame: pd.DataFrame, decimal: str, times: NDArray[np.int64] | None = None) -> Part:
        """The part with all that it takes from data, whose rows may stand for as many [row] as `times` says."""
        ...

    def levels(self, frame: pd.DataFrame, decimal: str) -> NDArray[np.int64]:
        """Level [row]; -1 where there is none. Equal rows have equal levels, unless an estimator is asked."""
        ...

    def wrong(self, row: pd.DataFrame, decimal: str) -> tuple[str, str]:
        """What is wrong with a frame of one row that has no level, and the remedy."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The part as JSON has it."""
        ...


class OfOneColumn:
    """What parts of one column have in common."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


def missing_told(column: str) -> tuple[str, str]:
    """What is wrong with a missing value, and the remedy."""
    return (
        f"{column} is missing",
        "give it a value, leave the row out, or make it a state of its own with missing=state",
    )
