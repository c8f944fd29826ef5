"""What is refused of a log of records and a model of them, before anything is inferred."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.logs.log import label_set
from bayesmdp.model_reading.read_model import Reading
from bayesmdp.model_reading.records import Records

__all__ = ["check_next", "known_actions", "refuse_hidden_ends", "refuse_other_actions"]


def known_actions(log: xr.Dataset, mdp: Any) -> list[Hashable]:
    """Return the labels that positions of actions stand for: the problem's, or without one the log's.

    Parameters
    ----------
    log : Dataset over ``step``
    mdp : SimulatedMDP or None

    Returns
    -------
    list of labels
    """
    return list(label_set(log, "actions") if mdp is None else mdp.actions)


def refuse_hidden_ends(log: xr.Dataset, data: Records, mdp: Any) -> None:
    """Refuse a log that hides what a model of ends is to learn from: rows that end in states which are terminal anyway.

    Taken for ends that the model's own chance brought about, they would make it look larger than it is.

    Parameters
    ----------
    log : Dataset over ``step``
    data : Records
        Of the log, as far as the model observes it.
    mdp : SimulatedMDP or None

    Raises
    ------
    ValueError
        With how many such rows there are, and the first.
    """
    ends = getattr(getattr(mdp, "problem", None), "terminal", None)
    if ends is None or "terminal" not in data.seen or "terminal" in log:
        return
    known = np.asarray(ends(jnp.asarray(log["next_state"].values)))
    if known.any():
        row = int(known.argmax())
        raise ValueError(
            f"{int(known.sum()):,} rows of the log lead to states that {mdp.name} says are terminal, first step {row}, "
            f"to {log['next_state'].values[row].tolist()}: whether they ended by the model's 'terminal' too cannot be "
            "told from 'terminated'. Add a column 'terminal' that says so, as bm.collect does, or infer without mdp= a "
            "model that masks these rows"
        )


def refuse_other_actions(reading: Reading, known: Sequence[Hashable], mdp: Any) -> None:
    """Refuse a model of another number of actions than are known: positions would mean other actions.

    Parameters
    ----------
    reading : Reading
        The model, whose unknowns have an axis ``action`` where it tells actions apart by a plate of that name.
    known : sequence of labels
        All the actions there are.
    mdp : SimulatedMDP or None

    Raises
    ------
    ValueError
        Naming the unknown, and the labels.
    """
    for name, latent in reading.latents.items():
        for dim, size in zip(reading.dims[name], latent.shape, strict=True):
            if dim == "action" and size != len(known):
                whose = "the log names" if mdp is None else f"{mdp.name} has"
                remedy = "name all in the order of the model, with mdp= or read_log(actions=[...])"
                remedy = remedy if mdp is None else "make the model for these"
                raise ValueError(
                    f"the model's {name!r} is of {size} actions, and {whose} {len(known)}: "
                    f"{', '.join(map(repr, known[:6]))}{', ...' if len(known) > 6 else ''}, so that it is not known "
                    f"which is which; {remedy}, or give the plate another name if it is not of actions"
                )


def check_next(lead: NDArray[np.float64], next_state: NDArray[np.float64]) -> None:
    """Refuse a log whose next states are not where its primitives lead.

    Parameters
    ----------
    lead, next_state : array [row, coordinate]

    Raises
    ------
    ValueError
        With the step.
    """
    off = np.abs(lead - next_state).max(-1) > 1e-6
    if off.any():
        step = int(np.flatnonzero(off)[0])
        raise ValueError(
            f"log next_state at step {step} is {next_state[step].tolist()}; its primitives lead to "
            f"{lead[step].tolist()} under the model"
        )
