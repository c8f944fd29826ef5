"""What the functions here ask of Gymnasium, which is imported when one is called."""

from __future__ import annotations

from typing import Any, Literal

from bayesmdp.foundation.extras import brought_by

__all__ = ["environment", "import_gymnasium", "name_of", "numbers_of"]


def import_gymnasium() -> Any:
    """Import Gymnasium, or say which extra brings it."""
    with brought_by("gymnasium"):
        import gymnasium
    return gymnasium


def environment(env: Any, **options: Any) -> Any:
    """Return an environment as it is, or make one of an id.

    Parameters
    ----------
    env : str or gymnasium.Env
    **options
        For ``gymnasium.make``.

    Returns
    -------
    gymnasium.Env
    """
    gymnasium = import_gymnasium()
    if isinstance(env, str):
        return gymnasium.make(env, **options)
    if not isinstance(env, gymnasium.Env):
        raise TypeError(f"env must be an id or a gymnasium.Env; got {type(env).__name__}")
    if options:
        raise TypeError(f"{', '.join(options)}: options are for gymnasium.make, and env is made already")
    return env


def name_of(env: Any) -> str:
    """Return the id of an environment, or the name of its class.

    Parameters
    ----------
    env : gymnasium.Env
    """
    return str(env.spec.id) if env.spec is not None else type(env.unwrapped).__name__


def numbers_of(env: Any, kind: Literal["observation", "action"]) -> range:
    """Return Gymnasium's numbers for states or actions.

    Parameters
    ----------
    env : gymnasium.Env
    kind : {"observation", "action"}

    Returns
    -------
    range
    """
    space = getattr(env, f"{kind}_space")
    if not isinstance(space, import_gymnasium().spaces.Discrete):
        raise TypeError(f"{name_of(env)} has the {kind} space {space}; a finite MDP needs a Discrete one")
    return range(int(space.start), int(space.start + space.n))
