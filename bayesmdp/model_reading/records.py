"""Experience on spaces of numbers: rows of steps with what caused them, for models that are also simulators.

A model of a continuous problem is a NumPyro function of :class:`Records`. It samples the unknowns; in ``with
data.rows():`` it samples for each row what chance decides, the *primitives*, each with ``obs=data.seen.get(name)``; and
it computes ``numpyro.deterministic("next_state", ...)`` [row, coordinate] from state, action and primitives. Or it
samples ``next_state`` itself, from a distribution with a density whose event is [coordinate], with
``obs=data.next_state``: the next state is then what is observed, and a log needs no other column. Where what a step
pays is not known either, the model samples ``reward`` [row] there with ``obs=data.reward``. Where it is not known which
steps end an episode, the model samples ``terminal`` [row] there, of a Bernoulli distribution, with
``obs=data.terminal``.

Where primitives were recorded the model is a likelihood; where they were not it draws them, and simulates
(:func:`bayesmdp.problems.simulated_mdp.next_states`). A primitive that decides nothing in a row is masked there
(``numpyro.handlers.mask``), and is then no part of what was recorded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.rows import no_column, weighted_rows

__all__ = ["Records", "check_records"]


class Records(NamedTuple):
    """Weighted rows of steps: what the `data` argument of a model of a continuous problem is.

    Attributes
    ----------
    state : array [row, coordinate]
    action : int array [row]
    seen : mapping of site to array [row, ...]
        The recorded primitives; empty in a simulation. Only those count that a model does not mask.
    weight : array [row]
        How often the row was seen; 0 is no observation.

    Examples
    --------
    >>> import numpy as np
    >>> walked = Records(np.zeros((3, 1)), np.array([0, 1, 1]), {"length": np.array([0.1, 0.2, 0.3])}, np.ones(3))
    >>> walked.seen.get("length").tolist(), walked.seen.get("turn") is None
    ([0.1, 0.2, 0.3], True)
    """

    state: Array
    action: Array
    seen: Mapping[str, Array]
    weight: Array

    @property
    def next_state(self) -> Array | None:
        """Next states [row, coordinate], for models that observe them directly; None in a simulation."""
        return self.seen.get("next_state")

    @property
    def reward(self) -> Array | None:
        """Rewards [row], for models that observe them; None in a simulation."""
        return self.seen.get("reward")

    @property
    def terminal(self) -> Array | None:
        """Whether each step ended its episode [row], for models that observe it; None in a simulation."""
        return self.seen.get("terminal")

    @contextlib.contextmanager
    def rows(self) -> Iterator[None]:
        """Enter the plate ``data_rows``, as in `Transitions.rows`."""
        with weighted_rows(self.weight):
            yield

    def __getattr__(self, name: str) -> Any:
        raise no_column(self, name)


def check_records(data: Records) -> Records:
    """Return the records as NumPy arrays of one length, or refuse them.

    Raises
    ------
    ValueError
        Naming the column of another length, or the state, action or weight that is not finite.
    """
    seen = {str(name): np.asarray(values) for name, values in data.seen.items()}
    found = Records(np.asarray(data.state, float), np.asarray(data.action), seen, np.asarray(data.weight, float))
    if found.state.ndim != 2:
        raise ValueError(f"state has shape {found.state.shape}; expected [row, coordinate]")
    for name, values in {"action": found.action, "weight": found.weight, **seen}.items():
        if values.shape[:1] != found.state.shape[:1]:
            raise ValueError(f"{name} has shape {values.shape}; expected {len(found.state)} rows, as state has")
    for name, values in {"state": found.state, "action": found.action, "weight": found.weight}.items():
        if not np.isfinite(values).all():
            index = ", ".join(map(str, np.argwhere(~np.isfinite(values))[0]))
            raise ValueError(f"{name}[{index}] is not finite")
    if (found.weight < 0).any() or not found.weight.sum() > 0:
        raise ValueError("the weights must be at least 0, and not all 0")
    return found
