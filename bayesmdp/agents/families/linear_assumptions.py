"""What agents over linear MDPs rest on, and how far a problem is from it. Assumption B of Hong et al. (2024).

The paper assumes of the features phi(s, a) in R^d, after Jin et al. (2020, definition 2.1), that

    P(. | s, a) = <phi(s, a), mu(.)>,    r(s, a) = <phi(s, a), theta>,
    |phi(s, a)| <= 1,    |theta| <= sqrt(d),    |mu(S)| <= sqrt(d).

*Norms* of features are known to an agent, and are refused where they are larger: beta |phi| of a bonus means nothing
then. That all of mu(S), the kernel and the reward are linear cannot be known by a learner; `simulate`, which knows the
problem, warns by the measures here. mu(S) has to solve <phi(s, a), x> = 1 for all pairs, so the shortest solution is
what its norm is at least. Our agents know the reward and keep it out of the regression, so that for most of them only
the kernel has to be linear (`Agent.linear` says of what an agent assumes it); the inventory is such a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bayesmdp.agents.families.optimistic import dense_unit_rewards, unit_rewards
from bayesmdp.problems.continuous_mdp import ContinuousMDP
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP

__all__ = [
    "Misfit",
    "dense_unit_features",
    "linear_misfit",
    "refuse_long_features",
    "shortest_total",
    "wei_features",
]

PROBED = 1_000
"""Steps taken at random to see the features of a continuous space."""

TOLERANCE = 1e-8
"""What rounding may add to a norm of 1, or leave of a fit."""


class Misfit(NamedTuple):
    """How far a table is from linear in the features, by the pair that least squares misses by most.

    Attributes
    ----------
    size : float
        Half the sum of absolute errors over a row: a total variation, where the rows are distributions.
    state, action : int
        The pair's positions.
    """

    size: float
    state: int
    action: int


def dense_unit_features(mdp: MDP) -> None:
    """Refuse what `dense_unit_rewards` and `refuse_long_features` do: for gamma-LSCVI-UCB."""
    dense_unit_rewards(mdp)
    refuse_long_features(mdp)


def wei_features(mdp: MDP) -> None:
    """Refuse what `unit_rewards` does, and norms above sqrt(2): for the agents of Wei et al. (2021).

    With that norm |<phi, w>| of their MDP-EXP2 is at most 24 N / sigma, which eta <= sigma / (24 N) is made for. So we
    read the paper, whose text we had not.
    """
    unit_rewards(mdp)
    refuse_long_features(mdp, np.sqrt(2))


def refuse_long_features(mdp: MDP | ContinuousMDP, longest: float = 1.0) -> None:
    """Refuse features that are longer than the theory takes them to be.

    Parameters
    ----------
    mdp : MDP or ContinuousMDP
        Whose available pairs are looked at, in a continuous space on a random walk. Without features there is an
        indicator for each pair, of norm 1.
    longest : float
        The largest norm.

    Raises
    ------
    ValueError
        Naming the longest, its pair, and what to divide by.

    Examples
    --------
    >>> import numpy as np, bayesmdp as bm
    >>> river = bm.environments.riverswim(3, discount=None)
    >>> refuse_long_features(river.replace(features=np.full((3, 2, 4), 1.5)))
    Traceback (most recent call last):
      ...
    ValueError: features[0, 0] of riverswim-3, state 0 and action 'left', has the norm 3, above 1, which the theory of \
this agent rests on; divide all features by 3
    """
    features, state_of = for_space(FEATURES, mdp)(mdp)
    if features is None:
        return
    norms = np.linalg.norm(features, axis=-1)
    row, action = (int(i) for i in np.unravel_index(norms.argmax(), norms.shape))
    norm = float(norms[row, action])
    if norm > longest * (1 + TOLERANCE):
        raise ValueError(
            f"features[{row}, {action}] of {mdp.name}, state {state_of(row)!r} and action {mdp.actions[action]!r}, "
            f"has the norm {norm:.6g}, above {longest:.6g}, which the theory of this agent rests on; divide all "
            f"features by {norm / longest:.6g}"
        )


def _of_pairs(mdp: MDP) -> tuple[NDArray[np.float64] | None, Callable[[int], Any]]:
    """Return the features [state, action, feature], 0 where an action is not available, and what states are called."""
    features = None if mdp.features is None else np.where(mdp.available[..., None], mdp.features, 0)
    return features, lambda row: mdp.states[row]


def _on_the_way(mdp: ContinuousMDP) -> tuple[NDArray[np.float64], Callable[[int], Any]]:
    """Return the features [step, action, feature] of the states of a random walk, and those states."""
    states, _ = mdp.wander(PROBED)
    with jax.enable_x64(True):
        features, _ = jax.vmap(mdp.problem.view, (None, 0))(mdp.problem.parameters, states)
    return np.asarray(features), lambda row: states[row].tolist()


FEATURES: Mapping[str, Callable[[Any], Any]] = {"finite": _of_pairs, "continuous": _on_the_way}
"""Where features are looked at, by the kind of a problem's states."""


def linear_misfit(features: NDArray[np.float64], table: NDArray[np.float64], available: NDArray[np.bool_]) -> Misfit:
    """Return how far a table is from linear in the features, by least squares over the available pairs.

    Parameters
    ----------
    features : array [state, action, feature]
    table : array [state, action, column]
        A kernel, or rewards with a last axis of length 1.
    available : bool array [state, action]

    Returns
    -------
    Misfit
        Its size is 0, but for rounding, if and only if the table is linear.

    Examples
    --------
    >>> import numpy as np
    >>> features = np.ones((2, 1, 1))  # which cannot tell the two states apart
    >>> linear_misfit(features, np.eye(2)[:, None], np.ones((2, 1), bool))
    Misfit(size=0.5, state=0, action=0)
    """
    design, aim = features[available], table[available]
    fit, *_ = np.linalg.lstsq(design, aim)
    error = np.abs(aim - design @ fit).sum(-1) / 2
    worst = int(error.round(12).argmax())
    state, action = (int(i) for i in np.argwhere(available)[worst])
    return Misfit(float(error[worst]), state, action)


def shortest_total(features: NDArray[np.float64], available: NDArray[np.bool_]) -> float:
    """Return the least norm that mu(S) can have: of the shortest x with <phi(s, a), x> = 1 for all available pairs.

    Parameters
    ----------
    features : array [state, action, feature]
    available : bool array [state, action]

    Returns
    -------
    float
        Of the best fit, where there is no solution.

    Examples
    --------
    >>> import numpy as np
    >>> round(shortest_total(np.full((2, 1, 1), 0.25), np.ones((2, 1), bool)), 6)
    4.0
    """
    design = features[available]
    return float(np.linalg.norm(np.linalg.lstsq(design, np.ones(len(design)))[0]))
