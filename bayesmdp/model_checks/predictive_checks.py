"""Checking a prior against a log: what it would have us see, and how it compares with rival priors.

A *replicate* is a log that might have been. For each draw of the kernel there are two: for each pair that was tried,
where as many tries would have led (``transitions``); and a whole log of the same length under the policy that the log
shows, with how often it visits each pair (``visits``) and what it earns (``total_reward``). Where the model is right
the log looks like one of the replicates of its posterior.

Rival priors are compared by their evidence, and by how well each step is predicted from all the others (PSIS-LOO,
Vehtari, Gelman and Gabry, 2017, as ArviZ computes it). Identical steps stand in one row, so a row's figures count as
often as its weight says.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr
from jax import random
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.logs.compress import compress
from bayesmdp.logs.log import refuse_counted
from bayesmdp.planning.posterior_draws import read_dataset, read_draws
from bayesmdp.posterior.inference.tree import Labels, label_draws
from bayesmdp.problems.mdp import MDP
from bayesmdp.simulation.walk import follow_policy

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["replicate_logs", "surprises"]

GROUPS = {"posterior": "posterior_predictive", "prior": "prior_predictive"}


def replicate_logs(
    posterior: xr.DataTree, log: xr.Dataset, mdp: MDP, *, replicates: int = 200, seed: int = 0
) -> xr.DataTree:
    """Logs that might have been, under the posterior and under the prior, beside the one that was.

    Parameters
    ----------
    posterior : DataTree
        From :func:`~bayesmdp.infer`.
    log : Dataset over ``step``
    mdp : MDP
        Whose rewards are taken where the model says nothing of rewards, and whose noise of rewards always is.
    replicates : int
        Of each group; draws are taken at even distances.
    seed : int

    Returns
    -------
    DataTree
        ``posterior_predictive`` and ``prior_predictive`` with ``transitions`` [chain, draw, state, action, next_state
        or outcome], ``visits`` [chain, draw, state, action] and ``total_reward`` [chain, draw, log], of the one log;
        ``observed_data`` with the same of the log itself. ArviZ's ``plot_ppc_dist`` and ``plot_ppc_tstat`` draw it, and
        those of its plots that are for one axis draw ``total_reward``.

    See Also
    --------
    bayesmdp.surprises : what of the log the replicates do not show.
    bayesmdp.collect : a log in a known problem.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, steps=500, seed=0)
    >>> posterior = bm.infer(bm.models.river_current(river), log)
    >>> check = replicate_logs(posterior, log, river, replicates=50)
    >>> dict(check["posterior_predictive"]["visits"].sizes)
    {'chain': 1, 'draw': 50, 'state': 6, 'action': 2}
    """
    replicates, seed = integer("replicates", replicates, 1), integer("seed", seed, 0)
    refuse_counted(log, "a replicated log")
    data = compress(log, mdp)
    shape = mdp.num_states, mdp.num_actions, mdp.num_outcomes
    seen = np.zeros(shape, int)
    np.add.at(seen, (data.state, data.action, data.next_state), data.weight.astype(int))
    tries = seen.sum(-1)
    policy = _shown_policy(tries, mdp)
    labels = Labels(mdp.states, mdp.actions, mdp.successor)
    dims: dict[str, tuple[str, ...]] = {
        "transitions": ("state", "action", labels.outcome),
        "visits": ("state", "action"),
        "total_reward": ("log",),  # ArviZ draws nothing without an axis
    }
    groups = {}
    for number, (group, name) in enumerate(GROUPS.items()):
        if group not in posterior.children:
            continue
        draws = read_draws(read_dataset(posterior[group].to_dataset()), mdp)
        chosen = np.linspace(0, len(draws.transition) - 1, min(replicates, len(draws.transition))).astype(int)
        kernels = np.minimum(np.asarray(draws.transition)[chosen], 1)  # rounding
        rewards = np.asarray(draws.reward)
        rewards = rewards[chosen] if rewards.ndim == 4 else np.broadcast_to(rewards, (len(chosen), *rewards.shape))
        rng = np.random.default_rng([seed, number])
        with jax.enable_x64(True):
            keys = random.split(random.fold_in(random.key(seed), number), len(chosen))
            problem = jax.device_put(mdp.problem)  # once for all replicates
            follow = partial(follow_policy, world=mdp.world, steps=log.sizes["step"], length=mdp.length)
            walks = [
                follow(key, problem._replace(reward=reward), kernel, policy[None])[0]
                for key, kernel, reward in zip(keys, kernels, rewards, strict=True)
            ]
        visits = np.zeros((len(walks), *policy.shape))
        for number_of, walk in zip(visits, walks, strict=True):
            np.add.at(number_of, (walk.state, walk.action), 1)
        made = {
            "transitions": rng.multinomial(np.broadcast_to(tries, kernels.shape[:-1]), kernels),
            "visits": visits,
            "total_reward": np.array([[walk.reward.sum()] for walk in walks]),
        }
        made = {variable: values[None] for variable, values in made.items()}
        groups[name] = label_draws(made, ("chain", "draw"), dims, labels)
    observed = {"transitions": seen, "visits": tries, "total_reward": np.array([float(log["reward"].sum())])}
    groups["observed_data"] = label_draws(observed, (), dims, labels)
    return xr.DataTree.from_dict(groups)


def _shown_policy(tries: NDArray[Any], mdp: MDP) -> NDArray[np.float64]:
    """Shares of the actions in each state; uniform over what is available where the log never was."""
    shares = np.where(tries.sum(-1, keepdims=True) > 0, tries, mdp.available)
    return np.asarray(shares / shares.sum(-1, keepdims=True), float)


def surprises(
    check: xr.DataTree, variable: str = "transitions", *, group: str = "posterior_predictive"
) -> pd.DataFrame:
    """How far out each observed number lies among its replicates, the farthest first.

    Parameters
    ----------
    check : DataTree
        From `replicate_logs`.
    variable : {"transitions", "visits", "total_reward"}
    group : {"posterior_predictive", "prior_predictive"}

    Returns
    -------
    DataFrame
        Over the variable's labels: ``observed``, the replicates' ``mean`` and ``sd``, and ``tail``, the share of
        replicates at least as far out on the nearer side, twice (ties counted half); at least 1 / replicates.

    See Also
    --------
    bayesmdp.replicate_logs : makes what this judges.
    bayesmdp.compare_priors : is another prior better?

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, steps=500, seed=0)
    >>> posterior = bm.infer(bm.models.river_current(river), log)
    >>> surprises(replicate_logs(posterior, log, river, replicates=50)).columns.tolist()
    ['observed', 'mean', 'sd', 'tail']
    """
    made, observed = check[group].to_dataset()[variable], check["observed_data"].to_dataset()[variable]
    made = made.stack(replicate=("chain", "draw"))
    equal = (made == observed).mean("replicate")
    below = (made < observed).mean("replicate") + equal / 2
    tail = np.maximum(2 * np.minimum(below, 1 - below), 1 / made.sizes["replicate"])
    columns = {"observed": observed, "mean": made.mean("replicate"), "sd": made.std("replicate"), "tail": tail}
    return xr.Dataset(columns).to_dataframe().sort_values(["tail", "sd"], ascending=[True, False])
