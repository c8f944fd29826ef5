"""What is shipped: the wheel holds the priors as real files, and works away from the checkout."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
if not (ROOT / "Makefile").exists():
    pytest.skip("only a checkout is packaged", allow_module_level=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """The wheel as an installer lays it out."""
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_the_wheel_holds_the_priors_once(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "bayesmdp/models/dirichlet_transitions.py" in names
    assert {"bayesmdp/py.typed", "bayesmdp/__init__.pyi", "bayesmdp/results/files.py"} <= set(names)
    assert {f"bayesmdp/reports/templates/report.{kind}" for kind in ("css", "html.j2")} <= set(names)
    assert not [name for name in names if name.startswith(("models/", "tests/"))]
    assert len(names) == len(set(names))


def test_what_is_cited_is_this_version():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = dict(line.split(": ", 1) for line in (ROOT / "CITATION.cff").read_text().splitlines() if ": " in line)
    assert (cited["version"], cited["license"]) == (declared["version"], declared["license"])
    assert cited["title"].strip('"').startswith(declared["name"])


def test_the_recipe_asks_for_what_the_package_asks_for():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = (ROOT / "docs" / "recipe" / "meta.yaml").read_text()
    assert f'set version = "{declared["version"]}"' in recipe
    filled = yaml.safe_load(re.sub(r"{{ (\w+) }}", r"\1", re.sub(r"{%.*%}", "", recipe)))
    run = {line.replace(" ", "").replace("matplotlib-base", "matplotlib") for line in filled["requirements"]["run"]}
    assert run == {*declared["dependencies"], f"python{declared['requires-python']}"}
    assert filled["about"]["summary"] == declared["description"]


@pytest.mark.slow
def test_the_wheel_works_elsewhere(unpacked, tmp_path):
    program = (
        "import bayesmdp as bm; from bayesmdp.models import dirichlet_transitions as d; "
        "r = bm.environments.riverswim(4); assert 'installed' in d.__code__.co_filename; "
        "print(bm.solve(r).policy.values[0], d(r).__name__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["right", "dirichlet_transitions"]


def test_models_is_a_link_in_a_checkout():
    link = ROOT / "bayesmdp" / "models"
    assert link.is_symlink() and link.resolve() == (ROOT / "models").resolve(), (
        "bayesmdp/models must be a link to ../models; run `git config core.symlinks true` and check it out again"
    )


def test_no_module_is_imported_twice_under_another_name():
    program = "import bayesmdp.models, sys; assert 'models' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_agents_and_plans_begin_without_what_only_statistics_and_figures_need():
    program = (
        "import sys, bayesmdp as bm\n"
        "bm.infer, bm.plan, bm.plan_log, bm.simulate, bm.agents.aq_brmdp, bm.environments.inventory\n"
        "print(*{'arviz', 'dask', 'matplotlib', 'scipy.stats'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
