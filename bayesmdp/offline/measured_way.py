"""The way from a log of measurements to a fitted policy and its worth, which `plan_log` goes once, and reports again.

See :mod:`bayesmdp.offline.measured_plan` for the whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import number
from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.records import Records
from bayesmdp.offline.checked import INTERVAL
from bayesmdp.offline.measured_policy import PlannedPolicy, policy_of_draws
from bayesmdp.offline.measured_posterior import find_measured, posterior_of
from bayesmdp.offline.measured_prior import MeasuredPrior, measured_prior
from bayesmdp.offline.measured_space import MeasuredSpace, space_of_log
from bayesmdp.offline.measured_today import measured_today
from bayesmdp.offline.measured_values import enough_draws, values_at_start
from bayesmdp.offline.measured_worlds import EACH
from bayesmdp.offline.named_prior import maker_of
from bayesmdp.offline.near_rows import NearRows
from bayesmdp.offline.state_behaviour import ActsInStates
from bayesmdp.planning.approximations import LinearQ
from bayesmdp.planning.risk import Risk
from bayesmdp.planning.rollouts import Rollouts, SimulatedReturns, simulate_returns, tolerance_of
from bayesmdp.planning.simulated_plan import SHARE, FittedQ
from bayesmdp.planning.state_rules import StatePolicy
from bayesmdp.posterior.inference.primitives import FoundRecords
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import primitives_of

__all__ = ["MeasuredFit", "MeasuredWay", "fit_measured", "options_of", "way_of_log"]

FEWEST = 4
"""Rows that are planned from, at the least."""


class MeasuredWay(NamedTuple):
    """What a plan is made of.

    Attributes
    ----------
    space : MeasuredSpace
    made : MeasuredPrior
    mdp : SimulatedMDP
    data : Records
        The log, in its own units.
    found : FoundRecords
        Its posterior.
    near : NearRows
    today : ActsInStates or None
        What is done today, if it is compared with.
    baseline : str
        Its name: "log", "none", "uniform", "a table", "a function" or ``FILE.py:NAME``.
    """

    space: MeasuredSpace
    made: MeasuredPrior
    mdp: SimulatedMDP
    data: Records
    found: FoundRecords
    near: NearRows
    today: ActsInStates | None
    baseline: str


class MeasuredFit(NamedTuple):
    """A fitted policy, and what it is worth.

    Attributes
    ----------
    kept : DataTree
        The posterior.
    fresh : dict of arrays [draw, ...] by site
        Draws that the policy was not chosen with.
    options : FittedQ
    tolerance : float
    fitted : PlannedPolicy
    returns : SimulatedReturns
    values : array [draw]
        Under the fresh draws, where episodes start.
    gains : array [draw] or None
        Over what is done today.
    gained : array [draw, rollout] or None
        By how much returns exceed those of what is done today, with the same random numbers; None where it is to go on.
    """

    kept: xr.DataTree
    fresh: dict[str, NDArray[np.float64]]
    options: FittedQ
    tolerance: float
    fitted: PlannedPolicy
    returns: SimulatedReturns
    values: NDArray[np.float64]
    gains: NDArray[np.float64] | None
    gained: NDArray[np.float64] | None

    def enough_draws(self, level: float) -> tuple[int, int]:
        """Say how many draws tell bounds and intervals of a log like this closely enough, of the value and of the gain.

        The gain needs no more of them than the value, under draws of which it is told; and what is done today must be
        told by so many too.

        Parameters
        ----------
        level : float in (0, 1)
            Of bounds.
        """
        tail = min(level, 1 - level, (1 - INTERVAL) / 2)
        enough = enough_draws(tail, self.values, self.returns.middle)
        if self.gains is None or self.gained is None:
            return enough, enough
        of_today = enough_draws(tail, self.values - self.gains, self.returns.middle - self.gained)
        of_gain = max(of_today, enough_draws(tail, self.gains, self.gained))
        return max(enough, of_gain), of_gain


def fit_measured(
    way: MeasuredWay,
    risk: Risk,
    draws: int,
    seed: int,
    say: Callable[[str], None] = lambda text: None,
    *,
    aim: str = "value",
) -> MeasuredFit:
    """Plan under some draws of the posterior, and value the policy under others.

    Parameters
    ----------
    way : MeasuredWay
    risk : Risk
    draws, seed : int
    say : function of str
    aim : {"value", "gain"}
        What the plan is the best for.

    Returns
    -------
    MeasuredFit
    """
    mdp = way.mdp
    kept, planning, fresh = posterior_of(way.found, mdp, draws, seed)
    options, tolerance = options_of(mdp, draws, seed)
    say(f"planning with {risk}" + " of the gain" * (aim == "gain"))
    with ThreadPoolExecutor(1) as pool:
        # What is done today is valued while the plan is made.
        today = None if way.today is None else pool.submit(_worth, mdp, fresh, way.today.policy, options.rollouts)
        planned = policy_of_draws(mdp, planning, risk, options, over=way.today if aim == "gain" else None)
        say("worth of the policy under fresh draws")
        returns, values = _worth(mdp, fresh, planned.policy.policy, options.rollouts)
    gains = gained = None
    if today is not None:
        own, earned = today.result()
        gained = None if planned.as_today else returns.middle - own.middle
        gains = values - earned
        gains = 0 * gains if planned.as_today else gains
    return MeasuredFit(kept, fresh, options, tolerance, planned, returns, values, gains, gained)


def _worth(
    mdp: SimulatedMDP, fresh: dict[str, NDArray[np.float64]], policy: StatePolicy, rollouts: Rollouts
) -> tuple[SimulatedReturns, NDArray[np.float64]]:
    """Returns of a policy, and what it is worth under each draw, where episodes start."""
    own = simulate_returns(mdp, fresh, policy, rollouts)
    return own, values_at_start(mdp, fresh, policy, rollouts, own=own)


def options_of(mdp: SimulatedMDP, draws: int, seed: int) -> tuple[FittedQ, float]:
    """Return how Q is fitted and policies are valued, and to what tolerance.

    Parameters
    ----------
    mdp : SimulatedMDP
    draws, seed : int
    """
    tolerance = tolerance_of(mdp, None, SHARE)
    rollouts = Rollouts(number=EACH * draws, max_draws=draws, tolerance=tolerance, seed=seed)
    return FittedQ(LinearQ(), num_draws=16, places=128, samples=4, seed=seed, rollouts=rollouts), tolerance


def way_of_log(
    log: xr.Dataset,
    discount: float | None,
    *,
    horizon: int | None,
    baseline: Any,
    prior: str,
    settings: Mapping[str, Any],
    rewards: Any,
    terminal: Any,
    initial: Any,
    say: Callable[[str], None],
) -> MeasuredWay:
    """Read the problem that a log describes, its prior, its posterior and what is done today.

    Parameters
    ----------
    log : Dataset over ``step``
    discount : float in (0, 1), or None with a horizon
    horizon, baseline, prior, settings, rewards, terminal, initial, say
        As for `plan_log`.

    Returns
    -------
    MeasuredWay
    """
    if horizon is None:
        discount = number("discount", discount, above=0, below=1)
    space = space_of_log(log, discount, initial, horizon=horizon)
    ends = maker_of(terminal, {})[0] if isinstance(terminal, str) else terminal
    # Only a prior that is named may say of its own where episodes end.
    if prior == "auto":
        _check_ends(log, ends, terminal, modelled=False)
    _check_enough(log, len(space.actions))
    data = read_records(log)
    taken = np.bincount(data.action, minlength=len(space.actions))
    if not taken.all():
        raise ValueError(
            f"the action {space.actions[int(np.argmin(taken))]!r} was never taken, so nothing is known about it; leave "
            "it out of the actions"
        )
    near = NearRows(data.state, data.action, len(space.actions), space.low, space.high)
    today, said = measured_today(baseline, data, space, near)
    made = measured_prior(prior, data, space, settings, rewards)
    if prior != "auto":
        _check_ends(log, ends, terminal, modelled="terminal" in primitives_of(made.model, len(space.low)))
    mdp = space.problem(made.model, made.reward, ends, near.tried(), units=made.units)
    say(f"posterior of {made.described}")
    found = find_measured(mdp, data)
    return MeasuredWay(space, made, mdp, data, found, near, today, said)


def _check_enough(log: xr.Dataset, actions: int) -> None:
    """Refuse a log of hardly any rows, and warn of one that has few for what is to be learned."""
    rows, size = log.sizes["step"], log.sizes["coordinate"]
    if rows < FEWEST:
        raise ValueError(
            f"the log has only {rows} row{'s' * (rows != 1)}, too few to learn how {size} measurement"
            f"{'s change' if size != 1 else ' changes'}; record at least {FEWEST}, and about "
            f"{10 * actions * (1 + size)} for a useful plan"
        )
    if rows < 2 * actions * (1 + size):
        warnings.warn(
            f"the log has {rows} rows, but a linear model of {size} coordinates and {actions} actions has "
            f"{actions * (1 + size)} weights per coordinate: the plan rests mainly on the prior; record more data",
            UserWarning,
            stacklevel=4,
        )


def _check_ends(log: xr.Dataset, ends: Callable[..., Any] | None, given: Any, *, modelled: bool) -> None:
    """Refuse a log whose terminated rows are not those whose next states are terminal, or are not all in it."""
    ended = log["terminated"].values.astype(bool) if "terminated" in log else np.zeros(log.sizes["step"], bool)
    left_out = int(log.attrs.get("dropped_ends", 0))
    if modelled and ends is not None:
        raise ValueError(
            f"the prior samples which steps end an episode, and terminal={given!r} says which states do; give one of "
            "them"
        )
    if ends is None:
        if modelled and left_out:
            raise ValueError(
                f"{left_out:,} terminated rows were left out of the log, for nothing follows them, and from the others "
                "the prior would learn that steps hardly ever end an episode: add a row with the state in which the "
                "episode ended, or columns with what followed"
            )
        if modelled:
            return
        unknown = int(ended.sum()) + left_out
        if unknown:
            raise ValueError(
                f"{unknown:,} rows of the log are terminated, but it is not known which states end an episode: pass "
                "terminal=, a function of states, or a prior that samples 'terminal', or mark these rows as truncated "
                "if more would have followed"
            )
        return
    with jax.enable_x64(True):
        told = np.asarray(ends(jnp.asarray(log["next_state"].values)))
    if told.shape != ended.shape or told.dtype != bool:
        raise ValueError(
            f"terminal={given!r} of {len(ended)} states is {told.dtype} {told.shape}; expected one bool for each"
        )
    if (told != ended).any():
        row = int(np.argmax(told != ended))
        says, is_not = ("terminal", "not terminated") if told[row] else ("not terminal", "terminated")
        raise ValueError(
            f"next_state at step {row}, {log['next_state'].values[row].tolist()}, is {says} by terminal={given!r}, but "
            f"the row is {is_not}"
        )
