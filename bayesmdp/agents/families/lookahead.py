"""What agents that look ahead from where they are share: at each step they plan for the present state and belief alone.

Such an agent is one function, ``choose(key, belief_state, memory, s) -> action``. It has no policy for states in which
it is not; what discounted regret is computed from is what it last did in each state, and where it has not been the
first action that is available, which is not what it would do. Judge these agents by their rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Key

from bayesmdp.agents.agent import Rules, stay
from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import Belief, make_belief
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["LookaheadState", "belief_of_transitions", "lookahead_rules"]


class LookaheadState(NamedTuple):
    """State of an agent that looks ahead at each step.

    Attributes
    ----------
    belief : pytree
        The belief's own state.
    memory : pytree
        What else the agent learns.
    last : int array [state]
        What it last did in each state.
    """

    belief: Any
    memory: Any
    last: Int[Array, " state"]


def belief_of_transitions(prior: Model, mdp: Any, **options: Any) -> Belief:
    """Make a belief about transitions; rewards must be known.

    Parameters
    ----------
    prior : NumPyro model
    mdp : MDP
    **options
        Of :func:`~bayesmdp.posterior.make_belief`.

    Returns
    -------
    Belief

    Raises
    ------
    ValueError
        If the prior has a site ``reward``: what a reward would teach is not looked ahead to.
    """
    belief = make_belief(prior, mdp, **options)
    if "reward" in dict(belief.dims):
        raise ValueError(
            "agents that look ahead take rewards as known, and the prior has a site 'reward'; make what is paid part "
            "of the outcome, as in bayesmdp.environments.bernoulli_bandit"
        )
    return belief


def lookahead_rules(
    belief: Belief,
    problem: Problem,
    choose: Callable[[Array, Any, Any, Array], Array],
    *,
    memory: Callable[[], Any] = tuple,
    learn: Callable[[Any, Step], Any] = lambda memory, step: memory,
) -> Rules:
    """Return the rules of an agent that plans at each step for where it is.

    Parameters
    ----------
    belief : Belief
    problem : Problem
    choose : callable
        ``choose(key, belief_state, memory, s) -> action``.
    memory : callable
        ``memory()``, what is kept beside the belief, before any experience.
    learn : callable
        ``learn(memory, step) -> memory``.

    Returns
    -------
    Rules
    """

    def init(key: Key[Array, ""]) -> LookaheadState:
        first = jnp.argmax(jnp.asarray(problem.available), axis=-1).astype(jnp.int32)
        return LookaheadState(belief.init(key), memory(), first)

    def act(key: Key[Array, ""], state: LookaheadState, s: Int[Array, ""]) -> Int[Array, ""]:
        return choose(key, state.belief, state.memory, s)

    def observe(key: Key[Array, ""], state: LookaheadState, step: Step) -> LookaheadState:
        return LookaheadState(
            belief.observe(key, state.belief, step),
            learn(state.memory, step),
            state.last.at[step.state].set(step.action.astype(jnp.int32)),
        )

    def ends(uniform: Float[Array, ""], state: LookaheadState, step: Step) -> Bool[Array, ""]:
        # So that regret is that of what was last done.
        return jnp.array(True)

    def report(state: LookaheadState, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        return belief.report(state.belief)

    return Rules(
        init=init,
        begin=stay,
        act=act,
        observe=observe,
        ends=ends,
        policy=lambda state: state.last,
        report=report,
        belief=lambda state: state.belief,
    )
