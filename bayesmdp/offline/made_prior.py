"""A prior for a log, with what it takes to check what follows from it on other logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.experience import Experience
from bayesmdp.offline.logs_alike import Scatter
from bayesmdp.offline.promise import layout_of
from bayesmdp.offline.reward_models import RewardModel

__all__ = ["MadePrior"]


class MadePrior(NamedTuple):
    """A prior for a log, with all that a check of what follows from it needs.

    Attributes
    ----------
    model : NumPyro function of the data
    described, rewards : str
        What it says of transitions, and of rewards.
    kind : str
        Of the rewards: "known", "normal" or "bernoulli".
    rows : Transitions
        The log, one row for each distinct reward of a transition.
    experience : Experience
        The same, added up.
    again : function of Experience, or None
        Makes the prior anew for another log and returns its posterior's parameters by site, as `infer` would find them;
        None where only `infer` can.
    scatter : Scatter
        How rewards scatter about their means; see `calibrate`.
    paid : RewardModel, or None
        What the log shows of rewards; None where the prior itself says what they are.
    """

    model: Model
    described: str
    rewards: str
    kind: str
    rows: Transitions
    experience: Experience
    again: Callable[[Experience], dict[str, NDArray[np.float64]]] | None
    scatter: Scatter
    paid: RewardModel | None

    def with_rows(self, posterior: xr.DataTree) -> MadePrior:
        """Return the same, to be made again for other logs if `posterior` shows that it has Dirichlet rows of its own.

        A prior that does not come from the log is the same for any; its rows are the posterior's less what was seen.

        Parameters
        ----------
        posterior : DataTree
            Of this log, in closed form.
        """
        paid, counts = self.paid, self.experience.counts
        layout = None if paid is None else layout_of(self.kind).to_text()
        if self.again is not None or paid is None or posterior.attrs.get("families") != layout:
            return self
        rows = posterior["parameters"].to_dataset()["transition"].values - counts
        if rows.shape != counts.shape or (rows <= 0).any():
            return self

        def again(other: Experience) -> dict[str, NDArray[np.float64]]:
            return {"transition": rows + other.counts, **paid.again(other).posterior(other)}

        return self._replace(again=again)
