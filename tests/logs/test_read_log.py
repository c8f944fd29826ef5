"""Logs from files, frames and Datasets: what is read is what was written, and every fault is named by its place."""

import csv
import gzip
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesmdp import environments, mdp_from_log
from bayesmdp.logs.compress import compress
from bayesmdp.logs.read_log import read_log
from bayesmdp.simulation.collect import collect

COLUMNS = ("state", "action", "reward", "next_state", "terminated", "truncated")
HEADER = "state,action,reward,next_state,terminated,truncated\n"
GOOD = HEADER + "0,up,0.5,1,false,false\n1,down,-1,0,False,0\n0,up,1e1,2,TRUE,1\n"


def write(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def frame(**changes) -> pd.DataFrame:
    columns = {"state": [0, 1], "action": ["up", "down"], "reward": [0.0, 1.0], "next_state": [1, 0]}
    return pd.DataFrame(columns | changes)


def same(ours: xr.Dataset, theirs: xr.Dataset) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(ours[name].values, theirs[name].values)
        assert ours[name].values.dtype.kind == theirs[name].values.dtype.kind


def test_a_csv_is_read_as_it_says(tmp_path):
    log = read_log(write(tmp_path, GOOD))
    assert log["state"].values.tolist() == [0, 1, 0]
    assert log["action"].values.tolist() == ["up", "down", "up"]
    assert log["reward"].values.tolist() == [0.5, -1, 10]
    assert log["next_state"].values.tolist() == [1, 0, 2]
    assert log["terminated"].values.tolist() == [False, False, True]
    assert log["truncated"].values.tolist() == [False, False, False]  # both at once: terminated
    assert log.attrs == {
        "states": [0, 1, 2],
        "actions": ["down", "up"],
        "source": str(tmp_path / "log.csv"),
        "ordered": 1,
        "starts_known": 1,
    }
    assert compress(log).weight.sum() == 3


@pytest.mark.parametrize("environment", ["riverswim", "frozen_lake"])
@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "parquet", "frame", "dataset", "renamed dim"])
def test_what_collect_returns_survives_the_way_out_and_in(environment, form, tmp_path):
    log = collect(getattr(environments, environment)(), steps=300, seed=1)
    table, path = log.to_dataframe(), tmp_path / f"log.{form}"
    if form == "parquet":
        table.to_parquet(path)
    elif "sv" in form:
        table.to_csv(path, sep="\t" if form == "tsv" else ",")
    sources = {"frame": table, "dataset": log, "renamed dim": log.rename(step="t")}
    again = read_log(sources.get(form, path))
    same(again, log)
    if "d" in form:  # a Dataset's label sets are kept, seen or not
        assert set(again.attrs["states"]) >= set(log["state"].values.tolist())


def test_a_datasets_own_label_sets_are_kept():
    log = collect(environments.riverswim(6), steps=3, seed=0)
    assert read_log(log).attrs["states"] == list(range(6))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=5)
SPECIAL = st.sampled_from(["a,b", 'say "so"', "two\nlines", "007", "7", "None", "true", "0x1", "1e5", "-3", "é"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT | SPECIAL, SPECIAL | TEXT, st.floats(-1e100, 1e100)), min_size=1, max_size=8))
def test_labels_and_rewards_of_any_kind_survive_a_csv(tmp_path_factory, rows):
    from bayesmdp.logs.log_labels import _DECIMAL
    from bayesmdp.logs.log_sources import MISSING

    rows = [row for row in rows if not ({*row[:2]} & {*MISSING} or any(_DECIMAL.fullmatch(x) for x in row[:2]))]
    rows = rows or [("a", "b", 0.0)]
    path = tmp_path_factory.mktemp("log") / "log.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["action", "reward", "state", "next_state"])
        writer.writerows([action, reward, state, state] for state, action, reward in rows)
    log = read_log(path, gaps="allow")
    for name, written in (("state", [row[0] for row in rows]), ("action", [row[1] for row in rows])):
        assert list(map(str, log[name].values.tolist())) == written
        whole = all(re.fullmatch(r"0|-?[1-9]\d*", text) for text in written)
        assert all(isinstance(label, int if whole else str) for label in log[name].values.tolist())
    assert log["reward"].values.tolist() == [row[2] for row in rows]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["10", "9", "-1"], [-1, 9, 10]),
        (["10", "9", "goal"], ["10", "9", "goal"]),
        (["007", "7", "08"], ["007", "08", "7"]),
        (["0.0", "2.0", "10."], [0, 2, 10]),
        (["123456789012345678901", "1", "2"], ["1", "123456789012345678901", "2"]),
        ([" a", "a ", "b"], ["a", "b"]),
        (["True", "False", "None"], ["False", "None", "True"]),
    ],
)
def test_label_sets_of_text_files(written, read, tmp_path):
    rows = "".join(f"{label},x,1,{label}\n" for label in written)
    log = read_log(write(tmp_path, "state,action,reward,next_state\n" + rows), gaps="allow")
    assert log.attrs["states"] == read


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (np.array([0.0, 3.0]), [0, 3]),
        (pd.array([0, 3], dtype="Int64"), [0, 3]),
        (np.array([False, True]), ["False", "True"]),
        (pd.Categorical(["b", "a"]), ["a", "b"]),
        (np.array(["1", "0.5"], object), ["0.5", "1"]),
        (np.array([1, "a"]), ["1", "a"]),
    ],
)
def test_label_sets_of_frames(column, read):
    log = read_log(frame(state=column, next_state=column), gaps="allow")
    assert log.attrs["states"] == read
    assert {type(label) for label in log["state"].values.tolist()} == {type(read[0])}


@pytest.mark.parametrize("ends", [["true", "False"], ["1", "0"], [1.0, 0.0], [True, False], [1, 0], ["TRUE", " 0"]])
def test_ends_in_any_form(ends):
    assert read_log(frame(terminated=ends, next_state=[2, 0]))["terminated"].values.tolist() == [True, False]


def test_one_row_is_a_log(tmp_path):
    assert read_log(write(tmp_path, "next_state,reward,action,state\n3,1,0,2")).sizes["step"] == 1


def test_names_are_taken_from_columns(tmp_path):
    path = write(tmp_path, "t,s,a,r,s2,done\n0,0,0,1,1,1\n1,0,0,1,1,1\n")
    names = {"state": "s", "action": "a", "reward": "r", "next_state": "s2"}
    assert read_log(path, columns={**names, "terminated": "done"})["terminated"].all()
    log = read_log(path, columns={**names, "truncated": "done"})
    assert log["truncated"].all()
    assert not log["terminated"].any()
    with pytest.warns(UserWarning, match="has a gap between rows"):
        assert not read_log(path, columns={**names, "terminated": None})["terminated"].any()


def test_layouts_that_people_write(tmp_path):
    spaced = GOOD.replace(",", ", ").replace("\n", "\r\n") + "\r\n\r\n"
    quoted = '"' + GOOD.strip().replace(",", '","').replace("\n", '"\n"') + '"'
    blank = GOOD.replace("\n1,", "\n\n1,")
    for text in (spaced, quoted, blank, "\ufeff" + GOOD, GOOD.encode("utf-8-sig")):
        same(read_log(write(tmp_path, text)), read_log(write(tmp_path, GOOD, "plain.csv")))
    comma = write(tmp_path, HEADER + '0, "up, fast", 1, 0, 0, 0\n')
    assert read_log(comma).attrs["actions"] == ["up, fast"]
    semicolons = write(tmp_path, GOOD.replace(",", ";"))
    same(read_log(semicolons, separator=";"), read_log(tmp_path / "plain.csv"))
    other = write(tmp_path, GOOD.replace("up", "été").encode("cp1252"))
    assert read_log(other, encoding="cp1252").attrs["actions"] == ["down", "été"]
    assert read_log(write(tmp_path, GOOD.encode("utf-16")), encoding="utf-16").attrs["states"] == [0, 1, 2]


ROW = "0,up,1,0,0,0\n"
BAD = {
    "empty": ("", "log.csv is empty"),
    "blank": ("\n \n", "log.csv is empty"),
    "header only": (HEADER, "has a header but no rows"),
    "no header": ("0,1,0.5,2\n1,1,0.5,2\n", "the first line must be a header"),
    "missing column": (
        "state,action,reward\n0,0,0\n",
        "no column 'next_state'; it has 'state', 'action', 'reward'; col",
    ),
    "other names": (
        "s,act,Reward,s_next\n",
        r"columns={'state': 's', 'action': 'act', 'reward': 'Reward', 'next_state'",
    ),
    "misspelt": ("state,action,reward,nextstate\n", "columns={'next_state': 'nextstate'} says which"),
    "merely similar": ("condition,did,profit\n", "columns={'state': 'NAME'} says which"),
    "semicolons": (GOOD.replace(",", ";"), r"pass the separator, such as separator=';'"),
    "doubled column": ("state,state,action,reward,next_state\n0,0,0,0,0\n", "the column 'state' more than once"),
    "done alone": (
        "state,action,reward,next_state,done\n0,0,0,0,1\n",
        r"columns={'truncated': 'done'} if the recording",
    ),
    "missing state": (HEADER + ROW + ",up,1,0,0,0\n", "line 3: state is missing"),
    "missing next state": (HEADER + ROW + "0,up,1,NaN,1,0\n", "line 3: next_state is missing.* such as 'end'"),
    "missing action": (HEADER + ROW + "\n" + "0,NA,1,0,0,0\n", "line 4: action is missing"),
    "blank action": (HEADER + ROW + "0, ,1,0,0,0\n", "line 3: action is missing"),
    "missing reward": (HEADER + ROW + "0,up,,0,0,0\n", "line 3: reward is missing; give each step a number"),
    "reward is text": (HEADER + ROW + "0,up,much,0,0,0\n", "line 3: reward is 'much', which is no finite number"),
    "decimal comma": (
        HEADER + '0,up,"0,5",0,0,0\n',
        "line 2: reward is '0,5', .*; if the comma is a decimal one, pass decimal=','",
    ),
    "only a last state": (
        HEADER + ROW + "0,,,,,\n",
        "line 3: action is missing .*; a row that only records an episode's last state",
    ),
    "a last row without action": (
        HEADER + ROW + "0,,0,0,0,0\n",
        "line 3: action is missing .*; a row that only records an episode's last state is no step: leave it out",
    ),
    "a comment first": ("# made by hand\n" + GOOD, r"the first line is a comment.*read_csv\(..., comment='#'\)"),
    "a comment with commas": ("# a, b\n" + GOOD, "the first line is a comment, and should be the header; delete it"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1 holds the byte 0xff, which is not utf-8; .* encoding='utf-16'"),
    "UTF-16, the other way": (b"\xfe\xff" + GOOD.encode("utf-16-be"), "encoding='utf-16'"),
    "UTF-32": (GOOD.encode("utf-32"), "encoding='utf-32'"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "full of the character 0.* encoding='utf-16-le'"),
    "infinite reward": (HEADER + ROW + ROW + "0,up,-inf,0,0,0\n", "line 4: reward is '-inf', which"),
    "reward out of range": (HEADER + ROW + "0,up,11,0,0,0\n", r"line 3: reward is '11', outside \[-10, 10\]"),
    "text among bool rewards": (HEADER + "0,up,True,0,0,0\n0,up,no,0,0,0\n", "line 2: reward is 'True', which"),
    "odd end": (HEADER + ROW + "0,up,1,0,0,maybe\n", "line 3: truncated is 'maybe'; write true or false"),
    "missing end": (HEADER + ROW + "0,up,1,0,,0\n", "line 3: terminated is missing"),
    "quoted blank": (HEADER + ROW + '" ",up,1,0,0,0\n', "line 3: state is missing"),
    "NA and a blank": (HEADER + ROW + "0,up,1,NA ,0,0\n", "line 3: next_state is missing"),
    "mixed spelling": (
        HEADER + "1.0,up,1,2,0,0\n",
        "line 2: state is '1.0', where labels are whole numbers, such as 2, or",
    ),
    "huge reward": (
        HEADER + ROW + "0,up,1e307,0,0,0\n",
        "line 3: reward is '1e307', beyond 1e\\+100 in size; measure",
    ),
    "a zero character": (HEADER + "a\0,up,1,b,0,0\n", "line 2: state is .*no file can hold the character 0"),
    "decimal label": (HEADER + ROW + "0,up,1,0.5,0,0\n", "line 3: next_state is '0.5', where labels are .*dtype=str"),
    "two spellings": (HEADER + "0,up,1,1.0,0,0\n1,up,1,0,0,0\n", "line 2: next_state is '1.0'"),
    "too few fields": (HEADER + ROW + "0,up,1\n" + ROW, "line 3 has 3 fields where the header has 6: '0,up,1'"),
    "too many fields": (HEADER + ROW + "0,up,1,0,0,0,7\n", "line 3 has 7 fields where the header has 6"),
    "one more everywhere": (HEADER + "1," + ROW, "line 2 has 7 fields where the header has 6"),
    "after a quoted break": (HEADER + '0,"u\np",1,0,0,0\n0,up\n', "line 4 has 2 fields"),
    "open quotation mark": (HEADER + ROW + '0,"up,1,0,0,0\n' + ROW, "line 3 has 2 fields"),
    "open at the end": (HEADER + ROW + '0,up,1,0,0,"0\n', "log.csv line 3: .* is a quotation mark left open"),
    "open over several lines": (HEADER + ROW * 3 + '0,up,1,0,0,"0\n' + ROW, "log.csv line 5"),
    "other bytes": (
        HEADER.encode() + ROW.encode() + b"0,\xe9t\xe9,1,0,0,0\n",
        "line 3 holds the byte 0xe9, which is not",
    ),
    "acted in after an end": (
        HEADER + "0,up,1,1,1,0\n1,up,1,0,0,0\n",
        r"line 3: the state 1 is acted in, but at line 2",
    ),
    "entered in two ways": (
        HEADER + "0,up,1,1,1,0\n0,up,1,1,0,1\n",
        "line 3: the state 1 is entered with terminated fal",
    ),
}


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_bad_files_are_refused_by_place(text, told, tmp_path):
    with pytest.raises(ValueError, match=told) as refused:
        read_log(write(tmp_path, text), reward_range=(-10, 10) if "range" in told or "outside" in told else None)
    assert "log.csv" in str(refused.value)


BAD_SOURCES = {
    "mixed labels": (frame(state=[0, "goal"]), "row 1: state is 'goal', where labels are whole numbers, such as 0, or"),
    "mixed columns": (frame(next_state=["1", "0"]), "row 0: next_state is '1', where labels are whole numbers"),
    "missing label": (frame(action=["up", None]), "row 1: action is missing"),
    "missing number": (frame(state=[np.nan, 1]), "row 0: state is missing"),
    "levels": (frame(state=[0.5, 1]), "row 0: state is 0.5, where labels are whole numbers or text; number the"),
    "tuples": (frame(state=[(0, 1), (0, 2)]), "row 0: state is"),
    "vectors": (frame(state=[[0, 1], [0, 2]]), "state holds a list; a label is a whole number or text"),
    "missing reward": (frame(reward=[0, None]), "row 1: reward is missing"),
    "object reward": (frame(reward=np.array([0, "x"], object)), "row 1: reward is 'x'"),
    "empty frame": (frame().iloc[:0], "the DataFrame has a header but no rows"),
    "two dims": (xr.Dataset({"state": (("run", "step"), [[0]])}), "a log has one dim, .* the Dataset has run, step"),
    "an array": (np.zeros(3), "from a path, a DataFrame or a Dataset; got ndarray"),
}


@pytest.mark.parametrize(("source", "told"), BAD_SOURCES.values(), ids=BAD_SOURCES)
def test_bad_frames_and_datasets_are_refused_by_place(source, told):
    with pytest.raises((ValueError, TypeError), match=told):
        read_log(source)


BAD_OPTIONS = {
    "gaps": ({"gaps": "ignore"}, "gaps must be one of warn, refuse, cut, allow; got 'ignore'"),
    "range": ({"reward_range": (1, 0)}, r"reward_range is \(low, high\)"),
    "not ours": ({"columns": {"nextstate": "x"}}, "'nextstate' is none of ours; ours are state, action"),
    "the wrong way": ({"columns": {"s": "state"}}, "write columns={'state': 's'}"),
    "not theirs": ({"columns": {"state": "stat"}}, "no column 'stat'; it has .* did you mean 'state'"),
}


@pytest.mark.parametrize(("options", "told"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        read_log(frame(), **options)


def test_bad_paths_are_refused(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no file .*none.csv"):
        read_log(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"log.xlsx is none of .csv"):
        read_log(write(tmp_path, "", "log.xlsx"))
    flipped = bytearray(gzip.compress(GOOD.encode()))
    flipped[20] ^= 255
    for cut in (b"no gzip", gzip.compress(GOOD.encode())[:-9], bytes(flipped)):
        with pytest.raises(ValueError, match="is not a gzip file, or was cut short"):
            read_log(write(tmp_path, cut, "log.csv.gz"))
    with pytest.raises(ValueError, match="is not a Parquet file"):
        read_log(write(tmp_path, GOOD, "log.parquet"))
    with pytest.raises(ValueError, match="encoding 'utf8000' is not known"):
        read_log(write(tmp_path, GOOD), encoding="utf8000")
    for separator in ("::", '"'):
        with pytest.raises(ValueError, match="separator must be one character and no quotation mark"):
            read_log(write(tmp_path, GOOD), separator=separator)
    with pytest.raises(ValueError, match=r"it has 'state,actionx+'\.\.\.; pass the separator") as refused:
        read_log(write(tmp_path, "state,action" + 100 * "x" + "\n0\n"), separator=";")
    assert len(str(refused.value)) < 300
    in_order = pd.Categorical([1, 0], [1, 0], ordered=True)
    for name, table in (("plain", frame()), ("ordered", frame(state=in_order))):
        table.to_parquet(tmp_path / f"{name}.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    same(read_log(tmp_path / "plain.parquet"), read_log(frame()))
    with pytest.raises(ImportError, match=r'pip install "bayesmdp\[parquet\]" brings it'):
        read_log(tmp_path / "ordered.parquet")


@pytest.mark.parametrize("rest", ["", "\n", "\r\n", "\n\n", "\n \n"])
@pytest.mark.parametrize("more", ["", ",terminated,truncated", ",note", ",terminated,note"])
@pytest.mark.parametrize("options", [{}, {"columns": {"terminated": None}}, {"gaps": "allow"}, {"states": [1]}])
def test_a_header_without_rows_is_refused(rest, more, options, tmp_path):
    with pytest.raises(ValueError, match="has a header but no rows; a log needs at least one step"):
        read_log(write(tmp_path, "state,action,reward,next_state" + more + rest), **options)


def test_places_that_are_no_files_are_told_apart(tmp_path):
    (tmp_path / "parts.parquet").mkdir()
    frame().to_parquet(tmp_path / "parts.parquet" / "0.parquet")
    frame(state=[1, 0], next_state=[0, 1]).to_parquet(tmp_path / "parts.parquet" / "1.parquet")
    for source in (tmp_path / "parts.parquet", tmp_path / "parts.parquet" / "*.parquet"):
        assert read_log(source, gaps="allow")["state"].values.tolist() == [0, 1, 1, 0]
    write(tmp_path / "parts.parquet", GOOD)
    with pytest.raises(ValueError, match=r"parts.parquet holds files of several kinds, .csv, .parquet; name those"):
        read_log(tmp_path / "parts.parquet")
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match="none is a folder without files"):
        read_log(tmp_path / "none")
    if not hasattr(os, "mkfifo"):
        return
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ValueError, match=r"pipe.csv is a pipe or a device.* save it to a file first"):
        read_log(tmp_path / "pipe.csv")


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_decimal_commas_are_read_when_asked_for(separator, tmp_path):
    rewards = ["0,5", "-1,25", "3", "1,5e1"]
    rows = [["0", "up", f'"{reward}"', "0"] for reward in rewards]
    text = "\n".join(separator.join(row) for row in [["state", "action", "reward", "next_state"], *rows])
    log = read_log(write(tmp_path, text), separator=separator, decimal=",")
    assert log["reward"].values.tolist() == [0.5, -1.25, 3, 15]
    texts = pd.DataFrame({"state": 0, "action": "up", "reward": rewards, "next_state": 0})
    assert read_log(texts, decimal=",")["reward"].values.tolist() == [0.5, -1.25, 3, 15]
    with pytest.raises(ValueError, match="row 1: reward is '1,2,3'"):
        read_log(texts.iloc[:2].assign(reward=["1,5", "1,2,3"]), decimal=",")
    # A point would part thousands.
    for points in (["1.234", "2.5"], ["1,5", "1.234,5"]):
        path = write(tmp_path, "state;action;reward;next_state\n" + "".join(f"0;up;{point};0\n" for point in points))
        with pytest.raises(ValueError, match=r"line \d: reward is '1.234.*', which is no finite number"):
            read_log(path, separator=";", decimal=",")
    with pytest.raises(ValueError, match=r"decimal must be .* got ';'"):
        read_log(texts, decimal=";")


def test_gaps_are_told_once_and_taken_as_cut_off(tmp_path):
    rows = "0,up,1,1\n1,up,1,2\n5,up,1,6\n6,up,1,7\n0,up,1,1\n"
    path = write(tmp_path, "state,action,reward,next_state\n" + rows)
    told = "has 2 gaps between rows, first after line 3: next_state is 2, but the next row's state is 5"
    with pytest.warns(UserWarning, match=told) as caught:
        log = read_log(path)
    assert [warning.filename for warning in caught] == [__file__]
    assert log["truncated"].values.tolist() == [False, True, False, True, False]
    assert not log["terminated"].any()
    with pytest.raises(ValueError, match=told):
        read_log(path, gaps="refuse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Rows in no order are cut off nowhere.
        same(read_log(path, gaps="allow"), log.assign(truncated=log["truncated"] & False))


def test_gaps_beside_an_end_column():
    gap = frame(next_state=[5, 6])
    with pytest.warns(UserWarning, match="no column 'truncated', so it is assumed that the recording was cut off"):
        assert read_log(gap.assign(terminated=False))["truncated"].values.tolist() == [True, False]
    # A log that says where it was cut off is believed.
    with pytest.warns(UserWarning, match="Are rows missing or out of order"):
        assert not read_log(gap.assign(terminated=False, truncated=False))["truncated"].any()
    for ended in ({"terminated": [True, False]}, {"truncated": [True, False]}):
        read_log(gap.assign(**ended))


def test_a_fault_among_many_rows_is_found_by_its_line(tmp_path):
    rows = ["0,up,1,0,0,0"] * 100_000
    rows[76_543] = "0,up,1,0"
    with pytest.raises(ValueError, match="line 76545 has 4 fields"):
        read_log(write(tmp_path, HEADER + "\n".join(rows)))
    rows[76_543] = "0,up,x,0,0,0"
    with pytest.raises(ValueError, match="line 76545: reward is 'x'"):
        read_log(write(tmp_path, HEADER + "\n".join(rows)))
    rows[76_543] = "0,up,1,0,0,0,"  # too many here and too few there
    rows[80_000] = "0,up,1,0,0"
    with pytest.raises(ValueError, match="line 76545 has 7 fields"):
        read_log(write(tmp_path, HEADER + "\n".join(rows)))


@pytest.mark.parametrize("name", ["Terminated", "is_done", "terminations", "Truncated", "timeout"])
def test_no_column_about_ends_is_passed_over(name):
    frame = pd.DataFrame(
        {"state": ["a", "a"], "action": "x", "reward": [0, 1], "next_state": ["a", "end"], name: [0, 1]}
    )
    ours = "truncated" if name in ("Truncated", "timeout") else "terminated"
    with pytest.raises(ValueError, match=f"has a column '{name}'"):
        read_log(frame)
    assert read_log(frame, columns={ours: name})[ours].values.tolist() == [False, True]
    assert not read_log(frame, columns={ours: None})[ours].any()


def test_rows_in_no_order_say_nothing_of_where_episodes_start():
    frame = pd.DataFrame(
        {"state": ["a", "c", "a", "b"], "action": "x", "reward": 0, "next_state": ["b", "end", "b", "c"]}
    ).assign(terminated=[False, True, False, False])
    log = read_log(frame, gaps="allow")
    assert log.attrs["ordered"] == 0
    assert not log["truncated"].any()
    assert mdp_from_log(log, discount=0.9).initial.tolist() == [0.5, 0.25, 0.25, 0]
    assert mdp_from_log(log, discount=0.9, initial="a").initial.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("distinct", [False, True])
def test_a_cost_out_of_range_is_told_beside_the_range_of_costs(tmp_path, distinct):
    path = write(tmp_path, "state,action,price,next_state\n1,a,2,1\n1,a,5,1\n")
    told = (
        r"line 3: cost is '5', outside \[0, 3\], for rewards, the costs with a minus, are to be in \[-3, 0\]; correct"
    )
    with pytest.raises(ValueError, match=told):
        read_log(path, cost="price", reward_range=(-3, 0), distinct=distinct)


def test_an_empty_field_is_a_row_of_one_column(tmp_path):
    from bayesmdp.logs.log_sources import open_table

    table = open_table(write(tmp_path, 'state\na\n""\n\n  \n"b\n\n c"\n""\n'), None, "utf-8", ".")
    assert table.read({"state": 0})["state"].astype(object).where(lambda each: each.notna(), None).tolist() == [
        "a",
        None,
        "b\n\n c",
        None,
    ]
    assert [table.place(row) for row in range(4)] == ["line 2", "line 3", "line 6", "line 9"]
