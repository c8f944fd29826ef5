"""The asymptotic normality of quantile values (Song, Wang and Zhou 2026, Theorem 1), seen over many data sets.

A Markov reward process with rows p_s and value V = (I - discount P)^{-1} r is observed n times, row s a share rho_s of
them. The quantile value V_alpha solves ``V_alpha(s) = r(s) + discount * quantile_alpha(p_s' V_alpha)`` under the
Dirichlet posterior. With z the normal alpha-quantile and ``sigma_s^2 = Var_{p_s}(V) / rho_s``,

    sqrt(n) (V_alpha - V)  ->  Normal(discount z M sigma,  discount^2 M diag(sigma^2) M'),    M = (I - discount P)^{-1}:

alpha moves the mean and not the spread. :func:`asymptotics` takes the quantiles from posterior draws, whose own noise
adds a share of about ``alpha (1 - alpha) / (pdf(z)^2 draws)`` to the covariance.

    >>> table = asymptotics(level=0.1, data_sets=50, num_draws=100)
    >>> list(table.data_vars)
    ['mean', 'mean_error', 'predicted_mean', 'covariance', 'predicted_covariance']
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike

__all__ = ["asymptotics"]

TRANSITION = ((0.1, 0.6, 0.3, 0.0), (0.4, 0.1, 0.4, 0.1), (0.2, 0.2, 0.1, 0.5), (0.5, 0.0, 0.3, 0.2))
REWARD = (0.0, 0.2, 0.1, 1.0)
SHARE = (0.4, 0.1, 0.3, 0.2)


def asymptotics(
    transition: ArrayLike = TRANSITION,
    reward: ArrayLike = REWARD,
    *,
    share: ArrayLike = SHARE,
    discount: float = 0.9,
    level: float = 0.1,
    observations: int = 40_000,
    data_sets: int = 1_000,
    num_draws: int = 500,
    concentration: float = 0.5,
    seed: int = 0,
) -> xr.Dataset:
    """Mean and covariance of ``sqrt(n) (V_alpha - V)`` over data sets, beside Theorem 1's.

    Parameters
    ----------
    transition : array [state, next_state]
        Under the policy in question.
    reward : array [state]
    share : array [state]
        Of the observations, summing to 1.
    discount, level : float
    observations : int
        n, over all rows.
    data_sets, num_draws : int
        How many data sets, and posterior draws for each.
    concentration : float
        Of the Dirichlet prior, on next states that can be reached.
    seed : int

    Returns
    -------
    Dataset
        ``mean`` [state] with its standard error ``mean_error``, ``covariance`` [state, other], and both as predicted.
    """
    import jax
    import numpy as np
    import xarray as xr
    from scipy import stats

    from bayesmdp.problems.mdp import MDP

    kernel, visits = np.asarray(transition, float), np.asarray(share, float)
    gain = np.asarray(reward, float)
    chain = MDP(transition=kernel[:, None], reward=gain, discount=discount, name="chain")
    spread = np.linalg.inv(np.eye(len(kernel)) - discount * kernel)
    value = spread @ gain
    sigma = np.sqrt((kernel @ value**2 - (kernel @ value) ** 2) / visits)
    rng = np.random.default_rng(seed)
    rows = np.round(visits * observations).astype(int)
    counts = np.stack([rng.multinomial(n, p, size=data_sets) for n, p in zip(rows, kernel, strict=True)], axis=1)
    # A vanishing concentration instead of 0 for what cannot happen.
    posterior = counts + np.where(kernel > 0, concentration, 1e-6)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), data_sets)
        values = np.asarray(_quantile_values(num_draws)(chain.problem, keys, posterior[:, :, None], level))
    scaled = np.sqrt(rows.sum()) * (values - value)
    return xr.Dataset(
        {
            "mean": ("state", scaled.mean(0)),
            "mean_error": ("state", scaled.std(0, ddof=1) / np.sqrt(data_sets)),
            "predicted_mean": ("state", discount * stats.norm.ppf(level) * spread @ sigma),
            "covariance": (("state", "other"), np.cov(scaled.T)),
            "predicted_covariance": (("state", "other"), discount**2 * spread @ np.diag(sigma**2) @ spread.T),
        },
        attrs={"level": level, "observations": int(rows.sum()), "data_sets": data_sets, "num_draws": num_draws},
    )


@cache
def _quantile_values(num_draws: int) -> Callable[[Any, Any, Any, Any], Any]:
    """Quantile values [data set, state] under Dirichlet posteriors [data set, state, 1, next_state], compiled once."""
    import jax

    from bayesmdp.planning import Draws, Quantile, policy_iteration
    from bayesmdp.posterior.random_variables import dirichlet

    def values(problem: Any, keys: Any, concentration: Any, level: Any) -> Any:
        def value(inputs: tuple[Any, Any]) -> Any:
            key, row = inputs
            draws = dirichlet(key, row, num_draws)
            return policy_iteration(problem, Draws(draws, problem.reward), Quantile(level)).value

        return jax.lax.map(value, (keys, concentration))

    return jax.jit(values)
