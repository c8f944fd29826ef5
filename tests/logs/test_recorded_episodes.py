"""Episodes with one observation more than actions, as lists and as Minari has them."""

from types import SimpleNamespace

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.logs.recorded_episodes import frame_of_episodes

COLUMNS = ("state", "action", "reward", "next_state", "terminated", "truncated")


def walks(log):
    """The episodes of a log, as an environment records them."""
    ends = np.flatnonzero(log["terminated"] | log["truncated"]) + 1
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        own = log.isel(step=slice(begin, end))
        yield {
            "observations": [*own["state"].values, own["next_state"].values[-1]],
            "actions": own["action"].values,
            "rewards": own["reward"].values,
            "terminations": own["terminated"].values,
            "truncations": own["truncated"].values,
        }


@pytest.mark.parametrize("form", ["names", "attributes", "dataset"])
def test_episodes_are_read_as_they_were_walked(form):
    log = bm.collect(bm.environments.frozen_lake(), steps=400, seed=0)
    last = int(np.flatnonzero(log["terminated"])[-1]) + 1
    log = log.isel(step=slice(0, last))
    episodes = list(walks(log))
    if form != "names":
        episodes = [SimpleNamespace(**episode) for episode in episodes]
    source = SimpleNamespace(iterate_episodes=lambda: iter(episodes)) if form == "dataset" else episodes
    again = bm.read_log(source)
    for name in COLUMNS:
        np.testing.assert_array_equal(again[name], log[name])


def test_an_episode_without_an_end_was_cut_off_and_vectors_are_columns():
    walk = {"observations": np.arange(6.0).reshape(3, 2), "actions": [0, 1], "rewards": [0.5, 1]}
    frame = frame_of_episodes([walk, walk])
    assert frame["truncated"].tolist() == [False, True] * 2
    assert frame["observation_1"].tolist() == [1, 3] * 2 and frame["next_observation_0"].tolist() == [2, 4] * 2
    single = frame_of_episodes([walk | {"observations": np.array([[3], [1], [3]])}])
    assert single["state"].tolist() == [3, 1] and single["next_state"].tolist() == [1, 3]


WALK = {"observations": [0, 1, 2], "actions": [0, 1], "rewards": [0.0, 1.0]}
BAD = {
    "as many": (
        WALK | {"observations": [0, 1]},
        "episode 1 has 2 actions and 2 observations; expected 3, one more: the",
    ),
    "rewards": (WALK | {"rewards": [0.0]}, "episode 1 has 2 actions and 1 rewards; expected 2, one each"),
    "ends": (WALK | {"terminations": [False]}, "episode 1 has 2 actions and 1 terminations; expected one each"),
    "ends as words": (WALK | {"terminations": ["False", "False"]}, "episode 1 has terminations of 'False'; write true"),
    "ends that are missing": (WALK | {"truncations": [0, np.nan]}, "episode 1 has truncations of nan; write true or"),
    "rewards of two": (WALK | {"rewards": [[0.0, 1.0]] * 2}, "episode 1 has 2 actions and 4 rewards; expected one"),
    "no rewards": ({"observations": [0, 1], "actions": [0]}, "episode 1 has no rewards; each episode needs observ"),
    "parts": (
        WALK | {"observations": {"a": [0, 1, 2]}},
        "episode 1 has observations in several parts, dict; join these",
    ),
    "objects": (WALK | {"actions": [None, {}]}, "episode 1 has actions of type object"),
    "actions": (WALK | {"actions": [[0, 1], [1, 0]]}, r"episode 1 has actions of shape \(2,\); an action is one whole"),
}


@pytest.mark.parametrize(("walk", "told"), BAD.values(), ids=BAD)
def test_bad_episodes_are_refused_by_number(walk, told):
    with pytest.raises(ValueError, match=told):
        bm.read_log([WALK, walk])


def test_no_episodes_are_no_log():
    with pytest.raises(ValueError, match="the dataset has no episodes; a log needs at least one step"):
        bm.read_log(SimpleNamespace(iterate_episodes=lambda: iter(())))


def test_vectors_without_states_are_told_what_to_do():
    walk = WALK | {"observations": np.arange(12.0).reshape(3, 4)}
    told = r"observations are vectors: make states of their parts, such as state=\['observation_0:quantiles\(4\)', "
    with pytest.raises(ValueError, match=told):
        bm.read_log([walk, walk])
    log = bm.read_log([walk, walk], state=["observation_0:quantiles(2)", "observation_1:cutoffs(2)"])
    assert log.attrs["states"][0] == "observation_0 <2, observation_1 <2"
