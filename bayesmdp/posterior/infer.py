"""From a model and a log to a posterior: the door between NumPyro and everything labelled."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.data import MeanRewards, Targets, Transitions, all_transitions, compress, label_set, left_out_told
from bayesmdp.mdp import MDP
from bayesmdp.posterior import nuts, smc_run
from bayesmdp.posterior.conjugate import Conjugate, Layout, NotConjugate, find
from bayesmdp.posterior.datatree import Labels, in_chains, posterior_tree
from bayesmdp.posterior.engines import ByParticles
from bayesmdp.posterior.exact import exact_draws
from bayesmdp.posterior.families import FAMILIES
from bayesmdp.posterior.infer_q import infer_q, of_q_values
from bayesmdp.posterior.infer_records import infer_records
from bayesmdp.posterior.log_evidence import conjugate_log_evidence
from bayesmdp.posterior.program import Impossible, Model, Program, check, describe_row, read, reads_reward, row_values
from bayesmdp.posterior.runs import latent_values
from bayesmdp.posterior.smc import DEFAULT
from bayesmdp.posterior.summary import summarise_rewards
from bayesmdp.records import Records
from bayesmdp.validation import integer

__all__ = ["draw", "infer", "log_rows"]

TRIALS = 16

METHODS = ("auto", "exact", "smc", "nuts")

FEWEST_ROWS = 16
"""Small logs, of a few rows and then of a few more, share their programs too."""


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
) -> xr.DataTree:
    """Draws from the posterior of a model's unknowns, given logged transitions.

    Parameters
    ----------
    model : NumPyro function of the data
        See ``bayesmdp/models/README.md`` for what is asked of it.
    log : Dataset over ``step``, Transitions, Targets, or Records
        See :func:`bayesmdp.data.compress`. For a model of Q-values, with a site ``theta``, the log of an `mdp` with
        stages: its targets are then made backwards, each with the posterior mean of the next stage. For a model of
        recorded primitives (:mod:`bayesmdp.records`) a log whose ``state`` has the dims step and coordinate.
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
        likelihood permits it (:mod:`~bayesmdp.posterior.summary`); the attr ``rewards`` then says so. Of Q-values
        ``parameters`` are the posterior's ``mean`` [stage, feature] and ``covariance``, and ``likelihood`` the sums of
        the data.

    Raises
    ------
    NotConjugate
        With ``method="exact"``, where the posterior is not known in closed form: the reason.
    TypeError, ValueError
        If an option, the log or the model is not as described, or the log is impossible under the model.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=200, seed=0)
    >>> posterior = infer(dirichlet_transitions(river), log, draws=100)
    >>> posterior.attrs["engine"], dict(posterior.posterior["transition"].sizes)
    ('exact', {'chain': 4, 'draw': 25, 'state': 6, 'action': 2, 'next_state': 6})
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    integer("draws", draws, 0)
    integer("seed", seed, 0)
    integer("num_warmup", num_warmup, 1)
    num_chains = _num_chains(draws, chains)
    if isinstance(log, Records) or (isinstance(log, xr.Dataset) and "coordinate" in log.dims):
        return infer_records(
            model,
            log,
            mdp=mdp,
            draws=draws,
            method=method,
            seed=seed,
            chains=num_chains,
            num_warmup=num_warmup,
            progress=progress,
        )
    if isinstance(log, Targets) or (mdp is not None and not isinstance(log, Transitions) and of_q_values(model, mdp)):
        if mdp is None:
            raise ValueError("a model of Q-values needs mdp, the MDP whose stages and features it is about")
        return infer_q(
            model,
            log,
            mdp=mdp,
            draws=draws,
            method=method,
            seed=seed,
            chains=num_chains,
            num_warmup=num_warmup,
            progress=progress,
        )
    with left_out_told(log):
        data, labels = log_rows(model, log, mdp)
    with jax.enable_x64(True):
        padded = _padded(data)
        program = read(model, padded, labels.outcome)
        _check_sizes(program, labels)
        rewarded = program.rewarded
        rewards = "as seen" if rewarded else "not looked at"
        short = summarise_rewards(model, data, program) if rewarded else data
        if short is not data:
            data, rewards = short, "two rows a transition, with the same mean and variance"
            padded = _padded(data)
        engine, found, reason = _engine(model, padded, method, labels.outcome, rewarded, program)
        parameters: nuts.Draws = {}
        statistics: nuts.Draws = {}
        told: dict[str, float] = {}
        if found is None:
            if not draws:
                raise ValueError(f"draws must be at least 1 where the posterior is not known in closed form: {reason}")
            check(model, padded)
            if not _discrete(program):  # of which a row may need one value out of many
                _refuse_impossible(padded, _never(model, padded), rewarded)
        if engine == "smc":
            settings = model.settings if isinstance(model, ByParticles) else DEFAULT
            sample = smc_run.run(
                model,
                padded,
                num_draws=draws,
                num_chains=num_chains,
                seed=seed,
                settings=settings,
                progress=progress,
            )
            posterior, prior, told = sample.draws, sample.prior, sample.account()
        elif found is None:
            posterior, statistics = nuts.run(
                model,
                padded,
                program,
                num_draws=draws,
                num_chains=num_chains,
                num_warmup=num_warmup,
                seed=seed,
                progress=progress,
            )
            prior = in_chains(nuts.prior_draws(model, padded, program, draws, seed + 1), num_chains)
        else:
            parameters = {name: np.asarray(values) for name, values in found.posterior(padded.weight).items()}
            before = {name: np.asarray(values) for name, values in found.posterior(0 * padded.weight).items()}
            prior = in_chains(exact_draws(before, found.layout, draws, seed, model, prior=True), num_chains)
            posterior = exact_draws(parameters, found.layout, draws, seed, model)
            told = {"log_evidence": conjugate_log_evidence(model, padded, found, parameters), "log_evidence_sd": 0.0}
            posterior = in_chains(posterior, num_chains)
    return posterior_tree(
        prior=prior,
        posterior=posterior,
        statistics=statistics,
        parameters=parameters,
        families={} if found is None else {name: site.family for name, site in found.sites.items()},
        data=data,
        rewarded=rewarded,
        dims=program.dims,
        labels=labels.sized(program.shape),
        attrs={
            "engine": engine,
            **told,
            "reason": reason,
            "model": getattr(model, "__name__", type(model).__name__),
            "latents": json.dumps(list(program.latents)),
            "deterministic": json.dumps(program.deterministic),
            "families": json.dumps({} if found is None else dict(zip(found.sites, found.layout.sites, strict=True))),
            "rewards": rewards,
            "seed": seed,
            "num_transitions": float(data.weight.sum()),
        },
    )


def log_rows(model: Model, log: xr.Dataset | Transitions, mdp: MDP | None) -> tuple[Transitions, Labels]:
    """The rows seen and what to call them.

    This is the one place where a log is reduced to rows for a model, after the model was asked what it looks at.
    """
    if isinstance(log, Transitions):
        if isinstance(log, MeanRewards) and callable(model) and reads_reward(model):
            raise ValueError(
                "the model observes rewards, and those of the data are means over steps that were paid differently, "
                "each of which would count as one exact reward; give the log itself, or "
                "compress(log, distinct_rewards=True)"
            )
        data = Transitions(*(np.asarray(column) for column in log))
        if data.weight.ndim != 1 or any(column.shape != data.weight.shape for column in data):
            raise ValueError(f"the columns of the data have shapes {[column.shape for column in data]}; expected equal")
        if not (np.isfinite(data.weight) & (data.weight >= 0)).all() or not data.weight.sum() > 0:
            raise ValueError("the data's weights must be finite, at least 0 and not all 0")
        for name in ("state", "action", "next_state"):
            if (getattr(data, name) < 0).any():
                raise ValueError(f"the data's {name} holds a negative index")
        data = Transitions(*(column[data.weight > 0] for column in data))
        states: Sequence[Hashable] | None = None if mdp is None else mdp.states
        actions: Sequence[Hashable] | None = None if mdp is None else mdp.actions
    else:
        data = compress(log, mdp, distinct_rewards=callable(model) and reads_reward(model))
        states = label_set(log, "states") if mdp is None else mdp.states
        actions = label_set(log, "actions") if mdp is None else mdp.actions
    return data, Labels(states, actions, None if mdp is None else mdp.successor)


def _padded(data: Transitions) -> Transitions:
    """With rows of weight 0 up to a power of 2, so that logs of about the same size share their compiled programs."""
    rows = len(data.weight)
    extra = max(FEWEST_ROWS, 1 << (rows - 1).bit_length()) - rows
    columns = (np.concatenate([column, np.repeat(column[:1], extra)]) for column in data)
    return Transitions(*columns)._replace(weight=np.concatenate([data.weight, np.zeros(extra)]))


def _check_sizes(program: Program, labels: Labels) -> None:
    expected = labels.shape
    if expected is not None and program.shape != expected:
        remedy = (
            "; pass mdp if its last axis is the outcome of a successor table" if labels.successor is None else ""
        ) + (
            "; if the log shows too few, read_log(states=[...], actions=[...]) declares them all, in the model's order"
            if any(own > told for own, told in zip(program.shape[:2], expected[:2], strict=True))
            else ""
        )
        raise ValueError(
            f"the model's transition has shape {program.shape}; the log's labels say {expected} "
            f"[state, action, {labels.outcome}]{remedy}"
        )


def _engine(
    model: Model, data: Transitions, method: str, outcome: str, rewarded: bool, program: Program
) -> tuple[str, Conjugate | None, str]:
    """Which engine, the closed form if it is the exact one, and why."""
    if method in ("smc", "nuts"):
        return method, None, f"asked for with method={method!r}"
    if method == "auto" and isinstance(model, ByParticles):
        return "smc", None, "asked for with with_particles"
    try:
        found = find(model, data, outcome, program)
    except NotConjugate as error:
        if method == "exact":
            raise
        discrete = _discrete(program)
        why = f"; {discrete[0]!r} is discrete" if discrete else ""
        return "smc" if discrete else "nuts", None, f"no closed form: {error}{why}"
    _refuse_impossible(data, found.impossible, rewarded)
    each = ((site.prior.sites, site.family.name) for site in found.sites.values())
    kinds = ", ".join(f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {kind}" for names, kind in each)
    return "exact", found, f"conjugate, by differentiating the log-likelihood: {kinds}"


def _discrete(program: Program) -> list[str]:
    return [name for name, latent in program.latents.items() if latent.discrete]


def _never(model: Model, data: Transitions) -> NDArray[np.bool_]:
    """Rows [row] of probability 0 at each of several random values of the unknowns."""
    once, never = data._replace(weight=np.ones(len(data.weight))), np.ones(len(data.weight), bool)
    for seed in range(TRIALS):
        never &= np.asarray(row_values(model, once, latent_values(model, data, seed))) < -1e300
        if not never.any():
            break
    return never


def _refuse_impossible(data: Transitions, impossible: NDArray[np.bool_], rewarded: bool) -> None:
    if impossible.any():
        row = describe_row(data, int(np.flatnonzero(impossible)[0]), reward=rewarded)
        raise Impossible(
            f"the log has {row}, which has probability 0 under the model; check the log, or widen the prior"
        )


def _num_chains(draws: int, chains: int) -> int:
    return max(n for n in range(1, integer("chains", chains, 1) + 1) if draws % n == 0)


def draw(
    posterior: xr.DataTree, draws: int, *, seed: int | None = None, model: Model | None = None, chains: int = 4
) -> xr.DataTree:
    """The same posterior with new draws, from its parameters.

    Parameters
    ----------
    posterior : DataTree
        From `infer`, with the group ``parameters``.
    draws : int
    seed : int, optional
        By default that of the posterior, which gives what ``infer(..., draws=draws)`` would have.
    model : NumPyro model, optional
        Needed where the model computes sites from others, such as ``transition`` from a few unknowns.
    chains : int, default 4

    Returns
    -------
    DataTree
        With the group ``posterior`` replaced.

    Raises
    ------
    ValueError
        If the posterior holds no parameters, or the model is needed and missing.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=200, seed=0)
    >>> kept = bm.infer(dirichlet_transitions(river), log, draws=0)
    >>> draw(kept, 100).posterior["transition"].shape
    (4, 25, 6, 2, 6)
    """
    if not isinstance(posterior, xr.DataTree):
        raise TypeError(f"posterior must be a DataTree from infer; got {type(posterior).__name__}")
    if "parameters" not in posterior.children:
        raise ValueError("the posterior has no group 'parameters': it is not known in closed form; call infer again")
    num_chains = _num_chains(integer("draws", draws, 1), chains)
    deterministic = tuple(json.loads(posterior.attrs.get("deterministic", "[]")))
    if deterministic and model is None:
        raise ValueError(f"the model computes {', '.join(map(repr, deterministic))} from other sites; pass model")
    seed = int(posterior.attrs["seed"]) if seed is None else integer("seed", seed, 0)
    known = posterior["parameters"].to_dataset()
    families = _families(posterior, known)
    parameters = {
        name: np.asarray(known[name].sel(parameter=list(labels)) if (labels := FAMILIES[kind].labels) else known[name])
        for name, (_, kind) in families.items()
    }
    layout = Layout(tuple(families.values()), deterministic)
    with jax.enable_x64(True):
        drawn = in_chains(exact_draws(parameters, layout, draws, seed, model), num_chains)
        dims = {
            site: tuple(str(dim) for dim in known[name].dims if dim != "parameter")
            for name, (sites, _) in families.items()
            for site in sites
        }
        if model is not None:
            dims = read(model, all_transitions(1, 1, 1), "outcome" if "outcome" in known.dims else "next_state").dims
    group = xr.Dataset({name: (("chain", "draw", *dims[name]), values) for name, values in drawn.items()})
    labelled = [posterior[name].coords for name in ("prior", "posterior", "parameters") if name in posterior.children]
    coords = {dim: known[dim].values for known in labelled for dim in group.dims if dim in known}
    coords |= {dim: np.arange(group.sizes[dim]) for dim in ("chain", "draw")}
    tree = posterior.copy()
    tree["posterior"] = xr.DataTree(group.assign_coords(coords).assign_attrs({**posterior.attrs, "seed": seed}))
    return tree


def _families(posterior: xr.DataTree, known: xr.Dataset) -> dict[str, tuple[tuple[str, ...], str]]:
    """The sites and the family of each of the parameters, in the order in which draws are made of them."""
    # A file need not keep that order; one without families has Dirichlet and Beta sites only.
    given = json.loads(posterior.attrs.get("families", "{}"))
    if given:
        return {name: (tuple(sites), kind) for name, (sites, kind) in given.items()}
    latents = json.loads(posterior.attrs.get("latents", "null")) or [str(name) for name in known]
    return {name: ((name,), "Beta" if "parameter" in known[name].dims else "Dirichlet") for name in latents}
