"""How often an action was tried in a state at least, to be planned with.

Of many actions that were tried once or twice the luckiest looks best, by a quantile of the posterior too: what is
unusual about one pair of many is what a prior that is pooled over them expects least. So plans leave out what was tried
more rarely, in a state in which anything was tried often enough. A plan for the gain may still go on as today there.
The rule, known from practice and akin to the sets of pairs of SPIBB (Laroche et al. 2019), is ours in this form; what
it is worth the study ``better-than-behaviour`` tells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.logs.problem_from_log import open_actions
from bayesmdp.problems.mdp import MDP

__all__ = ["least_tries_of", "often_tried"]

LEAST_TRIES, LEAST_TRIES_KNOWN = 3, 2
"""Where rewards are unknown, and where they are known. Found among 1 to 4 on 30 to 60 problems each of twelve kinds of
``better-than-behaviour``, none of which is in that study. With known rewards 3 gains more where the behaviour is good,
and less where it leaves much to gain."""

MOST = 2**53


def least_tries_of(asked: int | None, *, known: bool) -> int:
    """Return how often an action is to have been tried.

    Parameters
    ----------
    asked : int, optional
        By whoever plans.
    known : bool
        Whether rewards are.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If what was asked is not a whole number of at least 1, or too large for a file.

    Examples
    --------
    >>> least_tries_of(None, known=False), least_tries_of(None, known=True), least_tries_of(5, known=True)
    (3, 2, 5)
    """
    if asked is None:
        return LEAST_TRIES_KNOWN if known else LEAST_TRIES
    least = integer("least_tries", asked, 1)
    if least > MOST:
        raise ValueError(f"least_tries is at most {MOST:,}; got {least}")
    return least


def often_tried(mdp: MDP, tries: NDArray[np.float64], least: int) -> MDP:
    """Return a problem in which those actions alone are available that are planned with.

    Parameters
    ----------
    mdp : MDP
    tries : array [state, action]
    least : int
    """
    return mdp.replace(available=open_actions(tries, mdp.terminal, least)[0])
