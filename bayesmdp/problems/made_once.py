"""Problems that are made once for the same arguments, and pickled as these.

Functions of a problem that hold its numbers stand within the function that makes it, where pickle cannot name them. The
maker and its arguments it can; who reads a pickle makes the problem again, or has the one that was made before, so that
programs compiled for one serve the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["made_once"]


def made_once(maker: Callable[..., SimulatedMDP]) -> Callable[..., SimulatedMDP]:
    """Keep the problems that a function at the top of a module makes, and let them be pickled.

    Parameters
    ----------
    maker : callable
        Of arguments that can be hashed and pickled.

    Returns
    -------
    callable

    Examples
    --------
    >>> import bayesmdp as bm, pickle
    >>> room = bm.environments.thermostat(leak=0.2)
    >>> pickle.loads(pickle.dumps(room)) is room
    True
    """

    def remembered(*arguments: Any) -> SimulatedMDP:
        problem = maker(*arguments)
        problem.made_by = (made, arguments)
        return problem

    # A cached function is pickled by its name, which is to be that of what it stands for.
    remembered.__module__, remembered.__qualname__ = maker.__module__, maker.__qualname__
    made = lru_cache(maxsize=16)(remembered)
    return made
