"""From the log of a hospital to a policy: what plans promise and what they deliver, on ICU-Sepsis.

The study is ours. A log holds 100, 300, 1,000, 3,000 or 10,000 patients, each one episode under the clinicians' policy;
5 logs of each size. What is known is the log and the names of all states: the problem is `mdp_from_log` at discount
.99. The prior is Dirichlet and symmetric, with the weight of each row, in observations, either 1 or the one under which
the log is most probable (:mod:`bayesmdp.posterior.dirichlet_evidence`). Four plans, with 100 posterior draws (the mean
plan with the posterior mean itself); then, at the initial distribution of the log,

* *promise*: the value of the plan under its own criterion;
* *quantile_value* and *mean_value*: the posterior .1-quantile and mean of the policy's value, from 200 fresh draws;
* *delivered*: the value of the policy in the true ICU-Sepsis, from its true initial distribution. Where the log knows
  nothing of a state, the clinicians go on;
* *margin*: delivered less quantile_value. A posterior that can be trusted is at or above 0 nine times in ten.

Declared before it was run. :func:`main` runs the cells that are missing and writes ``icu_sepsis.csv``. Draws are made
here, by the closed form, for the pairs that were tried: dense ones of all 25 actions would be mostly rows that no one
may take. All problems of about the same size have the same shape, so that they share their compiled programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from numpy.random import Generator
    from numpy.typing import NDArray

    from bayesmdp.model_reading.rows import Transitions
    from bayesmdp.planning.risk import Risk
    from bayesmdp.problems.mdp import MDP

__all__ = ["run_cell", "summary", "treat"]

PATIENTS = (100, 300, 1_000, 3_000, 10_000)
LOGS = 5
DISCOUNT = 0.99
DRAWS = 100
JUDGES = 200
LEVEL = 0.1
PRIORS = ("weight 1", "by evidence")
FIGURES = ("promise", "quantile_value", "mean_value", "delivered", "margin")


def plans() -> dict[str, Risk]:
    """The risk measures, by what the table calls them."""
    from bayesmdp.planning.cvar import CVaR
    from bayesmdp.planning.quantile import Quantile
    from bayesmdp.planning.risk import Mean

    return {"mean": Mean(), "quantile 0.1": Quantile(0.1), "quantile 0.3": Quantile(0.3), "CVaR 0.1": CVaR(0.1)}


def treat(patients: int, *, seed: int = 0) -> xr.Dataset:
    """A log of so many patients, treated as clinicians do, from admission to the end.

    Parameters
    ----------
    patients : int
    seed : int

    Returns
    -------
    Dataset over ``step``
        Its label sets are those of ICU-Sepsis, seen or not.

    Examples
    --------
    >>> log = treat(20)
    >>> int(log["terminated"].sum()), bool(log["terminated"][-1])
    (20, True)
    """
    import numpy as np

    from bayesmdp.simulation.collect import collect

    sepsis, clinicians = _truth()
    # A stay takes 9.2 steps on average; half as much again covers a few patients who stay long.
    log = collect(sepsis, policy=clinicians, steps=11 * patients + 500, seed=seed)
    ends = np.flatnonzero(log["terminated"].values)
    return log.isel(step=slice(int(ends[patients - 1]) + 1))


def run_cell(patients: int, number: int, *, draws: int = DRAWS, judges: int = JUDGES) -> pd.DataFrame:
    """One log, both priors, all plans.

    Parameters
    ----------
    patients : int
    number : int
        Of the log, which is its seed.
    draws, judges : int
        Posterior draws to plan with, and others to judge by.

    Returns
    -------
    DataFrame
        One row for each prior and plan: ``patients``, ``log``, ``prior``, ``weight``, ``plan``, the figures of the
        module, and ``quantile_value_lower`` and ``quantile_value_upper``, its 95% Monte Carlo interval.
    """
    import numpy as np
    import pandas as pd

    from bayesmdp.logs.compress import compress
    from bayesmdp.logs.problem_from_log import mdp_from_log
    from bayesmdp.planning import plan
    from bayesmdp.posterior import concentration_by_evidence

    log = treat(patients, seed=number)
    mdp = mdp_from_log(log, discount=DISCOUNT)
    rows = compress(log, mdp)
    problem, counts, choices = _compact(mdp, rows)
    table = []
    by_evidence = mdp.num_states * concentration_by_evidence(rows, mdp)
    for prior, weight in zip(PRIORS, (1.0, by_evidence), strict=True):
        rng = np.random.default_rng([number, patients])
        concentration = _concentration(problem, counts, weight)
        planning = _draws(concentration, draws, rng)
        expected = _kernels((concentration / concentration.sum(-1, keepdims=True))[None])
        for name, risk in plans().items():
            # Where many pairs are worth nearly the same, rounding keeps the last digits of the bound from settling.
            found = plan(expected if name == "mean" else planning, problem, risk, tolerance=1e-5)
            slot = found["policy"].values.astype(int)[:, None]
            fresh = _draws(_along(concentration, slot), judges, rng)
            worth = worth_at_start(fresh, _chosen(problem, slot))
            delivered = deliver(np.take_along_axis(choices, slot, 1)[:, 0], known=counts.any((1, 2)))
            figures = {
                "promise": float(found["value"].values @ mdp.initial),
                **worth,
                "delivered": delivered,
                "margin": delivered - worth["quantile_value"],
            }
            table.append(
                {"patients": patients, "log": number, "prior": prior, "weight": weight, "plan": name} | figures
            )
    return pd.DataFrame(table)


def worth_at_start(draws: xr.Dataset, mdp: MDP) -> dict[str, float]:
    """Return posterior quantile, its interval, and mean of the value of the one policy of an MDP with one action.

    Parameters
    ----------
    draws : Dataset
        Posterior draws of the kernel.
    mdp : MDP

    Returns
    -------
    dict of str to float
    """
    from bayesmdp.planning.posterior_value import value_draws
    from bayesmdp.planning.quantile_interval import order_interval

    values = value_draws(draws, mdp, "uniform").values @ mdp.initial
    names = "quantile_value", "quantile_value_lower", "quantile_value_upper"
    worth = dict(zip(names, map(float, order_interval(values, LEVEL, 0.95)), strict=True))
    return worth | {"mean_value": float(values.mean())}


def deliver(action: NDArray[np.int64], known: NDArray[np.bool_]) -> float:
    """Return the true value from admission of a policy that leaves unknown states to the clinicians.

    Parameters
    ----------
    action : int array [state]
    known : bool array [state]
        Where `action` is taken.

    Returns
    -------
    float
    """
    import numpy as np

    from bayesmdp.planning import evaluate

    sepsis, clinicians = _truth()
    policy = np.where(known[:, None], np.eye(sepsis.num_actions)[action], clinicians.values)
    return float(evaluate(sepsis, policy).values @ sepsis.initial)


def references() -> dict[str, float]:
    """True values of what clinicians do and of the best policy, from admission."""
    from bayesmdp.planning import evaluate, solve

    sepsis, clinicians = _truth()
    values = {"clinicians": evaluate(sepsis, clinicians), "optimal": solve(sepsis)["value"]}
    return {name: float(value.values @ sepsis.initial) for name, value in values.items()}


@cache
def _truth() -> tuple[MDP, xr.DataArray]:
    from bayesmdp.environments import clinicians_policy, icu_sepsis

    return icu_sepsis(discount=DISCOUNT), clinicians_policy()


def _compact(mdp: MDP, rows: Transitions) -> tuple[MDP, NDArray[np.float64], NDArray[np.int64]]:
    """The problem with the actions that were tried listed first, counts [state, choice, outcome], and the list."""
    import numpy as np

    assert mdp.successor is not None
    # As many outcomes as the next multiple of 16. A row names at most all other states, so its last entry is elsewhere.
    more = -mdp.num_outcomes % 16
    wider = ((0, 0), (0, 0), (0, more))
    fields = {name: np.pad(getattr(mdp, name), wider, "edge") for name in ("successor", "reward")}
    mdp = mdp.replace(**fields)
    counts = np.zeros((mdp.num_states, mdp.num_actions, mdp.num_outcomes))
    counts[rows.state, rows.action, rows.next_state] = rows.weight
    sepsis, _ = _truth()
    most = int(sepsis.available[~sepsis.terminal].sum(-1).max())
    choices = np.argsort(~counts.any(-1), axis=1, kind="stable")[:, :most]
    return _chosen(mdp, choices), _along(counts, choices), choices


def _along(array: NDArray[Any], choices: NDArray[np.int64]) -> NDArray[Any]:
    import numpy as np

    return np.take_along_axis(array, choices.reshape(*choices.shape, *(1,) * (array.ndim - 2)), 1)


def _chosen(mdp: MDP, choices: NDArray[np.int64]) -> MDP:
    """The same problem with the actions `choices` only, numbered in each state from 0."""
    assert mdp.successor is not None
    fields: Mapping[str, Any] = {name: getattr(mdp, name) for name in ("successor", "reward", "available")}
    changed = {name: _along(array, choices) for name, array in fields.items()}
    return mdp.replace(**changed, actions=range(choices.shape[1]))


def _concentration(mdp: MDP, counts: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Posterior concentrations; all that is elsewhere in one entry of its row, the others 0."""
    import numpy as np

    assert mdp.successor is not None
    prior = weight / mdp.num_states * mdp.outcome_size
    lost = mdp.successor < 0
    first = lost & (np.cumsum(lost, -1) == 1)
    prior = np.where(lost, first * np.where(lost, prior, 0).sum(-1, keepdims=True), prior)
    return np.asarray(prior + counts)


def _draws(concentration: NDArray[np.float64], draws: int, rng: Generator) -> xr.Dataset:
    """Dirichlet rows [draw, state, action, outcome] by NumPy."""
    import numpy as np

    transition = np.zeros((draws, *concentration.shape))
    live = concentration > 0
    transition[:, live] = rng.standard_gamma(concentration[live], (draws, int(live.sum())))
    transition /= transition.sum(-1, keepdims=True)
    return _kernels(transition)


def _kernels(transition: NDArray[np.float64]) -> xr.Dataset:
    import xarray as xr

    return xr.Dataset({"transition": (("draw", "state", "action", "outcome"), transition)})


def summary(cells: pd.DataFrame) -> pd.DataFrame:
    """Means over the logs, with 95% t intervals.

    Parameters
    ----------
    cells : DataFrame
        Rows of `run_cell`.

    Returns
    -------
    DataFrame
        One row for each size, prior and plan: each figure with ``_lower`` and ``_upper``, ``weight`` (geometric mean),
        ``kept`` (share of logs with a margin of at least 0) and ``logs``.
    """
    import numpy as np
    import pandas as pd

    from bayesmdp.studies.statements import mean_interval

    table = {}
    for key, group in cells.groupby(["patients", "prior", "plan"], sort=False):
        row = {"logs": len(group), "weight": float(np.exp(np.log(group["weight"]).mean()))}
        for name in FIGURES:
            ends = "", "_lower", "_upper"
            row |= {name + end: figure for end, figure in zip(ends, mean_interval(group[name]), strict=True)}
        table[key] = row | {"kept": float((group["margin"] >= 0).mean())}
    return pd.DataFrame.from_dict(table, orient="index").rename_axis(["patients", "prior", "plan"])


def main(
    folder: str = "results",
    tables: str = "results",
    *,
    patients: Sequence[int] = PATIENTS,
    logs: int = LOGS,
    draws: int = DRAWS,
    judges: int = JUDGES,
) -> None:
    """Run the cells that `folder` does not hold yet, and write the table to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the tables, written as CSV.
    patients : sequence of int
        Sizes of the logs.
    logs, draws, judges : int
        Logs of each size, draws to plan with, and draws to judge by.
    """
    from pathlib import Path

    import pandas as pd

    tables_of_cells = []
    for size in patients:
        for number in range(logs):
            path = Path(folder) / f"icu-sepsis-{size}-{number}.csv"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                run_cell(size, number, draws=draws, judges=judges).to_csv(path, index=False)
            tables_of_cells.append(pd.read_csv(path))
    table = summary(pd.concat(tables_of_cells)).reset_index().assign(**references())
    table.round(4).to_csv(Path(tables) / "icu_sepsis.csv", index=False)
