"""What agents over linear MDPs assume: long features are refused, and what is not linear is told, with its size."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp import agents
from bayesmdp.agents.families.linear_assumptions import linear_misfit, refuse_long_features, shortest_total
from bayesmdp.simulation.linear_truth import warn_of_features

RIVER = bm.environments.riverswim(6, discount=None)
TOLD = {"horizon": 100, "span": 6.3}
LINEAR = {
    "lscvi": agents.gamma_lscvi_ucb(**TOLD),
    "planned": agents.gamma_lscvi_ucb_planned(**TOLD),
    "visited": agents.gamma_lscvi_ucb_visited(**TOLD),
    "olsvi": agents.olsvi_fh(**TOLD, episode=5),
    "exp2": agents.mdp_exp2(horizon=100, mixing=1, excitation=0.1, window=2, episode=10),
}
WORLDS = [
    bm.environments.inventory(6),
    bm.environments.network_routing(2),
    bm.environments.random_linear_mdp(),
    bm.environments.hard_linear_mdp(5),
    RIVER,
    RIVER.replace(features=np.eye(12).reshape(6, 2, 12)).with_successors(),
]


def features(*norms):
    """Features of which those of the pairs (0, 0), (0, 1), ... have these norms, the rest of norm 1."""
    phi = np.eye(12)
    phi[range(len(norms)), range(len(norms))] = norms
    return phi.reshape(6, 2, 12)


@pytest.mark.parametrize("name", LINEAR)
def test_long_features_are_refused_with_what_to_divide_by(name):
    longest = 1 if name in ("lscvi", "planned", "visited") else np.sqrt(2)
    agent, mdp = LINEAR[name], RIVER.replace(features=features(1, longest, 17.2, 16))
    remedy = f"divide all features by {17.2 / longest:.6g}".replace(".", r"\.")
    with pytest.raises(
        ValueError, match=rf"features\[1, 0\] of riverswim-6, state 1 and action 'left'.*17\.2.*{remedy}"
    ):
        bm.simulate(mdp, {"a": agent}, steps=10)
    agent.make_belief(mdp.replace(features=mdp.features / (17.2 / longest)))
    with pytest.raises(ValueError, match=r"divide all features by 1\.001"):
        agent.make_belief(RIVER.replace(features=features(1.001 * longest)))
    # What cannot be done does no harm.
    available = RIVER.available.copy()
    available[1, 1] = False
    agent.make_belief(RIVER.replace(features=features(1, 1, 1, 17.2), available=available))


def test_long_features_are_seen_on_the_way_where_states_are_numbers():
    machine = bm.environments.wearing_machine()
    refuse_long_features(machine)

    def longer(parameters, state):
        phi, reward = machine.problem.view(parameters, state)
        return 3 * phi, reward

    long = bm.ContinuousMDP(
        view=longer,
        draw=machine.problem.draw,
        parameters=machine.problem.parameters,
        start=0.0,
        actions=machine.actions,
        gain=machine.gain,
        span=machine.span,
        name="long",
    )
    # The norm is largest where the machine is new: 1, times 3.
    with pytest.raises(ValueError, match=r"of long, state 0\.0 and action 'run', has the norm 3, .* divide .* by 3"):
        refuse_long_features(long)


def test_the_misfit_is_that_of_the_nearest_linear_kernel():
    """Of features that tell nothing apart the best fit is the mean row; of three pairs, one has no part in it."""
    kernel = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.4, 0.6], [0.0, 1.0]]])
    available = np.array([[True, True], [True, False]])
    mean = np.mean([1.0, 0.0, 0.4])
    found = linear_misfit(np.ones((2, 2, 1)), kernel, available)
    assert found == (pytest.approx(1 - mean), 0, 0)
    # Any kernel is linear in as many features as there are pairs, and in a basis of them.
    basis = np.random.default_rng(0).normal(size=(4, 4)).reshape(2, 2, 4)
    assert linear_misfit(basis, kernel, available).size < 1e-12


def test_the_weights_of_all_states_are_as_long_as_the_features_are_short():
    phi, live = features(), RIVER.available
    assert shortest_total(phi, live) == pytest.approx(np.sqrt(12))
    assert shortest_total(phi / 4, live) == pytest.approx(4 * np.sqrt(12))


@pytest.mark.parametrize("mdp", WORLDS, ids=lambda mdp: mdp.name)
def test_shipped_worlds_are_as_they_are_taken_to_be(mdp):
    warn_of_features(mdp, {"lscvi": LINEAR["lscvi"], "olsvi": LINEAR["olsvi"]}, None)


def test_a_problem_that_is_not_linear_is_told_once_with_the_size():
    phi = np.random.default_rng(1).dirichlet(np.ones(3), (6, 2))
    size, state, action = linear_misfit(phi, RIVER.transition, RIVER.available)
    mdp = RIVER.replace(features=phi)
    with pytest.warns(UserWarning) as told:
        bm.simulate(
            mdp, {"one": LINEAR["lscvi"], "two": agents.gamma_lscvi_ucb(**TOLD, scale=0.1)}, steps=10, replicates=3
        )
    assert len(told) == 1
    place = f"misses transition[{state}, {action}], state {state} and action {mdp.actions[action]!r}, by {size:.3g}"
    assert str(told[0].message).startswith(
        "the transition of riverswim-6 is not linear in its features, as agents one, two"
    )
    assert place in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_features(mdp, {"other": agents.gamma_ucb_cvi(**TOLD)}, None)
    # One that regresses on rewards too is told of them; the others know them.
    shop = bm.environments.inventory(4)
    with pytest.warns(UserWarning, match="the reward of inventory-4 is not linear .* as agents exp2 take"):
        warn_of_features(shop, LINEAR, None)


def test_a_truth_that_is_drawn_is_looked_at():
    drawn = np.random.default_rng(0).dirichlet(np.ones(6), (6, 2))
    mdp = RIVER.replace(features=RIVER.transition)
    warn_of_features(mdp.replace(features=features()), LINEAR, {"transition": jnp.asarray(drawn)})
    with pytest.warns(UserWarning, match="the transition of riverswim-6 is not linear"):
        warn_of_features(mdp, {"a": LINEAR["lscvi"]}, {"transition": jnp.asarray(drawn)})


def test_short_features_are_told_with_what_to_multiply_by():
    with pytest.warns(
        UserWarning, match=r"norm of at least 13\.8564, above the 3\.4641 = sqrt\(d\).*all features by 4"
    ):
        warn_of_features(RIVER.replace(features=features() / 4), {"a": LINEAR["lscvi"]}, None)
