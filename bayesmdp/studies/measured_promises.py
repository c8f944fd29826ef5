"""Is what a plan from a log of measurements promises true of the world? 200 random linear systems, with a log of each.

Declared before it was run. In each problem a linear system is drawn, a behaviour makes one log of it, and the log goes
the way of `plan_log` (risk ``quantile:0.1``, discount .9; 50 draws and 9 logs of each of two worlds to check the
promise on, which is less than the command's 200 and 20, so that 200 problems can be run): the box, the priors and the
plan from the log, the number to quote, and what the check lowers it by. Then the policy's *true* value from the first
states of the log, under the true system, is compared with

- ``promise``: the number that the command tells one to quote;
- ``raw``: the posterior quantile it was before it was lowered.

A promise is *kept* if the true value is at least as large. Shares are of 100 problems a cell, with Wilson's 95%
intervals; .90 is due, and .90 must not be above the interval. The *price* of a promise and the value of the policy are
told as medians of the difference to the behaviour's true value, in units of the mean difference between the policy and
the behaviour.

All 200 were run. The promise was kept in 97.5% of them (.96 and .99 of the cells), which is more than is due: it could
be higher. It stands at .29 of what the policy gains on average, beside a median gain of .58; so the caution that is
added to the raw bound, which was kept in 82.5% and is less than is due, costs a third of the gain and more than the
truth asks for.

Truths: one or two coordinates; ``next = A s + B[a] + noise`` with three actions, A of random Normal entries scaled to a
spectral radius from U(.3, .95), B standard Normal times .5, and Normal noise with a standard deviation from U(.1, .5)
in each coordinate. Rewards are ``-|s - target|^2`` with a Normal target, and Normal noise of .1. Episodes are of 20
steps, from standard Normal starts. The behaviour takes actions at random, as probable as a Dirichlet(2) draw says
whatever the state, and the log has 100 or 200 rows.

``make study STUDIES=measured_promises`` runs every cell that ``results/`` does not hold, and writes
``measured_promises.csv`` and the problems themselves, a row each, ``measured_promises_problems.csv``. A first problem
takes 40 s of processor time, and one that finds its programs compiled 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bayesmdp.studies.by_problem import by_cell, share, tables_by_problem

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.random import Generator
    from numpy.typing import NDArray

    from bayesmdp.offline.report import Report

__all__ = ["CELLS", "Cell", "System", "main", "run_problem", "summary"]

PROBLEMS = 100
DISCOUNT, LEVEL, DRAWS, LOGS = 0.9, 0.1, 50, 9
EPISODE, PATHS, STEPS = 20, 4_000, 90
"""Steps of an episode of a log; and by how many paths, of how many steps, values are simulated: .9^90 is .0001."""


class Cell(NamedTuple):
    """Systems of one size.

    Attributes
    ----------
    coordinates : int
    rows : int
        Of the log.
    """

    coordinates: int
    rows: int


CELLS: Mapping[str, Cell] = {"one-coordinate": Cell(1, 100), "two-coordinates": Cell(2, 200)}


class System(NamedTuple):
    """A linear system that is known.

    Attributes
    ----------
    moves : array [from, to]
    pushes : array [action, coordinate]
    noise, target : array [coordinate]
    behaviour : array [action]
        How probable each action is in the log.
    """

    moves: NDArray[Any]
    pushes: NDArray[Any]
    noise: NDArray[Any]
    target: NDArray[Any]
    behaviour: NDArray[Any]

    @classmethod
    def drawn(cls, rng: Generator, coordinates: int) -> System:
        """Draw a system; see the module.

        Parameters
        ----------
        rng : Generator
        coordinates : int
        """
        import numpy as np

        entries = rng.normal(size=(coordinates, coordinates))
        moves = entries * rng.uniform(0.3, 0.95) / np.abs(np.linalg.eigvals(entries)).max()
        pushes = 0.5 * rng.normal(size=(3, coordinates))
        noise, target = rng.uniform(0.1, 0.5, coordinates), rng.normal(size=coordinates)
        return cls(moves, pushes, noise, target, rng.dirichlet(np.full(3, 2.0)))

    def paid(self, state: NDArray[Any]) -> NDArray[Any]:
        """Mean rewards [...] in states [..., coordinate]."""
        return -((state - self.target) ** 2).sum(-1)

    def step(self, rng: Generator, state: NDArray[Any], action: NDArray[Any]) -> NDArray[Any]:
        """Draw next states [row, coordinate]."""
        moved: NDArray[Any] = state @ self.moves + self.pushes[action]
        return moved + self.noise * rng.normal(size=state.shape)

    def log(self, rng: Generator, rows: int) -> xr.Dataset:
        """Make a log of so many rows by the behaviour."""
        import numpy as np
        import xarray as xr

        size = len(self.target)
        state, after = np.zeros((rows, size)), np.zeros((rows, size))
        action = rng.choice(3, p=self.behaviour, size=rows)
        for row in range(rows):
            state[row] = rng.normal(size=size) if row % EPISODE == 0 else after[row - 1]
            after[row] = self.step(rng, state[row][None], action[row : row + 1])[0]
        axes = ("step", "coordinate")
        columns = {
            "state": (axes, state),
            "next_state": (axes, after),
            "action": ("step", np.array(["a", "b", "c"])[action]),
            "reward": ("step", self.paid(state) + 0.1 * rng.normal(size=rows)),
            "truncated": ("step", np.arange(rows) % EPISODE == EPISODE - 1),
        }
        return xr.Dataset(columns, {"coordinate": [f"x{i}" for i in range(size)]}, {"actions": ["a", "b", "c"]})

    def worth(self, report: Report | None, starts: NDArray[Any]) -> float:
        """What a plan, or without one the behaviour, truly earns from some starts.

        Parameters
        ----------
        report : Report or None
        starts : array [start, coordinate]
        """
        import numpy as np

        from bayesmdp.offline.measured_file import read_measured_plan

        rng = np.random.default_rng(17)
        state, total = starts[np.arange(PATHS) % len(starts)], np.zeros(PATHS)
        policy = None
        if report is not None:
            kept = read_measured_plan(report.tree)
            policy = kept.policy
        for step in range(STEPS):
            total += DISCOUNT**step * self.paid(state)
            at_random = rng.choice(len(self.behaviour), p=self.behaviour / self.behaviour.sum(), size=PATHS)
            action = at_random if policy is None else policy.probabilities(state).argmax(-1)
            state = self.step(rng, state, action)
        return float(total.mean())


def run_problem(cell: Cell, seed: int, *, draws: int = DRAWS, logs: int = LOGS) -> dict[str, float]:
    """Make one system and a log of it, plan from the log, and compare with the truth.

    Parameters
    ----------
    cell : Cell
    seed : int
    draws, logs : int
        Draws of a plan; logs of each world.

    Returns
    -------
    dict of float
        ``truth``, ``promise``, ``raw``, ``behaviour`` (values at the log's starts), ``checked`` (the share of logs on
        which the raw bound was kept; NaN where nothing was checked).
    """
    import numpy as np

    from bayesmdp import plan_log

    rng = np.random.default_rng([seed, cell.coordinates])
    system = System.drawn(rng, cell.coordinates)
    log = system.log(rng, cell.rows)
    taken = np.unique(log["action"].values)
    log = log.assign_attrs(actions=taken.tolist())
    # An action that the log never took nobody can plan with.
    own = np.isin(["a", "b", "c"], taken)
    system = system._replace(pushes=system.pushes[own], behaviour=system.behaviour[own])
    report = plan_log(log, discount=DISCOUNT, risk=f"quantile:{LEVEL}", draws=draws, calibration=logs, seed=seed)
    attrs, starts = report.tree.attrs, log["state"].values[::EPISODE]
    checked = attrs.get("checked_logs", 0)
    return {
        "truth": system.worth(report, starts),
        "promise": float(attrs["initial_bound"]),
        "raw": float(attrs["initial_worth_quantile"]),
        "behaviour": system.worth(None, starts),
        "checked": attrs["checked_kept"] / checked if checked else float("nan"),
    }


def summary(problems: pd.DataFrame) -> pd.DataFrame:
    """Shares kept with Wilson's 95% intervals, and prices, by cell and of all.

    Parameters
    ----------
    problems : DataFrame
        Columns ``cell`` and those of `run_problem`.

    Returns
    -------
    DataFrame
    """

    def row_of(group: pd.DataFrame) -> dict[str, float]:
        scale = float((group["truth"] - group["behaviour"]).mean())
        row: dict[str, float] = {}
        for name in ("promise", "raw"):
            row |= share(f"{name}_kept", group["truth"] >= group[name])
            row[f"{name}_price"] = float((group[name] - group["behaviour"]).median()) / scale
        return row | {"policy": float((group["truth"] - group["behaviour"]).median()) / scale}

    return by_cell(problems, row_of, of_all=True)


main = tables_by_problem(
    "measured-promises",
    CELLS,
    PROBLEMS,
    lambda cell, seed: run_problem(cell, seed),
    {
        "measured_promises": lambda ran: summary(ran).round(4),
        "measured_promises_problems": lambda ran: ran.set_index(["cell", "seed"]).round(6),
    },
)
