"""When not to believe a log of measurements: what a plan takes for granted, asked of what its model leaves unexplained.

Residuals are what the posterior's mean leaves of next states and of rewards. If states tell all that matters, the model
is right and the world stays as it was, they are noise:

    order            residuals that hang on the residual, or the state, of the step before
    misfit           residuals like those of the nearest row with the same action: the dynamics are not of the prior's
                     shape; and *reward misfit*, that of rewards
    dynamics drift   residuals whose mean, or slope along a coordinate, differs between the halves of the log
    reward drift     rewards' residuals that do
    behaviour drift  actions that do, less what is usual in their states (:mod:`bayesmdp.offline.state_behaviour`)
    reward tails     residuals of rewards of which one has much of the sum of squares, beside Laplace noise
    few tries        a policy whose discounted future lies behind steps near which fewer than five rows took the action

For *order* and *misfit* residuals change rows at random, among those of an action; for the drifts episodes change
halves as wholes, or twenty blocks of rows where there are fewer than ten. Each is a permutation test whose statistic is
the largest of several, in units of their own spread; sums of products are divided by the root of the sum of their
squares, so that noise may be larger in some places than in others. P-values are corrected by Holm. What is left is not
asked of where it is less than a hundredth of what there was to explain: of a function that is known to rounding the
prior itself leaves a trace, which matters to nobody. *Few tries* is no test: it alarms when the share is more than a
tenth. Residuals of a fit are not quite exchangeable, so that with few rows for each weight p-values are approximate. A
hidden cause is not asked for here. The tests are those of tables (:mod:`bayesmdp.offline.check_log`) in another dress,
and this dress is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bayesmdp.foundation.validation import integer, number
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.records import Records
from bayesmdp.offline.dependence import p_value
from bayesmdp.offline.log_alarms import ALARMS, Alarm
from bayesmdp.offline.log_answers import NO_POLICY, Answer, judged
from bayesmdp.offline.measured_posterior import find_measured
from bayesmdp.offline.measured_prior import measured_prior
from bayesmdp.offline.measured_space import begins_of_rows, space_of_log
from bayesmdp.offline.state_behaviour import state_behaviour
from bayesmdp.posterior.closed_forms.product import regression_in
from bayesmdp.posterior.inference.primitives import FoundRecords

__all__ = ["MEASURED_ALARMS", "check_measured_log", "check_rows"]

MATTERS = 0.01
"""Residuals' standard deviation, as a share of that of steps and of rewards, below which nothing is left."""

EPISODES, BLOCKS = 10, 20
"""Episodes from which they change halves as wholes, and the blocks of rows that do in their place."""

MEASURED_ALARMS: Mapping[str, Alarm] = {
    "order": Alarm(
        ALARMS["order"].meaning,
        "record what is missing as a coordinate, or add the previous step (the last measurements, the last action) to "
        "the state, and plan again",
    ),
    "misfit": Alarm(
        "the model does not have the right form for this log: its errors are similar in nearby rows",
        "plan with fourier_dynamics of a shorter length, or with a model of your own, FILE.py:NAME",
    ),
    "reward misfit": Alarm(
        "the model of rewards does not have the right form for this log, so the reported numbers may be wrong",
        "if the reward is a known function of states and actions, give it: rewards=FILE.py:NAME",
    ),
    "dynamics drift": ALARMS["dynamics drift"],
    "reward drift": ALARMS["reward drift"],
    "behaviour drift": Alarm(
        "the policy that produced the log changed over time; this does not affect the plan, but the numbers for today "
        "average both",
        "compare with the behaviour of the later half, log.isel(step=slice(log.sizes['step'] // 2, None))",
    ),
    "reward tails": Alarm(
        ALARMS["reward tails"].meaning, "inspect the largest rewards; if they are correct, cap or model their tails"
    ),
    "few tries": Alarm(
        "much of what is reported rests on steps with fewer than five rows nearby (over a tenth is an alarm)",
        "record more data there (the plan lists the least tried states), or plan more cautiously, as by quantile:0.05",
    ),
}
"""What an alarm means where states are numbers, and what to do."""


def check_measured_log(log: xr.Dataset, *, level: float, permutations: int, seed: int) -> xr.Dataset:
    """Ask a log of measurements whether it may be believed, by the prior that it speaks for.

    Parameters
    ----------
    log : Dataset over ``step``
    level : float in (0, 1)
    permutations, seed : int

    Returns
    -------
    Dataset over ``check``
        As `check_log` returns it.
    """
    space, data = space_of_log(log, 0.5), read_records(log)
    made = measured_prior("auto", data, space, {}, "auto")
    found = find_measured(space.problem(made.model, made.reward, units=made.units), data)
    return check_rows(
        found, data, begins_of_rows(log), len(space.actions), level=level, permutations=permutations, seed=seed
    )


def check_rows(
    found: FoundRecords,
    data: Records,
    begins: NDArray[np.bool_],
    num_actions: int,
    *,
    few: float = np.nan,
    level: float = 0.05,
    permutations: int = 239,
    seed: int = 0,
) -> xr.Dataset:
    """Ask rows whether they may be believed, by the model that is planned with.

    Parameters
    ----------
    found : FoundRecords
        The posterior of the rows, by `find_measured`.
    data : Records
        In the order in which they were recorded.
    begins : bool array [row]
        In which rows episodes begin.
    num_actions : int
    few : float
        The share of a policy's discounted future behind steps that were little tried; NaN where there is no policy.
    level : float in (0, 1)
    permutations, seed : int

    Returns
    -------
    Dataset over ``check``
        As `check_log` returns it.
    """
    level = number("level", level, above=0, below=1)
    fewest = math.ceil((len(MEASURED_ALARMS) - 1) / level) - 1
    permutations, seed = integer("permutations", permutations, fewest), integer("seed", seed, 0)
    rng = np.random.default_rng([seed, 37])
    answers = _asked(found, data, begins, num_actions, rng, permutations)
    percent = f"{100 * few:.3g}% of the discounted future is at or after steps with few rows nearby"
    answers["few tries"] = Answer(NO_POLICY if np.isnan(few) else percent, statistic=few)
    return judged(answers, MEASURED_ALARMS, level=level, permutations=permutations, seed=seed)


def _asked(
    found: FoundRecords,
    data: Records,
    begins: NDArray[np.bool_],
    num_actions: int,
    rng: np.random.Generator,
    permutations: int,
) -> dict[str, Answer]:
    """The answers of all tests."""
    tests = [name for name in MEASURED_ALARMS if name != "few tries"]
    regression = regression_in(found.form, found.model, found.sums)
    if regression is None:
        why = "not tested: the model is not a regression, so it has no residuals"
        return dict.fromkeys(tests, Answer(why))
    form, model, sums = regression
    rows, size = np.shape(data.state)
    with jax.enable_x64(True):
        residual = form.residuals(model, sums, found.data)[:rows]
    state = np.asarray(data.state)
    spread = state.std(0)
    place = (state - state.mean(0)) / np.where(spread > 0, spread, 1)
    fitted = found.data  # as the model sees them, in its units
    paid_in = np.asarray(fitted.seen.get("reward", fitted.state[:, 0]))[:, None]
    observed = np.concatenate([fitted.seen["next_state"] - fitted.state, paid_in], -1)[:rows]
    matters = residual.std(0) > MATTERS * observed.std(0)[: residual.shape[1]]
    moved, paid = residual[:, :size][:, matters[:size]], residual[:, size:][:, matters[size:]]
    action = np.asarray(data.action)
    along = np.concatenate([np.ones((len(place), 1)), place], -1)
    halves = _halves(begins, rng, permutations)
    low, high = state.min(0), np.where(spread > 0, state.max(0), state.min(0) + 1)  # that a box is none is no matter
    usual = state_behaviour(state, action, num_actions, low, high).probabilities(state)
    unusual = np.eye(num_actions)[action] - usual
    no_rewards, no_steps = (Answer(f"{name} are fully explained by the model") for name in ("rewards", "next states"))
    return {
        "order": _of_order(moved, place, action, begins, rng, permutations) if moved.size else no_steps,
        "misfit": _of_misfit(moved, place, action, rng, permutations) if moved.size else no_steps,
        "reward misfit": _of_misfit(paid, place, action, rng, permutations) if paid.size else no_rewards,
        "dynamics drift": _of_drift("next states", moved, along, halves) if moved.size else no_steps,
        "reward drift": _of_drift("rewards", paid, along, halves) if paid.size else no_rewards,
        "behaviour drift": _of_drift("actions", unusual[:, 1:], along, halves)
        if num_actions > 1
        else Answer("there is only one action"),
        "reward tails": _of_tails(paid[:, 0], rng, permutations) if paid.size else no_rewards,
    }


def _within(action: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random order of rows in which each stays among those of its action."""
    order = np.arange(len(action))
    for a in np.unique(action):
        own = np.flatnonzero(action == a)
        order[own] = rng.permutation(own)
    return order


def _permuted(
    statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    action: NDArray[np.int64],
    rng: np.random.Generator,
    permutations: int,
) -> float:
    """The p-value of a statistic of an order of rows, as they are and as they are shuffled."""
    orders = [np.arange(len(action)), *(_within(action, rng) for _ in range(permutations))]
    return p_value(np.stack([statistic(order).ravel() for order in orders]))


def _of_order(
    moved: NDArray[np.float64],
    place: NDArray[np.float64],
    action: NDArray[np.int64],
    begins: NDArray[np.bool_],
    rng: np.random.Generator,
    permutations: int,
) -> Answer:
    """Ask whether residuals hang on the step before."""
    after = np.flatnonzero(~begins)
    if len(after) < 3:
        return Answer("not tested: no row continues the one before")
    # The state before, less what this state and action tell of it.
    known = np.concatenate([np.ones((len(after), 1)), place[after], np.eye(action.max() + 1)[action[after]][:, 1:]], -1)
    before = place[after - 1]
    before = before - known @ np.linalg.lstsq(known, before, rcond=None)[0]
    context = np.concatenate([moved[after - 1], before], -1)
    context = context - context.mean(0)
    own = moved[after] - moved[after].mean(0)

    def together(order: NDArray[np.int64]) -> NDArray[np.float64]:
        moved_so = own[order]
        size = (context**2).T @ moved_so**2
        return np.divide(np.abs(context.T @ moved_so), np.sqrt(size), out=np.zeros_like(size), where=size > 0)

    p = _permuted(together, action[after], rng, permutations)
    return Answer(f"dependence of residuals on the previous step, p {p:.2g}", p)


def _of_misfit(
    residual: NDArray[np.float64],
    place: NDArray[np.float64],
    action: NDArray[np.int64],
    rng: np.random.Generator,
    permutations: int,
) -> Answer:
    """Ask whether residuals are like those of near rows with the same action."""
    nearest = np.full(len(action), -1)
    for a in np.unique(action):
        own = np.flatnonzero(action == a)
        if len(own) > 1:
            found = KDTree(place[own]).query(place[own], 2)[1]
            # The nearest of a row is itself, or another at the same place.
            other = np.where(found[:, 0] == np.arange(len(own)), found[:, 1], found[:, 0])
            nearest[own] = own[other]
    kept = np.flatnonzero(nearest >= 0)
    if len(kept) < 3:
        return Answer("not tested: no action was taken twice")

    def alike(order: NDArray[np.int64]) -> NDArray[np.float64]:
        product = residual[order][kept] * residual[order][nearest[kept]]
        size = np.sqrt((product**2).sum(0))
        return np.maximum(np.divide(product.sum(0), size, out=np.zeros_like(size), where=size > 0), 0.0)

    p = _permuted(alike, action, rng, permutations)
    return Answer(f"similar residuals in nearby rows, p {p:.2g}", p)


def _halves(
    begins: NDArray[np.bool_], rng: np.random.Generator, permutations: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The piece of each row [row], and which pieces are of the later half [draw, piece], as it is and at random."""
    piece = np.cumsum(begins) - 1
    if piece[-1] + 1 < EPISODES:
        piece = np.arange(len(begins)) * BLOCKS // len(begins)
    later = np.arange(piece[-1] + 1) >= (piece[-1] + 1) / 2
    return piece, np.concatenate([later[None], rng.permuted(np.tile(later, (permutations, 1)), axis=1)])


def _of_drift(
    what: str,
    residual: NDArray[np.float64],
    along: NDArray[np.float64],
    halves: tuple[NDArray[np.int64], NDArray[np.bool_]],
) -> Answer:
    """Ask whether residuals, or their slopes along coordinates, differ between the halves."""
    piece, later = halves
    product = (residual[:, :, None] * along[:, None, :]).reshape(len(residual), -1)
    by_piece = np.zeros((later.shape[1], product.shape[1]))
    np.add.at(by_piece, piece, product - product.mean(0))
    p = p_value(np.abs(later.astype(float) @ by_piece))
    return Answer(f"difference between the halves in {what}, p {p:.2g}", p)


def _of_tails(paid: NDArray[np.float64], rng: np.random.Generator, permutations: int) -> Answer:
    """Ask whether one residual of rewards has much of the sum of squares, beside Laplace noise."""
    squares = (paid - paid.mean()) ** 2
    if not squares.sum() > 0:
        return Answer("rewards do not vary")
    share = float(squares.max() / squares.sum())
    others = rng.laplace(size=(permutations, len(paid))) ** 2
    p = p_value(np.concatenate([[share], others.max(-1) / others.sum(-1)])[:, None])
    return Answer(f"one reward accounts for {100 * share:.2g}% of the sum of squares, p {p:.2g}", p, share)
