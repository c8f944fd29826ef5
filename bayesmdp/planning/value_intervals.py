"""What simulated values say of the risk of a policy's value, with its Monte Carlo interval.

Under draw m of the unknowns a policy is worth V_m, of which rollouts give an estimate ``v_m = V_m + e_m`` with standard
error s_m. Two kinds of chance stand between the estimates and the truth: which draws there are, and e_m.

*Mean.* The v_m are independent with the mean of V, so Student's interval of their mean holds both.

*Quantile* at level a. Noise spreads values, so that a quantile of the v_m is not one of the V_m. With ``c = P(e_m <= 2
s_m)``, .977 for a Normal error, ``V_m <= x`` and ``e_m <= 2 s_m`` give ``v_m - 2 s_m <= x``: the (a c)-quantile of the
``v_m - 2 s_m`` is at most that of V at a, and likewise the (1 - (1 - a) c)-quantile of the ``v_m + 2 s_m`` at least.
Each has an interval between order statistics, whatever the distribution is. The bound is ours.

*CVaR* at level a is concave in the values: noise lowers it, by an amount that is inversely proportional to the rollouts
of a draw, to first order. So with the two halves of a draw's rollouts, ``b = CVaR(v) - mean CVaR(of a half)``, never
negative, estimates what v has lost: the estimate is CVaR(v) + b, and the interval reaches from CVaR(v) to CVaR(v) + 2 b
and beyond by Student's quantile, at as many degrees of freedom as draws in the tail less 1, times the standard error of
the mean of ``q - max(q - v_m, 0) / a``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from bayesmdp.planning.cvar import CVaR
from bayesmdp.planning.quantile import Quantile
from bayesmdp.planning.quantile_interval import binomial_quantile
from bayesmdp.planning.risk import Mean, Risk

__all__ = ["Statement", "check_scalar_risk", "risk_of_values"]

APART = 2.0
"""Standard errors by which values are moved before their quantiles are taken."""


class Statement(NamedTuple):
    """An estimate, and an interval that holds the truth with the probability asked for."""

    value: float
    lower: float
    upper: float


def risk_of_values(risk: Risk, returns: NDArray[np.float64], confidence: float) -> Statement:
    """Estimate the risk of a policy's value over draws of the unknowns; see the module.

    Parameters
    ----------
    risk : Mean, Quantile or CVaR
        With one level.
    returns : array [draw, rollout]
        An even number of rollouts of each draw.
    confidence : float in (0, 1)

    Returns
    -------
    Statement

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> returns = rng.normal(size=(400, 1)) + rng.normal(size=(400, 100))
    >>> told = risk_of_values(Quantile(0.1), returns, 0.95)  # -1.28 in truth
    >>> told.lower < -1.28 < told.upper
    True
    """
    check_scalar_risk(risk)
    return INTERVALS[type(risk)](risk, returns, confidence)


def check_scalar_risk(risk: Any) -> Risk:
    """Refuse a risk measure whose interval is not known here, or whose level is not one number.

    Parameters
    ----------
    risk : object

    Returns
    -------
    Risk
    """
    if type(risk) not in INTERVALS:
        known = ", ".join(f"{kind.__name__}" for kind in INTERVALS)
        what = f"the class {risk.__name__}; make one, as in Quantile(0.1)" if isinstance(risk, type) else repr(risk)
        raise TypeError(f"on a space of numbers the risk must be one of {known}; got {what}")
    for name in ("level", "num_draws"):
        if np.ndim(getattr(risk, name, 0)):
            raise ValueError(
                f"the {type(risk).__name__}'s {name} has shape {np.shape(getattr(risk, name))}; where states are "
                "numbers it is one number"
            )
    checked: Risk = risk
    return checked


def _mean(risk: Mean, returns: NDArray[np.float64], confidence: float) -> Statement:
    # Draws are what is independent; under a single one that is each rollout.
    each = returns.mean(1) if len(returns) > 1 else returns[0]
    value, error = float(each.mean()), float(each.std(ddof=1)) / len(each) ** 0.5
    reach = float(stdtrit(len(each) - 1, (1 + confidence) / 2)) * error
    return Statement(value, value - reach, value + reach)


def _quantile(risk: Quantile, returns: NDArray[np.float64], confidence: float) -> Statement:
    level, tail = float(risk.level), (1 - confidence) / 2
    values, error = returns.mean(1), returns.std(1, ddof=1) / returns.shape[1] ** 0.5
    value, size = float(np.quantile(values, level, method="inverted_cdf")), len(values)
    if size == 1:  # of one draw every quantile is its value
        return _mean(Mean(), returns, confidence)
    share = float(ndtr(APART)) if error.any() else 1.0
    below = np.concatenate([[-np.inf], np.sort(values - APART * error)])
    above = np.concatenate([np.sort(values + APART * error), [np.inf]])
    lower = below[binomial_quantile(tail, size, level * share)]
    upper = above[binomial_quantile(1 - tail, size, 1 - (1 - level) * share)]
    return Statement(value, float(lower), float(upper))


def _cvar(risk: CVaR, returns: NDArray[np.float64], confidence: float) -> Statement:
    level, half = float(risk.level), returns.shape[1] // 2
    values = returns.mean(1)
    if len(values) == 1:
        return _mean(Mean(), returns, confidence)
    whole = _tail_mean(values, level)
    halves = (_tail_mean(part.mean(1), level) for part in (returns[:, :half], returns[:, half : 2 * half]))
    lost = max(whole - sum(halves) / 2, 0.0)
    border = np.quantile(values, level, method="inverted_cdf")
    influence = border - np.maximum(border - values, 0) / level
    freedom = max(int(np.ceil(level * len(values))) - 1, 1)
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * float(influence.std(ddof=1)) / len(values) ** 0.5
    return Statement(whole + lost, whole - reach, whole + 2 * lost + reach)


def _tail_mean(values: NDArray[np.float64], level: float) -> float:
    border = np.quantile(values, level, method="inverted_cdf")
    return float(border - np.maximum(border - values, 0).mean() / level)


INTERVALS: Mapping[type, Callable[[Any, NDArray[np.float64], float], Statement]] = {
    Mean: _mean,
    Quantile: _quantile,
    CVaR: _cvar,
}
"""How the interval of each risk measure is found."""
