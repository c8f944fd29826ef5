"""Planning on spaces of numbers for what a policy gains over a baseline, such as what is done today.

As for tables (:mod:`~bayesmdp.planning.over_baseline`) the object is the *gain*, the value of a policy less that of the
baseline b under the same draw m of the unknowns, and the policy stays with the baseline where nothing better is sure
enough. It is found by fitted iteration. Under each draw three things are fitted, by regressions on the same places with
the same random numbers, in which pi is the policy of the fits so far:

    Q_m(s, a) = r + discount V_m^pi(s')               an action now, and the policy after it
    T_m(s)    = sum over a of b(a | s) Q_m(s, a)      as today now, and the policy after it
    B_m(s)    = sum over a of b(a | s) (r + discount B_m(s'))      as today for ever

and the policy does in s what has the largest risk over draws of Q_m(s, a) - B_m(s), or of T_m(s) - B_m(s), which is to
do as today there, at random as that is. All begins at 0, where the policy is the baseline.

So the risk is one of the whole future's gain under each draw, and not of each step, and the policy is greedy for it in
every state. A quantile of a whole future is not what such steps add up to, so that this is no maximum of the gain at
the start, and iteration need not settle; what is gained is told by rollouts under draws that took no part in planning.
The scheme is ours; over Dirichlet rows the ascent of `over_baseline` maximises the gain itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Float, Int
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.approximations import LinearQ
from bayesmdp.planning.fitted_q import acted_in
from bayesmdp.planning.fitted_rounds import FURTHER, MOST, has_settled
from bayesmdp.planning.gain_policy import GainPolicy, judge_gains, judged_gains
from bayesmdp.planning.rollouts import count_draws, horizon_within, simulate_returns
from bayesmdp.planning.simulated_plan import FittedQ
from bayesmdp.planning.simulated_values import spread_over
from bayesmdp.planning.state_rules import RandomRule, StatePolicy
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import SimulatedProblem, simulate_steps

__all__ = ["FittedGain", "fit_gain", "gain_of_draws"]


class FittedGain(NamedTuple):
    """What the iteration came to.

    Attributes
    ----------
    policy : GainPolicy
    iterations : int
    settled : bool
        Whether what is gained at the anchors had stopped to drift.
    begun : GainPolicy, or None
        At which fits of problems much like this one begin: the policy, or where that was found to gain nothing, the one
        that was given up.
    """

    policy: GainPolicy
    iterations: int
    settled: bool
    begun: GainPolicy | None = None

    @property
    def as_today(self) -> bool:
        """Whether the policy was given up for the baseline."""
        return self.begun is not None and self.begun is not self.policy


def fit_gain(
    values: Mapping[str, NDArray[np.float64]],
    mdp: SimulatedMDP,
    risk: Any,
    baseline: StatePolicy,
    options: FittedQ,
    tolerance: float,
    *,
    begun: GainPolicy | None = None,
) -> FittedGain:
    """Fit what is gained over a baseline under draws of the unknowns, until it no longer drifts.

    Parameters
    ----------
    values : mapping of site to array [draw, ...]
    mdp : SimulatedMDP
    risk : Mean, Quantile or CVaR
        Of the gain.
    baseline : StatePolicy
        Whose rule is a `RandomRule`.
    options : FittedQ
        Its approximation is linear.
    tolerance : float
    begun : GainPolicy, optional
        A fit to begin at, of as many draws; then one round is made.

    Returns
    -------
    FittedGain

    Raises
    ------
    ValueError
        If the approximation is another one.
    """
    linear = LinearQ() if options.approximation == "linear" else options.approximation
    if not isinstance(linear, LinearQ):
        raise ValueError(f"what is gained is fitted linearly; got the approximation {options.approximation!r}")
    first = horizon_within(mdp, tolerance)
    length = max(1, int(np.ceil(FURTHER * first)))
    draws = count_draws(values)
    with jax.enable_x64(True):
        key = random.key(options.seed)
        features = jax.eval_shape(mdp.problem.features, mdp.problem.start).shape[-1]
        fit: Any = np.zeros((features, draws, mdp.num_actions + 2)) if begun is None else begun.fit
        first = first if begun is None else 0
        done, settled, kept, last = 0, False, fit, np.full(len(mdp.problem.anchors), np.nan)
        while not settled and done + length <= MOST * first + length:
            fit, kept, anchors = _round(
                random.fold_in(key, 1 + done),
                mdp.problem,
                dict(values),
                risk,
                fit,
                baseline.parameters,
                linear=linear,
                rule=baseline.rule,
                iterations=length,
                places=options.places,
                samples=options.samples,
            )
            done += length
            now = np.asarray(anchors)
            settled, last = done >= first and has_settled(last, now, tolerance), now
    return FittedGain(GainPolicy(mdp, np.asarray(kept), risk, baseline), done, settled)


def gain_of_draws(
    values: Mapping[str, NDArray[np.float64]],
    mdp: SimulatedMDP,
    risk: Any,
    baseline: StatePolicy,
    options: FittedQ,
    tolerance: float,
    *,
    begun: GainPolicy | None = None,
) -> FittedGain:
    """Fit what is gained under some draws, and go on as the baseline does where nothing is gained at the start.

    That is judged by the risk over the draws of what rollouts gain with the same random numbers; a policy may have been
    fitted under some of these.

    Parameters
    ----------
    values : mapping of site to array [draw, ...]
        Of which `num_draws` of the options are planned with, or as many as `begun` has.
    mdp, risk, baseline, options, tolerance, begun
        As for `fit_gain`.

    Returns
    -------
    FittedGain
    """
    few = spread_over(values, options.num_draws if begun is None else begun.fit.shape[1])
    found = fit_gain(few, mdp, risk, baseline, options, tolerance, begun=begun)
    policy, some = found.policy, spread_over(values, options.rollouts.max_draws)
    one, other = (
        simulate_returns(mdp, some, each, options.rollouts, streams=np.zeros(count_draws(some), int)).middle.mean(1)
        for each in (policy.policy, baseline)
    )
    with jax.enable_x64(True):
        gained = float(risk.value(jnp.asarray(one - other)[:, None, None])[0, 0])
    if not gained > 0:
        policy = GainPolicy(mdp, 0 * policy.fit, risk, baseline)
    return found._replace(policy=policy, begun=found.policy)


@partial(jax.jit, static_argnames=("linear", "rule", "places", "samples"))
def _round(
    key: Array,
    problem: SimulatedProblem,
    values: Mapping[str, Array],
    risk: Any,
    fit: Float[Array, "feature draw column"],
    parameters: Any,
    *,
    linear: LinearQ,
    rule: RandomRule,
    iterations: Int[Array, ""],
    places: int,
    samples: int,
) -> tuple[Array, Array, Float[Array, " anchor"]]:
    """Some iterations from a fit on, the mean of the fits, and what is gained at the anchors."""
    problem, parameters = jax.tree.map(jnp.asarray, (problem, parameters))
    low, high, bounds = problem.low, problem.high, problem.value_range
    actions, draws = problem.num_actions, fit.shape[1]
    action = jnp.tile(jnp.repeat(jnp.arange(actions), samples), places)

    def targets(key: Array, at: Array, fit: Array) -> Float[Array, "draw place column"]:
        state, share = jnp.repeat(at, actions * samples, 0), rule.probabilities(parameters, at)

        def under(one: tuple[Array, Mapping[str, Array]]) -> Array:
            number, own = one
            following, reward, goes_on = simulate_steps(problem, problem.model, key, own, state, action)
            told = jnp.einsum("nf,fdc->dnc", problem.features(following), fit)
            # What the policy does there hangs on all draws; what that is worth is told by this one.
            judged, mine = judge_gains(told, risk, following, problem.available), told[number]
            best = jnp.take_along_axis(mine, judged[:, :-1].argmax(-1)[:, None], -1)[:, 0]
            departs = judged[:, :-1].max(-1) > judged[:, -1]
            ahead = jnp.stack([jnp.where(departs, best, mine[:, -2]), mine[:, -1]], -1)
            worth = reward[:, None] + problem.discount * goes_on[:, None] * ahead
            q, usual = jnp.moveaxis(jnp.clip(worth, *bounds).reshape(places, actions, samples, 2).mean(2), -1, 0)
            return jnp.concatenate([q, *((share * each).sum(-1, keepdims=True) for each in (q, usual))], -1)

        return lax.map(under, (jnp.arange(draws), values))

    def iterate(i: Int[Array, ""], carry: tuple[Array, Array]) -> tuple[Array, Array]:
        fit, total = carry
        place_key, step_key = random.split(random.fold_in(key, i))
        at = low + (high - low) * random.uniform(place_key, (places, len(low)))
        if problem.terminal is not None:
            at = acted_in(random.fold_in(random.fold_in(key, i), 2), problem, at)
        y = jnp.moveaxis(targets(step_key, at, fit), 0, 1).reshape(places, -1)
        fit = linear.improve(fit.reshape(len(fit), -1), problem.features(at), y).reshape(fit.shape)
        return fit, total + fit

    fit, total = lax.fori_loop(0, iterations, iterate, (fit, jnp.zeros_like(fit)))
    kept, anchors = total / iterations, problem.anchors
    return fit, kept, judged_gains(problem.features(anchors), kept, risk, anchors, problem.available).max(-1)
