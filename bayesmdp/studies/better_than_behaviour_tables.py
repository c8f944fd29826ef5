"""The tables of :mod:`bayesmdp.studies.better_than_behaviour`: gains by method, and what the check makes of bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["summary", "summary_checked"]


def summary_checked(problems: pd.DataFrame) -> pd.DataFrame:
    """What the check does, by method over cells and in all.

    Parameters
    ----------
    problems : DataFrame
        Columns ``cell``, ``seed`` and those of `run_checked`.

    Returns
    -------
    DataFrame
        A row each cell and method, and for the cell "all" each method: ``kept_raw`` and ``kept`` with Wilson's 95%
        intervals, the same of the value where problems tell it, ``gain`` and ``worse``, ``advised``, ``followed`` and
        ``followed_worse`` with Wilson's interval, ``brier_raw`` and ``brier``.
    """
    import numpy as np
    import pandas as pd

    from bayesmdp.studies.by_problem import rounding, share

    table = []
    for cell, own in [*problems.groupby("cell", sort=False), ("all", problems)]:
        for method, group in own.groupby("method", sort=False):
            gain, advised = group["gain"].to_numpy(), (group["status"] == "better").to_numpy()
            row = {"cell": cell, "method": method, "problems": len(group)}
            for name, bound in (("kept_raw", group["raw"]), ("kept", group["bound"])):
                row |= share(name, group["gain"] >= bound - 1e-9)
            if "promise" in group:
                slack = rounding(group["truth"])
                for name in ("promise_raw", "promise"):
                    row |= share(f"{name}_kept", group["truth"] >= group[name] - slack)
            worse = gain < -1e-9
            row |= {"gain": gain.mean(), "worse": worse.mean(), "advised": advised.mean()}
            row |= {"followed": np.where(advised, gain, 0).mean()} | share("followed_worse", pd.Series(worse & advised))
            for name in ("better_raw", "better"):
                row[name.replace("better", "brier")] = ((group[name] - (gain > 1e-9)) ** 2).mean()
            table.append(row)
    return pd.DataFrame(table).set_index(["cell", "method"])


def summary(problems: pd.DataFrame) -> pd.DataFrame:
    """Mean gain with its interval, the worst tenth, the share worse than the behaviour, and bounds kept.

    Parameters
    ----------
    problems : DataFrame
        Columns ``cell``, ``seed`` and those of `run_problem`.

    Returns
    -------
    DataFrame
        A row each cell and method.
    """
    import numpy as np
    import pandas as pd
    from scipy.stats import bootstrap

    table = []
    for (cell, method), group in problems.groupby(["cell", "method"], sort=False):
        gain = np.sort(group["gain"].to_numpy())
        low, high = np.nan, np.nan
        if len(gain) > 1:
            ends = bootstrap((gain,), np.mean, rng=0, method="percentile").confidence_interval
            low, high = float(ends.low), float(ends.high)
        worst = gain[: max(1, len(gain) // 10)]
        told = group["bound"].notna()
        kept = float((group["gain"] >= group["bound"] - 1e-9)[told].mean()) if told.any() else np.nan
        brier = float(((group["better"] - (group["gain"] > 1e-9)) ** 2)[told].mean()) if told.any() else np.nan
        table.append(
            {
                "cell": cell,
                "method": method,
                "problems": len(group),
                "gain": gain.mean(),
                "gain_lower": low,
                "gain_upper": high,
                "worst_tenth": worst.mean(),
                "worse": float((gain < -1e-9).mean()),
                "bound_kept": kept,
                "better_said": group["better"].mean(),
                "brier": brier,
            }
        )
    return pd.DataFrame(table).set_index(["cell", "method"])
