"""States of measurements as `read_log` makes them: the same from every source, ends apart, bad rows by their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesmdp.environments.measured_clinic import clinic_visits
from bayesmdp.logs.measured_states import Recoding, states
from bayesmdp.logs.read_log import read_log

COLUMNS = {"action": "treatment", "reward": "well"}
SPEC = ["age:cutoffs(40,65)", "lactate:quantiles(3)"]


@pytest.fixture(scope="module")
def visits() -> pd.DataFrame:
    return clinic_visits(60, seed=0)


def read(source: object, **options: object) -> xr.Dataset:
    return read_log(source, **({"columns": COLUMNS, "state": SPEC, "end_column": "ended"} | options))  # type: ignore[arg-type]


def test_states_are_those_of_the_recoding(visits: pd.DataFrame) -> None:
    log, recoding = read(visits), states(visits, SPEC)
    assert log["state"].values.tolist() == recoding.apply(visits).tolist()
    went_on = ~visits["terminated"]
    then = visits.loc[went_on, ["next_age", "next_lactate"]].set_axis(["age", "lactate"], axis=1)
    assert log["next_state"].values[went_on].tolist() == recoding.apply(then).tolist()
    assert log["next_state"].values[~went_on].tolist() == visits["ended"][~went_on].tolist()
    # In the order of their levels, ends last; nothing that does not occur.
    assert log.attrs["states"] == [*recoding.states, "died", "well"]
    assert Recoding.from_json(log.attrs["recoding"]) == recoding
    assert log.attrs["left_out"] == ["patient", "hour", "temperature", "next_temperature"]
    assert log.attrs["starts_known"] == 1


def test_files_and_frames_are_one_log(visits: pd.DataFrame, tmp_path: Path) -> None:
    log, sources = read(visits), [tmp_path / "v.csv", tmp_path / "v.tsv", tmp_path / "v.parquet"]
    visits.to_csv(sources[0], index=False)
    visits.to_csv(sources[1], index=False, sep="\t")
    visits.to_parquet(sources[2])
    for source in sources:
        other = read(source)
        assert {**other.attrs, "source": ""} == {**log.attrs, "source": ""}
        assert other.drop_attrs(deep=False).identical(log.drop_attrs(deep=False))
    visits.to_csv(tmp_path / "c.csv", index=False, sep=";", decimal=",")
    comma = read(tmp_path / "c.csv", separator=";", decimal=",")
    assert comma.drop_attrs(deep=False).identical(log.drop_attrs(deep=False))


def test_an_end_without_a_name_is_one_state(visits: pd.DataFrame) -> None:
    log = read(visits, end_column=None)
    assert log.attrs["states"][-1] == "end"
    assert ((log["next_state"] == "end") == log["terminated"]).all()
    # What is measured where an episode has ended is no state to act in.
    filled = visits.assign(next_lactate=visits["next_lactate"].fillna(1.0), next_age=visits["next_age"].fillna(99))
    assert read(filled, end_column=None).drop_attrs(deep=False).identical(log.drop_attrs(deep=False))


def test_a_settled_recoding_keeps_its_cuts(visits: pd.DataFrame) -> None:
    later = clinic_visits(40, seed=8)
    recoding = states(visits, SPEC)
    log = read(later, state=recoding)
    assert Recoding.from_json(log.attrs["recoding"]).parts == recoding.parts
    assert log["state"].values.tolist() == recoding.apply(later).tolist()


@pytest.mark.parametrize("named", ["{}_after", {"age": "age_after", "lactate": "lactate_after"}])
def test_what_followed_may_be_called_otherwise(visits: pd.DataFrame, named: str | dict[str, str]) -> None:
    renamed = visits.rename(columns={"next_age": "age_after", "next_lactate": "lactate_after"})
    log = read(renamed, next_columns=named)
    assert log.drop_attrs(deep=False).identical(read(visits).drop_attrs(deep=False))


def test_a_state_of_the_source_may_be_a_part(visits: pd.DataFrame) -> None:
    frame = visits.assign(state="here", next_state="here")
    log = read(frame, state=["state", "lactate:cutoffs(2)"], end_column=None)
    assert log.attrs["states"] == ["state here, lactate <2", "state here, lactate >=2", "end"]


def test_bad_rows_are_told_by_their_line(visits: pd.DataFrame, tmp_path: Path) -> None:
    end, path = int(np.argmax(visits["terminated"])), tmp_path / "v.csv"
    for row, column, value, told in (
        (3, "age", np.nan, "age is missing; give it a value"),
        (4, "lactate", "high", "lactate is 'high', which is no finite number"),
        (end + 1, "next_lactate", np.nan, "in what followed: lactate is missing"),
        (end, "ended", "", "how the episode ended is missing"),
        (end, "ended", "age <40, lactate <1.8", "which is a state that goes on"),
    ):
        wrong = visits.astype(object)
        wrong.loc[row, column] = value
        wrong.to_csv(path, index=False)
        state = ["age:cutoffs(40,65)", "lactate:cutoffs(1.8)"]
        with pytest.raises(ValueError, match=rf"the DataFrame row {row}(:|, ).*{told}"):
            read(wrong, state=state)
        with pytest.raises(ValueError, match=rf"v.csv line {row + 2}(:|, ).*{told}"):
            read(path, state=state)


def test_refusals_of_columns(visits: pd.DataFrame) -> None:
    for options, told in (
        ({"state": "lactat:cutoffs(2)"}, "has no column 'lactat' to make states of; did you mean 'lactate'"),
        ({"end_column": "end"}, "has no column 'end'"),
        ({"next_columns": "after"}, "by a pattern such as"),
        ({"next_columns": "{}"}, "by a pattern such as"),
        ({"next_columns": "{}_later"}, "has no column 'age_later' for 'age' after the step"),
        ({"next_columns": {"ages": "next_age"}}, "names 'ages', of which no state is made; did you mean 'age'"),
        ({"next_columns": {"age": "none"}}, "has no column 'none' for 'age' after the step"),
        ({"state": None}, "end_column is about states that are made of measurements"),
        ({"state": None, "end_column": None, "next_columns": "{}_2"}, "next_columns is about states that are made"),
        ({"columns": COLUMNS | {"state": "age"}}, "columns says that 'state' is 'age', and state= makes states"),
        ({"columns": COLUMNS | {"next_state": "age"}}, "columns says that 'next_state' is 'age'"),
    ):
        with pytest.raises(ValueError, match=told):
            read(visits, **options)
    without = visits.drop(columns=["next_age", "next_lactate"])
    with pytest.raises(ValueError, match="no column 'next_state'"):
        read(without)
    with pytest.raises(ValueError, match="has next_state, but states are made of 'age', 'lactate': give what followed"):
        read(without.assign(next_state="x"))
    with pytest.raises(ValueError, match="has no column 'next_age' for 'age'"):
        read(visits.drop(columns="next_age"))
    with pytest.raises(ValueError, match="has a header but no rows"):
        read(visits.iloc[:0])
    with pytest.raises(ValueError, match="'lactate' more than once"):
        read(pd.concat([visits, visits[["lactate"]]], axis=1))
