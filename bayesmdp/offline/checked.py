"""By how much what a log says exceeds the truth in worlds where that is known, and what this does to the numbers said.

A *bound* that exceeds the truth is lowered by the excess that is the ceil((1 - level) (B + 1))-th smallest of B logs of
a world, the rank at which a further log of that world would be kept with probability 1 - level (exchangeability); of
the larger one of all worlds, if it is positive.

An *interval* is moved apart by the same rule (conformalised quantile regression: Romano, Patterson and Candès, 2019):
its miss is how far the truth lies outside of it, negative inside, and both ends go outwards by the miss of that rank,
if it is positive. Intervals here are those between the 5% and the 95% quantile of draws, and are to hold the truth with
probability .9.

That either is done with the larger number of several worlds, none of which is the true one, is ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmdp.planning.quantile_interval import left_quantile

__all__ = ["INTERVAL", "Calibration", "Checked", "CheckedInterval", "LogErrors", "apart", "judge_errors", "middle_of"]

INTERVAL = 0.9
"""Probability with which an interval is to hold the truth."""

ROUNDING = 1e-12
"""Of the largest value, by which sums of rewards may differ that are the same."""


class LogErrors(NamedTuple):
    """By how much what one log says exceeds the truth.

    Attributes
    ----------
    bound, mean : float
        The quantile at the level, and the mean, of the policy's value, less its true value.
    gain_bound, gain_mean : float
        The same of its gain; 0 where nothing is said of today.
    today : float
        How far the true value of today's policy lies outside of its interval; negative inside.
    """

    bound: float
    mean: float
    gain_bound: float
    gain_mean: float
    today: float

    @classmethod
    def of(
        cls,
        values: NDArray[np.float64],
        gains: NDArray[np.float64] | None,
        truth: float,
        truth_today: float,
        level: float,
        *,
        today: NDArray[np.float64] | None = None,
    ) -> LogErrors:
        """Compare draws [draw] of a policy's value, and of its gain over today's, with what both are truly worth.

        Parameters
        ----------
        values : array [draw]
        gains : array [draw] or None
            Of all draws, or of fewer; None where nothing is said of today.
        truth, truth_today : float
            What the policy, and what is done today, truly earns.
        level : float
        today : array [draw], optional
            Values of what is done today; by default the policy's less its gains.
        """
        size = float(np.abs(values).max())
        bound, mean = apart(left_quantile(values, level), truth, size), apart(values.mean(), truth, size)
        if gains is None:
            return cls(bound, mean, 0.0, 0.0, 0.0)
        gain, (low, high) = truth - truth_today, middle_of(values - gains if today is None else today)
        return cls(
            bound,
            mean,
            apart(left_quantile(gains, level), gain, size),
            apart(gains.mean(), gain, size),
            max(apart(low, truth_today, size), apart(truth_today, high, size)),
        )


class Checked(NamedTuple):
    """How one promise did: that of the value, or that of the gain.

    Attributes
    ----------
    kept : int
        Of the bounds as they are computed.
    lowered : float
        How much the bound is lowered.
    kept_lowered : int
        Of the bounds lowered by so much.
    by_world : dict of (kept, excess) by name
    split : float
        How much more one half of the log says of its policy than the other half does, over the square root of 2.
    mean_excess : array [world, log]
        By how much the posterior's mean was more than the truth.
    """

    kept: int
    lowered: float
    kept_lowered: int
    by_world: dict[str, tuple[int, float]]
    split: float
    mean_excess: NDArray[np.float64]

    def chance(self, mean: float) -> float:
        """Probability that the truth is above 0, where the posterior's mean is what it is.

        In a world with B logs the truth of one more is as likely to be ``mean`` less any of their excesses, or beyond
        them, so that with probability ``number of excesses below mean / (B + 1)`` it is above 0 (a conformal predictive
        distribution); the smaller of the worlds', of a mean less what the halves of the log say too much.
        """
        below = self.mean_excess < mean - max(0.0, self.split)
        return float(below.sum(-1).min() / (below.shape[-1] + 1))


class CheckedInterval(NamedTuple):
    """How an interval did.

    Attributes
    ----------
    kept : int
        Of the logs, those whose interval held the truth.
    wider : float
        How much both ends are moved outwards.
    """

    kept: int
    wider: float


class Calibration(NamedTuple):
    """How promises did.

    Attributes
    ----------
    logs : int
        In all, the same number of each world.
    value : Checked
    gain : Checked, or None
        None where nothing is said of what is done today.
    today : CheckedInterval, or None
        Of what is earned today; None as for the gain.
    """

    logs: int
    value: Checked
    gain: Checked | None
    today: CheckedInterval | None


def apart(number: Any, truth: float, size: float) -> float:
    """Return a number less the truth; 0 where only the rounding of values of a size sets them apart."""
    difference = float(number) - truth
    return difference if abs(difference) > ROUNDING * size else 0.0


def middle_of(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the interval in which the middle 90% of draws [draw] lie."""
    outside = (1 - INTERVAL) / 2
    low, high = np.quantile(draws, [outside, 1 - outside], method="inverted_cdf")
    return float(low), float(high)


def judge_errors(
    errors: list[LogErrors], worlds: list[str], split: tuple[float, float], level: float, *, compared: bool
) -> Calibration:
    """Say by how much numbers are to be moved; see the module.

    Parameters
    ----------
    errors : list of LogErrors
        Of the same number of logs of each world, the first world's first.
    worlds : list of str
        Their names.
    split : (float, float)
        How much more one half of the log says of the value, and of the gain, than the other, over the square root of 2.
    level : float
    compared : bool
        Whether something is said of today.

    Returns
    -------
    Calibration
    """
    table = np.array(errors).reshape(len(worlds), -1, len(LogErrors._fields))
    told = {name: table[..., i] for i, name in enumerate(LogErrors._fields)}  # each [world, log]
    value = _judged(told["bound"], told["mean"], worlds, split[0], level)
    if not compared:
        return Calibration(len(errors), value, None, None)
    gain = _judged(told["gain_bound"], told["gain_mean"], worlds, split[1], level)
    outside = told["today"]
    wider = max(_at_rank(own, 1 - INTERVAL) for own in outside)
    rounding = _rounding(outside)
    return Calibration(
        len(errors), value, gain, CheckedInterval(int((outside <= rounding).sum()), wider if wider > rounding else 0.0)
    )


def _judged(
    excess: NDArray[np.float64], mean_excess: NDArray[np.float64], names: list[str], split: float, level: float
) -> Checked:
    """By how much bounds that exceed the truth by so much [world, log] are to be lowered."""
    by_world = {
        name: (int((own <= _rounding(own)).sum()), _at_rank(own, level))
        for name, own in zip(names, excess, strict=True)
    }
    lowered = max(0.0, *(taken for _, taken in by_world.values())) + max(0.0, split)
    if lowered <= _rounding(excess):
        lowered = 0.0
    kept = sum(kept for kept, _ in by_world.values())
    return Checked(kept, lowered, int((excess <= lowered + _rounding(excess)).sum()), by_world, split, mean_excess)


def _at_rank(own: NDArray[np.float64], level: float) -> float:
    """The number [log] that a further log of the same world would exceed with probability `level`."""
    rank = min(int(np.ceil((1 - level) * (len(own) + 1))), len(own))
    return float(np.sort(own)[rank - 1])


def _rounding(excess: NDArray[np.float64]) -> float:
    """A promise that is off by rounding is kept."""
    return 1e-9 * float(np.abs(excess).max())
