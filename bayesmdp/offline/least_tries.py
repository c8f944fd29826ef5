"""How often an action was tried in a state at least, to be planned with.

Of many actions that were tried once or twice and whose rewards are uncertain, the luckiest looks best, by a quantile of
the posterior too: what is unusual about one pair of many is what a prior that is pooled over them expects least. So
plans for the value leave out what was tried less than three times in a state, unless nothing there was tried so often.
The rule, known from practice and akin to the sets of pairs of SPIBB (Laroche et al. 2019), is ours in this form. Where
rewards are known, one try is enough: planning with more gained less on random problems.
"""

from __future__ import annotations

from bayesmdp.foundation.validation import integer

__all__ = ["LEAST_TRIES", "least_tries_of"]

LEAST_TRIES = 3
"""Where rewards are unknown. Found among 2, 3 and 4 on 60 problems each of kinds of ``better-than-behaviour``, none of
which is in that study."""


def least_tries_of(asked: int | None, rewards: str, aim: str) -> int:
    """Return how often an action is to have been tried.

    Parameters
    ----------
    asked : int, optional
        By whoever plans.
    rewards : {"known", "normal", "bernoulli"}
        What they are.
    aim : {"value", "gain"}
        A plan for the gain is held back by its baseline, and heeds no tries.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If what was asked is below 1, or would not be heeded.

    Examples
    --------
    >>> (
    ...     least_tries_of(None, "normal", "value"),
    ...     least_tries_of(None, "known", "value"),
    ...     least_tries_of(5, "known", "value"),
    ... )
    (3, 1, 5)
    """
    if asked is None:
        return LEAST_TRIES if rewards != "known" and aim == "value" else 1
    if aim != "value":
        raise ValueError(
            "least_tries is for aim='value': a plan for the gain is held back by its baseline; leave it out"
        )
    return integer("least_tries", asked, 1)
