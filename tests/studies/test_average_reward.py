"""The study of the average reward: its fit against SciPy, its cells at small size."""

import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.studies import find
from bayesmdp.studies.average_reward import (
    AGENTS,
    HORIZONS,
    STUDIES,
    WORLDS,
    exponent_table,
    fitted_exponent,
    regret_table,
)


def test_every_agent_runs_at_every_horizon_on_every_world():
    assert HORIZONS[0] == 1_000 and HORIZONS[-1] == 100_000
    for world in WORLDS:
        for steps in HORIZONS:
            study = STUDIES[f"{world}-{steps}"]
            assert (study.steps, list(study.agents)) == (steps, list(AGENTS))
    assert {spec.algorithm for spec in AGENTS.values()} >= {
        "scal",
        "psrl",
        "ucrl2",
        "ucb_avg",
        "mdp_oomd",
        "mdp_exp2",
        "olsvi_fh",
        "optimistic_q_learning",
    }


@pytest.mark.parametrize("world", WORLDS)
def test_something_is_at_stake(world):
    """Starts differ in worth, so that it matters where an action leads, and to drift about costs."""
    mdp = find(f"average-reward/{world}-1000").make_mdp()
    solved = bm.solve(mdp)
    share = mdp.available / mdp.available.sum(-1, keepdims=True)
    kernel = np.einsum("sa,sat->st", share, mdp.transition)
    earned = np.linalg.matrix_power(kernel, 10_000)[0] @ (share[..., None] * mdp.transition * mdp.reward).sum((1, 2))
    assert solved.attrs["span"] > 0.5
    assert float(solved.gain) - earned > 0.05


def test_exponents_are_those_of_a_regression_and_intervals_cover():
    rng = np.random.default_rng(0)
    horizons = np.array([1e3, 1e4, 1e5])

    def sample(power):
        return [3 * T**power * rng.lognormal(0, 0.3, 16) for T in horizons]

    drawn = sample(0.7)
    found = fitted_exponent(horizons, drawn)
    means = [np.log(np.mean(values)) for values in drawn]
    assert found[0] == pytest.approx(stats.linregress(np.log(horizons), means).slope, abs=1e-12)
    covered = 0
    for _ in range(60):
        _, lower, upper = fitted_exponent(horizons, sample(0.5))
        covered += lower <= 0.5 <= upper
    # 95%, less what 16 runs and a percentile bootstrap miss.
    assert covered >= 50
    gaps = {"learns": sample(0.5), "does not": sample(1.2)}
    table = exponent_table({"world": {name: dict(zip(horizons, found, strict=True)) for name, found in gaps.items()}})
    assert table["sublinear"].tolist() == ["yes", "no"]


@pytest.mark.parametrize("cell", ["riverswim-1000", pytest.param("inventory-1000", marks=pytest.mark.slow)])
def test_a_world_at_small_size(cell):
    study = find(f"average-reward/{cell}")
    # Told the horizon of the run and the true span, not those of the declaration.
    mdp = study.make_mdp()
    agents = study.make_agents(mdp, study.make_prior(mdp), 60)
    assert agents["gamma-UCB-CVI"].options["horizon"] == 60
    if cell.startswith("river"):
        assert agents["gamma-UCB-CVI"].options["span"] == pytest.approx(6.3103, abs=1e-4)
    table = regret_table(study.with_agents(["gamma-LSCVI-UCB"]).run(steps=60, replicates=2, thin=20))
    assert (table["gap"] >= 0).all()
    assert 0 <= table["frozen"]["gamma-LSCVI-UCB"] <= 1


@pytest.mark.slow
def test_clipping_matters_where_a_room_is_not_worth_finding():
    """The paper's reason for clipping: without it optimism is worth 1 / (1 - gamma), and the agent pays for it."""
    room = find("average-reward/rare-room-1000")
    pair = ["gamma-UCB-CVI, visited", "gamma-UCB-CVI, visited, not clipped"]
    table = regret_table(room.with_agents(pair).run(replicates=8))["gap"]
    assert table["gamma-UCB-CVI, visited, not clipped"] > 10 * table["gamma-UCB-CVI, visited"]
