"""Off-policy estimators: the truth where a log holds every episode in its share, their definitions step by step, and
what they cannot tell."""

import itertools

import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.logs.log import make_log
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline import off_policy as module
from bayesmdp.offline.likeliest_model import LikeliestModel
from bayesmdp.offline.off_policy import ESTIMATORS, off_policy
from bayesmdp.offline.steps import steps_of
from tests.statistical import assert_p_value

CHAIN = np.array([[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [1.0, 0.0]]])
PAID = np.array([[1.0, -2.0], [0.5, 3.0]])
POLICY = np.array([[0.9, 0.1], [0.3, 0.7]])
BEHAVIOUR = np.array([[0.5, 0.5], [0.25, 0.75]])


def two_steps(discount=0.9):
    """Two steps in two states, and then the end: states are numbered by stage, 2 of them and then one that is over."""
    transition = np.zeros((5, 2, 5))
    transition[:2, :, 2:4], transition[2:, :, 4] = CHAIN, 1
    reward = np.concatenate([PAID, 2 * PAID, np.zeros((1, 2))])
    initial = [0.5, 0.5, 0, 0, 0]
    return bm.MDP(transition=transition, reward=reward, discount=discount, terminal=[4], initial=initial)


def by_stage(table):
    return np.concatenate([table, table, table[:1]])


def every_episode():
    """All episodes of two steps, each as often as it is probable under the behaviour; and the value of the policy."""
    columns, value = [], 0.0
    for first, one, then, two in itertools.product(range(2), repeat=4):
        path = 0.5 * CHAIN[first, one, then]
        times = round(256 * path * BEHAVIOUR[first, one] * BEHAVIOUR[then, two])
        value += path * POLICY[first, one] * POLICY[then, two] * (PAID[first, one] + 0.9 * 2 * PAID[then, two])
        steps = [(first, one, PAID[first, one], 2 + then, False), (2 + then, two, 2 * PAID[then, two], 4, True)]
        columns += steps * times
    return make_log(two_steps(), *(np.array(column) for column in zip(*columns, strict=True))), value


def random_log(rng, episodes=40, mdp=None):
    """Episodes of three states that end, or are cut off after six steps; with gaps nowhere."""
    columns = []
    for _ in range(episodes):
        state = int(rng.integers(2))
        for time in range(6):
            action, after = int(rng.integers(2)), int(rng.integers(4))
            columns.append((state, action, rng.normal(), after, after == 3, time == 5 and after != 3))
            state = after
            if after == 3:
                break
    mdp = mdp or bm.MDP(reward=np.zeros((4, 2)), discount=0.8, terminal=[3], initial=[0.7, 0.3, 0, 0])
    return make_log(mdp, *(np.array(column) for column in zip(*columns, strict=True))), mdp


def replayed(log, mdp, policy, behaviour):
    """The definitions of the module, episode by episode, with V and Q of the log's frequencies."""
    columns = ("state", "action", "reward", "next_state", "terminated", "truncated")
    rows = list(zip(*(log[name].values.tolist() for name in columns), strict=True))
    kernel, paid = np.zeros((4, 2, 4)), np.zeros((4, 2))
    for state, action, reward, after, *_ in rows:
        kernel[state, action, after] += 1
        paid[state, action] += reward
    tries = kernel.sum(-1)
    kernel, paid = kernel[:3] / tries[:3, :, None], paid[:3] / tries[:3]
    chain = np.einsum("sa,sat->st", policy[:3], kernel[..., :3])
    value = np.append(np.linalg.solve(np.eye(3) - 0.8 * chain, (policy[:3] * paid).sum(-1)), 0)
    q = paid + 0.8 * kernel @ value
    episodes, own = [], []
    for row in rows:
        own.append(row)
        if row[4] or row[5]:
            episodes.append(own)
            own = []
    share = np.bincount([own[0][0] for own in episodes], minlength=4) / len(episodes)
    decided = robust = model = 0.0
    earned, weights = np.zeros(6), np.zeros(6)
    for own in episodes:
        rho = mdp.initial[own[0][0]] / share[own[0][0]]
        model += rho * value[own[0][0]]
        robust += rho * value[own[0][0]]
        for time, (state, action, reward, after, _, cut) in enumerate(own):
            rho *= policy[state, action] / behaviour[state, action]
            decided += 0.8**time * rho * (reward + cut * 0.8 * value[after])
            robust += 0.8**time * rho * (reward + 0.8 * value[after] - q[state, action])
            earned[time] += rho * (reward + cut * 0.8 * value[after])
            weights[time] += rho
        weights[len(own) :] += rho
    total = len(episodes)
    return [decided / total, (0.8 ** np.arange(6) * earned / weights).sum(), robust / total, model / total]


def test_where_every_episode_has_its_share_all_are_exact():
    log, value = every_episode()
    told = off_policy(log, by_stage(POLICY), mdp=two_steps(), behaviour=by_stage(BEHAVIOUR), bootstrap=20)
    np.testing.assert_allclose(told["value"], value, rtol=1e-12)
    assert bm.evaluate(two_steps(), by_stage(POLICY)).values @ two_steps().initial == pytest.approx(value, rel=1e-9)
    # Kish's size, from the definition.
    share = BEHAVIOUR / BEHAVIOUR
    squares = sum(
        0.5
        * CHAIN[first, one, then]
        * share[first, one]
        * POLICY[first, one] ** 2
        / BEHAVIOUR[first, one]
        * POLICY[then, two] ** 2
        / BEHAVIOUR[then, two]
        for first, one, then, two in itertools.product(range(2), repeat=4)
    )
    np.testing.assert_allclose(told["effective"][:3], 256 / squares, rtol=1e-12)
    model = LikeliestModel(steps_of(log, two_steps()), two_steps(), by_stage(POLICY))
    behaviour = by_stage(BEHAVIOUR)[model.pair_state, model.pair_action]
    assert model.mean_square_ratio(behaviour, two_steps().initial, 5) == pytest.approx(squares, rel=1e-12)
    first = (POLICY**2 / BEHAVIOUR).sum(-1).mean()
    assert model.mean_square_ratio(behaviour, two_steps().initial, 1) == pytest.approx(first, rel=1e-12)
    assert told["tells"].all() and told.attrs["number"] == 256 and told.attrs["cut"] == 0
    # An estimated behaviour is that of the log, but for its prior.
    estimated = off_policy(log, by_stage(POLICY), mdp=two_steps(), bootstrap=20)
    np.testing.assert_allclose(estimated["value"], value, rtol=0.01)


def test_the_definitions_are_followed_where_episodes_are_cut():
    rng = np.random.default_rng(3)
    log, mdp = random_log(rng)
    policy, behaviour = rng.dirichlet([1, 1], 4), rng.dirichlet([3, 3], 4)
    told = off_policy(log, policy, mdp=mdp, behaviour=behaviour, bootstrap=20)
    np.testing.assert_allclose(told["value"], replayed(log, mdp, policy, behaviour), rtol=1e-11)
    assert told["estimator"].values.tolist() == list(ESTIMATORS)
    assert told.attrs["cut"] == int(log["truncated"].sum())


def test_a_weight_of_two_is_an_episode_twice():
    """Exactly for ratios, to first order for values: the slope is that of ever more copies of all other episodes."""
    log, mdp = random_log(np.random.default_rng(4), episodes=12)
    policy = np.random.default_rng(5).dirichlet([1, 1], 4)
    uniform = np.full((4, 2), 0.5)
    mdp = mdp.replace(initial=np.bincount(log["state"].values[steps_of(log, mdp).first], minlength=4) / 12)

    def pieces(log):
        steps = steps_of(log, mdp)
        return steps, module._Ratios(steps, mdp, policy, uniform, LikeliestModel(steps, mdp, policy))

    steps, ratios = pieces(log)
    weight = np.ones((2, 12))
    weight[1, 0] += 1e-3
    base, moved = module._estimates(weight * 12 / weight.sum(-1, keepdims=True), ratios)
    own = np.flatnonzero(steps.piece == 0)
    many = log.isel(step=np.concatenate([*[np.arange(log.sizes["step"])] * 1000, own]))
    again, more = pieces(many)
    # Where episodes start is then that of the longer log.
    truth = module._estimates(np.ones((1, 12_001)), more._replace(mdp=mdp.replace(initial=_starts(again))))[0]
    np.testing.assert_allclose((moved - base) / 1e-3, (truth - base) / 1e-3, rtol=0.02, atol=2e-3)


def _starts(steps):
    return np.bincount(steps.state[steps.first], minlength=4) / len(steps.first)


def test_what_cannot_be_told_is_said():
    rng = np.random.default_rng(6)
    log, mdp = random_log(rng)
    only = np.tile([1.0, 0.0], (4, 1))
    never = log.isel(step=(log["action"] == 1).values)
    never = read_log(never.drop_vars("step").to_dataframe(), gaps="cut", states=[0, 1, 2, 3], actions=[0, 1])
    told = off_policy(never, only, mdp=mdp, bootstrap=20)
    assert not told["tells"].any() and told.attrs["untried"] == pytest.approx(1)
    assert told["why"].values[0] == "the policy reaches a pair that was never tried with discounted probability 1"
    few = off_policy(random_log(rng, episodes=30)[0], only, mdp=mdp, bootstrap=20)
    assert "too few effective episodes" in str(few["why"].values[0]) and few["effective"][0] < 20
    elsewhere = off_policy(log, "uniform", mdp=mdp.replace(initial=2), bootstrap=20)
    assert (
        elsewhere["why"].values.tolist()[:3]
        == ["100% of the starts are in states in which no episode of the log starts"] * 3
    )
    assert elsewhere["why"].values[3] == ""


def test_without_episodes_only_the_model_speaks():
    river = bm.environments.riverswim(6)
    log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    told = off_policy(log, ["right"] * 6, mdp=river)
    assert set(told["why"].values[:3].tolist()) == {"the log has 1 episode, but 10 are needed"}
    assert np.isnan(told["value"].values[:3]).all() and told.attrs["pieces"] == "blocks of 45 steps"
    mixed = log.isel(step=np.random.default_rng(0).permutation(2_000)).assign_attrs(ordered=0)
    other = off_policy(mixed, ["right"] * 6, mdp=river)
    assert other["why"].values[0] == "the rows of the log are not in order" and other.attrs["pieces"] == "steps"
    assert float(other["value"][3]) == pytest.approx(float(told["value"][3]), rel=1e-9)
    # A discount in the place of the MDP: starts, and what may be done, are those of the log.
    alone = off_policy(log, ["right"] * 6, discount=river.discount)
    assert float(alone["value"][3]) == pytest.approx(float(told["value"][3]), rel=1e-9)
    assert off_policy(log, ["right"] * 6, mdp=river).equals(told)


def test_episodes_without_the_rare_large_ratios_are_not_taken_for_many():
    """The policy goes on where the behaviour goes out; the few episodes that went on for long would count for most."""
    mdp = bm.MDP(reward=np.ones((2, 2)), discount=0.9, terminal=[1])
    action = np.concatenate([[0] * time + [1] for time in np.random.default_rng(0).geometric(0.5, size=200) - 1])
    log = make_log(mdp, 0 * action, action, 1.0 * action, action, action == 1)
    told = off_policy(log, [[0.8, 0.2], [0.5, 0.5]], mdp=mdp, behaviour=[[0.5, 0.5]] * 2, bootstrap=20)
    # Up to the longest episode of the log; Kish's size, of the ratios that there are, is larger.
    longest = int(np.diff(np.flatnonzero(action), prepend=-1).max())
    square = sum(1.28**time * 0.08 for time in range(longest)) + 1.28**longest
    assert float(told["effective"][0]) == pytest.approx(200 / square, rel=1e-12)
    ratio = np.array([1.6**time * 0.4 for time in np.diff(np.flatnonzero(action), prepend=-1) - 1])
    assert ratio.sum() ** 2 / (ratio**2).sum() > 1.5 * 200 / square


def test_ratios_beyond_floats_stay_numbers():
    """A policy that was followed for a thousand steps, at a chance of a quarter each."""
    mdp = bm.MDP(reward=np.zeros((1, 4)), discount=0.99)
    action = np.zeros(12_000, int)
    action[6_000:] = np.random.default_rng(0).integers(4, size=6_000)
    last = np.arange(12_000) % 1_000 == 999
    log = make_log(mdp, 0 * action, action, np.ones(12_000), 0 * action, None, last)
    told = off_policy(log, [0], mdp=mdp, behaviour=[[0.25] * 4], bootstrap=20)
    assert np.isfinite(told["value"]).all() and np.isfinite(told["effective"]).all()
    assert not told["tells"].values[:3].any()


@pytest.mark.slow
def test_intervals_hold_the_truth():
    """300 logs: of 95% intervals about 95% should; they hold in at least 90% beyond doubt."""
    rng, mdp, policy = np.random.default_rng(7), two_steps(), by_stage(POLICY)
    truth = float(bm.evaluate(mdp, policy).values @ mdp.initial)
    held = np.zeros(len(ESTIMATORS))
    for seed in range(300):
        first, size = rng.integers(2, size=100), np.arange(100)
        one = (rng.random(100) < BEHAVIOUR[first, 1]).astype(int)
        then = (rng.random(100) < CHAIN[first, one, 1]).astype(int)
        two = (rng.random(100) < BEHAVIOUR[then, 1]).astype(int)
        noise = rng.normal(size=(2, 100))
        steps = (
            np.stack([first, one, PAID[first, one] + noise[0], 2 + then, 0 * size]),
            np.stack([2 + then, two, 2 * PAID[then, two] + noise[1], 0 * size + 4, 0 * size + 1]),
        )
        columns = np.stack(steps, -1).reshape(5, -1)
        state, action, after, ended = columns[[0, 1, 3, 4]].astype(int)
        log = make_log(mdp, state, action, columns[2], after, ended.astype(bool))
        told = off_policy(log, policy, mdp=mdp, bootstrap=200, seed=seed)
        assert told["tells"].all()
        held += ((told["lower"] <= truth) & (truth <= told["upper"])).values
    for name, number in zip(ESTIMATORS, held, strict=True):
        assert_p_value(stats.binomtest(int(number), 300, 0.95).pvalue, name)


LOG, PROBLEM = random_log(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("policy", "options", "error", "message"),
    [
        ("uniform", {}, ValueError, "give either mdp, .* or discount, such as discount=0.99; got neither"),
        ("uniform", {"mdp": PROBLEM, "discount": 0.9}, ValueError, "got both"),
        ("uniform", {"discount": 1.0}, ValueError, "discount must be"),
        ("uniform", {"mdp": PROBLEM.replace(discount=None, terminal=None)}, ValueError, "mdp has no discount; give"),
        (
            "uniform",
            {"mdp": PROBLEM.replace(discount=None, horizon=5)},
            ValueError,
            "mdp has a horizon, so its policies",
        ),
        ("best", {"mdp": PROBLEM}, ValueError, "the only policy with a name is 'uniform'; got 'best'"),
        ([0, 1, 0], {"mdp": PROBLEM}, ValueError, "policy"),
        ([0, 1, 0, 7], {"mdp": PROBLEM}, KeyError, "7"),
        (np.zeros((4, 2)), {"mdp": PROBLEM}, ValueError, "policy"),
        (bm.plan, {"mdp": PROBLEM}, TypeError, "policy is a function"),
        (np.full((5, 4, 2), 0.5), {"mdp": PROBLEM}, ValueError, "policy"),
        (
            "uniform",
            {"mdp": PROBLEM, "behaviour": [0] * 4},
            ValueError,
            "behaviour never takes 1 in state 1, but the log",
        ),
        ("uniform", {"mdp": PROBLEM, "bootstrap": 5}, ValueError, "bootstrap must be an integer of at least 20; got 5"),
        ("uniform", {"mdp": PROBLEM, "confidence": 1.0}, ValueError, "confidence"),
        ("uniform", {"mdp": PROBLEM, "seed": -1}, ValueError, "seed"),
        ("uniform", {"mdp": bm.environments.riverswim(6)}, ValueError, "which is no action"),
    ],
)
def test_what_is_refused(policy, options, error, message):
    with pytest.raises(error, match=message):
        off_policy(LOG, policy, **options)
