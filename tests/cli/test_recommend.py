"""From a table of measurements to actions for new rows, through the command line as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from tests.command_line import call, told_in_one_line

PLAN = (
    *("--column", "action=treatment", "--column", "reward=well", "--end-column", "ended", "--state"),
    *("age:cutoffs(40,65)", "--state", "lactate:quantiles(3)", "--draws", "30", "--no-calibration"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic")
    bm.environments.clinic_visits(60, seed=0).to_csv(folder / "clinic.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def planned(folder: Path) -> tuple[Path, str]:
    shown, _ = call("plan", folder / "clinic.csv", *PLAN, "--pool", "--out", folder, columns=160)
    return folder / "clinic-plan.nc", shown


def test_the_help_is_light() -> None:
    code = (
        "import sys, bayesmdp.cli.app as cli\n"
        "try: cli.app(['recommend', '--help'])\n"
        "except SystemExit: print(*{'jax', 'numpy', 'pandas', 'rich', 'xarray'} & set(sys.modules), file=sys.stderr)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--stage" in finished.stdout and finished.stderr.split() == []


def test_a_plan_tells_of_its_states(planned: tuple[Path, str], folder: Path) -> None:
    path, shown = planned
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        recoding = bm.Recoding.from_json(opened.attrs["recoding"])
        judged = opened["states"].to_dataset().load()
    assert recoding == bm.states(pd.read_csv(folder / "clinic.csv"), ["age:cutoffs(40,65)", "lactate:quantiles(3)"])
    assert f"{len(recoding.states)} are made from measurements" in shown
    favoured = judged.isel(change=judged["verdict"].values == "favoured")
    assert favoured.sizes["change"] and f"{favoured['first'].values[0]} with {favoured['second'].values[0]}" in shown


def test_rows_of_a_file_are_each_told_an_action(planned: tuple[Path, str], tmp_path: Path) -> None:
    path, _ = planned
    new = bm.environments.clinic_visits(10, seed=5)[["patient", "age", "lactate", "treatment"]].head(25).astype(object)
    new.loc[1, "lactate"], new.loc[2, "age"] = None, "x"
    new["action"] = "mine"
    new.to_csv(tmp_path / "new.csv", index=False)
    shown, told = call("recommend", path, tmp_path / "new.csv", "--out", tmp_path / "out.csv")
    assert "25 rows: 23 recommended, 2 unknown state" in told
    assert "5 more rows" in shown and "lactate is missing" in shown and str(tmp_path / "out.csv") in shown
    written, expected = pd.read_csv(tmp_path / "out.csv"), bm.recommend(path, new)
    assert len(written) == 25 and written["patient"].tolist() == new["patient"].tolist()
    assert (written["action (given)"] == "mine").all()
    own = written[expected.columns].fillna({"action": "", "state": "", "why": ""})
    pd.testing.assert_frame_equal(own, expected.reset_index(drop=True), check_dtype=False)
    # The same rows as another country writes them.
    new.to_csv(tmp_path / "comma.csv", index=False, sep=";", decimal=",")
    text = (tmp_path / "comma.csv").read_text().replace(".", ",")
    (tmp_path / "comma.csv").write_text(text)
    options = ("--separator", ";", "--decimal", ",", "--out", tmp_path / "again.csv")
    call("recommend", path, tmp_path / "comma.csv", *options)
    again = pd.read_csv(tmp_path / "again.csv")
    assert again["action"].fillna("").tolist() == expected["action"].tolist()


def test_mistakes_are_told_in_one_line(planned: tuple[Path, str], folder: Path, tmp_path: Path) -> None:
    path, table = planned[0], folder / "clinic.csv"
    (tmp_path / "other.csv").write_text("age\n30\n")
    assert "no file none.nc; `bayesmdp plan` writes one" in told_in_one_line("recommend", "none.nc", table)
    assert "no file none.csv" in told_in_one_line("recommend", path, "none.csv")
    assert "'lactate' is missing" in told_in_one_line("recommend", path, tmp_path / "other.csv")
    assert "is not the file of a plan" in told_in_one_line("recommend", table, table)
    assert "is an input file" in told_in_one_line("recommend", path, table, "--out", table)
    assert "leave stage out" in told_in_one_line("recommend", path, table, "--stage", 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--state", "lactat:cutoffs(2)"), "no column 'lactat' to make states of; did you mean 'lactate'"),
        (("--state", "age:bins(18,30)"), "line 2: age is 87, above 30, where the bins end"),
        (("--state", "age:bin(18,30)"), "did you mean 'bins'"),
        (("--state", "age:cutoffs(40)", "--next-columns", "{}_later"), "say what it is called with --next-columns"),
        (("--state", "age:cutoffs(40)", "--next-columns", "ages=next_age"), "did you mean 'age'"),
        (("--pool", "--prior", "dirichlet_transitions"), "--pool applies to the automatic prior"),
        (("--column", "state=age", "--column", "next_state=next_age", "--pool"), "made from measurements"),
    ],
)
def test_mistakes_of_a_plan(folder: Path, tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    table = pd.read_csv(folder / "clinic.csv")
    table["next_age"] = table["next_age"].fillna(-1).astype(int)
    table.to_csv(tmp_path / "clinic.csv", index=False)
    arguments = ("plan", tmp_path / "clinic.csv", "--column", "action=treatment", "--column", "reward=well", "--out")
    assert told in told_in_one_line(*arguments, tmp_path / "out", *options)


def test_measurements_after_the_step_by_other_names(folder: Path, planned: tuple[Path, str], tmp_path: Path) -> None:
    table = pd.read_csv(folder / "clinic.csv").rename(columns={"next_age": "a2", "next_lactate": "l2"})
    table.to_csv(tmp_path / "renamed.csv", index=False)
    call("plan", tmp_path / "renamed.csv", *PLAN, "--next-columns", "age=a2,lactate=l2", "--pool", "--out", tmp_path)
    with (
        xr.open_datatree(tmp_path / "renamed-plan.nc", engine="h5netcdf") as own,
        xr.open_datatree(planned[0], engine="h5netcdf") as other,
    ):
        assert own["policy"].to_dataset().identical(other["policy"].to_dataset())
