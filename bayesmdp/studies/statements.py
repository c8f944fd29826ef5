"""What declared studies share: running the cells that are missing, and tables of statements with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import ArrayLike

    from bayesmdp.studies.study import Study

__all__ = [
    "best_on_even",
    "final_regret",
    "finished_cells",
    "interval_table",
    "mean_interval",
    "ratio_interval",
    "regret_table",
    "statement_table",
    "tables_of_cells",
]


def statement_table(statements: Mapping[str, tuple[ArrayLike, float]], *, confidence: float = 0.95) -> pd.DataFrame:
    """Statements of the form "this figure is above that threshold", judged over independent replicates.

    Parameters
    ----------
    statements : mapping of str to (sample [replicate], threshold)
    confidence : float in (0, 1)
        Of Student's t intervals.

    Returns
    -------
    DataFrame
        One row a statement: ``figure``, ``lower``, ``upper``, ``threshold`` and ``holds`` (yes, no, or open where the
        interval reaches the threshold).

    Examples
    --------
    >>> statement_table({"the sky is above us by": ([1.0, 1.1, 0.9], 0.0)})["holds"].tolist()
    ['yes']
    """
    import pandas as pd

    table = []
    for statement, (sample, threshold) in statements.items():
        mean, lower, upper = mean_interval(sample, confidence)
        holds = "yes" if lower > threshold else "no" if upper <= threshold else "open"
        table.append((statement, mean, lower, upper, threshold, holds))
    return pd.DataFrame(table, columns=["statement", "figure", "lower", "upper", "threshold", "holds"])


def mean_interval(sample: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of a sample with its Student's t interval.

    Parameters
    ----------
    sample : array_like [replicate]
    confidence : float in (0, 1)

    Returns
    -------
    mean, lower, upper : float

    Examples
    --------
    >>> [round(bound, 3) for bound in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    import numpy as np
    from scipy import stats

    values = np.asarray(sample, float)
    width = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean()), float(values.mean() - width), float(values.mean() + width)


def interval_table[Row: Hashable](rows: Mapping[Row, Mapping[str, Any]]) -> pd.DataFrame:
    """Tabulate means over replicates, each beside its 95% interval.

    Parameters
    ----------
    rows : mapping of row to mapping of figure to sample [replicate]

    Returns
    -------
    DataFrame
        For each figure the columns ``FIGURE``, ``FIGURE_lower`` and ``FIGURE_upper``.

    Examples
    --------
    >>> interval_table({"PSRL": {"regret": [1.0, 2.0, 3.0]}}).round(3).loc["PSRL"].to_dict()
    {'regret': 2.0, 'regret_lower': -0.484, 'regret_upper': 4.484}
    """
    import pandas as pd

    return pd.DataFrame(
        [
            {
                f"{figure}{end}": bound
                for figure, sample in samples.items()
                for end, bound in zip(("", "_lower", "_upper"), mean_interval(sample), strict=True)
            }
            for samples in rows.values()
        ],
        index=pd.Index(list(rows)),
    )


def final_regret(result: xr.DataTree, quantity: str = "regret") -> pd.DataFrame:
    """Return regret at the end, of each agent in each replicate.

    Parameters
    ----------
    result : DataTree
        From a study's `run`.
    quantity : str
        What to sum over steps: also ``gap``, where the result has it.

    Returns
    -------
    DataFrame [agent, replicate]
    """
    import pandas as pd

    regret = result.to_dataset()[quantity].sum("step").transpose("agent", "replicate")
    return pd.DataFrame(regret.values, index=list(map(str, regret["agent"].values)))


def regret_table(result: xr.DataTree) -> pd.DataFrame:
    """Return one row an agent: the mean of its final regret over replicates, with a 95% interval."""
    return interval_table({agent: {"regret": sample} for agent, sample in final_regret(result).iterrows()}).rename_axis(
        "agent"
    )


def best_on_even(regret: pd.DataFrame, kind: str) -> str:
    """Return the agent of a kind with the least regret on replicates of even number, to be judged on the others.

    Parameters
    ----------
    regret : DataFrame [agent, replicate]
        From `final_regret`.
    kind : str
        With which the agents' names begin.

    Returns
    -------
    str

    Examples
    --------
    >>> import pandas as pd
    >>> best_on_even(pd.DataFrame([[1, 9], [2, 0], [0, 0]], index=["level .1", "level .2", "AQ"]), "level")
    'level .1'
    """
    means = regret.iloc[:, ::2].mean(axis=1)
    return str(means[[agent for agent in regret.index if agent.startswith(kind)]].idxmin())


def ratio_interval(
    numerator: ArrayLike, denominator: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the ratio of the means of paired samples, with an interval by the delta method.

    Parameters
    ----------
    numerator, denominator : array_like [replicate]
    confidence : float in (0, 1)

    Returns
    -------
    ratio, lower, upper : float

    Examples
    --------
    >>> [round(bound, 3) for bound in ratio_interval([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])]
    [0.5, 0.5, 0.5]
    """
    import numpy as np

    above, below = np.asarray(numerator, float), np.asarray(denominator, float)
    ratio = float(above.mean() / below.mean())
    _, lower, upper = mean_interval((above - ratio * below) / below.mean(), confidence)
    return ratio, ratio + lower, ratio + upper


def finished_cells(
    paper: str, studies: Mapping[str, Study], folder: Path | str = "results"
) -> Iterator[tuple[str, xr.DataTree]]:
    """Go through each cell's results, run if its file is missing or holds too few replicates, and kept in `folder`.

    Files are those of ``bayesmdp run PAPER/CELL``. What was finished before Ctrl-C is kept too.

    Yields
    ------
    cell : str
    result : DataTree

    Parameters
    ----------
    paper : str
        First part of the cells' names.
    studies : mapping of cell to Study
    folder : path
    """
    from bayesmdp.foundation.compiled_programs import forget_programs
    from bayesmdp.results import files as results
    from bayesmdp.simulation.threads import Interrupted

    for cell, study in studies.items():
        path = Path(folder) / f"{paper}-{cell}-seed0.nc"
        held = results.load(path) if path.exists() else None
        if held is None or held.sizes["replicate"] < study.replicates:
            origin = {"study": f"{paper}/{cell}", "title": study.title}
            try:
                result = study.run(resume=held)
            except Interrupted as stop:
                if stop.result is not None:
                    stop.result.attrs |= origin
                    results.save(stop.result, path)
                raise
            result.attrs |= origin
            results.save(result, path)
            held = result  # with the seconds, which files do not hold
            forget_programs()
        yield cell, held


def tables_of_cells(
    paper: str,
    studies: Mapping[str, Study],
    tables: Mapping[str, tuple[Callable[[xr.DataTree], pd.DataFrame], int]],
) -> Callable[..., None]:
    """Return the ``main`` of a study whose tables have parts by cell.

    Parameters
    ----------
    paper, studies
        As for `finished_cells`.
    tables : mapping of name to (function, digits)
        What makes a cell's part of the table from its result, and to how many digits it is written.

    Returns
    -------
    callable
        ``main(folder="results", tables="results", *, cells=studies)`` runs the cells whose results `folder` does not
        hold yet, and writes the tables to the folder `tables` as CSV, anew after each, the cell in the first column.
    """
    made = tables

    def main(
        folder: Path | str = "results", tables: Path | str = "results", *, cells: Mapping[str, Study] = studies
    ) -> None:
        import pandas as pd

        parts: dict[str, list[pd.DataFrame]] = {name: [] for name in made}
        for cell, result in finished_cells(paper, cells, folder):
            for name, (make, digits) in made.items():
                part = make(result)
                part = part if part.index.name is None else part.reset_index()
                part.insert(0, "cell", cell)
                parts[name].append(part)
                pd.concat(parts[name]).round(digits).to_csv(Path(tables) / f"{name}.csv", index=False)

    return main
