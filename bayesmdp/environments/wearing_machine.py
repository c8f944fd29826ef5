"""A machine that wears: run it, spare it or repair it. A linear MDP whose states are numbers.

The state x in [0, 1] is the wear, 0 when new. With b_i the Bernstein polynomials of degree 3, which are positive and
sum to 1,

    r(x, a) = sum_i b_i(x) reward[a, i],    P(. | x, a) = sum_i b_i(x) Kumaraswamy(p[a, i], q[a, i]),

so features are b_i(x) in the place of the action, d = 12. A Kumaraswamy distribution on [0, 1] has the distribution
function 1 - (1 - x^p)^q, which is easily inverted. Running earns most and wears most; sparing earns less; a repair
earns nothing and leaves the machine almost new. It is best to run up to a wear of .21, to spare up to .66, then to
repair. The numbers are ours.

The gain and the bias come of relative value iteration: next states enter through w[a, i], the bias' mean under each
distribution, so that it is an iteration on 12 numbers; each is a midpoint sum over quantiles.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.continuous_mdp import ContinuousMDP

__all__ = ["wearing_machine"]

ACTIONS = ("run", "spare", "repair")
REWARD = ((1.0, 0.9, 0.5, 0.0), (0.7, 0.7, 0.6, 0.1), (0.0, 0.0, 0.0, 0.0))
LOWER = ((1.5, 3.0, 6.0, 9.0), (1.0, 2.0, 3.5, 6.0), (1.0, 1.0, 1.0, 1.0))
UPPER = ((6.0, 4.0, 3.0, 1.2), (12.0, 8.0, 6.0, 3.0), (30.0, 20.0, 15.0, 10.0))
QUANTILES = 4_000
BINOMIAL = (1.0, 3.0, 3.0, 1.0)


class _Machine(NamedTuple):
    """Arrays [action, polynomial]."""

    reward: Array
    lower: Array
    upper: Array


def wearing_machine() -> ContinuousMDP:
    """A machine that wears: run, spare or repair it; its wear is a number, 0 at the start.

    Returns
    -------
    ContinuousMDP
        States in [0, 1]; actions run, spare and repair; 12 features; ``gain`` and ``span`` to about 1e-6.

    Notes
    -----
    *What it asks.* Linear methods where states are numbers, with a gain that is known.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> machine = bm.environments.wearing_machine()
    >>> round(machine.gain, 3), round(machine.span, 2)
    (0.699, 0.81)
    """
    gain, span = _solution()
    return ContinuousMDP(
        view=_view,
        draw=_draw,
        parameters=_machine(),
        start=0.0,
        actions=ACTIONS,
        gain=gain,
        span=span,
        name="wearing-machine",
    )


def _machine() -> _Machine:
    return _Machine(*(np.array(table) for table in (REWARD, LOWER, UPPER)))


def _quantile(
    lower: Float[Array, "..."], upper: Float[Array, "..."], share: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Return a quantile of a Kumaraswamy distribution."""
    return (1 - (1 - share) ** (1 / upper)) ** (1 / lower)


def _polynomials(x: Float[Array, "..."], xp: Any = jnp) -> Float[Array, "... polynomial"]:
    """Return the Bernstein polynomials of degree 3 at some states [..., polynomial]."""
    powers = xp.arange(4)
    return xp.asarray(BINOMIAL) * x[..., None] ** powers * (1 - x[..., None]) ** (3 - powers)


def _view(machine: _Machine, x: Float[Array, ""]) -> tuple[Float[Array, "action feature"], Float[Array, " action"]]:
    """Return the features of each action and its reward."""
    weights = _polynomials(x)
    return jnp.kron(jnp.eye(len(ACTIONS)), weights), machine.reward @ weights


def _draw(
    machine: _Machine, uniforms: Float[Array, " draw"], x: Float[Array, ""], action: Int[Array, ""]
) -> Float[Array, ""]:
    """Draw the next state: the first number picks a distribution, the second its quantile."""
    which = jnp.minimum(jnp.sum(jnp.cumsum(_polynomials(x)) <= uniforms[0]), 3)
    return _quantile(machine.lower[action, which], machine.upper[action, which], uniforms[1])


@cache
def _solution(tolerance: float = 1e-12) -> tuple[float, float]:
    """Return gain and span, by iterating on the coefficients of the bias."""
    reward, lower, upper = _machine()
    u = (np.arange(QUANTILES) + 0.5) / QUANTILES
    reached = _quantile(lower[..., None], upper[..., None], u)  # [action, polynomial, quantile]
    weights = _polynomials(reached, np)
    mean = np.zeros(reward.shape)
    while True:
        bias = (weights @ (reward + mean).T).max(-1)
        new = bias.mean(-1)
        change = new - mean
        mean = new - new[0, 0]
        if np.ptp(change) < tolerance:
            break
    everywhere = (_polynomials(np.linspace(0, 1, 10_001), np) @ (reward + mean).T).max(-1)
    return float(change.mean()), float(np.ptp(everywhere))
