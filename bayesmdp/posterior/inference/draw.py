"""Fresh draws from a posterior that is kept as its parameters."""

from __future__ import annotations

import json

import jax
import numpy as np
import xarray as xr

from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import (
    Model,
    read,
)
from bayesmdp.model_reading.rows import all_transitions
from bayesmdp.posterior.closed_forms.draws import exact_draws
from bayesmdp.posterior.closed_forms.families import FAMILIES
from bayesmdp.posterior.closed_forms.transitions import Layout
from bayesmdp.posterior.inference.request import num_chains
from bayesmdp.posterior.inference.tree import in_chains

__all__ = ["draw"]


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
    chains = num_chains(integer("draws", draws, 1), chains)
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
        drawn = in_chains(exact_draws(parameters, layout, draws, seed, model), chains)
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
