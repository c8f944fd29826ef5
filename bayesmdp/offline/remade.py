"""Priors made again for another log: what the check of a promise asks of one, since it goes the whole way many times.

The prior that a log speaks for is chosen anew for each. One by name, or of the user's own, stays what it is, and needs
a closed form: it says what every row of any log adds to the parameters of its unknowns, so that the posterior of
another log is a sum. Where it leaves rewards to the log, what is believed of them is chosen anew all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bayesmdp.model_reading.read_model import Model, Reading, read_for_agents
from bayesmdp.model_reading.rows import all_transitions
from bayesmdp.offline.experience import Experience, added_up
from bayesmdp.offline.reward_models import RewardModel, paid_by
from bayesmdp.offline.reward_ties import Tie
from bayesmdp.posterior.closed_forms.draws import Layout, exact_draws
from bayesmdp.posterior.closed_forms.families import FAMILIES, Family
from bayesmdp.posterior.closed_forms.transitions import Conjugate, find, find_for_any_reward
from bayesmdp.problems.mdp import MDP

__all__ = ["Parameters", "Remade", "in_closed_form", "of_rows"]

type Parameters = dict[str, NDArray[np.float64]]

MEAN_DRAWS = 1_000
"""Of which the mean of what a model computes from its unknowns is taken."""


class Remade(NamedTuple):
    """A prior and what it becomes by any log.

    Attributes
    ----------
    posterior : function of Experience
        Returns parameters by site, as `infer` would find them.
    layout : Layout
        Of the sites.
    reading : Reading or None
        The model, where its unknowns are not by pair of a state and an action: it may compute transitions from others.
    by : {"pair", "next_state"}
        What unknown rewards hang on.
    """

    posterior: Callable[[Experience], Parameters]
    layout: Layout
    reading: Reading | None = None
    by: Tie = "pair"

    def draws(self, parameters: Parameters, number: int, seed: int) -> dict[str, NDArray[np.float64]]:
        """Draws [draw, ...] of ``transition``, and of ``reward`` by pair where it is unknown, among others.

        Parameters
        ----------
        parameters : dict of arrays
            Of a posterior, or of some rows of it where they are the unknowns themselves.
        number, seed : int
        """
        with jax.enable_x64(True):  # the setting is a thread's own
            drawn = exact_draws(parameters, self.layout, number, seed, self.reading)
        if self.by == "next_state" and "reward" in drawn:
            drawn["reward"] = np.einsum("d...n,dn->d...", drawn["transition"], drawn["reward"])
        return drawn

    def means(self, parameters: Parameters) -> dict[str, NDArray[np.float64]]:
        """Posterior means of ``transition``, and of ``reward`` [state, action, next_state or 1] where it is unknown.

        Parameters
        ----------
        parameters : dict of arrays
        """
        if self.reading is None:
            with jax.enable_x64(True):
                by_site = {names[-1]: family.moments(parameters[names[-1]])[0] for names, family in self.layout.sites}
        else:
            with jax.enable_x64(True):
                drawn = exact_draws(parameters, self.layout, MEAN_DRAWS, 0, self.reading)
            by_site = {name: each.mean(0) for name, each in drawn.items()}
        mean: dict[str, NDArray[np.float64]] = {
            name: np.asarray(by_site[name]) for name in ("transition", "reward") if name in by_site
        }
        if "reward" in mean:
            table = mean["reward"] if self.by == "next_state" else mean["reward"][..., None]
            mean["reward"] = np.broadcast_to(table, (*mean["transition"].shape[:2], table.shape[-1]))
        return mean

    def of_some(self, parameters: Parameters, taken: NDArray[np.bool_]) -> Parameters:
        """Parameters of the rows of some pairs [state, action], and of what entering a state pays."""
        shared = {"reward"} if self.by == "next_state" else set()
        return {name: values if name in shared else values[taken] for name, values in parameters.items()}

    @property
    def by_row(self) -> bool:
        """Whether the rows of pairs are the unknowns themselves, so that some can be drawn without the others."""
        return self.reading is None


def of_rows(rows: Callable[[Experience], NDArray[np.float64]], paid: RewardModel) -> Remade:
    """Return a prior of Dirichlet rows, and of rewards as a log shows them.

    Parameters
    ----------
    rows : function of Experience
        Returns the concentration [state, action, outcome] that a log speaks for.
    paid : RewardModel
        Of the log at hand; for others one of its kind.
    """

    def posterior(other: Experience) -> Parameters:
        return {"transition": rows(other) + other.counts, **paid.again(other).posterior(other)}

    return Remade(posterior, Layout(((("transition",), FAMILIES["Dirichlet"]), *_paid(paid)), ()), by=paid.by)


def in_closed_form(model: Model, paid: RewardModel | None, mdp: MDP) -> Remade | None:
    """Return a prior that stays what it is, or None where it has no closed form for any log.

    Nor has one that tells rewards apart by both the pair and what it led to: they are added up by one or the other.

    Parameters
    ----------
    model : NumPyro function of the data
        Of transitions, and of rewards where `paid` is None.
    paid : RewardModel or None
        What a log shows of rewards.
    mdp : MDP
    """
    shape = mdp.num_states, mdp.num_actions, mdp.num_outcomes
    try:
        reading = read_for_agents(model, shape, mdp.outcome_dim)
        every = all_transitions(*shape)
        found = (find_for_any_reward if reading.rewarded else find)(reading, every)
    except (ValueError, TypeError):  # no closed form; what else is wrong `infer` has told
        return None
    own_by: Tie = "next_state" if reading.dims.get("reward") == ("next_state",) else "pair"
    apart = len(reading.dims.get("reward", ())) > 2
    if apart or (reading.rewarded and (paid is not None or not _tied(found, mdp, own_by))):
        return None

    def posterior(other: Experience) -> Parameters:
        own = found.posterior(_sums(other, own_by))
        return {**own, **({} if paid is None else paid.again(other).posterior(other))}

    layout = found.layout
    whole = Layout((*layout.sites, *(() if paid is None else _paid(paid))), layout.deterministic)
    shared = {"reward"} if own_by == "next_state" else set()
    of_pairs = all(site.concentration.shape[:2] == shape[:2] for n, site in found.sites.items() if n not in shared)
    by = own_by if paid is None else paid.by
    return Remade(posterior, whole, None if of_pairs and not layout.deterministic else reading, by)


def _paid(paid: RewardModel) -> tuple[tuple[tuple[str, ...], Family], ...]:
    """The site of rewards in a layout."""
    family = {"known": None, "bernoulli": "Beta", "normal": "Normal"}[paid.kind]
    return () if family is None else ((("reward",), FAMILIES[family]),)


def _sums(experience: Experience, by: Tie) -> NDArray[np.float64]:
    """What each row adds up to [row, 3]: tries, rewards and their squares, of which those of one group are alike."""
    n = experience.counts
    paid = paid_by(experience, by)
    each, scatter = paid.mean, paid.scatter / np.maximum(paid.tries, 1)
    if by == "pair":
        each, scatter = each[..., None], scatter[..., None]
    return np.stack(np.broadcast_arrays(n, n * each, n * (each**2 + scatter)), -1).reshape(-1, 3)


def _tied(found: Conjugate, mdp: MDP, by: Tie) -> bool:
    """Whether rewards tell the model the same when they are added up so: tried on rewards made up for all rows."""
    rng = np.random.default_rng(20261128)
    every = all_transitions(mdp.num_states, mdp.num_actions, mdp.num_outcomes)
    rows = every._replace(
        weight=rng.integers(1, 5, len(every.state)).astype(float), reward=rng.standard_normal(len(every.state))
    )
    by_row = rows.weight[:, None] * np.stack([rows.reward**0, rows.reward, rows.reward**2], -1)
    own, shared = found.posterior(by_row), found.posterior(_sums(added_up(rows, mdp), by))
    return all(np.allclose(own[name], shared[name], rtol=1e-6) for name in own)
