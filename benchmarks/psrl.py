"""PSRL on RiverSwim-6, 5,000 steps a replicate: `simulate` beside the same agent in plain NumPy.

The NumPy agent is what one would write by hand: counts, Gamma draws, policy iteration by `np.linalg.solve` with a warm
start, pseudo-episodes, regret evaluated once a period. Run: ``python benchmarks/psrl.py``.
"""

import _timing
import numpy as np

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions

STEPS, REPLICATES, DISCOUNT = 5_000, 16, 0.95
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


def main():
    agents = {"PSRL": bm.agents.psrl(dirichlet_transitions(RIVER, concentration=1 / 6))}

    def ours(workers):
        return bm.simulate(RIVER, agents, steps=STEPS, replicates=REPLICATES, workers=workers)

    def theirs():
        rng = np.random.default_rng(0)
        return [numpy_psrl(rng) for _ in range(REPLICATES)]

    check = np.array(theirs())
    mine = ours(2)["regret"].sum("step").values[0]
    print(f"regret, mean +- standard error: ours {_summary(mine)}, NumPy {_summary(check)}")
    _timing.race(
        f"PSRL, RiverSwim-6, {REPLICATES} x {STEPS:,} steps, everything recorded",
        {"bayesmdp, 2 threads": lambda: ours(2), "bayesmdp, 1 thread": lambda: ours(1), "NumPy, 1 thread": theirs},
        work=STEPS * REPLICATES,
        unit="steps",
    )


def _summary(values):
    return f"{values.mean():.0f} +- {values.std(ddof=1) / len(values) ** 0.5:.0f}"


if __name__ == "__main__":
    main()
