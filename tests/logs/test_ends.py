"""Ends of episodes that a log calls by another name, or does not mark: seen, or asked about, never passed over."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from bayesmdp import mdp_from_log
from bayesmdp.logs.read_log import read_log

# Three episodes down a corridor: the end is entered at rows 2, 5 and 8.
CORRIDOR = pd.DataFrame(
    {
        "state": ["a", "b", "c"] * 3,
        "action": "go",
        "reward": [0.0, 0.0, 1.0] * 3,
        "next_state": ["b", "c", "end"] * 3,
    }
)
ENDED = np.array([False, False, True] * 3)

# fmt: off
NAMES = [
    "terminals", "terminal_state", "isTerminal", "IsDone", "is_final", "Done", "dones", "done_flag", "doneFlag",
    "DONE", "episode_end", "episodeEnd", "end_of_episode", "EndOfEpisode", "EOS", "eoe", "ended", "game_over",
    "gameOver", "finished", "last_step", "isLast", "absorbing", "terminated_flag", "Terminated", "next_terminal",
    "over", "completed", "episode_done", "trajectory_end",
]
CUT_NAMES = [
    "Truncated", "timeouts", "timeLimit", "time_limit_reached", "timed_out", "TimeLimit.truncated", "cutoff",
    "is_truncated",
]
# fmt: on
NEUTRAL = ("x", "flag", "event", "s3", "fin", "col 7")
DTYPES = {
    "bool": lambda ends: ends,
    "int": lambda ends: ends.astype(np.int8),
    "float": lambda ends: ends.astype(np.float32),
    "nullable": lambda ends: pd.array(ends, dtype="boolean"),
    "Int64": lambda ends: pd.array(ends.astype(int), dtype="Int64"),
    "object": lambda ends: ends.astype(object),
    "text": lambda ends: np.where(ends, "TRUE", "FALSE"),
    "yes": lambda ends: np.where(ends, "yes", "no"),
    "category": lambda ends: pd.Categorical(np.where(ends, "1", "0")),
    "mostly missing": lambda ends: np.where(ends, 1.0, np.nan),
}


def sources(frame: pd.DataFrame, folder):
    """One log in every form that is read."""
    frame.to_csv(folder / "log.csv", index=False)
    frame.to_csv(folder / "log.tsv", index=False, sep="\t")
    frame.to_parquet(folder / "log.parquet")
    yield from (frame, folder / "log.csv", folder / "log.tsv", folder / "log.parquet")
    yield frame.astype(object).to_xarray()


@pytest.mark.parametrize("name", [*NAMES, *CUT_NAMES, *NEUTRAL])
def test_an_end_under_another_name_is_asked_about(name):
    frame = CORRIDOR.assign(**{name: ENDED})
    with pytest.raises(ValueError, match="has a column") as refused:
        read_log(frame)
    assert repr(name) in str(refused.value)
    log = read_log(frame, columns={"terminated": name})
    assert mdp_from_log(log, discount=0.9).terminal.tolist() == [False, False, False, True]
    with pytest.warns(UserWarning, match="has 2 gaps between rows"):
        log = read_log(frame, columns={"terminated": None, "truncated": None})
    assert log.attrs["left_out"] == [name]


@pytest.mark.parametrize("name", [*NAMES, *CUT_NAMES])
def test_a_name_is_enough_where_rows_go_on(name):
    """One episode has no gap."""
    frame = CORRIDOR.iloc[:3].assign(**{name: ENDED[:3]})
    with pytest.raises(ValueError, match="has a column") as refused:
        read_log(frame)
    assert repr(name) in str(refused.value)
    ours = next(ours for ours in ("terminated", "truncated") if f"'{ours}': None" in str(refused.value))
    assert not read_log(frame, columns={ours: None})[ours].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_end_in_any_dtype_and_source_is_asked_about(dtype, tmp_path):
    for name in ("terminals", "x"):
        for source in sources(CORRIDOR.assign(**{name: DTYPES[dtype](ENDED)}), tmp_path):
            with pytest.raises(ValueError, match=f"has a column '{name}'"):
                read_log(source)


@pytest.mark.slow
def test_every_name_dtype_and_source(tmp_path):
    for name, dtype in product([*NAMES, *CUT_NAMES, *NEUTRAL], DTYPES):
        for source in sources(CORRIDOR.assign(**{name: DTYPES[dtype](ENDED)}), tmp_path):
            with pytest.raises(ValueError, match="has a column") as refused:
                read_log(source)
            assert repr(name) in str(refused.value)


def test_what_the_message_offers_is_taken():
    frame = CORRIDOR.assign(x=ENDED)
    with pytest.raises(ValueError, match=r"'x' that is true .* \(2 of 2 times, first at row 2\)") as refused:
        read_log(frame)
    for offered in ({"terminated": "x"}, {"truncated": "x"}):
        assert f"columns={offered}" in str(refused.value)
        assert read_log(frame, columns=offered)[next(iter(offered))].values.tolist() == ENDED.tolist()
    # Where one of ours is settled, only the other is offered.
    both = frame.assign(terminated=False)
    with pytest.raises(
        ValueError, match=r"; pass columns=\{'truncated': 'x'\} if the recording was cut off"
    ) as refused:
        read_log(both)
    assert "{'terminated'" not in str(refused.value)
    with pytest.warns(UserWarning, match=r"Columns left out: 'x'"):
        read_log(both, columns={"truncated": None})


def test_an_end_that_is_not_always_a_gap_is_asked_about_too():
    """A ring whose episodes are cut off anywhere: some start where the last one stopped."""
    rng = np.random.default_rng(0)
    state, rows = 0, []
    for _ in range(2_000):
        cut = rng.random() < 0.1
        rows.append((state, (state + 1) % 4, cut))
        state = rng.integers(4) if cut else (state + 1) % 4
    frame = pd.DataFrame(rows, columns=["state", "next_state", "x"]).assign(action="go", reward=0.0)
    with pytest.raises(ValueError, match="has a column 'x' that is true where"):
        read_log(frame)
    with pytest.raises(ValueError, match=r"has a column 'x' that is false where .* add a column that is true there"):
        read_log(frame.assign(x=~frame["x"]))
    # A flag that has nothing to do with ends is left out in peace, as is a column of anything else.
    idle = frame.drop(columns="x").assign(weekend=rng.random(2_000) < 0.3, t=range(2_000), note="fine")
    with pytest.warns(UserWarning, match="Columns left out: 'weekend', 't', 'note'"):
        read_log(idle)


def test_a_rare_covariate_that_is_true_at_one_end_is_left_out():
    rare = np.arange(9) == 2
    with pytest.warns(UserWarning, match="has 2 gaps between rows.*Columns left out: 'smoker'"):
        log = read_log(CORRIDOR.assign(smoker=rare))
    assert log.attrs["left_out"] == ["smoker"]
    # Who says that the recording was cut off at each gap has said what gaps are.
    assert read_log(CORRIDOR.assign(flag=ENDED), gaps="cut").attrs["left_out"] == ["flag"]


@pytest.mark.parametrize(
    "covariate", ["methadone", "last_dose_given", "end_stage", "abandoned", "terminal_illness", "over65"]
)
def test_covariates_whose_names_sound_like_ends_are_left_out(covariate):
    log = read_log(CORRIDOR.assign(terminated=ENDED, truncated=False, **{covariate: [1, 0, 0] * 3}))
    assert log.attrs["left_out"] == [covariate]
    log = read_log(CORRIDOR.iloc[:3].assign(**{covariate: [1, 0, 1]}))
    assert log.attrs["left_out"] == [covariate]


def test_columns_left_out_are_listed():
    frame = CORRIDOR.assign(terminated=ENDED, group="g", t=range(9))
    assert read_log(frame).attrs["left_out"] == ["group", "t"]
    assert "left_out" not in read_log(frame.drop(columns=["group", "t"])).attrs


@pytest.mark.parametrize(
    ("order", "reversed_rows"),
    [([0, 3, 1, 4, 2, 5, 6, 7, 8], False), (list(range(9))[::-1], True)],
    ids=["interleaved", "newest first"],
)
@pytest.mark.parametrize("marked", [True, False])
def test_rows_out_of_order_do_not_tell_where_episodes_start(order, reversed_rows, marked):
    frame = CORRIDOR.iloc[order].reset_index(drop=True)
    if marked:
        frame = frame.assign(terminated=ENDED[order], truncated=False)
    with pytest.warns(UserWarning, match="these are not the starts, and numbers for the start would be wrong") as told:
        log = read_log(frame)
    assert log.attrs["starts_known"] == 0
    assert ("are rows in reverse order?" in str(told[0].message)) == reversed_rows
    assert read_log(frame, gaps="allow").attrs["starts_known"] == 0


def test_gaps_at_which_the_recording_was_cut_off_tell_where_episodes_start(recwarn):
    for frame in (CORRIDOR, CORRIDOR.assign(terminated=False, truncated=False)):
        log = read_log(frame, gaps="cut")
        assert log["truncated"].values.tolist() == [False, False, True, False, False, True, False, False, False]
        assert log.attrs["starts_known"] == 1
        assert mdp_from_log(log, discount=0.9).initial.tolist() == [1, 0, 0, 0]
    assert not recwarn.list
    assert read_log(CORRIDOR.assign(terminated=ENDED)).attrs["starts_known"] == 1
