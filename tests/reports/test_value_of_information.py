"""What more tries of a pair would gain, beside enumeration of what they show and of all plans, and closed forms."""

from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import gammaln

import bayesmdp as bm
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.reports.kept_plan import read_plan
from bayesmdp.reports.mean_model import after_tries, mean_model
from bayesmdp.reports.value_of_information import value_of_information
from tests.statistical import assert_p_value

DISCOUNT = 0.8
# Two ways from each of two rooms, seen a few times each; who leaves the second one is done.
ROWS = [
    *[("a", "stay", "a", 0.2)] * 3,
    *[("a", "go", "b", 0.0)] * 3,
    *[("a", "go", "a", 0.0)] * 2,
    *[("b", "stay", "b", 0.3)] * 4,
    *[("b", "stay", "a", 0.3)] * 2,
    *[("b", "go", "out", 1.0)] * 2,
    ("b", "go", "a", 1.0),
]


def rooms(rows=ROWS) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["state", "action", "next_state", "reward"])
    return table.assign(terminated=table["next_state"] == "out", truncated=table["next_state"] != "out")


@pytest.fixture(scope="module")
def plan():
    prior = {"prior": "dirichlet_transitions", "settings": {"concentration": 0.5}}
    report = plan_log(
        read_log(rooms()), discount=DISCOUNT, rewards="known", draws=20, calibration=0, initial="a", **prior
    )
    return read_plan(report.tree)


def value(plan, concentration, policy) -> float:
    """At the start, by the mean model, of actions [state]."""
    live = ~plan.mdp.terminal
    state = np.arange(len(policy))
    rows = (concentration / concentration.sum(-1, keepdims=True))[state, policy]
    reward = (rows * np.broadcast_to(plan.mdp.reward, plan.mdp.sizes)[state, policy]).sum(-1) * live
    system = np.eye(len(policy)) - DISCOUNT * live[:, None] * rows * live
    return float(plan.mdp.initial @ np.linalg.solve(system, reward))


def policies(plan):
    choices = [np.flatnonzero(plan.mdp.available[s]) if not plan.mdp.terminal[s] else [0] for s in range(3)]
    return [np.array(each) for each in product(*choices)]


def enumerated(plan, state: int, action: int, tries: int, *, worth, among) -> float:
    """The expected gain, over all that so many tries can show (Dirichlet-multinomial) and all plans."""
    prior = np.where(plan.concentration > 0, plan.concentration, 1.0)
    present = max(among, key=lambda policy: worth(prior, policy))
    own, gain, whole = prior[state, action], 0.0, 0.0
    for shown in product(range(tries + 1), repeat=3):
        if sum(shown) != tries:
            continue
        log = gammaln(tries + 1) + gammaln(own.sum()) - gammaln(own.sum() + tries)
        log += sum(gammaln(a + n) - gammaln(a) - gammaln(n + 1) for a, n in zip(own, shown, strict=True))
        after = prior.copy()
        after[state, action] += shown
        best = max(worth(after, policy) for policy in among)
        gain += np.exp(log) * (best - worth(after, present))
        whole += np.exp(log)
    assert whole == pytest.approx(1, abs=1e-12)
    return gain


@pytest.mark.parametrize("tries", [1, 4])
def test_the_gain_is_that_of_enumeration(plan, tries):
    told = value_of_information(plan, tries=tries, samples=20_000, seed=1)
    assert told["whole"].sum() == 4
    positive = 0
    for state, action in np.argwhere(plan.tries > 0):
        gain, error = (float(told[name][state, action]) for name in ("gain", "error"))
        exact = enumerated(plan, state, action, tries, worth=partial(value, plan), among=policies(plan))
        assert gain == pytest.approx(exact, abs=5 * error + 1e-12)
        positive += exact > 1e-6
    assert positive >= 2


def test_what_was_never_tried_is_not_told(plan):
    told = value_of_information(plan)
    np.testing.assert_array_equal(np.isnan(told["gain"]), plan.tries == 0)


def test_changing_one_state_gains_no_more_than_changing_all(plan, monkeypatch):
    whole = value_of_information(plan, tries=4, samples=500)
    monkeypatch.setattr("bayesmdp.reports.value_of_information.WORK", 0)
    part = value_of_information(plan, tries=4, samples=500)
    assert whole["whole"].any() and not part["whole"].any()
    # The same outcomes were simulated.
    assert (part["gain"] <= whole["gain"] + 1e-12).where(plan.tries > 0, True).all()


def arms(kind: str):
    """Two arms in one state, each tried some times."""
    paid = {"one": [-0.5, 1.5, 0.2, 0.8] * 3, "two": [-0.6, 1.4, 0.4, 0.2, 0.7]}
    if kind == "bernoulli":
        paid = {"one": [1.0] * 7 + [0.0] * 5, "two": [1.0] * 3 + [0.0] * 3}
    table = pd.DataFrame([("s", arm, "s", r) for arm, each in paid.items() for r in each])
    table.columns = ["state", "action", "next_state", "reward"]
    log = read_log(table.assign(truncated=True))
    report = plan_log(log, discount=0.5, elsewhere="none", rewards=kind, draws=20, calibration=0)
    return read_plan(report.tree)


def test_arms_that_pay_ones_gain_what_enumeration_says():
    plan, tries = arms("bernoulli"), 5
    told = value_of_information(plan, tries=tries, samples=20_000)
    parameters = plan.tree["parameters/reward"].values[0]
    mean = parameters[:, 0] / parameters.sum(-1)
    for arm, (a, b) in enumerate(parameters):
        ones = np.arange(tries + 1)
        after = (a + ones) / (a + b + tries)
        present = after if mean[arm] > mean[1 - arm] else np.full(tries + 1, mean[1 - arm])
        gained = np.maximum(after, mean[1 - arm]) - present
        exact = stats.betabinom(tries, a, b).pmf(ones) @ gained / (1 - 0.5)
        assert float(told["gain"][0, arm]) == pytest.approx(exact, abs=5 * float(told["error"][0, arm]))
        assert exact > 0.001


def test_arms_that_scatter_gain_what_the_closed_form_says():
    plan, tries = arms("normal"), 8
    told = value_of_information(plan, tries=tries, samples=20_000)
    (one, two), noise = plan.tree["parameters/reward"].values[0], plan.tree["problem/noise"].values[0]
    for arm, (own, other) in enumerate(((one, two), (two, one))):
        left = 1 / (1 / own[1] ** 2 + tries / noise[arm] ** 2)
        spread = np.sqrt(own[1] ** 2 - left)
        distance = -abs(own[0] - other[0]) / spread
        exact = spread * (stats.norm.pdf(distance) + distance * stats.norm.cdf(distance)) / (1 - 0.5)
        assert float(told["gain"][0, arm]) == pytest.approx(exact, abs=5 * float(told["error"][0, arm]))
        assert exact > 0.001


@pytest.mark.parametrize("rewards", ["normal", pytest.param("bernoulli", marks=pytest.mark.slow)])
def test_what_tries_show_of_entered_states_is_what_updates_say(rewards):
    """Beside a posterior that is updated reward by reward, with rewards drawn from its own draws."""
    log = bm.collect(bm.environments.grid(3, 3, discount=0.9), policy="uniform", steps=3_000, seed=0)
    rng = np.random.default_rng(0)
    paid = log["reward"].values
    paid = rng.random(paid.size) < 0.05 + 0.7 * paid if rewards == "bernoulli" else paid + rng.normal(0, 0.3, paid.size)
    log = log.assign(reward=("step", paid.astype(float)))
    plan = read_plan(plan_log(log, discount=0.9, draws=20, calibration=0, initial="2,0").tree)
    known = plan.tree["parameters"].to_dataset()["reward"]
    assert known.dims == ("next_state", "parameter")
    state, tries = plan.mdp.states.index("0,1"), 6  # beside the goal
    action = int(np.argmax(plan.concentration[state, :, plan.mdp.states.index("0,2")]))
    told = after_tries(plan, state, action, tries=tries, samples=4_000, rng=np.random.default_rng(1)).reward
    row, found = plan.concentration[state, action], []
    for _ in range(4_000):
        entered = rng.choice(row.size, size=tries, p=rng.dirichlet(row))
        shown = np.bincount(entered, minlength=row.size)
        if rewards == "normal":
            mean, sd = known.sel(parameter="mean").values, known.sel(parameter="sd").values
            noise, level = plan.tree["problem/noise"].values, rng.normal(mean, sd)
            total = np.bincount(entered, rng.normal(level[entered], noise[entered]), row.size)
            mean = (mean / sd**2 + total / noise**2) / (1 / sd**2 + shown / noise**2)
        else:
            a, b = known.sel(parameter="a").values, known.sel(parameter="b").values
            ones = np.bincount(entered, rng.random(tries) < rng.beta(a, b)[entered], row.size)
            mean = (a + ones) / (a + b + shown)
        found.append((row + shown) @ mean / (row.sum() + tries))
    # Ones and zeros give few different values, which differ in their last digits.
    assert_p_value(stats.ks_2samp(np.round(told, 9), np.round(found, 9)).pvalue, "rewards after tries")
    assert float(mean_model(plan).reward[state, action]) == pytest.approx(
        np.mean(found), abs=5 * np.std(found) / 4_000**0.5
    )
    assert not value_of_information(plan, tries=2, samples=100).attrs.get("why_not")


def test_a_table_of_next_states_is_the_same_as_all_of_them():
    """Where each state is named in each row, the lumped outcome is nothing and the two forms are one problem."""
    log = bm.collect(bm.environments.riverswim(3), policy="uniform", steps=400, seed=0)
    prior = {"prior": "dirichlet_transitions", "settings": {"concentration": 0.5}, "rewards": "known"}
    both = [plan_log(log, discount=0.9, draws=20, calibration=0, elsewhere=way, **prior) for way in ("each", "mean")]
    dense, table = (value_of_information(read_plan(report.tree), samples=4_000) for report in both)
    assert read_plan(both[1].tree).mdp.successor is not None
    error = np.hypot(dense["error"], table["error"])
    assert (abs(dense["gain"] - table["gain"]) <= 5 * error + 1e-9).all()


def test_nothing_is_told_where_no_model_has_a_mean():
    options = {"discount": 0.5, "elsewhere": "least", "rewards": "known", "draws": 20, "calibration": 0}
    told = value_of_information(read_plan(plan_log(read_log(rooms()), initial="a", **options).tree))
    assert not told.data_vars and "for which the model has no mean" in told.attrs["why_not"]


def test_a_plan_for_some_steps_gains_what_enumeration_says():
    """All policies by stage, of two steps from two rooms, and all that three tries can show."""
    prior = {"prior": "dirichlet_transitions", "settings": {"concentration": 0.5}, "rewards": "known"}
    report = plan_log(read_log(rooms()), horizon=2, draws=20, calibration=0, initial="a", **prior)
    plan, tries = read_plan(report.tree), 3
    live, paid = ~plan.mdp.terminal, np.broadcast_to(plan.mdp.reward, plan.mdp.sizes)

    def worth(concentration, policy) -> float:
        value = np.zeros(3)
        for actions in policy[::-1]:
            rows = (concentration / concentration.sum(-1, keepdims=True))[np.arange(3), actions]
            value = live * ((rows * paid[np.arange(3), actions]).sum(-1) + rows @ (live * value))
        return float(plan.mdp.initial @ value)

    every = list(product(policies(plan), repeat=2))
    told = value_of_information(plan, tries=tries, samples=20_000, seed=2)
    positive = 0
    for state, action in np.argwhere(plan.tries > 0):
        exact = enumerated(plan, state, action, tries, worth=worth, among=every)
        gain, error = (float(told[name][state, action]) for name in ("gain", "error"))
        assert gain == pytest.approx(exact, abs=5 * error + 1e-12)
        positive += exact > 1e-6
    assert positive
