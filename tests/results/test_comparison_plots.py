"""Pictures of sweeps show the numbers of their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesmdp.results.comparison import option_effects, paired_differences, settings_table
from bayesmdp.results.comparison_plots import plot_differences, plot_effects
from tests.results.test_comparison import grid, pick


def test_a_heat_map_a_problem_with_the_shares_in_it() -> None:
    table = paired_differences(grid(), "PSRL")
    figure = plot_differences(table, baseline="PSRL")
    maps = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title(loc="left") for ax in maps] == ["discount 0.9", "discount 0.99"]
    assert (maps[0].get_xlabel(), maps[0].get_ylabel()) == ("scale", "rate")
    for ax, discount in zip(maps, (0.9, 0.99), strict=True):
        shown = np.asarray(ax.images[0].get_array())
        for i, rate in enumerate((0.1, 0.2)):
            for j, scale in enumerate((1, 2, 4)):
                row = pick(table, "AQ", discount, scale, rate)
                np.testing.assert_allclose(shown[i, j], row["relative"].iloc[0])
        dots = set(zip(*(axis.tolist() for axis in ax.lines[0].get_data()), strict=True))
        sure = table[table["significant"]].reset_index()
        sure = sure[sure["discount"] == discount]
        wanted = {
            (float([1, 2, 4].index(s)), float([0.1, 0.2].index(r)))
            for s, r in zip(sure["scale"], sure["rate"], strict=True)
        }
        assert {(float(x), float(y)) for x, y in dots} == wanted
    assert f"{int(table['significant'].sum())} of 12" in figure.get_suptitle().replace("\n", " ")


def test_too_many_heat_maps_are_refused() -> None:
    totals = grid()
    many = totals.copy()
    many.index = many.index.set_levels([0.9, 0.99], level="discount")
    wide = np.concatenate([many.to_numpy()] * 7)

    index = [(*place, kind) for kind in range(7) for place in totals.index]
    table = pd.DataFrame(wide, pd.MultiIndex.from_tuples(index, names=[*totals.index.names, "kind"]))
    table.attrs["problem"] = ["discount", "kind"]
    with pytest.raises(ValueError, match="14 heat maps to draw, more than 12"):
        plot_differences(paired_differences(table, "PSRL"), baseline="PSRL")


def test_few_settings_are_points_with_their_intervals() -> None:
    totals = pick(grid(), "PSRL")

    both = pd.concat([totals, (totals * 1.1).rename(index={"PSRL": "other"})])
    both.attrs = totals.attrs
    table = paired_differences(both, "PSRL")
    figure = plot_differences(table, baseline="PSRL")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["other, discount 0.9", "other, discount 0.99"]
    shown = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(sorted(shown), sorted(table["difference"]))


def test_effects_have_a_row_a_problem_and_a_level_for_who_has_no_options() -> None:
    totals = grid()
    effects = option_effects(totals)
    figure = plot_effects(effects, settings_table(totals))
    assert len(figure.axes) == 4
    assert [ax.get_xlabel() for ax in figure.axes[2:]] == ["scale", "rate"]
    first = figure.axes[0]
    means = pick(effects, 0.9, "AQ", "scale")["mean"]
    np.testing.assert_allclose(np.asarray(first.containers[0].lines[0].get_ydata(), float), means)
    level = [line for line in first.lines if line.get_label() == "PSRL"]
    np.testing.assert_allclose(level[0].get_ydata(), pick(totals, "PSRL", 0.9).mean(axis=1).iloc[0])
