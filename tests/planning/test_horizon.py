"""Plans for a number of steps, by stage: against enumeration of all policies, plain recursions, and sums of rewards."""

import itertools

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions
from tests.oracles import over_draws, tail_means, targets

RNG = np.random.default_rng(0)
DIMS = ("draw", "state", "action", "next_state")
RIVER = bm.environments.riverswim(6)
KERNELS = RNG.dirichlet(np.full(6, 0.3), (20, 6, 2))
POSTERIOR = xr.Dataset({"transition": (DIMS, KERNELS)})
SHORT = RIVER.replace(discount=None, horizon=5)
ENDING = SHORT.replace(terminal=[5], available=[[True, True]] * 3 + [[False, True]] * 3)


def one_step(risk, kernels, mdp, value):
    """What `risk` makes of the targets of each pair [state, action]."""
    drawn = targets(kernels, mdp.reward, mdp.discount or 1, value, mdp.terminal)
    if isinstance(risk, bm.CVaR):
        return tail_means(drawn, float(risk.level))
    return over_draws(drawn, None if isinstance(risk, bm.Mean) else float(risk.level))


@pytest.mark.parametrize("discount", [0.9, None])
def test_the_best_of_all_policies(discount):
    """Under the mean, of all 64 policies by stage of two states, two actions and three steps."""
    kernels, reward = RNG.dirichlet(np.full(2, 0.5), (3, 2, 2)), RNG.normal(size=(2, 2, 2))
    mdp = bm.MDP(reward=reward, discount=discount, horizon=3)
    mean, values = kernels.mean(0), []
    for choice in itertools.product(range(2), repeat=6):
        value = np.zeros(2)
        for actions in reversed(np.array(choice).reshape(3, 2)):
            value = (mean[[0, 1], actions] * (reward[[0, 1], actions] + (discount or 1) * value)).sum(-1)
        values.append(value)
    plan = bm.plan(xr.Dataset({"transition": (DIMS, kernels)}), mdp)
    assert plan["q"].dims == ("stage", "state", "action")
    np.testing.assert_allclose(plan["value"][0], np.max(values, 0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(bm.evaluate(mdp.replace(transition=mean), plan.policy), plan["value"], atol=1e-12)


@pytest.mark.parametrize("mdp", [SHORT, ENDING.replace(discount=0.9)], ids=["all open", "with an end"])
@pytest.mark.parametrize("risk", [bm.Mean(), bm.Quantile(0.3), bm.CVaR(0.33)], ids=str)
def test_each_stage_is_one_step_before_the_next(mdp, risk):
    plan, value = bm.plan(POSTERIOR, mdp, risk), np.zeros(6)
    assert plan.sizes["stage"] == plan.attrs["horizon"] == 5 and plan.attrs["solver"] == "backward_induction"
    for stage in reversed(range(5)):
        q = np.where(mdp.available, one_step(risk, KERNELS, mdp, value), np.nan)
        value = np.nanmax(q, axis=-1)
        np.testing.assert_allclose(plan["q"][stage], q, rtol=0, atol=1e-12)
        np.testing.assert_allclose(plan["value"][stage], value, rtol=0, atol=plan.attrs["bound"])
    # The policy is a best one of each stage, and changes only where that of the stage before is none.
    chosen = np.array([[mdp.action_index(label) for label in row] for row in plan["policy"].values.tolist()])
    own = np.take_along_axis(plan["q"].values, chosen[..., None], -1)[..., 0]
    np.testing.assert_array_equal(own, plan["value"])
    stayed = np.take_along_axis(plan["q"].values[1:], chosen[:-1, :, None], -1)[..., 0]
    assert ((chosen[1:] == chosen[:-1]) == (stayed == own[1:])).all()


def test_actions_that_are_equally_good_are_no_reason_to_change():
    """In the last step of the river only its ends pay: between them each keeps to what it did in the step before."""
    plan = bm.solve(RIVER.replace(discount=None, horizon=20))
    np.testing.assert_array_equal(plan["q"][-1, 1:-1], 0)
    assert plan["policy"].values[0].tolist() == ["right"] * 6
    assert plan["policy"].values[-1].tolist() == ["left"] * 3 + ["right"] * 3


def test_the_same_as_a_state_for_each_stage():
    mdp = RIVER.replace(horizon=20)
    states = bm.unroll(mdp)
    assert (states.horizon, states.discount, mdp.num_states) == (20, 0.95, 6)
    expected = bm.solve(states)["value"].values[:-1].reshape(20, 6)
    np.testing.assert_allclose(bm.solve(mdp)["value"], expected, rtol=0, atol=1e-12)


def test_one_step_and_very_many():
    np.testing.assert_array_equal(bm.solve(RIVER.replace(horizon=1))["value"][0], RIVER.reward[..., 0].max(-1))
    far = bm.solve(RIVER.replace(horizon=400))
    np.testing.assert_allclose(far["value"][0], bm.solve(RIVER)["value"], rtol=0, atol=2 * 0.95**400 / 0.05)
    whole = bm.solve(RIVER.replace(discount=None, horizon=400))["value"]
    gain = float(bm.solve(RIVER.replace(discount=None))["gain"])
    np.testing.assert_allclose(whole[0] - whole[1], gain, rtol=0, atol=1e-6)


def policies():
    """Of each form: by stage, for every stage; labels, probabilities; arrays, and with named dims in another order."""
    actions = RNG.integers(0, 2, (5, 6))
    share = RNG.dirichlet(np.ones(2), (5, 6))
    labels = np.array(RIVER.actions)[actions]
    turned = xr.DataArray(labels.T, dims=("state", "stage"))
    sure = np.eye(2)[actions]
    return [
        (labels, sure),
        (turned, sure),
        (share, share),
        (xr.DataArray(share, dims=("stage", "state", "action")).transpose("action", "stage", "state"), share),
        (labels[0], np.broadcast_to(sure[0], sure.shape)),
        ("uniform", np.full((5, 6, 2), 0.5)),
    ]


@pytest.mark.parametrize(("policy", "share"), policies())
def test_what_a_policy_earns_under_each_draw(policy, share):
    expected = np.zeros((20, 5, 6))
    for kernel, values in zip(KERNELS, expected, strict=True):
        value = np.zeros(6)
        for stage in reversed(range(5)):
            value = values[stage] = (share[stage] * (RIVER.reward[..., 0] + kernel @ value)).sum(-1)
    values = bm.value_draws(POSTERIOR, SHORT, policy)
    assert values.dims == ("draw", "stage", "state")
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    for kernel, value in zip(KERNELS[:2], expected[:2], strict=True):
        own = bm.evaluate(SHORT.replace(transition=kernel), policy)
        np.testing.assert_allclose(own, value, rtol=0, atol=1e-12)


def test_the_quantile_at_the_start_and_what_is_lost_against_the_best():
    initial = RNG.dirichlet(np.ones(6))
    mdp = SHORT.replace(initial=initial)
    policy = bm.plan(POSTERIOR, mdp, bm.Quantile(0.3))["policy"]
    values = bm.value_draws(POSTERIOR, mdp, policy).values
    worth = bm.quantile_value(POSTERIOR, mdp, policy, 0.1)
    np.testing.assert_array_equal(worth["value"], np.quantile(values, 0.1, axis=0, method="inverted_cdf"))
    assert float(worth["initial"]) == pytest.approx(np.sort(values[:, 0] @ initial)[1], abs=1e-12)
    best = np.array([bm.solve(mdp.replace(transition=kernel))["value"].values for kernel in KERNELS])
    lost = bm.downside_exposure(POSTERIOR, mdp, policy, 0.3)
    assert lost.dims == ("stage", "state")
    np.testing.assert_array_equal(lost, (best - values >= 0.3).mean(0))


def test_what_a_table_lumps_is_worth_its_mean_at_each_stage():
    table = np.array([[[1, -1]], [[2, -1]], [[0, 1]]])
    kernels, reward = RNG.dirichlet(np.ones(2), (4, 3, 1)), np.array([1.0, 0.0, 5.0])
    mdp = bm.MDP(successor=table, reward=reward, discount=None, horizon=6, actions=["go"])
    posterior = xr.Dataset({"transition": ((*DIMS[:3], "outcome"), kernels)})
    plan, value, p = bm.plan(posterior, mdp, bm.Quantile(0.5)), np.zeros(3), kernels[:, :, 0]
    for stage in reversed(range(6)):
        future = np.array([[value[1], value[[0, 2]].mean()], [value[2], value[[0, 1]].mean()], [value[0], value[1]]])
        value = np.quantile(reward + (p * future).sum(-1), 0.5, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(plan["value"][stage], value, rtol=0, atol=1e-12)
    assert plan.attrs["guarantee_level"] == 1


def two_states():
    """Two states, of which one pays, and rows that are Beta a posteriori."""
    concentration = np.array([[[3.0, 2.0], [1.0, 1.5]], [[4.0, 0.5], [2.0, 2.0]]])
    mdp = bm.MDP(reward=[0.0, 1.0], discount=0.9, horizon=4, actions=["a", "b"], initial=[0.5, 0.5])
    dims = ("state", "action", "next_state")
    kernels = np.random.default_rng(1).beta(concentration[..., 1], concentration[..., 0], (4_000, 2, 2))
    return (
        concentration,
        mdp,
        xr.DataTree.from_dict(
            {
                "parameters": xr.Dataset({"transition": (dims, concentration)}),
                "posterior": xr.Dataset({"transition": (("draw", *dims), np.stack([1 - kernels, kernels], -1))}),
            }
        ),
    )


def test_an_exact_quantile_at_each_stage_and_what_it_guarantees():
    concentration, mdp, posterior = two_states()
    level = 0.02
    plan, value = bm.plan(posterior, mdp, bm.Quantile(level), quantile="exact"), np.zeros(2)
    for stage in reversed(range(4)):
        # The probability of state 1 is Beta, and the target rises or falls with it.
        rises = value[1] >= value[0]
        share = stats.beta.ppf(level if rises else 1 - level, concentration[..., 1], concentration[..., 0])
        q = mdp.reward[..., 0] + 0.9 * (value[0] + share * (value[1] - value[0]))
        value = q.max(-1)
        np.testing.assert_allclose(plan["q"][stage], q, rtol=0, atol=plan.attrs["bound"])
    assert plan.attrs["bound"] < 1e-10 and plan.attrs["num_draws"] == 0
    # One row at a time, and a sum over the stages that take it.
    takes = [[(plan["policy"][:, s] == a).sum().item() for a in "ab"] for s in range(2)]
    assert plan.attrs["guarantee_level"] == pytest.approx(1 - np.prod(1 - level * np.array(takes)), abs=1e-12)
    # Under the posterior all states keep their promise at once at least so often.
    kept = (bm.value_draws(posterior, mdp, plan["policy"]).values[:, 0] >= plan["value"].values[0]).all(-1)
    assert kept.mean() >= 1 - plan.attrs["guarantee_level"] - 4 * np.sqrt(0.1 / 4_000)


GOOD = {"reward": np.zeros((2, 2)), "discount": None, "horizon": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon must be an integer of at least 1; got 0"),
        ({"horizon": 2.5}, "horizon must be an integer of at least 1; got 2.5"),
        ({"horizon": True}, "horizon must be an integer of at least 1; got True"),
        ({"horizon": "30"}, "horizon must be an integer of at least 1; got '30'"),
        ({"discount": 1.5}, "discount must be a number above 0 and at most 1; got 1.5"),
        ({"stage": [0, 1]}, "leave horizon out, or stage; got 2"),
        ({"objective": "average"}, "has a horizon if and only if its objective is 'horizon'; got 'average'"),
        ({"objective": "horizon", "horizon": None}, "got 'horizon' and no horizon"),
    ],
)
def test_what_is_no_horizon(changes, message):
    assert bm.MDP(**GOOD).objective == "horizon" and bm.MDP(**GOOD | {"discount": 1}).discount is None
    with pytest.raises(ValueError, match=message):
        bm.MDP(**GOOD | changes)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ([["left"] * 6] * 4, "policy has 4 stages; the horizon of .* is 5"),
        (xr.DataArray([["left"] * 6] * 4, dims=("stage", "state")), "policy has 4 stages; the horizon of .* is 5"),
        (np.full((4, 6, 2), 0.5), "policy has 4 stages; the horizon of .* is 5"),
        (np.full((5, 6, 2), 0.4), r"policy\[0\] sums to 0.8"),
        ([["up"] * 6] * 5, "no action 'up'"),
    ],
)
def test_what_is_no_policy_by_stage(policy, message):
    with pytest.raises((ValueError, KeyError), match=message):
        bm.value_draws(POSTERIOR, SHORT, policy)


def test_what_two_stages_and_a_horizon_do_not_say():
    """Labels [2, 2] by stage, or probabilities [2, 2]; a policy by stage where there are no stages; nobody acts."""
    mdp = bm.MDP(**GOOD, transition=np.full((2, 2, 2), 0.5))
    with pytest.raises(ValueError, match=r"it may be labels \[stage, state\] or probabilities"):
        bm.evaluate(mdp, [[0, 1], [1, 0]])
    named = xr.DataArray([[0, 1], [1, 0]], dims=("stage", "state"))
    assert bm.evaluate(mdp, named).shape == (2, 2)
    with pytest.raises(ValueError, match="policy is by stage, and here one for all stages is needed"):
        bm.evaluate(mdp.replace(horizon=None), named)
    with pytest.raises(ValueError, match=r"that of mdp is horizon; act in bm.unroll\(mdp\)"):
        bm.simulate(mdp, {"PSRL": bm.agents.psrl(dirichlet_transitions(mdp))}, steps=4)
    assert bm.unroll(mdp).replace(discount=0.9).horizon == 2
    assert repr(mdp.replace(discount=0.9)) == "MDP('mdp': 2 states, 2 actions, horizon 2, discount 0.9)"
