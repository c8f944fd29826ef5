"""Regret of every agent on two standard problems of its kind, as the cards show it; stored in ``docs/data``.

``python -m docs.generator.agent_runs`` runs what the stored table lacks, and ``--anew`` all of it. Seeds are fixed, so
that the same versions give the same table. Agents have the options of their example in the registry, told the number of
steps and the span of the problem where they ask for them; nothing is tuned.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import bayesmdp as bm
from bayesmdp.agents.example import Example

__all__ = ["PATH", "Setting", "main", "settings_of", "stored"]

PATH = Path(__file__).parents[1] / "data" / "agent_regret.csv"


class Setting(NamedTuple):
    """A problem on which agents of one kind are shown.

    Attributes
    ----------
    name : str
        As the card calls it.
    problem, prior : problem, and model of what is unknown of it
    steps, replicates, thin : int
    """

    name: str
    problem: Any
    prior: Any
    steps: int
    replicates: int
    thin: int


@cache
def settings_of(kind: str) -> tuple[Setting, Setting]:
    """The two problems for agents whose example has that setting (the name of its function)."""
    from bayesmdp import environments, models

    river, chain = environments.riverswim(6), environments.chain()
    if kind == "river":
        return (
            Setting("RiverSwim-6, discount .95", river, models.dirichlet_transitions(river, 1 / 6), 3_000, 8, 50),
            Setting("Chain, discount .95", chain, models.dirichlet_transitions(chain, 1 / 5), 3_000, 8, 50),
        )
    if kind == "endless_river":
        river = environments.riverswim(6, discount=None)
        links = environments.network_routing(2)
        return (
            Setting("RiverSwim-6, average reward", river, models.dirichlet_transitions(river, 1 / 6), 20_000, 8, 200),
            Setting("network routing, average reward", links, models.dirichlet_transitions(links), 20_000, 8, 200),
        )
    if kind == "river_in_episodes":
        # Some agents ask for rewards of pairs, in [0, 1].
        tenths = chain.replace(reward=(chain.transition * chain.reward).sum(-1) / 10)
        one, two = (
            bm.unroll(mdp.replace(features=np.eye(2 * mdp.num_states).reshape(mdp.num_states, 2, -1)), 10)
            for mdp in (river, tenths)
        )
        return (
            Setting(
                "RiverSwim-6, episodes of 10", one, models.gaussian_q(one, covariance=4.0, noise=0.1), 4_000, 8, 50
            ),
            Setting(
                "Chain in tenths, episodes of 10", two, models.gaussian_q(two, covariance=9.0, noise=0.3), 4_000, 8, 50
            ),
        )
    lake = environments.slippery_lake()
    rough = environments.slippery_lake(direction=(0.25, 0.5, 0.25))
    return (
        Setting("the slippery lake", lake, models.slippery_lake(lake), 400, 4, 10),
        Setting("the slippery lake, steered half the time", rough, models.slippery_lake(rough), 400, 4, 10),
    )


def _agent(example: Example, setting: Setting) -> bm.agents.Agent:
    """The example's agent, told what it asks for about this problem."""
    options: dict[str, Any] = dict(example.options)
    if "horizon" in options:
        options["horizon"] = setting.steps
    if "span" in options:
        options["span"] = max(float(bm.hardness(setting.problem)["span"]), 0.5)
    if options.get("room"):
        options["room"] = setting.steps
    prior = (setting.prior,) if "prior" in signature(example.make).parameters else ()
    return example.make(*prior, **options)


def _curve(name: str, example: Example, setting: Setting) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = bm.simulate(
            setting.problem,
            {name: _agent(example, setting)},
            steps=setting.steps,
            replicates=setting.replicates,
            seed=0,
            thin=setting.thin,
            workers=1,
        )
    curve = bm.regret_curve(result).isel(agent=0).to_dataframe()[["mean", "lower", "upper"]]
    table = curve.reset_index().assign(agent=name, problem=setting.name)
    return table[["agent", "problem", "step", "mean", "lower", "upper"]]


def _examples() -> Iterator[tuple[str, Example]]:
    for row in bm.agents.GROUPS.values():
        for example in row:
            yield example.make.__name__, example


@cache
def stored() -> pd.DataFrame:
    """The stored table: agent, problem, step, and cumulative regret with its 95% interval over replicates."""
    return pd.read_csv(PATH)


def main(arguments: Mapping[int, str] | list[str]) -> None:
    """Run what is missing, writing after each agent."""
    held = pd.read_csv(PATH) if PATH.exists() and "--anew" not in arguments else pd.DataFrame(columns=["agent"])
    bm.keep_programs()
    for name, example in _examples():
        if name in set(held["agent"]):
            continue
        tables = [_curve(name, example, setting) for setting in settings_of(example.setting.__name__)]
        held = pd.concat([each for each in (held, *tables) if len(each)])
        held.to_csv(PATH, index=False, float_format="%.6g")
        sys.stdout.write(f"{name}: {[round(float(each['mean'].iloc[-1]), 2) for each in tables]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
