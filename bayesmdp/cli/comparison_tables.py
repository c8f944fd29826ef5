"""What the command line shows of comparisons: settings, options, differences and decisions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import rich.box
from rich.table import Table

from bayesmdp.foundation.visible_text import one_line

__all__ = ["decision_table", "difference_table", "effect_table", "setting_table"]


def setting_table(
    table: pd.DataFrame, quantity: str, shown: int, confidence: float, robust: pd.DataFrame | None = None
) -> Table:
    """Lay out the best and the worst settings.

    Parameters
    ----------
    table : DataFrame [setting]
        ``mean``, ``lower`` and ``upper``.
    quantity : {"regret", "reward"}
        Of which the most is the best if it is reward.
    shown : int
        The best settings shown; of the worst there are 3.
    confidence : float
        Of the intervals.
    robust : DataFrame [setting], optional
        From :func:`~bayesmdp.results.robust.robust_summary`, whose interquartile means and ranks are then shown too.
    """
    headings = {"mean": f"final\n{quantity}"}
    if robust is not None:
        ends = zip(robust["rank_lower"], robust["rank_upper"], strict=True)
        ranks = [f"{low}" if low == high else f"{low} to {high}" for low, high in ends]
        table = table.assign(iqm=robust["iqm"].to_numpy(), ranks=ranks)
        headings |= {"iqm": "middle\nhalf", "ranks": "rank"}
    ordered = table.dropna(subset="mean").sort_values("mean", ascending=quantity != "reward")
    few = ordered if len(ordered) <= 2 * shown else pd.concat([ordered.head(shown), ordered.tail(3)])
    caption = f"{len(table)} settings" + (f", the best {shown} and the worst 3" if len(few) < len(ordered) else "")
    return _framed(few, headings, caption, confidence)


def effect_table(effects: pd.DataFrame, quantity: str, confidence: float) -> Table:
    """Lay out what each option does on average.

    Parameters
    ----------
    effects : DataFrame [problem, agent, option, value]
        ``mean``, ``lower`` and ``upper``.
    quantity : str
    confidence : float
        Of the intervals.
    """
    return _framed(effects, {"mean": f"mean\n{quantity}"}, "Each option, averaged over all other options", confidence)


def difference_table(table: pd.DataFrame, baseline: str, correction: str, shown: int, confidence: float) -> Table:
    """Lay out the surest differences, and how many there are.

    Parameters
    ----------
    table : DataFrame [setting]
        ``difference``, ``lower``, ``upper``, ``p``, ``p_adjusted`` and ``significant``.
    baseline : str
        What was subtracted.
    correction : {"holm", "bh", "none"}
    shown : int
        Rows, at most.
    confidence : float
        Of the intervals.
    """
    surest = table.sort_values("p", kind="stable")
    parts = [surest[surest["difference"] < 0].head(shown // 2), surest[surest["difference"] >= 0].head(shown // 2)]
    few = pd.concat(parts) if len(table) > shown else surest
    sure = int(table["significant"].sum())
    by = {
        "holm": "after Holm's correction",
        "bh": "after Benjamini and Hochberg's correction",
        "none": "without correction",
    }
    caption = (
        f"Difference from {baseline}, paired by replicate: {sure} of {len(table)} differences are significant at "
        f"{1 - confidence:.2g} {by[correction]}; {int((table['p'] <= 1 - confidence).sum())} without correction"
        + (". Shown: the most certain ones below and above" if len(few) < len(table) else "")
    )
    headings = {"difference": "difference", "p_adjusted": "adjusted\np"}
    return _framed(few, headings, caption, confidence)


def decision_table(decisions: pd.DataFrame, quantity: str, most: int, level: float) -> Table:
    """Lay out which pairs of settings differ, and after how many replicates that was known.

    Parameters
    ----------
    decisions : DataFrame [pair]
        From :func:`~bayesmdp.results.sequential.sequential_decisions`.
    quantity : str
        What was summed.
    most : int
        Replicates that there might have been.
    level : float
        Probability of any false claim.
    """
    told: dict[str, int] = {}
    for pair, count in decisions["replicates"].items():
        for name in pair if isinstance(pair, tuple) else (pair,):
            told[name] = max(told.get(name, 0), int(count))
    counts = decisions["decision"].value_counts()
    caption = (
        f"difference in {quantity}, first minus second, with repeated confidence intervals: the probability of any "
        f"false claim is at most {level:.2g}. {sum(told.values()):,} of {most * len(told):,} runs were needed"
    )
    if counts.get("undecided"):
        caption += f"; {counts['undecided']} pairs are undecided and need more replicates"
    framed = Table(caption=caption, caption_justify="left", box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    pairs = [pair if isinstance(pair, tuple) else (pair,) for pair in decisions.index]
    # Options that both have are told once.
    options = [[one_line(name).split(",") for name in pair] for pair in pairs]
    shared = [",".join(text for text in here if text in there and text != here[0]) for here, there in options]
    headings = {"in": "left", "setting": "left", "against": "left", "difference": "right", "interval": "right"}
    for name, justify in {**headings, "decision": "left", "replicates": "right"}.items():
        if name != "in" or any(shared):
            framed.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for (_, row), sides, where in zip(decisions.iterrows(), options, shared, strict=True):
        names = [",".join(text for text in side if text not in where.split(",")) for side in sides]
        bounded = pd.notna(row["lower"]) and np.isfinite(row["lower"])
        interval = f"{_rounded(row['lower'])} to {_rounded(row['upper'])}" if bounded else ""
        difference = _rounded(row["difference"]) if pd.notna(row["difference"]) else ""
        cells = [*names, difference, interval, row["decision"], str(row["replicates"])]
        framed.add_row(*([where] if any(shared) else []), *cells)
    return framed


def _framed(table: pd.DataFrame, headings: Mapping[str, str], caption: str, confidence: float) -> Table:
    """Settings, then columns of numbers, the first with its interval."""
    framed = Table(caption=caption, caption_justify="left", box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in table.index.names:
        agent = name == "agent"
        framed.add_column(str(name), justify="left" if agent else "right", no_wrap=agent, overflow="fold")
    for i, heading in enumerate(headings.values()):
        framed.add_column(heading, justify="right", no_wrap=True)
        if not i:
            framed.add_column(f"{100 * confidence:g}%\ninterval", justify="right", no_wrap=True)
    for index, row in table.iterrows():
        places = index if isinstance(index, tuple) else (index,)
        cells = [f"{place:.3g}" if isinstance(place, float) else one_line(place) for place in places]
        for i, name in enumerate(headings):
            told = row[name]
            cells.append(told if isinstance(told, str) else f"{told:.2g}" if name == "p_adjusted" else _rounded(told))
            if not i:
                known = pd.notna(row["lower"])
                cells.append(f"{_rounded(row['lower'])} to {_rounded(row['upper'])}" if known else "-")
        framed.add_row(*["-" if cell == "nan" else cell for cell in cells])
    return framed


def _rounded(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
