"""Pictures of plans hold the numbers of the plan, and say what they show."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

import bayesmdp as bm
from bayesmdp.logs.read_log import read_log
from bayesmdp.offline.plan_log import plan_log
from bayesmdp.reports.figures import INK, svg_figure
from bayesmdp.results.plan_parts import LABEL
from tests.offline.test_plan_log import CORRIDOR


@pytest.fixture(scope="module")
def lake():
    log = bm.collect(bm.environments.frozen_lake(), policy="uniform", steps=1_500, seed=1)
    return plan_log(log, discount=0.9, draws=40)


def axes():
    """Axes that pyplot does not know of."""
    return Figure(layout="constrained").subplots()


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_the_policy_is_framed_and_tries_are_written(lake):
    ax = bm.plot_policy(lake, axes())
    assert ticks(ax.xaxis) == ["left", "down", "right", "up"]
    policy = lake.policy
    states = [int(label) for label in ticks(ax.yaxis)]
    assert states == policy["state"].values[~policy["terminal"] & (policy["tried"] > 0)].tolist()
    cells, frames = ax.collections
    numbers = {(text.get_position()): text for text in ax.texts}
    for row, state in enumerate(states):
        own = policy.sel(state=state)
        column = ticks(ax.xaxis).index(str(own["action"].values))
        assert numbers[column, row].get_text() == str(int(own["tried"]))
        assert numbers[column, row].get_fontweight() == "bold"
    assert len(frames.get_paths()) == len(states)
    total = sum(int(text.get_text()) for text in numbers.values())
    assert total == 1_500 and len(cells.get_paths()) == len(numbers)


def test_only_the_states_visited_most_are_shown(lake):
    shown = [int(label) for label in ticks(bm.plot_policy(lake, axes(), most=3).yaxis)]
    visits = lake.policy["visits"].where(~lake.policy["terminal"], -1).values
    assert set(shown) == set(np.argsort(-visits, kind="stable")[:3].tolist()) and shown == sorted(shown)


def test_fans_hold_quantiles_and_medians():
    draws = {"new": np.arange(101.0), "old": np.zeros(5)}
    ax = bm.plot_value(draws, axes())
    widths = [bar.get_width() for bar in ax.patches[:3]]
    assert widths == pytest.approx([95, 80, 50])
    assert [line.get_xdata()[0] for line in ax.get_lines()] == [50, 0]
    with pytest.raises(ValueError, match="the values of 'bad' must be finite"):
        bm.plot_value({"bad": [np.nan]}, axes())


def test_a_plan_is_beside_today(lake):
    ax = bm.plot_value(lake, axes())
    assert ticks(ax.yaxis) == ["plan", "today's policy"]
    medians = [line.get_xdata()[0] for line in ax.get_lines()]
    assert medians == pytest.approx([float(lake.tree["at_start"][name].median()) for name in ("value", "today")])


def test_the_gain_is_a_histogram_with_its_bound(lake):
    ax = bm.plot_gain(lake, axes())
    bars = [bar for bar in ax.patches if bar.get_height()]
    assert sum(bar.get_height() for bar in bars) == pytest.approx(100)
    gain = (lake.tree["at_start"]["value"] - lake.tree["at_start"]["today"]).values
    losses = sum(bar.get_height() for bar in bars if bar.get_hatch())
    assert losses == pytest.approx(100 * (gain < 0).mean())
    at = sorted(line.get_xdata()[0] for line in ax.get_lines())
    assert at == pytest.approx(sorted([0, lake.gain]))


def test_a_gain_that_is_sure_can_be_seen(lake):
    tree = lake.tree.copy(deep=True)
    told = tree["at_start"].to_dataset()
    tree["at_start"] = xr.DataTree(told.assign(today=told["value"] - 5))
    tree.attrs["initial_gain_bound"] = 5.0
    ax = bm.plot_gain(tree)
    least, most = ax.get_xlim()
    (bar,) = [bar for bar in ax.patches if bar.get_height() > 0]
    assert bar.get_width() > (most - least) / 150 and bar.get_x() <= 5 <= bar.get_x() + bar.get_width()


@pytest.mark.parametrize("place", [-0.5, 0.1, 0.3, 0.5, 0.6, 0.66, 0.7, 0.8, 1.0])
def test_words_beside_the_lines_of_a_gain_do_not_meet(lake, place):
    tree = lake.tree.copy()
    value = np.linspace(0.9 * place, 1.0, 100)
    told = xr.Dataset({"value": ("sample", value), "today": ("sample", 0 * value)})
    tree["at_start"], tree.attrs["initial_gain_bound"] = xr.DataTree(told), place
    figure = Figure(figsize=(5, 2.5), layout="constrained")  # as in a report
    ax = bm.plot_gain(tree, figure.subplots())
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert len(boxes) == 1 or not boxes[0].padded(15).overlaps(boxes[1])  # browsers have wider letters


def test_every_bar_left_of_nothing_gained_is_hatched(lake):
    tree = lake.tree.copy(deep=True)
    value = np.linspace(-0.31, 0.69, 100)
    told = xr.Dataset({"value": ("sample", value), "today": ("sample", 0 * value)})
    for bound in (0.1, -0.2):
        tree["at_start"], tree.attrs["initial_gain_bound"] = xr.DataTree(told), bound
        bars = bm.plot_gain(tree, axes()).patches
        hatched = [bar.get_hatch() == "////" for bar in bars]
        assert hatched == [bar.get_x() + bar.get_width() / 2 < 0 for bar in bars] and sum(hatched) == 5


def test_losses_are_hatched(lake):
    tree = lake.tree.copy()
    tree["at_start"] = tree["at_start"].to_dataset().assign(today=tree["at_start"]["value"] + np.linspace(-1, 2, 40))
    gain = -np.linspace(-1, 2, 40)
    bars = bm.plot_gain(tree, axes()).patches
    losses = sum(bar.get_height() for bar in bars if bar.get_hatch())
    assert losses == pytest.approx(100 * (gain < -1e-12).mean())


def test_transitions_have_the_area_of_their_quantiles(lake):
    from scipy.stats import beta

    ax = bm.plot_transitions(lake, axes())
    light, dark = ax.collections
    rows, columns = ticks(ax.yaxis), [int(label) for label in ticks(ax.xaxis)]
    parameters, policy = lake.tree["parameters"]["transition"], lake.policy
    for collection, level in ((light, 0.95), (dark, 0.05)):
        for path in collection.get_paths():
            low, high = path.get_extents().min, path.get_extents().max
            column, row = np.round((low + high) / 2).astype(int)
            state, _, action = rows[row].partition(": ")
            assert action == str(policy["action"].sel(state=int(state)).values)
            own = parameters.sel(state=int(state), action=action).values
            one = own[columns[column]]
            side = 0.94 * beta(one, own.sum() - one).ppf(level) ** 0.5
            assert high[0] - low[0] == pytest.approx(side, abs=1e-9)
    assert len(light.get_paths()) == len(dark.get_paths()) > 20


def test_the_check_is_drawn_with_its_counts(lake):
    ax, attrs = bm.plot_calibration(lake, axes()), lake.tree.attrs
    assert ticks(ax.yaxis) == ["value, as computed", "value, as reported", "gain, as computed", "gain, as reported"]
    dots = [line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() in ("o", "s")]
    names = ("checked_kept", "checked_kept_lowered", "gain_checked_kept", "gain_checked_kept_lowered")
    assert dots == pytest.approx([100 * attrs[name] / 40 for name in names])


def test_a_grid_has_arrows_and_crosses(lake):
    ax = bm.plot_grid(lake, (4, 4), axes())
    arrows = {text.get_position(): text.get_text() for text in ax.texts if text.get_text() in "←↓→↑"}
    names = dict(zip("←↓→↑", ("left", "down", "right", "up"), strict=True))
    for state in range(16):
        own, place = lake.policy.sel(state=state), (state % 4, state // 4 - 0.12)
        assert (place in arrows) == (not bool(own["terminal"]))
        if place in arrows:
            assert names[arrows[place]] == str(own["action"].values)
    with pytest.raises(ValueError, match="needs 15 states; the policy has 16"):
        bm.plot_grid(lake, (3, 5), axes())
    solved = bm.solve(bm.environments.frozen_lake(discount=0.9))
    assert len(bm.plot_grid(solved, (4, 4), axes()).texts) == 2 * 11


def test_what_is_no_plan_is_refused(lake):
    for plot in (bm.plot_policy, bm.plot_gain, bm.plot_transitions, bm.plot_calibration):
        with pytest.raises(TypeError, match=r"plan must be what bm\.plan_log returns"):
            plot(lake.policy, axes())


def test_what_is_not_known_is_said_and_not_drawn():
    log = read_log(CORRIDOR.assign(truncated=[False, False, True] * 6))
    alone = plan_log(log, discount=0.5, draws=10, calibration=0, baseline="none")
    with pytest.raises(ValueError, match="was not compared with today's policy"):
        bm.plot_gain(alone, axes())
    with pytest.raises(ValueError, match="were not checked: the check was switched off"):
        bm.plot_calibration(alone, axes())


def test_labels_of_any_kind_are_drawn_as_they_are():
    names = {"a": "<b>$x$</b>", "b": "y" * 100, "c": " "}
    table = CORRIDOR.replace(names).assign(truncated=[False, False, True] * 6)
    report = plan_log(read_log(table), discount=0.5, draws=10, calibration=0)
    svg = svg_figure("policy", lambda ax: bm.plot_policy(report, ax), width=4, height=2, title='"quoted"')
    assert "&lt;b&gt;$x$&lt;/b&gt;" in svg and "y" * (LABEL - 1) + "…" in svg and "y" * LABEL not in svg
    assert 'aria-label="&quot;quoted&quot;"' in svg and INK not in svg and "<b>" not in svg


def test_drawing_for_a_page_leaves_no_trace():
    before = dict(matplotlib.rcParams)
    svg_figure("one", lambda ax: ax.text(0, 0, "word"), width=2, height=2, title="A word")
    assert dict(matplotlib.rcParams) == before
    assert not plt.get_fignums()


def test_a_log_of_one_row_has_pictures():
    table = pd.DataFrame(
        [("a", "go", 1.0, "b", True)], columns=["state", "action", "reward", "next_state", "terminated"]
    )
    report = plan_log(read_log(table), discount=0.5, draws=10, calibration=0)
    for plot in (bm.plot_policy, bm.plot_value, bm.plot_gain, bm.plot_transitions):
        plot(report, axes())
