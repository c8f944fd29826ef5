"""``bayesmdp plan`` on records as people keep them: visits, costs, folders, and files that a cluster reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.logs import read_log
from tests.command_line import call, told_in_one_line

OPTIONS = ("--draws", "20", "--no-calibration", "--discount", "0.9")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("visits")
    visits = bm.environments.clinic_visits(60, seed=0)
    visits.assign(price=1 - visits["well"]).sample(frac=1, random_state=0).to_csv(folder / "visits.csv", index=False)
    lake = bm.collect(bm.environments.frozen_lake(), steps=2_000, seed=0).to_dataframe()
    (folder / "parts").mkdir()
    for n in range(4):
        lake[500 * n : 500 * (n + 1)].to_parquet(folder / "parts" / f"{n}.parquet", index=False)
    lake.to_parquet(folder / "whole.parquet", index=False)
    return folder


def test_visits_in_any_order_and_what_they_cost(folder: Path) -> None:
    columns = list(pd.read_csv(folder / "visits.csv", nrows=1))
    patient, visit = columns[:2]
    states = ("--state", "age:cutoffs(40,65)", "--state", "lactate:quantiles(3)", "--column", "action=treatment")
    order = ("--episode", patient, "--step", visit, "--cost", "price", "--next-columns", "none_{}")
    told = told_in_one_line("plan", folder / "visits.csv", *states, *order, *OPTIONS, "--out", folder / "a")
    assert "no column 'none_age'" in told  # what followed was measured here, so that its name must be right
    bare = pd.read_csv(folder / "visits.csv").drop(columns=[name for name in columns if name.startswith("next_")])
    bare.to_csv(folder / "bare.csv", index=False)
    call("plan", folder / "bare.csv", *states, *order[:6], *OPTIONS, "--out", folder / "b")
    with xr.open_datatree(folder / "b" / "bare-plan.nc", engine="h5netcdf") as tree:
        reward = tree["problem"]["reward"].values
        assert "end" in tree["problem"]["state"].values.tolist()
    assert (reward <= 0).all() and reward.min() < -0.5
    told = told_in_one_line("plan", folder / "bare.csv", *states, "--step", visit, *OPTIONS, "--out", folder / "c")
    assert f"--step '{visit}' orders the rows of episodes; name the column that tells these, --episode" in told


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")  # of Dask, by the newest pandas
def test_folders_are_read_whole_and_a_cluster_counts_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(read_log, "MANY", 1_000)
    plans = []
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        cluster_of = ("--dask", cluster.scheduler_address)
        for name, more in (("whole.parquet", ()), ("parts", ()), ("parts", cluster_of), ("whole.parquet", cluster_of)):
            out = folder / f"{name}-{len(more)}.nc"
            shown, _ = call("plan", folder / name, *more, *OPTIONS, "--out", out)
            assert "2,000, of which" in shown
            with xr.open_datatree(out, engine="h5netcdf") as tree:
                plans.append(tree["policy"]["worth_quantile"].values)
        assert "--dask needs a Parquet file" in told_in_one_line(
            "plan", folder / "visits.csv", *cluster_of, "--out", folder / "d"
        )
    for plan in plans[1:]:
        np.testing.assert_array_equal(plan, plans[0])
