"""What is still missing for a part of the package, and the tables of the READMEs, which are made from the registries.

``python -m tests.parts`` names everything that is missing for any agent, environment or prior, all at once; with
``--write`` it first makes the tables of ``README.md`` and ``models/README.md`` anew. Nothing is compiled.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bayesmdp import agents, environments, models
from bayesmdp.foundation.text_values import first_sentence

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- made by `make tables` -->", "<!-- end -->"
GENERAL = ("test_contract.py", "test_registries.py")
"""Tests of all parts, which are no tests of one."""


class Room(NamedTuple):
    """Where parts of one kind live.

    Attributes
    ----------
    title : str
        What they are called.
    folder : str
        Where their files are, seen from the root.
    groups : mapping of heading to examples
        The registry.
    """

    title: str
    folder: str
    groups: Mapping[str, tuple[Any, ...]]

    def registered(self) -> dict[str, Callable[..., Any]]:
        return {example.make.__name__: example.make for row in self.groups.values() for example in row}


ROOMS = (
    Room("priors", "models", models.GROUPS),
    Room("agents", "bayesmdp/agents", agents.GROUPS),
    Room("environments", "bayesmdp/environments", environments.GROUPS),
)


def missing(root: Path = ROOT, rooms: tuple[Room, ...] = ROOMS) -> list[str]:
    """Everything that a part lacks, one line each, with the remedy."""
    tests = "\n".join(path.read_text() for path in (root / "tests").rglob("test_*.py") if path.name not in GENERAL)
    changes = set(re.findall(r"`(\w+)", (root / "CHANGELOG.md").read_text()))
    lacks = [line for room in rooms for line in _missing_in(room, root, tests, changes)]
    for file, text in tables(root, rooms).items():
        if text != (root / file).read_text():
            lacks.append(f"{file}: its table is not that of the registries; `make tables` makes it anew")
    return lacks


def _missing_in(room: Room, root: Path, tests: str, changes: set[str]) -> Iterator[str]:
    registered = room.registered()
    documented = {name: inspect.getdoc(make) or "" for name, make in registered.items()}
    for name, docstring in {**_named_as_their_file(root / room.folder), **documented}.items():
        sentence = docstring.partition("\n")[0]
        checks = {
            f"is not registered: add it to GROUPS in {room.folder}/__init__.py": name in registered,
            f"starts its docstring with {sentence!r}: say on one line, in one sentence, what it is": re.fullmatch(
                r"[A-Z].{5,118}\.", sentence
            ),
            "has no example in its docstring": ">>>" in docstring,
            f"is named by no test but the contract: add tests/{Path(room.folder).name}/test_{name}.py": re.search(
                rf"\b{name}\b", tests
            ),
            f"is not in CHANGELOG.md: say there what a user will notice of `{name}`": name in changes,
        }
        yield from (f"{room.folder}: {name} {lack}" for lack, there in checks.items() if not there)


def _named_as_their_file(folder: Path) -> dict[str, str]:
    """Functions that have the name of their file, which by convention are parts, with their docstrings."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == path.stem:
                found[node.name] = ast.get_docstring(node) or ""
    return found


def tables(root: Path = ROOT, rooms: tuple[Room, ...] = ROOMS) -> dict[str, str]:
    """The READMEs, by file, with their tables made from the registries."""
    return {
        "README.md": _with_table((root / "README.md").read_text(), _overview(rooms)),
        "models/README.md": _with_table((root / "models" / "README.md").read_text(), _table_of_priors()),
    }


def _with_table(text: str, table: str) -> str:
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _overview(rooms: tuple[Room, ...]) -> str:
    """Every part by kind and heading, each a link to its file."""
    rows = ["| | | |", "|---|---|---|"]
    for room in rooms:
        for heading, examples in room.groups.items():
            names = (f"[`{example.make.__name__}`]({_file(example.make, room)})" for example in examples)
            rows.append(f"| {room.title} | {heading} | {', '.join(names)} |")
    return "\n".join(rows)


def _file(make: Callable[..., Any], room: Room) -> str:
    return f"{room.folder}/{Path(inspect.getsourcefile(inspect.unwrap(make)) or '').name}"


def _table_of_priors() -> str:
    """Each prior with what it must be given, what is unknown, and how its posterior is found."""
    rows = ["| prior | what is unknown | posterior, in its example |", "|---|---|---|"]
    for examples in models.GROUPS.values():
        for example in examples:
            parameters = inspect.signature(example.make).parameters.values()
            needed = ", ".join(each.name for each in parameters if each.default is each.empty)
            engine = {"nuts": "NUTS", "smc": "particles"}.get(example.engine, example.engine or "-")
            rows.append(f"| `{example.make.__name__}({needed})` | {first_sentence(example.make)} | {engine} |")
    return "\n".join(rows)


def main() -> None:
    """Make the tables if asked to, and fail with what is missing."""
    if "--write" in sys.argv[1:]:
        for file, text in tables().items():
            (ROOT / file).write_text(text)
    lacks = missing()
    sys.stdout.write("".join(f"{line}\n" for line in lacks))
    sys.exit(bool(lacks))


if __name__ == "__main__":
    main()
