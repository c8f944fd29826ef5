"""What a policy is worth under each posterior draw: the honest statement beside what a plan promises.

A plan's value is the risk of one step at a time; the value of the policy over the whole future is a random number with
a posterior of its own. For draws P_1, ..., P_M of the kernel and a policy pi, ``V_m = (I - discount P_m,pi)^-1
r_m,pi`` (of an MDP with stages, the reward of the rest of an episode), and the *posterior quantile value* at a level is
the left quantile, the ``ceil(level M)``-th smallest, of the V_m (NumPy's ``inverted_cdf``, rounding of the product
included): Song, Wang and Zhou (2026), EC.24. Its Monte Carlo interval is between order statistics: the number of draws
below the true quantile is Binomial(M, level), whatever the distribution is.

A policy chosen with the same draws looks better under them than it is, as any fit does; use fresh ones.

All of this is said of the posterior that the draws are from. Where a successor table lumps what was not seen as worth
its mean (:mod:`bayesmdp.problems.elsewhere`), that posterior has no doubt about the shares of what is lumped, and the
truth may be less certain than it says; lumped as the least, values are lower bounds instead.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import xarray as xr
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Float, Num
from numpy.typing import NDArray
from scipy import stats

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.planning.finite_horizon import backward_induction, episode_value
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.policy_values import policy_evaluation
from bayesmdp.planning.posterior_draws import read_dataset, read_draws
from bayesmdp.planning.risk import Mean
from bayesmdp.planning.solvers import policy_iteration
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities
from bayesmdp.problems.problem import Problem

__all__ = ["downside_exposure", "left_quantile", "order_interval", "quantile_value", "value_draws", "values_under"]


def value_draws(posterior: xr.DataTree | xr.Dataset, mdp: MDP, policy: str | ArrayLike | xr.DataArray) -> xr.DataArray:
    """Return the value of a policy under each posterior draw.

    Parameters
    ----------
    posterior : DataTree or Dataset
        As for `plan`; draws other than those the policy was planned with.
    mdp : MDP
    policy : "uniform", action labels [state], or probabilities [state, action]

    Returns
    -------
    DataArray [draw, state]

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    >>> posterior = bm.infer(dirichlet_transitions(river), log, draws=200)
    >>> value_draws(posterior, river, ["right"] * 6).shape
    (200, 6)
    """
    draws, chosen = _inputs(posterior, mdp, policy)
    with jax.enable_x64(True):
        values = np.asarray(values_under(mdp.problem, draws, chosen))
    if not np.isfinite(values).all():
        raise RuntimeError(f"the policy's value under draw {np.argwhere(~np.isfinite(values))[0][0]} was not found")
    coords = {"draw": np.arange(len(values)), "state": label_array(mdp.states)}
    return xr.DataArray(values, coords, ("draw", "state"), "value")


def quantile_value(
    posterior: xr.DataTree | xr.Dataset,
    mdp: MDP,
    policy: str | ArrayLike | xr.DataArray,
    level: float = 0.1,
    *,
    confidence: float = 0.95,
) -> xr.Dataset:
    """Return the posterior quantile of a policy's value, with its Monte Carlo interval (EC.24).

    With posterior probability at least ``1 - level`` the policy is worth `value` or more.

    Parameters
    ----------
    posterior, mdp, policy
        As for `value_draws`.
    level : float in (0, 1)
    confidence : float in (0, 1)
        Of the interval, which says what the number of draws leaves open; minus or plus infinity where they are too few.

    Returns
    -------
    Dataset
        ``value``, ``lower``, ``upper`` [state], and the same of the value at the initial distribution: ``initial``,
        ``initial_lower``, ``initial_upper``.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    >>> posterior = bm.infer(dirichlet_transitions(river), log, draws=1_000)
    >>> worth = quantile_value(posterior, river, ["right"] * 6, 0.1)
    >>> bool(worth.initial_lower <= worth.initial <= worth.initial_upper)
    True
    """
    level = number("level", level, above=0, below=1)
    values = value_draws(posterior, mdp, policy)
    first = values @ xr.DataArray(mdp.initial, dims="state")
    fields = {"value": values, "initial": first}
    statements: dict[str, xr.DataArray] = {}
    for name, drawn in fields.items():
        low, high = ("lower", "upper") if name == "value" else ("initial_lower", "initial_upper")
        middle, below, above = order_interval(drawn.values, level, confidence)
        rest = drawn.isel(draw=0, drop=True)
        statements |= {key: rest.copy(data=a) for key, a in ((name, middle), (low, below), (high, above))}
    attrs = {"level": level, "confidence": confidence, "num_draws": values.sizes["draw"]}
    return xr.Dataset(statements, attrs=attrs)


def order_interval(
    values: NDArray[np.float64], level: float, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the left sample quantile, and order statistics between which the true one lies.

    Parameters
    ----------
    values : array [draw, ...]
    level : float in (0, 1)
    confidence : float in (0, 1)
        Probability that the true quantile lies between the two, at least.

    Returns
    -------
    quantile, lower, upper : array [...]
        Minus or plus infinity where the draws are too few for an end.

    Raises
    ------
    TypeError, ValueError
        If the confidence is not strictly between 0 and 1.

    Examples
    --------
    >>> [float(x) for x in order_interval(np.arange(1.0, 101.0), 0.1, 0.95)]
    [10.0, 5.0, 17.0]
    """
    number("confidence", confidence, above=0, below=1)
    ordered, size = np.sort(values, axis=0), len(values)
    ends = np.full((1, *values.shape[1:]), np.inf)
    padded = np.concatenate([-ends, ordered, ends])
    # The true quantile is at least the k-th smallest if at least k draws lie at or under it, and so on.
    below = int(stats.binom.ppf((1 - confidence) / 2, size, level))
    above = int(stats.binom.ppf((1 + confidence) / 2, size, level)) + 1
    return left_quantile(values, level), padded[below], padded[above]


def left_quantile(values: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return the ``ceil(level M)``-th smallest of M values.

    Parameters
    ----------
    values : array [draw, ...]
    level : float in (0, 1)

    Returns
    -------
    array [...]

    Examples
    --------
    >>> float(left_quantile(np.arange(1.0, 101.0), 0.1))
    10.0
    """
    size = len(values)
    return np.asarray(np.sort(values, axis=0)[min(max(int(np.ceil(level * size)), 1), size) - 1])


def downside_exposure(
    posterior: xr.DataTree | xr.Dataset, mdp: MDP, policy: str | ArrayLike | xr.DataArray, loss: float
) -> xr.DataArray:
    """Return the posterior probability ``P(V*_P - V^policy_P >= loss)`` that a policy loses so much against the best.

    Song, Wang and Zhou (2026), Definition 1. A policy has (loss, delta)-downside exposure in a state where this exceeds
    delta.

    Parameters
    ----------
    posterior, mdp, policy
        As for `value_draws`.
    loss : float
        In the units of the value.

    Returns
    -------
    DataArray [state]

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    >>> posterior = bm.infer(dirichlet_transitions(river), log, draws=200)
    >>> exposure = downside_exposure(posterior, river, ["left"] * 6, 1.0)
    >>> bool(exposure[-1] > 0.9)  # from the right end, leaving costs more than 1
    True
    """
    loss = number("loss", loss)
    draws, chosen = _inputs(posterior, mdp, policy)
    with jax.enable_x64(True):
        gap = np.asarray(_best_values(mdp.problem, draws) - values_under(mdp.problem, draws, chosen))
    # Two solves of one system may differ by rounding; a loss of exactly `loss` counts.
    slack = 1e-9 * (1 + np.abs(gap).max())
    return xr.DataArray((gap >= loss - slack).mean(0), {"state": label_array(mdp.states)}, ("state",), "exposure")


def _inputs(posterior: Any, mdp: MDP, policy: Any) -> tuple[Draws, NDArray[Any]]:
    """The draws and the policy (actions [state], or probabilities [state, action]) of a problem's kind."""
    return for_space(INPUTS, mdp)(posterior, mdp, policy)


def _finite_inputs(posterior: Any, mdp: MDP, policy: Any) -> tuple[Draws, NDArray[Any]]:
    if mdp.objective == "average":
        raise ValueError(
            f"the value of a policy is of discounted reward; {mdp.name} needs a discount: mdp.replace(discount=0.99)"
        )
    probabilities = policy_probabilities(mdp, policy)
    certain = (probabilities == 1).any(-1).all()
    return read_draws(read_dataset(posterior), mdp), probabilities.argmax(-1) if certain else probabilities


INPUTS = {"finite": _finite_inputs}
"""How a posterior and a policy are read, by the kind of a problem's states."""


@jax.jit
def values_under(problem: Problem, draws: Draws, policy: Num[Array, "state ..."]) -> Float[Array, "draw state"]:
    """Return values [draw, state], one draw after the other, so that memory does not grow with their number."""
    evaluated = policy_evaluation if problem.stage is None else episode_value
    return _over_draws(draws, lambda p, r: evaluated(problem, p, r, policy))


@jax.jit
def _best_values(problem: Problem, draws: Draws) -> Float[Array, "draw state"]:
    """Return the value of the best policy under each draw [draw, state]."""
    solved = policy_iteration if problem.stage is None else backward_induction
    return _over_draws(draws, lambda p, r: solved(problem, Draws(p[None], r), Mean()).value)


def _over_draws(draws: Draws, function: Any) -> Float[Array, "draw state"]:
    """Apply a function of one kernel and reward to each draw in turn."""
    if draws.reward.ndim == 3:
        return lax.map(lambda kernel: function(kernel, draws.reward), draws.transition)
    return lax.map(lambda pair: function(*pair), (draws.transition, draws.reward))
