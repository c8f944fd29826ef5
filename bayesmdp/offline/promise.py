"""The way from a log to a promise: a posterior, a plan, and what its policy is worth under draws it has not seen.

It is gone for the log at hand and for others like it (:mod:`bayesmdp.offline.calibration`). A promise is of the value
of the policy at the start, and, where it is said what is done *today*, of its *gain*: how much more that value is than
that of today's policy under the same draw.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from bayesmdp.logs.problem_from_log import open_actions
from bayesmdp.offline.behaviour import Today
from bayesmdp.offline.experience import Experience
from bayesmdp.offline.logs_alike import World
from bayesmdp.offline.remade import Parameters, Remade
from bayesmdp.offline.reward_models import paid_by
from bayesmdp.offline.tried_pairs import Pairs, few_pairs
from bayesmdp.planning.dirichlet_quantile import DirichletQuantile
from bayesmdp.planning.operators import Draws
from bayesmdp.planning.over_baseline import best_over_baseline
from bayesmdp.planning.risk import Risk
from bayesmdp.planning.table_plan import solve_draws
from bayesmdp.planning.values_over_draws import values_of_each, values_under
from bayesmdp.problems.mdp import MDP
from bayesmdp.problems.problem import Problem

__all__ = ["LARGE", "Pipeline", "Promise", "promised", "true_worth", "worlds_of"]

LARGE, JUDGES = 4_000_000, 60
"""Numbers in the draws of all pairs above which those of the tried ones are made alone; and the least number of draws
that judge a policy there, of which six lie below the quantile. With 60 that at .1 is known to a fifth of a standard
deviation of what is believed of the value, little beside what such logs over-promise."""

type Policy = NDArray[Any]
"""Actions [(stage,) state], integers, or probabilities [(draw,) state, action], with a dim of draws one for each."""


class Pipeline(NamedTuple):
    """The way from sums of a log to a promise.

    Attributes
    ----------
    problem : MDP
    prior : Remade
        What becomes a posterior by any log.
    risk : Risk
        What the plan is the best for.
    level : float
        The promise is to be broken no more often.
    draws : int
    today : Today, optional
        What is done today, of a gain over which something is promised too.
    aim : {"value", "gain"}
        Whether the plan is the best for the value, or for the gain over what is done today.
    least_tries : int
        How often an action was tried at least, to be planned with.
    """

    problem: MDP
    prior: Remade
    risk: Risk
    level: float
    draws: int
    today: Today | None = None
    aim: Literal["value", "gain"] = "value"
    least_tries: int = 1

    def pairs(self, available: NDArray[np.bool_], untold: NDArray[np.bool_]) -> Pairs:
        """The pairs that a plan may take, or a few in each state where draws of all would be large.

        Parameters
        ----------
        available : bool array [state, action]
        untold : bool array [state]
            States that a log never acted in.
        """
        arrays = self.problem.problem._replace(available=available)
        return few_pairs(arrays, untold, self.problem.available) if self.by_few else Pairs(arrays)

    def judged(self, available: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What may be done [state, action] by policies that are judged: also what is said to be done today."""
        return available if self.today is None or not self.today.said else available | (self.today.truth > 0)

    @property
    def by_few(self) -> bool:
        """Whether draws of all pairs would be large, and those of a few are enough."""
        large = self.draws * int(np.prod(self.problem.sizes)) > LARGE
        table = self.problem.successor is not None and not self.problem.by_stage and self.prior.by_row
        return large and table and self.aim == "value" and not isinstance(self.risk, DirichletQuantile)

    @property
    def judges(self) -> int:
        """Draws to judge a policy by: of large problems fewer, each of which is a large system to solve."""
        return min(self.draws, max(JUDGES, math.ceil(6 / self.level))) if self.by_few else self.draws


class Promise(NamedTuple):
    """What a log says of the policy that it leads to.

    Attributes
    ----------
    policy : int array [(stage,) state], or probabilities [state, action]
    values : array [draw]
        Of the policy at the start, under draws that it was not chosen with.
    gains : array [draw], or None
        By how much that is more than today's policy is worth, if it was asked.
    as_today : bool
        Whether the policy is to go on as today, which gains nothing for sure.
    """

    policy: Policy
    values: NDArray[np.float64]
    gains: NDArray[np.float64] | None
    as_today: bool = False


def promised(pipeline: Pipeline, log: Experience, seed: int) -> Promise:
    """Go the way that the log at hand goes: the prior, the plan, and its policy under fresh draws.

    Parameters
    ----------
    pipeline : Pipeline
    log : Experience
    seed : int

    Returns
    -------
    Promise
    """
    problem, parameters = pipeline.problem, pipeline.prior.posterior(log)
    available, untold = open_actions(log.tries > 0, problem.terminal)
    often, _ = open_actions(log.tries, problem.terminal, pipeline.least_tries)
    known = np.where(untold[:, None, None], problem.reward[problem.available].min(), problem.reward)
    today = None if pipeline.today is None else pipeline.today.estimate(log.tries, available)
    exact = isinstance(pipeline.risk, DirichletQuantile)
    to_plan, to_judge = pipeline.pairs(often, untold), pipeline.pairs(pipeline.judged(available), untold)
    if exact:
        planning = Draws(parameters["transition"][None], known)
    else:
        planning = to_plan.draws(pipeline.prior, parameters, known, pipeline.draws, seed)
    if pipeline.aim == "gain":
        assert today is not None
        policy: Policy = best_over_baseline(to_plan.problem, planning, pipeline.risk, today.mean).policy
        policy = np.where(untold[:, None], today.mean, policy)
    else:
        with jax.enable_x64(True):
            options = {"solver": "policy_iteration", "horizon": problem.horizon}
            solved = solve_draws(to_plan.problem, planning, pipeline.risk, 1e-10, 1_000_000, **options)
            policy = to_plan.as_actions(np.asarray(solved.policy, np.int64))
    policies = [policy]
    if today is not None:
        # To go on as today gains 0, for sure.
        same = np.array_equal(policy, today.mean)
        policies.append(policy if same else today.draws(pipeline.judges, seed + 1))
    judged = _fresh_values(parameters, pipeline, known, to_judge, policies, seed + 1)
    return Promise(policy, judged[0], judged[0] - judged[1] if len(judged) > 1 else None)


def _fresh_values(
    parameters: Parameters,
    pipeline: Pipeline,
    known: NDArray[np.float64],
    pairs: Pairs,
    policies: list[Policy],
    seed: int,
) -> list[NDArray[np.float64]]:
    """Values [draw] of policies at the start, all under the same draws, apart from those they were chosen with."""
    problem = pipeline.problem
    dense, mixed = problem.successor is None, any(policy.dtype.kind == "f" for policy in policies)
    if not (dense and pipeline.prior.by_row) or mixed or len(policies) > 1:
        draws = pairs.draws(pipeline.prior, parameters, known, pipeline.judges, seed)
        return [_values_at_start(problem, draws, pairs.as_choices(policy), pairs.problem) for policy in policies]
    # Where outcomes are states, draws of the policy's own rows are enough, and their systems are solved together.
    (policy,) = policies
    taken = np.zeros((problem.num_states, problem.num_actions), bool)
    taken[np.arange(problem.num_states), policy] = True
    drawn = pipeline.prior.draws(pipeline.prior.of_some(parameters, taken), pipeline.judges, seed)
    rows = drawn["transition"]
    reward = drawn["reward"] if "reward" in drawn else (rows * known[taken]).sum(-1)
    if not problem.by_stage:
        return [_solved_at_start(problem, rows, reward)]
    each = Draws(*(np.zeros((len(rows), *taken.shape, width)) for width in (rows.shape[-1], 1)))
    each.transition[:, taken], each.reward[:, taken] = rows, reward[..., None]
    return [_values_at_start(problem, each, policy)]


def true_worth(problem: MDP, world: World, policy: Policy) -> float:
    """What a policy is truly worth at the start of a world."""
    return float(_values_at_start(problem, Draws(world.transition[None], world.reward), policy)[0])


def worlds_of(pipeline: Pipeline, experience: Experience) -> tuple[World, World]:
    """The world of a log's frequencies, and that of its posterior's mean.

    Parameters
    ----------
    pipeline : Pipeline
    experience : Experience
    """
    problem, parameters = pipeline.problem, pipeline.prior.posterior(experience)
    tried = (experience.tries > 0)[..., None]
    mean = pipeline.prior.means(parameters)
    rows = mean["transition"]
    seen = np.where(tried, experience.counts / np.maximum(experience.tries, 1)[..., None], rows)
    believed = frequent = problem.reward
    if "reward" in mean:
        believed, paid = mean["reward"], paid_by(experience, pipeline.prior.by)
        often, each = (a[..., None] if pipeline.prior.by == "pair" else a for a in (paid.tries, paid.mean))
        frequent = np.where(often > 0, each, believed)
    return World("as seen", seen, frequent), World("as believed", rows, believed)


def _values_at_start(problem: MDP, draws: Draws, policy: Policy, arrays: Problem | None = None) -> NDArray[np.float64]:
    """Value of a policy at the start under each draw [draw], with other arrays than the problem's if there are any."""
    if problem.successor is None and not problem.by_stage:
        return _solved_at_start(problem, *_followed(draws, policy))
    arrays = arrays or problem.problem
    with jax.enable_x64(True):
        if policy.dtype.kind == "f" and (policy.ndim == 3 or problem.by_stage):
            policies = np.broadcast_to(policy, (len(draws.transition), *policy.shape[-2:]))
            values = np.asarray(values_of_each(arrays, draws, policies, horizon=problem.length))
        else:
            values = np.asarray(values_under(arrays, draws, policy, by_stage=problem.by_stage))
    return np.asarray((values[:, 0] if problem.by_stage else values) @ problem.initial)


def _followed(draws: Draws, policy: Policy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows between states [draw, state, next_state] and rewards [draw or none, state] of a policy."""
    transition, reward = np.asarray(draws.transition), np.asarray(draws.reward)
    if policy.dtype.kind != "f":
        state = np.arange(len(policy))
        rows, paid = transition[:, state, policy], reward[..., state, policy, :]
        return rows, paid[..., 0] if paid.shape[-1] == 1 else (rows * paid).sum(-1)
    rows = np.einsum("...sa,...sat->...st", policy, transition)
    if reward.shape[-1] == 1:
        return rows, (policy * reward[..., 0]).sum(-1)
    return rows, np.einsum("...sa,...sat,...sat->...s", policy, transition, reward)


def _solved_at_start(problem: MDP, rows: NDArray[np.float64], reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """Value at the start [...], by rows between states [..., state, next_state] and rewards [..., state]."""
    live = ~problem.terminal
    system = np.eye(len(live)) - (problem.discount or 1) * live[:, None] * rows * live
    reward = np.broadcast_to(live * reward, system.shape[:-1])
    return np.asarray(np.linalg.solve(system, reward[..., None])[..., 0] @ problem.initial)
