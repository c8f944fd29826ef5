"""The tables that studies wrote when they were run: what the tutorials tell and ``bayesmdp claims`` judges.

One CSV file a table, written by ``make study``; the study of the table's name says what was run and what the columns
hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmdp.foundation.suggestions import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["stored_table"]

PLACE = Path(__file__).parent


def stored_table(name: str, **options: Any) -> pd.DataFrame:
    """Read the stored table of a study.

    Parameters
    ----------
    name : str
        Such as ``"levels_regret"``.
    **options
        Of :func:`pandas.read_csv`.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        If there is none of that name, with the name that is nearest.

    Examples
    --------
    >>> stored_table("risky_lake_kappa", index_col="agent").columns[:2].tolist()
    ['regret', 'regret_lower']
    """
    import pandas as pd

    path = PLACE / f"{name}.csv"
    if not path.exists():
        raise ValueError(f"no table {name!r}; {did_you_mean(name, (file.stem for file in PLACE.glob('*.csv')))}")
    return pd.read_csv(path, **options)
