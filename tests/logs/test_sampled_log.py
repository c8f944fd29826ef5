"""Samples of long logs: whole episodes, from all over it, and what they may be asked."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayesmdp as bm
from bayesmdp.logs.sampled_log import BLOCKS, sample_log


def lake(steps: int = 6_000) -> pd.DataFrame:
    log = bm.collect(bm.environments.frozen_lake(), policy="uniform", steps=steps, seed=0)
    return log.to_dataframe().assign(number=np.arange(steps))


@pytest.mark.parametrize("form", ["csv", "frame"])
def test_episodes_are_whole_and_from_all_over_the_log(form, tmp_path):
    table = lake()
    table.to_csv(tmp_path / "log.csv", index=False)
    source = tmp_path / "log.csv" if form == "csv" else pl.DataFrame(table)
    counted = bm.read_log(source, distinct=True)
    sample = sample_log(source, counted, 2_000, covariates=["number"])
    number, ended = sample["number"].values, (sample["terminated"] | sample["truncated"]).values
    begins = np.append(True, ended[:-1])
    real = (table["terminated"] | table["truncated"]).to_numpy()
    assert (number[begins] == 0).sum() + real[
        number[begins] - 1
    ].sum() == begins.sum()  # each begins as an episode does
    goes_on = ~ended[:-1]
    assert (np.diff(number)[goes_on] == 1).all()
    assert (np.diff(number) > 1).sum() == BLOCKS - 1 and number.max() > 5_800 and 1_000 < len(number) <= 2_000
    assert sample.attrs["rows_of"] == 6_000 and sample.attrs["starts_known"]
    assert sample.attrs["states"] == counted.attrs["states"]


def test_an_endless_log_is_sampled_by_blocks_that_begin_anywhere():
    log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=4_000, seed=0)
    frame = pl.DataFrame(log.to_dataframe().drop(columns=["terminated", "truncated"]))
    sample = sample_log(frame, bm.read_log(frame, distinct=True), 1_000)
    assert sample.sizes["step"] == 1_000 and sample["truncated"].values.sum() == BLOCKS
    assert not sample.attrs["starts_known"]
    assert bm.check_log(sample).attrs["pieces"].startswith("blocks")


def test_rows_in_no_order_are_not_sampled():
    mixed = pl.DataFrame(lake(600).sample(frac=1, random_state=0))
    assert sample_log(mixed, bm.read_log(mixed, distinct=True, gaps="allow"), 100) is None
    assert sample_log(lake(600), bm.read_log(lake(600), distinct=True), 100) is None  # in memory already


def test_a_plan_asks_the_sample():
    frame = pl.DataFrame(lake())
    counted = bm.read_log(frame, distinct=True)
    options = {"discount": 0.9, "draws": 20, "calibration": 0}
    report = bm.plan_log(counted, sample=sample_log(frame, counted, 3_000), **options)
    checked = report.tree["log_checks"].to_dataset()
    assert checked.attrs["rows_of"] == 6_000 and checked.attrs["rows"] <= 3_000
    assert "second_opinion" in report.tree
    assert np.isnan(checked["statistic"].sel(check="few tries"))
    assert "log_checks" not in bm.plan_log(counted, **options).tree
