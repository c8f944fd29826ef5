"""Agents at work: replicated runs as labelled results, and logs of a fixed policy.

A replicate is a pure function of (seed, replicate number): it is the same alone as in any batch, on one thread or many,
so runs can be interrupted, resumed and extended. Replicates are separate calls of one compiled function, spread over
threads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr
from jax import lax, random

from bayesmdp.agents import Agent
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, replicate_numbers
from bayesmdp.model_reading.read_model import Model, sample_prior
from bayesmdp.posterior import Belief
from bayesmdp.problems.decision_problem import DecisionProblem, for_space
from bayesmdp.simulation.assemble import Run, assemble
from bayesmdp.simulation.checks import check_rewards, check_room, check_run, warn_of_lost_particles
from bayesmdp.simulation.provenance import provenance, resumable
from bayesmdp.simulation.regret import OBJECTIVES
from bayesmdp.simulation.robustness import Robust, quantile_values
from bayesmdp.simulation.rollout import baseline_of, run_agent
from bayesmdp.simulation.threads import Interrupted, OnReplicate, in_threads

__all__ = ["simulate"]


def simulate(
    mdp: DecisionProblem,
    agents: Mapping[str, Agent],
    *,
    steps: int,
    replicates: int | Sequence[int] = 64,
    seed: int = 0,
    thin: int = 1,
    truth: Model | None = None,
    checkpoints: Sequence[int] = (),
    checkpoint_draws: int = 100,
    robust: Robust | None = None,
    workers: int | None = None,
    resume: xr.DataTree | None = None,
    on_replicate: OnReplicate | None = None,
) -> xr.DataTree:
    """Let agents learn online, each in `replicates` independent runs, on common random numbers.

    Parameters
    ----------
    mdp : MDP, ContinuousMDP or SimulatedMDP
        The environment. Agents are shown its known part only.
    agents : mapping of name to Agent
    steps : int
        Steps of a run.
    replicates : int or sequence of int
        How many, or their numbers: ``range(64, 96)`` are those that 96 have and 64 have not.
    seed : int
        With the replicate's number it determines a run completely.
    thin : int
        Record windows of this many steps, which must divide `steps`: sums of reward and regret, and the rest as of the
        window's last step.
    truth : NumPyro model, optional
        Draw each replicate's true kernel, and its mean rewards if the prior has a site ``reward``, from this prior
        (Bayes regret) instead of taking the MDP's own. All agents face the same truth in the same replicate.
    checkpoints : sequence of int
        Numbers of steps after which to keep the agents' beliefs, as posterior draws.
    checkpoint_draws : int
        Draws of each; 0 keeps none.
    robust : Robust, optional
        Measure robust regret, and at the checkpoints the posterior quantile value of the policy in use. Nothing else in
        the results changes.
    workers : int, optional
        Threads; by default as many as there are cores.
    resume : DataTree, optional
        Results of the same call with other `replicates`: those are kept and only what is missing is run.
    on_replicate : callable, optional
        Called with (agent, replicate, seconds) after each run, from the calling thread.

    Returns
    -------
    DataTree
        Root: ``reward``, ``regret`` (the MDP's objective; charged to the step), ``state`` and ``action`` (indices; on a
        continuous space states are numbers, [..., coordinate] if there are several), ``gap`` where the objective is the
        average reward of a finite MDP (see :mod:`bayesmdp.simulation.regret`), and the agents' reports (``level``,
        ``period``, ``solves``, ...; NaN where an agent has none), each [agent, replicate, step], with ``step`` the
        number of steps taken. With `robust` also ``robust_regret`` [agent, replicate, step] and ``quantile_value``
        [agent, replicate, checkpoint] (NaN for an agent without a belief).
        ``beliefs/NAME`` for each agent if there are checkpoints: a tree that ArviZ reads, with dims replicate and
        checkpoint. ``timing``: ``seconds`` [agent, replicate] of this call.

    Raises
    ------
    ValueError, TypeError
        For bad arguments, before anything is compiled.
    Interrupted
        On Ctrl-C, carrying what is done.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> prior = dirichlet_transitions(river, concentration=1 / 6)
    >>> result = bm.simulate(river, {"PSRL": bm.agents.psrl(prior)}, steps=200, replicates=3, seed=1)
    >>> result["regret"].sum("step").shape
    (1, 3)
    """
    steps, numbers = integer("steps", steps, 1), replicate_numbers(replicates)
    check_run(mdp, agents, truth, robust, steps)
    seed, thin = integer("seed", seed, 0), integer("thin", thin, 1)
    if steps % thin:
        raise ValueError(f"thin must divide steps; got thin={thin}, steps={steps}")
    marks = sorted({integer("a checkpoint", mark, 1) for mark in checkpoints})
    if marks and marks[-1] > steps:
        raise ValueError(f"checkpoint {marks[-1]} lies beyond the last step, {steps}")
    checkpoint_draws = integer("checkpoint_draws", checkpoint_draws, 0)
    with jax.enable_x64(True):
        beliefs = {name: agent.make_belief(mdp) for name, agent in agents.items()}
        probe = None if truth is None else sample_prior(truth, random.key(0), mdp.sizes)
        check_rewards(mdp, beliefs, probe)
        check_room(beliefs, steps)
        keys = {replicate: random.fold_in(random.key(seed), replicate) for replicate in numbers}
        # Once for all replicates.
        options = {name: dict(agent.options) for name, agent in agents.items()}
        problem, kernel, options = jax.device_put((mdp.problem, mdp.dynamics, options))
        goal = for_space(OBJECTIVES, mdp)[mdp.objective]
        baseline = baseline_of(problem, kernel, goal=goal) if truth is None else None
    run_of = {"steps": steps, "seed": seed, "thin": thin, "checkpoints": marks, "checkpoint_draws": checkpoint_draws}
    attrs = provenance(mdp, agents, beliefs, truth, probe, robust, **run_of)
    done = resumable(resume, attrs)

    def run(name: str, replicate: int) -> Run:
        began = time.perf_counter()
        with jax.enable_x64(True):  # the setting is a thread's own
            agent_key, truth_key, draw_key = random.split(keys[replicate], 3)
            belief = beliefs[name]
            if robust and belief:  # keys apart from the others, so that measuring changes nothing
                floor_key, value_key = random.split(random.fold_in(keys[replicate], 3))
            drawn = {} if truth is None else sample_prior(truth, truth_key, mdp.sizes)
            reward = drawn.get("reward")
            rollout = run_agent(
                agent_key,
                problem,
                drawn.get("transition", kernel),
                options[name],
                checkpoints=marks,
                robust=(floor_key, np.float64(robust.level)) if robust and belief else None,
                reward=reward if reward is None or reward.ndim == 3 else reward[..., None],
                baseline=baseline,
                rules=agents[name].rules,
                belief=belief,
                world=mdp.world,
                goal=goal,
                steps=steps,
                thin=thin,
                robust_draws=robust.num_draws if robust and belief else 0,
                policy_under=robust.policy_under if robust and belief else "belief",
            )
            draws, values = {}, np.full(len(marks), np.nan)
            if marks and checkpoint_draws and belief is not None:
                draws = sample_beliefs(draw_key, rollout.beliefs, belief, checkpoint_draws)
            if marks and robust and belief is not None:
                values = quantile_values(
                    value_key,
                    rollout.beliefs,
                    rollout.policies,
                    mdp.problem,
                    np.float64(robust.level),
                    belief=belief,
                    num_draws=robust.num_draws,
                )
            rollout = rollout._replace(beliefs=None, policies=None)
            rollout, draws, values = jax.tree.map(np.asarray, (rollout, draws, values))
        return Run(rollout, draws, values, time.perf_counter() - began)

    todo = [(name, replicate) for replicate in numbers if replicate not in done for name in agents]
    runs: dict[tuple[str, int], Run] = {}
    try:
        for task, finished in in_threads(run, todo, _program_of(agents, beliefs), workers):
            runs[task] = finished
            if on_replicate is not None:
                on_replicate(*task, finished.seconds)
    except KeyboardInterrupt as stop:
        raise Interrupted(assemble(mdp, beliefs, runs, attrs, resume)) from stop
    result = assemble(mdp, beliefs, runs, attrs, resume)
    assert result is not None
    warn_of_lost_particles(result)
    return result


@partial(jax.jit, static_argnames=("belief", "num_draws"))
def sample_beliefs(key: Array, states: Any, belief: Belief, num_draws: int) -> dict[str, Array]:
    """Posterior draws {site: [checkpoint, draw, ...]} of belief states with a leading checkpoint axis."""
    keys = random.split(key, jax.tree.leaves(states)[0].shape[0])
    return lax.map(lambda inputs: belief.sample(inputs[0], inputs[1], num_draws), (keys, states))


def _program_of(agents: Mapping[str, Agent], beliefs: Mapping[str, Any]) -> dict[str, Any]:
    """What each agent's compiled program depends on."""
    return {name: (agent.rules, beliefs[name]) for name, agent in agents.items()}
