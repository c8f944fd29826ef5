"""The doctests of one file alone see the package as its users do."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")

ROOT = Path(__file__).parents[2]
PACKAGES = ("agents", "environments", "models", "planning", "posterior")


def named_as_their_function(package: str) -> list[str]:
    """Modules of which the package exports a function of the same name."""
    held = import_module(f"bayesmdp.{package}")
    return [found.name for found in iter_modules(held.__path__) if found.name in held.__all__]


CHECK = """
import contextlib, io, os, sys
from importlib import import_module
import beartype, numpyro, pytest, scipy.stats, xarray  # not ours, and it takes seconds

def tell(files):
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main(["--collect-only", "-p", "no:cacheprovider", *files])
    for file in files:
        _, package, name = file.removesuffix(".py").split("/")
        exported = getattr(import_module(f"bayesmdp.{package}"), name)
        print(file, "callable" if callable(exported) else exported)
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code  # a file may have no examples

for files in sys.argv[1:]:
    if (child := os.fork()) == 0:
        code = 1
        try:
            code = tell(files.split())
        finally:
            sys.stdout.flush()
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"collecting {files} failed")
"""


def collected(*alone: str) -> list[str]:
    """What each file's name stands for in its package once pytest has collected it, alone or with those in its text.

    Each text is of a process of its own, which begins with nothing imported of the package.
    """
    run = subprocess.run([sys.executable, "-c", CHECK, *alone], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.splitlines()


@pytest.mark.slow
def test_files_collected_alone_leave_their_functions_in_place() -> None:
    files = [f"bayesmdp/{package}/{named_as_their_function(package)[-1]}.py" for package in PACKAGES[:4]]
    assert collected(" ".join(files)) == [f"{file} callable" for file in files]


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_each_file_collected_alone_leaves_its_function_in_place(package: str) -> None:
    files = [f"bayesmdp/{package}/{name}.py" for name in named_as_their_function(package)]
    assert collected(*files) == [f"{file} callable" for file in files]
