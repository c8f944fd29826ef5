"""States of measurements made in the scan: from every source, to the last digit, what each row says one by one."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayesmdp as bm
from bayesmdp.logs import recoded, scanned_columns
from bayesmdp.logs.binned_parts import Quantiles
from bayesmdp.logs.compress import compress
from bayesmdp.logs.measurements import numbers, numbers_in
from tests.logs.test_counted_log import same, sources

SIZE = 600


def rows(measure: Any) -> pd.DataFrame:
    """A walk of measurements with an end now and then, told by `measure` of a number from 0 to 9."""
    rng = np.random.default_rng(0)
    walk, over = rng.integers(10, size=SIZE + 1), np.arange(SIZE) % 7 == 6
    then = [None if end else measure(n) for n, end in zip(walk[1:].tolist(), over, strict=True)]
    columns = {
        "x": [measure(n) for n in walk[:-1].tolist()],
        "ward": [("b", "a", "c, d")[n % 3] for n in walk[:-1].tolist()],
        "action": rng.choice(["up", "down"], SIZE).tolist(),
        "reward": rng.integers(4, size=SIZE).tolist(),
        "next_x": then,
        "next_ward": [
            None if end else ("b", "a", "c, d")[n % 3] for n, end in zip(walk[1:].tolist(), over, strict=True)
        ],
        "terminated": over.tolist(),
        "how": [("died", "well")[n % 2] if end else None for n, end in zip(walk[1:].tolist(), over, strict=True)],
    }
    read = {key: pd.Series(values, dtype=object) for key, values in columns.items()}
    return pd.DataFrame(
        {key: column if column.isna().any() else column.infer_objects() for key, column in read.items()}
    )


CUT = ["x:cutoffs(2.3, 5)", "ward"]
QUIRKS: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
    "whole numbers": (rows(int), {"state": CUT}),
    "quantiles, closed on the right": (rows(lambda n: n / 7), {"state": ["x:quantiles(4, closed=right)", "ward"]}),
    "quantiles that fall together": (rows(lambda n: n // 4 * 0.5), {"state": "x:quantiles(5)"}),
    "negative zero": (rows(lambda n: -0.0 if n < 5 else n / 3), {"state": "x:quantiles(3)"}),
    "bins with ends": (rows(lambda n: n / 9), {"state": "x:bins(0, 0.5, 1)"}),
    "missing values are a level": (
        rows(lambda n: None if n == 3 else n / 7),
        {"state": ["x:quantiles(3, missing=state)", "ward:categories(a,b,'c, d')".replace("'", '"')]},
    ),
    "words for missing values": (
        rows(lambda n: ("NA", " null ", "nan")[n] if n < 3 else f" {n}.50"),
        {"state": "x:cutoffs(5, missing=state)"},
    ),
    "decimal commas": (rows(lambda n: f"{n},5"), {"state": "x:quantiles(3)", "decimal": ","}),
    "numbers as categories": (rows(lambda n: [3.0, 1.5, 10.0, 2.0][n % 4]), {"state": "x"}),
    "digits that are names": (rows(lambda n: f"00{n % 4}"), {"state": "x"}),
    "names and accents": (rows(lambda n: ["émile", "zoë", "δ, east", "missing"][n % 4]), {"state": "x"}),
    "true and false": (rows(lambda n: n > 4), {"state": ["x", "ward"]}),
    "how it ended": (rows(float), {"state": CUT, "end_column": "how"}),
    "nothing follows": (
        rows(float).drop(columns=["next_x", "next_ward"]).assign(case=np.arange(SIZE) // 7, when=-np.arange(SIZE)),
        {"state": CUT, "episode": "case", "step": "when"},
    ),
    "each row by itself": (
        rows(float).drop(columns=["next_x", "next_ward", "terminated"]),
        {"state": CUT, "columns": {"next_state": None, "terminated": None}},
    ),
    "a state of the source": (
        rows(int).assign(state=lambda table: table["x"], next_state=lambda table: table["next_x"]).drop(columns="x"),
        {"state": ["state:cutoffs(4)"], "next_columns": "next_{}"},
    ),
    "ends as words": (
        rows(float).assign(terminated=lambda table: np.where(table["terminated"], "Yes", "no")),
        {"state": CUT},
    ),
    "what is measured at an end is no state": (
        rows(lambda n: ("1", "01", "2")[n % 3]).assign(next_x=lambda table: table["next_x"].fillna("0")),
        {"state": "x"},
    ),
    "also a covariate": (rows(lambda n: n / 7), {"state": "x:cutoffs(0.5)", "covariates": ["ward", "x"]}),
}


@pytest.mark.parametrize(("table", "options"), QUIRKS.values(), ids=QUIRKS)
def test_every_source_is_read_as_its_rows_are(table, options, tmp_path):
    by_rows = bm.read_log(table, gaps="cut", **options)
    counted = bm.read_log(table, gaps="cut", distinct=True, **options)
    problem = bm.mdp_from_log(by_rows, discount=0.9)
    for ours, theirs in zip(compress(counted, problem)[:5], compress(by_rows, problem)[:5], strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    for name, source in sources(table, tmp_path).items():
        if name in ("pandas", "log.csv.gz", "log.tsv", "parts/*.parquet", "polars"):
            continue  # as another
        log = bm.read_log(source, gaps="cut", distinct=True, **options)
        same(log, counted)
        assert log.attrs["recoding"] == counted.attrs["recoding"], name
        if name != "duckdb":  # a relation is read once
            read = bm.read_log(source, gaps="cut", **options)
            same(read, by_rows)
            assert read.attrs["recoding"] == by_rows.attrs["recoding"], name


def test_rows_are_not_read_where_they_are_grouped(tmp_path, monkeypatch):
    table = rows(lambda n: n / 7)
    pl.DataFrame({name: table[name].to_list() for name in table}).write_parquet(tmp_path / "log.parquet")
    expected = bm.read_log(table, state=CUT, distinct=True)
    for place in (recoded, scanned_columns.Scan):
        monkeypatch.setattr(place, "recoded_frame" if place is recoded else "read", None)
    same(bm.read_log(tmp_path / "log.parquet", state=CUT, distinct=True), expected)


@pytest.mark.parametrize(
    ("row", "column", "value", "told"),
    [
        (3, "x", None, "x is missing; give it a value, leave the row out, or make it a state"),
        (4, "x", "high", "x is 'high', which is no finite number; give it a number"),
        (4, "x", "1e999", "x is '1e999', which is no finite number; give it a number"),
        (599, "x", "12", "x is 12, above 9, where the bins end"),
        (7, "next_x", "-1", ", in what followed: x is -1, below 0, where the bins end"),
        (8, "ward", "d", "ward is 'd', none of the 3 categories"),
        (6, "how", None, "how the episode ended is missing; name the end, as 'died'"),
        (6, "how", "x 0 to 9, ward a", "how the episode ended is 'x 0 to 9, ward a', which is a state that goes on"),
        (6, "terminated", "perhaps", "terminated is 'perhaps'; write true or false, or 1 or 0"),
    ],
)
def test_a_row_without_a_state_is_refused_alike(row, column, value, told, tmp_path):
    table = rows(str).astype(object)
    table["terminated"] = table["terminated"].astype(str)
    table.loc[row, column] = value
    table.loc[row + 7 :: 7, column] = value  # the first is told
    options = {"state": ["x:bins(0, 9)", 'ward:categories(a, b, "c, d")'], "end_column": "how", "distinct": True}
    names = ("log.csv", "log.parquet", "log.jsonl", "polars", "pandas, any objects", "dask")
    for name, source in sources(table, tmp_path).items():
        if name in names:
            place = f"line {row + 2}" if name == "log.csv" else f"row {row}"
            with pytest.raises(ValueError) as caught:
                bm.read_log(source, **options)
            assert f"{place}{'' if told[0] == ',' else ': '}{told}" in str(caught.value), name


def test_blank_lines_are_no_rows(tmp_path):
    table = rows(str)
    frame = pl.DataFrame({name: table[name].to_list() for name in table})
    lines = frame.with_columns(pl.when(pl.int_range(pl.len()) != 80).then("x").alias("x")).write_ndjson().splitlines()
    (tmp_path / "log.jsonl").write_text("\n" * 50 + "\n\n".join(lines))
    with pytest.raises(ValueError, match="row 80: x is missing"):
        bm.read_log(tmp_path / "log.jsonl", state=CUT)


def test_categories_of_numbers_keep_their_order_beside_an_end():
    import pyarrow as pa

    table = rows(int)
    order = pd.CategoricalDtype([9, 8, 1, 0, 2, 3, 4, 5, 6, 7, 11], ordered=True)
    ordered = table.assign(state=table["x"].astype(order), case=np.arange(SIZE) // 7)[
        ["state", "action", "reward", "terminated", "case"]
    ]
    expected = ["9", "8", "1", "0", "2", "3", "4", "5", "6", "7", "11", "end"]
    for source in (ordered, pa.Table.from_pandas(ordered)):
        log = bm.read_log(source, episode="case")
        assert log.attrs["states"] == expected
        bandit = bm.read_log(source, columns={"next_state": None, "terminated": None})
        assert bandit.attrs["states"] == expected


def test_an_end_and_a_measurement_may_share_a_column(tmp_path):
    table = rows(lambda n: f"{n}.5")
    table["next_x"] = table["next_x"].fillna("99")
    table.to_csv(tmp_path / "log.csv", index=False)
    options = {"state": "x:cutoffs(2.3)", "end_column": "next_x"}
    same(bm.read_log(tmp_path / "log.csv", **options), bm.read_log(table, **options))


def test_estimators_that_are_not_kept_as_numbers_see_all_rows(tmp_path):
    mixture = pytest.importorskip("sklearn.mixture")
    table = rows(float).astype({"next_x": float})
    table.to_parquet(tmp_path / "log.parquet")
    for estimator in (mixture.GaussianMixture(2, random_state=0), pytest.importorskip("sklearn.cluster").KMeans(3)):
        estimator.fit(table[["x"]])
        state = (["x"], estimator)
        same(bm.read_log(tmp_path / "log.parquet", state=state), bm.read_log(table, state=state))


@given(
    st.lists(
        st.one_of(st.text("0123456789.,+-eE _x", max_size=12), st.floats().map(str), st.text(max_size=4)), min_size=1
    ),
    st.sampled_from(".,"),
)
def test_text_is_the_same_number_in_a_scan(texts, decimal):
    texts = [text for text in texts if "\0" not in text]
    values, missing = numbers(pd.Series([*texts, None], dtype=object), decimal)
    read = pl.DataFrame({"x": pl.Series([*texts, None], dtype=pl.String)}).select(numbers_in(pl.col("x"), decimal))["x"]
    assert read.is_null().to_list() == missing.tolist()
    scanned = numbers(pd.Series(read.to_numpy()), decimal)
    assert scanned[0].tobytes() == values.tobytes() and (scanned[1] == missing).all()


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 5)), min_size=1, max_size=40),
    st.integers(2, 9),
    st.sampled_from(["left", "right"]),
)
def test_quantiles_of_values_that_stand_for_several_rows(counted, number, closed):
    values, times = np.array([value for value, _ in counted]), np.array([many for _, many in counted])
    part, every = Quantiles("x", number, closed), np.repeat(values, times)
    settled = part.settled(pd.DataFrame({"x": values}), ".", times)
    assert settled == part.settled(pd.DataFrame({"x": every}), ".")
    side = "left" if closed == "left" else "right"
    below = {
        int((every < q).sum() if side == "left" else (every <= q).sum())
        for q in np.quantile(every, np.arange(1, number) / number)
    }
    cuts = [int((every < cut).sum() if side == "left" else (every <= cut).sum()) for cut in settled.edges[1:-1]]
    assert cuts == sorted(below - {0, len(every)})
