"""Exact beliefs whose draws are made anew at every call, from sums over the steps of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Key
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import check
from bayesmdp.model_reading.rows import Transitions, all_transitions
from bayesmdp.posterior.beliefs.belief import Belief
from bayesmdp.posterior.beliefs.tally import Tally
from bayesmdp.posterior.closed_forms.coefficients import values_of_rows
from bayesmdp.posterior.closed_forms.draws import MOMENT_DRAWS, draw_sites
from bayesmdp.posterior.closed_forms.linear_sites import Linear
from bayesmdp.posterior.closed_forms.transitions import Conjugate

if TYPE_CHECKING:
    from bayesmdp.problems.world import Step

__all__ = ["FreshDraws", "Sums"]


class Sums(NamedTuple):
    """State of fresh draws.

    Attributes
    ----------
    seen : array [row, 2 or 3]
        Of each row: how often it was seen, the sum of its rewards, and if the model observes rewards that of their
        squares.
    """

    seen: Float[Array, "row sum"]


@dataclass(frozen=True, eq=False)
class FreshDraws:
    """The functions of a belief in closed form whose draws are independent at every call.

    Attributes
    ----------
    conjugate : Conjugate
        The model, with the closed form of its posterior.
    tally : Tally
    num_draws : int
        How many draws a call of `draw` returns.
    linear : mapping of Linear
        The sites among ``transition`` and ``reward`` that the model computes linearly.
    identity : str
    prior : {site: array} or None
        Parameters of the prior in the place of the model's own; may be traced.
    """

    conjugate: Conjugate
    tally: Tally
    num_draws: int
    linear: Mapping[str, Linear]
    identity: str
    prior: dict[str, Array] | None = None

    @property
    def data(self) -> Transitions:
        """All rows there can be."""
        return all_transitions(*self.tally.shape)

    def belief(self) -> Belief:
        """These functions as a `Belief`."""
        # What rows add to a family that is no distribution over distributions is in units of its prior.
        movable = all(site.family.simplex for site in self.conjugate.sites.values())
        return Belief(
            self.init,
            self.observe,
            self.draw,
            self.visits,
            self.rows,
            self.sample,
            dims=tuple(self.conjugate.reading.dims.items()),
            identity=self.identity,
            concentration=self.concentration,
            parameters=self.parameters,
            moments=self.moments,
            possible=self.possible if self.conjugate.reading.rewarded else None,
            with_prior=self.with_prior if movable else None,
        )

    def with_prior(self, prior: dict[str, Array]) -> Belief:
        """The same belief from other parameters of the prior."""
        return replace(self, prior=prior).belief()

    def init(self, key: Key[Array, ""]) -> Any:
        """The state before any data."""
        return Sums(self.tally.nothing())

    def observe(self, key: Key[Array, ""], state: Any, step: Step) -> Any:
        """The state after one more step."""
        return Sums(self.tally.add(state.seen, step))

    def rows(self, state: Any) -> Transitions:
        """All rows, each as often as it was seen."""
        return self.tally.rows(state.seen)

    def visits(self, state: Any) -> Float[Array, "state action"]:
        """How often each pair was tried [state, action]."""
        return self.tally.visits(state.seen)

    def parameters(self, state: Any) -> dict[str, Array]:
        """The posterior's parameters by site."""
        return self.conjugate.posterior(state.seen, self.prior)

    def concentration(self, state: Any) -> dict[str, Array]:
        """Return the parameters of the Dirichlet and Beta sites."""
        parameters = self.parameters(state)
        return {name: parameters[name] for name, site in self.conjugate.sites.items() if site.family.simplex}

    def sample(self, key: Key[Array, ""], state: Any, num_draws: int) -> dict[str, Array]:
        """Independent draws of all sites."""
        return draw_sites(
            key, self.conjugate.reading.model, self.conjugate.layout, self.data, self.parameters(state), num_draws
        )

    def draw(self, key: Key[Array, ""], state: Any) -> tuple[Any, dict[str, Array]]:
        """The draws that an agent plans with."""
        return state, self.sample(key, state, self.num_draws)

    def moments(self, key: Key[Array, ""], state: Any) -> tuple[Any, dict[str, tuple[Array, Array]]]:
        """Exact where the site is an unknown of a known family or linear in such; else of MOMENT_DRAWS draws."""
        wanted = [name for name in ("transition", "reward") if name in self.conjugate.reading.dims]
        parameters = self.parameters(state)
        exact = {name: site.family.moments(parameters[name]) for name, site in self.conjugate.sites.items()}
        exact |= {name: site.moments(exact) for name, site in self.linear.items()}
        exact = {name: exact[name] for name in wanted if name in exact}
        if len(exact) == len(wanted):
            return state, exact
        drawn = self.sample(key, state, MOMENT_DRAWS)
        return state, {name: exact.get(name, (drawn[name].mean(0), drawn[name].var(0, ddof=1))) for name in wanted}

    def possible(self, data: Transitions) -> NDArray[np.bool_]:
        """Which rows [row] bring rewards that can be learnt from."""
        return np.asarray(self.conjugate.impossible | (check(self.conjugate.reading, data, values_of_rows) > -1e300))
