"""The study of where learned priors pay: its tables by hand on made-up regrets, its cells, and who is told what."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayesmdp.posterior.closed_forms.q_values import read_gaussian
from bayesmdp.studies.mtsrl_shape import FLAT, GROWTHS, LAYERS, STUDIES
from bayesmdp.studies.mtsrl_shape_tables import (
    best_prior,
    crossing_table,
    crossing_tasks,
    cumulative,
    curves_table,
    growth_table,
    power_table,
    regret_table,
    statements,
)
from bayesmdp.studies.tables import stored_table


def made_up(by_task, replicates=8, noise=0.0, seed=0):
    """Results of agents whose regret in task k, counted from 1, is ``by_task[agent](k)``."""
    rng = np.random.default_rng(seed)
    k = np.arange(1, 41.0)
    means = np.stack([np.broadcast_to(regret(k), k.shape) for regret in by_task.values()])
    regret = means[:, None] + noise * rng.normal(size=(len(means), replicates, len(k)))
    return xr.DataTree(
        xr.Dataset(
            {"regret": (("agent", "replicate", "step"), regret)},
            {"agent": list(by_task), "task": ("step", np.arange(40))},
        )
    )


AGENTS = {
    "RLSVI": lambda k: 9.0,
    "oracle": lambda k: 5.0,
    "oracle, covariance x 0.5": lambda k: 3.0,
    # 1 more than RLSVI in tasks 3 to 6, then 1 less: below it in the sum from task 11 on.
    "MTSRL": lambda k: 9.0 + (k > 2) - 2.0 * (k > 6),
    "MTSRL, at random first": lambda k: 10.0,
    # The sum over K tasks is 7 sqrt(K) more than the oracle's.
    "MTSRL+": lambda k: 5 + 7 * (np.sqrt(k) - np.sqrt(k - 1)),
    "empirical Bayes": lambda k: 4.0,
}
RESULT = made_up(AGENTS)


def test_a_crossing_is_where_the_sum_is_below_and_stays():
    table = crossing_table(crossing_tasks(RESULT), episodes=10, horizon=3)
    assert table.loc["MTSRL", ["tasks", "tasks_lower", "tasks_upper"]].tolist() == [11] * 3
    assert table.loc["MTSRL", "of_order"] == pytest.approx(11 / 9)
    assert table.loc["MTSRL, at random first", ["tasks", "of_order_upper"]].tolist() == [np.inf] * 2
    # Ahead of 9 a task from the first task but the first: 5 + 7 sqrt(K) / K < 9 from K = 4 on.
    assert table.loc["MTSRL+", "tasks"] == 4 and table.loc["empirical Bayes", "tasks"] == 1
    assert table.loc["MTSRL+", "of_order"] == pytest.approx(4 / 900)
    noisy = crossing_table(crossing_tasks(made_up(AGENTS, noise=3.0)), 10, 3).loc["MTSRL"]
    assert noisy["tasks_lower"] < noisy["tasks_upper"]


def test_the_growth_of_crossings_is_that_of_a_power_law_over_the_cells():
    crossed = {f"near-episodes-{n}": {"MTSRL": np.full(41, 3 * n**0.5)} for n in (10, 20, 40, 80, 160)}
    never = crossed["near-episodes-160"]["MTSRL"] = crossed["near-episodes-160"]["MTSRL"].copy()
    never[7] = np.inf  # one sample in which it does not come ahead
    crossed |= {f"near-horizon-{h}": {"MTSRL": np.full(41, 2.0 * h)} for h in (2, 4, 6)}
    table = growth_table(crossed, GROWTHS).set_index("quantity")
    # At H = 3 the cell is that of N = 40: 3 sqrt(40) = 19 in the place of 6.
    others = np.polyfit(np.log([2, 3, 4, 6]), np.log([4, 3 * 40**0.5, 8, 12]), 1)[0]
    np.testing.assert_allclose(table["power"], [0.5, others])
    np.testing.assert_allclose(table["seen"], [40 / 41, 1])
    assert table["lower"].isna().tolist() == [True, False]
    assert crossing_tasks(RESULT)["MTSRL"][0] == 11


def test_samples_in_which_a_learner_is_not_seen_ahead_are_beyond_either_bound():
    at = {"a": 10, "b": 20}
    some = 12 * np.exp(0.2 * np.random.default_rng(0).normal(size=(2, 2_001)))
    some[1, np.argsort(-some[1])[:40]] = np.inf  # 2%, the latest
    bounds = {}
    for value in (np.inf, 1e9, 1e-9):
        late = np.where(np.isinf(some[1]), value, some[1])
        crossed = {"a": {"MTSRL": some[0]}, "b": {"MTSRL": late}}
        bounds[value] = growth_table(crossed, {"N": at}).iloc[0]
    assert bounds[np.inf]["upper"] == pytest.approx(bounds[1e9]["upper"])
    assert bounds[np.inf]["lower"] == pytest.approx(bounds[1e-9]["lower"])
    assert bounds[np.inf]["seen"] == pytest.approx(1 - 40 / 2_001)


def test_powers_are_those_of_power_laws():
    table = power_table(RESULT).set_index(["agent", "reference"])
    assert table.loc[("MTSRL+", "oracle"), "power"] == pytest.approx(0.5, abs=1e-9)
    assert table.loc[("MTSRL, at random first", "oracle"), "power"] == pytest.approx(1, abs=1e-9)
    below = table.loc[("empirical Bayes", "oracle")]
    assert np.isnan(below["power"]) and np.isnan(below["lower"]) and below["above"] == 0
    # The better prior of the two stands at 3: what is left over it is 1 a task.
    assert table.loc[("empirical Bayes", "best prior"), "power"] == pytest.approx(1, abs=1e-9)
    noisy = power_table(made_up(AGENTS, noise=0.5)).set_index(["agent", "reference"]).loc[("MTSRL+", "oracle")]
    assert noisy["lower"] < 0.5 < noisy["upper"] < 0.9


def test_sums_and_their_curves():
    lost = cumulative(RESULT, "oracle")
    np.testing.assert_allclose(lost.sel(agent="MTSRL+")[0], 7 * np.sqrt(np.arange(1, 41)))
    curves = curves_table(made_up(AGENTS, noise=1.0)).set_index(["reference", "agent", "tasks"])
    for reference, expected in (("oracle", 160), ("best prior", 240)):
        last = curves.loc[(reference, "RLSVI", 40)]
        assert last["lower"] < expected < last["upper"]
    assert "oracle" not in curves.index.get_level_values("agent")


def test_the_best_prior_is_chosen_on_one_half_and_judged_on_the_other():
    result = made_up(AGENTS, noise=0.1)
    regret = result["regret"].values
    oracle = list(AGENTS).index("oracle")
    regret[oracle, ::2] -= 4  # lucky where it is chosen
    assert best_prior(result) == "oracle"
    said = statements(result).set_index("statement")
    assert (said["chosen"] == "oracle").all()
    assert said.loc["the best prior of those tried has less regret than empirical Bayes by", "holds"] == "no"
    table = statements(RESULT).set_index("statement")
    better = table.loc["the best prior of those tried has less regret than oracle by"]
    assert better["figure"] == 2 and better["chosen"] == "oracle, covariance x 0.5"
    assert table.loc["empirical Bayes has less regret than the oracle by", "figure"] == 1


def test_pairs_are_compared_within_replicates():
    names = ["mean alone", "empirical Bayes", "bandit, empirical Bayes", "AdaTS", "MTSRL", "MTSRL+", "oracle", "RLSVI"]
    luck = np.random.default_rng(0).normal(0, 50, 8)
    result = made_up({name: lambda k, i=i: float(i) for i, name in enumerate(names)})
    result["regret"].values[:] += luck[:, None]
    said = statements(result).set_index("statement")["figure"]
    assert said["to learn the covariance, too: empirical Bayes has less regret than mean alone by"] == pytest.approx(-1)
    assert said["a prior on Q: empirical Bayes has less regret than a bandit that learns likewise by"] == pytest.approx(
        1
    )
    assert said["a prior on Q: MTSRL+ has less regret than AdaTS by"] == pytest.approx(-2)


def test_regret_is_of_the_second_half_with_its_spread():
    row = regret_table(made_up(AGENTS, noise=1.0)).loc["MTSRL"]
    assert row["lower"] < 8 < row["upper"]
    assert row["least"] < row["quarter"] < row["median"] < row["three_quarters"] < row["most"]


def test_a_prior_that_is_wrong_on_purpose_has_a_multiple_of_the_covariance():
    study = replace(STUDIES["episodes-10"], drawn=100)
    mdp, prior = study.make_problem()
    agents = study.make_agents(mdp, prior)
    true, half = (agents[name].agent.make_belief(mdp).prior() for name in ("oracle", "oracle, covariance x 0.5"))
    np.testing.assert_allclose(half.covariance, true.covariance / 2, rtol=1e-5)
    np.testing.assert_array_equal(half.mean, true.mean)
    assert agents["MTSRL, at random first"].agent.options["excitation"] == 1
    flat = read_gaussian(STUDIES["map-0.5-20"].make_problem()[1], 3, 20).covariance
    np.testing.assert_allclose(np.array(FLAT), flat, rtol=1e-9)


def test_one_thing_changes_at_a_time():
    for cell, study in STUDIES.items():
        near = cell.startswith("near-")
        kind, *numbers = cell.removeprefix("near-").split("-")
        mdp = study.make_mdp()
        episodes, horizon = study.steps // mdp.horizon, mdp.horizon
        if kind == "map":
            assert (study.truth_options["scale"], episodes, horizon) == (float(numbers[0]), int(numbers[1]), 3)
        else:
            expected = {"episodes": (numbers and int(numbers[0]), 3), "horizon": (40, numbers and int(numbers[0]))}
            assert (episodes, horizon) == expected.get(kind, (20, 3))
            assert study.prior_options["covariance"] == (0.3 if near else 4.0)
            assert study.tasks == (60 if near else 160 if kind == "long" else 40)
    assert all(STUDIES[cell].steps == 3 * n for cell, n in GROWTHS["N"].items())
    assert all(STUDIES[cell].steps == 40 * h for cell, h in GROWTHS["H"].items())


def test_tables_hold_cells_of_the_study():
    near = {cell for cells in GROWTHS.values() for cell in cells}
    for name, cells in {
        "mtsrl_shape": set(STUDIES),
        "mtsrl_shape_statements": set(STUDIES) - near,
        "mtsrl_shape_crossings": near.union(LAYERS),
        "mtsrl_shape_powers": set(LAYERS),
        "mtsrl_shape_curves": set(LAYERS),
    }.items():
        assert set(stored_table(name)["cell"]) == cells
    assert set(stored_table("mtsrl_shape_growth")["quantity"]) == set(GROWTHS)
