"""What a sweep may add to a store, and what is refused because its numbers would not match those that are there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bayesmdp.results.sweep_files import FORMAT, SHARED, StoreError
from bayesmdp.sweeps.chunks import current_versions
from bayesmdp.sweeps.fingerprints import described, sources
from bayesmdp.sweeps.sweep import Axis, Sweep, same_value

__all__ = [
    "cut_like_the_store",
    "identity_of",
    "merged_axes",
    "position_of",
    "refuse_other_numbers",
    "with_stored_agents",
]


def cut_like_the_store(path: Path, sweep: Sweep, stored: Mapping[str, Any]) -> Sweep:
    """Cut the sweep up as the store is; its windows unless it says otherwise.

    Parameters
    ----------
    path : Path
        Of the store, for messages.
    sweep : Sweep
    stored : mapping
        The store's attrs; empty if there is no store.

    Returns
    -------
    Sweep

    Raises
    ------
    StoreError
        If the sweep cannot be recorded in the store's windows.
    """
    if not stored:
        return sweep
    try:
        return replace(sweep, chunk=stored["chunk"], thin=stored["thin"] if sweep.thin is None else sweep.thin)
    except ValueError as error:
        raise StoreError(f"{path} records windows of {stored['thin']} steps: {error}") from error


def identity_of(sweep: Sweep) -> dict[str, Any]:
    """Return what determines the numbers, apart from the grid: if it is equal, stored numbers may be kept."""
    return {
        "format": FORMAT,
        "study": json.dumps(described(sweep.base)),
        "seed": sweep.seed,
        "thin": sweep.window,
        "chunk": sweep.chunk,
        "keep": json.dumps(None if sweep.keep is None else sorted(sweep.keep)),
        "versions": current_versions(),
        "sources": json.dumps(sources(sweep.base)),
    }


def refuse_other_numbers(path: Path, stored: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Refuse to add numbers of another kind to those of the store.

    Parameters
    ----------
    path : Path
        Of the store, for messages.
    stored : mapping
        The store's attrs.
    identity : mapping
        From `identity_of` the sweep.

    Raises
    ------
    StoreError
        For other versions, another source, another study, seed, windows or kept variables.
    """
    here, there = json.loads(identity["versions"]), json.loads(stored["versions"])
    other = [package for package in here if here[package] != there.get(package)]
    if other:
        raise StoreError(
            f"{path} was computed with {other[0]} {there.get(other[0])}, here is {here[other[0]]}, and numbers may "
            "differ: install that version, or name another store"
        )
    here, there = json.loads(identity["sources"]), json.loads(stored["sources"])
    changed = [part for part in here if part in there and here[part] != there[part]]
    if changed:
        raise StoreError(
            f"{path} was computed with another {changed[0]}, whose source has changed since: its numbers would not "
            "match. Restore it, or name another store"
        )
    here, there = (_by_agent(json.loads(each["study"])) for each in (identity, stored))
    # Agents may come and go; one that stays must stay the same.
    for name in sorted({*here, *there} - {name for name in {*here} ^ {*there} if name.startswith("agent ")}):
        if here.get(name) != there.get(name):
            raise StoreError(
                f"{path} holds another sweep: its {name} is {there.get(name)!r}, not {here.get(name)!r}; name another "
                "store"
            )
    for name in ("seed", "thin", "keep"):
        if stored[name] != identity[name]:
            raise StoreError(
                f"{path} holds another sweep: its {name} is {stored[name]}, not {identity[name]}; name another store"
            )


def merged_axes(path: Path, stored: Mapping[str, Any], sweep: Sweep) -> tuple[Axis, ...]:
    """Return the store's axes, with the values that this sweep adds at their ends.

    Parameters
    ----------
    path : Path
        Of the store, for messages.
    stored : mapping
        The store's attrs; empty if there is no store.
    sweep : Sweep

    Returns
    -------
    tuple of Axis

    Raises
    ------
    StoreError
        If an agent of both goes through other options, or in another order.
    """
    if not stored:
        return sweep.axes
    listed = [Axis(**axis) for axis in json.loads(stored["axes"])]
    in_store = {axis.key: axis._replace(values=tuple(map(_tuples, axis.values))) for axis in listed}
    in_sweep = {axis.key: axis for axis in sweep.axes}
    agents = json.loads(stored["study"])["agents"]
    for agent in sweep.base.agents:
        wanted = [axis.key for axis in sweep.axes_of(agent)]
        keys = [axis.key for axis in in_store.values() if axis.place in (agent, *SHARED)]
        if agent not in agents:
            keys += [axis.key for axis in sweep.axes if axis.place == agent]
        if wanted != keys:
            raise StoreError(
                f"in {path} {agent} goes through {', '.join(keys) or 'nothing'}, not {', '.join(wanted) or 'nothing'}:"
                " options cannot be added to a store, nor their order changed, only values; name another store"
            )
    merged = []
    for key, axis in in_store.items():
        values = in_sweep[key].values if key in in_sweep else ()
        new = [value for value in values if position_of(axis.values, value) < 0]
        merged.append(axis._replace(values=(*axis.values, *new)))
    return (*merged, *(axis for key, axis in in_sweep.items() if key not in in_store))


def _by_agent(study: dict[str, Any]) -> dict[str, Any]:
    """A described study with each agent apart."""
    return study | {f"agent {name}": told for name, told in study.pop("agents").items()}


def with_stored_agents(stored: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the study and its sources, with the agents that the store has and this sweep has not.

    Parameters
    ----------
    stored : mapping
        The store's attrs; empty if there is no store.
    identity : mapping
        From `identity_of` the sweep.

    Returns
    -------
    dict of str to str
        ``study`` and ``sources``, as JSON.
    """
    both = {"study": json.loads(identity["study"]), "sources": json.loads(identity["sources"])}
    if stored:
        both["study"]["agents"] = json.loads(stored["study"])["agents"] | both["study"]["agents"]
        both["sources"] = json.loads(stored["sources"]) | both["sources"]
    return {name: json.dumps(each) for name, each in both.items()}


def position_of(values: Sequence[Any], value: Any) -> int:
    """Find where a value is among others.

    Parameters
    ----------
    values : sequence
    value : value of an option
        Compared as `same_value` does.

    Returns
    -------
    int
        -1 if it is not there.
    """
    return next((i for i, other in enumerate(values) if same_value(value, other)), -1)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
