"""ICU-Sepsis: treating sepsis in intensive care, a tabular benchmark estimated from MIMIC-III records.

Choudhary, Gupta and Thomas, "ICU-Sepsis: A Benchmark MDP Built from Real Medical Data", Reinforcement Learning Journal
4 (2024), 1546-1566, after Komorowski, Celi, Badawi, Gordon and Faisal, "The Artificial Intelligence Clinician learns
optimal treatment strategies for sepsis in intensive care", Nature Medicine 24 (2018), 1716-1720. The numbers are read
from the authors' package ``icu-sepsis``, which is not imported. It is a benchmark for algorithms and says nothing about
how to treat a patient.

A state is a cluster of patients, ``s0`` to ``s712``, or one of the terminal ``death``, ``survival`` and ``s_inf`` (the
authors' absorbing state, never entered here because episodes end before). An action ``f2 v0`` is a level of intravenous
fluids and one of vasopressors over four hours: 0 is none, 1 to 4 are the quartiles of the doses given. Entering
``survival`` earns 1 and nothing else earns anything, so undiscounted values are probabilities of survival.

*Admissible* are the actions that clinicians took often enough in a state to estimate where they lead. The authors let
all others lead where the admissible ones lead on average; here they are not available unless asked for. What can be
earned is the same either way, since such an action is a lottery over admissible ones.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesmdp.environments.toy_text import successor_table
from bayesmdp.foundation.extras import brought_by
from bayesmdp.problems.mdp import MDP

__all__ = ["clinicians_policy", "icu_sepsis"]

TERMINAL = ("death", "survival", "s_inf")
LEVELS = 5
ACTIONS = tuple(f"f{fluids} v{vasopressors}" for fluids in range(LEVELS) for vasopressors in range(LEVELS))


def icu_sepsis(*, discount: float = 0.99, admissible_only: bool = True) -> MDP:
    """The ICU-Sepsis benchmark on a successor table, with 716 states and 25 actions.

    Parameters
    ----------
    discount : float
        The authors do not discount; ``1 - 1e-6`` comes within 1e-5 of their returns. Episodes have about 10 steps.
    admissible_only : bool
        Whether inadmissible actions are unavailable, rather than leading where the admissible ones lead on average.

    Returns
    -------
    MDP
        Up to 213 outcomes a pair; reward [state, action, outcome], 1 on entering ``survival``; about 76 MB.

    Raises
    ------
    ImportError
        If the package ``icu-sepsis`` is not installed.

    See Also
    --------
    clinicians_policy : what clinicians did.

    Notes
    -----
    *What it asks.* Logs of a realistic size: 716 states, 25 actions, few of them tried.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> sepsis = bm.environments.icu_sepsis(discount=1 - 1e-6)
    >>> sepsis
    MDP('icu-sepsis': 716 states, 25 actions, discount 0.999999)
    >>> survival = bm.evaluate(sepsis, bm.environments.clinicians_policy())
    >>> round(float((survival * sepsis.initial).sum()), 2)
    0.78
    """
    transition, initial = _arrays("tx_mat", "d_0")
    states = _states(len(transition))
    rows = transition.reshape(-1, len(states))
    # What with_successors does, without checking and sorting a hundred megabytes of zeros.
    row, next_state = np.nonzero(rows)
    outcome, successor = successor_table(row, next_state, len(rows))
    kernel = np.zeros(successor.shape)
    kernel[row, outcome] = rows[row, next_state]
    kernel = kernel.reshape(len(states), len(ACTIONS), -1)
    successor = successor.reshape(kernel.shape)
    terminal = np.isin(states, TERMINAL)
    survival = states.index("survival")
    available = _admissible(len(states)) if admissible_only else np.ones(kernel.shape[:2], bool)
    return MDP(
        transition=kernel,
        successor=successor,
        reward=np.where((successor == survival) & ~terminal[:, None, None], 1.0, 0.0),
        discount=discount,
        initial=initial / initial.sum(),
        terminal=terminal,
        available=available,
        states=states,
        actions=ACTIONS,
        name="icu-sepsis",
    )


def clinicians_policy() -> xr.DataArray:
    """How clinicians treated the patients of ICU-Sepsis: how often they took each admissible action.

    The authors' estimate also holds actions that are inadmissible, 16% of the probability in the average state, because
    they were taken a few times; here these are left out and the rest is scaled up. That changes the probability of
    survival from .7818 to .7820.

    Returns
    -------
    DataArray
        Probabilities [state, action], with labels; uniform in terminal states, where nothing is done.

    Raises
    ------
    ImportError
        If the package ``icu-sepsis`` is not installed.

    Examples
    --------
    >>> policy = clinicians_policy()
    >>> policy.sel(state="s1").idxmax().item()
    'f0 v0'
    """
    (estimate,) = _arrays("expert_policy")
    states = _states(len(estimate))
    probability = np.where(_admissible(len(states)), estimate, 0)
    probability[np.isin(states, TERMINAL)] = 1
    probability /= probability.sum(-1, keepdims=True)
    coords = {"state": np.array(states), "action": np.array(ACTIONS)}
    return xr.DataArray(probability, coords, ("state", "action"), "policy")


def _states(number: int) -> tuple[str, ...]:
    # Text throughout, and never text that looks like a number: labels survive every kind of file.
    return (*(f"s{i}" for i in range(number - len(TERMINAL))), *TERMINAL)


def _assets() -> Path:
    # Importing the package would import the unmaintained gym, which prints and warns.
    spec = find_spec("icu_sepsis")
    with brought_by("icu-sepsis"):
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(name="icu_sepsis")
    return Path(spec.submodule_search_locations[0]) / "envs" / "assets"


def _arrays(*names: str) -> list[NDArray[np.float64]]:
    # An archive decompresses only what is asked for; the rewards are 100 MB of zeros but for one column.
    with np.load(_assets() / "dynamics.npz") as archive:
        return [archive[name] for name in names]


def _admissible(num_states: int) -> NDArray[np.bool_]:
    """Mask [state, action] from the package's lists: a line of their lengths, then one line a state."""
    lines = (_assets() / "admissible_actions.txt").read_text().splitlines()[1 : num_states + 1]
    mask = np.zeros((num_states, len(ACTIONS)), bool)
    for state, line in enumerate(lines):
        mask[state, [int(action) for action in line.split()]] = True
    return mask
