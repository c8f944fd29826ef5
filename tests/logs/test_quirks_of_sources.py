"""One log with its quirks, from everywhere: every source says the same of it, and gives the same posterior."""

import datetime
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayesmdp as bm
from bayesmdp.logs.compress import compress
from tests.logs.test_counted_log import same, sources

SIZE = 40


def rows(name: Any = int) -> pd.DataFrame:
    """A walk over four states, with an end now and then, and columns that no log needs."""
    rng = np.random.default_rng(0)
    walk, over = rng.integers(4, size=SIZE + 1), np.arange(SIZE) % 7 == 6
    columns = {
        "state": [name(n) for n in walk[:-1].tolist()],
        "action": rng.choice(["up", "down"], SIZE).tolist(),
        "reward": rng.normal(size=SIZE).round(2).tolist(),
        "next_state": [name(9 if end else n) for n, end in zip(walk[1:].tolist(), over, strict=True)],
        "terminated": over.tolist(),
        "truncated": (np.arange(SIZE) % 11 == 10).tolist(),
    }
    return pd.DataFrame({key: pd.Series(values, dtype=object).infer_objects() for key, values in columns.items()})


def wards(n: int) -> str:
    return ["émile", "zoë", "naïve ward", "δ"][n % 4] if n < 9 else "fin"


QUIRKS: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
    "identifiers that no float holds": (rows(lambda n: 2**53 + n), {}),
    "identifiers of 64 bits": (rows(lambda n: 2**63 - 1 - n), {}),
    "floats that are whole": (rows(float), {}),
    "negative zero": (rows(lambda n: -0.0 if n == 0 else float(n)).replace({"reward": {0.0: -0.0}}), {}),
    "rewards of zero and negative zero": (rows().assign(reward=[0.0, -0.0] * (SIZE // 2)), {}),
    "costs of zero and negative zero": (rows().assign(price=[0.0, -0.0] * (SIZE // 2)), {"cost": "price"}),
    "rewards of all sizes": (
        rows().assign(reward=np.random.default_rng(1).normal(size=SIZE) * 10.0 ** np.arange(-20, 20)),
        {},
    ),
    "whole rewards": (rows().assign(reward=range(SIZE)), {}),
    "rewards of true and false": (rows().assign(reward=[True, False] * (SIZE // 2)), {}),
    "booleans as labels": (rows(bool).assign(next_state=lambda table: table["state"], terminated=False), {}),
    "booleans as actions": (rows().assign(action=[True, False] * (SIZE // 2)), {}),
    "accents": (rows(wards), {}),
    "accents in pieces": (rows(lambda n: unicodedata.normalize("NFD", wards(n))), {}),
    "names with blanks inside": (rows(lambda n: f"ward  {n}, east"), {}),
    "digits that are names": (rows(lambda n: f"0{n}"), {}),
    "nothing in what is left out": (
        rows().assign(
            age=pd.Series([None, 3.5] * (SIZE // 2), dtype=object),
            name=pd.Series([None, "x"] * (SIZE // 2), dtype=object),
        ),
        {"columns": {"terminated": "terminated"}},
    ),
    "decimal commas": (
        rows().assign(reward=lambda table: [str(r).replace(".", ",") for r in table["reward"]]),
        {"decimal": ","},
    ),
    "ends as words": (rows().assign(terminated=lambda table: np.where(table["terminated"], "yes", "no")), {}),
    "ends as numbers": (rows().astype({"terminated": int, "truncated": float}), {}),
    "dates as names": (rows(lambda n: f"2024-03-{n + 1:02}"), {}),
    "covariates": (
        rows().assign(
            age=[20.5, -0.0] * (SIZE // 2), ward=["δ", "east"] * (SIZE // 2), old=[True, False] * (SIZE // 2)
        ),
        {"covariates": ["age", "ward", "old"]},
    ),
}


@pytest.mark.parametrize(("table", "options"), QUIRKS.values(), ids=QUIRKS)
def test_every_source_gives_the_same_posterior(table, options, tmp_path):
    first, problem, expected = None, None, None
    for name, source in sources(table, tmp_path).items():
        for distinct in (False, True):
            if name == "duckdb" and not distinct:  # a relation is read once
                continue
            log = bm.read_log(source, gaps="cut", distinct=distinct, **options)
            problem = problem or bm.mdp_from_log(log, discount=0.9)
            data = compress(log, problem)
            expected = expected or data
            for ours, theirs in zip(data[:5], expected[:5], strict=True):
                assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes(), name
            again = bm.mdp_from_log(log, discount=0.9)
            for part in ("initial", "terminal", "available", "reward", "successor"):
                assert getattr(again, part).tobytes() == getattr(problem, part).tobytes(), (name, part)
            if distinct:
                first = first or log
                same(log, first)
                assert log["count"].sum() == len(table)


def test_categories_are_the_same_however_they_are_packed(tmp_path):
    import pyarrow as pa

    table = rows(wards)
    names = ["state", "action", "next_state"]
    packed = table.astype({name: "category" for name in names})
    packed.to_parquet(tmp_path / "pandas.parquet")
    frame = pl.DataFrame({name: table[name].to_list() for name in table})
    labels = sorted({*table["state"], *table["next_state"]})
    arrow = pa.table({name: table[name].to_list() for name in table})
    for name in names:
        arrow = arrow.set_column(arrow.column_names.index(name), name, arrow[name].dictionary_encode())
    everywhere = [
        packed,
        tmp_path / "pandas.parquet",
        frame.with_columns(pl.col(names).cast(pl.Categorical)),
        frame.with_columns(pl.col("state", "next_state").cast(pl.Enum(labels))),
        frame.with_columns(pl.col("state").cast(pl.Enum(labels))),
        arrow,
    ]
    first = bm.read_log(table, gaps="cut", distinct=True)
    for source in everywhere:
        same(bm.read_log(source, gaps="cut", distinct=True), first)


def test_an_order_of_categories_is_kept(tmp_path):
    import dask.dataframe as dd
    import pyarrow as pa

    order = pd.CategoricalDtype(["9", "3", "2", "1", "0", "never"], ordered=True)
    table = rows(str).astype({"state": order, "next_state": order})
    table.to_parquet(tmp_path / "log.parquet")
    first = bm.read_log(table, gaps="cut", distinct=True)
    assert first.attrs["states"] == list(order.categories)
    arrow = pa.Table.from_pandas(table)
    for source in (tmp_path / "log.parquet", arrow, dd.from_pandas(table, npartitions=3, sort=False)):
        for distinct in (False, True):
            log = bm.read_log(source, gaps="cut", distinct=distinct)
            assert log.attrs["states"] == list(order.categories)
            if distinct:
                same(log, first)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
def test_steps_in_a_time_zone_are_in_the_order_of_time(zone, tmp_path):
    """Over the hour that is there twice when summer ends."""
    hours = pd.date_range("2024-10-26 20:00", periods=SIZE, freq="30min", tz="UTC").tz_convert(zone)
    table = rows().drop(columns=["next_state", "truncated"]).assign(patient=0, when=hours)
    expected = bm.read_log(table, episode="patient", step="when")
    mixed = table.sample(frac=1, random_state=0).reset_index(drop=True)
    text = mixed.assign(when=[each.isoformat() for each in mixed["when"]])
    mixed.to_parquet(tmp_path / "log.parquet")
    text.to_csv(tmp_path / "log.csv", index=False)
    frame = pl.DataFrame({name: mixed[name].to_list() for name in mixed})
    objects = mixed.assign(when=pd.Series([each.to_pydatetime() for each in mixed["when"]], dtype=object))
    for source in (mixed, text, objects, frame, tmp_path / "log.parquet", tmp_path / "log.csv"):
        log = bm.read_log(source, episode="patient", step="when")
        for name in ("state", "action", "reward", "next_state", "terminated", "truncated"):
            np.testing.assert_array_equal(log[name], expected[name])


FORMS = {
    "days": [datetime.date(2024, 1, 1) + datetime.timedelta(n) for n in range(SIZE)],
    "spans": [datetime.timedelta(hours=n) for n in range(SIZE)],
    "times of day": [datetime.time(n // 4, n % 4) for n in range(SIZE)],
    "large numbers": [2**63 + n for n in range(SIZE)],
    "text of numbers": [str(n) for n in range(SIZE)],
    "text of days": [f"2024-{1 + n // 20:02}-{1 + n % 20:02}" for n in range(SIZE)],
}


@pytest.mark.parametrize("steps", FORMS.values(), ids=FORMS)
def test_steps_of_any_form_put_rows_in_order(steps, tmp_path):
    table = rows().drop(columns=["next_state", "truncated"]).assign(patient=0)
    expected = bm.read_log(table, episode="patient")
    table["when"] = pd.Series(steps, dtype=object)
    mixed = table.sample(frac=1, random_state=0).reset_index(drop=True)
    frame = pl.DataFrame({name: mixed[name].to_list() for name in mixed})
    frame.write_parquet(tmp_path / "log.parquet")
    everywhere: list[pd.DataFrame | pl.DataFrame | Path] = [mixed, frame, tmp_path / "log.parquet"]
    for source in everywhere:
        log = bm.read_log(source, episode="patient", step="when")
        np.testing.assert_array_equal(log["reward"], expected["reward"])
        np.testing.assert_array_equal(log["next_state"], expected["next_state"])
