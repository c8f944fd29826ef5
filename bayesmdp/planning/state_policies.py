"""Policies on spaces of numbers: one action at random, a function of the state, or what a fitted plan holds best.

All become a `StatePolicy`: a rule that compiled code calls, the same for all plans of one kind, and the numbers that it
reads. A plan is a Dataset that holds the fit of Q, and so is its file; :func:`fitted_policy` makes it a function again.
What the features of the problem are cannot be read off a file: they are compared, at the places that the plan lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.planning.approximations import APPROXIMATIONS, Approximation
from bayesmdp.planning.fitted_policies import FittedPolicy, StagedPolicy
from bayesmdp.planning.futures_policy import SOLVER, futures_policy
from bayesmdp.planning.state_rules import RandomRule, StatePolicy, check_horizon, check_same_problem, features_of
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["GAIN", "fit_variables", "fitted_policy", "state_policy"]

GAIN = "fitted_gain"
"""The solver of plans for the gain over a baseline."""

FIT = "fit_"
"""What the names of a plan's variables begin with that hold the fit of Q."""


@dataclass(frozen=True)
class _AtRandom(RandomRule):
    """Every action is as probable as any other."""

    num_actions: int

    def probabilities(self, parameters: Any, state: Float[Array, "... coordinate"]) -> Float[Array, "... action"]:
        """Return the probability of each action; may be traced."""
        return jnp.full((*state.shape[:-1], self.num_actions), 1 / self.num_actions)

    def __call__(self, parameters: Any, uniform: Float[Array, ""], state: Float[Array, " coordinate"]) -> Array:
        return jnp.minimum((uniform * self.num_actions).astype(jnp.int32), self.num_actions - 1)


@dataclass(frozen=True)
class _Called:
    """What a function of the state says."""

    function: Callable[[Array], Any]

    def __call__(self, parameters: Any, uniform: Float[Array, ""], state: Float[Array, " coordinate"]) -> Array:
        return jnp.asarray(self.function(state)).astype(jnp.int32)


def fit_variables(
    policy: FittedPolicy | StagedPolicy, places: NDArray[np.float64]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a plan's Dataset holds of a fit of Q, and says of it in attrs.

    Parameters
    ----------
    policy : FittedPolicy or StagedPolicy
    places : array [place, coordinate]
        Where Q, the policy and the features are listed.

    Returns
    -------
    variables, attrs : dict
    """
    mdp, approximation, q = policy.mdp, policy.approximation, policy.q(places)
    staged = isinstance(policy, StagedPolicy)
    stage, fit = ("stage",) * staged, policy.fits if isinstance(policy, StagedPolicy) else policy.fit
    leaves = {f"{FIT}{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(fit))}
    variables: dict[str, Any] = {
        "q": ((*stage, "place", "action"), q),
        "policy": ((*stage, "place"), label_array(mdp.actions)[q.argmax(-1)]),
        "places": (("place", "coordinate"), places),
        "features": (("place", "feature"), features_of(mdp, places)),
        **{
            name: ((*stage, *(f"{name}_axis_{i}" for i in range(leaf.ndim - staged))), leaf)
            for name, leaf in leaves.items()
        },
    }
    named = {type(known): name for name, known in APPROXIMATIONS.items()}
    kind = named.get(type(approximation), "")
    options = asdict(approximation) if kind else {}  # type: ignore[call-overload]
    attrs = {"approximation": json.dumps({"name": kind or repr(approximation), **options}), "mdp": mdp.name}
    return variables, attrs


def fitted_policy(
    plan: xr.Dataset, mdp: SimulatedMDP, approximation: Approximation | None = None
) -> FittedPolicy | StagedPolicy:
    """Make a fitted plan, or its file, a policy again that can be asked at any state.

    Parameters
    ----------
    plan : Dataset
        From :func:`~bayesmdp.plan` of a simulated problem, or read from the file that its ``to_netcdf`` wrote.
    mdp : SimulatedMDP
        The problem, whose functions no file holds.
    approximation : Approximation, optional
        That of the plan, where it is one of your own.

    Returns
    -------
    FittedPolicy, or StagedPolicy of a plan for a number of steps

    Raises
    ------
    TypeError
        If `plan` is no Dataset.
    ValueError
        If it is no fitted plan, or one of another problem: other actions, coordinates, features or horizon.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> plan = bm.solve(lake, solver=bm.planning.FittedQ(places=64, samples=2))
    >>> fitted_policy(plan, lake).q([0.5, 0.5]).shape
    (4,)
    """
    if not isinstance(plan, xr.Dataset):
        raise TypeError(f"plan must be the Dataset that plan returns; got {type(plan).__name__}")
    if plan.attrs.get("solver") == GAIN:
        raise ValueError(
            "the plan does in some states as its baseline does, which it does not hold: "
            "bm.planning.gain_policy(plan, mdp, baseline) asks it"
        )
    if plan.attrs.get("solver") == SOLVER:
        raise ValueError("the plan has no fit of Q, it samples futures: bm.planning.futures_policy(plan, mdp) asks it")
    if "approximation" not in plan.attrs or f"{FIT}0" not in plan:
        raise ValueError("the Dataset is no fitted plan: it holds no fit of Q, as a plan of a SimulatedMDP does")
    of = f"the plan is of another problem, {plan.attrs.get('mdp', 'without a name')!r}"
    check_same_problem(of, plan["action"].values.tolist(), plan["places"].values, plan["features"].values, mdp)
    stages = plan.sizes.get("stage")
    check_horizon(of, stages, mdp)
    told = json.loads(plan.attrs["approximation"])
    name = told.pop("name")
    if approximation is None:
        if name not in APPROXIMATIONS:
            raise ValueError(f"the plan's Q is a {name}, which is not of this package: pass approximation= as it was")
        approximation = type(APPROXIMATIONS[name])(**told)
    sizes = plan.sizes["feature"], mdp.num_actions
    with jax.enable_x64(True):
        like = jax.eval_shape(lambda key: approximation.init(key, *sizes), jax.random.key(0))
    shapes, tree = jax.tree.flatten(like)
    by_stage = () if stages is None else (stages,)
    held = [plan[f"{FIT}{i}"].values for i in range(sum(str(each).startswith(FIT) for each in plan.data_vars))]
    if [leaf.shape for leaf in held] != [(*by_stage, *leaf.shape) for leaf in shapes]:
        raise ValueError(f"the plan's fit of Q has the shapes {[leaf.shape for leaf in held]}; {name} has others")
    leaves = [np.asarray(leaf, shape.dtype) for leaf, shape in zip(held, shapes, strict=True)]
    made = FittedPolicy if stages is None else StagedPolicy
    return made(mdp, approximation, jax.tree.unflatten(tree, leaves))


def state_policy(mdp: SimulatedMDP, policy: Any) -> StatePolicy:
    """Read a policy on a space of numbers, in whatever form it is written.

    Parameters
    ----------
    mdp : SimulatedMDP
    policy : "uniform", plan, FittedPolicy, StagedPolicy, FuturesPolicy, GainPolicy, a behaviour, or callable
        A function takes a state [coordinate] and returns the position of an action; it is traced, so make it of JAX's
        functions. A plan is the Dataset that `plan` returns.

    Returns
    -------
    StatePolicy

    Raises
    ------
    TypeError, ValueError
        For anything else; for a plan of another problem; for a function that returns no position of an action: with the
        state.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> state_policy(lake, lambda state: state[0])
    Traceback (most recent call last):
      ...
    TypeError: policy(state) is float64 of shape (); it must be the position of an action, one whole number...
    """
    if isinstance(policy, xr.Dataset):
        by_futures = policy.attrs.get("solver") == SOLVER
        policy = futures_policy(policy, mdp) if by_futures else fitted_policy(policy, mdp)
    if isinstance(made := getattr(policy, "policy", None), StatePolicy):
        made_in = getattr(policy, "mdp", mdp)  # a behaviour is of no problem
        if isinstance(policy, StagedPolicy):
            check_horizon(f"the policy is of another problem, {made_in.name!r}", made_in.horizon, mdp)
        if made_in is not mdp:
            places = np.concatenate([made_in.problem.start[None], made_in.problem.anchors])
            of = f"the policy is of another problem, {made_in.name!r}"
            check_same_problem(of, label_array(made_in.actions).tolist(), places, features_of(made_in, places), mdp)
        return made
    if isinstance(policy, str) and policy == "uniform":
        return StatePolicy(_AtRandom(mdp.num_actions), ())
    if not callable(policy):
        raise TypeError(
            f"policy must be 'uniform', a plan, or a function of states, on a continuous space; got {policy!r}"
        )
    with jax.enable_x64(True):
        told = jax.eval_shape(lambda state: jnp.asarray(policy(state)), jnp.zeros(mdp.problem.start.shape))
        if told.shape or not jnp.issubdtype(told.dtype, jnp.integer):
            raise TypeError(
                f"policy(state) is {told.dtype} of shape {told.shape}; it must be the position of an action, one whole "
                "number: actions are a finite list, so of continuous ones give a grid"
            )
        places = np.concatenate([mdp.problem.start[None], mdp.problem.anchors])
        taken = np.asarray(jax.jit(jax.vmap(policy))(places))
    wrong = np.flatnonzero((taken < 0) | (taken >= mdp.num_actions))
    if wrong.size:
        raise ValueError(
            f"policy({places[wrong[0]].tolist()}) is {taken[wrong[0]]}; the actions of {mdp.name} are 0 to "
            f"{mdp.num_actions - 1}"
        )
    return StatePolicy(_Called(policy), ())
