"""The first sentence: it advises a plan only where nothing leaves in doubt what the plan's numbers rest on."""

import json

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.offline.log_alarms import SPARING
from bayesmdp.offline.measured_log_checks import MEASURED_ALARMS
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.reports.advice import advice_of, recommendation
from bayesmdp.reports.words import headline
from bayesmdp.reports.write import write_report
from tests.offline.test_plan_log import told
from tests.reports.test_write import parsed, words_of


@pytest.fixture(scope="module")
def sure():
    """A plan that is much better than what was done, of a log that shows it."""
    log = bm.collect(bm.environments.riverswim(4), policy="uniform", steps=2_000, seed=0)
    report = plan_log(log, discount=0.9, draws=40, calibration=9)
    assert report.gain > 0 and "unchecked" not in report.tree.attrs
    return report


def test_a_plan_that_nothing_speaks_against_is_advised(sure):
    status, sentence, cautions = advice_of(sure.tree)
    attrs = sure.tree.attrs
    assert status == "better" and not cautions
    assert sentence.startswith(
        f"Follow the plan below, provided that its assumptions hold. It earns at least {sure.gain:#.4g}"
    )
    own = sure.tree["at_start"]["value"].values.mean()
    assert (
        f"On average over draws it earns {own:#.4g}, and the policy in the log {attrs['initial_today']:#.4g}."
        in sentence
    )


def with_alarm(tree, *names):
    rings = np.isin(tree["log_checks"]["check"].values, names)
    assert rings.sum() == len(names)
    tree["log_checks"] = tree["log_checks"].to_dataset().assign(alarm=("check", rings))


def with_opinion(tree, name, value):
    opinion = tree["second_opinion"].to_dataset()
    tree["second_opinion"] = opinion.assign({name: ("estimator", np.full(opinion.sizes["estimator"], value))})


CASES = {
    "mostly unseen": (lambda tree: tree.attrs.update(initial_unseen=0.64), "64% of the future comes after a step that"),
    "alarm": (lambda tree: with_alarm(tree, "order"), "checks of the log raised an alarm (order), so what"),
    "two alarms": (lambda tree: with_alarm(tree, "dynamics drift", "few tries"), "an alarm (dynamics drift), so what"),
    "disagree": (lambda tree: with_opinion(tree, "disagrees", True), "the second opinion disagrees"),
    "unchecked": (
        lambda tree: tree.attrs.update(unchecked="too long"),
        "not checked on simulated logs like yours (too",
    ),
    "disagree, unchecked": (
        lambda tree: (with_opinion(tree, "disagrees", True), tree.attrs.update(unchecked="too long")),
        "chance explains; and the plan's numbers were not checked",
    ),
    "rather unseen": (lambda tree: tree.attrs.update(initial_unseen=0.3), ""),
    "few tries": (lambda tree: with_alarm(tree, *SPARING), ""),
    "no opinion": (lambda tree: with_opinion(tree, "tells", False), ""),
}


@pytest.mark.parametrize(("change", "doubt"), CASES.values(), ids=CASES)
def test_doubts_come_before_the_plan(change, doubt, sure):
    """What voids the numbers is in the first sentence, and all else in a caution: each is told once."""
    tree = sure.tree.copy()
    change(tree)
    status, sentence, cautions = advice_of(tree)
    first, *_ = sentence.split(". ")
    assert status == ("doubtful" if doubt else "better")
    assert (
        first.startswith("Do not rely on the plan below yet: " if doubt else "Follow the plan below") and doubt in first
    )
    assert ("Until this is settled, continue as today." in sentence) == bool(doubt)
    assert len(cautions) == (not doubt or "dynamics" in doubt)
    # Where there is nothing to compare with, doubts come first too.
    tree.attrs = {name: value for name, value in tree.attrs.items() if "gain" not in str(name)}
    status, sentence, _ = advice_of(tree)
    assert status == "not compared" and sentence.startswith("Do not rely" if doubt else "If the assumptions")


def test_what_is_not_advised_anyway_has_all_of_it_among_the_cautions(sure):
    tree = sure.tree.copy()
    tree.attrs |= {"initial_unseen": 0.64, "initial_gain_bound": -1.0}
    status, sentence, cautions = advice_of(tree)
    assert status == "not shown" and "continuing as today is the safer choice" in sentence
    assert cautions == ["64% of the future comes after a step that never occurred in the log."]
    tree.attrs["space"] = "{}"
    assert advice_of(tree).cautions == ["64% of the future comes after a step that no row of the log was near."]


def test_a_gain_that_the_check_does_not_support_is_not_shown(sure):
    attrs = dict(sure.tree.attrs) | {"initial_better_checked": 0.8}
    status, sentence = recommendation(attrs)
    assert status == "not shown" and "0.80 by the check. That is less than the 0.9 with which it would earn" in sentence
    assert headline(attrs, "")["better"].startswith("not shown: by at least")
    assert recommendation(attrs | {"level": 0.2})[0] == "better"
    status, sentence = recommendation(attrs | {"level": 0.9})
    # The evidence may be strong: it is the level that shows nothing.
    assert status == "not shown" and sentence.startswith(
        "A level above 0.5, as was requested, cannot show that the plan"
    )
    assert "but only with probability 0.1." in sentence and "not enough evidence" not in sentence


def test_every_alarm_that_spares_the_numbers_is_one():
    assert set(SPARING) < set(MEASURED_ALARMS)


def test_terminal_page_and_file_begin_with_the_same_words(sure, tmp_path):
    write_report(sure, tmp_path / "report.html", tmp_path / "report.json")
    sentence = advice_of(sure.tree).sentence
    words = words_of(parsed((tmp_path / "report.html").read_text("utf-8")).find("body"))
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["recommendation"]["sentence"] == sentence
    terminal = " ".join(told(sure).split())
    assert sentence in words and terminal.index(sentence) < terminal.index("What the policy earns")


def test_a_bound_that_is_rather_not_kept_recommends_nothing():
    log = bm.collect(bm.environments.riverswim(4), steps=400, seed=0)
    for risk, status in (("quantile:0.5", "better"), ("quantile:0.6", "not shown")):
        attrs = plan_log(log, risk=risk, discount=0.9, draws=20, calibration=0).tree.attrs
        assert attrs["initial_gain_bound"] > 0 and recommendation(attrs)[0] == status
        assert ("Follow the plan" in recommendation(attrs)[1]) == (status == "better")


def test_where_a_loss_is_possible_it_is_said_to_go_on_as_today():
    log = bm.collect(bm.environments.riverswim(4), steps=400, seed=0)
    attrs = dict(plan_log(log, discount=0.9, draws=20, calibration=0).tree.attrs)
    for bound, advised in ((0.1, False), (-0.1, True)):
        status, sentence = recommendation(attrs | {"initial_gain_bound": bound})
        assert status == ("not shown" if advised else "better") and ("continuing as today" in sentence) == advised
