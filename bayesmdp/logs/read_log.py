"""Logs from outside: a file, a data frame, or whatever speaks Arrow in, a checked log out.

What a log holds is said in :mod:`bayesmdp.logs.log`. A practitioner's file seldom says it so well, and some faults
change a plan without a sound: an end of an episode that was only a time limit, a line with one field too few, a column
of ints that one missing value turned into text. So everything is checked here once, and each complaint names the file,
the line, the column, the value and the remedy.

What labels may be is said in :mod:`bayesmdp.logs.log_labels`, what ends an episode in :mod:`bayesmdp.logs.ends`, where
logs come from in :mod:`bayesmdp.logs.log_sources`.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.foundation.text_values import with_point
from bayesmdp.logs.columns import ENDS, choose_columns, unused_columns
from bayesmdp.logs.coordinates import InOrder, read_coordinates
from bayesmdp.logs.counted_log import KINDS_OF_REWARDS, LOOKED_AT, MANY, count_steps
from bayesmdp.logs.covariates import choose_covariates, read_covariates
from bayesmdp.logs.dask_columns import DaskScan
from bayesmdp.logs.ends import check_ends, describe_gaps, refuse_ends_by_place
from bayesmdp.logs.ends_by_name import refuse_ends_by_name
from bayesmdp.logs.ends_left_out import refuse_ends_left_out
from bayesmdp.logs.episodes import alone, in_episodes
from bayesmdp.logs.flags import read_flags
from bayesmdp.logs.log import LARGEST_REWARD
from bayesmdp.logs.log_labels import check_declared, read_labels
from bayesmdp.logs.log_sources import Table, open_table
from bayesmdp.logs.measured_states import Spec
from bayesmdp.logs.recoded import NEXT, recoded_table
from bayesmdp.logs.row_order import Chain, DistinctRows, EachRow, Rows, Unplaced
from bayesmdp.logs.scanned_columns import Scan
from bayesmdp.problems.labels import label_array

__all__ = ["read_log"]


def read_log(
    source: Any,
    *,
    columns: Mapping[str, Any] | None = None,
    state: Spec | None = None,
    coordinates: Sequence[str] | None = None,
    next_columns: str | Mapping[str, str] = NEXT,
    end_column: str | None = None,
    states: Iterable[Hashable] | None = None,
    actions: Iterable[Hashable] | None = None,
    covariates: Sequence[str] = (),
    reward_range: tuple[float, float] | None = None,
    gaps: Literal["warn", "refuse", "cut", "allow"] = "warn",
    episode: Any = None,
    step: Any = None,
    cost: Any = None,
    distinct: bool | None = False,
    separator: str | None = None,
    decimal: Literal[".", ","] = ".",
    encoding: str = "utf-8",
    connection: Any = None,
) -> xr.Dataset:
    """A log from a file, a data frame or a Dataset, one row a step, in the order in which they happened.

    Files may be larger than memory (see `distinct`).

    Parameters
    ----------
    source : path, DataFrame, Dataset, or what speaks Arrow
        ``.csv`` or ``.tsv`` with a header line, perhaps ``.gz``; ``.parquet`` (of ordered categories by the extra
        ``parquet``), ``.jsonl`` or ``.ndjson`` (numbers beside text are text there), ``.arrow`` or ``.feather`` (of
        either format of Arrow; of streams, ``.arrows``, all columns are held), also a folder or a pattern of files of
        these kinds, in the order of their names; a pandas DataFrame; a Dataset over one dim of any name; a frame of
        Polars, perhaps lazy; a table of Arrow; the relation that ``duckdb.sql(...)`` returns, which is read once; a
        query, ``"SELECT * FROM 'log.parquet' ORDER BY time"``, that DuckDB runs (extra ``sql``) or a `connection`, and
        whose answer is held; a dataset of Hugging Face; one of Minari, or a list of episodes, of one observation more
        than actions (:mod:`bayesmdp.logs.recorded_episodes`); a Dask DataFrame, whose partitions are grouped where they
        are if `distinct` is true.
    columns : mapping, optional
        From our names to the source's, as ``{"next_state": "s2"}``. Ours are ``state``, ``action``, ``reward``,
        ``next_state``, and ``terminated`` and ``truncated``, which may be missing (None: leave that one out); other
        columns are left out, unless they seem to say where episodes end: then they must be named, or waved off with
        None.
    state : str, list of str, or Recoding, optional
        How states are made of measurements, as for :func:`bayesmdp.states`: ``["age:bins(0,40,65,80)", "ward"]``.
    coordinates : list of str, optional
        Columns of numbers that the state is, one a coordinate, for models of states that are numbers: the log's
        ``state`` and ``next_state`` have the dims step and coordinate. Of the other options `columns`, `next_columns`,
        `actions`, `gaps`, `episode`, `step`, `cost` and those of text files apply; every number must be there.
    next_columns : str or mapping
        How the measurements after a step are called: a pattern, or ``{"age": "age_later"}``.
    end_column : str, optional
        Says how an episode ended, where a row is terminated; that is then the next state, in the place of ``end``.
    states, actions : lists of labels, optional
        All that there are, in their order: for those that the log never shows, and for models that count on an order.
        By default those that occur, numbers in numerical and text in alphabetical order; a pandas column's ordered
        categories and a Dataset's own label sets are kept.
    covariates : sequence of str
        Other columns, by their names in the source, that models may read as ``data.NAME`` [row]: numbers, or labels,
        which they see as positions in the label set; see :mod:`bayesmdp.logs.covariates`.
    reward_range : (low, high), optional
        Refuse rewards outside.
    gaps : {"warn", "refuse", "cut", "allow"}
        What to do about a row whose next state is not the next row's state though no episode ended. Without a column
        ``truncated``, or one of episodes, the recording is taken as cut off there: something would have followed. "cut"
        says that rows are in order and that it was; "allow" is for rows in no order. Unless it is "cut", such a log
        does not tell where episodes start.
    episode, step : names of columns, optional
        Rows with the same `episode` belong together, and are put in the order of `step`, a number or a date; without
        it they are in order. An episode whose last row is not terminated was cut off there. Where there is no column of
        next states they are the states of the next row (:mod:`bayesmdp.logs.episodes`), and a last row is left out
        unless it is terminated, which attrs count as ``dropped``. For a bandit, whose rows have nothing to do with each
        other, pass ``columns={"next_state": None}``.
    cost : name of a column, optional
        In the place of rewards: these are the costs with the opposite sign, of which `reward_range` is.
    distinct : bool, optional
        Return a counted log (:mod:`bayesmdp.logs.counted_log`): each distinct step once, with how often it was taken,
        which is all that a posterior needs. A file is then grouped while it is scanned and may be larger than memory.
        None leaves it to the size of files, and of frames that are not in memory: those of more than 100,000 rows are
        counted.
    separator : str, optional
        One character, for text files; by default a comma, or a tab in ``.tsv``.
    decimal : {".", ","}
        The sign in rewards that are written as text.
    encoding : str
        Of text files.
    connection : optional
        Open, to a database that is asked the query `source`: of DuckDB, ``sqlite3`` and others of Python's DB-API,
        SQLAlchemy or ADBC.

    Returns
    -------
    Dataset over ``step``
        ``state``, ``action``, ``reward``, ``next_state``, ``terminated`` and ``truncated``, and the covariates. Where
        an end is both, `truncated` is made false: the end is an end. Attrs: ``states`` and ``actions`` (label sets),
        ``covariates`` (their names, if any), ``source``, ``ordered`` (0 for rows in no order), ``starts_known`` (0
        where gaps leave open where episodes start), ``left_out`` (names of the columns that were not read, if any),
        ``dropped`` (rows left out because nothing follows them) and ``recoding`` (of measurements, as
        `Recoding.from_json` reads it).

    Raises
    ------
    ValueError, TypeError
        For a query that cannot be run; a missing or doubled column; a missing label, a label that is neither a whole
        number nor text, or both kinds in one column, or one that was not declared, or that an array cannot hold
        exactly; a reward that is no finite number; a line with too many fields or too few; bytes that are not of the
        encoding; a state that is terminal in one row and not in another; a column that seems to say where episodes end:
        with place, column, value and remedy.
    FileNotFoundError, ImportError
        If there is no such file, or pyarrow is needed and not installed.

    Warns
    -----
    UserWarning
        About gaps, once, with their number and the first place.

    See Also
    --------
    bayesmdp.collect : a log of a policy that acts in a problem.
    bayesmdp.mdp_from_log : the problem that a log describes.
    bayesmdp.sample_log : step by step from a log that was read as counts.

    Examples
    --------
    >>> import bayesmdp as bm, pandas as pd
    >>> frame = pd.DataFrame({"s": [0, 1], "action": ["go", "stay"], "reward": [0, 1], "s2": [1, 1], "end": [0, 1]})
    >>> log = read_log(frame.iloc[:1], columns={"state": "s", "next_state": "s2", "truncated": "end"})
    >>> log.attrs["states"], log.attrs["actions"], bool(log["truncated"][0])
    ([0, 1], ['go'], False)
    """
    if gaps not in ("warn", "refuse", "cut", "allow"):
        raise ValueError(f"gaps must be one of warn, refuse, cut, allow; got {gaps!r}")
    columns = dict(columns or {})
    declared = {"states": check_declared("states", states), "actions": check_declared("actions", actions)}
    opened = open_table(source, separator, encoding, decimal, connection)
    dropped, by_episode = 0, False
    if cost is not None:
        if "reward" in columns:
            raise ValueError(f"columns names a reward, {columns['reward']!r}, and cost, {cost!r}, is another; give one")
        columns["reward"] = cost
    if coordinates is not None:
        of_labels: dict[str, Any] = {"state": state, "states": states, "end_column": end_column}
        of_labels |= {"covariates": covariates or None, "distinct": distinct or None, "reward_range": reward_range}
        wrong = [name for name, given in of_labels.items() if given is not None]
        if wrong:
            raise ValueError(f"{wrong[0]} is for logs of labels; where coordinates are given leave it out")
        return read_coordinates(
            opened,
            coordinates,
            columns=columns,
            next_columns=next_columns,
            order=InOrder(episode, step, gaps),
            actions=declared["actions"],
            costs=cost is not None,
        )
    recoded = recoded_table(opened, state, columns, next_columns, end_column)
    opened = opened if recoded is None else recoded.table
    if columns.get("next_state", "next_state") is None:
        opened, columns = alone(opened, columns)
    whole = opened  # with the last rows of episodes, which are left out if nothing is known of what followed
    if episode is not None or step is not None:
        if episode is None:
            raise ValueError(f"step={step!r} orders the rows of episodes; name the column that tells these, episode=")
        given = opened.columns
        opened, columns, dropped = in_episodes(opened, columns, episode, step)
        follows, cuts = (columns.get(name, name) in given for name in ("next_state", "truncated"))
        by_episode = follows and not cuts
    chosen = choose_columns(opened, columns)
    others = choose_covariates(opened, covariates, chosen)
    aside = {name: opened.columns.index(name) for name in (episode, step) if name is not None}
    left = unused_columns(opened, chosen | others | aside | ({} if recoded is None else recoded.used))
    refuse_ends_by_name(whole, columns, chosen, left)
    if dropped and gaps in ("warn", "refuse"):
        refuse_ends_left_out(whole, opened, columns, chosen, left, dropped)
    own_sets = source.attrs if isinstance(source, xr.Dataset) else {}
    costs = cost is not None
    more = {**({"dropped": dropped} if dropped else {}), **({} if recoded is None else recoded.attrs)}
    ask = opened, columns, chosen, others, left, declared, own_sets, reward_range, gaps, costs
    asked = _Asked(*ask, by_episode=by_episode, attrs=more)
    try:
        log, told = _log_of(asked, distinct, placed=False)
    except Unplaced:  # something is to be said of a row: once more, with its place
        log, told = _log_of(asked, distinct, placed=True)
    if told:
        warnings.warn(told, UserWarning, stacklevel=2)
    return log


class _Asked(NamedTuple):
    """What `read_log` is to read, and how: its options, checked, and which columns are which."""

    table: Table
    columns: Mapping[str, Any]
    chosen: dict[str, int]
    others: dict[str, int]
    left: dict[int, Any]
    declared: Mapping[str, list[Any] | None]
    given: Mapping[str, Any]
    reward_range: tuple[float, float] | None
    gaps: str
    costs: bool
    by_episode: bool
    attrs: Mapping[str, Any]


def _log_of(asked: _Asked, distinct: bool | None, *, placed: bool) -> tuple[xr.Dataset, str]:
    """The log, checked, and what there is to warn of."""
    rows = _rows_of(asked, distinct, placed=placed)
    table, frame = rows.table, rows.frame
    if not len(frame) and asked.attrs.get("dropped"):
        raise ValueError(
            f"{table.name} tells of none of its {asked.attrs['dropped']:,} rows what followed: no episode has a second "
            "row, and none is terminated; is episode= the column that rows of one episode share? For a bandit pass "
            "columns={'next_state': None}"
        )
    if not len(frame):
        raise ValueError(f"{table.name} has a header but no rows; a log needs at least one step")
    # Actions first: a row that lacks one is no step, whatever else it lacks.
    states, actions = ((asked.declared[kind], asked.given.get(kind)) for kind in ("states", "actions"))
    action_set, (action,) = read_labels(table, frame, ("action",), *actions)
    state_set, (state, next_state) = read_labels(table, frame, ("state", "next_state"), *states)
    reward = np.zeros(len(frame)) if rows.rewards else _rewards(table, frame["reward"], asked)
    terminated, truncated = (read_flags(table, frame, name) for name in ENDS)
    # Gymnasium allows both at once; that the state is terminal settles what follows.
    truncated &= ~terminated
    chain = Chain(rows, state, next_state, terminated, truncated, state_set, asked.by_episode)
    check_ends(table, chain)
    gap, told = chain.gap, ""
    if chain.unsaid.any() and asked.gaps in ("warn", "refuse"):
        refuse_ends_by_place(
            asked.table,
            asked.columns,
            asked.chosen,
            asked.left,
            lambda place: rows.beside(place, chain),
            by_episode=chain.by_episode,
        )
    if gap.any() and asked.gaps in ("warn", "refuse"):
        absent = [name for name in ENDS if name not in frame]
        told = describe_gaps(table, chain, absent, list(asked.left.values()))
        if asked.gaps == "refuse":
            raise ValueError(told)
    ordered = asked.gaps != "allow" or not gap.any()
    cut = asked.gaps == "cut" or ("truncated" not in frame and ordered)
    if cut:
        truncated |= gap
    spelled = label_array(state_set)
    variables = {
        "state": spelled[state],
        "action": label_array(action_set)[action],
        "reward": reward,
        "next_state": spelled[next_state],
        "terminated": terminated,
        "truncated": truncated,
    }
    columns = {name: ("step", values) for name, values in variables.items()}
    attrs = {
        "states": state_set,
        "actions": action_set,
        "source": table.name,
        "ordered": int(ordered),
        "starts_known": int(asked.gaps == "cut" or not gap.any()),
        **({"covariates": list(asked.others)} if asked.others else {}),
        **({"left_out": list(map(str, asked.left.values()))} if asked.left else {}),
        **asked.attrs,
    }
    known = read_covariates(table, frame, list(asked.others))
    log = xr.Dataset(columns | known, coords={"step": np.arange(len(frame))}, attrs=attrs)
    if distinct or isinstance(rows, DistinctRows):
        index = {"state": state, "action": action, "next_state": next_state}
        sums = rows.rewards.negative() if rows.rewards and asked.costs else rows.rewards
        log = count_steps(log, index, rows.begins(chain, cut=cut), rows.count, sums)
    return log, told


def _rows_of(asked: _Asked, distinct: bool | None, *, placed: bool) -> Rows:
    """The rows, grouped if they are to be distinct, or are many, and need not be in memory."""
    table, chosen = asked.table, asked.chosen | asked.others
    if distinct is False or table.scan is None:
        return EachRow(table, chosen)
    scan = table.scan()
    declared = asked.declared["states"]
    if declared is not None and isinstance(declared[0], str) and isinstance(scan, Scan):
        scan = scan._replace(exact=True)
    if isinstance(scan, DaskScan) and not scan.alike(chosen.values()):
        return EachRow(table, chosen)
    size, paid = scan.size(), chosen["reward"]
    if not size or (distinct is None and size <= MANY):
        return EachRow(table, chosen)
    summed = size > MANY and scan.numbers(paid, LOOKED_AT) > KINDS_OF_REWARDS
    if summed:
        low, high = asked.reward_range or (-np.inf, np.inf)
        low, high = max(low, -LARGEST_REWARD), min(high, LARGEST_REWARD)
        wrong = scan.first_wrong(paid, *((-high, -low) if asked.costs else (low, high)))
        if wrong is not None:
            there = table._replace(place=lambda _: table.place(wrong))
            value = scan.value(paid, wrong)
            _rewards(there, pd.Series([value], dtype=object), asked)
            what = "cost" if asked.costs else "reward"  # that is a number only if all are such words
            there.refuse(0, f"{what} is {value!r}, which is no finite number", "give each step a number, such as 0.5")
    return DistinctRows(table, scan, chosen, summed=summed, placed=placed)


def _rewards(table: Table, column: pd.Series, asked: _Asked) -> NDArray[np.float64]:
    """Return rewards as float64; refuse, with the place, what is no finite number, too large, or out of the range."""
    low, high = asked.reward_range or (-np.inf, np.inf)
    if not low <= high:
        raise ValueError(f"reward_range is (low, high) with low at most high; got {asked.reward_range!r}")
    a_number = "give each step a number, such as 0.5"
    if pd.api.types.is_numeric_dtype(column) and column.dtype.kind in "iuf":
        reward = column.to_numpy(np.float64, na_value=np.nan)
    elif column.dtype.kind == "c":
        reward = np.full(len(column), np.nan)
    else:
        try:
            code, distinct = pd.factorize(column)
        except TypeError:
            kind = type(column.iloc[0]).__name__
            raise TypeError(f"{table.name} reward holds a {kind}; {a_number}") from None
        values = list(distinct)
        if table.decimal == ",":
            values = [with_point(each) if isinstance(each, str) else each for each in values]
        elif any(isinstance(each, str) and "," in each for each in values):
            a_number += "; if the comma is a decimal one, pass decimal=','"
        if table.written and {each.lower() for each in values} <= {"true", "false"}:
            values = [each.lower() == "true" for each in values]
        numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").to_numpy(np.float64)
        reward = np.append(numbers, np.nan)[code]
    reward = 0.0 - reward if asked.costs else reward + 0.0  # without -0.0, of which no source tells more than of 0
    what, bounds = ("cost", (0.0 - high, 0.0 - low)) if asked.costs else ("reward", (low, high))
    outside = "outside [{:g}, {:g}]".format(*bounds)
    if asked.costs:
        outside += f", for rewards, the costs with a minus, are to be in [{low:g}, {high:g}]"
    for wrong, complaint, remedy in (
        (~np.isfinite(reward), "which is no finite number", a_number),
        (np.abs(reward) > LARGEST_REWARD, f"beyond {LARGEST_REWARD:g} in size", "measure rewards in a larger unit"),
        ((reward < low) | (reward > high), outside, "correct it, or widen the range of rewards"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            value = column.astype(object).iloc[row]
            shown = "is missing" if pd.isna(value) else f"is {value!r}, {complaint}"
            table.refuse(row, f"{what} {shown}", remedy)
    return reward
