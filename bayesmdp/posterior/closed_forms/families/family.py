"""What a conjugate family is: how it is recognised, drawn from and told apart, and how data change its parameters.

Parameters are arrays [..., parameter] in the order of `labels`, those of a Dirichlet [..., category]. What is made of
NumPy's arrays is NumPy's, and what is made of JAX's is JAX's, unless a return type says otherwise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.closed_forms.families.example import Example
from bayesmdp.posterior.closed_forms.families.likelihood import Likelihood

__all__ = ["ExponentialFamily", "Family", "Values", "stacked"]

type Values = tuple[Any, ...]
"""One array [...] for each site of the family: (x,), (t,) or (t, x)."""


class Family(ABC):
    """A family of distributions whose posterior under some likelihood is in the family again.

    Attributes
    ----------
    name : str
        What it is called in messages, in the attrs of a posterior, and in the registry.
    labels : tuple of str
        What its parameters are called; none for a Dirichlet, whose last axis is the site's own.
    event_dim : int
        Axes of one draw, as NumPyro counts them.
    simplex : bool
        Whether it is a distribution over distributions, whose parameters count observations.
    has_normal : bool
        Whether its draws are made of standard normal ones.
    likelihood : Likelihood or None
        What a site is that observes an unknown of the family directly, in models of recorded primitives. A family that
        has one also has `log_normaliser`, `distinct_values` and `values_that_allow_all`.
    """

    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]] = ()
    event_dim: ClassVar[int] = 0
    simplex: ClassVar[bool] = False
    has_normal: ClassVar[bool] = False
    likelihood: ClassVar[Likelihood | None] = None

    def of(self, kind: type, parameters: Mapping[str, Any]) -> NDArray[Any] | None:
        """The parameters [..., parameter] of a NumPyro distribution; None if it is of another family.

        Parameters
        ----------
        kind : type
            Its class, under expansions.
        parameters : mapping
            Its parameters by NumPyro's names.
        """
        return None

    def gamma_shape(self, parameters: Array) -> Array | None:
        """Shapes [...] of the standard Gamma variables that a draw is made of; None if it is made of none."""
        return None

    @abstractmethod
    def example(self) -> Example:
        """A prior and data for the contract test of families."""

    @abstractmethod
    def draws(self, parameters: Array, log_gamma: Array | None, normal: Array | None) -> Values:
        """Draws [draw, ...] of each site from logs of Gamma variables and standard normal ones."""

    @abstractmethod
    def moments(self, parameters: Array) -> tuple[Array, Array]:
        """Mean and variance [...] of its last site; infinite or NaN where it has none."""

    def log_normaliser(self, parameters: NDArray[np.float64]) -> float:
        """Log of the integral of the density without its constants, summed over all elements."""
        raise NotImplementedError

    def distinct_values(self, rng: np.random.Generator, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """Possible values of a site of which no two elements are equal."""
        raise NotImplementedError

    def values_that_allow_all(self, parameters: NDArray[np.float64], stretch: float) -> NDArray[np.float64]:
        """Values of a site under which all data are possible that may be.

        Where those are the far ones, `stretch` (above 1) says how far beyond the least possible value they lie.
        """
        raise NotImplementedError

    def trial_values(
        self, rng: np.random.Generator, prior: NDArray[Any], shape: tuple[int, ...], number: int
    ) -> NDArray[np.float64] | None:
        """Random values of a site to try a model at, the further out the larger the trial's number from 0 on.

        None where the moderate ones that any run of a model is given will do.
        """
        return None


class ExponentialFamily(Family):
    """A family whose rows' parts add up: its density is ``exp(eta . T(x) - A(eta))``.

    Its `statistics` and `log_density` are of values in its own form: that of the site unless it says otherwise in
    `site_value`.

    Attributes
    ----------
    complaint : str or None
        What a row's log-likelihood is not, where it has no closed form; {0} and {1} stand for the sites. None if that
        is said of all unknowns at once.
    improper_complaint : str
        How a row's log-likelihood behaves that leaves no posterior; {0} stands for the site.
    parts : (Family, Family) or ()
        Of a joint family of two sites: that of the first, and that of the second given the first.
    relation : str
        How the second site's prior must depend on the first, for the message that says it does not.
    """

    complaint: ClassVar[str | None] = None
    improper_complaint: ClassVar[str] = "it grows without bound with {0!r}"
    parts: ClassVar[tuple[Family, ...]] = ()
    relation: ClassVar[str] = ""

    @abstractmethod
    def natural(self, prior: Array) -> Array:
        """Natural parameters [..., statistic] of the prior."""

    @abstractmethod
    def standard(self, natural: Array, prior: Array) -> Array:
        """Parameters [..., parameter] from natural ones."""

    @abstractmethod
    def statistics(self, values: Values, prior: NDArray[np.float64]) -> NDArray[np.float64]:
        """T [..., statistic]."""

    @abstractmethod
    def random_values(self, rng: np.random.Generator, prior: NDArray[np.float64], spread: float) -> Values:
        """Random values of each site in the interior, no two elements alike, about what the prior expects."""

    @abstractmethod
    def improper(self, coefficient: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Rows [row] whose log-likelihood may grow without bound, so that enough of them leave no posterior."""

    @abstractmethod
    def mean(self, parameters: NDArray[np.float64]) -> Values:
        """A point well inside, near the mean of each site, in the family's own form."""

    @abstractmethod
    def log_density(self, values: Values, parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log density [...] of each element, jointly for all sites."""

    def site_value(self, value: Array) -> Array:
        """What the model has at a site, from a value, or a change of it, in the family's own form."""
        return value

    def join(
        self, first: NDArray[np.float64], first_prior: NDArray[np.float64], second_priors: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """The parameters [..., parameter] of a joint family, from several runs of a model; None if it is none.

        Parameters
        ----------
        first : array [run, ...]
            Values of the first site.
        first_prior : array [..., parameter]
            Parameters of the first site's prior.
        second_priors : array [run, ..., parameter]
            Parameters of the second site's prior at these values.
        """
        return None


def stacked(*parameters: Any) -> NDArray[Any]:
    """Parameters [..., parameter] from an array of each."""
    return np.stack(np.broadcast_arrays(*parameters), -1)
