"""Recommendations to a customer who remembers: what is shown changes what is liked next.

An episode is one customer, who is shown `horizon` products of `products`, none twice. The state says of each product
whether it was liked (1), disliked (-1) or not yet shown (0): x in {-1, 0, 1}^products. Product a is liked with
probability

    P(like a | x) = sigmoid(beta_a + sum_n gamma_an x_n),

for a reward of 1. With 10 products and 5 recommendations there are 4,521 states to recommend in. The stateful
recommendation engine of Osband, Van Roy and Wen (2016), section 6; beta and gamma are drawn here, Normal.

``features`` are an indicator of the product and x in its place, d = products (products + 1), in which the odds are
log-linear (:func:`~bayesmdp.models.logistic_transitions`), but Q* is not linear; or, with ``tabular=True``, an
indicator of each pair of a stage, in which it is.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.validation import finite_array, integer, number
from bayesmdp.problems.mdp import MDP

__all__ = ["recommendation"]

SIGNS = {-1: "-", 0: ".", 1: "+"}


def recommendation(
    products: int = 10,
    horizon: int = 5,
    *,
    appeal: ArrayLike | None = None,
    influence: ArrayLike | None = None,
    spread: float = 1.0,
    tabular: bool = False,
    seed: int = 0,
) -> MDP:
    """Products shown to a customer who remembers: each changes what is liked next.

    Parameters
    ----------
    products : int
    horizon : int, at most `products`
        Recommendations a customer.
    appeal : array [product], optional
        beta; by default drawn with standard deviation `spread`.
    influence : array [product, product], optional
        gamma [shown now, shown before]; by default drawn with standard deviation `spread`.
    spread : float
    tabular : bool
        Whether each pair is a feature of its own (of a small instance).
    seed : int

    Returns
    -------
    MDP
        With stages. States are strings of ``-``, ``.`` and ``+``, one a product, and ``end``; outcomes are dislike and
        like.

    Notes
    -----
    *What it asks.* Whether looking ahead pays, where features do not fit the values exactly.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(4, 3)
    >>> shop.num_states, shop.horizon, shop.features.shape, shop.states[:4]
    (34, 3, (34, 4, 20), ('....', '-...', '+...', '.-..'))
    """
    count = integer("products", products, 1)
    length = integer("horizon", horizon, 1)
    if length > count:
        raise ValueError(f"horizon must be at most {count}, as no product is shown twice; got {length}")
    rng = np.random.default_rng(integer("seed", seed, 0))
    deviation = number("spread", spread, minimum=0)
    beta = rng.normal(0, deviation, count) if appeal is None else finite_array("appeal", appeal, (count,))
    gamma = rng.normal(0, deviation, (count, count))
    if influence is not None:
        gamma = finite_array("influence", influence, (count, count))

    shown = _states(count, length)
    size, stage = len(shown), np.abs(shown).sum(-1)
    successor = np.full((size + 1, count, 2), size)
    available = np.ones((size + 1, count), bool)
    available[:size] = shown == 0
    # Read as digits to base 3, a state is a number, and a product shown adds to it. What is not available, and the last
    # recommendation, lead to the end.
    digits = 3 ** np.arange(count)
    numbers = shown @ digits
    order = np.argsort(numbers)
    for outcome, sign in enumerate((-1, 1)):
        reached = numbers[:, None] + sign * digits
        found = order[np.minimum(np.searchsorted(numbers, reached, sorter=order), size - 1)]
        goes_on = available[:size] & (stage < length - 1)[:, None]
        successor[:size, :, outcome] = np.where(goes_on, found, size)

    by_product = np.zeros((size + 1, count, count, count + 1))
    for a in range(count):
        by_product[:size, a, a, 0] = 1
        by_product[:size, a, a, 1:] = shown
    features = by_product.reshape(size + 1, count, -1)
    liked = 1 / (1 + np.exp(-(features @ np.concatenate([beta[:, None], gamma], 1).ravel())))
    if tabular:
        features = np.eye((size + 1) * count).reshape(size + 1, count, -1)
    reward = np.zeros((size + 1, count, 2))
    reward[:size, :, 1] = 1
    return MDP(
        transition=np.stack([1 - liked, liked], -1),
        successor=successor,
        reward=reward,
        discount=None,
        available=available,
        terminal=np.arange(size + 1) == size,
        stage=np.append(stage, length),
        features=features,
        states=["".join(SIGNS[value] for value in x) for x in shown.tolist()] + ["end"],
        name=f"recommendation-{count}-{length}",
    )


def _states(products: int, horizon: int) -> NDArray[np.int64]:
    """Those in which something is recommended [state, product], by stage."""
    found = []
    for h in range(horizon):
        for chosen in itertools.combinations(range(products), h):
            for signs in itertools.product((-1, 1), repeat=h):
                x = np.zeros(products, int)
                x[list(chosen)] = signs
                found.append(x)
    return np.array(found)
