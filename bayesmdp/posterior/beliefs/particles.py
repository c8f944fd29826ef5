"""Beliefs of any prior, for agents: particles that follow the posterior as experience comes in.

An agent's experience is kept as sums by row (:class:`~bayesmdp.posterior.beliefs.tally.Tally`). Where rewards are
learned, a row's log-likelihood must be a polynomial of degree 2 at most in the reward, up to what does not depend on
the unknowns; then n rewards r_i are worth as much as the three rewards x_j seen w_j times each,

    w_j = sum over i of prod over k != j of (r_i - x_k) / (x_j - x_k),

which are linear in n, the sum of the r_i and that of their squares (Lagrange's form; the w_j may be negative). So it is
for Normal, Poisson and Bernoulli rewards, for the last at the two rewards that there are.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Model, describe_row, latent_values, read_for_agents, row_values
from bayesmdp.model_reading.rows import Transitions, all_transitions
from bayesmdp.models.arguments import freeze, thaw
from bayesmdp.posterior.beliefs.belief import Belief
from bayesmdp.posterior.beliefs.tally import Tally
from bayesmdp.posterior.closed_forms.transitions import PROBES
from bayesmdp.posterior.particles.coordinates import (
    Coordinates,
    Points,
    coordinates,
    evaluate,
    evaluate_at_random,
    evaluate_kernel,
    prior_draw,
    values_at,
)
from bayesmdp.posterior.particles.hmc import Target
from bayesmdp.posterior.particles.sampler import DEFAULT, Particles, Settings, advance, choose, effective_size, start

if TYPE_CHECKING:
    from bayesmdp.models.arguments import Sizes
    from bayesmdp.problems.world import Step

__all__ = ["Followed", "smc_belief"]

TOLERANCE = 1e-8


class Followed(NamedTuple):
    """State of a belief by particles.

    Attributes
    ----------
    seen : array [row, 2 or 3]
        As in `Tally`.
    particles : Particles
        Those of the last draw, which have taken in what was seen until then.
    """

    seen: Array
    particles: Particles


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
    ...     told = belief.report(state)
    >>> sites["transition"].shape, round(float(told["effective_size"]))
    ((10, 6, 2, 6), 100)
    """
    return _smc_belief(
        model,
        (int(mdp.num_states), int(mdp.num_actions), int(mdp.num_outcomes)),
        num_draws,
        settings,
        "next_state" if getattr(mdp, "successor", None) is None else "outcome",
        _middle_and_size(getattr(mdp, "reward", None)),
    )


def _middle_and_size(reward: NDArray[np.float64] | None) -> tuple[float, float]:
    """Of the rewards that will be met, for nodes among them: elsewhere the sums would cancel."""
    if reward is None:
        return 0.0, 1.0
    low, high = float(np.min(reward)), float(np.max(reward))
    return (low + high) / 2, (high - low) / 2 or max(abs(high) / 10, 1.0)


@lru_cache(maxsize=256)
def _smc_belief(
    model: Model,
    shape: tuple[int, int, int],
    num_draws: int,
    settings: Settings,
    outcome: str,
    near: tuple[float, float],
) -> Belief:
    with jax.enable_x64(True):
        program, rewarded = read_for_agents(model, shape, outcome)
        layout = coordinates(model, all_transitions(*shape))
        points = evaluate_at_random(model, layout, all_transitions(*shape))
        plain = not rewarded and points.of_kernel_alone(all_transitions(*shape))
        probes, allowed = _probes(model, all_transitions(*shape), near) if rewarded else (np.zeros(1), None)
    tally, frozen = Tally(shape, squares=rewarded), freeze(probes)

    def rows() -> Transitions:
        every, rewards = all_transitions(*shape), thaw(frozen)
        state, action, outcome = (np.repeat(np.asarray(column), len(rewards)) for column in every[:3])
        return Transitions(state, action, outcome, np.tile(rewards, len(every.state)), np.ones(len(state)))

    def prior(key: Array) -> tuple[Array, Array]:
        return prior_draw(model, layout, key, all_transitions(1, 1, 1))

    def log_densities(z: Array, choice: Array) -> tuple[Array, Array]:
        if not plain:
            return evaluate(model, layout, z, choice, rows())
        log_prior, kernel = evaluate_kernel(model, layout, z, choice)
        return log_prior, kernel.ravel()

    target = Target(prior, log_densities, layout.choices)

    def init(key: Array) -> Followed:
        return Followed(tally.nothing(), start(key, target, settings))

    def observe(key: Array, state: Followed, step: Step) -> Followed:
        del key
        return state._replace(seen=tally.add(state.seen, step))

    def caught_up(key: Array, state: Followed) -> Followed:
        weight = lagrange(state.seen, thaw(frozen)) if rewarded else state.seen[:, 0]
        return Followed(state.seen, advance(key, state.particles, weight, target, settings))

    def values(z: Array, choice: Array) -> dict[str, Array]:
        return values_at(model, layout, z, choice, all_transitions(1, 1, 1))

    def drawn(key: Array, particles: Particles, num_draws: int) -> dict[str, Array]:
        picked = choose(key, particles, num_draws)
        return jax.vmap(values)(particles.z[picked], particles.choice[picked])

    def draw(key: Array, state: Followed) -> tuple[Followed, dict[str, Array]]:
        follow, pick = random.split(key)
        state = caught_up(follow, state)
        return state, drawn(pick, state.particles, num_draws)

    def sample(key: Array, state: Followed, num_draws: int) -> dict[str, Array]:
        follow, pick = random.split(key)
        return drawn(pick, caught_up(follow, state).particles, num_draws)

    def moments(key: Array, state: Followed) -> tuple[Followed, dict[str, tuple[Array, Array]]]:
        state = caught_up(key, state)
        weight, every = jnp.exp(state.particles.log_weight), jax.vmap(values)(*state.particles[:2])
        told: dict[str, tuple[Array, Array]] = {}
        for name in ("transition", "reward"):
            if name in every:
                mean = jnp.tensordot(weight, every[name], 1)
                told[name] = mean, jnp.tensordot(weight, (every[name] - mean) ** 2, 1)
        return state, told

    def report(state: Followed) -> dict[str, Array]:
        particles = state.particles
        return {
            "effective_size": jnp.where(particles.failed, 0.0, effective_size(particles)),
            "resampled": particles.resampled,
        } | ({} if rewarded else {"log_evidence": particles.log_evidence})  # of rewards it lacks a constant

    return Belief(
        init,
        observe,
        draw,
        lambda state: tally.visits(state.seen),
        lambda state: tally.rows(state.seen),
        sample,
        dims=tuple(program.dims.items()),
        identity=_identity(layout, settings, points),
        moments=moments,
        possible=allowed,
        report=report,
    )


def lagrange(seen: Array, nodes: NDArray[np.float64]) -> Array:
    """How often rewards at the nodes must have been seen, row by row, to be worth the sums `seen` [row, 3].

    Returns
    -------
    array [row * node]

    Examples
    --------
    >>> lagrange(np.array([[2.0, 1.0, 1.0]]), np.array([0.0, 1.0])).tolist()  # a 0 and a 1
    [1.0, 1.0]
    """
    basis = []
    for j, node in enumerate(nodes):
        others = np.delete(nodes, j)
        factors = np.poly(others)[::-1] / np.prod(node - others)  # coefficients of 1, r, r^2
        basis.append(seen[:, : len(factors)] @ factors)
    return jnp.stack(basis, -1).ravel()


def _probes(model: Model, every: Transitions, near: tuple[float, float]) -> tuple[NDArray[np.float64], Any]:
    """Two or three rewards that tell of all, and what says of rows whether their rewards are possible."""
    drawn = [latent_values(model, every, seed) for seed in range(4)]

    def likelihood(reward: NDArray[np.float64] | float) -> NDArray[np.float64]:
        data = every._replace(reward=np.broadcast_to(reward, every.state.shape), weight=np.ones(len(every.state)))
        return np.stack([np.asarray(row_values(model, data, values)) for values in drawn])

    middle, size = near
    probes = np.array([middle - size, middle, middle + size, *PROBES])
    probes = probes[np.sort(np.unique(probes, return_index=True)[1])]
    tried = np.stack([likelihood(reward) for reward in probes], -1)  # [draw, row, probe]
    known = np.isfinite(tried).all(0)
    reachable = known.any(-1)
    usable = np.flatnonzero(known[reachable].all(0))
    if len(usable) < 2:
        raise ValueError(f"the model gives probability 0 to all but one of the rewards {', '.join(map(str, probes))}")
    nodes = probes[usable[:3]]
    # Differences of draws: what depends on the reward alone does not matter.
    apart = np.diff(tried[:, reachable][..., usable], axis=0)
    rewards = probes[usable]
    basis = np.stack(
        [np.prod((rewards[:, None] - np.delete(nodes, j)) / (x - np.delete(nodes, j)), -1) for j, x in enumerate(nodes)]
    )
    told = apart[..., :3] @ basis
    scale = (np.abs(apart[..., :3]) @ np.abs(basis)).max(0)
    wrong = (np.abs(told - apart).max(0) > TOLERANCE * (1 + scale)).any(-1)
    if wrong.any():
        row = describe_row(every, int(np.flatnonzero(reachable)[np.argmax(wrong)]))
        raise ValueError(
            f"the log-likelihood of rewards of {row} is not quadratic in the reward, so that agents, who keep sums of "
            "rewards and of their squares, cannot learn from them; bm.infer can, from a log"
        )

    def allowed(data: Transitions) -> NDArray[np.bool_]:
        likely = np.stack(
            [np.asarray(row_values(model, data._replace(weight=np.ones(len(data.state))), v)) for v in drawn]
        )
        return ~reachable | np.isfinite(likely).all(0)

    return nodes, allowed


def _identity(layout: Coordinates, settings: Settings, points: Points) -> str:
    """A digest of the prior's density and of the rows' log-likelihoods, at fixed points."""
    digest = hashlib.sha256(repr((layout, settings)).encode())
    for part in points[:2]:
        digest.update(part.tobytes())
    return digest.hexdigest()[:16]
