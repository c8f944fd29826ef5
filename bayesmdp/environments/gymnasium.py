"""Gymnasium both ways: its toy-text tables and classic control as problems, problems as its environments, and policies.

Gymnasium numbers states and actions. Position i of an MDP's `states` is the observation numbered i, counted from the
observation space's start, and likewise for actions; the labels are ours. What becomes of a table's terminations is
told in :mod:`bayesmdp.environments.toy_text`. Where states are numbers, observations show them; for angles see
:mod:`bayesmdp.environments.classic_control`.

Gymnasium's agents may take any action at any time. In :func:`to_gymnasium` an action that is not available does what an
available one does, drawn uniformly (as in ICU-Sepsis). That leaves what can be earned as it is, which "do nothing"
would not wherever rewards are negative.

Gymnasium is an optional dependency, ``pip install "bayesmdp[gymnasium]"``, imported when a function here is called.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from jax.typing import ArrayLike

from bayesmdp.environments.classic_control import control_problem, is_control
from bayesmdp.environments.gymnasium_spaces import environment, import_gymnasium, name_of, numbers_of
from bayesmdp.environments.toy_text import mdp_from_table
from bayesmdp.foundation.validation import integer
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.simulated_mdp import SimulatedMDP

if TYPE_CHECKING:
    import gymnasium

__all__ = ["from_gymnasium", "to_gymnasium"]


def from_gymnasium(
    env: str | gymnasium.Env[Any, Any],
    *,
    discount: float = 0.99,
    initial: Hashable | ArrayLike | None = None,
    name: str | None = None,
    actions: Sequence[float] | None = None,
    **options: Any,
) -> MDP | SimulatedMDP:
    """The problem that an environment of Gymnasium is: of toy text by its table, or one of classic control.

    Parameters
    ----------
    env : str or gymnasium.Env
        An id such as "FrozenLake-v1", or an environment with a table ``env.unwrapped.P``, which is taken at its word.
        An empty or missing list of outcomes is an action that is not available. Time limits are not part of an MDP.
        Or CartPole, MountainCar, Acrobot or Pendulum, of Gymnasium's classic control, whose time limit is the length of
        episodes. Other wrappers are not looked at.
    discount : float
    initial : label or array [state], or array [coordinate], optional
        Where episodes start; by default where the environment's do.
    name : str, optional
        The environment's id by default.
    actions : sequence of float from -2 to 2, optional
        For Pendulum, which takes any torque: those that are to be actions.
    **options
        For ``gymnasium.make``, if `env` is an id.

    Returns
    -------
    MDP or SimulatedMDP
        The first on a successor table, with reward [state, action, outcome]; its labels are Gymnasium's numbers.

    Raises
    ------
    ImportError
        If Gymnasium is not installed.
    TypeError
        If `env` is no environment, or neither of classic control nor with `Discrete` observations and actions.
    ValueError
        If it has no table or no initial distribution, or the table leads out of the observations; if it is of classic
        control with other numbers than Gymnasium's, or `actions` are missing, or given where they are not asked for.

    See Also
    --------
    bayesmdp.environments.to_gymnasium : the other way.

    Notes
    -----
    *What it asks.* Whatever Gymnasium's environments ask.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.from_gymnasium("FrozenLake-v1", map_name="4x4")
    >>> lake
    MDP('FrozenLake-v1': 16 states, 4 actions, discount 0.99)
    >>> round(float(bm.solve(lake).value[0]), 6)
    0.542026
    >>> bm.environments.from_gymnasium("Pendulum-v1", actions=[-2, 0, 2])
    SimulatedMDP('Pendulum-v1': 2 coordinates, 3 actions, discount 0.99)
    """
    made = environment(env, **options)
    name = name or name_of(made)
    if is_control(made):
        return control_problem(made, discount, actions, initial, name)
    if actions is not None:
        raise ValueError(f"{name} has a finite list of actions already: leave actions out")
    states, numbered = numbers_of(made, "observation"), numbers_of(made, "action")
    table = getattr(made.unwrapped, "P", None)
    if table is None:
        raise ValueError(f"{name} has no transition table P, as toy-text environments have; log it: collect_gymnasium")
    if initial is None:
        initial = getattr(made.unwrapped, "initial_state_distrib", None)
        if initial is None:
            raise ValueError(f"{name} has no initial_state_distrib; say where episodes start with initial=")
    return mdp_from_table(table, states, numbered, initial=initial, discount=discount, name=name)


def to_gymnasium(
    mdp: MDP | SimulatedMDP,
    *,
    max_steps: int | None = None,
    unavailable: Literal["mean", "raise"] = "mean",
    render_mode: Literal["ansi"] | None = None,
) -> gymnasium.Env[Any, Any]:
    """A problem as an environment of Gymnasium, for its agents and wrappers.

    Parameters
    ----------
    mdp : MDP or SimulatedMDP
        With a transition, or a truth.
    max_steps : int, optional
        Steps after which an episode is truncated; by default the problem's horizon, or the length of a SimulatedMDP.
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
        Rewards scatter as the `noise` of an MDP says. ``env.unwrapped`` has ``mdp``, ``initial_state_distrib`` and,
        made when first used, the table ``P``, of mean rewards.
        Of a SimulatedMDP observations are the states themselves, in a `Box` in 64 bits, without bounds unless steps are
        confined to the problem's; ``info`` has ``action_mask`` alone.

    Raises
    ------
    ImportError
        If Gymnasium is not installed.
    ValueError
        If the problem has no transition or no truth, or an option is none of the above.

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
    if unavailable not in ("mean", "raise"):
        raise ValueError(f"unavailable must be 'mean' or 'raise'; got {unavailable!r}")
    if render_mode not in (None, "ansi"):
        raise ValueError(f"render_mode must be 'ansi' or None; got {render_mode!r}")
    max_steps = None if max_steps is None else integer("max_steps", max_steps, 1)
    return make(mdp, max_steps, unavailable, render_mode)


def _tabular_env(mdp: MDP, max_steps: int | None, unavailable: str, render_mode: str | None) -> gymnasium.Env[int, int]:
    if mdp.transition is None:
        raise ValueError(f"{mdp.name} has no transition, so nothing can be played in it")
    import_gymnasium()
    from bayesmdp.environments.tabular_env import TabularEnv

    return TabularEnv(mdp, mdp.length if max_steps is None else max_steps, unavailable, render_mode)


def _simulated_env(
    mdp: SimulatedMDP, max_steps: int | None, unavailable: str, render_mode: str | None
) -> gymnasium.Env[Any, int]:
    mdp.check_acting(drawn=False)
    import_gymnasium()
    from bayesmdp.environments.simulated_env import SimulatedEnv

    return SimulatedEnv(mdp, max_steps, unavailable, render_mode)


WRAPPERS: Mapping[str, Callable[..., Any]] = {"finite": _tabular_env, "simulated": _simulated_env}
"""What makes a Gymnasium environment of a problem, by the kind of its states."""
