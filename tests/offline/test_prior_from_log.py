"""The prior that a log speaks for: its evidence against the step-by-step product, and which candidate wins where."""

import numpy as np
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.offline.base_rows import BaseRows, base_rows_for
from bayesmdp.offline.prior_from_log import WEIGHTS, row_prior


def counts_of(kernel, tries, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([[rng.multinomial(tries, row) for row in rows] for rows in kernel], float)


def bare(size, actions, **options):
    return bm.MDP(reward=np.zeros((size, actions)), discount=0.9, **options)


def ring(size=8, slip=0.2):
    kernel, state = np.zeros((size, 2, size)), np.arange(size)
    for action, step in enumerate((1, -1)):
        kernel[state, action, np.clip(state + step, 0, size - 1)] += 1 - slip
        kernel[state, action, state] += slip
    return kernel


@pytest.mark.parametrize(
    ("kernel", "winner"),
    [
        (np.asarray(bm.environments.inventory(6, discount=0.9).transition), "sum"),
        (ring(), "shift by action"),
        (np.repeat(np.random.default_rng(1).dirichlet(np.full(8, 0.3), size=8)[:, None], 5, 1), "by state"),
        (np.repeat(np.random.default_rng(2).dirichlet(np.ones(8), size=3)[None], 8, 0), "by action"),
        (np.broadcast_to(np.random.default_rng(3).dirichlet(np.ones(8)), (8, 3, 8)), "next state"),
        (np.random.default_rng(4).dirichlet(np.ones(8), size=(8, 3)), "uniform"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_evidence_finds_what_rows_have_in_common(kernel, winner):
    share = row_prior(counts_of(kernel, 10), base_rows_for(bare(*kernel.shape[:2]))).share
    assert max(share, key=share.get) == winner
    assert share[winner] > 0.95


def test_a_row_does_not_count_towards_its_own_base():
    counts = counts_of(ring(), 6)
    changed = counts.copy()
    changed[3, 1] = counts[3, 1][::-1] * 7 + 1
    for name, (rows, _) in base_rows_for(bare(8, 2)).bases(counts).items():
        if name in ("shift", "shift by action", "sum"):  # whose displacements all steps share, by EM
            continue
        after = base_rows_for(bare(8, 2)).bases(changed)[name].rows
        np.testing.assert_allclose(after[3, 1], rows[3, 1], rtol=0, atol=1e-14, err_msg=name)


def test_rows_of_every_candidate_are_distributions():
    for rows, _ in base_rows_for(bare(8, 2)).bases(counts_of(ring(), 3)).values():
        assert (rows > 0).all()
        np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-12)


def test_displacements_at_an_end_are_censored_and_not_short():
    # Demand of 3 every day: with a stock of 1 only "1 or more" is seen. The rows of a stock of 5 say what it was.
    kernel = np.zeros((6, 1, 6))
    kernel[np.arange(6), 0, np.maximum(np.arange(6) - 3, 0)] = 1
    rows = base_rows_for(bare(6, 1)).bases(counts_of(kernel, 20))["shift"].rows
    assert rows[1, 0, 0] > 0.98
    assert rows[5, 0, 2] > 0.98  # not 3 or 4, as a mean of what was seen would have it


def test_the_evidence_is_the_product_of_what_was_foretold_step_by_step():
    counts = counts_of(np.random.default_rng(0).dirichlet(np.ones(4), size=(4, 2)), 3)
    bases = BaseRows(np.full((4, 2, 4), 0.25), {})
    best = -np.inf
    for weight in WEIGHTS:
        total = 0.0
        for row in counts.reshape(-1, 4):
            prior = np.full(4, weight / 4)
            for outcome in np.repeat(np.arange(4), row.astype(int)):
                total += np.log(prior[outcome] / prior.sum())
                prior[outcome] += 1
        best = max(best, total)
    assert row_prior(counts, bases).log_evidence["uniform"] == pytest.approx(best, rel=1e-12)


def test_a_base_weighs_no_more_than_the_steps_it_was_made_of():
    counts = counts_of(ring(), 2)
    prior = row_prior(counts, base_rows_for(bare(8, 2)))
    assert prior.concentration.sum(-1).max() <= counts.sum()


def test_the_prior_is_a_model_with_an_exact_posterior():
    shop = bm.environments.inventory(5, discount=0.9)
    log = bm.collect(shop, policy="uniform", steps=200, seed=0)
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    prior = bm.prior_from_log(log, problem)
    posterior = bm.infer(prior, log, mdp=problem, draws=0)
    assert posterior.attrs["engine"] == "exact"
    counts = np.zeros(prior.rows.concentration.shape)
    np.add.at(counts, tuple(log[name].values for name in ("state", "action", "next_state")), 1)
    np.testing.assert_allclose(posterior["parameters"]["transition"], prior.rows.concentration + counts, rtol=1e-9)
    assert prior.__name__ == "dirichlet_transitions"


def test_words_have_no_order_unless_it_is_declared():
    size = 8
    log = log_of(ring(size), list("abcdefgh"))
    problem = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    assert "shift" not in bm.prior_from_log(log, problem).rows.share
    share = bm.prior_from_log(log, problem, ordered=True).rows.share
    assert share["shift by action"] > 0.95


def test_a_table_of_successors_has_uniform_rows_only():
    log = log_of(ring(8), range(8))
    problem = bm.mdp_from_log(log, discount=0.9)
    assert list(bm.prior_from_log(log, problem).rows.share) == ["uniform"]


def log_of(kernel, labels, steps=300):
    rng, labels = np.random.default_rng(0), np.array(list(labels))
    state, rows = 0, []
    for action in rng.integers(kernel.shape[1], size=steps):
        after = int(rng.choice(len(kernel), p=kernel[state, action]))
        rows.append((labels[state], int(action), float(state == 3), labels[after]))
        state = after
    columns = zip(*rows, strict=True)
    log = xr.Dataset(
        {
            name: ("step", np.array(c))
            for name, c in zip(("state", "action", "reward", "next_state"), columns, strict=True)
        }
    )
    return log.assign_attrs(states=labels.tolist(), actions=list(range(kernel.shape[1])))
