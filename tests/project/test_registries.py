"""What is registered is whole, its tables are made of it, and what is missing for a new part is told all at once."""

import re
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from bayesmdp import agents, environments, models
from bayesmdp.studies.study import find_part
from tests.parts import ROOT, missing
from tests.programs import compiled_programs

if not (ROOT / "CHANGELOG.md").exists():
    pytest.skip("an unpacked source archive has no README of the checkout", allow_module_level=True)

NEW = '''def brand_new(prior):
    """no sentence"""
'''


def test_nothing_is_missing() -> None:
    assert not missing(), "\n".join(missing())


def test_every_study_that_make_runs_has_a_main() -> None:
    names = re.search(r"^STUDIES = (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert names is not None
    for name in names[1].split():
        module = import_module(f"bayesmdp.{name if '.' in name else f'studies.{name}'}")
        assert callable(module.main)


@pytest.mark.parametrize("package", [agents, environments, models])
def test_parts_are_registered_once_and_exported(package) -> None:
    names = [example.make.__name__ for row in package.GROUPS.values() for example in row]
    assert len(set(names)) == len(names)
    assert all(
        getattr(package, example.make.__name__) is example.make for row in package.GROUPS.values() for example in row
    )
    assert set(names) <= set(package.__all__) and set(package.__all__) <= set(dir(package))


def test_studies_find_parts_of_all_kinds_and_nothing_else() -> None:
    assert find_part("environments", "from_gymnasium") is environments.from_gymnasium
    assert find_part("models", "tied_moves") is models.tied_moves
    with pytest.raises(ValueError, match=r"bayesmdp\.environments has no 'slips'"):
        find_part("environments", "slips")


def test_a_new_part_is_told_all_that_it_lacks(tmp_path: Path) -> None:
    for name in ("README.md", "CHANGELOG.md", "models/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "bayesmdp" / "agents").mkdir(parents=True)
    before = missing(tmp_path)
    (tmp_path / "bayesmdp" / "agents" / "brand_new.py").write_text(NEW)
    readme = (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text(readme.replace("[`psrl`]", "[`prsl`]"))
    lacks = [line.removeprefix("bayesmdp/agents: brand_new ") for line in missing(tmp_path) if line not in before]
    assert lacks == [
        "is not registered: add it to GROUPS in bayesmdp/agents/__init__.py",
        "starts its docstring with 'no sentence': say on one line, in one sentence, what it is",
        "has no example in its docstring",
        "is named by no test but the contract: add tests/agents/test_brand_new.py",
        "is not in CHANGELOG.md: say there what a user will notice of `brand_new`",
        "README.md: its table is not that of the registries; `make tables` makes it anew",
    ]


def test_it_compiles_nothing() -> None:
    with compiled_programs() as programs:
        missing()
    assert not programs
