"""Decision problems on spaces of numbers whose steps a NumPyro model makes.

A :class:`SimulatedMDP` is a model of :class:`~bayesmdp.model_reading.records.Records` with the true values of its
unknowns, and what everybody knows: the rewards, the actions, where states lie. The world draws each step from the model
at the truth, and records the primitives with it; agents learn from those, and plan by drawing next states from a model
at values of their own. Problems are discounted, or a number of steps counts.

Regret needs the value of policies. Where a *mesh* is given, a finite problem on points of the space with the kernel as
a function of the unknowns, V* and V^policy are exact on it, and a step is charged their difference at the nearest
point; without one regret is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from numpy.typing import ArrayLike, NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.compiled_programs import quickly_compiled
from bayesmdp.foundation.validation import finite_array, integer, labels, number
from bayesmdp.model_reading.model_runs import computed_at_random, latent_sites, looked_at
from bayesmdp.model_reading.primitives import unknowns
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.records import Records
from bayesmdp.problems.mesh import Mesh
from bayesmdp.problems.model_units import ModelUnits, as_argument
from bayesmdp.problems.objective import read_discount, read_horizon
from bayesmdp.problems.simulated_mdp_checks import (
    check_actions,
    check_anchors,
    check_available,
    check_functions,
    check_mesh,
    check_starts,
    check_truth,
    first_state,
)
from bayesmdp.problems.simulated_problem import (
    Features,
    Reward,
    SimulatedProblem,
    primitives_of,
    simulate_steps,
    simulated_world,
)

__all__ = ["SimulatedMDP"]

EXAMPLES = 300


def _never_alike(state: Array) -> Array:
    return jnp.zeros(state.shape[:-1], bool)


class SimulatedMDP:
    """A problem on a space of numbers, discounted or for a number of steps, simulated by a NumPyro model.

    Parameters
    ----------
    model : NumPyro function of `Records`
        See :mod:`bayesmdp.model_reading.records`. Agents may be given another prior; this one the world is simulated
        with.
    truth : mapping of site to array, or None
        The true values of all its unknowns; None where nobody knows them, so that the problem can be planned for and
        not acted in.
    reward : callable or None
        ``reward(state, action, next_state)``, known to all; None where the model samples what a step pays, and it is
        not known either. Arrays [..., coordinate], [...] and [..., coordinate]. Like
        all functions here a module-level one or one that is made once, so that equal problems share programs.
    reward_range : (lowest, highest)
        Of rewards; values are between these by 1 - discount, or times the horizon.
    features : callable
        ``features(state [..., coordinate]) -> [..., feature]``, what approximations of Q-values see.
    start : array [coordinate], or NumPyro distribution of one
        The first state of an episode, such as ``dist.Uniform(low, high).to_event(1)``.
    low, high : array [coordinate]
        The corners of the box that states lie in, where places to plan at are drawn; steps may leave it.
    actions : sequence of labels
        A finite list; of continuous actions give a grid.
    discount : float or None
        None or 1 only with a horizon: all its rewards count the same then.
    anchors : array [anchor, coordinate], optional
        Places where the uncertainty that levels adapt to is averaged; by default a grid of 5 places a coordinate.
    alike : callable, optional
        ``alike(state [..., coordinate]) -> bool [...]``: where all actions are the same.
    mesh : Mesh, optional
        For regret; see the module.
    layout : sequence of str
        The map, where there is one, which priors may read.
    name : str
    terminal : callable, optional
        ``terminal(state [..., coordinate]) -> bool [...]``: where an episode ends, so that nothing more is earned.
        Where that is not known the model samples ``terminal`` in its rows, of each step whether it ends the episode;
        episodes end by either.
    length : int, optional
        Steps after which an episode is cut off that has not ended. That is no part of the problem: what a state is
        worth counts all rewards, whenever one stopped to look.
    confined : bool
        Whether steps that would leave the box end on its border, and rewards at the ends of their range: for models
        that were fitted to a log, of which nobody knows what they say farther out.
    available : callable, optional
        ``available(state [..., coordinate]) -> bool [..., action]``: what plans may do, one action everywhere at least.
        Other policies are not asked.
    units : ModelUnits, optional
        Of the model, where they are not those of everything else here. There is no `truth` then, for steps are recorded
        in the model's units.
    horizon : int, optional
        The number of steps that count, from wherever they begin: plans and their policies are by ``stage``, steps
        taken, as of an `MDP` with a horizon. Who acts does so in episodes of that many steps.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a finite number, corners are in the wrong order, the truth is not of the model's unknowns,
        the model does not draw a next state like `start`, or functions give other shapes or rewards than they should.

    See Also
    --------
    bayesmdp.MDP : a finite number of states.
    bayesmdp.ContinuousMDP : judged by the average reward.
    bayesmdp.states : measurements cut into a finite number of states.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.environments.slippery_lake()
    SimulatedMDP('slippery-lake': 2 coordinates, 4 actions, discount 0.95)
    """

    space = "simulated"
    successor = noise = None
    states: tuple[Hashable, ...] = ()
    sizes: tuple[int, ...] = ()
    state_dtype = float
    made_by: tuple[Callable[..., SimulatedMDP], tuple[Any, ...]] | None = None  # and how it is pickled: see `made_once`
    world = staticmethod(simulated_world)

    def __init__(
        self,
        *,
        model: Model,
        truth: Mapping[str, ArrayLike] | None,
        reward: Reward | None,
        reward_range: tuple[float, float],
        features: Features,
        start: ArrayLike | dist.Distribution,
        low: ArrayLike,
        high: ArrayLike,
        actions: Sequence[Hashable],
        discount: float | None,
        anchors: ArrayLike | None = None,
        alike: Callable[[Array], Array] = _never_alike,
        mesh: Mesh | None = None,
        layout: Sequence[str] = (),
        name: str = "simulated",
        terminal: Callable[[Array], Array] | None = None,
        length: int | None = None,
        confined: bool = False,
        available: Callable[[Array], Array] | None = None,
        units: ModelUnits | None = None,
        horizon: int | None = None,
    ) -> None:
        if units is not None and truth is not None:
            raise ValueError("a problem whose model has units of its own cannot be acted in; leave out truth")
        if horizon is not None and length is not None:
            raise ValueError(
                f"length={length!r} cuts off episodes of a problem that goes on, and horizon={horizon!r} is how many "
                "steps count; give one of them"
            )
        if horizon is not None and mesh is not None:
            raise ValueError("a mesh is for regret, which is of discounted problems; with a horizon pass mesh=None")
        starts = start if isinstance(start, dist.Distribution) else None
        begin = first_state(start)
        corners = finite_array("low", low, begin.shape), finite_array("high", high, begin.shape)
        wrong = np.flatnonzero(~((corners[0] <= begin) & (begin <= corners[1]) & (corners[0] < corners[1])))
        if wrong.size:
            i = int(wrong[0])
            raise ValueError(
                f"start[{i}] = {begin[i]:g} must lie between low[{i}] = {corners[0][i]:g} and high[{i}] = "
                f"{corners[1][i]:g}"
            )
        self.model, self.layout, self.name = model, tuple(layout), name
        self.actions = labels("actions", *check_actions(actions))
        self.horizon = read_horizon(horizon, None)
        self.objective = "discounted" if horizon is None else "horizon"
        if horizon is None:
            self.discount: float | None = number("discount", discount, minimum=0, below=1)
        else:
            self.discount = read_discount(discount, self.objective)
        self.truth = None if truth is None else {site: np.asarray(value, float) for site, value in truth.items()}
        self._given = {
            "model": model,
            "truth": truth,
            "reward": reward,
            "reward_range": reward_range,
            "features": features,
            "start": start,
            "low": low,
            "high": high,
            "actions": actions,
            "discount": discount,
            "anchors": anchors,
            "alike": alike,
            "mesh": mesh,
            "layout": layout,
            "name": name,
            "terminal": terminal,
            "length": length,
            "confined": confined,
            "available": available,
            "units": units,
            "horizon": horizon,
        }
        least, most = (number("reward_range", bound) for bound in reward_range)
        if least > most:
            raise ValueError(f"reward_range is {(least, most)}; the lowest reward comes first")
        steps = None if self.horizon is None else np.int32(self.horizon)
        grid = np.stack(np.meshgrid(*(np.arange(1, 10, 2) / 10,) * begin.size, indexing="ij"), -1)
        spread = corners[0] + grid.reshape(-1, begin.size) * (corners[1] - corners[0])
        self.problem = SimulatedProblem(
            start=begin,
            low=corners[0],
            high=corners[1],
            anchors=finite_array("anchors", spread if anchors is None else anchors),
            reward_range=np.array([least, most]),
            discount=np.float64(1 if self.discount is None else self.discount),
            points=begin[None] if mesh is None else mesh.points,
            mesh=None if mesh is None else mesh.mdp.problem,
            kernel=None if mesh is None else mesh.kernel,
            features=as_argument(features),
            reward=as_argument(reward),
            alike=alike,
            model=model,
            num_actions=len(self.actions),
            terminal=terminal,
            starts=starts,
            length=np.int32(integer("length", length, 1)) if length is not None else steps,
            confined=bool(confined),
            available=as_argument(available),
            units=units,
            horizon=steps,
        )
        self._check(mesh)

    def _check(self, mesh: Mesh | None) -> None:
        """Try every function."""
        problem = self.problem
        self.unknowns = check_truth(self.model, self.truth, problem.start, paid=problem.reward is None)
        self.problem = problem = replace(problem, ends_drawn="terminal" in self.primitives)
        check_anchors(problem.anchors, problem.start.size)
        features, alike, after, reward, *kernel = self.examples()[: -1 if problem.terminal is None else -2]
        check_functions(features, alike, after, reward, problem.reward_range)
        check_available(problem.available, problem.anchors, problem.num_actions)
        check_starts(problem.starts, problem.start, problem.low, problem.high, problem.terminal)
        if mesh is not None:
            check_mesh(mesh, problem.start.size, self.num_actions, float(problem.discount), kernel)

    def examples(self) -> list[NDArray[Any]]:
        """What the problem's functions give at many places: features, where actions are alike, and a step by each.

        Also the kernel on the mesh, and what the functions were compiled to. Unequal examples mean unequal problems.
        """
        problem, actions = self.problem, self.num_actions
        rng = np.random.default_rng(0)
        random_places = rng.uniform(problem.low, problem.high, (EXAMPLES, problem.start.size))
        places = np.concatenate(
            [problem.anchors, problem.start[None], problem.low[None], problem.high[None], random_places]
        )
        given = (self.model, self._given["features"], problem.alike, self._given["reward"], problem.kernel)
        functions = [each for each in given if each is not None]
        with jax.enable_x64(True):
            told = _examples(np.repeat(places, actions, 0), self._some_values(), problem)
        code = [function.__code__ for function in functions if hasattr(function, "__code__")]
        plain = [[part for part in one.co_consts if isinstance(part, int | float | str)] for one in code]
        compiled = " ".join(f"{one.co_code.hex()} {parts}" for one, parts in zip(code, plain, strict=True))
        ends = [] if problem.terminal is None else [np.asarray(problem.terminal(places))]
        return [*map(np.asarray, told), *ends, np.frombuffer(compiled.encode(), np.uint8)]

    def _some_values(self) -> dict[str, NDArray[np.float64]]:
        """The truth, or where there is none a draw of the prior, at which functions can be tried."""
        return _prior_draw(self.model, self.problem.start.size) if self.truth is None else self.truth

    def replace(self, **changes: Any) -> SimulatedMDP:
        """Return the problem with other arguments, checked anew.

        Parameters
        ----------
        **changes
            Of the constructor. With another `model` there is no truth and no mesh, unless they are given too: its
            unknowns may be others.

        Returns
        -------
        SimulatedMDP

        Examples
        --------
        >>> import bayesmdp as bm
        >>> bm.environments.slippery_lake().replace(discount=0.9, mesh=None)
        SimulatedMDP('slippery-lake': 2 coordinates, 4 actions, discount 0.9)
        """
        unknown = sorted(set(changes) - set(self._given))
        if unknown:
            raise TypeError(f"a SimulatedMDP has no {unknown[0]!r}; it has {', '.join(self._given)}")
        anew = {"truth": None, "mesh": None} if "model" in changes else {}
        changed = SimulatedMDP(**{**self._given, **anew, **changes})
        if self.made_by is not None:
            changed.made_by = (_replaced, (self, changes))
        return changed

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        return super().__reduce_ex__(protocol) if self.made_by is None else self.made_by

    def __copy__(self) -> SimulatedMDP:
        """A problem of its own, whose parts are shared; what is changed in it is not what its maker made."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, made_by=None)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> SimulatedMDP:
        return self.__copy__()

    @property
    def primitives(self) -> tuple[str, ...]:
        """Names of what is recorded with each step."""
        return primitives_of(self.model, self.problem.start.size)

    @property
    def dynamics(self) -> dict[str, NDArray[np.float64]] | None:
        """The true values of the model's unknowns."""
        return self.truth

    def check_acting(self, *, drawn: bool) -> None:
        """Raise `ValueError` for kernels drawn from a prior, or without a truth; see `DecisionProblem.check_acting`."""
        if self.truth is None:
            raise ValueError(f"{self.name} has no truth, so nobody can act in it: give it true values of its unknowns")
        if drawn:
            raise ValueError(
                f"truth draws kernels of finite MDPs; give {self.name} other true values of its unknowns instead"
            )

    def fingerprint(self) -> list[Array | None]:
        """The arrays of the known part, the truth, and what the functions give; see `DecisionProblem.fingerprint`."""
        return [*jax.tree.leaves(self.problem), *jax.tree.leaves(self.truth), *self.examples()]

    @property
    def num_actions(self) -> int:
        return self.problem.num_actions

    def __repr__(self) -> str:
        counted = [] if self.horizon is None else [f"horizon {self.horizon}"]
        counted += [] if self.discount is None else [f"discount {self.discount:g}"]
        numbers = {"coordinate": self.problem.start.size, "action": self.num_actions}
        sizes = [*(f"{number} {name}{'s' * (number != 1)}" for name, number in numbers.items()), *counted]
        return f"SimulatedMDP({self.name!r}: {', '.join(sizes)})"


def _replaced(problem: SimulatedMDP, changes: Mapping[str, Any]) -> SimulatedMDP:
    return problem.replace(**changes)


@quickly_compiled
def _examples(state: Array, truth: Mapping[str, Array], problem: SimulatedProblem) -> list[Array]:
    action = jnp.arange(len(state), dtype=jnp.int32) % problem.num_actions
    after, reward, _ = simulate_steps(problem, problem.model, random.key(0), truth, state, action)
    told = [problem.features(state), problem.alike(state), after, reward]
    return told if problem.kernel is None else [*told, problem.kernel(truth)]


@lru_cache(maxsize=64)
def _prior_draw(model: Model, coordinates: int) -> dict[str, NDArray[np.float64]]:
    """Values of a model's unknowns that its prior allows, made as where a model is read: samplers compile for long."""
    one = Records(np.zeros((1, coordinates)), np.zeros(1, np.int32), {}, np.ones(1))
    with jax.enable_x64(True):
        return computed_at_random(model, one, looked_at(model, one, latent_sites), _values_of_unknowns)


def _values_of_unknowns(messages: dict[str, Any]) -> dict[str, Array]:
    return {name: jnp.asarray(site["value"]) for name, site in unknowns(messages).items()}
