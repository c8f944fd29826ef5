"""Text from outside is shown as it was written, in every table, line, error and figure."""

from __future__ import annotations

import io
import json
import re
import warnings
from html import unescape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from bayesmdp.cli import app as cli
from bayesmdp.cli import comparison_tables, plan_tables, tables
from bayesmdp.cli import progress as progress_lines
from bayesmdp.cli.console import make_console
from bayesmdp.cli.messages import fail
from bayesmdp.cli.progress import Progress
from bayesmdp.foundation.visible_text import one_line
from bayesmdp.results import comparison_plots as sweep_plots
from bayesmdp.results import plots
from bayesmdp.results.comparison import option_effects, paired_differences, settings_table
from tests.synthetic import synthetic_result

LABELS = (
    "[low]",
    "[iv]fluid",
    "[po]fluid",
    "[/x]",
    "[/]",
    "[bold]x[/bold]",
    "[@click=f()]y",
    r"\[z]",
    "[",
    ":fire:",
    "http://x.org [1]",
    "{agent}",
    "%s",
    "$a$",
    r"$\frac$",
    r"\$5",
    "5$",
    "_nolegend_",
    "_child0",
    "sévère",
    "a  b",
)
UNSEEN = ("a\x1b[31mred", "zero\u200bwidth", "bell\x07", "two\nlines", "\u202eright", "no\u00a0break")


def rendered(*parts: object, width: int = 200) -> str:
    made = make_console()
    made.file, made.width = io.StringIO(), width
    for part in parts:
        made.print(part)
    return made.file.getvalue()


def is_shown(text: str, labels=LABELS + UNSEEN) -> None:
    for label in labels:
        assert one_line(label) in text, label
    for sign in "\x1b\u200b\x07\u202e\u00a0":
        assert sign not in text


def policy_of(labels) -> xr.Dataset:
    count = len(labels)
    numbers = {name: ("state", np.arange(count, dtype=float)) for name in ("promise", "worth_lower", "worth_upper")}
    numbers |= {f"worth_quantile{end}": ("state", np.arange(count, dtype=float)) for end in ("", "_lower", "_upper")}
    counted = {name: ("state", np.arange(1, count + 1)) for name in ("visits", "tried")}
    flags = {"on_path": ("state", np.ones(count, bool)), "terminal": ("state", np.zeros(count, bool))}
    action = {"action": ("state", np.array(labels)[::-1])}
    return xr.Dataset(action | counted | numbers | flags, {"state": np.array(labels)}, {"level": 0.1})


def totals_of(labels) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([list(labels), ["$x$", "[y]"]], names=["agent", "[option]$o$"])
    return pd.DataFrame(np.random.default_rng(0).normal(size=(len(index), 3)), index=index)


def test_labels_are_shown_in_the_tables_of_a_plan(monkeypatch):
    monkeypatch.setattr(plan_tables, "STATES_SHOWN", 99)
    monkeypatch.setattr(plan_tables, "PAIRS_SHOWN", 99)
    policy = policy_of(LABELS + UNSEEN)
    for table in (plan_tables.policy_table(policy), plan_tables.least_known_table(policy)):
        text = rendered(table)
        is_shown(text)
        rows = text.splitlines()
        # Each state in the row of its own action.
        for state, action in zip(policy["state"].values, policy["action"].values, strict=True):
            assert any(re.match(rf" {re.escape(one_line(state))} +{re.escape(one_line(action))} ", row) for row in rows)


def test_names_are_shown_in_the_tables_of_results():
    names = LABELS + UNSEEN
    is_shown(rendered(tables.summary_table(synthetic_result(names))))
    is_shown(rendered(tables.name_table(" ".join(LABELS), {name: f"told {name}" for name in names})))
    totals = totals_of(names)
    is_shown(rendered(comparison_tables.setting_table(settings_table(totals), "regret", 99, 0.95)))
    effects = option_effects(totals)
    is_shown(rendered(comparison_tables.effect_table(effects, "regret", 0.95)))
    table = paired_differences(totals, {"agent": "$a$"})
    for baseline in LABELS:
        text = rendered(comparison_tables.difference_table(table, baseline, "holm", 99, 0.95), width=400)
        assert f"Difference from {baseline}, paired" in text
    is_shown(text, [name for name in names if name != "$a$"])


def test_names_are_shown_in_lines_of_progress(monkeypatch):
    file = io.StringIO()
    made = make_console()
    made.file, made.width, made._force_terminal = file, 200, True
    monkeypatch.setattr(progress_lines, "make_console", lambda stderr: made)
    with Progress(dict.fromkeys(LABELS + UNSEEN, 1)) as progress:
        progress.count(LABELS[0], 1)
    text = file.getvalue()
    for name in LABELS + UNSEEN:
        assert one_line(name) in text


@pytest.mark.parametrize("label", LABELS + UNSEEN)
def test_labels_are_shown_in_errors(label, capsys):
    with pytest.raises(BaseException):  # noqa: B017 - typer's way to leave
        fail(f"state is {label!r};\n  correct it, or leave {label} out")
    told = capsys.readouterr().err
    assert told.startswith("bayesmdp: state is ")
    assert told.count("\n") == 1
    assert repr(label) in told
    assert f"leave {one_line(label)} out".replace(r"two\nlines", "two lines") in told


def in_svg(figure) -> list[str]:
    file = io.StringIO()
    with warnings.catch_warnings(), plt.rc_context({"svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(file, format="svg")
    plt.close(figure)
    return [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", file.getvalue())]


@pytest.mark.slow
def test_names_are_shown_in_figures_of_results():
    names = [name for name in LABELS + UNSEEN if "\n" not in name]
    result = synthetic_result(names, replicates=2, steps=20)
    is_shown("\n".join(in_svg(plots.plot_regret(result).figure)), names)
    for some in (names[i : i + 9] for i in range(0, len(names), 9)):
        few = synthetic_result(some[:3], replicates=2, steps=20, states=len(some))
        few.attrs |= {"states": json.dumps(some), "title": some[0]}
        texts = in_svg(plots.plot_study(few))
        is_shown("\n".join(texts), some)
        assert any(text.startswith(f"{one_line(some[0])}: means of 2") for text in texts)


@pytest.mark.slow
def test_names_are_shown_in_figures_of_sweeps():
    names = [name for name in LABELS + UNSEEN if "\n" not in name]
    for some in (names[i : i + 9] for i in range(0, len(names), 9)):
        texts = in_svg(sweep_plots.plot_effects(option_effects(totals_of(some))))
        is_shown("\n".join(texts), [*some, "$x$", "[y]", "[option]$o$"])
        table = paired_differences(totals_of(some), some[0])
        texts = in_svg(sweep_plots.plot_differences(table, baseline=some[0]))
        assert any(f"from {some[0]}, paired by replicate" in text for text in texts)
        is_shown("\n".join(texts), some[1:])


@pytest.mark.slow
def test_a_plan_of_such_labels_is_printed_and_written(tmp_path: Path):
    names = [name for name in LABELS + UNSEEN if name.strip() == name]
    rows = {"state": names, "action": ["[iv]fluid", "[po]fluid", "[/x]"] * 9, "reward": 1.0}
    table = pd.DataFrame(rows).assign(next_state=np.roll(names, -1), **{"[left]": "x", ":fire:": "y"})
    table.to_csv(tmp_path / "[log]:fire:.csv", index=False)
    arguments = ["plan", str(tmp_path / "[log]:fire:.csv"), "--draws", "5", "--out", str(tmp_path)]
    finished = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "300"})
    assert finished.exit_code == 0, finished.exception
    assert "[left], :fire:" in finished.stdout
    assert f"{tmp_path}/[log]:fire:.csv" in finished.stdout
    is_shown(finished.stdout, ["[iv]fluid", "[po]fluid", "[/x]"])
    written = pd.read_csv(tmp_path / "[log]:fire:-plan.csv", keep_default_na=False)
    assert set(written["state"]) == set(names)
