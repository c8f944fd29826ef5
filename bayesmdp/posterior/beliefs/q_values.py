"""Beliefs about Q-values of episodes, drawn backwards through the stages.

Targets depend on the draw of the next stage (:mod:`~bayesmdp.posterior.q_regression`), so a draw of all stages is made
at once. The sum of L'phi phi'L over the rows, which no target changes, is carried along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random
from jaxtyping import Float, Int, Key

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, posterior_draw, read_gaussian
from bayesmdp.posterior.q_regression.backward import backward
from bayesmdp.posterior.q_regression.rows import Layout, QRows, empty_rows
from bayesmdp.problems.problem import Problem

if TYPE_CHECKING:
    from bayesmdp.problems.mdp import MDP
    from bayesmdp.problems.world import Step

__all__ = ["QBelief", "QState", "q_belief"]

DIMS = (("theta", ("stage", "feature")),)


class QState(NamedTuple):
    """What a belief about Q-values carries.

    Attributes
    ----------
    rows : QRows
    filled : int array [stage]
        Steps seen.
    precision : array [stage, feature, feature]
        Sum of ``L'phi phi'L / noise^2``.
    shift : array [stage, feature]
        Sum of ``L'phi (b - <phi, mean>) / noise^2``, with the targets of the last draw.
    """

    rows: QRows
    filled: Int[Array, " stage"]
    precision: Float[Array, "stage feature feature"]
    shift: Float[Array, "stage feature"]


class QBelief(NamedTuple):
    """What an agent over linear Q-functions knows; beside `Belief`, whose functions for draws it shares.

    Attributes
    ----------
    prior : () -> GaussianPrior
    layout : Layout
    identity : str
        Equal for equal models.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(3, 2)
    >>> isinstance(bm.agents.rlsvi().make_belief(shop), QBelief)
    True
    """

    prior: Callable[[], GaussianPrior]
    layout: Layout
    identity: str
    dims: tuple[tuple[str, tuple[str, ...]], ...] = DIMS
    possible: None = None
    concentration: None = None

    @property
    def unnamed(self) -> QBelief:
        """The same belief without a prior, to be given one; it is equal for all of one layout."""
        return self._replace(prior=_no_prior, identity="")

    def with_prior(self, prior: GaussianPrior) -> QBelief:
        """The same belief over another prior, which may be traced."""
        return self._replace(prior=lambda: prior)

    def init(self, key: Key[Array, ""]) -> QState:
        """The state before any data."""
        del key
        mean = self.prior().mean
        stages, features = mean.shape
        return QState(
            rows=self.layout.rows(),
            filled=jnp.zeros(stages, jnp.int32),
            precision=jnp.zeros((stages, features, features)),
            shift=jnp.zeros((stages, features)),
        )

    def observe(self, state: QState, step: Step, problem: Problem) -> QState:
        """The state after one more step."""
        prior = self.prior()
        assert problem.features is not None
        assert problem.stage is not None
        h = problem.stage[step.state]
        along = prior.factor[h].T @ problem.features[step.state, step.action] / prior.noise[h]
        return state._replace(
            rows=self.layout.include(state.rows, h, state.filled[h], step),
            filled=state.filled.at[h].add(1),
            precision=state.precision.at[h].add(jnp.outer(along, along)),
        )

    def draw(
        self, key: Key[Array, ""], state: QState, problem: Problem, spread: Array, lookahead: Array
    ) -> tuple[QState, dict[str, Array]]:
        """One draw of ``theta`` [draw, stage, feature], its deviation from the mean times `spread`."""
        prior = self.prior()
        normal = spread * random.normal(key, prior.mean.shape)
        theta, shift = backward(prior, problem, state.rows, state.precision, normal, lookahead)
        return state._replace(shift=shift), {"theta": theta[None]}

    def sample(self, key: Key[Array, ""], state: QState, num_draws: int) -> dict[str, Array]:
        """Independent draws given the targets of the last draw."""
        normal = random.normal(key, (*state.shift.shape[:1], num_draws, state.shift.shape[1]))
        drawn = jax.vmap(posterior_draw)(self.prior(), state.precision, state.shift, normal)
        return {"theta": drawn.swapaxes(0, 1)}


def _no_prior() -> GaussianPrior:
    raise ValueError("this belief waits for a prior: with_prior")


def q_belief(model: Model, mdp: MDP, episodes: int | None = None) -> QBelief:
    """The belief of a linear-Gaussian model about an MDP's Q-values; the same arguments give the same one.

    Parameters
    ----------
    model : NumPyro function with a site ``theta`` [stage, feature]
    mdp : MDP
        With stages and features; read for what is known of it.
    episodes : int, optional
        Room, where each step is a row. By default 1,000; where a stage has at most 2,000 pairs and outcomes, each has a
        row and room is unlimited.

    Raises
    ------
    NotConjugate
        With the reason.
    ValueError
        If the MDP has no stages or no features, or the model is about others.
    """
    if mdp.stage is None or mdp.features is None:
        missing = "stages" if mdp.stage is None else "features"
        raise ValueError(
            f"{mdp.name} has no {missing}, which agents over linear Q-functions need: unroll(mdp.replace(features="
            "features), horizon), of which np.eye(S * A).reshape(S, A, -1) are one a pair"
        )
    stages, features = int(mdp.stage.max()), mdp.features.shape[-1]
    prior = read_gaussian(model, stages, features)
    return _q_belief(_Hashed(prior), empty_rows(mdp, episodes))


class _Hashed(NamedTuple):
    """A prior that is a key."""

    prior: GaussianPrior

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and self.digest == other.digest

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in self.prior)).hexdigest()[:16]


@lru_cache(maxsize=256)
def _q_belief(hashed: _Hashed, layout: Layout) -> QBelief:
    return QBelief(lambda: GaussianPrior(*map(jnp.asarray, hashed.prior)), layout, hashed.digest)
