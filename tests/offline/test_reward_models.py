"""What rewards are taken to be: known only where the log shows it, and else as uncertain as simulation says."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayesmdp as bm
from bayesmdp.logs.compress import compress
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline.experience import Experience, RewardSums, added_up
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.offline.reward_models import RewardModel, RewardScatter, reward_model
from bayesmdp.offline.reward_ties import NOISES, SCALES, log_evidence
from tests.statistical import assert_p_value


def log_with(rewards, seed=0, steps=300):
    """A log of RiverSwim-6 in which pairs pay what a function of (generator, state, action, next_state) says."""
    log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=steps, seed=seed)
    rng = np.random.default_rng(seed)
    action = (log["action"].values == "right").astype(int)
    return log.assign(reward=("step", rewards(rng, log["state"].values, action, log["next_state"].values)))


def modelled(log, kind="auto"):
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    rows = compress(log, problem, distinct_rewards=True)
    experience = added_up(rows, problem)
    return problem, rows, experience, reward_model(log, rows, experience, kind)


KINDS = {
    "known": lambda rng, s, a, after: s + 0.1 * a + 10.0 * after,
    "bernoulli": lambda rng, s, a, after: (rng.random(len(s)) < 0.1 + 0.1 * s).astype(float),
    "normal": lambda rng, s, a, after: s + rng.normal(0, 1, len(s)),
}
ENTERED = {
    "bernoulli": lambda rng, s, a, after: (rng.random(len(s)) < 0.05 + 0.9 * (after == 2)).astype(float),
    "normal": lambda rng, s, a, after: 3.0 * (after == 2) + rng.normal(0, 1, len(s)),
}
BOTH = {
    "bernoulli": lambda rng, s, a, after: (rng.random(len(s)) < 0.05 + 0.45 * (after == 2) + 0.45 * a).astype(float),
    "normal": lambda rng, s, a, after: 3.0 * (after == 2) + 3.0 * a + rng.normal(0, 1, len(s)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_log_shows_what_its_rewards_are(kind):
    assert modelled(log_with(KINDS[kind]))[3].kind == kind


@pytest.mark.parametrize("kind", ENTERED)
def test_a_log_shows_what_its_rewards_hang_on(kind):
    assert modelled(log_with(KINDS[kind]))[3].by == "pair"
    assert modelled(log_with(BOTH[kind], steps=2_000))[3].by == "pair"
    _, _, experience, model = modelled(log_with(ENTERED[kind], steps=1_000))
    assert model.by == "next_state"
    known = model.posterior(experience)["reward"]
    mean = known[:, 0] if kind == "normal" else known[:, 0] / known.sum(-1)
    assert mean == pytest.approx(
        [0.05 * (kind == "bernoulli")] * 2 + [[0.95, 3.0][kind == "normal"]] + [mean[3]] * 3, abs=0.2
    )


def test_rewards_by_pair_are_hardly_ever_taken_for_others():
    """At most one log in a hundred, if rewards are as the prior has them."""
    wrong = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        mean = rng.normal(size=(6, 2))
        wrong += (
            modelled(log_with(lambda rng, s, a, _, mean=mean: mean[s, a] + rng.normal(0, 1, len(s)), seed))[3].by
            != "pair"
        )
    assert stats.binomtest(wrong, 100, 0.01, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("groups", [[0, 0, 0, 1, 1, 2], [0, 1, 0, 1, 0, 1]])
def test_the_evidence_of_groups_is_that_of_the_joint_distribution(groups):
    """Rewards are jointly Normal given noise and scale; the flat mean is a far wider Normal."""
    paid, groups = np.array([0.3, -1.2, 0.7, 2.0, 1.1, -0.4]), np.array(groups)

    def joint(groups):
        alike, apart, spread = groups[:, None] == groups, paid - paid.mean(), paid.std()
        told = []
        for noise, scale in itertools.product(spread * NOISES, spread * SCALES):
            covariance = scale**2 * alike + noise**2 * np.eye(6) + 1e4
            square = apart @ np.linalg.solve(covariance, apart)
            told.append(np.log(scale) - (square + np.linalg.slogdet(covariance)[1]) / 2)
        return logsumexp(told)

    def ours(groups):
        sums = RewardSums.added_up((groups,), (groups.max() + 1,), paid, np.ones(6))
        return log_evidence(sums, "normal")

    apart = np.arange(6)
    assert ours(groups) - ours(apart) == pytest.approx(joint(groups) - joint(apart), abs=1e-3)


def test_rewards_that_never_repeated_are_not_known():
    assert modelled(log_with(KINDS["known"], steps=8))[3].kind == "normal"


def test_a_reward_seen_once_is_known_only_where_others_tell_of_it():
    paid = pd.DataFrame({"action": ["A"] * 30 + ["B"], "reward": [0.0] * 30 + [5.0], "state": "s", "next_state": "s"})
    *_, model = modelled(read_log(paid))
    assert model.kind == "normal"
    once, often = model.options["noise"][0, 1], model.options["noise"][0, 0]
    assert once > 1 > 0.1 > often
    # Ten rewards that were paid again are enough to believe an eleventh.
    many = pd.DataFrame({"action": [*np.repeat(np.arange(10), 3), 10], "state": "s", "next_state": "s"})
    assert modelled(read_log(many.assign(reward=many["action"] * 0.7)))[3].kind == "known"
    # Rounding is no noise.
    close = paid.assign(reward=[0.1, 0.1 * (1 + 1e-15)] * 15 + [0.1])
    assert modelled(read_log(close))[3].kind == "known"


@pytest.mark.parametrize("pairs", [1, 2, 6, 15])
def test_chances_lie_where_the_posterior_says(pairs):
    rng, below = np.random.default_rng(5), []
    for _ in range(300):
        chance = rng.uniform(size=(pairs, 1))
        ones = rng.binomial(20, chance) / 20
        experience = Experience(np.full((pairs, 1, 1), 20.0), ones, 20 * ones * (1 - ones))
        known = RewardModel("bernoulli", {}, "").again(experience).posterior(experience)["reward"]
        below.append(stats.beta.cdf(chance, known[..., 0], known[..., 1]).ravel())
    share = np.concatenate(below)
    # One pair alone tells of its own prior as well, which counts it twice in part.
    most = {1: 0.17, 2: 0.15, 6: 0.125, 15: 0.115}[pairs]
    assert (share < 0.1).mean() <= most
    assert (share > 0.9).mean() <= most


@pytest.mark.parametrize("kind", ["bernoulli", "normal"])
def test_the_posterior_is_that_of_infer(kind):
    log = log_with(KINDS[kind])
    problem, _, experience, model = modelled(log)
    made = model.wrap(problem, bm.models.dirichlet_transitions(problem))
    found = bm.infer(made, log, mdp=problem, draws=0)["parameters"]["reward"].dropna("parameter", how="all")
    np.testing.assert_allclose(model.posterior(experience)["reward"], found, rtol=1e-7, atol=1e-9)


def test_nothing_depends_on_the_units_of_rewards():
    log = log_with(KINDS["normal"])
    _, _, experience, model = modelled(log)
    moved = log.assign(reward=100 * log["reward"] - 7)
    _, _, other, again = modelled(moved)
    expected = model.posterior(experience)["reward"] * 100 + [-7, 0]
    np.testing.assert_allclose(again.posterior(other)["reward"], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("by_pair", "noise"),
    [
        (False, 0.5),
        (True, 2.0),
        pytest.param(False, 2.0, marks=pytest.mark.slow),
        pytest.param(True, 0.5, marks=pytest.mark.slow),
    ],
)
def test_means_lie_where_the_posterior_says(noise, by_pair):
    """Shares of true means below their posterior quantiles, over 200 problems whose means are drawn."""
    rng, below = np.random.default_rng(3), []
    for _ in range(200):
        mean = rng.standard_normal((5, 3))
        sd = noise * (np.exp(rng.normal(0, 0.5, mean.shape)) if by_pair else np.ones(mean.shape))
        tries = rng.poisson(8, mean.shape) + 2
        paid = [[rng.normal(mean[s, a], sd[s, a], tries[s, a]) for a in range(3)] for s in range(5)]
        table = pd.DataFrame(
            [(s, a, r, s) for s in range(5) for a in range(3) for r in paid[s][a]],
            columns=["state", "action", "reward", "next_state"],
        )
        log = read_log(table, gaps="allow")
        _, _, experience, model = modelled(log, "normal")
        centre, spread = np.moveaxis(model.posterior(experience)["reward"], -1, 0)
        below.append(stats.norm.cdf((mean - centre) / spread).ravel())
    share = np.concatenate(below)
    # Hyperparameters are taken as known, so tails are a little heavier: half a point in ten at most.
    assert 0.085 <= (share < 0.1).mean() <= 0.125
    assert 0.085 <= (share > 0.9).mean() <= 0.125


def test_rewards_scatter_as_those_of_the_log():
    log = log_with(lambda rng, s, a, after: s + rng.standard_t(3, len(s)), steps=3_000)
    _, rows, experience, model = modelled(log)
    assert model.kind == "normal"
    zero = np.zeros(20_000, int)
    made = RewardScatter(model, rows, experience)(np.random.default_rng(0), zero, zero, zero, np.zeros(20_000))
    assert abs(made.mean()) < 0.1
    # Of variance 3, and with heavier tails than a Normal's 3.
    assert 0.6 < made.std() / model.options["noise"][0, 0] < 1.4
    assert stats.kurtosis(made, fisher=False) > 4
    ones = log_with(KINDS["bernoulli"])
    _, rows, experience, model = modelled(ones)
    made = RewardScatter(model, rows, experience)(np.random.default_rng(0), zero, zero, zero, np.full(20_000, 0.3))
    assert_p_value(stats.binomtest(int(made.sum()), 20_000, 0.3).pvalue, "ones")


def test_an_action_that_was_lucky_three_times_does_not_win():
    rng = np.random.default_rng(0)
    good = 1 + 2 * stats.zscore(rng.normal(size=27))
    paid = pd.DataFrame({"action": ["A"] * 27 + ["B"] * 3, "reward": [*good, 1.389, 3.454, 0.855]})
    log = read_log(paid.assign(state="s", next_state="s"))
    report = plan_log(log, discount=0.5, seed=1)
    bound = report.tree.attrs["initial_bound"] * (1 - 0.5)
    assert report.policy["action"].item() == "A" or bound < 1.0
    assert bound < 1.0  # not 1.9, the mean of three


@pytest.mark.parametrize(
    ("kind", "rewards", "message"),
    [
        ("sure", KINDS["normal"], "rewards must be one of auto, known, normal, bernoulli; got 'sure'"),
        ("bernoulli", KINDS["normal"], "needs rewards of 0 or 1; the log.s reward at step 0 is "),
    ],
)
def test_refusals(kind, rewards, message):
    with pytest.raises(ValueError, match=message):
        modelled(log_with(rewards), kind)


def test_all_rewards_alike_are_no_error():
    *_, model = modelled(log_with(lambda rng, s, a, after: np.zeros(len(s))))
    assert model.kind == "known"
    # Without repeats, too: how such rewards would scatter nothing tells.
    few = modelled(log_with(lambda rng, s, a, after: np.full(len(s), 3.0), steps=3))[3]
    assert (few.kind, few.described) == ("known", "taken to be known, since every row has the same one")
    assert modelled(log_with(lambda rng, s, a, after: np.zeros(len(s)), steps=3))[3].kind == "bernoulli"
    *_, model = modelled(log_with(lambda rng, s, a, after: np.full(len(s), 3.0)), "normal")
    assert np.isfinite(model.options["noise"]).all()
    assert model.options["mean"] == pytest.approx(3)


def test_the_spread_is_found_wherever_the_origin_is():
    rows = modelled(log_with(KINDS["normal"]))[2]
    far = Experience(rows.counts, rows.reward_mean + 1e9, rows.reward_scatter)
    assert far.paid.noise_variance == pytest.approx(rows.paid.noise_variance)
