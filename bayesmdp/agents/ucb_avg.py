"""UCB-AVG: Q-learning by discounting, with learnt bounds on how much states differ. After Zhang and Xie (2023).

One of the two ideas of theirs is here: values are confined by *learnt bounds on differences of values*. The algorithm
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
    """UCB-AVG, reconstructed.

    Parameters
    ----------
    horizon : int
        T, the number of steps it will take.
    span : float
        sp(v*), or an upper bound: ``bm.solve(mdp).attrs["span"]``.
    scale : float
        c. 4 is Wei et al.'s; what does well within 10^5 steps is far smaller.
    width : float
        k.
    failure : float in (0, 1)
        delta.
    effective_horizon : float, at least 2, optional
        H; T^(1/3) by default.

    Notes
    -----
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
    """What is kept.

    Attributes
    ----------
    tries, q, least : arrays [state, action]
        Tries, Q and U.
    value : array [state]
        V.
    time, earned : float
        Steps taken and rewards so far.
    opened, before : arrays [state, next_state]
        Those when the passage started; `opened` is -1 where none has.
    passages, length, reward : arrays [state, next_state]
        n, t and R.
    """

    tries: Array
    q: Array
    least: Array
    value: Array
    time: Array
    earned: Array
    opened: Array
    before: Array
    passages: Array
    length: Array
    reward: Array


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    pairs, states = problem.available.shape, jnp.arange(problem.num_states)
    horizon = options["effective_horizon"]
    gamma, logarithm = 1 - 1 / horizon, jnp.log(2 * options["horizon"] / options["failure"])
    reward = problem.reward[..., 0]

    def bonus(tries: Array) -> Array:
        return options["scale"] * options["span"] * jnp.sqrt(horizon * logarithm / tries)

    def bounds(state: _State) -> Array:
        """D [state, other state]."""
        length, earned, number = state.length, state.reward, jnp.maximum(state.passages, 1)
        there_and_back = (earned + earned.T) / jnp.maximum(length + length.T, 1)
        rho = jnp.maximum(jnp.max(state.value) / horizon, jnp.max(there_and_back))
        margin = options["width"] * options["span"] * jnp.sqrt(2 * length * logarithm)
        most = 2 * options["span"]
        cost = jnp.where(state.passages > 0, jnp.minimum((rho * length - earned + margin) / number, most), most)
        return jnp.where(jnp.eye(len(states), dtype=bool), 0, cost.T)

    def init(key: Array) -> _State:
        full, none, between = jnp.full(pairs, horizon, float), jnp.zeros(pairs), jnp.zeros((len(states), len(states)))
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

    def passed(state: _State, step: Step) -> _State:
        """With the passages that start at the step's state and end at its next state."""
        s, t = step.state, step.next_state
        starts = state.opened[s] < 0
        opened = state.opened.at[s].set(jnp.where(starts, state.time, state.opened[s]))
        before = state.before.at[s].set(jnp.where(starts, state.earned, state.before[s]))
        time, earned = state.time + 1, state.earned + reward[s, step.action]
        ended = (opened[:, t] >= 0) & (states != t)
        return state._replace(
            time=time,
            earned=earned,
            opened=opened.at[:, t].set(-1),
            before=before,
            passages=state.passages.at[:, t].add(ended),
            length=state.length.at[:, t].add(jnp.where(ended, time - opened[:, t], 0)),
            reward=state.reward.at[:, t].add(jnp.where(ended, earned - before[:, t], 0)),
        )

    def learnt(state: _State, step: Step) -> _State:
        """With the pair's update."""
        s, a = step.state, step.action
        tries = state.tries[s, a] + 1
        rate = (horizon + 1) / (horizon + tries)
        aim = reward[s, a] + gamma * state.value[step.next_state] + bonus(tries)
        q = (1 - rate) * state.q[s, a] + rate * aim
        return state._replace(
            tries=state.tries.at[s, a].set(tries),
            q=state.q.at[s, a].set(q),
            least=state.least.at[s, a].min(q),
        )

    def observe(key: Array, state: _State, step: Step) -> _State:
        state = learnt(passed(state, step), step)
        most = greedy(problem, state.least)[1]
        value = jnp.minimum(state.value, most)
        near = jnp.min(value + bounds(state._replace(value=value)), axis=-1)
        return state._replace(value=jnp.minimum(value, jnp.maximum(near, jnp.min(most))))

    def report(state: _State, s: Array, a: Array) -> dict[str, Array]:
        return {
            "bonus": bonus(state.tries[s, a] + 1),
            "span": jnp.max(state.value) - jnp.min(state.value),
            "bound": jnp.mean(bounds(state)),
        }

    return Rules(
        init=init,
        begin=stay,
        act=lambda key, state, s: best_action(problem.available[s], state.least[s]),
        observe=observe,
        ends=never,
        policy=lambda state: greedy(problem, state.least)[0],
        report=report,
        belief=lambda state: (),
    )
