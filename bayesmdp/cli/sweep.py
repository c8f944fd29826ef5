"""``bayesmdp sweep FILE``, ``bayesmdp compare STORE`` and ``bayesmdp export STORE``."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesmdp.cli.messages import fail, say
from bayesmdp.foundation.text_values import json_or_text

if TYPE_CHECKING:
    import pandas as pd

    from bayesmdp.cli.progress import Progress

__all__ = ["compare", "export", "sweep"]

SHOWN = 10
FEW = 32
"""Settings of which all pairs are compared unasked."""


class Correction(StrEnum):
    """How p-values are corrected for many comparisons."""

    HOLM = "holm"
    BH = "bh"
    NONE = "none"


class Test(StrEnum):
    """Which test of paired differences."""

    T = "t"
    WILCOXON = "wilcoxon"


def sweep(
    file: Annotated[Path, typer.Argument(help="A TOML file, or the name of a sweep from `bayesmdp list`.")],
    out: Annotated[Path | None, typer.Option(help="The store; by default results/NAME.zarr.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default threads, one per core.")] = None,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Scheduler of a Dask cluster to run on.")] = None,
    replicates: Annotated[
        int | None, typer.Option(min=1, help="Replaces the value in the file; can be raised later.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Replaces the value in the file; can be raised later.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces the value in the file.")] = None,
) -> None:
    """Run a study over a grid of settings; the same command continues where it stopped."""
    if workers is not None and dask is not None:
        fail("--workers are processes on this machine, and --dask has its own; give only one of them")
    from bayesmdp.sweeps import read_sweep_file, run_sweep, shipped_sweeps

    path = shipped_sweeps().get(str(file), file)
    if not path.is_file():
        names = ", ".join(shipped_sweeps())
        fail(f"no sweep file {path}; the named sweeps are {names}")
    store = out or Path("results") / f"{path.stem}.zarr"

    with _mistakes():
        chosen = read_sweep_file(path, replicates=replicates, steps=steps, seed=seed)
    cells = list(chosen.cells())
    say(f"{chosen.base.title}: {len(cells)} settings, {chosen.count} replicates each")
    with _interruptible(store) as told, _mistakes():
        begin = partial(told.begin, wanted=len(cells) * chosen.count)
        run_sweep(chosen, store, workers=workers, client=dask, on_begin=begin, on_chunk=told.count)
    typer.echo(f"store    {store}\ncompare  bayesmdp compare {store}")
    typer.echo(f'open     xarray.open_datatree("{store.as_posix()}")')


def compare(
    source: Annotated[Path, typer.Argument(help="A sweep's store, or a results file of `bayesmdp run`.")],
    baseline: Annotated[
        str | None, typer.Option(help="AGENT or AGENT,OPTION=VALUE,...; by default the first of several agents.")
    ] = None,
    quantity: Annotated[str, typer.Option(help="Quantity that is summed over a run.")] = "regret",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Sum over this many steps; by default over the steps that all runs have.")
    ] = None,
    correction: Annotated[
        Correction, typer.Option(help="Correction of p-values for multiple comparisons.")
    ] = Correction.HOLM,
    test: Annotated[Test, typer.Option(help="Test of the paired differences.")] = Test.T,
    confidence: Annotated[float, typer.Option(help="Confidence level of intervals and decisions.")] = 0.95,
    out: Annotated[Path | None, typer.Option(help="Folder for tables and figures; by default the source's.")] = None,
    until_decided: Annotated[
        bool,
        typer.Option("--until-decided", help="Add replicates to a sweep file or study until all pairs are decided."),
    ] = False,
    replicates: Annotated[
        int | None, typer.Option(min=1, help="With --until-decided: the most replicates, instead of the file's number.")
    ] = None,
    every: Annotated[
        int | None, typer.Option(min=1, help="With --until-decided: replicates between interim looks; 8 by default.")
    ] = None,
    tune: Annotated[
        int | None,
        typer.Option(min=1, help="With --until-decided: runs used to choose each agent's options first."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="With --until-decided: replaces the value in the file.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --until-decided: processes, as for `bayesmdp sweep`.")
    ] = None,
) -> None:
    """Compare settings: means with intervals, paired differences, and which are significant."""
    alone = {"replicates": replicates, "every": every, "tune": tune, "seed": seed, "workers": workers}
    given = [name for name, value in alone.items() if value is not None]
    if given and not until_decided:
        fail(f"--{given[0]} can only be used with --until-decided")
    if until_decided:
        if (correction, test) != (Correction.HOLM, Test.T):
            fail("--until-decided has its own test for all pairs and looks: leave out --correction and --test")
        from bayesmdp.cli.until_decided import compare_until_decided

        with _mistakes():
            compare_until_decided(
                source,
                baseline=baseline,
                quantity=quantity,
                confidence=confidence,
                out=out,
                replicates=replicates,
                every=every or 8,
                tune=tune,
                run={"steps": steps, "seed": seed},
                workers=workers,
                running=_interruptible,
            )
        return
    from bayesmdp.cli.comparison_tables import difference_table, effect_table, setting_table
    from bayesmdp.cli.console import make_console
    from bayesmdp.results import comparison

    with _mistakes():
        totals = comparison.final_totals(source, quantity=quantity, steps=steps)
        finished = int(totals.notna().to_numpy().sum())
        if not finished:
            fail(f"{source} contains no finished run yet")
        table = comparison.settings_table(totals, confidence=confidence)
        problem = totals.attrs.get("problem", [])
        baseline = baseline or _default_baseline(totals, problem)
        differences = None
        if baseline is not None:
            options: Any = {"correction": correction.value, "test": test.value, "confidence": confidence}
            differences = comparison.paired_differences(totals, baseline, **options)
        options_of = totals.index.to_frame(index=False).drop(columns="agent")
        swept = [name for name in options_of if options_of[name].nunique() > 1]
        # Where nothing but the problem is swept, it is that which has effects.
        by = problem if set(swept) - set(problem) else []
        effects = comparison.option_effects(totals, by=by, confidence=confidence) if swept else None
        robust, profiles = _robust(totals, quantity, confidence)
    console = make_console()
    console.print(setting_table(table, quantity, SHOWN, confidence, robust))
    if finished < totals.size:
        console.print(f"{totals.size - finished:,} of {totals.size:,} runs are not finished")
    if effects is not None:
        console.print(effect_table(effects, quantity, confidence))
    if differences is not None:
        assert baseline is not None
        console.print(difference_table(differences, baseline, correction.value, SHOWN, confidence))
    else:
        console.print(
            "use --baseline AGENT,OPTION=VALUE,... to compare all settings with one of them, replicate by replicate"
        )
    folder = out or source.parent
    tables = {"totals": totals, "settings": table, "effects": effects, "differences": differences, "robust": robust}
    for path in _tables(folder, source.stem, tables):
        typer.echo(f"table    {path}")
    with _mistakes():
        for path in _figures(folder, source.stem, quantity, table, effects, differences, baseline, profiles):
            typer.echo(f"figure   {path}")


def export(
    store: Annotated[Path, typer.Argument(help="A sweep's store.")],
    to: Annotated[Path, typer.Argument(help="The netCDF file to write.")],
    agents: Annotated[str | None, typer.Option(metavar="A,B", help="Only these agents.")] = None,
    select: Annotated[
        list[str] | None, typer.Option(metavar="OPTION=VALUE", help="Only this value or list of values; repeatable.")
    ] = None,
) -> None:
    """Write a part of a sweep to a netCDF file."""
    from bayesmdp.sweeps import export as write

    wanted = {}
    for text in select or []:
        name, equals, value = text.partition("=")
        if not (equals and name and value):
            fail(f"--select {text!r} is not OPTION=VALUE, such as discount=0.99 or scale=[1,2]")
        wanted[name] = json_or_text(value)
    with _mistakes():
        write(store, to, agents=None if agents is None else agents.split(","), select=wanted)
    typer.echo(f"written  {to}")


def _default_baseline(totals: pd.DataFrame, problem: Sequence[str]) -> str | None:
    """The first agent that has one setting in each problem, if there are others."""
    table = totals.index.to_frame(index=False)
    for agent, own in table.groupby("agent", sort=False):
        if len(own) < len(table) and not own.duplicated(["agent", *problem]).any():
            return str(agent)
    return None


class _Told:
    """What is told of a sweep while it runs; a new progress for each time that runs are missing."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.progress: Progress | None = None

    def begin(self, missing: Sequence[Any], wanted: int | None = None) -> None:
        """Tell how many runs there are and are not."""
        from bayesmdp.cli.progress import Progress

        self.end()
        expected: Counter[str] = Counter()
        for chunk in missing:
            expected[chunk.cell.agent] += len(chunk.replicates)
        there = 0 if wanted is None else wanted - expected.total()
        if there:
            say(f"{self.store} already contains {there:,} of {wanted:,} runs")
        if missing:
            self.progress = Progress(expected)
            self.progress.__enter__()

    def count(self, chunk: Any) -> None:
        """Count a chunk that is stored."""
        assert self.progress is not None
        self.progress.count(chunk.cell.agent, len(chunk.replicates))

    def end(self) -> None:
        """Take the bars away."""
        if self.progress is not None:
            self.progress.__exit__()
        self.progress = None


@contextmanager
def _interruptible(store: Path) -> Iterator[_Told]:
    """Tell of a sweep while it runs, and stop at once when asked to."""
    told = _Told(store)

    def stop(*_: Any) -> None:
        # At once: what is stored is whole, workers end with this process, and nobody waits for what they had begun.
        try:
            told.end()
            message = f"Interrupted: finished runs are in {store}; run the same command again to continue.\n"
            os.write(sys.stderr.fileno(), message.encode())
        finally:
            os._exit(130)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        told.end()


@contextmanager
def _mistakes() -> Iterator[None]:
    """Tell the user's mistakes in one line."""
    from bayesmdp.sweeps import WorkerError

    try:
        yield
    except (ImportError, ValueError, TypeError, KeyError, OSError, WorkerError) as error:
        fail(str(error.args[0] if isinstance(error, KeyError) and error.args else error))


def _robust(totals: pd.DataFrame, quantity: str, confidence: float) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Interquartile means, ranks and profiles of few settings with some runs each."""
    from bayesmdp.results.robust import performance_profiles, robust_summary

    whole = totals.dropna(axis=1)
    if not 2 <= len(totals) <= FEW or whole.shape[1] < 4:
        return None, None
    best: Any = "highest" if quantity == "reward" else "lowest"
    return robust_summary(totals, best=best, confidence=confidence), performance_profiles(totals, confidence=confidence)


def _tables(folder: Path, stem: str, tables: dict[str, pd.DataFrame | None]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in tables.items():
        if table is not None:
            written.append(folder / f"{stem}-{name}.csv")
            table.to_csv(written[-1])
    return written


def _figures(
    folder: Path,
    stem: str,
    quantity: str,
    table: pd.DataFrame,
    effects: pd.DataFrame | None,
    differences: pd.DataFrame | None,
    baseline: str | None,
    profiles: pd.DataFrame | None,
) -> Iterator[Path]:
    from matplotlib.figure import Figure

    from bayesmdp.results.comparison_plots import plot_differences, plot_effects

    blank: Any = {"layout": "constrained"}
    if effects is not None:
        figure = plot_effects(effects, table, quantity=quantity, figure=Figure(**blank))
        figure.savefig(folder / f"{stem}-effects.png", dpi=150)
        yield folder / f"{stem}-effects.png"
    if differences is not None and baseline is not None:
        figure = plot_differences(differences, baseline=baseline, quantity=quantity, figure=Figure(**blank))
        figure.savefig(folder / f"{stem}-differences.png", dpi=150)
        yield folder / f"{stem}-differences.png"
    if profiles is not None:
        from bayesmdp.results.profile_plots import plot_profiles

        figure = Figure(**blank)
        plot_profiles(profiles, quantity=quantity, figure=figure)
        figure.savefig(folder / f"{stem}-profiles.png", dpi=150)
        yield folder / f"{stem}-profiles.png"
