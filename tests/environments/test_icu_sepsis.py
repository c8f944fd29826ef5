"""ICU-Sepsis against the authors' arrays, their environment and the returns they publish."""

import contextlib
import importlib
import io
import subprocess
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bayesmdp as bm
from bayesmdp.environments import clinicians_policy, icu_sepsis
from bayesmdp.problems.policy import policy_probabilities
from tests.statistical import assert_p_value, counts_p_value

ALMOST_ONE = 1 - 1e-6


@pytest.fixture(scope="module")
def sepsis():
    return icu_sepsis(discount=ALMOST_ONE)


@pytest.fixture(scope="module")
def arrays():
    with np.load(Path(find_spec("icu_sepsis").submodule_search_locations[0], "envs/assets/dynamics.npz")) as archive:
        return {name: archive[name] for name in ("tx_mat", "r_mat", "d_0", "expert_policy")}


@pytest.fixture(scope="module")
def theirs():
    """The authors' environment, which imports the unmaintained gym."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            package = importlib.import_module("icu_sepsis")
        except Exception as error:
            pytest.skip(f"icu_sepsis cannot be imported: {error}")
        return package.ICUSepsisEnv(seed=0)


def undiscounted(arrays, policy):
    """Probability of survival and mean length of an episode, by a dense solve over the 713 patients' states."""
    chain = np.einsum("sa,sat->st", policy, arrays["tx_mat"])[:713]
    visits = np.linalg.solve(np.eye(713) - chain[:, :713].T, arrays["d_0"][:713])
    return visits @ chain[:, 714], visits.sum()


def test_kernel_and_reward_are_the_authors(sepsis, arrays):
    assert sepsis.transition.shape == (716, 25, 213)
    live = np.arange(713)
    for action in range(25):
        dense = np.zeros((716, 716))
        np.add.at(dense, (np.arange(716)[:, None], sepsis.successor[:, action]), sepsis.transition[:, action])
        np.testing.assert_array_equal(dense, arrays["tx_mat"][:, action])
        reached = arrays["r_mat"][live[:, None], action, sepsis.successor[live, action]]
        np.testing.assert_array_equal(sepsis.reward[live, action], reached)
    np.testing.assert_allclose(sepsis.initial, arrays["d_0"], atol=1e-15)
    assert [sepsis.states[i] for i in sepsis.terminal.nonzero()[0]] == ["death", "survival", "s_inf"]
    assert not arrays["tx_mat"][:713, :, 715].any()


def test_padding_repeats_a_state_that_can_be_reached(sepsis):
    first = sepsis.successor[:, :, :1]
    assert (sepsis.transition[:, :, 0] > 0).all()
    assert ((sepsis.successor == first) | (sepsis.transition > 0)).all()


def test_inadmissible_actions_lead_where_admissible_ones_do_on_average(sepsis, arrays):
    for state in range(713):
        rows, available = arrays["tx_mat"][state], sepsis.available[state]
        mean = rows[available].mean(0)
        np.testing.assert_allclose(rows[~available], np.broadcast_to(mean, rows[~available].shape), atol=1e-14)


def test_published_returns(sepsis, arrays):
    # Choudhary et al.: .78 at random, .78 for clinicians, .88 at best, in 9.45, 9.22 and 10.99 steps (by simulation).
    for policy, survival, length in (("uniform", 0.78, 9.45), (clinicians_policy(), 0.78, 9.22)):
        exact = undiscounted(arrays, policy_probabilities(sepsis, policy))
        assert exact[0] == pytest.approx(survival, abs=0.005) and exact[1] == pytest.approx(length, abs=0.02)
        assert sepsis.initial @ bm.evaluate(sepsis, policy).values == pytest.approx(exact[0], abs=1e-5)
    best = bm.solve(sepsis)
    exact = undiscounted(arrays, policy_probabilities(sepsis, best.policy))
    assert exact[0] == pytest.approx(0.88, abs=0.005) and exact[1] == pytest.approx(10.99, abs=0.02)
    assert sepsis.initial @ best.value.values == pytest.approx(exact[0], abs=2e-5)


def test_inadmissible_actions_change_nothing_that_can_be_earned(sepsis, arrays):
    every = icu_sepsis(discount=ALMOST_ONE, admissible_only=False)
    assert every.available.all() and not sepsis.available[:713].all()
    uniform = undiscounted(arrays, np.full((716, 25), 1 / 25))[0]
    assert every.initial @ bm.evaluate(every, "uniform").values == pytest.approx(uniform, abs=1e-5)
    np.testing.assert_allclose(bm.solve(every).value, bm.solve(sepsis).value, atol=1e-8)


def test_clinicians_take_admissible_actions_in_the_proportions_estimated(sepsis, arrays):
    policy = clinicians_policy()
    assert policy.dims == ("state", "action") and policy.sel(state="s3", action="f2 v0") == policy[3, 10]
    probability = policy.values
    np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-12)
    assert not probability[~sepsis.available].any()
    kept = np.where(sepsis.available, arrays["expert_policy"], 0)[:713]
    np.testing.assert_allclose(probability[:713] * kept.sum(-1, keepdims=True), kept, atol=1e-12)
    # What the docstring says of what is left out.
    assert 1 - kept.sum(-1).mean() == pytest.approx(0.156, abs=5e-4)
    assert undiscounted(arrays, arrays["expert_policy"])[0] == pytest.approx(0.7818, abs=5e-5)
    assert undiscounted(arrays, probability)[0] == pytest.approx(0.7820, abs=5e-5)


def test_the_authors_environment_steps_as_ours(sepsis, theirs):
    for state in range(713):
        assert theirs._admissible_actions[state] == sepsis.available[state].nonzero()[0].tolist()
    assert theirs.observation_space.n == sepsis.num_states
    # One pair, many times, from the states and levels that the authors number.
    state, fluids, vasopressors = 100, 2, 0
    action = sepsis.action_index("f2 v0")
    seen = np.zeros(716, int)
    for _ in range(4_000):
        theirs._current_state = state
        after, reward, terminated, _, _ = theirs.step((fluids, vasopressors))
        seen[after] += 1
        assert reward == (after == sepsis.state_index("survival")) and terminated == sepsis.terminal[after]
    expected = np.bincount(sepsis.successor[state, action], weights=sepsis.transition[state, action], minlength=716)
    assert (expected > 0).sum() > 20
    assert_p_value(counts_p_value(seen, expected), "next states")


def test_any_policy_acts_in_the_authors_environment(sepsis, theirs):
    import icu_sepsis as package

    env = package.FlattenActionWrapper(theirs)
    log = bm.environments.collect_gymnasium(env, clinicians_policy(), episodes=400, seed=1, mdp=sepsis)
    np.testing.assert_array_equal(log.terminated, np.isin(log.next_state, ("death", "survival")))
    survived, promised = int(log.reward.sum()), sepsis.initial @ bm.evaluate(sepsis, clinicians_policy()).values
    assert_p_value(stats.binomtest(survived, 400, promised).pvalue, "survival")
    assert bm.compress(log, sepsis).weight.sum() == log.sizes["step"]


def test_loading_is_quick_and_small(sepsis):
    began = time.process_time()
    icu_sepsis()
    assert time.process_time() - began < 2
    assert sum(array.nbytes for array in (sepsis.transition, sepsis.successor, sepsis.reward)) < 80e6


@pytest.mark.slow
def test_the_package_is_neither_imported_nor_needed_to_import_bayesmdp():
    program = (
        "import sys, bayesmdp as bm; bm.environments.icu_sepsis(); "
        "assert not {'icu_sepsis', 'gym', 'gymnasium'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == done.stderr == ""


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    # The package's attribute icu_sepsis is the function of that name.
    monkeypatch.setattr(sys.modules["bayesmdp.environments.icu_sepsis"], "find_spec", lambda name: None)
    for call in (icu_sepsis, clinicians_policy):
        with pytest.raises(ImportError, match=r"bayesmdp\[icu-sepsis\]"):
            call()


def test_measurements_are_of_the_states_in_which_somebody_is_treated() -> None:
    measured, sepsis = bm.environments.sepsis_measurements(), bm.environments.icu_sepsis()
    assert measured.index.tolist() == [
        state for state, end in zip(sepsis.states, sepsis.terminal, strict=True) if not end
    ]
    assert measured.columns.tolist() == ["sofa", *(f"x{i}" for i in range(47))]
    assert measured["sofa"].between(0, 24).all() and not measured.isna().any(axis=None)
    # Who is iller by the score survives less often.
    survival = bm.evaluate(sepsis, bm.environments.clinicians_policy()).to_series()[measured.index]
    assert measured["sofa"].corr(survival, method="spearman") < -0.5
