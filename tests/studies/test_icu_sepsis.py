"""The study of ICU-Sepsis at small size: each figure against another way to compute it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.environments import clinicians_policy, icu_sepsis
from bayesmdp.logs.log import label_indices
from bayesmdp.models import dirichlet_transitions
from bayesmdp.studies import icu_sepsis as study
from tests.statistical import assert_means


@pytest.fixture(scope="module")
def log():
    return study.treat(12, seed=3)


@pytest.fixture(scope="module")
def mdp(log):
    return bm.mdp_from_log(log, discount=study.DISCOUNT)


def test_a_log_holds_whole_patients(log):
    ends = log["terminated"].values
    assert ends.sum() == 12 and ends[-1] and not log["truncated"].values.any()
    went_on = ~ends[:-1]
    assert (log["state"].values[1:][went_on] == log["next_state"].values[:-1][went_on]).all()
    assert len(log.attrs["states"]) == 716


def test_posterior_draws_are_those_of_infer(log, mdp):
    rows = bm.compress(log, mdp)
    problem, counts, choices = study._compact(mdp, rows)
    assert problem.successor.shape[1:] == (13, 16) and counts.sum() == log.sizes["step"]
    concentration = study._concentration(problem, counts, 10.0)
    known = bm.infer(dirichlet_transitions(mdp, concentration=10 / 716), rows, mdp=mdp, draws=0)
    parameters = known["parameters"]["transition"].values
    for s, a in {(int(s), int(a)) for s, a in zip(rows.state, rows.action, strict=True)}:
        choice = int(np.flatnonzero(choices[s] == a)[0])
        for label in range(-1, 716):
            ours = concentration[s, choice][problem.successor[s, choice] == label].sum()
            theirs = parameters[s, a][mdp.successor[s, a] == label].sum()
            assert ours == pytest.approx(theirs, rel=1e-12)
    draws = study._draws(concentration, 400, np.random.default_rng(0))["transition"].values
    live = counts.any(-1)
    expected = concentration / concentration.sum(-1, keepdims=True)
    assert_means(draws[:, live], expected[live], "transition")


@pytest.mark.slow
def test_delivered_is_the_true_value_of_the_completed_policy():
    sepsis, clinicians = icu_sepsis(discount=study.DISCOUNT), clinicians_policy()
    rng = np.random.default_rng(0)
    action = np.array([rng.choice(np.flatnonzero(row)) for row in sepsis.available])
    known = rng.random(716) < 0.5
    policy = clinicians.copy()
    for s in np.flatnonzero(known):
        policy[s] = 0
        policy[s, action[s]] = 1
    # Not by bm.evaluate alone: by iteration as well.
    value = np.zeros(716)
    for _ in range(2_000):
        future = sepsis.reward + study.DISCOUNT * (value * ~sepsis.terminal)[sepsis.successor]
        after = (policy.values * (sepsis.transition * future).sum(-1)).sum(-1) * ~sepsis.terminal
        value, change = after, np.abs(after - value).max()
        if change < 1e-10:
            break
    delivered = study.deliver(action, known)
    assert delivered == pytest.approx(float(sepsis.initial @ value), abs=1e-8)
    assert delivered == pytest.approx(float(sepsis.initial @ bm.evaluate(sepsis, policy).values), abs=1e-12)
    references = study.references()
    assert study.deliver(action, np.zeros(716, bool)) == pytest.approx(references["clinicians"], abs=1e-12)
    best = np.array([sepsis.action_index(label) for label in bm.solve(sepsis).policy.values.tolist()])
    assert study.deliver(best, ~sepsis.terminal) == pytest.approx(references["optimal"], abs=1e-8)


def under_one_action(patients):
    """What only the first tried action of each state does: the lumped rows' problem and concentrations, and the whole.

    Returns
    -------
    mdp, problem : MDP
    concentration : array [state, 1, outcome]
    whole : array [state, state]
        Concentrations without anything lumped.
    entering : array [state, state]
        Rewards; 0 after a state that nobody acted in, of which none are known.
    """
    log = study.treat(patients, seed=0)
    mdp = bm.mdp_from_log(log, discount=study.DISCOUNT)
    problem, counts, _ = study._compact(mdp, bm.compress(log, mdp))
    slot = np.zeros((716, 1), int)
    concentration = study._along(study._concentration(problem, counts, 1.0), slot)
    successor, seen = problem.successor[:, 0], problem.successor[:, 0] >= 0
    whole, entering = np.full((716, 716), 1 / 716), np.zeros(716)
    np.add.at(whole, (np.nonzero(seen)[0], successor[seen]), counts[:, 0][seen])
    entering[label_indices(log, "next_state", mdp.states)] = log["reward"]
    entering = counts[:, 0].any(-1)[:, None] * entering
    return mdp, study._chosen(problem, slot), concentration, whole, entering


def value_of(mdp, kernel, entering):
    live = ~mdp.terminal
    kernel = kernel * (live[:, None] / kernel.sum(-1, keepdims=True))
    return mdp.initial @ np.linalg.solve(np.eye(716) - study.DISCOUNT * kernel * live, (kernel * entering).sum(-1))


def test_lumping_changes_nothing_under_the_mean_kernel():
    mdp, problem, concentration, whole, entering = under_one_action(300)
    mean = study._kernels((concentration / concentration.sum(-1, keepdims=True))[None])
    lumped = bm.value_draws(mean, problem, "uniform").values[0] @ mdp.initial
    assert lumped == pytest.approx(value_of(mdp, whole, entering), abs=1e-9)


@pytest.mark.slow
def test_lumping_is_not_what_makes_promises_large():
    """The whole posterior over 716 next states, elsewhere not lumped: the quantile value moves by a hundredth."""
    mdp, problem, concentration, whole, entering = under_one_action(300)
    rng = np.random.default_rng(0)
    lumped = bm.value_draws(study._draws(concentration, 200, rng), problem, "uniform").values @ mdp.initial
    values = [value_of(mdp, rng.standard_gamma(whole), entering) for _ in range(100)]
    assert abs(np.mean(values) - lumped.mean()) < 0.005
    assert abs(np.quantile(values, 0.1) - np.quantile(lumped, 0.1)) < 0.015


@pytest.mark.slow
def test_cells_and_table(tmp_path, monkeypatch):
    study.main(tmp_path / "cells", tmp_path, patients=[12], logs=2, draws=20, judges=40)
    cells = pd.concat([pd.read_csv(tmp_path / "cells" / f"icu-sepsis-12-{i}.csv") for i in (0, 1)])
    assert len(cells) == 2 * 2 * 4
    assert cells["log"].tolist() == [0] * 8 + [1] * 8
    figures = cells[["promise", "quantile_value", "mean_value", "delivered"]]
    assert ((figures >= 0) & (figures <= 1)).all(axis=None)
    by_plan = cells.set_index(["log", "prior", "plan"])["promise"].unstack("plan")
    assert (by_plan["CVaR 0.1"] <= by_plan["quantile 0.1"] + 1e-4).all()
    assert (by_plan["quantile 0.1"] < by_plan["quantile 0.3"]).all()
    table = pd.read_csv(tmp_path / "icu_sepsis.csv")
    assert len(table) == 8
    row = table.set_index(["prior", "plan"]).loc[("by evidence", "mean")]
    sample = cells[(cells["prior"] == "by evidence") & (cells["plan"] == "mean")]["margin"]
    assert row["margin"] == pytest.approx(sample.mean(), abs=1e-4)
    assert row["margin_upper"] - row["margin"] == pytest.approx(stats.t.ppf(0.975, 1) * stats.sem(sample), abs=2e-4)
    assert row["kept"] == (sample >= 0).mean()
    # Finished: nothing is run again.
    monkeypatch.setattr(study, "run_cell", None)
    study.main(tmp_path / "cells", tmp_path, patients=[12], logs=2)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "icu_sepsis.csv"), table)
