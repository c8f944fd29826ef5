"""Logs of environments of Gymnasium, and policies as functions of its observations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.typing import ArrayLike
from numpy.typing import NDArray

from bayesmdp.environments.classic_control import control_problem, is_control, state_shown
from bayesmdp.environments.gymnasium_spaces import environment, import_gymnasium, name_of, numbers_of
from bayesmdp.foundation.validation import integer
from bayesmdp.logs.log import make_log
from bayesmdp.planning.state_policies import state_policy
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities
from bayesmdp.problems.simulated_mdp import SimulatedMDP

if TYPE_CHECKING:
    import gymnasium

__all__ = ["collect_gymnasium", "policy_function"]

type PolicyLike = str | ArrayLike | xr.DataArray | xr.Dataset


def collect_gymnasium(
    env: str | gymnasium.Env[Any, Any],
    policy: PolicyLike | Callable[[Any], Any] = "uniform",
    *,
    steps: int | None = None,
    episodes: int | None = None,
    seed: int = 0,
    mdp: MDP | SimulatedMDP | None = None,
) -> xr.Dataset:
    """A log of a policy acting in an environment of Gymnasium, as `collect` makes one of an MDP.

    Parameters
    ----------
    env : str or gymnasium.Env
        An id, or an environment. Its time limit truncates episodes.
    policy : "uniform", action labels [state], probabilities [state, action], or callable
        A plan's ``policy`` will do. A callable takes Gymnasium's observation and returns Gymnasium's action.
    steps, episodes : int
        How many of either to record; give one. Episodes must end some time.
    seed : int
        Of the environment, at its first reset, and of the policy: the same log every time.
    mdp : MDP or SimulatedMDP, optional
        Gives the labels, and the actions over which "uniform" is; by default the one that `to_gymnasium` was given, or
        else the labels are Gymnasium's numbers. Where observations are numbers it says which states they show.

    Returns
    -------
    Dataset
        ``state``, ``action``, ``reward``, ``next_state`` (labels, or numbers [step, coordinate]), ``terminated`` and
        ``truncated`` over ``step``.

    Raises
    ------
    ImportError
        If Gymnasium is not installed.
    TypeError
        If `env` is no environment, or its observations are neither `Discrete` nor a `Box` of one axis.
    ValueError, KeyError
        For a policy or a problem that does not fit the environment; unless one of `steps` and `episodes` is given; if
        the problem must be said and is not.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.from_gymnasium("FrozenLake-v1")
    >>> log = bm.environments.collect_gymnasium("FrozenLake-v1", bm.solve(lake).policy, episodes=3)
    >>> int((log.terminated | log.truncated).sum())
    3
    """
    if (steps is None) == (episodes is None):
        raise ValueError("give either steps or episodes, and not both")
    limit = integer("steps", steps, 1) if episodes is None else integer("episodes", episodes, 1)
    seed = integer("seed", seed, 0)
    world = environment(env)
    numbered = isinstance(world.observation_space, import_gymnasium().spaces.Discrete)
    record = _record_labels if numbered else _record_numbers
    return record(world, policy, steps=limit if episodes is None else None, episodes=episodes, seed=seed, mdp=mdp)


def _walk(
    world: Any,
    choose: Callable[[Any], tuple[Any, Any]],
    read: Callable[[Any], Any],
    *,
    steps: int | None,
    episodes: int | None,
    seed: int,
) -> list[tuple[Any, ...]]:
    """Steps as (state, what is logged of the action, reward, next state, terminated, truncated).

    ``choose(observation)`` gives Gymnasium's action and what is logged of it; ``read(observation)`` the state.
    """
    rows: list[tuple[Any, ...]] = []
    ends = 0
    observation, _ = world.reset(seed=seed)
    while (len(rows) < steps) if steps is not None else (ends < episodes):  # type: ignore[operator] # one of them is
        state = read(observation)
        action, logged = choose(observation)
        observation, reward, terminated, truncated, _ = world.step(action)
        # A time limit reached on the very step that terminates cuts nothing off.
        cut = bool(truncated) and not terminated
        rows.append((state, logged, float(reward), read(observation), bool(terminated), cut))
        if terminated or truncated:
            ends += 1
            observation, _ = world.reset()
    return rows


def _record_labels(
    world: Any, policy: Any, *, steps: int | None, episodes: int | None, seed: int, mdp: Any
) -> xr.Dataset:
    """A log of an environment whose observations are numbered."""
    states, actions = numbers_of(world, "observation"), numbers_of(world, "action")
    mdp = _labels(world, mdp, len(states), len(actions))
    act = None if callable(policy) else policy_function(policy, mdp, seed=seed)

    def choose(observation: Any) -> tuple[Any, int]:
        action = policy(observation) if act is None else actions[act(states.index(observation))]
        return action, actions.index(action)

    rows = _walk(world, choose, states.index, steps=steps, episodes=episodes, seed=seed)
    state, action, reward, next_state, terminated, truncated = (np.array(column) for column in zip(*rows, strict=True))
    if mdp.num_states > len(states):  # the extra terminal state of from_gymnasium, which is no observation
        next_state = np.where(terminated & ~mdp.terminal[next_state], len(states), next_state)
    return make_log(mdp, state, action, reward, next_state, terminated, truncated)


def _record_numbers(
    world: Any, policy: Any, *, steps: int | None, episodes: int | None, seed: int, mdp: Any
) -> xr.Dataset:
    """A log of an environment whose observations show numbers."""
    spaces = import_gymnasium().spaces
    if not isinstance(world.observation_space, spaces.Box) or len(world.observation_space.shape) != 1:
        raise TypeError(
            f"{name_of(world)} has the observation space {world.observation_space}; a log needs a Discrete one, or a "
            "Box of one axis"
        )
    mdp = getattr(world.unwrapped, "mdp", None) if mdp is None else for_space({"simulated": mdp}, mdp)
    counted = isinstance(world.action_space, spaces.Discrete)
    if mdp is None and is_control(world) and counted:
        mdp = control_problem(world, 0.99, None, None, name_of(world))
    if mdp is None and (not counted or not callable(policy)):
        raise ValueError(f"say with mdp= which states and actions {name_of(world)} has, as from_gymnasium returns them")
    labels = list(numbers_of(world, "action")) if mdp is None else list(mdp.actions)
    offered = list(numbers_of(world, "action")) if counted else [np.array([each], np.float32) for each in labels]
    if len(labels) != len(offered):
        raise ValueError(f"{mdp.name} has {len(labels)} actions; {name_of(world)} has {len(offered)}")
    act = None if callable(policy) else policy_function(policy, mdp, seed=seed)

    def read(observation: Any) -> NDArray[np.float64]:
        given = np.asarray(observation, float)
        return given if mdp is None else state_shown(given, mdp.problem.start.size)

    def choose(observation: Any) -> tuple[Any, int]:
        if act is not None:
            position = act(observation)
            return offered[position], position
        action = policy(observation)
        near = [position for position, each in enumerate(offered) if np.allclose(np.asarray(each), action)]
        if not near:
            raise ValueError(f"the policy chose {action!r}, which is none of the actions {labels}")
        return action, near[0]

    rows = _walk(world, choose, read, steps=steps, episodes=episodes, seed=seed)
    state, action, reward, next_state, terminated, truncated = (np.array(column) for column in zip(*rows, strict=True))
    return xr.Dataset(
        {
            "state": (("step", "coordinate"), state),
            "action": ("step", label_array(tuple(labels))[action]),
            "reward": ("step", reward),
            "next_state": (("step", "coordinate"), next_state),
            "terminated": ("step", terminated),
            "truncated": ("step", truncated),
        },
        coords={"step": np.arange(len(rows))},
        attrs={"mdp": name_of(world) if mdp is None else mdp.name, "actions": labels},
    )


def policy_function(policy: PolicyLike, mdp: MDP | SimulatedMDP, *, seed: int = 0) -> Callable[[Any], int]:
    """A policy as a function from observation to action, for a Gymnasium loop.

    Parameters
    ----------
    policy : "uniform", action labels [state], or probabilities [state, action]
        A plan's ``policy`` will do. Where states are numbers, what `evaluate` takes: a plan, or a function of states.
    mdp : MDP or SimulatedMDP
        Whose labels the policy uses, its states and actions numbered as in the environment, from 0.
    seed : int
        Of the actions drawn, independent of those of an environment that is reset with the same seed.

    Returns
    -------
    callable
        ``act(observation) -> action``, both positions; where states are numbers the observation shows the state, with
        angles perhaps as cosines and sines (:mod:`bayesmdp.environments.classic_control`).

    Raises
    ------
    ValueError, KeyError
        For a policy that does not fit the problem; the function raises `ValueError` for an observation that is no
        state.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> act = bm.environments.policy_function(bm.solve(river).policy, river)
    >>> act(0)
    1
    """
    # Gymnasium makes its generator of the bare seed; drawing the same numbers as the environment would couple the two.
    rng = np.random.default_rng(np.random.SeedSequence(integer("seed", seed, 0), spawn_key=(1,)))
    return for_space(FUNCTIONS, mdp)(policy, mdp, rng)


def _of_labels(policy: PolicyLike, mdp: MDP, rng: np.random.Generator) -> Callable[[Any], int]:
    """A policy of a finite MDP."""
    probabilities = policy_probabilities(mdp, policy)
    cumulative = probabilities.cumsum(-1)
    cumulative /= cumulative[:, -1:]

    def act(observation: Any) -> int:
        state = int(observation)
        if not 0 <= state < mdp.num_states:
            raise ValueError(f"the observation {state} is no position among the {mdp.num_states} states of {mdp.name}")
        return int(cumulative[state].searchsorted(rng.random(), side="right"))

    return act


def _of_numbers(policy: Any, mdp: SimulatedMDP, rng: np.random.Generator) -> Callable[[Any], int]:
    """A policy on a space of numbers."""
    acted = state_policy(mdp, policy)
    if hasattr(acted.rule, "at_stage"):
        raise ValueError(
            f"the policy is by stage, and an observation of {mdp.name} does not tell how many steps were taken: give "
            "that of one stage, bm.planning.fitted_policy(plan, mdp).at(0)"
        )

    def act(observation: Any) -> int:
        state = state_shown(observation, mdp.problem.start.size)
        with jax.enable_x64(True):
            return int(_chosen(acted.parameters, rng.random(), state, rule=acted.rule))

    return act


@partial(jax.jit, static_argnames="rule")
def _chosen(parameters: Any, uniform: float, state: NDArray[np.float64], *, rule: Callable[..., Any]) -> Any:
    return rule(jax.tree.map(jnp.asarray, parameters), uniform, state)


FUNCTIONS: Mapping[str, Callable[..., Callable[[Any], int]]] = {"finite": _of_labels, "simulated": _of_numbers}
"""What makes a function of a policy, by the kind of a problem's states."""


def _labels(env: Any, mdp: MDP | None, num_states: int, num_actions: int) -> MDP:
    """The MDP whose labels a log of `env` is written with."""
    mdp = getattr(env.unwrapped, "mdp", None) if mdp is None else mdp
    if mdp is None:
        nothing = np.zeros((num_states, num_actions))
        states, actions = numbers_of(env, "observation"), numbers_of(env, "action")
        return MDP(reward=nothing, discount=0.5, states=states, actions=actions, name=name_of(env))
    # The extra terminal state of from_gymnasium is no observation.
    seen = num_states + (mdp.num_states == num_states + 1 and bool(mdp.terminal[-1]))
    if (mdp.num_states, mdp.num_actions) != (seen, num_actions):
        raise ValueError(
            f"{mdp.name} has {mdp.num_states} states and {mdp.num_actions} actions; {name_of(env)} has {num_states} "
            f"observations and {num_actions} actions"
        )
    return mdp
