"""``bayesmdp compare SOURCE --until-decided``: add replicates to a comparison until it is decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich.box
import typer
from rich.table import Table

from bayesmdp.cli.messages import say
from bayesmdp.foundation.validation import number
from bayesmdp.foundation.visible_text import one_line
from bayesmdp.studies import STUDIES

if TYPE_CHECKING:
    import pandas as pd

    from bayesmdp.results.sequential import Looks
    from bayesmdp.sweeps import Sweep

__all__ = ["compare_until_decided"]


def compare_until_decided(
    source: Path,
    *,
    baseline: str | None,
    quantity: str,
    confidence: float,
    out: Path | None,
    replicates: int | None,
    every: int,
    tune: int | None,
    run: Mapping[str, int | None],
    workers: int | None,
    running: Callable[[Path], AbstractContextManager[Any]],
) -> None:
    """Run what is needed, and print and write the table of decisions.

    Parameters
    ----------
    source : Path
        A sweep file, the name of a sweep or of a study, or a store or results file, to which nothing can be added.
    baseline : str, optional
    quantity : str
    confidence : float
        One less the probability of any false claim.
    out : Path, optional
        Folder of the table.
    replicates : int, optional
        At most.
    every : int
        From one look to the next.
    tune : int, optional
        Runs of each agent by which its options are chosen first.
    run : mapping
        ``steps`` and ``seed``, None for those of the source.
    workers : int, optional
    running : callable
        From a store's path to a context that tells of its runs.

    Raises
    ------
    ValueError, KeyError, TypeError, OSError
        The user's mistakes.
    """
    from bayesmdp.cli.comparison_tables import decision_table
    from bayesmdp.cli.console import make_console
    from bayesmdp.results.sequential import Looks

    options: dict[str, Any] = {"every": every, "level": 1 - number("confidence", confidence, above=0, below=1)}
    sweep = _sweep_of(source, replicates=replicates, **run)
    if sweep is None:
        if tune is not None:
            raise ValueError(f"--tune chooses from the grid of a sweep file, and {source} is not one")
        stem, folder = source.stem, out or source.parent
        decisions, looks = _by_what_is_there(source, replicates, options, run["steps"], quantity, baseline)
    else:
        stem = str(source).replace("/", "-") if str(source) in STUDIES else source.stem
        store = Path("results" if out is None else out) / f"{stem}.zarr"
        if tune is not None:
            sweep = _tuned(sweep, store.with_name(f"{stem}-tuning.zarr"), tune, quantity, workers, running)
            stem = f"{stem}-tuned"
            store = store.with_name(f"{stem}.zarr")
        folder, looks = store.parent, Looks(replicates=sweep.count, **options)
        decisions = _by_running(sweep, store, looks, quantity, baseline, workers, running)
    make_console().print(decision_table(decisions, quantity, looks.replicates, looks.level))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-decisions.csv"
    decisions.to_csv(path)
    typer.echo(f"table    {path}")


def _sweep_of(source: Path, **changes: int | None) -> Sweep | None:
    """The sweep that the source names; None for a store or a file of results."""
    from bayesmdp.sweeps import Sweep, read_sweep_file, shipped_sweeps

    if str(source) in STUDIES:
        told: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
        return Sweep(str(source), **told)
    path = shipped_sweeps().get(str(source), source)
    return read_sweep_file(path, **changes) if path.suffix == ".toml" else None


def _tuned(
    sweep: Sweep,
    store: Path,
    runs: int,
    quantity: str,
    workers: int | None,
    running: Callable[[Path], AbstractContextManager[Any]],
) -> Sweep:
    """The sweep with the options that did best, and what was tried."""
    from bayesmdp.cli.console import make_console
    from bayesmdp.sweeps import tune

    say(f"{sweep.base.title}: choosing options with {runs} runs of each agent")
    with running(store) as told:
        chosen, tried = tune(
            sweep, store, runs=runs, quantity=quantity, workers=workers, on_begin=told.begin, on_chunk=told.count
        )
    make_console().print(_tried_table(tried, quantity))
    return chosen


def _tried_table(tried: pd.DataFrame, quantity: str) -> Table:
    """Lay out what was tried of each agent's options, the chosen setting in bold."""
    caption = f"mean {quantity} of the settings tried; the best of each agent (bold) is compared in new runs"
    framed = Table(caption=caption, caption_justify="left", box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name, justify in {"setting": "left", "mean": "right", "runs": "right", "": "left"}.items():
        framed.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for setting, row in tried.iterrows():
        cells = (one_line(str(setting)), f"{row['mean']:,.4g}", str(row["runs"]), "chosen" if row["chosen"] else "")
        framed.add_row(*cells, style="bold" if row["chosen"] else "")
    return framed


def _by_running(
    sweep: Sweep,
    store: Path,
    looks: Looks,
    quantity: str,
    baseline: str | None,
    workers: int | None,
    running: Callable[[Path], AbstractContextManager[Any]],
) -> pd.DataFrame:
    from bayesmdp.results.sequential import undecided_settings
    from bayesmdp.sweeps import run_until_decided

    cells = len(list(sweep.cells()))
    say(f"{sweep.base.title}: {cells} settings, at most {looks.replicates} replicates each, {looks.every} at a time")

    def on_look(count: int, decisions: pd.DataFrame) -> None:
        told.end()
        left = undecided_settings(decisions)
        decided = int((decisions["decision"] != "undecided").sum())
        say(f"after {count} replicates: {decided} of {len(decisions)} pairs decided, {len(left)} settings continue")

    with running(store) as told:
        return run_until_decided(
            replace(sweep, replicates=looks.replicates),
            store,
            looks=looks,
            baseline=baseline,
            quantity=quantity,
            workers=workers,
            on_begin=told.begin,
            on_chunk=told.count,
            on_look=on_look,
        )


def _by_what_is_there(
    source: Path,
    replicates: int | None,
    options: dict[str, Any],
    steps: int | None,
    quantity: str,
    baseline: str | None,
) -> tuple[pd.DataFrame, Looks]:
    """The same rule by the runs of a store or a file, looked at in their order."""
    from bayesmdp.results.comparison import final_totals
    from bayesmdp.results.sequential import Looks, sequential_decisions

    totals = final_totals(source, quantity=quantity, steps=steps)
    held = totals.shape[1] // options["every"] * options["every"]
    looks = Looks(replicates=replicates or max(held, options["every"]), **options)
    return sequential_decisions(totals, looks, baseline=baseline), looks
