"""How numbers are written, in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["amount", "chance", "few", "percent", "short", "with_error"]


def short(number: float) -> str:
    """Four figures of a number, without a minus before nothing and a point after all.

    Parameters
    ----------
    number : float

    Examples
    --------
    >>> short(-0.0), short(12_345.6), short(1_266)
    ('0.000', '12,346', '1266')
    """
    number += 0.0
    return f"{number:,.0f}" if 1e4 <= abs(number) < 1e15 else f"{number:#.4g}".removesuffix(".")


def amount(number: float, attrs: Mapping[Any, Any]) -> str:
    """Four figures of rewards, in the unit of a plan that has one.

    Parameters
    ----------
    number : float
    attrs : mapping
        Of the tree of a `Report`.

    Examples
    --------
    >>> amount(12.5, {"unit": "euros"}), amount(12.5, {})
    ('12.50 euros', '12.50')
    """
    unit = attrs.get("unit", "")
    return f"{short(number)} {unit}" if unit else short(number)


def few(number: float) -> str:
    """Two figures of a number, for what is an estimate with an error.

    Parameters
    ----------
    number : float

    Examples
    --------
    >>> few(0.01234), few(1_234.0), few(-0.0)
    ('0.012', '1,200', '0')
    """
    if not number:
        return "0"
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if 10 <= abs(rounded) < 1e15 else f"{rounded:.2g}"


def chance(share: float) -> str:
    """Write a probability that draws or logs tell, which is never sure.

    Parameters
    ----------
    share : float in [0, 1]

    Examples
    --------
    >>> chance(1.0), chance(0.951)
    ('above 0.99', '0.95')
    """
    return "below 0.01" if share < 0.01 else "above 0.99" if share > 0.99 else f"{share:.2f}"


def percent(share: float) -> str:
    """Write a share of what was counted, or of the future.

    Parameters
    ----------
    share : float in [0, 1]

    Examples
    --------
    >>> percent(0.5), percent(0.0941), percent(0.9996), percent(1.0), percent(0.0)
    ('50%', '9.4%', 'above 99%', '100%', '0%')
    """
    return "above 99%" if 0.99 < share < 1 else f"{100 * share:.0f}%" if share == 1 else f"{100 * share:.2g}%"


def with_error(estimate: float, error: float) -> str:
    """Write an estimate with its standard error: of the error one figure, of the estimate as many decimals.

    Parameters
    ----------
    estimate, error : float

    Examples
    --------
    >>> with_error(0.000643, 0.0000871), with_error(12.3, 1.9), with_error(0.25, 0.0)
    ('0.00064 ± 0.00009', '12 ± 2', '0.2500')
    """
    if not error > 0:
        return short(estimate)
    decimals = max(0, -math.floor(math.log10(float(f"{error:.0e}"))))
    if decimals > 9:
        return f"{estimate:.2g} ± {error:.0e}"
    return f"{estimate:,.{decimals}f} ± {error:,.{decimals}f}"
