"""A weighted sample of a posterior, and the numbers that say how it is made."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float, Int

from bayesmdp.foundation.arrays import Array

__all__ = ["DEFAULT", "Particles", "Settings"]


class Settings(NamedTuple):
    """Numbers that shape the program; hashable.

    Attributes
    ----------
    particles : int
    threshold : float in (0, 1)
        Of the ESS, as a share of the particles.
    moves : int
        At most so many steps of Hamiltonian Monte Carlo after each resampling; fewer once particles have forgotten
        where they were.
    leapfrog : int
        Gradients a step.
    share : float in [0, 1]
        Of the particles that each call moves.
    """

    particles: int = 500
    threshold: float = 0.5
    moves: int = 100
    leapfrog: int = 2
    share: float = 0.05


DEFAULT = Settings()


class Particles(NamedTuple):
    """A weighted sample, and what it has taken in.

    Attributes
    ----------
    z : array [particle, size]
    choice : int array [particle]
    table : array [particle, row]
        Log-likelihoods of the rows, each seen once.
    log_weight : array [particle]
        Their exponentials sum to 1.
    size : float
        The effective sample size.
    taken : array [row]
        The rows' weights that the particles are weighted by.
    log_evidence : float
    log_step : float
        Of the leapfrog steps.
    root : array [size, size] or [size]
        Of the covariance of z when particles were last resampled: its Cholesky factor, or standard deviations.
    cursor : int
        The particle to be moved next.
    resampled, moved : float
        How many times; and how many moves that took.
    failed : bool
        Whether all particles, or nearly all, gave the data probability 0.
    """

    z: Float[Array, "particle size"]
    choice: Int[Array, " particle"]
    table: Float[Array, "particle row"]
    log_weight: Float[Array, " particle"]
    size: Float[Array, ""]
    taken: Float[Array, " row"]
    log_evidence: Float[Array, ""]
    log_step: Float[Array, ""]
    root: Float[Array, "size ..."]
    cursor: Int[Array, ""]
    resampled: Float[Array, ""]
    moved: Float[Array, ""]
    failed: Bool[Array, ""]
