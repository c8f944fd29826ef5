"""Fresh draws from a posterior that is kept as its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import (
    Model,
    read,
)
from bayesmdp.posterior.closed_forms.draws import Layout, exact_draws
from bayesmdp.posterior.closed_forms.families import FAMILIES, Family
from bayesmdp.posterior.closed_forms.matrix_regression import regression_of
from bayesmdp.posterior.closed_forms.product import Product, families_of
from bayesmdp.posterior.inference.request import num_chains
from bayesmdp.posterior.inference.tree import in_chains

__all__ = ["draw"]

OF_DRAWS = ("log_likelihood", "log_prior")
"""Groups that are about the draws they were made for."""


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
        Needed where the model computes sites from others, such as ``transition`` from a few undatasets.
    chains : int, default 4

    Returns
    -------
    DataTree
        With the group ``posterior`` replaced, and without ``log_likelihood`` and ``log_prior``, which were of other
        draws; :func:`~bayesmdp.with_log_likelihood` makes them anew.

    Raises
    ------
    ValueError
        If the posterior holds no parameters, or the model is needed and missing.

    See Also
    --------
    bayesmdp.infer : makes the posterior.

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
    dataset = posterior["parameters"].to_dataset()
    if "regression" in posterior.attrs or "product" in posterior.attrs:
        return _with_draws(posterior, *_of_form(posterior, dataset, draws, seed, chains), seed)
    layout = _layout(posterior, dataset, deterministic)
    parameters = {sites[-1]: _numbers(dataset, sites[-1], family) for sites, family in layout.sites}
    reading = None
    if model is not None:
        outcome = posterior.attrs.get("outcome", "outcome" if "outcome" in dataset.dims else "next_state")
        rows = posterior["constant_data"].to_dataset() if "constant_data" in posterior.children else xr.Dataset()
        known = {str(name): rows[name].values for name in rows if name not in ("state", "action", "weight")}
        reading = read(model, outcome, known)
    with jax.enable_x64(True):
        drawn = in_chains(exact_draws(parameters, layout, draws, seed, reading), chains)
        dims = {
            site: tuple(str(dim) for dim in dataset[sites[-1]].dims if dim != "parameter")
            for sites, _ in layout.sites
            for site in sites
        }
        if reading is not None:
            dims = reading.dims
    return _with_draws(posterior, drawn, dims, seed)


def _numbers(dataset: xr.Dataset, name: str, family: Family) -> NDArray[Any]:
    """The parameters [..., parameter] of an unknown, in the family's order."""
    own = dataset[name]
    return np.asarray(own.sel(parameter=list(family.labels)) if family.labels else own)


def _of_form(
    posterior: xr.DataTree, dataset: xr.Dataset, draws: int, seed: int, chains: int
) -> tuple[dict[str, NDArray[Any]], Mapping[str, tuple[str, ...]]]:
    """Draws of a regression or a product, and the names of their axes."""
    parameters = {str(name): values.values for name, values in dataset.items()}
    form: Any
    if "product" in posterior.attrs:
        described = posterior.attrs["product"]
        parameters |= {name: _numbers(dataset, name, family) for name, family in families_of(described).items()}
        form = Product.of_parameters(described, parameters)
    else:
        form = regression_of(posterior.attrs["regression"], parameters)
    with jax.enable_x64(True):
        key = jax.random.split(jax.random.key(seed))[1]
        drawn = jax.tree.map(np.asarray, form.draw(key, form.before, draws))
    return in_chains(drawn, chains), dict(form.dims)


def _with_draws(
    posterior: xr.DataTree, drawn: dict[str, NDArray[Any]], dims: Mapping[str, tuple[str, ...]], seed: int
) -> xr.DataTree:
    """The posterior with other draws."""
    group = xr.Dataset({name: (("chain", "draw", *dims[name]), values) for name, values in drawn.items()})
    labelled = [posterior[name].coords for name in ("prior", "posterior", "parameters") if name in posterior.children]
    coords = {dim: of_group[dim].values for of_group in labelled for dim in group.dims if dim in of_group}
    coords |= {dim: np.arange(group.sizes[dim]) for dim in ("chain", "draw")}
    tree = posterior.filter(lambda node: node.name not in OF_DRAWS)
    tree["posterior"] = xr.DataTree(group.assign_coords(coords).assign_attrs({**posterior.attrs, "seed": seed}))
    return tree


def _layout(posterior: xr.DataTree, dataset: xr.Dataset, deterministic: tuple[str, ...]) -> Layout:
    """The sites and the family of each of the parameters, in the order in which draws are made of them."""
    described = posterior.attrs.get("families", "{}")
    if json.loads(described):
        return Layout.from_text(described, deterministic)
    # Parameters that a user wrote down: their family is the one that calls them so.
    latents = json.loads(posterior.attrs.get("latents", "null")) or [str(name) for name in dataset]
    return Layout(tuple(((name,), _family_by_labels(name, dataset)) for name in latents), deterministic)


def _family_by_labels(name: str, dataset: xr.Dataset) -> Family:
    if name not in dataset:
        raise ValueError(f"the posterior's parameters hold none of {name!r} that draws could be made of")
    own = dataset[name]
    labels = own.dropna("parameter", how="all")["parameter"].values.tolist() if "parameter" in own.dims else []
    for family in FAMILIES.values():
        if sorted(family.labels) == sorted(labels):
            return family
    raise ValueError(
        f"the parameters of {name!r} are {', '.join(map(str, labels))}, as of no family that is known here"
    )
