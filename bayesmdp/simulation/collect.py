"""Logs of the steps of a fixed policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import lax, random
from jaxtyping import Bool, Float, Int, Num
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer
from bayesmdp.logs.log import make_log
from bayesmdp.model_reading.primitives import per_row, row_counts
from bayesmdp.model_reading.read_model import Model, sites
from bayesmdp.model_reading.records import Records
from bayesmdp.planning.state_policies import state_policy
from bayesmdp.planning.state_rules import after_steps
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_by_stage, policy_probabilities
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import simulated_world
from bayesmdp.problems.world import AGENT, NOISE, Step, cut_off
from bayesmdp.simulation.walk import follow_policy

__all__ = ["collect"]


def collect(
    mdp: MDP | SimulatedMDP,
    policy: str | ArrayLike | xr.DataArray | xr.Dataset | Callable[[Array], Array] = "uniform",
    *,
    steps: int,
    seed: int = 0,
) -> xr.Dataset:
    """Return a log of a fixed policy acting in a problem.

    Parameters
    ----------
    mdp : MDP or SimulatedMDP
        One with a horizon is collected from in episodes of that many steps, cut off after the last.
    policy : "uniform", action labels [state], or probabilities [state, action]
        ``plan.policy`` of `plan` will do. Uniform is over the available actions. Where the MDP has a horizon, a policy
        may be by stage. On a space of numbers "uniform", a plan itself, or a function of the state that gives the
        index of the action.
    steps : int
        Rows of the log.
    seed : int
        With `steps` it determines the log.

    Returns
    -------
    Dataset
        ``state``, ``action``, ``reward``, ``next_state`` (labels), ``terminated`` and ``truncated`` over ``step``. On a
        space of numbers also what else the model draws, and its ``terminal`` where a state may end an episode too.

    Raises
    ------
    ValueError, KeyError
        For a policy of another shape, with an unknown or unavailable action, or probabilities that do not sum to 1.

    See Also
    --------
    bayesmdp.read_log : a log that was recorded elsewhere.
    bayesmdp.simulate : agents that learn while they act.
    bayesmdp.environments.collect_gymnasium : the same in an environment of Gymnasium.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=3, seed=0)
    >>> sorted(map(str, log))
    ['action', 'next_state', 'reward', 'state', 'terminated', 'truncated']
    """
    collector = for_space(COLLECTORS, mdp)
    return collector(mdp, policy, integer("steps", steps, 1), integer("seed", seed, 0))


def _collect_transitions(mdp: MDP, policy: str | ArrayLike | xr.DataArray, steps: int, seed: int) -> xr.Dataset:
    """Collect a log in a finite MDP."""
    if mdp.transition is None:
        raise ValueError(f"{mdp.name} has no transition, so nothing can be collected from it")
    probabilities = policy_by_stage(mdp, policy) if mdp.by_stage else policy_probabilities(mdp, policy)[None]
    with jax.enable_x64(True):
        follow = partial(follow_policy, world=mdp.world, steps=steps, length=mdp.length)
        seen, cut = follow(random.key(seed), mdp.problem, mdp.transition, probabilities)
    return make_log(mdp, *(seen.state, seen.action, seen.reward, seen.next_state), seen.last, cut)


def _collect_records(mdp: SimulatedMDP, policy: Any, steps: int, seed: int) -> xr.Dataset:
    """Collect a log on a space of numbers."""
    if mdp.truth is None:
        raise ValueError(f"{mdp.name} has no truth, so nothing can be collected from it")
    acted = state_policy(mdp, policy)
    with jax.enable_x64(True):
        problem = jax.device_put(mdp.problem)
        truth = {name: jnp.asarray(value) for name, value in mdp.truth.items()}
        world = simulated_world(problem, truth)
        uniforms = random.uniform(random.key(seed), (steps, NOISE))
        parameters = jax.tree.map(jnp.asarray, acted.parameters)

        def move(
            moment: tuple[Float[Array, " coordinate"], Int[Array, ""]], uniforms: Float[Array, " place"]
        ) -> tuple[tuple[Float[Array, " coordinate"], Int[Array, ""]], tuple[Step, Bool[Array, ""]]]:
            state, age = moment
            action = acted.rule(after_steps(acted.rule, parameters, age), uniforms[AGENT], state)
            step, following = world.step(uniforms, state, action)
            if world.length is None:
                return (following, age), (step, jnp.zeros((), bool))
            following, age, cut = cut_off(world, uniforms, step, following, age)
            return (following, age), (step, cut)

        first = world.start(random.fold_in(random.key(seed), 2**31)), jnp.int32(0)
        seen, cut = jax.tree.map(np.asarray, lax.scan(move, first, uniforms)[1])
    actions = np.array(mdp.actions, dtype=object if len({type(a) for a in mdp.actions}) > 1 else None)
    columns: dict[str, Any] = {
        "state": (("step", "coordinate"), seen.state),
        "action": ("step", actions[seen.action]),
        "reward": ("step", seen.reward),
        "next_state": (("step", "coordinate"), seen.next_state),
        "terminated": ("step", seen.last),
        "truncated": ("step", cut),
    }
    columns |= {
        name: (("step", *(f"{name}_axis_{i}" for i in range(values.ndim - 1))), values)
        for name, values in _where_counted(mdp, seen).items()
    }
    attrs = {"mdp": mdp.name, "actions": list(mdp.actions)}
    return xr.Dataset(columns, coords={"step": np.arange(steps)}, attrs=attrs)


COLLECTORS: Mapping[str, Callable[..., xr.Dataset]] = {"finite": _collect_transitions, "simulated": _collect_records}
"""How logs are made, by the kind of a problem's states."""


def _where_counted(mdp: SimulatedMDP, seen: Step) -> dict[str, NDArray[Any]]:
    """Return the primitives of steps that a log does not hold anyway, NaN where the model masks them."""
    drawn: dict[str, NDArray[Any]] = {name: np.asarray(values) for name, values in seen.outcome.items()}
    data = Records(np.asarray(seen.state), np.asarray(seen.action), drawn, np.ones(len(seen.state)))
    with jax.enable_x64(True):
        counted = _counted(mdp.model, data)
    # Where some states end an episode by themselves, `terminated` does not say what the model drew of a step into one.
    held = {"next_state", "reward"} | ({"terminal"} if mdp.problem.terminal is None else set())
    primitives = {}
    for name, values in drawn.items():
        if name in held:
            continue
        counts = np.asarray(counted[name]) > 0
        shaped = counts.reshape(-1, *(1,) * (values.ndim - 1))
        primitives[name] = values if counts.all() else np.where(shaped, values.astype(float), np.nan)
    return primitives


@partial(jax.jit, static_argnames="model")
def _counted(model: Model, data: Records) -> dict[str, Num[Array, " row"]]:
    """Return how often each row of each primitive counts."""
    return {name: row_counts(site, len(data.weight)) for name, site in per_row(sites(model, data)).items()}
