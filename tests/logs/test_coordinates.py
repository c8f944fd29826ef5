"""Logs whose states are numbers, from columns: against the log they were written from, and what is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayesmdp as bm
from bayesmdp.offline.measured_space import space_of_log

CART = bm.environments.cart_pole()
NAMES = ["place", "speed", "angle", "turning"]


def frame_of(log, names):
    columns = {name: log["state"].values[:, i] for i, name in enumerate(names)}
    columns |= {f"next_{name}": log["next_state"].values[:, i] for i, name in enumerate(names)}
    return pd.DataFrame(columns | {"action": log["action"].values, "reward": log["reward"].values})


def test_a_log_comes_back_from_its_columns(tmp_path):
    log = bm.collect(CART, steps=50, seed=0)
    frame = frame_of(log, NAMES)
    frame.to_csv(tmp_path / "log.csv", index=False)
    for source in (frame, tmp_path / "log.csv"):
        again = bm.read_log(source, coordinates=NAMES, gaps="cut")
        for name in ("state", "next_state", "reward", "action"):
            np.testing.assert_array_equal(again[name].values, log[name].values)
        assert again["coordinate"].values.tolist() == NAMES
    prior = bm.models.linear_dynamics(CART)
    one, other = (bm.infer(prior, each, mdp=CART, draws=0)["parameters"] for each in (log, again))
    np.testing.assert_array_equal(one["mean"], other["mean"])


def test_what_followed_is_the_next_row_of_the_episode():
    frame = pd.DataFrame(
        {
            "who": ["b", "a", "a", "b", "a", "c"],
            "hour": [1, 2, 1, 0, 3, 5],
            "degrees": [11.0, 21.0, 20.0, 10.0, 22.0, 30.0],
            "did": ["off", "low", "off", "high", "off", "off"],
            "price": [1, 2, 3, 4, 5, 6],
        }
    )
    log = bm.read_log(
        frame, coordinates=["degrees"], columns={"action": "did"}, cost="price", episode="who", step="hour"
    )
    assert sorted(zip(log["state"].values[:, 0], log["next_state"].values[:, 0], strict=True)) == [
        (10.0, 11.0),
        (20.0, 21.0),
        (21.0, 22.0),
    ]
    assert sorted(log["reward"].values.tolist()) == [-4.0, -3.0, -2.0]
    assert log.attrs["dropped"] == 3
    # The recording of each episode was cut off after the last row of which the next state is known.
    assert log["state"].values[log["truncated"].values, 0].tolist() == [10.0, 21.0]


GOOD = pd.DataFrame({"t": [1.0, 2.0], "next_t": [2.0, 3.0], "action": ["off", "low"], "reward": [0.0, 1.0]})
PAIRS = {"coordinates": ["t"], "episode": "who", "step": "hour"}
OF_EPISODES = GOOD.assign(who="a", hour=[0, 1])


@pytest.mark.parametrize(
    "frame, options, why",
    [
        (GOOD, {"coordinates": "t"}, "coordinates are a list of distinct columns; got 't'"),
        (GOOD, {"coordinates": []}, "coordinates are a list"),
        (GOOD, {"coordinates": ["t", "t"]}, "distinct"),
        (GOOD, {"coordinates": ["t", "u"]}, "no column 'u'"),
        (GOOD.drop(columns="next_t"), {"coordinates": ["t"]}, "no column 'next_t'"),
        (GOOD.assign(t=[1.0, np.nan]), {"coordinates": ["t"]}, "row 1: t is missing; leave out the row"),
        (
            GOOD.assign(next_t=["2", "warm"]),
            {"coordinates": ["t"]},
            "row 1: next_t is 'warm', which is no finite number",
        ),
        (GOOD.assign(reward=[0.0, np.inf]), {"coordinates": ["t"]}, "row 1: reward is inf"),
        (GOOD.assign(action=["off", None]), {"coordinates": ["t"]}, "action is missing"),
        (GOOD.iloc[:0], {"coordinates": ["t"]}, "no rows"),
        (GOOD, {"coordinates": ["t"], "states": [1, 2]}, "states is for logs of labels"),
        (GOOD, {"coordinates": ["t"], "distinct": True}, "distinct is for logs of labels"),
        (GOOD, {"coordinates": ["t"], "next_columns": "later"}, "a pattern such as 'next_{}'"),
        (GOOD, {"coordinates": ["t"], "next_columns": {"u": "v"}}, "does not say how 't' is called"),
        (OF_EPISODES.assign(who=["a", None]), PAIRS, "row 1: who is missing"),
        (OF_EPISODES.assign(hour=[1, 1]), PAIRS, "row 1: hour 1 is there twice"),
        (OF_EPISODES.drop(columns="next_t").assign(who=["a", "b"]), PAIRS, "no episode has a second"),
        (OF_EPISODES, {"coordinates": ["t"], "step": "hour"}, "step='hour' orders the rows of episodes"),
        (GOOD.assign(done=[False, True]), {"coordinates": ["t"]}, "'done', which does not say why an episode ended"),
        (GOOD, {"coordinates": ["t"], "columns": {"truncated": "cut"}}, "no column 'cut'"),
        (GOOD, {"coordinates": ["t"], "columns": {"next_state": "t2"}}, "'next_state' is none of ours"),
        (GOOD.assign(u=0.0).rename(columns={"u": "t"}), {"coordinates": ["t"]}, "the column 't' more than once"),
        (GOOD.assign(t=[1e200, 2.0]), {"coordinates": ["t"]}, r"row 0: t is 1e\+200, beyond 1e\+100 in size"),
        (GOOD.assign(reward=[0.0, 1e200]), {"coordinates": ["t"]}, r"row 1: reward is 1e\+200, beyond"),
        (
            GOOD.iloc[::-1],
            {"coordinates": ["t"], "gaps": "refuse"},
            "has a gap between rows, first after row",
        ),
    ],
)
def test_bad_columns_are_refused_with_their_place(frame, options, why):
    with pytest.raises(ValueError, match=why):
        bm.read_log(frame, **options)


def test_columns_of_what_followed_count_where_there_is_one_of_episodes_too():
    frame = pd.DataFrame(
        {"who": list("abab"), "hour": [1, 0, 0, 1], "t": [2.0, 5.0, 1.0, 6.0], "next_t": [3.0, 6.0, 2.0, 7.0]}
    ).assign(action=["off", "low", "low", "off"], reward=0.0)
    log = bm.read_log(frame, coordinates=["t"], episode="who", step="hour")
    assert log["state"].values[:, 0].tolist() == [1.0, 2.0, 5.0, 6.0]
    assert log["next_state"].values[:, 0].tolist() == [2.0, 3.0, 6.0, 7.0]
    assert log["action"].values.tolist() == ["low", "off", "low", "off"]
    assert "dropped" not in log.attrs


@pytest.mark.parametrize("ends, warned", [({}, True), ({"truncated": [False, True, False]}, False)])
def test_rows_that_do_not_go_on_are_told_of(ends, warned):
    frame = pd.DataFrame({"t": [1.0, 2.0, 9.0], "next_t": [2.0, 3.0, 8.0], "action": "off", "reward": 0.0}).assign(
        **ends
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bm.read_log(frame, coordinates=["t"])
        bm.read_log(frame, coordinates=["t"], gaps="cut")
    told = [str(each.message) for each in caught if each.category is UserWarning]
    assert len(told) == warned
    if warned:
        assert "has a gap between rows, first after row 1" in told[0]


def test_rows_in_no_order_do_not_say_where_episodes_start():
    """With gaps allowed; a log that has none, or whose recording was cut off there, still does."""
    rng = np.random.default_rng(0)
    level = rng.normal(size=60)
    frame = pd.DataFrame({"t": level, "next_t": 0.5 * level + rng.normal(size=60), "reward": level})
    frame["action"] = np.array(["off", "low"])[rng.integers(0, 2, 60)]
    allowed, cut = (bm.read_log(frame, coordinates=["t"], gaps=gaps) for gaps in ("allow", "cut"))
    assert (allowed.attrs["starts_known"], cut.attrs["starts_known"]) == (0, 1)
    with pytest.raises(ValueError, match="does not show where episodes start; pass initial="):
        bm.plan_log(allowed, draws=4, calibration=0)
    assert space_of_log(allowed, 0.9, [0.25]).starts == ((0.25,),)
    in_order = pd.DataFrame({"t": [1.0, 2.0], "next_t": [2.0, 3.0], "action": ["off", "low"], "reward": [0.0, 1.0]})
    assert bm.read_log(in_order, coordinates=["t"], gaps="allow").attrs["starts_known"] == 1


def test_terminated_rows_after_which_nothing_is_recorded_are_told_of():
    frame = pd.DataFrame({"who": list("aabb"), "t": [1.0, 2.0, 3.0, 4.0], "action": "off", "reward": 0.0})
    frame["terminated"] = [False, True, False, True]
    with pytest.warns(UserWarning, match="2 terminated rows are left out, first row 1: .* such as next_t"):
        log = bm.read_log(frame, coordinates=["t"], episode="who")
    assert (log.attrs["dropped"], log.attrs["dropped_ends"]) == (2, 2) and log["truncated"].values.all()
    # With a row of the state in which each ended, the end is kept and learned from.
    last = pd.DataFrame({"who": list("ab"), "t": [9.0, 9.5], "action": "off", "reward": 0.0, "terminated": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = bm.read_log(pd.concat([frame, last]), coordinates=["t"], episode="who")
    assert kept["next_state"].values[kept["terminated"].values, 0].tolist() == [9.0, 9.5]


def test_an_end_of_any_name_that_is_told_in_last_rows_only_is_asked_about():
    """Of twelve patients of three visits eight die, as their last row says, which is left out."""
    frame = pd.DataFrame({"who": np.repeat(np.arange(12), 3), "t": np.arange(36.0), "action": "off", "reward": 0.0})
    frame["died"] = (frame.index % 3 == 2) & (frame["who"] < 8)
    with pytest.raises(ValueError, match=r"column 'died' that is true .* \(8 of 12 times; in 0 of 24 other rows\)"):
        bm.read_log(frame, coordinates=["t"], episode="who")
    assert bm.read_log(frame, coordinates=["t"], episode="who", columns={"terminated": None}).attrs["dropped"] == 12
    bm.read_log(frame.assign(died=frame["who"] < 8), coordinates=["t"], episode="who")


def patients(visits):
    """Patients of so many visits each, with columns of what followed; the first two thirds of them die."""
    rng, size = np.random.default_rng(0), sum(visits)
    who = np.repeat(np.arange(len(visits)), visits)
    last = np.append(who[1:] != who[:-1], True)
    level = rng.normal(size=size)
    after = np.where(last, rng.normal(size=size), np.roll(level, -1))
    frame = pd.DataFrame({"who": who, "t": level, "next_t": after, "action": "off", "reward": 0.0})
    visit = frame.groupby("who").cumcount()
    return frame.assign(visit=visit, died=np.where(last & (who < len(visits) * 2 // 3), "yes", "no"))


@pytest.mark.parametrize("episodes", [{"episode": "who"}, {}, {"episode": "who", "step": "visit"}])
def test_an_end_of_any_name_is_asked_about_where_columns_say_what_followed(episodes, tmp_path):
    frame = patients([2, 3, 4] * 4)
    if "step" in episodes:
        frame = frame.sample(frac=1, random_state=0)
    frame.to_csv(tmp_path / "log.csv", index=False)
    where = "in the last row of episodes" if episodes else "where the next row does not go on .*"
    told = rf"'died' that is true {where} \([78] of 11 times, first at (row|line) \d+\).*'terminated': 'died'\}} if"
    for source in (frame, tmp_path / "log.csv"):
        with pytest.raises(ValueError, match=told):
            bm.read_log(source, coordinates=["t"], **episodes)
    named, waved = (
        bm.read_log(frame, coordinates=["t"], columns={"terminated": column, "truncated": None}, gaps="cut", **episodes)
        for column in ("died", None)
    )
    assert (named["terminated"].values.sum(), waved["terminated"].values.sum()) == (8, 0)


def test_columns_that_say_something_else_are_not_asked_about_where_columns_say_what_followed():
    """True of whole episodes, from some visit on, by chance, always; or of rows that stand in no order."""
    frame = patients([2, 3, 4, 5] * 10)
    chance, early = np.random.default_rng(1).random(len(frame)) < 0.3, frame["died"].where(frame["visit"] == 0, "no")
    others = {"smokes": frame["who"] % 2, "later": frame["visit"] > 0, "chance": chance, "seen": 1, "died": early}
    others["fourth"] = frame["visit"] > 2  # in half of the last rows, but in others too, which ended nothing
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bm.read_log(frame.assign(**others), coordinates=["t"], episode="who").sizes["step"] == len(frame)
    with pytest.warns(UserWarning, match="gaps between rows"):
        bm.read_log(frame.sample(frac=1, random_state=0), coordinates=["t"])
