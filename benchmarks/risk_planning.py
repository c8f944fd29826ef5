"""Quantile and CVaR planning on N posterior draws: policy iteration beside value iteration in NumPy and numba.

Value iteration is the textbook one (select the order statistic of every pair's targets, every sweep) to a sup-norm
change of 1e-8, whose true error is up to discount / (1 - discount) times that; ours is asked for a certified error of
1e-8, from draws in memory to the certified plan, from a cold start. Run: ``python benchmarks/risk_planning.py``.
"""

import _timing
import jax
import numba
import numpy as np

import bayesmdp as bm
from bayesmdp.planning import CVaR, Draws, Quantile, policy_iteration

LEVEL, TOLERANCE = 0.1, 1e-8
CASES = ((6, 0.95, 100), (6, 0.95, 200), (6, 0.95, 1000), (6, 0.99, 1000), (10, 0.95, 1000))
CVAR_CASES = ((6, 0.95, 100), (6, 0.95, 1000))


def numpy_value_iteration(transition, reward, discount, rank):
    value = np.zeros(reward.shape[0])
    while True:
        targets = np.partition(transition @ value, rank, axis=0)[rank]
        better = (reward + discount * targets).max(-1)
        if np.abs(better - value).max() < TOLERANCE:
            return better
        value = better


@numba.njit
def numba_value_iteration(transition, reward, discount, rank, tolerance):
    draws, states, actions, _ = transition.shape
    value, better, targets = np.zeros(states), np.zeros(states), np.zeros(draws)
    while True:
        change = 0.0
        for s in range(states):
            best = -np.inf
            for a in range(actions):
                for n in range(draws):
                    total = 0.0
                    for t in range(states):
                        total += transition[n, s, a, t] * value[t]
                    targets[n] = total
                best = max(best, reward[s, a] + discount * np.partition(targets, rank)[rank])
            better[s] = best
            change = max(change, abs(best - value[s]))
        value[:] = better
        if change < tolerance:
            return value


def numpy_cvar_iteration(transition, reward, discount, tail):
    """The mean of the `tail` smallest targets, for a level at which that is a whole number of draws."""
    value = np.zeros(reward.shape[0])
    while True:
        targets = np.partition(transition @ value, tail - 1, axis=0)[:tail].mean(0)
        better = (reward + discount * targets).max(-1)
        if np.abs(better - value).max() < TOLERANCE:
            return better
        value = better


def posterior_draws(river, num_draws):
    """Draws of a Dirichlet(1/S) posterior after about 20 observations of each pair."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(20 * river.transition)
    gammas = rng.standard_gamma(np.broadcast_to(counts + 1 / river.num_states, (num_draws, *counts.shape)))
    return gammas / gammas.sum(-1, keepdims=True)


def case(num_states, discount, num_draws):
    river = bm.environments.riverswim(num_states, discount=discount)
    transition, reward = posterior_draws(river, num_draws), river.reward[..., 0]
    rank = int(np.ceil(LEVEL * num_draws)) - 1
    with jax.enable_x64(True):
        problem = jax.tree.map(jax.numpy.asarray, river.problem)
        draws = Draws(jax.numpy.asarray(transition), problem.reward)
        solve = jax.jit(lambda problem, draws: policy_iteration(problem, draws, Quantile(LEVEL), tolerance=TOLERANCE))
        plan = solve(problem, draws)
        exact = numba_value_iteration(transition, reward, discount, rank, 1e-13)
        error = np.abs(np.asarray(plan.value) - exact).max()
        known = 1e-13 * discount / (1 - discount)
        print(
            f"ours: bound {float(plan.bound):.1e}, iterations {int(plan.iterations)}; "
            f"from value iteration, itself known within {known:.0e}, by {error:.0e}"
        )
        _timing.race(
            f"quantile {LEVEL}, RiverSwim-{num_states}, discount {discount}, N = {num_draws}",
            {
                "bayesmdp policy iteration": lambda: jax.block_until_ready(solve(problem, draws)),
                "numba value iteration": lambda: numba_value_iteration(transition, reward, discount, rank, TOLERANCE),
                "NumPy value iteration": lambda: numpy_value_iteration(transition, reward, discount, rank),
            },
            unit="plans",
        )


def cvar_case(num_states, discount, num_draws):
    river = bm.environments.riverswim(num_states, discount=discount)
    transition, reward = posterior_draws(river, num_draws), river.reward[..., 0]
    tail = round(LEVEL * num_draws)
    with jax.enable_x64(True):
        problem = jax.tree.map(jax.numpy.asarray, river.problem)
        draws = Draws(jax.numpy.asarray(transition), problem.reward)
        solve = jax.jit(lambda problem, draws: policy_iteration(problem, draws, CVaR(LEVEL), tolerance=TOLERANCE))
        plan = solve(problem, draws)
        error = np.abs(np.asarray(plan.value) - numpy_cvar_iteration(transition, reward, discount, tail)).max()
        print(f"ours: bound {float(plan.bound):.1e}, {int(plan.iterations)} iterations; from the other {error:.0e}")
        _timing.race(
            f"CVaR {LEVEL}, RiverSwim-{num_states}, discount {discount}, N = {num_draws}",
            {
                "bayesmdp policy iteration": lambda: jax.block_until_ready(solve(problem, draws)),
                "NumPy value iteration": lambda: numpy_cvar_iteration(transition, reward, discount, tail),
            },
            unit="plans",
        )


def main():
    for sizes in CASES:
        case(*sizes)
    for sizes in CVAR_CASES:
        cvar_case(*sizes)


if __name__ == "__main__":
    main()
