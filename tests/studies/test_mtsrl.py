"""The study of learned priors: its settings, its statements by hand, and what the tutorial says of its tables."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayesmdp.studies import find
from bayesmdp.studies.mtsrl import STUDIES, claims_table, gap_rate, regret_by_task, regret_table
from bayesmdp.studies.tables import stored_table


def made_up(excess, tasks=40, replicates=12, noise=0.0):
    """Results in which an agent's regret in task k exceeds the oracle's 5 by excess(k)."""
    rng = np.random.default_rng(0)
    k = np.arange(tasks)
    means = np.stack([5.0 + np.broadcast_to(f(k), k.shape) for f in excess.values()])
    regret = means[:, None] + noise * rng.normal(size=(len(excess), replicates, tasks))
    halves = np.repeat(regret / 2, 2, axis=-1)  # two windows a task
    return xr.DataTree(
        xr.Dataset(
            {"regret": (("agent", "replicate", "step"), halves)},
            {"agent": list(excess), "task": ("step", np.repeat(k, 2))},
        )
    )


RESULT = made_up(
    {
        "RLSVI": lambda k: 10.0,
        "oracle": lambda k: 0.0,
        "MTSRL+": lambda k: np.where(k < 8, 10.0, 20 / np.sqrt(k + 1e-9)),
        "AdaTS": lambda k: 6.0,
    },
    noise=0.01,
)


def test_tables_by_hand():
    assert regret_by_task(RESULT).shape == (4, 12, 40)
    table = regret_table(RESULT)
    assert table.loc["RLSVI", "first"] == pytest.approx(15, abs=0.02)
    assert table.loc["MTSRL+", "last"] == pytest.approx(5 + (20 / np.sqrt(np.arange(30, 40))).mean(), abs=0.02)
    claims = claims_table(RESULT).set_index("statement")
    late = (20 / np.sqrt(np.arange(30, 40))).mean()
    assert claims.loc["MTSRL+: less regret than RLSVI at the end, by", "figure"] == pytest.approx(10 - late, abs=0.02)
    share = claims.loc["MTSRL+: share of RLSVI's excess over the oracle gone at the end"]
    assert share["figure"] == pytest.approx((10 - late) / 10, abs=0.01) and share["holds"] == "yes"
    assert claims.loc["MTSRL+: less regret than AdaTS at the end, by", "holds"] == "yes"


def test_the_power_of_a_power_law_is_found():
    found = gap_rate(RESULT)
    assert found.loc["MTSRL+", "power"] == pytest.approx(-0.5, abs=0.03)
    assert found.loc["MTSRL+", "lower"] < found.loc["MTSRL+", "power"] < found.loc["MTSRL+", "upper"]
    assert found.loc["MTSRL+", "above"] == 1
    below = made_up({"RLSVI": lambda k: 9.0, "oracle": lambda k: 0.0, "empirical Bayes": lambda k: -1.0})
    assert (
        np.isnan(gap_rate(below).loc["empirical Bayes", "power"])
        and gap_rate(below).loc["empirical Bayes", "above"] == 0
    )


@pytest.mark.slow
def test_a_small_run_has_every_agent_and_the_truth_of_the_other_features():
    study = replace(find("mtsrl/gaussian-additive"), tasks=10, steps=40, thin=40, replicates=2, drawn=100)
    mdp = study.make_mdp()
    assert mdp.features.shape[-1] == 6
    result = study.run()
    assert regret_by_task(result).shape == (8, 2, 10)
    assert result["priors/MTSRL+"]["mean"].dims == ("replicate", "task", "stage", "feature")
    assert result.attrs["title"] == study.title


def test_agents_are_told_what_they_know_and_no_more():
    study = replace(find("mtsrl/recommendation-small"), drawn=50)
    mdp, prior = study.make_problem()
    known = study._known(mdp, False)
    agents = study.make_agents(mdp, prior)

    def prior_of(name):
        return agents[name].agent.make_belief(mdp).prior()

    for name, noise in (("RLSVI", 0.001**0.5), ("RLSVI, true noise", known["noise"].values)):
        np.testing.assert_allclose(prior_of(name).noise, noise)
        np.testing.assert_allclose(prior_of(name).covariance[0], 5 * np.eye(20), rtol=1e-9)
    for name, noise in (("oracle", 0.001**0.5), ("oracle, true noise", known["noise"].values)):
        np.testing.assert_allclose(prior_of(name).noise, noise)
        np.testing.assert_allclose(prior_of(name).mean, known["mean"].values)
    np.testing.assert_array_equal(agents["MTSRL"].options["covariance"], known["covariance"].values)
    rewards = study._known(mdp, True)
    np.testing.assert_allclose(prior_of("bandit oracle, true noise").noise, rewards["noise"].values)
    assert (rewards["noise"].values != known["noise"].values)[0]


def test_full_size_is_full_size():
    study = find("mtsrl/recommendation")
    mdp = study.make_mdp()
    assert (mdp.num_states - 1, mdp.features.shape[-1]) == (4_521, 110)
    assert (study.tasks, study.steps // mdp.horizon, study.replicates) == (40, 200, 16)


def test_tables_hold_cells_of_the_study():
    for name in ("mtsrl", "mtsrl_claims", "mtsrl_rates", "mtsrl_curves"):
        cells = set(stored_table(name)["cell"])
        expected = set(STUDIES) - ({"riverswim"} if name in ("mtsrl_claims", "mtsrl_rates") else set())
        assert cells == expected
