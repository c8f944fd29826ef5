"""Whether to merge or split states: the odds by brute force, and a clinic whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import gammaln, logsumexp

from bayesmdp.environments import clinic_visits
from bayesmdp.logs.measured_states import states
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline.check_log import check_log
from bayesmdp.offline.judge_states import judge_states
from bayesmdp.posterior.dirichlet_evidence import WEIGHTS

COLUMNS = {"action": "treatment", "reward": "well"}


def read(frame: pd.DataFrame, *state: str) -> xr.Dataset:
    return read_log(frame, columns=COLUMNS, state=list(state), end_column="ended")


def change(judged: xr.Dataset, first: str, second: str) -> xr.Dataset:
    own = (judged["first"].values == first) & (judged["second"].values == second)
    assert own.sum() == 1
    return judged.isel(change=int(np.argmax(own)))


def log_evidence(rows: pd.DataFrame, by: list[str], showed: str) -> float:
    """Of outcomes in rows, averaged over weights; the prior is uniform over what a group of `showed` showed."""
    totals = []
    kinds = rows.groupby(showed)["outcome"].nunique()
    for weight in WEIGHTS:
        total = 0.0
        for _, own in rows.groupby(by):
            each = weight / kinds[own[showed].iloc[0]]
            counts = own["outcome"].value_counts().to_numpy()
            total += gammaln(weight) - gammaln(weight + len(own)) + (gammaln(each + counts) - gammaln(each)).sum()
        totals.append(total)
    return float(logsumexp(totals) - np.log(len(WEIGHTS)))


def test_log_odds_are_those_of_brute_force() -> None:
    visits = clinic_visits(40, seed=2)
    judged = judge_states(read(visits, "age:cutoffs(40,65)", "lactate:cutoffs(2,4)"))

    def band(column: str, cuts: list[float], frame: pd.DataFrame) -> pd.Series:
        level = pd.cut(frame[column], [-np.inf, *cuts, np.inf], right=False, labels=False)
        return level.fillna(-1).astype(int).astype(str)

    # Ages of 40 and more are one; after the step they are one too.
    then = visits[["next_age", "next_lactate"]].set_axis(["age", "lactate"], axis=1)
    merged = [band("age", [40], frame) + " " + band("lactate", [2, 4], frame) for frame in (visits, then)]
    rows = pd.DataFrame(
        {
            "pair": merged[0] + visits["treatment"],
            "older": visits["age"] >= 65,
            "outcome": merged[1] + visits["ended"] + visits["well"].astype(str),
        }
    )[visits["age"] >= 40]
    expected = log_evidence(rows, ["pair"], "pair") - log_evidence(rows, ["pair", "older"], "pair")
    found = change(judged, "age 40 to <65", "age >=65")
    assert float(found["log_odds"]) == pytest.approx(expected, abs=1e-9)
    assert int(found["steps"]) == len(rows)


def test_what_makes_no_difference_may_be_merged_and_what_does_may_not() -> None:
    visits = clinic_visits(1_500, seed=0)
    log = read(visits, "age:cutoffs(40,65)", "lactate:cutoffs(2,3,4)")
    judged = judge_states(log, visits)
    verdicts = {
        ("age <40", "age 40 to <65"): "favoured",
        ("age 40 to <65", "age >=65"): "against",
        ("lactate <2", "lactate 2 to <3"): "against",
        ("lactate 2 to <3", "lactate 3 to <4"): "favoured",
        ("lactate 3 to <4", "lactate >=4"): "against",
    }
    assert {pair: str(change(judged, *pair)["verdict"].values) for pair in verdicts} == verdicts
    assert (np.diff(judged["log_odds"]) <= 0).all() and judged.attrs["asked"] == judged.sizes["change"]
    assert not (judged.isel(change=judged["kind"].values == "split")["verdict"] == "favoured").any()


def test_a_level_that_hides_a_difference_may_be_split() -> None:
    visits = clinic_visits(1_500, seed=0)
    judged = judge_states(read(visits, "age:bins(18,90)", "lactate:cutoffs(2)"), visits)
    split = judged.isel(change=judged["kind"].values == "split")
    favoured = split["first"].values[split["verdict"].values == "favoured"].tolist()
    assert "lactate >=2" in favoured and "lactate <2" not in favoured


def test_how_an_episode_ends_is_told_apart() -> None:
    # Who is young gets well, who is old dies: that is all that tells them apart.
    frame = pd.DataFrame({"age": [30, 70] * 20, "next_age": None, "action": "wait", "reward": 0.0, "terminated": True})
    frame["how"] = ["well", "died"] * 20
    judged = judge_states(read_log(frame, state="age:cutoffs(65)", end_column="how"))
    assert judged["verdict"].values.tolist() == ["against"]
    judged = judge_states(
        read_log(frame.assign(how=["well", "well", "died", "died"] * 10), state="age:cutoffs(65)", end_column="how")
    )
    assert judged["log_odds"].values[0] > 0


def test_what_is_missing_may_be_any_level() -> None:
    level = [0, 1, 2, None] * 20
    frame = pd.DataFrame({"x": level, "next_x": [*level[1:], 0], "action": "wait", "reward": 0.0})
    judged = judge_states(read_log(frame, state="x:bins(0,1,2,3,missing=state)", gaps="allow"))
    asked = set(zip(judged["first"].values.tolist(), judged["second"].values.tolist(), strict=True))
    names = ["x 0 to <1", "x 1 to <2", "x 2 to 3", "x missing"]
    assert asked == {(names[0], names[1]), (names[1], names[2]), *((name, names[3]) for name in names[:3])}


def test_states_are_counted() -> None:
    visits = clinic_visits(30, seed=1)
    log = read(visits, "age:cutoffs(25,65)", "lactate:cutoffs(2,4)")
    labels = pd.Series(states(visits, ["age:cutoffs(25,65)", "lactate:cutoffs(2,4)"]).apply(visits))
    counts = labels.value_counts()
    # As few as that is not fewer.
    few = int(counts.sort_values().iloc[2])
    judged = judge_states(log, few=few)
    assert judged["visits"].to_series()[counts.index].tolist() == counts.tolist()
    rare = judged["state"].values[judged["rare"].values].tolist()
    assert sorted(rare) == sorted(counts.index[counts < few]) and rare
    assert judged.attrs["measured"] == len(counts)
    assert int(judged["visits"].sum()) == int(judged["entered"].sum()) == len(visits)
    assert judged["visits"].sel(state=["died", "well"]).values.tolist() == [0, 0]
    assert not judged["rare"].sel(state=["died", "well"]).any()
    assert judged["actions"].max() == 3


def test_counted_steps_count() -> None:
    """The same said of the rows and of their counts; beside a frame there are no rows to go through."""
    visits = clinic_visits(200, seed=3)
    spec = ["age:bins(18,40,65,90)", "lactate:cutoffs(2,4)"]
    log = read(visits, *spec)
    counted = read_log(visits, columns=COLUMNS, state=spec, end_column="ended", distinct=True)
    assert counted.sizes["step"] < log.sizes["step"]
    by_rows, by_counts = judge_states(log), judge_states(counted)
    for name in ("visits", "entered", "rare"):
        order = by_counts.indexes["state"].get_indexer(by_rows["state"].values)
        np.testing.assert_array_equal(by_counts[name].values[order], by_rows[name].values)
    for first, second, odds in zip(*(by_rows[name].values for name in ("first", "second", "log_odds")), strict=True):
        assert abs(float(change(by_counts, first, second)["log_odds"].item()) - odds) < 1e-9
    with pytest.raises(ValueError, match="distinct=False"):
        judge_states(counted, visits)


def test_the_check_of_order_is_handed_on() -> None:
    # Where 2 to 4 and more than 4 are one, the step before tells which it is likely to be.
    visits = clinic_visits(1_500, seed=0)
    log = read(visits, "lactate:cutoffs(2)")
    checked = check_log(log)
    judged = judge_states(log, checked=checked)
    assert bool(checked["alarm"].sel(check="order")) and judged.attrs["markov_alarm"] == 1
    assert judged.attrs["markov"] == str(checked["found"].sel(check="order").values)
    assert judge_states(log).attrs["markov_alarm"] == 0


def test_refusals() -> None:
    visits = clinic_visits(30, seed=1)
    log = read(visits, "lactate:cutoffs(2,4)")
    with pytest.raises(ValueError, match="does not contain how its states were made"):
        judge_states(log.drop_attrs(deep=False).assign_attrs(states=log.attrs["states"], actions=log.attrs["actions"]))
    with pytest.raises(ValueError, match="do not match"):
        judge_states(log, visits.iloc[1:])
    with pytest.raises(ValueError, match="do not match"):
        judge_states(log, visits.assign(lactate=visits["lactate"].to_numpy()[::-1]))
    with pytest.raises(ValueError, match="not that of the log, which has no state 'age <65'"):
        judge_states(log, recoding=states(visits, "age:cutoffs(65)"))
    with pytest.raises(ValueError, match="few"):
        judge_states(log, few=0)


def test_measurements_may_have_a_decimal_comma():
    visits = clinic_visits(200, seed=0)
    log = read(visits, "age:bins(18,90)", "lactate:cutoffs(2)")
    comma = visits.assign(lactate=[str(value).replace(".", ",") for value in visits["lactate"]])
    assert judge_states(log, comma, decimal=",").identical(judge_states(log, visits))
    with pytest.raises(ValueError, match="rows of measurements do not match"):
        judge_states(log, comma)
