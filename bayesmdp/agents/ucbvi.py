"""UCBVI: optimistic value iteration in episodes. Azar, Osband and Munos (2017).

Before each episode of H stages, with n tries of each pair and the shares of next states seen, from the last stage on

    Q(s, a) = min(Q_before(s, a), H, r(s, a) + sum_s' share(s') V(s') + b(s, a)),    V(s) = max_a Q(s, a),

Q_before being that of the episode before, and Q = H where a pair was never tried. States know their stage here, so
pairs are of states at a stage and counts are kept for each; with `pooled` they are added up over stages, as in the
paper, whose dynamics are the same at all of them, and S below is the number of states of one stage. The bonus is the
paper's Chernoff-Hoeffding one (UCBVI-CH, algorithm 3),

    b = 7 c H L / sqrt(n),    L = log(5 S A T / delta),

S the states at all stages (without `pooled`) and T the steps there will be, or that of the package ``rlberry``,

    b = min(c / sqrt(n) + H_left / n, H_left),

H_left the stages that are left, which keeps no Q_before. c is `scale`; with 1 the first explores for longer than most
studies last.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int, Key
from numpy.typing import NDArray

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.empirical_mdp import Experience, experience
from bayesmdp.agents.families.optimistic import counter
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning import expected_reward, greedy
from bayesmdp.planning.operators import next_value
from bayesmdp.posterior import Belief
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.problem import Problem

__all__ = ["ucbvi"]


def ucbvi(
    *,
    horizon: int,
    bonus: Literal["hoeffding", "rlberry"] = "hoeffding",
    pooled: bool = False,
    scale: float = 1.0,
    failure: float = 0.05,
) -> Agent:
    """Plan optimistically for each episode, with a bonus on every reward (UCBVI).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    bonus : {"hoeffding", "rlberry"}
        The paper's of algorithm 3, or that of the package.
    pooled : bool
        Add up what was seen at all stages: for problems that :func:`~bayesmdp.problems.unroll.unroll` made of one whose
        dynamics are the same at all of them.
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
        For options out of range, rewards outside [0, 1], or a problem without stages; with `pooled` also for one whose
        stages are not alike.

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
    rules = (_hoeffding if bonus == "hoeffding" else _rlberry)[bool(pooled)]
    static = {"bonus": bonus, "pooled": bool(pooled)}
    return Agent("ucbvi", rules, _pooled_counter if pooled else counter, options, static, objectives=("episode",))


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


def _pooled_counter(mdp: MDP) -> Belief:
    """The counter, for problems whose stages are alike: the same states, actions, rewards and next states at each."""
    belief = counter(mdp)
    if mdp.stage is None:
        return belief  # which is refused for its objective
    stages = int(mdp.stage.max())
    size = (mdp.num_states - 1) // stages
    laid = mdp.num_states == stages * size + 1 and mdp.successor is not None
    if laid and (mdp.stage == np.append(np.repeat(np.arange(stages), size), stages)).all():
        alike = (_by_stage(array, stages, size) for array in (mdp.available, mdp.terminal, np.asarray(mdp.reward)))
        following = _by_stage(np.asarray(mdp.successor), stages, size)[:-1]
        inside = np.where(following < stages * size, following - size * np.arange(1, stages)[:, None, None, None], -1)
        if all((part == part[0]).all() for part in (*alike, inside)):
            return belief
    raise ValueError(f"the stages of {mdp.name} are not alike: pooled=True is for what bm.unroll makes of an MDP")


def _by_stage(array: NDArray[Any], stages: int, size: int) -> NDArray[Any]:
    """Of the states at stages [stage, state, ...], without the end."""
    return array[: stages * size].reshape(stages, size, *array.shape[1:])


def _pool(seen: Experience, problem: Problem) -> Experience:
    """What was seen of a pair at all stages together, told at each."""
    stage = jnp.asarray(problem.stage)
    place = jnp.arange(problem.num_states) - stage * (stage == 0).sum()  # of the state among those of its stage
    counts = seen.transition * seen.visits[..., None]
    counts = jax.ops.segment_sum(counts, place, problem.num_states)[place]
    visits = counts.sum(-1)
    transition = counts / jnp.maximum(visits, 1)[..., None]
    return Experience(visits, transition, expected_reward(transition, problem.reward)[..., 0])


def _hoeffding_rules(belief: Belief, problem: Problem, options: Options, pooled: bool) -> Rules:
    states = (problem.stage == 0).sum() if pooled else problem.num_states  # type: ignore[union-attr]
    logarithm = jnp.log(5 * states * problem.num_actions * options["horizon"] / options["failure"])

    def bonus(visits: Float[Array, "state action"]) -> Float[Array, "state action"]:
        # b = 7 c H L / sqrt(n).
        return 7 * options["scale"] * problem.horizon * logarithm / jnp.sqrt(jnp.maximum(visits, 1))

    return _rules(belief, problem, bonus, keeps=True, pooled=pooled)


def _rlberry_rules(belief: Belief, problem: Problem, options: Options, pooled: bool) -> Rules:
    left = jnp.maximum(problem.horizon - problem.stage, 0)[:, None].astype(float)

    def bonus(visits: Float[Array, "state action"]) -> Float[Array, "state action"]:
        # b = min(c / sqrt(n) + H_left / n, H_left).
        tried = jnp.maximum(visits, 1)
        return jnp.minimum(options["scale"] / jnp.sqrt(tried) + left / tried, left)

    return _rules(belief, problem, bonus, keeps=False, pooled=pooled)


# By whether counts are pooled; named once, so that equal agents share a program.
_hoeffding = partial(_hoeffding_rules, pooled=False), partial(_hoeffding_rules, pooled=True)
_rlberry = partial(_rlberry_rules, pooled=False), partial(_rlberry_rules, pooled=True)


def _rules(belief: Belief, problem: Problem, bonus: Bonus, *, keeps: bool, pooled: bool) -> Rules:
    most = jnp.asarray(problem.horizon, float)
    live = problem.available & (problem.continuation > 0)[:, None]

    def begin(key: Key[Array, ""], state: _State) -> _State:
        seen = experience(belief, state.belief, problem)
        seen = _pool(seen, problem) if pooled else seen
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
