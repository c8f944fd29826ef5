"""Families of real or positive unknowns, whose rows' coefficients follow from a few derivatives.

They are written in coordinates z (of a real unknown) and tau (of a positive one) in which the prior has mean 0 and
scale 1, so that numbers keep their digits whatever the units of the rewards.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesmdp.posterior.closed_forms.families.family import ExponentialFamily, Values

__all__ = ["LEAST_LOG", "NEAR_ZERO", "ROUNDING", "Equations", "Smooth", "whole_counts"]

type Equations = tuple[tuple[tuple[float, ...], int], ...]

NEAR_ZERO = 1e-3
"""A precision small beside its prior mean, where a log-likelihood is its log's alone."""

LEAST_LOG = -600.0
"""Logs of Gamma variables below are cut off: 1 / sqrt(t) is then 1e130 and not infinite."""

ROUNDING = 1e-9
"""The share of a row's largest coefficient below which a negative one is taken to be 0."""


class Smooth(ExponentialFamily):
    """An exponential family of real or positive unknowns.

    Attributes
    ----------
    equations : tuple of (point, which)
        Points in the coordinates z, tau, and the coordinate (log tau, or z) along which to differentiate there: as many
        as there are statistics.
    complaint : str
        What a row's log-likelihood is not, where it has no closed form; {0} and {1} stand for the sites.
    """

    equations: ClassVar[Equations]
    complaint: ClassVar[str]

    @abstractmethod
    def place(self, point: Values, prior: NDArray[np.float64]) -> Values:
        """The unknowns at given coordinates."""

    @abstractmethod
    def units(self, values: Values, prior: NDArray[np.float64]) -> Values:
        """How fast each unknown moves along its coordinate."""

    @abstractmethod
    def gradient(self, point: tuple[float, ...]) -> NDArray[np.float64]:
        """Derivatives [coordinate, statistic] of T."""

    @abstractmethod
    def random_point(self, rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Values:
        """Random coordinates, an array of the given shape of each."""

    def random_values(self, rng: np.random.Generator, prior: NDArray[np.float64], spread: float) -> Values:
        return self.place(self.random_point(rng, prior.shape[:-1], spread), prior)

    @abstractmethod
    def unrounded(
        self, coefficient: NDArray[np.float64], largest_slope: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Coefficients without what rounding has made of them, and the rows [row] of which it has left nothing.

        Parameters
        ----------
        coefficient : array [row, statistic]
        largest_slope : array [row]
            The largest in size of the derivatives that the coefficients are differences of.
        """


def whole_counts(
    coefficient: NDArray[np.float64], largest_slope: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`Smooth.unrounded` where the first statistic is a count, or half of one.

    It is the difference of slopes that may be far larger.

    Parameters
    ----------
    coefficient : array [row, statistic]
    largest_slope : array [row]

    Returns
    -------
    coefficient : array [row, statistic]
    lost : bool array [row]
        Where rounding cannot tell.
    """
    rounding = 1e-14 * largest_slope
    nearest = np.round(2 * coefficient[:, 0]) / 2
    near = np.abs(coefficient[:, 0] - nearest) < np.maximum(rounding, 1e-8)
    first = np.where(near, nearest, coefficient[:, 0])
    return np.concatenate([first[:, None], coefficient[:, 1:]], -1), rounding > 0.2
