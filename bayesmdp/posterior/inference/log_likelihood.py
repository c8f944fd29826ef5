"""How likely each observation is at each draw of a posterior, and each draw under the prior, where ArviZ looks for it.

A model is conditioned on weighted rows, and ArviZ knows no weights: to `az.loo` each entry of ``log_likelihood`` is one
observation, to be left out alone. What is one observation is therefore said here: a step, an episode, or all steps of a
row. Whichever it is, they sum to the same log-likelihood of the whole log, which is all that `az.psense` asks for.
"""

from __future__ import annotations

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import sparse

from bayesmdp.logs.recorded_log import read_records
from bayesmdp.model_reading.model_runs import Data, Model
from bayesmdp.model_reading.primitives import fit_rows
from bayesmdp.model_reading.read_model import Reading, read_sites
from bayesmdp.model_reading.records import Records, check_records
from bayesmdp.model_reading.rows import Targets, Transitions
from bayesmdp.posterior.inference.draw_densities import densities_of_rows, set_apart
from bayesmdp.posterior.inference.observations import episode_of_step, row_of_step
from bayesmdp.posterior.inference.transitions import read_with_rows
from bayesmdp.problems.mdp import MDP

__all__ = ["OBSERVATIONS", "with_log_likelihood"]

OBSERVATIONS = ("step", "episode", "row")


def with_log_likelihood(
    posterior: xr.DataTree,
    model: Model,
    log: xr.Dataset | Transitions | Targets | Records,
    *,
    mdp: MDP | None = None,
    by: str = "step",
) -> xr.DataTree:
    """The same posterior with ArviZ's groups ``log_likelihood`` and ``log_prior``.

    With them `az.loo`, `az.compare` and `az.psense_summary` work on it. ``infer(..., log_likelihood="step")`` does the
    same; this is for draws made later, by :func:`~bayesmdp.draw`.

    Parameters
    ----------
    posterior : DataTree
        From :func:`~bayesmdp.infer` or :func:`~bayesmdp.draw`, with draws.
    model : NumPyro function of the data
        The one it is the posterior of.
    log : Dataset over ``step``, Transitions, Targets or Records
        What it was inferred from.
    mdp : MDP, optional
        As it was given to `infer`.
    by : {"step", "episode", "row"}
        What one observation is. ``"step"``: each step of the log, so that `az.loo` tells how well one step is predicted
        from all others; of weighted rows, which must be whole, each is repeated as often as its weight says.
        ``"episode"``: the steps up to and including one that is ``terminated`` or ``truncated``, together.
        ``"row"``: all steps of a distinct transition together, as many numbers as the posterior has rows. It is enough
        for `az.psense_summary`; `az.loo` then leaves out all of them at once.

    Returns
    -------
    DataTree
        ``log_likelihood`` holds ``observed`` [chain, draw, step or episode or row], and its attrs say `by`;
        ``log_prior`` holds one variable [chain, draw] for each unknown (the log density of all its elements, given what
        it depends on) and for each factor outside the rows. Draws times steps numbers of 8 bytes: 80 MB for 1,000
        draws and 10,000 steps.

    Raises
    ------
    TypeError, ValueError
        If the posterior has no draws, or is not of this model and of this log; if a weight is not whole, or the log
        does not say where episodes end. By step and by episode there is nothing to leave out of Q-values inferred from
        a log, whose targets are made from one another.

    Notes
    -----
    Where the prior of one unknown depends on another, as in a hierarchy, `az.psense_summary` should scale the top of it
    alone: ``prior_var_names=["NAME"]``. Numbers that are the same at all draws, as of what is certain, and those of
    which five are tied at an end, have no tail that ArviZ could smooth and would be refused: they are set apart by
    1e-9 of their size, which moves no result by more. A probability that was rounded to 0 has the prior density of
    1e-290. Both are ours.

    Examples
    --------
    >>> import arviz as az
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> prior = bm.models.dirichlet_transitions(river)
    >>> log = bm.collect(river, policy="uniform", steps=200, seed=0)
    >>> posterior = bm.draw(bm.infer(prior, log, draws=0), 1_000)
    >>> posterior = with_log_likelihood(posterior, prior, log)
    >>> dict(posterior["log_likelihood"]["observed"].sizes)
    {'chain': 4, 'draw': 250, 'step': 200}
    >>> found = az.loo(posterior)
    >>> int(found.n_data_points), round(float(found.elpd))  # steps, and the log probability of each from all others
    (200, -95)
    """
    if not isinstance(posterior, xr.DataTree):
        raise TypeError(f"posterior must be a DataTree from infer; got {type(posterior).__name__}")
    if "latents" not in posterior.attrs or "constant_data" not in posterior.children:
        raise ValueError("the posterior is not one from infer: it does not say what it was inferred from")
    if by not in OBSERVATIONS:
        raise ValueError(f"by must be one of {', '.join(OBSERVATIONS)}; got {by!r}")
    data, reading = _rows(posterior, model, log, mdp)
    weight = np.asarray(data.weight, float)
    steps = posterior.attrs.get("num_transitions", weight.sum())
    if not np.isclose(steps, weight.sum()):
        raise ValueError(
            f"the posterior was inferred from {steps:g} steps, and the log has {weight.sum():g}: give its own"
        )
    episode = episode_of_step(log) if by == "episode" else None
    row = None if by == "row" else row_of_step(log, data, reading, mdp)
    densities = densities_of_rows(model, posterior, data, None if reading is None else reading.latents)
    values = _observed(densities.rows, weight, row, episode)
    draws = posterior["posterior"]
    coords = {dim: draws[dim].values for dim in ("chain", "draw") if dim in draws.coords}
    number = np.arange(values.shape[-1])
    named = log["step"].values if by == "step" and isinstance(log, xr.Dataset) else number
    tree = posterior.copy()
    tree["log_likelihood"] = xr.DataTree(
        xr.Dataset({"observed": (("chain", "draw", by), values)}, {**coords, by: named}, {"by": by})
    )
    prior = {name: (("chain", "draw"), set_apart(density)) for name, density in densities.prior.items()}
    tree["log_prior"] = xr.DataTree(xr.Dataset(prior, coords))
    return tree


def _observed(
    rows: Float[np.ndarray, "chain draw row"],
    weight: Float[np.ndarray, " row"],
    row: NDArray[np.int64] | None,
    episode: NDArray[np.int64] | None,
) -> Float[np.ndarray, "chain draw observation"]:
    """Log-likelihoods of observations, each of which is a row, or the step of a row, or so many steps of an episode."""
    if row is None:
        return set_apart(np.where(weight > 0, weight * rows, 0.0))
    if episode is None:
        return set_apart(rows)[..., row]
    # How many of its steps an episode has of each row; sums of a sparse matrix take no 0 times minus infinity.
    tally = sparse.coo_array((np.ones(len(row)), (episode, row)), (episode[-1] + 1, len(weight))).tocsr()
    flat = rows.reshape(-1, len(weight))
    return set_apart((tally @ flat.T).T.reshape(*rows.shape[:2], -1))


def _rows(
    posterior: xr.DataTree, model: Model, log: xr.Dataset | Transitions | Targets | Records, mdp: MDP | None
) -> tuple[Data, Reading | None]:
    """The rows that a posterior was inferred from, and its model as it was read, but for Q-values."""
    constant, observed = (posterior[name].to_dataset() for name in ("constant_data", "observed_data"))
    if "row_stage" in constant:  # of Q-values, whose targets are kept
        columns = (constant["row_stage"], constant["features"], observed["target"], constant["weight"])
        return Targets(*(column.values for column in columns)), None
    if isinstance(log, Targets):
        raise ValueError("the log holds targets of Q-values, and the posterior is not one of Q-values")
    if isinstance(log, Records) or (isinstance(log, xr.Dataset) and "coordinate" in log.dims):
        data = check_records(log) if isinstance(log, Records) else read_records(log, mdp)
        with jax.enable_x64(True):
            data = fit_rows(model, data)
            return data, read_sites(model, data)
    reading, rows, _ = read_with_rows(model, log, mdp)
    return rows, reading
