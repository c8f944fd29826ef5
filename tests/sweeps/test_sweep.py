"""Sweeps as plain data: what they go through, and how mistakes are told before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bayesmdp.studies import AgentSpec, Study, find
from bayesmdp.sweeps import Sweep, read_sweep_file

RIVER = "aq-brmdp/riverswim-6"
GRID = {"AQ-BRMDP.scale": [0.5, 1.0, 2.0], "environment.discount": [0.95, 0.99]}


def test_an_agent_runs_once_in_each_setting_that_concerns_it() -> None:
    sweep = Sweep(RIVER, GRID, agents=["PSRL", "AQ-BRMDP"], replicates=4)
    cells = [(cell.agent, tuple(value for _, value in cell.settings)) for cell in sweep.cells()]
    wanted = [("PSRL", (0.95,)), ("PSRL", (0.99,))]
    wanted += [("AQ-BRMDP", (discount, scale)) for discount in (0.95, 0.99) for scale in (0.5, 1.0, 2.0)]
    assert cells == wanted


def test_a_cell_is_the_study_with_its_options() -> None:
    sweep = Sweep(
        RIVER,
        {**GRID, "prior.concentration": [0.5]},
        {"AQ-BRMDP.num_draws": 50, "environment.num_states": 7},
        agents=["PSRL", "AQ-BRMDP"],
    )
    cell = [cell for cell in sweep.cells() if cell.agent == "AQ-BRMDP"][-1]
    study = sweep.problem_of(cell)
    assert study.environment_options == {"num_states": 7, "discount": 0.99}
    assert study.prior_options == {"concentration": 0.5}
    assert sweep.options_of(cell) == {"scale": 2.0}
    assert study.agents["AQ-BRMDP"].options["num_draws"] == 50


def test_axes_that_share_a_name_are_told_apart() -> None:
    agents = {"one": AgentSpec("tseb"), "two": AgentSpec("tseb")}
    study = Study("two", "riverswim", "dirichlet_transitions", agents, {"num_states": 6}, {"concentration": 1.0})
    sweep = Sweep(study, {"one.bonus_scale": [0.5, 1.0], "two.bonus_scale": [0.5, 1.0]})
    # Each in its agent's own group.
    assert [axis.name for axis in sweep.axes] == ["bonus_scale", "bonus_scale"]
    assert len(list(sweep.cells())) == 4


@pytest.mark.parametrize(("steps", "thin"), [((5_000,), 100), ((1_000, 5_000), 20), ((30,), 1), ((60, 90), 1)])
def test_windows_are_the_widest_that_leave_fifty_records(steps: tuple[int, ...], thin: int) -> None:
    sweep = Sweep(RIVER, {"steps": list(steps)})
    assert sweep.window == thin
    assert all(length % sweep.window == 0 for length in steps)


MISTAKES = [
    ({"study": "aq-brmdp/riverswim-7"}, "riverswim-6"),
    ({"grid": {"AQ-BRMDP.scal": [1.0]}}, "did you mean 'scale'"),
    ({"grid": {"AQ-BRMPD.scale": [1.0]}}, "PLACE one of environment, prior"),
    ({"grid": {"environment.discont": [0.9]}}, "did you mean 'discount'"),
    ({"grid": {"prior.concentration": []}}, "has no values"),
    ({"grid": {"prior.concentration": 1.0}}, "must be a list"),
    ({"grid": {"prior.concentration": [1.0, 0.5, 1.0]}}, r"\[2\] = 1.0 is there twice"),
    ({"grid": {"steps": [100, 2.5]}}, r"'steps'\[1\] = 2.5"),
    ({"grid": {"reward_prior.scale": [1.0]}}, "no reward_prior"),
    ({"agents": ["PSRL", "AQ"]}, "no agent 'AQ'"),
    ({"agents": []}, "no agent"),
    ({"replicates": 0}, "replicates must be a whole number, at least 1"),
    ({"steps": 1000, "thin": 300}, "300 does not divide 1000"),
    ({"settings": {"AQ-BRMDP.depth": 1}}, "no option 'depth'"),
    ({"grid": {"prior.concentration": [1, 1.0]}}, r"\[1\] = 1.0 is there twice"),
    ({"keep": "regret"}, "keep must be a list of names"),
    ({"agents": "PSRL"}, "agents must be a list of names"),
    ({"study": 5}, "study must be a name or a Study"),
    ({"steps": 80, "grid": {"steps": [40, 80]}}, "steps = 80 is given, and swept"),
    ({"study": replace(find(RIVER), replicates=-1)}, "replicates must be a whole number, at least 1; got -1"),
    ({"study": replace(find(RIVER), agents={"step": AgentSpec("psrl")})}, "cannot be called 'step'"),
]


@pytest.mark.parametrize(("given", "told"), MISTAKES)
def test_mistakes_are_told_when_the_sweep_is_declared(given: dict[str, object], told: str) -> None:
    with pytest.raises((KeyError, ValueError, TypeError), match=told):
        Sweep(**{"study": RIVER, **given})  # type: ignore[arg-type]


def test_values_that_an_agent_refuses_are_told_with_their_option() -> None:
    with pytest.raises(ValueError, match=r"AQ-BRMDP.scale = -1.0: scale"):
        Sweep(RIVER, {"AQ-BRMDP.scale": [1.0, -1.0]}, agents=["AQ-BRMDP"]).check()
    with pytest.raises(ValueError, match=r"environment.discount = 1.5: "):
        Sweep(RIVER, {"environment.discount": [0.9, 1.5]}, agents=["PSRL"]).check()


def test_priors_that_need_more_say_so() -> None:
    study = find(RIVER)
    with pytest.raises(ValueError, match=r"is a prior of rewards, .* and normal_rewards the reward_prior"):
        Sweep(replace(study, prior="normal_rewards"), {"steps": [10]}, agents=["PSRL"]).check()
    with pytest.raises(ValueError, match="the prior tied_moves needs leads_to, among its options"):
        Sweep(replace(study, prior="tied_moves"), {"steps": [10]}, agents=["PSRL"]).check()


def test_a_file_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(
        """
        study = "aq-brmdp/riverswim-6"
        agents = ["PSRL", "AQ-BRMDP"]
        replicates = 4
        [set.AQ-BRMDP]
        num_draws = 50
        [grid.AQ-BRMDP]
        scale = [0.5, 1.0, 2.0]
        [grid]
        "environment.discount" = [0.95, 0.99]
        """
    )
    told = read_sweep_file(tmp_path / "my.toml", steps=500)
    here = Sweep(RIVER, GRID, {"AQ-BRMDP.num_draws": 50}, agents=["PSRL", "AQ-BRMDP"], replicates=4, steps=500)
    assert told.base == here.base
    assert told.axes == here.axes
    assert list(told.cells()) == list(here.cells())


OWN = """
from bayesmdp.models import dirichlet_transitions

def weak(mdp, weight=1.0):
    return dirichlet_transitions(mdp, concentration=weight / mdp.num_states)
"""


def test_a_file_may_hold_a_study_with_a_prior_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "priors.py").write_text(OWN)
    (tmp_path / "my.toml").write_text(
        """
        replicates = 2
        steps = 50
        [study]
        environment = "chain"
        prior = "priors.py:weak"
        [study.agents.PSRL]
        algorithm = "psrl"
        [grid.prior]
        weight = [0.5, 1.0]
        """
    )
    sweep = read_sweep_file(tmp_path / "my.toml")
    sweep.check()
    assert [axis.name for axis in sweep.axes] == ["weight"]
    study = sweep.problem_of(next(iter(sweep.cells())))
    mdp, prior = study.make_problem()
    assert prior.__name__ == study.make_prior(mdp).__name__


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("study = ", "is not TOML"),
        ("replicates = 3", "names no study"),
        ('study = "aq-brmdp/riverswim-6"\nreplicate = 3', "did you mean 'replicates'"),
        ("[study]\nworld = 3", r"\[study\] does not describe one"),
        ("study = 5", "study must be a name or a Study"),
        ('[study]\nagents = ["PSRL"]', "the study's agents are tables"),
        (
            '[study]\nenvironment = "riverswin"\n[study.agents.A]\nalgorithm = "psrl"\n[grid.environment]\nn=[1]',
            "riverswim",
        ),
    ],
)
def test_mistakes_in_a_file_are_told_with_its_name(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises((ValueError, KeyError, TypeError), match=told) as refused:
        read_sweep_file(tmp_path / "my.toml")
    assert "my.toml" in str(refused.value)
