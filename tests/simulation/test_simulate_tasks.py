"""One task after another: the same tasks for all, nothing learned but what is said, and what is learned is worth it."""

import jax
import numpy as np
import numpyro
import pytest
import xarray as xr
from scipy import stats

import bayesmdp as bm
from bayesmdp.learned_priors.methods import METHODS, Method
from bayesmdp.logs.log import make_log
from bayesmdp.model_reading.read_model import sample_prior
from bayesmdp.models import dirichlet_transitions, gaussian_q, gaussian_q_tasks, logistic_transitions, river_current
from bayesmdp.posterior.closed_forms.q_values import read_gaussian

LAYERS = bm.environments.layers(3, 3, 4)
MEAN = np.random.default_rng(6).normal(size=(4, 9))
FAMILY = gaussian_q_tasks(LAYERS, MEAN, 0.3 * np.eye(9))
BASE = gaussian_q(LAYERS, covariance=4.0, noise=0.5)
TRUE = gaussian_q(LAYERS, MEAN, 0.3, noise=0.5)
SHOP = bm.environments.recommendation(4, 3)
TASTES = logistic_transitions(SHOP, mean=None, scale=0.5)


def run(agents, *, tasks=6, steps=40, replicates=2, mdp=LAYERS, truth=FAMILY, **options):
    return bm.simulate_tasks(mdp, agents, truth=truth, tasks=tasks, steps=steps, replicates=replicates, **options)


def by_task(result):
    return result.to_dataset()["regret"].groupby("task").sum()


def test_q_values_of_the_gaussian_family_are_the_drawn_ones():
    for branching in (1, 3):
        layers = bm.environments.layers(3, 2, 4, branching=branching)
        family = gaussian_q_tasks(layers, 0.0, np.eye(6))
        with jax.enable_x64(True):
            drawn = sample_prior(family, jax.random.key(3), layers.transition.shape)
        solved = bm.solve(layers.replace(reward=np.asarray(drawn["reward"])))
        np.testing.assert_allclose(solved.q.values[:-1].reshape(4, 6), drawn["theta"], atol=1e-12)


@pytest.mark.slow
def test_the_familys_moments_are_those_asked_for_with_long_tails_too():
    found = bm.q_distribution(LAYERS, FAMILY, tasks=4_000)
    np.testing.assert_allclose(found["mean"], MEAN, atol=5 * np.sqrt(0.3 / 4_000))
    np.testing.assert_allclose(found["covariance"].values, 0.3 * np.stack([np.eye(9)] * 4), atol=0.05)
    assert float(found["misfit"].max()) < 1e-9
    tails = bm.q_distribution(LAYERS, gaussian_q_tasks(LAYERS, MEAN, 0.3 * np.eye(9), tails=5.0), tasks=4_000)
    np.testing.assert_allclose(np.trace(tails["covariance"].values, axis1=1, axis2=2), 2.7, rtol=0.2)


def test_the_noise_of_targets_is_what_steps_show_beside_the_misfit():
    """In the last stage of the shop a step earns 1 or 0, and what is earned then is all."""
    shop = SHOP
    found = bm.q_distribution(shop, TASTES, tasks=30, seed=5)
    keys = jax.random.split(jax.random.key(5), 30)
    with jax.enable_x64(True):
        liked = np.array([sample_prior(TASTES, key, shop.transition.shape)["transition"][..., 1] for key in keys])
    last = (shop.stage == 2)[:, None] & shop.available & ~shop.terminal[:, None]
    variance = (liked * (1 - liked))[:, last].mean()
    np.testing.assert_allclose(found["noise"][2], np.sqrt(variance + float(found["misfit"][2]) ** 2), rtol=1e-6)
    # Rewards alone have their own noise; before the last stage the next answers are uncertain, too.
    alone = bm.q_distribution(shop, TASTES, tasks=30, seed=5, rewards_only=True)
    np.testing.assert_allclose(alone["noise"][2], found["noise"][2], rtol=1e-6)
    assert float(found["noise"][1]) != float(alone["noise"][1])
    np.testing.assert_allclose(bm.q_distribution(LAYERS, FAMILY, tasks=4_000)["noise"][3], 0.5, rtol=1e-9)


def test_features_that_a_stage_cannot_tell_apart_are_not_blown_up():
    """With ten products the linear fit of Q* exists but is not unique in later stages: the shortest is meant."""
    shop = bm.environments.recommendation(10, 5)
    found = bm.q_distribution(shop, logistic_transitions(shop, mean=None, scale=0.5), tasks=20)
    assert float(np.abs(found["mean"]).max()) < 5
    assert float(found["covariance"].max()) < 5
    assert 0 < float(found["misfit"].max()) < 0.2


def test_misspecified_features_leave_a_misfit():
    additive = bm.environments.layers(3, 3, 4, additive=True)
    found = bm.q_distribution(additive.replace(features=additive.features), FAMILY, tasks=200)
    assert found["mean"].shape == (4, 6)
    assert float(found["misfit"].min()) > 0.2


@pytest.mark.slow
def test_regret_by_step_has_the_mean_of_regret_by_episode():
    """V* - V^policy once an episode, and the sum of V* - Q* over its steps, agree but for luck."""
    agent = bm.agents.rlsvi()
    exact = bm.simulate(SHOP, {"A": agent}, steps=90, replicates=200, truth=TASTES, seed=1)["regret"].sum("step")
    stepwise = by_task(run({"A": agent}, mdp=SHOP, truth=TASTES, tasks=1, steps=90, replicates=200, seed=1))
    error = np.hypot(exact.std() / np.sqrt(200), stepwise.std() / np.sqrt(200))
    assert abs(float(exact.mean() - stepwise.mean())) < 4.5 * float(error)


def test_without_learning_tasks_are_independent_and_the_same_for_all():
    one = run({"A": bm.agents.tsrl(BASE), "B": bm.agents.tsrl(BASE)}, seed=3)
    np.testing.assert_array_equal(*one["regret"].values)
    longer = run({"A": bm.agents.tsrl(BASE)}, tasks=8, seed=3)
    np.testing.assert_array_equal(one["regret"].values[0], longer["regret"].values[0, :, :6])


def test_with_the_true_prior_it_is_the_oracle(monkeypatch):
    """After one task whose lesson is the truth, a learner does what the oracle does, action for action."""
    truth = read_gaussian(TRUE, 4, 9)
    monkeypatch.setitem(METHODS, "told", Method(lambda past: truth))
    agents = {
        "oracle": bm.agents.tsrl(TRUE),
        "told": bm.across_tasks(bm.agents.tsrl(BASE), "told", warm_up=1),
        "nothing": bm.agents.tsrl(BASE),
    }
    actions = run(agents, thin=1)["action"]
    late = actions["task"] > 0
    np.testing.assert_array_equal(actions.sel(agent="told")[:, late], actions.sel(agent="oracle")[:, late])
    np.testing.assert_array_equal(actions.sel(agent="told")[:, ~late], actions.sel(agent="nothing")[:, ~late])


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("mtsrl", {"covariance": 0.3 * np.stack([np.eye(9)] * 4)}),
        ("mtsrl+", {}),
        ("empirical-bayes", {}),
        ("adats", {"covariance": 0.3 * np.stack([np.eye(9)] * 4)}),
        ("meta-ts", {"covariance": 0.3 * np.stack([np.eye(9)] * 4)}),
    ],
)
def test_warm_up_is_prior_independent_and_what_follows_is_not(method, options):
    agents = {
        "RLSVI": bm.agents.tsrl(BASE),
        "learns": bm.across_tasks(bm.agents.tsrl(BASE), method, warm_up=3, **options),
    }
    result = run(agents, keep_priors=True, thin=1)
    early = result["task"] < 3
    actions = result["action"]
    np.testing.assert_array_equal(*actions[:, :, early.values].values)
    assert (actions.values[0] != actions.values[1]).any()
    kept = result["priors/learns"].to_dataset()
    np.testing.assert_array_equal(kept["mean"][:, :3], 0)
    assert (kept["mean"][:, 3:] != 0).any()
    assert "RLSVI" in result["priors"].children


def test_growth_says_when_a_prior_is_learned_anew():
    agent = bm.across_tasks(bm.agents.tsrl(BASE), "mtsrl+", warm_up=2, growth=2.0)
    means = run({"A": agent}, tasks=10, replicates=1, keep_priors=True)["priors/A"]["mean"].values[0]
    changed = [k for k in range(1, 10) if (means[k] != means[k - 1]).any()]
    assert changed == [2, 4, 8]


@pytest.mark.slow
def test_learned_priors_lower_regret_towards_the_oracles():
    agents = {
        "RLSVI": bm.agents.tsrl(BASE),
        "oracle": bm.agents.tsrl(TRUE),
        "MTSRL+": bm.across_tasks(bm.agents.tsrl(BASE), "mtsrl+"),
        "EB": bm.across_tasks(bm.agents.tsrl(BASE), "empirical-bayes"),
    }
    late = by_task(run(agents, tasks=24, steps=200, replicates=8)).sel(task=slice(12, None)).mean("task")
    for learner in ("MTSRL+", "EB"):
        gain = late.sel(agent="RLSVI") - late.sel(agent=learner)
        excess = late.sel(agent=learner) - late.sel(agent="oracle")
        assert float(gain.mean()) > 3 * float(gain.std() / np.sqrt(8)), learner
        assert float(excess.mean()) < 0.5 * float((late.sel(agent="RLSVI") - late.sel(agent="oracle")).mean()), learner


def test_alone_as_in_a_batch_and_resumed_as_uninterrupted():
    agents = {"RLSVI": bm.agents.tsrl(BASE), "EB": bm.across_tasks(bm.agents.tsrl(BASE), "empirical-bayes", warm_up=2)}
    whole = run(agents, tasks=4, workers=2)
    part = run(agents, tasks=4, replicates=1)
    alone = run({"EB": agents["EB"]}, tasks=4, workers=1)
    np.testing.assert_array_equal(whole["regret"].sel(agent="EB"), alone["regret"].sel(agent="EB"))
    resumed = run(agents, tasks=4, resume=part)
    xr.testing.assert_identical(whole.to_dataset().drop_attrs(), resumed.to_dataset().drop_attrs())
    with pytest.raises(ValueError, match="resume holds another run: its tasks is 4, this call's 5"):
        run(agents, resume=part, tasks=5)


def test_results_are_saved_summed_up_and_drawn_like_others(tmp_path):
    result = run({"RLSVI": bm.agents.tsrl(BASE)}, thin=4)
    held = bm.results.load(bm.results.save(result, tmp_path / "tasks.nc"))
    np.testing.assert_array_equal(held["regret"], result["regret"])
    assert held["regret"].groupby("task").sum().shape == (1, 2, 6)
    assert bm.summary(held).sizes["agent"] == 1
    assert bm.plot_regret(held).get_lines()[0].get_xdata()[-1] == 240


def test_interrupted_work_is_kept():
    def stop(name, replicate, seconds):
        if replicate == 1:
            raise KeyboardInterrupt

    with pytest.raises(bm.Interrupted) as stopped:
        run({"A": bm.agents.tsrl(BASE)}, replicates=3, workers=1, on_replicate=stop)
    assert stopped.value.result.sizes["replicate"] >= 1


@pytest.mark.slow
def test_a_learned_dirichlet_prior_lowers_regret_of_psrl_and_aq_brmdp_on_a_family_of_rivers():
    river = bm.environments.riverswim(6, discount=0.95)
    truth = river_current(river, concentration=(2.0, 4.0, 2.0))
    prior = dirichlet_transitions(river, concentration=1 / 6)
    agents = {}
    for name, agent in (("PSRL", bm.agents.psrl(prior)), ("AQ-BRMDP", bm.agents.aq_brmdp(prior))):
        agents |= {name: agent, f"{name}, learned": bm.across_tasks(agent, "dirichlet", warm_up=4)}
    result = run(agents, mdp=river, truth=truth, tasks=16, steps=400, replicates=12, keep_priors=True)
    regret = by_task(result)
    late = regret.sel(task=slice(6, None)).mean("task")
    for name in ("PSRL", "AQ-BRMDP"):
        gain = late.sel(agent=name) - late.sel(agent=f"{name}, learned")
        assert float(gain.mean()) > 3 * float(gain.std() / np.sqrt(12)), name
        np.testing.assert_array_equal(
            regret.sel(agent=name, task=slice(0, 3)), regret.sel(agent=f"{name}, learned", task=slice(0, 3))
        )
    kept = result["priors/PSRL, learned"]["concentration"].values[:, -1]
    assert (kept[:, 2, 1, 5] < 1 / 6).all()  # no river leads there


@pytest.mark.slow
def test_a_prior_learned_from_logs_is_a_model_that_any_agent_takes():
    logs = []
    for task in range(6):
        with jax.enable_x64(True):
            drawn = sample_prior(FAMILY, jax.random.key(task), LAYERS.transition.shape)
        logs.append(bm.collect(LAYERS.replace(reward=np.asarray(drawn["reward"])), steps=400, seed=task))
    posteriors = [bm.infer(BASE, log, mdp=LAYERS, draws=0) for log in logs]
    for method, options in (
        ("empirical-bayes", {}),
        ("mtsrl+", {}),
        ("adats", {"covariance": 0.3 * np.stack([np.eye(9)] * 4)}),
    ):
        learned = bm.learn_prior(posteriors, BASE, LAYERS, method, **options)
        mean = read_gaussian(learned, 4, 9).mean
        assert np.corrcoef(mean.ravel(), MEAN.ravel())[0, 1] > 0.8
        assert bm.simulate(LAYERS, {"A": bm.agents.tsrl(learned)}, steps=8, replicates=1)["reward"].size == 8

    river = bm.environments.riverswim(6)
    base = dirichlet_transitions(river)
    rivers = [bm.infer(base, bm.collect(river, steps=800, seed=k), mdp=river, draws=0) for k in range(5)]
    learned = bm.learn_prior(rivers, base, river)
    agents = {"PSRL": bm.agents.psrl(learned), "AQ": bm.agents.aq_brmdp(learned)}
    assert bm.simulate(river, agents, steps=20, replicates=1)["regret"].size == 40


def test_learning_from_logs_is_learning_in_the_engine():
    """The engine's own steps, written down as logs, teach `learn_prior` the prior that the engine went on with."""
    covariance = 0.3 * np.stack([np.eye(9)] * 4)
    agent = bm.across_tasks(bm.agents.tsrl(BASE), "mtsrl", warm_up=3, covariance=covariance)
    result = run({"A": agent}, tasks=4, steps=40, replicates=1, thin=1, keep_priors=True)
    posteriors = []
    for task in range(3):
        seen = result.to_dataset().isel(agent=0, replicate=0, step=slice(40 * task, 40 * task + 40))
        state, action, reward = (seen[name].values for name in ("state", "action", "reward"))
        following = np.append(state[1:], LAYERS.num_states - 1)
        following[3::4] = LAYERS.num_states - 1
        posteriors.append(bm.infer(BASE, make_log(LAYERS, state, action, reward, following), mdp=LAYERS, draws=0))
    learned = read_gaussian(bm.learn_prior(posteriors, BASE, LAYERS, "mtsrl", covariance=covariance), 4, 9)
    kept = result["priors/A"].to_dataset().isel(replicate=0, task=3)
    np.testing.assert_allclose(learned.mean, kept["mean"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(learned.covariance, kept["covariance"], rtol=1e-6, atol=1e-9)


def excited_after(mdp, state, action, excitation, at_random):
    """By NumPy, from the steps of one task: after how many episodes each stage's Gram matrix has the eigenvalue."""
    for episodes in range(1, at_random + 1):
        least = []
        for h in range(mdp.horizon):
            pairs = (mdp.stage == h)[:, None] & mdp.available & ~mdp.terminal[:, None]
            _, sizes, axes = np.linalg.svd(mdp.features[pairs], full_matrices=False)
            seen = mdp.features[state[h :: mdp.horizon], action[h :: mdp.horizon]][:episodes]
            along = seen @ axes[sizes > 1e-9].T
            least.append(np.linalg.eigvalsh(along.T @ along)[0])
        if min(least) >= excitation:
            return episodes
    return at_random


@pytest.mark.parametrize(
    ("mdp", "truth", "base", "excitation", "at_random"),
    [
        pytest.param(LAYERS, FAMILY, BASE, 2.0, 200, marks=pytest.mark.slow),
        (SHOP, TASTES, gaussian_q(SHOP, covariance=5.0, noise=0.03), 0.05, 60),
        (SHOP, TASTES, gaussian_q(SHOP, covariance=5.0, noise=0.03), 1e6, 7),  # never
    ],
)
def test_a_warm_up_that_does_not_adapt_is_all_that_is_learned_from(mdp, truth, base, excitation, at_random):
    steps, (stages, size) = 70 * mdp.horizon, (mdp.horizon, mdp.features.shape[-1])
    agent = bm.agents.tsrl(base, excitation=excitation, at_random=at_random)
    learner = bm.across_tasks(agent, "mtsrl", warm_up=2, covariance=0.3 * np.stack([np.eye(size)] * stages))
    result = run({"A": learner}, mdp=mdp, truth=truth, tasks=3, steps=steps, replicates=1, thin=1, keep_priors=True)
    counts, weights, estimates, prior = [], 0.0, 0.0, read_gaussian(base, stages, size)
    for task in range(2):
        seen = result.to_dataset().isel(agent=0, replicate=0, step=slice(steps * task, steps * (task + 1)))
        state, action, reward = (seen[name].values for name in ("state", "action", "reward"))
        counts.append(excited_after(mdp, state, action, excitation, at_random))
        # The last stage, whose targets are rewards: R A'b / noise^2 and the share W of the truth in it.
        of = slice(stages - 1, counts[-1] * stages, stages)
        phi, variance = mdp.features[state[of], action[of]], prior.noise[-1] ** 2
        gain = np.linalg.inv(np.linalg.inv(prior.covariance[-1]) + phi.T @ phi / variance) / variance
        weights, estimates = weights + gain @ phi.T @ phi, estimates + gain @ phi.T @ reward[of]
    assert (np.array(counts) > 1).all() and (np.array(counts) < 70).all()
    expected = np.linalg.pinv(weights, rcond=1e-6) @ estimates
    np.testing.assert_allclose(result["priors/A"]["mean"].values[0, 2, -1], expected, rtol=1e-6, atol=1e-8)


def test_in_its_warm_up_an_agent_looks_at_no_reward_and_afterwards_it_does():
    agent = {"A": bm.agents.tsrl(BASE, excitation=2.0, at_random=200)}
    other = gaussian_q_tasks(LAYERS, -3 * MEAN, 0.3 * np.eye(9))
    one, two = (run(agent, truth=truth, tasks=8, steps=280, thin=1) for truth in (FAMILY, other))
    frequencies = np.zeros(3)
    for replicate in range(2):
        for task in range(8):
            part = {"agent": 0, "replicate": replicate, "step": slice(280 * task, 280 * (task + 1))}
            state, action = (one[name].isel(part).values for name in ("state", "action"))
            until = 4 * excited_after(LAYERS, state, action, 2.0, 70)
            same = action == two["action"].isel(part).values
            assert same[:until].all()
            assert until == 280 or not same[until:].all()
            frequencies += np.bincount(action[:until], minlength=3)
    assert stats.chisquare(frequencies).pvalue > 1e-4


@pytest.mark.slow
def test_without_adapting_averages_of_estimates_are_unbiased():
    """In the last stage of the shop, where targets are rewards; an agent that gives up after bad luck is not."""
    base = gaussian_q(SHOP, covariance=5.0, noise=0.001**0.5)
    learned = {
        name: bm.across_tasks(
            bm.agents.tsrl(base, **options), "mtsrl", warm_up=12, covariance=np.stack([np.eye(20)] * 3)
        )
        for name, options in (("adapts", {}), ("does not", {"excitation": 1.0, "at_random": 60}))
    }
    result = run(learned, mdp=SHOP, truth=TASTES, tasks=13, steps=300, replicates=5, keep_priors=True)
    pairs = (SHOP.stage == 2)[:, None] & SHOP.available & ~SHOP.terminal[:, None]
    true = bm.q_distribution(SHOP, TASTES, tasks=500)["mean"].values[2]
    bias = {
        name: ((result[f"priors/{name}"]["mean"].values[:, -1, 2] - true) @ SHOP.features[pairs].T).mean(1)
        for name in learned
    }
    assert bias["adapts"].mean() < -0.1
    assert abs(bias["does not"].mean()) < 4 * bias["does not"].std(ddof=1) / np.sqrt(5)
    assert abs(bias["does not"].mean()) < 0.04


def test_bad_input_is_refused():
    agent = bm.agents.tsrl(BASE)
    with pytest.raises(ValueError, match=r"method must be one of mtsrl, .*; got 'magic'"):
        bm.across_tasks(agent, "magic")
    with pytest.raises(ValueError, match="warm_up must be an integer of at least 2; got 1"):
        bm.across_tasks(agent, "mtsrl+", warm_up=1)
    with pytest.raises(ValueError, match="excitation and at_random are given together or not at all"):
        bm.agents.tsrl(BASE, excitation=1.0)
    with pytest.raises(ValueError, match="excitation must be a number above 0"):
        bm.agents.tsrl(BASE, excitation=0.0, at_random=3)
    with pytest.raises(TypeError, match="agent is a str"):
        bm.across_tasks("tsrl")
    with pytest.raises(ValueError, match=r"method 'mtsrl' needs covariance="):
        bm.across_tasks(agent, "mtsrl")
    with pytest.raises(ValueError, match=r"covariance of agents\['A'\] has shape \(2, 9, 9\)"):
        run({"A": bm.across_tasks(agent, "mtsrl", covariance=np.stack([np.eye(9)] * 2), warm_up=2)})
    for options, words in (
        ({"bogus": 1}, r"method 'mtsrl\+' has no option 'bogus'; it has rule, shrink, scale, learn_noise"),
        ({"rule": "narrow"}, "rule must be one of shrunk, widened; got 'narrow'"),
        ({"shrink": 1.5}, "shrink must be a number of at least 0 and at most 1; got 1.5"),
        ({"learn_noise": 1}, "learn_noise must be True or False; got 1"),
        ({"scale": -1.0}, "scale must be a number of at least 0; got -1.0"),
        ({"scale": np.nan}, "scale must be"),
    ):
        with pytest.raises(ValueError, match=words):
            bm.across_tasks(agent, "mtsrl+", **options)
    with pytest.raises(ValueError, match=r"covariance\[0\] has the smallest eigenvalue -1"):
        bm.across_tasks(agent, "adats", covariance=-np.stack([np.eye(9)] * 4))
    with pytest.raises(ValueError, match="bogus= is an option of a method, and no method is given"):
        bm.across_tasks(agent, bogus=1)
    with pytest.raises(
        ValueError, match=r"agents\['A'\] learns its prior after a warm-up of 8 tasks, but there are only 6"
    ):
        run({"A": bm.across_tasks(agent, "mtsrl+")})
    with pytest.raises(TypeError, match="agents must be a mapping"):
        run([agent])
    with pytest.raises(TypeError, match="truth must be a NumPyro model"):
        run({"A": agent}, truth=None)
    with pytest.raises(ValueError, match="truth draws a transition of shape"):
        run({"A": agent}, truth=TASTES)
    with pytest.raises(ValueError, match="method 'dirichlet' is for priors of 'transition'; that of agents"):
        run({"A": bm.across_tasks(agent, "dirichlet", warm_up=2)})
    with pytest.raises(ValueError, match="thin must divide steps"):
        run({"A": agent}, thin=7)
    river = bm.environments.riverswim(6)
    structured = bm.agents.psrl(river_current(river))
    one_river = lambda data: numpyro.deterministic("transition", river.transition)  # noqa: E731
    with pytest.raises(ValueError, match=r"the prior of agents\['A'\] cannot be learned across tasks"):
        run({"A": bm.across_tasks(structured, "dirichlet", warm_up=2)}, mdp=river, truth=one_river)
    with pytest.raises(ValueError, match="posteriors is empty"):
        bm.learn_prior([], BASE, LAYERS)
    seen = bm.infer(BASE, bm.collect(LAYERS, steps=40), mdp=LAYERS, draws=0)
    with pytest.raises(ValueError, match=r"posteriors\[0\] is not of 'transition', as base is"):
        bm.learn_prior([seen] * 3, dirichlet_transitions(LAYERS), LAYERS)
    known = bm.infer(dirichlet_transitions(river), bm.collect(river, steps=40), mdp=river, draws=0)
    with pytest.raises(ValueError, match="whose one unknown is a Dirichlet"):
        bm.learn_prior([known] * 3, bm.models.normal_rewards(river, dirichlet_transitions(river)), river)


@pytest.mark.slow
def test_few_rows_and_tasks_alike_break_nothing():
    """Fewer rows than features, targets fitted without error, and tasks that do not differ."""
    shop = bm.environments.recommendation(4, 3)
    agents = {
        "EB": bm.across_tasks(bm.agents.rlsvi(), "empirical-bayes", warm_up=2),
        "EB strong": bm.across_tasks(bm.agents.rlsvi(), "empirical-bayes", warm_up=2, strength=None),
        "EB noise": bm.across_tasks(bm.agents.rlsvi(), "empirical-bayes", warm_up=2, learn_noise=False),
        "MTSRL+": bm.across_tasks(bm.agents.rlsvi(), "mtsrl+", warm_up=2),
    }
    for seed in range(2):
        result = run(agents, mdp=shop, truth=TASTES, tasks=6, steps=30, keep_priors=True, seed=seed)
        for name in agents:
            kept = result[f"priors/{name}"]["covariance"].values[:, 2:]
            assert np.isfinite(kept).all()
            assert (np.linalg.eigvalsh(kept)[..., -1] > 1e-6).all(), name
