"""What means the same is read alike: from any source, row by row or grouped in the scan, by the same words."""

import datetime
import gc
import os
import re
import threading
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

import bayesmdp as bm
from bayesmdp.logs import text_files
from bayesmdp.logs.log import counts_of
from tests.logs.test_read_log import HEADER, write

FOUR = "state,action,reward,next_state\n"


def told(source: Any, **options: Any) -> list[Any]:
    """What row-by-row reading says, and grouping: labels, steps, ends, what is known of starts; or the complaint."""
    said: list[Any] = []
    for distinct in (False, True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                log = bm.read_log(source, distinct=distinct, **options)
            except (ValueError, TypeError) as error:
                said.append(f"{type(error).__name__}: {error}")
                continue
        count = counts_of(log)
        starts = log["begins"].values if distinct else np.append(True, (log["terminated"] | log["truncated"])[:-1])
        totals = {name: (count * log[name]).sum().item() for name in ("reward", "terminated", "truncated")}
        begun = sorted(zip(log["state"].values[starts].tolist(), count[starts].tolist(), strict=True))
        by_state = {state: sum(number for each, number in begun if each == state) for state, _ in begun}
        said.append((log.attrs, totals, count.sum(), by_state, [str(each.message) for each in caught]))
    return said


def alike(source: Any, **options: Any) -> Any:
    one_by_one, grouped = told(source, **options)
    assert one_by_one == grouped
    return one_by_one


SPELLINGS = {
    "decimals": (FOUR + "1.0,a,1,2.00\n2.0,a,1,1.\n1.0,a,1,2.0\n", [1, 2]),
    "decimal zeros": (FOUR + "1.0,a,1,-0.0\n0.0,a,1,1.0\n5.0,a,1,2.0\n", [0, 1, 2, 5]),
    "a gap between decimals": (FOUR + "1.0,a,1,2.0\n-0.0,a,1,1.0\n", [0, 1, 2]),
    "separators of files, records and units": (FOUR + "a,x,1,b\x1c\nb\x1f,x,1,\x1da\n", ["a", "b"]),
    "marks about a part of a name": (FOUR + '"a"b,x,1,c""d\nc""d,x,1,"a"b\n', ["ab", 'c""d']),
    "blanks of other scripts": (FOUR + "a,x,1,b\u00a0\n\u3000b,x,1,a\n", ["a", "b"]),
    "a header of two lines": ('state,action,reward,next_state,"a\nnote"\na,x,1,b,\nb,x,1,a,\n', ["a", "b"]),
    "64 bits": (FOUR + f"{2**63 - 1},x,1,{-(2**63)}\n{-(2**63)},x,1,{2**63 - 1}\n", [-(2**63), 2**63 - 1]),
    "more than 64 bits": (FOUR + f"{2**63},x,1,1\n1,x,1,{2**63}\n", ["1", str(2**63)]),
    "a note that tells of ends, beside blanks": (
        HEADER[:-10] + "x\n" + "a,x,1,b,0,0\nb ,x,1,c,0,1\na,x,1,b,0,0\n",
        ["a", "b", "c"],
    ),
}


@pytest.mark.parametrize(("text", "states"), SPELLINGS.values(), ids=SPELLINGS)
def test_labels_that_mean_the_same_are_the_same(text, states, tmp_path):
    attrs, *_ = alike(write(tmp_path, text))
    assert attrs["states"] == states


def test_declared_names_that_look_like_decimals_stay_apart(tmp_path):
    path = write(tmp_path, FOUR + "1.0,a,1,1.00\n1.00,a,1,1.0\n1.00,a,1,1.0\n")
    attrs, _, _, starts, said = alike(path, states=["1.0", "1.00"])
    assert attrs["states"] == ["1.0", "1.00"] and len(said) == 1 and starts == {"1.0": 1, "1.00": 1}


@pytest.mark.parametrize("separator", ["§", " ", "\0", "\t"])
def test_any_character_parts_fields(separator, tmp_path):
    path = write(tmp_path, (FOUR + "a,x,1,b\nb,x,1,a\n").replace(",", separator))
    assert alike(path, separator=separator)[0]["states"] == ["a", "b"]


def test_a_field_too_many_at_the_end_is_none_too_few(tmp_path):
    path = write(tmp_path, (HEADER + "a,x,1,b,0,0\nb,x,1,a,0,0,\n").replace(",", "\t"), "log.tsv")
    assert "line 3 has 7 fields where the header has 6" in alike(path)


def test_a_line_may_end_with_a_carriage_return_alone(tmp_path):
    assert "line 2 has 1 field where the header has 4: 'a'" in alike(write(tmp_path, FOUR + "a\rb,x,1,c\n"))
    assert alike(write(tmp_path, (FOUR + "a,x,1,b\nb,x,1,a\n").replace("\n", "\r")))[0]["states"] == ["a", "b"]


@pytest.mark.parametrize("encoding", ["base64", "rot13", "hex", "a\0b"])
def test_what_is_no_encoding_of_text_is_refused(encoding, tmp_path):
    assert "is not known; it may be 'utf-8'" in alike(write(tmp_path, FOUR + "a,x,1,b\n"), encoding=encoding)


def frame(**changes: Any) -> pl.DataFrame:
    columns = {"state": [1, 2, 7], "action": ["a", "b", "b"], "reward": [1.0, 2.0, -0.0], "next_state": [2, 5, 1]}
    return pl.DataFrame(columns | changes)


FRAMES = {
    "words of truth": (
        frame(state=[True, False, False], next_state=["False", "False", "end"]),
        ["False", "True", "end"],
    ),
    "floats": (frame(state=[1.0, 2.0, 7.0]), [1, 2, 5, 7]),
    "a float beside a whole number": (
        frame(state=[1.0, 2.0**53 - 1, 3.0], next_state=[2**53, 3, 1]),
        [1, 3, 2**53 - 1, 2**53],
    ),
    "128 bits": (frame(state=pl.Series([1, 2, 7], dtype=pl.Int128)), [1, 2, 5, 7]),
    "decimals": (frame(state=pl.Series([1, 2, 7], dtype=pl.Decimal(9, 2))), [1, 2, 5, 7]),
    "no sign": (frame(state=pl.Series([1, 2**63, 7], dtype=pl.UInt64), next_state=[7, 7, 1]), [1, 7, 2**63]),
    "lists beside": (frame(note=[[1], [2], []]), [1, 2, 5, 7]),
    "words of truth in many ways": (
        frame(state=[1] * 3, next_state=[2] * 3, truncated=["TRUE", "true", "True"]),
        [1, 2],
    ),
}


@pytest.mark.parametrize(("source", "states"), FRAMES.values(), ids=FRAMES)
def test_types_do_not_matter(source, states):
    assert alike(source)[0]["states"] == states


REFUSED = {
    "a float that may be another": (
        frame(state=[1.0, 2.0**53, 7.0]),
        {},
        r"row 1: state is 9007199254740992.0, a float",
    ),
    "128 bits, one missing": (frame(state=pl.Series([1, None, 7], dtype=pl.Int128)), {}, "row 1: state is missing"),
    "lists as rewards": (frame(reward=[[1.0], [2.0], [0.0]]), {}, "reward holds a list; give each step a number"),
    "lists as ends": (frame(terminated=[[0], [1], [0]]), {}, r"row 0: terminated is \[0\]; write true or false"),
    "lists as states": (frame(state=[[1], None, [1]]), {}, "state holds a list; a label is"),
    "objects as states": (frame(state=[{"a": 1}] * 3), {}, "state holds a dict; a label is"),
    "lists as episodes": (frame(visit=[[1]] * 3), {"episode": "visit"}, "visit holds a list; an episode is told by"),
    "two columns of a name": (
        pa.table([[1], ["a"], [1], [2], [3]], names=["state", "action", "reward", "next_state", "state"]),
        {},
        "the Table has a column more than once: .* rename all but one",
    ),
    "nothing followed": (
        frame(visit=[1, 2, 3]).drop("next_state"),
        {"episode": "visit"},
        "tells of none of its 3 rows what followed: .* columns={'next_state': None}",
    ),
}


@pytest.mark.parametrize(("source", "options", "complaint"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_log_is_refused_in_our_words(source, options, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        bm.read_log(source, **options)
    alike(source, **options)


def test_files_whose_names_look_like_patterns(tmp_path):
    frame().write_parquet(tmp_path / "log[1].parquet")
    frame().write_ipc(tmp_path / "log[1].arrow")
    frame().write_ndjson(tmp_path / "log[1].jsonl")
    frame().write_csv(tmp_path / "log[1].csv")
    for path in sorted(tmp_path.iterdir()):
        assert alike(path)[0]["states"] == [1, 2, 5, 7]


def test_blank_lines_among_json_are_no_rows(tmp_path):
    frame().write_ndjson(tmp_path / "log.jsonl")
    plain = alike(tmp_path / "log.jsonl")
    assert "next_state is 5, but the next row's state is 7" in plain[-1][0]
    lines = (tmp_path / "log.jsonl").read_text().replace("\n", "\n\n")
    (tmp_path / "log.jsonl").write_text("\n \n" + lines)
    assert alike(tmp_path / "log.jsonl") == plain


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_two_columns_of_a_name_in_a_file(form, tmp_path, capfd):
    doubled = pa.table([[1], ["a"], [1], [2], [3]], names=["state", "action", "reward", "next_state", "state"])
    path = tmp_path / f"log.{form}"
    if form == "parquet":
        parquet.write_table(doubled, path)
    else:
        with pa.ipc.new_file(str(path), doubled.schema) as file:
            file.write_table(doubled)
    with pytest.raises(ValueError, match=r"has a column more than once|its parts do not fit each other"):
        bm.read_log(path)
    assert capfd.readouterr().err == ""


def test_categories_in_an_order_that_other_files_have_not(tmp_path):
    table = frame().to_pandas().astype({"state": pd.CategoricalDtype([7, 2, 1], ordered=True)})
    names = table.assign(state=pd.Categorical(list("cab"), list("cab"), ordered=True), next_state=list("abc"))
    for n, each in enumerate((names, names.assign(state=pd.Categorical(list("xab"), list("xab"), ordered=True)))):
        each.to_parquet(tmp_path / f"{n}.parquet")
    assert alike(tmp_path, gaps="allow")[0]["states"] == ["a", "b", "c", "x"]
    names.iloc[:0].to_parquet(tmp_path / "empty.parquet")
    assert "has a header but no rows" in alike(tmp_path / "empty.parquet")


def visits(**changes: Any) -> dict[str, list[Any]]:
    """Two visits of one patient, who is then well; two of another, and one of a third."""
    columns = {
        "who": [0, 0, 0, 1, 1, 2],
        "when": [0, 1, 2, 0, 1, 0],
        "state": [1, 2, 3, 1, 2, 1],
        "action": list("ababab"),
        "reward": [1.0, 2, 3, 4, 5, 6],
        "terminated": [False, False, True, False, False, False],
        **changes,
    }
    return {name: values for name, values in columns.items() if values is not None}


def of_visits(rows: dict[str, list[Any]], folder: Path, **options: Any) -> Any:
    """What pandas, Polars, Parquet and a text file say, which is the same."""
    table, typed = pd.DataFrame(rows), pl.DataFrame(rows)
    table.to_csv(folder / "log.csv", index=False)
    typed.write_parquet(folder / "log.parquet")
    said = [alike(each, **options) for each in (table, typed, folder / "log.parquet", folder / "log.csv")]
    if isinstance(said[0], str):
        return said
    assert all(each[1:-1] == said[0][1:-1] and each[0]["states"] == said[0][0]["states"] for each in said)
    return said[0]


EPISODES = {
    "floats": (visits(state=[1.0, 2, 3, 1, 2, 1]), ["1", "2", "3", "end"]),
    "words of truth": (visits(state=[True, False, True, True, False, True]), ["False", "True", "end"]),
    "versions": (visits(state=["v1.0", "v1", "v3", "v1", "v2", "v1"]), ["end", "v1", "v1.0", "v2", "v3"]),
    "floats without ends": (visits(state=[1.0, 2, 3, 1, 2, 1], terminated=None), [1, 2, 3]),
    "ends as words": (visits(terminated=["no", "no", " Yes", "n", "0", "0.0"]), ["1", "2", "3", "end"]),
    "ends twice": (visits(truncated=[False, False, True, False, True, True]), ["1", "2", "3", "end"]),
}


@pytest.mark.parametrize(("columns", "states"), EPISODES.values(), ids=EPISODES)
def test_episodes_are_alike_in_every_source(columns, states, tmp_path):
    attrs, totals, count, starts, _ = of_visits(columns, tmp_path, episode="who", step="when")
    assert attrs["states"] == states
    assert count + attrs["dropped"] == 6
    assert count == (3 if "terminated" not in columns else 4) and sum(starts.values()) == 2
    assert totals["truncated"] == (2 if "terminated" not in columns else 1)


REFUSED_EPISODES = {
    "an end that is missing in a last row": (
        visits(terminated=["0", "0", "1", "0", "0", None]),
        "terminated is missing",
    ),
    "an odd end in a last row": (visits(terminated=["0", "0", "1", "0", "0", "maybe"]), "terminated is 'maybe'; write"),
    "an odd cut in a last row": (visits(truncated=["0", "0", "1", "0", "0", "cut"]), "truncated is 'cut'; write true"),
    "a step that is no number": (visits(when=[0.0, 1, 2, 0, 1, float("nan")]), "when is missing, or cannot be read"),
    "an episode that is no number": (visits(who=[0.0, 0, 0, 1, 1, float("nan")]), "who is missing, or cannot be read"),
    "a state that is no number": (visits(state=[1.0, 2, 3, 1, float("nan"), 1]), "state is missing"),
    "levels": (visits(state=[1.0, 2, 3, 1.5, 2, 1]), r"state is '?1\.[05]'?, where labels are whole numbers"),
}


@pytest.mark.parametrize(("columns", "complaint"), REFUSED_EPISODES.values(), ids=REFUSED_EPISODES)
def test_odd_episodes_are_refused_by_every_source(columns, complaint, tmp_path):
    for said in of_visits(columns, tmp_path, episode="who", step="when"):
        assert re.search(complaint, said), said


def test_days_as_states_of_episodes_are_no_labels(tmp_path):
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(n) for n in visits()["state"]]
    for source in (pd.DataFrame(visits(state=days)), pl.DataFrame(visits(state=days))):
        assert "state is datetime.date(2024, 1, 2), where labels" in alike(source, episode="who", step="when")


BANDITS = {
    "floats": ([1.0, 2.0, 1.0], ["1", "2", "end"]),
    "words of truth": ([True, False, True], ["False", "True", "end"]),
    "text": (["v1.0", "v1", "v1"], ["end", "v1", "v1.0"]),
    "a number that is none": ([1.0, float("nan"), 1.0], "state is missing"),
    "levels": ([0.5, 1.0, 2.0], "0.5"),
}


@pytest.mark.parametrize(("states", "expected"), BANDITS.values(), ids=BANDITS)
def test_bandits_are_alike_in_every_source(states, expected, tmp_path):
    columns = {"state": states, "action": ["a", "b", "a"], "reward": [1.0, 2.0, 3.0]}
    said = of_visits(columns, tmp_path, columns={"next_state": None})
    if isinstance(expected, str):
        assert all(expected in each for each in said)
    else:
        assert said[0]["states"] == expected and said[2] == 3


def partitions(table: pd.DataFrame, cuts: tuple[int, ...] = (0, 1, 1, 3, 6)) -> Any:
    import dask
    import dask.dataframe as dd

    parts = [table.iloc[begin:end] for begin, end in pairwise(cuts)]
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_map(lambda n: parts[n], range(len(parts)), meta=table.iloc[:0])


def steps(**changes: Any) -> pd.DataFrame:
    columns = {"state": list("abcabc"), "action": list("xyxyxy"), "reward": range(6), "next_state": list("bcabcz")}
    return pd.DataFrame({**columns, **{name: pd.Series(values, dtype=object) for name, values in changes.items()}})


MIXED = {
    "what is left out": steps(note=[None, None, None, "u", "v", 1.5]),
    "what is left out, beside a gap": steps(state=["a", "b", "c", "x", "b", "c"], note=[True, "no", 0, [1], {}, None]),
    "labels": steps(state=[1, "b", "c", 1, "b", "c"]),
    "labels by partition": steps(state=[1, 2, 3, "a", "b", "c"]),
    "labels that are missing": steps(state=[None, "b", "c", "a", "b", "c"]),
    "words of truth beside text": steps(
        state=[True, False, True, True, False, True], next_state=["False", "True", "True", "False", "True", "end"]
    ),
    "ends": steps(terminated=[False, "false", 0, "0", False, True]),
    "ends by partition": steps(terminated=["no", "no", "no", 0, 0, 1]),
    "ends that are missing": steps(terminated=[None, False, False, False, False, True]),
    "rewards": steps(reward=[1, "2", 3.5, 4, 5, 6]),
    "rewards that are missing": steps(reward=[1, "2", 3.5, None, 5, 6]),
    "objects": steps(state=[{"a": 1}] * 6),
    "lists left out, beside a gap": steps(state=["a", "b", "c", "x", "b", "c"], note=[[1]] * 6),
}


@pytest.mark.parametrize("table", MIXED.values(), ids=MIXED)
def test_partitions_of_any_types_say_what_their_rows_say(table):
    def named(said: Any) -> str:
        return str(said).replace("the Dask DataFrame", "the DataFrame")

    assert named(alike(partitions(table))) == named(alike(table))


def in_order(labels: str, order: str) -> pd.Categorical:
    return pd.Categorical(list(labels), categories=list(order), ordered=True)


NUMBERS = {"state": [1, 2, 3], "next_state": [2, 3, 1]}
EPISODE = {"walk": [1, 1, 1], "at": [0, 1, 2]}
OTHER_TYPES = {
    "widths of whole numbers": [dict(NUMBERS, state=np.int32([1, 2, 3])), NUMBERS],
    "without a sign": [dict(NUMBERS, state=np.uint64([1, 2, 3])), NUMBERS],
    "widths of numbers": [dict(NUMBERS, state=np.float32([1, 2, 3])), dict(NUMBERS, state=[1.0, 2.0, 3.0])],
    "beyond 64 bits": [dict(NUMBERS, state=pd.Series([2**70, 2, 3], dtype=object))] * 2,
    "categories": [{"state": pd.Categorical(list("abc"))}, {"state": pd.Categorical(list("abd"))}],
    "categories of two kinds": [
        dict(NUMBERS, state=pd.Categorical([1, 2, 3])),
        dict(NUMBERS, state=pd.Categorical(["1", "2", "3"])),
    ],
    "several orders": [{"state": in_order("abc", "cba")}, {"state": in_order("abc", "abc")}],
    "one order": [{name: in_order(labels, "cba") for name, labels in (("state", "abc"), ("next_state", "bca"))}] * 2,
    "an order that lacks one": [{"state": in_order("abc", "cba")}, {"state": in_order("bab", "ba")}],
    "episodes of several orders": [
        EPISODE | {"state": in_order("abc", "cba")},
        EPISODE | {"walk": [2, 2, 2], "state": in_order("abc", "abc")},
    ],
}


@pytest.mark.parametrize("parts", OTHER_TYPES.values(), ids=OTHER_TYPES)
def test_partitions_need_not_have_the_types_of_others(parts):
    """What they say together is what one frame says that pandas makes of them."""
    import dask
    import dask.dataframe as dd

    frames = [pd.DataFrame(steps().iloc[:3].to_dict("list") | part) for part in parts]
    with dask.config.set({"dataframe.convert-string": False}):
        source = dd.from_map(lambda n: frames[n], range(len(frames)), meta=frames[0].iloc[:0])
    options = {"episode": "walk", "step": "at"} if "walk" in parts[0] else {}
    said = [alike(each, **options) for each in (pd.concat(frames, ignore_index=True), source)]
    assert str(said[0]) == str(said[1]).replace("the Dask DataFrame", "the DataFrame")


def test_files_that_were_written_for_a_reading_are_gone_and_so_is_the_variable(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    before = dict(os.environ)
    path = write(tmp_path, (FOUR + '"a", x,1,b\n\nb,x,1,"a"\n').encode("utf-16"))
    bad = write(tmp_path, (FOUR + "a,x,1\n").encode("utf-16"), "bad.csv")
    for distinct in (False, True):
        bm.read_log(path, encoding="utf-16", distinct=distinct)
        assert not list((tmp_path / "scratch").iterdir())
        with pytest.raises(ValueError, match="line 2 has 3 fields") as refused:
            bm.read_log(bad, encoding="utf-16", distinct=distinct)
        del refused
        gc.collect()  # what was raised holds on to frames
        assert not list((tmp_path / "scratch").iterdir())
    assert dict(os.environ) == before


def test_logs_are_read_by_several_threads_at_once(tmp_path):
    before, logs = dict(os.environ), []
    path = write(tmp_path, FOUR + "a,x,1,b\nb,x,1,a\n" * 500)

    def read() -> None:
        logs.extend(bm.read_log(path, distinct=True)["count"].values.tolist() for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(logs) == 20 and all(sum(each) == 1_000 for each in logs)
    assert dict(os.environ) == before


def test_covariates_of_digits_are_names_where_columns_have_types_and_numbers_in_a_text_file(tmp_path):
    table = frame(ward=["5", "06", "5"], age=["1,5", "2", "1,5"], old=[True, False, True])
    covariates = ["ward", "age", "old"]
    for source in (table, table.to_pandas(), table.to_pandas().astype(object), table.to_arrow()):
        for distinct in (False, True):
            log = bm.read_log(source, covariates=covariates, gaps="allow", distinct=distinct, decimal=",")
            assert log["ward"].attrs["labels"] == ["06", "5"] and log["age"].attrs["labels"] == ["1,5", "2"]
            assert sorted(log["old"].values.tolist()) == [0, 1, 1]
    table.with_columns(pl.lit(1).alias("reward")).write_csv(tmp_path / "log.csv")
    for distinct in (False, True):
        log = bm.read_log(tmp_path / "log.csv", covariates=covariates, gaps="allow", distinct=distinct, decimal=",")
        assert sorted(log["age"].values.tolist()) == [1.5, 1.5, 2.0] and sorted(log["ward"].values.tolist()) == [
            5,
            5,
            6,
        ]
        assert sorted(log["old"].values.tolist()) == [0, 1, 1]


@pytest.mark.parametrize("distinct", [False, True])
def test_no_row_is_lost_on_the_way(distinct, tmp_path, monkeypatch):
    """A scanner that finds other rows than were counted in the file is not believed."""
    scannable = text_files.TextFile.scannable
    monkeypatch.setattr(text_files.TextFile, "scannable", lambda text: (*scannable(text)[:3], 3))
    path = write(tmp_path, FOUR + "a,x,1,b\nb,x,1,a\n")
    with pytest.raises(ValueError, match=r"log.csv cannot be read: 2 of 3 rows could be read; read it with pandas"):
        bm.read_log(path, distinct=distinct)


def test_partitions_of_one_row_are_read_backwards_too():
    apart = steps(next_state=list("uvwxyz"))
    newest_first = steps().iloc[:5].iloc[::-1].reset_index(drop=True)
    for table, expected in ((apart, False), (newest_first, True)):
        for source in (table, partitions(table, tuple(range(len(table) + 1)))):
            assert ("are rows in reverse order?" in alike(source)[-1][0]) == expected
