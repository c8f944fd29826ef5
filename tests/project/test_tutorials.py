"""Every tutorial runs as a script, at small size and without a warning, and opens as a notebook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.py"))


def test_there_are_tutorials() -> None:
    told = {path.stem for path in TUTORIALS}
    assert told >= {"first_posterior", "prior_of_your_own", "log_to_safe_policy", "aq_brmdp_on_riverswim"}
    assert told >= {"robustness_and_exploration", "exploration_bonuses", "average_reward", "measurements_to_policy"}
    assert told >= {"learning_a_prior", "prior_alignment", "structured_priors", "continuous_lake", "comparing_agents"}


# The others run with the slow tests.
QUICK = {"prior_alignment"}


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] * (path.stem not in QUICK)) for path in TUTORIALS],
    ids=lambda path: path.stem,
)
def test_runs_from_any_directory(path: Path, tmp_path: Path) -> None:
    environment = os.environ | {"MPLBACKEND": "Agg", "BAYESMDP_SMALL": "1"}
    # A process of its own, like a reader's: no fixture, no figure and no compiled program of another test.
    run = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stderr == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_opens_as_a_notebook(path: Path) -> None:
    notebook = jupytext.read(path)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert notebook.metadata["kernelspec"]["language"] == "python"
    assert notebook.cells[0].source.startswith("# ")
    assert kinds.count("markdown") >= 5
    assert kinds.count("code") >= 5
    # A code cell that swallowed a text cell would show its marker.
    assert not any("# %%" in cell.source for cell in notebook.cells)
