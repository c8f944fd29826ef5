"""The command ``bayesmdp plan``: options, messages and files. The work is in `bayesmdp.offline.plan_log`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesmdp.cli.messages import fail, say
from bayesmdp.cli.plan_files import explain_plan, outputs_of, pages_of, show_plan, write_plan
from bayesmdp.cli.plan_options import (
    as_options,
    bounds_of,
    label_of,
    labels_of,
    next_columns_of,
    numbers_of,
    pairs_of,
    refuse_of_tables,
)
from bayesmdp.cli.plan_reading import (
    coordinates_of,
    read_behaviour,
    read_numbers,
    read_option_table,
    read_states,
    sample_of,
)
from bayesmdp.foundation.text_values import json_or_text

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
            help="Today's policy, to compare with: log (as in the log), none, uniform, or a CSV with columns state, "
            "action, probability. With --continuous: a CSV with the coordinates in place of state, the nearest of "
            "whose rows count; or FILE.py:NAME, a function of states.",
        ),
    ] = "log",
    aim: Annotated[
        str, typer.Option(help="value, or gain: maximise the gain over the baseline; actions may be mixed.")
    ] = "value",
    discount: Annotated[
        float | None, typer.Option(help="Between 0 and 1; 0.99 unless there is a horizon.", show_default=False)
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="STEPS", help="Plan for this many steps, by stage, instead of a discounted future."
        ),
    ] = None,
    prior: Annotated[
        str,
        typer.Option(
            help="auto: the prior with the most evidence in the log; or a prior of `bayesmdp list`; or FILE.py:NAME, a "
            "model of `data` or a function of the MDP."
        ),
    ] = "auto",
    pool: Annotated[
        bool, typer.Option("--pool", help="Let rare states learn from neighbouring ones; with --state.")
    ] = False,
    rewards: Annotated[
        str,
        typer.Option(
            help="auto: as the log shows; known, normal, bernoulli, or FILE.py:NAME, a function of the MDP and of a "
            "model. With --continuous: a function of states, action numbers and next states."
        ),
    ] = "auto",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of the prior; repeatable.")
    ] = None,
    elsewhere: Annotated[
        str,
        typer.Option(
            help="Next states never seen after a pair: each (each by itself), mean or least (of their values), or none "
            "(impossible). auto: each, in problems that are not large."
        ),
    ] = "auto",
    reachable: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of possible transitions: columns state, action (left out for all actions), next_state."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="STATE|X,Y",
            help="Where episodes start: a state, or its numbers; by default as in the log.",
        ),
    ] = None,
    quantile: Annotated[
        str, typer.Option(help="draws: the quantile over draws; exact: from the parameters of Dirichlet rows.")
    ] = "draws",
    draws: Annotated[
        int, typer.Option(min=1, help="Posterior draws to plan with; as many others value the policy.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="The same seed gives the same plan.")] = 0,
    calibration: Annotated[
        bool, typer.Option(help="Check the promise on simulated logs like this one, and lower it until it holds there.")
    ] = True,
    unit: Annotated[str, typer.Option(help="The unit of rewards, such as euros, for the report.")] = "",
    out: Annotated[Path, typer.Option(help="Folder, or file ending in .nc, for the plan.")] = Path("results"),
    report_file: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE.html", help="A page that explains the plan to readers who know the domain."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE.json", help="The content of the page, for programs.")
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
            help="Columns of numbers that are the state as they stand; --next-columns or --episode say what the next "
            "state was.",
            rich_help_panel=READING,
        ),
    ] = None,
    terminal: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:NAME",
            help="With --continuous: a function of states [..., coordinate] that is true where episodes end.",
            rich_help_panel=READING,
        ),
    ] = None,
    next_columns: Annotated[
        str,
        typer.Option(
            metavar="PATTERN|A=B,...", help="The names of measurements after the step.", rich_help_panel=READING
        ),
    ] = "next_{}",
    end_column: Annotated[
        str | None,
        typer.Option(
            help="With --state: the column that says how an episode ended, which becomes the next state.",
            rich_help_panel=READING,
        ),
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
        str,
        typer.Option(
            help="What to do where a row does not continue the row before: warn, refuse, cut or allow.",
            rich_help_panel=READING,
        ),
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
        typer.Option(metavar="COLUMN", help="The column that orders the rows of an episode.", rich_help_panel=READING),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="A column of costs, which are negative rewards.", rich_help_panel=READING),
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
            help="A query of LOG, which is a DuckDB or SQLite file, or a Parquet file (called log in the query).",
            rich_help_panel=READING,
        ),
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="The separator between fields.", rich_help_panel=READING)
    ] = None,
    decimal: Annotated[str, typer.Option(help="The decimal sign.", rich_help_panel=READING)] = ".",
    encoding: Annotated[str, typer.Option(help="The encoding of text files.", rich_help_panel=READING)] = "utf-8",
) -> None:
    """Make a cautious policy from logged transitions: tables, a file with plan and posterior, a CSV of the policy.

    The log needs the columns state, action, reward and next_state, and should have terminated and truncated. States
    may be made of measurements with --state, or be measurements as they stand with --continuous.
    """
    settings = {name: json_or_text(text) for name, text in pairs_of("--set", set_, "concentration=0.1").items()}
    columns = {ours: theirs or None for ours, theirs in pairs_of("--column", column, "next_state=s2").items()}
    bounds = None if reward_range is None else bounds_of(reward_range)
    measured = {"state": state or None, "next_columns": next_columns_of(next_columns), "end_column": end_column}
    if continuous is not None:
        refuse_of_tables(
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
        path, table = outputs_of(log, out)
        pages = pages_of(report_file, json_file)
        labels = {"states": labels_of(states), "actions": labels_of(actions)}
        text = {"separator": separator, "decimal": decimal, "encoding": encoding}
        rows = {"episode": episode, "step": step, "cost": cost, "gaps": gaps}
        # Opened once for both readings below: a text file is looked through, and perhaps unpacked, when it is.
        say(f"reading {log}")
        if dask is not None and query is not None:
            raise ValueError("--dask groups the rows of files, and --query asks a database; give one of them")
        source = log if dask is not None else open_table(log, separator, encoding, decimal, query=query)
        if continuous is None:
            checked = read_states(
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
            checked = read_numbers(
                source, continuous, columns=columns, next_columns=measured["next_columns"], **rows, **labels, **text
            )
        report = plan_log(
            checked,
            risk=risk,
            baseline=baseline
            if baseline in ("log", "none", "uniform") or (continuous is not None and ":" in baseline)
            else read_behaviour(
                Path(baseline), separator, encoding, decimal, () if continuous is None else coordinates_of(continuous)
            ),
            aim=aim,  # type: ignore[arg-type] # checked there
            discount=discount,
            horizon=horizon,
            prior="pooled" if pool else prior,
            settings=settings,
            rewards=rewards,
            terminal=terminal,
            elsewhere=elsewhere,
            reachable=None if reachable is None else read_option_table("--reachable", reachable, separator, encoding),
            initial=label_of(start, checked.attrs["states"]) if continuous is None else numbers_of(start),
            quantile=quantile,
            draws=draws,
            seed=seed,
            sample=None
            if continuous is not None
            else sample_of(source, checked, columns=columns, reward_range=bounds, **rows, **measured, **text),
            say=say,
            calibration=20 if calibration else 0,
            unit=unit,
        )
        write_plan(report, path, table)
        if pages:
            explain_plan(report, pages, log)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        fail(as_options(str(error)))

    show_plan(report, path, table)
    for page in pages:
        typer.echo(f"{'json' if page.suffix.lower() == '.json' else 'report':8} {page}")
