"""The study of control: its table by hand, and the stored one."""

import numpy as np
import pytest
import xarray as xr

from bayesmdp.studies.control_learning import STUDIES, TOLD, control_table
from bayesmdp.studies.tables import stored_table


def run_of(reward, position, mdp):
    """A result of one agent: rewards [replicate, step], and the first coordinate of states."""
    variables = {"reward": (("agent", "replicate", "step"), np.asarray(reward, float)[None])}
    if position is not None:
        place = np.asarray(position, float)
        state = np.stack([place, np.full(place.shape, 0.03)], -1)
        variables["state"] = (("agent", "replicate", "step", "coordinate"), state[None])
    return xr.DataTree(xr.Dataset(variables, coords={"agent": ["A"]}, attrs={"mdp": mdp}))


def test_episodes_of_the_pendulum_are_told_by_their_number():
    reward = np.arange(24.0).reshape(2, 12)
    table = control_table(run_of(reward, None, "pendulum-circle")).loc["A", "reward of the episode"]
    assert table.index.tolist() == [episode for episode in TOLD if episode <= 12]
    np.testing.assert_allclose(table["mean"], reward.mean(0)[table.index - 1])
    assert (table["replicates"] == 2).all()


def test_the_goal_is_reached_where_an_episode_begins_again_from_there():
    """The first replicate is cut off before it arrives, once near the goal, and the third never does."""
    position = [
        [-0.5, 0.45, -0.45, 0.2, 0.48, -0.5, 0.47, -0.5],
        [-0.5, 0.49, -0.41, 0.0, 0.1, 0.2, 0.3, 0.4],
        [-0.5, 0.1, -0.45, 0.2, 0.39, -0.5, 0.3, -0.5],
    ]
    table = control_table(run_of(-np.ones((3, 8)), position, "mountain-car"))
    found = table.loc["A", "steps to the goal", 0]
    assert (found["mean"], found["replicates"]) == (3.5, 2)


def test_episodes_of_the_cart_are_told_where_every_replicate_has_come_to_their_end():
    """Lengths of two and three steps, and one that is not over; of three, four and one."""
    moved = 0.02 * 0.03  # by the speed of `run_of`
    along = lambda *lengths: np.concatenate([start + moved * np.arange(n) for start, n in enumerate(lengths)])  # noqa: E731
    table = control_table(run_of(np.ones((2, 8)), [along(2, 3, 3), along(3, 4, 1)], "cart-pole"))
    assert table.loc["A", "reward of the episode"]["mean"].to_dict() == {1: 2.5, 2: 3.5}


def test_the_stored_table_is_of_the_study():
    table = stored_table("control_learning")
    for cell, study in STUDIES.items():
        own = table[table["cell"] == cell]
        assert set(own["agent"]) == set(study.agents) and (own["replicates"] <= study.replicates).all()
        assert own["mean"].between(own["mean_lower"], own["mean_upper"]).all()


@pytest.mark.parametrize("cell", STUDIES)
def test_cells_can_be_made(cell):
    study = STUDIES[cell]
    mdp = study.make_mdp()
    assert study.steps % study.thin == 0
    agents = study.make_agents(mdp, study.make_prior(mdp))
    assert list(agents) == list(study.agents)
    assert {agent.static.get("depth", 25) for agent in agents.values()} == {25}  # and not the steps of the run
