"""Pooling over neighbouring states: base rows by hand, and what few patients tell of others."""

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
    low, mid, high, missing = (mdp.states.index(f"lactate {level}") for level in ("<2", "2 to <4", ">=4", "missing"))
    counts[low, 0, high] = 1
    near = pooled(log, mdp).others["near states"](counts)
    assert near[missing, 0, high] == near[mid, 0, high] == 1 and near[high, 0, high] == 0.25


def test_no_move_leads_to_what_is_missing() -> None:
    level = [0, 1, 1, 2, 2, None, 0]
    frame = pd.DataFrame({"x": level[:-1], "next_x": level[1:], "action": "wait", "reward": 0.0})
    log = bm.read_log(frame, state="x:bins(0,1,2,3,missing=state)", gaps="allow")
    mdp = bm.mdp_from_log(log, discount=0.9, elsewhere="each")
    states = list(mdp.states)
    counts = np.zeros((len(states), 1, len(states)))
    # One up from 1 is 2; at 2 that is the end.
    counts[states.index("x 1 to <2"), 0, states.index("x 2 to 3")] = 1
    moved = with_near_states(base_rows_for(mdp), log, mdp).others["near states, moved"](counts)
    assert moved[states.index("x 2 to 3"), 0, states.index("x 2 to 3")] == 1
    assert moved[:, 0, states.index("x missing")].sum() == 0


def test_few_patients_foretell_others_better_where_states_are_pooled() -> None:
    spec = ("age:bins(18,30,40,50,65,75,90)", "lactate:cutoffs(1,2,3,4,6)")
    others = clinic_visits(1_000, seed=99)
    gains = []
    for seed in range(3):
        log, mdp = read(clinic_visits(60, seed=seed), *spec)
        steps, scores = steps_of(others, log, mdp), {}
        for name in ("auto", "pooled"):
            made = make_prior(name, log, mdp, {})
            assert made.remade is not None
            rows = made.remade.posterior(made.experience)["transition"]
            known = (made.experience.tries > 0)[steps[0], steps[1]]
            scores[name] = float(
                np.log((rows / rows.sum(-1, keepdims=True))[tuple(each[known] for each in steps)]).mean()
            )
        gains.append(scores["pooled"] - scores["auto"])
    # Mean log probability of a next state that neither has seen; of eight logs the least gained .41.
    assert min(gains) > 0.3


def steps_of(visits: pd.DataFrame, log: xr.Dataset, mdp: MDP) -> tuple[np.ndarray, ...]:
    """State, action and next state [step] of visits, where the log knows them."""
    recoding = Recoding.from_json(log.attrs["recoding"])
    goes_on, after = ~visits["terminated"].to_numpy(), visits["ended"].to_numpy(object).copy()
    then = visits.loc[goes_on, [f"next_{column}" for column in recoding.columns]].set_axis(recoding.columns, axis=1)
    after[goes_on] = recoding.apply(then)
    columns = (recoding.apply(visits), visits["treatment"].to_numpy(object), after)
    sets = (mdp.states, mdp.actions, mdp.states)
    places = [
        np.array([positions.get(value, -1) for value in column])
        for column, labels in zip(columns, sets, strict=True)
        for positions in [{label: i for i, label in enumerate(labels)}]
    ]
    known = np.min(places, axis=0) >= 0
    assert known.mean() > 0.8
    return tuple(place[known] for place in places)


def test_refusals() -> None:
    log, mdp = read(clinic_visits(30), "lactate:cutoffs(2,4)")
    without = {name: value for name, value in log.attrs.items() if name != "recoding"}
    with pytest.raises(ValueError, match="pooling needs to know which states are neighbours"):
        make_prior("pooled", log.drop_attrs(deep=False).assign_attrs(without), mdp, {})
    with pytest.raises(ValueError, match="pooling needs separate probabilities for all next states"):
        make_prior("pooled", log, bm.mdp_from_log(log, discount=0.9), {})
