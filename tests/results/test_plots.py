"""Pictures hold the numbers of the analysis, and say what they show."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from bayesmdp.results import analysis, plots
from tests.synthetic import synthetic_result


@pytest.fixture(scope="module")
def result() -> xr.DataTree:
    return synthetic_result(4, steps=100)


def labels_of(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(
    ("plot", "analyse"),
    [(plots.plot_regret, analysis.regret_curve), (plots.plot_reward, analysis.moving_average_reward)],
)
def test_curves_hold_the_numbers_of_the_analysis(result: xr.DataTree, plot, analyse) -> None:  # type: ignore[no-untyped-def]
    ax, curve = plot(result), analyse(result)
    names = result["agent"].values.tolist()
    assert [line.get_label() for line in ax.get_lines()] == names
    assert sorted(labels_of(ax)) == sorted(names)
    assert len(ax.collections) == len(names)
    for i, (line, band) in enumerate(zip(ax.get_lines(), ax.collections, strict=True)):
        np.testing.assert_array_equal(line.get_xdata(), curve["step"])
        np.testing.assert_array_equal(line.get_ydata(), curve["mean"][i])
        edges = band.get_paths()[0].vertices[:, 1]
        assert edges.min() == pytest.approx(float(curve["lower"][i].min()), abs=1e-12)
        assert edges.max() == pytest.approx(float(curve["upper"][i].max()), abs=1e-12)
    assert ax.get_xlabel() == "step"


def with_robustness(result: xr.DataTree) -> xr.DataTree:
    rng = np.random.default_rng(0)
    root = result.to_dataset()
    root["robust_regret"] = root["regret"] - 3 * rng.random(root["regret"].shape)
    values = rng.random((root.sizes["agent"], root.sizes["replicate"], 4)).cumsum(-1)
    root["quantile_value"] = ("agent", "replicate", "checkpoint"), values
    root = root.assign_coords(checkpoint=[25, 50, 75, 100])
    return xr.DataTree(root.assign_attrs(robust='{"level": 0.1}'))


def test_robustness_is_drawn_where_it_was_measured(result: xr.DataTree) -> None:
    both = with_robustness(result)
    ax = plots.plot_regret(both, quantity="robust_regret")
    curve = analysis.regret_curve(both, quantity="robust_regret")
    for i, line in enumerate(ax.get_lines()):
        np.testing.assert_array_equal(line.get_ydata(), curve["mean"][i])
    assert ax.get_title(loc="left") == "Cumulative robust regret (lower is better)"
    ax = plots.plot_quantile_value(both)
    assert "posterior probability 0.9" in ax.get_ylabel()
    assert ax.get_lines()[0].get_xdata().tolist() == [25, 50, 75, 100]
    figure = plots.plot_study(both, figure=Figure())
    assert [ax.get_title(loc="left").split(" (")[0] for ax in figure.subfigs[0].axes] == [
        "Cumulative regret",
        "Moving-average reward",
        "Cumulative robust regret",
        "Posterior quantile value",
    ]
    figure.draw_without_rendering()


def test_an_agent_without_numbers_is_left_out_and_colours_stay(result: xr.DataTree) -> None:
    both = with_robustness(result)
    both["quantile_value"].loc[{"agent": "BRMDP-0.1"}] = np.nan
    ax, all_of_them = plots.plot_quantile_value(both), plots.plot_regret(both)
    assert [line.get_label() for line in ax.get_lines()] == ["PSRL", "BRMDP-0.3", "BRMDP-0.5"]
    colour = {line.get_label(): line.get_color() for line in all_of_them.get_lines()}
    assert all(line.get_color() == colour[line.get_label()] for line in ax.get_lines())
    assert {text.get_text(): text.get_color() for text in ax.texts} == {
        line.get_label(): line.get_color() for line in ax.get_lines()
    }


def test_axes_say_quantity_unit_and_window(result: xr.DataTree) -> None:
    assert "units of reward" in plots.plot_regret(result).get_ylabel()
    assert "mean of the last 25 steps" in plots.plot_reward(result, window=25).get_ylabel()


def test_one_replicate_has_no_band_and_the_figure_says_so() -> None:
    result = synthetic_result(2, replicates=1)
    assert not plots.plot_regret(result).collections
    figure = plots.plot_study(result)
    assert any("1 replicate, so no bands" in text.get_text() for part in figure.subfigs for text in part.texts)


def test_given_axes_are_used_and_nothing_else_is_made(result: xr.DataTree) -> None:
    import matplotlib.pyplot as plt

    ax = Figure().subplots()
    assert plots.plot_regret(result, ax) is ax
    assert plots.plot_reward(result, ax=ax) is ax
    assert plots.plot_study(result, figure=(figure := Figure())) is figure
    assert not plt.get_fignums()


@pytest.mark.parametrize("count", range(1, 9))
def test_labels_do_not_overlap_and_colours_differ(count: int) -> None:
    figure = plots.plot_study(synthetic_result(count, steps=60, replicates=3), figure=Figure())
    figure.draw_without_rendering()
    left, right = figure.subfigs[0].axes
    for ax in (left, right):
        boxes = sorted((Text.get_window_extent(text) for text in ax.texts), key=lambda box: box.y0)
        for below, above in pairwise(boxes):
            assert below.y0 + 0.7 * below.height <= above.y0
    drawn = [colors.to_rgb(line.get_color()) for line in left.get_lines()]
    assert len(set(drawn)) == count
    assert drawn == [colors.to_rgb(line.get_color()) for line in right.get_lines()]


def test_more_agents_than_colours_differ_by_line_style() -> None:
    ax = plots.plot_regret(synthetic_result([f"agent {i}" for i in range(11)], steps=20, replicates=2))
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.get_lines()}
    assert len(looks) == 11


def test_heat_maps_hold_the_shares(result: xr.DataTree) -> None:
    axes = plots.plot_occupancy(result, bins=10)
    shares = analysis.occupancy(result, bins=10)
    scales = set()
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [str(label) for label in range(6)]
    for i, ax in enumerate(axes):
        mesh = ax.collections[0]
        np.testing.assert_array_equal(np.asarray(mesh.get_array()), shares["occupancy"][i].T)
        np.testing.assert_array_equal(mesh.get_coordinates()[0, :, 0], [0, *shares["stop"].values])
        assert ax.get_title(loc="left") == str(shares["agent"].values[i])
        assert ax.get_yticks().tolist() == list(range(6))
        scales.add((mesh.norm.vmin, mesh.norm.vmax))
    assert scales == {(0, float(shares["occupancy"].max()))}


def test_many_states_have_few_ticks() -> None:
    axes = plots.plot_occupancy(synthetic_result(1, states=100))
    assert len(axes[0].get_yticks()) <= 12


def test_heat_maps_go_into_given_axes(result: xr.DataTree) -> None:
    axes = list(Figure(layout="constrained").subplots(1, 4))
    assert plots.plot_occupancy(result, axes) == axes
    with pytest.raises(ValueError, match="axes must be one an agent, 4; got 3"):
        plots.plot_occupancy(result, axes[:3])


def test_study_has_the_three_panels(result: xr.DataTree) -> None:
    figure = plots.plot_study(result, window=10, bins=5)
    curves, maps = figure.subfigs
    assert [ax.get_title(loc="left").split(" (")[0] for ax in curves.axes] == [
        "Cumulative regret",
        "Moving-average reward",
    ]
    assert [ax.get_title(loc="left") for ax in maps.axes[:4]] == result["agent"].values.tolist()
    assert maps.axes[4].get_ylabel() == "share of time"
    assert "8 replicates" in curves.texts[0].get_text()


def test_settings_are_left_alone(result: xr.DataTree) -> None:
    before = dict(matplotlib.rcParams)
    plots.plot_study(result)
    assert dict(matplotlib.rcParams) == before


def test_bad_results_are_refused() -> None:
    with pytest.raises(TypeError, match="got int"):
        plots.plot_regret(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got int"):
        plots.plot_study(3)  # type: ignore[arg-type]


def test_import_does_not_import_matplotlib() -> None:
    code = "import sys, bayesmdp.results.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
