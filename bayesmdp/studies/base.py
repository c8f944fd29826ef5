"""A study: an experiment as plain data, which the command line runs and the tests read.

A study names its environment, its prior and its agents by functions and numbers only; nothing in it runs until
:meth:`Study.run`. One file a paper holds the paper's studies in a ``STUDIES`` mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from bayesmdp.agents import Agent
    from bayesmdp.mdp import MDP

__all__ = ["AgentSpec", "Study", "made_options"]


def _span(mdp: Any) -> float:
    """Of the true bias."""
    from bayesmdp.planning import solve

    return float(mdp.span if mdp.space == "continuous" else solve(mdp).attrs["span"])


type Options = Mapping[str, Any]


def made_options(options: Options | Callable[[], Options]) -> Options:
    """Options, or what a function returns where making them needs what is slow to import."""
    return options() if callable(options) else options


@dataclass(frozen=True)
class AgentSpec:
    """An agent by algorithm name (a function of :mod:`bayesmdp.agents`), options, and prior if not the study's own.

    `prior_options` may be a function that returns them, where making them needs what is slow to import.
    """

    algorithm: str
    options: Mapping[str, Any] = field(default_factory=dict)
    prior: str | None = None
    prior_options: Options | Callable[[], Options] = field(default_factory=dict)

    def make_prior(self, mdp: Any, default: Any) -> Any:
        """Its own prior, or the default."""
        from bayesmdp import models

        if self.prior is None:
            return default
        return getattr(models, self.prior)(mdp, **made_options(self.prior_options))


@dataclass(frozen=True)
class Study:
    """An experiment.

    Attributes
    ----------
    title : str
        One line, for ``bayesmdp list``.
    environment : str
        A function of :mod:`bayesmdp.environments`.
    environment_options : mapping
    prior : str or None
        A function of :mod:`bayesmdp.models`, called with the environment; None where no agent needs one.
    prior_options : mapping
    reward_prior : str, optional
        A function of :mod:`bayesmdp.models`, called with the environment and the prior of its transitions, where
        rewards are unknown too.
    reward_options : mapping
    agents : mapping of name to AgentSpec
        In the order of tables and legends.
    steps, replicates : int
    thin : int
        Steps of a recorded window.
    bayes : bool
        Draw each replicate's true kernel from the prior instead of taking the environment's own.
    robust : mapping, optional
        Options of :class:`~bayesmdp.objectives.Robust`: measure robustness.
    checkpoint_every : int
        Steps from one checkpoint to the next, where the posterior quantile value is measured; 0 for none. No beliefs
        are kept unless ``checkpoint_draws`` asks for them.
    note : str
        Where the settings come from.
    """

    title: str
    environment: str
    prior: str | None
    agents: Mapping[str, AgentSpec]
    environment_options: Mapping[str, Any] = field(default_factory=dict)
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    reward_prior: str | None = None
    reward_options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 5_000
    replicates: int = 64
    thin: int = 1
    bayes: bool = False
    robust: Mapping[str, Any] | None = None
    checkpoint_every: int = 0
    note: str = ""

    def make_mdp(self) -> Any:
        """The environment."""
        from bayesmdp import environments

        return getattr(environments, self.environment)(**self.environment_options)

    def make_prior(self, mdp: MDP) -> Any:
        """The NumPyro model of what the agents do not know."""
        from bayesmdp import models

        if self.prior is None:
            return None
        prior = getattr(models, self.prior)(mdp, **self.prior_options)
        if self.reward_prior is None:
            return prior
        return getattr(models, self.reward_prior)(mdp, prior, **self.reward_options)

    def make_agents(self, mdp: Any, prior: Any, steps: int | None = None) -> dict[str, Agent]:
        """The agents, under the study's prior or their own; those that are not Bayesian take none.

        What an agent has to be told and its options do not say, it is told: ``horizon``, the steps of the run, and
        ``span``, that of the true bias.
        """
        from bayesmdp import agents

        span = cache(lambda: _span(mdp))  # solved for once, and only if one asks
        made = {}
        for name, spec in self.agents.items():
            maker = getattr(agents, spec.algorithm)
            takes = signature(maker).parameters
            told: dict[str, Any] = {}
            if "horizon" in takes:
                told["horizon"] = steps or self.steps
            if "span" in takes and "span" not in spec.options:
                told["span"] = span()
            own = (spec.make_prior(mdp, prior),) if "prior" in takes else ()
            made[name] = maker(*own, **{**told, **spec.options})
        return made

    def run(self, *, seed: int = 0, **options: Any) -> xr.DataTree:
        """Run the study; `options` go to :func:`~bayesmdp.simulation.simulate`."""
        from bayesmdp.objectives import Robust
        from bayesmdp.simulation import simulate

        mdp = self.make_mdp()
        prior = self.make_prior(mdp)
        options = {"steps": self.steps, "replicates": self.replicates, "thin": self.thin, **options}
        if self.robust is not None:
            options = {"robust": Robust(**self.robust), **options}
        if self.checkpoint_every:
            marks = range(self.checkpoint_every, options["steps"] + 1, self.checkpoint_every)
            options = {"checkpoints": marks, "checkpoint_draws": 0, **options}
        agents = self.make_agents(mdp, prior, options["steps"])
        result = simulate(mdp, agents, seed=seed, truth=prior if self.bayes else None, **options)
        result.attrs["title"] = self.title
        return result

    def with_options(self, options: Mapping[str, Mapping[str, Any]]) -> Study:
        """A copy in which some agents have other options: ``{"AQ-BRMDP": {"scale": 2.0}}``.

        Raises
        ------
        KeyError
            Naming an agent that the study does not have.
        """
        unknown = set(options) - set(self.agents)
        if unknown:
            raise KeyError(f"no agent {sorted(unknown)[0]!r} in this study; it has {', '.join(self.agents)}")
        changed = {
            name: replace(spec, options={**spec.options, **options.get(name, {})}) for name, spec in self.agents.items()
        }
        return replace(self, agents=changed)

    def with_agents(self, names: list[str]) -> Study:
        """A copy with only the named agents."""
        unknown = [name for name in names if name not in self.agents]
        if unknown:
            raise KeyError(f"no agent {unknown[0]!r} in this study; it has {', '.join(self.agents)}")
        return replace(self, agents={name: self.agents[name] for name in names})
