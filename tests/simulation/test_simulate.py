"""The simulator: exact accounting, reproducibility, resumption and refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from scipy import stats

from bayesmdp import MDP, agents, collect, environments, results, simulate
from bayesmdp.agents import Agent, Rules
from bayesmdp.models import dirichlet_transitions, river_current
from bayesmdp.planning import believed_draws
from bayesmdp.posterior import exact_belief
from bayesmdp.simulation.robustness import Robust
from bayesmdp.simulation.rollout import advance
from bayesmdp.simulation.threads import Interrupted
from tests.oracles import iterate_value, policy_value
from tests.statistical import assert_p_value, assert_standard_normal

RIVER = environments.riverswim(6)
PRIOR = dirichlet_transitions(RIVER, concentration=1 / 6)
PSRL = agents.psrl(PRIOR)
ROBUST = Robust(level=0.3, draw_scale=200.0)


def fixed_rules(belief, problem, options):
    """An agent that never learns: the smallest instance of the grammar."""
    policy = jax.numpy.asarray(options["policy"], "int32")
    return Rules(
        init=lambda key: belief.init(key),
        begin=lambda key, state: state,
        act=lambda key, state, s: policy[s],
        observe=lambda key, state, step: belief.observe(key, state, step),
        ends=lambda uniform, state, step: False,
        policy=lambda state: policy,
        report=lambda state, s, a: {"action": a},
        belief=lambda state: state,
    )


def fixed(policy, mdp=RIVER, prior=PRIOR):
    return Agent("fixed", fixed_rules, partial(exact_belief, prior, num_draws=1), {"policy": np.array(policy)})


def test_regret_of_a_fixed_policy_by_hand():
    policy = np.array([0, 1, 1, 0, 1, 1])
    result = simulate(RIVER, {"fixed": fixed(policy)}, steps=300, replicates=2)

    def value(policy):
        chain, reward = RIVER.transition[np.arange(6), policy], RIVER.reward[np.arange(6), policy, 0]
        return np.linalg.solve(np.eye(6) - 0.95 * chain, reward)

    best = np.max([value(np.array(list(np.binary_repr(code, 6)), int)) for code in range(64)], axis=0)
    gap = best - value(policy)
    np.testing.assert_allclose(result["regret"], gap[result["state"]], atol=1e-10)
    np.testing.assert_array_equal(result["reward"], RIVER.reward[result["state"], policy[result["state"]], 0])
    np.testing.assert_array_equal(result["action"], policy[result["state"]])


def test_transitions_follow_the_kernel():
    result = simulate(RIVER, {"right": fixed([1] * 6)}, steps=4_000, replicates=4, seed=2)
    state = result["state"].values[0]
    for s in range(6):
        after = state[:, 1:][state[:, :-1] == s]
        for n in range(6):
            # Exact for any number of visits, and for what cannot happen.
            test = stats.binomtest(int((after == n).sum()), after.size, float(RIVER.transition[s, 1, n]))
            assert_p_value(test.pvalue, f"from {s} to {n}")


def test_agents_meet_the_same_luck():
    result = simulate(RIVER, {"A": PSRL, "B": PSRL}, steps=100, replicates=2, seed=0)
    xr.testing.assert_equal(
        result.to_dataset().sel(agent="A", drop=True), result.to_dataset().sel(agent="B", drop=True)
    )


def test_a_short_run_begins_a_long_one():
    short = simulate(RIVER, {"A": PSRL}, steps=50, replicates=2, seed=0).to_dataset()
    long = simulate(RIVER, {"A": PSRL}, steps=130, replicates=2, seed=0).to_dataset()
    xr.testing.assert_identical(short.drop_attrs(), long.isel(step=slice(50)).drop_attrs())


def test_seeds_differ():
    one, two = (simulate(RIVER, {"A": PSRL}, steps=200, replicates=1, seed=seed)["state"].values for seed in (0, 1))
    assert (one != two).any()


def test_thinning_sums():
    full = simulate(RIVER, {"A": PSRL}, steps=120, replicates=2, seed=0).to_dataset()
    thin = simulate(RIVER, {"A": PSRL}, steps=120, replicates=2, seed=0, thin=10).to_dataset()
    assert thin["step"].values.tolist() == list(range(10, 121, 10))
    for name in ("reward", "regret"):
        np.testing.assert_allclose(thin[name], full[name].values.reshape(1, 2, 12, 10).sum(-1), atol=1e-12)
    for name in ("state", "period", "solves"):
        np.testing.assert_array_equal(thin[name], full[name][..., 9::10])


def test_resumed_equals_uninterrupted():
    whole = simulate(RIVER, {"A": PSRL}, steps=50, replicates=5, seed=0, checkpoints=[20])
    part = simulate(RIVER, {"A": PSRL}, steps=50, replicates=2, seed=0, checkpoints=[20])
    resumed = simulate(RIVER, {"A": PSRL}, steps=50, replicates=5, seed=0, checkpoints=[20], resume=part)
    for path in ("/", "/beliefs/A/posterior"):
        xr.testing.assert_identical(resumed[path].to_dataset(), whole[path].to_dataset())


def test_interrupting_loses_nothing():
    seen = []

    def stop_at_three(*run):
        seen.append(run)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="replicates done") as stop:
        simulate(RIVER, {"A": PSRL}, steps=50, replicates=20, seed=0, workers=1, on_replicate=stop_at_three)
    assert stop.value.result["replicate"].values.tolist() == [0, 1, 2]
    whole = simulate(RIVER, {"A": PSRL}, steps=50, replicates=20, seed=0, resume=stop.value.result)
    xr.testing.assert_identical(
        whole.to_dataset(), simulate(RIVER, {"A": PSRL}, steps=50, replicates=20, seed=0).to_dataset()
    )


def test_resume_refuses_another_run():
    part = simulate(RIVER, {"A": PSRL}, steps=50, replicates=2, seed=0)
    with pytest.raises(ValueError, match="resume holds another run: its seed is 0, this call's 1"):
        simulate(RIVER, {"A": PSRL}, steps=50, replicates=3, seed=1, resume=part)


def test_checkpoints_are_the_beliefs_of_that_step():
    import arviz as az

    result = simulate(
        RIVER, {"right": fixed([1] * 6)}, steps=300, replicates=2, checkpoints=[100, 300], checkpoint_draws=4_000
    )
    beliefs = result["beliefs/right"]
    transition = beliefs["posterior"]["transition"]
    assert transition.dims == ("chain", "draw", "checkpoint", "replicate", "state", "action", "next_state")
    state = result["state"].values[0]
    for replicate in range(2):
        counts = np.full((6, 2, 6), 1 / 6)
        np.add.at(counts, (state[replicate, :100], 1, state[replicate, 1:101]), 1)
        mean = counts / counts.sum(-1, keepdims=True)
        error = np.sqrt(mean * (1 - mean) / (counts.sum(-1, keepdims=True) + 1) / 4_000)
        draws = transition.sel(checkpoint=100, replicate=replicate).mean(("chain", "draw")).values
        assert (np.abs(draws - mean) < 5 * error + 1e-12).all()
    summary = az.summary(
        beliefs.sel(replicate=0, checkpoint=300, state=0, action="right"), var_names=["transition"], kind="stats"
    )
    assert len(summary) == 6


def test_a_truth_may_pay_on_arrival():
    """What was paid is the level of the state that was entered, and agents plan with its mean over where pairs lead."""

    def levels(data):
        PRIOR(data)
        numpyro.deterministic("reward", np.arange(6.0))

    def known(data):
        numpyro.deterministic("transition", RIVER.transition)
        numpyro.deterministic("reward", np.arange(6.0))

    result = simulate(RIVER, {"PSRL": agents.psrl(levels)}, steps=50, replicates=2, truth=known)
    np.testing.assert_array_equal(result["reward"][..., :-1], result["state"][..., 1:])
    rows = np.random.default_rng(0).dirichlet(np.ones(6), size=(3, 6, 2))
    paid = np.random.default_rng(1).normal(size=(3, 6))
    drawn = believed_draws({"transition": jnp.asarray(rows), "reward": jnp.asarray(paid)}, RIVER.problem)
    np.testing.assert_allclose(drawn.reward[..., 0], np.einsum("dsan,dn->dsa", rows, paid), rtol=1e-5)


def test_bayes_regret_draws_a_kernel_for_each_replicate():
    prior = dirichlet_transitions(RIVER, concentration=100 * RIVER.transition + 1e-3)
    agents_ = {"A": fixed([1] * 6, prior=prior), "B": fixed([1] * 6, prior=prior)}
    result = simulate(RIVER, agents_, steps=500, replicates=40, seed=0, truth=prior)
    # Both agents face the same kernel, so with the same policy the same run.
    np.testing.assert_array_equal(result["state"].sel(agent="A"), result["state"].sel(agent="B"))
    # Kernels differ between replicates: so does the regret of always swimming right, state by state.
    at_zero = {round(float(x), 9) for x in result["regret"].values[0, :, 0]}
    assert len(at_zero) > 1 or at_zero == {0.0}
    own = simulate(RIVER, {"A": PSRL}, steps=20, replicates=2, seed=0)
    assert "the environment's" in own.attrs["truth"] and "drawn from" in result.attrs["truth"]


def test_episodes_start_anew():
    lake = environments.frozen_lake()
    log = collect(lake, steps=400, seed=0)
    last = log["terminated"].values
    ends = np.isin(log["next_state"].values, np.flatnonzero(lake.terminal))
    np.testing.assert_array_equal(last, ends)
    assert last.sum() > 20
    assert (log["state"].values[1:][last[:-1]] == 0).all()
    same = ~last[:-1]
    np.testing.assert_array_equal(log["state"].values[1:][same], log["next_state"].values[:-1][same])
    np.testing.assert_array_equal(log["reward"].values, log["next_state"].values == 15)


def test_collect_under_a_policy_and_probabilities():
    labels = np.array(["right"] * 6)
    assert set(collect(RIVER, labels, steps=50)["action"].values) == {"right"}
    table = np.tile([0.25, 0.75], (6, 1))
    share = (collect(RIVER, table, steps=4_000, seed=1)["action"].values == "right").mean()
    assert_standard_normal((share - 0.75) / np.sqrt(0.75 * 0.25 / 4_000))


def test_collect_in_episodes_of_the_horizon_under_a_policy_by_stage():
    short = RIVER.replace(discount=None, horizon=3, initial=[0.5, 0.0, 0.0, 0.5, 0.0, 0.0])
    by_stage = np.array([["right"] * 6, ["left"] * 6, ["right"] * 6])
    log = collect(short, by_stage, steps=200, seed=2)
    age = np.arange(200) % 3
    np.testing.assert_array_equal(log["action"], by_stage[age, 0])
    np.testing.assert_array_equal(log["truncated"], age == 2)
    assert not log["terminated"].any()
    begins = log["state"].values[age == 0]
    assert set(begins) == {0, 3}
    assert_standard_normal(((begins == 0).mean() - 0.5) / np.sqrt(0.25 / len(begins)))
    np.testing.assert_array_equal(log["state"].values[1:][age[1:] > 0], log["next_state"].values[:-1][age[1:] > 0])


def test_collect_counts_steps_from_the_last_terminal_state():
    lake = environments.frozen_lake().replace(discount=None, horizon=7)
    log = collect(lake, steps=400, seed=0)
    age, ages = 0, []
    for ended in log["terminated"].values | log["truncated"].values:
        ages.append(age)
        age = 0 if ended else age + 1
    assert max(ages) == 6
    np.testing.assert_array_equal(log["truncated"], (np.array(ages) == 6) & ~log["terminated"].values)
    assert log["terminated"].any()
    assert log["truncated"].any()
    assert (log["state"].values[np.array(ages) == 0] == 0).all()


def test_nothing_recompiles_over_a_grid_of_numbers():
    simulate(RIVER, {"A": agents.brmdp(PRIOR, num_draws=20)}, steps=9, replicates=1)
    before = advance._cache_size()
    for level in (0.11, 0.42, 0.77):
        simulate(RIVER, {"A": agents.brmdp(PRIOR, level=level, num_draws=20)}, steps=37, replicates=2)
    for discount in (0.9, 0.96):
        mdp = RIVER.replace(discount=discount)
        simulate(mdp, {"A": agents.brmdp(PRIOR, num_draws=20)}, steps=37, replicates=2, seed=4)
    assert advance._cache_size() == before


def test_the_users_precision_is_left_alone():
    simulate(RIVER, {"A": PSRL}, steps=10, replicates=1)
    assert jax.numpy.ones(1).dtype == "float32"


def restless_rules(belief, problem, options):
    """The fixed policy, in a new period at every step."""
    return fixed_rules(belief, problem, options)._replace(ends=lambda uniform, state, step: True)


def restless(policy):
    return Agent("restless", restless_rules, partial(exact_belief, PRIOR, num_draws=1), {"policy": np.array(policy)})


@pytest.mark.slow
@pytest.mark.parametrize("draws", ["fresh", "renewed"])
def test_measuring_robustness_changes_nothing_else(draws):
    crew = {"AQ": agents.aq_brmdp(PRIOR, num_draws=30, draws=draws)}
    call = partial(simulate, RIVER, crew, steps=240, replicates=2, seed=4, thin=2, checkpoints=[60, 240])
    plain, measured = call(), call(robust=Robust(level=0.2))
    assert set(measured.data_vars) - set(plain.data_vars) == {"robust_regret", "quantile_value"}
    for name in plain.data_vars:
        np.testing.assert_array_equal(measured[name], plain[name], err_msg=name)
    for name in crew:
        at = f"beliefs/{name}/posterior/transition"
        np.testing.assert_array_equal(measured[at], plain[at])
    assert bool(measured["robust_regret"].notnull().all()) and bool(measured["quantile_value"].notnull().all())


def posteriors(result, step, number, size, seed=0):
    """`number` sets of `size` NumPy draws of what a run at `step` believes, and its state there."""
    rng = np.random.default_rng(seed)
    state, action = (result[name].values[0, 0].astype(int) for name in ("state", "action"))
    counts = np.full((6, 2, 6), 1 / 6)
    np.add.at(counts, (state[: step - 1], action[: step - 1], state[1:step]), 1)
    gamma = rng.gamma(np.broadcast_to(counts, (number, size, 6, 2, 6)))
    return gamma / gamma.sum(-1, keepdims=True), state[step - 1]


def assert_an_estimate(value, estimates, what):
    """`value` is another of the estimates, as good as normal."""
    estimates = np.asarray(estimates)
    spread = estimates.std(ddof=1) * np.sqrt(1 + 1 / len(estimates))
    assert_standard_normal((value - estimates.mean()) / spread, what)


def cautious_value_of(policy, draws, level):
    """The policy's quantile Bayesian-risk value, by plain iteration over sorted targets."""
    rank, value = int(np.ceil(level * len(draws))) - 1, np.zeros(6)
    kernel, reward = draws[:, np.arange(6), policy], RIVER.reward[np.arange(6), policy, 0]
    for _ in range(600):
        value = reward + 0.95 * np.sort(kernel @ value, axis=0)[rank]
    return value


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 80])
def test_robust_regret_against_plain_value_iteration(step):
    policy = np.array([0, 1, 1, 1, 1, 1])
    robust = {under: Robust(level=0.3, draw_scale=200.0, policy_under=under) for under in ("belief", "truth")}
    run = partial(simulate, RIVER, {"A": restless(policy)}, steps=80, replicates=1, seed=1)
    results = {under: run(robust=measure) for under, measure in robust.items()}
    # What is measured changes no step, so that both are of one posterior.
    draws, s = posteriors(results["belief"], step, 24, robust["belief"].num_draws)
    floors = np.array([iterate_value(some, RIVER.reward, 0.95, 0.3, tolerance=1e-8)[0][s] for some in draws])
    true = policy_value(RIVER.transition, RIVER.reward, 0.95, policy)[s]
    own = {"truth": true, "belief": np.array([cautious_value_of(policy, some, 0.3)[s] for some in draws])}
    for under, result in results.items():
        np.testing.assert_array_equal(result["state"], results["belief"]["state"])
        charge = result["robust_regret"].values[0, 0, step - 1]
        assert_an_estimate(charge, floors - own[under], f"robust regret under the {under} at step {step}")
    # The estimates are sharp enough to tell this floor from another level's.
    other = iterate_value(draws[0], RIVER.reward, 0.95, 0.6, tolerance=1e-8)[0][s]
    assert abs(other - np.mean(floors)) > 10 * np.std(floors)


@pytest.mark.slow
def test_robust_regret_is_never_negative_and_nothing_where_the_policy_is_the_cautious_plan():
    crew = {"AQ": agents.aq_brmdp(PRIOR, num_draws=30), "PSRL": PSRL, "floor": agents.brmdp(PRIOR, level=0.1)}
    measured = simulate(RIVER, crew, steps=200, replicates=3, seed=2, robust=Robust(level=0.1))["robust_regret"]
    assert float(measured.min()) >= 0 and (measured.sum("step") > 0).all()
    # One that plans at the level from as many draws differs by the luck of its draws only.
    assert float(measured.sel(agent="floor").mean()) < 0.2 * float(measured.sel(agent="PSRL").mean())


@pytest.mark.slow
def test_a_world_that_starts_again_is_no_transition_for_those_who_learn():
    crew = {"PSRL": PSRL, "hopeful": agents.brmdp(PRIOR, level=0.9, num_draws=30)}
    call = partial(simulate, RIVER, crew, steps=60, replicates=3, seed=1)
    result, plain = call(restart=10, checkpoints=[60], checkpoint_draws=400), call()
    again = [11, 21, 31, 41, 51]
    assert (result["state"].sel(step=again) == 0).all() and (plain["state"].sel(step=again) > 0).any()
    np.testing.assert_array_equal(*(each["state"].sel(step=slice(1, 10)).values for each in (result, plain)))
    # All that was seen is between neighbours: a return from afar would have moved a row's mass to the start.
    drawn = result["beliefs/hopeful/posterior"]["transition"].isel(checkpoint=0).mean(("chain", "draw"))
    to_start = drawn.sel(next_state=0).transpose("replicate", "state", "action").values
    states, actions = (result.to_dataset()[name].sel(agent="hopeful").values for name in ("state", "action"))
    visits = np.zeros((3, 6, 2))
    np.add.at(visits, (np.arange(3)[:, None], states, actions), 1)
    assert (states[:, 9::10] >= 2).any()
    # A row's prior weighs 1, of which 1/6 lies on the start.
    np.testing.assert_allclose(to_start[:, 2:], 1 / 6 / (1 + visits[:, 2:]), atol=0.05)
    with pytest.raises(ValueError, match="restart must be an integer of at least 1; got 0"):
        call(restart=0)
    with pytest.raises(ValueError, match="judged by discounted value; this one by average"):
        simulate(RIVER.replace(discount=None), {"A": PSRL}, steps=10, replicates=1, restart=5)


def test_robust_regret_of_one_period_is_that_of_its_start():
    """An agent that never plans anew is held to its prior's floor; and windows sum."""
    call = partial(simulate, RIVER, {"A": fixed([1] * 6)}, steps=60, replicates=2, seed=0, robust=ROBUST)
    result = call()
    for replicate in range(2):
        charge, state = result["robust_regret"].values[0, replicate], result["state"].values[0, replicate]
        assert all(len(set(charge[state == s])) == 1 for s in set(state.tolist()))
    # Each replicate has draws of its own.
    assert result["robust_regret"].values[0, 0, 0] != result["robust_regret"].values[0, 1, 0]
    thin = call(thin=5)["robust_regret"].values
    np.testing.assert_allclose(thin, result["robust_regret"].values.reshape(1, 2, 12, 5).sum(-1), atol=1e-12)


def test_quantile_value_against_plain_policy_evaluation():
    policy = np.array([0, 1, 1, 1, 0, 1])
    run = partial(simulate, RIVER, {"A": fixed(policy)}, steps=90, replicates=1, seed=1, robust=ROBUST)
    result = run(checkpoints=[40, 89], checkpoint_draws=0)
    assert result["quantile_value"].dims == ("agent", "replicate", "checkpoint")
    assert "beliefs" not in result.children
    for i, step in enumerate((40, 89)):
        draws, _ = posteriors(result, step + 1, 24, ROBUST.num_draws)
        chains, rewards = draws[:, :, np.arange(6), policy], RIVER.reward[np.arange(6), policy]
        values = np.linalg.solve(np.eye(6) - 0.95 * chains, np.broadcast_to(rewards, (*chains.shape[:-1], 1)))[
            ..., 0, 0
        ]
        estimates = np.sort(values)[:, int(np.ceil(0.3 * ROBUST.num_draws)) - 1]
        assert_an_estimate(result["quantile_value"].values[0, 0, i], estimates, f"quantile value at step {step}")


def test_robust_results_resume_and_come_back_from_disk(tmp_path):
    crew = {"A": fixed([1] * 6)}
    call = partial(simulate, RIVER, crew, steps=50, seed=0, checkpoints=[20, 50], robust=ROBUST)
    whole, part = call(replicates=4), call(replicates=2)
    part = results.load(results.save(part, tmp_path / "part.nc"))
    resumed = call(replicates=4, resume=part)
    for path in ("/", "/beliefs/A/posterior"):
        xr.testing.assert_identical(resumed[path].to_dataset(), whole[path].to_dataset())
    first, second = (results.save(tree, tmp_path / "run.nc").read_bytes() for tree in (resumed, whole))
    assert first == second
    for other in (None, Robust(level=0.2)):
        with pytest.raises(ValueError, match="resume holds another run: its robust is"):
            simulate(RIVER, crew, steps=50, seed=0, checkpoints=[20, 50], replicates=4, resume=part, robust=other)


def test_an_agent_without_a_belief_has_no_robust_regret():
    def ignorant(belief, problem, options):
        nothing = jax.numpy.zeros(())
        rules = fixed_rules(belief, problem, {"policy": np.ones(6, int)})
        return rules._replace(init=lambda key: nothing, observe=lambda key, state, step: state, belief=lambda state: ())

    crew = {"A": fixed([1] * 6), "none": Agent("none", ignorant)}
    result = simulate(RIVER, crew, steps=20, replicates=1, robust=ROBUST, checkpoints=[20])
    for name in ("robust_regret", "quantile_value"):
        assert bool(result[name].sel(agent="none").isnull().all()) and bool(result[name].sel(agent="A").notnull().all())


BAD = {
    "no agents": ({"agents": {}}, "at least one"),
    "an agent that is none": ({"agents": {"A": 3}}, r"agents\['A'\] is a int"),
    "a slash in a name": ({"agents": {"a/b": PSRL}}, "without '/'"),
    "no steps": ({"steps": 0}, "steps must be an integer of at least 1; got 0"),
    "steps as a float": ({"steps": 1e3}, "steps must be an integer"),
    "no replicates": ({"replicates": 0}, "replicates must be"),
    "negative seed": ({"seed": -1}, "seed must be"),
    "thin that does not divide": ({"thin": 7}, "thin must divide steps; got thin=7, steps=10"),
    "late checkpoint": ({"checkpoints": [11]}, "checkpoint 11 lies beyond the last step, 10"),
    "negative draws": ({"checkpoint_draws": -1}, "checkpoint_draws must be an integer of at least 0; got -1"),
    "a level for robust": ({"robust": 0.1}, r"robust must be a Robust, such as bm.Robust\(level=0.1\); got 0.1"),
    "no kernel": ({"mdp": RIVER.replace(transition=None)}, "has no transition"),
    "no MDP": ({"mdp": RIVER.transition}, "mdp must be a bayesmdp.MDP or .* or a bayesmdp.SimulatedMDP; got ndarray"),
    "prior of other sizes": ({"mdp": environments.riverswim(7)}, "6.*7|7.*6"),
}


@pytest.mark.parametrize("changes, message", BAD.values(), ids=BAD)
def test_bad_runs_are_refused_by_name(changes, message):
    call = {"mdp": RIVER, "agents": {"A": PSRL}, "steps": 10, "replicates": 1} | changes
    mdp, who = call.pop("mdp"), call.pop("agents")
    with pytest.raises((ValueError, TypeError), match=message):
        simulate(mdp, who, **call)


BAD_POLICIES = {
    "unknown name": ("greedy", "the only policy with a name"),
    "a function": (lambda state: "left", r"policy is a function; pass what it returns: an action \[state\]"),
    "unknown action": (["right"] * 5 + ["up"], "no action 'up'"),
    "another shape": (np.ones((2, 6)) / 6, r"policy has shape \(2, 6\); expected \(6, 2\)"),
    "does not sum": (np.full((6, 2), 0.4), r"policy\[0\] sums to 0.8"),
    "negative": (np.tile([1.5, -0.5], (6, 1)), r"policy\[0, 1\] = -0.5"),
}


@pytest.mark.parametrize("policy, message", BAD_POLICIES.values(), ids=BAD_POLICIES)
def test_bad_policies_are_refused_by_name(policy, message):
    with pytest.raises((ValueError, KeyError, TypeError), match=message):
        collect(RIVER, policy, steps=5)


def test_unavailable_actions_are_not_taken():
    mdp = MDP(transition=RIVER.transition, reward=RIVER.reward, discount=0.9, available=np.tile([True, False], (6, 1)))
    assert set(collect(mdp, steps=30)["action"].values) == {0}
    with pytest.raises(ValueError, match="not available"):
        collect(mdp, np.full((6, 2), 0.5), steps=5)


@pytest.mark.slow
def test_agents_under_a_structured_prior_side_by_side():
    """NumPyro has one stack of handlers for all threads: compiling two such agents at once must not mix them."""
    prior = river_current(RIVER)
    crew = {"PSRL": agents.psrl(prior), "BRMDP": agents.brmdp(prior, num_draws=20), "AQ": agents.aq_brmdp(prior)}
    together = simulate(RIVER, crew, steps=30, replicates=2, truth=prior, workers=3)
    alone = simulate(RIVER, crew, steps=30, replicates=2, truth=prior, workers=1)
    xr.testing.assert_identical(together.to_dataset(), alone.to_dataset())


def test_resume_refuses_another_prior_or_kernel():
    part = simulate(RIVER, {"A": PSRL}, steps=10, replicates=1)
    other = agents.psrl(dirichlet_transitions(RIVER, concentration=50.0))
    with pytest.raises(ValueError, match="resume holds another run: its priors"):
        simulate(RIVER, {"A": other}, steps=10, replicates=2, resume=part)
    kernel = RIVER.transition.copy()
    kernel[2, 1] = [0, 0.1, 0.6, 0.3, 0, 0]
    with pytest.raises(ValueError, match="resume holds another run: its digest"):
        simulate(RIVER.replace(transition=kernel), {"A": PSRL}, steps=10, replicates=2, resume=part)


def test_a_model_that_observes_rewards_and_does_not_say_their_means_is_refused():
    def paid(data):
        transition = numpyro.sample("transition", dist.Dirichlet(np.ones((6, 2, 6))).to_event(2))
        chance = numpyro.sample("chance", dist.Beta(1.0, 1.0))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)
            numpyro.sample("reward", dist.Bernoulli(chance), obs=data.reward)

    with pytest.raises(ValueError, match="the model observes rewards but has no unknown 'reward' for agents"):
        simulate(RIVER, {"A": agents.psrl(paid)}, steps=10, replicates=1)
