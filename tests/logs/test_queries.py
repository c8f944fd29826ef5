"""Queries as sources: the log that a database holds is the log that was put there."""

import sqlite3

import duckdb
import numpy as np
import pandas as pd
import pytest

import bayesmdp as bm
from bayesmdp.logs.log_sources import open_table
from bayesmdp.logs.sampled_log import sample_log
from tests.command_line import call, told_in_one_line
from tests.logs.test_counted_log import lake, same

QUERY = "SELECT * EXCLUDE number FROM {} ORDER BY number"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return lake(600).reset_index(drop=True)


@pytest.fixture(scope="module")
def shuffled(table) -> pd.DataFrame:
    return table.assign(number=np.arange(600)).sample(frac=1, random_state=0)


def test_files_and_connections_answer_with_the_log(table, shuffled, tmp_path):
    shuffled.to_parquet(tmp_path / "it's.parquet")
    opened = duckdb.connect()
    opened.register("steps", shuffled)
    columns = ", ".join(table.columns)
    with sqlite3.connect(tmp_path / "steps.db") as plain:
        shuffled.to_sql("steps", plain, index=False)
        sources = [
            (QUERY.format(f"'{tmp_path}/it''s.parquet'"), None),
            (f"\n with all_steps as (select * from steps) {QUERY.format('all_steps')}", opened),
            (f"FROM steps SELECT {columns} ORDER BY number", opened),
            (f"select {columns} from steps order by number", plain),
        ]
        for query, connection in sources:
            for distinct in (False, True):
                log = bm.read_log(query, connection=connection, distinct=distinct)
                same(log, bm.read_log(table, distinct=distinct))
            assert log.attrs["source"].startswith("the query ")
            sample = sample_log(query, log, 200, connection=connection)
            assert 100 < sample.sizes["step"] <= 200
        opened.sql("SELECT 1")  # is still open
        by_step = bm.read_log(f"select {columns}, number from steps", connection=plain, columns={"next_state": None})
        assert by_step.sizes["step"] == 600
    plain.close()


def test_what_is_no_query_is_refused_before_anything_is_run(table, tmp_path):
    plain = sqlite3.connect(":memory:")
    table.to_sql("steps", plain, index=False)
    for query, connection, told in (
        ("SELECT * FROM nowhere", None, r"the query 'SELECT \* FROM nowhere' cannot be run: .*nowhere"),
        ("select reward from nowhere", plain, "the query 'select reward from nowhere' cannot be run: no such table"),
        ("SELECT 1 AS reward", None, "the query 'SELECT 1 AS reward' has no column 'state', 'action'"),
        ("DROP TABLE steps", plain, "the query 'DROP TABLE steps' is none: begin with SELECT, WITH or FROM"),
        ("SELECT * FROM steps WHERE state < 0", plain, "has a header but no rows"),
    ):
        with pytest.raises(ValueError, match=told):
            bm.read_log(query, connection=connection)
    assert plain.execute("SELECT count(*) FROM steps").fetchone() == (600,)
    with pytest.raises(TypeError, match=r"connection= is for a query, such as 'SELECT \* FROM visits'; got DataFrame"):
        bm.read_log(table, connection=plain)
    path = tmp_path / "select me.csv"  # a file all the same
    table.to_csv(path, index=False)
    assert bm.read_log(str(path)).sizes["step"] == 600
    plain.close()


def test_a_plan_asks_a_database(table, shuffled, tmp_path):
    with duckdb.connect(tmp_path / "steps.duckdb") as opened:
        opened.register("given", shuffled)
        opened.execute("CREATE TABLE steps AS SELECT * FROM given")
    shuffled.to_parquet(tmp_path / "steps.parquet")
    shuffled.to_csv(tmp_path / "steps.csv")
    with sqlite3.connect(tmp_path / "steps.db") as plain:
        shuffled.to_sql("steps", plain, index=False)
    plain.close()
    columns = ", ".join(table.columns)
    asked = f"SELECT {columns} FROM steps ORDER BY number"
    expected = bm.read_log(table)
    for name, query in (
        ("steps.duckdb", asked),
        ("steps.db", asked),
        ("steps.parquet", asked.replace("steps", "log")),
    ):
        opened_table = open_table(tmp_path / name, None, "utf-8", ".", query=query)
        same(bm.read_log(opened_table), expected)
    out, _ = call(
        *("plan", tmp_path / "steps.duckdb", "--query", asked, "--draws", "20", "--no-calibration"), "--out", tmp_path
    )
    assert f"plan     {tmp_path}/steps-plan.nc" in out
    for name, told in (
        ("none.db", "no file"),
        ("steps.csv", "is none of .duckdb, .db, .sqlite (of DuckDB or SQLite), .parquet"),
        ("steps.db", "cannot be run: no such table: visits"),
    ):
        arguments = ("plan", tmp_path / name, "--query", "SELECT * FROM visits", "--out", tmp_path / "other")
        assert told in told_in_one_line(*arguments)
