"""A study of agents that meet one task after another, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.study import AgentSpec, Study, find_part, made_options

if TYPE_CHECKING:
    import xarray as xr

    from bayesmdp.problems.mdp import MDP

__all__ = ["LearnerSpec", "TaskStudy"]


@dataclass(frozen=True)
class LearnerSpec(AgentSpec):
    """An agent and how it learns its prior.

    Attributes
    ----------
    method : str or None
        As for :func:`~bayesmdp.simulation.across_tasks.across_tasks`.
    learning : mapping
        ``warm_up``, ``growth`` and the method's options.
    knows : {"nothing", "noise", "covariance", "prior", "prior and noise"}
        What it is told of the tasks' distribution: the noise of targets, with the study's prior; the tasks' covariance,
        which goes to the method; or all of it, which is then its own prior, with the study's noise or the true one.
    stretch : float
        What the covariance is multiplied by before it is told: other than 1 for a prior that is wrong on purpose.
    """

    method: str | None = None
    learning: Mapping[str, Any] = field(default_factory=dict)
    knows: str = "nothing"
    stretch: float = 1.0


@dataclass(frozen=True)
class TaskStudy(Study):
    """An experiment over many tasks; beside the fields of `Study`, whose ``steps`` are those of one task.

    Attributes
    ----------
    truth : str
        Here the distribution of tasks.
    truth_environment_options : mapping
        Where the distribution is made for another form of the environment than agents see, such as its true features.
    tasks : int
    drawn : int
        Tasks to find their distribution from, for those who are told.
    keep_priors : bool
    """

    truth_environment_options: Mapping[str, Any] = field(default_factory=dict)
    tasks: int = 1
    drawn: int = 1_000
    keep_priors: bool = False

    def make_truth(self, mdp: MDP) -> Any:
        """The distribution of tasks."""
        true = mdp
        if self.truth_environment_options:
            options = {**self.environment_options, **self.truth_environment_options}
            true = find_part("environments", self.environment)(**options)
        return find_part("models", self.truth)(true, **made_options(self.truth_options))

    def make_agents(self, mdp: Any, prior: Any, steps: int | None = None) -> dict[str, Any]:
        """Make the agents, each with its way of learning.

        Parameters
        ----------
        mdp : MDP
        prior : NumPyro model
            Of agents that are not told more.
        steps : int, optional
            Of each task; by default the study's.

        Returns
        -------
        dict of str to agent
        """
        from bayesmdp.simulation.across_tasks import across_tasks

        made = {}
        for name, spec in self.agents.items():
            assert isinstance(spec, LearnerSpec)
            own, learning = prior, dict(spec.learning)
            if spec.knows == "prior" and self.prior != "gaussian_q":
                own = self.make_truth(mdp)
            elif spec.knows != "nothing":
                known = self._known(mdp, spec.algorithm == "bandit_ts")
                known = known.assign(covariance=spec.stretch * known["covariance"])
                own = self._told(mdp, prior, known, spec.knows)
                if spec.knows == "covariance":
                    learning["covariance"] = known["covariance"].values
            options = dict(spec.options)
            if mdp.objective == "episode" and mdp.num_states > 1_000:
                options.setdefault("episodes", (steps or self.steps) // mdp.horizon)
            made[name] = across_tasks(find_part("agents", spec.algorithm)(own, **options), spec.method, **learning)
        return made

    def _known(self, mdp: MDP, rewards_only: bool) -> xr.Dataset:
        """The distribution of tasks' weights, as `q_distribution` finds it."""
        from bayesmdp.learned_priors import q_distribution

        return _distribution(q_distribution, mdp, self.make_truth(mdp), self.drawn, rewards_only)

    def _told(self, mdp: MDP, prior: Any, known: xr.Dataset, knows: str) -> Any:
        """The prior of an agent that is told `knows` of what is known."""
        from bayesmdp import models

        if knows == "covariance":
            return prior
        if knows == "noise":
            return models.gaussian_q(mdp, **{**made_options(self.prior_options), "noise": known["noise"].values})
        mean, covariance = known["mean"].values, known["covariance"].values
        true_noise = knows == "prior and noise"
        noise = known["noise"].values if true_noise else made_options(self.prior_options).get("noise", 1.0)
        return models.gaussian_q(mdp, mean, covariance, noise=noise, widening=1e-6 * covariance.max((1, 2)))

    def run(self, *, seed: int = 0, problem: tuple[Any, Any] | None = None, **options: Any) -> xr.DataTree:
        """Run the study.

        Parameters
        ----------
        seed : int
        problem : (MDP, prior), optional
            As `make_problem` returns them, which are made unless given.
        **options
            Of :func:`~bayesmdp.simulation.simulate_tasks.simulate_tasks`; they take precedence over the study's.

        Returns
        -------
        DataTree
            As `simulate_tasks` returns it.
        """
        from bayesmdp.simulation.simulate_tasks import simulate_tasks

        mdp, prior = problem or self.make_problem()
        settings = {"steps": self.steps, "replicates": self.replicates, "tasks": self.tasks, "thin": self.thin}
        options = {**settings, "keep_priors": self.keep_priors, **options}
        agents = self.make_agents(mdp, prior, options["steps"])
        result = simulate_tasks(mdp, agents, truth=self.make_truth(mdp), seed=seed, **options)
        result.attrs["title"] = self.title
        return result


@lru_cache(maxsize=8)
def _distribution(find: Any, mdp: MDP, truth: Any, tasks: int, rewards_only: bool) -> xr.Dataset:
    found: xr.Dataset = find(mdp, truth, tasks=tasks, rewards_only=rewards_only)
    return found
