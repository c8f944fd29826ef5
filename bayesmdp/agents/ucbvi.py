"""UCBVI: optimistic value iteration in episodes. Azar, Osband and Munos (2017).

Before each episode of H stages, with n tries of each pair and the shares of next states seen, from the last stage on

    Q(s, a) = min(Q_before(s, a), H, r(s, a) + sum_s' share(s') V(s') + b(s, a)),    V(s) = max_a Q(s, a),

Q_before being that of the episode before, and Q = H where a pair was never tried. States know their stage here, so
pairs are of states at a stage and counts are kept for each: where dynamics are the same at all stages the paper adds
these up. The bonus is the paper's Chernoff-Hoeffding one (UCBVI-CH, algorithm 3),

    b = 7 c H L / sqrt(n),    L = log(5 S A T / delta),

S the states at all stages and T the steps there will be, or that of the package ``rlberry``,

    b = min(c / sqrt(n) + H_left / n, H_left),

H_left the stages that are left, which keeps no Q_before. c is `scale`; with 1 the first explores for longer than most
studies last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import experience
from bayesmdp.agents.families.optimistic import counter
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning import greedy
from bayesmdp.planning.operators import next_value
from bayesmdp.posterior import Belief
from bayesmdp.problems.problem import Problem

__all__ = ["ucbvi"]


def ucbvi(
    *, horizon: int, bonus: Literal["hoeffding", "rlberry"] = "hoeffding", scale: float = 1.0, failure: float = 0.05
) -> Agent:
    """Plan optimistically for each episode, with a bonus on every reward (UCBVI).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    bonus : {"hoeffding", "rlberry"}
        The paper's of algorithm 3, or that of the package.
    scale : float
        c, the scale of the bonus; 1 is theirs.
    failure : float in (0, 1)
        delta, the probability with which the guarantee may fail.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, rewards outside [0, 1], or a problem without stages.

    Notes
    -----
    *When.* In episodes of a fixed length on a table, as the standard optimist to compare with.

    *When not.* At the paper's own scale in short runs, where the bonus drowns all; lower `scale`, or take the
    package's bonus.

    *Cost.* One backward induction an episode, over the states of all stages.

    It reports ``bonus``, that of the pair in this episode, and ``capped``, the share of pairs whose Q is H.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.unroll(bm.environments.riverswim(6, discount=None), 20)
    >>> agent = bm.agents.ucbvi(horizon=400, bonus="rlberry")
    >>> bm.simulate(river, {"UCBVI": agent}, steps=400, replicates=2)["period"].max().item()
    20.0
    """
    options = {
        "horizon": integer("horizon", horizon, 1),
        "scale": number("scale", scale, minimum=0),
        "failure": number("failure", failure, above=0, below=1),
    }
    if bonus not in ("hoeffding", "rlberry"):
        raise ValueError(f"bonus must be 'hoeffding' or 'rlberry'; got {bonus!r}")
    rules = _hoeffding if bonus == "hoeffding" else _rlberry
    return Agent("ucbvi", rules, counter, options, {"bonus": bonus}, objectives=("episode",))


class _State(NamedTuple):
    """Counts and the plan of this episode.

    Attributes
    ----------
    belief : pytree
        The counter's state.
    q, bonus : arrays [state, action]
    policy : int array [state]
    period : float
        Episodes begun.
    """

    belief: Any
    q: Float[Array, "state action"]
    bonus: Float[Array, "state action"]
    policy: Int[Array, " state"]
    period: Float[Array, ""]


type Bonus = Callable[[Float[Array, "state action"]], Float[Array, "state action"]]


def _hoeffding(belief: Belief, problem: Problem, options: Options) -> Rules:
    logarithm = jnp.log(5 * problem.available.size * options["horizon"] / options["failure"])

    def bonus(visits: Float[Array, "state action"]) -> Float[Array, "state action"]:
        # b = 7 c H L / sqrt(n).
        return 7 * options["scale"] * problem.horizon * logarithm / jnp.sqrt(jnp.maximum(visits, 1))

    return _rules(belief, problem, bonus, keeps=True)


def _rlberry(belief: Belief, problem: Problem, options: Options) -> Rules:
    left = jnp.maximum(problem.horizon - problem.stage, 0)[:, None].astype(float)

    def bonus(visits: Float[Array, "state action"]) -> Float[Array, "state action"]:
        # b = min(c / sqrt(n) + H_left / n, H_left).
        tried = jnp.maximum(visits, 1)
        return jnp.minimum(options["scale"] / jnp.sqrt(tried) + left / tried, left)

    return _rules(belief, problem, bonus, keeps=False)


def _rules(belief: Belief, problem: Problem, bonus: Bonus, *, keeps: bool) -> Rules:
    most = jnp.asarray(problem.horizon, float)
    live = problem.available & (problem.continuation > 0)[:, None]

    def begin(key: Key[Array, ""], state: _State) -> _State:
        seen = experience(belief, state.belief, problem)
        added = bonus(seen.visits)
        cap = jnp.minimum(state.q, most) if keeps else most

        def earlier(
            _: Array, carry: tuple[Float[Array, " state"], Float[Array, "state action"]]
        ) -> tuple[Float[Array, " state"], Float[Array, "state action"]]:
            future = next_value(problem, carry[0])
            # Q = min(Q_before, H, r + sum_s' share V + b), and H where a pair was never tried.
            q = jnp.minimum(cap, seen.reward + (seen.transition * future).sum(-1) + added)
            q = jnp.where(live, jnp.where(seen.visits > 0, q, most), 0)
            return greedy(problem, q)[1], q

        nothing = jnp.zeros(problem.num_states), jnp.zeros(problem.available.shape)
        _, q = lax.fori_loop(0, problem.horizon, earlier, nothing)
        return state._replace(q=q, bonus=added, policy=greedy(problem, q)[0], period=state.period + 1)

    def report(state: _State, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        capped = jnp.mean(state.q >= most, where=live)
        return {"bonus": state.bonus[s, a], "capped": capped, "period": state.period}

    pairs = problem.available.shape
    return Rules(
        init=lambda key: _State(
            belief=belief.init(key),
            q=jnp.full(pairs, most),
            bonus=jnp.zeros(pairs),
            policy=jnp.zeros(pairs[0], jnp.int32),
            period=jnp.zeros(()),
        ),
        begin=begin,
        act=lambda key, state, s: state.policy[s],
        observe=lambda key, state, step: state._replace(belief=belief.observe(key, state.belief, step)),
        ends=lambda uniform, state, step: step.last,
        policy=lambda state: state.policy,
        report=report,
        belief=lambda state: state.belief,
    )
