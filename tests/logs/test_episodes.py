"""Rows of episodes: in whatever order they come, next states are those of the rows that follow."""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest

import bayesmdp as bm
from bayesmdp.logs.log import counts_of

COLUMNS = ["state", "action", "reward", "next_state", "terminated", "truncated"]


def visits(*, ends: bool = True, number: int = 40) -> pd.DataFrame:
    """Patients' visits, some of whom recover; written by a loop, as it happened."""
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(number):
        for visit in range(rng.integers(1, 6)):
            over = ends and rng.random() < 0.3
            rows.append((f"p{patient}", visit, rng.integers(4), rng.choice(["wait", "treat"]), rng.normal(), over))
            if over:
                break
    table = pd.DataFrame(rows, columns=["patient", "visit", "state", "action", "reward", "terminated"])
    return table if ends else table.drop(columns="terminated")


def expected(table: pd.DataFrame) -> list[tuple]:
    """What each row says, patient by patient, by a loop."""
    rows = []
    for _, own in table.groupby("patient", sort=False):
        own = own.sort_values("visit").to_dict("records")
        text = str if "terminated" in table else int
        for now, after in zip(own, [*own[1:], None], strict=True):
            over = now.get("terminated", False)
            if after is None and not over:
                if rows and own.index(now):
                    rows[-1] = (*rows[-1][:-1], True)
                continue
            next_state = "end" if over else text(after["state"])
            rows.append((text(now["state"]), now["action"], now["reward"], next_state, over, False))
    return rows


def sources(table: pd.DataFrame, folder: Path):
    table.to_csv(folder / "log.csv", index=False)
    frame = pl.DataFrame({name: table[name].to_list() for name in table})
    frame.write_parquet(folder / "log.parquet")
    parts = dd.from_pandas(table.reset_index(drop=True), npartitions=min(5, len(table)), sort=False)
    return [table, frame, folder / "log.csv", folder / "log.parquet", parts]


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("order", ["as it was", "mixed"])
def test_next_states_are_those_of_the_next_row(ends, order, tmp_path):
    table = visits(ends=ends)
    if order == "mixed":
        table = table.sample(frac=1, random_state=0).reset_index(drop=True)
    rows, first = expected(table), None
    for source in sources(table, tmp_path):
        log = bm.read_log(source, episode="patient", step="visit")
        told = list(zip(*(log[name].values.tolist() for name in COLUMNS), strict=True))
        assert told == rows
        assert log.attrs["dropped"] == len(table) - len(rows) and log.attrs["starts_known"]
        assert "left_out" not in log.attrs
        counted = bm.read_log(source, episode="patient", step="visit", distinct=True)
        assert counts_of(counted).sum() == len(rows)
        problems = [bm.mdp_from_log(each, discount=0.9) for each in (log, counted)]
        np.testing.assert_array_equal(*(problem.initial for problem in problems))
        first = first or counted
        for name in counted.data_vars:
            np.testing.assert_array_equal(counted[name], first[name])


def test_rows_with_next_states_are_only_put_in_order(tmp_path):
    log = bm.collect(bm.environments.frozen_lake(), steps=300, seed=0)
    table = log.to_dataframe()
    table["walk"] = np.append(0, (table["terminated"] | table["truncated"]).cumsum()[:-1])
    table["at"] = np.arange(300)
    mixed = pd.concat([own for _, own in table.sample(frac=1, random_state=0).groupby("walk")])
    for source in sources(mixed, tmp_path):
        with pytest.warns(UserWarning, match="between rows, first after"):
            bm.read_log(source)
        again = bm.read_log(source, episode="walk", step="at")
        for name in COLUMNS[:-1]:
            np.testing.assert_array_equal(again[name], log[name])
        cut = log["truncated"].values.copy()
        cut[-1] = not log["terminated"].values[-1]  # where the recording of the last walk stopped
        np.testing.assert_array_equal(again["truncated"], cut)


def walks() -> pd.DataFrame:
    """Thirty walks of up to five steps, with next states; some of the walkers stop of themselves."""
    rng, rows = np.random.default_rng(0), []
    for walk in range(30):
        state, number = int(rng.integers(3)), int(rng.integers(1, 6))
        for at in range(number):
            after = int(rng.integers(3))
            stops = at == number - 1 and rng.random() < 0.5
            rows.append((walk, at, state, rng.choice(["left", "right"]), float(after), after, int(stops)))
            state = after
    return pd.DataFrame(rows, columns=["walk", "at", "state", "action", "reward", "next_state", "happy"])


@pytest.mark.parametrize("distinct", [False, True])
def test_rows_with_next_states_are_cut_off_where_another_episode_follows(distinct, tmp_path):
    """Next states of last rows are not the next row's state: no gap if a column says that another episode begins."""
    table = walks().drop(columns="happy")
    first = table["at"].to_numpy() == 0
    last = np.append(first[1:], True)
    for source in sources(table.sample(frac=1, random_state=0), tmp_path):
        log = bm.read_log(source, episode="walk", step="at", distinct=distinct)
        assert log.attrs["starts_known"] and log.attrs["ordered"]
        initial = bm.mdp_from_log(log, discount=0.9).initial
        assert distinct or log["truncated"].values.sum() == last.sum()
        np.testing.assert_allclose(initial, np.bincount(table["state"][first], minlength=3) / first.sum(), rtol=1e-12)
    # A row that is missing within a walk is a gap still, and no start.
    within = (table["at"] == 2) & ~last & (table["state"] != table["next_state"])
    gone = int(np.flatnonzero(within)[0])
    for source in sources(table.drop(index=gone), tmp_path):
        with pytest.warns(UserWarning, match="a gap between rows, .* Are rows missing or out of order"):
            log = bm.read_log(source, episode="walk", step="at", distinct=distinct)
        assert not log.attrs["starts_known"]
        np.testing.assert_allclose(bm.mdp_from_log(log, discount=0.9).initial, initial, rtol=1e-12)


@pytest.mark.parametrize("distinct", [False, True])
def test_an_end_that_goes_by_another_name_is_not_taken_for_a_cut(distinct, tmp_path):
    told = r"'happy' that is true in the last row of episodes \(14 of 30 times, .*columns=\{'terminated': 'happy'\} if"
    for source in sources(walks(), tmp_path):
        with pytest.raises(ValueError, match=told):
            bm.read_log(source, episode="walk", step="at", distinct=distinct)
        waved = bm.read_log(source, episode="walk", step="at", distinct=distinct, columns={"terminated": None})
        assert waved.attrs["starts_known"] and waved.attrs["left_out"] == ["happy"]


@pytest.mark.parametrize("form", ["dates", "text", "hours", "nanoseconds"])
def test_steps_may_be_dates(form, tmp_path):
    table = visits()
    when = [datetime(2024, 3, 30, 23) + timedelta(hours=int(visit)) for visit in table["visit"]]
    forms = {
        "dates": when,
        "text": [each.isoformat() for each in when],
        "hours": table["visit"] * 0.5 - 3,
        "nanoseconds": 1_700_000_000_000_000_000 + table["visit"],
    }
    mixed = table.assign(visit=forms[form]).sample(frac=1, random_state=1)
    for source in sources(mixed, tmp_path):
        log = bm.read_log(source, episode="patient", step="visit")
        assert log["reward"].values.tolist() == [row[2] for row in expected(mixed)]


def test_states_of_measurements_follow_each_other_too(tmp_path):
    table = visits().assign(lactate=lambda frame: frame["state"] * 1.5).drop(columns="state")
    names = ["lactate <2", "lactate 2 to <4", "lactate >=4"]
    for source in sources(table.sample(frac=1, random_state=0), tmp_path):
        for distinct in (False, True):
            log = bm.read_log(source, state="lactate:cutoffs(2,4)", episode="patient", step="visit", distinct=distinct)
            assert log.attrs["states"] == [*names, "end"]
            assert counts_of(log).sum() == len(expected(visits()))
            assert set(log["next_state"].values[log["terminated"].values]) == {"end"}


def test_rows_of_a_bandit_are_episodes_each(tmp_path):
    table = pd.DataFrame({"state": [1, 2, 1], "action": ["a", "b", "a"], "reward": [0.0, 1.0, 2.0]})
    for source in sources(table, tmp_path):
        for distinct in (False, True):
            log = bm.read_log(source, columns={"next_state": None}, distinct=distinct)
            assert log.attrs["states"] == ["1", "2", "end"] and log["terminated"].values.all()
            assert bm.mdp_from_log(log, discount=0.9).initial.tolist() == [2 / 3, 1 / 3, 0]
    report = bm.plan_log(log, discount=0.5, draws=20, calibration=0)
    assert report.policy["action"].values.tolist() == ["a", "b", ""]


def test_costs_are_rewards_with_a_minus(tmp_path):
    table = visits().rename(columns={"reward": "price"})
    paid = bm.read_log(visits(), episode="patient", step="visit")
    for source in sources(table, tmp_path):
        for distinct in (False, True):
            log = bm.read_log(source, episode="patient", step="visit", cost="price", distinct=distinct)
            total = (counts_of(log) * log["reward"]).sum()
            np.testing.assert_allclose(total, -paid["reward"].sum(), rtol=1e-12)
    assert (
        np.signbit(bm.read_log(table.assign(price=0.0), episode="patient", step="visit", cost="price")["reward"]).sum()
        == 0
    )


BAD = {
    "no such episode": ({"episode": "patients"}, {}, "no column 'patients' for episode=; did you mean 'patient'"),
    "no such step": ({"episode": "patient", "step": "time"}, {}, "no column 'time' for step="),
    "step alone": ({"step": "visit"}, {}, "step='visit' orders the rows of episodes; name the column"),
    "missing episode": ({"episode": "patient"}, {"patient": None}, "(row 7|line 9): patient is missing"),
    "missing step": ({"episode": "patient", "step": "visit"}, {"visit": None}, "(row 7|line 9): visit is missing"),
    "twice": (
        {"episode": "patient", "step": "visit"},
        {"patient": "p0", "visit": 0},
        "(row 7|line 9): this visit of the episode is there already, at (row 0|line 2); keep one row a step",
    ),
    "missing state": ({"episode": "patient", "step": "visit"}, {"state": None}, "(row 7|line 9): state is missing"),
    "two rewards": ({"cost": "reward", "columns": {"reward": "reward"}}, {}, "columns names a reward, .* give one"),
}


@pytest.mark.parametrize(("options", "changes", "told"), BAD.values(), ids=BAD)
def test_bad_episodes_are_refused(options, changes, told, tmp_path):
    table = visits().astype(object)
    for name, value in changes.items():
        table.loc[7, name] = value
    for source in sources(table, tmp_path):
        for distinct in (False, True):
            with pytest.raises(ValueError, match=told):
                bm.read_log(source, distinct=distinct, **options)


@pytest.mark.parametrize("cuts", [[0, 0, 1, 2, 3, 3, 50, 90, 90], [0, 90]], ids=["uneven", "one"])
def test_partitions_of_any_size_hold_the_same_episodes(cuts):
    """Mixed rows, of some of which the order lies across partitions; without and with a column of next states."""
    table = visits(number=90).head(90).sample(frac=1, random_state=2).reset_index(drop=True)
    own = {"episode": "patient", "step": "visit"}
    for rows, options in (
        (table, own),
        (table.assign(visit=[f"{number}.0" if number % 2 else f"{number}" for number in table["visit"]]), own),
        (table.astype({"state": pd.CategoricalDtype([3, 0, 2, 1], ordered=True), "patient": "category"}), own),
        (table.drop(columns="terminated").assign(next_state=np.arange(90) % 4), {**own, "gaps": "cut"}),
        (table.drop(columns="terminated").assign(state=2**53 + 1 + table["state"]), own),
        (table, {"columns": {"next_state": None, "terminated": None}}),
    ):
        parts = [rows.iloc[begin:end] for begin, end in pairwise(cuts)]
        frame = dd.from_map(lambda n, parts=parts: parts[n], range(len(parts)), meta=rows.iloc[:0])
        for distinct in (False, True):
            expected, log = (bm.read_log(source, distinct=distinct, **options) for source in (rows, frame))
            assert log.drop_attrs(deep=False).identical(expected.drop_attrs(deep=False))
            assert {**log.attrs, "source": ""} == {**expected.attrs, "source": ""}


def test_episodes_of_several_types_are_read_row_by_row():
    table = visits().astype({"patient": object})
    table["patient"] = [int(name[1:]) if name < "p2" else name for name in table["patient"]]
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_pandas(table, npartitions=3, sort=False)
    log, expected = (bm.read_log(source, episode="patient", step="visit") for source in (frame, table))
    assert log.drop_attrs(deep=False).identical(expected.drop_attrs(deep=False))


def test_an_end_that_is_told_in_last_rows_only_is_asked_about(tmp_path):
    table = visits().rename(columns={"terminated": "is_over"})
    for source in sources(table, tmp_path):
        with pytest.raises(ValueError, match="has a column 'is_over', which does not say why an episode ended; pass"):
            bm.read_log(source, episode="patient", step="visit")


def test_an_end_of_any_name_that_is_told_in_last_rows_only_is_asked_about(tmp_path):
    """In rows that are left out: as many as there are, true or not, beside a column that is true in any row."""
    told = visits(number=90)
    table = told.rename(columns={"terminated": "died"}).assign(smokes=np.arange(len(told)) % 2)
    last = ~table.duplicated("patient", keep="last")
    why = f"column 'died' that is true .* \\({table['died'].sum()} of {last.sum()} times; in 0 of {(~last).sum()} other"
    own = {"episode": "patient", "step": "visit"}
    for source in sources(table, tmp_path):
        with pytest.raises(ValueError, match=why):
            bm.read_log(source, **own)
        assert bm.read_log(source, **own, columns={"terminated": None}).attrs["dropped"] == last.sum()
        named = bm.read_log(source, **own, columns={"terminated": "died"})
        assert named["terminated"].values.sum() == table["died"].sum()
    # Where it is true elsewhere as well it says something else: of whole episodes, of all rows but the first of
    # some that are short, of the last two rows of weeks, of a treatment that is changed not long before the end.
    for values in (table["smokes"], table["patient"].isin(table["patient"][table["died"]])):
        bm.read_log(table.assign(died=values), **own)
    for lengths, since in ((np.arange(90) % 2 + 2, 1), (np.full(90, 7), 5), (np.arange(90) % 4 + 4, -2)):
        visit = np.concatenate([np.arange(length) for length in lengths])
        longer = pd.DataFrame({"patient": np.repeat(np.arange(90), lengths), "visit": visit, "state": visit % 4})
        late = visit >= (np.repeat(lengths, lengths) + since if since < 0 else since)
        read = bm.read_log(longer.assign(action=0, reward=1.0, changed=late), **own)
        assert read.attrs["dropped"] == 90 and late[~longer.duplicated("patient", keep="last")].all()
    # A mistake or two do not hide it.
    wrong = table["died"].where(table.index != table.index[~last][0], True)
    with pytest.raises(ValueError, match=f"in 1 of {(~last).sum()} other rows"):
        bm.read_log(table.assign(died=wrong), **own)
    with pytest.raises(ValueError, match="column 'died' that is true in the last row of episodes"):
        bm.read_log(table.assign(died=table["died"].where(last)), **own)


def test_labels_are_text_only_where_an_episode_ends_in_a_state_of_its_own(tmp_path):
    table = visits(ends=False).assign(terminated=False)
    for source in sources(table, tmp_path):
        log = bm.read_log(source, episode="patient", step="visit")
        assert log.attrs["states"] == sorted(set(table["state"])) and log["state"].dtype.kind == "i"


def test_whole_numbers_that_no_float_holds_follow_each_other(tmp_path):
    table = visits(ends=False)
    table["state"] += 2**53 + 1
    for source in sources(table, tmp_path):
        states = bm.read_log(source, episode="patient", step="visit").attrs["states"]
        assert states == [2**53 + 1, 2**53 + 2, 2**53 + 3, 2**53 + 4]


def test_text_of_steps_is_read_as_all_of_it_is():
    """One word among numbers: they are no numbers then, in whichever partition, and the first row is told."""
    table = visits().astype({"visit": str})
    table.loc[60, "visit"] = "soon"
    frame = dd.from_pandas(table, npartitions=5, sort=False)
    for source in (table, frame):
        with pytest.raises(ValueError, match="row 0: visit is missing, or cannot be read; give each row its step"):
            bm.read_log(source, episode="patient", step="visit")


@pytest.mark.slow
def test_a_cluster_orders_the_same():
    from distributed import Client, LocalCluster

    table = visits(number=300).sample(frac=1, random_state=0).reset_index(drop=True)
    expected = bm.read_log(table, episode="patient", step="visit", distinct=True)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        frame = dd.from_pandas(table, npartitions=7, sort=False)
        log = bm.read_log(frame, episode="patient", step="visit", distinct=True)
    assert log.drop_attrs(deep=False).identical(expected.drop_attrs(deep=False))
