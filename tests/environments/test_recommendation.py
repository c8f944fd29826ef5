"""The recommendation engine: its size, its odds, and its best value by a recursion of its own."""

from functools import cache

import jax
import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.model_reading.read_model import sample_prior
from bayesmdp.models import logistic_transitions


def best(appeal, influence, horizon):
    products = len(appeal)

    @cache
    def value(x):
        if sum(map(abs, x)) == horizon:
            return 0.0
        found = []
        for a in range(products):
            if x[a] == 0:
                liked = 1 / (1 + np.exp(-(appeal[a] + influence[a] @ np.array(x))))
                after = [(*x[:a], sign, *x[a + 1 :]) for sign in (-1, 1)]
                found.append((1 - liked) * value(after[0]) + liked * (1 + value(after[1])))
        return max(found)

    return value


@pytest.mark.parametrize("tabular", [False, True])
def test_values_by_recursion(tabular):
    rng = np.random.default_rng(1)
    appeal, influence = rng.normal(size=4), rng.normal(size=(4, 4))
    shop = bm.environments.recommendation(4, 3, appeal=appeal, influence=influence, tabular=tabular)
    value = best(appeal, influence, 3)
    found = bm.solve(shop).value
    for label in shop.states[:-1]:
        x = tuple({"-": -1, ".": 0, "+": 1}[sign] for sign in label)
        assert float(found.sel(state=label)) == pytest.approx(value(x), abs=1e-12)


def test_the_full_size():
    shop = bm.environments.recommendation()
    assert (shop.num_states, shop.num_actions, shop.horizon) == (4_522, 10, 5)
    assert np.bincount(shop.stage).tolist() == [1, 20, 180, 960, 3_360, 1]
    assert shop.features.shape == (4_522, 10, 110)
    # None is shown twice.
    seen = bm.collect(shop, steps=500, seed=0).to_dataframe()
    for _, episode in seen.groupby(np.arange(500) // 5):
        assert episode["action"].is_unique
        assert episode["terminated"].tolist() == [False] * 4 + [True]


@pytest.mark.slow
def test_tasks_are_logistic_in_the_features():
    shop = bm.environments.recommendation(4, 3, appeal=np.arange(4.0), influence=np.eye(4), seed=1)
    weights = np.concatenate([np.arange(4.0)[:, None], np.eye(4)], 1).ravel()
    family = logistic_transitions(shop, mean=weights, scale=0.3)
    drawn = [sample_prior(family, jax.random.key(i), (34, 4, 2)) for i in range(200)]
    weight = np.array([draw["weight"] for draw in drawn])
    assert abs(weight.mean(0) - weights).max() < 4 * 0.3 / np.sqrt(200)
    like = 1 / (1 + np.exp(-(shop.features @ np.asarray(drawn[0]["weight"]))))
    np.testing.assert_allclose(drawn[0]["transition"][..., 1], like, atol=1e-6)
    result = bm.simulate(
        shop, {"PSRL": bm.agents.psrl(bm.models.dirichlet_transitions(shop))}, steps=30, replicates=2, truth=family
    )
    assert (result["regret"].values.reshape(1, 2, 10, 3)[..., 1:] == 0).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="horizon must be at most 3, as no product is shown twice; got 4"):
        bm.environments.recommendation(3, 4)
    with pytest.raises(ValueError, match="is for pairs with 2 outcomes; this MDP has 6"):
        logistic_transitions(bm.environments.riverswim(6).replace(features=np.ones((6, 2, 1))))
    with pytest.raises(ValueError, match="needs features"):
        logistic_transitions(bm.environments.riverswim(6))
