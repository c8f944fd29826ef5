"""Bins of a measurement: intervals between fixed cut-offs, or between quantiles of the rows at hand.

Cut-offs belong to the bin above them, so that ``bins(0,40,65,80)`` has the levels ``0 to <40``, ``40 to <65`` and ``65
to 80``: a patient of 65 is among those who are 65 or more. Only the last edge belongs to the bin below, for there is
none above. With ``closed=right`` it is the other way round: ``0 to 40``, ``>40 to 65``, ``>65 to 80``.

Quantiles settle on cut-offs once, from the rows that they are fitted to. Each is the shortest number that parts these
rows as the quantile (linear between two rows, as in NumPy and pandas) does, so that a label says exactly what it holds.
The outer bins are open, for new rows may lie beyond. Where so many rows are equal that two quantiles part them alike,
or leave nothing on one side, there are fewer bins than were asked for, and the recoding tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmdp.logs.measured_parts import OfOneColumn, missing_told
from bayesmdp.logs.measurements import number_text, numbers

__all__ = ["Bins", "Quantiles"]


@dataclass(frozen=True)
class Bins(OfOneColumn):
    """Intervals between cut-offs.

    Attributes
    ----------
    column : str
    edges : tuple of float
        Rising; the first may be -inf and the last inf.
    closed : {"left", "right"}
        To which bin a cut-off belongs: the one above (closed on its left), or the one below.
    missing : bool
        Whether missing values are a level of their own, and not refused.
    told : str
    """

    column: str
    edges: tuple[float, ...]
    closed: str = "left"
    missing: bool = False
    told: str = ""

    def __post_init__(self) -> None:
        _check_closed(self.closed)
        shown = [number_text(edge) if np.isfinite(edge) else str(edge) for edge in self.edges]
        if len(self.edges) < 2:
            raise ValueError(
                f"{self.column}: bins need two edges or more, such as bins(0,40,80), or bins(-inf,40,inf) for what "
                f"lies below and above 40; got {', '.join(shown) or 'none'}"
            )
        for place, (low, high) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            if not low < high:
                fault = "stands there twice" if low == high else f"comes after {shown[place]}"
                raise ValueError(f"{self.column}: the edges of bins must rise, and {shown[place + 1]} {fault}")

    @property
    def ordered(self) -> bool:
        return True

    @property
    def labels(self) -> tuple[str, ...]:
        last = len(self.edges) - 2
        texts = []
        for place, (low, high) in enumerate(zip(self.edges, self.edges[1:], strict=False)):
            # An outer edge belongs to its bin on either rule.
            without_high, without_low = self.closed == "left" and place < last, self.closed == "right" and place > 0
            if np.isinf(low) and np.isinf(high):
                texts.append("any")
            elif np.isinf(low):
                texts.append(f"{'<' if without_high else '<='}{number_text(high)}")
            elif np.isinf(high):
                texts.append(f"{'>' if without_low else '>='}{number_text(low)}")
            else:
                texts.append(f"{'>' * without_low}{number_text(low)} to {'<' * without_high}{number_text(high)}")
        return tuple(f"{self.column} {text}" for text in [*texts, *["missing"] * self.missing])

    def settled(self, frame: pd.DataFrame, decimal: str, times: NDArray[np.int64] | None = None) -> Bins:
        return self

    def levels(self, frame: pd.DataFrame, decimal: str) -> NDArray[np.int64]:
        values, missing = numbers(frame[self.column], decimal)
        edges, last = np.array(self.edges), len(self.edges) - 2
        level = np.searchsorted(edges, values, side="right" if self.closed == "left" else "left") - 1
        # The outer edge that the rule would leave out belongs to its bin.
        level = np.where(values == edges[-1], last, np.where(values == edges[0], 0, level))
        level = np.where(np.isnan(values) | (level > last), -1, level)
        return np.asarray(np.where(missing & self.missing, last + 1, level), np.int64)

    def wrong(self, row: pd.DataFrame, decimal: str) -> tuple[str, str]:
        values, missing = numbers(row[self.column], decimal)
        if missing[0]:
            return missing_told(self.column)
        value = row[self.column].astype(object).iloc[0]
        if np.isnan(values[0]):
            remedy = "give it a number"
            if isinstance(value, str) and "," in value and decimal == ".":
                remedy += "; if the comma is a decimal one, pass decimal=','"
            return f"{self.column} is {value!r}, which is no finite number", remedy
        low, high = number_text(self.edges[0]), number_text(self.edges[-1])
        place, remedy = (
            (f"below {low}", "bins(-inf,...)") if values[0] < self.edges[0] else (f"above {high}", "bins(...,inf)")
        )
        return (
            f"{self.column} is {number_text(values[0])}, {place}, where the bins end",
            f"correct it, widen the bins, or open them with {remedy}",
        )

    def to_dict(self) -> dict[str, Any]:
        edges = [edge if np.isfinite(edge) else str(edge) for edge in self.edges]
        return {"kind": "bins", "column": self.column, "edges": edges, **_options(self)} | (
            {"told": self.told} if self.told else {}
        )


@dataclass(frozen=True)
class Quantiles(OfOneColumn):
    """As many bins of about as many rows each, open at both ends; fitted, they are `Bins`.

    Attributes
    ----------
    column : str
    number : int
        Of bins.
    closed, missing
        As for `Bins`.
    """

    column: str
    number: int
    closed: str = "left"
    missing: bool = False
    told: str = ""

    def __post_init__(self) -> None:
        _check_closed(self.closed)
        if self.number < 2:
            raise ValueError(f"{self.column}: quantiles make two bins or more; got {self.number}")

    @property
    def ordered(self) -> bool:
        return True

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    def settled(self, frame: pd.DataFrame, decimal: str, times: NDArray[np.int64] | None = None) -> Bins:
        values, _ = numbers(frame[self.column], decimal)
        times = np.ones(len(values), np.int64) if times is None else times
        order = np.argsort(values)[: int((~np.isnan(values)).sum())]  # NaN is last
        if not len(order):
            raise ValueError(f"{self.column} has no number to take quantiles of in {times.sum():,} rows; cut another")
        present, upto = values[order], np.cumsum(times[order])
        cuts: dict[int, float] = {}
        for level in np.arange(1, self.number) / self.number:
            quantile = _quantile(present, upto, level)
            below = int(np.searchsorted(present, quantile, side="left" if self.closed == "left" else "right"))
            if 0 < below < len(present):
                cuts.setdefault(below, _shortest(quantile, present[below - 1], present[below], self.closed))
        told = ""
        if len(cuts) + 1 < self.number:
            told = (
                f"{self.column} has {len(cuts) + 1} bin{'s' * (len(cuts) > 0)} in the place of {self.number}: so many "
                "rows are equal that the other quantiles part nothing"
            )
        return Bins(self.column, (-np.inf, *cuts.values(), np.inf), self.closed, self.missing, told)

    def levels(self, frame: pd.DataFrame, decimal: str) -> NDArray[np.int64]:
        raise ValueError(f"{self.column}: quantiles are not known before they are fitted; use bm.states(frame, spec)")

    def wrong(self, row: pd.DataFrame, decimal: str) -> tuple[str, str]:
        return Bins(self.column, (-np.inf, np.inf)).wrong(row, decimal)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "quantiles", "column": self.column, "number": self.number, **_options(self)}


def _quantile(present: NDArray[np.float64], upto: NDArray[np.int64], level: float) -> float:
    """A quantile of rising values, of which so many rows [value] hold that value or an earlier one, as NumPy has it."""
    place = (int(upto[-1]) - 1) * level
    rank = int(place)
    two = [present[np.searchsorted(upto, min(each, upto[-1] - 1), side="right")] for each in (rank, rank + 1)]
    return float(np.quantile(two, place - rank))  # NumPy's own way from one row to the next, to the last digit


def _shortest(quantile: float, below: float, above: float, closed: str) -> float:
    """The shortest number that parts `below` from `above` as the quantile does, which lies between them."""
    exact = Decimal(float(quantile))
    for digits in range(1, 18):
        for rounding in (ROUND_HALF_EVEN, ROUND_CEILING, ROUND_FLOOR):
            number = float(Context(digits, rounding).plus(exact))
            if (below < number <= above) if closed == "left" else (below <= number < above):
                return number + 0.0  # without -0.0
    return float(quantile) + 0.0


def _check_closed(closed: str) -> None:
    if closed not in ("left", "right"):
        raise ValueError(f"closed must be left or right; got {closed!r}")


def _options(part: Bins | Quantiles) -> dict[str, Any]:
    return {"closed": part.closed, "missing": part.missing}
