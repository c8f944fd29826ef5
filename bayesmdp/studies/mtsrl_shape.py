"""Learned priors: where they pay, and how what they cost grows. Declared before it was run.

The study `mtsrl` judges what MTSRL and MTSRL+ are claimed to do; this one asks on what it depends. Its problems are
small, so that many settings can be had: tasks are fewer, and settings other, than those of the guarantees.

- ``map-S-N``: small recommendation engines (4 products, 3 recommendations) whose log-odds weights differ by S between
  tasks, with N customers a task; 16 tasks, judged over the last 8. *Where does learning the covariance beat learning
  the mean?* ``mean alone`` learns as MTSRL does, but keeps the covariance that RLSVI begins with; MTSRL is told the
  true one. *Where does a prior on Q beat one on rewards?* Empirical Bayes beside a bandit that learns likewise.
  (After the first run ``mean alone, noise assumed`` was added. Learners on the map find the noise, too, which is far
  above the one assumed, and with a prior as wide as RLSVI's that alone makes an agent explore too much.)
- ``episodes-N``, ``horizon-H``: layered problems with Normal Q-values (2 states and 2 actions a layer, variances of
  .3), N = 10, 40, 160 episodes (H = 3) and H = 2, 3, 6 (N = 40); 40 tasks. The guarantees are of less cumulative
  meta-regret than RLSVI's after K of the order of H^2 tasks, or N^2 H^2 where the covariance is learned, too. *After
  how many tasks is it less, and stays so?*
- ``long``: 160 tasks at N = 20 and H = 3.
- ``near-episodes-N``, ``near-horizon-H``: N = 10 to 160 (H = 3) and H = 2 to 6 (N = 40), with a first prior that is not
  bad: as sure as tasks differ, and half as far from their mean; 60 tasks, 64 replicates. *How does the number of tasks
  after which learning has paid grow with N, and with H?* The guarantees would have it grow at most like H^2, whatever
  N is, and like N^2 H^2 where the covariance is learned, too. (Declared after the cells above had been run, and after
  trials on other tasks of this family, since in all of the above who came ahead did so at the earliest possible task,
  but for empirical Bayes at N = 160, and learners that are at random first never did.)

In layered problems other than ``near`` MTSRL is there with the non-adaptive warm-up, too: at random until the least
eigenvalue of each stage's Gram matrix is 1, or for 20 episodes (all of a task where N is 10 or 20 and chance wills it).
Learners begin to learn after 4 tasks on the map and after 2 elsewhere. Cumulative meta-regret is what an agent loses
more than the oracle, summed over tasks; the guarantees' power of K is 1/2.

*The best misspecified prior.* Thompson sampling under the true prior is not the best that can be done, and learners
have been below that "oracle". Beside it stand oracles with other covariances, or with the true noise where agents
assume another (a tenth and a thirtieth of the covariance were added after the first run). The best of them is chosen by
its regret on replicates of even number and judged, as a second reference, on those of odd number. Intervals are of 95%,
Student's for means and by bootstrap over replicates otherwise.

``make study STUDIES=mtsrl_shape`` runs every cell that ``results/`` does not hold and writes ``mtsrl_shape.csv`` (with
the distribution over replicates), ``mtsrl_shape_statements.csv``, ``mtsrl_shape_crossings.csv``,
``mtsrl_shape_growth.csv``, ``mtsrl_shape_powers.csv`` and ``mtsrl_shape_curves.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bayesmdp.studies.mtsrl_shape_tables import (
    ASSUMED,
    BANDIT_EB,
    EB,
    MEAN_ALONE,
    NOT_ADAPTIVE,
    crossing_table,
    crossing_tasks,
    curves_table,
    growth_table,
    power_table,
    regret_table,
    statements,
)
from bayesmdp.studies.mtsrl_tasks import ORACLE, RLSVI, SHOP, SMALL_SHOP, TRUE_NOISE, learner, normal_tasks
from bayesmdp.studies.statements import finished_cells
from bayesmdp.studies.task_study import LearnerSpec, TaskStudy

__all__ = ["GROWTHS", "STUDIES"]

SPREADS, CUSTOMERS, EPISODES, HORIZONS = (0.25, 0.5, 1.0), (20, 60, 180), (10, 40, 160), (2, 6)
NEAR_EPISODES, NEAR_HORIZONS = (10, 20, 40, 80, 160), (2, 3, 4, 6)

FLAT = [[[5.0 * (i == j) for j in range(20)] for i in range(20)]] * 3
"""The covariance that RLSVI begins with on the map."""
_on_map = partial(learner, warm_up=4)
_elsewhere = partial(learner, "tsrl", warm_up=2, growth=1.1)

ON_MAP: Mapping[str, LearnerSpec] = {
    RLSVI: LearnerSpec("tsrl"),
    ORACLE: LearnerSpec("tsrl", knows="prior"),
    TRUE_NOISE: LearnerSpec("tsrl", knows="prior and noise"),
    **{
        f"{TRUE_NOISE}, covariance x {share:g}": LearnerSpec("tsrl", knows="prior and noise", stretch=share)
        for share in (0.25, 0.1, 0.03)
    },
    MEAN_ALONE: _on_map("tsrl", "mtsrl", covariance=FLAT, learn_noise=True),
    ASSUMED: _on_map("tsrl", "mtsrl", covariance=FLAT, learn_noise=False),
    "MTSRL": _on_map("tsrl", "mtsrl", "covariance", learn_noise=True),
    "MTSRL+": _on_map("tsrl", "mtsrl+", learn_noise=True),
    EB: _on_map("tsrl", "empirical-bayes"),
    "AdaTS": _on_map("bandit_ts", "adats", "covariance"),
    BANDIT_EB: _on_map("bandit_ts", "empirical-bayes"),
}

IN_LAYERS: Mapping[str, LearnerSpec] = {
    RLSVI: LearnerSpec("tsrl"),
    ORACLE: LearnerSpec("tsrl", knows="prior"),
    **{
        f"{ORACLE}, covariance x {share:g}": LearnerSpec("tsrl", knows="prior", stretch=share)
        for share in (0.5, 0.25, 0.1, 0.03)
    },
    "MTSRL": _elsewhere("mtsrl", "covariance"),
    "MTSRL+": _elsewhere("mtsrl+"),
    EB: _elsewhere("empirical-bayes"),
    NOT_ADAPTIVE: replace(_elsewhere("mtsrl", "covariance"), options={"excitation": 1.0, "at_random": 20}),
}


def _map(spread: float, customers: int) -> TaskStudy:
    options = {**SHOP, "truth_options": {"mean": None, "scale": spread}}
    return TaskStudy(
        title=f"learned priors where tasks differ by {spread:g} and have {customers} customers",
        agents=ON_MAP,
        environment_options=SMALL_SHOP,
        **{**options, "steps": 3 * customers, "tasks": 16, "thin": 3 * customers, "replicates": 10},
    )


def _layers(episodes: int, horizon: int, **options: Any) -> TaskStudy:
    settings: dict[str, Any] = {
        "agents": IN_LAYERS,
        "prior_options": {"covariance": 4.0, "noise": 0.5},
        "truth_options": partial(normal_tasks, horizon, 4),
        "tasks": 40,
        "replicates": 16,
    }
    return TaskStudy(
        title=f"learned priors in layers: {episodes} episodes of {horizon} steps a task",
        environment="layers",
        environment_options={"width": 2, "actions": 2, "horizon": horizon, "noise": 0.5},
        prior="gaussian_q",
        truth="gaussian_q_tasks",
        steps=episodes * horizon,
        thin=episodes * horizon,
        **{**settings, **options},
    )


def _near_tasks(horizon: int) -> dict[str, Any]:
    """The tasks of layers, with half of their mean."""
    tasks = normal_tasks(horizon, 4)
    return {**tasks, "mean": tasks["mean"] / 2}


def _near(episodes: int, horizon: int) -> TaskStudy:
    return _layers(
        episodes,
        horizon,
        agents={name: IN_LAYERS[name] for name in (RLSVI, ORACLE, "MTSRL", "MTSRL+", EB)},
        prior_options={"covariance": 0.3, "noise": 0.5},
        truth_options=partial(_near_tasks, horizon),
        tasks=60,
        replicates=64,
    )


STUDIES: Mapping[str, TaskStudy] = {
    **{f"map-{spread:g}-{n}": _map(spread, n) for spread in SPREADS for n in CUSTOMERS},
    **{f"episodes-{n}": _layers(n, 3) for n in EPISODES},
    **{f"horizon-{h}": _layers(40, h) for h in HORIZONS},
    "long": _layers(20, 3, tasks=160),
    **{f"near-episodes-{n}": _near(n, 3) for n in NEAR_EPISODES},
    **{f"near-horizon-{h}": _near(40, h) for h in NEAR_HORIZONS if h != 3},
}

GROWTHS: Mapping[str, Mapping[str, int]] = {
    "N": {f"near-episodes-{n}": n for n in NEAR_EPISODES},
    "H": {"near-episodes-40" if h == 3 else f"near-horizon-{h}": h for h in NEAR_HORIZONS},
}
"""Cells between which one quantity grows, and what it is in each."""
LAYERS = tuple(cell for cell in STUDIES if not cell.startswith(("map", "near")))
"""Cells whose cumulative meta-regret is followed."""


def main(folder: str = "results", tables: str = "results") -> None:
    """Run the cells that `folder` does not hold yet, and write the tables to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the tables, written as CSV.
    """
    from pathlib import Path

    import pandas as pd

    parts: dict[str, list[Any]] = {name: [] for name in ("", "_statements", "_crossings", "_powers", "_curves")}
    crossed: dict[str, Any] = {}
    for cell, result in finished_cells("mtsrl-shape", STUDIES, folder):
        made = {"": regret_table(result).reset_index()}
        if not cell.startswith("map"):
            horizon = STUDIES[cell].environment_options["horizon"]
            crossed[cell] = crossing_tasks(result)
            made["_crossings"] = crossing_table(crossed[cell], STUDIES[cell].steps // horizon, horizon).reset_index()
        if not cell.startswith("near"):
            made["_statements"] = statements(result)
        if cell in LAYERS:
            made |= {"_powers": power_table(result), "_curves": curves_table(result)}
        for name, part in made.items():
            parts[name].append(part.assign(cell=cell))
    for name, pieces in parts.items():
        table = pd.concat(pieces)
        table.insert(0, "cell", table.pop("cell"))
        table.round(6 if name == "_crossings" else 3).to_csv(Path(tables) / f"mtsrl_shape{name}.csv", index=False)
    growth = growth_table(crossed, GROWTHS)
    growth.round(3).to_csv(Path(tables) / "mtsrl_shape_growth.csv", index=False)
