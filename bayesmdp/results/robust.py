"""Summaries that a few unlucky runs do not rule: interquartile means, performance profiles, and ranks.

The interquartile mean is that of the middle half of the runs; the performance profile is the whole distribution, the
share of runs with at most a total (Agarwal et al. 2021, whose package ``rliable`` has both). Intervals are percentiles
of a bootstrap in which replicates are drawn anew, the same for all settings, since replicates share their random
numbers, and apart in each problem; with ``problems="resampled"`` problems are drawn anew too, so that intervals speak
of problems like these and not of these.

Ranks: where all pairs are tested at once so that any claim is false with probability at most alpha
(:mod:`bayesmdp.results.sign_flips`, one look), a setting with b settings surely below and w surely above has a rank
from 1 + b to n - w, and all ranks of a problem lie in their intervals with probability 1 - alpha (Mogstad, Romano,
Shaikh and Wilhelm 2024).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.validation import integer, number
from bayesmdp.results.setting_names import baseline_rows, check_totals, is_baseline, parse_setting, setting_text
from bayesmdp.results.sign_flips import flip_statistics, reject

__all__ = ["performance_profiles", "robust_summary"]

FLIPS = 10_000
BATCH = 250
"""Resamples at a time."""
POINTS = 200
"""Most totals at which a profile is told, by default."""


def robust_summary(
    totals: pd.DataFrame,
    *,
    relative_to: str | Mapping[str, Any] | None = None,
    problems: Literal["fixed", "resampled"] = "fixed",
    best: Literal["lowest", "highest"] = "lowest",
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Interquartile mean of each setting, and its rank among those of its problem, with intervals.

    Parameters
    ----------
    totals : DataFrame [setting, replicate]
        From :func:`~bayesmdp.results.comparison.final_totals`. Replicates that a setting of the problem has not
        finished are left out.
    relative_to : str or mapping, optional
        A baseline, such as ``"PSRL"``, by whose mean in the same problem totals are divided, and then pooled over
        problems. By default each problem has rows of its own.
    problems : {"fixed", "resampled"}
        Whether the bootstrap draws problems anew too, where they are pooled.
    best : {"lowest", "highest"}
        Which mean has rank 1: of regret the lowest, of reward the highest.
    confidence : float in (0, 1)
        Of each interquartile mean, and of all ranks together.
    resamples : int
        Of the bootstrap.
    seed : int
        Of its random numbers.

    Returns
    -------
    DataFrame [setting]
        ``iqm``, ``lower``, ``upper``; ``rank`` by means, ``rank_lower``, ``rank_upper``; ``replicates``.

    Raises
    ------
    ValueError, KeyError
        If no replicate is whole, or the baseline is not there, or not for all settings, or earns nothing to be measured
        by.

    See Also
    --------
    bayesmdp.compare : means of paired differences, with intervals.
    bayesmdp.performance_profiles : the whole distribution.

    Examples
    --------
    >>> runs = np.arange(8) % 5 + np.array([[0.0], [9.0]])
    >>> totals = pd.DataFrame(runs, index=pd.Index(["BEB", "PSRL"], name="agent"))
    >>> robust_summary(totals)[["iqm", "rank", "rank_upper"]]
           iqm  rank  rank_upper
    agent
    BEB    1.5     1           1
    PSRL  10.5     2           2
    """
    number("confidence", confidence, above=0, below=1)
    if best not in ("lowest", "highest"):
        raise ValueError(f"best must be 'lowest' or 'highest'; got {best!r}")
    tables, groups = [], _groups(totals, relative_to)
    for group in groups:
        found = _bootstrapped(group, _middle_mean, problems, confidence, resamples, seed)
        signed = group._replace(scores=-group.scores) if best == "highest" else group
        tables.append(_ranks(signed, 1 - confidence).assign(**dict(zip(("iqm", "lower", "upper"), found, strict=True))))
    columns = ["iqm", "lower", "upper", "rank", "rank_lower", "rank_upper", "replicates"]
    table = pd.concat(tables)[columns].iloc[_in_order(groups)]
    table.attrs = dict(totals.attrs) if relative_to is None else {}
    return table


def performance_profiles(
    totals: pd.DataFrame,
    thresholds: ArrayLike | None = None,
    *,
    relative_to: str | Mapping[str, Any] | None = None,
    problems: Literal["fixed", "resampled"] = "fixed",
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of runs whose total is at most a threshold, for many thresholds.

    Parameters
    ----------
    totals : DataFrame [setting, replicate]
    thresholds : array, optional
        By default the totals that there are, or 200 of their quantiles.
    relative_to, problems, confidence, resamples, seed
        As for `robust_summary`. Intervals hold at each threshold by itself.

    Returns
    -------
    DataFrame
        Indexed by setting and ``threshold``: ``share``, ``lower``, ``upper``.

    Raises
    ------
    ValueError, KeyError
        As for `robust_summary`, and for thresholds that are not finite.

    See Also
    --------
    bayesmdp.robust_summary : one number a setting.
    bayesmdp.plot_profiles : the figure.

    Examples
    --------
    >>> totals = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], index=pd.Index(["PSRL"], name="agent"))
    >>> performance_profiles(totals, [2.0])["share"].item()
    0.5
    """
    number("confidence", confidence, above=0, below=1)
    parts = []
    groups = _groups(totals, relative_to)
    at = _where_they_rise(groups) if thresholds is None else np.atleast_1d(np.asarray(thresholds, float))
    if not np.isfinite(at).all():
        raise ValueError(f"thresholds[{np.flatnonzero(~np.isfinite(at))[0]}] is not a finite number")
    for group in groups:

        def shares(scores: Float[NDArray[np.float64], "... run"]) -> Float[NDArray[np.float64], "... threshold"]:
            ordered = np.sort(scores, axis=-1).reshape(-1, scores.shape[-1])
            counts = np.array([np.searchsorted(row, at, side="right") for row in ordered])
            return counts.reshape(*scores.shape[:-1], len(at)) / scores.shape[-1]

        found = _bootstrapped(group, shares, problems, confidence, resamples, seed)
        for i, place in enumerate(group.settings):
            told = dict(zip(("share", "lower", "upper"), (each[i] for each in found), strict=True))
            index = pd.MultiIndex.from_tuples(
                [(*(place if isinstance(place, tuple) else (place,)), threshold) for threshold in at],
                names=[*group.settings.names, "threshold"],
            )
            parts.append(pd.DataFrame(told, index=index))
    table = pd.concat(parts)
    table.attrs = {"confidence": confidence}
    return table


class _Group(NamedTuple):
    """Settings that are compared with each other, where they stand, and their scores [setting, problem, replicate]."""

    rows: NDArray[np.int64]
    settings: pd.Index[Any]
    scores: Float[NDArray[np.float64], "setting problem replicate"]


def _groups(totals: pd.DataFrame, relative_to: str | Mapping[str, Any] | None) -> list[_Group]:
    """The settings of each problem or, relative to a baseline, those of all problems."""
    check_totals(totals)
    if not len(totals):
        raise ValueError("there are no settings in these totals")
    by = list(totals.attrs.get("problem", []))
    settings = totals.index.to_frame(index=False)
    problem = _keys(settings[by])
    if relative_to is None:
        return [_whole(rows, totals.index[rows], totals.iloc[rows].to_numpy(float)[:, None]) for rows in _rows(problem)]
    baseline = parse_setting(relative_to) if isinstance(relative_to, str) else dict(relative_to)
    partner = baseline_rows(settings, baseline)
    # A baseline is its own partner.
    partner = np.where(is_baseline(settings, baseline), np.arange(len(partner)), partner)
    if (partner < 0).any():
        alone = setting_text(totals.index[int((partner < 0).argmax())], totals.index.names)
        raise ValueError(f"{alone} has no baseline with the same options: give the baseline values of these")
    means = totals.mean(axis=1).to_numpy(float)[partner]
    if not (means > 0).all():
        raise ValueError(f"the baseline's mean is {means[means <= 0][0]:g} in a problem: nothing is relative to that")
    scores = totals.div(means, axis=0).assign(problem=problem)
    own = [str(name) for name in totals.index.names if name not in by]
    places = _rows(_keys(settings[own]))
    values = [scores.iloc[rows].sort_values("problem").drop(columns="problem").to_numpy(float) for rows in places]
    if len({len(each) for each in values}) > 1:
        raise ValueError("not every setting is there in every problem: pooled totals would be of other problems")
    index: pd.Index[Any] = pd.MultiIndex.from_frame(settings[own].iloc[[rows[0] for rows in places]])
    index = index if len(own) > 1 else index.get_level_values(0)
    return [_whole(np.arange(len(index)), index, np.array(values))]


def _where_they_rise(groups: list[_Group]) -> NDArray[np.float64]:
    """All totals or, of many, so many quantiles."""
    every = np.unique(np.concatenate([group.scores.ravel() for group in groups]))
    if len(every) > POINTS:
        every = np.unique(np.quantile(every, np.linspace(0, 1, POINTS), method="inverted_cdf"))
    return every


def _keys(options: pd.DataFrame) -> list[str]:
    """One text a row, the same for the same options, missing ones too."""
    return [json.dumps(row) for row in options.astype(object).map(str).to_numpy().tolist()]


def _rows(keys: list[str]) -> list[NDArray[np.int64]]:
    """The rows of each key, in the order in which keys appear."""
    return [np.flatnonzero(np.array(keys) == key) for key in dict.fromkeys(keys)]


def _in_order(groups: list[_Group]) -> NDArray[np.int64]:
    """What puts the settings of all groups back in the order of the totals."""
    return np.argsort(np.concatenate([group.rows for group in groups]))


def _whole(rows: NDArray[np.int64], index: pd.Index[Any], scores: NDArray[np.float64]) -> _Group:
    """Those replicates that every setting has."""
    there = np.isfinite(scores).all((0, 1))
    if not there.any():
        raise ValueError("no replicate was finished by all settings")
    return _Group(rows, index, scores[..., there])


def _middle_mean(scores: Float[NDArray[np.float64], "... run"]) -> Float[NDArray[np.float64], "..."]:
    """Mean of the middle half: floor(n / 4) runs are cut at either end."""
    from scipy.stats import trim_mean  # half a second to import, which a run need not wait for

    return np.asarray(trim_mean(scores, 0.25, axis=-1))


def _bootstrapped(
    group: _Group, statistic: Any, problems: str, confidence: float, resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A statistic of each setting's runs, and the percentiles of its bootstrap."""
    if problems not in ("fixed", "resampled"):
        raise ValueError(f"problems must be 'fixed' or 'resampled'; got {problems!r}")
    integer("resamples", resamples, 1)
    scores, rng = group.scores, np.random.default_rng(seed)
    settings, count, replicates = scores.shape
    found = []
    for first in range(0, resamples, BATCH):
        size = min(BATCH, resamples - first)
        drawn = np.broadcast_to(np.arange(count), (size, count))
        if problems == "resampled":
            drawn = rng.integers(count, size=(size, count))
        picked = rng.integers(replicates, size=(size, count, replicates))
        found.append(statistic(scores[:, drawn[..., None], picked].reshape(settings, size, -1)))
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    lower, upper = np.quantile(np.concatenate(found, axis=1), tails, axis=1)
    return statistic(scores.reshape(settings, -1)), lower, upper


def _ranks(group: _Group, level: float) -> pd.DataFrame:
    """Ranks of means over problems, with intervals from all pairs."""
    scores = group.scores.mean(1)
    count, replicates = scores.shape
    below = np.zeros((count, count), bool)
    pairs = np.array(list(combinations(range(count), 2))).reshape(-1, 2)
    if len(pairs) and replicates > 1:
        differences = scores[pairs[:, 0]] - scores[pairs[:, 1]]
        flips = flip_statistics(differences, [replicates], flips=FLIPS)
        every = np.ones(len(pairs), bool)
        rejected, _ = reject(flips, every, every, level=level, num_looks=1)
        for (i, j), apart in zip(pairs[rejected], differences.mean(1)[rejected], strict=True):
            below[(i, j) if apart < 0 else (j, i)] = True
    mean = scores.mean(1)
    columns = {
        "rank": 1 + (mean[:, None] > mean).sum(1),
        "rank_lower": 1 + below.sum(0),
        "rank_upper": count - below.sum(1),
        "replicates": replicates,
    }
    return pd.DataFrame(columns, index=group.settings)
