import jax
import numpy as np
import pandas as pd
import pytest
from scipy.special import gammaln

import bayesmdp as bm
from bayesmdp.posterior.dirichlet_evidence import WEIGHTS

LAKE = bm.environments.frozen_lake()


@pytest.fixture(scope="module")
def log():
    return bm.collect(LAKE, policy="uniform", steps=300, seed=3)


def steps(log, mdp):
    labels = (log[name].values.tolist() for name in ("state", "action", "next_state"))
    state, action, after = labels
    return [
        (mdp.states.index(s), mdp.actions.index(a), mdp.states.index(t))
        for s, a, t in zip(state, action, after, strict=True)
    ]


def by_formula(seen, concentration, size):
    """The Dirichlet-multinomial formula, over all states."""
    counts = {}
    for s, a, t in seen:
        counts.setdefault((s, a), np.zeros(size))[t] += 1
    a = np.full(size, concentration)
    return sum(
        gammaln(a.sum()) - gammaln(a.sum() + n.sum()) + (gammaln(a + n) - gammaln(a)).sum() for n in counts.values()
    )


def step_by_step(seen, concentration, size):
    """What the prior and the steps before foretold."""
    total, before = 0.0, {}
    for s, a, t in seen:
        past = before.setdefault((s, a), [])
        total += np.log((concentration + past.count(t)) / (concentration * size + len(past)))
        past.append(t)
    return total


@pytest.mark.parametrize("concentration", [0.02, 1 / 16, 2.0])
def test_evidence_dense_and_lumped(log, concentration):
    seen = steps(log, LAKE)
    expected = by_formula(seen, concentration, 16)
    assert step_by_step(seen, concentration, 16) == pytest.approx(expected, rel=1e-12)
    lumped = bm.mdp_from_log(log, discount=0.9)
    assert lumped.has_elsewhere and lumped.num_states == 16
    open_kernel = bm.MDP(reward=np.zeros((16, 4)), discount=0.9, states=LAKE.states, actions=LAKE.actions)
    for mdp in (open_kernel, lumped):
        assert bm.dirichlet_log_evidence(log, mdp, concentration) == pytest.approx(expected, rel=1e-12)
    # Rows of one transition given apart are the same data.
    rows = bm.compress(log, open_kernel)
    apart = jax.tree.map(lambda column: np.concatenate([column, column]), rows)
    apart = apart._replace(weight=apart.weight / 2)
    assert bm.dirichlet_log_evidence(apart, open_kernel, concentration) == pytest.approx(expected, rel=1e-12)


def test_without_elsewhere_each_row_has_its_own_weight():
    log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=2_000, seed=0)
    known = bm.mdp_from_log(log, discount=0.9, elsewhere="none")
    rows, expected = bm.compress(log, known), 0.0
    for pair in {(int(s), int(a)) for s, a in zip(rows.state, rows.action, strict=True)}:
        chosen = (rows.state == pair[0]) & (rows.action == pair[1])
        n = rows.weight[chosen]
        a = np.full(len(n), 0.3)
        expected += gammaln(a.sum()) - gammaln(a.sum() + n.sum()) + (gammaln(a + n) - gammaln(a)).sum()
    assert bm.dirichlet_log_evidence(rows, known, 0.3) == pytest.approx(expected, rel=1e-12)


def test_what_a_small_log_calls_elsewhere_is_one_outcome(log):
    few = log.isel(step=slice(0, 60))
    mdp = bm.mdp_from_log(few, discount=0.9)
    known = [i for i, state in enumerate(log["state"].values) if state in mdp.states]
    later = log.isel(step=[i for i in known if log["next_state"].values[i] in mdp.states])
    rows, size, expected, unnamed = bm.compress(later, mdp), mdp.num_states, 0.0, 0
    for s, a in {(int(s), int(a)) for s, a in zip(rows.state, rows.action, strict=True)}:
        named = sorted(set(mdp.successor[s, a][mdp.successor[s, a] >= 0].tolist()))
        chosen = (rows.state == s) & (rows.action == a)
        after = mdp.successor[s, a, rows.next_state[chosen]]
        n = np.array([rows.weight[chosen][after == t].sum() for t in (*named, -1)])
        alpha = np.array([0.3] * len(named) + [0.3 * (size - len(named))])
        unnamed += n[-1]
        expected += gammaln(alpha.sum()) - gammaln((alpha + n).sum()) + (gammaln(alpha + n) - gammaln(alpha)).sum()
    assert unnamed > 20
    assert bm.dirichlet_log_evidence(later, mdp, 0.3) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weight", [1.0, 30.0])
def test_the_weight_that_made_the_data_is_found(weight):
    rng = np.random.default_rng(0)
    kernel = rng.dirichlet(np.full(30, weight / 30), size=(30, 2))
    mdp = bm.MDP(transition=kernel, reward=np.zeros(30), discount=0.9)
    log = bm.collect(mdp, policy="uniform", steps=6_000, seed=1)
    assert bm.concentration_by_evidence(log, mdp) == weight / 30
    assert weight in WEIGHTS


@pytest.mark.parametrize("steps", [1, 17, 59])
def test_a_log_that_says_nothing_leaves_one_observation(steps):
    """Every pair tried once: the same evidence under every weight, but for rounding."""
    columns = {"state": range(steps), "action": 0, "reward": 1.0, "next_state": range(1, steps + 1)}
    log = bm.read_log(pd.DataFrame(columns))
    mdp = bm.mdp_from_log(log, discount=0.9)
    evidence = [bm.dirichlet_log_evidence(log, mdp, weight / mdp.num_states) for weight in WEIGHTS]
    np.testing.assert_allclose(evidence, -steps * np.log(steps + 1), rtol=1e-9)
    assert mdp.num_states * bm.concentration_by_evidence(log, mdp) == pytest.approx(1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(0.0, "concentration must be a number above 0; got 0.0"), (np.inf, "concentration must be finite")],
)
def test_bad_concentrations_are_refused(log, wrong, message):
    with pytest.raises(ValueError, match=message):
        bm.dirichlet_log_evidence(log, LAKE, wrong)


def test_bad_weights_are_refused(log):
    with pytest.raises(ValueError, match=r"weights is empty; give some"):
        bm.concentration_by_evidence(log, LAKE, weights=[])
    with pytest.raises(ValueError, match="a weight must be a number above 0; got -1"):
        bm.concentration_by_evidence(log, LAKE, weights=[1, -1])
