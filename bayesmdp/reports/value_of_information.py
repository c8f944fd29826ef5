"""What to collect next: how much more could be earned once some pairs were tried more often.

Let D be the log, y what k more tries of one pair (s, a) would show, and V(pi | D) what a policy is worth at the start
by the *mean model*: the kernel and the rewards of the posterior mean. The best policy of that model is pi_D. The
expected gain of the tries is what it is worth to choose again once y is known,

    gain(s, a, k) = E_y [ max_pi V(pi | D, y) - V(pi_D | D, y) ] >= 0,        y ~ p(y | D).

Rows are Dirichlet and the rewards of pairs known, Normal or Beta, so that y is drawn from the posterior predictive
distribution, and the model after it is a closed form: parameters plus counts. Up to the use of a mean model in the
place of a mean over models this is the expected value of sample information of Raiffa and Schlaifer (1961), with the
value of the present plan taken after the tries too: its expectation is its value now, and the difference scatters less.
The formula is ours. It is of plans for the mean, whatever risk the plan at hand was made for, of one pair at a time,
and the prior stays what it is though it was chosen by the log.

Only one row of the model changes. With M = (I - K)^-1 of the present policy, K its discounted rows, the value of the
policy that takes a in s is

    V + M[:, s] c,      c = (r + row V - V(s)) / (1 - (row - K[s]) M[:, s]),

and no plan changes unless c > 0 (policy improvement; for the pair that is taken already, unless another action is
better after y). So all pairs are asked for the gain of changing the plan in that state alone, which is at most the one
above, and as many of the largest as can be afforded are planned for as a whole, by policy iteration.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.reports.kept_plan import KeptPlan

__all__ = ["value_of_information"]

STATES = 1_000
"""Above so many, the inverse of a matrix of all states takes long."""

WORK = 2e10
"""Samples times the cube of the states, over the pairs that are planned for as a whole."""

ROUNDING = 1e-10
"""Of the largest value: what improves by less is no improvement."""


class _Model(NamedTuple):
    """The model of the posterior mean, and its best policy.

    Attributes
    ----------
    rows : array [state, action, next_state]
        Discounted probabilities of going on.
    reward : array [state, action]
    available : bool array [state, action]
    policy : int array [state]
    value : array [state]
    inverse : array [state, state]
        Of one less the rows of the policy.
    """

    rows: NDArray[np.float64]
    reward: NDArray[np.float64]
    available: NDArray[np.bool_]
    policy: NDArray[np.int64]
    value: NDArray[np.float64]
    inverse: NDArray[np.float64]


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
    why_not = _why_not(plan)
    if why_not:
        return xr.Dataset(attrs={"why_not": why_not})
    mdp, shape = plan.mdp, plan.tries.shape
    model = _solve(plan)
    gain, error = np.full(shape, np.nan), np.full(shape, np.nan)
    pairs = np.argwhere((plan.tries > 0) & mdp.available & ~mdp.terminal[:, None])

    def told(state: int, action: int, *, whole: bool) -> None:
        after = _after(plan, state, action, tries, samples, np.random.default_rng([seed, 41, state, action]))
        gains = (_gains if whole else _gains_here)(model, mdp.initial, state, action, *after)
        gain[state, action], error[state, action] = gains.mean(), gains.std(ddof=1) / samples**0.5

    for state, action in pairs.tolist():
        told(state, action, whole=False)
    # The largest as a whole.
    ordered = pairs[np.argsort(-gain[tuple(pairs.T)], kind="stable")]
    whole = np.zeros(shape, bool)
    for state, action in ordered[: int(WORK / (samples * mdp.num_states**3))].tolist():
        told(state, action, whole=True)
        whole[state, action] = True
    dims = "state", "action"
    return xr.Dataset(
        {"gain": (dims, gain), "error": (dims, error), "whole": (dims, whole)},
        {"state": label_array(mdp.states), "action": label_array(mdp.actions)},
        {"tries": tries, "samples": samples, "seed": seed},
    )


def _why_not(plan: KeptPlan) -> str:
    """Why nothing is told; nothing if it is."""
    mdp = plan.mdp
    if mdp.by_stage:
        return "it is told for plans with a discount, and this one is for a number of steps"
    if "initial_bound" not in plan.attrs:
        return "the log does not say where episodes start, which is where a gain would be counted"
    if plan.concentration is None:
        return "only for rows that are Dirichlet is it known what more tries would teach, and this prior has others"
    if mdp.has_elsewhere and mdp.elsewhere == "least":
        return "next states never seen count as the least there is, of which no model has a mean"
    if mdp.num_states > STATES:
        return f"the problem has more than {STATES:,} states, for which it would take long"
    families = {name: family for name, (_, family) in json.loads(plan.attrs.get("families", "{}")).items()}
    if not families.keys() <= {"transition", "reward"} or families.get("reward", "Beta") not in ("Beta", "Normal"):
        return "the prior of rewards is one of which it is not known what more tries would teach"
    if families.get("reward") == "Normal" and "noise" not in plan.tree["problem"]:
        return "the plan does not say how rewards scatter, so it is not known what more tries would teach"
    return ""


def _leads(mdp: MDP, state: int, action: int) -> NDArray[np.float64]:
    """Where the outcomes of a pair lead [outcome, next_state], 0 where an episode has ended."""
    if mdp.successor is None:
        leads = np.eye(mdp.num_states)
    else:
        successor = mdp.successor[state, action]
        leads = np.zeros((mdp.num_outcomes, mdp.num_states))
        named = successor >= 0
        leads[named, successor[named]] = 1
        unnamed = np.ones(mdp.num_states)
        unnamed[successor[named]] = 0
        leads[~named] = unnamed / max(unnamed.sum(), 1)
    return np.asarray(leads * ~mdp.terminal)


def _solve(plan: KeptPlan) -> _Model:
    """The mean model and its best policy, by policy iteration."""
    mdp, concentration = plan.mdp, plan.concentration
    assert concentration is not None and mdp.discount is not None
    total = concentration.sum(-1, keepdims=True)
    mean = concentration / np.where(total > 0, total, 1)
    if mdp.successor is None:
        rows = mean * ~mdp.terminal
    else:
        pairs = [[mean[s, a] @ _leads(mdp, s, a) for a in range(mdp.num_actions)] for s in range(mdp.num_states)]
        rows = np.array(pairs)
    live = ~mdp.terminal[:, None]
    rows = mdp.discount * rows * live[..., None]
    reward = np.where(live, _mean_reward(plan, mean), 0)
    state = np.arange(mdp.num_states)
    first = np.where(mdp.available, reward, -np.inf).argmax(-1)
    began = np.linalg.solve(np.eye(mdp.num_states) - rows[state, first], reward[state, first])
    policy, value = _iterate(rows[None], reward[None], mdp.available, first[None], began[None])
    inverse = np.linalg.inv(np.eye(mdp.num_states) - rows[state, policy[0]])
    return _Model(rows, reward, mdp.available, policy[0], value[0], inverse)


def _mean_reward(plan: KeptPlan, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Posterior mean of each pair's reward [state, action]."""
    parameters = plan.tree["parameters"].to_dataset()
    if "reward" not in parameters:
        return np.asarray((mean * plan.mdp.reward).sum(-1))
    own = _reward_parameters(parameters["reward"])
    return own["mean"] if "mean" in own else own["a"] / (own["a"] + own["b"])


def _reward_parameters(reward: xr.DataArray) -> dict[str, NDArray[np.float64]]:
    """Parameters [state, action] of a pair's reward by name: "mean" and "sd", or "a" and "b"."""
    told = reward.dropna("parameter", how="all").transpose("state", "action", "parameter")
    names = told["parameter"].values.tolist()
    return dict(zip(["mean", "sd"] if "mean" in names else ["a", "b"], np.moveaxis(told.values, -1, 0), strict=True))


def _after(
    plan: KeptPlan, state: int, action: int, tries: int, samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A pair's discounted rows [sample, next_state] and mean rewards [sample] after so many more tries."""
    mdp, concentration = plan.mdp, plan.concentration
    assert concentration is not None and mdp.discount is not None
    possible = np.flatnonzero(concentration[state, action])
    own = concentration[state, action, possible]
    shown = rng.multinomial(tries, rng.dirichlet(own, samples))
    mean = (own + shown) / (own.sum() + tries)
    rows = mdp.discount * mean @ _leads(mdp, state, action)[possible]
    parameters = plan.tree["parameters"].to_dataset()
    if "reward" not in parameters:
        paid = mdp.reward[state, action]
        return rows, mean @ np.broadcast_to(paid, mdp.num_outcomes)[possible]
    told = {name: values[state, action] for name, values in _reward_parameters(parameters["reward"]).items()}
    if "mean" in told:
        # The mean of the posterior scatters by what the tries take off its variance.
        noise = float(plan.tree["problem"].to_dataset()["noise"].values[state, action])
        left = 1 / (1 / told["sd"] ** 2 + tries / noise**2)
        return rows, told["mean"] + np.sqrt(max(told["sd"] ** 2 - left, 0)) * rng.standard_normal(samples)
    ones = rng.binomial(tries, rng.beta(told["a"], told["b"], samples))
    return rows, (told["a"] + ones) / (told["a"] + told["b"] + tries)


def _moved(model: _Model, state: int, rows: NDArray[np.float64], reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much M[:, state] is added to the value [...] if the policy has these rows [..., next_state] in a state."""
    column = model.inverse[:, state]
    now = model.rows[state, model.policy[state]]
    return np.asarray((reward + rows @ model.value - model.value[state]) / (1 - (rows - now) @ column))


def _gains_here(
    model: _Model,
    initial: NDArray[np.float64],
    state: int,
    action: int,
    rows: NDArray[np.float64],
    reward: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Gains [sample] of choosing again in one state only."""
    weight = float(initial @ model.inverse[:, state])
    after = _moved(model, state, rows, reward)
    if action != model.policy[state]:
        return weight * np.where(after > _least(model), after, 0)
    others = model.available[state].copy()
    others[action] = False
    if not others.any():
        return np.zeros(len(rows))
    instead = _moved(model, state, model.rows[state, others], model.reward[state, others]).max()
    gained = instead - after
    return weight * np.where(gained > _least(model), gained, 0)


def _gains(
    model: _Model,
    initial: NDArray[np.float64],
    state: int,
    action: int,
    rows: NDArray[np.float64],
    reward: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Gains [sample] of choosing all of the plan again."""
    gains, column = np.zeros(len(rows)), model.inverse[:, state]
    moved = _moved(model, state, rows, reward)
    taken = action == model.policy[state]
    # The present plan after the tries, and where to begin: with the pair, where it is better by itself.
    present = model.value + np.outer(moved, column) if taken else np.broadcast_to(model.value, (len(rows), len(column)))
    ask = np.flatnonzero(np.ones(len(rows), bool) if taken else moved > _least(model))
    if not len(ask):
        return gains
    every, paid = (np.broadcast_to(part, (len(ask), *part.shape)).copy() for part in (model.rows, model.reward))
    every[:, state, action], paid[:, state, action] = rows[ask], reward[ask]
    policy = np.broadcast_to(model.policy, (len(ask), len(column))).copy()
    policy[:, state] = action
    began = model.value + np.outer(moved[ask], column)
    _, value = _iterate(every, paid, model.available, policy, began)
    gains[ask] = np.maximum((value - present[ask]) @ initial, 0)
    return gains


def _iterate(
    rows: NDArray[np.float64],
    reward: NDArray[np.float64],
    available: NDArray[np.bool_],
    policy: NDArray[np.int64],
    value: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Policy iteration for many models [model, state, action, ...] at once, from policies and their values."""
    policy, value, unsolved = policy.copy(), value.copy(), np.arange(len(policy))
    size = policy.shape[1]
    while len(unsolved):
        future = np.einsum("msat,mt->msa", rows[unsolved], value[unsolved])
        q = np.where(available, reward[unsolved] + future, -np.inf)
        better = q.max(-1) > value[unsolved] + ROUNDING * (1 + np.abs(value[unsolved]).max())
        policy[unsolved] = np.where(better, q.argmax(-1), policy[unsolved])
        unsolved = unsolved[better.any(-1)]
        place = unsolved[:, None], np.arange(size), policy[unsolved]
        value[unsolved] = np.linalg.solve(np.eye(size) - rows[place], reward[place][..., None])[..., 0]
    return policy, value


def _least(model: _Model) -> float:
    return ROUNDING * (1 + float(np.abs(model.value).max()))
