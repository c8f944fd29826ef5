"""PSRL on RiverSwim-6, 20,000 steps a replicate: `simulate` beside the same agent in plain NumPy, and in numba.

The NumPy agent is what one would write by hand: counts, Gamma draws, policy iteration by `np.linalg.solve` with a warm
start, pseudo-episodes, regret evaluated once a period. The numba loop is the same compiled as a whole, with elimination
written out in place of LAPACK, and records nothing but the sum of regret: the limit that a general simulator can come
near to. Ours runs with everything recorded, and in windows of 50 steps. One processor core each.
Run: ``python benchmarks/psrl.py``.
"""

import _timing
import numba
import numpy as np

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions

STEPS, REPLICATES, DISCOUNT = 20_000, 16, 0.95
RIVER = bm.environments.riverswim(6, discount=DISCOUNT)


def numpy_psrl(rng, river=RIVER, steps=STEPS):
    """One replicate; returns cumulative regret."""
    truth, reward = river.transition, river.reward[..., 0]
    cumulative = truth.cumsum(-1)
    states = np.arange(river.num_states)

    def evaluate(kernel, policy):
        chain = kernel[states, policy]
        return np.linalg.solve(np.eye(len(states)) - DISCOUNT * chain, reward[states, policy])

    def solve(kernel, policy):
        while True:
            value = evaluate(kernel, policy)
            better = (reward + DISCOUNT * kernel @ value).argmax(-1)
            if (better == policy).all():
                return value, policy
            policy = better

    policy = np.zeros(len(states), int)
    best, _ = solve(truth, policy)
    concentration = np.full(truth.shape, 1 / len(states))
    uniforms = rng.random((steps, 2))
    state, total, starts = 0, 0.0, True
    for outcome, end in uniforms:
        if starts:
            gammas = rng.standard_gamma(concentration)
            _, policy = solve(gammas / gammas.sum(-1, keepdims=True), policy)
            gap = best - evaluate(truth, policy)
        action = policy[state]
        next_state = cumulative[state, action].searchsorted(outcome, side="right")
        concentration[state, action, next_state] += 1
        total += gap[state]
        state, starts = next_state, end >= DISCOUNT
    return total


@numba.njit
def eliminate(matrix, right):
    """Solve a system whose diagonal outweighs the rest of each row, in place."""
    size = len(right)
    for k in range(size - 1):
        for i in range(k + 1, size):
            factor = matrix[i, k] / matrix[k, k]
            for j in range(k + 1, size):
                matrix[i, j] -= factor * matrix[k, j]
            right[i] -= factor * right[k]
    for k in range(size - 1, -1, -1):
        for j in range(k + 1, size):
            right[k] -= matrix[k, j] * right[j]
        right[k] /= matrix[k, k]


@numba.njit
def evaluate_policy(kernel, reward, policy, discount, matrix, value):
    size = len(policy)
    for s in range(size):
        for t in range(size):
            matrix[s, t] = (s == t) - discount * kernel[s, policy[s], t]
        value[s] = reward[s, policy[s]]
    eliminate(matrix, value)


@numba.njit
def improve(kernel, reward, policy, discount, value):
    changed = False
    for s in range(len(policy)):
        best, top = policy[s], -np.inf
        for a in range(reward.shape[1]):
            q = reward[s, a]
            for t in range(len(policy)):
                q += discount * kernel[s, a, t] * value[t]
            if q > top:
                best, top = a, q
        if best != policy[s]:
            policy[s], changed = best, True
    return changed


@numba.njit
def numba_psrl(rng, truth, reward, discount, steps):
    """One replicate; returns cumulative regret."""
    states, actions = reward.shape
    cumulative, kernel = np.empty_like(truth), np.empty_like(truth)
    for s in range(states):
        for a in range(actions):
            cumulative[s, a] = np.cumsum(truth[s, a])
    policy, best, gap = np.zeros(states, np.int64), np.empty(states), np.empty(states)
    value, matrix = np.empty(states), np.empty((states, states))
    evaluate_policy(truth, reward, policy, discount, matrix, best)
    while improve(truth, reward, policy, discount, best):
        evaluate_policy(truth, reward, policy, discount, matrix, best)
    concentration = np.full(truth.shape, 1 / states)
    state, total, starts = 0, 0.0, True
    for _ in range(steps):
        if starts:
            for s in range(states):
                for a in range(actions):
                    whole = 0.0
                    for t in range(states):
                        kernel[s, a, t] = rng.standard_gamma(concentration[s, a, t])
                        whole += kernel[s, a, t]
                    for t in range(states):
                        kernel[s, a, t] /= whole
            evaluate_policy(kernel, reward, policy, discount, matrix, value)
            while improve(kernel, reward, policy, discount, value):
                evaluate_policy(kernel, reward, policy, discount, matrix, value)
            evaluate_policy(truth, reward, policy, discount, matrix, value)
            for s in range(states):
                gap[s] = best[s] - value[s]
        action, uniform, after = policy[state], rng.random(), 0
        while cumulative[state, action, after] <= uniform:
            after += 1
        concentration[state, action, after] += 1
        total += gap[state]
        state, starts = after, rng.random() >= discount
    return total


def main():
    agents = {"PSRL": bm.agents.psrl(dirichlet_transitions(RIVER, concentration=1 / 6))}

    def ours(thin):
        return bm.simulate(RIVER, agents, steps=STEPS, replicates=REPLICATES, workers=1, thin=thin)

    def in_numpy():
        rng = np.random.default_rng(0)
        return [numpy_psrl(rng) for _ in range(REPLICATES)]

    def in_numba():
        rng = np.random.default_rng(1)
        reward = np.ascontiguousarray(RIVER.reward[..., 0])
        return [numba_psrl(rng, RIVER.transition, reward, DISCOUNT, STEPS) for _ in range(REPLICATES)]

    mine = ours(1)["regret"].sum("step").values[0]
    print(
        "regret, mean +- standard error: "
        f"ours {_summary(mine)}, NumPy {_summary(np.array(in_numpy()))}, numba {_summary(np.array(in_numba()))}"
    )
    _timing.race(
        f"PSRL, RiverSwim-6, {REPLICATES} x {STEPS:,} steps",
        {
            "bayesmdp": lambda: ours(50),
            "bayesmdp, every step recorded": lambda: ours(1),
            "numba loop": in_numba,
            "NumPy": in_numpy,
        },
        work=STEPS * REPLICATES,
        unit="steps",
        rounds=5,
    )


def _summary(values):
    return f"{values.mean():.0f} +- {values.std(ddof=1) / len(values) ** 0.5:.0f}"


if __name__ == "__main__":
    main()
