"""A prior for a log, with what it takes to check what follows from it on other logs."""

from __future__ import annotations

from typing import NamedTuple

from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.experience import Experience
from bayesmdp.offline.least_tries import least_tries_of
from bayesmdp.offline.logs_alike import Scatter
from bayesmdp.offline.remade import Remade, in_closed_form
from bayesmdp.offline.reward_models import RewardModel
from bayesmdp.problems.mdp import MDP

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
    fixed : NumPyro function of the data
        What of it would be the same for another log: its transitions, and its rewards where `paid` is None.
    remade : Remade or None
        The prior as it is chosen anew for another log; None where it is not chosen by the log.
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
    fixed: Model
    remade: Remade | None
    scatter: Scatter
    paid: RewardModel | None

    def least_tries(self, asked: int | None = None) -> int:
        """Return how often an action is to have been tried to be planned with: as asked, or as rewards are.

        Parameters
        ----------
        asked : int, optional
        """
        return least_tries_of(asked, known=self.kind == "known" and self.paid is not None)

    def for_other_logs(self, mdp: MDP) -> Remade | None:
        """Return the prior as it is for other logs; None where it is not chosen by the log and has no closed form.

        Parameters
        ----------
        mdp : MDP
        """
        return self.remade or in_closed_form(self.fixed, self.paid, mdp)
