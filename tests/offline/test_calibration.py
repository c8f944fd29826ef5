"""The check of a promise: that it is of the very way the plan goes, and that it finds over-promises and only those."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline.calibration import calibrate
from bayesmdp.offline.logs_alike import Recording, logs_alike
from bayesmdp.offline.named_prior import make_prior
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.offline.promise import Pipeline, promised, true_worth, worlds_of
from bayesmdp.planning.dirichlet_quantile import DirichletQuantile
from bayesmdp.planning.quantile_interval import left_quantile
from tests.statistical import assert_p_value

FEW = 40
"""Draws where few are enough, everywhere as many, so that one program serves."""


def pipeline_of(log, prior="auto", settings=None, elsewhere="each", draws=200, risk=None, rewards="auto"):
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere=elsewhere)
    made = make_prior(prior, log, problem, settings or {}, rewards=rewards)
    prior = made.for_other_logs(problem)
    return made, Pipeline(problem, prior, risk or bm.Quantile(0.1), 0.1, draws, least_tries=made.least_tries())


def at_once(pipeline):
    """A recording that was never cut."""
    return Recording(pipeline.problem.initial, 0.0)


@pytest.fixture(scope="module")
def shop():
    return bm.environments.inventory(5, discount=0.9, rescale=False)


@pytest.fixture(scope="module")
def log(shop):
    return bm.collect(shop, policy="uniform", steps=300, seed=0)


@pytest.mark.parametrize(
    ("rewards", "elsewhere", "prior", "quantile"),
    [
        pytest.param("known", "each", "auto", "draws", marks=pytest.mark.slow),
        ("normal", "each", "auto", "draws"),
        pytest.param("known", "mean", "auto", "draws", marks=pytest.mark.slow),
        pytest.param("known", "each", "dirichlet_transitions", "exact", marks=pytest.mark.slow),
    ],
)
def test_the_way_that_is_checked_is_the_way_of_the_plan(log, rewards, elsewhere, prior, quantile):
    """The same policy, and the same quantile up to Monte Carlo error, as `plan_log` finds by `infer`."""
    options = {"discount": 0.9, "draws": 4_000, "rewards": rewards, "elsewhere": elsewhere}
    report = plan_log(log, prior=prior, quantile=quantile, calibration=0, **options)
    risk = bm.Quantile(0.1)
    if quantile == "exact":
        risk = DirichletQuantile(0.1)
    made, pipeline = pipeline_of(log, prior, None, elsewhere, 4_000, risk, rewards)
    policy, values, *_ = promised(pipeline, made.experience, seed=0)
    chosen = [pipeline.problem.actions[i] for i in policy]
    assert chosen == report.tree["plan"]["policy"].values.tolist()
    attrs = report.tree.attrs
    width = attrs["initial_worth_quantile_upper"] - attrs["initial_worth_quantile_lower"]
    # Both are estimates: their difference has 1.41 times the error of one.
    assert left_quantile(values, 0.1) == pytest.approx(attrs["initial_worth_quantile"], abs=1.41 * width)


OWN_PRIOR = """
import numpy as np, numpyro, numpyro.distributions as dist

def prior(mdp):
    rows = 0.2 + np.arange(mdp.num_states * mdp.num_actions * mdp.num_states) % 3
    rows = rows.reshape(mdp.num_states, mdp.num_actions, mdp.num_states)
    def mine(data):
        transition = numpyro.sample("transition", dist.Dirichlet(rows).to_event(2))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)
    return mine
"""


BY_NEXT_STATE = """
import jax.numpy as jnp, numpyro, numpyro.distributions as dist

def rewards(mdp, transitions):
    def mine(data):
        transitions(data)
        with numpyro.plate("next", mdp.num_states):
            paid = numpyro.sample("paid", dist.Normal(0.0, 5.0))
        numpyro.deterministic("reward", jnp.broadcast_to(paid, (mdp.num_states, mdp.num_actions, mdp.num_states)))
        with data.rows():
            numpyro.sample("seen", dist.Normal(paid[data.next_state], 0.5), obs=data.reward)
    return mine
"""


ENTERED = """
import bayesmdp as bm

def rewards(mdp, transitions):
    return bm.models.normal_rewards(mdp, transitions, scale=5.0, noise=0.5, tied="next_state")
"""


def made_of(prior, log, tmp_path, rewards="auto"):
    """A prior by its name for a log, those of files written down before."""
    for name, text in (("own", OWN_PRIOR), ("by_next_state", BY_NEXT_STATE), ("entered", ENTERED)):
        (tmp_path / f"{name}.py").write_text(text)
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    prior, rewards = (text.replace("FOLDER", str(tmp_path)) for text in (prior, rewards))
    return problem, make_prior(prior, log, problem, {}, rewards=rewards)


@pytest.mark.parametrize(
    ("prior", "rewards"),
    [
        pytest.param("FOLDER/own.py:prior", "known", marks=pytest.mark.slow),
        pytest.param("FOLDER/own.py:prior", "normal", marks=pytest.mark.slow),
        ("normal_rewards", "auto"),
        ("normal_gamma_rewards", "auto"),
        ("FOLDER/own.py:prior", "FOLDER/entered.py:rewards"),
    ],
)
def test_a_prior_with_a_closed_form_is_made_again(shop, log, prior, rewards, tmp_path):
    """The posterior of another log, found without it, is what `infer` finds; its means are those of draws."""
    prior, rewards = (text.replace("FOLDER", str(tmp_path)) for text in (prior, rewards))
    problem, made = made_of(prior, log, tmp_path, rewards)
    remade = made.for_other_logs(problem)
    other = bm.collect(shop, policy="uniform", steps=200, seed=1)
    _, anew = made_of(prior, other, tmp_path, rewards)
    model = made.model if made.paid is None else anew.model
    expected = bm.infer(model, other, draws=0, method="exact", mdp=problem)["parameters"].to_dataset()
    found = remade.posterior(anew.experience)
    assert set(found) == set(expected) and remade.by_row
    for name, values in found.items():
        last = ("next_state",) if name == "transition" else ("parameter",)
        np.testing.assert_allclose(values, expected[name].transpose(..., *last), rtol=1e-9)
    means = remade.means(found)
    drawn = remade.draws(found, 4_000, 0)
    by_pair = {"transition": means["transition"]}
    if "reward" in means:
        by_pair["reward"] = (means["transition"] * means["reward"]).sum(-1)
    for name, mean in by_pair.items():
        assert (abs(drawn[name].mean(0) - mean) <= 6 * drawn[name].std(0) / 4_000**0.5 + 1e-12).all()
    report = plan_log(log, discount=0.9, draws=FEW, prior=prior, rewards=rewards)
    assert "checked_logs" in report.tree.attrs and ("initial_lighter" in report.tree.attrs)


@pytest.mark.parametrize("rewards", ["normal", pytest.param("bernoulli", marks=pytest.mark.slow)])
def test_what_entering_a_state_pays_goes_the_same_way(rewards):
    """A goal whose reward is noisy: the plan, its bound, and logs like this one are of rewards by next state."""
    grid = bm.environments.grid(3, 3, discount=0.9)
    log = bm.collect(grid, policy="uniform", steps=1_500, seed=0)
    rng = np.random.default_rng(0)
    paid = log["reward"].values
    paid = rng.random(paid.size) < 0.05 + 0.7 * paid if rewards == "bernoulli" else paid + rng.normal(0, 0.3, paid.size)
    log = log.assign(reward=("step", paid.astype(float)))
    made, pipeline = pipeline_of(log, draws=200)
    assert made.paid.kind == rewards and made.paid.by == pipeline.prior.by == "next_state"
    assert "of the state entered" in made.rewards
    report = plan_log(log, discount=0.9, draws=200, calibration=5)
    said, attrs = promised(pipeline, made.experience, seed=0), report.tree.attrs
    width = attrs["initial_worth_quantile_upper"] - attrs["initial_worth_quantile_lower"]
    assert left_quantile(said.values, 0.1) == pytest.approx(attrs["initial_worth_quantile"], abs=width)
    assert attrs["checked_logs"] and report.tree["parameters"]["reward"].dims == ("next_state", "parameter")
    # The rewards of logs that are made are those of the states entered, in their mean and their spread.
    worlds = worlds_of(pipeline, made.experience)
    (other, *_) = logs_alike(
        rng, pipeline.problem, worlds, made.experience.tries, made.scatter, at_once(pipeline), 1, 5_000
    )
    goal = grid.states.index("0,2")
    mine, again = made.experience.entered, other.entered
    assert again.mean[goal] == pytest.approx(mine.mean[goal], abs=0.08)
    assert again.scatter.sum() / again.tries.sum() == pytest.approx(mine.scatter.sum() / mine.tries.sum(), rel=0.2)


def test_transitions_that_a_model_computes_are_made_again():
    """As `infer` does it: an unknown current and Beta ends, from which the kernel follows."""
    river = bm.environments.riverswim(5)
    log, other = (bm.collect(river, policy="uniform", steps=300, seed=seed) for seed in (0, 1))
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    made, anew = (make_prior("river_current", each, problem, {}) for each in (log, other))
    remade = made.for_other_logs(problem)
    found = remade.posterior(anew.experience)
    expected = bm.infer(made.model, other, draws=400, method="exact", mdp=problem)
    assert set(found) == {"current", "start", "end"} and not remade.by_row
    for name, values in found.items():
        np.testing.assert_allclose(values, expected["parameters"][name], rtol=1e-9)
    mean = expected.posterior["transition"].mean(("chain", "draw")).values
    np.testing.assert_allclose(remade.means(found)["transition"], mean, atol=0.01)
    # The bound of the way that is checked is that of the plan.
    report = plan_log(log, discount=0.9, draws=400, prior="river_current", calibration=10)
    said = promised(Pipeline(problem, remade, bm.Quantile(0.1), 0.1, 400), made.experience, seed=0)
    attrs = report.tree.attrs
    width = attrs["initial_worth_quantile_upper"] - attrs["initial_worth_quantile_lower"]
    assert left_quantile(said.values, 0.1) == pytest.approx(attrs["initial_worth_quantile"], abs=width)
    assert attrs["checked_logs"] == 20 and "initial_lighter" not in attrs


def test_a_prior_that_tells_rewards_apart_by_next_state_is_not_made_again(log, tmp_path):
    problem, made = made_of("auto", log, tmp_path, "FOLDER/by_next_state.py:rewards")
    assert made.for_other_logs(problem) is None
    rewards = f"{tmp_path}/by_next_state.py:rewards"
    told = plan_log(log, discount=0.9, draws=FEW, rewards=rewards).tree.attrs["unchecked"]
    assert told.startswith("only a posterior in closed form, with rewards by state and action or by next state, can be")


def test_logs_like_the_one_at_hand_are_like_it(log):
    made, pipeline = pipeline_of(log)
    worlds = worlds_of(pipeline, made.experience)
    rng = np.random.default_rng(0)
    logs = logs_alike(rng, pipeline.problem, worlds, made.experience.tries, made.scatter, at_once(pipeline), 40, 300)
    assert len(logs) == 80
    assert {int(each.tries.sum()) for each in logs} == {300}
    for world, part in zip(worlds, (logs[:40], logs[40:]), strict=True):
        counts = sum(each.counts for each in part)
        tries = counts.sum(-1)
        # Next states as the world has them, actions as the behaviour has them.
        expected = tries[..., None] * world.transition
        seen = expected > 5
        z = (counts - expected)[seen] / np.sqrt(expected * (1 - world.transition) + 1e-9)[seen]
        assert abs(z).max() < 5
        assert (counts[world.transition == 0] == 0).all()
        share = made.experience.tries / np.maximum(made.experience.tries.sum(-1, keepdims=True), 1)
        expected = tries.sum(-1, keepdims=True) * share
        assert abs((tries - expected)[expected > 5] / np.sqrt(expected[expected > 5])).max() < 5


def test_episodes_end_and_begin_as_those_of_the_log():
    lake = bm.environments.frozen_lake(discount=0.9)
    log = bm.collect(lake, policy="uniform", steps=500, seed=0)
    made, pipeline = pipeline_of(log)
    worlds = worlds_of(pipeline, made.experience)
    rng = np.random.default_rng(0)
    logs = logs_alike(rng, pipeline.problem, worlds, made.experience.tries, made.scatter, at_once(pipeline), 20, 500)
    tries = sum(each.tries for each in logs).sum(-1)
    assert (tries[pipeline.problem.terminal] == 0).all()
    ends = sum(each.counts[..., pipeline.problem.terminal].sum() for each in logs[:20]) / 20
    assert ends == pytest.approx(int(log["terminated"].sum()), rel=0.15)


def test_worth_in_a_world_is_that_of_an_independent_solver(log):
    made, pipeline = pipeline_of(log)
    policy = np.zeros(6, int)
    for world in worlds_of(pipeline, made.experience):
        mdp = bm.MDP(transition=world.transition, reward=world.reward, discount=0.9)
        expected = float(bm.evaluate(mdp, policy.tolist()).values @ pipeline.problem.initial)
        assert true_worth(pipeline.problem, world, policy) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_prior_that_promises_too_much_is_found_out(shop, seed):
    """Uniform rows that outweigh the log let stock rise by itself: what they promise is more than the best there is."""
    log = bm.collect(shop, policy="uniform", steps=300, seed=seed)
    found = {}
    for prior, settings in (("dirichlet_transitions", {"concentration": 2.0}), ("auto", {})):
        made, pipeline = pipeline_of(log, prior, settings)
        policy, values, *_ = promised(pipeline, made.experience, 0)
        checked = calibrate(pipeline, made.rows, made.scatter, recording=at_once(pipeline), logs=20, seed=0)
        legal = np.where(shop.available[np.arange(6), policy], policy, 0)
        found[prior] = left_quantile(values, 0.1), float(bm.evaluate(shop, legal.tolist())[0]), checked
        assert checked.value.kept <= checked.value.kept_lowered <= checked.logs
        assert checked.value.kept_lowered >= 0.9 * checked.logs
        assert checked.gain is None
    raw, truth, checked = found["dirichlet_transitions"]
    assert raw > float(bm.solve(shop)["value"][0]) + 5
    assert raw - checked.value.lowered <= truth + 0.15 * (raw - truth)
    assert checked.value.kept < 0.5 * checked.logs
    raw, truth, good = found["auto"]
    assert raw - good.value.lowered <= truth
    assert good.value.lowered < 0.5 * checked.value.lowered


@pytest.mark.slow
def test_rewards_that_scatter_are_not_promised_as_their_means():
    """Twelve actions that pay alike, each tried a few times: the best of twelve means is no promise."""
    rng, quantiles, bounds = np.random.default_rng(0), [], []
    for seed in range(6):
        table = pd.DataFrame({"action": rng.integers(12, size=60), "reward": rng.normal(0, 1, 60)})
        log = read_log(table.assign(state=0, next_state=0))
        known = plan_log(log, discount=0.5, rewards="known", seed=seed, draws=100, calibration=0).tree.attrs
        quantiles.append(known["initial_worth_quantile"])
        bounds.append(plan_log(log, discount=0.5, seed=seed, draws=100).bound)
    assert min(quantiles) > 0.3  # of which the truth is 0
    assert (np.array(bounds) <= 0.1).sum() >= 5


def test_the_rank_is_that_of_one_more_log():
    """Of B + 1 exchangeable excesses the last is at most the ceil((1 - level) (B + 1))-th smallest of the others."""
    rng = np.random.default_rng(0)
    excess = rng.normal(size=(20_000, 21))
    taken = np.sort(excess[:, :20], axis=1)[:, int(np.ceil(0.9 * 21)) - 1]
    p = stats.binomtest(int((excess[:, 20] <= taken).sum()), 20_000, 19 / 21).pvalue
    assert_p_value(p, "coverage of the rank")


@pytest.mark.parametrize("elsewhere", ["each", pytest.param("mean", marks=pytest.mark.slow)])
def test_what_cannot_be_checked_is_said(log, elsewhere, monkeypatch):
    report = plan_log(log, discount=0.9, calibration=0, draws=FEW)
    assert report.tree.attrs["unchecked"] == "the check was switched off"
    assert report.tree.attrs["initial_bound"] == report.tree.attrs["initial_worth_quantile"]
    for place in ("promise.LARGE", "at_start.LARGE", "at_start.MOST_DRAWN"):
        monkeypatch.setattr(f"bayesmdp.offline.{place}", 1)
    told = plan_log(log, discount=0.9, draws=FEW, elsewhere=elsewhere).tree.attrs
    assert "the problem is large" in told["unchecked"]


def test_what_was_never_seen_is_told(shop):
    """Under one known next state a pair nothing is unseen; and all is, where the only row of the log was never seen."""
    ring = pd.DataFrame({"state": [0, 1, 2] * 200, "action": 0, "reward": 1.0, "next_state": [1, 2, 0] * 200})
    options = {"discount": 0.9, "draws": 50, "calibration": 0, "rewards": "known"}
    few, many = (plan_log(read_log(rows), **options).tree.attrs["initial_unseen"] for rows in (ring, ring[:3]))
    assert 0 <= few < 0.05 < many < 1


@pytest.mark.parametrize(
    "elsewhere", ["mean", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("least", "none"))]
)
def test_tables_of_successors_are_planned_for_and_checked(elsewhere):
    """Where a row names fewer next states than there are."""
    ring = np.arange(12)
    table = pd.DataFrame({"state": np.tile(ring, 20), "reward": np.tile(ring == 3, 20).astype(float)})
    table = table.assign(action=0, next_state=(table["state"] + 1) % 12)
    report = plan_log(read_log(table), discount=0.9, draws=FEW, elsewhere=elsewhere, calibration=10)
    assert report.tree["problem"]["successor"].sizes["outcome"] < 12
    assert report.tree.attrs["checked_logs"] == 20
    assert 0 <= report.tree.attrs["initial_unseen"] < 0.5
    assert report.bound <= 0.9**3 / (1 - 0.9**12) + 1e-9


def test_many_states_have_a_table_by_themselves(monkeypatch):
    monkeypatch.setattr("bayesmdp.offline.plan_log.EACH", 100)
    ring = np.arange(12)
    table = pd.DataFrame({"state": ring, "action": 0, "reward": 1.0, "next_state": (ring + 1) % 12})
    report = plan_log(read_log(table), discount=0.9, draws=FEW, calibration=0, rewards="known")
    assert report.tree.attrs["elsewhere"] == "mean"


def test_logs_begin_where_the_log_does_and_not_where_it_is_asked_for():
    """Half of the episodes stay in 0, which pays nothing, and half in 1, which pays 1; the policy is judged from 0."""
    table = pd.DataFrame({"state": np.repeat([0, 1], 20), "action": "go", "reward": np.repeat([0.0, 1.0], 20)})
    table = table.assign(next_state=table["state"], truncated=np.arange(40) % 2 == 1)
    fixed = {"prior": "dirichlet_transitions", "settings": {"concentration": 2.0}, "draws": 100}
    attrs = plan_log(read_log(table), discount=0.9, initial=0, **fixed).tree.attrs
    seen = dict(json.loads(attrs["checked_worlds"]))["as seen"]
    # In the world as seen the truth is 0, and no more is left of the quantile.
    assert attrs["initial_worth_quantile"] > 0.8
    assert attrs["initial_worth_quantile"] - seen[1] <= 0.1
    assert attrs["initial_bound"] <= 0.1


def test_levels_that_need_more_logs_get_them_or_are_not_checked(log):
    few = {"discount": 0.9, "draws": FEW, "calibration": 2}
    assert plan_log(log, risk="quantile:0.1", **few).tree.attrs["checked_logs"] == 2 * 9
    attrs = plan_log(log, risk="quantile:0.001", **few).tree.attrs
    assert "a level of 0.001 needs 999 simulated logs of each kind" in attrs["unchecked"]
