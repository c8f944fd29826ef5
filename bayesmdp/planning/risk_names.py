"""Measures of risk as people write them."""

from __future__ import annotations

from bayesmdp.planning.quantile import Quantile
from bayesmdp.planning.risk import Mean, Risk

__all__ = ["risk_from_text"]


def risk_from_text(text: str) -> Risk:
    """A risk measure from how it prints.

    Parameters
    ----------
    text : str
        ``mean``, ``quantile:LEVEL`` or ``cvar:LEVEL``.

    Raises
    ------
    ValueError
        For any other text, or a level out of range.

    Examples
    --------
    >>> print(risk_from_text("cvar:0.1"))
    cvar:0.1
    >>> risk_from_text("median")
    Traceback (most recent call last):
    ...
    ValueError: risk must be mean, quantile:LEVEL or cvar:LEVEL, as in quantile:0.1; got 'median'
    """
    # It builds on this module.
    from bayesmdp.planning.cvar import CVaR

    name, colon, given = str(text).strip().lower().partition(":")
    if name == "mean" and not colon:
        return Mean()
    measures: dict[str, type[Quantile | CVaR]] = {"quantile": Quantile, "cvar": CVaR}
    try:
        measure, level = measures[name], float(given)
    except (KeyError, ValueError):
        forms = "mean, quantile:LEVEL or cvar:LEVEL, as in quantile:0.1"
        raise ValueError(f"risk must be {forms}; got {text!r}") from None
    try:
        return measure(level)
    except ValueError as error:
        raise ValueError(f"risk {text!r}: {error}") from None
