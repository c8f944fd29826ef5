"""Comparing many settings honestly: paired on common random numbers, and corrected for how many are compared.

Every setting of a sweep, like every agent of a run, meets the same random numbers in the same replicate, so settings
are compared by their differences within replicates, which vary less than the settings do. Of a hundred differences that
are nothing, five are significant at 5%: p-values are adjusted for all that stand in a table (Holm's step-down method by
default, which bounds the probability of a single false claim; or Benjamini and Hochberg's, the share of false ones).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import stdtrit

from bayesmdp.foundation.validation import number
from bayesmdp.results import files as results
from bayesmdp.results.setting_names import baseline_rows, check_totals, is_baseline, parse_setting, setting_text
from bayesmdp.results.sweep_files import SHARED

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["corrected", "final_totals", "option_effects", "paired_differences", "settings_table"]

ROUNDING = 1e-9
"""A difference smaller than this share of the totals is none."""
CORRECTIONS = ("holm", "bh", "none")


def final_totals(
    source: xr.DataTree | str | PathLike[str], *, quantity: str = "regret", steps: int | None = None
) -> pd.DataFrame:
    """The sum of a quantity over each run.

    Parameters
    ----------
    source : DataTree or path
        A sweep's store or what :func:`~bayesmdp.sweeps.read_sweep` gives; a result of `simulate`, or a file of one.
    quantity : str
        Such as ``regret``, ``robust_regret`` or ``reward``.
    steps : int, optional
        Of a sweep: sum over so many. By default over as many as all runs have that were begun, so that a sweep which is
        being given more steps can be compared as far as it is. Runs that have fewer count as missing. Where ``steps``
        themselves are swept, each setting has its own.

    Returns
    -------
    DataFrame
        A row a setting, indexed by ``agent`` and the swept options (missing where an agent has no such option), a
        column a replicate; NaN where a run is missing. Its ``attrs["problem"]`` names the options that are not of
        agents but of the problem they are set.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such source, or none of its agents has the quantity by step.

    Examples
    --------
    >>> regret = (("agent", "replicate", "step"), [[[1.0, 2.0], [3.0, 4.0]]])
    >>> final_totals(xr.DataTree(xr.Dataset({"regret": regret}, {"agent": ["PSRL"], "replicate": [0, 1]})))
    replicate    0    1
    agent
    PSRL       3.0  7.0
    """
    if not isinstance(source, xr.DataTree):
        path = Path(source)
        from bayesmdp.results.sweep_files import read_sweep

        source = read_sweep(path, chunks={}) if path.is_dir() or not path.exists() else results.load(path)
    if "axes" not in source.attrs:
        totals = results.root_dataset(source, quantity)[quantity].sum("step", skipna=False)
        return pd.DataFrame(
            totals.transpose("agent", "replicate").values,
            index=pd.Index(totals["agent"].values.astype(str), name="agent"),
            columns=pd.Index(totals["replicate"].values, name="replicate"),
        )
    axes = list(dict.fromkeys(axis["name"] for axis in json.loads(source.attrs["axes"])))
    parts = []
    datasets = {agent: node.to_dataset(inherit=True) for agent, node in source.children.items()}
    begun = [done[done > 0] for done in (data["steps_done"].values for data in datasets.values())]
    common = min((int(done.min()) for done in begun if done.size), default=source.attrs["steps"])
    # Of tasks, steps_done counts the steps of one and is as long as all runs are.
    tasks = max(1, max(len(np.unique(data["task"])) if "task" in data else 1 for data in datasets.values()))
    for agent, data in datasets.items():
        if quantity not in data or "step" not in data[quantity].dims:
            continue
        wanted = data["steps"] if "steps" in data.dims else steps or common
        within = data[quantity].where(data["step"] <= wanted * tasks)
        total = within.sum("step").where(data["steps_done"] >= wanted).compute()
        dims = [str(dim) for dim in total.dims if dim != "replicate"]
        names = list(total["replicate"].values)
        rows = total.transpose(*dims, "replicate").values.reshape(-1, len(names))
        settings = (
            pd.MultiIndex.from_product([total[dim].values for dim in dims], names=dims).to_frame(index=False)
            if dims
            else pd.DataFrame(index=[0])
        )
        settings = settings.reindex(columns=axes).assign(agent=agent)
        parts.append(pd.concat([settings, pd.DataFrame(rows, columns=names)], axis=1))
    if not parts:
        raise ValueError(f"no agent of this sweep has {quantity!r} by step yet")
    whole = pd.concat(parts, ignore_index=True).set_index(["agent", *axes] if axes else "agent")
    whole.attrs["problem"] = [axis["name"] for axis in json.loads(source.attrs["axes"]) if axis["place"] in SHARED]
    return whole.rename_axis(columns="replicate")


def settings_table(totals: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Mean of each setting with Student's t interval.

    Parameters
    ----------
    totals : DataFrame [setting, replicate]
        From `final_totals`.
    confidence : float in (0, 1)

    Returns
    -------
    DataFrame [setting]
        ``mean``, ``lower``, ``upper`` and ``replicates``, the number of those that are finished.

    Examples
    --------
    >>> settings_table(pd.DataFrame([[1.0, 2.0, 3.0]], index=["PSRL"]))["upper"].round(3).item()
    4.484
    """
    check_totals(totals)
    return _intervals(totals, confidence)


def paired_differences(
    totals: pd.DataFrame,
    baseline: str | Mapping[str, Any],
    *,
    correction: Literal["holm", "bh", "none"] = "holm",
    test: Literal["t", "wilcoxon"] = "t",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Each setting less the baseline's, replicate by replicate.

    A setting is compared with the baseline at the same values of all options that the baseline leaves open: with
    ``"PSRL"``, at the same discount; with ``"AQ-BRMDP,scale=1"``, at the same discount and sensitivity.

    Parameters
    ----------
    totals : DataFrame [setting, replicate]
        From `final_totals`.
    baseline : str or mapping
        An agent, and values of options: ``"AQ-BRMDP,scale=1"`` or ``{"agent": "AQ-BRMDP", "scale": 1}``.
    correction : {"holm", "bh", "none"}
        For how many settings there are: Holm's of the probability of any false claim, Benjamini and Hochberg's of the
        share of false claims.
    test : {"t", "wilcoxon"}
        Student's on the differences, or Wilcoxon's signed ranks, which long tails do not disturb.
    confidence : float in (0, 1)
        Of the intervals, which are of one difference each, and of the claims.

    Returns
    -------
    DataFrame [setting]
        ``difference`` (negative is better, of regret), ``lower``, ``upper``; ``relative``, as a share of the baseline's
        mean; ``better``, the share of replicates in which it is below zero; ``p``, ``p_adjusted`` and ``significant``;
        ``replicates``.

    Raises
    ------
    ValueError, KeyError
        If the baseline is not there, or a setting does not say which of several it is to be compared with.

    Warns
    -----
    UserWarning
        With the settings that are left out, since there is no baseline with the same options.

    Examples
    --------
    >>> totals = pd.DataFrame([[5.0, 7.0, 6.0], [1.0, 2.0, 3.0]], index=pd.Index(["PSRL", "AQ-BRMDP"], name="agent"))
    >>> paired_differences(totals, "PSRL")[["difference", "significant"]].round(2)
              difference  significant
    agent
    AQ-BRMDP        -4.0         True
    """
    check_totals(totals)
    number("confidence", confidence, above=0, below=1)
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}; got {correction!r}")
    if test not in ("t", "wilcoxon"):
        raise ValueError(f"test must be 't' or 'wilcoxon'; got {test!r}")
    settings = totals.index.to_frame(index=False)
    named = parse_setting(baseline) if isinstance(baseline, str) else dict(baseline)
    partner = baseline_rows(settings, named)
    alone = totals.index[(partner < 0) & ~is_baseline(settings, named)]
    if len(alone):
        warnings.warn(
            f"left out, for there is no baseline with the same options: {len(alone):,} of {len(settings):,} settings, "
            f"first {setting_text(alone[0], totals.index.names)}; give the baseline values of these",
            UserWarning,
            stacklevel=2,
        )
    rows = np.flatnonzero(partner >= 0)
    here, there = totals.to_numpy(float)[rows], totals.to_numpy(float)[partner[rows]]
    apart = here - there
    # Sums of the same run in programs that were compiled apart differ in their last digits.
    apart[np.abs(apart) <= ROUNDING * np.maximum(np.abs(here), np.abs(there))] = 0.0
    differences = pd.DataFrame(apart, index=totals.index[rows], columns=totals.columns)
    table = _intervals(differences, confidence).rename(columns={"mean": "difference"})
    counted = differences.notna()
    both = pd.DataFrame(there, index=differences.index, columns=totals.columns).where(counted)
    table["relative"] = table["difference"] / both.mean(axis=1).to_numpy()
    table["better"] = (differences < 0).sum(axis=1) / counted.sum(axis=1)
    table["p"] = _p_values(differences.values, test)
    tested = table["p"].notna().to_numpy()
    table["p_adjusted"], table["significant"] = np.nan, False
    if tested.any():
        adjusted = corrected(table.loc[tested, "p"].to_numpy(), correction)
        table.loc[tested, "p_adjusted"] = adjusted
        table.loc[tested, "significant"] = adjusted <= 1 - confidence
    table.attrs = dict(totals.attrs)
    return table


def option_effects(totals: pd.DataFrame, *, by: Sequence[str] | None = None, confidence: float = 0.95) -> pd.DataFrame:
    """Return what each option does on average over the others: means over settings, intervals over replicates.

    Parameters
    ----------
    totals : DataFrame [setting, replicate]
        From `final_totals`.
    by : sequence of str, optional
        Options over which nothing is averaged. By default those of the problem: regret in one problem says nothing of
        regret in another.
    confidence : float in (0, 1)

    Returns
    -------
    DataFrame
        A row for each of `by`, agent, option and value: ``mean``, ``lower``, ``upper``, and ``settings``, the number it
        is an average of.

    Raises
    ------
    ValueError
        If no other option has two values.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product([["A"], [1, 2], [0.1, 0.2]], names=["agent", "scale", "rate"])
    >>> totals = pd.DataFrame([[1.0, 1.2], [2.0, 2.2], [3.0, 3.2], [4.0, 4.2]], index=index)
    >>> option_effects(totals).query("option == 'scale'")["mean"].tolist()
    [1.6, 3.6]
    """
    check_totals(totals)
    by = list(totals.attrs.get("problem", []) if by is None else by)
    parts = []
    for place, own in totals.groupby(level=[*by, "agent"], sort=False):
        for option in [name for name in totals.index.names[1:] if name not in by]:
            values = own.index.get_level_values(str(option))
            if values.isna().any() or values.nunique() < 2:
                continue
            groups = own.groupby(level=option, sort=True)
            # A replicate counts where all settings have finished it, so that all are averages of the same.
            table = _intervals(groups.mean().where(groups.count() == groups.size().to_numpy()[:, None]), confidence)
            table["settings"] = groups.size()
            told: dict[str, Any] = dict(
                zip([*by, "agent"], place if isinstance(place, tuple) else (place,), strict=True)
            )
            told |= {"option": option, "value": table.index}
            parts.append(table.reset_index(drop=True).assign(**told))
    if not parts:
        raise ValueError("no option has two values" + (f" apart from {', '.join(by)}" if by else ""))
    return pd.concat(parts).set_index([*by, "agent", "option", "value"])


def _intervals(samples: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Means over what is there of each row, with Student's t intervals."""
    number("confidence", confidence, above=0, below=1)
    count = samples.notna().sum(axis=1)
    mean = samples.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        half = samples.std(axis=1, ddof=1) / np.sqrt(count) * stdtrit((count - 1).clip(lower=1), (1 + confidence) / 2)
    half[count < 2] = np.nan
    return pd.DataFrame({"mean": mean, "lower": mean - half, "upper": mean + half, "replicates": count})


def _p_values(differences: NDArray[Any], test: str) -> NDArray[np.float64]:
    """Two-sided p-values [setting], of no difference [setting, replicate]; what is NaN was not run."""
    from scipy import stats  # half a second to import, which a run need not wait for

    run = ~np.isnan(differences)
    count = run.sum(axis=1)
    least = differences.min(axis=1, where=run, initial=np.inf)
    most = differences.max(axis=1, where=run, initial=-np.inf)
    # The same each time, so there is no spread to go by; that of the signs is left.
    p = np.where(most == least, np.where(most == 0, 1.0, 2.0 ** (1 - count)), np.nan)
    spread = most > least
    if spread.any():
        compare = partial(stats.ttest_1samp, popmean=0.0) if test == "t" else stats.wilcoxon
        p[spread] = compare(differences[spread], axis=1, nan_policy="omit").pvalue
    p[count < 2] = np.nan
    return p


def corrected(p: NDArray[np.float64], correction: str) -> NDArray[np.float64]:
    """P-values [test] corrected for their number: by Holm (1979), by Benjamini and Hochberg (1995), or not at all.

    Examples
    --------
    >>> corrected(np.array([0.01, 0.04, 0.03]), "holm").round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    if correction == "none":
        return p
    if correction == "bh":
        from scipy.stats import false_discovery_control

        return np.asarray(false_discovery_control(p, method="bh"))
    # Holm: the k-th least of m, times m - k + 1; never below an earlier one, never above 1.
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted
