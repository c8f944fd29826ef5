"""The command line: ``bayesmdp run``, ``sweep``, ``compare``, ``export``, ``plan``, ``recommend``, ``list`` and others.

Heavy packages (jax, xarray, matplotlib, rich) are imported inside the commands, so that ``bayesmdp --help`` is prompt.
Tables and paths go to standard output, progress and errors to standard error. Exit codes: 0, done; 2, the user's
mistake, told in one line; 130, interrupted.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bayesmdp.cli.claims import claims
from bayesmdp.cli.messages import fail, say
from bayesmdp.cli.plan import plan
from bayesmdp.cli.recommend import recommend
from bayesmdp.cli.report import report
from bayesmdp.cli.sweep import compare, export, sweep
from bayesmdp.foundation.compiled_programs import keep_programs
from bayesmdp.foundation.text_values import first_sentence, json_or_text
from bayesmdp.studies import FAMILIES, STUDIES, Study, find

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["app", "main"]

app = typer.Typer(
    help="Bayesian reinforcement learning: declare what is unknown once, as a NumPyro model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take most of the time of `--help`
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the ``bayesmdp`` command."""
    keep_programs()
    # A batch system's request to stop is treated as Ctrl-C: what is finished is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"bayesmdp {version('bayesmdp')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    study: Annotated[str, typer.Argument(help="Such as aq-brmdp/riverswim-6; see `bayesmdp list`.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each run; by default those of the study.")] = None,
    replicates: Annotated[int | None, typer.Option(min=1, help="Independent runs of each agent.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same file, byte for byte.")] = 0,
    agents: Annotated[str | None, typer.Option(metavar="A,B", help="Only these agents, such as PSRL,AQ-BRMDP.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="AGENT.OPTION=VALUE", help="An agent's option; repeatable.")
    ] = None,
    thin: Annotated[int, typer.Option(min=1, help="Record windows of this many steps, for smaller files.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder, or file ending in .nc, for the results.")] = Path("results"),
    resume: Annotated[bool, typer.Option("--resume", help="Keep the file's runs and add missing ones.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; by default one per core.")] = None,
) -> None:
    """Run a study, whose agents learn online: a table, a results file and a figure."""
    chosen = _chosen_study(study, agents, set_ or [])
    path = out if out.suffix == ".nc" else out / f"{study.replace('/', '-')}-seed{seed}.nc"
    steps, replicates = steps or chosen.steps, replicates or chosen.replicates
    if steps % thin:
        fail(f"--thin must divide the number of steps; {thin} does not divide {steps}")
    identity = _identity(study, chosen, steps=steps, seed=seed, thin=thin)
    held = _held(path, identity, resume=resume, replicates=replicates)

    from bayesmdp.cli.console import make_console
    from bayesmdp.cli.progress import Progress
    from bayesmdp.cli.tables import summary_table
    from bayesmdp.results import files as results
    from bayesmdp.simulation.threads import Interrupted

    done = set() if held is None else set(held.to_dataset()["replicate"].values.tolist())
    expected = dict.fromkeys(chosen.agents, len(set(range(replicates)) - done))
    say(f"{chosen.title}: {len(chosen.agents)} agents, {replicates} replicates, {steps:,} steps")
    if held is not None:
        say(f"{path} already contains {len(done)} replicates")
    try:
        with Progress(expected) as progress:
            result = chosen.run(
                seed=seed,
                steps=steps,
                replicates=replicates,
                thin=thin,
                workers=workers,
                resume=held,
                on_replicate=progress.advance,
            )
    except Interrupted as stop:
        _stopped(stop.result, path, study, chosen.title)
    except ValueError as error:
        if not str(error).startswith("resume holds"):
            raise
        fail(str(error).replace("resume", str(path), 1) + "; give another --out")
    result.attrs["study"] = study
    results.save(result, path)
    figure = _draw(result, path.with_suffix(".png"))
    make_console().print(summary_table(result))
    typer.echo(f"results  {path}\nfigure   {figure}")
    typer.echo(f'open     xarray.open_datatree("{path.as_posix()}")')


app.command()(plan)
app.command()(recommend)
app.command()(report)
app.command()(sweep)
app.command()(compare)
app.command()(export)
app.command()(claims)


@app.command("list")
def list_(
    study: Annotated[
        str | None,
        typer.Argument(help="Show this study's agents and settings, or a family's studies.", show_default=False),
    ] = None,
    hard: Annotated[
        bool, typer.Option("--environments", help="Show the size of each environment and how hard it is to learn.")
    ] = False,
) -> None:
    """List families of studies, and the agents, environments and priors that they use."""
    from bayesmdp.cli.console import make_console
    from bayesmdp.cli.tables import name_table, study_table

    console = make_console()
    if hard:
        from bayesmdp.cli.environments import hardness_table
        from bayesmdp.environments import GROUPS

        console.print(hardness_table(GROUPS))
        return
    if study in FAMILIES:
        titles = {name: each.title for name, each in STUDIES.items() if name.startswith(f"{study}/")}
        console.print(name_table(f"Studies: {study}", titles))
        return
    if study is not None:
        console.print(study_table(study, _find(study)))
        return
    from bayesmdp import agents, environments, models
    from bayesmdp.sweeps import shipped_sweeps

    families = {
        family: f"{len(module.STUDIES)} studies. {first_sentence(module)}" for family, module in FAMILIES.items()
    }
    console.print(name_table("Families of studies", families))
    sweeps = {name: path.read_text().partition("\n")[0].lstrip("# ") for name, path in shipped_sweeps().items()}
    console.print(name_table("Sweeps", sweeps))
    for title, package in (("Agents", agents), ("Environments", environments), ("Priors", models)):
        for group, examples in package.GROUPS.items():
            listed = {example.make.__name__: first_sentence(example.make) for example in examples}
            console.print(name_table(f"{title}: {group}", listed))
    console.print(
        "`bayesmdp list FAMILY` shows a family's studies, `bayesmdp list STUDY` a study's agents and options."
    )


@app.command()
def plot(
    file: Annotated[Path, typer.Argument(help="A results file that `bayesmdp run` wrote.")],
    out: Annotated[Path | None, typer.Option(help="The figure (.png, .pdf or .svg); by default named as FILE.")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="Steps of the moving average of the reward.")] = None,
) -> None:
    """Draw regret, reward and state occupancy from a results file, and print its table."""
    from bayesmdp.cli.console import make_console
    from bayesmdp.cli.tables import summary_table
    from bayesmdp.results import files as results

    try:
        result = results.load(file)
        figure = _draw(result, out or file.with_suffix(".png"), window)
    except (OSError, ValueError) as error:
        fail(str(error))
    make_console().print(summary_table(result))
    typer.echo(f"figure   {figure}")


def _find(name: str) -> Study:
    try:
        return find(name)
    except KeyError as error:
        fail(str(error.args[0]))


def _chosen_study(name: str, agents: str | None, settings: list[str]) -> Study:
    """The study with the agents and options asked for, all checked."""
    study = _find(name)
    try:
        if agents is not None:
            study = study.with_agents([agent.strip() for agent in agents.split(",") if agent.strip()])
            if not study.agents:
                fail("--agents names no agent")
        return study.with_options(_parse_settings(settings))
    except KeyError as error:
        fail(str(error.args[0]))


def _parse_settings(settings: list[str]) -> dict[str, dict[str, Any]]:
    parsed: dict[str, dict[str, Any]] = {}
    for setting in settings:
        # An agent's name may hold dots and equals signs of its own, as BRMDP-0.1 does; an option's holds none.
        left, equals, text = setting.rpartition("=")
        agent, dot, option = left.rpartition(".")
        if not (equals and dot and agent and option and text):
            fail(f"--set {setting!r} is not AGENT.OPTION=VALUE, such as AQ-BRMDP.scale=2")
        parsed.setdefault(agent.strip(), {})[option.strip()] = json_or_text(text)
    return parsed


def _identity(name: str, study: Study, **run: int) -> dict[str, Any]:
    """What tells this run from others that might be in its file. Making the agents also checks their options."""
    import inspect

    from bayesmdp.studies.study import find_part

    for agent, spec in study.agents.items():
        known = [o for o in inspect.signature(find_part("agents", spec.algorithm)).parameters if o != "prior"]
        unknown = [option for option in spec.options if option not in known]
        if unknown:
            fail(f"{agent} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    try:
        mdp = study.make_mdp()
        agents = study.make_agents(mdp, study.make_prior(mdp), run.get("steps"))
    except (TypeError, ValueError) as error:
        fail(str(error))
    described = json.dumps({agent: made.describe() for agent, made in agents.items()}, default=float)
    return {"study": name, **run, "agents": json.loads(described)}


def _held(path: Path, identity: Mapping[str, Any], *, resume: bool, replicates: int) -> xr.DataTree | None:
    """What the file holds, if it is to be resumed; refused if it could not be written or would lose another run."""
    from bayesmdp.results import files as results

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            fail(f"cannot write to {path.parent}; give another --out")
        if not path.exists():
            return None
        held = results.load(path)
    except (OSError, ValueError) as error:
        fail(f"{error}; give another --out")
    for key, wanted in identity.items():
        found = json.loads(held.attrs[key]) if key == "agents" else held.attrs.get(key)
        if found != wanted:
            told = "other agents or options" if key == "agents" else f"{key} {found}, not {wanted}"
            fail(f"{path} contains another run ({told}); give another --out, or move the file away")
    if resume:
        return held
    if held.sizes["replicate"] > replicates:
        fail(f"{path} has {held.sizes['replicate']} replicates of this run; keep them with --resume, or give --out")
    return None


def _stopped(result: xr.DataTree | None, path: Path, study: str, title: str) -> NoReturn:
    """Keep what was finished before Ctrl-C and say how to go on."""
    from bayesmdp.results import files as results

    if result is None:
        say("Interrupted before any replicate had finished; nothing was written.")
        raise typer.Exit(130)
    result.attrs |= {"study": study, "title": title}
    results.save(result, path)
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    say(f"Interrupted: {path} contains the {result.sizes['replicate']} replicates that had finished.")
    say(f"Continue with: bayesmdp {shlex.join(arguments)} --resume")
    raise typer.Exit(130)


def _draw(result: xr.DataTree, path: Path, window: int | None = None) -> Path:
    from matplotlib.figure import Figure

    from bayesmdp.results.plots import plot_study

    figure = plot_study(result, window=window, figure=Figure())
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
