"""The way from a log of measurements to a promise, and whether it is kept on logs like the one at hand.

The way is that of :mod:`bayesmdp.offline.measured_plan`: a posterior in closed form, a fit of Q under some draws,
and what its policy is worth under others, by rollouts. It is gone for logs made in worlds whose truth is known
(:mod:`bayesmdp.offline.measured_worlds`), and for halves of the log, and bounds are lowered as
:mod:`bayesmdp.offline.calibration` says. Five things differ from tables. The prior is the one that was chosen for the
log at hand, and not chosen anew; so are the box, and what a plan may do in a state because it was tried near; the fit
of Q begins where that of the log at hand ended; its policy is valued under fewer draws, where these tell its bound
closely enough (:mod:`bayesmdp.offline.measured_values`); and there are a quarter as many halves as logs of a world, for
each is a plan.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from jax import random
from numpy.typing import NDArray

from bayesmdp.model_reading.records import Records
from bayesmdp.offline.calibration import in_threads_of_checks
from bayesmdp.offline.checked import Calibration, LogErrors, judge_errors
from bayesmdp.offline.measured_policy import ActsByPlan, policy_of_draws
from bayesmdp.offline.measured_values import values_and_gains, values_at_start
from bayesmdp.offline.measured_worlds import EACH, VALUED, AsBelieved, AsSeen, MeasuredWorld
from bayesmdp.offline.state_behaviour import ActsInStates, StateBehaviour, state_behaviour
from bayesmdp.planning.simulated_plan import FittedQ
from bayesmdp.posterior.closed_forms.find_form import ClosedForm
from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["MeasuredPipeline", "calibrate_measured"]

FEWER = 4
"""Logs of a world for each random half of the log."""


class MeasuredPipeline(NamedTuple):
    """The way from a log to a promise.

    Attributes
    ----------
    mdp : SimulatedMDP
    form : Regression, or another closed form
        Of the model's posterior.
    risk : Risk
    level : float
        The promise is to be broken no more often.
    draws : int
        Of the posterior, by which the policy of the log at hand is valued.
    enough : (int, int)
        Of these, by which those of simulated logs are, and their gains: see `MeasuredFit.enough_draws`.
    options : FittedQ
    begun : FittedPolicy, StagedPolicy or GainPolicy
        Where fits of Q begin.
    compared : bool
        Whether something is promised of the gain over what is done today too.
    today : ActsInStates, or None
        What is done today, where that is said; None where it is what a log shows.
    aim : {"value", "gain"}
        What plans are the best for.
    """

    mdp: SimulatedMDP
    form: ClosedForm
    risk: Any
    level: float
    draws: int
    enough: tuple[int, int]
    options: FittedQ
    begun: ActsByPlan
    compared: bool
    today: ActsInStates | None = None
    aim: str = "value"

    def done_today(self, data: Records) -> ActsInStates:
        """What is done today, as it is said or as a log shows it.

        Parameters
        ----------
        data : Records
        """
        return _behaviour(self.mdp, data) if self.today is None else self.today


class _Said(NamedTuple):
    """What a log says of the policy that it leads to, where episodes start: values [draw].

    And of the first draws its gains over what is done today, and values of that; None where nothing is said of today.
    """

    policy: ActsInStates
    values: NDArray[np.float64]
    gains: NDArray[np.float64] | None
    today: NDArray[np.float64] | None


def calibrate_measured(
    pipeline: MeasuredPipeline, data: Records, begins: NDArray[np.bool_], *, logs: int, seed: int
) -> Calibration:
    """Check a promise on logs like the one at hand.

    Parameters
    ----------
    pipeline : MeasuredPipeline
    data : Records
        The log at hand.
    begins : bool array [row]
        In which rows its episodes begin.
    logs : int
        Of each of the two worlds.
    seed : int

    Returns
    -------
    Calibration
    """
    behaviour = _behaviour(pipeline.mdp, data)
    worlds: list[MeasuredWorld] = [AsSeen(pipeline.mdp, data), _believed(pipeline, data)]
    # Logs start where this one did, which need not be where policies are valued.
    starts, today = np.asarray(data.state)[begins], behaviour if pipeline.today is None else pipeline.today
    made = [(world, log) for world in worlds for log in world.logs(behaviour, begins, logs, seed, starts)]
    earned_today = {world.name: world.worth(today) if pipeline.compared else 0.0 for world in worlds}

    def errors(number: int) -> LogErrors:
        world, log = made[number]
        said = _promised(pipeline, log, seed + 1 + number)
        worth, worth_today = world.worth(said.policy), earned_today[world.name]
        return LogErrors.of(said.values, said.gains, worth, worth_today, pipeline.level, today=said.today)

    found = in_threads_of_checks(errors, range(len(made)))
    split = _split(pipeline, data, max(1, logs // FEWER), seed)
    names = [world.name for world in worlds]
    return judge_errors(found, names, split, pipeline.level, compared=pipeline.compared)


def _behaviour(mdp: SimulatedMDP, data: Records) -> StateBehaviour:
    seen = data.weight > 0
    return state_behaviour(data.state[seen], data.action[seen], mdp.num_actions, mdp.problem.low, mdp.problem.high)


def _sums(pipeline: MeasuredPipeline, data: Records) -> Any:
    """What a log adds up to, as the closed form has it."""
    rows, form = pipeline.mdp.problem.rows_of_model(data), cast(Any, pipeline.form)
    with jax.enable_x64(True):
        return form.learn_log(pipeline.mdp.model, form.before, rows)


def _believed(pipeline: MeasuredPipeline, data: Records) -> AsBelieved:
    """The world of a log's posterior mean."""
    valued = replace(pipeline.options.rollouts, number=VALUED)
    return AsBelieved(pipeline.mdp, pipeline.form.mean_values(_sums(pipeline, data)), valued)


def _promised(pipeline: MeasuredPipeline, data: Records, seed: int) -> _Said:
    """Go the way that the log at hand goes: the posterior, the plan, and its policy under fresh draws."""
    mdp, options = pipeline.mdp, replace(pipeline.options, seed=seed)
    sums = _sums(pipeline, data)
    with jax.enable_x64(True):
        keys = random.split(random.key(seed))
        numbers = options.num_draws, pipeline.draws
        planning, fresh = (
            jax.tree.map(np.asarray, pipeline.form.draw(key, sums, number))
            for key, number in zip(keys, numbers, strict=True)
        )
    today = pipeline.done_today(data) if pipeline.compared else None
    over = today if pipeline.aim == "gain" else None
    planned = policy_of_draws(mdp, planning, pipeline.risk, options, over=over, begun=pipeline.begun)
    enough, of_gain = pipeline.enough
    few = {name: array[:enough] for name, array in fresh.items()}
    rollouts = replace(options.rollouts, number=EACH * enough)
    if today is not None and not planned.as_today:
        told = values_and_gains(mdp, few, planned.policy.policy, today.policy, of_gain, rollouts)
        return _Said(planned.policy, *told)
    values = values_at_start(mdp, few, planned.policy.policy, rollouts)
    as_today = (None, None) if today is None else (np.zeros(of_gain), values[:of_gain])
    return _Said(planned.policy, values, *as_today)


def _split(pipeline: MeasuredPipeline, data: Records, times: int, seed: int) -> tuple[float, float]:
    """How much more one half of the log says of the policy that it chose than the other half does: what a log would."""
    rng = np.random.default_rng([seed, 11])
    halves = []
    for _ in range(times):
        first = rng.uniform(size=len(data.weight)) < 0.5
        weights = first.astype(float), 1.0 - first
        halves.append([data._replace(weight=weight) for weight in weights])

    def over(number: int) -> tuple[float, float]:
        chosen_by, told_by = halves[number]
        said = _promised(pipeline, chosen_by, seed + 10_000 + number)
        other = _believed(pipeline, told_by)
        worth = other.worth(said.policy)
        if said.gains is None:
            return float(said.values.mean()) - worth, 0.0
        gain = worth - other.worth(pipeline.done_today(data))
        return float(said.values.mean()) - worth, float(said.gains.mean()) - gain

    of_value, of_gain = np.mean(in_threads_of_checks(over, range(times)), axis=0) / 2**0.5
    return float(of_value), float(of_gain)
