"""KL-UCRL: optimism over balls of Kullback-Leibler divergence. Filippi, Cappe and Garivier (2010).

It is UCRL2 with another set. At the start of an episode (see :mod:`~bayesmdp.agents.ucrl2`) the agent plans for the MDP
that has the largest gain among those with

    KL(share, p) <= C / n,    C = S (B + log(G) (1 + 1 / G)),
    B = log(2 e S^2 A log(T) / delta),    G = B + 1 / log(T),

n visits, at least 1, and T the number of steps. Such a set holds no kernel that makes impossible what was seen, and
bends with the plan: a state that was never reached gets probability only if it is worth it. Rewards are known here, so
they have no interval of their own. C is that of the paper's proofs as we remember them, and as the code that Bourel,
Maillard and Talebi compare UCRL3 with has it, there with the time so far in the place of T. `scale` multiplies it.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import experience
from bayesmdp.agents.families.optimistic import dense_counter
from bayesmdp.agents.families.periods import doubling
from bayesmdp.agents.families.planning import Decision, planning_rules
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning import Draws, KLBall
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem

__all__ = ["kl_ucrl"]


def kl_ucrl(*, horizon: int, failure: float = 0.05, scale: float = 1.0) -> Agent:
    """Plan for the best MDP in balls of Kullback-Leibler divergence about the shares seen (KL-UCRL).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    failure : float in (0, 1)
        delta, the probability with which the guarantee may fail.
    scale : float
        Scale of C; 1 is the paper's.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, rewards outside [0, 1], or a successor table.

    Notes
    -----
    *When.* For the average reward in a table without a prior, where rows have few outcomes: its balls say that what
    was seen is possible, and hold more tightly than UCRL2's.

    *When not.* At the theory's scale in short runs, where its sets say little yet; see `scale`.

    *Cost.* One optimistic plan an episode, whose rows are found by halving; episodes double, so that plans are few.

    It reports ``radius``, C / n of the pair in this episode.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> result = bm.simulate(river, {"KL-UCRL": bm.agents.kl_ucrl(horizon=500)}, steps=500, replicates=2)
    >>> float(result["failures"].max())
    0.0
    """
    options = {
        "horizon": integer("horizon", horizon, 3),
        "failure": number("failure", failure, above=0, below=1),
        "scale": number("scale", scale, minimum=0),
    }
    return Agent("kl-ucrl", _rules, dense_counter, options, objectives=("average",))


def _rules(belief: Belief, problem: Problem, options: Options) -> Rules:
    num_states, num_actions = problem.available.shape
    logarithm = jnp.log(jnp.asarray(options["horizon"], float))
    # C = S (B + log(G) (1 + 1 / G)).
    bound = jnp.log(2 * jnp.e * num_states**2 * num_actions * logarithm / options["failure"])
    wider = bound + 1 / logarithm
    constant = options["scale"] * num_states * (bound + jnp.log(wider) * (1 + 1 / wider))

    def prepare(key: Key[Array, ""], state: Any, period: Float[Array, ""]) -> Decision:
        # At the start of an episode: the set about what was seen, and the plan for the best in it, good to 1 / sqrt(t).
        seen = experience(belief, state, problem)
        # Of a pair that was never tried nothing is claimed: about a uniform row the ball is as wide as after one try.
        share = jnp.where(seen.visits[..., None] > 0, seen.transition, 1 / num_states)
        radius = constant / jnp.maximum(seen.visits, 1)
        tolerance = (1 + seen.visits.sum()) ** -0.5
        return Decision(
            state, Draws(share[None], problem.reward), KLBall(radius), {"radius": radius}, tolerance=tolerance
        )

    return planning_rules(belief, problem, prepare, doubling())
