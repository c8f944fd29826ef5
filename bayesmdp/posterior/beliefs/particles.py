"""Beliefs of any prior, for agents: particles that follow the posterior as experience comes in.

An agent's experience is kept as sums by row (:class:`~bayesmdp.posterior.beliefs.tally.Tally`). Where rewards are
learned, a few of them stand for all (:mod:`~bayesmdp.posterior.beliefs.reward_nodes`). Rows of which the model says the
same, as of a current that is alike all along the river, are one to the particles, seen as often as all of them
(:mod:`~bayesmdp.model_reading.distinct_entries`): of the 72 rows of RiverSwim-6 there are 9, of the 1,024 of ice that
slips everywhere alike 7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float, Int, Key, UInt32
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.distinct_entries import distinct_entries
from bayesmdp.model_reading.read_model import ONE_ROW, Model, read_for_agents
from bayesmdp.model_reading.rows import Transitions, all_transitions
from bayesmdp.posterior.beliefs.belief import Belief
from bayesmdp.posterior.beliefs.particle_draws import ParticleDraws
from bayesmdp.posterior.beliefs.reward_nodes import lagrange, middle_and_size, reward_nodes
from bayesmdp.posterior.beliefs.tally import Tally
from bayesmdp.posterior.particles.coordinates import Coordinates, coordinates
from bayesmdp.posterior.particles.evaluation import (
    Points,
    evaluate,
    evaluate_at_random,
    evaluate_kernel,
    prior_draw,
    values_at,
)
from bayesmdp.posterior.particles.hmc import Target
from bayesmdp.posterior.particles.sampler import DEFAULT, Particles, Settings, advance, start

if TYPE_CHECKING:
    from bayesmdp.models.arguments import Sizes
    from bayesmdp.problems.world import Step

__all__ = ["Followed", "smc_belief"]

MOST_ROWS = 100_000
"""Rows that are alike are looked for among so many: it takes a second or two of the host for as many."""


class Followed(NamedTuple):
    """State of a belief by particles.

    Attributes
    ----------
    seen : array [row, 2 or 3]
        As in `Tally`.
    particles : Particles
        Those of the last draw, which have taken in what was seen until then.
    """

    seen: Float[Array, "row sum"]
    particles: Particles


@dataclass(frozen=True, eq=False)
class TransitionParticles(ParticleDraws):
    """The functions of a belief about a finite MDP.

    Attributes
    ----------
    tally : Tally
    log_densities : callable
        ``log_densities(z, choice)``: the log prior density, and the log-likelihoods [likelihood] that differ.
    place : int array [row] or [row * node]
        Which of them is the row's.
    nodes : array [node] or None
        The rewards that stand for all, where rewards are learned.
    """

    tally: Tally
    log_densities: Callable[[Array, Array], tuple[Array, Array]]
    place: NDArray[np.intp]
    nodes: NDArray[np.float64] | None

    @property
    def target(self) -> Target:
        """The posterior that particles follow."""
        return Target(self._prior, self.log_densities, self.layout.choices)

    def _prior(self, key: Key[Array, ""]) -> tuple[Float[Array, " size"], Int[Array, ""]]:
        return prior_draw(self.model, self.layout, key, ONE_ROW)

    def values(self, z: Float[Array, " size"], choice: Int[Array, ""]) -> dict[str, Array]:
        return values_at(self.model, self.layout, z, choice, ONE_ROW)

    def init(self, key: Key[Array, ""]) -> Followed:
        """The state before any data."""
        return Followed(self.tally.nothing(), start(key, self.target, self.settings))

    def observe(self, key: Key[Array, ""], state: Followed, step: Step) -> Followed:
        """The state after one more step."""
        return state._replace(seen=self.tally.add(state.seen, step))

    def visits(self, state: Followed) -> Float[Array, "state action"]:
        """How often each pair was tried [state, action]."""
        return self.tally.visits(state.seen)

    def rows(self, state: Followed) -> Transitions:
        """All rows, each as often as it was seen."""
        return self.tally.rows(state.seen)

    def caught_up(self, words: UInt32[Array, " 2"], state: Followed) -> Followed:
        weight = state.seen[:, 0] if self.nodes is None else lagrange(state.seen, self.nodes)
        weight = jnp.zeros(state.particles.taken.shape).at[self.place].add(weight)
        return Followed(state.seen, advance(words, state.particles, weight, self.target, self.settings))

    def moments(self, key: Key[Array, ""], state: Followed) -> tuple[Followed, dict[str, tuple[Array, Array]]]:
        """Mean and variance of ``transition`` and ``reward`` over the weighted particles."""
        state = self.caught_up(random.bits(key, (2,), jnp.uint32), state)
        weight = jnp.exp(state.particles.log_weight)
        values = jax.vmap(self.values)(state.particles.z, state.particles.choice)
        moments: dict[str, tuple[Array, Array]] = {}
        for name in ("transition", "reward"):
            if name in values:
                mean = jnp.tensordot(weight, values[name], 1)
                moments[name] = mean, jnp.tensordot(weight, (values[name] - mean) ** 2, 1)
        return state, moments

    def report(self, state: Followed) -> dict[str, Array]:
        reported = super().report(state)
        if self.nodes is not None:  # the evidence of rewards lacks a constant
            del reported["log_evidence"]
        return reported


def smc_belief(model: Model, mdp: Sizes, num_draws: int, settings: Settings = DEFAULT) -> Belief:
    """The belief of any model about an MDP of the given sizes, by particles.

    The same arguments give the same functions, so agents that share a prior share its compiled code.

    Parameters
    ----------
    model : NumPyro function of the data
    mdp
        Read for `num_states`, `num_actions` and `num_outcomes`.
    num_draws : int
        Draws a call of `draw` returns.
    settings : Settings

    Raises
    ------
    Unsuitable
        If the model has no unknown, an improper prior, or discrete unknowns that cannot be enumerated: with its name.
    ValueError
        If the model breaks the contract of models, or rewards enter by more than their squares.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import river_current
    >>> river = bm.environments.riverswim(6)
    >>> belief = smc_belief(river_current(river), river, 10, Settings(particles=100))
    >>> with jax.enable_x64(True):
    ...     state, sites = jax.jit(belief.draw)(jax.random.key(1), jax.jit(belief.init)(jax.random.key(0)))
    ...     report = belief.report(state)
    >>> sites["transition"].shape, round(float(report["effective_size"]))
    ((10, 6, 2, 6), 100)
    """
    return _smc_belief(
        model,
        (int(mdp.num_states), int(mdp.num_actions), int(mdp.num_outcomes)),
        num_draws,
        settings,
        "next_state" if getattr(mdp, "successor", None) is None else "outcome",
        middle_and_size(getattr(mdp, "reward", None)),
    )


@lru_cache(maxsize=256)
def _smc_belief(
    model: Model,
    shape: tuple[int, int, int],
    num_draws: int,
    settings: Settings,
    outcome: str,
    near: tuple[float, float],
) -> Belief:
    every = all_transitions(*shape)
    with jax.enable_x64(True):
        reading = read_for_agents(model, shape, outcome)
        rewarded = reading.rewarded
        layout = coordinates(model, every)
        points = evaluate_at_random(model, layout, every)
        plain = not rewarded and points.of_kernel_alone(every)
        nodes, allowed = reward_nodes(reading, every, near) if rewarded else (None, None)
        distinct = _distinct(model, layout, every, nodes, plain=plain)
    follow = TransitionParticles(model, layout, settings, num_draws, Tally(shape, squares=rewarded), *distinct, nodes)
    return Belief(
        follow.init,
        follow.observe,
        follow.draw,
        follow.visits,
        follow.rows,
        follow.sample,
        dims=tuple(reading.dims.items()),
        identity=_identity(layout, settings, points),
        moments=follow.moments,
        possible=allowed,
        report=follow.report,
    )


def _distinct(
    model: Model, layout: Coordinates, every: Transitions, nodes: NDArray[np.float64] | None, *, plain: bool
) -> tuple[Callable[[Array, Array], tuple[Array, Array]], NDArray[np.intp]]:
    """`log_densities` and `place` of `TransitionParticles`; of a `plain` model rows speak of ``transition`` alone."""
    at = np.zeros(1) if nodes is None else nodes
    state, action, outcome = (np.repeat(np.asarray(column), len(at)) for column in every[:3])
    rows = Transitions(state, action, outcome, np.tile(at, len(every.state)), np.ones(len(state)))

    def of_all(z: Float[Array, " size"], choice: Int[Array, ""]) -> tuple[Float[Array, ""], Float[Array, " row"]]:
        if not plain:
            return evaluate(model, layout, z, choice, rows)
        log_prior, kernel = evaluate_kernel(model, layout, z, choice)
        return log_prior, kernel.ravel()

    if len(state) > MOST_ROWS:
        return of_all, np.arange(len(state))
    return distinct_entries(of_all, np.zeros(layout.size), np.int32(0))


def _identity(layout: Coordinates, settings: Settings, points: Points) -> str:
    """A digest of the prior's density and of the rows' log-likelihoods, at fixed points."""
    digest = hashlib.sha256(repr((layout, settings)).encode())
    for part in points[:2]:
        digest.update(part.tobytes())
    return digest.hexdigest()[:16]
