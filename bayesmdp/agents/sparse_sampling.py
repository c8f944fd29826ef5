"""Sparse sampling, Kearns, Mansour and Ng (2002), in the tree of beliefs.

At each step the agent values the actions of the present state s and belief b by a tree of a fixed depth D, in which
every node draws C outcomes o for each action from the belief's predictive probabilities, and the belief of each child
is updated by its outcome::

    Q_D(s, b, a) = R(s, b, a) + discount / C sum over the C outcomes of max_a' Q_D-1(s_o, b_o, a'),    Q_0 = 0,

with R the mean reward under the belief. It takes the action of the largest Q. Nothing is skipped, so the tree has
(A C)^D leaves, of which all of a level are worked on at once; :mod:`bayesmdp.agents.bfs3` looks only where it matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.lookahead import belief_of_transitions, lookahead_rules, sampled_outcomes
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["TreeRules", "sparse_sampling"]

MOST_NODES = 100_000
"""With a belief of their own, at the last level that needs one."""


def sparse_sampling(prior: Model, *, branching: int = 2, depth: int = 3) -> Agent:
    """Value actions by a tree of beliefs with a few outcomes for every action (sparse sampling).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site
        With a closed form. Rewards are taken as known.
    branching : int
        C, outcomes drawn for each action of a node (a shape, as is the depth: changing it compiles again).
    depth : int
        D, steps from the present to the horizon, beyond which nothing counts.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, a prior of rewards or without a closed form, and a problem with so many actions that
        the tree is too large.

    Notes
    -----
    *When.* As a baseline for look-ahead that is easily understood, at a depth of two or three.

    *When not.* Where what pays is more than a few steps away: the tree grows exponentially in its depth.

    *Cost.* (actions times `branching`) to the power of `depth` beliefs, in every step.

    It has no policy for states in which it is not; see :mod:`bayesmdp.agents.families.lookahead` for what regret is
    computed from, and judge it by its rewards.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> arms = bm.environments.bernoulli_bandit([0.2, 0.8])
    >>> agent = bm.agents.sparse_sampling(bm.models.dirichlet_transitions(arms, [1.0, 1.0]))
    >>> float(bm.simulate(arms, {"sparse": agent}, steps=100, replicates=2)["reward"].mean()) > 0.6
    True
    """
    sizes = {"branching": integer("branching", branching, 1), "depth": integer("depth", depth, 1)}

    def belief(mdp: Any) -> Belief:
        nodes = (mdp.num_actions * branching) ** (depth - 1)
        if nodes > MOST_NODES:
            raise ValueError(
                f"a tree of depth {depth} with {branching} outcomes for each of {mdp.num_actions} actions has "
                f"{nodes:,} nodes, more than {MOST_NODES:,}; make it less deep, or use bfs3"
            )
        return belief_of_transitions(prior, mdp, in_closed_form=True, num_draws=1)

    return Agent("sparse-sampling", TreeRules(**sizes), belief, static=sizes)


@dataclass(frozen=True)
class TreeRules:
    """The rules of an agent that values actions by a whole tree.

    Attributes
    ----------
    branching, depth : int
    """

    branching: int
    depth: int

    def __call__(self, belief: Belief, problem: Problem, options: Options) -> Rules:
        problem = jax.tree.map(jnp.asarray, problem)
        moments, actions = belief.moments, problem.num_actions
        assert moments is not None
        shape = (problem.num_states, actions, problem.num_outcomes)
        rewards = jnp.broadcast_to(problem.reward, shape)
        successor = jnp.broadcast_to(jnp.arange(shape[-1]), shape) if problem.successor is None else problem.successor

        def rows(key: Key[Array, ""], s: Int[Array, ""], believed: Any) -> Float[Array, "action outcome"]:
            return moments(key, believed)[1]["transition"][0][s]

        def children(
            key: Key[Array, ""], s: Int[Array, ""], believed: Any, row: Float[Array, "action outcome"]
        ) -> tuple[Int[Array, "action branch"], Any]:
            """Draw C outcomes for each action, with the belief after each."""
            outcome = sampled_outcomes(key, row, self.branching)
            action = jnp.broadcast_to(jnp.arange(actions)[:, None], outcome.shape)
            after = successor[s, action, outcome]

            def seen(action: Array, outcome: Array, after: Array) -> Any:
                step = Step(s, action, outcome, after, rewards[s, action, outcome], problem.continuation[after] == 0)
                return belief.observe(key, believed, step)

            return after, jax.vmap(jax.vmap(seen))(action, outcome, after)

        def tree_worth(
            key: Key[Array, ""], s: Int[Array, " node"], believed: Any, depth: int
        ) -> Float[Array, "node action"]:
            """Return Q_depth of nodes that have an axis in front."""
            row_key, child_key, next_key = random.split(key, 3)
            row = jax.vmap(rows, (None, 0, 0))(row_key, s, believed)
            q = (row * rewards[s]).sum(-1)
            if depth > 1:
                keys = random.split(child_key, len(s))
                after, beliefs = jax.vmap(children)(keys, s, believed, row)
                flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[3:]), beliefs)
                value = tree_worth(next_key, after.reshape(-1), flat, depth - 1).max(-1).reshape(after.shape)
                q += problem.discount * (problem.continuation[after] * value).mean(-1)
            return jnp.where(problem.available[s], q, -jnp.inf)

        def worth(key: Key[Array, ""], believed: Any, memory: Any, s: Int[Array, ""]) -> Float[Array, " action"]:
            root = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], believed)
            return tree_worth(key, jnp.asarray(s)[None], root, self.depth)[0]

        return lookahead_rules(belief, problem, worth)
