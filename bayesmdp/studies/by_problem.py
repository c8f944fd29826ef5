"""Studies that try one problem after another, each with a seed of its own: what they keep, and shares of problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["by_cell", "ran_by_problem", "rounding", "share", "tables_by_problem"]


def ran_by_problem(
    folder: str,
    name: str,
    kinds: Mapping[str, Any],
    cells: Sequence[str],
    problems: int,
    run: Callable[[Any, int], pd.DataFrame | Mapping[str, Any]],
) -> Iterator[pd.DataFrame]:
    """Yield the rows of each cell: those that a folder holds, and what is missing, which it then holds.

    Parameters
    ----------
    folder : str
        Of the results files, one a cell.
    name : str
        With which their names begin.
    kinds : mapping of cell to what `run` takes
    cells : sequence of str
    problems : int
        Of each cell.
    run : function of a kind and a seed
        Returns the rows of one problem, or the one row as a mapping.
    """
    from pathlib import Path

    import pandas as pd

    for cell in cells:
        path = Path(folder) / f"{name}-{cell}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        done = pd.read_csv(path) if path.exists() else pd.DataFrame({"seed": []})
        for seed in range(done["seed"].nunique(), problems):
            found = run(kinds[cell], seed)
            rows = pd.DataFrame([found] if isinstance(found, Mapping) else found).assign(cell=cell, seed=seed)
            done = pd.concat([done, rows], ignore_index=True) if len(done) else rows
            done.to_csv(path, index=False)
        yield done[done["seed"] < problems]


def tables_by_problem(
    name: str,
    kinds: Mapping[str, Any],
    problems: int,
    run: Callable[[Any, int], pd.DataFrame | Mapping[str, Any]],
    tables: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]],
) -> Callable[..., None]:
    """Return the ``main`` of a study that tries one problem after another.

    Parameters
    ----------
    name, kinds, problems, run
        As for `ran_by_problem`.
    tables : mapping of name to function
        What makes each table from the rows of all problems.

    Returns
    -------
    callable
        ``main(folder="results", tables="results", *, cells=kinds, problems=problems)`` runs the problems that `folder`
        does not hold yet, and writes the tables to the folder `tables` as CSV.
    """
    made, number = tables, problems

    def main(
        folder: str = "results",
        tables: str = "results",
        *,
        cells: Sequence[str] = tuple(kinds),
        problems: int = number,
    ) -> None:
        from pathlib import Path

        import pandas as pd

        ran = pd.concat(ran_by_problem(folder, name, kinds, cells, problems, run))
        for table, make in made.items():
            make(ran).to_csv(Path(tables) / f"{table}.csv")

    return main


def by_cell(
    problems: pd.DataFrame, row_of: Callable[[pd.DataFrame], Mapping[str, float]], *, of_all: bool = False
) -> pd.DataFrame:
    """Return a table with a row for each cell: the number of its problems, and what is told of them.

    Parameters
    ----------
    problems : DataFrame
        With a column ``cell``.
    row_of : function of the problems of a cell
    of_all : bool
        Whether a last row "all" tells the same of all problems.
    """
    import pandas as pd

    groups = [*problems.groupby("cell", sort=False), *[("all", problems)] * of_all]
    table = {cell: {"problems": len(group), **row_of(group)} for cell, group in groups}
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("cell")


def rounding(values: pd.Series) -> pd.Series:
    """Return by how much a number may differ from values that it is the same as."""
    return 1e-9 * (1 + values.abs())


def share(name: str, happened: pd.Series) -> dict[str, float]:
    """Return the share of what happened, and its 95% interval by Wilson, under a name, `_lower` and `_upper`.

    Examples
    --------
    >>> import pandas as pd
    >>> told = share("kept", pd.Series([True] * 9 + [False]))
    >>> [round(value, 2) for value in told.values()]
    [0.9, 0.6, 0.98]
    """
    from scipy.stats import binomtest

    ends = binomtest(int(happened.sum()), len(happened)).proportion_ci(method="wilson")
    return {name: float(happened.mean()), f"{name}_lower": float(ends.low), f"{name}_upper": float(ends.high)}
