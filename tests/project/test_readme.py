"""README is true: its Python runs as it stands, its commands exist, its links lead somewhere."""

import re
import shlex
import subprocess
from pathlib import Path

import matplotlib
import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
if not README.exists():
    pytest.skip("an unpacked source archive has no README of the checkout", allow_module_level=True)
TEXT = README.read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands(first_word):
    lines = (line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines())
    return [line for line in lines if line.split()[:1] == [first_word]]


def write_log(folder):
    """The log that README's reader brings: some walks over ice."""
    import bayesmdp as bm

    log = bm.collect(bm.environments.frozen_lake(), policy="uniform", steps=2_000, seed=0)
    log.to_dataframe().to_csv(folder / "log.csv", index=False)


@pytest.mark.slow
def test_python_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path)
    matplotlib.use("Agg")
    namespace = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["result"]["regret"].shape == (2, 16, 2_000)
    assert dict(namespace["plan"].sizes) == {"state": 16, "action": 4}
    assert namespace["posterior"].attrs["engine"] == namespace["known"].attrs["engine"] == "exact"
    assert namespace["across"]["regret"].groupby("task").sum().shape == (2, 4, 10)
    assert 0 < float(namespace["plan"].value[0]) < float(namespace["worth"].initial) < 1


def test_make_targets_exist():
    found = commands("make")
    assert "make" in found and "make test" in found
    for command in found:
        subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("long", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["quick", "all settings"])
def test_commands_run(long, tmp_path, monkeypatch):
    """What asks for the sweep of 200 settings is run with the slow tests."""
    from bayesmdp.cli.app import app
    from bayesmdp.studies import STUDIES

    monkeypatch.chdir(tmp_path)
    write_log(tmp_path)
    (tmp_path / "my.toml").write_text(blocks("toml")[0])
    found = [command for command in commands("bayesmdp") if ("aq_schedule" in command) == long]
    assert len(found) >= (2 if long else 8)
    for command in found:
        words = shlex.split(command)[1:]
        if words[0] in ("run", "sweep"):
            words = [word for word in words if word not in ("--steps", "10000")]
            words += ["--steps", "20", "--replicates", "2"]
            if words[1] == "aq-brmdp/riverswim-10":  # of a size that no other test compiles
                assert words[1] in STUDIES
                words[1:2] = ["aq-brmdp/riverswim-6", "--seed", "1"]
        if "--until-decided" in words:
            words += ["--steps", "20", "--replicates", "8"]
        outcome = CliRunner().invoke(app, words)
        assert outcome.exit_code == 0, f"{command}: {outcome.output}"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT))))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()
