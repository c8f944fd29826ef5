"""One contract for all agents: the same functions, argument names, and behaviour under `simulate`."""

import inspect

import jax
import numpy as np
import pytest
import xarray as xr

from bayesmdp import agents, environments, simulate, unroll
from bayesmdp.agents import Agent, Rules
from bayesmdp.models import dirichlet_transitions, gaussian_q, slippery_lake
from bayesmdp.problems.world import Step

RIVER = environments.riverswim(6)
ENDLESS = RIVER.replace(discount=None)
EPISODES = unroll(RIVER.replace(features=np.eye(12).reshape(6, 2, 12)), 10)
PRIOR = dirichlet_transitions(RIVER, concentration=1 / 6)
Q_PRIOR = gaussian_q(EPISODES, covariance=4.0, noise=0.1)
LAKE = environments.slippery_lake()
LAKE_PRIOR = slippery_lake(LAKE)
MAKERS = agents.AGENTS

ARGUMENTS = {
    "init": ["key"],
    "begin": ["key", "state"],
    "act": ["key", "state", "s"],
    "observe": ["key", "state", "step"],
    "ends": ["coin", "state", "step"],
    "policy": ["state"],
    "report": ["state", "s", "a"],
    "belief": ["state"],
}


# Agents that are told what no one can guess.
# With the constants of their theories some take longer to learn than a test can.
QUICK = {"approximation": "linear", "iterations": 3, "places": 16, "samples": 2, "room": 400}
TOLD = {
    "fitted_aq_brmdp": {"num_draws": 10, **QUICK},
    "fitted_brmdp": {"num_draws": 10, **QUICK},
    "fitted_psrl": QUICK,
    "ucrl2": {"scale": 0.03},
    "gamma_lscvi_ucb": {"horizon": 400, "span": 6.31},
    "gamma_lscvi_ucb_planned": {"horizon": 400, "span": 6.31},
    "gamma_lscvi_ucb_visited": {"horizon": 400, "span": 6.31},
    "gamma_ucb_cvi": {"horizon": 400, "span": 6.31},
    "mdp_exp2": {"horizon": 400, "mixing": 2, "excitation": 1e-3, "window": 2, "episode": 100, "rate": 0.3},
    "mdp_oomd": {"horizon": 400, "mixing": 2, "hitting": 50, "window": 8, "episode": 200, "rate": 1.0},
    "olsvi_fh": {"horizon": 400, "span": 6.31, "episode": 50},
    "optimistic_q_learning": {"horizon": 400, "span": 6.31, "scale": 0.003},
    "scal": {"span": 6.31, "scale": 0.1},
    "ucb_avg": {"horizon": 400, "span": 6.31},
}


def make(name):
    maker = MAKERS[name]
    prior = Q_PRIOR if name in ("tsrl", "lsvi", "bandit_ts") else LAKE_PRIOR if name.startswith("fitted") else PRIOR
    return maker(*((prior,) if "prior" in inspect.signature(maker).parameters else ()), **TOLD.get(name, {}))


WORLDS = {"discounted": RIVER, "average": ENDLESS, "episode": EPISODES}


def world_of(agent):
    if agent.spaces == ("simulated",):
        return LAKE
    return next(world for objective, world in WORLDS.items() if objective in agent.objectives)


@pytest.fixture(params=MAKERS)
def agent(request):
    return make(request.param)


def rules_of(agent):
    mdp = world_of(agent)
    return agent.rules(agent.make_belief(mdp), jax.device_put(mdp.problem), agent.options)


def test_every_rule_has_the_grammars_arguments(agent):
    assert set(ARGUMENTS) == set(Rules._fields)
    with jax.enable_x64(True):
        rules = rules_of(agent)
    assert {name: list(inspect.signature(getattr(rules, name)).parameters) for name in Rules._fields} == ARGUMENTS


def test_the_maker_takes_the_prior_first_and_options_by_keyword():
    for maker in MAKERS.values():
        by_place = [p.name for p in inspect.signature(maker).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        assert by_place in (["prior"], [])


def test_states_keep_their_structure(agent):
    """What a loop needs: every rule returns a state of the same structure, shapes and types."""
    with jax.enable_x64(True):
        rules = rules_of(agent)
        key = jax.random.key(0)
        state = jax.eval_shape(rules.init, key)
        if world_of(agent) is LAKE:
            start, take_step = LAKE.world(LAKE.problem, LAKE.truth)
            step, _ = jax.eval_shape(lambda key: take_step(np.full(3, 0.5), start(key), np.int32(1)), key)
        else:
            step = Step(*map(np.int32, (0, 1, 1, 1)), np.float64(0.0), np.bool_(False))
        for after in (jax.eval_shape(rules.begin, key, state), jax.eval_shape(rules.observe, key, state, step)):
            assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
                lambda x: (x.shape, x.dtype), state
            )


def test_an_agent_is_never_shown_the_kernel(agent):
    """The same belief and rules come from an MDP without its kernel, or with another."""
    world = world_of(agent)
    other = environments.slippery_lake(direction=(0.3, 0.4, 0.3), mobility=0.7, reach=0.6)
    blind = other if world is LAKE else world.replace(transition=None)
    assert agent.make_belief(blind) == agent.make_belief(world_of(agent))


def test_options_are_recorded_and_equal_agents_share_a_program(agent):
    again = make(agent.algorithm.replace("-", "_"))
    assert isinstance(agent, Agent) and again.describe() == agent.describe()
    assert again.rules == agent.rules and hash(again.rules) == hash(agent.rules)
    assert again.make_belief(world_of(agent)) == agent.make_belief(world_of(agent))


def test_alone_as_in_a_batch(agent):
    few = simulate(world_of(agent), {"A": agent}, steps=60, replicates=1, seed=3).to_dataset()
    world = world_of(agent)
    other = agents.fitted_psrl(LAKE_PRIOR, **QUICK) if world is LAKE else agents.psrl(dirichlet_transitions(world))
    many = simulate(world_of(agent), {"A": agent, "B": other}, steps=60, replicates=4, seed=3, workers=3)
    xr.testing.assert_identical(
        few.isel(agent=0, replicate=0).drop_attrs(),
        many.to_dataset()[list(few)].isel(agent=0, replicate=0).drop_attrs(),
    )


def test_it_learns(agent):
    """On an easy river (Dirichlet prior at the truth's support, long run) regret per step falls."""
    if agent.algorithm in ("brmdp", "boss"):
        pytest.skip("a fixed level need not learn, nor one that plans a given number of times; that is their point")
    if agent.algorithm == "mdp-exp2":
        pytest.skip("it needs every policy to see all pairs soon, which on a river only a few do")
    if world_of(agent) is LAKE:
        pytest.skip("at this size it cannot; that it learns is tested in test_fitted.py")
    if agent.algorithm in ("bandit-ts", "lsvi"):
        pytest.skip("who does not look ahead does not swim, nor who never tries; that is their point")
    result = simulate(world_of(agent), {"A": agent}, steps=6_000, replicates=8, seed=0)
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
    "draw rule": (lambda: agents.brmdp(PRIOR, draws="stale"), "draws must be one of fresh, renewed, kept; got 'stale'"),
    "share": (lambda: agents.brmdp(PRIOR, draws="renewed", share=0.0), "share must be"),
}


@pytest.mark.parametrize("make, message", BAD.values(), ids=BAD)
def test_bad_options_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
