"""The site: everything public has a page, cards say what they must, links lead somewhere, solutions hold."""

import inspect
import os
import re
import runpy
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
if not DOCS.exists():
    pytest.skip("an unpacked source archive has no site", allow_module_level=True)

from docs.generator import copies, names, reproductions  # noqa: E402
from docs.generator.agent_runs import settings_of, stored  # noqa: E402
from docs.generator.words import advice, module_text, without_advice  # noqa: E402

PAGES = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if "_build" not in path.parts}
SOLUTIONS = sorted((DOCS / "course" / "solutions").glob("*.py"))


def places():
    """Where pages are, without suffixes."""
    written = {page.removesuffix(".md") for page in PAGES} | {page.removesuffix(".md") for page in copies.COPIES}
    made = {page.place for page in names.pages()}
    lists = {f"reference/{folder}/index" for folder in {*names.PACKAGES.values(), *names.REGISTRIES}}
    papers = {f"reproductions/{paper}" for paper in (*reproductions.PAPERS, "index")}
    scripts = {f"tutorials/{path.stem}" for path in (ROOT / "tutorials").glob("*.py")}
    return written | made | lists | papers | scripts | {f"course/solutions/{path.stem}" for path in SOLUTIONS}


@pytest.mark.parametrize("package", names.PACKAGES)
def test_every_public_name_has_a_page(package):
    there = {id(page.value) for page in names.pages()}
    exported = [getattr(import_module(package), name) for name in import_module(package).__all__]
    assert exported and all(id(value) in there for value in exported)


def test_every_public_package_is_listed():
    import bayesmdp

    packages = [value for name in bayesmdp.__all__ if inspect.ismodule(value := getattr(bayesmdp, name))]
    assert {package.__name__ for package in packages} <= set(names.PACKAGES)


@pytest.mark.parametrize("section", names.REGISTRIES)
def test_every_part_has_a_card(section):
    _, module = names.REGISTRIES[section]
    registered = {example.make.__name__ for row in module.GROUPS.values() for example in row}
    cards = {page.place for page in names.pages() if page.example is not None}
    assert {f"reference/{section}/{name}" for name in registered} <= cards


CARDS = [page for page in names.pages() if page.example is not None and "/priors/" not in page.place]


@pytest.mark.parametrize("page", CARDS, ids=lambda page: page.place.removeprefix("reference/"))
def test_cards_say_what_they_must(page):
    wanted = ("When", "When not", "Cost") if "/agents/" in page.place else ("What it asks",)
    said = advice(page.value)
    assert tuple(said) == wanted, f"{page.name} must say in its Notes: {', '.join(f'*{mark}.*' for mark in wanted)}"
    assert all(len(text) > 30 and text.endswith(".") for text in said.values())
    assert len(module_text(page.value)) > 100


def test_every_agent_was_run_on_the_problems_of_its_card():
    table = stored()
    for page in CARDS:
        if "/agents/" in page.place:
            here = table[table["agent"] == page.place.rpartition("/")[2]]
            wanted = {setting.name for setting in settings_of(page.example.setting.__name__)}
            assert set(here["problem"]) == wanted, f"{page.name}: run `python -m docs.generator.agent_runs`"
            assert here["mean"].notna().all()


@pytest.mark.parametrize("package", list(names.PACKAGES)[:5])
def test_functions_and_classes_have_examples(package):
    module = import_module(package)
    exported = {name: value for name in module.__all__ if callable(value := getattr(module, name))}
    assert not [name for name, value in exported.items() if ">>>" not in (inspect.getdoc(value) or "")]


def test_advice_is_said_once():
    text = "One.\n\nNotes\n-----\n*When.* Here\nand there.\n\n*Cost.* Much.\n\nExamples\n--------\n>>> 1\n1"
    left = "\n".join(without_advice(text.splitlines()))
    assert "Cost" not in left and "Notes" not in left and left.endswith(">>> 1\n1") and left.startswith("One.")
    other = text.replace("*Cost.* Much.", "It reports more.")
    assert "Notes\n-----\nIt reports more." in "\n".join(without_advice(other.splitlines()))


def test_what_is_named_beside_a_thing_exists():
    """Each entry under See Also is a public name in full, or one of the same module."""
    entries = []
    for page in names.pages():
        text = inspect.getdoc(page.value) or ""
        beside = re.findall(r"See Also\n-{8}\n((?:\S.*\n)+)", text + "\n") if page.kind != "package" else []
        entries += [(page, line.split(" : ")[0].strip()) for block in beside for line in block.splitlines()]
    assert len(entries) > 100
    for page, entry in entries:
        home = inspect.getmodule(inspect.unwrap(page.value)).__name__
        package, _, name = (entry if "." in entry else f"{home}.{entry}").rpartition(".")
        assert hasattr(import_module(package), name), f"{page.name} names {entry}, which does not exist"


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page):
    text = re.sub(r"(?s)```(?:\{code-cell\}|python|sh|toml).*?```", "", (DOCS / page).read_text())
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r":link: (\S+)", text)
    trees = [line for tree in re.findall(r"(?s)```\{toctree\}\n(.*?)```", text) for line in tree.splitlines()]
    links += [line for line in trees if line and not line.startswith(":")]
    known = places()
    for link in links:
        if not re.match(r"https?:|#", link):
            target = os.path.normpath(Path(page).parent / link.split("#")[0])
            assert re.sub(r"\.(md|py)$", "", target) in known, f"docs/{page}: {link} leads nowhere"


def test_every_page_and_tutorial_is_in_the_navigation():
    trees = {}
    for page in PAGES:
        for tree in re.findall(r"(?s)```\{toctree\}\n(.*?)```", (DOCS / page).read_text()):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            trees |= {os.path.normpath(Path(page).parent / entry): page for entry in entries}
    cards = re.compile(r"reference/[a-z]+/(?!index)|reproductions/(?!index)|fragments/|index$")
    missing = {place for place in places() if not cards.match(place) and place not in trees}
    assert not missing


def test_each_lesson_has_exercises_with_solutions():
    lessons = sorted(DOCS.glob("course/lesson_*.md"))
    assert len(lessons) == len(SOLUTIONS) == 8
    for lesson, solution in zip(lessons, SOLUTIONS, strict=True):
        assert lesson.stem == solution.stem
        asked = lesson.read_text().partition("## Exercises")[2].partition("## Solutions")[0]
        numbers = re.findall(r"(?m)^(\d)\. ", asked)
        assert numbers == re.findall(r"(?m)^# ## (\d)\. ", solution.read_text()) == ["1", "2", "3"]


# What these compile for seconds the tests of its rooms compile as well.
LONG = {"lesson_4", "lesson_6", "lesson_8"}


@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in LONG)) for path in SOLUTIONS]
)
def test_solutions_hold(path):
    mpl.use("Agg")
    text = path.read_text()
    assert len(re.findall(r"(?m)^assert ", text)) >= 3
    runpy.run_path(str(path))
