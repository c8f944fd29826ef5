"""Truths the package did not compute: NumPy, brute force, and extended precision.

Arrays are dense: transition [state, action, next_state], with a leading draw axis where the name says draws. Rewards
are [state, action] or broadcast against transition. Terminal states and unavailable actions are masks or None.
"""

import itertools

import numpy as np

__all__ = [
    "EXTENDED",
    "average_reward",
    "dense_transition",
    "enumerate_policies",
    "exact_value",
    "iterate_value",
    "policy_value",
    "tail_mean",
    "tail_means",
    "targets",
]

EXTENDED = np.finfo(np.longdouble).eps < 1e-18
"""Whether this machine has the 80-bit (or longer) floats that `exact_value` needs."""


def dense_transition(transition, successor, num_states):
    """[..., state, action, next_state] from the outcomes of a successor table [state, action, outcome]."""
    return np.einsum("...sao,saot->...sat", transition, np.eye(num_states)[successor])


def targets(draws, reward, discount, value, terminal=None):
    """``sum_t p (r + discount V)`` for each draw [draw, state, action], 0 at terminal states."""
    reward = reward[..., None] if reward.ndim == 2 else reward
    terminal = np.zeros(len(value), bool) if terminal is None else terminal
    result = (draws * (reward + discount * np.where(terminal, 0, value))).sum(-1)
    return np.where(terminal[:, None], 0, result)


def over_draws(values, level):
    """Mean (level None) or left quantile along the first axis; `level` a number or [state, action]."""
    if level is None:
        return values.mean(0)
    level = np.broadcast_to(level, values.shape[1:])
    rank = np.maximum(np.ceil(level * len(values)).astype(int), 1) - 1
    return np.take_along_axis(np.sort(values, 0), rank[None], 0)[0]


def tail_mean(values, level):
    """Mean of the lowest level * N of some numbers, the last of them in part."""
    left, total = level * len(values), 0.0
    for value in sorted(values):
        share = min(1.0, left)
        total, left = total + share * value, left - share
    return total / (level * len(values))


def tail_means(values, level):
    """CVaR along the first axis; `level` a number or [state, action]."""
    level = np.broadcast_to(level, values.shape[1:])
    pairs = np.ndindex(*values.shape[1:])
    return np.reshape([tail_mean(values[:, s, a], level[s, a]) for s, a in pairs], values.shape[1:])


def iterate_value(draws, reward, discount, level=None, *, terminal=None, available=None, tolerance=1e-13):
    """Fixed point of the mean or quantile operator by plain value iteration: (value [state], q [state, action])."""
    value = np.zeros(draws.shape[1])
    available = True if available is None else available
    while True:
        values = targets(draws, reward, discount, value, terminal)
        if level is None or np.ndim(level):
            q = over_draws(values, level)
        else:
            q = np.quantile(values, level, axis=0, method="inverted_cdf")
        better = np.where(available, q, -np.inf).max(-1)
        if np.abs(better - value).max() <= tolerance * (1 - discount) * (1 + np.abs(value).max()) + 2e-16:
            return better, q
        value = better


def policy_value(transition, reward, discount, policy, terminal=None):
    """Value of a policy under one kernel, by a linear solve."""
    states = np.arange(len(policy))
    live = np.ones(len(policy)) if terminal is None else 1.0 - terminal
    rows = transition[states, policy] * live[:, None] * live
    rewards = targets(transition[None], reward, discount, np.zeros(len(policy)), terminal)[0][states, policy]
    return np.linalg.solve(np.eye(len(policy)) - discount * rows, rewards)


def enumerate_policies(transition, reward, discount):
    """Largest value any deterministic policy has, state by state, over all of them."""
    states, actions = transition.shape[:2]
    policies = itertools.product(range(actions), repeat=states)
    return np.max([policy_value(transition, reward, discount, np.array(p)) for p in policies], axis=0)


def exact_value(draws, reward, discount, level=None):
    """The fixed point in extended precision, and how far it may be off: (value [state], error).

    After some float64 sweeps it repeats "fix the attaining rows and actions, solve" with longdouble
    elimination; the error is the usual residual bound, computed in longdouble.
    """
    value = np.zeros(draws.shape[1])
    for _ in range(200):
        value = over_draws(targets(draws, reward, discount, value), level).max(-1)
    draws, reward, discount = draws.astype(np.longdouble), reward.astype(np.longdouble), np.longdouble(discount)
    value = value.astype(np.longdouble)
    states, best = np.arange(len(value)), (np.inf, value)
    for attempt in range(300):
        values = targets(draws, reward, discount, value)
        q = over_draws(values, level)
        policy, better = q.argmax(-1), q.max(-1)
        best = min(best, (np.abs(better - value).max(), value), key=lambda pair: pair[0])
        if best[0] <= 1e-17 * (1 + np.abs(value).max()):
            break
        rewards = targets(draws, reward, discount, 0 * value)
        if level is None:
            rows, rewards = draws.mean(0)[states, policy], rewards.mean(0)[states, policy]
        else:
            draw = (values[:, states, policy] == better).argmax(0)
            rows, rewards = draws[draw, states, policy], rewards[draw, states, policy]
        # A plain sweep now and then breaks the cycles that solving alone can fall into.
        value = better if attempt % 7 == 6 else eliminate(np.eye(len(value)) - discount * rows, rewards)
    return best[1], float(best[0] / (1 - discount))


def eliminate(matrix, right):
    """Solution of a diagonally dominant system by elimination, in the precision of its entries."""
    table = np.concatenate([matrix, right[:, None]], axis=1)
    for k in range(len(right)):
        table[k] /= table[k, k]
        others = np.arange(len(right)) != k
        table[others] -= table[others, k, None] * table[k]
    return table[:, -1]


def average_reward(transition, reward):
    """Of a chain [state, next_state] with rewards [state]."""
    values, vectors = np.linalg.eig(transition.T)
    stationary = np.real(vectors[:, np.argmax(values.real)])
    return float(stationary @ reward / stationary.sum())


def forest(ages: int, *, fire: float = 0.1, old: float = 4.0, cut: float = 2.0):
    """pymdptoolbox's forest: kernel [age, wait or cut, age] and rewards; it burns down with probability `fire`.

    Waiting pays `old` in the last age; cutting pays 1 in the ages between and `cut` in the last.
    """
    kernel, reward = np.zeros((ages, 2, ages)), np.zeros((ages, 2))
    kernel[:, 0, 0], kernel[:, 1, 0] = fire, 1
    kernel[np.arange(ages), 0, np.minimum(np.arange(ages) + 1, ages - 1)] += 1 - fire
    reward[-1, 0], reward[1:, 1] = old, 1
    reward[-1, 1] = cut
    return kernel, reward
