"""Tree search over histories with root sampling: Bayes-adaptive Monte Carlo planning for one state.

Guez, Silver and Dayan, "Efficient Bayes-Adaptive Reinforcement Learning using Sample-Based Search" (2012), algorithm 1.
Each of K simulations follows one MDP drawn from the posterior, and the tree of histories that all share averages over
them, so that no belief is updated within the tree. Inside the tree an action is chosen by UCT (Kocsis and Szepesvari,
2006), untried ones first::

    argmax_a Q(h, a) + c sqrt(log N(h) / N(h, a)),

where the walk leaves the tree one node is added, and from there a rollout policy goes on to the horizon, a fixed number
of steps from the root. What a walk brought is backed up, Q(h, a) being the mean of the discounted returns from there.
The rollout policy is greedy with probability 1 - epsilon, in values that are given (the agent's, learnt from real
steps), and else uniform over the actions available.

Two things make this quick in compiled code, and change nothing of the distribution of the results. The rollouts of a
simulation depend on the tree only by where they start, so one from each state is made beforehand, for all simulations
at once, with the return after each number of steps; a simulation uses one of them. And a walk that leaves the tree has
made few steps, so the loop that cannot run for all simulations at once is short. The paper draws rows of a simulation's
MDP as they are visited, since that saves drawing those that are not; here all are drawn together, which costs less than
branches would.

`mctx`, the library of tree searches for JAX, does not fit. It calls its model once for each node that it adds and keeps
what came out, while with root sampling every simulation goes through the whole tree in another model and may leave a
node by another outcome; its batch holds searches and not the simulations of one; and it values a leaf by what the model
says there, not by a rollout in the simulation's own.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Float, Int, Key

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.operators import Draws
from bayesmdp.problems.problem import Problem

__all__ = ["Rollout", "RootValues", "history_search"]


LARGE = 1e300
"""The score of actions that were not tried."""


class RootValues(NamedTuple):
    """What a search found.

    Attributes
    ----------
    q : array [action]
        Mean discounted return of the simulations that began with the action; -inf where none did.
    visits : array [action]
        Their number.
    """

    q: Float[Array, " action"]
    visits: Float[Array, " action"]


class Rollout(NamedTuple):
    """How simulations go on beyond the tree.

    Attributes
    ----------
    values : array [state, action]
        Greedy actions are greedy in these, each as likely where several are.
    epsilon : float
        Probability of an action that is uniform over those available.
    """

    values: Float[Array, "state action"]
    epsilon: Float[Array, ""]


def history_search(
    key: Key[Array, ""],
    problem: Problem,
    draws: Draws,
    state: Int[Array, ""],
    rollout: Rollout,
    *,
    exploration: Float[Array, ""],
    depth: int,
) -> RootValues:
    """Search for the Bayes-optimal action of a state, one simulation for each draw, with 64 bits on.

    Parameters
    ----------
    key : key
    problem : Problem
        With a discount. Terminal states end what is counted.
    draws : Draws
        MDPs from the posterior: transition [draw, state, action, outcome], and rewards that all have in common.
    state : int
        The root.
    rollout : Rollout
    exploration : float
        c, in units of the return.
    depth : int
        Steps from the root to the horizon.

    Returns
    -------
    RootValues

    Examples
    --------
    >>> import bayesmdp as bm, jax, numpy as np
    >>> chain = bm.environments.chain()
    >>> with jax.enable_x64(True):
    ...     problem = jax.tree.map(jnp.asarray, chain.problem)
    ...     draws = Draws(jnp.asarray(np.broadcast_to(chain.transition, (400, 5, 2, 5))), problem.reward)
    ...     ahead = Rollout(jnp.zeros((5, 2)), jnp.asarray(0.5))
    ...     last, constant = jnp.int32(4), jnp.asarray(10.0)
    ...     found = history_search(jax.random.key(0), problem, draws, last, ahead, exploration=constant, depth=20)
    >>> chain.actions[int(np.asarray(found.q).argmax())], float(np.asarray(found.visits).sum())
    ('forward', 400.0)
    """
    world = _World(
        problem, jnp.cumsum(draws.transition, -1), jnp.broadcast_to(draws.reward, draws.transition.shape[1:])
    )
    number, actions = draws.transition.shape[0], problem.num_actions
    tree_key, rollout_key = random.split(key)
    returns, first = _rollouts(rollout_key, world, rollout, depth)
    # Nodes: the root, one a simulation, and one that takes what belongs to no node.
    spare = (number + 1) * actions
    uniforms = random.uniform(tree_key, (number, depth))
    available = jnp.asarray(problem.available)

    def walk(i: Int[Array, ""], tree: _Tree) -> _Tree:
        # Down the tree by UCT, until it is left, an episode ends or the horizon is reached.
        def step(at: _Walk) -> _Walk:
            visits, total = tree.visits[at.node], tree.total[at.node]
            bonus = exploration * jnp.sqrt(jnp.log(jnp.maximum(visits.sum(), 1)) / jnp.maximum(visits, 1))
            mean = total / jnp.maximum(visits, 1)
            score = jnp.where(visits > 0, mean + bonus, LARGE)
            action = jnp.argmax(jnp.where(available[at.state], score, -jnp.inf)).astype(jnp.int32)
            outcome, reward, following = world.step(i, at.state, action, uniforms[i, at.taken])
            return _Walk(
                parent=at.node,
                action=action,
                outcome=outcome,
                node=tree.child[at.node, action, outcome],
                state=following,
                taken=at.taken + 1,
                pairs=lax.dynamic_update_index_in_dim(at.pairs, at.node * actions + action, at.taken, 0),
                rewards=lax.dynamic_update_index_in_dim(at.rewards, reward, at.taken, 0),
            )

        def goes_on(at: _Walk) -> Array:
            inside = (at.taken == 0) | (at.node > 0)
            return inside & (at.taken < depth) & (problem.continuation[at.state] > 0)

        zero = jnp.int32(0)
        begin = _Walk(
            zero, zero, zero, zero, jnp.int32(state), zero, jnp.zeros(depth + 1, jnp.int32), jnp.zeros(depth + 1)
        )
        end = lax.while_loop(goes_on, step, begin)

        # One node more, valued by the rollout from its state, whose first action is its own.
        alive = problem.continuation[end.state] > 0
        added = alive & (end.node == 0) & (end.taken < depth)
        node = jnp.where(added, i + 1, end.node).astype(jnp.int32)
        child = lax.dynamic_update_slice(tree.child, node[None, None, None], (end.parent, end.action, end.outcome))
        beyond = jnp.where(added, returns[depth - end.taken, i, end.state], 0)
        leaf = jnp.where(added, node * actions + first[i, end.state], spare).astype(jnp.int32)
        pairs = lax.dynamic_update_index_in_dim(end.pairs, leaf, end.taken, 0)
        rewards = lax.dynamic_update_index_in_dim(end.rewards, beyond, end.taken, 0)

        # Q(h, a) += (R - Q(h, a)) / N(h, a) along the way back, as sums.
        def back(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            place, worth, visits, total = carry
            worth = rewards[place] + problem.discount * worth
            pair = pairs[place]
            visits = lax.dynamic_update_index_in_dim(visits, visits[pair] + 1, pair, 0)
            total = lax.dynamic_update_index_in_dim(total, total[pair] + worth, pair, 0)
            return place - 1, worth, visits, total

        flat = tree.visits.reshape(-1), tree.total.reshape(-1)
        _, _, visits, total = lax.while_loop(lambda carry: carry[0] >= 0, back, (end.taken, jnp.zeros(()), *flat))
        return _Tree(visits.reshape(tree.visits.shape), total.reshape(tree.total.shape), child)

    tree = lax.fori_loop(
        0,
        number,
        walk,
        _Tree(
            jnp.zeros((number + 2, actions)),
            jnp.zeros((number + 2, actions)),
            jnp.zeros((number + 2, actions, problem.num_outcomes), jnp.int32),
        ),
    )
    visits = tree.visits[0]
    return RootValues(jnp.where(visits > 0, tree.total[0] / jnp.maximum(visits, 1), -jnp.inf), visits)


class _Tree(NamedTuple):
    """Visits and sums of returns [node, action], and the node [node, action, outcome] that each history leads to."""

    visits: Float[Array, "node action"]
    total: Float[Array, "node action"]
    child: Int[Array, "node action outcome"]


class _Walk(NamedTuple):
    """Where a simulation is in the tree, how it came there, and what it earned."""

    parent: Int[Array, ""]
    action: Int[Array, ""]
    outcome: Int[Array, ""]
    node: Int[Array, ""]
    state: Int[Array, ""]
    taken: Int[Array, ""]
    pairs: Int[Array, " step"]
    rewards: Float[Array, " step"]


class _World(NamedTuple):
    """The drawn MDPs, to be simulated."""

    problem: Problem
    cumulative: Float[Array, "draw state action outcome"]
    reward: Float[Array, "state action outcome"]

    def step(self, draw: Array, state: Array, action: Array, uniform: Array) -> tuple[Array, Array, Array]:
        """Return the outcome, the reward and the next state of steps, each in the MDP of its draw."""
        row = self.cumulative[draw, state, action]
        outcome = jnp.sum(row <= uniform[..., None] * row[..., -1:], axis=-1, dtype=jnp.int32)
        successor = self.problem.successor
        following = outcome if successor is None else jnp.asarray(successor)[state, action, outcome]
        return outcome, self.reward[state, action, outcome], following


def _rollouts(
    key: Key[Array, ""], world: _World, rollout: Rollout, depth: int
) -> tuple[Float[Array, "step draw state"], Int[Array, "draw state"]]:
    """Follow the rollout policy from every state in every drawn MDP.

    Rollouts of one MDP share their random numbers, since a simulation uses one of them.

    Returns
    -------
    returns : array [step, draw, state]
        After each number of steps.
    first : int array [draw, state]
        The first action.
    """
    problem, (number, states) = world.problem, world.cumulative.shape[:2]
    available = jnp.asarray(problem.available)
    values = jnp.where(available, rollout.values, -jnp.inf)
    best = values == values.max(-1, keepdims=True)
    # The actions of a state, those that may be taken at random and those that are greedy, each listed first.
    listed = jnp.stack([jnp.argsort(~each, axis=-1) for each in (best, available)])
    choices = jnp.stack([best.sum(-1), available.sum(-1)])
    draw = jnp.arange(number)[:, None]

    def step(carry: tuple[Array, ...], uniform: Array) -> tuple[tuple[Array, ...], tuple[Array, Array]]:
        state, weight, earned = carry
        # One uniform number, used up digit by digit: whether to explore, which action, which outcome.
        explores = uniform < rollout.epsilon
        rest = jnp.where(explores, uniform / rollout.epsilon, (uniform - rollout.epsilon) / (1 - rollout.epsilon))
        kind = explores.astype(jnp.int32)
        scaled = rest * choices[kind, state]
        drawn = jnp.minimum(scaled.astype(jnp.int32), choices[kind, state] - 1)
        action = listed[kind, state, drawn]
        _, reward, following = world.step(draw, state, action, scaled - drawn)
        earned = earned + weight * reward
        weight = weight * problem.discount * jnp.asarray(problem.continuation)[following]
        return (following, weight, earned), (earned, action)

    begin = jnp.broadcast_to(jnp.arange(states, dtype=jnp.int32), (number, states))
    zero, one = jnp.zeros((number, states)), jnp.ones((number, states))
    _, (earned, actions) = lax.scan(step, (begin, one, zero), random.uniform(key, (depth, number, 1)))
    return jnp.concatenate([zero[None], earned]), actions[0].astype(jnp.int32)
