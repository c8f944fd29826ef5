"""Are the intervals of `off_policy`, and the alarms of `check_log`, what they say? Logs by the hundred, truth known.

Each log is of a problem of its own: 5 states, 3 actions, rows Dirichlet(.5), mean rewards by pair standard Normal,
noise Normal with a standard deviation of .5, discount .9, all episodes from state 0. Behaviour is Dirichlet(2) over
actions in each state. Episodes *end* with probability .1 after each step, are *cut* off after 15 steps, or there is
*one*, of as many steps as ten times the episodes of the others.

**Opinions** (``second_opinions.csv``): 300 logs a cell; the column ``logs`` says how many were run. The policy is
*near* (a fifth the best one, the rest the behaviour) or the *best*. By estimator: ``tells``, the share of logs in which
it can tell; of these ``covered``, the share whose 95% interval holds the true value (Wilson's 95% interval beside it),
and ``bias`` and ``error`` (root mean square), in units of the spread of true values over problems.

**Checks** (``log_checks.csv``): 300 clean logs a cell, with one log of short length, one of Laplace noise; and 100 of
each fault, in logs of episodes and of one: ``any``, the share of logs with any alarm (of clean ones .05 is due), and
the share of alarms of each check. In a log with a fault the context c is 1 instead of 0, and in c = 1 the rows are half
those of another kernel, the behaviour is another, mean rewards are .3 higher, each where the fault says so:

    order            rows; c is 1 where the state before was one of the first two
    hidden cause     rows and behaviour; c is tossed for each episode (in a log of one it changes with probability .02)
    dynamics drift   rows; c is 1 in the later half
    reward drift     rewards; c is 1 in the later half
    behaviour drift  behaviour; c is 1 in the later half
    reward tails     noise is Student's t with 2 degrees of freedom

``make study STUDIES=second_opinions`` runs it in some minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.random import Generator
    from numpy.typing import NDArray

    from bayesmdp.problems.mdp import MDP

__all__ = ["CHECKED", "OPINIONS", "Kind", "check", "log_and_problem", "main", "opinion"]

STATES, ACTIONS, DISCOUNT, NOISE, HAZARD, LENGTH = 5, 3, 0.9, 0.5, 0.1, 15
CLEAN, FAULTY = 300, 100


class Kind(NamedTuple):
    """Logs of one kind.

    Attributes
    ----------
    ends : {"end", "cut", "one"}
        What becomes of episodes.
    episodes : int
        For a log of one, a tenth of its steps.
    policy : {"near", "best"}
        That is judged.
    fault : str
        Of those that the module names; "" for none.
    noise : {"normal", "laplace"}
    """

    ends: str
    episodes: int = 150
    policy: str = "near"
    fault: str = ""
    noise: str = "normal"


OPINIONS: Mapping[str, Kind] = {
    f"{ends}-{episodes}-{policy}": Kind(ends, episodes, policy)
    for ends, episodes in (("end", 50), ("end", 300), ("cut", 50), ("cut", 300), ("one", 50), ("one", 300))
    for policy in ("near", "best")
}

FAULTS = ("order", "hidden cause", "dynamics drift", "reward drift", "behaviour drift", "reward tails")

CHECKED: Mapping[str, Kind] = {
    **{f"clean-{ends}": Kind(ends) for ends in ("end", "cut", "one")},
    "clean-one-short": Kind("one", 30),
    "clean-one-laplace": Kind("one", noise="laplace"),
    **{f"{fault}-{ends}": Kind(ends, fault=fault) for fault in FAULTS for ends in ("end", "one")},
}


def log_and_problem(rng: Generator, kind: Kind) -> tuple[xr.Dataset, MDP, NDArray[Any]]:
    """Make a problem, a log of it, and the behaviour [state, action].

    Parameters
    ----------
    rng : Generator
    kind : Kind
    """
    import numpy as np

    from bayesmdp.logs.log import make_log
    from bayesmdp.problems.mdp import MDP

    # One more state is where episodes end.
    size = STATES + (kind.ends == "end")
    kernel = np.zeros((2, size, ACTIONS, size))
    kernel[..., :STATES] = rng.dirichlet(np.full(STATES, 0.5), size=(2, size, ACTIONS))
    if kind.ends == "end":
        kernel *= 1 - HAZARD
        kernel[..., -1] = HAZARD
    kernel[1] = (kernel[0] + kernel[1]) / 2
    behaviour = rng.dirichlet(np.full(ACTIONS, 2.0), size=(2, size))
    mean = rng.standard_normal((size, ACTIONS))
    terminal = np.arange(size) >= STATES
    mdp = MDP(transition=kernel[0], reward=mean, discount=DISCOUNT, initial=0, terminal=terminal, name=kind.ends)
    moved = {"rows": "order hidden dynamics", "actions": "hidden behaviour", "rewards": "reward"}
    word = kind.fault.split()[0] if kind.fault and kind.fault != "reward tails" else "none"
    by_context = {what: word in words.split() for what, words in moved.items()}

    together = 1 if kind.ends == "one" else kind.episodes
    length = {"one": 10 * kind.episodes, "cut": LENGTH, "end": 200}[kind.ends]
    state = np.zeros(together, np.int64)
    before, hidden = state, rng.integers(2, size=together)
    columns: list[list[NDArray[Any]]] = []
    for time in range(length):
        later = np.arange(together) >= together / 2 if together > 1 else np.array([time >= length / 2])
        if kind.ends == "one":
            hidden = np.where(rng.random(1) < 0.02, 1 - hidden, hidden)
        context = {"order": before < 2, "hidden": hidden}.get(word, later).astype(np.int64)
        action = _one_each(rng, behaviour[context * by_context["actions"], state])
        after = np.where(terminal[state], state, _one_each(rng, kernel[context * by_context["rows"], state, action]))
        if kind.fault == "reward tails":
            scatter = rng.standard_t(2, size=together)
        else:
            scatter = rng.standard_normal(together) if kind.noise == "normal" else rng.laplace(size=together)
        reward = mean[state, action] + 0.3 * context * by_context["rewards"] + NOISE * scatter
        columns.append([state, action, reward, after, terminal[state]])
        before, state = state, after
    # Episode by episode, without what follows their ends.
    state, action, reward, after, over = (np.stack(column, 1) for column in zip(*columns, strict=True))
    last = np.zeros(state.shape, bool)
    last[:, -1] = True
    kept = ~over
    ended = terminal[after]
    arrays = (state, action, reward, after, ended, last & ~ended)
    return make_log(mdp, *(array[kept] for array in arrays)), mdp, behaviour[0]


def _one_each(rng: Generator, rows: NDArray[Any]) -> NDArray[Any]:
    """One index of each distribution [row, index]."""
    sums = rows.cumsum(-1)
    return (sums[:, :-1] <= rng.random(len(rows))[:, None]).sum(-1)


def opinion(kind: Kind, seed: int) -> dict[str, Any]:
    """Judge a policy by a log: the truth, and by estimator whether it tells and its value and interval.

    Parameters
    ----------
    kind : Kind
    seed : int
    """
    import numpy as np

    from bayesmdp import evaluate, off_policy, solve

    rng = np.random.default_rng([seed, 41])
    log, mdp, behaviour = log_and_problem(rng, kind)
    best = np.eye(ACTIONS)[[mdp.action_index(label) for label in solve(mdp)["policy"].values.tolist()]]
    policy = best if kind.policy == "best" else 0.2 * best + 0.8 * behaviour
    told = off_policy(log, policy, mdp=mdp, seed=seed)
    found: dict[str, Any] = {"truth": float(evaluate(mdp, policy).values @ mdp.initial)}
    for name in told["estimator"].values:
        own = told.sel(estimator=name)
        found |= {f"{name}|{what}": own[what].item() for what in ("tells", "value", "lower", "upper")}
    return found


def check(kind: Kind, seed: int) -> dict[str, bool]:
    """Check a log: by check whether it alarms.

    Parameters
    ----------
    kind : Kind
    seed : int
    """
    import numpy as np

    from bayesmdp import check_log

    log, _, _ = log_and_problem(np.random.default_rng([seed, 43]), kind)
    checked = check_log(log, seed=seed, permutations=239)
    return dict(zip(checked["check"].values.tolist(), checked["alarm"].values.tolist(), strict=True))


def opinions(rows: pd.DataFrame) -> pd.DataFrame:
    """Summarise the logs of one cell by estimator, as the module says.

    Parameters
    ----------
    rows : DataFrame
        What `opinion` returns, one row a log.
    """
    import pandas as pd

    from bayesmdp.studies.by_problem import share

    table, truth = {}, rows["truth"]
    for name in dict.fromkeys(str(column).split("|")[0] for column in rows if "|" in str(column)):
        tells = rows[f"{name}|tells"].astype(bool)
        own = rows[tells]
        row: dict[str, float] = {"logs": len(rows), "tells": float(tells.mean())}
        if len(own):
            held = (own[f"{name}|lower"] <= truth[tells]) & (truth[tells] <= own[f"{name}|upper"])
            off = (own[f"{name}|value"] - truth[tells]) / truth.std()
            row |= share("covered", held)
            row |= {"bias": float(off.mean()), "error": float((off**2).mean() ** 0.5)}
        table[name] = row
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("estimator")


def alarms(rows: pd.DataFrame) -> dict[str, float]:
    """Summarise the logs of one cell by check, as the module says.

    Parameters
    ----------
    rows : DataFrame
        What `check` returns, one row a log.
    """
    from bayesmdp.studies.by_problem import share

    any_of_them = share("any", rows.any(axis=1))
    return {
        "logs": len(rows),
        **any_of_them,
        **{str(name): float(rows[name].mean()) for name in rows if name != "few tries"},
    }


def main(folder: str = "results", tables: str = "results", *, logs: tuple[int, int] = (CLEAN, FAULTY)) -> None:
    """Run the study, and write its two tables.

    Parameters
    ----------
    folder : str
        Not read: nothing is kept but the tables.
    tables : str
        Folder of the tables, written as CSV.
    logs : (clean, faulty)
        Logs of each cell; of opinions as many as clean ones.
    """
    from pathlib import Path

    import pandas as pd

    told = {
        name: opinions(pd.DataFrame([opinion(kind, seed) for seed in range(logs[0])]))
        for name, kind in OPINIONS.items()
    }
    found = {
        name: alarms(pd.DataFrame([check(kind, seed) for seed in range(logs[bool(kind.fault)])]))
        for name, kind in CHECKED.items()
    }
    Path(tables).mkdir(parents=True, exist_ok=True)
    pd.concat(told, names=["cell"]).round(4).to_csv(Path(tables) / "second_opinions.csv")
    checked = pd.DataFrame.from_dict(found, orient="index").rename_axis("cell")
    checked.round(4).to_csv(Path(tables) / "log_checks.csv")
