"""BAMCP: Bayes-adaptive Monte Carlo planning of Guez, Silver and Dayan (2012).

At each step the agent searches the tree of what it may do and see from the present state and belief: each of K
simulations follows one MDP drawn from the posterior, so that histories are as likely as they are under the belief, and
actions within the tree are chosen by UCT. As K grows the values at the root tend to the Bayes-optimal ones over the
search's horizon. The search is :mod:`bayesmdp.planning.history_search`.

Beyond the tree simulations follow the policy that is greedy, but for a share epsilon, in Q-values learnt by Q-learning
on the real steps::

    Q(s, a) += eta (r + discount max Q(s', .) - Q(s, a)).

The paper has c = 3 for the constant of UCT and epsilon = .5. What c is a multiple of is not stated; UCB needs the size
of returns, so here it is a multiple of how far returns to the horizon D may lie apart, (max r - min r) (1 - discount^D)
/ (1 - discount). The default .3 and eta, .1, are ours. The tree is not kept from one step to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.lookahead import belief_of_transitions, lookahead_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning import believed_draws
from bayesmdp.planning.history_search import Rollout, history_search
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["SearchRules", "bamcp"]


def bamcp(
    prior: Model,
    *,
    simulations: int = 100,
    depth: int = 25,
    exploration: float = 0.3,
    epsilon: float = 0.5,
    learning_rate: float = 0.1,
) -> Agent:
    """Search the tree of histories from the present belief by Monte Carlo (BAMCP).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site
        Rewards are taken as known.
    simulations : int
        K, MDPs drawn from the posterior, and walks through the tree, at each step (a shape: changing it compiles
        again). At least as many as a state has actions, each of which is tried once first.
    depth : int
        Steps from the present to the search's horizon, beyond which nothing counts (a shape too).
    exploration : float, at least 0
        c, the constant of UCT, as a multiple of how far returns may lie apart; see the module.
    epsilon : float in (0, 1)
        How often rollouts take an action at random.
    learning_rate : float in [0, 1]
        eta, of the Q-values in which rollouts are otherwise greedy.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, a prior of rewards, and fewer simulations than a state has actions.

    Notes
    -----
    *When.* In small problems where each step may take long, and what a step teaches is worth planning for.

    *When not.* Where steps must be quick, or where what pays lies farther away than `depth`.

    *Cost.* `simulations` walks of up to `depth` steps through one draw each, in every step.

    It has no policy for states in which it is not; see :mod:`bayesmdp.agents.families.lookahead` for what regret is
    computed from, and judge it by its rewards.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> arms = bm.environments.bernoulli_bandit([0.2, 0.8])
    >>> agent = bm.agents.bamcp(bm.models.dirichlet_transitions(arms, [1.0, 1.0]))
    >>> float(bm.simulate(arms, {"BAMCP": agent}, steps=100, replicates=2)["reward"].mean()) > 0.6
    True
    """
    static = {"simulations": integer("simulations", simulations, 1), "depth": integer("depth", depth, 1)}
    options = {
        "exploration": number("exploration", exploration, minimum=0),
        "epsilon": number("epsilon", epsilon, above=0, below=1),
        "learning_rate": number("learning_rate", learning_rate, minimum=0, maximum=1),
    }

    def belief(mdp: Any) -> Belief:
        most = int(mdp.available.sum(-1).max())
        if simulations < most:
            raise ValueError(
                f"simulations={simulations} cannot try each of the {most} actions that a state of {mdp.name} has, and "
                "the last would never be taken; ask for more"
            )
        return belief_of_transitions(prior, mdp, num_draws=simulations)

    return Agent(
        "bamcp",
        SearchRules(static["depth"]),
        belief,
        options,
        static,
    )


@dataclass(frozen=True)
class SearchRules:
    """The rules of an agent that searches to a depth.

    Attributes
    ----------
    depth : int
    """

    depth: int

    def __call__(self, belief: Belief, problem: Problem, options: Options) -> Rules:
        problem = jax.tree.map(jnp.asarray, problem)
        live = (problem.available & (problem.continuation > 0)[:, None])[..., None]
        spread = jnp.max(problem.reward, where=live, initial=-jnp.inf) - jnp.min(
            problem.reward, where=live, initial=jnp.inf
        )

        def worth(
            key: Key[Array, ""], believed: Any, values: Float[Array, "state action"], s: Int[Array, ""]
        ) -> Float[Array, " action"]:
            # K MDPs from the posterior, a simulation in each.
            draw_key, search_key = random.split(key)
            _, sites = belief.draw(draw_key, believed)
            rollout = Rollout(values, options["epsilon"])
            apart = spread * (1 - problem.discount**self.depth) / (1 - problem.discount)
            draws = believed_draws(sites, problem)
            constant = options["exploration"] * apart
            return history_search(search_key, problem, draws, s, rollout, exploration=constant, depth=self.depth).q

        def learn(values: Float[Array, "state action"], step: Step) -> Float[Array, "state action"]:
            # Q(s, a) += eta (r + discount max Q(s', .) - Q(s, a)), for the rollout policy.
            best = jnp.max(values[step.next_state], where=problem.available[step.next_state], initial=-jnp.inf)
            target = step.reward + jnp.where(step.last, 0, problem.discount * best)
            error = target - values[step.state, step.action]
            return values.at[step.state, step.action].add(options["learning_rate"] * error)

        return lookahead_rules(belief, problem, worth, memory=lambda: jnp.zeros(problem.available.shape), learn=learn)
