"""Settings by name: an agent and its options as a line of text, and which setting each is compared with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["baseline_rows", "check_totals", "is_baseline", "parse_setting", "setting_text"]


def check_totals(totals: Any) -> None:
    """Refuse anything but a table of totals, such as the result that they are of.

    Parameters
    ----------
    totals : DataFrame [setting, replicate]

    Raises
    ------
    TypeError
    """
    if not isinstance(totals, pd.DataFrame):
        raise TypeError(
            "totals must be a DataFrame [setting, replicate], as bm.comparison.final_totals(result) makes; got "
            f"{type(totals).__name__}"
        )


def parse_setting(text: str) -> dict[str, Any]:
    """``"AQ-BRMDP,scale=1"`` as ``{"agent": "AQ-BRMDP", "scale": 1}``.

    Examples
    --------
    >>> parse_setting("BRMDP-0.1,discount=0.95")
    {'agent': 'BRMDP-0.1', 'discount': 0.95}
    """
    from bayesmdp.foundation.text_values import json_or_text

    agent, *options = re.split(r",(?![^\[]*\])", text)  # not within lists
    told: dict[str, Any] = {"agent": agent.strip()}
    for option in options:
        name, equals, value = option.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise ValueError(f"{text!r} is not AGENT,OPTION=VALUE,..., such as AQ-BRMDP,scale=1")
        told[name.strip()] = json_or_text(value.strip())
    return told


def setting_text(place: Any, names: Sequence[Any]) -> str:
    """``("AQ-BRMDP", 1.0, nan)`` as ``"AQ-BRMDP,scale=1"``, which `parse_setting` reads.

    Parameters
    ----------
    place : label, or tuple of labels
        A row's, of a table of settings.
    names : sequence of str
        Of the row index's levels, the first of which is the agent.

    Returns
    -------
    str

    Examples
    --------
    >>> setting_text(("AQ-BRMDP", 1.0, float("nan")), ["agent", "scale", "discount"])
    'AQ-BRMDP,scale=1'
    """
    agent, *values = place if isinstance(place, tuple) else (place,)
    # A column with missing values has floats for whole numbers, and a list is text.
    there = [(name, value) for name, value in zip(names[1:], values, strict=True) if not _missing(value)]
    return ",".join([str(agent), *(f"{name}={_plain_text(value)}" for name, value in there)])


def _missing(value: Any) -> bool:
    return value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _plain_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    value = value.item() if hasattr(value, "item") else value
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def baseline_rows(settings: pd.DataFrame, baseline: Mapping[str, Any]) -> NDArray[np.int64]:
    """Find the setting with which each is compared.

    Parameters
    ----------
    settings : DataFrame [setting]
        A column an option, ``agent`` among them.
    baseline : mapping of option to value
        From `parse_setting`.

    Returns
    -------
    array [setting]
        Rows; -1 for baselines, and where there is none.

    Raises
    ------
    ValueError, KeyError
        If the baseline is not there, or a setting does not say which of several it is to be compared with.

    Examples
    --------
    >>> baseline_rows(pd.DataFrame({"agent": ["PSRL", "BEB", "BOSS"]}), {"agent": "PSRL"}).tolist()
    [-1, 0, 0]
    """
    known, chosen = list(settings.columns), is_baseline(settings, baseline)
    left = [option for option in known if option not in baseline]
    open_options = [option for option in left if settings.loc[chosen, option].notna().any()]
    of = {
        tuple(row): i for i, row in zip(np.flatnonzero(chosen), settings.loc[chosen, open_options].values, strict=True)
    }
    partner = np.full(len(settings), -1)
    for i in np.flatnonzero(~chosen):
        told = settings[open_options].iloc[i]
        lacking = [option for option, value in told.items() if pd.isna(value)]
        if lacking:
            raise ValueError(
                f"{settings['agent'].iloc[i]} has no {lacking[0]}, so it could be compared with several baselines: "
                "give the baseline a value of it"
            )
        if tuple(told) in of:
            partner[i] = of[tuple(told)]
    if (partner < 0).all():
        raise ValueError("there is nothing but the baseline to compare")
    return partner


def is_baseline(settings: pd.DataFrame, baseline: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Find the settings that a baseline names.

    Parameters
    ----------
    settings : DataFrame [setting]
        A column an option, ``agent`` among them.
    baseline : mapping of option to value
        From `parse_setting`.

    Returns
    -------
    array [setting]

    Raises
    ------
    KeyError
        If there is none.

    Examples
    --------
    >>> is_baseline(pd.DataFrame({"agent": ["PSRL", "BEB"]}), {"agent": "PSRL"}).tolist()
    [True, False]
    """
    known = list(settings.columns)
    chosen = np.ones(len(settings), bool)
    for option, value in baseline.items():
        if option not in known:
            raise KeyError(f"the baseline's {option!r} is not swept; there is {', '.join(known)}")
        # What is neither number nor word is text in a store.
        chosen &= (
            settings[option]
            .map(lambda held, value=value: held in (value, str(value), json.dumps(value)))
            .to_numpy(bool)
        )
        if not chosen.any():
            held = ", ".join(map(str, settings[option].dropna().unique()))
            raise KeyError(f"no baseline with {option} = {value!r}; there is {held}")
    return chosen
