"""A sweep: a study and a grid of settings, as plain data.

Each setting of the grid is the study with other options of its environment, its prior or an agent, or of other length.
An agent runs once in each setting that concerns it: what is swept of another agent does not multiply its runs. All
settings meet the same random numbers in the same replicate, so any two may be compared replicate by replicate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from inspect import signature
from itertools import product
from typing import Any, NamedTuple

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.results.setting_names import setting_text
from bayesmdp.results.sweep_files import PLACES, SHARED
from bayesmdp.studies import AgentSpec, Study, find
from bayesmdp.studies.study import find_part
from bayesmdp.studies.task_study import TaskStudy

__all__ = ["Axis", "Cell", "Sweep", "same_value"]

RESERVED = {"agent", "replicate", "step", "steps", "checkpoint", "coordinate", "task", "regret", "reward"}
"""Names in a store that an option cannot have; its dim is then called after its place as well."""
RECORDS = 50


class Axis(NamedTuple):
    """One swept option: ``place`` is "steps", one of `PLACES` or an agent; ``name`` is its dim in the store."""

    name: str
    place: str
    option: str
    values: tuple[Any, ...]

    @property
    def key(self) -> str:
        """Return the option's name in a grid."""
        return self.place if self.place == "steps" else f"{self.place}.{self.option}"


class Cell(NamedTuple):
    """An agent in one setting: its place along `axes`, the options that make it, and the steps of a run."""

    agent: str
    at: tuple[int, ...]
    settings: tuple[tuple[Axis, Any], ...]
    steps: int

    @property
    def name(self) -> str:
        """What a table of totals calls the setting."""
        values, names = [value for _, value in self.settings], [axis.name for axis, _ in self.settings]
        return setting_text((self.agent, *values), ["agent", *names])


@dataclass(frozen=True)
class Sweep:
    """A study over a grid of settings.

    Attributes
    ----------
    study : str or Study
        One of ``bayesmdp list``, or your own.
    grid : mapping of str to sequence
        ``"AGENT.OPTION"``, ``"environment.OPTION"``, ``"prior.OPTION"``, ``"reward_prior.OPTION"`` or ``"steps"``, to
        the values to go through; nested mappings will do. Values are numbers, words, or lists of them.
    settings : mapping
        Options fixed throughout, by the same names.
    agents : sequence of str, optional
        Only these of the study's.
    replicates, steps : int, optional
        The study's own by default. Both may be raised later.
    seed : int
    thin : int, optional
        Steps of a recorded window; by default the study's or, where that records every step, what makes at least 50
        records.
    chunk : int
        Replicates that are computed and stored together. Each chunk costs some hundredths of a second beside its runs,
        and what was begun of it is lost when it is killed: a second's worth or more, a few minutes' at most.
    keep : sequence of str, optional
        What to store, of what `simulate` records; by default all but ``state`` and ``action``.

    Raises
    ------
    KeyError, ValueError, TypeError
        Naming what is wrong, before anything runs.

    Examples
    --------
    >>> sweep = Sweep(
    ...     "aq-brmdp/riverswim-6",
    ...     {"AQ-BRMDP.scale": [0.5, 1.0, 2.0], "environment.discount": [0.95, 0.99]},
    ...     agents=["PSRL", "AQ-BRMDP"],
    ... )
    >>> [axis.name for axis in sweep.axes], len(list(sweep.cells()))
    (['discount', 'scale'], 8)
    """

    study: str | Study
    grid: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    agents: Sequence[str] | None = None
    replicates: int | None = None
    steps: int | None = None
    seed: int = 0
    thin: int | None = None
    chunk: int = 16
    keep: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check all that can be checked without running anything."""
        if not isinstance(self.study, str | Study):
            raise TypeError(f"study must be a name or a Study; got {type(self.study).__name__}")
        for name in ("agents", "keep"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(each, str) for each in value or ()):
                raise TypeError(f"{name} must be a list of names; got {value!r}")
        sizes = {"replicates": self.count, "steps": self.steps, "seed": self.seed, "thin": self.thin}
        for name, value in {**sizes, "chunk": self.chunk}.items():
            least = name != "seed"
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(f"{name} must be a whole number, at least {int(least)}; got {value!r}")
        if self.steps is not None and any(axis.place == "steps" for axis in self.axes):
            raise ValueError(f"steps = {self.steps} is given, and swept; give one of them")
        shared = {axis.name for axis in self.axes if axis.place in SHARED}
        for agent in self.base.agents:
            if agent in RESERVED | shared or "/" in agent or agent in ("", ".", ".."):
                raise ValueError(f"an agent cannot be called {agent!r} in a store; give it another name")
        for length in {*self.lengths, max(self.lengths)}:
            if length % self.window:
                raise ValueError(f"thin must divide all steps; {self.window} does not divide {length}")
        if isinstance(self.base, TaskStudy) and any(axis.place == "steps" for axis in self.axes):
            raise ValueError("steps cannot be swept in a study of tasks; steps = ... sets those of each task")

    @cached_property
    def base(self) -> Study:
        """The study with the fixed settings and the agents asked for, all mappings plain."""
        study = find(self.study) if isinstance(self.study, str) else self.study
        if self.agents is not None:
            study = study.with_agents(list(self.agents))
        if not study.agents:
            raise ValueError("the sweep has no agent")
        for key, value in _flat(self.settings):
            study = _with_option(study, *_split(study, key), value)
        plain: Study = _plain(study)
        return plain

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The swept options: those of the whole study first, each with its dim's name."""
        found = []
        for key, values in _flat(self.grid):
            place, option = _split(self.base, key)
            found.append((place, option, _checked_values(key, values)))
        shared = [axis for axis in found if axis[0] not in self.base.agents]
        own = [axis for axis in found if axis[0] in self.base.agents]
        options = [option for _, option, _ in shared]
        named = []
        for place, option, values in (*shared, *own):
            # Agents have groups of their own in the store, so two of them may have options of one name.
            clash = options.count(option) > (place not in self.base.agents) or option in RESERVED
            name = f"{place}_{option}" if clash and place != "steps" else option
            named.append(Axis(name, place, option, values))
        return tuple(named)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The steps of a run, in each setting."""
        swept = next((axis.values for axis in self.axes if axis.place == "steps"), None)
        return swept if swept is not None else (self.steps or self.base.steps,)

    @property
    def count(self) -> int:
        """Replicates of each setting."""
        return self.base.replicates if self.replicates is None else self.replicates

    @property
    def window(self) -> int:
        """Steps of a recorded window."""
        if self.thin is not None:
            return self.thin
        if self.base.thin > 1 or isinstance(self.base, TaskStudy):
            return self.base.thin
        common, shortest = math.gcd(*self.lengths), min(self.lengths)
        return max(t for t in range(1, common + 1) if common % t == 0 and (t == 1 or shortest // t >= RECORDS))

    def axes_of(self, agent: str) -> tuple[Axis, ...]:
        """Return the axes that concern an agent, in the order of its dims."""
        return tuple(axis for axis in self.axes if axis.place not in self.base.agents or axis.place == agent)

    def cells(self) -> Iterator[Cell]:
        """All agents in all settings that concern them."""
        for agent in self.base.agents:
            axes = self.axes_of(agent)
            for index in product(*(range(len(axis.values)) for axis in axes)):
                settings = tuple((axis, axis.values[i]) for axis, i in zip(axes, index, strict=True))
                steps = next((value for axis, value in settings if axis.place == "steps"), self.lengths[0])
                yield Cell(agent, index, settings, steps)

    def problem_of(self, cell: Cell) -> Study:
        """The study with the environment and prior of a cell, which cells that differ in their agents only share."""
        study = self.base
        for axis, value in cell.settings:
            if axis.place in PLACES:
                study = _with_option(study, axis.place, axis.option, value)
        return study

    def options_of(self, cell: Cell) -> dict[str, Any]:
        """The swept options of a cell's agent."""
        return {axis.option: value for axis, value in cell.settings if axis.place == cell.agent}

    def check(self) -> None:
        """Make the environment, prior and agents at each value in turn, so that bad ones are told before any runs.

        Raises
        ------
        ValueError, TypeError, KeyError
            With the value that was refused.
        """
        first = {cell.agent: cell for cell in reversed(list(self.cells()))}
        for agent, cell in first.items():
            for at, axis in enumerate(self.axes_of(agent)):
                for value in axis.values:
                    settings = (*cell.settings[:at], (axis, value), *cell.settings[at + 1 :])
                    self._make(cell._replace(settings=settings), f"{axis.key} = {value!r}: ")
            if not cell.settings:
                self._make(cell, f"{agent}: ")

    def _make(self, cell: Cell, told: str) -> None:
        study = self.problem_of(cell).with_agents([cell.agent]).with_options({cell.agent: self.options_of(cell)})
        try:
            mdp, prior = study.make_problem()
            study.make_agents(mdp, prior, cell.steps)
        except (ValueError, TypeError, KeyError) as error:
            raise type(error)(told + str(error.args[0] if error.args else error)) from error


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted keys."""
    if not isinstance(table, Mapping):
        raise TypeError(f"a grid is a mapping of options to values; got {type(table).__name__}")
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _split(study: Study, key: str) -> tuple[str, str]:
    """Place and option of a key, both checked."""
    if key == "steps":
        return "steps", "steps"
    # An agent's name may hold dots of its own, as BRMDP-0.1 does; an option's holds none.
    place, _, option = key.rpartition(".")
    if place in PLACES:
        part = getattr(study, place)
        if part is None:
            raise KeyError(f"{key!r}: the study has no {place}")
        known = list(signature(find_part("environments" if place == "environment" else "models", part)).parameters)
        known = known if place == "environment" else known[1:]
    elif place in study.agents:
        known = list(signature(find_part("agents", study.agents[place].algorithm)).parameters)
        known = [name for name in known if name != "prior"]
        if option == "horizon" and option in known:
            raise KeyError(f"{key!r}: agents are told the horizon; sweep 'steps'")
    else:
        places = ", ".join([*PLACES, *study.agents])
        raise KeyError(f"{key!r} is neither 'steps' nor PLACE.OPTION, with PLACE one of {places}")
    if option not in known:
        raise KeyError(f"{place} has no option {option!r}; {did_you_mean(option, known)}")
    return place, option


def _checked_values(key: str, values: Any) -> tuple[Any, ...]:
    """The values of an axis: at least one, plain, all different."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(f"the grid's {key!r} must be a list of values; got {values!r}")
    plain = tuple(value.item() if hasattr(value, "item") else _frozen(value) for value in values)
    if not plain:
        raise ValueError(f"the grid's {key!r} has no values")
    for i, value in enumerate(plain):
        if not isinstance(value, bool | int | float | str | tuple):
            raise TypeError(f"the grid's {key!r}[{i}] is a {type(value).__name__}; give numbers, words or lists")
        if any(same_value(value, other) for other in plain[:i]):
            raise ValueError(f"the grid's {key!r}[{i}] = {value!r} is there twice")
    if key == "steps":
        for i, value in enumerate(plain):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"the grid's 'steps'[{i}] = {value!r} is not a whole number of steps")
    return plain


def same_value(one: Any, other: Any) -> bool:
    """Tell whether two values of an option are the same: 1 and 1.0 are, 1 and True are not.

    Parameters
    ----------
    one, other : number, str, bool, None or tuple of these

    Returns
    -------
    bool

    Examples
    --------
    >>> same_value(1, 1.0), same_value((1, 0), (True, False))
    (True, False)
    """
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same_value, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list | tuple) else value


def _with_option(study: Study, place: str, option: str, value: Any) -> Study:
    if place in PLACES:
        changed: Any = {PLACES[place]: {**getattr(study, PLACES[place]), option: value}}
        return replace(study, **changed)
    return study.with_options({place: {option: value}})


def _plain(value: Any) -> Any:
    """Studies and their options with dicts for every kind of mapping, since not all kinds can be sent elsewhere."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Study | AgentSpec):
        return replace(value, **{each.name: _plain(getattr(value, each.name)) for each in fields(value)})
    return value
