"""Average reward: what regret depends on, one thing at a time. Declared before it was run.

Hong, Zhang and Tewari (2024) bound regret by sp(v*) sqrt(S^2 A T) for gamma-UCB-CVI and by sp(v*) sqrt(d^3 T) for
gamma-LSCVI-UCB, argue for the largest Q of an episode against monotone values, clip at H = 2 sp(v*), and conjecture
that Bernstein bonuses save a factor of sqrt(S). Each question has its cells; T = 20,000 and 16 replicates in all.
On rivers nothing is learned in that time with the theory's constants, so these are constants that learn, found on
RiverSwim-6 before; bounds are of the worst case, and a power below theirs says that these worlds are not it.
(gamma-LSCVI-UCB turned out to learn nothing in ``span-8``, so that its power of the span is too low.)

- ``span-F``: RiverSwim-6 in which a state stays as it is, whatever is done, so often that its span is F times as large.
- ``told``: RiverSwim-6, told 1/4 to 4 times its span.
- ``copies-M``: RiverSwim-6 with M copies of each state: S grows, the span stays, and d does for agents with features.
- ``dimension-D``: the hard linear MDP, whose lower bound grows with d; 2^(d - 1) actions.
- ``pooling-WORLD``: acting by the largest Q of the episode, the least of all sweeps, or the latest.
- ``clipping-WORLD``: the rare room with one way to look, in which hope for untried doors is all that is left. (The
  variant of visited states joined later: is its clipping worth as much as the oracle's?)
- ``bonus-WORLD``: the paper's bonus and one by the variance, at three scales each.

``make study STUDIES=average_reward_shape`` runs every cell that ``results/`` does not hold and writes
``average_reward_shape.csv``, ``average_reward_powers.csv`` and ``average_reward_statements.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.average_reward import fitted_exponent, regret_table
from bayesmdp.studies.statements import finished_cells, statement_table
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["GROWTHS", "STUDIES", "powers_table", "statements"]

STEPS = 20_000
SPANS, COPIES, DIMENSIONS, TOLD = (1, 2, 4, 8), (1, 2, 4, 8), (3, 4, 5, 6, 7), (0.25, 0.5, 1, 2, 4)

TABLE = AgentSpec("gamma_ucb_cvi", {"scale": 0.02})
BERNSTEIN = AgentSpec("gamma_ucb_cvi", {"scale": 0.1, "bernstein": True})
LINEAR = AgentSpec("gamma_lscvi_ucb", {"scale": 0.01})
BOTH = {"gamma-UCB-CVI": TABLE, "gamma-LSCVI-UCB": LINEAR}


def _river(**options: Any) -> dict[str, Any]:
    return {"environment": "riverswim", "environment_options": {"num_states": 6, "discount": None, **options}}


def _routing(room: int) -> dict[str, Any]:
    return {"environment": "network_routing", "environment_options": {"room": room}}


def _room(doors: int) -> dict[str, Any]:
    return {"environment": "rare_room", "environment_options": {"doors": doors, "ways": 1, "chance": 0.2}}


INVENTORY = {"environment": "inventory", "environment_options": {"capacity": 8}}

POOLING = {
    f"{pooling}, c = {scale}": AgentSpec("gamma_lscvi_ucb", {"scale": scale, "pooling": pooling})
    for scale in (0.003, 0.01)
    for pooling in ("max", "minimum", "none")
}

BONUS = {
    f"{name}, c = {scale}": AgentSpec("gamma_ucb_cvi", {"scale": scale, "bernstein": name == "Bernstein"})
    for name, scales in (("Hoeffding", (0.02, 0.1, 1.0)), ("Bernstein", (0.05, 0.1, 1.0)))
    for scale in scales
}


SCALES = {"gamma_ucb_cvi": (0.5, 1.0), "gamma_lscvi_ucb": (0.007, 0.014), "gamma_lscvi_ucb_visited": (0.007, 0.014)}
"""Of bonuses where clipping binds."""


def _scaled(algorithm: str, scale: float) -> str:
    return f"{algorithm.replace('_', '-')}, c = {scale}"


def _clipping(algorithm: str) -> dict[str, AgentSpec]:
    return {
        f"{_scaled(algorithm, scale)}{', not clipped' * (not clip)}": AgentSpec(
            algorithm, {"scale": scale, "clip": clip}
        )
        for scale in SCALES[algorithm]
        for clip in (True, False)
    }


COMPARED = (
    ("max, c", "minimum, c", "the least of all sweeps costs more than {agent}"),
    ("max, c", "none, c", "the latest sweep costs more than {agent}"),
    ("Bernstein, c", "Hoeffding, c", "the paper's bonus costs more than {agent}"),
    ("told 1 times", "told 0.25 times", "to be told a quarter of the span costs more than {agent}"),
    ("told 1 times", "told 4 times", "to be told four times the span costs more than {agent}"),
    *(
        (_scaled(name, scale), f"{_scaled(name, scale)}, not clipped", "not to clip costs more than {agent}")
        for name, scales in SCALES.items()
        for scale in scales
    ),
    ("ucb, c", "ucb-visited, c", "the variant of visited states costs more than {agent}"),
)
"""Parts of names of agents that differ in one thing, the one expected to lose less first, and what that would show."""


def _cell(title: str, agents: Mapping[str, AgentSpec], world: Mapping[str, Any]) -> Study:
    note = "the settings are ours; the paper runs nothing"
    options = {"prior": None, "steps": STEPS, "thin": STEPS // 100, "replicates": 16, **world}
    return Study(title=title, agents=agents, note=note, **options)


STUDIES: Mapping[str, Study] = {
    **{f"span-{factor}": _cell("a lazy river", BOTH, _river(lazy=1 - 1 / factor)) for factor in SPANS},
    "told": _cell(
        "told a span that is not the true one",
        {
            f"{name}, told {factor:g} times": AgentSpec(spec.algorithm, {**spec.options, "span": factor * 6.3103})
            for name, spec in BOTH.items()
            for factor in TOLD
        },
        _river(),
    ),
    **{
        f"copies-{m}": _cell(
            "more states, and nothing else", {**BOTH, "gamma-UCB-CVI, Bernstein": BERNSTEIN}, _river(copies=m)
        )
        for m in COPIES
    },
    **{
        f"dimension-{d}": _cell(
            "the hard linear MDP",
            {"gamma-LSCVI-UCB": LINEAR},
            {"environment": "hard_linear_mdp", "environment_options": {"dimension": d}},
        )
        for d in DIMENSIONS
    },
    **{
        f"pooling-{name}": _cell("which of an episode's Q to act by", POOLING, world)
        for name, world in {"river": _river(), "inventory": INVENTORY, "routing": _routing(3)}.items()
    },
    "clipping-table": _cell("where clipping binds", _clipping("gamma_ucb_cvi"), _room(100)),
    "clipping-linear": _cell(
        "where clipping binds",
        _clipping("gamma_lscvi_ucb") | _clipping("gamma_lscvi_ucb_visited"),
        _room(50),
    ),
    **{
        f"bonus-{name}": _cell("bonuses by visits and by variance", BONUS, world)
        for name, world in {
            "river": _river(),
            "inventory": INVENTORY,
            **{f"routing{room}": _routing(room) for room in (2, 3, 4)},
        }.items()
    },
}

GROWTHS: Mapping[str, Mapping[str, float]] = {
    "sp(v*)": {f"span-{factor}": 6.3103 * factor for factor in SPANS},
    "S": {f"copies-{m}": 6.0 * m for m in COPIES},
    "d": {f"dimension-{d}": d + 1.0 for d in DIMENSIONS},
}
"""Cells between which one quantity grows, and what it is in each."""


def powers_table(gaps: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The power of each quantity with which regret grows, from ``gaps[cell][agent]``, samples [replicate].

    Parameters
    ----------
    gaps : mapping of cell to mapping of agent to sample

    Returns
    -------
    DataFrame
        ``quantity``, ``agent``, ``power``, ``lower``, ``upper``, by bootstrap.

    Examples
    --------
    >>> gaps = {f"copies-{m}": {"A": [10.0 * m, 11.0 * m, 9.0 * m]} for m in (1, 2, 4, 8)}
    >>> float(powers_table(gaps)["power"].round(6).iloc[0])
    1.0
    """
    import pandas as pd

    rows = []
    for quantity, values in GROWTHS.items():
        held = [cell for cell in values if cell in gaps]
        for agent in gaps[held[0]] if len(held) > 1 else ():
            power = fitted_exponent([values[cell] for cell in held], [gaps[cell][agent] for cell in held])
            rows.append((quantity, agent, *power))
    return pd.DataFrame(rows, columns=["quantity", "agent", "power", "lower", "upper"])


def statements(gaps: Mapping[str, Any]) -> pd.DataFrame:
    """Judge what one cell was made to show, by paired differences of the sums of gaps.

    Parameters
    ----------
    gaps : mapping of agent to sample [replicate]

    Returns
    -------
    DataFrame
        As from `statement_table`; without rows for cells between which something grows.

    Examples
    --------
    >>> gaps = {"max, c = 0.01": [1.0, 2.0], "minimum, c = 0.01": [2.0, 3.0], "none, c = 0.01": [1.0, 2.0]}
    >>> statements(gaps)["figure"].tolist()
    [1.0, 0.0]
    """
    said = {}
    for agent, sample in gaps.items():
        for better, worse, says in COMPARED:
            rival = agent.replace(better, worse)
            if better in agent and rival in gaps and rival != agent:
                costs = [more - less for more, less in zip(gaps[rival], sample, strict=True)]
                said[says.format(agent=agent)] = costs, 0.0
    return statement_table(said)


def _gaps(result: xr.DataTree) -> dict[str, Any]:
    sums = result["gap"].sum("step")
    return {str(agent): sums.sel(agent=agent).values for agent in result.to_dataset()["agent"].values}


def main(folder: str = "results", tables: str = "results") -> None:
    """Run the cells that `folder` does not hold yet, and write the three tables to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the tables, written as CSV.
    """
    from pathlib import Path

    import pandas as pd

    place, parts, judged = Path(tables), [], []
    gaps: dict[str, Mapping[str, Any]] = {}
    for cell, result in finished_cells("average-reward-shape", STUDIES, folder):
        gaps[cell] = _gaps(result)
        parts.append(regret_table(result).rename_axis("agent").reset_index().assign(cell=cell))
        if len(said := statements(gaps[cell])):
            judged.append(said.assign(cell=cell))
    pd.concat(parts).set_index(["cell", "agent"]).round(3).to_csv(place / "average_reward_shape.csv")
    powers_table(gaps).set_index(["quantity", "agent"]).round(3).to_csv(place / "average_reward_powers.csv")
    pd.concat(judged).set_index(["cell", "statement"]).round(3).to_csv(place / "average_reward_statements.csv")
