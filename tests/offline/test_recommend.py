"""What a plan does with new rows: every row accounted for, from the report, the tree or the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.environments import clinic_visits
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.offline.recommend import STATUS, recommend
from bayesmdp.offline.recommend_states import _columns
from bayesmdp.offline.report import Report
from bayesmdp.results.files import write_tree
from tests.corridor import rooms_where

SPEC = ["age:bins(18,40,65,90)", "lactate:cutoffs(2,4)", "ward:categories(a,b)"]
QUICK = {"draws": 20, "calibration": 0}


@pytest.fixture(scope="module")
def report() -> Report:
    visits = clinic_visits(60, seed=0)
    visits["ward"] = np.where(visits["patient"] % 2, "a", "b")
    visits["next_ward"] = visits["ward"].where(~visits["terminated"])
    # In ward b nobody is younger than 40.
    visits = visits[~((visits["ward"] == "b") & (visits["age"] < 40))]
    columns = {"action": "treatment", "reward": "well"}
    return plan_log(bm.read_log(visits, columns=columns, state=SPEC, end_column="ended"), discount=0.9, **QUICK)


@pytest.fixture
def rows() -> pd.DataFrame:
    new = clinic_visits(8, seed=7)[["patient", "age", "lactate"]].assign(ward="a").head(12)
    new["lactate"] = new["lactate"].astype(object)
    new.loc[2, "lactate"], new.loc[3, "age"], new.loc[4, "ward"] = None, 95, "c"
    new.loc[5, "lactate"], new.loc[6, ["age", "ward"]] = "high", [30, "b"]
    return new.set_axis([f"r{i}" for i in range(12)])


def test_each_row_has_what_the_plan_does_in_its_state(report: Report, rows: pd.DataFrame) -> None:
    told, policy = recommend(report, rows), report.policy.to_dataframe()
    assert told.index.tolist() == rows.index.tolist()
    unknown = ["r2", "r3", "r4", "r5", "r6"]
    assert told.index[told["status"] == "unknown state"].tolist() == unknown
    assert told["why"][unknown].tolist() == [
        "lactate is missing",
        "age is 95, above 90, where the bins end",
        "ward is 'c', none of the 2 categories",
        "lactate is 'high', which is no finite number",
        "the state does not occur in the log",
    ]
    assert told["state"][unknown].tolist()[:4] == [""] * 4 and told["state"]["r6"].startswith("age 18 to <40, lactate")
    assert (told["action"][unknown] == "").all() and told["worth_quantile"][unknown].isna().all()
    assert told["visits"][unknown].tolist() == [0] * 5
    known = told.drop(index=unknown)
    assert (known["status"] == "recommended").all() and (known["why"] == "").all() and len(known) == 7
    recoding = bm.Recoding.from_json(report.tree.attrs["recoding"])
    assert known["state"].tolist() == recoding.apply(rows.drop(index=unknown)).tolist()
    for name in ("action", "visits", "tried", "promise", "worth_quantile", "worth_lower", "worth_upper"):
        assert known[name].tolist() == policy[name][known["state"]].tolist()
    assert told.attrs["level"] == report.policy.attrs["level"]


def test_report_tree_and_file_say_the_same(report: Report, rows: pd.DataFrame, tmp_path: Path) -> None:
    path, expected = tmp_path / "plan.nc", recommend(report, rows)
    write_tree(report.tree, path)
    for result in (report.tree, path, str(path)):
        pd.testing.assert_frame_equal(recommend(result, rows), expected)
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        pd.testing.assert_frame_equal(recommend(opened, rows), expected)
        assert bm.Recoding.from_json(opened.attrs["recoding"]).states == tuple(
            state for state in opened["policy"]["state"].values if state not in ("died", "well")
        )
    # As a text file would have them.
    pd.testing.assert_frame_equal(recommend(path, rows.astype(object).where(rows.notna(), "").astype(str)), expected)


def test_a_long_recoding_is_kept(report: Report, rows: pd.DataFrame, tmp_path: Path) -> None:
    tree = report.tree.copy()
    recoding = bm.Recoding.from_json(tree.attrs["recoding"])
    longer = bm.states(pd.DataFrame({"x": range(8_000)}), f"x:bins({','.join(map(str, range(8_001)))})")
    assert len(longer.to_json()) > 70_000  # beyond what HDF5 keeps of an attribute in place
    tree.attrs["recoding"] = longer.to_json()
    write_tree(tree, tmp_path / "plan.nc")
    with xr.open_datatree(tmp_path / "plan.nc", engine="h5netcdf") as opened:
        assert bm.Recoding.from_json(opened.attrs["recoding"]) == longer
    assert recommend(tree, rows, recoding=recoding)["status"].tolist() == recommend(report, rows)["status"].tolist()


def test_a_column_of_states_serves_too(report: Report, rows: pd.DataFrame) -> None:
    told = recommend(report, rows)
    again = recommend(report, told[["state"]])
    assert again["action"].tolist() == told["action"].tolist()
    assert again["why"].tolist()[2] == "state is missing"
    # Where both are there, the measurements count.
    both = recommend(report, rows.assign(state="nowhere"))
    assert both["action"].tolist() == told["action"].tolist()


@pytest.fixture(scope="module")
def numbered() -> Report:
    """A log of numbers: 0 and 1 are acted in, 2 is entered as the recording stops, 3 is the end."""
    steps = [(0, "go", 1), (1, "go", 0), (0, "stay", 0), (0, "go", 2), (0, "go", 1), (1, "stay", 3)] * 4
    frame = pd.DataFrame(steps, columns=["state", "action", "next_state"]).assign(reward=0.5)
    frame["terminated"], frame["truncated"] = frame["next_state"] == 3, frame["next_state"] == 2
    return plan_log(bm.read_log(frame), discount=0.9, **QUICK)


def test_labels_are_matched_as_the_reader_has_them(numbered: Report) -> None:
    written = [0, 1.0, "1", " 1 ", "1.0", np.int32(1), True, "01", 2, 3, 4, 0.5, None, "", "x"]
    told = recommend(numbered, pd.DataFrame({"state": pd.Series(written, dtype=object)}))
    expected = ["recommended"] * 6 + ["unknown state"] * 2 + ["never acted in", "terminal"] + ["unknown state"] * 5
    assert told["status"].tolist() == expected
    assert set(expected) <= set(STATUS)
    assert told["action"].iloc[6:].tolist() == [""] * 9
    assert (told["action"].iloc[:6] != "").all() and (told["visits"].iloc[:2] == [16, 8]).all()
    assert told["tried"].iloc[8] == told["visits"].iloc[8] == 0
    assert recommend(numbered, pd.DataFrame({"state": []})).empty


def test_blanks_about_a_label_are_as_the_log_has_them() -> None:
    steps = [(" a", "go", "b"), ("b", "go", " a")] * 5
    frame = pd.DataFrame(steps, columns=["state", "action", "next_state"]).assign(reward=0.5)
    log = bm.read_log(frame)
    assert log.attrs["states"] == [" a", "b"]
    told = recommend(plan_log(log, discount=0.9, **QUICK), pd.DataFrame({"state": [" a", "a", "b ", "b"]}))
    assert told["status"].tolist() == ["recommended", "unknown state", "recommended", "recommended"]
    assert told["state"].tolist() == [" a", "a", "b", "b"]


def test_a_recoding_that_cannot_be_read_is_told_with_its_file(
    report: Report, rows: pd.DataFrame, tmp_path: Path
) -> None:
    tree = report.tree.copy()
    tree.attrs["recoding"] = tree.attrs["recoding"].replace('"format": 1', '"format": 2')
    write_tree(tree, tmp_path / "plan.nc")
    with pytest.raises(ValueError, match=r"plan.nc does not contain how .* it has the format 2"):
        recommend(tmp_path / "plan.nc", rows)


def test_states_are_called_as_the_plan_has_them(numbered: Report) -> None:
    told = recommend(numbered, pd.DataFrame({"state": ["1.0", " 0", "7.0"]}))
    assert told["state"].tolist() == ["1", "0", "7.0"]


def test_a_column_that_is_there_twice_is_refused(numbered: Report) -> None:
    with pytest.raises(ValueError, match="more than one column 'state'"):
        recommend(numbered, pd.DataFrame([[0, 1]], columns=["state", "state"]))
    log = bm.collect(bm.environments.riverswim(3), policy="uniform", steps=100, seed=0)
    report = plan_log(log, horizon=2, baseline="none", **QUICK)
    with pytest.raises(ValueError, match="more than one column 'stage'"):
        recommend(report, pd.DataFrame([[0, 1, 1]], columns=["state", "stage", "stage"]))
    with pytest.raises(ValueError, match="stage must be an integer"):
        recommend(report, pd.DataFrame({"state": [0]}), stage=True)


def test_plans_by_stage() -> None:
    log = bm.collect(bm.environments.riverswim(3), policy="uniform", steps=400, seed=0)
    report = plan_log(log, horizon=3, baseline="none", **QUICK)
    rows = pd.DataFrame({"state": [0, 1, 2]})
    for stage in range(3):
        told = recommend(report, rows, stage=stage)
        expected = report.policy.isel(stage=stage)
        assert told["action"].tolist() == expected["action"].values.tolist()
        assert told["worth_quantile"].tolist() == expected["worth_quantile"].values.tolist()
    by_row = recommend(report, rows.assign(stage=[2, "0", 3]))
    assert by_row["status"].tolist() == ["recommended", "recommended", "unknown stage"]
    assert recommend(report, pd.DataFrame({"state": [9], "stage": [7]}))["status"].tolist() == ["unknown state"]
    assert by_row["worth_quantile"].iloc[0] == float(report.policy["worth_quantile"][2, 0])
    assert by_row["action"].iloc[2] == "" and np.isnan(by_row["worth_quantile"].iloc[2])
    for options, told_ in (
        ({}, "by stage: give the number"),
        ({"stage": 3}, "stages 0 to 2"),
        ({"stage": -1}, "0 to 2"),
    ):
        with pytest.raises(ValueError, match=told_):
            recommend(report, rows, **options)


def test_mixed_policies_tell_the_probability_of_each_action(numbered: Report) -> None:
    tree = numbered.tree.copy(deep=True)
    shares = np.array([[0.7, 0.3], [0.25, 0.75], [0.5, 0.5], [0.5, 0.5]])
    plan = tree["plan"].to_dataset().assign(probability=(("state", "action"), shares))
    policy = tree["policy"].to_dataset()
    action = np.where(policy["tried"] > 0, np.array(["go", "stay"])[shares.argmax(-1)], "")
    policy = policy.assign(action=("state", action), probability=("state", shares.max(-1)), mixes=("state", [True] * 4))
    tree["plan"], tree["policy"] = xr.DataTree(plan), xr.DataTree(policy)
    told = recommend(tree, pd.DataFrame({"state": [1, 0, 2, 9]}))
    assert told["probability"].tolist()[:2] == [0.75, 0.7]
    assert told["probability of go"].tolist()[:2] == [0.25, 0.7]
    assert told["probability of stay"].tolist()[:2] == [0.75, 0.3]
    assert told[["probability", "probability of go", "probability of stay"]].iloc[2:].isna().all(axis=None)


def test_states_of_an_estimator_need_their_recoding() -> None:
    mixture = pytest.importorskip("sklearn.mixture")
    visits, columns = clinic_visits(60, seed=0), ["age", "lactate"]
    recoding = bm.states(visits, (columns, mixture.GaussianMixture(3, random_state=0).fit(visits[columns])))
    names = {"action": "treatment", "reward": "well"}
    report = plan_log(bm.read_log(visits, columns=names, state=recoding, end_column="ended"), discount=0.9, **QUICK)
    with pytest.raises(ValueError, match="made from measurements, pass recoding=, which the plan does not contain"):
        recommend(report, visits)
    told = recommend(report, visits, recoding=recoding)
    assert told["state"].tolist() == recoding.apply(visits).tolist() and (told["status"] == "recommended").all()


def test_refusals(report: Report, rows: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="`bayesmdp plan` writes one"):
        recommend(tmp_path / "none.nc", rows)
    (tmp_path / "text.nc").write_text("no plan")
    with pytest.raises(ValueError, match="is not the file of a plan"):
        recommend(tmp_path / "text.nc", rows)
    with pytest.raises(ValueError, match="this DataTree was not written by `bayesmdp plan`"):
        recommend(xr.DataTree(), rows)
    with pytest.raises(TypeError, match="got int"):
        recommend(3, rows)  # type: ignore[arg-type] # what it is about
    with pytest.raises(TypeError, match="rows must be a DataFrame; got dict"):
        recommend(report, {"state": [1]})  # type: ignore[arg-type] # what it is about
    with pytest.raises(ValueError, match="need 'age', 'lactate', 'ward', or a column 'state'; 'ward' is missing"):
        recommend(report, rows.drop(columns="ward"))
    with pytest.raises(ValueError, match="the same at each step; leave stage out"):
        recommend(report, rows, stage=0)


def test_columns_of_numbers_go_by_their_names():
    rows = pd.DataFrame({"weather": [1.0], "name": ["x"], "level": [2.0]})
    assert _columns(rows, ["level", "weather"]).values.tolist() == [[2.0, 1.0]]


def test_plans_of_states_that_are_numbers_are_asked_row_by_row(tmp_path):
    # Careful steps lead on nearly always, and from the last room any bold one does.
    rooms = rooms_where([0.9, 0.3]).replace(terminal=lambda state: abs(state[..., 0] - 3.9) < 0.05)
    ways = bm.planning.FittedQ(places=64, samples=2, rollouts=bm.planning.Rollouts(number=100))
    plan = bm.solve(rooms, solver=ways, tolerance=0.5, strict=False)
    rows = pd.DataFrame({"place": [1.5, np.nan, 55.0, 4.5, 3.9]}, index=list("abcde"))
    told = bm.recommend(plan, rows, mdp=rooms)
    assert told["status"].tolist() == ["recommended", "not a number", "outside", "recommended", "terminal"]
    assert told["action"].tolist() == ["careful", "", "", "bold", ""] and told.index.tolist() == list("abcde")
    policy = bm.planning.fitted_policy(plan, rooms)
    apart = np.diff(np.sort(policy.q([[1.5], [4.5]]), -1)[:, -2:], axis=-1)[:, 0]
    np.testing.assert_allclose(told["margin"].iloc[[0, 3]], apart)
    assert (told["margin"].iloc[[0, 3]] > 0).all() and "outside the range" in told.loc["c", "why"]
    plan.to_netcdf(tmp_path / "plan.nc", engine="h5netcdf")
    again = xr.load_dataset(tmp_path / "plan.nc", engine="h5netcdf")
    pd.testing.assert_frame_equal(bm.recommend(again, rows.astype(str), mdp=rooms), told)
    with pytest.raises(ValueError, match="pass mdp, its problem"):
        bm.recommend(plan, rows)
    with pytest.raises(ValueError, match="2 columns, but the states of simulated have 1 coordinates"):
        bm.recommend(plan, rows.assign(more=1.0), mdp=rooms)
    with pytest.raises(ValueError, match="the plan is of another problem, 'simulated'"):
        bm.recommend(plan, rows, mdp=bm.environments.slippery_lake())
