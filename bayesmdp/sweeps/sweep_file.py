"""Sweeps as TOML files."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.studies import AgentSpec, Study
from bayesmdp.sweeps.sweep import Sweep

__all__ = ["read_sweep_file", "shipped_sweeps"]


def read_sweep_file(path: str | PathLike[str], **changes: Any) -> Sweep:
    r"""A sweep from a TOML file.

    Its keys are those of `Sweep`, ``set`` for ``settings``. ``study`` is a name, or a table with the fields of
    :class:`~bayesmdp.studies.Study`, in which ``FILE.py:NAME`` is found beside the TOML file.

    Parameters
    ----------
    path : path
    **changes
        Fields to have instead of the file's, where they are not None.

    Raises
    ------
    FileNotFoundError, ValueError, KeyError, TypeError
        Naming the file and what is wrong in it.

    Examples
    --------
    >>> import tempfile
    >>> text = 'study = "aq-brmdp/riverswim-6"\nreplicates = 4\n[grid.AQ-BRMDP]\nscale = [1, 2]'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "my.toml").write_text(text) and None
    ...     sweep = read_sweep_file(f"{folder}/my.toml", steps=1_000)
    >>> sweep.axes[0].values, sweep.count, sweep.lengths
    ((1, 2), 4, (1000,))
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no sweep file {path}")
    try:
        told = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    if "set" in told:
        told["settings"] = told.pop("set")
    known = [each.name for each in fields(Sweep)]
    for key in told:
        if key not in known:
            raise ValueError(f"{path} has an unknown key {key!r}; {did_you_mean(key, ['set', *known])}")
    if "study" not in told:
        raise ValueError(f"{path} names no study; give it study = NAME, one of `bayesmdp list`, or a table [study]")
    if isinstance(told["study"], Mapping):
        told["study"] = _study_of(told["study"], path)
    told |= {name: value for name, value in changes.items() if value is not None}
    try:
        return Sweep(**told)
    except (ValueError, TypeError, KeyError) as error:
        raise type(error)(f"{path}: {error.args[0]}") from error


def shipped_sweeps() -> dict[str, Path]:
    """The files of the sweeps that come with the package, by name.

    Examples
    --------
    >>> read_sweep_file(shipped_sweeps()["aq_schedule"]).count
    32
    """
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def _study_of(table: Mapping[str, Any], path: Path) -> Study:
    """A study from a TOML table."""
    told: dict[str, Any] = {"title": path.stem, "prior": None, **table}
    specs = told.get("agents", {})
    if not isinstance(specs, Mapping) or not all(isinstance(spec, Mapping) for spec in specs.values()):
        raise ValueError(f'{path}: the study\'s agents are tables, as [study.agents.PSRL] with algorithm = "psrl"')
    try:
        agents = {name: AgentSpec(**_located(spec, path.parent)) for name, spec in told.pop("agents", {}).items()}
        return Study(agents=agents, **_located(told, path.parent))
    except TypeError as error:
        raise ValueError(f"{path}: [study] does not describe one: {error}") from error


def _located(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The table with ``FILE.py:NAME`` beside the file that names it."""
    parts = ("environment", "prior", "reward_prior", "algorithm")
    return {
        key: f"{folder.resolve() / value}" if key in parts and isinstance(value, str) and ":" in value else value
        for key, value in table.items()
    }
