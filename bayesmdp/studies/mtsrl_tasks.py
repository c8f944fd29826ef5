"""What the studies of learned priors share: families of tasks, and how learners are set up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from bayesmdp.studies.task_study import LearnerSpec

__all__ = [
    "LAYERS",
    "ORACLE",
    "RLSVI",
    "SHOP",
    "SMALL",
    "SMALL_SHOP",
    "TRUE_NOISE",
    "WARM_UP",
    "engines_apart",
    "learner",
    "normal_tasks",
]

WARM_UP = 8
RLSVI, ORACLE, TRUE_NOISE = "RLSVI", "oracle", "oracle, true noise"


def learner(algorithm: str, method: str, knows: str = "nothing", **learning: Any) -> LearnerSpec:
    """An agent that learns its prior; `learning` takes precedence over this study's warm-up and growth."""
    return LearnerSpec(algorithm, method=method, knows=knows, learning={"warm_up": WARM_UP, "growth": 1.25, **learning})


SHOP: Mapping[str, Any] = {
    "environment": "recommendation",
    "prior": "gaussian_q",
    "prior_options": {"covariance": 5.0, "noise": 0.001**0.5},
    "truth": "logistic_transitions",
    "truth_options": {"mean": None, "scale": 0.5},
}
SMALL = {**SHOP, "steps": 300, "tasks": 40, "thin": 30, "replicates": 16}
SMALL_SHOP = {"products": 4, "horizon": 3}


def normal_tasks(horizon: int, features: int, decay: float = 1.0, **options: Any) -> dict[str, Any]:
    """Variances of .3 on average, each `decay` times the one before, in directions of the stage's own."""
    import numpy as np
    from scipy import stats

    mean = np.random.default_rng(6).normal(size=(horizon, features))
    variances = decay ** np.arange(features)
    turns = stats.ortho_group(features, seed=7).rvs(horizon)
    covariance = turns * (0.3 * variances / variances.mean()) @ turns.swapaxes(1, 2)
    return {"mean": mean, "covariance": (covariance + covariance.swapaxes(1, 2)) / 2, **options}


def engines_apart(products: int, scale: float) -> dict[str, Any]:
    """Weights about 0: of a product alone as large as can be told from 0, of what was shown before `scale`."""
    import numpy as np

    spread = np.full(products * (products + 1), scale)
    spread[:products] = 1e-3
    return {"mean": 0.0, "scale": spread}


LAYERS: Mapping[str, Any] = {
    "environment": "layers",
    "environment_options": {"width": 3, "actions": 3, "horizon": 4, "noise": 0.5},
    "prior": "gaussian_q",
    "prior_options": {"covariance": 4.0, "noise": 0.5},
    "truth": "gaussian_q_tasks",
    "truth_options": partial(normal_tasks, 4, 9),
    "steps": 400,
    "tasks": 40,
    "thin": 40,
    "replicates": 16,
    "keep_priors": True,
}
