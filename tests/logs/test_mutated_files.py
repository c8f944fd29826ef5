"""Files that were damaged, or written by somebody who thought otherwise: a clear refusal, or what the file says.

What a file says is found by a slow reader of another make: the csv and json modules and PyArrow, value by value.
"""

import csv
import gzip
import io
import json
import random
import re
import subprocess
import sys
import warnings
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xarray as xr
from pyarrow import parquet

import bayesmdp as bm

NAMES = ("state", "action", "reward", "next_state", "terminated", "truncated")
FORMATS = ("csv", "csv.gz", "tsv", "parquet", "jsonl", "arrow")
TEXT_FORMS = FORMATS[:3]
MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")
TRUE, FALSE = ("true", "1", "1.0", "yes", "y", "t"), ("false", "0", "0.0", "-0.0", "no", "n", "f")
ODD = (
    *("", " ", "NA", "NaN", "inf", "-Infinity", "1e999", "-0.0", "-0", "007", "1,5", "1.234,5", "1_000", "0x10", "+1"),
    *(
        "é",
        "e\u0301",
        "a\x1cb",
        "b\x1c",
        "\u00a0c",
        "\u202eright",
        "a\0b",
        '"',
        'say "so"',
        "a,b",
        "a\tb",
        "two\nlines",
    ),
    *("None", "true", "False", "yes", "maybe", "1.0", "2.", "2024-03-31T02:30:00+01:00", "9" * 19, "9" * 30, "x" * 300),
    *(None, True, False, 0, -1, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 0.5, 1.0, -0.0, 1e300, 1e100, 5e-324),
    *(float("nan"), float("inf"), [1, 2], {"cell": 1}, []),
)
LINES = (
    "",
    " ",
    ",,,,,",
    "# a comment",
    "state,action",
    '"',
    '0,"open,1,2,0,0',
    "{}",
    "[1]",
    "null",
    "{",
    "\x1a",
    "\ufeff",
)


def table(rng: random.Random) -> dict[str, list[Any]]:
    """A log of a walk, of one kind or another."""
    size = rng.choice([1, 2, 7, 30])
    name = rng.choice([int, lambda n: f"cell {n}", float, str, lambda n: f"é{n}", lambda n: n + 2**53])
    walk = [rng.randrange(4) for _ in range(size + 1)]
    ended = [rng.random() < 0.2 for _ in range(size)]
    rows = {
        "state": [name(n) for n in walk[:-1]],
        "action": [rng.choice(["up", "down"]) for _ in range(size)],
        "reward": [rng.choice([rng.randrange(3), rng.gauss(0, 1), -0.0]) for _ in range(size)],
        "next_state": [name(9) if over else name(n) for n, over in zip(walk[1:], ended, strict=True)],
        "terminated": ended,
        "truncated": [rng.random() < 0.1 for _ in range(size)],
        "note": [rng.choice(["", "fine", "x,y"]) for _ in range(size)],
    }
    for column in rng.choice([(), ("note",), ("note", "truncated"), ("note", "truncated", "terminated")]):
        del rows[column]
    return rows


def odd_value(rng: random.Random, rows: dict[str, list[Any]]) -> None:
    rng.choice(list(rows.values()))[0] = rng.choice(ODD)


def odd_values(rng: random.Random, rows: dict[str, list[Any]]) -> None:
    column = rng.choice(list(rows.values()))
    few = rng.sample(ODD, 2)
    column[:] = [rng.choice([value, rng.choice(few)]) for value in column]


def odd_column(rng: random.Random, rows: dict[str, list[Any]]) -> None:
    column = rng.choice(list(rows.values()))
    column[:] = [rng.choice(ODD)] * len(column)


def no_column(rng: random.Random, rows: dict[str, list[Any]]) -> None:
    del rows[rng.choice(list(rows))]


def another_column(rng: random.Random, rows: dict[str, list[Any]]) -> None:
    name = rng.choice(
        ["done", "", "STATE", "count", "state ", "step", "é", "a\nb", "next_state ", "0", "edge", "first"]
    )
    rows[name] = [rng.choice([0, 1, True, "x", None, rng.choice(ODD)])] * len(rows["state"])


def no_rows(rng: random.Random, rows: dict[str, list[Any]]) -> None:
    for column in rows.values():
        column.clear()


def other_order(rng: random.Random, rows: dict[str, list[Any]]) -> None:
    names = rng.sample(list(rows), len(rows))
    for name in names:
        rows[name] = rows.pop(name)


ROWS = (odd_value, odd_values, odd_column, no_column, another_column, no_rows, other_order)


def lines_changed(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    other = rng.randrange(len(lines))
    change = rng.randrange(5)
    if change == 0:
        del lines[place]
    elif change == 1:
        lines.insert(place, lines[other])
    elif change == 2:
        lines[place], lines[other] = lines[other], lines[place]
    elif change == 3:
        lines.insert(place, rng.choice(LINES).encode())
    else:
        lines[place] += rng.choice([b",", b"\r", b" ", b"\t", b'"', b",,", b",x", b"}", b"\x00"])
    return b"\n".join(lines)


def fields_changed(rng: random.Random, data: bytes) -> bytes:
    spots = [spot.start() for spot in re.finditer(rb"[,\t\n:]", data)]
    spot = rng.choice(spots) if spots else 0
    put = rng.choice(
        [b"", b",", b",,", b'"', b' "', b'""', b"\r\n", b"\r", b"\n\n", b"\x00", b"\t", b";", b" , ", b"\xef\xbb\xbf"]
    )
    return data[:spot] + put + data[spot + rng.randrange(2) :]


def in_another_encoding(rng: random.Random, data: bytes) -> bytes:
    text = data.decode()
    change = rng.randrange(8)
    if change < 4:
        codec = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32")[change]
        return text.encode(codec)
    if change == 4:
        return text.encode("cp1252", "replace")
    if change == 5:
        return text.replace("\n", rng.choice(["\r\n", "\r", "\n\n", "\u2028", "\x85"])).encode()
    if change == 6:
        return text.replace(",", rng.choice([";", ", ", " ,", "|", "\t"])).encode()
    return text.replace(".", ",").encode()


def bytes_flipped(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 5])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut_short(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def bytes_added(rng: random.Random, data: bytes) -> bytes:
    place = rng.choice([0, len(data), rng.randrange(len(data))])
    return data[:place] + rng.choice([b"\x00", b"\xff", b"\n", b"PAR1", b"\xef\xbb\xbf", data]) + data[place:]


TEXTS = (lines_changed, fields_changed, in_another_encoding, bytes_flipped, cut_short, bytes_added)
BYTES = (bytes_flipped, cut_short, bytes_added)


def written(rows: dict[str, list[Any]], form: str) -> bytes:
    """Rows as a file of some form, before it is packed."""
    if form in TEXT_FORMS:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter="\t" if form == "tsv" else ",", lineterminator="\n")
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))
        return text.getvalue().encode()
    if form == "jsonl":
        columns = zip(*rows.values(), strict=True)
        return "".join(
            json.dumps(dict(zip(rows, row, strict=True)), ensure_ascii=False) + "\n" for row in columns
        ).encode()
    arrays = []
    for values in rows.values():
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # of several types
            arrays.append(pa.array([None if value is None else str(value) for value in values]))
    columns, file = pa.table(dict(zip(rows, arrays, strict=True))), io.BytesIO()
    if form == "parquet":
        parquet.write_table(columns, file, row_group_size=5)
    else:
        with pa.ipc.new_file(file, columns.schema) as writer:
            writer.write_table(columns, max_chunksize=5)
    return file.getvalue()


def packed(data: bytes, form: str) -> bytes:
    return gzip.compress(data, mtime=0) if form == "csv.gz" else data


def mutated(form: str, seed: int) -> tuple[bytes, bytes]:
    """A file of some form with one thing or two wrong with it, and the same before its bytes were changed."""
    rng = random.Random(f"{form} {seed}")
    rows = table(rng)
    wrong = rng.choice(["rows", "rows", "bytes", "both"])
    if wrong != "bytes":
        rng.choice(ROWS)(rng, rows)
    data = written(rows, form) or b"\n"
    before = packed(data, form)
    if wrong == "rows":
        return before, before
    if form == "csv.gz" and rng.random() < 0.4:
        return rng.choice(BYTES)(rng, before), before
    return packed(rng.choice(BYTES if form in ("parquet", "arrow") else TEXTS)(rng, data), form), before


class Unreadable(Exception):
    """The slow reader finds that a file is no log."""


class Damaged(Unreadable):
    """PyArrow does not read it."""


def records(data: bytes, form: str) -> list[dict[str, Any]]:
    """What stands in a file, row by row, under the names of a log."""
    if form in ("parquet", "arrow"):
        try:
            columns = parquet.read_table(io.BytesIO(data)) if form == "parquet" else pa.ipc.open_file(data).read_all()
            columns = columns.select([name for name in NAMES if name in columns.column_names])
            columns.validate(full=True)
            return columns.to_pylist()
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise Damaged(error) from error
    try:
        text = (gzip.decompress(data) if form == "csv.gz" else data).decode("utf-8-sig")
    except Exception as error:
        raise Unreadable(error) from error
    if form == "jsonl":
        try:
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError as error:
            raise Unreadable(error) from error
    lines = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if form == "tsv" else ",", skipinitialspace=True)
    try:
        header, *rows = [fields for fields in lines if len(fields) > 1 or "".join(fields).strip()]
    except (csv.Error, ValueError) as error:
        raise Unreadable(error) from error
    names = [name.strip() for name in header]
    if any(names.count(name) > 1 for name in NAMES) or any(len(row) != len(names) for row in rows):
        raise Unreadable("fields")
    return [dict(zip(names, row, strict=True)) for row in rows]


def labels(values: list[Any], form: str) -> list[Any]:
    """What labels are, all that share a set."""
    if form in TEXT_FORMS:
        values = [value.strip() for value in values]
        if set(values) & set(MISSING):
            raise Unreadable("missing")
        for pattern in (r"-?[1-9]\d{0,18}|0", r"-?\d{1,15}\.0*"):
            if all(
                re.fullmatch(pattern, value) and -(2**63) <= int(value.partition(".")[0]) < 2**63 for value in values
            ):
                return [int(value.partition(".")[0]) for value in values]
        return values
    plain = []
    for value in values:
        if isinstance(value, bool | str):
            plain.append(str(value))
        elif isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 2**53):
            plain.append(int(value))
        else:
            raise Unreadable("label")
    return plain


def as_text(values: list[Any]) -> list[Any]:
    """Values of a column, all as text if one is."""
    if not any(isinstance(value, str) for value in values):
        return values
    return [value if value is None or isinstance(value, str) else spelled(value) for value in values]


def spelled(value: Any) -> str:
    if isinstance(value, float) and abs(value) < float("inf"):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return json.dumps(value)


def flag(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in TRUE + FALSE:
        raise Unreadable("flag")
    return word in TRUE


def number(value: Any, words: bool) -> float:
    if words:
        return float(value.strip().lower() == "true")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise Unreadable("reward") from error


def told(data: bytes, form: str, *, terminated: bool) -> list[tuple[Any, ...]]:
    """The steps that a file tells of, as `read_log` has them; with `terminated` or without."""
    rows, text = records(data, form), form in TEXT_FORMS
    try:
        columns = {name: [row[name] for row in rows] for name in NAMES[:4]}
    except (KeyError, TypeError) as error:
        raise Unreadable("column") from error
    if form == "jsonl":  # numbers beside text are text there
        columns = {name: columns[name] if name == "reward" else as_text(columns[name]) for name in columns}
    states = labels(columns["state"] + columns["next_state"], form)
    words = text and {value.strip().lower() for value in columns["reward"]} <= {"true", "false"}
    read = {name for name in NAMES[4:] if any(name in row for row in rows) and (terminated or name == "truncated")}
    over, cut = ([name in read and flag(row.get(name)) for row in rows] for name in NAMES[4:])
    return list(
        zip(
            states[: len(rows)],
            labels(columns["action"], form),
            [number(value, words) for value in columns["reward"]],
            states[len(rows) :],
            over,
            [now and not end for now, end in zip(cut, over, strict=True)],
            strict=True,
        )
    )


def steps(log: xr.Dataset) -> list[tuple[Any, ...]]:
    return list(zip(*(log[name].values.tolist() for name in NAMES), strict=True))


def counted_steps(log: xr.Dataset) -> Counter[tuple[Any, ...]]:
    """How often each step was taken, with whether it begins an episode."""
    if "count" in log:
        found: Counter[tuple[Any, ...]] = Counter()
        for step, begins, count in zip(steps(log), log["begins"].values, log["count"].values, strict=True):
            found[*step, bool(begins)] += int(count)
        return found
    over = log["terminated"].values | log["truncated"].values
    return Counter((*step, begins) for step, begins in zip(steps(log), [True, *over[:-1].tolist()], strict=True))


def read(path: Path, **options: Any) -> tuple[xr.Dataset | None, list[str]]:
    """A log, or None, and all that was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            log = bm.read_log(path, **options)
        except (ValueError, TypeError, FileNotFoundError, ImportError) as error:
            message = str(error)
            assert type(error) in (ValueError, TypeError, FileNotFoundError, ImportError), type(error)
            assert (path.name in message and ";" in message) or "is empty" in message or "no rows" in message, message
            assert not re.search("Traceback|panicked|polars\\.|\n", message), message
            assert len(message) < 1_000, message
            return None, [type(error).__name__, message]
    return log, [str(warning.message) for warning in caught]


def check(folder: Path, form: str, seed: int) -> str:
    (data, before), path = mutated(form, seed), folder / f"{seed}.{form}"
    path.write_bytes(data)
    options: dict[str, Any] = [{"gaps": "allow"}, {}, {"gaps": "cut"}, {"columns": {"terminated": None}}][seed % 4]
    log, said = read(path, **options)
    counted, said_of_counts = read(path, distinct=True, **options)
    assert said == said_of_counts
    assert (log is None) == (counted is None)
    if log is None or counted is None:
        return "refused"
    assert {**log.attrs} == {**counted.attrs}
    assert counted_steps(log) == counted_steps(counted)
    try:
        expected = told(data, form, terminated="columns" not in options)
    except Damaged:  # PyArrow looks at what no log needs: there is no second opinion but that no row is lost
        expected = steps(log)
        assert len(expected) == len(told(before, form, terminated="columns" not in options))
    if options.get("gaps") != "allow":  # which adds to what is cut off
        expected = [(*step[:5], cut) for step, cut in zip(expected, log["truncated"].values.tolist(), strict=True)]
    assert steps(log) == expected
    assert counted["count"].sum() == len(expected)
    return "answered"


@pytest.mark.slow
def test_the_command_refuses_a_file_in_one_line(tmp_path):
    """Of each form one that is refused, one process for all."""
    refused = []
    for form in FORMATS:
        for seed in range(20):
            path = tmp_path / f"{seed}.{form}"
            path.write_bytes(mutated(form, seed)[0])
            if read(path, gaps="allow")[0] is None:
                refused.append(str(path))
    program = (
        "import sys\nfrom bayesmdp.cli.app import app\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        app(['plan', path])\n"
        "    except SystemExit as stop:\n        print(path, stop.code)\n"
        "    print('next', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, *refused], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{path} 2" for path in refused]
    said = [each.strip() for each in done.stderr.split("next\n")][:-1]
    assert len(said) == len(refused) > 60
    for path, each in zip(refused, said, strict=True):
        *before, complaint = each.splitlines()
        assert all(line.startswith(("reading ", "bayesmdp: warning: ")) for line in before), each
        assert complaint.startswith("bayesmdp: ") and (path in complaint or Path(path).name in complaint), each


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "seeds", [range(30), pytest.param(range(30, 150), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_a_mutated_file_is_refused_in_clear_words_or_read_as_it_says(form, seeds, tmp_path, capfd):
    outcomes = Counter(check(tmp_path, form, seed) for seed in seeds)
    assert set(outcomes) == {"refused", "answered"}
    assert capfd.readouterr().err == ""
