"""Cards of agents, environments and priors, from the registries, the docstrings and the pictures."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from bayesmdp import environments
from docs.generator.names import REGISTRIES, Page, pages
from docs.generator.reference import documented, listed
from docs.generator.words import advice, first_sentence, module_text, title

__all__ = ["card_lists", "card_pages", "draw_pictures"]

ROOT = Path(__file__).parents[2]

INTRODUCTIONS = {
    "agents": """An *agent* learns while it acts: it starts with a prior or with nothing, and each step teaches it.
An agent is made by the function below that bears its name, and set to work by
:doc:`/reference/bayesmdp/simulate`. *Regret* is what the agent has lost, up to a step, against
the best policy. Each card shows the regret of the agent on two problems with the options of the
registry, which nobody tuned, beside that of all agents shown on the same problem. Curves on two
problems say how an agent behaves, not which is best: on how to compare agents see
:doc:`/tutorials/comparing_agents`.""",
    "environments": """An *environment* is a decision problem of which everything is known, to learn on. Each is made by
the function that bears its name. In the drawings a circle is a state, an arrow where an action
may lead, the stronger the more probable; a grey circle ends the episode. Where states are numbers
the drawing shows walks with actions at random.""",
    "priors": """A *prior* is a NumPyro model: it draws what is unknown about a problem, and says how likely each
observation would be. Each is made by the function that bears its name; :doc:`/choose/which_prior`
helps to choose, and :doc:`/howto/write_a_model` shows how to write another. The pictures show
problems drawn from each prior, before any data.""",
}
CAPTIONS = {
    "agents": "Cumulative regret with its 95% interval over replicates, on common random numbers; in grey other agents "
    "that were run on the same problem.",
    "environments": "The registry's small example.",
    "priors": "Draws from the prior of the registry's example.",
}


def card_pages() -> Iterator[tuple[str, str]]:
    """A page for each card."""
    for page in pages():
        if page.example is not None:
            yield page.place, _card(page)


def _card(page: Page) -> str:
    section, name = page.place.split("/")[1:]
    parts = [
        title(name),
        f".. rst-class:: lead\n\n{first_sentence(page.value)}\n",
        _figure(section, name),
        _facts(page, section),
        title("How it works" if section == "agents" else "What it is", "-"),
        module_text(page.value) + "\n",
        title("The function", "-"),
        documented(page),
    ]
    return "\n".join(parts)


def _figure(section: str, name: str) -> str:
    return f".. figure:: /pictures/{section}/{name}.svg\n   :alt: {_alt(section, name)}\n\n   {CAPTIONS[section]}\n"


def _alt(section: str, name: str) -> str:
    return {"agents": f"regret of {name}", "environments": f"drawing of {name}", "priors": f"draws of {name}"}[section]


def _facts(page: Page, section: str) -> str:
    """What a reader asks first, as a list of terms."""
    facts = {"Kind": page.heading}
    if section == "agents":
        agent = page.example.agent()
        facts["Judged by"] = ", ".join(_objective(each) for each in agent.objectives)
        facts["States"] = " or ".join(
            {"finite": "a finite number", "continuous": "numbers"}.get(s, s) for s in agent.spaces
        )
        given = "prior" in inspect.signature(page.value).parameters
        facts["Needs a prior"] = "yes, a NumPyro model" if given else "no"
    elif section == "environments":
        facts["Example"] = f"``{_problem(page.name.rpartition('.')[2])!r}``"
    else:
        engines = {"exact": "exact, found by itself", "nuts": "by NUTS, or by particles", "smc": "by particles"}
        facts["Posterior"] = engines.get(page.example.engine, "not of a log: a distribution of tasks")
    facts |= advice(page.value)
    beside = [other for other in pages() if other.heading == page.heading and other.place.split("/")[1] == section]
    others = [f":doc:`{other.place.rpartition('/')[2]} </{other.place}>`" for other in beside if other != page]
    if others:
        facts["See also"] = ", ".join(others)
    path = Path(inspect.getsourcefile(inspect.unwrap(page.value)) or "")
    facts["Source"] = f"``{section_folder(section)}/{path.name}``"
    return "\n".join(f":{term}: {text}" for term, text in facts.items()) + "\n"


def section_folder(section: str) -> str:
    """Where the files of a section's parts are."""
    return {"agents": "bayesmdp/agents", "environments": "bayesmdp/environments", "priors": "models"}[section]


def _objective(name: str) -> str:
    return {"discounted": "discounted rewards", "average": "the average reward", "episode": "episodes"}.get(name, name)


@cache
def _problem(name: str) -> Any:
    row = {each.make.__name__: each for examples in environments.GROUPS.values() for each in examples}
    return row[name].problem


def card_lists() -> Iterator[tuple[str, str]]:
    """The list of each section, by heading, with what else the package exports."""
    for section, (package, module) in REGISTRIES.items():
        parts = [title(section.capitalize()), INTRODUCTIONS[section] + "\n"]
        names = []
        for heading, row in module.GROUPS.items():
            parts += [title(heading, "-"), ".. list-table::\n   :widths: 30 70\n"]
            for example in row:
                name = example.make.__name__
                names.append(f"   {name}")
                parts.append(f"   * - :doc:`{name}`\n     - {first_sentence(example.make)}")
            parts.append("")
        parts += [".. toctree::\n   :hidden:\n", *names, ""]
        parts += [title("Beside them", "-"), listed(package, cards=False)]
        yield f"reference/{section}/index", "\n".join(parts)


def draw_pictures(folder: Path) -> None:
    """Draw what is not drawn yet, or was drawn before the package or the generator changed."""
    from docs.generator import home

    newest = max(
        path.stat().st_mtime
        for place in (ROOT / "bayesmdp", ROOT / "models", ROOT / "docs" / "generator", ROOT / "docs" / "data")
        for path in place.rglob("*")
        if path.suffix in (".py", ".csv")
    )
    wanted = {f"home/{name}.svg": make for name, make in home.PICTURES.items()}
    for page in pages():
        if page.example is not None:
            section, name = page.place.split("/")[1:]
            wanted[f"{section}/{name}.svg"] = partial(_drawn, page, section, name)
    stale = [place for place in (*wanted, "home/report.html") if _age(folder / place) < newest]
    for place in stale:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        sys.stdout.write(f"drawing {place}\n")
        if place in wanted:
            _save(wanted[place](), folder / place)
        else:
            home.write_report(folder / place)


def _age(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _drawn(page: Page, section: str, name: str) -> Any:
    from docs.generator import drawings, graphs

    if section == "agents":
        return drawings.draw_regret(name)
    if section == "environments":
        return graphs.draw_environment(name, _problem(name))
    where = page.example.environment
    return drawings.draw_prior(page.example, None if where is None else _problem(where))


def _save(figure: Any, path: Path) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    with mpl.rc_context({"svg.hashsalt": "bayesmdp", "svg.fonttype": "path"}):
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, bbox_inches="tight")
    plt.close(figure)
