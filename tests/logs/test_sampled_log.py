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


@pytest.mark.parametrize("form", ["csv", "frame"])
def test_episodes_that_a_column_tells_are_drawn_whole_wherever_their_rows_stand(form, tmp_path):
    """Shuffled rows; each drawn episode is read to its end, as the whole log tells it, and all are as often drawn."""
    table = lake()
    ended = (table["terminated"] | table["truncated"]).to_numpy()
    number = np.append(0, np.cumsum(ended)[:-1])
    table = table.assign(patient=[f"p{each:04}" for each in number], hour=np.arange(len(table)))
    mixed = table.sample(frac=1, random_state=0)
    mixed.to_csv(tmp_path / "log.csv", index=False)
    source = tmp_path / "log.csv" if form == "csv" else pl.DataFrame(mixed)
    options = {"episode": "patient", "step": "hour", "covariates": ["number"], "gaps": "cut"}  # the last did not end
    counted = bm.read_log(source, distinct=True, **options)
    sample = sample_log(source, counted, 2_000, **options)
    rows = sample["number"].values
    drawn = number[rows]
    assert 1_800 < len(rows) <= 2_000 and sample.attrs["rows_of"] == 6_000 and sample.attrs["starts_known"]
    assert sorted(rows) == np.flatnonzero(np.isin(number, drawn)).tolist()  # all rows of each, and no others
    apart = np.flatnonzero(np.diff(rows) != 1)
    assert (ended[rows[apart]]).all() and (np.diff(drawn)[apart] != 0).all()
    assert drawn.max() > 0.9 * number.max() and drawn.min() < 0.1 * number.max()
    lengths = np.bincount(number)
    assert abs(lengths[np.unique(drawn)].mean() - lengths.mean()) < 3 * lengths.std() / np.sqrt(len(np.unique(drawn)))
    assert sample_log(source, counted, 1, **options) is None or lengths.min() == 1


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


@pytest.mark.parametrize("rows", [1, 7, 60, 61, 10_000])
def test_blocks_do_not_overlap_whatever_is_asked_for(rows):
    river = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=60, seed=0)
    table = river.to_dataframe().drop(columns=["terminated", "truncated"]).assign(number=np.arange(60))
    counted = bm.read_log(pl.DataFrame(table), distinct=True)
    sample = sample_log(pl.DataFrame(table), counted, rows, covariates=["number"])
    assert (np.diff(sample["number"].values) > 0).all() and sample.sizes["step"] == min(rows, 60)
    with pytest.raises(ValueError, match="rows must be at least 1; got 0"):
        sample_log(pl.DataFrame(table), counted, 0)


def test_what_is_gone_through_from_the_start_is_gone_through_once(tmp_path, monkeypatch):
    """A text file, and JSON lines of which some are blank: each says what the frame does."""
    from bayesmdp.logs import log_sources, text_files
    from bayesmdp.logs.scanned_columns import Scan

    frame = pl.DataFrame(lake(2_000))
    frame.write_csv(tmp_path / "log.csv")
    lines = frame.write_ndjson().splitlines()
    (tmp_path / "log.jsonl").write_text("\n\n".join(lines[:700]) + "\n" * 90 + "\n".join(lines[700:]))
    counted = bm.read_log(frame, distinct=True)
    expected = sample_log(frame, counted, 500, covariates=["number"])
    collected: list[int] = []
    looked: list[int] = []
    collect, plain = Scan.collect, text_files._plain_rows
    monkeypatch.setattr(text_files, "_plain_rows", lambda *given: looked.append(1) or plain(*given))
    monkeypatch.setattr(
        Scan, "collect", lambda scan, asked: collected.append("SCAN" in asked.explain()) or collect(scan, asked)
    )
    for name in ("log.csv", "log.jsonl"):
        opened = log_sources.open_table(tmp_path / name, None, "utf-8", ".")
        bm.read_log(opened, distinct=True)
        collected.clear()
        sample = sample_log(opened, counted, 500, covariates=["number"])
        assert sample.drop_attrs().identical(expected.drop_attrs())
        assert sum(collected) == 1 and len(collected) > BLOCKS
    assert looked == [1]


def test_measured_states_are_those_of_the_whole_log():
    """Blocks are recoded by the quantiles of all rows, and hold the rows that the whole log has there."""
    visits = pl.DataFrame(bm.environments.clinic_visits(1_500, seed=2))
    options = {"columns": {"action": "treatment", "reward": "well"}, "end_column": "ended"}
    options["state"] = ["age:bins(18,40,65,90)", "lactate:quantiles(4)"]
    counted, whole = bm.read_log(visits, distinct=True, **options), bm.read_log(visits, **options)
    sample = sample_log(visits, counted, 1_000, **options)
    assert list(sample.attrs["states"]) == list(counted.attrs["states"])
    assert sample.attrs["recoding"] == whole.attrs["recoding"] == counted.attrs["recoding"]

    def told(log):
        columns = (log[name].values for name in ("state", "action", "next_state"))
        return ["/".join(map(str, row)) for row in zip(*columns, strict=True)]

    # Each end of the sample is a run of the whole log.
    own, everything = told(sample), "|".join(told(whole))
    assert 500 < len(own) <= 1_000
    assert "|".join(own[:20]) in everything
    assert "|".join(own[-20:]) in everything
    assert bm.judge_states(sample)["visits"].sum() == len(own)
