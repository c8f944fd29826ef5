"""UCB-AVG: Q-learning by discounting, with learnt bounds on how much states differ. After Zhang and Xie (2023).

One of the paper's two ideas is here: values are confined by *learnt bounds on differences of values*. The algorithm
around it, and every constant, is our reconstruction, made without the paper's text; it carries no proof, nor their
bound on regret, O(S^5 A^2 sp(v*) sqrt(T)). The other idea, a frozen reference value whose part of the update is
averaged over all visits, is left out: as we could reconstruct it, it gained nothing within 10^5 steps, and could lose.

Q-learning is Optimistic Q-learning's (Wei et al., 2020). With gamma = 1 - 1 / H and U = V = Q = H at first, and on the
n-th try of a pair alpha = (H + 1) / (H + n),

    Q <- (1 - alpha) Q + alpha (r + gamma V(s') + b),    b = c sp(v*) sqrt(H L / n),    U <- min(U, Q),

L = log(2 T / delta), and actions are greedy in U.

*Differences.* A passage from s to s' starts at a visit to s, and ends when s' is next reached; then the next may start.
Going from s to s' takes time and earns rewards, so s can be worse than s' by no more than that costs: if n passages
took the time t and earned the rewards R,

    V(s') - V(s) <= D(s', s) = min(2 sp(v*), (rho t - R) / n + k sp(v*) sqrt(2 t L) / n),

for any rho that is no less than the gain. How well the passages were made does not matter: what they lost only loosens
the bound. The last term with k = 1 is Azuma's, for t steps whose values differ by sp(v*), and 2 sp(v*) is what the span
of the discounted problem's value may be. After each step

    V(s) <- min(V(s), max_a U(s, a), max(min_s' V(s') + D(s, s'), min_s' max_a U(s', a))):

bounds say how values differ, not how large they are, so they put none below the least that the updates gave. rho is
(1 - gamma) max V, which is above the gain while V is optimistic, or what some pair of states earned a step on all
passages there and back, if that is more; without this a V that falls too low would tighten its own bounds for ever.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules, stay
from bayesmdp.agents.families.optimistic import best_action, bonus_options, never, unit_rewards
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import number
from bayesmdp.planning import greedy
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step

__all__ = ["ucb_avg"]


def ucb_avg(
    *,
    horizon: int,
    span: float,
    scale: float = 0.003,
    width: float = 0.3,
    failure: float = 0.1,
    effective_horizon: float | None = None,
) -> Agent:
    """Learn Q step by step, with values that differ by no more than passages between states cost (UCB-AVG).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    span : float
        sp(v*), the span of the bias, or an upper bound: ``bm.solve(mdp).attrs["span"]``.
    scale : float
        c, the scale of the bonus. 4 is Wei et al.'s; what does well within 10^5 steps is far smaller.
    width : float
        k, the scale of the margin in the bound on differences.
    failure : float in (0, 1)
        delta, the probability with which the guarantee may fail.
    effective_horizon : float, at least 2, optional
        H = 1 / (1 - gamma), in steps; T^(1/3) by default.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, or rewards outside [0, 1].

    Notes
    -----
    *When.* To see what learnt bounds on differences of values do for Q-learning.

    *When not.* As a reference for the paper it is named after: it is our reconstruction of one of its two ideas.

    *Cost.* Of order states squared in each step.

    Not the paper's algorithm but a part of it: the reference value of its reference-advantage decomposition, from which
    its bound on regret comes, is absent (the paper's text could not be had), and so is any guarantee. Results are those
    of a rival in its spirit, and say nothing against theirs.

    It reports ``bonus``, b of the pair's next try; ``span``, that of V; and ``bound``, the mean of D.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> agent = bm.agents.ucb_avg(horizon=500, span=6.31)
    >>> result = bm.simulate(river, {"UCB-AVG": agent}, steps=500, replicates=2)
    >>> bool((result["span"] <= 2 * 6.31 + 1e-9).all())
    True
    """
    options = bonus_options(horizon, span, scale, failure) | {
        "width": number("width", width, minimum=0),
        "effective_horizon": max(float(horizon ** (1 / 3)), 2.0)
        if effective_horizon is None
        else number("effective_horizon", effective_horizon, minimum=2),
    }
    return Agent("ucb-avg", _rules, unit_rewards, options, objectives=("average",))


class _State(NamedTuple):
    """Tries and values of pairs, values of states, and passages between states.

    Attributes
    ----------
    tries, q, least : arrays [state, action]
        n, Q and U.
    value : array [state]
        V.
    time, earned : float
        Steps taken and rewards so far.
    opened, before : arrays [state, next_state]
        `time` and `earned` when the passage started; `opened` is -1 where none has.
    passages, length, reward : arrays [state, next_state]
        Passages that ended, their times t and their rewards R.
    """

    tries: Float[Array, "state action"]
    q: Float[Array, "state action"]
    least: Float[Array, "state action"]
    value: Float[Array, " state"]
    time: Float[Array, ""]
    earned: Float[Array, ""]
    opened: Float[Array, "state next_state"]
    before: Float[Array, "state next_state"]
    passages: Float[Array, "state next_state"]
    length: Float[Array, "state next_state"]
    reward: Float[Array, "state next_state"]


class _Setting(NamedTuple):
    """What stays the same through a run: what is known of the problem, and numbers of the algorithm.

    Attributes
    ----------
    problem : Problem
    reward : array [state, action]
    horizon, gamma : float
        H, and 1 - 1 / H.
    logarithm : float
        L.
    scale, span, width : float
        c, sp(v*) and k.
    """

    problem: Problem
    reward: Float[Array, "state action"]
    horizon: Array
    gamma: Array
    logarithm: Array
    scale: Array
    span: Array
    width: Array


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    horizon = options["effective_horizon"]
    setting = _Setting(
        problem=problem,
        reward=problem.reward[..., 0],
        horizon=horizon,
        gamma=1 - 1 / horizon,
        logarithm=jnp.log(2 * options["horizon"] / options["failure"]),
        scale=options["scale"],
        span=options["span"],
        width=options["width"],
    )

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        state = _updated(setting, _with_passages(setting, state, step), step)
        # V(s) <- min(V(s), max_a U(s, a), max(min_s' V(s') + D(s, s'), min_s' max_a U(s', a))).
        most = greedy(problem, state.least)[1]
        value = jnp.minimum(state.value, most)
        near = jnp.min(value + _differences(setting, state._replace(value=value)), axis=-1)
        return state._replace(value=jnp.minimum(value, jnp.maximum(near, jnp.min(most))))

    def report(state: _State, s: Int[Array, ""], a: Int[Array, ""]) -> dict[str, Float[Array, ""]]:
        return {
            "bonus": _bonus(setting, state.tries[s, a] + 1),
            "span": jnp.max(state.value) - jnp.min(state.value),
            "bound": jnp.mean(_differences(setting, state)),
        }

    return Rules(
        init=lambda key: _before_the_first_step(setting),
        begin=stay,
        act=lambda key, state, s: best_action(problem.available[s], state.least[s]),
        observe=observe,
        ends=never,
        policy=lambda state: greedy(problem, state.least)[0],
        report=report,
        belief=lambda state: (),
    )


def _before_the_first_step(setting: _Setting) -> _State:
    """Return Q = U = V = H, without a passage that has started."""
    num_states, pairs = setting.problem.num_states, setting.problem.available.shape
    full, none = jnp.full(pairs, setting.horizon, float), jnp.zeros(pairs)
    between = jnp.zeros((num_states, num_states))
    return _State(
        tries=none,
        q=full,
        least=full,
        value=full[:, 0],
        time=jnp.zeros(()),
        earned=jnp.zeros(()),
        opened=between - 1,
        before=between,
        passages=between,
        length=between,
        reward=between,
    )


def _bonus(setting: _Setting, tries: Float[Array, ""]) -> Float[Array, ""]:
    """Return the bonus of a try, b = c sp(v*) sqrt(H L / n)."""
    return setting.scale * setting.span * jnp.sqrt(setting.horizon * setting.logarithm / tries)


def _differences(setting: _Setting, state: _State) -> Float[Array, "state other_state"]:
    """Return D, the most that V(s) may exceed V(s') by: min(2 sp(v*), (rho t - R + k sp(v*) sqrt(2 t L)) / n)."""
    length, earned, number = state.length, state.reward, jnp.maximum(state.passages, 1)
    # rho = max((1 - gamma) max V, the rewards a step of the passages between two states, there and back).
    there_and_back = (earned + earned.T) / jnp.maximum(length + length.T, 1)
    rho = jnp.maximum(jnp.max(state.value) / setting.horizon, jnp.max(there_and_back))
    margin = setting.width * setting.span * jnp.sqrt(2 * length * setting.logarithm)
    most = 2 * setting.span
    cost = jnp.where(state.passages > 0, jnp.minimum((rho * length - earned + margin) / number, most), most)
    # A passage from s' to s bounds V(s) - V(s').
    return jnp.where(jnp.eye(len(length), dtype=bool), 0, cost.T)


def _with_passages(setting: _Setting, state: _State, step: Step) -> _State:
    """Start the passages from the step's state that none is under way of, and end those to its next state."""
    s, t = step.state, step.next_state
    starts = state.opened[s] < 0
    opened = state.opened.at[s].set(jnp.where(starts, state.time, state.opened[s]))
    before = state.before.at[s].set(jnp.where(starts, state.earned, state.before[s]))
    time, earned = state.time + 1, state.earned + setting.reward[s, step.action]
    ended = (opened[:, t] >= 0) & (jnp.arange(len(opened)) != t)
    return state._replace(
        time=time,
        earned=earned,
        opened=opened.at[:, t].set(-1),
        before=before,
        passages=state.passages.at[:, t].add(ended),
        length=state.length.at[:, t].add(jnp.where(ended, time - opened[:, t], 0)),
        reward=state.reward.at[:, t].add(jnp.where(ended, earned - before[:, t], 0)),
    )


def _updated(setting: _Setting, state: _State, step: Step) -> _State:
    """Update the step's pair: Q <- (1 - alpha) Q + alpha (r + gamma V(s') + b), U <- min(U, Q)."""
    s, a = step.state, step.action
    tries = state.tries[s, a] + 1
    # alpha = (H + 1) / (H + n).
    rate = (setting.horizon + 1) / (setting.horizon + tries)
    target = setting.reward[s, a] + setting.gamma * state.value[step.next_state] + _bonus(setting, tries)
    q = (1 - rate) * state.q[s, a] + rate * target
    return state._replace(
        tries=state.tries.at[s, a].set(tries),
        q=state.q.at[s, a].set(q),
        least=state.least.at[s, a].min(q),
    )
