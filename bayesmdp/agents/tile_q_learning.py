"""Q-learning with tiles: the plain learner without a model and without a prior, on a space of numbers.

The box of states is covered by several grids of tiles, each shifted against the last, and Q is the sum of a weight for
the tile of each grid that a state lies in (tile coding: Sutton and Barto, 2018, section 9.5.4, with their shifts of one
tile times 1, 3, 5, .. in the coordinates over the number of grids). After each step every one of these weights moves by

    rate / grids (r + discount max_a' Q(s', a') - Q(s, a)),

where nothing follows the end of an episode. Weights begin where Q is the highest value there can be, or where told, and
the greedy action is taken but for a share of steps in which one is drawn at random. It is there to be compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float, Int, Key

from bayesmdp.agents.agent import Agent, Options, Rules
from bayesmdp.agents.families.periods import ends_with_episodes
from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.problems.simulated_problem import SimulatedProblem
from bayesmdp.problems.world import Step

if TYPE_CHECKING:
    from bayesmdp.problems.simulated_mdp import SimulatedMDP

__all__ = ["tile_q_learning"]

MOST = 50_000_000
"""Weights that there is room for: 400 MB."""


def tile_q_learning(
    *, grids: int = 8, tiles: int = 8, rate: float = 0.5, random_share: float = 0.0, initial: float | None = None
) -> Agent:
    """Learn Q step by step, as a sum over the tiles that a state lies in (Q-learning with tile coding).

    Parameters
    ----------
    grids : int
        Of tiles, shifted against each other.
    tiles : int
        Of a grid, along each coordinate of the box.
    rate : float in (0, 1]
        By which part of its error Q(s, a) is corrected.
    random_share : float in [0, 1]
        Of the steps whose action is drawn at random.
    initial : float, optional
        Q before the first step; by default the highest value that there can be, so that what was not tried is tried.
        Where that is far above what can be earned, as the best reward for ever is, a nearer number learns sooner.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range; where it acts, for more tiles than there is room for.

    Notes
    -----
    *When.* To see what a model is worth: the textbook's learner for control problems of two or three coordinates.

    *When not.* Where steps are dear; or with many coordinates, in which tiles hardly share what they learn.

    *Cost.* A few numbers of each grid in each step, however many steps were taken before.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> valley = bm.environments.mountain_car()
    >>> result = bm.simulate(valley, {"Q": tile_q_learning()}, steps=100, replicates=1)
    >>> float(result["reward"].sum())
    -100.0
    """
    options = {
        "rate": number("rate", rate, above=0, maximum=1),
        "random_share": number("random_share", random_share, minimum=0, maximum=1),
    }
    if initial is not None:
        options["initial"] = number("initial", initial)
    sizes = {"grids": integer("grids", grids, 1), "tiles": integer("tiles", tiles, 1)}
    rules = _TileRules(**sizes)

    def check_size(mdp: SimulatedMDP) -> None:
        weights = math.prod(rules.size(mdp.problem))
        if weights > MOST:
            raise ValueError(
                f"{grids} grids of {tiles} tiles along each of the {len(mdp.problem.low)} coordinates of {mdp.name} "
                f"have {weights:,} weights, and there is room for {MOST:,}: use fewer tiles or grids, or an agent with "
                "a model, such as fitted_psrl"
            )

    return Agent(
        "tile-q-learning",
        rules,
        check_size,
        options,
        static=sizes,
        objectives=("discounted",),
        spaces=("simulated",),
    )


class _State(NamedTuple):
    """Weights, and the greedy actions at the points of the mesh when the pseudo-episode began."""

    weights: Float[Array, "grid tile action"]
    policy: Int[Array, " point"]


@dataclass(frozen=True)
class _TileRules:
    """The rules function, with the sizes of its grids."""

    grids: int
    tiles: int

    def size(self, problem: SimulatedProblem) -> tuple[int, int, int]:
        """Return how many grids, tiles of a grid, and actions there are weights for."""
        return self.grids, (self.tiles + 1) ** len(problem.low), problem.num_actions

    def tile_of(self, problem: SimulatedProblem, state: Float[Array, " coordinate"]) -> Int[Array, " grid"]:
        """Return the tile of each grid that a state lies in; beyond the box that at its border."""
        low, high = problem.low, problem.high
        place = jnp.clip((state - low) / (high - low), 0, 1) * self.tiles
        # Grid g is shifted by g / grids tiles times 1, 3, 5, .. in the coordinates.
        shift = np.arange(self.grids)[:, None] / self.grids * (2 * np.arange(len(low)) + 1) % 1
        along = jnp.minimum(jnp.floor(place + shift), self.tiles).astype(jnp.int32)
        return along @ (self.tiles + 1) ** np.arange(len(low), dtype=np.int32)

    def __call__(self, belief: None, problem: SimulatedProblem, options: Options) -> Rules:
        problem = jax.tree.map(jnp.asarray, problem)
        grid = jnp.arange(self.grids)

        def q_of(weights: Array, state: Array) -> Float[Array, " action"]:
            return problem.allowed(weights[grid, self.tile_of(problem, state)].sum(0), state)

        def greedy(weights: Array, state: Array) -> Int[Array, ""]:
            return jnp.argmax(q_of(weights, state)).astype(jnp.int32)

        def policy_of(weights: Array) -> Int[Array, " point"]:
            return jax.vmap(lambda state: greedy(weights, state))(problem.points)

        def init(key: Key[Array, ""]) -> _State:
            del key
            each = options.get("initial", problem.value_range[1]) / self.grids
            weights = jnp.full(self.size(problem), each, float)
            return _State(weights, policy_of(weights))

        def begin(key: Key[Array, ""], state: _State) -> _State:
            del key
            return state._replace(policy=policy_of(state.weights))

        def act(key: Key[Array, ""], state: _State, s: Float[Array, " coordinate"]) -> Int[Array, ""]:
            chance, choice = random.split(key)
            allowed = problem.allowed(jnp.zeros(problem.num_actions), s)
            other = random.categorical(choice, allowed).astype(jnp.int32)
            return jnp.where(random.uniform(chance) < options["random_share"], other, greedy(state.weights, s))

        def observe(key: Key[Array, ""], state: _State, step: Step) -> _State:
            del key
            weights, tile = state.weights, self.tile_of(problem, step.state)
            # r + discount max_a' Q(s', a'), and nothing after the end.
            ahead = jnp.where(step.last, 0.0, q_of(weights, step.next_state).max())
            error = step.reward + problem.discount * ahead - weights[grid, tile, step.action].sum()
            return state._replace(weights=weights.at[grid, tile, step.action].add(options["rate"] / self.grids * error))

        return Rules(
            init=init,
            begin=begin,
            act=act,
            observe=observe,
            ends=ends_with_episodes(problem),
            policy=lambda state: state.policy,
            report=lambda state, s, a: {"q": q_of(state.weights, s)[a]},
            belief=lambda state: (),
        )
