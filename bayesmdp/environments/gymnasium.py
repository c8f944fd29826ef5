"""Gymnasium both ways: its toy-text tables as MDPs, MDPs as its environments, and any policy acting in either.

Gymnasium numbers states and actions. Position i of an MDP's `states` is the observation numbered i, counted from the
observation space's start, and likewise for actions; the labels are ours. What becomes of a table's terminations is
told in :mod:`bayesmdp.environments.toy_text`.

Gymnasium's agents may take any action at any time. In :func:`to_gymnasium` an action that is not available does what an
available one does, drawn uniformly (as in ICU-Sepsis). That leaves what can be earned as it is, which "do nothing"
would not wherever rewards are negative.

Gymnasium is an optional dependency, ``pip install "bayesmdp[gymnasium]"``, imported when a function here is called.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from jax.typing import ArrayLike

from bayesmdp.environments.toy_text import mdp_from_table
from bayesmdp.foundation.extras import brought_by
from bayesmdp.foundation.validation import integer
from bayesmdp.logs.log import make_log
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import policy_probabilities

if TYPE_CHECKING:
    import gymnasium

__all__ = ["collect_gymnasium", "from_gymnasium", "policy_function", "to_gymnasium"]

type PolicyLike = str | ArrayLike | xr.DataArray


def from_gymnasium(
    env: str | gymnasium.Env[Any, Any],
    *,
    discount: float = 0.99,
    initial: Hashable | ArrayLike | None = None,
    name: str | None = None,
    **options: Any,
) -> MDP:
    """The MDP that a toy-text environment of Gymnasium is.

    Parameters
    ----------
    env : str or gymnasium.Env
        An id such as "FrozenLake-v1", or an environment with a table ``env.unwrapped.P``, which is taken at its word.
        An empty or missing list of outcomes is an action that is not available. Time limits are not part of an MDP.
    discount : float
    initial : label or array [state], optional
        Where episodes start; by default what the environment's ``initial_state_distrib`` says.
    name : str, optional
        The environment's id by default.
    **options
        For ``gymnasium.make``, if `env` is an id.

    Returns
    -------
    MDP
        On a successor table, with reward [state, action, outcome]; its labels are Gymnasium's numbers.

    Raises
    ------
    ImportError
        If Gymnasium is not installed.
    TypeError
        If `env` is no environment, or its observations or actions are not `Discrete`.
    ValueError
        If it has no table or no initial distribution, or the table leads out of the observations.

    See Also
    --------
    bayesmdp.environments.to_gymnasium : the other way.

    Notes
    -----
    *What it asks.* Whatever Gymnasium's tables ask.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.from_gymnasium("FrozenLake-v1", map_name="4x4")
    >>> lake
    MDP('FrozenLake-v1': 16 states, 4 actions, discount 0.99)
    >>> round(float(bm.solve(lake).value[0]), 6)
    0.542026
    """
    made = _environment(env, **options)
    name = name or _name(made)
    states, actions = _numbers(made, "observation"), _numbers(made, "action")
    table = getattr(made.unwrapped, "P", None)
    if table is None:
        raise ValueError(f"{name} has no transition table P, as toy-text environments have; log it: collect_gymnasium")
    if initial is None:
        initial = getattr(made.unwrapped, "initial_state_distrib", None)
        if initial is None:
            raise ValueError(f"{name} has no initial_state_distrib; say where episodes start with initial=")
    return mdp_from_table(table, states, actions, initial=initial, discount=discount, name=name)


def to_gymnasium(
    mdp: MDP,
    *,
    max_steps: int | None = None,
    unavailable: Literal["mean", "raise"] = "mean",
    render_mode: Literal["ansi"] | None = None,
) -> gymnasium.Env[Any, Any]:
    """An MDP as an environment of Gymnasium, for its agents and wrappers.

    Parameters
    ----------
    mdp : MDP
        With a transition.
    max_steps : int, optional
        Steps after which an episode is truncated.
    unavailable : {"mean", "raise"}
        What an action that is not available does: what an available one does, drawn uniformly; or raise `ValueError`.
    render_mode : {"ansi"}, optional
        Let ``render()`` return the state's label as text.

    Returns
    -------
    gymnasium.Env
        `Discrete` observations and actions, the positions in `mdp.states` and `mdp.actions`. ``info`` has ``state``,
        the label, and ``action_mask``, int8 [action] as ``action_space.sample(mask)`` takes it: 1 where available.
        ``reset`` takes a seed and no options. ``gymnasium.make_vec(env.spec, num_envs=8)`` makes several at once.
        ``env.unwrapped`` has ``mdp``, ``initial_state_distrib`` and, made when first used, the table ``P``.

    Raises
    ------
    ImportError
        If Gymnasium is not installed.
    ValueError
        If the MDP has no transition, or an option is none of the above.

    See Also
    --------
    bayesmdp.environments.from_gymnasium : the other way.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> env = bm.environments.to_gymnasium(bm.environments.riverswim(6), max_steps=20)
    >>> observation, info = env.reset(seed=0)
    >>> observation, reward, terminated, truncated, info = env.step(0)
    >>> observation, reward, info["action_mask"].tolist()
    (0, 0.005, [1, 1])
    """
    make = for_space(WRAPPERS, mdp)
    if mdp.transition is None:
        raise ValueError(f"{mdp.name} has no transition, so nothing can be played in it")
    if unavailable not in ("mean", "raise"):
        raise ValueError(f"unavailable must be 'mean' or 'raise'; got {unavailable!r}")
    if render_mode not in (None, "ansi"):
        raise ValueError(f"render_mode must be 'ansi' or None; got {render_mode!r}")
    max_steps = None if max_steps is None else integer("max_steps", max_steps, 1)
    return make(mdp, max_steps, unavailable, render_mode)


def _tabular_env(mdp: MDP, max_steps: int | None, unavailable: str, render_mode: str | None) -> gymnasium.Env[int, int]:
    _gymnasium()
    from bayesmdp.environments.tabular_env import TabularEnv

    return TabularEnv(mdp, max_steps, unavailable, render_mode)


WRAPPERS = {"finite": _tabular_env}
"""What makes a Gymnasium environment of a problem, by the kind of its states."""


def collect_gymnasium(
    env: str | gymnasium.Env[Any, Any],
    policy: PolicyLike | Callable[[Any], Any] = "uniform",
    *,
    steps: int | None = None,
    episodes: int | None = None,
    seed: int = 0,
    mdp: MDP | None = None,
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
    mdp : MDP, optional
        Gives the labels, and the actions over which "uniform" is; by default the one that `to_gymnasium` was given, or
        else the labels are Gymnasium's numbers.

    Returns
    -------
    Dataset
        ``state``, ``action``, ``reward``, ``next_state`` (labels), ``terminated`` and ``truncated`` over ``step``.

    Raises
    ------
    ImportError
        If Gymnasium is not installed.
    TypeError
        If `env` is no environment, or its observations or actions are not `Discrete`.
    ValueError, KeyError
        For a policy or an MDP that does not fit the environment; unless one of `steps` and `episodes` is given.

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
    world = _environment(env)
    states, actions = _numbers(world, "observation"), _numbers(world, "action")
    mdp = _labels(world, mdp, len(states), len(actions))
    choose = None if callable(policy) else policy_function(policy, mdp, seed=seed)
    rows: list[tuple[int, int, float, int, bool, bool]] = []
    ends = 0
    observation, _ = world.reset(seed=seed)
    while (len(rows) if episodes is None else ends) < limit:
        state = states.index(observation)
        action = actions[choose(state)] if choose is not None else policy(observation)  # type: ignore[operator]
        observation, reward, terminated, truncated, _ = world.step(action)
        next_state = states.index(observation)
        if terminated and mdp.num_states > len(states) and not mdp.terminal[next_state]:
            next_state = len(states)
        rows.append((state, actions.index(action), float(reward), next_state, bool(terminated), bool(truncated)))
        if terminated or truncated:
            ends += 1
            observation, _ = world.reset()
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    # A time limit reached on the very step that terminates cuts nothing off.
    columns[-1] &= ~columns[-2]
    return make_log(mdp, *columns)


def policy_function(policy: PolicyLike, mdp: MDP, *, seed: int = 0) -> Callable[[Any], int]:
    """A policy as a function from observation to action, for a Gymnasium loop.

    Parameters
    ----------
    policy : "uniform", action labels [state], or probabilities [state, action]
        A plan's ``policy`` will do.
    mdp : MDP
        Whose labels the policy uses, its states and actions numbered as in the environment, from 0.
    seed : int
        Of the actions drawn, independent of those of an environment that is reset with the same seed.

    Returns
    -------
    callable
        ``act(observation) -> action``, both positions.

    Raises
    ------
    ValueError, KeyError
        For a policy that does not fit the MDP; the function raises `ValueError` for an observation that is no state.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> act = bm.environments.policy_function(bm.solve(river).policy, river)
    >>> act(0)
    1
    """
    probabilities = policy_probabilities(mdp, policy)
    # Gymnasium makes its generator of the bare seed; drawing the same numbers as the environment would couple the two.
    rng = np.random.default_rng(np.random.SeedSequence(integer("seed", seed, 0), spawn_key=(1,)))
    cumulative = probabilities.cumsum(-1)
    cumulative /= cumulative[:, -1:]

    def act(observation: Any) -> int:
        state = int(observation)
        if not 0 <= state < mdp.num_states:
            raise ValueError(f"the observation {state} is no position among the {mdp.num_states} states of {mdp.name}")
        return int(cumulative[state].searchsorted(rng.random(), side="right"))

    return act


def _gymnasium() -> Any:
    with brought_by("gymnasium"):
        import gymnasium
    return gymnasium


def _environment(env: Any, **options: Any) -> Any:
    gymnasium = _gymnasium()
    if isinstance(env, str):
        return gymnasium.make(env, **options)
    if not isinstance(env, gymnasium.Env):
        raise TypeError(f"env must be an id or a gymnasium.Env; got {type(env).__name__}")
    if options:
        raise TypeError(f"{', '.join(options)}: options are for gymnasium.make, and env is made already")
    return env


def _name(env: Any) -> str:
    return str(env.spec.id) if env.spec is not None else type(env.unwrapped).__name__


def _numbers(env: Any, kind: Literal["observation", "action"]) -> range:
    """Gymnasium's numbers for states or actions."""
    space = getattr(env, f"{kind}_space")
    if not isinstance(space, _gymnasium().spaces.Discrete):
        raise TypeError(f"{_name(env)} has the {kind} space {space}; a finite MDP needs a Discrete one")
    return range(int(space.start), int(space.start + space.n))


def _labels(env: Any, mdp: MDP | None, num_states: int, num_actions: int) -> MDP:
    """The MDP whose labels a log of `env` is written with."""
    mdp = getattr(env.unwrapped, "mdp", None) if mdp is None else mdp
    if mdp is None:
        nothing = np.zeros((num_states, num_actions))
        states, actions = _numbers(env, "observation"), _numbers(env, "action")
        return MDP(reward=nothing, discount=0.5, states=states, actions=actions, name=_name(env))
    # The extra terminal state of from_gymnasium is no observation.
    seen = num_states + (mdp.num_states == num_states + 1 and bool(mdp.terminal[-1]))
    if (mdp.num_states, mdp.num_actions) != (seen, num_actions):
        raise ValueError(
            f"{mdp.name} has {mdp.num_states} states and {mdp.num_actions} actions; {_name(env)} has {num_states} "
            f"observations and {num_actions} actions"
        )
    return mdp
