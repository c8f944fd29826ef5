"""A plan from a log of measurements, read back: what it does at new states, and what stands behind it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesmdp.models.linear_dynamics import linear_dynamics
from bayesmdp.offline.measured_policy import ActsByPlan
from bayesmdp.offline.measured_prior import Always
from bayesmdp.offline.measured_space import MeasuredSpace
from bayesmdp.offline.measured_today import read_today
from bayesmdp.offline.named_prior import maker_of
from bayesmdp.offline.near_rows import NearRows
from bayesmdp.offline.state_behaviour import ActsInStates
from bayesmdp.planning.gain_policy import read_gain
from bayesmdp.planning.state_policies import GAIN, fitted_policy
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["KeptMeasuredPlan", "is_measured_plan", "read_measured_plan"]


class KeptMeasuredPlan(NamedTuple):
    """What acts: the fit of Q, and the problem without its model, which acting does not ask.

    Attributes
    ----------
    plan : Dataset
    space : MeasuredSpace
    near : NearRows
        Of the log.
    mdp : SimulatedMDP
        Whose steps and rewards stand for nothing.
    today : ActsInStates or None
        What is done today, where the plan says it.
    """

    plan: xr.Dataset
    space: MeasuredSpace
    near: NearRows
    mdp: SimulatedMDP
    today: ActsInStates | None = None

    @property
    def policy(self) -> ActsByPlan:
        """What acts, at any state; where the plan is for a number of steps, at each stage."""
        if self.plan.attrs["solver"] != GAIN:
            return fitted_policy(self.plan, self.mdp)
        assert self.today is not None
        return read_gain(self.plan, self.mdp, self.today.policy)


def is_measured_plan(tree: xr.DataTree) -> bool:
    """Whether a plan is from a log whose states are numbers.

    Parameters
    ----------
    tree : DataTree
    """
    return "space" in tree.attrs


def read_measured_plan(tree: xr.DataTree) -> KeptMeasuredPlan:
    """Read back what acts of a plan.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`, or of its file.

    Returns
    -------
    KeptMeasuredPlan

    Raises
    ------
    ValueError
        If the plan's ends of episodes are by a file of the user's own that is gone.
    """
    space = MeasuredSpace.from_json(str(tree.attrs["space"]))
    rows, ends = tree["constant_data"].to_dataset().load(), str(tree.attrs["terminal"])
    near = NearRows(rows["state"].values, rows["action"].values, len(space.actions), space.low, space.high)
    terminal = maker_of(ends, {})[0] if ":" in ends else None
    nothing = Always(float(np.mean(space.rewards)))
    mdp = space.problem(linear_dynamics(space.sizes_in_units), nothing, terminal, near.tried(), units=space.units)
    return KeptMeasuredPlan(tree["plan"].to_dataset().load(), space, near, mdp, read_today(tree, space))
