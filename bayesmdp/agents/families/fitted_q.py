"""What agents on spaces of numbers share: draw, plan by fitted Q iteration, act greedily for a pseudo-episode.

An algorithm of this family says how the targets under the draws become one: ``judge(period, options) -> Judge`` (see
:mod:`~bayesmdp.planning.fitted_q`). At the start of each pseudo-episode the draws are made anew and the approximation
of Q is improved from where it was; after each step the pseudo-episode ends with probability 1 - discount, and where an
episode of the problem ends or is cut off, as those of tables with stages do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import random
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.periods import ends_with_episodes
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning.approximations import Approximation, approximation
from bayesmdp.planning.fitted_q import Judge, fitted_q_iteration
from bayesmdp.posterior import Belief
from bayesmdp.posterior.beliefs.make_belief import bare_model
from bayesmdp.posterior.beliefs.primitives import recorded_belief
from bayesmdp.problems.simulated_problem import SimulatedProblem
from bayesmdp.problems.world import Step

if TYPE_CHECKING:
    from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["FittedRules", "FittedState", "fitted_agent", "judged_alone"]


class FittedState(NamedTuple):
    """State of an agent that plans by fitted Q iteration.

    Attributes
    ----------
    belief : pytree
        The belief's own state.
    period : float
        Pseudo-episodes begun so far.
    fit : pytree
        What the approximation of Q is fitted to.
    policy : int array [point]
        The greedy actions at the points of the problem's mesh.
    account : dict of scalars
        What the judge reports.
    """

    belief: Any
    period: Float[Array, ""]
    fit: Any
    policy: Int[Array, " point"]
    account: dict[str, Float[Array, ""]]


@dataclass(frozen=True)
class FittedRules:
    """The rules function of the family, with what shapes its programs.

    Attributes
    ----------
    judge : callable
        ``judge(period, options) -> Judge``; a module-level function.
    model : NumPyro function of `Records`
        What next states are simulated with.
    approximation : Approximation
    iterations, places, samples, averaged : int
        See :func:`~bayesmdp.planning.fitted_q.fitted_q_iteration`.
    """

    judge: Callable[[Array, Options], Judge]
    model: Model
    approximation: Approximation
    iterations: int
    places: int
    samples: int
    averaged: int

    def __call__(self, belief: Belief, problem: SimulatedProblem, options: Options) -> Rules:
        problem = jax.tree.map(jnp.asarray, problem)
        approximate = self.approximation

        def policy_of(fit: Any) -> Int[Array, " point"]:
            q = approximate.value(fit, problem.features(problem.points))
            return jnp.argmax(problem.allowed(q, problem.points), -1).astype(jnp.int32)

        def plan(
            key: Key[Array, ""], period: Float[Array, ""], believed: Any, fit: Any
        ) -> tuple[Any, Any, dict[str, Float[Array, ""]]]:
            draw, simulate = random.split(key)
            believed, values = belief.draw(draw, believed)
            fit, account = fitted_q_iteration(
                simulate,
                problem,
                self.model,
                values,
                fit,
                self.judge(period, options),
                approximation=approximate,
                iterations=self.iterations,
                places=self.places,
                samples=self.samples,
                averaged=self.averaged,
            )
            return believed, fit, account

        def init(key: Key[Array, ""]) -> FittedState:
            first, other = random.split(key)
            believed = belief.init(first)
            features = jax.eval_shape(problem.features, problem.points).shape[-1]
            fit = approximate.init(other, features, problem.num_actions)
            account = jax.eval_shape(lambda: plan(random.key(0), jnp.ones(()), believed, fit)[2])
            empty = {name: jnp.full(leaf.shape, jnp.nan, leaf.dtype) for name, leaf in account.items()}
            return FittedState(believed, jnp.zeros(()), fit, policy_of(fit), empty)

        def begin(key: Key[Array, ""], state: FittedState) -> FittedState:
            period = state.period + 1
            believed, fit, account = plan(key, period, state.belief, state.fit)
            return FittedState(believed, period, fit, policy_of(fit), account)

        def act(key: Key[Array, ""], state: FittedState, s: Float[Array, " coordinate"]) -> Int[Array, ""]:
            del key
            return jnp.argmax(problem.allowed(approximate.value(state.fit, problem.features(s)), s)).astype(jnp.int32)

        def observe(key: Key[Array, ""], state: FittedState, step: Step) -> FittedState:
            return state._replace(belief=belief.observe(key, state.belief, step))

        def report(
            state: FittedState, s: Float[Array, " coordinate"], a: Int[Array, ""]
        ) -> dict[str, Float[Array, ""]]:
            return {**state.account, "period": state.period, **belief.report(state.belief)}

        return Rules(
            init=init,
            begin=begin,
            act=act,
            observe=observe,
            ends=ends_with_episodes(problem),
            policy=lambda state: state.policy,
            report=report,
            belief=lambda state: state.belief,
        )


def fitted_agent(
    algorithm: str,
    prior: Model,
    judge: Callable[[Array, Options], Judge],
    options: dict[str, float],
    *,
    chosen: Mapping[str, str] | None = None,
    num_draws: int,
    by: str | Approximation,
    iterations: int,
    places: int,
    samples: int,
    averaged: int,
    room: int,
) -> Agent:
    """Make an agent of the family.

    Parameters
    ----------
    algorithm : str
        Its name.
    prior : NumPyro model of `Records`
    judge : callable
        ``judge(period, options) -> Judge``; a module-level function.
    options : dict
        Numbers that the judge reads.
    chosen : mapping of str to str, optional
        What else the judge was made with, for the agent's description.
    num_draws : int
        Posterior draws of a plan.
    by : {"neural", "linear"} or Approximation
    iterations, places, samples, averaged : int
        See :func:`~bayesmdp.planning.fitted_q.fitted_q_iteration`.
    room : int
        Steps there is room for, where the posterior is followed by particles.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError, TypeError
        For numbers out of range, or a prior that is no function.
    """
    static = {
        "num_draws": integer("num_draws", num_draws, 1),
        "iterations": integer("iterations", iterations, 1),
        "places": integer("places", places, 1),
        "samples": integer("samples", samples, 1),
    }
    approximate, steps = approximation(by), integer("room", room, 1)
    averaged = integer("averaged", averaged, 1)
    if averaged > iterations:
        raise ValueError(f"averaged is at most the number of iterations, {iterations}; got {averaged}")
    if getattr(approximate, "on_host", False):
        raise ValueError(
            f"{type(approximate).__name__} is fitted between compiled programs, and an agent's loop is one: it is for "
            "plans, bm.planning.FittedQ(...); agents take 'linear', 'double', 'neural' or 'neighbours'"
        )
    if averaged > 1:
        if not getattr(approximate, "averages", False):
            raise ValueError(
                f"averaged is {averaged}, but the mean of fits of {type(approximate).__name__} is none of them; leave "
                "it at 1, or take approximation='linear' or 'double'"
            )
        static["averaged"] = averaged
    simulator = bare_model(prior)

    def make_belief(mdp: SimulatedMDP) -> Belief:
        return recorded_belief(prior, mdp, num_draws, steps)

    return Agent(
        algorithm,
        FittedRules(judge, simulator, approximate, iterations, places, samples, averaged),
        make_belief,
        options,
        {**static, "approximation": repr(approximate), **(chosen or {})},
        objectives=("discounted",),
        spaces=("simulated",),
    )


def judged_alone(period: Float[Array, ""], options: Options) -> Judge:
    """Return the judge that takes the mean of the targets over the draws: with one draw, that draw's.

    Parameters
    ----------
    period : float
        The number of the pseudo-episode, which it does not read.
    options : mapping
        Not read either.

    Returns
    -------
    callable
    """
    return lambda y, anchors, alike: (y.mean(0), {})
