"""Where the policy of a plan from measurements leads, in the world of the posterior's mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmdp.model_reading.records import Records
from bayesmdp.offline.measured_way import MeasuredWay
from bayesmdp.offline.measured_worlds import AsBelieved
from bayesmdp.offline.state_behaviour import ActsInStates
from bayesmdp.planning.rollouts import Rollouts

__all__ = ["discounted_paths"]

PATHS, FARTHEST = 64, 2_000
"""Of how much of the future is unseen: paths, and steps of each, at most."""


def discounted_paths(
    way: MeasuredWay, draws: Mapping[str, NDArray[Any]], policy: ActsInStates, rollouts: Rollouts
) -> Iterator[tuple[Records, NDArray[np.float64]]]:
    """Simulate a policy from where episodes start, and tell how much each step of the future counts.

    Parameters
    ----------
    way : MeasuredWay
    draws : mapping of site to array [draw, ...]
        Of the posterior, for their mean where no closed form tells it.
    policy : ActsInStates
    rollouts : Rollouts

    Yields
    ------
    path : Records
    weight : array [step]
        The discount of each step, of as many as a horizon has; 0 after an end.
    """
    if way.found.form is not None:
        values = way.found.form.mean_values(way.found.sums)
    else:
        values = {name: each.mean(0) for name, each in draws.items()}
    discount, steps = float(way.mdp.problem.discount), way.mdp.horizon
    if steps is None:
        steps = min(FARTHEST, math.ceil(math.log(1e-3) / math.log(discount)))
    world = AsBelieved(way.mdp, values, rollouts)
    for path in world.logs(policy, np.arange(steps) == 0, PATHS, rollouts.seed):
        goes_on = np.cumprod(~np.asarray(path.seen["terminal"], bool))
        yield path, discount ** np.arange(steps) * np.concatenate([[1.0], goes_on[:-1]])
