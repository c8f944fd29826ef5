"""MDP-OOMD: average reward of an ergodic MDP by mirror descent. Wei et al. (2020), Algorithms 2 and 3.

In each state a bandit algorithm chooses among the actions, and is told how good each of them was. An episode is B steps
with one policy pi_k, uniform at first. At its end the worth of pairs is estimated, state by state: walk through the
episode to N steps before its last; at a visit to s, at tau, take the sum R of the N rewards from tau on, and look for
the next visit from tau + 2 N on. Each visit gives

    y(a) = R / pi_k(a | s) 1[a_tau = a],    beta_k(s, .) = the mean of the y,    0 where there is none,

and because N steps mix, E y(a) is about q(s, a) + N J. Then, with the log barrier, optimistic mirror descent,

    pi'_{k+1} = argmax_pi <pi, beta_k> - D(pi, pi'_k),    pi_{k+1} = argmax_pi <pi, beta_k> - D(pi, pi'_{k+1}),

D the Bregman divergence of ``(1 / eta) sum_a log(1 / pi(a))``. Either argmax is, lambda making it sum to 1,

    1 / pi(a) = 1 / pi'(a) - eta beta(a) + lambda.

The paper chooses, with t_mix the mixing time and rho the hitting time (the largest 1 / stationary probability, under
any policy),

    N = 4 t_mix log2 T,    B = 16 rho t_mix (log2 T)^2,    eta = min(sqrt(t_mix / (rho T)), 1 / (270 (N + 1))),

for regret of O(sqrt(t_mix^3 rho A T)). For T up to 10^5 B is most of T or more, and eta too small to be noticed, so all
three can be set. Reconstructed from the paper's outline. Ours: rewards are known, and R is the sum of their means;
unavailable actions have probability 0; the last episode may be cut short.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Bool, Float, Int, Key, Num

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.optimistic import unit_rewards
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.planning import greedy
from bayesmdp.problems.problem import Problem
from bayesmdp.problems.world import Step, invert

__all__ = ["mdp_oomd", "mirror_step"]

NEWTON_STEPS = 100
"""Of Newton's method, whose x doubles a step at first, to at most the number of actions, and then converges fast."""


def mdp_oomd(
    *,
    horizon: int,
    mixing: float,
    hitting: float,
    window: int | None = None,
    episode: int | None = None,
    rate: float | None = None,
) -> Agent:
    """Improve the policy by optimistic mirror descent on estimates of Q (MDP-OOMD).

    Parameters
    ----------
    horizon : int
        T, the number of steps that the agent will take.
    mixing : float
        t_mix, the mixing time, in steps.
    hitting : float
        rho, the hitting time, in steps.
    window : int, optional
        N, in steps: what is left for the chain to mix; the paper's by default, as for `episode` and `rate`.
    episode : int, more than `window`, optional
        B, the steps of an episode.
    rate : float, optional
        eta, the rate of mirror descent.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range, or rewards outside [0, 1].

    Notes
    -----
    *When.* In a comparison of mirror descent, where every policy reaches every state soon.

    *When not.* Where some state is seldom reached: what is never visited is never improved.

    *Cost.* A few numbers a step, one pass over the episode at its end.

    It reports ``probability``, pi(a | s) of what was done, and ``samples``, how many visits the last estimates of the
    state were made from.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> mdp = bm.environments.random_linear_mdp()
    >>> agent = bm.agents.mdp_oomd(horizon=500, mixing=2, hitting=20, window=2, episode=100, rate=0.1)
    >>> result = bm.simulate(mdp, {"OOMD": agent}, steps=500, replicates=2)
    >>> bool((result["probability"][..., :100].round(12) == 0.2).all())  # 5 actions
    True
    """
    steps, logarithm = integer("horizon", horizon, 2), float(np.log2(horizon))
    t_mix, rho = number("mixing", mixing, above=0), number("hitting", hitting, minimum=1)
    width = int(np.ceil(4 * t_mix * logarithm)) if window is None else integer("window", window, 1)
    longest = max(int(np.ceil(16 * rho * t_mix * logarithm**2)), width + 1)
    options: dict[str, float] = {
        "horizon": steps,
        "mixing": t_mix,
        "hitting": rho,
        "window": width,
        "episode": longest if episode is None else integer("episode", episode, width + 1),
        "rate": min(float(np.sqrt(t_mix / (rho * steps))), 1 / (270 * (width + 1)))
        if rate is None
        else number("rate", rate, above=0),
    }
    return Agent("mdp-oomd", _rules, unit_rewards, options, objectives=("average",))


class _State(NamedTuple):
    """Policies, and what is known of the episode.

    Attributes
    ----------
    base, policy : arrays [state, action]
        pi' and pi.
    age : int
        Steps taken in the episode.
    earned : float
        Rewards of the episode so far.
    opened : int array [state]
        The step of the visit that is being, or was last, looked at; long before the episode at first.
    before : array [state]
        Rewards of the episode before that.
    chosen : int array [state]
        The action then.
    samples : array [state]
        Visits looked at to the end.
    total : array [state, action]
        Sums of y.
    last_samples : array [state]
        `samples` of the episode before.
    """

    base: Float[Array, "state action"]
    policy: Float[Array, "state action"]
    age: Int[Array, ""]
    earned: Float[Array, ""]
    opened: Int[Array, " state"]
    before: Float[Array, " state"]
    chosen: Int[Array, " state"]
    samples: Float[Array, " state"]
    total: Float[Array, "state action"]
    last_samples: Float[Array, " state"]


def mirror_step(
    policy: Float[Array, "state action"],
    estimate: Float[Array, "state action"],
    rate: Array | float,
    available: Bool[Array, "state action"],
) -> Float[Array, "state action"]:
    """Return the argmax of ``<pi, estimate> - D(pi, policy)`` in each state: see the module.

    Parameters
    ----------
    policy : array [state, action]
        Positive where an action is available.
    estimate : array [state, action]
        beta.
    rate : float
        eta.
    available : bool array [state, action]

    Returns
    -------
    array [state, action]
        Probabilities; 0 where an action is not available.

    Examples
    --------
    >>> import jax
    >>> with jax.enable_x64(True):
    ...     better = mirror_step(np.array([[0.5, 0.5]]), np.array([[1.5, 0.0]]), 1.0, np.ones((1, 2), bool))
    >>> better.round(6).tolist()  # 1 / (.5 + x) + 1 / (2 + x) = 1 at x = 1
    [[0.666667, 0.333333]]
    """
    # 1 / pi(a) = 1 / pi'(a) - eta beta(a) + lambda; x is lambda more than the least of the rest.
    inverse = jnp.where(available, 1 / jnp.where(available, policy, 1) - rate * estimate, jnp.inf)
    gap = inverse - jnp.min(inverse, axis=-1, keepdims=True)

    # The sum is convex and falls with x, from 1 or more at x = 1: Newton's method comes from there, without a swing.
    def newton(_: Int[Array, ""], x: Float[Array, "state 1"]) -> Float[Array, "state 1"]:
        share = 1 / (gap + x)
        return x + (share.sum(-1, keepdims=True) - 1) / (share**2).sum(-1, keepdims=True)

    share = 1 / (gap + lax.fori_loop(0, NEWTON_STEPS, newton, jnp.ones_like(gap[:, :1])))
    return share / share.sum(-1, keepdims=True)


def _rules(belief: None, problem: Problem, options: Options) -> Rules:
    reward, sizes = problem.reward[..., 0], problem.available.shape
    window, episode, rate = options["window"], options["episode"], options["rate"]

    def init(key: Key[Array, ""]) -> _State:
        uniform = problem.available / problem.available.sum(-1, keepdims=True)
        none = jnp.zeros(sizes[0])
        return _State(
            base=uniform,
            policy=uniform,
            age=jnp.zeros((), jnp.int32),
            earned=jnp.zeros(()),
            opened=jnp.full(sizes[0], -2 * window, jnp.int32),
            before=none,
            chosen=jnp.zeros(sizes[0], jnp.int32),
            samples=none,
            total=jnp.zeros(sizes),
            last_samples=none,
        )

    def begin(key: Key[Array, ""], state: _State) -> _State:
        # beta_k(s, .), the mean of the y. Before any experience it is 0, which changes nothing.
        estimate = state.total / jnp.maximum(state.samples, 1)[:, None]
        # pi'_{k+1} and pi_{k+1}.
        base = mirror_step(state.base, estimate, rate, problem.available)
        policy = mirror_step(base, estimate, rate, problem.available)
        return init(key)._replace(base=base, policy=policy, last_samples=state.samples)

    def act(key: Key[Array, ""], state: _State, s: Int[Array, ""]) -> Int[Array, ""]:
        return invert(jnp.cumsum(state.policy[s]), random.uniform(key))

    def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
        s, a, now = step.state, step.action, state.age
        # A visit to s is looked at if it is 2 N steps or more after the last, and N or more before the episode's last.
        opens = (now >= state.opened[s] + 2 * window) & (now <= episode - 1 - window)

        def marked(array: Num[Array, " state"], mark: Num[Array, ""]) -> Num[Array, " state"]:
            return array.at[s].set(jnp.where(opens, mark, array[s]))

        opened, before = marked(state.opened, now), marked(state.before, state.earned)
        chosen = marked(state.chosen, a)
        earned = state.earned + reward[s, a]
        # N steps later R is complete, of one state at most, for one was visited then: y = R / pi(a_tau | s).
        closes = opened + window - 1 == now
        states = jnp.arange(sizes[0])
        estimates = jnp.where(closes, (earned - before) / state.policy[states, chosen], 0)
        return state._replace(
            age=now + 1,
            earned=earned,
            opened=opened,
            before=before,
            chosen=chosen,
            samples=state.samples + closes,
            total=state.total.at[states, chosen].add(estimates),
        )

    return Rules(
        init=init,
        begin=begin,
        act=act,
        observe=observe,
        ends=lambda uniform, state, step: state.age >= episode,
        policy=lambda state: greedy(problem, state.policy)[0],
        report=lambda state, s, a: {"probability": state.policy[s, a], "samples": state.last_samples[s]},
        belief=lambda state: (),
    )
