"""Exact beliefs whose draws are kept between calls as Gamma variables, a share of them replaced at each.

See :mod:`~bayesmdp.posterior.beliefs.exact` for what that is right for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int, Key

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.beliefs.fresh_draws import FreshDraws
from bayesmdp.posterior.closed_forms.draws import completed, log_gammas
from bayesmdp.posterior.closed_forms.transitions import Conjugate
from bayesmdp.posterior.random_variables import uniforms

if TYPE_CHECKING:
    from bayesmdp.problems.world import Step

__all__ = ["Kept", "RenewedDraws", "check_renewable"]


class Kept(NamedTuple):
    """State of renewed or kept draws.

    Attributes
    ----------
    seen : array [row, 2]
        As in `Sums`.
    cursor : int
        The first draw to be replaced by the next call of `draw`.
    log_gamma : dict of arrays [draw, entry]
        Logs, since most Gamma variables of small concentration are below the smallest float.
    """

    seen: Float[Array, "row sum"]
    cursor: Int[Array, ""]
    log_gamma: dict[str, Array]


@dataclass(frozen=True, eq=False)
class RenewedDraws(FreshDraws):
    """The functions of a belief that keeps its draws.

    Attributes
    ----------
    num_renewed : int
        How many draws each call replaces; with 0 all are kept.
    """

    num_renewed: int = 0

    def init(self, key: Key[Array, ""]) -> Kept:
        state = super().init(key)
        log_gamma = log_gammas(key, self.conjugate.layout, self.parameters(state), self.num_draws)
        return Kept(state.seen, jnp.zeros((), jnp.int32), log_gamma)

    def observe(self, key: Key[Array, ""], state: Kept, step: Step) -> Kept:
        row, log_gamma, words = self.tally.row(step), dict(state.log_gamma), jax.random.key_data(key)[:2]
        for number, name in enumerate(log_gamma):
            site = self.conjugate.sites[name]
            uniform = uniforms(words, np.uint32(number), (self.num_draws, site.entry.shape[1]))
            for i in range(site.entry.shape[1]):
                # Gamma(a + 1) = Gamma(a) + Exp(1), in logs; log 0 for an entry that the row does not add to.
                entry, adds = jnp.asarray(site.entry)[row, i], jnp.asarray(site.coefficient)[row, i]
                before = lax.dynamic_index_in_dim(log_gamma[name], entry, 1, False)
                after = jnp.logaddexp(before, jnp.log(-jnp.log(uniform[:, i])) + jnp.log(adds))
                log_gamma[name] = lax.dynamic_update_index_in_dim(log_gamma[name], after, entry, 1)
        return Kept(self.tally.add(state.seen, step), state.cursor, log_gamma)

    def draw(self, key: Key[Array, ""], state: Kept) -> tuple[Kept, dict[str, Array]]:
        parameters, layout = self.parameters(state), self.conjugate.layout
        if self.num_renewed:
            place = (state.cursor + jnp.arange(self.num_renewed, dtype=jnp.int32)) % self.num_draws
            renewed = log_gammas(key, layout, parameters, self.num_renewed)
            log_gamma = {name: state.log_gamma[name].at[place].set(renewed[name]) for name in renewed}
            state = Kept(state.seen, (state.cursor + self.num_renewed) % self.num_draws, log_gamma)
        return state, completed(self.conjugate.reading.model, layout, self.data, parameters, state.log_gamma)


def check_renewable(conjugate: Conjugate) -> None:
    """Refuse a model whose draws cannot be kept: each row must add 1 to its entries of a Dirichlet or a Beta."""
    for name, site in conjugate.sites.items():
        if not site.family.simplex:
            raise ValueError(
                f"renewed and kept draws need Dirichlet and Beta unknowns; {name!r} is {site.family.name}. Use "
                "draws='fresh'"
            )
        if site.coefficient.ndim > 2:
            raise ValueError(
                f"renewed and kept draws need rows that add 1 to {name!r}, whatever the reward. Use draws='fresh'"
            )
        other = site.coefficient[~np.isin(site.coefficient, (0.0, 1.0))]
        if other.size:
            raise ValueError(
                f"renewed and kept draws need rows that add 1 to {name!r}; one adds {other.flat[0]:g}. Use "
                "draws='fresh'"
            )
