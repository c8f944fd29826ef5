"""One contract for all environments: they build, keep their arguments, name what they have once, can be acted in."""

from functools import cache
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
    assert problem.name in repr(problem)
    assert {"discounted": "discount ", "average": "average reward", "episode": "episodes of"}[
        problem.objective
    ] in repr(problem)


def test_it_offers_what_every_decision_problem_does(problem: Any) -> None:
    missing = {name for name in vars(DecisionProblem) if name[0] != "_" and not hasattr(problem, name)}
    assert not missing
    assert problem.objective in OBJECTIVES[problem.space]
    problem.check_acting(drawn=False)
    start, _ = problem.world(jax.device_put(problem.problem), problem.dynamics)
    with jax.enable_x64(True):
        state = jax.eval_shape(start, jax.random.key(0))
    assert (
        np.issubdtype(state.dtype, np.integer) == np.issubdtype(problem.state_dtype, np.integer) == bool(problem.sizes)
    )
    if problem.sizes:
        assert np.shape(problem.dynamics) == problem.sizes


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_fingerprint_tells_it_from_others(name: str) -> None:
    def bytes_of(problem: Any) -> list[bytes]:
        return [b"" if part is None else np.ascontiguousarray(part).tobytes() for part in problem.fingerprint()]

    mine = bytes_of(made(name))
    assert mine == bytes_of(EXAMPLES[name].problem)
    assert all(mine != bytes_of(made(other)) for other in EXAMPLES if other != name)


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
        start, take_step = problem.world(jax.device_put(problem.problem), problem.dynamics)

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
