"""The clinic's records are those of its MDP: frequencies, bands, ends, and what its own recoding makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesmdp.environments import clinic, clinic_visits
from bayesmdp.environments.measured_clinic import BEHAVIOUR, CUTOFFS
from bayesmdp.logs.measured_states import states
from bayesmdp.logs.read_log import read_log


def test_records_follow_the_mdp() -> None:
    mdp, visits = clinic(), clinic_visits(4_000, seed=0)
    log = read_log(
        visits, columns={"action": "treatment", "reward": "well"}, state=CUTOFFS, states=mdp.states, end_column="ended"
    )
    state, action, after = (
        np.array([labels.index(label) for label in log[name].values.tolist()])
        for name, labels in (("state", mdp.states), ("action", mdp.actions), ("next_state", mdp.states))
    )
    counts = np.zeros(mdp.transition.shape)
    np.add.at(counts, (state, action, after), 1)
    tries = counts.sum(-1)
    p_values = []
    for s, a in np.argwhere(tries > 0):
        row = np.asarray(mdp.transition[s, a])
        assert not counts[s, a][row == 0].any()
        p_values.append(stats.chisquare(counts[s, a][row > 0], tries[s, a] * row[row > 0]).pvalue)
    # Fixed seed; Bonferroni over the 18 rows of the kernel, and over 6 of the behaviour.
    assert len(p_values) == 18 and min(p_values) > 0.01 / 18
    taken = tries[:6].reshape(2, 3, 3)
    assert min(
        stats.chisquare(t, t.sum() * row).pvalue for ages in taken for t, row in zip(ages, BEHAVIOUR, strict=True)
    )
    started = np.bincount(state[visits["hour"] == 0], minlength=8) / 4_000
    assert np.abs(started - np.asarray(mdp.initial)).max() < 4 * 0.5 / np.sqrt(4_000)
    assert (log["reward"].values == (log["next_state"].values == "well")).all()


def test_the_recoding_names_the_states_of_the_mdp() -> None:
    visits = clinic_visits(500, seed=1)
    assert states(visits, CUTOFFS).states == clinic().states[:6]
    assert set(visits["lactate"][visits["lactate"] >= 4] * 10 % 1 < 1e-6) == {True}
    assert visits["age"].between(18, 89).all()
    # Visit by visit, what came after is what comes next.
    goes_on = ~visits["terminated"].to_numpy()
    nexts = visits.shift(-1)[goes_on]
    for name in ("age", "lactate", "temperature"):
        assert (visits[f"next_{name}"][goes_on] == nexts[name]).all()
    assert clinic_visits(20, seed=3).equals(clinic_visits(20, seed=3))


@pytest.mark.parametrize(("arguments", "told"), [((0,), "patients"), ((2.5,), "patients")])
def test_refusals(arguments: tuple[object, ...], told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        clinic_visits(*arguments)  # type: ignore[arg-type] # what it is about
