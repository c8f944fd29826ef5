"""What to collect next: how much more could be earned once some pairs were tried more often.

Let D be the log, y what k more tries of one pair (s, a) would show, and V(pi | D) what a policy is worth at the start
by the model of the posterior mean (:mod:`bayesmdp.reports.mean_model`). The best policy of that model is pi_D. The
expected gain of the tries is what it is worth to choose again once y is known,

    gain(s, a, k) = E_y [ max_pi V(pi | D, y) - V(pi_D | D, y) ] >= 0,        y ~ p(y | D).

Up to the use of a mean model in the place of a mean over models this is the expected value of sample information of
Raiffa and Schlaifer (1961), with the value of the present plan taken after the tries too: its expectation is its value
now, and the difference scatters less. The formula is ours. It is of plans for the mean, whatever risk the plan at hand
was made for, of one pair at a time, and the prior stays what it is though it was chosen by the log. Plans are with
actions that were tried often enough (:mod:`bayesmdp.offline.least_tries`): the present one with those of the log, the
later one with the pair too if its k tries more are enough, and what they show is worth nothing if they are not.

Only one row of the model changes. With M = (I - K)^-1 of the present policy, K its discounted rows, the value of the
policy that takes a in s is

    V + M[:, s] c,      c = (r + row V - V(s)) / (1 - (row - K[s]) M[:, s]),

and no plan changes unless c > 0 (policy improvement; for the pair that is taken already, unless another action is
better after y). So all pairs are asked for the gain of changing the plan in that state alone, which is at most the one
above, and as many of the largest as can be afforded are planned for as a whole, by policy iteration. Plans for a number
of steps are made anew by backward induction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.problems.labels import label_array
from bayesmdp.reports.kept_plan import KeptPlan
from bayesmdp.reports.mean_model import Changed, MeanModel, after_tries, mean_model, why_no_model

__all__ = ["value_of_information"]

STATES = 1_000
"""Above so many, the inverse of a matrix of all states takes long."""

WORK = 2e10
"""Multiplications, about, that all pairs together may take: some ten seconds."""

ROUNDING = 1e-10
"""Of the largest value: what improves by less is no improvement."""


class _Present(NamedTuple):
    """The best policy of the mean model.

    Attributes
    ----------
    model : MeanModel
    policy : int array [state]
    value : array [state]
    inverse : array [state, state]
        Of one less the rows of the policy.
    """

    model: MeanModel
    policy: NDArray[np.int64]
    value: NDArray[np.float64]
    inverse: NDArray[np.float64]

    @property
    def least(self) -> float:
        """What improves by less is no improvement."""
        return ROUNDING * (1 + float(np.abs(self.value).max()))


def value_of_information(plan: KeptPlan, *, tries: int = 10, samples: int = 200, seed: int = 0) -> xr.Dataset:
    """Estimate what is gained, on average, by more tries of a pair.

    Parameters
    ----------
    plan : KeptPlan
    tries : int
        More of one pair, k.
    samples : int
        Of what they show.
    seed : int

    Returns
    -------
    Dataset
        ``gain`` [state, action], in the units of the value at the start, NaN for pairs that the log never tried;
        ``error``, its Monte Carlo standard error; ``whole``, whether all of the plan was chosen again: elsewhere the
        gain is at least so much. Attrs ``tries``, ``samples``, ``seed``; or ``why_not`` alone, where nothing is told.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.reports.kept_plan import read_plan
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=200, seed=0)
    >>> told = value_of_information(read_plan(bm.plan_log(log, discount=0.9, draws=20, calibration=0).tree))
    >>> bool((told["gain"].fillna(0) >= 0).all())
    True
    """
    tries, samples = integer("tries", tries, 1), integer("samples", samples, 2)
    mdp, often = plan.mdp, np.minimum(plan.least_tries, plan.tries.max(-1, keepdims=True))
    asked = (plan.tries > 0) & mdp.available & ~mdp.terminal[:, None]
    opened = plan.tries + tries >= often
    pairs = np.argwhere(asked & opened)
    why_not = _why_not(plan, len(pairs) * samples)
    if why_not:
        return xr.Dataset(attrs={"why_not": why_not})
    model = mean_model(plan)
    # Of pairs that would still have been tried too rarely nothing is gained.
    gain, error, whole = np.where(asked, 0, np.nan), np.where(asked, 0, np.nan), asked & ~opened

    def shown(state: int, action: int) -> Changed:
        rng = np.random.default_rng([seed, 41, state, action])
        return after_tries(plan, state, action, tries=tries, samples=samples, rng=rng)

    def keep(state: int, action: int, gains: NDArray[np.float64], *, of_all: bool) -> None:
        gain[state, action], error[state, action] = gains.mean(), gains.std(ddof=1) / samples**0.5
        whole[state, action] = of_all

    if mdp.by_stage:
        policies = _by_stage(model, mdp.horizon or 0)
        for state, action in pairs.tolist():
            keep(state, action, _gains_by_stage(model, policies, shown(state, action)), of_all=True)
    else:
        present = _solve(model)
        for state, action in pairs.tolist():
            keep(state, action, _gains_here(present, shown(state, action)), of_all=False)
        ordered = pairs[np.argsort(-gain[tuple(pairs.T)], kind="stable")]
        for state, action in ordered[: int(WORK / (samples * mdp.num_states**3))].tolist():
            keep(state, action, _gains(present, shown(state, action)), of_all=True)
    dims = "state", "action"
    return xr.Dataset(
        {"gain": (dims, gain), "error": (dims, error), "whole": (dims, whole)},
        {"state": label_array(mdp.states), "action": label_array(mdp.actions)},
        {"tries": tries, "samples": samples, "seed": seed},
    )


def _why_not(plan: KeptPlan, models: int) -> str:
    """Why nothing is told of so many models; nothing if it is."""
    mdp = plan.mdp
    if "initial_bound" not in plan.attrs:
        return "the log does not show where episodes start, which is where a gain would be counted"
    if mdp.num_states > STATES:
        return f"it would take too long for a problem with more than {STATES:,} states"
    if mdp.by_stage and models * (mdp.horizon or 0) * mdp.num_actions * mdp.num_states**2 > WORK:
        return "the problem is large, and planning again for each pair would take too long"
    return why_no_model(plan)


def _solve(model: MeanModel) -> _Present:
    """The best policy of the mean model, by policy iteration."""
    size = len(model.initial)
    state = np.arange(size)
    first = np.where(model.available, model.reward, -np.inf).argmax(-1)
    began = np.linalg.solve(np.eye(size) - model.rows[state, first], model.reward[state, first])
    policy, value = _iterate(model, None, first[None], began[None])
    inverse = np.linalg.inv(np.eye(size) - model.rows[state, policy[0]])
    return _Present(model, policy[0], value[0], inverse)


def _moved(
    present: _Present, state: int, rows: NDArray[np.float64], reward: NDArray[np.float64]
) -> NDArray[np.float64]:
    """By how much M[:, state] is added to the value [...] if the policy has these rows [..., next_state] in a state."""
    column, value = present.inverse[:, state], present.value
    now = present.model.rows[state, present.policy[state]]
    return np.asarray((reward + rows @ value - value[state]) / (1 - (rows - now) @ column))


def _gains_here(present: _Present, changed: Changed) -> NDArray[np.float64]:
    """Gains [sample] of choosing again in one state only."""
    model, state = present.model, changed.state
    weight = float(model.initial @ present.inverse[:, state])
    gained = _moved(present, state, changed.rows, changed.reward)
    if changed.action == present.policy[state]:
        others = model.available[state].copy()
        others[changed.action] = False
        if not others.any():
            return np.zeros(len(gained))
        gained = _moved(present, state, model.rows[state, others], model.reward[state, others]).max() - gained
    return weight * np.where(gained > present.least, gained, 0)


def _gains(present: _Present, changed: Changed) -> NDArray[np.float64]:
    """Gains [sample] of choosing all of the plan again."""
    model, state = present.model, changed.state
    moved = _moved(present, state, changed.rows, changed.reward)
    taken = changed.action == present.policy[state]
    # Where the pair is not taken, and no better than what is, nothing changes.
    asked = np.flatnonzero(np.ones(len(moved), bool) if taken else moved > present.least)
    gains = np.zeros(len(moved))
    if not len(asked):
        return gains
    began = present.value + np.outer(moved[asked], present.inverse[:, state])
    policy = np.broadcast_to(present.policy, began.shape).copy()
    policy[:, state] = changed.action
    _, value = _iterate(model, changed.only(asked), policy, began)
    gains[asked] = np.maximum((value - (began if taken else present.value)) @ model.initial, 0)
    return gains


def _q(model: MeanModel, changed: Changed | None, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values [sample, state, action] of each pair before a value [sample, state]; minus infinity if not available.

    What changed was tried more, and is available.
    """
    size, actions = model.reward.shape
    q = model.reward + (value @ model.rows.reshape(-1, size).T).reshape(-1, size, actions)
    q = np.where(model.available, q, -np.inf)
    if changed is not None:
        q[:, changed.state, changed.action] = changed.reward + (changed.rows * value).sum(-1)
    return q


def _iterate(
    model: MeanModel, changed: Changed | None, policy: NDArray[np.int64], value: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Policy iteration for many models that differ in one pair, from policies and their values [sample, state]."""
    policy, value, unsolved = policy.copy(), value.copy(), np.arange(len(policy))
    state = np.arange(policy.shape[1])
    while len(unsolved):
        own = None if changed is None else changed.only(unsolved)
        q = _q(model, own, value[unsolved])
        better = q.max(-1) > value[unsolved] + ROUNDING * (1 + np.abs(value[unsolved]).max())
        policy[unsolved] = np.where(better, q.argmax(-1), policy[unsolved])
        unsolved = unsolved[better.any(-1)]
        chosen = policy[unsolved]
        rows, reward = model.rows[state, chosen], model.reward[state, chosen]
        if changed is not None:
            has = chosen[:, changed.state] == changed.action
            rows[has, changed.state] = changed.rows[unsolved[has]]
            reward[has, changed.state] = changed.reward[unsolved[has]]
        value[unsolved] = np.linalg.solve(np.eye(len(state)) - rows, reward[..., None])[..., 0]
    return policy, value


def _by_stage(model: MeanModel, horizon: int) -> list[NDArray[np.int64]]:
    """The best policy [state] of each stage, the first one first."""
    value, policies = np.zeros((1, len(model.initial))), []
    for _ in range(horizon):
        q = _q(model, None, value)
        policies.append(q[0].argmax(-1))
        value = q.max(-1)
    return policies[::-1]


def _gains_by_stage(model: MeanModel, policies: list[NDArray[np.int64]], changed: Changed) -> NDArray[np.float64]:
    """Gains [sample] of choosing all of the plan again, where it is by stage."""
    best = np.zeros_like(changed.rows)
    present, state = best, np.arange(best.shape[1])
    for policy in reversed(policies):
        best = _q(model, changed, best).max(-1)
        present = _q(model, changed, present)[:, state, policy]
    return np.asarray(np.maximum((best - present) @ model.initial, 0))
