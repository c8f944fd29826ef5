"""Policies by the names of their states and actions, against the same policies in the MDP's order."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.policy import policy_by_stage, policy_probabilities

STATES = {
    "text": ["low", "middle", "high"],
    "numbers": [7, 3, 5],
    "fractions": [0.5, 0.25, 2.0],
    "pairs": [(0, 0), (0, 1), (1, 0)],
    "mixed": [None, "a", 2],
    "days": [np.datetime64("2020-01-03"), np.datetime64("2020-01-01"), np.datetime64("2020-01-02")],
}
SHARES = np.array([[0.0, 1.0], [0.25, 0.75], [1.0, 0.0]])
ORDER = [2, 0, 1]


def ward(states, **changes):
    return bm.MDP(**({"reward": np.zeros((3, 2)), "discount": 0.9, "states": states, "actions": ["x", "y"]} | changes))


def shuffled(mdp, *, text=False):
    coords = {"state": label_array(mdp.states, text=text), "action": list(mdp.actions)}
    return xr.DataArray(SHARES, coords, ("state", "action")).isel(state=ORDER, action=[1, 0])


@pytest.mark.parametrize("text", [False, True], ids=["labels", "labels as in files"])
@pytest.mark.parametrize("states", STATES.values(), ids=STATES)
def test_states_and_actions_may_be_in_any_order(states, text):
    mdp = ward(states)
    np.testing.assert_array_equal(policy_probabilities(mdp, shuffled(mdp, text=text)), SHARES)
    chosen = xr.DataArray(["y", "y", "x"], {"state": label_array(mdp.states, text=text)}, "state")[ORDER]
    np.testing.assert_array_equal(policy_probabilities(mdp, chosen), [[0, 1], [0, 1], [1, 0]])


def test_pandas_and_stages_too():
    mdp = ward(STATES["text"])
    series = pd.Series({"high": "x", "middle": "y", "low": "y"})
    np.testing.assert_array_equal(policy_probabilities(mdp, series), [[0, 1], [0, 1], [1, 0]])
    table = pd.DataFrame(SHARES[ORDER][:, ::-1], index=["high", "low", "middle"], columns=["y", "x"])
    np.testing.assert_array_equal(policy_probabilities(mdp, table), SHARES)
    # An index that merely counts names nothing.
    np.testing.assert_array_equal(policy_probabilities(ward(STATES["numbers"]), pd.DataFrame(SHARES)), SHARES)
    staged = ward(STATES["text"], discount=None, horizon=2)
    by_stage = xr.concat([shuffled(staged), 1 - shuffled(staged)], "stage")
    np.testing.assert_array_equal(policy_by_stage(staged, by_stage), [SHARES, 1 - SHARES])


def test_a_policy_for_each_draw_too():
    mdp = ward(STATES["text"], reward=[[0.0, 1.0], [2.0, 0.0], [5.0, 3.0]])
    stays = np.eye(3)[None, :, None].repeat(2, 0).repeat(2, 2)
    posterior = xr.Dataset({"transition": (("draw", "state", "action", "next_state"), stays)})
    each = xr.concat([shuffled(mdp)] * 2, "draw")
    values = bm.value_draws(posterior, mdp, each)
    np.testing.assert_allclose(values, np.tile((SHARES * mdp.reward[..., 0]).sum(-1) * 10, (2, 1)))


def test_starts_are_read_by_their_names():
    counted = pd.Series(["high", "low", "high", "high"]).value_counts(normalize=True).reindex(["high", "low", "middle"])
    mdp = ward(STATES["text"], initial=counted.fillna(0))
    np.testing.assert_array_equal(mdp.initial, [0.25, 0, 0.75])
    with pytest.raises(ValueError, match="initial has no state 'middle'"):
        ward(STATES["text"], initial=counted.rename({"middle": "centre"}))


def test_numbers_of_states_that_have_other_names_are_positions():
    plain = xr.DataArray(SHARES, {"state": [0, 1, 2]}, ("state", "action"))
    np.testing.assert_array_equal(policy_probabilities(ward(STATES["text"]), plain), SHARES)


@pytest.mark.parametrize(
    "names, message",
    [
        (["low", "middle", "top"], r"no state 'high', which is states\[2\] of the MDP; it has 'low', 'middle', 'top'"),
        (["low", "low", "high"], "has the state 'low' more than once"),
    ],
)
def test_other_states_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        policy_probabilities(ward(STATES["text"]), xr.DataArray(SHARES, {"state": names}, ("state", "action")))
