"""A policy that plans anew in every state, by sampling futures: model-predictive control under draws of a posterior.

In a state, sequences of actions are sampled over a horizon. Each is followed under every draw of the unknowns, open
loop, and judged by the risk over draws of its discounted sum of rewards. The cross-entropy method (Rubinstein, 1999)
improves the distribution that sequences are drawn from, round by round: for each step the probability of an action
becomes its share among the best, as many as an eighth of a round, mixed with a tenth of what it was. The first action
of the best sequence is taken, and in the next state everything is done again. That is the planner of PETS (Chua et al.,
2018), with actions from a list, and with what iCEM (Pinneri et al., 2020) adds: sequences hold on to actions for a
while, and the best of earlier rounds stay among those of later ones. How long they hold on is ours, and so is that the
sequences which always take one action are among the first. Nothing is kept from one state to the next, so that the
policy is a function of the state.

All sequences, and all states, meet the same random numbers, so that they differ by their actions alone. What comes
after the horizon counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import lax, random
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import finite_array
from bayesmdp.planning.risk_names import risk_from_text
from bayesmdp.planning.state_rules import StatePolicy, check_same_problem, features_of
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import SimulatedProblem, simulate_steps

__all__ = ["SOLVER", "Futures", "FuturesPolicy", "best_first", "futures_policy", "futures_variables"]

SOLVER = "sampled_futures"
DRAW = "draw_"
"""What the names of a plan's variables begin with that hold the draws it plans under."""
ELITE, KEPT, HOLD = 8, 0.1, 0.7
"""One sequence in so many is among the best; the share of old probabilities in new ones; and with what probability an
action is held on to in the first round, half of which in the second, and so on."""


@dataclass(frozen=True)
class Futures:
    """How many futures are sampled in a state; hashable.

    Attributes
    ----------
    horizon, sequences, rounds, samples : int
        Steps; sequences of actions in each round; rounds; futures of a sequence under each draw.
    seed : int
    """

    horizon: int
    sequences: int
    rounds: int
    samples: int
    seed: int


@dataclass(frozen=True)
class _Planning:
    """The rule that plans: parameters are the problem, draws of its unknowns, and the risk."""

    futures: Futures

    def __call__(self, parameters: Any, uniform: Float[Array, ""], state: Float[Array, " coordinate"]) -> Array:
        problem, values, risk = parameters
        return best_first(random.key(self.futures.seed), problem, values, risk, state, self.futures)


@dataclass(frozen=True, eq=False)
class FuturesPolicy:
    """The policy of a plan by sampled futures, to be asked at any state.

    Attributes
    ----------
    mdp : SimulatedMDP
        Whose model makes the futures.
    values : mapping of site to array [draw, ...]
    risk : Mean, Quantile or CVaR
    futures : Futures

    Examples
    --------
    >>> import bayesmdp as bm
    >>> room = bm.environments.thermostat()
    >>> how = bm.planning.SampledFutures(
    ...     horizon=8, sequences=32, rollouts=bm.planning.Rollouts(number=16, tolerance=2.0)
    ... )
    >>> bm.planning.futures_policy(bm.solve(room, solver=how), room).actions([[12.0], [25.0]]).tolist()
    ['high', 'off']
    """

    mdp: SimulatedMDP
    values: Mapping[str, NDArray[np.float64]]
    risk: Any
    futures: Futures

    @property
    def policy(self) -> StatePolicy:
        """As compiled code takes it."""
        return StatePolicy(_Planning(self.futures), (self.mdp.problem, dict(self.values), self.risk))

    def __call__(self, state: Float[Array, " coordinate"]) -> Int[Array, ""]:
        """Return the position of the action; may be traced.

        Parameters
        ----------
        state : array [coordinate]
        """
        rule, parameters = self.policy
        return rule(parameters, jnp.zeros(()), state)

    def actions(self, states: ArrayLike) -> NDArray[Any]:
        """Return the label of the action in each state.

        Parameters
        ----------
        states : array [..., coordinate]

        Returns
        -------
        array of labels [...]

        Raises
        ------
        ValueError, TypeError
            If they have another number of coordinates, or one is not finite: with its index.
        """
        given, coordinates = finite_array("states", states), self.mdp.problem.start.size
        if given.ndim < 1 or given.shape[-1] != coordinates:
            raise ValueError(
                f"states have shape {given.shape}; {self.mdp.name} has states of {coordinates} coordinates, [..., "
                "coordinate]"
            )
        with jax.enable_x64(True):
            rule, parameters = self.policy
            chosen = np.asarray(_chosen(rule, parameters, given.reshape(-1, coordinates)))
        return np.asarray(label_array(self.mdp.actions)[chosen.reshape(given.shape[:-1])])


@partial(jax.jit, static_argnums=0)
def _chosen(rule: Any, parameters: Any, states: Array) -> Array:
    return lax.map(lambda state: rule(parameters, jnp.zeros(()), state), states)


def best_first(
    key: Array,
    problem: SimulatedProblem,
    values: Mapping[str, Array],
    risk: Any,
    state: Float[Array, " coordinate"],
    how: Futures,
) -> Int[Array, ""]:
    """Return the first action of the best sequence that the cross-entropy method finds; may be traced.

    Parameters
    ----------
    key : key
        Of sequences and futures; the same one makes it a function of the state.
    problem : SimulatedProblem
    values : mapping of site to array [draw, ...]
        Under which futures are simulated.
    risk : Mean, Quantile or CVaR
    state : array [coordinate]
    how : Futures
        Its seed is not read.
    """
    problem, values = jax.tree.map(jnp.asarray, (problem, values))
    actions = problem.num_actions
    future_keys = random.split(random.fold_in(key, 0), (how.samples, how.horizon))
    draws = len(next(iter(values.values()))) if values else 1

    def returns(sequence: Int[Array, " step"], own: Mapping[str, Array], keys: Array) -> Float[Array, ""]:
        """Of one sequence, under one draw and with one stream of random numbers."""

        def step(
            carry: tuple[Array, Array, Array], told: tuple[Array, Array]
        ) -> tuple[tuple[Array, Array, Array], None]:
            here, total, weight = carry
            key, action = told
            if problem.available is not None:
                allowed = problem.available(here)
                action = jnp.where(allowed[action], action, jnp.argmax(allowed))
            after, paid, goes = simulate_steps(problem, problem.model, key, own, here[None], action[None])
            # What is simulated after the end counts for nothing, and must not grow beyond all numbers.
            goes_on = weight * goes[0]
            total = total + jnp.where(weight > 0, weight * paid[0], 0.0)
            return (jnp.where(goes_on > 0, after[0], here), total, problem.discount * goes_on), None

        begun = (state, jnp.zeros(()), problem.continues(state))
        return lax.scan(step, begun, (keys, sequence))[0][1]

    def judged(sequences: Int[Array, "sequence step"]) -> Float[Array, " sequence"]:
        over_samples = jax.vmap(returns, (None, None, 0))
        over_draws = jax.vmap(over_samples, (None, 0, None), axis_size=draws)
        told = jax.vmap(over_draws, (0, None, None))(sequences, values, future_keys)  # [sequence, draw, sample]
        return risk.value(told.mean(-1).T[:, None])[0]

    best = max(2, how.sequences // ELITE)

    def one_round(carry: tuple[Array, Array, Array], number: Array) -> tuple[tuple[Array, Array, Array], None]:
        probability, elite, worth = carry
        # Sequences that hold on to an action for a while reach farther than ones that change their mind at each step.
        draw_key, hold_key = random.split(random.fold_in(key, 1 + number))
        uniforms = random.uniform(draw_key, (how.sequences, how.horizon, 1))
        drawn = (uniforms > jnp.cumsum(probability, -1)).sum(-1).clip(0, actions - 1)
        holds = random.uniform(hold_key, drawn.shape) < HOLD * 0.5**number
        since = lax.cummax(jnp.where(holds, 0, jnp.arange(how.horizon)), axis=1)
        sequences = jnp.take_along_axis(drawn, since, 1)
        always = jnp.broadcast_to(jnp.arange(actions)[:, None], (actions, how.horizon))[: how.sequences]
        sequences = jnp.where(number == 0, sequences.at[: len(always)].set(always), sequences)
        told = judged(sequences)
        if problem.available is not None:  # futures take another action then
            told = jnp.where(problem.available(state)[sequences[:, 0]], told, -jnp.inf)
        # The best of earlier rounds stay in the running.
        sequences, told = jnp.concatenate([elite, sequences]), jnp.concatenate([worth, told])
        order = jnp.argsort(-told)[:best]
        share = jax.nn.one_hot(sequences[order], actions).mean(0)
        return ((1 - KEPT) * share + KEPT * probability, sequences[order], told[order]), None

    uniform = jnp.full((how.horizon, actions), 1 / actions)
    fallback = jnp.argmax(problem.allowed(jnp.zeros(actions), state))
    nobody = jnp.full((best, how.horizon), fallback), jnp.full(best, -jnp.inf)
    (_, elite, worth), _ = lax.scan(one_round, (uniform, *nobody), jnp.arange(how.rounds))
    # Where many are as good as the best, as all futures in which a pole stays up are, most of them decide.
    equal = worth >= worth[0] - 1e-9 * (1 + jnp.abs(worth[0]))
    votes = (equal[:, None] * jax.nn.one_hot(elite[:, 0], actions)).sum(0)
    return jnp.argmax(votes).astype(jnp.int32)


def futures_variables(policy: FuturesPolicy) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a plan's Dataset holds of a policy, and says of it in attrs.

    Parameters
    ----------
    policy : FuturesPolicy

    Returns
    -------
    variables, attrs : dict
    """
    mdp = policy.mdp
    places = np.concatenate([mdp.problem.start[None], mdp.problem.anchors])
    variables: dict[str, Any] = {
        "policy": ("place", policy.actions(places)),
        "places": (("place", "coordinate"), places),
        "features": (("place", "feature"), features_of(mdp, places)),
    }
    for name, array in policy.values.items():
        variables[DRAW + name] = (("draw", *(f"{name}_axis_{i}" for i in range(array.ndim - 1))), array)
    return variables, {"futures": json.dumps(asdict(policy.futures)), "mdp": mdp.name, "solver": SOLVER}


def futures_policy(plan: xr.Dataset, mdp: SimulatedMDP) -> FuturesPolicy:
    """Make a plan by sampled futures, or its file, a policy again that can be asked at any state.

    Parameters
    ----------
    plan : Dataset
        From :func:`~bayesmdp.plan` with ``solver=bm.planning.SampledFutures()``, or read from its file.
    mdp : SimulatedMDP
        The problem that was planned for, whose model makes the futures.

    Returns
    -------
    FuturesPolicy
        It may act in another problem with the same actions, coordinates and features, such as the true one.

    Raises
    ------
    TypeError, ValueError
        If `plan` is no such plan, or one of another problem or another model.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> futures_policy(bm.solve(bm.environments.riverswim(6)), bm.environments.thermostat())
    Traceback (most recent call last):
      ...
    ValueError: the Dataset is no plan by sampled futures
    """
    if not isinstance(plan, xr.Dataset):
        raise TypeError(f"plan must be the Dataset that plan returns; got {type(plan).__name__}")
    if plan.attrs.get("solver") != SOLVER:
        raise ValueError("the Dataset is no plan by sampled futures")
    of = f"the plan is of another problem, {plan.attrs.get('mdp', 'without a name')!r}"
    check_same_problem(of, plan["action"].values.tolist(), plan["places"].values, plan["features"].values, mdp)
    values = {str(name)[len(DRAW) :]: plan[name].values for name in plan.data_vars if str(name).startswith(DRAW)}
    shapes = {name: array.shape[1:] for name, array in values.items()}
    if shapes != dict(mdp.unknowns):
        raise ValueError(
            f"the plan's futures are made by a model with the unknowns {', '.join(shapes) or 'none'}, and that of "
            f"{mdp.name} has {', '.join(mdp.unknowns) or 'none'}: make the policy with the problem that was planned, "
            "bm.planning.futures_policy(plan, mdp.replace(model=...)), and act with that"
        )
    return FuturesPolicy(mdp, values, risk_from_text(plan.attrs["risk"]), Futures(**json.loads(plan.attrs["futures"])))
