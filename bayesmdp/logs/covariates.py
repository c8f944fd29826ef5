"""Covariates of a log: what else is known of each step, for models whose rows depend on it.

A covariate has one value a step, and a model reads it as ``data.NAME`` [row]: a number as it is, a label as its
position in the set of labels, which the log's variable carries as its attr ``labels``. Rows of data are then distinct
in the covariates that the model reads, and in no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.foundation.text_values import with_point
from bayesmdp.logs.log import as_labels
from bayesmdp.logs.log_labels import read_labels
from bayesmdp.logs.log_sources import Table
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.problems.labels import label_array

__all__ = ["choose_covariates", "covariates_of", "read_covariates"]

TAKEN = {*dir(Transitions), "terminated", "truncated", "step"}
"""Names that rows of data have already."""


def choose_covariates(table: Table, names: Sequence[str], chosen: dict[str, int]) -> dict[str, int]:
    """Find the columns that are to be covariates.

    Parameters
    ----------
    table : Table
        The source.
    names : sequence of str
        Their names there, by which models will read them.
    chosen : dict of name to position
        The columns that are taken already.

    Returns
    -------
    dict of name to position

    Raises
    ------
    TypeError, ValueError
        For a name that is none of the source's, is used already, or cannot be read as ``data.NAME``.
    """
    if isinstance(names, str):
        raise TypeError(f"covariates must be a list of names; got {names!r}: write [{names!r}]")
    places = {}
    for name in names:
        if name not in table.columns:
            raise ValueError(
                f"{table.name} has no column {name!r} for a covariate; {did_you_mean(name, table.columns)}"
            )
        if not str(name).isidentifier() or name in TAKEN or str(name).startswith("_"):
            raise ValueError(
                f"a model cannot read data.{name}: the covariate {name!r} needs a name of letters, digits and _ that "
                "is not one of a log's own; rename the column"
            )
        place = table.columns.index(name)
        if place in chosen.values():
            raise ValueError(f"the column {name!r} of {table.name} is the log's {_of(place, chosen)} already")
        places[str(name)] = place
    return places


def _of(place: int, chosen: dict[str, int]) -> str:
    return next(ours for ours, taken in chosen.items() if taken == place)


def read_covariates(table: Table, frame: pd.DataFrame, names: Sequence[str]) -> dict[str, xr.Variable]:
    """Read columns as covariates, as a log holds them.

    Parameters
    ----------
    table : Table
        The source, for messages.
    frame : DataFrame
        The steps.
    names : sequence of str

    Returns
    -------
    dict of variables over ``step``
        Numbers, or labels with their set as the attr ``labels``.

    Raises
    ------
    ValueError
        For a value that is missing, or is no finite number where others are: with place, column and remedy.
    """
    variables = {}
    for name in names:
        numbers = _numbers(table, name, frame[name])
        if numbers is not None:
            variables[name] = xr.Variable("step", numbers)
            continue
        labels, (position,) = read_labels(table, frame, (name,), None, None)
        variables[name] = xr.Variable("step", label_array(labels)[position], {"labels": labels})
    return variables


def _numbers(table: Table, name: str, column: pd.Series) -> NDArray[Any] | None:
    """A column of numbers, whole ones as integers; None where it holds labels."""
    categories = isinstance(column.dtype, pd.CategoricalDtype)
    missing = column.isna()
    if missing.any():
        table.refuse(int(missing.argmax()), f"the covariate {name!r} is missing", "fill it in, or leave the row out")
    text = categories or any(isinstance(value, str) for value in column.to_numpy(object))
    if text and not table.written:  # whose digits are names there
        return None
    if pd.api.types.is_bool_dtype(column):
        return column.to_numpy(np.int64)
    if categories:  # of text, as a file has everything
        words = column.cat.categories.astype(str).str.lower()
        if set(words) <= {"true", "false"}:
            return (words == "true").astype(np.int64)[column.cat.codes.to_numpy()]
        texts = column.cat.categories.to_series()
        if table.decimal == ",":
            texts = texts.map(with_point)
        numbers = pd.to_numeric(texts, errors="coerce").take(column.cat.codes.to_numpy())
    else:
        numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any():  # text
        return None
    values = numbers.to_numpy()
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int64)
    wrong = ~np.isfinite(values)
    if wrong.any():
        table.refuse(int(wrong.argmax()), f"the covariate {name!r} is {values[wrong.argmax()]}", "give a finite number")
    return values.astype(np.float64)


def covariates_of(log: xr.Dataset) -> dict[str, NDArray[Any]]:
    """A log's covariates [step] by name, as models read them: numbers, and positions of labels.

    Raises
    ------
    ValueError
        If the log lacks a covariate that its attrs name.
    """
    values: dict[str, NDArray[Any]] = {}
    for name in map(str, as_labels(log.attrs.get("covariates", []))):
        if name not in log or log[name].dims != ("step",):
            raise ValueError(f"log.attrs['covariates'] names {name!r}, but the log has no such variable over 'step'")
        column = log[name].values
        if "labels" in log[name].attrs:
            position = {label: i for i, label in enumerate(as_labels(log[name].attrs["labels"]))}
            column = np.array([position[label] for label in column.tolist()], np.int64)
        values[name] = column
    return values
