"""What a plan from a log tells: one number to quote, and none where the log does not say where episodes start."""

import io
import json

import numpy as np
import pandas as pd
import pytest

import bayesmdp as bm
from bayesmdp.cli import plan_tables
from bayesmdp.cli.console import make_console
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline.plan_log import plan_log

# Down a corridor and back to where it starts; episodes are cut off after three steps.
STEPS = [("a", "b"), ("b", "c"), ("c", "a")]
CORRIDOR = pd.DataFrame(STEPS * 6, columns=["state", "next_state"]).assign(action="go", reward=[0.0, 0.0, 1.0] * 6)
MIXED = CORRIDOR.iloc[[0, 3, 1, 4, 2, 5, *range(6, 18)]]


def told(report, width=80) -> str:
    made = make_console()
    made.file, made.width = io.StringIO(), width
    for part in plan_tables.plan_told(report):
        made.print(part)
    return made.file.getvalue()


def plan(log, **options):
    prior = {"prior": "dirichlet_transitions", "settings": {"concentration": 0.1}}
    return plan_log(log, discount=0.5, draws=20, **prior, **options)


@pytest.fixture(scope="module")
def in_order():
    return plan(read_log(CORRIDOR.assign(truncated=[False, False, True] * 6, step=range(18))))


def test_the_number_is_not_lowered_below_what_any_policy_earns():
    lake = bm.environments.frozen_lake(discount=0.95)
    report = plan_log(bm.collect(lake, steps=300, seed=1), discount=0.95, draws=100)
    attrs = report.tree.attrs
    assert attrs["initial_worth_quantile"] < attrs["checked_lowered"]
    assert report.bound == attrs["checked_least"] == 0
    assert report.checked.endswith("(the number only to 0, because no policy earns less)")


def test_the_number_to_quote_is_the_checked_bound(in_order):
    text = " ".join(told(in_order).split())
    attrs = in_order.tree.attrs
    assert (
        f"earns at least {attrs['initial_bound']:#.4g} with probability 0.9 (sum of rewards discounted by 0.5)" in text
    )
    assert attrs["initial_bound"] == attrs["initial_worth_quantile"] - attrs["checked_lowered"]
    assert f"on {attrs['checked_logs']} simulated logs like yours" in text
    assert f"the number as first computed held in {attrs['checked_kept']}" in text
    assert f"criterion {attrs['initial_promise']:#.4g} at the start by quantile:0.1, by which" in text
    assert "columns left out step" in text
    assert json.loads(attrs["left_out"]) == ["step"]
    # It is the number of the state in which all episodes start.
    start = in_order.policy.sel(state="a")
    assert float(start["worth_quantile"]) == attrs["initial_worth_quantile"]


def test_the_log_is_asked_without_the_prior_too(in_order):
    """The corridor has one way to go, worth 1 every third step at half the discount a step."""
    opinion = in_order.tree["second_opinion"].to_dataset()
    assert float(opinion["value"].sel(estimator="fitted Q")) == pytest.approx(0.25 / (1 - 0.125), rel=1e-9)
    text = " ".join(told(in_order).split())
    assert "fitted Q: too few effective steps: 14 of 18" in text
    assert "the log has 6 episodes, but 10 are needed" in text


def test_words_are_whole_at_80_columns(in_order):
    text = told(in_order)
    words = {word for line in told(in_order, width=500).splitlines() for word in line.split()}
    assert {word for line in text.splitlines() for word in line.split()} <= words
    assert max(map(len, text.splitlines())) <= 80


def test_nothing_is_quoted_where_the_log_does_not_tell_the_start(in_order):
    with pytest.warns(UserWarning, match="numbers for the start would be wrong; none is reported"):
        log = read_log(MIXED)
    report = plan(log)
    assert not [name for name in report.tree.attrs if str(name).startswith("initial_")]
    text = " ".join(told(report).split())
    assert "what it earns not known: some rows of the log do not continue the row before" in text
    assert "own criterion" not in text
    # The rows are the same, so what does not depend on the start is too.
    np.testing.assert_array_equal(report.policy["worth_quantile"], in_order.policy["worth_quantile"])
    unordered = plan(read_log(MIXED, gaps="allow"))
    assert "initial_promise" not in unordered.tree.attrs


def test_where_the_start_is_not_known_any_state_may_be_it():
    lone = pd.concat([CORRIDOR[:9], pd.DataFrame([("z", "b", "go", 0.0)], columns=list(CORRIDOR)), CORRIDOR[9:]])
    with pytest.warns(UserWarning, match="Episodes are assumed to start in the first row"):
        log = read_log(lone.assign(terminated=False, truncated=False))
    assert plan(log).policy["on_path"].all()
    on_path = plan(log, initial="a").policy["on_path"]
    assert on_path["state"].values[~on_path].tolist() == ["z"]


def test_who_says_where_episodes_start_is_quoted(in_order):
    log = read_log(MIXED, gaps="allow")
    report = plan(log, initial="a")
    for name, value in in_order.policy.attrs.items():
        # This log does not say where recordings end, which the check makes others of.
        moved = "checked" in name or name in ("initial_bound", "initial_today_lower", "initial_today_upper")
        if not moved:
            assert report.policy.attrs[name] == pytest.approx(value, rel=1e-12)
    cut = plan(read_log(MIXED, gaps="cut"))
    assert "initial_promise" in cut.tree.attrs


def test_states_never_seen_are_told():
    log = read_log(CORRIDOR, gaps="allow", states=["a", "b", "c", "d"])
    assert "in 1 more states no action was tried" in " ".join(told(plan(log)).split())
