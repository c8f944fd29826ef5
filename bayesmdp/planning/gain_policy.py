"""The policy of a plan for the gain on spaces of numbers: asked at any state, laid out as a plan, and read again.

What its fits are is told in :mod:`~bayesmdp.planning.state_gain`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.risk import Mean
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.planning.rollouts import SimulatedReturns
from bayesmdp.planning.simulated_plan import FittedQ, how_fitted
from bayesmdp.planning.simulated_values import risk_between
from bayesmdp.planning.state_policies import GAIN
from bayesmdp.planning.state_rules import StatePolicy, best_by, features_of, filled_up
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["GainPolicy", "describe_gain", "judge_gains", "judged_gains", "read_gain"]


@dataclass(frozen=True)
class _Gaining:
    """The rule: parameters are the fit, features, what may be done, the risk, and those of the baseline."""

    baseline: Any

    def __call__(
        self, parameters: Any, uniform: Float[Array, ""], state: Float[Array, " coordinate"]
    ) -> Int[Array, ""]:
        fit, features, available, risk, of_baseline = parameters
        judged = judged_gains(features(state)[None], fit, risk, state[None], available)[0]
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
    mdp = policy.mdp
    told = risk_between(Mean(), returns, options.rollouts.confidence)
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
            **how_fitted(options, returns),
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


def judged_gains(
    features: Float[Array, "place feature"],
    fit: Float[Array, "feature draw column"],
    risk: Any,
    states: Float[Array, "place coordinate"],
    available: Callable[[Array], Array] | None,
) -> Float[Array, "place choice"]:
    """Return the risk over draws of what is gained by each action, and last by going on as today [place, choice].

    Parameters
    ----------
    features : array [place, feature]
        Of the states.
    fit : array [feature, draw, column]
    risk : Mean, Quantile or CVaR
    states : array [place, coordinate]
    available : callable or None
        Which actions may be taken in states.
    """
    return judge_gains(jnp.einsum("pf,fdc->dpc", features, jnp.asarray(fit)), risk, states, available)


def judge_gains(
    told: Float[Array, "draw place column"], risk: Any, states: Array, available: Callable[[Array], Array] | None
) -> Float[Array, "place choice"]:
    """Judge gains as `judged_gains` does, from what each draw tells of Q_m, T_m and B_m.

    Parameters
    ----------
    told : array [draw, place, column]
    risk, states, available
        As for `judged_gains`.
    """
    judged = risk.value(told[..., :-1] - told[..., -1:])
    if available is None:
        return judged
    allowed = jnp.where(available(states), judged[:, :-1], -jnp.inf)
    return jnp.concatenate([allowed, judged[:, -1:]], -1)


@jax.jit
def _judged_at(
    states: Array, fit: Array, risk: Any, features: Callable[[Array], Array], available: Callable[[Array], Array] | None
) -> Array:
    return judged_gains(features(states), fit, risk, states, available)


@partial(jax.jit, static_argnums=0)
def _probabilities(rule: Any, parameters: Any, states: Array) -> Array:
    return rule.probabilities(jax.tree.map(jnp.asarray, parameters), states)
