"""BAMCP's search from the start of Castronovo et al.'s problems, 100 simulations: ours beside the same in numba.

The numba search is the paper's algorithm written straight down, as one would in C++: rows of a simulation's MDP are
drawn as they are visited, and rollouts are walked where the tree is left. Both report their mean root values, which
must agree. Their C++ did 1.5 to 4 thousand such plans a second on small problems. Run: ``python
benchmarks/bayes_adaptive.py``.
"""

# ruff: noqa: NPY002, numba compiles the legacy functions only

import _timing
import jax
import jax.numpy as jnp
import numba
import numpy as np

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions
from bayesmdp.planning import believed_draws
from bayesmdp.planning.history_search import Rollout, history_search
from bayesmdp.posterior import make_belief

PLANS, SIMULATIONS, DEPTH, EPSILON, SHARE = 200, 100, 15, 0.5, 0.3
PROBLEMS = (
    bm.environments.generalised_chain(),
    bm.environments.generalised_double_loop(),
    bm.environments.generalised_grid(),
)


@numba.njit(cache=True)
def drawn_outcome(rows, known, alpha, state, action):
    """An outcome of a pair in the simulation's MDP, whose row is drawn when it is first visited."""
    if not known[state, action]:
        total = 0.0
        for outcome in range(alpha.shape[2]):
            rows[state, action, outcome] = np.random.standard_gamma(alpha[state, action, outcome])
            total += rows[state, action, outcome]
        rows[state, action] /= total
        known[state, action] = True
    left = np.random.random()
    for outcome in range(alpha.shape[2] - 1):
        left -= rows[state, action, outcome]
        if left < 0:
            return outcome
    return alpha.shape[2] - 1


@numba.njit(cache=True)
def numba_search(alpha, successor, reward, discount, constant, simulations, depth):
    """Root values [action] of one search from state 0."""
    states, actions, outcomes = alpha.shape
    visits, total = np.zeros((simulations + 2, actions)), np.zeros((simulations + 2, actions))
    child = np.zeros((simulations + 2, actions, outcomes), np.int64)
    rows, known = np.empty(alpha.shape), np.zeros((states, actions), np.bool_)
    nodes, taken = np.zeros(depth + 1, np.int64), np.zeros(depth + 1, np.int64)
    earned, size = np.zeros(depth + 1), 1
    for _ in range(simulations):
        known[:] = False
        state, node, step, inside = 0, 0, 0, True
        length = 0
        while step < depth:
            if inside:
                best, action, number = -np.inf, 0, visits[node].sum()
                for a in range(actions):
                    score = 1e300
                    if visits[node, a] > 0:
                        score = total[node, a] / visits[node, a]
                        score += constant * np.sqrt(np.log(number) / visits[node, a])
                    if score > best:
                        best, action = score, a
                fresh = step > 0 and number == 0
            if not inside or fresh:
                action = np.random.randint(actions)  # no action is better before anything is learnt
            outcome = drawn_outcome(rows, known, alpha, state, action)
            earned[step] = reward[state, action, outcome]
            if inside:
                nodes[step], taken[step] = node, action
                length = step + 1
                if fresh:
                    inside = False
                else:
                    if child[node, action, outcome] == 0:
                        child[node, action, outcome] = size
                        size += 1
                    node = child[node, action, outcome]
            state = successor[state, action, outcome]
            step += 1
        worth = 0.0
        for step in range(depth - 1, -1, -1):
            worth = earned[step] + discount * worth
            if step < length:
                visits[nodes[step], taken[step]] += 1
                total[nodes[step], taken[step]] += worth
    return total[0] / visits[0]


@numba.njit(cache=True)
def numba_plans(alpha, successor, reward, discount, constant, plans, simulations, depth):
    """The mean of root values of some searches."""
    mean = np.zeros(alpha.shape[1])
    for _ in range(plans):
        mean += numba_search(alpha, successor, reward, discount, constant, simulations, depth) / plans
    return mean


def main():
    for mdp in PROBLEMS:
        alpha = np.broadcast_to(mdp.outcome_size, mdp.sizes).astype(float)
        reward = np.broadcast_to(mdp.reward, mdp.sizes).astype(float)
        constant = SHARE * (reward.max() - reward.min()) * (1 - mdp.discount**DEPTH) / (1 - mdp.discount)
        belief = make_belief(dirichlet_transitions(mdp, 1.0), mdp, num_draws=SIMULATIONS)

        @jax.jit
        def ours(key, mdp=mdp, belief=belief, constant=constant):
            problem, believed = jax.tree.map(jnp.asarray, mdp.problem), belief.init(key)
            ahead = Rollout(jnp.zeros(problem.available.shape), jnp.asarray(EPSILON))

            def plan(key):
                draw_key, search_key = jax.random.split(key)
                draws = believed_draws(belief.draw(draw_key, believed)[1], problem)
                return history_search(
                    search_key, problem, draws, jnp.int32(0), ahead, exploration=jnp.asarray(constant), depth=DEPTH
                ).q

            return jax.lax.map(plan, jax.random.split(key, PLANS)).mean(0)

        def compiled(ours=ours):
            with jax.enable_x64(True):
                return np.asarray(ours(jax.random.key(1)))

        def by_numba(mdp=mdp, alpha=alpha, reward=reward, constant=constant):
            table = mdp.successor.astype(np.int64)
            return numba_plans(alpha, table, reward, mdp.discount, constant, PLANS, SIMULATIONS, DEPTH)

        print(f"{mdp.name}: mean root values ours {compiled().round(2)}, numba {by_numba().round(2)}")
        contenders = {"bayesmdp": compiled, "numba": by_numba}
        _timing.race(f"BAMCP, {mdp.name}, {SIMULATIONS} simulations", contenders, work=PLANS, unit="plans")


if __name__ == "__main__":
    main()
