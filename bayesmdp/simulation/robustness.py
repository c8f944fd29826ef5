"""What `simulate` measures of an agent's robustness: how it does in the worse of the worlds that its belief allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
from jax import lax, random
from jaxtyping import Float, Key, Num

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.planning import (
    Quantile,
    believed_draws,
    policy_evaluation,
    quantile_budget,
)
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem

__all__ = ["Robust", "quantile_values"]


@dataclass(frozen=True)
class Robust:
    """What `simulate` measures of agents' robustness; see :mod:`bayesmdp.simulation.regret`.

    Attributes
    ----------
    level : float in (0, 1)
        The quantile level, such as the floor of `aq_brmdp`.
    policy_under : {"belief", "truth"}
        Under which dynamics the policy in use is valued, whose shortfall from the cautious plan is robust regret: by
        its own quantile value at the same level, or by its true value. See :mod:`bayesmdp.simulation.regret`.
    draw_scale : float
        Scale of the number of posterior draws, `quantile_budget` of the level: by default 199 at level .1 (EC.23; the
        scale is ours).

    Examples
    --------
    >>> Robust(level=0.1).num_draws
    199
    >>> Robust(level=1.5)
    Traceback (most recent call last):
    ...
    ValueError: level must be a number above 0 and below 1; got 1.5
    """

    level: float = 0.1
    draw_scale: float = 68.0
    policy_under: Literal["belief", "truth"] = "belief"

    def __post_init__(self) -> None:
        if self.policy_under not in ("belief", "truth"):
            raise ValueError(f"policy_under must be 'belief' or 'truth'; got {self.policy_under!r}")
        number("level", self.level, above=0, below=1)
        number("draw_scale", self.draw_scale, above=0)

    @property
    def num_draws(self) -> int:
        """Draws of each estimate."""
        with jax.enable_x64(True):
            return int(quantile_budget(np.float64(self.level), np.float64(self.draw_scale)))


@partial(jax.jit, static_argnames=("belief", "num_draws"))
def quantile_values(
    key: Key[Array, ""],
    states: Any,
    policies: Num[Array, "checkpoint state ..."],
    problem: Problem,
    level: Float[Array, ""],
    *,
    belief: Belief,
    num_draws: int,
) -> Float[Array, " checkpoint"]:
    """Estimate the posterior quantile values of policies, each under the belief of its checkpoint.

    Parameters
    ----------
    key : key
        Of the draws.
    states : pytree, leading axis [checkpoint]
        The belief's states.
    policies : array [checkpoint, state]
    problem : Problem
    level : float in (0, 1)
    belief : Belief
    num_draws : int
        Posterior draws at each checkpoint.

    Returns
    -------
    array [checkpoint]
    """

    def value(inputs: tuple[Key[Array, ""], Any, Num[Array, "state ..."]]) -> Float[Array, ""]:
        key, state, policy = inputs
        sites = belief.sample(key, state, num_draws)
        draws = believed_draws(sites, problem)
        evaluate = jax.vmap(partial(policy_evaluation, problem), (0, 0 if draws.reward.ndim == 4 else None, None))
        # (I - discount P^policy_m)^{-1} r_m averaged over initial states, and the ceil(level M)-th smallest of them.
        at_start = evaluate(draws.transition, draws.reward, policy) @ problem.initial
        return Quantile(level).value(at_start[:, None, None])[0, 0]

    return lax.map(value, (random.split(key, len(policies)), states, policies))
