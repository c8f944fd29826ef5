"""What agents that look ahead from where they are share: at each step they plan for the present state and belief alone.

Such an agent is one function, ``worth(key, belief_state, memory, s) -> array [action]``. Of the actions that are worth
the most one is taken at random: where no reward is in sight all are worth the same, and always taking the first would
be to stay for ever where it leads nowhere.

It has no policy for states in which it is not; what discounted regret is computed from is what it last did in each
state, and where it has not been the first action that is available, which is not what it would do. Judge these agents
by their rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import random
from jaxtyping import Bool, Float, Int, Key

from bayesmdp.agents.agent import Rules, stay
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.user_code import model_name
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


def belief_of_transitions(prior: Model, mdp: Any, *, in_closed_form: bool = False, **options: Any) -> Belief:
    """Make a belief about transitions; rewards must be known.

    Parameters
    ----------
    prior : NumPyro model
    mdp : MDP
    in_closed_form : bool
        Whether the agent updates the belief within its tree, which particles are too slow for.
    **options
        Of :func:`~bayesmdp.posterior.make_belief`.

    Returns
    -------
    Belief

    Raises
    ------
    ValueError
        If the prior has a site ``reward``: what a reward would teach is not looked ahead to. If a closed form is asked
        for and there is none.
    """
    belief = make_belief(prior, mdp, **options)
    if "reward" in dict(belief.dims):
        raise ValueError(
            "agents that look ahead take rewards as known, and the prior has a site 'reward'; make what is paid part "
            "of the outcome, as in bayesmdp.environments.bernoulli_bandit"
        )
    if in_closed_form and belief.parameters is None:
        raise ValueError(
            f"the prior {model_name(prior)} has no closed form, and this agent updates its belief in every node of a "
            "tree; use bamcp, which draws from it once a step"
        )
    return belief


def sampled_outcomes(
    key: Key[Array, ""], rows: Float[Array, "action outcome"], number: int
) -> Int[Array, "action branch"]:
    """Draw so many outcomes of each action from its probabilities.

    Parameters
    ----------
    key : key
    rows : array [action, outcome]
    number : int

    Returns
    -------
    int array [action, branch]
    """
    cumulative = jnp.cumsum(rows, -1)
    uniforms = random.uniform(key, (len(rows), number)) * cumulative[:, -1:]
    return (cumulative[:, None, :] <= uniforms[..., None]).sum(-1)


def lookahead_rules(
    belief: Belief,
    problem: Problem,
    worth: Callable[[Array, Any, Any, Array], Array],
    *,
    memory: Callable[[], Any] = tuple,
    learn: Callable[[Any, Step], Any] = lambda memory, step: memory,
) -> Rules:
    """Return the rules of an agent that plans at each step for where it is.

    Parameters
    ----------
    belief : Belief
    problem : Problem
    worth : callable
        ``worth(key, belief_state, memory, s) -> array [action]``, -inf where an action is not available.
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
        look_key, tie_key = random.split(key)
        q = worth(look_key, state.belief, state.memory, s)
        return jnp.argmax(jnp.where(q == q.max(), random.uniform(tie_key, q.shape), -1)).astype(jnp.int32)

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
