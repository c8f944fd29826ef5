"""A study: an experiment as plain data, which the command line runs and the tests read.

A study names its environment, its prior and its agents by functions and numbers only; nothing in it runs until
:meth:`Study.run`. One file a paper holds the paper's studies in a ``STUDIES`` mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.foundation.user_code import from_file, needed_arguments
from bayesmdp.problems.decision_problem import for_space

if TYPE_CHECKING:
    import xarray as xr

    from bayesmdp.agents import Agent
    from bayesmdp.problems.mdp import MDP

__all__ = ["AgentSpec", "Part", "Study", "find_part", "made_options", "part_name"]


def _span(mdp: Any) -> float:
    """Of the true bias."""
    from bayesmdp.planning import solve

    spans: Mapping[str, Callable[[Any], Any]] = {
        "finite": lambda mdp: solve(mdp).attrs["span"],
        "continuous": lambda mdp: mdp.span,
    }
    return float(for_space(spans, mdp)(mdp))


type Options = Mapping[str, Any]
type Part = str | Callable[..., Any]
"""A function of the package by name, one of the user's own as ``FILE.py:NAME``, or the function itself."""


REGISTRIES = {"agents": "AGENTS", "environments": "ENVIRONMENTS", "models": "PRIORS"}
"""Where the parts of each kind are registered, by name."""


def find_part(kind: str, part: Part) -> Callable[..., Any]:
    """Return the function that a part names among those of ``bayesmdp.KIND``, or in the user's file.

    Raises
    ------
    ValueError
        If there is none, saying what there is.

    Parameters
    ----------
    kind : {"environments", "models", "agents"}
    part : str or callable
        A name, ``"FILE.py:NAME"``, or the function itself, which is returned as it is.

    Returns
    -------
    callable

    Examples
    --------
    >>> find_part("environments", "riverswim")(6).name
    'riverswim-6'
    """
    if not isinstance(part, str):
        return part
    if ":" in part:
        file, _, name = part.rpartition(":")
        return _own_part(Path(file).resolve(), name, Path(file).stat().st_mtime_ns if Path(file).is_file() else 0)
    parts: dict[str, Callable[..., Any]] = getattr(import_module(f"bayesmdp.{kind}"), REGISTRIES[kind])
    if part not in parts:
        hint = did_you_mean(part, parts, quoted=False)
        raise ValueError(f"bayesmdp.{kind} has no {part!r}; {hint} (one of your own is FILE.py:NAME)")
    return parts[part]


def part_name(part: Part) -> str:
    """Return how a part is named in tables and messages."""
    return part if isinstance(part, str) else getattr(part, "__qualname__", repr(part))


@lru_cache(maxsize=64)
def _own_part(path: Path, name: str, changed: int) -> Callable[..., Any]:
    """Load a function once for each state of its file, so that what is made with it is equal and compiled once."""
    del changed
    return from_file(path, name)


def made_options(options: Options | Callable[[], Options]) -> Options:
    """Options, or what a function returns where making them needs what is slow to import."""
    return options() if callable(options) else options


def _made_prior(part: Part, mdp: Any, options: Options) -> Any:
    """What a prior's function makes of the environment, refused by name where it needs more than that."""
    maker = find_part("models", part)
    missing = needed_arguments(maker, options)[1:]
    if missing[:1] == ["transitions"]:
        raise ValueError(
            f"{part_name(part)} is a prior of rewards, and stands on one of transitions: make that one the prior, and "
            f"{part_name(part)} the reward_prior"
        )
    if missing:
        raise ValueError(f"the prior {part_name(part)} needs {' and '.join(missing)}, among its options")
    return maker(mdp, **options)


@dataclass(frozen=True)
class AgentSpec:
    """An agent by algorithm name (a function of :mod:`bayesmdp.agents`), options, and prior if not the study's own.

    `prior_options` may be a function that returns them, where making them needs what is slow to import.

    Examples
    --------
    >>> AgentSpec("aq_brmdp", {"scale": 2.0}).options["scale"]
    2.0
    """

    algorithm: Part
    options: Mapping[str, Any] = field(default_factory=dict)
    prior: Part | None = None
    prior_options: Options | Callable[[], Options] = field(default_factory=dict)

    def make_prior(self, mdp: Any, default: Any) -> Any:
        """Return the agent's own prior, or the default where it has none.

        Parameters
        ----------
        mdp : problem
        default : NumPyro model, or None

        Returns
        -------
        NumPyro model, or None
        """
        if self.prior is None:
            return default
        return _made_prior(self.prior, mdp, made_options(self.prior_options))


@dataclass(frozen=True)
class Study:
    """An experiment.

    Environment, priors and algorithms are named functions of this package; one of your own is ``"FILE.py:NAME"``, or
    the function itself.

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
    truth : str, optional
        A function of :mod:`bayesmdp.models`, called with the environment: what each replicate's true kernel is drawn
        from where that is not the prior, which is then wrong on purpose.
    truth_options : mapping, or function that returns one
    robust : mapping, optional
        Options of :class:`~bayesmdp.simulation.robustness.Robust`: measure robustness.
    checkpoint_every : int
        Steps from one checkpoint to the next, where the posterior quantile value is measured; 0 for none.
    checkpoint_draws : int
        Posterior draws that are kept at each checkpoint.
    restart : int, optional
        After how many steps the world starts again.
    note : str
        Where the settings come from.

    Examples
    --------
    >>> from bayesmdp.studies import find
    >>> study = find("aq-brmdp/riverswim-6")
    >>> isinstance(study, Study), sorted(study.agents)[:2], study.steps
    (True, ['AQ-BRMDP', 'BRMDP-0.1'], 5000)
    """

    title: str
    environment: Part
    prior: Part | None
    agents: Mapping[str, AgentSpec]
    environment_options: Mapping[str, Any] = field(default_factory=dict)
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    reward_prior: Part | None = None
    reward_options: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 5_000
    replicates: int = 64
    thin: int = 1
    bayes: bool = False
    truth: Part = ""
    truth_options: Options | Callable[[], Options] = field(default_factory=dict)
    robust: Mapping[str, Any] | None = None
    checkpoint_every: int = 0
    checkpoint_draws: int = 0
    restart: int | None = None
    note: str = ""

    def make_mdp(self) -> Any:
        """The environment."""
        return find_part("environments", self.environment)(**self.environment_options)

    def make_prior(self, mdp: MDP) -> Any:
        """The NumPyro model of what the agents do not know."""
        if self.prior is None:
            return None
        prior = _made_prior(self.prior, mdp, self.prior_options)
        if self.reward_prior is None:
            return prior
        return find_part("models", self.reward_prior)(mdp, prior, **self.reward_options)

    def make_agents(self, mdp: Any, prior: Any, steps: int | None = None) -> dict[str, Agent]:
        """Make the agents, under the study's prior or their own; those that are not Bayesian take none.

        What an agent has to be told and its options do not say, it is told: ``horizon``, the steps of the run, and
        ``span``, that of the true bias.

        Parameters
        ----------
        mdp : problem
        prior : NumPyro model, or None
        steps : int, optional
            Of the run; by default the study's.

        Returns
        -------
        dict of str to Agent
        """
        span = cache(lambda: _span(mdp))  # solved for once, and only if one asks
        made = {}
        for name, spec in self.agents.items():
            maker = find_part("agents", spec.algorithm)
            takes = signature(maker).parameters
            told: dict[str, Any] = {}
            if "horizon" in takes:
                told["horizon"] = steps or self.steps
            if "span" in takes and "span" not in spec.options:
                told["span"] = span()
            own = (spec.make_prior(mdp, prior),) if "prior" in takes else ()
            made[name] = maker(*own, **{**told, **spec.options})
        return made

    def make_truth(self, mdp: Any) -> Any:
        """The NumPyro model that true kernels are drawn from."""
        return _made_prior(self.truth, mdp, made_options(self.truth_options))

    def make_problem(self) -> tuple[Any, Any]:
        """The environment and the prior, which studies that differ in their agents only may share."""
        mdp = self.make_mdp()
        return mdp, self.make_prior(mdp)

    def run(self, *, seed: int = 0, problem: tuple[Any, Any] | None = None, **options: Any) -> xr.DataTree:
        """Run the study.

        Parameters
        ----------
        seed : int
        problem : (problem, prior), optional
            As `make_problem` returns them, which are made unless given.
        **options
            Of :func:`~bayesmdp.simulation.simulate`; they take precedence over the study's.

        Returns
        -------
        DataTree
            As `simulate` returns it.
        """
        from bayesmdp.simulation.robustness import Robust
        from bayesmdp.simulation.simulate import simulate

        mdp, prior = problem or self.make_problem()
        options = {"steps": self.steps, "replicates": self.replicates, "thin": self.thin, **options}
        if self.restart is not None:
            options = {"restart": self.restart, **options}
        if self.robust is not None:
            options = {"robust": Robust(**self.robust), **options}
        if self.checkpoint_every:
            marks = range(self.checkpoint_every, options["steps"] + 1, self.checkpoint_every)
            options = {"checkpoints": marks, "checkpoint_draws": self.checkpoint_draws, **options}
        agents = self.make_agents(mdp, prior, options["steps"])
        truth = self.make_truth(mdp) if self.truth else prior if self.bayes else None
        result = simulate(mdp, agents, seed=seed, truth=truth, **options)
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
