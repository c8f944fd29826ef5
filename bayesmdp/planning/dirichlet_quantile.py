"""The exact quantile of a Dirichlet posterior's target: no draws, and no Monte Carlo error.

Where a row of the kernel is Dirichlet(a), the target is ``p . v`` with ``v = r + discount c V``.
:mod:`~bayesmdp.planning.dirichlet_mean` gives its distribution function F, its density f and the row ``E[p | p . v =
x]``; here F(x) = level is solved by Newton's method in a bracket. Where Newton leaves the bracket or gains too little,
which is where F is steep or flat near one of the v, that v is tried, and then points halfway to the nearest ones on a
logarithmic scale.

What is promised. F is known to within its estimated ``error``, some 1e-14 at moderate concentrations and 1e-12 at
concentrations of 1e5, and the quantile to::

    2 (|F(q) - level| + error) / f(q) + 8 eps max|v|,

which it is returned with and which solvers add to their bound. Where concentrations are far below 1, F may be so flat
that this is large, and then many a number is nearly as good a quantile; or so steep at one of the v, that F passes the
level between two neighbouring floats, and then the quantile is that v to within 8 eps max|v|. The factor 2 allows for
the change of f nearby. 64 bit is needed: with less the errors are those of the precision.

A row with one outcome of positive concentration, or with all v equal, is worth v.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import ndtri
from jaxtyping import Bool, Float, Int, Shaped

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.dirichlet_mean import mean_distribution
from bayesmdp.planning.operators import Draws, next_value
from bayesmdp.planning.quantile import level_text, level_within
from bayesmdp.problems.problem import Problem

__all__ = ["Attained", "DirichletQuantile", "dirichlet_quantile"]

CHUNK = 2**12
"""Numbers v solved for together, in at most 64 rows, which all take as long as the slowest of them."""

MOST_STEPS = 200

TRUSTED = 1e-6
"""Estimated error of the distribution function up to which it tells on which side the quantile lies."""


class Attained(NamedTuple):
    """Where an exact quantile is attained.

    Attributes
    ----------
    row : array [state, action, outcome]
        ``E[p | p . v = q]``.
    error : array [state, action]
        At least the error of the quantile.
    """

    row: Float[Array, "state action outcome"]
    error: Float[Array, "state action"]


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class DirichletQuantile:
    """The quantile of the target under Dirichlet rows: `Quantile` with infinitely many draws.

    Its ``draws.transition`` holds concentrations [1 or absent, state, action, outcome] instead of probabilities, 0 for
    what cannot be; the reward is known, [state, action, outcome or 1]. `plan` makes this from ``quantile="exact"``.

    Parameters
    ----------
    level : float or array [state, action]
        Strictly between 0 and 1; accurate from .001 to .999. May be a traced array, which is then not checked.

    Raises
    ------
    ValueError, TypeError
        For a level outside (0, 1) or of another shape.

    Examples
    --------
    >>> import jax, numpy as np, bayesmdp as bm
    >>> print(DirichletQuantile(0.1))
    quantile:0.1 exact
    >>> chain = bm.MDP(reward=np.array([[[0.0, 1.0]], [[0.0, 0.0]]]), discount=0.5)
    >>> draws = Draws(np.array([[[1.0, 1.0]], [[1.0, 1.0]]]), chain.reward)
    >>> with jax.enable_x64(True):  # uniform on [0, 1]
    ...     q, attained = DirichletQuantile(0.1).evaluate(chain.problem, draws, np.zeros(2))
    >>> round(float(q[0, 0]), 12), attained.row[0, 0].round(12).tolist()
    (0.1, [0.9, 0.1])
    """

    level: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", level_within(self.level))

    def prepare(self, draws: Draws) -> Draws:
        """Return concentrations [1, state, action, outcome] and the reward, as they are."""
        return Draws(draws.transition.reshape(-1, *draws.transition.shape[-3:]), draws.reward)

    def evaluate(
        self, problem: Problem, draws: Draws, value: Float[Array, " state"], attained: Attained | None = None
    ) -> tuple[Float[Array, "state action"], Attained]:
        """Return the quantile of each pair, and the row at which it is attained; see `Risk.evaluate`."""
        concentration = draws.transition.reshape(draws.transition.shape[-3:])
        shape = concentration.shape
        v = jnp.broadcast_to(problem.discount * next_value(problem, value), shape)
        # A reward that all outcomes share is added last, so that it costs no precision.
        shared = draws.reward.shape[-1] == 1
        if not shared:
            v = v + draws.reward
        live = problem.continuation[:, None] > 0
        concentration = jnp.where(live[..., None], concentration, 0)
        level = jnp.broadcast_to(self.level, shape[:2])
        hint = None if attained is None else jnp.sum(attained.row * v, axis=-1).ravel()
        q, row, error = dirichlet_quantile(
            concentration.reshape(-1, shape[2]), v.reshape(-1, shape[2]), level.ravel(), hint
        )
        q = q.reshape(shape[:2])
        if shared:
            q = jnp.where(live, q + draws.reward[..., 0], 0)
        return q, Attained(row.reshape(shape), error.reshape(shape[:2]))

    def error(self, attained: Attained) -> Float[Array, "state action"]:
        """Return a bound on the error of the quantile [state, action]."""
        return attained.error

    def rows(
        self, draws: Draws, attained: Attained, policy: Int[Array, " state"]
    ) -> tuple[Float[Array, "state outcome"], Float[Array, "state outcome_or_1"]]:
        """Return the rows at which the chosen pairs' quantiles are attained, and their rewards; see `Risk.rows`."""
        states = jnp.arange(policy.shape[0])
        return attained.row[states, policy], jnp.asarray(draws.reward)[states, policy]

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        return (self.level,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any]) -> Self:
        # Past the checks: JAX also puts shapes, axes and placeholders in the leaves.
        """Put a measure together again, for JAX."""
        risk = object.__new__(cls)
        object.__setattr__(risk, "level", children[0])
        return risk

    def __str__(self) -> str:
        return f"quantile:{level_text(self.level)} exact"


def dirichlet_quantile(
    concentration: Float[Array, "row outcome"],
    numbers: Float[Array, "row outcome"],
    level: Float[Array, " row"],
    hint: Float[Array, " row"] | None = None,
) -> tuple[Float[Array, " row"], Float[Array, "row outcome"], Float[Array, " row"]]:
    """Quantiles of ``p . v`` for Dirichlet rows p, some rows at a time.

    Parameters
    ----------
    concentration, numbers : array [row, outcome]
    level : array [row]
    hint : array [row], optional
        Where to start looking.

    Returns
    -------
    q : array [row]
    attained : array [row, outcome]
        ``E[p | p . v = q]``, which is also the derivative of q by v; the mean of p where all v are equal.
    error : array [row]
        At least the error of q.

    Examples
    --------
    >>> import jax, numpy as np
    >>> with jax.enable_x64(True):  # Beta(1, 2): 1 - sqrt(1 - level)
    ...     solved = dirichlet_quantile(np.array([[2.0, 1]]), np.array([[0.0, 1]]), np.array([0.36]))
    >>> q, attained, error = (part.tolist()[0] for part in solved)
    >>> round(q, 12), error < 1e-12
    (0.2, True)
    """
    total, width = numbers.shape
    inputs = (jnp.asarray(concentration), jnp.asarray(numbers), jnp.asarray(level), hint)
    if width == 1:
        v = inputs[1]
        return v[:, 0], jnp.ones_like(v), jnp.zeros_like(v[:, 0])
    # Small concentrations take longest, so they are put together.
    order = jnp.argsort(jnp.sum(inputs[0], axis=-1))
    size = max(1, min(total, 64, CHUNK // width))
    blocks = -(-total // size)

    def block(numbers: Array) -> Array:
        # Rows that fill up the last block have no concentration and cost nothing.
        padded = jnp.pad(numbers[order], [(0, blocks * size - total)] + [(0, 0)] * (numbers.ndim - 1))
        return padded.reshape(blocks, size, *numbers.shape[1:])

    solved = lax.map(lambda part: _solve(*part), jax.tree.map(block, inputs))
    back = jnp.argsort(order)
    return jax.tree.map(lambda part: part.reshape(blocks * size, *part.shape[2:])[back], solved)


class _Rows(NamedTuple):
    """Rows to solve: concentrations `a`, numbers `v` between `least` and `most`, and the rounding `unit` of the v."""

    a: Float[Array, "row outcome"]
    v: Float[Array, "row outcome"]
    level: Float[Array, " row"]
    least: Float[Array, " row"]
    most: Float[Array, " row"]
    unit: Float[Array, " row"]


class _Search(NamedTuple):
    """A search for the quantile: `low` and `high` hold it, `at` is looked at next."""

    step: Int[Array, ""]
    at: Float[Array, " row"]
    low: Float[Array, " row"]
    high: Float[Array, " row"]
    miss: Float[Array, " row"]
    row: Float[Array, "row outcome"]
    error: Float[Array, " row"]
    doubt: Bool[Array, " row"]
    done: Bool[Array, " row"]


def _solve(
    a: Float[Array, "row outcome"],
    v: Float[Array, "row outcome"],
    level: Float[Array, " row"],
    hint: Float[Array, " row"] | None,
) -> tuple[Float[Array, " row"], Float[Array, "row outcome"], Float[Array, " row"]]:
    """Solve a block of rows together, as `dirichlet_quantile` returns them."""
    possible = a > 0
    total = jnp.sum(a, axis=-1)
    least = jnp.min(jnp.where(possible, v, jnp.inf), axis=-1)
    most = jnp.max(jnp.where(possible, v, -jnp.inf), axis=-1)
    certain_share = a / jnp.where(total > 0, total, 1)[:, None]
    mean = jnp.sum(certain_share * v, axis=-1)
    unit = np.finfo(v.dtype).eps * jnp.maximum(jnp.abs(least), jnp.abs(most))
    certain = ~(most - least > 8 * unit)
    rows = _without_certain(_Rows(a, v, level, least, most, unit), certain)

    total = jnp.sum(rows.a, axis=-1)
    share = rows.a / total[:, None]
    start = _start(rows, total, share, hint)
    nothing, no = jnp.full_like(start, jnp.inf), jnp.zeros(len(start), bool)
    search = _Search(jnp.int32(0), start, rows.least, rows.most, nothing, share, nothing, no, no)
    search = lax.while_loop(lambda s: (s.step < MOST_STEPS) & ~jnp.all(s.done), partial(_look, rows), search)
    width = rows.most - rows.least
    error = jnp.where(search.doubt, width, jnp.minimum(search.error, width))
    return (
        jnp.where(certain, mean, search.at),
        jnp.where(certain[:, None], certain_share, search.row),
        jnp.where(certain, 8 * np.finfo(v.dtype).eps * jnp.abs(mean), error),
    )


def _without_certain(rows: _Rows, certain: Bool[Array, " row"]) -> _Rows:
    """Put easy rows, whose solution is then not used, in the place of those with one possible number."""
    a, v, level, least, most, unit = rows
    easy = jnp.where(jnp.arange(v.shape[-1]) == 0, 0.0, 1.0)
    a, v = jnp.where(certain[:, None], 1.0, a), jnp.where(certain[:, None], easy, v)
    possible = a > 0
    least, most = jnp.where(certain, 0, least), jnp.where(certain, 1, most)
    unit = jnp.where(certain, 1e-3, unit)
    return _Rows(a, jnp.where(possible, v, least[:, None]), level, least, most, unit)


def _start(
    rows: _Rows, total: Float[Array, " row"], share: Float[Array, "row outcome"], hint: Float[Array, " row"] | None
) -> Float[Array, " row"]:
    """Return where to look first: at the hint, or else where a Normal of the same moments has its quantile."""
    a, v, level, least, most, unit = rows
    middle = jnp.sum(share * v, axis=-1)
    spread = jnp.sqrt(jnp.sum(share * (v - middle[:, None]) ** 2, axis=-1) / (1 + total))
    start = middle + ndtri(level) * spread
    if hint is not None:
        start = jnp.where((hint > least) & (hint < most), hint, start)
    return jnp.where((start > least) & (start < most), start, _between(a, v, unit, least, most, jnp.int32(0)))


def _look(rows: _Rows, search: _Search) -> _Search:
    """Compute F at the point of each row and shrink the bracket: Newton's step where it gains, a careful one else."""
    a, v, level, unit = rows.a, rows.v, rows.level, rows.unit
    x = search.at
    d = v - x[:, None]
    # A v that is x to rounding is taken to lie just beside it, where F has no corner.
    least_d = unit[:, None] / 2
    d = jnp.where(jnp.abs(d) < least_d, jnp.where(d < 0, -least_d, least_d), d)
    here = mean_distribution(a, d, jnp.zeros_like(x))
    density, miss = jnp.sum(here.rows, axis=-1), here.below - level
    hit = jnp.abs(miss) <= jnp.maximum(here.error, 2 * unit * density)
    low, high = jnp.where(miss < 0, x, search.low), jnp.where(miss < 0, search.high, x)
    narrow = high - low <= 4 * unit
    error = jnp.where(hit, 2 * (jnp.abs(miss) + here.error) / density, high - low) + 4 * unit
    # Should F ever be unknown, then so is the side on which the quantile lies, and nothing is promised.
    wrong = ~(jnp.abs(here.below - 0.5) <= 0.5 + TRUSTED)
    doubt = search.doubt | wrong | ~(here.error <= TRUSTED)
    newton = x - miss / density
    slow = jnp.abs(miss) > jnp.abs(search.miss) / 2
    good = (newton > low) & (newton < high) & ~slow
    following = jnp.where(good, newton, _between(a, v, unit, low, high, search.step))
    done = hit | narrow
    # A step that was forced to be careful is no measure for the next one.
    miss = jnp.where(good, miss, jnp.inf)
    new = _Search(
        search.step + 1,
        jnp.where(done, x, following),
        low,
        high,
        miss,
        here.rows / density[:, None],
        error,
        doubt,
        done,
    )
    keep = search.done
    return jax.tree.map(
        lambda now, before: now if jnp.ndim(now) == 0 else jnp.where(_along(keep, now), before, now), new, search
    )


def _along(mask: Bool[Array, " row"], like: Shaped[Array, "row ..."]) -> Bool[Array, "row ..."]:
    """Give a mask the trailing axes, of length 1, with which it broadcasts against an array."""
    return mask.reshape(mask.shape + (1,) * (like.ndim - 1))


def _between(
    a: Float[Array, "row outcome"],
    v: Float[Array, "row outcome"],
    unit: Float[Array, " row"],
    low: Float[Array, " row"],
    high: Float[Array, " row"],
    step: Int[Array, ""],
) -> Float[Array, " row"]:
    """A careful point strictly between `low` and `high`: one of the v, or halfway to the nearest one in magnitude."""
    possible, middle = a > 0, (low + high) / 2
    inside = possible & (v > (low + 4 * unit)[:, None]) & (v < (high - 4 * unit)[:, None])
    # The heaviest; of equals the one in the middle.
    score = jnp.where(inside, a * (1 - jnp.abs(v - middle[:, None]) / (high - low)[:, None]), -1)
    heaviest = jnp.take_along_axis(v, jnp.argmax(score, axis=-1)[:, None], axis=-1)[:, 0]
    left = jnp.max(jnp.where(possible & (v <= low[:, None]), v, -jnp.inf), axis=-1)
    right = jnp.min(jnp.where(possible & (v >= high[:, None]), v, jnp.inf), axis=-1)
    upward = left + jnp.sqrt(jnp.maximum(low - left, unit) * (high - left))
    downward = right - jnp.sqrt(jnp.maximum(right - high, unit) * (right - low))
    point = jnp.where(step % 2 == 0, upward, downward)
    point = jnp.where((point > low) & (point < high), point, middle)
    return jnp.where(jnp.any(inside, axis=-1), heaviest, point)
