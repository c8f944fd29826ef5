"""One contract for all agents: the same functions, argument names, and behaviour under `simulate`."""

import inspect
from copy import copy
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from bayesmdp import agents, simulate
from bayesmdp.agents import GROUPS, Agent, Example, Rules
from bayesmdp.agents.example import river
from bayesmdp.problems.decision_problem import CLASSES
from bayesmdp.problems.problem import OBJECTIVES

EXAMPLES = {example.make.__name__: example for group in GROUPS.values() for example in group}
PRIOR = river()[1]

ARGUMENTS = {
    "init": ["key"],
    "begin": ["key", "state"],
    "act": ["key", "state", "s"],
    "observe": ["key", "state", "step"],
    "ends": ["uniform", "state", "step"],
    "policy": ["state"],
    "report": ["state", "s", "a"],
    "belief": ["state"],
}


@pytest.fixture(params=EXAMPLES, scope="module")  # all tests of an agent in turn, while its programs are there
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


def rules_of(example: Example) -> Rules:
    agent, problem = example.agent(), example.problem
    return agent.rules(agent.make_belief(problem), jax.device_put(problem.problem), agent.options)


def test_every_rule_has_the_grammars_arguments(example: Example) -> None:
    assert set(ARGUMENTS) == set(Rules._fields)
    with jax.enable_x64(True):
        rules = rules_of(example)
    assert {name: list(inspect.signature(getattr(rules, name)).parameters) for name in Rules._fields} == ARGUMENTS


def test_the_maker_takes_the_prior_first_and_options_by_keyword(example: Example) -> None:
    parameters = inspect.signature(example.make).parameters.values()
    assert [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY] in (["prior"], [])


def test_it_says_where_it_can_act(example: Example) -> None:
    agent, problem = example.agent(), example.problem
    assert problem.objective in agent.objectives and problem.space in agent.spaces
    assert agent.algorithm.replace("-", "_") == example.make.__name__


def test_states_keep_their_structure(example: Example) -> None:
    """What a loop needs: every rule returns a state of the same structure, shapes and types."""
    problem = example.problem
    with jax.enable_x64(True):
        rules = rules_of(example)
        key = jax.random.key(0)
        state = jax.eval_shape(rules.init, key)
        start, take_step, *_ = problem.world(jax.device_put(problem.problem), problem.dynamics)
        step, _ = jax.eval_shape(lambda key: take_step(np.full(3, 0.5), start(key), np.int32(1)), key)
        step = jax.tree.map(lambda each: np.zeros(each.shape, each.dtype), step)
        for after in (jax.eval_shape(rules.begin, key, state), jax.eval_shape(rules.observe, key, state, step)):
            assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
                lambda x: (x.shape, x.dtype), state
            )


def with_another_truth(problem: Any) -> Any:
    """The same problem, of which what agents may not see is another or is missing."""
    if problem.space == "finite":
        return problem.replace(transition=None)
    other = copy(problem)
    other.truth = {name: value / 2 for name, value in problem.truth.items()}
    return other


def test_an_agent_is_never_shown_the_kernel(example: Example) -> None:
    """The same belief comes from a problem without its kernel, or with another."""
    agent = example.agent()
    assert agent.make_belief(with_another_truth(example.problem)) == agent.make_belief(example.problem)


def test_options_are_recorded_and_equal_agents_share_a_program(example: Example) -> None:
    agent, again = example.agent(), example.agent()
    assert isinstance(agent, Agent) and again.describe() == agent.describe()
    assert again.rules == agent.rules and hash(again.rules) == hash(agent.rules)
    assert again.make_belief(example.problem) == agent.make_belief(example.problem)


def test_alone_as_in_a_batch(example: Example) -> None:
    """Beside an agent of another kind, but for those on spaces of numbers, of which any other compiles for long."""
    agent, problem = example.agent(), example.problem
    others = [each for each in EXAMPLES.values() if each.setting is example.setting and each is not example]
    other = others[0] if problem.space == "finite" else example
    few = simulate(problem, {"A": agent}, steps=60, replicates=1, seed=3).to_dataset()
    many = simulate(problem, {"A": agent, "B": other.agent()}, steps=60, replicates=4, seed=3, workers=3)
    assert set(np.unique(few["action"])) <= set(range(problem.num_actions))
    xr.testing.assert_identical(
        few.isel(agent=0, replicate=0).drop_attrs(),
        many.to_dataset()[list(few)].isel(agent=0, replicate=0).drop_attrs(),
    )


def test_it_takes_available_actions_only(example: Example) -> None:
    """Where runs begin, staying is no choice."""
    problem = example.problem
    if problem.space != "finite":
        pytest.skip("all actions are available where states are numbers")
    start, available = int(problem.initial.argmax()), problem.available.copy()
    available[start, 0] = False
    result = simulate(problem.replace(available=available), {"A": example.agent()}, steps=60, replicates=2, seed=3)
    state, action = (result[name].values.ravel() for name in ("state", "action"))
    assert (state == start).any() and available[state, action].all()


def test_it_acts_where_it_says(example: Example) -> None:
    agent = example.agent()
    assert set(agent.objectives) <= set(OBJECTIVES) and set(agent.spaces) <= set(CLASSES)


def test_it_learns(example: Example) -> None:
    """On an easy river (Dirichlet prior at the truth's support, long run) regret per step falls."""
    if example.does_not_learn:
        pytest.skip(example.does_not_learn)
    # On a space of numbers regret is found on a mesh, again at each pseudo-episode, which takes most of the time.
    steps, replicates = (6_000, 8) if example.problem.space == "finite" else (4_500, 1)
    result = simulate(example.problem, {"A": example.agent()}, steps=steps, replicates=replicates, seed=0)
    regret = result["regret"].values[0].mean(0)
    assert regret[-1_000:].mean() < 0.6 * regret[:1_000].mean()


BAD = {
    "level 0": (lambda: agents.brmdp(PRIOR, level=0.0), "level must be a number above 0 and below 1; got 0.0"),
    "level 1": (lambda: agents.brmdp(PRIOR, level=1), "level must be"),
    "level NaN": (lambda: agents.brmdp(PRIOR, level=float("nan")), "level must be"),
    "level text": (lambda: agents.brmdp(PRIOR, level="0.1"), "level must be"),
    "no draws": (lambda: agents.brmdp(PRIOR, num_draws=0), "num_draws must be an integer of at least 1; got 0"),
    "floor 1": (lambda: agents.aq_brmdp(PRIOR, floor=1.0), "floor must be"),
    "negative scale": (lambda: agents.aq_brmdp(PRIOR, scale=-1), "scale must be a number above 0; got -1"),
    "kappa above 1": (lambda: agents.aq_brmdp(PRIOR, sensitivity=1.5), "sensitivity must be.*at most 1"),
    "infinite scale": (lambda: agents.aq_brmdp(PRIOR, scale=float("inf")), "scale must be finite"),
    "lambda": (lambda: agents.tseb(PRIOR, reward_weight=1.1), "reward_weight must be.*at most 1; got 1.1"),
    "bonus scale": (lambda: agents.tseb(PRIOR, bonus_scale=-1.0), "bonus_scale must be a number of at least 0"),
    "reward range": (lambda: agents.tseb(PRIOR, reward_range=0.0), "reward_range must be a number above 0"),
    "episode": (lambda: agents.psrl(PRIOR, episode=0), "episode must be an integer of at least 1; got 0"),
    "half an episode": (lambda: agents.beb(PRIOR, episode=0.5), "episode must be an integer"),
    "beta": (lambda: agents.beb(PRIOR, scale=-1), "scale must be a number of at least 0; got -1"),
    "beta of MBIE": (lambda: agents.mbie_eb(PRIOR, scale=float("nan")), "scale must be"),
    "scale of kernels": (lambda: agents.variance_bonus(PRIOR, transition_scale=-1), "transition_scale must be"),
    "tries": (lambda: agents.rmax(PRIOR, tries=0), "tries must be an integer of at least 1; got 0"),
    "largest reward": (lambda: agents.rmax(PRIOR, max_reward=float("inf")), "max_reward must be finite"),
    "models": (lambda: agents.boss(PRIOR, models=0), "models must be an integer of at least 1; got 0"),
    "draw rule": (
        lambda: agents.brmdp(PRIOR, draws="stale"),
        "draws must be one of fresh, renewed, kept, .*; got 'stale'",
    ),
    "share": (lambda: agents.brmdp(PRIOR, draws="renewed", share=0.0), "share must be"),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_bad_options_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
