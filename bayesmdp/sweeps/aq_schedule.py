"""How sensitive AQ-BRMDP is to its schedule: the sweep ``aq_schedule``, run on two seeds.

200 settings of C, kappa, discount and prior, beside PSRL in each problem; 32 replicates of 5,000 steps. The second seed
is there to see what becomes of the settings that looked best on the first. The sweep was declared before it was run.

``make study STUDIES=sweeps.aq_schedule`` runs what ``results/`` does not hold yet (half an hour on two cores) and
writes the regret of every run to ``aq_schedule.csv``.
"""

from __future__ import annotations

__all__ = ["main"]

SEEDS = (0, 1)


def main(folder: str = "results", tables: str = "results") -> None:
    """Run what `folder` does not hold yet, and write the regret of each run to `tables`.

    Parameters
    ----------
    folder : str
        Of the sweep's store.
    tables : str
        Folder of the table.
    """
    from pathlib import Path

    import pandas as pd

    from bayesmdp.results.comparison import final_totals
    from bayesmdp.sweeps import read_sweep_file, run_sweep, shipped_sweeps

    totals = {}
    for seed in SEEDS:
        sweep = read_sweep_file(shipped_sweeps()["aq_schedule"], seed=seed)
        store = run_sweep(sweep, Path(folder) / f"aq_schedule-seed{seed}.zarr")
        totals[seed] = final_totals(store)
    pd.concat(totals, names=["seed"]).round(1).to_csv(Path(tables) / "aq_schedule.csv")
