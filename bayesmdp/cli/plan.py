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
            help="Logged transitions, one row per step: .csv, .tsv (optionally .gz), .parquet, .jsonl or .arrow; also "
            "a folder of Parquet files, or a file name pattern."
        ),
    ],
    risk: Annotated[str, typer.Option(help="mean, quantile:LEVEL or cvar:LEVEL.")] = "quantile:0.1",
    baseline: Annotated[
        str,
        typer.Option(
            metavar="log|none|uniform|FILE",
            help="Today's policy, for comparison: log (estimated from the log), none, uniform, or a CSV with columns "
            "state, action, probability. With --continuous: a CSV with coordinates in place of the state, of which the "
            "nearest rows count, or FILE.py:NAME, a function of states.",
        ),
    ] = "log",
    aim: Annotated[
        str, typer.Option(help="value, or gain: maximise the gain over the baseline; actions may be mixed.")
    ] = "value",
    discount: Annotated[
        float | None, typer.Option(help="Between 0 and 1; by default 0.99 without a horizon.", show_default=False)
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
            help="auto: the prior with the most evidence in the log; or a prior from `bayesmdp list`; or FILE.py:NAME, "
            "a model of `data` or a function of the MDP."
        ),
    ] = "auto",
    pool: Annotated[
        bool, typer.Option("--pool", help="Let rare states learn from neighbouring ones; with --state.")
    ] = False,
    rewards: Annotated[
        str,
        typer.Option(
            help="auto: determined by the log; known, normal, bernoulli, or FILE.py:NAME, a function of the MDP and "
            "a model. With --continuous: a function of states, action numbers and next states."
        ),
    ] = "auto",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of the prior; repeatable.")
    ] = None,
    elsewhere: Annotated[
        str,
        typer.Option(
            help="Next states never seen after a pair: each (individually), mean or least (by their mean or lowest "
            "value), or none (impossible). auto: each, unless the problem is large."
        ),
    ] = "auto",
    reachable: Annotated[
        Path | None,
        typer.Option(
            help="A CSV of possible transitions: columns state, action (left out for all actions), next_state."
        ),
    ] = None,
    least_tries: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Plan with an action only where the log tried it so often: by default 3 if rewards are learned, or 2.",
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
        str, typer.Option(help="draws: quantile over posterior draws; exact: from the parameters of Dirichlet rows.")
    ] = "draws",
    draws: Annotated[
        int, typer.Option(min=1, help="Posterior draws to plan with; as many new draws evaluate the policy.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="The same seed gives the same plan.")] = 0,
    calibration: Annotated[
        bool, typer.Option(help="Check the numbers on simulated logs like this one, and lower them if needed.")
    ] = True,
    unit: Annotated[str, typer.Option(help="Unit of the rewards, such as euros, for the report.")] = "",
    out: Annotated[Path, typer.Option(help="Folder, or file ending in .nc, for the plan.")] = Path("results"),
    report_file: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="Write a page that explains the plan to domain experts."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE.json", help="Write the content of the page as JSON.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Such as next_state=s2; repeatable.", rich_help_panel=READING),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN:KIND(...)",
            help="Make states from measurements, such as age:bins(0,40,65,80), lactate:cutoffs(2,4), "
            "weight:quantiles(4), ward:categories(a,b) or ward; repeat for combinations.",
            rich_help_panel=READING,
        ),
    ] = None,
    continuous: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Numeric columns to use directly as the state; --next-columns or --episode define the next state.",
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
            metavar="PATTERN|A=B,...", help="Names of the measurements after the step.", rich_help_panel=READING
        ),
    ] = "next_{}",
    end_column: Annotated[
        str | None,
        typer.Option(
            help="With --state: the column with how an episode ended, which becomes the next state.",
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
        str | None, typer.Option(metavar="LOW,HIGH", help="Refuse rewards outside this range.", rich_help_panel=READING)
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
            help="Column that identifies episodes; the next state is then the state in the next row, unless there is a "
            "column of next states.",
            rich_help_panel=READING,
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column that orders the rows within an episode.", rich_help_panel=READING),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of costs (negative rewards).", rich_help_panel=READING),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Scheduler of a Dask cluster, on which Parquet files are aggregated.",
            rich_help_panel=READING,
        ),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(
            metavar="SQL",
            help="A query on LOG, a DuckDB or SQLite file, or a Parquet file (named log in the query).",
            rich_help_panel=READING,
        ),
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Field separator.", rich_help_panel=READING)] = None,
    decimal: Annotated[str, typer.Option(help="Decimal sign.", rich_help_panel=READING)] = ".",
    encoding: Annotated[str, typer.Option(help="Encoding of text files.", rich_help_panel=READING)] = "utf-8",
) -> None:
    """Make a cautious policy from logged transitions: tables, a file with plan and posterior, a CSV of the policy.

    The log needs the columns state, action, reward and next_state, and should have terminated and truncated. With
    --state, states are made from measurements; with --continuous, the measurements themselves are the state.
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
        fail(f"--pool applies to the automatic prior, not to --prior {prior}; give only one of them")

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
            raise ValueError("--dask aggregates files, and --query reads from a database; give only one of them")
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
            least_tries=least_tries,
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
