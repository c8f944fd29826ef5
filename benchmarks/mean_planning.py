"""Planning under the mean (an MDP known, or averaged): beside quantecon and mdpsolver, at discount .99, error 1e-8.

Dense random MDPs (every next state possible, Dirichlet(1) rows, rewards uniform on [0, 1]) and RiverSwim-50. Each
contender is asked for the error 1e-8 in its own terms and its true error, against a solve of the best policy, is
printed beside its time: a stopping rule that keeps less than it promises shows there. Ours runs from arrays in memory
to a plan with a certified bound; quantecon from a ready ``DiscreteDP``; mdpsolver from a ready model, its set-up not
counted.
Run: ``python benchmarks/mean_planning.py``.
"""

import _timing
import jax
import mdpsolver
import numpy as np
import quantecon as qe

import bayesmdp as bm
from bayesmdp.planning import Draws, Mean, policy_iteration

DISCOUNT, TOLERANCE = 0.99, 1e-8


def random_mdp(num_states, num_actions):
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(num_states), (num_states, num_actions))
    return bm.MDP(transition=transition, reward=rng.random((num_states, num_actions)), discount=DISCOUNT)


def case(name, mdp):
    transition, reward = np.ascontiguousarray(mdp.transition), np.ascontiguousarray(mdp.reward[..., 0])
    truth = bm.solve(mdp, tolerance=1e-11).value.values
    ddp = qe.markov.DiscreteDP(reward, transition, DISCOUNT)
    model = mdpsolver.model()
    model.mdp(discount=DISCOUNT, rewards=reward.tolist(), tranMatWithZeros=transition.tolist())
    with jax.enable_x64(True):
        problem = jax.tree.map(jax.numpy.asarray, mdp.problem)
        draws = Draws(jax.numpy.asarray(transition)[None], problem.reward)
        ours = jax.jit(lambda problem, draws: policy_iteration(problem, draws, Mean(), tolerance=TOLERANCE))
        plan = ours(problem, draws)

        def quantecon(method):
            return ddp.solve(method=method, epsilon=TOLERANCE, max_iter=100_000).v

        def solver(algorithm):
            # It stops by the change of a sweep, which bounds the error only after the factor below.
            tolerance = TOLERANCE * (1 - DISCOUNT) / DISCOUNT
            cold = [0.0] * mdp.num_states  # left alone it goes on from its last solution
            model.solve(algorithm=algorithm, tolerance=tolerance, parallel=False, initValueVector=cold)
            return np.array(model.getValueVector())

        contenders = {
            "bayesmdp policy iteration": lambda: jax.block_until_ready(ours(problem, draws)).value,
            "quantecon policy iteration": lambda: quantecon("policy_iteration"),
            "quantecon modified policy iteration": lambda: quantecon("modified_policy_iteration"),
            "quantecon value iteration": lambda: quantecon("value_iteration"),
            "mdpsolver modified policy iteration": lambda: solver("mpi"),
            "mdpsolver value iteration": lambda: solver("vi"),
        }
        print(f"\n{name}: our bound {float(plan.bound):.0e} after {int(plan.iterations)} applications of the operator")
        for label, contender in contenders.items():
            print(f"  error of {label}: {np.abs(np.asarray(contender()) - truth).max():.0e}")
        _timing.race(name, contenders, unit="plans")


def main():
    case("dense 50 states x 4 actions", random_mdp(50, 4))
    case("dense 500 states x 10 actions", random_mdp(500, 10))
    case("RiverSwim-50", bm.environments.riverswim(50, discount=DISCOUNT))


if __name__ == "__main__":
    main()
