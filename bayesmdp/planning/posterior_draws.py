"""What a planner reads from a posterior, as arrays: each checked once, on the host, and copied at most once.

Draws are large (100 kernels of 100,000 states, 4 actions and 4 outcomes are 1.28 GB), so they are checked a few at a
time, and the posterior's own array is handed on where it is float64, C-contiguous and normalised to rounding.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.validation import ROW_TOLERANCE, finite_array, reject_first
from bayesmdp.planning.operators import Draws
from bayesmdp.problems.mdp import MDP

__all__ = ["read_concentration", "read_dataset", "read_draws"]

CHUNK = 2**18
"""Entries looked at together."""


def read_dataset(posterior: Any) -> xr.Dataset:
    """The Dataset that holds ``transition``, from a DataTree or a Dataset."""
    if isinstance(posterior, xr.DataTree):
        if "posterior" in posterior.children:
            posterior = posterior["posterior"]
        elif not posterior.data_vars:
            groups = ", ".join(posterior.children) or "none"
            remedy = "pass the group to plan with"
            if "parameters" in posterior.children:
                remedy = "make draws of its parameters with bm.draw"
            raise ValueError(f"the DataTree has no group 'posterior' (its groups: {groups}); {remedy}")
        posterior = posterior.to_dataset()
    if not isinstance(posterior, xr.Dataset):
        raise TypeError(
            "posterior must be an xarray DataTree or Dataset with a variable 'transition'; "
            f"got {type(posterior).__name__}"
        )
    if "transition" not in posterior:
        names = ", ".join(map(str, posterior.data_vars)) or "none"
        raise ValueError(
            f"the posterior has no variable 'transition' (its variables: {names}); name the model's site 'transition'"
        )
    return posterior


def read_draws(posterior: xr.Dataset, mdp: MDP) -> Draws:
    """The draws of a posterior, as float64 with one leading axis.

    Rows of terminal states and unavailable actions are never taken and may hold anything: they are not checked.

    Parameters
    ----------
    posterior : Dataset
        ``transition`` [(chain,) draw, state, action, next_state or outcome], optionally ``reward``.
    mdp : MDP

    Returns
    -------
    Draws
        transition [draw, state, action, outcome], the reward drawn or the MDP's.
    """
    sizes, labels = _expected(mdp)
    transition = posterior["transition"]
    sample = _sample_dims(transition, sizes)
    _check_dims(transition, sizes, labels)
    if transition.dtype.kind not in "fiu":
        raise TypeError(f"transition must hold probabilities; got dtype {transition.dtype}")
    array = _rows(transition.transpose(*sample, *sizes).values, mdp.available & ~mdp.terminal[:, None], sample, sizes)
    reward = mdp.reward
    if "reward" in posterior:
        reward = _reward(posterior["reward"], transition, sample, sizes, labels)
    return Draws(array, reward)


def read_concentration(posterior: Any, mdp: MDP) -> NDArray[np.float64] | None:
    """Concentrations [state, action, outcome] of the rows, where they are independent Dirichlet, and None elsewhere.

    Parameters
    ----------
    posterior : DataTree
        With a group ``parameters``, as `infer` makes it where the posterior of ``transition`` is known in closed form.
    mdp : MDP
    """
    if not isinstance(posterior, xr.DataTree) or "parameters" not in posterior.children:
        return None
    if "transition" not in posterior["parameters"].data_vars:
        return None
    transition = posterior["parameters"].to_dataset()["transition"]
    sizes, labels = _expected(mdp)
    if set(transition.dims) != set(sizes):
        raise ValueError(f"parameters/transition has dims {transition.dims}; expected {tuple(sizes)}")
    _check_dims(transition, sizes, labels)
    live = mdp.available & ~mdp.terminal[:, None]
    array = np.where(live[..., None], transition.transpose(*sizes).values.astype(np.float64), 0)
    name = "parameters/transition"
    reject_first(name, ~(np.isfinite(array) & (array >= 0)), array, "is no concentration")
    total = array.sum(-1)
    reject_first(
        name, live & ~(total > 0), total, "", verb="sums to", remedy="a Dirichlet row needs some concentration"
    )
    return array


def _expected(mdp: MDP) -> tuple[dict[str, int], dict[str, tuple[Hashable, ...]]]:
    """Sizes and labels of the dims of a kernel."""
    sizes = dict(zip(("state", "action", mdp.outcome_dim), mdp.sizes, strict=True))
    return sizes, {"state": mdp.states, "action": mdp.actions, "next_state": mdp.states}


def _rows(
    values: NDArray[Any], live: NDArray[np.bool_], sample: Sequence[Hashable], sizes: dict[str, int]
) -> NDArray[np.float64]:
    """Rows [draw, state, action, outcome] that sum to 1 up to rounding, and are finite where they are not `live`."""
    drawn = values.reshape(-1, *sizes.values())
    rows = None if drawn.dtype == np.float64 else _aligned(drawn.shape)
    rounding = np.finfo(np.float64).eps * drawn.shape[-1]
    size = max(1, CHUNK // max(1, drawn[0].size))
    for start in range(0, len(drawn), size):
        chunk = slice(start, start + size)
        part = drawn[chunk].astype(np.float64, copy=False)
        with np.errstate(invalid="ignore", over="ignore"):
            total = part.sum(-1)
        # What is not finite does not sum to 1 either.
        good = np.abs(total - 1) <= ROW_TOLERANCE
        if not good.all():
            good |= ~live
        if not good.all() or ((part < 0).any(-1) & live).any():
            _explain(values, live, sample, sizes)
        exact = (np.abs(total - 1) <= rounding) | (~live & np.isfinite(total))
        if rows is None and not exact.all():
            rows = _aligned(drawn.shape)
            rows[:start] = drawn[:start]
        if rows is not None:
            np.divide(part, np.where(live, total, 1)[..., None], out=rows[chunk])
            rows[chunk, ~live] = 0
    return drawn if rows is None else rows


def _explain(values: NDArray[Any], live: NDArray[np.bool_], sample: Sequence[Hashable], sizes: dict[str, int]) -> None:
    """Say which entry is wrong, now that memory does not matter any more."""
    array = np.array(values, np.float64)
    array[..., ~live, :] = 0
    order = f"indices are {', '.join(map(str, (*sample, *sizes)))}"
    rows = f"each row must sum to 1; indices are {', '.join(map(str, (*sample, 'state', 'action')))}"
    reject_first("transition", ~np.isfinite(array), array, "is not finite", remedy=order)
    reject_first("transition", array < 0, array, "is negative", remedy=order)
    total = array.sum(-1)
    reject_first("transition", live & ~(np.abs(total - 1) <= ROW_TOLERANCE), total, "", verb="sums to", remedy=rows)


def _aligned(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An empty array that starts where JAX can use it as it is, without another copy."""
    size = 8 * int(np.prod(shape))
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(np.float64).reshape(shape)


def _sample_dims(variable: xr.DataArray, sizes: dict[str, int]) -> tuple[Hashable, ...]:
    """The dims of `variable` that number its draws."""
    expected = ", ".join(sizes)
    missing = [name for name in sizes if name not in variable.dims]
    if missing:
        hint = ""
        if missing == ["outcome"] and "next_state" in variable.dims:
            hint = (
                "; the MDP has a successor table, so the last dim is 'outcome'. For draws over all next states make "
                "the MDP without one; for a log that is mdp_from_log(..., elsewhere='each')"
            )
        elif missing == ["next_state"] and "outcome" in variable.dims:
            hint = "; the MDP has no successor table, so the last dim is 'next_state'"
        raise ValueError(
            f"transition has dims {variable.dims} and lacks {', '.join(map(repr, missing))}; "
            f"expected (chain, draw, {expected}) in any order{hint or '; rename with posterior.rename'}"
        )
    sample = tuple(name for name in ("chain", "draw", "sample") if name in variable.dims)
    if sample not in (("chain", "draw"), ("draw",), ("sample",)):
        raise ValueError(
            f"transition has dims {variable.dims}, which do not number draws by (chain, draw), (draw,) or (sample,); "
            "for a single kernel use posterior.expand_dims('draw')"
        )
    extra = [name for name in variable.dims if name not in sizes and name not in sample]
    if extra:
        raise ValueError(
            f"transition has the unexpected dims {extra}; expected {(*sample, *sizes)}: select or stack them"
        )
    if 0 in variable.shape:
        raise ValueError(f"transition is empty: its sizes are {dict(variable.sizes)}")
    return sample


def _check_dims(variable: xr.DataArray, sizes: dict[str, int], labels: dict[str, tuple[Hashable, ...]]) -> None:
    """Refuse sizes and labels that are not the MDP's."""
    name = variable.name
    for dim, size in sizes.items():
        if dim not in variable.dims:
            continue
        if variable.sizes[dim] != size:
            raise ValueError(f"{name} has {variable.sizes[dim]} entries along {dim!r}; the MDP has {size}")
        if dim not in variable.coords or dim not in labels:
            continue
        own, expected = variable[dim].values.tolist(), list(labels[dim])
        unlabelled = own == list(range(size)) and not any(isinstance(label, int) for label in expected)
        if own != expected and not unlabelled:
            first = next(i for i, pair in enumerate(zip(own, expected, strict=True)) if pair[0] != pair[1])
            remedy = f"reorder with posterior.reindex({dim}=mdp.{dim.removeprefix('next_')}s)"
            if set(own) != set(expected):
                remedy = "was the posterior made for another MDP?"
            raise ValueError(
                f"{name} has the label {own[first]!r} at {dim}[{first}] where the MDP has {expected[first]!r}; {remedy}"
            )


def _reward(
    variable: xr.DataArray,
    transition: xr.DataArray,
    sample: Sequence[Hashable],
    sizes: dict[str, int],
    labels: dict[str, tuple[Hashable, ...]],
) -> NDArray[np.float64]:
    """Drawn rewards as [draw or absent, state, action, outcome or 1]."""
    possible = (*sample, *sizes)
    extra = [dim for dim in variable.dims if dim not in possible]
    if extra:
        raise ValueError(f"reward has the unexpected dims {extra}; expected some of {possible}")
    drawn = [dim for dim in sample if dim in variable.dims]
    if drawn and drawn != list(sample):
        raise ValueError(f"reward has dims {variable.dims} but transition numbers its draws by {tuple(sample)}")
    for dim in drawn:
        if variable.sizes[dim] != transition.sizes[dim]:
            raise ValueError(
                f"reward has {variable.sizes[dim]} entries along {dim!r} and transition {transition.sizes[dim]}; "
                "both must come from the same draws"
            )
    _check_dims(variable, sizes, labels)
    last = list(sizes)[-1]
    full = variable.expand_dims([dim for dim in sizes if dim not in variable.dims]).transpose(*drawn, *sizes)
    array = finite_array("reward", full.values)
    shape = (sizes["state"], sizes["action"], sizes[last] if last in variable.dims else 1)
    array = np.broadcast_to(array, array.shape[: len(drawn)] + shape)
    return array.reshape(-1, *shape) if drawn else array
