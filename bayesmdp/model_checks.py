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

import json
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import lax, random
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import logsumexp
from tqdm.auto import tqdm

from bayesmdp.data import Transitions, compress
from bayesmdp.mdp import MDP, Array
from bayesmdp.planning.inputs import read_dataset, read_draws
from bayesmdp.posterior.conjugate import NotConjugate
from bayesmdp.posterior.datatree import Labels, label_draws
from bayesmdp.posterior.engines import ByParticles
from bayesmdp.posterior.infer import infer, log_rows
from bayesmdp.posterior.program import Impossible, Model, reads_reward, row_values
from bayesmdp.validation import integer
from bayesmdp.walk import follow_policy

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_priors", "replicate_logs", "surprises"]

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
            walks = [
                follow_policy(
                    key, problem._replace(reward=reward), kernel, policy, world=mdp.world, steps=log.sizes["step"]
                )
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


def compare_priors(
    log: xr.Dataset | Transitions,
    priors: Mapping[str, Model],
    *,
    mdp: MDP | None = None,
    progress: bool | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Rival priors on one log: evidence, and how well each step is predicted from the others.

    Parameters
    ----------
    log : Dataset over ``step``, or Transitions
    priors : mapping of name to NumPyro model
    progress : bool, optional
        Whether bars on standard error show which prior is at work; by default in terminals and notebooks.
    mdp, **options
        As for :func:`~bayesmdp.infer`; where a prior has no closed form, ``method="smc"`` by default, which has an
        evidence.

    Returns
    -------
    DataFrame
        By prior, the most probable first; where the log is impossible the evidence is minus infinity. ``engine``;
        ``log_evidence`` and its standard error ``log_evidence_sd``; ``probability`` if all were as probable beforehand;
        ``elpd_loo``, the expected log predictive density, its standard error ``se`` and ``p_loo``, the effective number
        of parameters; ``worst_k``, the largest Pareto k, to be trusted below .7; ``worse_by`` and ``worse_by_se``, the
        difference to the best elpd, step by step.

    Raises
    ------
    ValueError
        If the log is impossible under all of them, or only some say anything of rewards.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, steps=200, seed=0)
    >>> table = compare_priors(
    ...     log, {"rows": bm.models.dirichlet_transitions(river), "current": bm.models.river_current(river)}, mdp=river
    ... )
    >>> table.index[0], bool(table["probability"].iloc[0] > 0.99)
    ('current', True)
    """
    import pandas as pd

    if not isinstance(priors, Mapping) or not priors:
        raise TypeError(f"priors must be a mapping of names to models; got {type(priors).__name__}")
    looks = {name: reads_reward(model) for name, model in priors.items()}
    if len(set(looks.values())) > 1:
        blind = next(name for name, does in looks.items() if not does)
        raise ValueError(
            f"priors[{blind!r}] says nothing of rewards, and others do, so that they are about other data: wrap it "
            "too, such as with normal_rewards"
        )
    rows: dict[str, dict[str, Any]] = {}
    each: dict[str, NDArray[np.float64]] = {}
    counted: dict[str, NDArray[np.float64]] = {}
    impossible: Impossible | None = None
    console = Console(stderr=True)
    shown = console.is_terminal or console.is_jupyter if progress is None else progress
    bar = tqdm(priors.items(), leave=False, disable=not shown)
    for name, model in bar:
        bar.set_description(str(name))
        try:
            posterior = _with_evidence(model, log, mdp=mdp, progress=shown, **options)
        except Impossible as error:
            rows[name] = {"engine": "none", "log_evidence": -np.inf, "log_evidence_sd": 0.0, "elpd_loo": -np.inf}
            impossible = error
            continue
        data, _ = log_rows(model, log, mdp)
        each[name], told = _leave_one_out(model, posterior, data)
        counted[name] = data.weight
        rows[name] = {
            "engine": posterior.attrs["engine"],
            "log_evidence": posterior.attrs.get("log_evidence", np.nan),
            "log_evidence_sd": posterior.attrs.get("log_evidence_sd", np.nan),
            **told,
        }
    if not each:
        assert impossible is not None
        raise impossible
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("prior")
    odds = np.exp(table["log_evidence"] - table["log_evidence"].max())
    table.insert(3, "probability", odds / odds.sum())
    best = max(rows, key=lambda name: rows[name]["elpd_loo"])
    table["worse_by"] = rows[best]["elpd_loo"] - table["elpd_loo"]
    # Step by step, where both models tell the same steps apart.
    table["worse_by_se"] = [
        _error(each[best] - each[name], counted[best])
        if name in each and np.array_equal(counted[name], counted[best])
        else np.nan
        for name in rows
    ]
    return table.sort_values("log_evidence" if table["log_evidence"].notna().all() else "elpd_loo", ascending=False)


def _with_evidence(model: Model, log: Any, **options: Any) -> xr.DataTree:
    """A posterior: unless a method is asked for exact where it can be, and by particles elsewhere."""
    if "method" in options:
        return infer(model, log, **options)
    if isinstance(model, ByParticles):
        return infer(model, log, method="smc", **options)
    try:
        return infer(model, log, method="exact", **options)
    except NotConjugate:
        return infer(model, log, method="smc", **options)


def _error(each: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Standard error of the sum of so many independent steps."""
    total = weight.sum()
    mean = weight @ each / total
    return float(np.sqrt(weight @ (each - mean) ** 2 / max(total - 1, 1) * total))


def _leave_one_out(
    model: Model, posterior: xr.DataTree, data: Transitions
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """PSIS-LOO of one step of each row [row], and its sums over all steps."""
    import arviz as az

    draws = posterior["posterior"].to_dataset()[json.loads(posterior.attrs["latents"])]
    values = {str(name): draws[name].transpose("chain", "draw", ...).values for name in draws}
    values = {name: array.reshape(-1, *array.shape[2:]) for name, array in values.items()}
    with jax.enable_x64(True):
        likelihood = np.asarray(_each_row(model, data, values))
    likelihood = likelihood.reshape(draws.sizes["chain"], draws.sizes["draw"], -1)
    each, worst = likelihood[0, 0].copy(), -np.inf
    varies = np.ptp(likelihood, axis=(0, 1)) > 1e-9 * (1 + np.abs(each))  # what is certain needs no smoothing
    if varies.any():
        steps = xr.Dataset({"step": (("chain", "draw", "row"), likelihood[..., varies])})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Estimated shape parameter")  # `worst_k` says so
            found = az.loo(xr.DataTree.from_dict({"posterior": draws, "log_likelihood": steps}), pointwise=True)
        each[varies], worst = np.asarray(found.elpd_i, float).ravel(), float(np.max(found.pareto_k))
    in_sample = logsumexp(likelihood, (0, 1)) - np.log(likelihood[..., 0].size)
    return each, {
        "elpd_loo": float(data.weight @ each),
        "se": _error(each, data.weight),
        "p_loo": float(data.weight @ (in_sample - each)),
        "worst_k": worst,
    }


@partial(jax.jit, static_argnums=0)
def _each_row(model: Model, data: Transitions, values: dict[str, Array]) -> Array:
    once = data._replace(weight=jnp.ones(len(data.weight)))
    return lax.map(lambda at: row_values(model, once, at), values, batch_size=64)
