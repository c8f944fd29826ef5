"""From a model and a log to a posterior: the door between NumPyro and everything labelled."""

from __future__ import annotations

import xarray as xr

from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.records import Records
from bayesmdp.model_reading.rows import Targets, Transitions
from bayesmdp.posterior.inference.log_likelihood import OBSERVATIONS, with_log_likelihood
from bayesmdp.posterior.inference.primitives import infer_records
from bayesmdp.posterior.inference.q_values import infer_q, of_q_values
from bayesmdp.posterior.inference.request import METHODS, Request, num_chains
from bayesmdp.posterior.inference.transitions import infer_transitions
from bayesmdp.problems.mdp import MDP

__all__ = ["infer"]


def infer(
    model: Model,
    log: xr.Dataset | Transitions | Targets | Records,
    *,
    draws: int = 1000,
    method: str = "auto",
    seed: int = 0,
    mdp: MDP | None = None,
    chains: int = 4,
    num_warmup: int = 1000,
    progress: bool = False,
    log_likelihood: str | None = None,
) -> xr.DataTree:
    """Draws from the posterior of a model's unknowns, given logged transitions.

    Parameters
    ----------
    model : NumPyro function of the data
        See ``bayesmdp/models/README.md`` for what is asked of it.
    log : Dataset over ``step``, Transitions, Targets, or Records
        See :func:`bayesmdp.logs.compress.compress`. For a model of Q-values, with a site ``theta``, the log of an `mdp`
        with stages: its targets are then made backwards, each with the posterior mean of the next stage. For a model of
        recorded primitives (:mod:`bayesmdp.model_reading.records`) a log whose ``state`` has the dims step and
        coordinate.
    draws : int, default 1000
        In all, over all chains. With 0 an exact posterior is kept as its parameters alone, which take no more room than
        the prior; :func:`draw` makes draws of them when they are wanted.
    method : {"auto", "exact", "smc", "nuts"}
        ``"exact"`` needs a conjugate model, which is found out, not declared; ``"auto"`` takes it where it holds and
        NUTS elsewhere. ``"smc"`` is for any model, and the choice of ``"auto"`` for one with discrete unknowns, of
        recorded primitives, or made by :func:`~bayesmdp.with_particles`. ``posterior.attrs["engine"]`` and
        ``["reason"]`` say which ran and why. Of all but NUTS there is also ``["log_evidence"]``, the log probability of
        the log under the prior, and ``["log_evidence_sd"]``, how well it is known.
    seed : int
        The same seed gives the same draws.
    mdp : MDP, optional
        Gives labels and the successor table; by default labels come from the log.
    chains : int, default 4
        At most; the largest number that divides `draws` is taken. Exact draws are independent, and are arranged in
        chains only so that ArviZ's diagnostics apply to them too; chains of particles are independent runs.
    num_warmup : int, default 1000
        Of each NUTS chain.
    progress : bool
        Whether NUTS, and runs of particles, show a progress bar.
    log_likelihood : {"step", "episode", "row"}, optional
        What one observation is for `az.loo`: then there are also the groups ``log_likelihood``, of draws times
        observations numbers, and ``log_prior``; see :func:`~bayesmdp.with_log_likelihood`. Nothing by default.

    Returns
    -------
    DataTree
        Groups ``posterior``, ``prior`` (chain, draw, ...), ``observed_data`` and ``constant_data`` (over ``row``, the
        distinct transitions seen); from NUTS ``sample_stats``, which exact draws have no use for, and of particles the
        attrs ``least_effective_size`` and ``resampled`` tell; and for an exact posterior ``parameters``: the
        concentration of each Dirichlet site, and along ``parameter`` a and b of a Beta, mean and sd of a Normal, shape
        and rate of a Gamma. A Normal and a Gamma site that are Normal-Gamma together stand under the name of the Normal
        one, with mean, weight, shape and rate. What a site has no use for is NaN. Where the model observes rewards the
        distinct rewards are rows of their own, beyond 10,000 of which those of one transition become two if a Normal
        likelihood permits it (:mod:`~bayesmdp.posterior.inference.reward_summary`); the attr ``rewards`` then says so.
        Of Q-values ``parameters`` are the posterior's ``mean`` [stage, feature] and ``covariance``, and ``likelihood``
        the sums of the data.

    Raises
    ------
    NotConjugate
        With ``method="exact"``, where the posterior is not known in closed form: the reason.
    TypeError, ValueError
        If an option, the log or the model is not as described, or the log is impossible under the model.

    See Also
    --------
    bayesmdp.draw : more draws of the same posterior.
    bayesmdp.with_particles : a prior followed by particles everywhere.
    bayesmdp.compare_priors : evidence of rival priors.
    bayesmdp.plan : what to do, given the posterior.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=200, seed=0)
    >>> posterior = infer(dirichlet_transitions(river), log, draws=100)
    >>> posterior.attrs["engine"], dict(posterior.posterior["transition"].sizes)
    ('exact', {'chain': 4, 'draw': 25, 'state': 6, 'action': 2, 'next_state': 6})

    With the log-likelihood of each step, ArviZ compares models by how well they predict steps:

    >>> import arviz as az
    >>> priors = {"rows": dirichlet_transitions(river), "current": bm.models.river_current(river)}
    >>> table = az.compare({name: infer(prior, log, log_likelihood="step") for name, prior in priors.items()})
    >>> table.index.tolist()
    ['current', 'rows']
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    integer("draws", draws, 0)
    integer("seed", seed, 0)
    integer("num_warmup", num_warmup, 1)
    if log_likelihood is not None:
        if log_likelihood not in OBSERVATIONS:
            raise ValueError(
                f"log_likelihood must be one of {', '.join(OBSERVATIONS)}, or None; got {log_likelihood!r}"
            )
        integer("draws for a log_likelihood", draws, 1)
    request = Request(draws, method, seed, num_chains(draws, chains), num_warmup, progress)
    posterior = _inferred(model, log, mdp, request)
    if log_likelihood is None:
        return posterior
    return with_log_likelihood(posterior, model, log, mdp=mdp, by=log_likelihood)


def _inferred(
    model: Model, log: xr.Dataset | Transitions | Targets | Records, mdp: MDP | None, request: Request
) -> xr.DataTree:
    """Infer what the log is about: recorded primitives, Q-values or transitions."""
    if isinstance(log, Records) or (isinstance(log, xr.Dataset) and "coordinate" in log.dims):
        return infer_records(model, log, mdp, request)
    if isinstance(log, Targets) or (mdp is not None and not isinstance(log, Transitions) and of_q_values(model, mdp)):
        if mdp is None:
            raise ValueError("a model of Q-values needs mdp, the MDP whose stages and features it is about")
        return infer_q(model, log, mdp, request)
    return infer_transitions(model, log, mdp, request)
