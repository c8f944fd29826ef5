"""Quantiles over draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import finite_array, reject_first
from bayesmdp.planning.operators import Draws, expected_reward, once, target
from bayesmdp.planning.order_statistic import order_statistic
from bayesmdp.problems.problem import Problem

__all__ = ["OrderRisk", "Quantile", "level_text", "level_within", "quantile_budget"]


@dataclass(frozen=True, eq=False)
class OrderRisk:
    """What quantiles of draws and means of their tails share: a level, how many draws to use, and an order statistic.

    Parameters
    ----------
    level : float or array [state, action]
    num_draws : int or int array [state, action], optional
    """

    level: Array
    num_draws: Array | None = None

    name: ClassVar[str]
    whole: ClassVar[bool] = False
    """Whether level 1 is one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", level_within(self.level, whole=self.whole))
        if self.num_draws is not None and not isinstance(self.num_draws, jax.core.Tracer):
            number = np.asarray(self.num_draws)
            if not np.issubdtype(number.dtype, np.integer):
                raise TypeError(f"num_draws counts draws and must be integer; got dtype {number.dtype}")
            reject_first("num_draws", number < 1, number, "is no number of draws; a pair needs at least 1")
            object.__setattr__(self, "num_draws", np.minimum(number, 2**30).astype(np.int32))
        if self.num_draws is not None and np.ndim(self.num_draws) not in (0, 2):
            raise ValueError(f"num_draws is one number or [state, action]; got shape {np.shape(self.num_draws)}")

    def prepare(self, draws: Draws) -> Draws:
        """Return the same kernels, with the reward of each already averaged over outcomes."""
        return Draws(draws.transition, expected_reward(draws.transition, draws.reward))

    def used(self, total: int) -> Any:
        """Return how many of `total` draws a pair uses."""
        return total if self.num_draws is None else jnp.clip(self.num_draws, 1, total)

    def spare(self, total: int) -> Bool[Array, "draw _ _"] | None:
        """Mark which of `total` draws a pair does not use [draw, state, action]; None where all are used."""
        return None if self.num_draws is None else jnp.arange(total)[:, None, None] >= self.used(total)

    def select(
        self, targets: Float[Array, "draw state action"], attained: Int[Array, "state action"] | None = None
    ) -> Float[Array, "state action"]:
        """Return the ``ceil(level N)``-th smallest target of each pair.

        Parameters
        ----------
        targets : array [draw, state, action]
        attained : int array [state, action], optional
            Draws that are tried first.

        Returns
        -------
        array [state, action]
        """
        total, shape = targets.shape[0], targets.shape[1:]
        guess = None
        if attained is not None:
            guess = jnp.take_along_axis(targets, attained[None], axis=0)[0].ravel()
        spare = self.spare(total)
        if spare is not None:
            # A spare draw at the pair's largest target cannot change an order statistic of the others.
            targets = jnp.where(spare, jnp.max(targets, axis=0), targets)
        number = self.used(total)
        rank = jnp.clip(jnp.ceil(self.level * number), 1, number).astype(jnp.int32)
        rank = jnp.broadcast_to(rank, shape).ravel()
        return order_statistic(targets.reshape(total, -1), rank, guess=guess).reshape(shape)

    def tree_flatten(self) -> tuple[tuple[Any, Any], None]:
        return (self.level, self.num_draws), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any, Any]) -> Self:
        # Past the checks: JAX also puts shapes, axes and placeholders in the leaves.
        """Put a measure together again, for JAX."""
        risk = object.__new__(cls)
        for name, child in zip(("level", "num_draws"), children, strict=True):
            object.__setattr__(risk, name, child)
        return risk

    def __str__(self) -> str:
        draws = "" if self.num_draws is None else f" of {level_text(self.num_draws)} draws"
        return f"{self.name}:{level_text(self.level)}{draws}"


def level_within(level: Any, *, whole: bool = False) -> Any:
    """Check a level, and return it as float64 unless it is traced.

    Parameters
    ----------
    level : float or array [state, action]
    whole : bool
        Whether level 1 is one.

    Returns
    -------
    float64 array, or the traced one as it is

    Raises
    ------
    ValueError, TypeError
        For a level outside (0, 1), or (0, 1] if `whole`, or of another shape.
    """
    if not isinstance(level, jax.core.Tracer):
        level = finite_array("level", level)
        inside = (level > 0) & ((level <= 1) if whole else (level < 1))
        remedy = "levels lie above 0 and are at most 1" if whole else "levels lie strictly between 0 and 1"
        reject_first("level", ~inside, level, "is no level", remedy=remedy)
    if len(np.shape(level)) not in (0, 2):
        raise ValueError(f"level is one number or [state, action]; got shape {np.shape(level)}")
    return level


def level_text(given: Any) -> str:
    """Write one number, or the range of several."""
    low, high = np.min(given), np.max(given)
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class Quantile(OrderRisk):
    """A posterior quantile of the target: below one half cautious, above it optimistic.

    Parameters
    ----------
    level : float or array [state, action]
        Strictly between 0 and 1. May be a traced array, which is then not checked.
    num_draws : int or int array [state, action], optional
        How many of the draws a pair uses, the first ones; more than there are means all, as does None.

    Raises
    ------
    ValueError, TypeError
        For a level outside (0, 1), a number of draws below 1, or another shape.

    See Also
    --------
    bayesmdp.Mean : what is earned on average.
    bayesmdp.CVaR : the mean of the worst part, which heeds how bad it gets.

    Examples
    --------
    >>> print(Quantile(0.1))
    quantile:0.1
    >>> Quantile([[0.1, 1.2]])
    Traceback (most recent call last):
    ...
    ValueError: level[0, 1] = 1.2, which is no level; levels lie strictly between 0 and 1
    """

    name = "quantile"

    def value(self, targets: Float[Array, "draw state action"]) -> Float[Array, "state action"]:
        """Return the quantile over the draws.

        Parameters
        ----------
        targets : array [draw, state, action]

        Returns
        -------
        array [state, action]
            Equal to ``numpy.quantile(targets, level, axis=0, method="inverted_cdf")`` where all draws are used.
        """
        return self.select(jnp.asarray(targets))

    def evaluate(
        self,
        problem: Problem,
        draws: Draws,
        value: Float[Array, " state"],
        attained: Int[Array, "state action"] | None = None,
    ) -> tuple[Float[Array, "state action"], Int[Array, "state action"]]:
        """Return the quantile of each pair, and the (first) draw that attains it; see `Risk.evaluate`."""
        # The quantile is one of the targets, and the draw that attains it is found by equality.
        targets = once(target(problem, draws.transition, draws.reward, value))
        q = self.select(targets, attained)
        return q, attaining_draw(targets, q)

    def rows(
        self, draws: Draws, attained: Int[Array, "state action"], policy: Int[Array, " state"]
    ) -> tuple[Float[Array, "state outcome"], Float[Array, "state outcome_or_1"]]:
        """Return the rows of the draws that attain the chosen pairs' quantiles; see `Risk.rows`."""
        states = jnp.arange(policy.shape[0])
        draw = attained[states, policy]
        reward = jnp.asarray(draws.reward)
        if reward.ndim == 3:
            return draws.transition[draw, states, policy], reward[states, policy]
        return draws.transition[draw, states, policy], reward[draw % reward.shape[0], states, policy]


def attaining_draw(
    targets: Float[Array, "draw state action"], q: Float[Array, "state action"]
) -> Int[Array, "state action"]:
    """Find the draw at which an order statistic is attained.

    Parameters
    ----------
    targets : array [draw, state, action]
    q : array [state, action]
        One of the targets of each pair.

    Returns
    -------
    int32 array [state, action]
        The first draw whose target is `q`.
    """
    # Not argmax, a reduction over (value, index) pairs that XLA does not vectorise on a CPU.
    draw = jnp.arange(targets.shape[0], dtype=jnp.int32)[:, None, None]
    return jnp.min(jnp.where(targets == q, draw, targets.shape[0] - 1), axis=0)


@jax.jit
def quantile_budget(level: ArrayLike, scale: ArrayLike) -> Int[Array, "..."]:
    """Return the draws that give the sample quantile the same precision at every level (EC.23).

    Parameters
    ----------
    level : array [...]
    scale : float or array [...]

    Returns
    -------
    int32 array [...]
        ``ceil(scale * level (1 - level) / pdf(z)^2)``, at least 1.

    Examples
    --------
    >>> print(quantile_budget([0.5, 0.1, 0.99], 100.0))
    [ 158  293 1394]
    """
    level = jnp.asarray(level)
    # JAX's `ndtri` would take four times as long to compile: .2 s for each agent that plans at a level.
    z = np.sqrt(2) * lax.erf_inv(2 * level - 1)
    density = jnp.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    # Capped where int32 ends, so that an extreme level asks for very many draws and not for a negative number.
    wanted = jnp.ceil(scale * level * (1 - level) / density**2)
    # At a level so extreme that the density vanishes this is 0 / 0.
    return jnp.where(jnp.isnan(wanted), 2**30, jnp.clip(wanted, 1, 2**30)).astype(jnp.int32)
