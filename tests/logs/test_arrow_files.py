"""Files of Arrow: of either format, with the order of their categories, and damaged ones told in one message."""

import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import feather

import bayesmdp as bm
from tests.logs.test_counted_log import lake, same

ORDER = ["low", "mid", "high", "never"]


def ordered() -> pd.DataFrame:
    names = pd.Series(["low", "high", "mid", "low"]).astype(pd.CategoricalDtype(ORDER, ordered=True))
    later = pd.Series(["high", "mid", "low", "mid"]).astype(names.dtype)
    return pd.DataFrame({"state": names, "action": ["a", "b", "a", "b"], "reward": [0, 1, 2, 3], "next_state": later})


def test_orders_of_categories_are_kept_from_everywhere(tmp_path):
    table = ordered()
    arrow = pa.Table.from_pandas(table)
    enum = pl.DataFrame({name: table[name].astype(object).to_list() for name in table})
    enum = enum.with_columns(pl.col("state", "next_state").cast(pl.Enum(ORDER)))
    feather.write_feather(table, tmp_path / "a.feather")
    feather.write_feather(arrow.replace_schema_metadata(None), tmp_path / "b.feather", compression="uncompressed")
    for name in ("c.arrow", "c.arrows"):
        with pa.ipc.new_stream(str(tmp_path / name), arrow.schema) as stream:
            stream.write_table(arrow)
    enum.write_ipc(tmp_path / "d.arrow")
    enum.write_ipc_stream(tmp_path / "e.arrow")
    enum.write_parquet(tmp_path / "d.parquet")
    expected = {distinct: bm.read_log(table, distinct=distinct) for distinct in (False, True)}
    assert expected[True].attrs["states"] == ORDER
    for source in (*sorted(tmp_path.iterdir()), arrow, enum, enum.lazy()):
        for distinct, log in expected.items():
            same(bm.read_log(source, distinct=distinct), log)


def test_streams_are_read_whole_or_refused(tmp_path):
    table = lake(900)
    frame = pl.DataFrame({name: table[name].to_list() for name in table})
    (tmp_path / "parts").mkdir()
    frame[:400].write_ipc_stream(tmp_path / "parts" / "0.arrow")
    frame[400:].write_ipc(tmp_path / "parts" / "1.arrow")
    frame.write_ipc_stream(tmp_path / "log.arrow")
    expected = bm.read_log(table, distinct=True)
    for source in (tmp_path / "log.arrow", tmp_path / "parts"):
        same(bm.read_log(source, distinct=True), expected)
    whole = (tmp_path / "log.arrow").read_bytes()
    for left in (8, 9, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.arrow").write_bytes(whole[: len(whole) - left])
        with pytest.raises(ValueError, match=r"cut\.arrow is a stream of Arrow that was cut short: its end is missing"):
            bm.read_log(tmp_path / "cut.arrow")


def test_what_is_damaged_is_told_once(tmp_path, capfd):
    """Over some of these Polars panics, and writes so."""
    table = lake(300)
    frame = pl.DataFrame({name: table[name].to_list() for name in table})
    frame.write_ipc(tmp_path / "log.arrow", compression="lz4")
    whole, rng, refused = (tmp_path / "log.arrow").read_bytes(), np.random.default_rng(0), 0
    for _ in range(80):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole) - 1_200, len(whole), 3):
            damaged[place] = 255
        (tmp_path / "log.arrow").write_bytes(bytes(damaged))
        try:
            bm.read_log(tmp_path / "log.arrow", gaps="allow")
        except (ValueError, TypeError):
            refused += 1
    assert refused > 30 and capfd.readouterr().err == ""


def test_where_polars_panics_over_a_parquet_file_it_is_told_once(tmp_path, capfd, monkeypatch):
    """Which files it panics over is another matter in each version, and some end the process."""
    table = lake(30)
    pl.DataFrame({name: table[name].to_list() for name in table}).write_parquet(tmp_path / "log.parquet")

    def panics(*_, **__):
        os.write(2, b"thread 'async' panicked at parquet/mod.rs")
        raise pl.exceptions.PanicException("called unwrap")

    monkeypatch.setattr(pl.LazyFrame, "collect", panics)
    with pytest.raises(ValueError, match=r"is not a Parquet file, or is damaged, .* do not fit each other"):
        bm.read_log(tmp_path / "log.parquet")
    assert capfd.readouterr().err == ""
