"""BFS3: Bayesian forward-search sparse sampling, Asmuth and Littman (2011).

At each step the agent searches the tree of beliefs from the present one by forward-search sparse sampling (FSSS; Walsh,
Goschin and Littman, 2010). A node is a state and a belief; when it is first visited, C outcomes are drawn for each
action from the belief's predictive probabilities, and the belief of each is updated by it. Nodes have bounds on their
value to the horizon, at first those of the least and the largest reward at every step, and of an action, with w(o) of
the C outcomes o::

    U(b, a) = sum over o of w(o) / C (r(o) + discount U(b_o)),    U(b) = max_a U(b, a),    and L likewise.

A trial descends from the root to the depth: by the action of the largest U, to the outcome whose bounds are the widest
apart, weighted by w(o). Then the bounds of the nodes on its way are computed anew. Trials end early once the lower
bound of the best action is above the upper bounds of the others; the action taken is that of the largest U.

With C and the number of trials growing that is near the Bayes-optimal action for as many steps as the tree is deep.
Castronovo et al. (2016) count nodes where trials are counted here; a trial adds at most as many as the tree is deep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Bool, Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.lookahead import belief_of_transitions, lookahead_rules, sampled_outcomes
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["ForwardSearch", "bfs3"]


def bfs3(prior: Model, *, trials: int = 50, branching: int = 10, depth: int = 15) -> Agent:
    """Search the tree of beliefs by forward-search sparse sampling (BFS3).

    Parameters
    ----------
    prior : NumPyro model with a ``transition`` site
        With a closed form. Rewards are taken as known.
    trials : int
        Descents from the root at each step (a shape, as are the others: changing it compiles again).
    branching : int
        C, outcomes drawn for each action of a node.
    depth : int
        Steps from the present to the search's horizon, beyond which nothing counts.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, and for a prior of rewards or without a closed form.

    Notes
    -----
    *When.* As `bamcp`, where values have good bounds, by which it prunes.

    *When not.* Where rewards are far below their bound, so that bounds say little, or many actions have many outcomes.

    *Cost.* `trials` descents of up to `depth` beliefs, each with `branching` outcomes an action, in every step.

    It has no policy for states in which it is not; see :mod:`bayesmdp.agents.families.lookahead` for what regret is
    computed from, and judge it by its rewards.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> arms = bm.environments.bernoulli_bandit([0.2, 0.8])
    >>> agent = bm.agents.bfs3(bm.models.dirichlet_transitions(arms, [1.0, 1.0]), trials=20, depth=8)
    >>> float(bm.simulate(arms, {"BFS3": agent}, steps=100, replicates=2)["reward"].mean()) > 0.6
    True
    """
    sizes = {
        "trials": integer("trials", trials, 1),
        "branching": integer("branching", branching, 1),
        "depth": integer("depth", depth, 1),
    }
    return Agent(
        "bfs3",
        ForwardSearch(**sizes),
        lambda mdp: belief_of_transitions(prior, mdp, in_closed_form=True, num_draws=1),
        static=sizes,
    )


class _Tree(NamedTuple):
    """Nodes of the search.

    Attributes
    ----------
    drawn : array [node, action, outcome]
        How many of the C outcomes of an action are this one; none where the node was not visited.
    child : int array [node, action, outcome]
        0 where there is none.
    lower, upper : arrays [node]
    size : int
        Nodes so far.
    """

    drawn: Float[Array, "node action outcome"]
    child: Int[Array, "node action outcome"]
    lower: Float[Array, " node"]
    upper: Float[Array, " node"]
    size: Int[Array, ""]


class _Descent(NamedTuple):
    """Where a trial is: its node, state, belief and number of steps, and the nodes and states on its way."""

    node: Int[Array, ""]
    state: Int[Array, ""]
    believed: Any
    taken: Int[Array, ""]
    nodes: Int[Array, " step"]
    states: Int[Array, " step"]
    tree: _Tree


class _Bounds(NamedTuple):
    """Bounds of each action of a node, and how far apart those of each outcome are, weighted."""

    lower: Float[Array, " action"]
    upper: Float[Array, " action"]
    apart: Float[Array, "action outcome"]


@dataclass(frozen=True)
class ForwardSearch:
    """The rules of an agent that searches forward in the tree of beliefs.

    Attributes
    ----------
    trials, branching, depth : int
    """

    trials: int
    branching: int
    depth: int

    def __call__(self, belief: Belief, problem: Problem, options: Options) -> Rules:
        problem = jax.tree.map(jnp.asarray, problem)
        moments = belief.moments
        assert moments is not None
        shape = (problem.num_actions, problem.num_outcomes)
        rewards = jnp.broadcast_to(problem.reward, (problem.num_states, *shape))
        live = (problem.available & (problem.continuation > 0)[:, None])[..., None]
        # Where episodes may end, what comes after earns nothing.
        rest = jnp.where(jnp.any(problem.continuation == 0), 0.0, jnp.array([jnp.inf, -jnp.inf]))
        least = jnp.minimum(jnp.min(rewards, where=live, initial=jnp.inf), rest[0])
        largest = jnp.maximum(jnp.max(rewards, where=live, initial=-jnp.inf), rest[1])

        def steps_worth(steps: Int[Array, ""]) -> Float[Array, ""]:
            """Return what a reward of 1 at each of so many steps is worth."""
            return (1 - problem.discount**steps) / (1 - problem.discount)

        def successors(s: Int[Array, ""]) -> Int[Array, "action outcome"]:
            if problem.successor is None:
                return jnp.broadcast_to(jnp.arange(problem.num_outcomes), shape)
            return problem.successor[s]

        def visited(tree: _Tree, at: _Descent, key: Key[Array, ""]) -> _Tree:
            """Draw C outcomes for each action of a node that was not visited before."""

            def drawn() -> Float[Array, "action outcome"]:
                _, expected = moments(key, at.believed)
                outcome = sampled_outcomes(key, expected["transition"][0][at.state], self.branching)
                return jax.nn.one_hot(outcome, problem.num_outcomes).sum(1)

            new = tree.drawn[at.node].sum() == 0
            row = lax.cond(new, drawn, lambda: tree.drawn[at.node])
            return tree._replace(drawn=lax.dynamic_update_index_in_dim(tree.drawn, row, at.node, 0))

        def bounds(tree: _Tree, node: Array, s: Array, taken: Array) -> _Bounds:
            """Average the bounds of a node's children; those of what was not visited are the least and the largest."""
            child, after = tree.child[node], successors(s)
            rest, goes_on = steps_worth(self.depth - taken - 1), problem.continuation[after]
            low = goes_on * jnp.where(child > 0, tree.lower[child], least * rest)
            high = goes_on * jnp.where(child > 0, tree.upper[child], largest * rest)
            share = tree.drawn[node] / self.branching
            lower, upper = ((share * (rewards[s] + problem.discount * value)).sum(-1) for value in (low, high))
            allowed = problem.available[s]
            return _Bounds(
                jnp.where(allowed, lower, -jnp.inf), jnp.where(allowed, upper, -jnp.inf), share * (high - low)
            )

        def descend(key: Key[Array, ""], root: Int[Array, ""], believed: Any, tree: _Tree) -> _Tree:
            def goes_on(at: _Descent) -> Bool[Array, ""]:
                return (at.taken < self.depth) & (problem.continuation[at.state] > 0)

            def step(at: _Descent) -> _Descent:
                tree = visited(at.tree, at, random.fold_in(key, at.taken))
                seen = bounds(tree, at.node, at.state, at.taken)
                # The action of the largest U, the outcome whose bounds are the widest apart.
                action = jnp.argmax(seen.upper).astype(jnp.int32)
                widest = jnp.where(tree.drawn[at.node, action] > 0, seen.apart[action], -1)
                outcome = jnp.argmax(widest).astype(jnp.int32)
                following = successors(at.state)[action, outcome].astype(jnp.int32)
                ends = problem.continuation[following] == 0
                child = tree.child[at.node, action, outcome]
                # At the depth there is nothing more to come, so that needs no node.
                added = (child == 0) & ~ends & (at.taken + 1 < self.depth)
                child = jnp.where(added, tree.size, child).astype(jnp.int32)
                tree = tree._replace(
                    child=lax.dynamic_update_slice(tree.child, child[None, None, None], (at.node, action, outcome)),
                    size=tree.size + added,
                )
                reward = rewards[at.state, action, outcome]
                seen_step = Step(at.state, action, outcome, following, reward, ends)
                return _Descent(
                    node=child,
                    state=following,
                    believed=belief.observe(key, at.believed, seen_step),
                    taken=at.taken + 1,
                    nodes=lax.dynamic_update_index_in_dim(at.nodes, at.node, at.taken, 0),
                    states=lax.dynamic_update_index_in_dim(at.states, at.state, at.taken, 0),
                    tree=tree,
                )

            nothing = jnp.zeros(self.depth, jnp.int32)
            zero = jnp.int32(0)
            end = lax.while_loop(goes_on, step, _Descent(zero, root, believed, zero, nothing, nothing, tree))

            # Bounds anew, from the deepest node to the root.
            def back(carry: tuple[Array, _Tree]) -> tuple[Array, _Tree]:
                place, tree = carry
                node = end.nodes[place]
                of = bounds(tree, node, end.states[place], place)
                lower, upper = (
                    lax.dynamic_update_index_in_dim(old, new.max(), node, 0)
                    for old, new in ((tree.lower, of.lower), (tree.upper, of.upper))
                )
                return place - 1, tree._replace(lower=lower, upper=upper)

            return lax.while_loop(lambda carry: carry[0] >= 0, back, (end.taken - 1, end.tree))[1]

        def worth(key: Key[Array, ""], believed: Any, memory: Any, s: Int[Array, ""]) -> Float[Array, " action"]:
            root = jnp.asarray(s, jnp.int32)
            nodes = 1 + self.trials * self.depth

            def undecided(carry: tuple[Array, _Tree]) -> Bool[Array, ""]:
                trial, tree = carry
                of = bounds(tree, jnp.int32(0), root, jnp.int32(0))
                best = jnp.argmax(of.upper)
                others = jnp.where(jnp.arange(problem.num_actions) == best, -jnp.inf, of.upper)
                return (trial < self.trials) & ((trial == 0) | (of.lower[best] < others.max()))

            def another(carry: tuple[Array, _Tree]) -> tuple[Array, _Tree]:
                trial, tree = carry
                return trial + 1, descend(random.fold_in(key, trial), root, believed, tree)

            empty = _Tree(
                jnp.zeros((nodes, *shape)),
                jnp.zeros((nodes, *shape), jnp.int32),
                jnp.zeros(nodes),
                jnp.zeros(nodes),
                jnp.int32(1),
            )
            _, tree = lax.while_loop(undecided, another, (jnp.int32(0), empty))
            return bounds(tree, jnp.int32(0), root, jnp.int32(0)).upper

        return lookahead_rules(belief, problem, worth)
