"""The tables of the study of TSEB: rewards, packets served, bonuses, steps far from optimal, distances to the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmdp.studies.statements import interval_table, mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import xarray as xr

    from bayesmdp.problems.mdp import MDP

__all__ = [
    "agents_table",
    "bonus_table",
    "distance_table",
    "oscillation_table",
    "pac_table",
    "reward_table",
    "saved_table",
    "served_table",
]

EPSILON = 1.0
"""In units of value, for the steps that are counted as not nearly optimal: half a reward of Chain's action back."""


def reward_table(result: xr.DataTree) -> pd.DataFrame:
    """Total reward of each agent with its 95% interval, and the standard deviation over replicates.

    Examples
    --------
    >>> from bayesmdp.studies import find
    >>> study = find("tseb/chain").with_agents(["lambda 0.5", "lambda 1"])
    >>> reward_table(study.run(steps=40, replicates=2)).index.tolist()
    ['lambda 0.5', 'lambda 1']
    """
    import pandas as pd

    total = result["reward"].sum("step")
    rows = {
        agent: (*mean_interval(total.sel(agent=agent)), float(total.sel(agent=agent).std(ddof=1)))
        for agent in _names(result)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["reward", "reward_lower", "reward_upper", "reward_sd"])


def saved_table(result: xr.DataTree, baseline: str) -> pd.DataFrame:
    """Final regret of each agent, and how much less it is than the baseline's, with 95% intervals over replicates.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    baseline : str
        One of its agents.

    Returns
    -------
    DataFrame
        One row an agent: ``regret`` and ``saved``, paired, with their bounds.

    Examples
    --------
    >>> import xarray as xr
    >>> regret = (("agent", "replicate", "step"), [[[4.0], [5.0]], [[3.0], [4.0]]])
    >>> result = xr.DataTree(xr.Dataset({"regret": regret}, {"agent": ["PSRL", "TSEB"]}))
    >>> saved_table(result, "PSRL").loc["TSEB", ["regret", "saved"]].to_dict()
    {'regret': 3.5, 'saved': 1.0}
    """
    total = result.to_dataset()["regret"].sum("step")
    own = {agent: total.sel(agent=agent).values for agent in _names(result)}
    return interval_table({agent: {"regret": sample, "saved": own[baseline] - sample} for agent, sample in own.items()})


def served_table(result: xr.DataTree) -> pd.DataFrame:
    """Packets served on Queue beside the reward net of costs, each with its 95% interval over replicates.

    A step's reward is its packets served, in expectation given where it led, less .25 if it was fast and .1 for each
    packet held.

    Parameters
    ----------
    result : DataTree
        From the study ``tseb/queue``, not thinned.

    Returns
    -------
    DataFrame
        One row an agent: ``served`` and ``reward`` with their bounds.

    Examples
    --------
    >>> from bayesmdp.studies import find
    >>> table = served_table(find("tseb/queue").with_agents(["lambda 1"]).run(steps=100, replicates=2))
    >>> bool(table["served"].iloc[0] > table["reward"].iloc[0])
    True
    """
    import numpy as np

    from bayesmdp.environments.queue import COST, HOLDING

    data = result.to_dataset()
    served = data["reward"] + np.array(COST)[data["action"]] + HOLDING * data["state"]
    both = {"served": served.sum("step"), "reward": data["reward"].sum("step")}
    return interval_table(
        {agent: {name: total.sel(agent=agent).values for name, total in both.items()} for agent in _names(result)}
    )


def bonus_table(result: xr.DataTree, length: int = 20) -> pd.DataFrame:
    """Tabulate the mean bonus over pairs in each episode (Figure 2), averaged over replicates.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    length : int
        Steps of an episode.

    Returns
    -------
    DataFrame [episode, agent]
    """
    import pandas as pd

    bonus = result["mean_bonus"].isel(step=slice(0, None, length)).mean("replicate")
    frame = pd.DataFrame(bonus.transpose("step", "agent").values, columns=_names(result))
    return frame.rename_axis("episode").rename(index=lambda i: i + 1)


def agents_table(result: xr.DataTree, epsilon: float = EPSILON) -> pd.DataFrame:
    """Tabulate reward and regret a step, and steps far from optimal, each with its 95% interval.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    epsilon : float
        Steps count whose policy is worth less than the best by more.

    Returns
    -------
    DataFrame
        One row an agent.
    """
    import pandas as pd

    from bayesmdp.results.analysis import suboptimal_steps

    steps = result.sizes["step"]
    count = suboptimal_steps(result, epsilon)
    rows = {}
    for agent in _names(result):
        row: dict[str, float] = {}
        for quantity in ("reward", "regret"):
            ends = "", "_lower", "_upper"
            sample = result[quantity].sel(agent=agent).sum("step") / steps
            row |= {quantity + end: figure for end, figure in zip(ends, mean_interval(sample), strict=True)}
        told = {"suboptimal": "mean", "suboptimal_lower": "lower", "suboptimal_upper": "upper"}
        rows[agent] = row | {name: float(count[bound].sel(agent=agent)) for name, bound in told.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def pac_table(result: xr.DataTree, epsilons: Sequence[float]) -> pd.DataFrame:
    """Count steps under a policy that is worth less than the best by more than each epsilon.

    Parameters
    ----------
    result : DataTree
        From a study's `run`, not thinned.
    epsilons : sequence of float
        In units of value.

    Returns
    -------
    DataFrame
        One row an agent and epsilon: ``suboptimal`` with its bounds.
    """
    import pandas as pd

    from bayesmdp.results.analysis import suboptimal_steps

    names = {"mean": "suboptimal", "lower": "suboptimal_lower", "upper": "suboptimal_upper"}
    each = {epsilon: suboptimal_steps(result, epsilon).to_dataframe()[list(names)] for epsilon in epsilons}
    return pd.concat(each, names=["epsilon", "agent"]).rename(columns=names).swaplevel()


def distance_table(result: xr.DataTree, mdp: MDP) -> pd.DataFrame:
    """Tabulate how far a sampled problem is from the true one after each episode, run by run (Figure 2).

    What is compared is the posterior draw that was kept at each checkpoint: another one than the agent plans for, of
    the same distribution.

    Parameters
    ----------
    result : DataTree
        With one posterior draw at each checkpoint, one an episode.
    mdp : MDP
        The true one.

    Returns
    -------
    DataFrame
        One row an agent, run and episode: ``kernel``, the mean over pairs of the summed absolute differences of a row's
        probabilities; ``reward``, the mean over pairs of the absolute difference of mean rewards, both of what is
        believed after the episode; ``bonus``, the mean of c f over pairs that the episode was planned with.
    """
    import numpy as np
    import pandas as pd

    true_kernel, true_reward = np.asarray(mdp.transition), np.asarray(mdp.reward)
    mean_reward = (true_kernel * true_reward).sum(-1)
    rows = []
    for agent in _names(result):
        drawn = result[f"beliefs/{agent}/posterior"].to_dataset().isel(chain=0, draw=0)
        order = ("replicate", "checkpoint", "state", "action")
        kernel = np.abs(drawn["transition"].transpose(*order, "next_state").values - true_kernel).sum(-1)
        reward = np.abs(drawn["reward"].transpose(*order).values - mean_reward)
        bonus = result.to_dataset()["mean_bonus"].sel(agent=agent, step=drawn["checkpoint"].values).values
        index = pd.MultiIndex.from_product(
            [[agent], range(kernel.shape[0]), range(1, kernel.shape[1] + 1)], names=["agent", "run", "episode"]
        )
        figures = {"kernel": kernel.mean((2, 3)), "reward": reward.mean((2, 3)), "bonus": bonus}
        rows.append(pd.DataFrame({name: figure.ravel() for name, figure in figures.items()}, index))
    return pd.concat(rows)


def oscillation_table(distances: pd.DataFrame) -> pd.DataFrame:
    """Say whether distances fall over the run, and how often they rise from one episode to the next.

    Parameters
    ----------
    distances : DataFrame
        Of `distance_table`.

    Returns
    -------
    DataFrame
        One row an agent and distance: ``fallen``, the mean of the first five episodes less that of the last five, and
        ``rises``, the share of episodes whose distance is above the one before (.5 is noise about a constant), with
        95% intervals over runs.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> index = pd.MultiIndex.from_product([["A"], range(4), range(1, 21)], names=["agent", "run", "episode"])
    >>> falling = pd.DataFrame({"kernel": np.tile(np.linspace(1, 0, 20), 4)}, index)
    >>> oscillation_table(falling)[["fallen", "rises"]].round(2).values.tolist()
    [[0.79, 0.0]]
    """
    rows = {}
    for name in distances.columns:
        for agent, own in distances[name].groupby("agent", sort=False):
            runs = own.unstack("episode").to_numpy()
            fallen = runs[:, :5].mean(1) - runs[:, -5:].mean(1)
            rises = (runs[:, 1:] > runs[:, :-1]).mean(1)
            rows[agent, name] = {"fallen": fallen, "rises": rises}
    return interval_table(rows).rename_axis(["agent", "distance"])


def _names(result: xr.DataTree) -> list[str]:
    """Of the agents."""
    return list(map(str, result.to_dataset()["agent"].values))
