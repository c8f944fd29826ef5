"""The skeletons of CONTRIBUTING.md are whole files that keep the contracts of their rooms as they stand."""

import ast
import doctest
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bayesmdp.agents import Example as AgentExample
from bayesmdp.environments import Example as EnvironmentExample
from bayesmdp.models import Example as PriorExample
from tests.agents import test_contract as of_agents
from tests.environments import test_contract as of_environments
from tests.models import test_contract as of_priors

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
if not CONTRIBUTING.exists():
    pytest.skip("an unpacked source archive has no skeletons", allow_module_level=True)

SKELETONS = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL))
ROOMS: dict[str, tuple[Any, ModuleType]] = {
    "bayesmdp/agents": (AgentExample, of_agents),
    "models": (PriorExample, of_priors),
    "bayesmdp/environments": (EnvironmentExample, of_environments),
}


def imported(place: str, folder: Path) -> ModuleType:
    """The skeleton as a module of its room, without being a file there."""
    path = folder / Path(place).name
    path.write_text(SKELETONS[place])
    room = str(Path(place).parent).replace("/", ".").removeprefix("bayesmdp.")
    spec = importlib.util.spec_from_file_location(f"bayesmdp.{room}.{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_one_for_each_room() -> None:
    assert {str(Path(place).parent) for place in SKELETONS} == set(ROOMS)


@pytest.mark.filterwarnings("ignore:Out-of-support")
@pytest.mark.parametrize("place", SKELETONS)
def test_it_keeps_the_contract(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_example, contract = ROOMS[str(Path(place).parent)]
    name, module = Path(place).stem, imported(place, tmp_path)
    example = make_example(getattr(module, name))
    monkeypatch.setitem(contract.EXAMPLES, name, example)
    given = {"example": lambda: example, "name": lambda: name, "problem": lambda: example.problem}
    kept = 0
    for title, test in vars(contract).items():
        if title.startswith("test_") and inspect.signature(test).parameters.keys() <= given.keys():
            test(**{parameter: given[parameter]() for parameter in inspect.signature(test).parameters})
            kept += 1
    assert kept >= 4
    assert not doctest.testmod(module).failed


@pytest.mark.parametrize("place", SKELETONS)
def test_it_is_in_the_house_style(place: str) -> None:
    source = SKELETONS[place]
    for command in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", place, "-"]
        subprocess.run(ruff, input=source, text=True, cwd=CONTRIBUTING.parent, check=True)
    assert ast.get_docstring(ast.parse(source))
