"""UCRL2: optimism over a confidence set of kernels. Jaksch, Ortner and Auer (2010).

An episode lasts until a pair has been tried as often in it as in all before. At its start the agent plans for the MDP
that has the largest gain among those whose rows are all within a distance of the shares seen, and follows that plan:

    Hoeffding:  sum_s' |p - share| <= sqrt(14 S log(2 A t / delta) / n),
    Bernstein:  |p(s') - share| <= 2 sqrt(share (1 - share) L / n) + 6 L / n,    L = log(6 S A n / delta),

n visits, at least 1, at time t; the second, UCRL2B, is Fruit, Pirotta and Lazaric's (2020). Plans are good to
1 / sqrt(t). Rewards are known here, so they have no interval of their own. The radii are the paper's times `scale`:
with 1 the true MDP is in the set at all times with probability 1 - delta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import Experience, experience
from bayesmdp.agents.families.optimistic import dense_counter
from bayesmdp.agents.families.periods import doubling
from bayesmdp.agents.families.planning import Decision, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.planning import Box, Draws, L1Ball
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem

__all__ = ["bernstein_set", "hoeffding_set", "ucrl2"]


def ucrl2(*, bernstein: bool = False, failure: float = 0.1, scale: float = 1.0) -> Agent:
    """Plan for the best MDP in a confidence set of kernels, L1 balls or boxes (UCRL2, UCRL2B).

    Parameters
    ----------
    bernstein : bool
        Whether the set is of boxes by Bernstein's inequality (UCRL2B).
    failure : float in (0, 1)
        delta, the probability with which the guarantee may fail.
    scale : float
        Scale of the radii; 1 is the paper's.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, rewards outside [0, 1], or a successor table.

    Notes
    -----
    *When.* For the average reward in a table without a prior: the classical optimist, with few options.

    *When not.* At the theory's scale in short runs, where its confidence sets say nothing yet; see `scale`.

    *Cost.* One optimistic plan an episode; episodes double, so that plans are few.

    It reports ``radius``, that of the pair's row in this episode, in L1 norm.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> result = bm.simulate(river, {"UCRL2": bm.agents.ucrl2()}, steps=500, replicates=2)
    >>> float(result["failures"].max())
    0.0
    """
    options = {"failure": number("failure", failure, above=0, below=1), "scale": number("scale", scale, minimum=0)}
    rules, name = (_bernstein, "ucrl2b") if bernstein else (_hoeffding, "ucrl2")
    return Agent(name, rules, dense_counter, options, objectives=("average",))


def hoeffding_set(
    seen: Experience, options: Options
) -> tuple[Float[Array, "state action next_state"], L1Ball, Float[Array, "state action"]]:
    """Return the set of kernels by Hoeffding's inequality.

    Parameters
    ----------
    seen : Experience
    options : mapping
        ``failure`` and ``scale``.

    Returns
    -------
    share : array [state, action, next_state]
        Shares of the next states seen.
    ball : L1Ball
        The set about them.
    radius : array [state, action]
    """
    # scale sqrt(14 S log(2 A t / delta) / n).
    visits, time = jnp.maximum(seen.visits, 1), 1 + seen.visits.sum()
    num_states, num_actions = seen.transition.shape[-1], seen.transition.shape[1]
    logarithm = jnp.log(2 * num_actions * time / options["failure"])
    radius = options["scale"] * jnp.sqrt(14 * num_states * logarithm / visits)
    return _shares(seen.transition, seen.visits), L1Ball(radius), radius


def bernstein_set(
    seen: Experience, options: Options
) -> tuple[Float[Array, "state action next_state"], Box, Float[Array, "state action"]]:
    """Return the set of kernels by Bernstein's inequality.

    Parameters
    ----------
    seen : Experience
    options : mapping
        ``failure`` and ``scale``.

    Returns
    -------
    share : array [state, action, next_state]
        Shares of the next states seen.
    box : Box
        The set about them.
    radius : array [state, action]
        The sums of a row's radii.
    """
    # scale (2 sqrt(share (1 - share) L / n) + 6 L / n), L = log(6 S A n / delta); 1 where a pair was never tried.
    visits, share = jnp.maximum(seen.visits, 1)[..., None], _shares(seen.transition, seen.visits)
    logarithm = jnp.log(6 * share.shape[0] * share.shape[1] * visits / options["failure"])
    radius = 2 * jnp.sqrt(share * (1 - share) * logarithm / visits) + 6 * logarithm / visits
    radius = options["scale"] * jnp.where(seen.visits[..., None] > 0, radius, 1)
    return share, Box(radius), radius.sum(-1)


def _hoeffding(belief: Belief, problem: Problem, options: Options) -> Rules:
    return _rules(belief, problem, options, hoeffding_set)


def _bernstein(belief: Belief, problem: Problem, options: Options) -> Rules:
    return _rules(belief, problem, options, bernstein_set)


def _rules(
    belief: Belief,
    problem: Problem,
    options: Options,
    around: Callable[[Experience, Options], tuple[Array, L1Ball | Box, Array]],
) -> Rules:
    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        # At the start of an episode: the set about what was seen, and the plan for the best in it, good to 1 / sqrt(t).
        seen = experience(belief, state, problem)
        share, near, radius = around(seen, options)
        tolerance = (1 + seen.visits.sum()) ** -0.5
        return Decision(state, Draws(share[None], problem.reward), near, {"radius": radius}, tolerance=tolerance)

    return planning_rules(belief, problem, prepare, doubling())


def _shares(
    transition: Float[Array, "state action next_state"], visits: Float[Array, "state action"]
) -> Float[Array, "state action next_state"]:
    """Return shares of the next states; uniform where a pair was never tried, of which nothing is claimed."""
    return jnp.where(visits[..., None] > 0, transition, 1 / transition.shape[-1])
