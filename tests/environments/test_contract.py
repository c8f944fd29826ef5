"""One contract for all environments: they build, keep their arguments, name what they have once, can be acted in."""

import pickle
import subprocess
import sys
from copy import copy, deepcopy
from functools import cache
from inspect import signature
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from bayesmdp import MDP, collect
from bayesmdp.environments import GROUPS
from bayesmdp.problems.decision_problem import DecisionProblem
from bayesmdp.simulation.collect import COLLECTORS
from bayesmdp.simulation.regret import OBJECTIVES

EXAMPLES = {example.make.__name__: example for group in GROUPS.values() for example in group}


@cache
def made(name: str) -> Any:
    return EXAMPLES[name].problem


@pytest.fixture(params=EXAMPLES)
def problem(request: pytest.FixtureRequest) -> Any:
    return made(request.param)


def test_its_repr_names_it_and_says_what_regret_means(problem: Any) -> None:
    assert problem.name in repr(problem) and problem.name not in ("mdp", "simulated", "continuous")
    assert {"discounted": "discount ", "average": "average reward", "episode": "episodes of"}[
        problem.objective
    ] in repr(problem)


def test_it_offers_what_every_decision_problem_does(problem: Any) -> None:
    missing = {name for name in vars(DecisionProblem) if name[0] != "_" and not hasattr(problem, name)}
    assert not missing
    assert problem.objective in OBJECTIVES[problem.space]
    problem.check_acting(drawn=False)
    start = problem.world(jax.device_put(problem.problem), problem.dynamics).start
    with jax.enable_x64(True):
        state = jax.eval_shape(start, jax.random.key(0))
    assert (
        np.issubdtype(state.dtype, np.integer) == np.issubdtype(problem.state_dtype, np.integer) == bool(problem.sizes)
    )
    if problem.sizes:
        assert np.shape(problem.dynamics) == problem.sizes


def test_each_has_a_name_and_a_fingerprint_of_its_own() -> None:
    """Of those that can be made; what keeps one from being made is another test's."""
    called: dict[str, str] = {}
    prints: dict[tuple[bytes, ...], str] = {}
    for name in EXAMPLES:
        try:
            problem, again = made(name), EXAMPLES[name].problem
        except Exception:
            continue
        mine, theirs = (
            tuple(b"" if part is None else np.ascontiguousarray(part).tobytes() for part in each.fingerprint())
            for each in (problem, again)
        )
        same = mine == theirs
        assert same, f"{name} is another problem each time it is made"
        assert called.setdefault(problem.name, name) == name, f"{name} calls its problem as {called[problem.name]} does"
        assert prints.setdefault(mine, name) == name, f"{name} is the same problem as {prints[mine]}"


@pytest.mark.parametrize("name", [n for n, each in EXAMPLES.items() if "discount" in signature(each.make).parameters])
def test_it_has_the_discount_that_it_is_given(name: str) -> None:
    assert EXAMPLES[name].make(**{**EXAMPLES[name].options, "discount": 0.75}).discount == 0.75


def test_labels_are_unique(problem: Any) -> None:
    for labels in (problem.states, problem.actions):
        assert len(set(labels)) == len(labels)
    assert len(problem.actions) == problem.num_actions


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_made_again_alike(name: str) -> None:
    one, other = made(name), EXAMPLES[name].problem
    for mine, theirs in zip(*map(jax.tree.leaves, (one.problem, other.problem)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert jax.tree.structure(one.problem) == jax.tree.structure(other.problem)  # or it would be compiled anew


RECEIVED = """
import pickle, sys
for problem in pickle.load(sys.stdin.buffer):
    print(repr(problem), float(sum(part.sum() for part in problem.examples())))
"""


def test_problems_on_numbers_can_be_pickled() -> None:
    """By plain pickle; what is received here is what was sent."""
    spaces = [problem for problem in map(made, EXAMPLES) if problem.space == "simulated"]
    assert len(spaces) > 8
    assert all(mine is theirs for mine, theirs in zip(spaces, pickle.loads(pickle.dumps(spaces)), strict=True))


def test_what_is_changed_in_a_copy_is_not_changed_in_the_problem() -> None:
    problem = made("thermostat")
    for other in (copy(problem), deepcopy(problem)):
        other.truth = {"leak": 0.5}
        assert "leak" not in problem.truth or problem.truth["leak"] != 0.5
        assert other.made_by is None and other.model is problem.model


def test_another_process_makes_them_again() -> None:
    """As workers of a pool do, also of one that was changed."""
    sent = [made("pendulum"), made("thermostat").replace(discount=0.5)]
    told = subprocess.run([sys.executable, "-c", RECEIVED], input=pickle.dumps(sent), capture_output=True, check=True)
    values = [float(sum(part.sum() for part in problem.examples())) for problem in sent]
    assert told.stdout.decode().splitlines() == [f"{each!r} {value}" for each, value in zip(sent, values, strict=True)]


def test_its_tables_pass_their_checks_again(problem: Any) -> None:
    """`replace` gives every argument to the checks of `MDP` once more, and nothing is lost."""
    if not isinstance(problem, MDP):
        assert problem.space != "finite"
        return
    again = problem.replace()
    for name in MDP.__annotations__:
        mine, theirs = getattr(again, name), getattr(problem, name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
        else:
            assert mine == theirs, name
    assert problem.replace(name="other").name == "other"


def test_steps_are_of_the_same_kind_as_its_states(problem: Any) -> None:
    with jax.enable_x64(True):
        start, take_step, *_ = problem.world(jax.device_put(problem.problem), problem.dynamics)

        def walk(key: Any) -> Any:
            first = start(key)
            step, following = take_step(jax.random.uniform(key, (4,)), first, 0)
            return first, step, following

        first, step, following = jax.eval_shape(walk, jax.random.key(0))
    for state in (step.state, step.next_state, following):
        assert (state.shape, state.dtype) == (first.shape, first.dtype)
    assert step.reward.shape == () and step.last.dtype == bool


def test_a_log_can_be_collected(problem: Any) -> None:
    if problem.space not in COLLECTORS:
        with pytest.raises(TypeError, match=r"mdp must be a bayesmdp\.MDP or a bayesmdp\.SimulatedMDP; got"):
            collect(problem, steps=5, seed=0)
        return
    log = collect(problem, steps=5, seed=0)
    assert isinstance(log, xr.Dataset) and log.sizes["step"] == 5
    assert set(log["action"].values.tolist()) <= set(problem.actions)
    if problem.space == "finite":
        position = {state: index for index, state in enumerate(problem.states)}
        state, next_state = (
            [position[label] for label in log[name].values.tolist()] for name in ("state", "next_state")
        )
        going = ~(log["terminated"] | log["truncated"]).values[:-1]
        np.testing.assert_array_equal(np.array(next_state)[:-1][going], np.array(state)[1:][going])
        assert not problem.terminal[state].any()
