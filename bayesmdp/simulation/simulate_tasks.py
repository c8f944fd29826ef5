"""Agents that meet one task after another, and what they carry from task to task: a prior.

In each replicate all agents meet the same tasks, drawn from one distribution, with the same luck in each. Between tasks
an agent may learn the next one's prior from what all tasks so far left behind (:mod:`bayesmdp.learned_priors`); its
compiled program takes the prior's numbers as inputs, so nothing is compiled again. Learning is done on the host, by
libraries.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jax import random
from numpy.typing import NDArray

from bayesmdp.agents import Agent
from bayesmdp.foundation.validation import integer, replicate_numbers
from bayesmdp.learned_priors.methods import METHODS, Past
from bayesmdp.model_reading.read_model import Model, sample_prior
from bayesmdp.posterior import Belief
from bayesmdp.posterior.beliefs.q_values import QBelief
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior
from bayesmdp.posterior.q_regression.backward import TaskStatistics, task_statistics
from bayesmdp.problems.decision_problem import for_space
from bayesmdp.problems.mdp import MDP
from bayesmdp.simulation.across_tasks import AcrossTasks, check_learner
from bayesmdp.simulation.assemble import join_replicates
from bayesmdp.simulation.checks import check_rewards, check_room, check_run
from bayesmdp.simulation.provenance import provenance, resumable
from bayesmdp.simulation.regret import TASK_OBJECTIVES
from bayesmdp.simulation.rollout import run_agent
from bayesmdp.simulation.threads import Interrupted, OnReplicate, in_threads

__all__ = ["simulate_tasks"]


WINDOWS = ("reward", "regret", "state", "action")


class TaskRuns(NamedTuple):
    """One agent's tasks in one replicate, on the host.

    The rollouts' arrays of all tasks one after the other [window], each task's prior if they are kept, and seconds:
    those spent on learning, and all.
    """

    windows: dict[str, NDArray[Any]]
    priors: list[Any]
    learning: float
    seconds: float


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
    thin = steps if thin is None else integer("thin", thin, 1)
    if steps % thin:
        raise ValueError(f"thin must divide steps; got thin={thin}, steps={steps}")
    goals = for_space(TASK_OBJECTIVES, mdp)
    if not isinstance(agents, Mapping):
        raise TypeError(f"agents must be a mapping of names to agents; got {type(agents).__name__}")
    if not callable(truth):
        raise TypeError(f"truth must be a NumPyro model, the distribution of tasks; got {type(truth).__name__}")
    learners = {name: agent if isinstance(agent, AcrossTasks) else AcrossTasks(agent) for name, agent in agents.items()}
    within = {name: learner.agent for name, learner in learners.items()}
    check_run(mdp, within, truth, None, steps)
    shape = mdp.sizes
    with jax.enable_x64(True):
        beliefs = {name: agent.make_belief(mdp) for name, agent in within.items()}
        probe = sample_prior(truth, random.key(0), shape)
        check_rewards(mdp, beliefs, probe)
        check_room(beliefs, steps)
        problem = jax.tree.map(jax.numpy.asarray, mdp.problem)
        owned = {name: _own_prior(belief) for name, belief in beliefs.items()}
    for name, learner in learners.items():
        if learner.method is not None:
            check_learner(name, learner, owned[name], tasks)
    # The prior's numbers are inputs, so that agents which differ in nothing else share a program.
    shared = {name: belief.unnamed if isinstance(belief, QBelief) else belief for name, belief in beliefs.items()}
    attrs = provenance(
        mdp,
        learners,
        beliefs,
        truth,
        probe,
        None,
        steps=steps,
        seed=seed,
        thin=thin,
        tasks=tasks,
    )
    attrs["keep_priors"] = int(keep_priors)
    done = resumable(resume, attrs)
    goal = goals[mdp.objective]
    episodes = steps // int(mdp.horizon or steps)

    def run(name: str, replicate: int) -> TaskRuns:
        began, learning = time.perf_counter(), 0.0
        learner, belief = learners[name], beliefs[name]
        base = previous = prior = owned[name]
        windows, priors, past, due = [], [], [], learner.warm_up
        with jax.enable_x64(True):  # the setting is a thread's own
            own = random.fold_in(random.key(seed), replicate)
            for task in range(tasks):
                agent_key, truth_key = random.split(random.fold_in(own, task))
                true = sample_prior(truth, truth_key, shape)
                reward = true.get("reward")
                rollout = run_agent(
                    agent_key,
                    problem,
                    true["transition"],
                    dict(learner.agent.options),
                    checkpoints=[] if base is None else [steps],
                    reward=reward if reward is None or reward.ndim == 3 else reward[..., None],
                    prior=prior if prior is None or isinstance(prior, GaussianPrior) else {"transition": prior},
                    rules=learner.agent.rules,
                    belief=shared[name],
                    world=mdp.world,
                    goal=goal,
                    steps=steps,
                    thin=thin,
                )
                windows.append({part: np.asarray(getattr(rollout, part)) for part in WINDOWS})
                if keep_priors:
                    priors.append(prior)
                if not learner.method or task + 1 == tasks:
                    continue
                now = time.perf_counter()
                final = jax.tree.map(lambda leaf: leaf[0], rollout.beliefs)
                targets_by = prior if METHODS[learner.method].own_targets else base
                past.append(_left_behind(belief, problem, final, targets_by, learner.agent.options))
                if len(past) >= max(due, 1):
                    due = max(len(past) + 1, math.ceil(learner.growth * len(past)))
                    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *past)
                    luck = int(np.random.SeedSequence([seed, replicate, task]).generate_state(1)[0])
                    told = Past(stacked, base, previous, episodes, tasks, luck)
                    previous = prior = METHODS[learner.method].learn(told, **learner.options)
                learning += time.perf_counter() - now
        joined = {part: np.concatenate([window[part] for window in windows]) for part in WINDOWS}
        return TaskRuns(joined, priors, learning, time.perf_counter() - began)

    todo = [(name, replicate) for replicate in numbers if replicate not in done for name in learners]
    program = {name: (agent.rules, shared[name]) for name, agent in within.items()}
    runs: dict[tuple[str, int], TaskRuns] = {}
    join = partial(_assemble, list(learners), runs, attrs, resume)
    try:
        for which, finished in in_threads(run, todo, program, workers):
            runs[which] = finished
            if on_replicate is not None:
                on_replicate(*which, finished.seconds)
    except KeyboardInterrupt as stop:
        raise Interrupted(join()) from stop
    result = join()
    assert result is not None
    return result


def _own_prior(belief: Any) -> Any:
    """As it is learned: a GaussianPrior, or the concentrations of ``transition``; None if it is of no such kind."""
    if isinstance(belief, QBelief):
        return jax.tree.map(np.asarray, belief.prior())
    if not isinstance(belief, Belief) or belief.with_prior is None or belief.concentration is None:
        return None
    found = belief.concentration(belief.init(random.key(0))).get("transition")
    return None if found is None else np.asarray(found)


def _left_behind(belief: Any, problem: Any, state: Any, prior: Any, options: Mapping[str, Any]) -> Any:
    """What a task's experience says, whatever the prior: statistics of theta, or counts of transitions."""
    if isinstance(belief, QBelief):
        told = task_statistics(prior, problem, state.rows, options["lookahead"])
        return TaskStatistics(*map(np.asarray, told))
    before = belief.concentration(belief.init(random.key(0)))["transition"]
    return np.asarray(belief.concentration(state)["transition"] - before)


def _assemble(
    names: list[str],
    runs: Mapping[tuple[str, int], TaskRuns],
    attrs: dict[str, Any],
    resume: xr.DataTree | None,
) -> xr.DataTree | None:
    """The results of the replicates that every agent finished, joined to those of `resume`."""
    whole = sorted(r for r in {r for _, r in runs} if all((name, r) in runs for name in names))
    if not whole:
        return resume

    def stack(part: Callable[[TaskRuns], Any]) -> NDArray[Any]:
        return np.array([[part(runs[name, r]) for r in whole] for name in names])

    places: dict[str, Any] = {"agent": names, "replicate": whole}
    step = np.arange(attrs["thin"], attrs["tasks"] * attrs["steps"] + 1, attrs["thin"])
    along = {"step": step, "task": ("step", (step - 1) // attrs["steps"])}
    dims = ("agent", "replicate")
    by_window = {
        variable: ((*dims, "step"), stack(lambda run, variable=variable: run.windows[variable]))  # type: ignore[misc]
        for variable in WINDOWS
    }
    nodes = {"/": xr.Dataset(by_window, {**places, **along}, attrs)}
    seconds = {"seconds": (dims, stack(lambda run: run.seconds)), "learning": (dims, stack(lambda run: run.learning))}
    nodes["/timing"] = xr.Dataset(seconds, places)
    for name in names if attrs["keep_priors"] else ():
        used = [runs[name, r].priors for r in whole]
        if used[0][0] is None:
            continue
        if isinstance(used[0][0], GaussianPrior):
            theta = ("replicate", "task", "stage", "feature")
            mean = np.array([[prior.mean for prior in priors] for priors in used])
            covariance = np.array([[prior.covariance for prior in priors] for priors in used])
            kept = {"mean": (theta, mean), "covariance": ((*theta, "other_feature"), covariance)}
        else:
            kept = {"concentration": (("replicate", "task", "state", "action", "outcome"), np.array(used))}
        nodes[f"/priors/{name}"] = xr.Dataset(kept, {"replicate": whole})
    return join_replicates(resume, xr.DataTree.from_dict(nodes))
