"""UCB-AVG: Q-learning by discounting, with bounds on how much states can differ. After Zhang and Xie (2023).

Their two ideas are here: values are confined by *learnt bounds on differences of values*, and a *reference* takes most
of the noise out of the updates. The algorithm around them, and every constant, is a reconstruction of ours, made
without the paper's text; it carries no proof, nor their bound of O(S^5 A^2 sp(v*) sqrt(T)). With gamma = 1 - 1 / H and
U = V = Q = H at first, all are optimistic. On the n-th try of a pair, alpha = (H + 1) / (H + n), as in Optimistic
Q-learning,

    Q <- (1 - alpha) Q + alpha (r + gamma V(s') + b_1),            b_1 = c sp(v*) sqrt(H L / n),
    adv <- (1 - alpha) adv + alpha (V(s') - V_ref(s')),            ref <- the mean of all V_ref(s') so far,
    U <- min(U, Q, r + gamma (ref + adv) + b_2),    b_2 = c (sp(v*) sqrt(L / n) + w sqrt(H L / n)),

with L = log(2 T / delta). V_ref(s) is H at first and becomes V(s) once, when s has been visited `reference` times. A
plain update learns from the last n / H tries, hence the H in b_1; ref is a mean over all n, and adv is of differences
that grow small: w = min(sp(v*), a mean at the rate alpha of their absolute deviations from adv).

*Differences.* A passage from s to s' starts at a visit to s, and ends when s' is next reached; then the next may start.
Going from s to s' takes time and earns rewards, so s can be worse than s' by no more than that costs: if n passages
took the time t and earned the rewards R,

    V(s') - V(s) <= D(s', s) = min(2 sp(v*), (rho t - R) / n + c sp(v*) sqrt(2 t L) / n),

rho = (1 - gamma) max V, an upper bound of the gain while V is optimistic. How well the passages were made does not
matter: what they lost only loosens the bound. The last term is Azuma's, for t steps whose values differ by sp(v*).
After each step, a sweep ``V(s) <- min(V(s), max_a U(s, a), min_s' V(s') + D(s, s'))``.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from bayesmdp.agents.base import Agent, Options, Rules, stay
from bayesmdp.agents.optimism import best_action, never, unit_rewards
from bayesmdp.mdp import Array, Problem
from bayesmdp.planning import greedy
from bayesmdp.validation import integer, number
from bayesmdp.world import Step

__all__ = ["ucb_avg"]


def ucb_avg(
    *,
    horizon: int,
    span: float,
    scale: float = 0.01,
    failure: float = 0.1,
    effective_horizon: float | None = None,
    reference: int | None = None,
) -> Agent:
    """UCB-AVG, reconstructed.

    Parameters
    ----------
    horizon : int
        T, the number of steps it will take.
    span : float
        sp(v*), or an upper bound: ``bm.solve(mdp).attrs["span"]``.
    scale : float
        c, of all bonuses and of the width of the bounds.
    failure : float in (0, 1)
        delta.
    effective_horizon : float, at least 2, optional
        H; sqrt(T) by default.
    reference : int, optional
        Visits after which a state's reference is set; sqrt(T) by default.

    Notes
    -----
    It reports ``bonus``, b_1 of the pair's next try; ``span``, that of V; and ``bound``, the mean of D.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6, discount=None)
    >>> agent = bm.agents.ucb_avg(horizon=500, span=6.31)
    >>> result = bm.simulate(river, {"UCB-AVG": agent}, steps=500, replicates=2)
    >>> bool((result["span"] <= 2 * 6.31 + 1e-9).all())
    True
    """
    steps = integer("horizon", horizon, 2)
    root = float(np.sqrt(steps))
    options: dict[str, float] = {
        "horizon": steps,
        "span": number("span", span, above=0),
        "scale": number("scale", scale, minimum=0),
        "failure": number("failure", failure, above=0, below=1),
        "effective_horizon": max(root, 2.0)
        if effective_horizon is None
        else number("effective_horizon", effective_horizon, minimum=2),
        "reference": int(np.ceil(root)) if reference is None else integer("reference", reference, 1),
    }
    return Agent("ucb-avg", _rules, unit_rewards, options, objectives=("average",))


class _State(NamedTuple):
    """What is kept.

    Attributes
    ----------
    tries, q, least : arrays [state, action]
        Tries, Q and U.
    advantage, deviation, average : arrays [state, action]
        adv, the mean absolute deviation from it, and ref.
    value, reference : arrays [state]
        V and V_ref.
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
    advantage: Array
    deviation: Array
    average: Array
    value: Array
    reference: Array
    time: Array
    earned: Array
    opened: Array
    before: Array
    passages: Array
    length: Array
    reward: Array


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    pairs, states = problem.available.shape, jnp.arange(problem.num_states)
    horizon, spread = options["effective_horizon"], options["scale"] * options["span"]
    gamma, logarithm = 1 - 1 / horizon, jnp.log(2 * options["horizon"] / options["failure"])
    reward = problem.reward[..., 0]

    def bonus(tries: Array) -> Array:
        return spread * jnp.sqrt(horizon * logarithm / tries)

    def bounds(state: _State) -> Array:
        """D [state, other]."""
        there_and_back = state.reward + state.reward.T, jnp.maximum(state.length + state.length.T, 1)
        rho = jnp.maximum(jnp.max(state.value) / horizon, jnp.max(there_and_back[0] / there_and_back[1]))
        number = jnp.maximum(state.passages, 1)
        cost = (rho * state.length - state.reward + spread * jnp.sqrt(2 * state.length * logarithm)) / number
        most = 2 * options["span"]
        found = jnp.where(state.passages > 0, jnp.minimum(cost, most), most).T
        return jnp.where(jnp.eye(len(states), dtype=bool), 0, found)

    def init(key: Array) -> _State:
        full, none, between = jnp.full(pairs, horizon, float), jnp.zeros(pairs), jnp.zeros((len(states), len(states)))
        return _State(
            tries=none,
            q=full,
            least=full,
            advantage=none,
            deviation=none,
            average=none,
            value=full[:, 0],
            reference=full[:, 0],
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
        s, a, t = step.state, step.action, step.next_state
        tries = state.tries[s, a] + 1
        rate = (horizon + 1) / (horizon + tries)

        def mixed(array: Array, new: Array) -> Array:
            return (1 - rate) * array[s, a] + rate * new

        ahead = state.value[t] - state.reference[t]
        q = mixed(state.q, reward[s, a] + gamma * state.value[t] + bonus(tries))
        advantage = mixed(state.advantage, ahead)
        deviation = mixed(state.deviation, jnp.abs(ahead - advantage))
        average = state.average[s, a] + (state.reference[t] - state.average[s, a]) / tries
        noise = options["span"] + jnp.minimum(options["span"], deviation) * jnp.sqrt(horizon)
        referred = reward[s, a] + gamma * (average + advantage) + options["scale"] * noise * jnp.sqrt(logarithm / tries)
        return state._replace(
            tries=state.tries.at[s, a].set(tries),
            q=state.q.at[s, a].set(q),
            least=state.least.at[s, a].min(jnp.minimum(q, referred)),
            advantage=state.advantage.at[s, a].set(advantage),
            deviation=state.deviation.at[s, a].set(deviation),
            average=state.average.at[s, a].set(average),
        )

    def observe(key: Array, state: _State, step: Step) -> _State:
        state = learnt(passed(state, step), step)
        most = greedy(problem, state.least)[1]
        value = jnp.minimum(state.value, most)
        near = jnp.min(value + bounds(state._replace(value=value)), axis=-1)
        value = jnp.minimum(value, jnp.maximum(near, jnp.min(most)))
        s = step.state
        due = state.tries[s].sum() == options["reference"]
        reference = state.reference.at[s].set(jnp.where(due, value[s], state.reference[s]))
        return state._replace(value=value, reference=reference)

    def report(state: _State, s: Array, a: Array) -> dict[str, Array]:
        return {
            "bonus": bonus(state.tries[s, a] + 1),
            "span": jnp.max(state.value) - jnp.min(state.value),
            "bound": jnp.mean(bounds(state)),
        }

    return Rules(
        init=init,
        begin=stay,
        act=lambda key, state, s: best_action(problem, state.least[s], s),
        observe=observe,
        ends=never,
        policy=lambda state: greedy(problem, state.least)[0],
        report=report,
        next_task=stay,
        belief=lambda state: (),
    )
