"""Beside a plan: when estimates without a prior disagree with the posterior, and what is said of a log."""

import numpy as np
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.offline import second_opinion as module
from bayesmdp.offline.off_policy import ESTIMATORS, off_policy
from bayesmdp.offline.second_opinion import second_opinion
from bayesmdp.reports.opinions import opinions_told
from bayesmdp.studies.second_opinions import Kind, log_and_problem

LOG, MDP, BEHAVIOUR = log_and_problem(np.random.default_rng(0), Kind("end", 60))
ACTIONS = xr.DataArray(np.zeros(6, int), dims="state")


@pytest.fixture(scope="module")
def told():
    return off_policy(LOG, BEHAVIOUR, mdp=MDP, bootstrap=100)


def worth(told, name, spreads):
    """Draws about the estimate of an estimator, off by some of its standard deviations, and much surer than it."""
    own = told.sel(estimator=name)
    return xr.DataArray(float(own["value"] + spreads * own["sd"]) + np.linspace(-1e-6, 1e-6, 51), dims="draw")


def test_disagreement_is_beyond_what_chance_explains(told):
    """Of four that tell, beyond 2.5 standard deviations."""
    assert told["tells"].all()
    for spreads, beyond in ((2.4, False), (2.6, True), (-2.6, True)):
        assert bool(module.disagrees(told, worth(told, "fitted Q", spreads)).sel(estimator="fitted Q")) == beyond
    # What the posterior leaves open is counted, and who cannot tell does not disagree.
    open_minded = worth(told, "fitted Q", 2.6) + np.random.default_rng(0).normal(size=51)
    assert not module.disagrees(told, open_minded).any()
    silent = told.assign(tells=("estimator", [False] * 4))
    assert not module.disagrees(silent, worth(told, "fitted Q", 20)).any()


def text_of(told, spreads, checked):
    disagrees = module.disagrees(told, worth(told, "fitted Q", spreads))
    groups = {"second_opinion": told.assign(disagrees=disagrees), "log_checks": checked}
    return opinions_told(xr.DataTree.from_dict(groups))


def test_it_is_told_in_short(told):
    checked = bm.check_log(LOG, BEHAVIOUR, mdp=MDP, permutations=119)
    quiet = text_of(told, 0, checked)
    assert list(quiet) == ["value", "the log"]
    assert quiet["value"].endswith("; in agreement with the posterior, within chance")
    assert all(f"{name} {float(told['value'].sel(estimator=name)):#.4g} (" in quiet["value"] for name in ESTIMATORS)
    assert quiet["the log"].startswith("no problem found by order, hidden cause, dynamics drift")
    loud = text_of(told, 20, checked)
    assert "fitted Q and the posterior differ by more than chance; a likely cause is that the prior" in loud["disagree"]
    alone = told.assign(disagrees=("estimator", [False, True, False, False]))
    alone = opinions_told(xr.DataTree.from_dict({"second_opinion": alone, "log_checks": checked}))
    assert alone["disagree"].startswith("weighted and the posterior differ by more than chance; the states may leave")


def test_alarms_are_told_with_what_they_mean_and_what_to_do():
    drifted, mdp, _ = log_and_problem(np.random.default_rng([4, 43]), Kind("end", 300, fault="dynamics drift"))
    found = second_opinion(drifted, mdp, ACTIONS, xr.DataArray([0.0, 0.1], dims="draw"), seed=0)
    said = opinions_told(xr.DataTree.from_dict(found))
    assert "the log" not in said
    assert said["alarm: dynamics drift"].startswith("difference between the halves: p 0.0")
    assert (
        "Meaning: the same action in the same state had other outcomes in the later half"
        in said["alarm: dynamics drift"]
    )
    assert "What to do: plan from the later half" in said["alarm: dynamics drift"]
    assert "too few effective episodes: " in said["cannot tell"]


def test_what_is_not_asked(monkeypatch):
    assert set(second_opinion(LOG, MDP, ACTIONS, None, seed=0)) == {"log_checks"}
    staged = MDP.replace(discount=None, horizon=3)
    found = second_opinion(LOG, staged, ACTIONS.expand_dims(stage=3), xr.DataArray([0.0], dims="draw"), seed=0)
    tree = xr.DataTree.from_dict(found)
    tree.attrs["horizon"] = 3
    assert opinions_told(tree)["value"].startswith("not available: the policy is by stage")
    monkeypatch.setattr(module, "LARGE", 50)
    assert second_opinion(LOG, MDP, ACTIONS, None, seed=0) == {}
    assert "bm.check_log" in opinions_told(xr.DataTree())["not asked"]
