"""What results say: labelled functions from results to Datasets. They plot nothing and change nothing.

Intervals are Student's t over replicates, which are independent: for the mean of n values with sample deviation s,

    mean -+ t_{n-1}((1 + confidence) / 2) s / sqrt(n).

One replicate has no spread: its bounds are NaN and ``attrs["interval"]`` says so. Bands hold at each step by itself,
not over the whole curve. Results recorded in windows (``thin``) hold sums of reward and regret over each window and the
state at its last step, so curves are exact at the recorded steps and occupancy counts one step in ``thin``.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from bayesmdp.foundation.validation import integer, number
from bayesmdp.results.files import root_dataset, steps_per_record
from bayesmdp.results.intervals import interval_over_replicates, origin

__all__ = [
    "compare",
    "final_regret",
    "moving_average_reward",
    "occupancy",
    "quantile_value_curve",
    "regret_curve",
    "suboptimal_steps",
    "summary",
]

type Result = xr.DataTree | xr.Dataset


def regret_curve(result: Result, *, quantity: str = "regret", confidence: float = 0.95) -> xr.Dataset:
    """Cumulative regret after each number of steps.

    Parameters
    ----------
    result : DataTree
        From `simulate`.
    quantity : {"regret", "robust_regret"}
        The second is there if the run measured it, with ``simulate(..., robust=)``.
    confidence : float in (0, 1)

    Returns
    -------
    Dataset
        ``mean``, ``lower``, ``upper`` [agent, step], in the units of value.

    Raises
    ------
    TypeError, ValueError
        If `result` does not hold the quantity [agent, replicate, step].

    See Also
    --------
    bayesmdp.plot_regret : the figure.
    bayesmdp.final_regret : its end.

    Examples
    --------
    >>> import xarray as xr
    >>> regret = (("agent", "replicate", "step"), [[[1.0, 2.0], [3.0, 4.0]]])
    >>> result = xr.Dataset({"regret": regret}, {"agent": ["PSRL"], "step": [1, 2]}, {"thin": 1})
    >>> regret_curve(result)["mean"].values.tolist()
    [[2.0, 5.0]]
    """
    root = root_dataset(result, quantity)
    curve = interval_over_replicates(
        root[quantity].cumsum("step", skipna=False).assign_coords(step=root["step"]), confidence, root
    )
    return curve.assign_attrs(quantity=quantity)


def quantile_value_curve(result: Result, *, confidence: float = 0.95) -> xr.Dataset:
    """Posterior quantile value of the policies in use, at the checkpoints.

    Parameters
    ----------
    result : DataTree
        From ``simulate(..., robust=, checkpoints=)``.
    confidence : float in (0, 1)

    Returns
    -------
    Dataset
        ``mean``, ``lower``, ``upper`` [agent, step], with ``step`` the checkpoints; NaN for an agent without a belief.
        attrs ``level``.

    Raises
    ------
    TypeError, ValueError
        If `result` does not hold ``quantile_value``.

    Examples
    --------
    >>> import xarray as xr
    >>> ones = (("agent", "replicate", "step"), [[[1.0, 1.0], [1.0, 1.0]]])
    >>> values = (("agent", "replicate", "checkpoint"), [[[0.2], [0.4]]])
    >>> data = {"regret": ones, "quantile_value": values}
    >>> result = xr.Dataset(data, {"agent": ["PSRL"], "step": [1, 2], "checkpoint": [2]}, {"thin": 1})
    >>> quantile_value_curve(result)["mean"].values.round(3).tolist()
    [[0.3]]
    """
    root = root_dataset(result, "regret")
    if "quantile_value" not in root:
        raise ValueError("result has no 'quantile_value'; it is measured by simulate(..., robust=, checkpoints=)")
    curve = interval_over_replicates(root["quantile_value"].rename(checkpoint="step"), confidence, root)
    level = {"level": json.loads(root.attrs["robust"])["level"]} if "robust" in root.attrs else {}
    return curve.assign_attrs(level)


def moving_average_reward(result: Result, *, window: int | None = None, confidence: float = 0.95) -> xr.Dataset:
    """Reward per step over the last `window` steps.

    Parameters
    ----------
    result : DataTree
    window : int, optional
        In steps; a multiple of the result's ``thin``. By default about a twentieth of the run.
    confidence : float in (0, 1)

    Returns
    -------
    Dataset
        ``mean``, ``lower``, ``upper`` [agent, step], from the first step that ends a whole window.

    Raises
    ------
    TypeError, ValueError
        If `window` is not positive, longer than the run, or no multiple of ``thin``.

    Examples
    --------
    >>> import xarray as xr
    >>> reward = (("agent", "replicate", "step"), [[[0.0, 1.0, 1.0, 0.0]]])
    >>> result = xr.Dataset({"reward": reward}, {"agent": ["PSRL"], "step": [1, 2, 3, 4]}, {"thin": 1})
    >>> moving_average_reward(result, window=2)["mean"].values.tolist()
    [[0.5, 1.0, 0.5]]
    """
    root = root_dataset(result, "reward")
    thin, records = steps_per_record(root), root.sizes["step"]
    if window is None:
        window = max(1, records // 20) * thin
    window = integer("window", window, 1)
    if window > records * thin:
        raise ValueError(f"window = {window} steps is longer than the run, {records * thin}")
    if window % thin:
        raise ValueError(
            f"window = {window} is no multiple of thin = {thin}, the steps that each record sums; "
            f"use {max(1, window // thin) * thin} or {(window // thin + 1) * thin}"
        )
    width = window // thin
    reward = root["reward"].transpose("agent", "replicate", "step")
    total = np.insert(reward.values.cumsum(-1), 0, 0.0, axis=-1)
    means = reward.isel(step=slice(width - 1, None)).copy(data=(total[..., width:] - total[..., :-width]) / window)
    return interval_over_replicates(means, confidence, root).assign_attrs(window=window)


def occupancy(result: Result, *, bins: int = 50) -> xr.Dataset:
    """Where agents are: the share of time in each state, as the run goes on and overall.

    Parameters
    ----------
    result : DataTree
    bins : int
        Stretches of time, of equal length to within one record; fewer if the run has fewer records.

    Returns
    -------
    Dataset
        ``occupancy`` [agent, bin, state] and ``overall`` [agent, state], over all replicates, each summing to 1 over
        ``state`` (labels); ``start`` and ``stop`` [bin], the steps after and up to which a bin counts.

    Raises
    ------
    TypeError, ValueError
        If `bins` is not positive, or a state is not among the result's ``states``.

    Examples
    --------
    >>> import xarray as xr
    >>> state = (("agent", "replicate", "step"), [[[0, 0, 0, 1]]])
    >>> result = xr.Dataset(
    ...     {"state": state}, {"agent": ["PSRL"], "step": [1, 2, 3, 4]}, {"thin": 1, "states": '["left", "right"]'}
    ... )
    >>> shares = occupancy(result, bins=2)
    >>> shares["occupancy"].sel(agent="PSRL", state="right").values.tolist()
    [0.0, 0.5]
    >>> shares["overall"].sel(agent="PSRL").values.tolist()
    [0.75, 0.25]
    """
    root = root_dataset(result, "state")
    thin, records = steps_per_record(root), root.sizes["step"]
    bins = min(integer("bins", bins, 1), records)
    state = root["state"].transpose("agent", "replicate", "step").values
    if state.dtype.kind == "f":
        raise ValueError("the states of this result are numbers of a continuous space: there are none to count")
    labels = _state_labels(root, int(state.max()))
    if state.min() < 0 or state.max() >= len(labels):
        wrong = state[(state < 0) | (state >= len(labels))][0]
        raise ValueError(f"state {wrong} is no index of the result's {len(labels)} states")
    edges = np.arange(bins + 1) * records // bins
    counts = np.empty((root.sizes["agent"], bins, len(labels)))
    for i, visited in enumerate(state):
        for j in range(bins):
            counts[i, j] = np.bincount(visited[:, edges[j] : edges[j + 1]].ravel(), minlength=len(labels))
    before = root["step"].values[0] - thin
    return xr.Dataset(
        {
            "occupancy": (("agent", "bin", "state"), counts / counts.sum(-1, keepdims=True)),
            "overall": (("agent", "state"), counts.sum(1) / counts.sum((1, 2))[:, None]),
        },
        {
            "agent": root["agent"],
            "state": labels,
            "start": ("bin", before + edges[:-1] * thin),
            "stop": ("bin", before + edges[1:] * thin),
        },
        {**origin(root), "replicates": root.sizes["replicate"]},
    )


def final_regret(result: Result, *, quantity: str = "regret", confidence: float = 0.95) -> xr.Dataset:
    """Cumulative regret at the end of the run.

    Parameters
    ----------
    result : DataTree
    quantity : {"regret", "robust_regret"}
    confidence : float in (0, 1)

    Returns
    -------
    Dataset
        ``mean``, ``lower``, ``upper`` [agent].

    See Also
    --------
    bayesmdp.regret_curve : after each step.
    bayesmdp.suboptimal_steps : how often something was lost.

    Examples
    --------
    >>> import xarray as xr
    >>> regret = (("agent", "replicate", "step"), [[[1.0, 2.0], [3.0, 4.0]]])
    >>> result = xr.Dataset({"regret": regret}, {"agent": ["PSRL"], "step": [1, 2]}, {"thin": 1})
    >>> print(final_regret(result)["mean"].item())
    5.0
    """
    root = root_dataset(result, quantity)
    return interval_over_replicates(root[quantity].sum("step", skipna=False), confidence, root)


def compare(result: Result, baseline: str, *, quantity: str = "regret", confidence: float = 0.95) -> xr.Dataset:
    """Final regret against a baseline's, replicate by replicate.

    Agents of one run meet the same random numbers in the same replicate, so differences within replicates vary less
    than the agents do.

    Parameters
    ----------
    result : DataTree
    baseline : str
        An agent of the result.
    quantity : {"regret", "robust_regret"}
    confidence : float in (0, 1)

    Returns
    -------
    Dataset
        For every other agent [agent]: ``mean``, ``lower``, ``upper`` of its regret less the baseline's (negative is
        better) and ``better``, the share of replicates in which it is strictly less. NaN where regret is not known.

    Raises
    ------
    KeyError, ValueError
        If there is no such agent, or no other.

    See Also
    --------
    bayesmdp.robust_summary : interquartile means and ranks.
    bayesmdp.simulate_until_decided : as many runs as a verdict takes.
    bayesmdp.summary : each agent by itself.

    Examples
    --------
    >>> import xarray as xr
    >>> regret = (("agent", "replicate", "step"), [[[2.0], [4.0]], [[1.0], [2.0]]])
    >>> result = xr.Dataset({"regret": regret}, {"agent": ["PSRL", "AQ-BRMDP"], "step": [1]}, {"thin": 1})
    >>> difference = compare(result, "PSRL").sel(agent="AQ-BRMDP")
    >>> print(difference["mean"].item(), difference["better"].item())
    -1.5 1.0
    """
    root = root_dataset(result, quantity)
    names = [str(name) for name in root["agent"].values]
    if baseline not in names:
        raise KeyError(f"no agent {baseline!r} in the result; it has {', '.join(names)}")
    others = [name for name in names if name != baseline]
    if not others:
        raise ValueError(f"the result has no agent but {baseline!r} to compare")
    total = root[quantity].sum("step", skipna=False)
    difference = total.sel(agent=others) - total.sel(agent=baseline, drop=True)
    better = (difference < 0).mean("replicate").where(difference.notnull().all("replicate"))
    return interval_over_replicates(difference, confidence, root).assign(better=better).assign_attrs(baseline=baseline)


def suboptimal_steps(result: Result, epsilon: float, *, confidence: float = 0.95) -> xr.Dataset:
    """How many steps were taken under a policy more than `epsilon` from optimal: what PAC guarantees bound.

    A step in state s counts if V*(s) - V^policy(s) > epsilon, for the policy that was followed at that step.

    Parameters
    ----------
    result : DataTree
        From `simulate`, with each step recorded (``thin=1``), of an MDP whose objective is discounted.
    epsilon : float, at least 0
        In units of value.
    confidence : float in (0, 1)

    Returns
    -------
    Dataset
        ``mean``, ``lower``, ``upper`` [agent]; NaN where regret is not known.

    Raises
    ------
    TypeError, ValueError
        If `result` holds no regret of steps: none at all, only sums over windows, or that of episodes or of the average
        reward.

    See Also
    --------
    bayesmdp.final_regret : how much was lost in all.

    Examples
    --------
    >>> import xarray as xr
    >>> regret = (("agent", "replicate", "step"), [[[3.0, 0.5, 0.0], [3.0, 2.0, 0.5]]])
    >>> result = xr.Dataset({"regret": regret}, {"agent": ["PSRL"], "step": [1, 2, 3]}, {"thin": 1})
    >>> suboptimal_steps(result, 1.0)["mean"].values.tolist()
    [1.5]
    """
    root = root_dataset(result, "regret")
    epsilon = number("epsilon", epsilon, minimum=0)
    if root.attrs.get("thin", 1) != 1:
        raise ValueError(f"result holds sums over {root.attrs['thin']} steps; simulate with thin=1 to count steps")
    objective = root.attrs.get("objective", "discounted")
    if objective != "discounted":
        instead = {
            "average": "of the average reward: what an action costs for good is result['gap']",
            "episode": "that of whole episodes and not of single steps: sum it over the steps of each",
        }
        raise ValueError(f"regret here is {instead[objective]}")
    regret = root["regret"]
    # Where there is no optimal value to hold a run against regret is NaN, which is not 0 steps.
    count = (regret > epsilon).sum("step").astype(float).where(regret.notnull().all("step"))
    return interval_over_replicates(count, confidence, root).assign_attrs(epsilon=epsilon)


def summary(result: Result, *, confidence: float = 0.95) -> xr.Dataset:
    """Summarise each agent in one row, for tables.

    Returns
    -------
    Dataset
        [agent]: ``regret``, ``regret_lower``, ``regret_upper`` at the end; ``reward``, ``reward_lower``,
        ``reward_upper`` per step; ``solves``, linear systems solved in a replicate; ``failures``, plans of all
        replicates that did not converge; ``seconds`` of a replicate (median over those timed, so that compiling does
        not count). NaN where the result does not say.

    Parameters
    ----------
    result : DataTree or Dataset
        From `simulate`.
    confidence : float in (0, 1)
        Of the intervals.

    See Also
    --------
    bayesmdp.compare : agents against one of them.
    bayesmdp.regret_curve : as steps go by.

    Examples
    --------
    >>> import xarray as xr
    >>> values = (("agent", "replicate", "step"), [[[1.0, 2.0], [3.0, 4.0]]])
    >>> data = {"regret": values, "reward": values}
    >>> result = xr.Dataset(data, {"agent": ["PSRL"], "step": [1, 2]}, {"thin": 1})
    >>> print(summary(result)["reward"].item())
    2.5
    """
    root = root_dataset(result, "regret", "reward")
    steps = root.sizes["step"] * steps_per_record(root)
    reward = interval_over_replicates(root["reward"].sum("step") / steps, confidence, root)
    regret = final_regret(root, confidence=confidence)
    unknown = xr.full_like(regret["mean"], np.nan)
    last = root.isel(step=-1, drop=True)
    seconds = unknown
    if isinstance(result, xr.DataTree) and "timing" in result.children:
        timed = result["timing"].to_dataset()["seconds"].dropna("replicate")
        if timed.sizes["replicate"]:
            seconds = timed.median("replicate")
    named = {
        f"{quantity}{suffix}": interval[bound]
        for quantity, interval in (("regret", regret), ("reward", reward))
        for bound, suffix in (("mean", ""), ("lower", "_lower"), ("upper", "_upper"))
    }
    account = {
        "solves": last["solves"].mean("replicate", dtype=float) if "solves" in last else unknown,
        "failures": last["failures"].sum("replicate", dtype=float, skipna=False) if "failures" in last else unknown,
        "seconds": seconds,
    }
    return xr.Dataset(named | account, attrs={**regret.attrs, "steps": steps})


def _state_labels(root: xr.Dataset, largest: int) -> list[Any]:
    """Return the labels of states, their numbers if the result has none."""
    if "states" not in root.attrs:
        return list(range(largest + 1))
    return [label if isinstance(label, str | int) else str(label) for label in json.loads(root.attrs["states"])]
