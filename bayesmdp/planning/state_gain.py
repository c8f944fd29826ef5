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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import lax, random
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.fitted_q import LinearQ, acted_in
from bayesmdp.planning.risk import Mean
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.planning.rollouts import SimulatedReturns, count_draws, horizon_within, simulate_returns
from bayesmdp.planning.simulated_plan import FURTHER, MOST, FittedQ, has_settled
from bayesmdp.planning.simulated_values import risk_between, spread_over
from bayesmdp.planning.state_policies import GAIN
from bayesmdp.planning.state_rules import RandomRule, StatePolicy, best_by, features_of, filled_up
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import SimulatedProblem, simulate_steps

__all__ = ["FittedGain", "GainPolicy", "describe_gain", "fit_gain", "gain_of_draws", "read_gain"]


@dataclass(frozen=True)
class _Gaining:
    """The rule: parameters are the fit, features, what may be done, the risk, and those of the baseline."""

    baseline: Any

    def __call__(
        self, parameters: Any, uniform: Float[Array, ""], state: Float[Array, " coordinate"]
    ) -> Int[Array, ""]:
        fit, features, available, risk, of_baseline = parameters
        judged = _judged(features(state)[None], fit, risk, state[None], available)[0]
        chosen, today = jnp.argmax(judged[:-1]), self.baseline(of_baseline, uniform, state)
        return jnp.where(judged[:-1].max() > judged[-1], chosen, today).astype(jnp.int32)


@dataclass(frozen=True, eq=False)
class GainPolicy:
    """A policy that departs from a baseline where that gains enough, to be asked at any state.

    Attributes
    ----------
    mdp : SimulatedMDP
    fit : array [feature, draw, action and two more]
        Weights of Q_m, T_m and B_m; see the module.
    risk : Mean, Quantile or CVaR
    baseline : StatePolicy
        Whose rule is a `RandomRule`.
    """

    mdp: SimulatedMDP
    fit: NDArray[np.float64]
    risk: Any
    baseline: StatePolicy

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it."""
        problem = self.mdp.problem
        parameters = self.fit, problem.features, problem.available, self.risk, self.baseline.parameters
        return StatePolicy(_Gaining(self.baseline.rule), parameters)

    def gains(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the risk of what is gained by each action, and last by going on as today, before the policy goes on.

        Parameters
        ----------
        states : array [place, coordinate]

        Returns
        -------
        array [place, action and one more]
            Minus infinity for actions that may not be taken.
        """
        problem, given = self.mdp.problem, np.asarray(states, float)
        with jax.enable_x64(True):
            told = _judged_at(filled_up(given, self.mdp), self.fit, self.risk, problem.features, problem.available)
        return np.asarray(told, float)[: len(given)]

    def q(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the risk of what is gained by each action [place, action]; see `gains`.

        Parameters
        ----------
        states : array [place, coordinate]
        """
        return self.gains(states)[:, :-1]

    def margins(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return by how much what the policy does gains more than the next, by the risk [place].

        Parameters
        ----------
        states : array [place, coordinate]
        """
        return best_by(self.gains(states))

    def departs(self, states: ArrayLike) -> NDArray[np.bool_]:
        """Return where the policy does something else than today [place].

        Parameters
        ----------
        states : array [place, coordinate]
        """
        gains = self.gains(states)
        return np.asarray(gains[:, :-1].max(-1) > gains[:, -1])

    def as_baseline(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action under the baseline [place, action].

        Parameters
        ----------
        states : array [place, coordinate]
        """
        with jax.enable_x64(True):
            told = _probabilities(self.baseline.rule, self.baseline.parameters, np.asarray(states, float))
        return np.asarray(told, float)

    def probabilities(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of each action: 1 of the best one, or as today.

        Parameters
        ----------
        states : array [place, coordinate]

        Returns
        -------
        array [place, action]
        """
        gains, today = self.gains(states), self.as_baseline(states)
        best = np.eye(self.mdp.num_actions)[gains[:, :-1].argmax(-1)]
        return np.where((gains[:, :-1].max(-1) > gains[:, -1])[:, None], best, today)


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


def describe_gain(
    policy: GainPolicy, iterations: int, returns: SimulatedReturns, options: FittedQ, *, settled: bool
) -> xr.Dataset:
    """Lay out a plan for the gain, with its value by rollouts.

    Parameters
    ----------
    policy : GainPolicy
    iterations : int
    returns : SimulatedReturns
        Under draws that took no part in planning.
    options : FittedQ
    settled : bool

    Returns
    -------
    Dataset
        As of a plan for the value; ``q`` is the risk of what each action gains, and ``as_today`` that of going on as
        today. ``value`` is the mean.
    """
    mdp, confidence = policy.mdp, options.rollouts.confidence
    told = risk_between(Mean(), returns, confidence)
    places = np.concatenate([mdp.problem.start[None], mdp.problem.anchors])
    gains, share = policy.gains(places), policy.probabilities(places)
    return xr.Dataset(
        {
            "value": ((), told.value),
            "lower": ((), told.lower),
            "upper": ((), told.upper),
            "q": (("place", "action"), gains[:, :-1]),
            "as_today": ("place", gains[:, -1]),
            "policy": ("place", label_array(mdp.actions)[share.argmax(-1)]),
            "probability": (("place", "action"), share),
            "places": (("place", "coordinate"), places),
            "features": (("place", "feature"), features_of(mdp, places)),
            "fit_0": (("feature", "planned", "column"), policy.fit),
        },
        coords={"action": label_array(mdp.actions)},
        attrs={
            "mdp": mdp.name,
            "risk": str(policy.risk),
            "solver": GAIN,
            "discount": mdp.discount,
            "num_draws": policy.fit.shape[1],
            "iterations": iterations,
            "converged": int(settled),
            "places_fitted": options.places,
            "samples": options.samples,
            "seed": options.seed,
            "value_draws": len(returns.lowest),
            "rollouts": returns.lowest.shape[1],
            "horizon": returns.horizon,
            "confidence": confidence,
        },
    )


def read_gain(plan: xr.Dataset, mdp: SimulatedMDP, baseline: StatePolicy) -> GainPolicy:
    """Make the policy of a plan for the gain again.

    Parameters
    ----------
    plan : Dataset
        As `describe_gain` made it.
    mdp : SimulatedMDP
    baseline : StatePolicy

    Returns
    -------
    GainPolicy
    """
    return GainPolicy(mdp, plan["fit_0"].values, risk_from_text(plan.attrs["risk"]), baseline)


def _judged(
    features: Float[Array, "place feature"],
    fit: Float[Array, "feature draw column"],
    risk: Any,
    states: Float[Array, "place coordinate"],
    available: Callable[[Array], Array] | None,
) -> Float[Array, "place choice"]:
    """The risk over draws of what is gained by each action, and by going on as today."""
    return _judge(jnp.einsum("pf,fdc->dpc", features, jnp.asarray(fit)), risk, states, available)


def _judge(
    told: Float[Array, "draw place column"], risk: Any, states: Array, available: Callable[[Array], Array] | None
) -> Float[Array, "place choice"]:
    judged = risk.value(told[..., :-1] - told[..., -1:])
    if available is None:
        return judged
    allowed = jnp.where(available(states), judged[:, :-1], -jnp.inf)
    return jnp.concatenate([allowed, judged[:, -1:]], -1)


@jax.jit
def _judged_at(
    states: Array, fit: Array, risk: Any, features: Callable[[Array], Array], available: Callable[[Array], Array] | None
) -> Array:
    return _judged(features(states), fit, risk, states, available)


@partial(jax.jit, static_argnums=0)
def _probabilities(rule: Any, parameters: Any, states: Array) -> Array:
    return rule.probabilities(jax.tree.map(jnp.asarray, parameters), states)


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
            judged, mine = _judge(told, risk, following, problem.available), told[number]
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
    return fit, kept, _judged(problem.features(anchors), kept, risk, anchors, problem.available).max(-1)
