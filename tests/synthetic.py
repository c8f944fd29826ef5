"""Results of the form that `simulate` returns, made of plain NumPy random numbers: nothing is learned in them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

NAMES = ("PSRL", "BRMDP-0.1", "BRMDP-0.3", "BRMDP-0.5", "AQ-BRMDP", "sixth", "seventh", "eighth")


def synthetic_result(
    agents: int | Sequence[str] = 3,
    *,
    replicates: int = 8,
    steps: int = 200,
    thin: int = 1,
    states: int = 6,
    seed: int = 0,
) -> xr.DataTree:
    """Agents that drift to the last state, some sooner, some later, and whose regret falls as they do."""
    names = list(NAMES[:agents] if isinstance(agents, int) else agents)
    rng = np.random.default_rng(seed)
    shape = (len(names), replicates, steps)
    arrival = steps * rng.uniform(0.1, 1.2, (len(names), 1, 1)) * rng.uniform(0.6, 1.4, (len(names), replicates, 1))
    arrived = 1 / (1 + np.exp(-(np.arange(steps) - arrival) / (0.05 * steps)))
    state = rng.binomial(states - 1, 0.05 + 0.85 * arrived).astype(np.int32)
    reward = np.where(state == states - 1, 1.0, 0.005)
    regret = 4.0 * (1 - arrived) * rng.uniform(0.8, 1.2, shape)
    windows = (len(names), replicates, steps // thin, thin)
    dims = ("agent", "replicate", "step")
    period = np.arange(thin, steps + 1, thin, dtype=np.float32) // 20 + 1
    account = {
        "period": period,
        "solves": 4 * period,
        "failures": 0 * period,
        "bound": 1e-12 + 0 * period,
        "short": 0 * period,
        "level": 0.5 + 0 * period,
    }
    full = windows[:3]
    root = xr.Dataset(
        {
            "reward": (dims, reward.reshape(windows).sum(-1)),
            "regret": (dims, regret.reshape(windows).sum(-1)),
            "state": (dims, state.reshape(windows)[..., -1]),
            **{name: (dims, np.broadcast_to(values, full).astype(np.float32)) for name, values in account.items()},
        },
        {"agent": names, "replicate": np.arange(replicates), "step": np.arange(thin, steps + 1, thin)},
        {
            "mdp": f"riverswim-{states}",
            "states": json.dumps(list(range(states))),
            "actions": json.dumps(["left", "right"]),
            "objective": "discounted",
            "discount": 0.95,
            "agents": json.dumps({name: {"algorithm": "psrl"} for name in names}),
            "steps": steps,
            "seed": seed,
            "thin": thin,
            "checkpoints": [],
        },
    )
    seconds = xr.Dataset({"seconds": (("agent", "replicate"), rng.uniform(0.1, 0.2, full[:2]))})
    return xr.DataTree.from_dict({"/": root, "/timing": seconds})
