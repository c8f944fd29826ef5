"""Plans for something else are those that would have been made, and what is read back is what was judged by."""

import numpy as np
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.planning.posterior_value import at_start, value_draws
from bayesmdp.reports import sensitivity as sensitivity_module
from bayesmdp.reports.kept_plan import read_plan
from bayesmdp.reports.reasons import followed, reasons
from bayesmdp.reports.sensitivity import sensitivity
from bayesmdp.results.files import write_tree

OPTIONS = {"risk": "quantile:0.2", "draws": 50, "calibration": 0, "seed": 3}


@pytest.fixture(scope="module")
def log():
    return bm.collect(bm.environments.grid(2, 3), policy="uniform", steps=300, seed=1)


@pytest.fixture(scope="module")
def report(log):
    return plan_log(log, discount=0.9, **OPTIONS)


@pytest.fixture(scope="module")
def told(report):
    return sensitivity(read_plan(report.tree))


def changed(told: xr.Dataset, what: str, value: str) -> xr.Dataset:
    (place,) = np.flatnonzero((told["what"] == what) & (told["value"] == value))
    return told.isel(change=int(place))


def test_the_plan_at_hand_is_the_first(report, told):
    first = told.isel(change=0)
    assert float(first["bound"]) == report.tree.attrs["initial_worth_quantile"]
    assert float(first["gain_bound"]) == report.gain
    assert int(first["changed"]) == 0


@pytest.mark.parametrize(
    ("what", "value", "asked"),
    [
        ("discount", "0.8", {"discount": 0.8}),
        ("level", "quantile:0.4, less careful", {"discount": 0.9, "risk": "quantile:0.4"}),
    ],
)
def test_other_discounts_and_levels_are_what_was_not_asked(log, report, told, what, value, asked):
    other, row = plan_log(log, **(OPTIONS | asked)), changed(told, what, value)
    acted = (report.policy["tried"] > 0) & ~report.policy["terminal"]
    differ = (other.policy["action"] != report.policy["action"]) & acted
    assert int(row["changed"]) == int(differ.sum())
    assert float(row["changed_share"]) == pytest.approx(float(report.policy["visits"].where(differ, 0).sum()) / 300)
    # At the level of the plan at hand, whatever the other's own is.
    values = other.tree["at_start"]["value"].values
    assert float(row["bound"]) == pytest.approx(np.sort(values)[int(np.ceil(0.2 * 50)) - 1], rel=1e-12)
    assert bool(row["comparable"]) == (what == "level")


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"quantile": "exact", "rewards": "known"}, ["prior"] * 2 + ["discount"] * 2 + ["level"] * 2),
        ({"risk": "mean"}, ["prior"] * 2 + ["discount"] * 2 + ["draws"]),
        ({"risk": "cvar:0.6"}, ["prior"] * 2 + ["discount"] * 2 + ["level", "draws"]),
        ({"discount": None, "horizon": 1}, ["prior"] * 2 + ["horizon"] + ["level"] * 2 + ["draws"]),
    ],
    ids=["exact", "mean", "no doubled level", "one step"],
)
def test_what_can_be_asked_otherwise_is(log, options, changes):
    report = plan_log(log, **({"discount": 0.9, **OPTIONS} | options))
    told = sensitivity(read_plan(report.tree))
    assert told["what"].values.tolist() == ["as planned", *changes]
    assert float(told["bound"][0]) == report.tree.attrs["initial_worth_quantile"]
    assert float(told["gain_bound"][0]) == pytest.approx(report.gain, abs=1e-12)
    assert int(told["changed"][0]) == 0


def test_a_discount_near_one_is_told_in_full(log):
    told = sensitivity(read_plan(plan_log(log, discount=0.9999, **OPTIONS).tree))
    assert told["value"].values[told["what"].values == "discount"].tolist() == ["0.9998", "0.99995"]


def test_the_prior_is_weighed_otherwise(report, told):
    plan = read_plan(report.tree)
    parameters = report.tree["parameters"]["transition"].values
    drawn = plan.posterior(fresh=True, prior_weight=1_000.0)["posterior"]["transition"].values.reshape(
        50, *plan.mdp.sizes
    )
    prior = parameters - plan.counts
    heavy = plan.counts + 1_000 * prior
    mean = heavy / heavy.sum(-1, keepdims=True)
    tried = plan.tries > 0
    np.testing.assert_allclose(drawn.mean(0)[tried], mean[tried], atol=0.05)
    assert np.abs(plan.counts[tried] / plan.tries[tried][:, None] - mean[tried]).max() > 0.1
    assert float(changed(told, "prior", "three times its weight")["bound"]) != float(told["bound"][0])


def test_a_plan_is_read_back_from_its_file(report, tmp_path):
    write_tree(report.tree, tmp_path / "plan.nc")
    with xr.open_datatree(tmp_path / "plan.nc", engine="h5netcdf") as opened:
        kept = read_plan(opened.load())
    values = at_start(value_draws(kept.posterior(fresh=True), kept.mdp, kept.policy), kept.mdp)
    np.testing.assert_array_equal(values, report.tree["at_start"]["value"])
    np.testing.assert_array_equal(kept.tries.sum(-1), report.policy["visits"])
    xr.testing.assert_equal(reasons(kept), reasons(read_plan(report.tree)))


def test_reasons_are_of_one_step_and_the_plan_from_then_on(report):
    """Under each draw by itself, with the value from its own system of equations."""
    plan = read_plan(report.tree)
    mdp, found = plan.mdp, reasons(plan)
    drawn = plan.posterior(fresh=True)["posterior"]["transition"].values.reshape(50, *mdp.sizes)
    live, state = ~mdp.terminal, np.arange(mdp.num_states)
    paid = np.broadcast_to(mdp.reward, mdp.sizes)
    differences = []
    runner = [mdp.actions.index(label) if label else 0 for label in found["runner_up"].values.tolist()]
    for kernel in drawn:
        q = live[:, None] * (kernel * paid).sum(-1)
        rows = live[:, None] * kernel[state, plan.chosen] * live
        value = np.linalg.solve(np.eye(mdp.num_states) - 0.9 * rows, q[state, plan.chosen])
        q = q + 0.9 * live[:, None] * (kernel @ (live * value))
        differences.append(q[state, plan.chosen] - q[state, runner])
        best = np.where((plan.tries > 0) & (np.arange(4) != plan.chosen[:, None]), q, -np.inf)
        assert np.isfinite(best[live]).any()
    there = (found["runner_up"] != "").values
    mean, (low, high) = np.mean(differences, 0), np.quantile(differences, [0.05, 0.95], 0, method="inverted_cdf")
    for name, exact in (("difference", mean), ("difference_lower", low), ("difference_upper", high)):
        np.testing.assert_allclose(found[name].values[there], exact[there], atol=1e-9)
    assert there.sum() == live.sum()
    # The runner-up is the best of the others on average.
    others = found["q"].values.copy()
    others[state, plan.chosen] = -np.inf
    assert (np.nan_to_num(others, nan=-np.inf).argmax(-1)[there] == np.array(runner)[there]).all()


def test_what_followed_is_what_the_log_has(log, report):
    plan = read_plan(report.tree)
    first, action = log["state"].values[0], log["action"].values[0]
    own = log["next_state"].values[(log["state"].values == first) & (log["action"].values == action)]
    labels, counts = np.unique(own, return_counts=True)
    next_states, more = followed(plan, plan.mdp.state_index(first), plan.mdp.action_index(action), most=2)
    assert dict(next_states).items() <= dict(zip(labels.tolist(), counts.tolist(), strict=True)).items()
    assert more == max(0, len(labels) - 2) and next_states[0][1] == counts.max()


@pytest.mark.slow
def test_priors_that_compute_their_transitions_are_explained_by_draws():
    """The file has no model to make draws with, so that the draws themselves are kept."""
    log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=300, seed=0)
    report = plan_log(log, prior="river_current", discount=0.9, draws=40, calibration=0)
    plan = read_plan(report.tree)
    values = at_start(value_draws(plan.posterior(fresh=True), plan.mdp, plan.policy), plan.mdp)
    np.testing.assert_array_equal(values, report.tree["at_start"]["value"])
    told = sensitivity(plan)
    assert "because its rows are not Dirichlet" in told.attrs["skipped"] and "prior" not in told["what"].values
    assert float(told["bound"][0]) == report.tree.attrs["initial_worth_quantile"]


@pytest.mark.parametrize(
    "options",
    [pytest.param({"discount": 0.9}, marks=pytest.mark.slow), {"horizon": 6}, {"discount": 0.9, "rewards": "normal"}],
)
def test_the_weight_of_the_prior_says_the_same_on_the_terminal_and_the_page(options):
    log = bm.collect(bm.environments.riverswim(4), policy="uniform", steps=2_000, seed=0)
    if "rewards" in options:
        noise = np.random.default_rng(0).normal(scale=0.1, size=2_000)
        log = log.assign(reward=log["reward"] + noise)
    tree = plan_log(log, draws=20, calibration=0, **options).tree
    told = sensitivity(read_plan(tree))
    weighed = told.isel(change=told["what"].values == "prior")
    assert weighed["changed"].values.tolist() == [0, 0]
    assert weighed["bound"].values.tolist() == [tree.attrs["initial_lighter"], tree.attrs["initial_heavier"]]
    assert len({*weighed["bound"].values.tolist(), tree.attrs["initial_worth_quantile"]}) == 3


def test_plans_of_a_large_problem_are_made_again_with_few_draws(log, report, monkeypatch):
    """All of them, so that what they differ in is not the number of draws; and none where even these are too many."""
    numbers = int(np.prod(read_plan(report.tree).mdp.sizes))
    monkeypatch.setattr(sensitivity_module, "THRIFTY", 20)
    monkeypatch.setattr(sensitivity_module, "AFFORDABLE", 49 * numbers)
    few, told = plan_log(log, discount=0.9, **OPTIONS | {"draws": 20}), sensitivity(read_plan(report.tree))
    assert told.attrs["draws"] == 20 and report.tree.attrs["draws"] == 50
    first = told.isel(change=0)
    assert float(first["bound"]) == few.tree.attrs["initial_worth_quantile"]
    acted = (few.policy["tried"] > 0) & ~few.policy["terminal"]
    assert int(first["changed"]) == int(((few.policy["action"] != report.policy["action"]) & acted).sum())
    # The others are set beside the plan with few draws, not beside the one at hand.
    other = plan_log(log, **(OPTIONS | {"discount": 0.8, "draws": 20}))
    differ = int(((other.policy["action"] != few.policy["action"]) & acted).sum())
    assert int(changed(told, "discount", "0.8")["changed"]) == differ
    content = bm.report_content(report)
    assert content["sensitivity"]["draws"] == 20
    monkeypatch.setattr(sensitivity_module, "MOST", 19 * numbers)
    assert "the problem is large" in sensitivity(read_plan(report.tree)).attrs["why_not"]


def test_the_page_says_how_few_draws_there_were(report, monkeypatch, tmp_path):
    bm.write_report(report, tmp_path / "all.html")
    assert "The problem is large" not in (tmp_path / "all.html").read_text()
    monkeypatch.setattr(sensitivity_module, "THRIFTY", 20)
    monkeypatch.setattr(sensitivity_module, "AFFORDABLE", 1)
    bm.write_report(report, tmp_path / "few.html")
    text = " ".join((tmp_path / "few.html").read_text().split())
    assert "all of them were made with 20 draws, the plan above too (with 50 it takes a different action in" in text
