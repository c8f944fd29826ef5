"""Draws as an `xarray.DataTree` in ArviZ's layout: groups, named dims, labelled coordinates, provenance."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.package_versions import package_versions
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.families import Family
from bayesmdp.problems.labels import label_array

__all__ = [
    "Labels",
    "by_draw",
    "in_chains",
    "label_draws",
    "label_parameters",
    "numbered_tree",
    "posterior_tree",
    "versions",
]


class Labels(NamedTuple):
    """What states and actions are called.

    Attributes
    ----------
    states, actions : sequences of labels, or None where unknown
    successor : int array [state, action, outcome] or None
    """

    states: Sequence[Hashable] | None
    actions: Sequence[Hashable] | None
    successor: NDArray[np.int32] | None = None

    @property
    def outcome(self) -> str:
        """Name of the last axis of ``transition``."""
        return "next_state" if self.successor is None else "outcome"

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Shape that ``transition`` must have, where it is known."""
        if self.states is None or self.actions is None:
            return None
        num_outcomes = len(self.states) if self.successor is None else self.successor.shape[-1]
        return len(self.states), len(self.actions), num_outcomes

    def sized(self, shape: tuple[int, int, int]) -> Labels:
        """The same labels, and 0, 1, 2, ... where there are none."""
        states = range(shape[0]) if self.states is None else self.states
        actions = range(shape[1]) if self.actions is None else self.actions
        return Labels(states, actions, self.successor)


def posterior_tree(
    *,
    prior: dict[str, NDArray[Any]],
    posterior: dict[str, NDArray[Any]],
    statistics: dict[str, NDArray[Any]],
    parameters: dict[str, NDArray[Any]],
    families: Mapping[str, Family],
    data: Transitions,
    rewarded: bool,
    dims: dict[str, tuple[str, ...]],
    labels: Labels,
    attrs: dict[str, Any],
) -> xr.DataTree:
    """A DataTree from arrays [chain, draw, ...] and the rows seen.

    Parameters
    ----------
    prior, posterior, statistics : dict of arrays [chain, draw, ...]
    parameters : dict of arrays
        Of the posterior by site, where it is known in closed form: a Dirichlet site's concentration has its shape,
        those of other families one more axis, ``parameter``.
    families : mapping
        The family that each of the parameters is of.
    data : Transitions
    rewarded : bool
        Whether the model observes rewards.
    dims : dict
        Names of each site's axes after chain and draw.
    labels : Labels
        With no None for states or actions.
    attrs : dict
        Those of the root and of the group ``posterior``; versions are added.

    Returns
    -------
    DataTree
        Groups that would hold nothing are left out.
    """
    assert labels.states is not None
    assert labels.actions is not None
    attrs = attrs | versions()
    states, actions = label_array(labels.states, text=True), label_array(labels.actions, text=True)

    def group(draws: dict[str, NDArray[Any]]) -> xr.Dataset:
        return label_draws(draws, ("chain", "draw"), dims, labels)

    next_state = data.next_state
    if labels.successor is not None:
        next_state = labels.successor[data.state, data.action, data.next_state]
    entered = (
        np.where(next_state < 0, "elsewhere", states[next_state]) if (next_state < 0).any() else states[next_state]
    )
    row = {"row": np.arange(len(data.weight))}
    observed = xr.Dataset({"next_state": ("row", entered)}, coords=row)
    if rewarded:
        observed["reward"] = "row", np.asarray(data.reward, float)
    constant = xr.Dataset(
        {
            "state": ("row", states[data.state]),
            "action": ("row", actions[data.action]),
            "weight": ("row", np.asarray(data.weight, float)),
            **{name: ("row", np.asarray(values)) for name, values in data.covariates.items()},
        },
        coords=row,
    )
    groups = {
        "posterior": group(posterior).assign_attrs(attrs),
        "prior": group(prior),
        "sample_stats": group(statistics),
        "parameters": label_parameters(parameters, families, dims, labels),
        "observed_data": observed,
        "constant_data": constant,
    }
    tree = xr.DataTree.from_dict({name: dataset for name, dataset in groups.items() if dataset.data_vars})
    tree.attrs.update(attrs)
    return tree


def versions() -> dict[str, str]:
    """The versions of what draws are made by, for attrs."""
    return {f"{package}_version": told for package, told in package_versions("bayesmdp", "jax", "numpyro").items()}


def by_draw(draws: Mapping[str, Any], dims: Mapping[str, tuple[str, ...]]) -> xr.Dataset:
    """Label arrays by chain, draw and their further axes.

    Parameters
    ----------
    draws : mapping of name to array [chain, draw, ...]
    dims : mapping of name to the names of its further axes

    Returns
    -------
    Dataset
    """
    return xr.Dataset({name: (("chain", "draw", *dims.get(name, ())), values) for name, values in draws.items()})


def in_chains(draws: dict[str, NDArray[Any]], num_chains: int) -> dict[str, NDArray[Any]]:
    """Split draws into chains.

    Parameters
    ----------
    draws : mapping of site to array [draw, ...]
    num_chains : int
        A divisor of the number of draws.

    Returns
    -------
    dict of arrays [chain, draw, ...] by site
    """
    return {name: values.reshape(num_chains, -1, *values.shape[1:]) for name, values in draws.items()}


def numbered_tree(groups: Mapping[str, xr.Dataset], attrs: Mapping[str, Any]) -> xr.DataTree:
    """Make a DataTree whose dims are numbered unless labelled, without groups that would hold nothing.

    Parameters
    ----------
    groups : mapping of path to Dataset
    attrs : mapping
        Of the root.

    Returns
    -------
    DataTree
    """
    full = {name: group for name, group in groups.items() if group.data_vars and all(group.sizes.values())}
    tree = xr.DataTree.from_dict(
        {
            name: group.assign_coords({dim: np.arange(n) for dim, n in group.sizes.items() if dim not in group.coords})
            for name, group in full.items()
        }
    )
    tree.attrs.update(attrs)
    return tree


def label_parameters(
    parameters: Mapping[str, NDArray[Any]],
    families: Mapping[str, Family],
    dims: Mapping[str, tuple[str, ...]],
    labels: Labels,
) -> xr.Dataset:
    """Label parameters by site; see `posterior_tree`.

    Parameters
    ----------
    parameters : mapping of site to array
    families : mapping of site to Family
    dims : mapping of site to names of axes
    labels : Labels

    Returns
    -------
    Dataset
        The dim ``parameter`` holds those of all families, NaN where unused.
    """
    every_label = list(dict.fromkeys(label for family in families.values() for label in family.labels))
    named, filled = {}, {}
    for name, values in parameters.items():
        own, named[name], filled[name] = families[name].labels, dims[name], values
        if own:
            named[name] = (*dims[name], "parameter")
            filled[name] = np.full((*values.shape[:-1], len(every_label)), np.nan)
            filled[name][..., [every_label.index(label) for label in own]] = values
    return label_draws(filled, (), named, labels, {"parameter": every_label})


def label_draws(
    draws: Mapping[str, NDArray[Any]],
    leading: tuple[str, ...],
    dims: Mapping[str, tuple[str, ...]],
    labels: Labels,
    coords: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A Dataset from draws by site.

    Parameters
    ----------
    draws : mapping of site to array [*leading, ...]
    leading : names of the axes that all sites have
    dims : mapping of site to the names of its further axes
    labels : Labels
        Of the dims state, action and next_state, with no None for states or actions.
    coords : mapping, optional
        Of other dims; those without are numbered.
    """
    assert labels.states is not None
    assert labels.actions is not None
    dataset = xr.Dataset({name: ((*leading, *dims.get(name, ())), values) for name, values in draws.items()})
    states = label_array(labels.states, text=True)
    labelled = {
        "state": states,
        "action": label_array(labels.actions, text=True),
        "next_state": states,
        **(coords or {}),
    }
    index = {str(dim): np.arange(size) for dim, size in dataset.sizes.items()}
    fitting = {dim: values for dim, values in labelled.items() if dataset.sizes.get(dim) == len(values)}
    return dataset.assign_coords(index | fitting)
