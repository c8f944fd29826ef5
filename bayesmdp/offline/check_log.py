"""When not to believe a log: what a plan takes for granted, asked of the log itself.

A plan from a log takes it that the next state depends on the state and the action only, that the world and the rewards
stay as they were, and that what moved the actions moved the next states by way of the states alone. Each of these
leaves traces where it is wrong:

    order            next states that depend on the state, or the action, before (of which Markov order 1 is free)
    hidden cause     next states that earlier unusual actions tell of (:mod:`bayesmdp.offline.hidden_cause`)
    dynamics drift   next states that depend on the half of the log
    reward drift     rewards that do (:mod:`bayesmdp.offline.reward_checks`)
    behaviour drift  actions in their state that do
    reward tails     residuals of which one has much of the sum of squares
    few tries        a policy whose discounted future lies behind pairs tried fewer than five times

Order and the drifts are tests of dependence (:mod:`bayesmdp.offline.dependence`): next states are permuted within
pairs, and, for the drifts, episodes change halves as wholes, or, in a log without, blocks of steps
(:mod:`bayesmdp.offline.steps`), which are taken for independent. P-values are corrected for the number of tests by
Holm, so that a log in which nothing is wrong alarms with probability `level` at the most.
*Few tries* is no test: it alarms when the share is more than a tenth.

Alarms are by p-value alone, also where a Bayes factor is told beside it. That answers another question: whether the log
would rather be explained by rows of their own for each context (each state before, each half), all of which it has to
pay for. Next states may depend on the step before, and the log be too short to learn how. Of 120 logs of the study
``second-opinions`` in which they do (300 episodes, one of the same length, 60 episodes), p-values found 102, and both
together 32.

What cannot be seen: a cause that is new at each step, which leaves no trace in states, actions and next states;
a drift there and back within each half; and whatever is so rare that the log shows it a few times only.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.validation import integer, number
from bayesmdp.offline.dependence import Grouped, p_value
from bayesmdp.offline.hidden_cause import cause_statistics
from bayesmdp.offline.likeliest_model import LikeliestModel
from bayesmdp.offline.log_alarms import ALARMS
from bayesmdp.offline.log_answers import NO_POLICY, SHARE, Answer, judged
from bayesmdp.offline.measured_log_checks import check_measured_log
from bayesmdp.offline.measured_space import is_measured
from bayesmdp.offline.reward_checks import Residuals
from bayesmdp.offline.steps import Steps, problem_of, steps_of
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities

__all__ = ["CHECKS", "check_log"]

CHECKS = tuple(ALARMS)

FEW = 5
"""Tries from which a pair is no longer called little tried."""

SMALL = 0.05
"""A p-value beside which a Bayes factor that speaks against it is explained."""


def check_log(
    log: xr.Dataset,
    policy: str | ArrayLike | xr.DataArray | None = None,
    *,
    mdp: MDP | None = None,
    discount: float | None = None,
    level: float = 0.05,
    permutations: int = 499,
    seed: int = 0,
) -> xr.Dataset:
    """Ask a log whether it may be believed: order, hidden causes, drift, tails, and how much rests on few tries.

    Parameters
    ----------
    log : Dataset over ``step``
        In the order in which it was recorded; of one in no order (``attrs["ordered"]`` is 0) only the tails of rewards,
        and the few tries, can be asked. Where its states are numbers other things are asked
        (:mod:`bayesmdp.offline.measured_log_checks`).
    policy : "uniform", action labels [state], or probabilities [state, action], optional
        For *few tries*, which needs a discount.
    mdp : MDP, optional
        Gives labels, terminal states and, for the policy, the discount and where episodes start.
    discount : float in (0, 1), optional
        In the place of an MDP, where there is a policy.
    level : float in (0, 1)
        Probability of any alarm, *few tries* left aside, for a log in which nothing is wrong, at the most.
    permutations : int
        For each test; at least 6 / `level` - 1, for a p-value is at least 1 / (permutations + 1).
    seed : int

    Returns
    -------
    Dataset over ``check``
        ``found``, in words; ``statistic``: the log Bayes factor of *order*, *dynamics drift* and *behaviour
        drift* (positive against the log), the share of *reward tails* and *few tries*; ``p_value`` and
        ``p_adjusted``, by Holm; ``alarm``; ``meaning`` and ``remedy``. What could not be asked has NaN, and `found`
        says why. Attrs: ``level``, ``permutations``, ``pieces``, what changes halves for
        the drifts, and ``seed``.

    Raises
    ------
    ValueError, TypeError, KeyError
        For a log that `compress` refuses, a policy that is none, or one without a discount.

    See Also
    --------
    bayesmdp.surprises : does the model fit the log?
    bayesmdp.plan_log : asks this too, and plans.
    bayesmdp.judge_states : are the states themselves well cut?

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=2_000, seed=0)
    >>> checked = check_log(log, "uniform", mdp=river)
    >>> bool(checked["alarm"].any())
    False
    >>> str(checked["found"].sel(check="few tries").values)
    '1.2% of the discounted future is at or after pairs tried fewer than 5 times'
    """
    if is_measured(log):
        if policy is not None or mdp is not None or discount is not None:
            raise ValueError("a log of measurements is checked on its own: leave out policy, mdp and discount")
        return check_measured_log(log, level=level, permutations=permutations, seed=seed)
    level = number("level", level, above=0, below=1)
    # With fewer no p-value could be small enough once Holm has multiplied it by the number of tests.
    fewest = math.ceil((len(CHECKS) - 1) / level) - 1
    permutations, seed = integer("permutations", permutations, fewest), integer("seed", seed, 0)
    if mdp is None or policy is not None or discount is not None:
        # Without a policy, labels and terminal states are all that is read: any discount will do.
        plain = mdp is None and policy is None and discount is None
        mdp = problem_of(log, mdp, 0.5 if plain else discount)
    steps = steps_of(log, mdp)
    rng = np.random.default_rng([seed, 31])
    answers = {
        "order": _of_order(steps, rng, permutations),
        "hidden cause": _of_hidden_cause(steps, rng, permutations),
        **_of_drift(steps, rng, permutations),
        "reward tails": _of_tails(steps, rng, permutations),
        "few tries": _of_few_tries(steps, mdp, policy),
    }
    return judged(answers, ALARMS, level=level, permutations=permutations, pieces=steps.pieces, seed=seed)


def _pair(steps: Steps) -> NDArray[np.int64]:
    return np.asarray(steps.state * (steps.action.max() + 1) + steps.action)


def _transition(steps: Steps) -> NDArray[np.int64]:
    return np.asarray(_pair(steps) * (steps.next_state.max() + 1) + steps.next_state)


def _of_order(steps: Steps, rng: np.random.Generator, permutations: int) -> Answer:
    """Ask whether next states depend on the step before."""
    after = np.flatnonzero(steps.follows)
    if not len(after):
        return Answer("not tested: no row continues the one before")
    moved = Grouped(_pair(steps)[after], steps.next_state[after])
    before = {"state": steps.state[after - 1][moved.rows], "action": steps.action[after - 1][moved.rows]}
    orders = list(moved.within(rng, permutations))
    p = p_value(np.stack([moved.ratios(context, orders) for context in before.values()], -1))
    factors = {name: moved.log_bayes_factor(context) for name, context in before.items()}
    worse = max(factors, key=lambda name: factors[name])
    return _dependence(f"dependence on the previous {worse}", p, factors[worse])


def _dependence(what: str, p: float, factor: float) -> Answer:
    """Tell the p-value and the Bayes factor of a dependence; where they seem to disagree, why."""
    found = f"{what}: p {p:.2g}, log Bayes factor {round(factor, 1) + 0.0:+.1f}"
    if p <= SMALL and factor <= 0:
        found += " (the log is too short to learn separate dynamics for each)"
    return Answer(found, p, factor)


def _of_hidden_cause(steps: Steps, rng: np.random.Generator, permutations: int) -> Answer:
    """Ask whether earlier actions tell of next states."""
    if not steps.follows.any():
        return Answer("not tested: no row continues the one before")
    p = p_value(cause_statistics(steps, rng, permutations)[:, None])
    return Answer(f"link of unusual actions with later unusual next states, p {p:.2g}", p)


def _of_drift(steps: Steps, rng: np.random.Generator, permutations: int) -> dict[str, Answer]:
    """Ask whether next states, rewards and actions depend on the half of the log."""
    names = ("dynamics drift", "reward drift", "behaviour drift")
    size = len(steps.first)
    if steps.pieces == "steps" or size < 2:
        why = steps.why_not if steps.pieces == "steps" else "the log is too short"
        return dict.fromkeys(names, Answer(f"not tested: {why}"))
    half = np.arange(size) >= size / 2
    later = np.concatenate([half[None], rng.permuted(np.tile(half, (permutations, 1)), axis=1)])
    pair = _pair(steps)
    found = {}
    for name, grouped in (
        ("dynamics drift", Grouped(pair, steps.next_state)),
        ("behaviour drift", Grouped(steps.state, steps.action)),
    ):
        p = p_value(grouped.ratios_of_halves(later, steps.piece)[:, None])
        factor = grouped.log_bayes_factor(half[steps.piece[grouped.rows]].astype(np.int64))
        found[name] = _dependence("difference between the halves", p, factor)
    residuals = Residuals(_transition(steps), pair, steps.reward)
    if not residuals.scatter:
        return {**found, "reward drift": Answer("every repeated transition had the same reward")}
    p = p_value(residuals.drift(later, steps.piece))
    return {**found, "reward drift": Answer(f"difference between the halves in equal transitions, p {p:.2g}", p)}


def _of_tails(steps: Steps, rng: np.random.Generator, permutations: int) -> Answer:
    """Ask whether one reward has much of what all of them scatter."""
    pair = _pair(steps)
    if len(np.unique(steps.reward)) < 3:
        return Answer("there are at most two different rewards")
    residuals = Residuals(_transition(steps), pair, steps.reward)
    share = residuals.largest_share() if residuals.scatter else 0.0
    if not share:
        return Answer("rewards do not vary, or no pair was tried often enough")
    p = p_value(np.array([[share, *residuals.laplace_shares(rng, permutations)]]).T)
    return Answer(f"one reward accounts for {100 * share:.2g}% of the sum of squares, p {p:.2g}", p, share)


def _of_few_tries(steps: Steps, mdp: MDP, policy: str | ArrayLike | xr.DataArray | None) -> Answer:
    """Add up the discounted future at or behind pairs that were little tried."""
    if policy is None:
        return Answer(NO_POLICY)
    model = LikeliestModel(steps, mdp, policy_probabilities(mdp, policy))
    often = model.tries >= FEW
    known = np.bincount(model.pair_state, model.chosen * often, model.size)
    every, before = float(model.discounted_steps(mdp.initial).sum()), model.discounted_steps(mdp.initial, often)
    share = 1 - float(before @ known) / every if every > 0 else 0.0
    share = share if share > 1e-12 else 0.0  # rounding
    percent = float(f"{100 * share:.2g}")
    found = f"{percent:g}% of the discounted future is at or after pairs tried fewer than {FEW} times"
    if share > SHARE:
        # What most of that future meets first.
        rare, never = np.where(often, 0, before[model.pair_state] * model.chosen), before * model.untried
        if never.max() > rare.max():
            found += f", first of all actions never tried in {mdp.states[never.argmax()]!r}"
        else:
            pair = int(rare.argmax())
            state, action = mdp.states[model.pair_state[pair]], mdp.actions[model.pair_action[pair]]
            times = "once" if model.tries[pair] == 1 else f"{model.tries[pair]:g} times"
            found += f", first of all {action!r} in {state!r} (tried {times})"
    return Answer(found, statistic=share)
