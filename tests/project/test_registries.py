"""What is registered can be found, is described, is tested and, for priors, stands in the table of models/README.md."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from bayesmdp import agents, environments, models
from bayesmdp.studies.study import find_part

ROOT = Path(__file__).parents[2]
REGISTRIES = {
    "agents": (agents, agents.AGENTS),
    "environments": (environments, environments.ENVIRONMENTS),
    "models": (models, models.PRIORS),
}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_parts_are_named_described_and_tested(kind: str) -> None:
    package, parts = REGISTRIES[kind]
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    missing = []
    for name, part in parts.items():
        summary = (part.__doc__ or "").partition("\n")[0]
        missing += [
            f"{kind}.{name}: {what}"
            for what, there in {
                "is not in __all__": name in package.__all__ and getattr(package, name) is part,
                f"its first line, {summary!r}, is no sentence": re.fullmatch(r"[A-Z].{5,118}\.", summary),
                "has no example": ">>>" in (part.__doc__ or ""),
                "no test names it": re.search(rf"\b{name}\b", tests),
            }.items()
            if not there
        ]
    assert not missing, "\n".join(missing)
    listed = [part.__name__ for group in package.GROUPS.values() for part in group]
    assert len(listed) == len(set(listed)) == len(parts)


def test_every_study_that_make_runs_has_a_main() -> None:
    names = re.search(r"^STUDIES = (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert names is not None
    for name in names[1].split():
        module = import_module(f"bayesmdp.{name if '.' in name else f'studies.{name}'}")
        assert callable(module.main)


def test_studies_may_name_gymnasiums_problems() -> None:
    assert find_part("environments", "from_gymnasium") is environments.from_gymnasium


def test_the_table_of_priors_is_whole() -> None:
    rows = re.findall(r"^\| `(\w+)\(", (ROOT / "models" / "README.md").read_text(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(models.PRIORS)
