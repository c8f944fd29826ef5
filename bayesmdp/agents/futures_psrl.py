"""Posterior sampling on a space of numbers that fits no Q: each step looks ahead in the model that was drawn.

At the start of each pseudo-episode models are drawn from the posterior, as `fitted_psrl` does. In each state sequences
of actions are then tried in them to some depth, improved by the cross-entropy method, and the first action of the best
one is taken (:mod:`~bayesmdp.planning.futures_policy`). With one draw that is posterior sampling; with more, whose
returns are averaged, the planner of PETS (Chua et al., 2018), where the draws take the place of an ensemble's networks.

The random numbers of sequences and futures are drawn with the models, so that within a pseudo-episode the policy is a
function of the state. That is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, random
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.periods import ends_with_episodes
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning.futures_policy import Futures, best_first
from bayesmdp.planning.risk import Mean
from bayesmdp.posterior import Belief
from bayesmdp.posterior.beliefs.make_belief import bare_model
from bayesmdp.posterior.beliefs.primitives import recorded_belief
from bayesmdp.problems.simulated_problem import SimulatedProblem
from bayesmdp.problems.world import Step

if TYPE_CHECKING:
    from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["futures_psrl"]


def futures_psrl(
    prior: Model,
    *,
    depth: int = 25,
    sequences: int = 64,
    rounds: int = 4,
    samples: int = 1,
    num_draws: int = 1,
    room: int = 5_000,
) -> Agent:
    """Plan in each step, by sampled futures in models drawn from the posterior (PSRL; PETS with several draws).

    Parameters
    ----------
    prior : NumPyro model of `Records`
        What is unknown, and the simulator; see :mod:`bayesmdp.model_reading.records`.
    depth : int
        Steps that are looked ahead; what comes after counts for nothing.
    sequences, rounds : int
        Sequences of actions in each round of the cross-entropy method, and rounds.
    samples : int
        Futures of a sequence under each draw; one is enough where steps have little noise.
    num_draws : int
        Models of a pseudo-episode, whose returns are averaged.
    room : int
        Steps there is room for, where the posterior has no closed form and is followed by particles.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* Where states are numbers, what an action brings shows within the depth, and a fit of Q over the whole box
    of states would be coarse: a pendulum is swung up within a few episodes (study ``control-learning``).

    *When not.* Where rewards are farther away than it looks, as on the mountain car, or steps must be quick.

    *Cost.* ``depth x sequences x rounds x samples x num_draws`` simulated steps for each step.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> agent = futures_psrl(bm.models.linear_dynamics(room), depth=5, sequences=16, rounds=2)
    >>> result = bm.simulate(room, {"PSRL": agent}, steps=50, replicates=1)
    >>> dict(result.sizes)
    {'agent': 1, 'replicate': 1, 'step': 50, 'coordinate': 1}
    """
    chosen = {
        "depth": integer("depth", depth, 1),
        "sequences": integer("sequences", sequences, 2),
        "rounds": integer("rounds", rounds, 1),
        "samples": integer("samples", samples, 1),
    }
    number, steps = integer("num_draws", num_draws, 1), integer("room", room, 1)

    def make_belief(mdp: SimulatedMDP) -> Belief:
        return recorded_belief(prior, mdp, number, steps)

    return Agent(
        "futures-psrl",
        _FuturesRules(bare_model(prior), Futures(depth, sequences, rounds, samples, seed=0)),
        make_belief,
        static={**chosen, "num_draws": number},
        objectives=("discounted",),
        spaces=("simulated",),
    )


class _State(NamedTuple):
    """The belief's own state; pseudo-episodes begun; the models drawn, and the key that futures are sampled by."""

    belief: Any
    period: Float[Array, ""]
    values: Any
    key: Key[Array, ""]


@dataclass(frozen=True)
class _FuturesRules:
    """The rules function, with what shapes its program: what next states are simulated with, and how many futures."""

    model: Model
    futures: Futures

    def __call__(self, belief: Belief, problem: SimulatedProblem, options: Options) -> Rules:
        del options
        problem = replace(problem, model=self.model)

        def init(key: Key[Array, ""]) -> _State:
            first, other = random.split(key)
            believed = belief.init(first)
            # Models are drawn where a pseudo-episode begins, the first one too.
            values = jax.eval_shape(lambda: belief.draw(random.key(0), believed)[1])
            empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), values)
            return _State(believed, jnp.zeros(()), empty, other)

        def begin(key: Key[Array, ""], state: _State) -> _State:
            draw, futures = random.split(key)
            believed, values = belief.draw(draw, state.belief)
            return _State(believed, state.period + 1, values, futures)

        def chosen(state: _State, s: Float[Array, " coordinate"]) -> Int[Array, ""]:
            return best_first(state.key, problem, state.values, Mean(), s, self.futures)

        def act(key: Key[Array, ""], state: _State, s: Float[Array, " coordinate"]) -> Int[Array, ""]:
            del key
            return chosen(state, s)

        def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
            return state._replace(belief=belief.observe(key, state.belief, step))

        return Rules(
            init=init,
            begin=begin,
            act=act,
            observe=observe,
            ends=ends_with_episodes(problem),
            policy=lambda state: lax.map(lambda s: chosen(state, s), problem.points),
            report=lambda state, s, a: {"period": state.period, **belief.report(state.belief)},
            belief=lambda state: state.belief,
        )
