"""Beside what a posterior says of a plan: what the log says without a prior, and whether it may be believed at all.

An estimator of :mod:`bayesmdp.offline.off_policy` with estimate v and bootstrap standard deviation s *disagrees* with a
posterior of mean m and standard deviation d if

    |v - m|  >  z sqrt(s^2 + d^2),

with the z of a normal at two-sided level .05, divided by the number of estimators that can tell (Bonferroni). Both
sides read one log, so that their errors go together and less than .05 of those disagree that have no reason to. The
rule is ours.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import ndtri

from bayesmdp.logs.log import size_of
from bayesmdp.offline.check_log import check_log
from bayesmdp.offline.judge_states import judge_states
from bayesmdp.offline.off_policy import off_policy
from bayesmdp.problems.mdp import MDP

__all__ = ["LARGE", "SAMPLES", "disagrees", "second_opinion"]

LARGE = 100_000
"""Rows above which a plan does not ask, for the time that it takes."""

SAMPLES = 239
"""Permutations for each check, and bootstrap samples: two of 240 are the level of each of six checks."""

LEVEL = 0.05
"""Of disagreement, and of alarms."""


def second_opinion(
    log: xr.Dataset, mdp: MDP, policy: xr.DataArray, worth: xr.DataArray | None, seed: int
) -> dict[str, xr.Dataset]:
    """Ask a log about a policy without a prior, and whether it may be believed.

    Parameters
    ----------
    log : Dataset over ``step``
    mdp : MDP
        Of the log.
    policy : DataArray of labels [(stage,) state]
    worth : DataArray [draw], or None
        The posterior of the policy's value where episodes start; None where the log does not say where they do.
    seed : int

    Returns
    -------
    dict of str to Dataset
        ``log_checks``, as `check_log` returns it; and ``second_opinion``, as `off_policy` returns it, with
        ``disagrees`` over ``estimator``, unless the policy is by stage or the start is not known; and ``states``, as
        `judge_states` returns it, of a log whose states are made of measurements. Nothing for a log of more than
        `LARGE` rows, or one that is counted.
    """
    if size_of(log) > LARGE or "count" in log:
        return {}
    sampled = "rows_of" in log.attrs  # how little was tried the whole log says, not these rows
    asked_of = None if mdp.by_stage or sampled else policy
    checked = check_log(log, asked_of, mdp=mdp, level=LEVEL, permutations=SAMPLES, seed=seed)
    if sampled:
        checked.attrs |= {"rows": log.sizes["step"], "rows_of": log.attrs["rows_of"]}
    own = {"log_checks": checked}
    if "recoding" in log.attrs:
        own["states"] = judge_states(log, checked=checked)
    if mdp.by_stage or worth is None:
        return own
    told = off_policy(log, policy, mdp=mdp, bootstrap=SAMPLES, seed=seed)
    return {"second_opinion": told.assign(disagrees=disagrees(told, worth)), **own}


def disagrees(told: xr.Dataset, worth: xr.DataArray) -> xr.DataArray:
    """Find which estimators disagree with posterior draws of the value beyond chance; see the module.

    Parameters
    ----------
    told : Dataset over ``estimator``
        As `off_policy` returns it.
    worth : DataArray [draw]

    Returns
    -------
    DataArray of bool [estimator]
    """
    allowed = -ndtri(LEVEL / 2 / max(int(told["tells"].sum()), 1))
    # What is certain on both sides may differ by rounding.
    rounding = 1e-9 * np.abs(worth).max()
    spread = np.sqrt(told["sd"] ** 2 + float(worth.var()))
    return told["tells"] & (np.abs(told["value"] - float(worth.mean())) > allowed * spread + rounding)
