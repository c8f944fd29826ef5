"""A plan read back from its result: the problem, the log's counts, and draws of the posterior that it was judged by.

The result of ``bayesmdp plan`` is all that is needed, in memory or from its file. Draws are made again from the
parameters that are kept, with the seeds of the plan: they are the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.offline.behaviour import Estimate, behaviour_of
from bayesmdp.offline.least_tries import often_tried
from bayesmdp.offline.prior_weight import with_prior_weight
from bayesmdp.planning.posterior_draws import read_concentration
from bayesmdp.posterior import draw
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.policy import action_indices

__all__ = ["KeptPlan", "read_plan"]


class KeptPlan(NamedTuple):
    """A plan from a log, with what is needed to explain it.

    Attributes
    ----------
    tree : DataTree
        Of a `Report`.
    mdp : MDP
        The problem that the log describes.
    counts : array [state, action, outcome]
        How often each outcome followed each pair.
    concentration : array [state, action, outcome], or None
        Dirichlet parameters of the rows' posterior, where it has these.
    """

    tree: xr.DataTree
    mdp: MDP
    counts: NDArray[np.float64]
    concentration: NDArray[np.float64] | None

    @property
    def tries(self) -> NDArray[np.float64]:
        """How often each pair was tried [state, action]."""
        return np.asarray(self.counts.sum(-1))

    @property
    def least_tries(self) -> int:
        """How often an action was tried at least, to be planned with."""
        return int(self.attrs.get("least_tries", 1))

    @property
    def open(self) -> NDArray[np.bool_]:
        """The actions [state, action] that were planned with: those that the log tried often enough."""
        return np.asarray(often_tried(self.mdp, self.tries, self.least_tries).available)

    @property
    def paid(self) -> NDArray[np.float64]:
        """The rewards that the log's transitions paid, each once."""
        observed = self.tree["observed_data"].data_vars
        if "reward" in observed:
            return np.unique(observed["reward"].values)
        return np.unique(np.broadcast_to(self.mdp.reward, self.counts.shape)[self.counts > 0])

    @property
    def attrs(self) -> dict[str, Any]:
        return {str(name): value for name, value in self.tree.attrs.items()}

    @property
    def policy(self) -> xr.DataArray:
        """What the plan does, as it is judged: labels [(stage,) state], or probabilities [state, action]."""
        planned = self.tree["plan"].to_dataset()
        return planned["probability" if self.attrs["aim"] == "gain" else "policy"]

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Position of the action [(stage,) state], the most probable one where actions are mixed."""
        return action_indices(self.mdp, self.tree["plan"]["policy"])

    @property
    def today(self) -> Estimate | None:
        """What is done today, as far as the log shows it; None if nothing is said of that."""
        if "baseline" not in self.tree.children:
            return None
        if self.attrs["baseline"] == "log":
            behaviour = behaviour_of(self.tries, self.mdp.available)
            return Estimate(behaviour.mean, behaviour.concentration)
        return Estimate(self.tree["baseline"].to_dataset()["probability"].values, None)

    def posterior(self, *, fresh: bool, prior_weight: float = 1.0, offset: int = 0) -> xr.DataTree:
        """Draws of the posterior: those that the plan was made with, or the fresh ones that it was judged by.

        Parameters
        ----------
        fresh : bool
        prior_weight : float
            Of the prior of transitions, times its own, for rows that are Dirichlet.
        offset : int
            Added to the seed: other draws, where they can be made.
        """
        attrs = self.attrs
        if "posterior" in self.tree.children:
            drawn = self.tree["posterior"].to_dataset().stack(sample=("chain", "draw"), create_index=False)
            return xr.DataTree.from_dict({"posterior": drawn.isel(sample=slice(int(fresh), None, 2))})
        kept = with_prior_weight(self.tree, self.counts, self.mdp.outcome_dim, prior_weight)
        return draw(kept, attrs["draws"], seed=attrs["seed"] + offset + fresh)


def read_plan(tree: xr.DataTree) -> KeptPlan:
    """Read a plan back.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`, or opened from the file that ``bayesmdp plan`` wrote.

    Returns
    -------
    KeptPlan

    Examples
    --------
    >>> import bayesmdp as bm
    >>> log = bm.collect(bm.environments.riverswim(6), policy="uniform", steps=500, seed=0)
    >>> kept = read_plan(bm.plan_log(log, discount=0.9, draws=50, calibration=0).tree)
    >>> kept.mdp.num_states, float(kept.tries.sum())
    (6, 500.0)
    """
    mdp = _problem(tree)
    rows, observed = tree["constant_data"].to_dataset(), tree["observed_data"].to_dataset()
    state, action = _positions(rows["state"], mdp.states), _positions(rows["action"], mdp.actions)
    outcome = _positions(observed["next_state"], mdp.states)
    if mdp.successor is not None:
        # The log's next states are named in their rows, each at its first mention.
        outcome = (mdp.successor[state, action] == outcome[:, None]).argmax(-1)
    counts = np.zeros(mdp.sizes)
    np.add.at(counts, (state, action, outcome), rows["weight"].values)
    concentration = None
    if "posterior" not in tree.children:
        concentration = read_concentration(tree, mdp)
    return KeptPlan(tree, mdp, counts, concentration)


def _positions(column: xr.DataArray, labels: Iterable[Any]) -> NDArray[np.intp]:
    """Where the labels of a column [row] are among all, by how they are written."""
    return pd.Index([str(label) for label in labels]).get_indexer(pd.Index(column.values.astype(str)))


def _problem(tree: xr.DataTree) -> MDP:
    """The problem that the plan was made for."""
    known, attrs = tree["problem"].to_dataset(), tree.attrs
    return MDP(
        reward=known["reward"].values,
        successor=known["successor"].values if "successor" in known else None,
        elsewhere="least" if attrs["elsewhere"] == "least" else "mean",
        discount=attrs.get("discount"),
        horizon=attrs.get("horizon"),
        available=known["available"].values.astype(bool),
        terminal=known["terminal"].values.astype(bool),
        initial=known["initial"].values,
        states=known["state"].values.tolist(),
        actions=known["action"].values.tolist(),
        name="log",
    )
