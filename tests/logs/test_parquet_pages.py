"""Pages of Parquet files: what their headers say against PyArrow, and damaged ones, over which Polars ends the process.

Files are written by Polars, by PyArrow and by DuckDB.
"""

import random
import subprocess
import sys
from collections import Counter

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

import bayesmdp as bm
from bayesmdp.logs.parquet_pages import ColumnPages, Damaged
from bayesmdp.logs.thrift_records import read_record

ROWS = 40
NAMES = ["state", "action", "reward", "next_state", "terminated", "truncated"]
PAIR = (b"\x2c\x15\x50", b"\x2c\x15\x51")
"""Where the header of a data page says that it has 40 values, and the same with -41."""


def walk():
    rng = random.Random(0)
    cells = [f"cell {rng.randrange(6)}" for _ in range(ROWS + 1)]
    return pa.table(
        {
            "state": cells[:-1],
            "action": [rng.choice(["up", "down"]) for _ in range(ROWS)],
            "reward": [round(rng.gauss(0, 1), 2) for _ in range(ROWS)],
            "next_state": cells[1:],
            "terminated": [False] * ROWS,
            "truncated": [row % 20 == 19 for row in range(ROWS)],
        }
    )


def by_duckdb(table, path, options="COMPRESSION snappy"):
    duckdb = pytest.importorskip("duckdb")
    duckdb.from_arrow(table).query("log", f"COPY log TO '{path}' (FORMAT parquet, {options})")


DELTA = {"state": "DELTA_BYTE_ARRAY", "next_state": "DELTA_LENGTH_BYTE_ARRAY", "reward": "BYTE_STREAM_SPLIT"}
WRITERS = {
    "polars, zstd": lambda table, path: pl.DataFrame(table).write_parquet(path),
    "polars, plain": lambda table, path: pl.DataFrame(table).write_parquet(path, compression="uncompressed"),
    "polars, groups": lambda table, path: pl.DataFrame(table).write_parquet(path, row_group_size=8, data_page_size=90),
    "pandas": lambda table, path: table.to_pandas().to_parquet(path),
    "arrow, plain": lambda table, path: parquet.write_table(table, path, use_dictionary=False, compression="none"),
    "arrow, second version": lambda table, path: parquet.write_table(table, path, data_page_version="2.0"),
    "arrow, delta": lambda table, path: parquet.write_table(table, path, use_dictionary=False, column_encoding=DELTA),
    "arrow, checksums": lambda table, path: parquet.write_table(table, path, write_page_checksum=True),
    "duckdb, snappy": by_duckdb,
    "duckdb, second version": lambda table, path: by_duckdb(table, path, "PARQUET_VERSION v2"),
}
WITH_CHECKSUMS = {"arrow, checksums"}


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    path = tmp_path / "log.parquet"
    WRITERS[request.param](walk(), path)
    return path


def look(path, names=NAMES):
    pages = ColumnPages([path], names)
    for place in range(len(names)):
        pages.look(place)


def test_what_the_footer_says_is_what_pyarrow_reads(written):
    data = written.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    footer, length = read_record(data[-8 - size : -8])
    told = parquet.ParquetFile(written).metadata
    assert length == size and footer[3] == ROWS and len(footer[4]) == told.num_row_groups
    for n, group in enumerate(footer[4]):
        for place, column in enumerate(group[1]):
            expected, about = told.row_group(n).column(place), column[3]
            assert b".".join(about[3]).decode() == expected.path_in_schema
            sizes = expected.num_values, expected.total_uncompressed_size, expected.total_compressed_size
            assert (about[5], about[6], about[7], about[9]) == (*sizes, expected.data_page_offset)
    look(written)


@pytest.mark.parametrize("writer", ["polars, zstd", "pandas", "arrow, plain", "duckdb, snappy"])
def test_a_page_of_fewer_values_than_none_is_refused_with_its_column(writer, tmp_path):
    path = tmp_path / "log.parquet"
    WRITERS[writer](walk(), path)
    data = path.read_bytes()
    assert data.count(PAIR[0]) == len(NAMES)
    place = 0
    for name in NAMES:
        place = data.index(PAIR[0], place + 1)
        path.write_bytes(data[:place] + PAIR[1] + data[place + 3 :])
        with pytest.raises(Damaged, match=rf"^column '{name}', page at byte [\d,]+: -41 values, and there are 40"):
            look(path)
        # Columns that are not read are not looked at.
        look(path, [other for other in NAMES if other != name])


COUNTED = {"distinct": True}
BINNED = {"state": "reward:bins(-9,0,9)", "next_columns": {"reward": "after"}}


@pytest.mark.parametrize(
    "options, names",
    [
        ({}, NAMES),
        (COUNTED, NAMES),
        ({"episode": "who"}, [*NAMES, "who"]),
        ({"episode": "who"} | COUNTED, [*NAMES, "who"]),
        (BINNED, ["action", "reward", "after"]),
        (BINNED | COUNTED, ["action", "reward", "after"]),
        ({"coordinates": ["reward"], "episode": "who"}, ["action", "reward", "who"]),
    ],
)
def test_a_column_is_looked_at_before_it_is_read(options, names, monkeypatch, tmp_path):
    """By each way of reading: over a page that was not looked at the process may end."""
    path, looked = tmp_path / "log.parquet", ColumnPages.look
    table = walk().append_column("who", [[row // 20 for row in range(ROWS)]])
    WRITERS["polars, zstd"](table.append_column("after", table["reward"]), path)
    for name in names:

        def refuse(self, place, name=name):
            if self._names[place] == name:
                raise Damaged(f"column {name!r}")
            looked(self, place)

        monkeypatch.setattr(ColumnPages, "look", refuse)
        with pytest.raises(ValueError, match=f"is damaged, or was cut short: column '{name}'; write it anew"):
            bm.read_log(path, gaps="cut", **options)


def test_a_page_is_compared_with_its_checksum(tmp_path):
    options = {"use_dictionary": False, "compression": "none"}
    for checksums in (False, True):
        path = tmp_path / f"{checksums}.parquet"
        parquet.write_table(walk(), path, write_page_checksum=checksums, **options)
        data, reward = path.read_bytes(), walk()["reward"].to_numpy()
        path.write_bytes(data.replace(reward[3].tobytes(), (-reward[3]).tobytes(), 1))
    assert bm.read_log(tmp_path / "False.parquet", gaps="cut")["reward"].values[3] == -reward[3]  # nothing shows it
    with pytest.raises(ValueError, match=r"column 'reward', page at byte [\d,]+: its checksum is another one"):
        bm.read_log(tmp_path / "True.parquet", gaps="cut")


def test_what_polars_refuses_is_told_with_file_and_column(tmp_path):
    for part in range(2):
        parquet.write_table(walk(), tmp_path / f"{part}.parquet", use_dictionary=False, compression="none")
    data = (tmp_path / "1.parquet").read_bytes()
    place = data.index(b"\x04\x00\x00\x00down")
    (tmp_path / "1.parquet").write_bytes(data[:place] + b"\xff\xff\xff\x7f" + data[place + 4 :])
    with pytest.raises(ValueError, match=r"cut short: \S+1.parquet, column 'action': .*; write it anew"):
        bm.read_log(tmp_path, gaps="cut")


def test_pages_of_sound_files_are_passed(tmp_path):
    """Of no rows, of categories most of which no row has, of missing values, of long text, of lists."""
    path, none = tmp_path / "log.parquet", walk().slice(0, 0)
    categories = pd.Categorical(["a"] * 3, [*map(str, range(5_000)), "a"])
    texts = pl.DataFrame({"text": ["x" * 3_000, "y" * 3_000], "gone": pl.Series([None, None], dtype=pl.Int64)})
    for table in (none.to_pandas(), pd.DataFrame({"category": categories, "list": [[1, 2, 3]] * 3})):
        table.to_parquet(path)
        look(path, list(table.columns))
    for frame in (texts, texts.clear(), texts.with_columns(list=pl.lit([1, 2]))):
        frame.write_parquet(path, statistics="full")
        look(path, frame.columns)
    parquet.write_table(texts.to_arrow(), path, use_dictionary=False)
    look(path, texts.columns)


PROGRAM = """
import sys, warnings
from pathlib import Path
import bayesmdp as bm

warnings.simplefilter("ignore")
whole = bm.read_log(sys.argv[1], gaps="cut")
for path in map(Path, sys.stdin.read().split()):
    try:
        log = bm.read_log(path, gaps="cut", distinct=int(path.stem) % 2 == 1)
    except (ValueError, TypeError) as error:
        assert path.name in str(error) and (";" in str(error) or "no rows" in str(error)), error
        print("refused")
    else:
        rows = int(log["count"].sum()) if "count" in log else log.sizes["step"]
        print("as it was" if "count" in log or log.drop_attrs().identical(whole.drop_attrs()) else "other values", rows)
"""


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS)
def test_no_wrong_byte_ends_the_process(writer, tmp_path):
    """One byte or two, of each file 400 times: refused in one sentence, or read with all its rows."""
    path, rng = tmp_path / "log.parquet", random.Random(writer)
    WRITERS[writer](walk(), path)
    data, paths = path.read_bytes(), []
    heads = [place for place in range(len(data)) if data.startswith(PAIR[0], place)]
    for n in range(400):
        changed = bytearray(data)
        for _ in range(rng.choice([1, 2])):
            changed[rng.randrange(len(data))] = rng.randrange(256)
        if n < len(heads):
            changed = bytearray(data[: heads[n]] + PAIR[1] + data[heads[n] + 3 :])
        paths.append(tmp_path / f"{n}.parquet")
        paths[-1].write_bytes(changed)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], input="\n".join(map(str, paths)), capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == ""
    told = Counter(done.stdout.splitlines())
    assert told.keys() <= {"refused", f"as it was {ROWS}", f"other values {ROWS}"} and told.total() == 400
    assert told["refused"] > 100
    if writer in WITH_CHECKSUMS:
        assert told[f"other values {ROWS}"] <= 4  # of the footer, which has no checksum
