"""The doctests of one file alone see the package as its users do."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agents", "environments", "models", "planning", "posterior")


def named_as_their_function(package: str) -> list[str]:
    """Modules of which the package exports a function of the same name."""
    held = import_module(f"bayesmdp.{package}")
    return [found.name for found in iter_modules(held.__path__) if found.name in held.__all__]


CHECK = """
import contextlib, io, sys
from importlib import import_module
import pytest
files = sys.argv[1:]
with contextlib.redirect_stdout(io.StringIO()):
    code = pytest.main(["--collect-only", "-p", "no:cacheprovider", *files])
for file in files:
    _, package, name = file.removesuffix(".py").split("/")
    exported = getattr(import_module(f"bayesmdp.{package}"), name)
    print(file, "callable" if callable(exported) else exported)
sys.exit(0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code)  # a file may have no examples
"""


def collected(*files: str) -> str:
    """What each file's name stands for in its package once pytest has collected the files, alone."""
    run = subprocess.run([sys.executable, "-c", CHECK, *files], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.slow
def test_files_collected_alone_leave_their_functions_in_place() -> None:
    files = [f"bayesmdp/{package}/{named_as_their_function(package)[-1]}.py" for package in PACKAGES[:4]]
    assert collected(*files).splitlines() == [f"{file} callable" for file in files]


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_each_file_collected_alone_leaves_its_function_in_place(package: str) -> None:
    for name in named_as_their_function(package):
        file = f"bayesmdp/{package}/{name}.py"
        assert collected(file).strip() == f"{file} callable"
