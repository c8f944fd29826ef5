"""Agents at work: replicated runs as labelled results, and logs of a fixed policy.

A replicate is a pure function of (seed, replicate number): it is the same alone as in any batch, on one thread or many,
so runs can be interrupted, resumed and extended. Replicates are separate calls of one compiled function, spread over
threads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jax import lax, random
from jaxtyping import Key

from bayesmdp.agents import Agent
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, replicate_numbers
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import Belief
from bayesmdp.problems.decision_problem import DecisionProblem, for_space
from bayesmdp.simulation.assemble import Run, assemble
from bayesmdp.simulation.checks import warn_of_lost_particles
from bayesmdp.simulation.prepare import Prepared, draw_truth, prepare, window_length
from bayesmdp.simulation.provenance import provenance, resumable
from bayesmdp.simulation.regret import OBJECTIVES, Objective
from bayesmdp.simulation.robustness import Robust, quantile_values
from bayesmdp.simulation.rollout import baseline_of, run_agent
from bayesmdp.simulation.threads import OnReplicate, run_replicates

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
    restart: int | None = None,
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
    restart : int, optional
        After how many steps the world starts again, as in episodes; agents plan as they would without, and do not take
        the return for a transition. Problems with a discount only.
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

    See Also
    --------
    bayesmdp.simulate_until_decided : as many runs as a verdict takes.
    bayesmdp.simulate_tasks : one task after another.
    bayesmdp.sweeps.run_sweep : a grid of settings, on several machines, resumed.
    bayesmdp.collect : a policy that does not learn.

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
    seed, thin = integer("seed", seed, 0), window_length(thin, steps)
    marks = sorted({integer("a checkpoint", mark, 1) for mark in checkpoints})
    if marks and marks[-1] > steps:
        raise ValueError(f"checkpoint {marks[-1]} lies beyond the last step, {steps}")
    checkpoint_draws = integer("checkpoint_draws", checkpoint_draws, 0)
    if restart is not None:
        restart = integer("restart", restart, 1)
        if mdp.objective != "discounted":
            raise ValueError(
                f"restart is for problems that are judged by discounted value; this one by {mdp.objective}"
            )
    prepared = prepare(mdp, agents, truth=truth, robust=robust, steps=steps)
    beliefs, goal = prepared.beliefs, for_space(OBJECTIVES, mdp)[mdp.objective]
    with jax.enable_x64(True):
        baseline = baseline_of(prepared.problem, prepared.kernel, goal=goal) if truth is None else None
    run_of = {"steps": steps, "seed": seed, "thin": thin, "checkpoints": marks, "checkpoint_draws": checkpoint_draws}
    run_of |= {} if restart is None else {"restart": restart}
    attrs = provenance(mdp, agents, beliefs, truth, prepared.probe, robust, **run_of)
    call = _Call(
        mdp, agents, truth, robust, prepared, goal, baseline, seed, steps, thin, marks, checkpoint_draws, restart
    )
    result = run_replicates(
        partial(_run, call),
        {name: (agent.rules, beliefs[name]) for name, agent in agents.items()},
        numbers,
        lambda runs: assemble(mdp, beliefs, runs, attrs, resume),
        # A run of no steps compiles what a run without checkpoints needs.
        compile_ahead=None if marks else partial(_run, call._replace(steps=0)),
        done=resumable(resume, attrs),
        workers=workers,
        on_replicate=on_replicate,
    )
    warn_of_lost_particles(result)
    return result


class _Call(NamedTuple):
    """What all runs of one call of `simulate` share.

    Attributes
    ----------
    mdp, agents, truth, robust, seed, steps, thin
        The arguments.
    prepared : Prepared
    goal : Objective
    baseline : pytree, optional
        What regret is measured against, where all replicates have the same truth.
    checkpoints : list of int
    draws : int
        Posterior draws at each checkpoint.
    restart : int, optional
    """

    mdp: DecisionProblem
    agents: Mapping[str, Agent]
    truth: Model | None
    robust: Robust | None
    prepared: Prepared
    goal: Objective
    baseline: Any
    seed: int
    steps: int
    thin: int
    checkpoints: list[int]
    draws: int
    restart: int | None


def _run(call: _Call, name: str, replicate: int) -> Run:
    """Run one agent in one replicate, which is a pure function of the seed and the replicate's number."""
    began = time.perf_counter()
    agent, belief = call.agents[name], call.prepared.beliefs[name]
    robust = None if belief is None else call.robust
    with jax.enable_x64(True):  # the setting is a thread's own
        own_key, (agent_key, truth_key, draw_key) = _keys(call.seed, replicate)
        truth = draw_truth(call.truth, truth_key, call.mdp, call.prepared)
        floor = None
        if robust is not None:  # keys apart from the others, so that measuring changes nothing
            floor_key, value_key = random.split(random.fold_in(own_key, 3))
            floor = floor_key, np.float64(robust.level)
        rollout = run_agent(
            agent_key,
            call.prepared.problem,
            truth.kernel,
            call.prepared.options[name],
            checkpoints=call.checkpoints,
            robust=floor,
            reward=truth.reward,
            baseline=call.baseline,
            rules=agent.rules,
            belief=belief,
            world=call.mdp.world,
            goal=call.goal,
            steps=call.steps,
            thin=call.thin,
            robust_draws=0 if robust is None else robust.num_draws,
            policy_under="belief" if robust is None else robust.policy_under,
            restart=call.restart,
        )
        draws, values = {}, np.full(len(call.checkpoints), np.nan)
        if call.checkpoints and call.draws and belief is not None:
            draws = _sample_beliefs(draw_key, rollout.beliefs, belief, call.draws)
        if call.checkpoints and robust is not None:
            values = quantile_values(
                value_key,
                rollout.beliefs,
                rollout.policies,
                call.mdp.problem,
                np.float64(robust.level),
                belief=belief,
                num_draws=robust.num_draws,
            )
        rollout = rollout._replace(beliefs=None, policies=None)
        rollout, draws, values = jax.tree.map(np.asarray, (rollout, draws, values))
    return Run(rollout, draws, values, time.perf_counter() - began)


@jax.jit
def _keys(seed: int, replicate: int) -> tuple[Key[Array, ""], tuple[Key[Array, ""], ...]]:
    """Return the replicate's key, and those made of it: the agent's, the truth's, and that of draws at checkpoints.

    One program; each of the four steps would be one of its own.
    """
    own = random.fold_in(random.key(seed), replicate)
    return own, tuple(random.split(own, 3))


@partial(jax.jit, static_argnames=("belief", "num_draws"))
def _sample_beliefs(key: Key[Array, ""], states: Any, belief: Belief, num_draws: int) -> dict[str, Array]:
    """Return posterior draws {site: [checkpoint, draw, ...]} of belief states with a leading checkpoint axis."""
    keys = random.split(key, jax.tree.leaves(states)[0].shape[0])
    return lax.map(lambda inputs: belief.sample(inputs[0], inputs[1], num_draws), (keys, states))
