"""Pooling over neighbouring states: base rows by hand, and rows nearer to the truth of a clinic with few patients."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmdp as bm
from bayesmdp.environments import clinic_visits
from bayesmdp.logs.measured_states import Recoding
from bayesmdp.offline.base_rows import BaseRows, base_rows_for
from bayesmdp.offline.named_prior import make_prior
from bayesmdp.offline.near_states import with_near_states
from bayesmdp.problems.mdp import MDP

COLUMNS = {"action": "treatment", "reward": "well"}


def read(visits: pd.DataFrame, *state: str) -> tuple[xr.Dataset, MDP]:
    log = bm.read_log(visits, columns=COLUMNS, state=list(state), end_column="ended")
    return log, bm.mdp_from_log(log, discount=0.99, elsewhere="each")


def pooled(log: xr.Dataset, mdp: MDP) -> BaseRows:
    return with_near_states(base_rows_for(mdp), log, mdp)


def test_base_rows_are_those_counted_by_hand() -> None:
    visits = clinic_visits(40, seed=0).assign(sex=lambda frame: np.where(frame["patient"] % 2, "f", "m"))
    visits["next_sex"] = visits["sex"].where(~visits["terminated"])
    log, mdp = read(visits, "age:cutoffs(40,65)", "lactate:cutoffs(2,4)", "sex")
    recoding = Recoding.from_json(log.attrs["recoding"])
    cell = dict(zip(recoding.states, recoding.cells, strict=True))
    state_of = {levels: label for label, levels in cell.items()}
    counts = np.random.default_rng(0).poisson(0.3, (mdp.num_states, mdp.num_actions, mdp.num_states)).astype(float)
    counts[mdp.terminal] = 0
    near, moved = np.zeros_like(counts), np.zeros_like(counts)
    place = {label: index for index, label in enumerate(mdp.states)}
    for own, other in product(cell, cell):
        if own == other:
            continue
        here, there = cell[own], cell[other]
        distance = abs(here[0] - there[0]) + abs(here[1] - there[1]) + (here[2] != there[2])
        share = 0.25 ** (distance - 1)
        for after in mdp.states:
            seen = share * counts[place[other], :, place[after]]
            near[place[own], :, place[after]] += seen
            target = after
            if after in cell:
                then = cell[after]
                stepped = [min(max(here[i] + then[i] - there[i], 0), 2) for i in (0, 1)]
                sex = here[2] if then[2] == there[2] else then[2]
                target = state_of.get((*stepped, sex), after)
            moved[place[own], :, place[target]] += seen
    found = pooled(log, mdp).others
    np.testing.assert_allclose(found["near states"](counts), near, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["near states, moved"](counts), moved, rtol=1e-12, atol=1e-12)
    assert moved.sum() == pytest.approx(near.sum()) and not np.allclose(moved, near)


def test_missing_values_lie_beside_no_level() -> None:
    visits = clinic_visits(40, seed=0)
    visits["lactate"] = visits["lactate"].mask(visits["hour"] == 0)
    log, mdp = read(visits, "lactate:cutoffs(2,4,missing=state)")
    counts = np.zeros((mdp.num_states, mdp.num_actions, mdp.num_states))
    high, mid, missing = (mdp.states.index(f"lactate {level}") for level in (">=4", "2 to <4", "missing"))
    counts[high, 0, high] = 1
    near = pooled(log, mdp).others["near states"](counts)
    assert near[missing, 0, high] == near[mid, 0, high] == 1


def test_few_patients_tell_more_where_states_are_pooled() -> None:
    spec = ("age:bins(18,35,50,65,75,90)", "lactate:cutoffs(2,4)")
    clinic = bm.environments.clinic()
    losses: dict[str, list[float]] = {"auto": [], "pooled": []}
    for seed in range(3):
        log, mdp = read(clinic_visits(60, seed=seed), *spec)
        truth = true_rows(mdp, clinic)
        for name, found in losses.items():
            made = make_prior(name, log, mdp, {})
            assert made.again is not None
            parameters = made.again(made.experience)["transition"]
            believed = parameters / parameters.sum(-1, keepdims=True)
            information = np.where(truth > 0, truth * np.log(np.where(truth > 0, truth, 1) / believed), 0).sum(-1)
            # Of rows whose next states all occur in the log.
            told = (made.experience.tries > 0) & np.isclose(truth.sum(-1), 1)
            assert told.sum() > 25
            found.append(float(information[told].mean()))
    # Kullback-Leibler divergence of what is believed from the truth, the mean over pairs that were tried.
    assert np.mean(losses["pooled"]) < 0.6 * np.mean(losses["auto"])


def true_rows(mdp: MDP, clinic: MDP) -> np.ndarray:
    """The rows of finer ages, which stay what they are, and make a difference at 65 only."""
    rows = np.zeros((mdp.num_states, mdp.num_actions, mdp.num_states))
    for place, state in enumerate(mdp.states):
        if mdp.terminal[place]:
            continue
        age, lactate = str(state).split(", ")
        old = "age >=65" if age in ("age 65 to <75", "age 75 to 90") else "age <65"
        for index, after in enumerate(clinic.states):
            target = f"{age}, {str(after).split(', ')[1]}" if ", " in str(after) else after
            if target in mdp.states and not (", " in str(after) and not str(after).startswith(old)):
                rows[place, :, mdp.states.index(target)] = clinic.transition[
                    clinic.states.index(f"{old}, {lactate}"), :, index
                ]
    return rows


def test_refusals() -> None:
    log, mdp = read(clinic_visits(30), "lactate:cutoffs(2,4)")
    without = {name: value for name, value in log.attrs.items() if name != "recoding"}
    with pytest.raises(
        ValueError, match="which states are neighbours is known of states that are made of measurements"
    ):
        make_prior("pooled", log.drop_attrs(deep=False).assign_attrs(without), mdp, {})
    with pytest.raises(ValueError, match="pooling needs each next state by itself"):
        make_prior("pooled", log, bm.mdp_from_log(log, discount=0.9), {})
