"""The command ``bayesmdp plan``: options, messages and files. The work is in `bayesmdp.offline.plan_log`."""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesmdp.cli.messages import fail, say
from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.foundation.text_values import json_or_text

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesmdp.offline.report import Report

__all__ = ["plan"]

READING = "Reading the log"


def plan(
    log: Annotated[
        Path,
        typer.Argument(
            help="Logged transitions, one row a step: .csv, .tsv (perhaps .gz), .parquet, .jsonl or .arrow; also a "
            "folder of Parquet files, or a pattern of names."
        ),
    ],
    risk: Annotated[str, typer.Option(help="mean, quantile:LEVEL or cvar:LEVEL.")] = "quantile:0.1",
    baseline: Annotated[
        str,
        typer.Option(
            metavar="log|none|uniform|FILE",
            help="What is done today, to compare with: as the log did, nothing, any action alike, or a CSV with "
            "columns state, action, probability.",
        ),
    ] = "log",
    aim: Annotated[
        str, typer.Option(help="value, or gain: the best gain over the baseline, for which actions may be mixed.")
    ] = "value",
    discount: Annotated[
        float | None, typer.Option(help="Between 0 and 1; 0.99 unless there is a horizon.", show_default=False)
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(min=1, metavar="STEPS", help="Plan for so many steps, by stage, instead of a discount."),
    ] = None,
    prior: Annotated[
        str,
        typer.Option(
            help="auto: the one that the log speaks for; a prior of `bayesmdp list`, or FILE.py:NAME, a model of "
            "`data` or a function of the MDP."
        ),
    ] = "auto",
    pool: Annotated[
        bool, typer.Option("--pool", help="Let rare states learn from neighbouring ones; with --state.")
    ] = False,
    rewards: Annotated[
        str,
        typer.Option(
            help="auto: as the log shows; known, normal, bernoulli, or FILE.py:NAME, of the MDP and a model. With "
            "--continuous a function of states, actions by number and next states."
        ),
    ] = "auto",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of the prior; repeatable.")
    ] = None,
    elsewhere: Annotated[
        str,
        typer.Option(
            help="Next states not seen after a pair: each by itself, their mean or least worth, or none if they cannot "
            "be. auto: each, in problems that are not large."
        ),
    ] = "auto",
    reachable: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of what can happen, with columns state, action (or for all of them, none), next_state."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="STATE|X,Y",
            help="Where episodes start, a state or the numbers of one; by default where those of the log do.",
        ),
    ] = None,
    quantile: Annotated[
        str, typer.Option(help="That of the draws, or exact, from the parameters of Dirichlet rows.")
    ] = "draws",
    draws: Annotated[int, typer.Option(min=1, help="To plan with, and as many others to judge the policy by.")] = 200,
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="The same seed gives the same plan.")] = 0,
    calibration: Annotated[
        bool, typer.Option(help="Check the promise on logs like this one, and lower it until it is kept there.")
    ] = True,
    unit: Annotated[str, typer.Option(help="What rewards are counted in, such as euros, for what is said.")] = "",
    out: Annotated[Path, typer.Option(help="Folder, or file ending in .nc, for the plan.")] = Path("results"),
    report_file: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="A page that explains the plan to who knows the domain."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE.json", help="The same, for programs.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Such as next_state=s2; repeatable.", rich_help_panel=READING),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN:KIND(...)",
            help="States of measurements, such as age:bins(0,40,65,80), lactate:cutoffs(2,4), weight:quantiles(4), "
            "ward:categories(a,b) or ward; repeatable, for combinations.",
            rich_help_panel=READING,
        ),
    ] = None,
    continuous: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Columns of measurements that are the state as they stand, numbers; --next-columns or --episode say "
            "what followed.",
            rich_help_panel=READING,
        ),
    ] = None,
    terminal: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:NAME",
            help="With --continuous: a function of states [..., coordinate], where episodes end.",
            rich_help_panel=READING,
        ),
    ] = None,
    next_columns: Annotated[
        str,
        typer.Option(
            metavar="PATTERN|A=B,...", help="How measurements after the step are called.", rich_help_panel=READING
        ),
    ] = "next_{}",
    end_column: Annotated[
        str | None,
        typer.Option(help="Says how an episode ended, with --state; that is the next state.", rich_help_panel=READING),
    ] = None,
    states: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="All states, in order; or a JSON list.", rich_help_panel=READING),
    ] = None,
    actions: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="All actions, in order; or a JSON list.", rich_help_panel=READING),
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(help="A column that the prior reads as data.NAME; repeatable.", rich_help_panel=READING),
    ] = None,
    reward_range: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Refuse rewards outside.", rich_help_panel=READING)
    ] = None,
    gaps: Annotated[
        str, typer.Option(help="Rows that do not follow on: warn, refuse, cut or allow.", rich_help_panel=READING)
    ] = "warn",
    episode: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Tells episodes apart; a row's next state is then the next row's state, unless there is a column of "
            "next states.",
            rich_help_panel=READING,
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Puts the rows of an episode in order.", rich_help_panel=READING),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="In the place of rewards, with a minus.", rich_help_panel=READING),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Scheduler of a Dask cluster, on which Parquet files are grouped.",
            rich_help_panel=READING,
        ),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(
            metavar="SQL",
            help="Asked of LOG, a file of DuckDB or SQLite, or a Parquet file, which is called log in it.",
            rich_help_panel=READING,
        ),
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Between fields.", rich_help_panel=READING)] = None,
    decimal: Annotated[str, typer.Option(help="Sign in numbers.", rich_help_panel=READING)] = ".",
    encoding: Annotated[str, typer.Option(help="Of text files.", rich_help_panel=READING)] = "utf-8",
) -> None:
    """Make a cautious policy from logged transitions: tables, a file with plan and posterior, a CSV of the policy.

    The log needs the columns state, action, reward and next_state, and should have terminated and truncated. States
    may be made of measurements with --state, or be measurements as they stand with --continuous.
    """
    settings = {name: json_or_text(text) for name, text in _pairs("--set", set_, "concentration=0.1").items()}
    columns = {ours: theirs or None for ours, theirs in _pairs("--column", column, "next_state=s2").items()}
    bounds = None if reward_range is None else _bounds(reward_range)
    measured = {"state": state or None, "next_columns": _next_columns(next_columns), "end_column": end_column}
    if continuous is not None:
        _refuse_of_tables(
            state=state,
            pool=pool,
            states=states,
            covariate=covariate,
            end_column=end_column,
            dask=dask,
            reward_range=reward_range,
        )
    if pool and prior != "auto":
        fail(f"--pool is about the prior by the log, and --prior {prior} is another; give one of them")

    from bayesmdp.logs.log_sources import open_table
    from bayesmdp.offline.plan_log import plan_log
    from bayesmdp.planning.risk_names import risk_from_text

    try:
        risk_from_text(risk)
        path, table = _outputs(log, out)
        pages = _pages(report_file, json_file)
        labels = {"states": _labels(states), "actions": _labels(actions)}
        text = {"separator": separator, "decimal": decimal, "encoding": encoding}
        rows = {"episode": episode, "step": step, "cost": cost, "gaps": gaps}
        # Opened once for both readings below: a text file is looked through, and perhaps unpacked, when it is.
        say(f"reading {log}")
        if dask is not None and query is not None:
            raise ValueError("--dask groups the rows of files, and --query asks a database; give one of them")
        source = log if dask is not None else open_table(log, separator, encoding, decimal, query=query)
        if continuous is None:
            checked = _read(
                source,
                dask,
                columns=columns,
                **measured,
                covariates=covariate or (),
                reward_range=bounds,
                **rows,
                **labels,
                **text,
            )
        else:
            checked = _read_numbers(
                source, continuous, columns=columns, next_columns=measured["next_columns"], **rows, **labels, **text
            )
        report = plan_log(
            checked,
            risk=risk,
            baseline=baseline
            if baseline in ("log", "none", "uniform")
            else _behaviour(Path(baseline), separator, encoding, decimal),
            aim=aim,  # type: ignore[arg-type] # checked there
            discount=discount,
            horizon=horizon,
            prior="pooled" if pool else prior,
            settings=settings,
            rewards=rewards,
            terminal=terminal,
            elsewhere=elsewhere,
            reachable=None if reachable is None else _table("--reachable", reachable, separator, encoding),
            initial=_label(start, checked.attrs["states"]) if continuous is None else _numbers(start),
            quantile=quantile,
            draws=draws,
            seed=seed,
            sample=None
            if continuous is not None
            else _sample(source, checked, columns=columns, reward_range=bounds, **rows, **measured, **text),
            say=say,
            calibration=20 if calibration else 0,
            unit=unit,
        )
        _write(report, path, table)
        if pages:
            _explain(report, pages, log)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        fail(_as_options(str(error)))

    _show(report, path, table)
    for page in pages:
        typer.echo(f"{'json' if page.suffix.lower() == '.json' else 'report':8} {page}")


def _refuse_of_tables(**given: Any) -> None:
    """Refuse options that are about states with labels."""
    for name, value in given.items():
        if value:
            fail(f"--{name.replace('_', '-')} is for states with labels; with --continuous leave it out")


def _read_numbers(source: Any, names: str, **options: Any) -> xr.Dataset:
    """The log, its states being numbers, with what it warns of said in terms of the command's options."""
    from bayesmdp.logs.read_log import read_log

    coordinates = [name.strip() for name in names.split(",")]
    with _warnings_said():
        return read_log(source, coordinates=coordinates, **options)


@contextmanager
def _warnings_said() -> Iterator[None]:
    """Say what is warned of in terms of the command's options."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        say(f"bayesmdp: warning: {_as_options(str(warning.message))}")


def _numbers(text: str | None) -> list[float] | None:
    """The numbers of a state."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--start {text!r} is not the numbers of a state, such as 5.5,0.2") from None


def _pages(page: Path | None, content: Path | None) -> list[Path]:
    """The files that explain the plan, refused before anything is computed if they cannot be written."""
    if page is None and content is None:
        return []
    from bayesmdp.reports.write import check_target

    for option, path, suffixes in (("--report", page, (".html", ".htm")), ("--json", content, (".json",))):
        if path is not None and path.suffix.lower() not in suffixes:
            raise ValueError(f"{option} {path} must end in {suffixes[0]}")
    return [check_target(path) for path in (page, content) if path is not None]


def _explain(report: Report, pages: list[Path], log: Path) -> None:
    """Write what the plan tells, with how it was made."""
    from bayesmdp.reports.write import sha256_of, write_report

    say("what the plan tells: other assumptions, and what to collect next")
    command = shlex.join(["bayesmdp", *sys.argv[1:]])
    write_report(report, *pages, command=command, date=date.today().isoformat(), sha256=sha256_of(log))


def _sample(source: Any, log: xr.Dataset, **options: Any) -> xr.Dataset | None:
    """Some episodes of a log that is counted."""
    if "count" not in log:
        return None
    from bayesmdp.logs.sampled_log import sample_log
    from bayesmdp.offline.second_opinion import LARGE

    return sample_log(source, log, LARGE, **options)


def _read(log: Any, dask: str | None, **options: Any) -> xr.Dataset:
    """The log, checked, with what it warns of said in terms of the command's options."""
    from bayesmdp.logs.read_log import read_log

    with _warnings_said():
        return read_log(log, distinct=None, **options) if dask is None else _on_cluster(log, dask, **options)


def _on_cluster(log: Path, address: str, **options: Any) -> xr.Dataset:
    """The log, counted by the workers of a cluster, which read its files themselves."""
    from bayesmdp.foundation.extras import brought_by
    from bayesmdp.logs.read_log import read_log

    with brought_by("dask"):
        import dask.dataframe
        from distributed import Client
    if log.suffix.lower() != ".parquet" and not log.is_dir():
        raise ValueError(f"--dask groups Parquet files, or a folder of these, and {log} is none; leave it out")
    with Client(address):
        frame = dask.dataframe.read_parquet(log)
        return read_log(frame, distinct=True, **options).assign_attrs(source=str(log))


def _show(report: Report, path: Path, table: Path) -> None:
    """Print the tables of a plan, and where it was written."""
    from bayesmdp.cli.console import make_console
    from bayesmdp.cli.tables import plan_told

    console = make_console()
    for part in plan_told(report):
        console.print(part)
    typer.echo(f"plan     {path}\npolicy   {table}")
    typer.echo(f'open     xarray.open_datatree("{path.as_posix()}")')


def _behaviour(path: Path, separator: str | None, encoding: str, decimal: str) -> pd.DataFrame:
    """The table of what is done today."""
    table = _table("--baseline", path, separator, encoding)
    if decimal != "." and "probability" in table:
        table["probability"] = table["probability"].str.replace(decimal, ".")
    return table


def _table(option: str, path: Path, separator: str | None, encoding: str) -> pd.DataFrame:
    """The table of a file that an option names, its labels as they are written."""
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"{option}: no file {path}")
    try:
        return pd.read_csv(path, sep=separator or ",", encoding=encoding, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{option} {path} is no table: {error}") from error


def _pairs(name: str, given: list[str] | None, example: str) -> dict[str, str]:
    pairs = {}
    for text in given or []:
        left, equals, right = text.partition("=")
        if not (left.strip() and equals):
            fail(f"{name} {text!r} is not of the form NAME=VALUE, such as {example}")
        pairs[left.strip()] = right
    return pairs


def _next_columns(text: str) -> str | dict[str, str]:
    """A pattern, or names by the measurement."""
    return text if "{}" in text or "=" not in text else _pairs("--next-columns", text.split(","), "age=age_later")


def _labels(text: str | None) -> list[Any] | None:
    """Labels from a JSON list, or from between commas: numbers if all of them are whole ones."""
    if text is None:
        return None
    listed = json_or_text(text)
    if isinstance(listed, list):
        return listed
    parts = [part.strip() for part in text.split(",")]
    return [int(part) for part in parts] if all(re.fullmatch("0|-?[1-9][0-9]*", part) for part in parts) else parts


def _label(text: str | None, states: Sequence[Any]) -> Any:
    """A state by how it is written."""
    if text is None:
        return None
    written = {str(state): state for state in states}
    if text not in written:
        raise ValueError(f"--start {text!r} is no state of the log; {did_you_mean(text, written)}")
    return written[text]


def _bounds(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        fail(f"--reward-range {text!r} is not LOW,HIGH, such as -1,1")
    return low, high


def _as_options(message: str) -> str:
    """A message that speaks of Python's arguments, speaking of the command's options."""

    def columns(match: re.Match[str]) -> str:
        try:
            named = ast.literal_eval(match[1])
        except SyntaxError:  # a name that holds a brace
            return match[0]
        return " ".join(f"--column {ours}={theirs or ''}" for ours, theirs in named.items())

    message = message.replace("next_columns=", "--next-columns").replace("next_columns", "--next-columns")
    message = re.sub(r"columns=({.*?})", columns, message)
    message = re.sub(
        r"\b(separator|decimal|encoding|gaps|elsewhere|quantile|baseline|aim|step|terminal)='(.*?)'",
        r"--\1 '\2'",
        message,
    )
    return re.sub(
        r"\b(states|actions|episode|step|cost|terminal)=(?!')",
        r"--\1",
        message.replace("columns=", "--column").replace("initial=", "--start "),
    )


def _outputs(source: Path, out: Path) -> tuple[Path, Path]:
    """The netCDF file and the CSV to write, refused before anything is computed if they cannot be, or are another's."""
    import xarray as xr

    from bayesmdp.offline.report import MADE_BY

    name = source.with_suffix("") if source.suffix.lower() == ".gz" else source
    path = out if out.suffix == ".nc" else out / f"{name.stem}-plan.nc"
    table = path.with_suffix(".csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path.parent} cannot be written to; give another --out")
    if path.exists():
        try:
            with xr.open_datatree(path, engine="h5netcdf") as opened:
                planned_from = opened.attrs.get("source", "") if opened.attrs.get("made_by") == MADE_BY else None
        except (OSError, ValueError):
            planned_from = None
        if planned_from is None:
            raise ValueError(f"{path} holds something else; give another --out, or move the file away")
        if Path(planned_from).resolve() != source.resolve():
            raise ValueError(f"{path} holds the plan of {planned_from}; give another --out, or move the file away")
    elif table.exists():
        raise ValueError(f"{table} is there already; give another --out, or move the file away")
    return path, table


def _laid_out(policy: xr.Dataset) -> pd.DataFrame:
    """The policy as a table, a row a state; where states are numbers a column for each coordinate."""
    if "coordinate" not in policy.dims:
        return policy.to_dataframe()
    names = policy["coordinate"].values.tolist()
    return policy["state"].to_pandas().set_axis(names, axis=1).join(policy.drop_dims("coordinate").to_dataframe())


def _write(report: Report, path: Path, table: Path) -> None:
    """Plan and posterior to a netCDF file, the policy to a CSV beside it; each appears whole or not at all."""
    from bayesmdp.results.files import replacing, write_tree

    write_tree(report.tree, path)
    laid_out = _laid_out(report.policy)
    if "mixes" in report.policy:
        for action, shares in report.tree["plan"]["probability"].groupby("action"):
            laid_out[f"probability of {action}"] = shares.values.ravel()
    with replacing(table) as part:
        laid_out.to_csv(part)
