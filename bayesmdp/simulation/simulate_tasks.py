"""Agents that meet one task after another, and what they carry from task to task: a prior.

In each replicate all agents meet the same tasks, drawn from one distribution, with the same random numbers in each.
Between tasks an agent may learn the next one's prior from what all tasks so far left behind
(:mod:`bayesmdp.learned_priors`); its compiled program takes the prior's numbers as inputs, so nothing is compiled
again. Learning is done on the host, by libraries.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jax import random
from jaxtyping import Key

from bayesmdp.agents import Agent
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.one_thread import one_blas_thread
from bayesmdp.foundation.validation import integer, replicate_numbers
from bayesmdp.learned_priors.methods import METHODS, Past
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior import Belief
from bayesmdp.posterior.beliefs.q_values import QBelief
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior
from bayesmdp.posterior.q_regression.backward import TaskStatistics, task_statistics
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.simulation.across_tasks import AcrossTasks, check_learner
from bayesmdp.simulation.assemble_tasks import WINDOWS, TaskRuns, assemble_tasks
from bayesmdp.simulation.prepare import Prepared, draw_truth, prepare, window_length
from bayesmdp.simulation.provenance import provenance, resumable
from bayesmdp.simulation.regret import TASK_OBJECTIVES, Objective
from bayesmdp.simulation.rollout import run_agent
from bayesmdp.simulation.threads import OnReplicate, run_replicates
from bayesmdp.simulation.windows import Rollout

__all__ = ["simulate_tasks"]


def simulate_tasks(
    mdp: MDP,
    agents: Mapping[str, AcrossTasks | Agent],
    *,
    truth: Model,
    tasks: int,
    steps: int,
    replicates: int | Sequence[int] = 16,
    seed: int = 0,
    thin: int | None = None,
    keep_priors: bool = False,
    workers: int | None = None,
    resume: xr.DataTree | None = None,
    on_replicate: OnReplicate | None = None,
) -> xr.DataTree:
    """Let agents meet one task after another, on common tasks and common random numbers.

    Parameters
    ----------
    mdp : MDP
        What tasks have in common.
    agents : mapping of name to AcrossTasks or Agent
        An Agent begins each task anew.
    truth : NumPyro model
        The distribution of tasks: each one's kernel, and its rewards if it has a site ``reward``.
    tasks, steps : int
        Tasks, and steps in each.
    replicates : int or sequence of int
        How many, or their numbers.
    seed : int
        With the numbers of replicate and task it determines a task completely.
    thin : int, optional
        Record windows of this many steps, which must divide `steps`; by default a task is one window.
    keep_priors : bool
        Keep each task's prior under ``priors/NAME``.
    workers : int, optional
        Threads; by default as many as there are cores.
    resume : DataTree, optional
        Results of the same call with other `replicates`: only what is missing is run.
    on_replicate : callable, optional
        Called with (agent, replicate, seconds) after each replicate.

    Returns
    -------
    DataTree
        As from :func:`~bayesmdp.simulate`, of all tasks one after the other: ``reward``, ``regret``, ``state`` and
        ``action`` [agent, replicate, step], with a coordinate ``task`` along ``step``. The regret of episodes of a
        fixed length is charged as it is made (:data:`bayesmdp.simulation.regret.BY_STEP`). ``priors/NAME`` if kept:
        ``mean`` [replicate, task, stage, feature] and ``covariance``, or ``concentration``. ``timing``: ``seconds`` and
        ``learning`` (those of them spent between tasks) [agent, replicate].

    Raises
    ------
    ValueError, TypeError
        For bad arguments, before anything is compiled.
    Interrupted
        On Ctrl-C, carrying the replicates that every agent finished.

    See Also
    --------
    bayesmdp.simulate : one task.
    bayesmdp.across_tasks : agents that learn their prior from tasks.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(3, 2)
    >>> learner = bm.across_tasks(bm.agents.rlsvi(), "empirical-bayes", warm_up=2)
    >>> result = simulate_tasks(
    ...     shop,
    ...     {"RLSVI": bm.agents.rlsvi(), "EB": learner},
    ...     truth=bm.models.logistic_transitions(shop),
    ...     tasks=4,
    ...     steps=20,
    ...     replicates=2,
    ... )
    >>> result["regret"].groupby("task").sum().shape
    (2, 2, 4)
    """
    tasks, steps = integer("tasks", tasks, 1), integer("steps", steps, 1)
    numbers, seed = replicate_numbers(replicates), integer("seed", seed, 0)
    thin = window_length(steps if thin is None else thin, steps)
    goals = for_space(TASK_OBJECTIVES, mdp)
    if not isinstance(agents, Mapping):
        raise TypeError(f"agents must be a mapping of names to agents; got {type(agents).__name__}")
    if not callable(truth):
        raise TypeError(f"truth must be a NumPyro model, the distribution of tasks; got {type(truth).__name__}")
    learners = {name: agent if isinstance(agent, AcrossTasks) else AcrossTasks(agent) for name, agent in agents.items()}
    within = {name: learner.agent for name, learner in learners.items()}
    prepared = prepare(mdp, within, truth=truth, robust=None, steps=steps)
    beliefs = prepared.beliefs
    with jax.enable_x64(True):
        own_priors = {name: _own_prior(belief) for name, belief in beliefs.items()}
    for name, learner in learners.items():
        if learner.method is not None:
            check_learner(name, learner, own_priors[name], tasks)
    run_of = {"steps": steps, "seed": seed, "thin": thin, "tasks": tasks}
    attrs = provenance(mdp, learners, beliefs, truth, prepared.probe, None, **run_of)
    attrs["keep_priors"] = int(keep_priors)
    # The prior's numbers are inputs, so that agents which differ in nothing else share a program.
    shared = {
        name: belief.unnamed if isinstance(belief, QBelief) else belief for name, belief in prepared.beliefs.items()
    }
    call = _Call(
        mdp, learners, truth, prepared, own_priors, shared, goals[mdp.objective], seed, tasks, steps, thin, keep_priors
    )
    with one_blas_thread():  # as replicates take turns on the cores already
        return run_replicates(
            partial(_run, call),
            {name: (agent.rules, shared[name]) for name, agent in within.items()},
            numbers,
            lambda runs: assemble_tasks(list(learners), runs, attrs, resume),
            done=resumable(resume, attrs),
            workers=workers,
            on_replicate=on_replicate,
        )


class _Call(NamedTuple):
    """What all runs of one call of `simulate_tasks` share.

    Attributes
    ----------
    mdp, learners, truth, seed, tasks, steps, thin, keep_priors
        The arguments.
    prepared : Prepared
    own_priors : mapping of agent to prior
        The prior that each agent begins with, as methods learn it; None where none can.
    shared : mapping of agent to belief
        Beliefs by which programs are told apart.
    goal : Objective
    """

    mdp: MDP
    learners: Mapping[str, AcrossTasks]
    truth: Model
    prepared: Prepared
    own_priors: Mapping[str, Any]
    shared: Mapping[str, Any]
    goal: Objective
    seed: int
    tasks: int
    steps: int
    thin: int
    keep_priors: bool


def _run(call: _Call, name: str, replicate: int) -> TaskRuns:
    """Let one agent meet all tasks of one replicate, which the seed and the replicate's number determine."""
    began, learning_seconds = time.perf_counter(), 0.0
    learner, belief, own_prior = call.learners[name], call.prepared.beliefs[name], call.own_priors[name]
    carried = _Carried(learner, own_prior, episodes=call.steps // int(call.mdp.horizon or call.steps), tasks=call.tasks)
    windows, priors = [], []
    with jax.enable_x64(True):  # the setting is a thread's own
        own_key = random.fold_in(random.key(call.seed), replicate)
        for task in range(call.tasks):
            rollout = _play(call, name, random.fold_in(own_key, task), carried.prior)
            windows.append({part: np.asarray(getattr(rollout, part)) for part in WINDOWS})
            if call.keep_priors:
                priors.append(carried.prior)
            if not learner.method or task + 1 == call.tasks:
                continue
            finished = time.perf_counter()
            final = jax.tree.map(lambda leaf: leaf[0], rollout.beliefs)
            targets_by = carried.prior if METHODS[learner.method].own_targets else own_prior
            carried.add(_left_behind(belief, call.prepared.problem, final, targets_by, learner.agent.options))
            carried.learn_if_due(int(np.random.SeedSequence([call.seed, replicate, task]).generate_state(1)[0]))
            learning_seconds += time.perf_counter() - finished
    joined = {part: np.concatenate([window[part] for window in windows]) for part in WINDOWS}
    return TaskRuns(joined, priors, learning_seconds, time.perf_counter() - began)


def _play(call: _Call, name: str, key: Key[Array, ""], prior: Any) -> Rollout:
    """Let one agent meet one task, beginning with `prior`."""
    agent_key, truth_key = random.split(key)
    truth = draw_truth(call.truth, truth_key, call.mdp, call.prepared)
    agent = call.learners[name].agent
    return run_agent(
        agent_key,
        call.prepared.problem,
        truth.kernel,
        call.prepared.options[name],
        checkpoints=[] if call.own_priors[name] is None else [call.steps],
        reward=truth.reward,
        prior=prior if prior is None or isinstance(prior, GaussianPrior) else {"transition": prior},
        rules=agent.rules,
        belief=call.shared[name],
        world=call.mdp.world,
        goal=call.goal,
        steps=call.steps,
        thin=call.thin,
    )


class _Carried:
    """What a learner carries from task to task in one replicate: what tasks left behind, and the latest prior."""

    def __init__(self, learner: AcrossTasks, own_prior: Any, *, episodes: int, tasks: int) -> None:
        self.learner, self.episodes, self.tasks = learner, episodes, tasks
        self.base = self.prior = own_prior
        self.learned: Any = None
        self.past: list[Any] = []
        self.due = learner.warm_up

    def add(self, left_behind: Any) -> None:
        """Remember what a task left behind."""
        self.past.append(left_behind)

    def learn_if_due(self, seed: int) -> None:
        """Learn the prior anew after the warm-up, and then whenever there are `growth` times as many tasks."""
        if len(self.past) < max(self.due, 1):
            return
        self.due = max(len(self.past) + 1, math.ceil(self.learner.growth * len(self.past)))
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *self.past)
        assert self.learner.method is not None
        past = Past(stacked, self.base, self.learned, self.episodes, self.tasks, seed)
        self.prior = self.learned = METHODS[self.learner.method].learn(past, **self.learner.options)


def _own_prior(belief: Any) -> Any:
    """Return the prior as methods learn it: a GaussianPrior, or the concentrations of ``transition``, or None."""
    if isinstance(belief, QBelief):
        return jax.tree.map(np.asarray, belief.prior())
    if not isinstance(belief, Belief) or belief.with_prior is None or belief.concentration is None:
        return None
    concentration = belief.concentration(belief.init(random.key(0))).get("transition")
    return None if concentration is None else np.asarray(concentration)


def _left_behind(belief: Any, problem: Any, state: Any, prior: Any, options: Mapping[str, Any]) -> Any:
    """Return what a task's experience says, whatever the prior: statistics of theta, or counts of transitions."""
    if isinstance(belief, QBelief):
        statistics = task_statistics(prior, problem, state.rows, options["lookahead"])
        return TaskStatistics(*map(np.asarray, statistics))
    before = belief.concentration(belief.init(random.key(0)))["transition"]
    return np.asarray(belief.concentration(state)["transition"] - before)
