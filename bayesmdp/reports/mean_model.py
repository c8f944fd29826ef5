"""The model of the posterior mean, and what it would be after more tries of one pair.

Rows are Dirichlet and rewards known, Normal or Beta, of pairs or of the state that is entered, so that what tries show
is drawn from the posterior predictive distribution, and the model after them is a closed form: parameters plus counts.
Where the rewards of an entered state are learned, other pairs that lead there would learn too; that is left out.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.problems.mdp import MDP
from bayesmdp.reports.kept_plan import KeptPlan

__all__ = ["Changed", "MeanModel", "after_tries", "mean_model", "why_no_model"]


class MeanModel(NamedTuple):
    """The model of the posterior mean.

    Attributes
    ----------
    rows : array [state, action, next_state]
        Probabilities of going on, discounted.
    reward : array [state, action]
    available : bool array [state, action]
        What was tried often enough to be planned with.
    initial : array [state]
    """

    rows: NDArray[np.float64]
    reward: NDArray[np.float64]
    available: NDArray[np.bool_]
    initial: NDArray[np.float64]


class Changed(NamedTuple):
    """A pair of which more is known: what its row and its reward may then be.

    Attributes
    ----------
    state, action : int
    rows : array [sample, next_state]
        Discounted, as those of the model.
    reward : array [sample]
    """

    state: int
    action: int
    rows: NDArray[np.float64]
    reward: NDArray[np.float64]

    def only(self, samples: NDArray[np.intp]) -> Changed:
        """Some of the samples."""
        return self._replace(rows=self.rows[samples], reward=self.reward[samples])


def why_no_model(plan: KeptPlan) -> str:
    """Why it is not known what more tries would teach; nothing if it is.

    Parameters
    ----------
    plan : KeptPlan
    """
    if plan.concentration is None:
        return "what more tries would teach can only be computed for Dirichlet rows, and this prior has other ones"
    if plan.mdp.has_elsewhere and plan.mdp.elsewhere == "least":
        return "next states that were never seen count as the worst state, for which the model has no mean"
    families = {name: family for name, (_, family) in json.loads(plan.attrs.get("families", "{}")).items()}
    if not families.keys() <= {"transition", "reward"} or families.get("reward", "Beta") not in ("Beta", "Normal"):
        return "what more tries would teach cannot be computed for this prior of rewards"
    if families.get("reward") == "Normal":
        known = plan.tree["problem"].to_dataset()
        hang_on = set(plan.tree["parameters"]["reward"].dims) - {"parameter"}
        if "noise" not in known or set(known["noise"].dims) != hang_on:
            return "the plan's file does not contain the noise of rewards, without which it cannot be computed"
    return ""


def mean_model(plan: KeptPlan) -> MeanModel:
    """The model of a plan's posterior mean.

    Parameters
    ----------
    plan : KeptPlan
        For which there is a model: see `why_no_model`.

    Returns
    -------
    MeanModel
    """
    mdp, concentration = plan.mdp, plan.concentration
    assert concentration is not None
    total = concentration.sum(-1, keepdims=True)
    mean = concentration / np.where(total > 0, total, 1)
    if mdp.successor is None:
        rows = mean * ~mdp.terminal
    else:
        pairs = [[mean[s, a] @ _leads(mdp, s, a) for a in range(mdp.num_actions)] for s in range(mdp.num_states)]
        rows = np.array(pairs)
    live = ~mdp.terminal[:, None]
    rows = (mdp.discount or 1) * rows * live[..., None]
    parameters = plan.tree["parameters"].to_dataset()
    if "reward" in parameters:
        own = _reward_parameters(parameters["reward"])
        reward = own["mean"] if "mean" in own else own["a"] / (own["a"] + own["b"])
        reward = reward if reward.ndim > 1 else mean @ reward
    else:
        reward = (mean * mdp.reward).sum(-1)
    return MeanModel(rows, np.where(live, reward, 0), plan.open, mdp.initial)


def after_tries(
    plan: KeptPlan, state: int, action: int, *, tries: int, samples: int, rng: np.random.Generator
) -> Changed:
    """Draw what a pair of the mean model may be after so many more tries.

    Parameters
    ----------
    plan : KeptPlan
    state, action : int
        Positions.
    tries, samples : int
    rng : Generator

    Returns
    -------
    Changed
    """
    mdp, concentration = plan.mdp, plan.concentration
    assert concentration is not None
    possible = np.flatnonzero(concentration[state, action])
    own = concentration[state, action, possible]
    shown = rng.multinomial(tries, rng.dirichlet(own, samples))
    mean = (own + shown) / (own.sum() + tries)
    rows = (mdp.discount or 1) * mean @ _leads(mdp, state, action)[possible]
    parameters = plan.tree["parameters"].to_dataset()
    if "reward" not in parameters:
        paid = np.broadcast_to(mdp.reward[state, action], mdp.num_outcomes)[possible]
        return Changed(state, action, rows, mean @ paid)
    own_rewards = _reward_parameters(parameters["reward"])
    entered = next(iter(own_rewards.values())).ndim == 1
    # What is learned of: the reward of the pair, or that of each state that the tries lead to [sample, reward].
    at = (possible,) if entered else (state, action, np.newaxis)
    told = {name: values[at] for name, values in own_rewards.items()}
    number = shown if entered else np.full((samples, 1), tries)
    if "mean" in told:
        # The mean of the posterior scatters by what the tries take off its variance.
        noise = plan.tree["problem"].to_dataset()["noise"].values[at]
        left = 1 / (1 / told["sd"] ** 2 + number / noise**2)
        scatter = np.sqrt(np.maximum(told["sd"] ** 2 - left, 0))
        learned = told["mean"] + scatter * rng.standard_normal(number.shape)
    else:
        ones = rng.binomial(number, rng.beta(told["a"], told["b"], number.shape))
        learned = (told["a"] + ones) / (told["a"] + told["b"] + number)
    return Changed(state, action, rows, (mean * learned).sum(-1) if entered else learned[:, 0])


def _leads(mdp: MDP, state: int, action: int) -> NDArray[np.float64]:
    """Where the outcomes of a pair lead [outcome, next_state], 0 where an episode has ended."""
    if mdp.successor is None:
        leads = np.eye(mdp.num_states)
    else:
        successor = mdp.successor[state, action]
        leads = np.zeros((mdp.num_outcomes, mdp.num_states))
        named = successor >= 0
        leads[named, successor[named]] = 1
        unnamed = np.ones(mdp.num_states)
        unnamed[successor[named]] = 0
        leads[~named] = unnamed / max(unnamed.sum(), 1)
    return np.asarray(leads * ~mdp.terminal)


def _reward_parameters(reward: xr.DataArray) -> dict[str, NDArray[np.float64]]:
    """Parameters [state, action], or [next_state], of rewards by name: "mean" and "sd", or "a" and "b"."""
    told = reward.dropna("parameter", how="all").transpose(..., "parameter")
    names = ["mean", "sd"] if "mean" in told["parameter"].values else ["a", "b"]
    return dict(zip(names, np.moveaxis(told.values, -1, 0), strict=True))
