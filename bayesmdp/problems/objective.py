"""What a policy is judged by, and what that asks of the discount, the stages and the horizon of an MDP."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.problem import OBJECTIVES

__all__ = ["read_discount", "read_horizon", "read_objective"]


def read_objective(objective: str | None, *, discount: Any, stage: Any, horizon: Any) -> str:
    """Return what an MDP is judged by, and refuse stages and horizons that do not go with it.

    Parameters
    ----------
    objective : str or None
        None to tell it from the others.
    discount, stage, horizon
        As for `MDP`.

    Returns
    -------
    str
        One of `OBJECTIVES`.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> read_objective(None, discount=None, stage=None, horizon=30)
    'horizon'
    """
    if stage is not None and horizon is not None:
        raise ValueError(f"stages say how many steps an episode has: leave horizon out, or stage; got {horizon!r}")
    endless = "average" if discount is None else "discounted"
    objective = objective or ("episode" if stage is not None else "horizon" if horizon is not None else endless)
    if objective not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}; got {objective!r}")
    for needed_by, name, given in (("episode", "stage", stage), ("horizon", "horizon", horizon)):
        if (objective == needed_by) != (given is not None):
            named = f"no {name}" if given is None else f"a {name}"
            raise ValueError(
                f"an MDP has {'stages' if name == 'stage' else 'a horizon'} if and only if its objective is "
                f"{needed_by!r}; got {objective!r} and {named}"
            )
    return objective


def read_discount(discount: Any, objective: str) -> float | None:
    """Return a discount that fits the objective; None where all rewards count the same, or there is none.

    Parameters
    ----------
    discount
        As for `MDP`.
    objective : str

    Raises
    ------
    ValueError
    """
    if objective == "average":
        if discount is not None:
            raise ValueError(f"objective {objective!r} has no discount, which must be None; got {discount!r}")
        return None
    if objective != "discounted":
        least = None if discount is None else number("discount", discount, above=0, maximum=1)
        return None if least == 1 else least
    if discount is None:
        raise ValueError("discount must be given, or be None with objective 'average', with stages or with a horizon")
    try:
        return number("discount", discount, above=0, below=1)
    except ValueError as error:
        if isinstance(discount, bool) or not isinstance(discount, int | float | np.number) or discount != 1:
            raise
        raise ValueError(
            f"{error}, which leaves a problem without end without a value: give discount=None for its average reward, "
            "or also horizon= for the reward of so many steps"
        ) from None


def read_horizon(horizon: Any, stage: Any) -> int | None:
    """Return the number of steps that count: as given, or as many as there are stages; None where all steps count.

    Parameters
    ----------
    horizon
        As for `MDP`.
    stage : int array [state] or None
        Checked.

    Raises
    ------
    ValueError
        For a horizon that is no whole number of at least 1.
    """
    if stage is not None:
        return int(stage.max())
    return None if horizon is None else integer("horizon", horizon, 1)
