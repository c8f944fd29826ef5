"""A clinic that keeps measurements, and not states: for recodings of which the truth is known.

Every four hours a patient's lactate is measured and one of three treatments is given, until the patient is well or has
died. What a treatment does depends on two things only: whether the patient is 65 or older, and whether lactate is
below 2, from 2 to below 4, or 4 and more (mmol/l). Age and lactate within these bands, and the temperature, make no
difference. So the bands are states of an MDP, which `clinic` is, while `clinic_visits` writes what a clinic would: age
in years, lactate and temperature to one decimal. The numbers are ours, and say nothing about how to treat a patient.

The clinic treats by lactate alone. It gives vasopressors to many who are 65 or older at 4 and more, whom fluids would
help better: there is something to gain, for whoever tells the ages apart.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmdp.foundation.validation import integer
from bayesmdp.problems.mdp import MDP

__all__ = ["CUTOFFS", "clinic", "clinic_visits"]

CUTOFFS = ("age:cutoffs(65)", "lactate:cutoffs(2,4)")
"""How the measurements become the states of `clinic`."""

STATES = tuple(f"age {age}, lactate {lactate}" for age in ("<65", ">=65") for lactate in ("<2", "2 to <4", ">=4"))
ENDS = ("died", "well")
ACTIONS = ("fluids", "vasopressors", "wait")

# By age, lactate and treatment: the probabilities of lactate below 2, of 2 to 4, of 4 and more, of died, of well.
YOUNGER = (
    ((0.50, 0.20, 0.00, 0.00, 0.30), (0.45, 0.30, 0.00, 0.05, 0.20), (0.50, 0.15, 0.00, 0.00, 0.35)),
    ((0.45, 0.40, 0.14, 0.01, 0.00), (0.35, 0.40, 0.20, 0.05, 0.00), (0.20, 0.45, 0.33, 0.02, 0.00)),
    ((0.00, 0.30, 0.50, 0.20, 0.00), (0.00, 0.45, 0.45, 0.10, 0.00), (0.00, 0.15, 0.55, 0.30, 0.00)),
)
OLDER = (
    ((0.50, 0.25, 0.00, 0.00, 0.25), (0.40, 0.35, 0.00, 0.10, 0.15), (0.52, 0.20, 0.00, 0.00, 0.28)),
    ((0.38, 0.42, 0.17, 0.03, 0.00), (0.25, 0.38, 0.25, 0.12, 0.00), (0.15, 0.42, 0.38, 0.05, 0.00)),
    ((0.00, 0.30, 0.48, 0.22, 0.00), (0.00, 0.20, 0.42, 0.38, 0.00), (0.00, 0.10, 0.50, 0.40, 0.00)),
)
BEHAVIOUR = np.array(((0.25, 0.05, 0.70), (0.50, 0.20, 0.30), (0.40, 0.40, 0.20)))
"""How often the clinic gives each treatment, by lactate."""


def clinic(*, discount: float = 0.99) -> MDP:
    """The clinic as an MDP on its bands of age and lactate.

    Parameters
    ----------
    discount : float

    Returns
    -------
    MDP
        States such as ``age <65, lactate 2 to <4``, as the recoding `CUTOFFS` names them, and the terminal ``died`` and
        ``well``; actions ``fluids``, ``vasopressors`` and ``wait``; 1 is earned on entering ``well``. Half of the
        patients come with lactate from 2 to below 4, the others with more.

    Notes
    -----
    *What it asks.* Making states from measurements, with a truth to compare with.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.solve(clinic())["policy"].sel(state=["age <65, lactate >=4", "age >=65, lactate >=4"]).values.tolist()
    ['vasopressors', 'fluids']
    """
    size = len(STATES) + len(ENDS)
    transition = np.zeros((size, len(ACTIONS), size))
    for age, rows in enumerate((YOUNGER, OLDER)):
        own = slice(3 * age, 3 * age + 3)
        transition[own, :, own], transition[own, :, len(STATES) :] = np.split(np.array(rows), [3], axis=-1)
    terminal = np.arange(size) >= len(STATES)
    transition[terminal, :, terminal] = 1
    reward = np.zeros((size, len(ACTIONS), size))
    reward[: len(STATES), :, -1] = 1
    older = 25 / 72  # ages are uniform from 18 to 89
    initial = np.array([0, (1 - older) / 2, (1 - older) / 2, 0, older / 2, older / 2, 0, 0])
    return MDP(
        transition=transition,
        reward=reward,
        discount=discount,
        initial=initial,
        terminal=terminal,
        states=(*STATES, *ENDS),
        actions=ACTIONS,
        name="clinic",
    )


def clinic_visits(patients: int, *, seed: int = 0) -> pd.DataFrame:
    """The clinic's records: one row a visit, of all that was measured and done.

    Parameters
    ----------
    patients : int
    seed : int

    Returns
    -------
    DataFrame [visit]
        Patient by patient: ``patient``, ``hour``, ``age`` (years), ``lactate`` (mmol/l), ``temperature`` (degrees
        Celsius), ``treatment``, the same measurements four hours later as ``next_age``, ``next_lactate`` and
        ``next_temperature`` (missing where nobody is there to be measured), ``well`` (1 if the patient then was),
        ``terminated`` and ``ended``: ``died``, ``well``, or empty.

    Examples
    --------
    >>> visits = clinic_visits(3, seed=1)
    >>> visits.groupby("patient")["ended"].last().isin(["died", "well"]).all()
    np.True_
    """
    patients, rng = integer("patients", patients, 1), np.random.default_rng([integer("seed", seed, 0), 43])
    mdp = clinic()
    number, age = np.arange(patients), rng.integers(18, 90, patients)
    band, hour, parts = rng.integers(1, 3, patients), 0, []
    lactate, temperature = _lactate(band, rng), _temperature(patients, rng)
    while len(number):
        action = (rng.random(len(number))[:, None] > BEHAVIOUR[band].cumsum(-1)).sum(-1)
        rows = np.asarray(mdp.transition)[band + 3 * (age >= 65), action]
        after = (rng.random(len(number))[:, None] > rows.cumsum(-1)).sum(-1)
        ended = after >= len(STATES)
        then = {"age": age, "lactate": _lactate(after % 3, rng), "temperature": _temperature(len(number), rng)}
        now = {"age": age, "lactate": lactate, "temperature": temperature}
        part = {"patient": number, "hour": hour, **now, "treatment": np.array(ACTIONS)[action]}
        part |= {f"next_{name}": np.where(ended, np.nan, values) for name, values in then.items()}
        how = np.array(["", *ENDS])[np.where(ended, after - len(STATES) + 1, 0)]
        parts.append(pd.DataFrame(part | {"well": (how == "well").astype(int), "terminated": ended, "ended": how}))
        number, age, band = number[~ended], age[~ended], after[~ended] % 3
        lactate, temperature, hour = then["lactate"][~ended], then["temperature"][~ended], hour + 4
    return pd.concat(parts).sort_values(["patient", "hour"], kind="stable", ignore_index=True)


def _lactate(band: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lactate to one decimal, by its band."""
    uniform = rng.random(len(band))
    tenths = np.floor(np.choose(band, (5 + 15 * uniform, 20 + 20 * uniform, 40 + 40 * uniform)))
    return tenths / 10


def _temperature(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.round(37.5 + 0.8 * rng.standard_normal(size), 1)
