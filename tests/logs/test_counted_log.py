"""Counted logs: every source, grouped before it is read, says what its rows say one by one, to the last digit."""

import re
import warnings
from itertools import pairwise
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.logs import counted_log, read_log
from bayesmdp.logs.compress import compress
from bayesmdp.logs.log import counts_of, size_of
from tests.logs.test_read_log import BAD, write

COLUMNS = ["state", "action", "reward", "next_state", "terminated", "truncated"]


def lake(steps: int = 900) -> pd.DataFrame:
    return bm.collect(bm.environments.frozen_lake(), policy="uniform", steps=steps, seed=0).to_dataframe()


def sources(table: pd.DataFrame, folder: Path) -> dict[str, object]:
    """One log from everywhere."""
    import dask.dataframe as dd
    import duckdb
    import pyarrow as pa

    table = table.reset_index(drop=True)
    frame = pl.DataFrame({name: table[name].to_list() for name in table})
    table.to_csv(folder / "log.csv", index=False)
    table.to_csv(folder / "log.csv.gz", index=False)
    table.to_csv(folder / "log.tsv", index=False, sep="\t")
    frame.write_parquet(folder / "log.parquet")
    frame.write_ndjson(folder / "log.jsonl")
    frame.write_ipc(folder / "log.arrow")
    (folder / "parts").mkdir()
    for n, half in enumerate((frame[:400], frame[400:])):
        half.write_parquet(folder / "parts" / f"{n}.parquet")
    files = ("log.csv", "log.csv.gz", "log.tsv", "log.parquet", "log.jsonl", "log.arrow", "parts", "parts/*.parquet")
    arrow = pa.table({name: table[name].to_list() for name in table})
    return {
        **{name: folder / name for name in files},
        "pandas": table,
        "pandas, any objects": table.astype(object),
        "pandas, nullable": table.convert_dtypes(),
        "xarray": table.to_xarray(),
        "polars": frame,
        "polars, lazy": frame.lazy(),
        "arrow": arrow,
        "dask": dd.from_pandas(table, npartitions=7, sort=False),
        "duckdb": duckdb.connect().from_arrow(arrow),
    }


@pytest.fixture(scope="module", params=["numbers", "names"])
def one_log(request, tmp_path_factory):
    table = lake()
    if request.param == "names":
        rewards = np.random.default_rng(0).integers(-9, 9, len(table)) / 7
        names = table.assign(reward=rewards, **{c: "cell " + table[c].astype(str) for c in ("state", "next_state")})
        table = names.assign(action=names["action"].astype(str))
    return table, sources(table, tmp_path_factory.mktemp("sources"))


def same(ours: xr.Dataset, theirs: xr.Dataset) -> None:
    assert list(ours.data_vars) == list(theirs.data_vars)
    for name in ours.data_vars:
        np.testing.assert_array_equal(ours[name].values, theirs[name].values)
    for name in ("states", "actions", "ordered", "starts_known"):
        assert ours.attrs[name] == theirs.attrs[name]


def test_every_source_is_counted_alike_and_gives_the_posterior_of_its_rows(one_log):
    table, by_name = one_log
    rows = bm.read_log(table)
    problem = bm.mdp_from_log(rows, discount=0.9)
    expected = compress(rows, problem)
    first = None
    for name, source in by_name.items():
        if name == "duckdb":  # a relation is read once
            counted = bm.read_log(source, distinct=True)
        else:
            assert compress(bm.read_log(source), problem).weight.tolist() == expected.weight.tolist(), name
            counted = bm.read_log(source, distinct=True)
        first = first or counted
        same(counted, first)
        assert counted.sizes["step"] < len(table) and size_of(counted) == len(table)
        for ours, theirs in zip(compress(counted, problem)[:5], expected[:5], strict=True):
            assert (ours == theirs).all(), name  # to the last digit
        again = bm.mdp_from_log(counted, discount=0.9)
        for part in ("initial", "terminal", "available", "reward", "successor"):
            np.testing.assert_array_equal(getattr(again, part), getattr(problem, part))


def test_partitions_of_any_size_are_counted_as_one():
    """Empty ones, of one row, and of two; of flags as they are and as they are written."""
    import dask.dataframe as dd

    table = lake(60)
    for rows in (table, table.astype({"terminated": str, "truncated": str})):
        whole = bm.read_log(rows, distinct=True)
        for cuts in ([0, 0, 1, 3, 3, 4, 40, 60, 60], [0, 60], range(61)):
            parts = [rows.iloc[begin:end] for begin, end in pairwise(cuts)]
            frame = dd.from_map(lambda n, parts=parts: parts[n], range(len(parts)), meta=rows.iloc[:0])
            same(bm.read_log(frame, distinct=True), whole)
        never = False if rows is table else "false"
        worse = rows.iloc[np.arange(60) % 5 > 0].assign(truncated=never)
        frame = dd.from_pandas(worse.reset_index(drop=True), npartitions=6, sort=False)
        told = []
        for source in (worse.reset_index(drop=True), frame):
            with pytest.warns(UserWarning, match=r"has (a gap|[\d,]+ gaps) between rows") as caught:
                bm.read_log(source, distinct=True)
            told.append(str(caught[0].message).partition(" between rows")[2])
        assert told[0] == told[1]
        with pytest.raises(ValueError, match=r"the Dask DataFrame row 41: action is missing"):
            bm.read_log(
                dd.from_pandas(
                    rows.assign(action=rows["action"].where(np.arange(60) != 41)), npartitions=4, sort=False
                ),
                distinct=True,
            )


@pytest.mark.slow
def test_a_worker_that_dies_on_the_way_costs_nothing(tmp_path):
    import os
    import signal
    import threading
    import time

    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    table = lake(4_000)

    def slowly(part: int) -> pd.DataFrame:
        time.sleep(0.3)
        return table.iloc[200 * part : 200 * (part + 1)]

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        frame = dd.from_map(slowly, range(20), meta=table.iloc[:0])
        process = next(iter(client.run(os.getpid).values()))
        threading.Timer(1.5, os.kill, (process, signal.SIGKILL)).start()
        counted = bm.read_log(frame, distinct=True)
    same(counted, bm.read_log(table, distinct=True))


def test_it_counts_what_pandas_counts():
    table = lake()
    counted = bm.read_log(pl.DataFrame(table), distinct=True)
    expected = table.groupby(COLUMNS).size()
    told = counted.to_dataframe().groupby(COLUMNS)["count"].sum()
    pd.testing.assert_series_equal(told, expected.astype(float), check_names=False)
    ends = table["terminated"] | table["truncated"]
    assert counts_of(counted)[counted["begins"].values].sum() == 1 + ends[:-1].sum()


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS[:5], COLUMNS[:4]])
@pytest.mark.parametrize("gaps", ["warn", "cut", "allow", "refuse"])
def test_gaps_are_found_and_told_alike(columns, gaps, tmp_path):
    """Rows of two episodes mixed, a gap where the state only seems to go on, and blanks about a label."""
    header = "state,action,reward,next_state,terminated,truncated,x\n"
    mixed = "a,go,1,b,0,0,0\nb ,go,1,c,0,0,0\na,go,1,b,0,0,1\nc,go,0,d,1,0,0\na,go,1, b,0,0,0\nb,go,1,c,0,1,0\n"
    text = header + mixed + "a,stay,1,b,0,0,0\nc,go,0.5,a,0,0,0\n"
    path, unasked = write(tmp_path, text), {name: None for name in ("terminated", "truncated") if name not in columns}
    told, logs = [], []
    for distinct in (False, True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                log = bm.read_log(path, gaps=gaps, columns=unasked, distinct=distinct)
            except ValueError as error:
                told.append(str(error))
                continue
        told.append([str(each.message) for each in caught])
        logs.append(log)
    assert told[0] == told[1]
    assert bool(logs) == (gaps != "refuse")
    if logs:
        problems = [bm.mdp_from_log(log, discount=0.9) for log in logs]
        np.testing.assert_array_equal(*(problem.initial for problem in problems))
        assert logs[0].attrs == logs[1].attrs
        by = [log["truncated"].values @ counts_of(log) for log in logs]
        assert by[0] == by[1]


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_faults_are_told_by_the_same_words(text, tmp_path):
    text, told = text
    within = (-10, 10) if "outside" in told else None
    said = []
    for distinct in (False, True):
        with pytest.raises(ValueError) as refused:
            bm.read_log(write(tmp_path, text), distinct=distinct, reward_range=within)
        said.append(str(refused.value))
    assert said[0] == said[1] and re.search(told, said[1])


def noisy(steps: int = 3_000) -> pd.DataFrame:
    table = lake(steps)
    noise = np.random.default_rng(1).normal(size=steps)
    return table.assign(reward=1e6 + table["action"].astype("category").cat.codes + noise)


@pytest.fixture
def soon(monkeypatch):
    """Sum rewards of short logs too."""
    for name in ("MANY", "KINDS_OF_REWARDS"):
        for module in (counted_log, read_log):
            monkeypatch.setattr(module, name, 100)


@pytest.mark.usefixtures("soon")
def test_sums_of_many_rewards_are_exact_in_any_order_and_source(tmp_path):
    table = noisy()
    counted = bm.read_log(table, distinct=True)
    assert counted.attrs["rewards"] == "summed" and counted.sizes["step"] < len(table) / 2
    for name, source in sources(table, tmp_path).items():
        same(bm.read_log(source, distinct=True), counted)
        assert name
    shuffled = table.sample(frac=1, random_state=0)
    with_order, without = (bm.read_log(each, distinct=True, gaps="allow") for each in (table, shuffled))
    triple = ["state", "action", "next_state"]
    each = [log.to_dataframe().groupby(triple)[["count"]].sum() for log in (with_order, without)]
    pd.testing.assert_frame_equal(*each)
    told, expected = counted.to_dataframe(), table.groupby(triple)["reward"]
    weight = told["count"]
    sums = (told["reward"] * weight).groupby([told[name] for name in triple]).sum()
    np.testing.assert_allclose(sums, expected.sum(), rtol=1e-14)
    mean = (sums / weight.groupby([told[name] for name in triple]).sum()).reindex(
        pd.MultiIndex.from_frame(told[triple])
    )
    squares = (weight * (told["reward"] - mean.to_numpy()) ** 2).groupby([told[name] for name in triple]).sum()
    np.testing.assert_allclose(squares, expected.var(ddof=0) * expected.size(), rtol=1e-8, atol=1e-7)
    assert counted.attrs["least_reward"] == table["reward"].min()


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("scale", [1.0, 1e94, 1e-320])
def test_sums_of_costs_are_those_of_rewards_with_a_minus(scale, tmp_path):
    table = noisy(600).assign(reward=lambda table: (table["reward"] - 1e6) * scale)
    costs = table.assign(reward=0.0 - table["reward"]).rename(columns={"reward": "price"})
    paid = bm.read_log(table, distinct=True)
    assert paid.attrs["rewards"] == "summed"
    assert scale < 1e-300 or np.ptp(paid["reward"].values) > scale
    for source in sources(costs, tmp_path).values():
        cost = bm.read_log(source, cost="price", distinct=True)
        same(cost, paid)
        assert cost.attrs["least_reward"] == paid.attrs["least_reward"]


@pytest.mark.usefixtures("soon")
def test_a_plan_from_sums_is_that_from_steps():
    table = noisy()
    plans = [
        bm.plan_log(bm.read_log(table, distinct=distinct), discount=0.9, draws=50, calibration=0)
        for distinct in (False, True)
    ]
    assert plans[0].log == plans[1].log
    assert plans[0].policy["action"].values.tolist() == plans[1].policy["action"].values.tolist()
    np.testing.assert_allclose(plans[0].policy["worth_quantile"], plans[1].policy["worth_quantile"], rtol=1e-9)


@pytest.mark.usefixtures("soon")
def test_a_model_that_needs_each_reward_refuses_their_sums():
    import numpyro
    import numpyro.distributions as dist

    table = noisy(600).assign(reward=lambda frame: frame["reward"] - 1e6)
    summed, each = (bm.read_log(table, distinct=distinct) for distinct in (True, False))
    problem = bm.mdp_from_log(each, discount=0.9)
    known = bm.infer(bm.models.dirichlet_transitions(problem), each, mdp=problem, draws=0)
    fixed = np.asarray(known["parameters"]["transition"])
    fixed /= fixed.sum(-1, keepdims=True)

    def paid(family):
        def model(data):
            numpyro.deterministic("transition", jnp.asarray(fixed))
            level = numpyro.sample("reward", dist.Normal(0, 10).expand(list(fixed.shape[:2])).to_event(2))
            with data.rows():
                numpyro.sample("paid", family(level[data.state, data.action]), obs=data.reward)

        return model

    normal, heavy = paid(lambda mean: dist.Normal(mean, 1.0)), paid(lambda mean: dist.StudentT(3.0, mean))
    found = [bm.infer(normal, log, mdp=problem, draws=0)["parameters"]["reward"] for log in (summed, each)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-8)
    with pytest.raises(ValueError, match=r"rewards were summed, .* read the log with read_log\(..., distinct=False\)"):
        bm.infer(heavy, summed, mdp=problem, draws=20)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("bad", ["much", "", "inf", "1e200", "true", "1_000", "0x10"])
def test_a_fault_among_many_rewards_is_found_by_its_line(bad, tmp_path):
    table = noisy(300).astype({"reward": object})
    table.iloc[211, table.columns.get_loc("reward")] = bad
    table.to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(ValueError, match=r"log.csv line 213: reward is ") as refused:
        bm.read_log(tmp_path / "log.csv", distinct=True)
    with pytest.raises(ValueError) as one_by_one:
        bm.read_log(tmp_path / "log.csv")
    assert str(refused.value) == str(one_by_one.value)


def test_large_files_are_counted_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr(read_log, "MANY", 800)
    lake().to_csv(tmp_path / "long.csv", index=False)
    lake(700).to_csv(tmp_path / "short.csv", index=False)
    assert "count" in bm.read_log(tmp_path / "long.csv", distinct=None)
    assert "count" not in bm.read_log(tmp_path / "short.csv", distinct=None)


def test_what_goes_from_step_to_step_refuses_a_counted_log():
    counted = bm.read_log(lake(), distinct=True)
    problem = bm.mdp_from_log(counted, discount=0.9)
    model = bm.models.dirichlet_transitions(problem)
    posterior = bm.infer(model, counted, mdp=problem, draws=20)
    for ask in (
        lambda: bm.check_log(counted),
        lambda: bm.off_policy(counted, "uniform", discount=0.9),
        lambda: bm.replicate_logs(posterior, counted, problem),
        lambda: bm.with_log_likelihood(posterior, model, counted, mdp=problem, by="episode"),
    ):
        with pytest.raises(ValueError, match="goes from step to step, and this log has each distinct step once"):
            ask()


def test_covariates_are_kept_apart():
    table = lake().assign(ward=lambda frame: np.where(np.arange(len(frame)) % 3, "a", "b"), age=7.5)
    counted = bm.read_log(pl.DataFrame(table), distinct=True, covariates=["ward", "age"])
    assert counts_of(counted)[counted["ward"].values == "b"].sum() == 300
    assert set(counted["age"].values) == {7.5}


@pytest.mark.slow
def test_text_is_counted_in_little_memory(tmp_path):
    """Of a file of 50 MB; its pages are of the kernel, and count where they are mapped."""
    import subprocess
    import sys

    rng = np.random.default_rng(0)
    states = rng.integers(0, 10, 2_000_001)
    table = {"state": states[:-1], "action": rng.integers(0, 3, 2 * 10**6), "reward": rng.integers(0, 5, 2 * 10**6) / 2}
    pl.DataFrame({**table, "next_state": states[1:], "name": rng.integers(10**6, 10**7, 2 * 10**6)}).write_csv(
        tmp_path / "log.csv"
    )
    code = (
        "import bayesmdp as bm, sys\n"
        "def peak():\n"
        "    return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) / 1024\n"
        "bm.read_log(sys.argv[1], distinct=True)\n"
        "before = peak()\n"
        "bm.read_log(sys.argv[2], distinct=True)\n"
        "print(peak() - before)\n"
    )
    pl.read_csv(tmp_path / "log.csv", n_rows=1_000).write_csv(tmp_path / "short.csv")
    command = [sys.executable, "-c", code, str(tmp_path / "short.csv"), str(tmp_path / "log.csv")]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(told.stdout) < 115  # twice that where Polars reads as far ahead as it likes
