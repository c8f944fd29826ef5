"""The command line, run as a user runs it: small real studies, and every mistake answered in one line."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayesmdp import results, studies
from bayesmdp.cli import app as cli
from bayesmdp.cli.plan_options import as_options
from bayesmdp.cli.progress import Progress
from bayesmdp.foundation import compiled_programs as compiled
from bayesmdp.planning import hardness
from bayesmdp.results import analysis
from tests.command_line import call, told_in_one_line
from tests.synthetic import synthetic_result

RIVER = "aq-brmdp/riverswim-6"
QUICK = ("--draws", 10, "--no-calibration")
"""Of plans whose numbers are not what is asked."""

TINY = ("--agents", "PSRL,BRMDP-0.1", "--steps", "50", "--replicates", "3", "--workers", "2")
HEAVY = (
    "arviz",
    "dask",
    "h5netcdf",
    "jax",
    "matplotlib",
    "numpy",
    "numpyro",
    "pandas",
    "rich",
    "scipy",
    "xarray",
    "zarr",
)
FILE = "aq-brmdp-riverswim-6-seed0.nc"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The file, standard output and standard error of a tiny run."""
    folder = tmp_path_factory.mktemp("results")
    return folder / FILE, *call("run", RIVER, *TINY, "--out", folder)


def test_help_is_light() -> None:
    code = (
        "import sys, bayesmdp.cli.app as cli\n"
        "try: cli.app(['--help'])\n"
        f"except SystemExit: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "run" in finished.stdout
    assert finished.stderr.split() == []


def test_help_of_plan_is_light() -> None:
    code = (
        "import sys, bayesmdp.cli.app as cli\n"
        "try: cli.app(['plan', '--help'])\n"
        f"except SystemExit: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--reward-range" in finished.stdout
    assert finished.stderr.split() == []


def test_version() -> None:
    from importlib.metadata import version

    assert call("--version")[0] == f"bayesmdp {version('bayesmdp')}\n"


def test_list_names_everything() -> None:
    from bayesmdp import agents, environments, models

    shown, _ = call("list")
    first_words = {line.split()[0] for line in shown.splitlines() if line.strip()}
    assert first_words >= {"aq-brmdp", *agents.AGENTS, *environments.ENVIRONMENTS, *models.PRIORS}
    assert not first_words & {"slips", "to_gymnasium", "policy_function", "clinicians_policy", *studies.STUDIES}


def test_list_tells_how_hard_environments_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from bayesmdp import environments

    few = {"rivers": (environments.Example(environments.riverswim, {"num_states": 4}),)}
    few["others"] = (environments.Example(environments.frozen_lake), environments.Example(environments.slippery_lake))
    monkeypatch.setattr(environments, "GROUPS", few)
    shown, _ = call("list", "--environments")
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    measured = [float(each) for each in hardness(environments.riverswim(4)).values()]
    assert [float(each) for each in rows["riverswim"]] == pytest.approx([4, 2, *measured], rel=1e-3)
    assert rows["frozen_lake"] == ["16", "4", *"----"]  # it ends
    assert rows["slippery_lake"] == ["-", "4", *"----"]


def test_list_shows_the_agents_of_a_study_as_they_are_asked_for() -> None:
    shown, _ = call("list", RIVER)
    assert "agent BRMDP-0.3  brmdp(level=0.3)" in shown
    family, _ = call("list", RIVER.partition("/")[0])
    assert {line.split()[0] for line in family.splitlines()[1:]} >= {
        name for name in studies.STUDIES if name[:3] == RIVER[:3]
    }
    assert "64 replicates of 5,000 steps" in shown
    assert f"did you mean {RIVER}?" in told_in_one_line("list", "riverswim-6")


def test_claims_are_told_with_their_figures_and_written(tmp_path: Path) -> None:
    shown, _ = call("claims", "tseb", "--csv", str(tmp_path / "claims.csv"))
    assert "Table 3, Queue" in shown and "make study STUDIES=tseb" in shown and "open: " in shown
    assert "served" in (tmp_path / "claims.csv").read_text()
    assert "did you mean 'mtsrl'?" in told_in_one_line("claims", "mtsr")


def test_run_writes_what_it_says(ran: tuple[Path, str, str]) -> None:
    path, shown, progress = ran
    with xr.open_datatree(path) as opened:
        assert dict(opened.sizes) == {"agent": 2, "replicate": 3, "step": 50}
        assert opened.attrs["study"] == RIVER
        final = analysis.final_regret(opened.load())
    for name, mean in zip(final["agent"].values, final["mean"].values, strict=True):
        row = next(line for line in shown.splitlines() if str(name) in line)
        assert f"{mean:,.0f}" in row
    assert str(path) in shown
    assert str(path.with_suffix(".png")) in shown
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "open_datatree" in shown
    assert "6 of 6 runs" in progress


def test_the_same_seed_gives_the_same_bytes(ran: tuple[Path, str, str], tmp_path: Path) -> None:
    call("run", RIVER, *TINY, "--out", tmp_path / "again.nc", "--workers", 1)
    assert (tmp_path / "again.nc").read_bytes() == ran[0].read_bytes()
    call("run", RIVER, *TINY, "--agents", "PSRL", "--out", tmp_path, "--seed", 1)
    with xr.open_datatree(tmp_path / "aq-brmdp-riverswim-6-seed1.nc") as other, xr.open_datatree(ran[0]) as first:
        assert not np.array_equal(other["state"].sel(agent="PSRL"), first["state"].sel(agent="PSRL"))


def test_interrupted_and_resumed_is_uninterrupted(
    ran: tuple[Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bayesmdp", "run", RIVER, *TINY])
    with monkeypatch.context() as patch:

        def stop_at_five(self: Progress, *run: object) -> None:
            self.done["runs"] += 1
            if self.done["runs"] == 5:
                raise KeyboardInterrupt

        patch.setattr(Progress, "advance", stop_at_five)
        _, message = call("run", RIVER, *TINY, "--workers", 1, "--out", tmp_path, code=130)
    kept = results.load(tmp_path / FILE).sizes["replicate"]
    assert 1 <= kept < 3
    assert f"contains the {kept} replicates that had finished" in message
    assert f"bayesmdp run {RIVER} {' '.join(TINY)} --resume" in message
    _, message = call("run", RIVER, *TINY, "--out", tmp_path, "--resume")
    assert f"already contains {kept} replicates" in message
    assert (tmp_path / FILE).read_bytes() == ran[0].read_bytes()
    _, message = call("run", RIVER, *TINY, "--out", tmp_path, "--resume", "--replicates", 2)
    assert "already contains 3 replicates" in message
    assert (tmp_path / FILE).read_bytes() == ran[0].read_bytes()


def test_interrupted_at_once_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Progress, *run: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", stop)
    _, message = call("run", RIVER, *TINY, "--workers", 1, "--out", tmp_path, code=130)
    assert "nothing was written" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("--steps", 60), "(steps 50, not 60)"),
        (("--thin", 5), "(thin 1, not 5)"),
        (("--agents", "PSRL"), "(other agents or options)"),
        (("--set", "BRMDP-0.1.level=0.2"), "(other agents or options)"),
        (("--seed", 4), "(seed 0, not 4)"),
    ],
)
@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_another_run_is_never_overwritten(
    ran: tuple[Path, str, str], changed: tuple[object, ...], told: str, resume: tuple[str, ...]
) -> None:
    before = ran[0].read_bytes()
    message = told_in_one_line("run", RIVER, *TINY, "--out", ran[0], *changed, *resume)
    assert "contains another run" in message
    assert told in message
    assert "--out" in message
    assert ran[0].read_bytes() == before


def test_more_replicates_are_never_overwritten_by_fewer(ran: tuple[Path, str, str]) -> None:
    message = told_in_one_line("run", RIVER, *TINY, "--out", ran[0], "--replicates", 2)
    assert "has 3 replicates of this run; keep them with --resume" in message


def test_files_of_other_origin_are_never_overwritten(tmp_path: Path) -> None:
    notes = tmp_path / "notes.nc"
    notes.write_text("mine")
    assert "is not a results file" in told_in_one_line("run", RIVER, *TINY, "--out", notes)
    assert notes.read_text() == "mine"
    results.save(synthetic_result(2), tmp_path / "own.nc")
    assert "study None, not" in told_in_one_line("run", RIVER, *TINY, "--out", tmp_path / "own.nc")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "riverswim-6"), f"no study 'riverswim-6'; did you mean {RIVER}?"),
        (("run", "zzz"), "no study 'zzz'; `bayesmdp list` shows them all"),
        (("run", RIVER, "--agents", "psrl"), "no agent 'psrl' in this study; it has PSRL, BRMDP-0.1"),
        (("run", RIVER, "--agents", ","), "--agents names no agent"),
        (("run", RIVER, "--set", "AQ-BRMDP.scale"), "'AQ-BRMDP.scale' is not AGENT.OPTION=VALUE"),
        (("run", RIVER, "--set", "scale=2"), "'scale=2' is not AGENT.OPTION=VALUE"),
        (("run", RIVER, "--set", "AQ.scale=2"), "no agent 'AQ' in this study"),
        (("run", RIVER, "--set", "AQ-BRMDP.scal=2"), "AQ-BRMDP has no option 'scal'; it has scale, sensitivity, floor"),
        (("run", RIVER, "--set", "PSRL.level=0.5"), "PSRL has no option 'level'"),
        (("run", RIVER, "--set", "AQ-BRMDP.scale=-2"), "scale must be a number above 0; got -2"),
        (("run", RIVER, "--set", "AQ-BRMDP.scale=much"), "scale must be a number above 0; got 'much'"),
        (("run", RIVER, "--steps", 50, "--thin", 3), "--thin must divide the number of steps; 3 does not divide 50"),
        (("plot", "none.nc"), "no results file none.nc"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[object, ...], told: str) -> None:
    assert told in told_in_one_line(*arguments)


@pytest.mark.parametrize("arguments", [("run", RIVER, "--steps", 0), ("run", RIVER, "--bad"), ("run",), ("jump",)])
def test_bad_usage_exits_with_2(arguments: tuple[object, ...]) -> None:
    _, message = call(*arguments, code=2)
    assert "Usage" in message
    assert "Traceback" not in message


def test_agents_with_dots_and_equals_signs_take_options() -> None:
    settings = ["AQ C=0.5 k=0.25.scale=2", "BRMDP-0.1.draws=renewed"]
    assert cli._parse_settings(settings) == {"AQ C=0.5 k=0.25": {"scale": 2}, "BRMDP-0.1": {"draws": "renewed"}}


def test_options_reach_the_agents(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    call("run", RIVER, *TINY, "--agents", "BRMDP-0.1", "--set", "BRMDP-0.1.level=0.25", "--out", path)
    result = results.load(path)
    assert json.loads(result.attrs["agents"])["BRMDP-0.1"]["level"] == 0.25
    assert bool((result["level"] == 0.25).all())


def test_one_replicate_has_no_interval(tmp_path: Path) -> None:
    path = results.save(synthetic_result(2, replicates=1), tmp_path / "one.nc")
    assert "one replicate of 200 steps, so no interval" in call("plot", path)[0]


def test_plot_draws_from_the_file_alone(ran: tuple[Path, str, str], tmp_path: Path) -> None:
    figure = tmp_path / "new" / "figure.svg"
    shown, _ = call("plot", ran[0], "--out", figure, "--window", 10)
    assert str(figure) in shown
    assert "PSRL" in shown
    assert "mean of the last 10 steps" in figure.read_text()
    assert "window = 99 steps is longer than the run" in told_in_one_line("plot", ran[0], "--window", 99)
    assert "Format 'txt' is not supported" in told_in_one_line("plot", ran[0], "--out", tmp_path / "figure.txt")


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not made read-only this way")
def test_a_folder_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert "file" in told_in_one_line("run", RIVER, *TINY, "--out", file)
    if os.geteuid():
        tmp_path.chmod(0o500)
        assert "cannot write to" in told_in_one_line("run", RIVER, *TINY, "--out", tmp_path)


def test_failures_of_planning_are_shown(tmp_path: Path) -> None:
    result = synthetic_result(2)
    result["failures"][0, :, -1] = 2
    path = results.save(result, tmp_path / "failed.nc")
    assert "16 plans did not converge" in call("plot", path)[0]


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({"JAX_COMPILATION_CACHE_DIR": "mine"}, "mine"),
        ({"XDG_CACHE_HOME": "cache"}, "cache/bayesmdp/jax/*"),
        ({"XDG_CACHE_HOME": "a file"}, None),
    ],
)
def test_compiled_programs_are_kept_where_the_user_says(
    given: dict[str, str], folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    names = ("COMPILATION_CACHE_DIR", "PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    for name in (*(f"JAX_{name}" for name in names), "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
        # Set and taken away again, so that what the function sets is undone.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    kept = compiled.keep_programs()
    if folder is None:
        assert kept is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ
    else:
        assert Path(os.environ["JAX_COMPILATION_CACHE_DIR"]).match(folder)


@pytest.fixture(scope="module")
def river_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A river's log."""
    import bayesmdp as bm

    river = bm.environments.riverswim(6)
    table = bm.collect(river, steps=5_000, seed=0).to_dataframe()
    path = tmp_path_factory.mktemp("log") / "river.csv"
    table.to_csv(path)
    return path


@pytest.fixture(scope="module")
def planned(river_log: Path) -> tuple[Path, str, str]:
    """The folder, standard output and standard error of a plan."""
    out = river_log.parent / "plans"
    return out, *call("plan", river_log, "--discount", 0.95, "--draws", 400, "--out", out)


def test_plan_prints_and_writes_the_policy(planned: tuple[Path, str, str]) -> None:
    import pandas as pd

    folder, shown, progress = planned
    table = pd.read_csv(folder / "river-plan.csv", index_col="state", keep_default_na=False)
    assert table["action"].tolist() == ["right"] * 6
    with xr.open_datatree(folder / "river-plan.nc") as tree:
        assert tree["plan"]["policy"].values.tolist() == ["right"] * 6
        np.testing.assert_allclose(tree["plan"]["value"], table["promise"])
        assert tree.attrs["source"].endswith("river.csv")
        assert json.loads(tree.attrs["log"])["rows"] == 5_000
    for said in (
        "5,000",
        "12 of 12",
        "quantile:0.1, discount 0.95, 400 draws",
        "logs like yours",
    ):
        assert said in shown
    assert "posterior of transitions by the log's evidence: " in progress
    assert "checking the reported numbers on 40 simulated logs like this one" in progress
    assert str(folder / "river-plan.nc") in shown


def test_the_worth_of_a_plan_is_that_of_the_posterior_it_wrote(planned: tuple[Path, str, str]) -> None:
    """Against draws by NumPy from the concentrations in the file, and linear solves of whole kernels."""
    rng = np.random.default_rng(0)
    with xr.open_datatree(planned[0] / "river-plan.nc") as tree:
        concentration = tree["parameters"]["transition"].values[:, 1]
        problem = tree["problem"].to_dataset().load().isel(action=1)
        told = tree["policy"].to_dataset().load()
    draws = 20_000
    reward = np.broadcast_to(problem["reward"].values, concentration.shape)
    kernel, mean = np.zeros((draws, 6, 6)), np.zeros((draws, 6))
    for state in range(6):
        rows = rng.dirichlet(concentration[state], draws)
        kernel[:, state] = rows
        mean[:, state] = rows @ reward[state]
    values = np.linalg.solve(np.eye(6) - 0.95 * kernel, mean[..., None])[..., 0]
    # 400 draws know the level of their 10% quantile within 5 / 100, three standard errors.
    for name, level, error in (("worth_quantile", 0.1, 0.05), ("worth_lower", 0.05, 0.04), ("worth_upper", 0.95, 0.04)):
        low, high = np.quantile(values, [max(level - error, 0), min(level + error, 1)], axis=0)
        assert ((told[name] >= low) & (told[name] <= high)).all(), name
    assert (told["worth_quantile_lower"] <= told["worth_quantile"]).all()
    assert (told["promise"] <= told["worth_quantile"]).all()


@pytest.mark.slow
def test_an_exact_quantile_is_planned_with_without_draws(
    planned: tuple[Path, str, str], river_log: Path, tmp_path: Path
) -> None:
    options = ("--quantile", "exact", "--discount", 0.95, "--draws", 400, "--out", tmp_path)
    shown, _ = call("plan", river_log, *options)
    assert "quantile:0.1 exact, discount 0.95, no draws" in shown
    with xr.open_datatree(tmp_path / "river-plan.nc") as exact, xr.open_datatree(planned[0] / "river-plan.nc") as drawn:
        assert exact.attrs["plan_draws"] == 0
        np.testing.assert_allclose(exact["policy"]["promise"], drawn["policy"]["promise"], rtol=0.1)
    assert "only quantiles are known exactly" in told_by_plan(river_log, "--risk", "mean", *options)


def test_the_worth_is_told_by_other_draws_than_the_plan(tmp_path: Path) -> None:
    from bayesmdp.environments import riverswim
    from bayesmdp.offline.plan_log import plan_log
    from bayesmdp.simulation.collect import collect

    told = plan_log(collect(riverswim(6), steps=500, seed=0), risk="mean", draws=1).policy
    # Under one draw a plan promises what its policy is worth under that draw.
    assert (told["worth_lower"] == told["worth_upper"]).all()
    assert (abs(told["promise"] - told["worth_lower"]) > 1e-6).all()


def test_a_plan_knows_what_each_step_was_paid(tmp_path: Path) -> None:
    """Of two arms the noisy one paid more on average, by less than its noise leaves unknown."""
    paid = {"steady": 0.5 + np.tile([-0.01, 0.01], 15), "noisy": 0.6 + np.tile([-1.0, 1.0], 15)}
    rows = [f"0,{arm},{reward},0" for arm, rewards in paid.items() for reward in rewards.tolist()]
    (tmp_path / "arms.csv").write_text("\n".join(["state,action,reward,next_state", *rows]))
    options = ("--prior", "normal_gamma_rewards", "--set", "rate=0.01", "--out", tmp_path)
    _, progress = call("plan", tmp_path / "arms.csv", "--gaps", "allow", *QUICK, *options)
    assert "posterior of normal_gamma_rewards(rate=0.01) on transitions by the log's evidence" in progress
    with xr.open_datatree(tmp_path / "arms-plan.nc") as tree:
        assert tree["plan"]["policy"].values.tolist() == ["steady"]
        known = tree["parameters"]["reward"].sel(parameter=["mean", "weight", "shape", "rate"]).isel(state=0)
        for arm, given in paid.items():
            rate = 0.01 + 30 * given.var() / 2 + 30 * given.mean() ** 2 / (2 * 31)
            by_hand = [30 * given.mean() / 31, 31, 1 + 15, rate]
            np.testing.assert_allclose(known.sel(action=arm), by_hand, rtol=1e-10)


def test_every_prior_of_the_list_makes_a_model_or_says_what_it_needs() -> None:
    from bayesmdp import models
    from bayesmdp.environments import riverswim
    from bayesmdp.logs.problem_from_log import mdp_from_log
    from bayesmdp.offline.named_prior import make_prior
    from bayesmdp.simulation.collect import collect

    log = collect(riverswim(6), steps=200, seed=0)
    mdp = mdp_from_log(log, discount=0.9)
    told = {}
    for name in models.PRIORS:
        try:
            made = make_prior(name, log, mdp, {})
            told[name] = made.described
            assert callable(made.model)
        except (TypeError, ValueError) as error:
            told[name] = str(error)
            assert "argument" not in told[name]
    assert {name for name, text in told.items() if text.startswith(name) and " needs " not in text} >= {
        "beta_bernoulli_rewards",
        "dirichlet_transitions",
        "hierarchical_dirichlet",
        "normal_gamma_rewards",
        "normal_rewards",
    }
    for name, needed in (
        ("gaussian_q_hierarchy", "is made from base_mean, in Python"),
        ("gaussian_q_tasks", "needs mean and covariance: --set mean=VALUE"),
        ("river_current", "has a table of successors instead"),
        ("slippery_lake", "must have a layout"),
        ("tied_moves", "needs leads_to: --set leads_to=VALUE"),
    ):
        assert needed in told[name]
    # A prior of rewards stands on any of transitions, with options of its own.
    below = {"transitions": "hierarchical_dirichlet", "a": 2.0}
    described = make_prior("beta_bernoulli_rewards", log, mdp, below).described
    assert described == "beta_bernoulli_rewards(a=2) on hierarchical_dirichlet"
    below = {"transitions": "dirichlet_transitions", "transitions.concentration": 0.25}
    described = make_prior("normal_rewards", log, mdp, below).described
    assert described.startswith("normal_rewards on dirichlet_transitions(concentration=0.25)")
    for transitions in ("auto", "dirichlet_transitions"):
        with pytest.raises(ValueError, match="has no option 'x'"):
            make_prior("normal_rewards", log, mdp, {"transitions": transitions, "transitions.x": 1})


def test_a_plan_is_made_again_byte_for_byte(planned: tuple[Path, str, str], river_log: Path, tmp_path: Path) -> None:
    folder = planned[0]
    before = (folder / "river-plan.nc").read_bytes()
    call("plan", river_log, "--discount", 0.95, "--draws", 400, "--out", tmp_path)
    assert (tmp_path / "river-plan.nc").read_bytes() == before
    # A plan may be replaced by another; nothing else may.
    call("plan", river_log, "--discount", 0.9, *QUICK, "--out", tmp_path)
    assert (tmp_path / "river-plan.nc").read_bytes() != before
    (tmp_path / "river-plan.nc").unlink()
    assert "river-plan.csv already exists" in told_in_one_line("plan", river_log, "--out", tmp_path)
    assert "river.csv already exists" in told_in_one_line("plan", river_log, "--out", river_log.with_suffix(".nc"))
    results.save(synthetic_result(2), tmp_path / "own.nc")
    assert "exists and is not a plan" in told_in_one_line("plan", river_log, "--out", tmp_path / "own.nc")


def told_by_plan(*arguments: object) -> str:
    """The message of a plan that must be refused: one line, after what was being done."""
    _, progress = call("plan", *arguments, code=2)
    *before, message = progress.splitlines()
    assert message.startswith("bayesmdp: ")
    assert not any(line.startswith(("bayesmdp", "Traceback")) for line in before)
    return message


OTHER = "s,a,r,s2,done\n0,go,0,1,0\n1,go,1,9,1\n0,stay,0,0,0\n0,go,0,2,0\n"


def test_plan_of_a_file_with_other_names(tmp_path: Path) -> None:
    import pandas as pd

    log = tmp_path / "other.csv"
    log.write_text(OTHER)
    named = [f"--column={pair}" for pair in ("state=s", "action=a", "reward=r", "next_state=s2", "terminated=done")]
    shown, _ = call("plan", log, *named, *QUICK, "--out", tmp_path / "plan.nc")
    assert "in 1 more states no action was tried" in " ".join(shown.split())
    table = pd.read_csv(tmp_path / "plan.csv", index_col="state", keep_default_na=False)
    assert table["action"].to_dict() == {0: table["action"][0], 1: "go", 2: "", 9: ""}
    assert table["terminal"].to_dict() == {0: False, 1: False, 2: False, 9: True}
    assert table["visits"].tolist() == [3, 1, 0, 0]
    assert table.loc[9, "promise"] == 0
    message = told_by_plan(log, *named[:4], "--out", tmp_path / "plan.nc")
    assert "--column terminated=done if nothing can follow" in message
    assert "--column terminated= if it says" in message
    message = told_by_plan(log, "--out", tmp_path / "plan.nc")
    assert "--column state=s --column action=a --column reward=r --column next_state=s2 says which" in message
    _, message = call("plan", log, *named[:4], "--column", "terminated=", *QUICK, "--out", tmp_path / "plan.nc")
    assert "bayesmdp: warning: " in message
    assert "--gaps 'allow'" in message
    log.write_text(OTHER.replace(",", ";"))
    assert "--separator ';'" in told_by_plan(log, *named, "--out", tmp_path / "plan.nc")


def test_a_remedy_can_be_pasted_into_a_shell() -> None:
    told = as_options("pass columns={'terminated': 'is over'} if so, or columns={'terminated': None} if not")
    assert told == "pass --column 'terminated=is over' if so, or --column terminated= if not"


def test_what_the_log_says_of_the_prior(tmp_path: Path) -> None:
    log = tmp_path / "one.csv"
    log.write_text("state,action,reward,next_state,terminated\na,go,1,b,true\n")
    named = ("--prior", "dirichlet_transitions", "--elsewhere", "mean", "--rewards", "known")
    shown, _ = call("plan", log, *QUICK, "--out", tmp_path, *named)
    words = " ".join(shown.split())
    assert "(concentration=0.5): it counts as 1 observation of each pair; the log does not determine it" in words
    assert "elsewhere next states that were never seen count at their average value, as if it were certain" in words
    log.write_text("state,action,reward,next_state\n" + "a,go,1,b\nb,go,0,a\n" * 150)
    shown, _ = call("plan", log, *QUICK, "--out", tmp_path, *named)
    assert "counts as 0.3 observations of each pair, by the log's evidence, the smallest considered" in " ".join(
        shown.split()
    )


def test_a_plan_takes_labels_and_starts_as_options(tmp_path: Path) -> None:
    import pandas as pd

    log = tmp_path / "order.csv"
    log.write_text("state;action;reward;next_state\n10;go;0,5;9\n9;go;1,5;10\n10;go;0,5;9\n")
    given = ("--separator", ";", *QUICK, "--out", tmp_path)
    assert "reward is '0,5', which is no finite number" in (message := told_by_plan(log, *given))
    assert "--decimal ','" in message
    given = (*given, "--decimal", ",")
    call("plan", log, *given, "--states", "10,9,8", "--actions", '["stay", "go"]', "--start", 9)
    table = pd.read_csv(tmp_path / "order-plan.csv")
    assert table["state"].tolist() == [10, 9, 8]
    with xr.open_datatree(tmp_path / "order-plan.nc") as tree:
        assert tree["problem"]["action"].values.tolist() == ["stay", "go"]
        assert tree["problem"]["initial"].values.tolist() == [0, 1, 0]
    assert "declare it with --states" in told_by_plan(log, *given, "--states", "10,8")
    assert "--start '11' is not a state of the log; it has 9, 10" in told_by_plan(log, *given, "--start", "11")


def test_plans_of_other_logs_are_not_written_over(tmp_path: Path) -> None:
    text = "state,action,reward,next_state\na,go,1,b\nb,go,0,a\n"
    for name in ("log.2024.csv", "log.2025.csv", "log.csv"):
        (tmp_path / name).write_text(text)
        call("plan", tmp_path / name, *QUICK, "--out", tmp_path)
    assert {path.name for path in tmp_path.glob("*.nc")} == {"log.2024-plan.nc", "log.2025-plan.nc", "log-plan.nc"}
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(text.encode()))
    message = told_by_plan(tmp_path / "log.csv.gz", "--out", tmp_path)
    assert "log-plan.nc contains the plan for" in message and "log.csv; give another --out" in message
    call("plan", tmp_path / "log.csv", *QUICK, "--seed", 1, "--out", tmp_path)  # the same log: a new plan in its place


def test_a_column_with_a_brace_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("{state},action,reward,next_state\na,go,1,b\n")
    assert "has no column 'state'; it has '{state}', 'action'" in told_by_plan(tmp_path / "log.csv", "--out", tmp_path)


PRIORS = """
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


def mine(data):
    transition = numpyro.sample("transition", dist.Dirichlet(np.full((6, 2, 3), 0.5)).to_event(2))
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


def made(mdp, concentration=1.0, other=2):
    from bayesmdp.models import dirichlet_transitions

    return dirichlet_transitions(mdp, concentration)


def broken(mdp):
    return mdp.nothing


def late(data):
    return 1 / 0


def number(mdp):
    return 3


def level(data):
    x = numpyro.sample("x", dist.Normal(0, 1))
    p = 1 / (1 + jnp.exp(-x))
    transition = numpyro.deterministic("transition", jnp.broadcast_to(jnp.stack([p, 1 - p]), (2, 1, 2)))
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


def paid(mdp, transitions):
    from bayesmdp.models import normal_rewards

    return normal_rewards(mdp, transitions, noise=0.5)
"""


@pytest.fixture(scope="module")
def priors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("priors") / "priors.py"
    path.write_text(PRIORS)
    return path


def test_priors_of_ones_own(river_log: Path, priors: Path, tmp_path: Path) -> None:
    tiny = (*QUICK, "--out", tmp_path)
    shown, _ = call("plan", river_log, "--prior", f"{priors}:made", "--set", "concentration=0.25", *tiny)
    assert "made(concentration=0.25)" in shown
    with xr.open_datatree(tmp_path / "river-plan.nc") as tree:
        counts = tree["parameters"]["transition"].values.copy()
    named = ("--prior", "dirichlet_transitions", "--set", "concentration=0.25")
    shown, _ = call("plan", river_log, *named, *tiny)
    assert "(concentration=0.25); the log favours 0.05 (log odds" in " ".join(shown.split())
    with xr.open_datatree(tmp_path / "river-plan.nc") as tree:
        np.testing.assert_array_equal(tree["parameters"]["transition"], counts)


def test_rewards_of_ones_own(river_log: Path, priors: Path, tmp_path: Path) -> None:
    shown, _ = call("plan", river_log, "--rewards", f"{priors}:paid", "--draws", 10, "--out", tmp_path)
    words = " ".join(shown.split())
    assert "reward is Normal" in words
    assert "how it was checked on 40 simulated logs like yours" in words
    with xr.open_datatree(tmp_path / "river-plan.nc") as tree:
        assert tree["parameters"]["reward"].sel(parameter="sd").max() < 0.5


def test_what_can_happen_is_declared(river_log: Path, tmp_path: Path) -> None:
    (tmp_path / "can.csv").write_text("state,next_state\n" + "\n".join(f"{s},{t}" for s in range(6) for t in range(6)))
    options = ("--reachable", tmp_path / "can.csv", *QUICK, "--out", tmp_path / "out")
    call("plan", river_log, *options)
    with xr.open_datatree(tmp_path / "out" / "river-plan.nc") as tree:
        assert tree.attrs["elsewhere"] == "declared"
        assert tree["problem"]["successor"].values.min() == 0
    (tmp_path / "can.csv").write_text("state,next_state\n0,1\n")
    assert "which reachable does not allow: add it, or correct the log" in told_by_plan(river_log, *options)


def test_the_hurried_leave_the_check_out(river_log: Path, tmp_path: Path) -> None:
    shown, progress = call("plan", river_log, *QUICK, "--out", tmp_path)
    assert "how it was checked not checked: the check was switched off" in " ".join(shown.split())
    assert "checking" not in progress


@pytest.mark.slow
def test_a_prior_without_a_closed_form_is_planned_with_by_nuts(priors: Path, tmp_path: Path) -> None:
    log = tmp_path / "two.csv"
    log.write_text("state,action,reward,next_state\n" + "a,x,0,a\na,x,0,b\nb,x,1,b\nb,x,1,a\n" * 5)
    shown, _ = call("plan", log, "--prior", f"{priors}:level", "--elsewhere", "none", "--draws", 50, "--out", tmp_path)
    assert "nuts: no closed form" in " ".join(shown.split())
    with xr.open_datatree(tmp_path / "two-plan.nc") as tree:
        assert tree["posterior"]["x"].size == 100
        assert "parameters" not in tree.children


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--risk", "median"), "risk must be mean, quantile:LEVEL or cvar:LEVEL"),
        (("--risk", "quantile:1.5"), "levels lie strictly between 0 and 1"),
        (("--discount", 1), "discount must be a number above 0 and below 1"),
        (("--prior", "dirichlet"), "no prior 'dirichlet'; did you mean dirichlet_transitions?"),
        (("--prior", "priors.py"), "may contain several functions: name one, as in priors.py:prior"),
        (("--prior", "none.py:x"), "no Python file none.py"),
        (("--prior", "PRIORS:late"), "priors.py line 25: ZeroDivisionError: division by zero"),
        (("--prior", "PRIORS:mne"), "has no function 'mne'; did you mean 'mine'?"),
        (("--prior", "PRIORS:broken"), "line 21: AttributeError: 'MDP' object has no attribute 'nothing'"),
        (("--prior", "PRIORS:number"), "returned a int; it must return a model"),
        (("--prior", "PRIORS:made", "--set", "others=1"), "made has no option 'others'; it has concentration, other"),
        (("--prior", "PRIORS:mine", "--set", "x=1"), "mine has no option 'x'; it has none"),
        (("--set", "concentration=1"), "has no option 'concentration', only ordered; name the prior that has it"),
        (("--prior", "dirichlet_transitions", "--set", "concentration=-1"), "concentration = -1; it must be positive"),
        (("--prior", "dirichlet_transitions", "--set", "concentration=1e999"), "must be positive and finite"),
        (("--reachable", "none.csv"), "--reachable: no file none.csv"),
        (("--reachable", "PRIORS"), "is not a table: "),
        (("--rewards", "sure"), "rewards must be one of auto, known, normal, bernoulli; got 'sure'"),
        (("--rewards", "bernoulli"), "rewards='bernoulli' needs rewards of 0 or 1"),
        (("--rewards", "priors.py"), "may contain several functions: name one"),
        (("--rewards", "PRIORS:paid", "--prior", "normal_rewards"), "both define the rewards; give only one of them"),
        (("--rewards", "normal", "--prior", "normal_rewards"), "both define the rewards; give only one of them"),
        (("--set", "ordered=no"), "ordered is true or false; got 'no'"),
        (("--set", "concentration"), "--set 'concentration' is not of the form NAME=VALUE"),
        (("--column", "state"), "--column 'state' is not of the form NAME=VALUE, such as next_state=s2"),
        (("--column", "state=nothing"), "has no column 'nothing'"),
        (("--reward-range", "1"), "--reward-range '1' is not LOW,HIGH"),
        (("--reward-range", "-1,0.5"), "reward is '1.0', outside [-1, 0.5]"),
        (("--elsewhere", "most"), "elsewhere must be one of mean, least, none, each"),
        (("--quantile", "near"), "quantile must be one of draws, exact; got 'near'"),
        (("--gaps", "no"), "gaps must be one of warn, refuse, cut, allow"),
        (("--draws", 100_000_000), "lower draws to"),
    ],
)
def test_mistakes_about_a_plan_are_told_in_one_line(
    arguments: tuple[object, ...], told: str, river_log: Path, priors: Path, tmp_path: Path
) -> None:
    filled = [str(argument).replace("PRIORS", str(priors)) for argument in arguments]
    assert told in told_by_plan(river_log, "--out", tmp_path, *filled)
    assert not list(tmp_path.iterdir())


def test_a_log_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    assert "no file none.csv" in told_by_plan("none.csv", "--out", tmp_path)


def test_a_plan_shows_the_states_visited_most(tmp_path: Path) -> None:
    rows = [f"{state},go,1,{(state + 1) % 40}" for _ in range(3) for state in range(40)]
    log = tmp_path / "ring.csv"
    log.write_text("state,action,reward,next_state\n" + "\n".join(rows) + "\n0,go,1,1\n")
    shown, _ = call("plan", log, *QUICK, "--out", tmp_path)
    assert "20 more states are in the files" in " ".join(shown.split())
    policy = shown.partition("Policy")[2].partition("Least-tried")[0]
    assert [line.split()[0] for line in policy.splitlines() if " go " in line] == ["0", *map(str, range(1, 20))]
