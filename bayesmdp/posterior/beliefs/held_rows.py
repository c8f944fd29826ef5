"""Exact beliefs whose draws are kept row by row: weighted for what was seen since, or drawn anew where that changed.

A draw of a Dirichlet row made at concentrations a stands for the posterior at a + n by its importance weight, the
likelihood of the n observations since,

    w_i  proportional to  prod_j p_ij^(n_j),    effective size = (sum w_i)^2 / sum w_i^2,

row by row, since rows are independent; `draw` takes each row's draws by systematic resampling, so that planners see
draws of equal weight. Which rows are drawn anew at a call is the rule:

- *weighted*: those whose effective size is below half of their draws;
- *changed*: those with an observation since they were made, so that nothing is ever weighted;
- *unseen*: those without one, and those whose effective size is below half;

and beside these a share of all others, at random. A weight corrects for data; it does not correct for the part the
draws had in which data came. Draws that were acted on are, given the data, no longer from the posterior: a row that
looks bad in all of them is not tried, has no data, keeps weights of 1, and stays as it is. That is the trap of *kept*
draws (:mod:`~bayesmdp.posterior.beliefs.exact`), and neither weights nor drawing anew what changed opens it. What is
drawn anew regardless of data does, a share of the rows or the unseen ones. The rules are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random
from jaxtyping import Bool, Float, Key

from bayesmdp.foundation.arrays import Array
from bayesmdp.posterior.beliefs.fresh_draws import FreshDraws
from bayesmdp.posterior.closed_forms.draws import completed
from bayesmdp.posterior.random_variables import standard_log_gamma

if TYPE_CHECKING:
    from bayesmdp.posterior.closed_forms.transitions import Conjugate
    from bayesmdp.problems.world import Step

__all__ = ["RULES", "Held", "HeldRows", "check_holdable", "effective_size", "resampled"]

LEAST_SIZE = 0.5
"""Share of the draws below which the effective size of a row's weights has it drawn anew."""

GOLDEN = (5**0.5 - 1) / 2

type Needs = Callable[[Bool[Array, " row"], Bool[Array, " row"]], Bool[Array, " row"]]

RULES: Mapping[str, Needs] = {
    "weighted": lambda changed, poor: poor,
    "changed": lambda changed, poor: changed,
    "unseen": lambda changed, poor: ~changed | poor,
}
"""Which rows are drawn anew: from whether they have changed, and whether their effective size is below a half."""


class Held(NamedTuple):
    """State of draws that are kept row by row.

    Attributes
    ----------
    seen : array [row, 2 or 3]
        As in `Sums`.
    made : dict of arrays [row of the site, category]
        The concentrations at which each row was drawn.
    log_rows : dict of arrays [draw, row of the site, category]
        Logs of the draws, since most entries of small concentration are below the smallest float.
    """

    seen: Float[Array, "row sum"]
    made: dict[str, Array]
    log_rows: dict[str, Array]


@dataclass(frozen=True, eq=False)
class HeldRows(FreshDraws):
    """The functions of a belief that keeps its draws row by row.

    Attributes
    ----------
    rule : {"weighted", "changed", "unseen"}
        Which rows are drawn anew at a call; see the module.
    share : float in [0, 1]
        Of the other rows that are drawn anew all the same.
    """

    rule: str = "weighted"
    share: float = 0.0

    def init(self, key: Key[Array, ""]) -> Held:
        state = super().init(key)
        made = self._tables(state)
        rows = {
            name: _log_rows(random.fold_in(key, place), table, self.num_draws)
            for place, (name, table) in enumerate(made.items())
        }
        return Held(state.seen, made, rows)

    def observe(self, key: Key[Array, ""], state: Held, step: Step) -> Held:
        return state._replace(seen=self.tally.add(state.seen, step))

    def draw(self, key: Key[Array, ""], state: Held) -> tuple[Held, dict[str, Array]]:
        made, kept, taken = {}, {}, {}
        for place, (name, now) in enumerate(self._tables(state).items()):
            anew, chance, pick = random.split(random.fold_in(key, place), 3)
            since = now - state.made[name]
            weight = _weights(state.log_rows[name], since)
            needs = RULES[self.rule](
                (since != 0).any(-1), effective_size(weight) < LEAST_SIZE * self.num_draws
            ) | random.bernoulli(chance, self.share, since.shape[:1])
            rows = _renewed(anew, needs, now, state.log_rows[name])
            made[name], kept[name] = jnp.where(needs[:, None], now, state.made[name]), rows
            taken[name] = rows
            if self.rule != "changed":
                taken[name] = resampled(pick, jnp.where(needs, 1 / self.num_draws, weight), rows)
        layout, parameters = self.conjugate.layout, self.parameters(state)
        flat = {name: rows.reshape(self.num_draws, -1) for name, rows in taken.items()}
        drawn = completed(self.conjugate.reading.model, layout, self.data, parameters, flat)
        return Held(state.seen, made, kept), drawn

    def _tables(self, state: Held) -> dict[str, Array]:
        """The concentrations of each site, as an array [row of the site, category]."""
        return {name: own.reshape(-1, own.shape[-1]) for name, own in self.parameters(state).items()}


def effective_size(weight: Float[Array, "draw row"]) -> Float[Array, " row"]:
    """Return how many draws of equal weight are worth as much as weighted ones.

    Parameters
    ----------
    weight : array [draw, row]
        Not negative, with the sum 1 over the draws of each row.

    Returns
    -------
    array [row]
        From 1 to the number of draws.

    Examples
    --------
    >>> import numpy as np
    >>> effective_size(np.array([[0.5, 1.0], [0.5, 0.0]])).tolist()
    [2.0, 1.0]
    """
    return 1 / jnp.sum(jnp.square(weight), 0)


def resampled(
    key: Key[Array, ""], weight: Float[Array, "draw row"], rows: Float[Array, "draw row category"]
) -> Float[Array, "draw row category"]:
    """Return as many draws of equal weight, each row's by systematic resampling.

    A draw of weight w comes out floor(N w) or ceil(N w) times, N w in the mean. The order is that of the golden
    section, so that the first few, which planners may take alone, stand for all.

    Parameters
    ----------
    key : key
    weight : array [draw, row]
        With the sum 1 over the draws of each row.
    rows : array [draw, row, category]

    Returns
    -------
    array [draw, row, category]

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[[0.1, 0.9]], [[0.6, 0.4]]])
    >>> resampled(jax.random.key(0), np.array([[0.0], [1.0]]), rows)[:, 0, 0].tolist()
    [0.6, 0.6]
    """
    num_draws, num_rows = weight.shape
    order = np.argsort(np.argsort((np.arange(num_draws) * GOLDEN) % 1))
    start = random.uniform(key, (num_rows,))
    place = (jnp.asarray(order)[:, None] + start) / num_draws
    ends = jnp.cumsum(weight, 0)
    index = jax.vmap(jnp.searchsorted, (1, 1), 1)(ends, place * ends[-1])
    return jnp.take_along_axis(rows, jnp.minimum(index, num_draws - 1)[..., None], 0)


def check_holdable(conjugate: Conjugate, draws: str) -> None:
    """Refuse a model with unknowns whose draws are no rows of probabilities."""
    for name, site in conjugate.sites.items():
        if not site.family.simplex:
            raise ValueError(
                f"{draws} draws need Dirichlet and Beta unknowns; {name!r} is {site.family.name}. Use draws='fresh'"
            )


def _weights(log_rows: Float[Array, "draw row category"], since: Float[Array, "row category"]) -> Array:
    """Importance weights [draw, row] for what was seen since, with the sum 1 over draws."""
    return jax.nn.softmax(jnp.einsum("drc,rc->dr", log_rows, since), 0)


def _log_rows(
    key: Key[Array, ""], concentration: Float[Array, "*row category"], num_draws: int
) -> Float[Array, "draw *row category"]:
    log_gamma = standard_log_gamma(key, concentration, num_draws)
    return jax.nn.log_softmax(log_gamma, -1)


def _renewed(
    key: Key[Array, ""],
    needs: Bool[Array, " row"],
    concentration: Float[Array, "row category"],
    log_rows: Float[Array, "draw row category"],
) -> Float[Array, "draw row category"]:
    """The draws in which the rows that need it are made anew, one row after the other: others cost nothing."""
    order = jnp.argsort(~needs, stable=True)

    def one(i: Array, rows: Array) -> Array:
        row = order[i]
        drawn = _log_rows(random.fold_in(key, row), concentration[row], rows.shape[0])
        return lax.dynamic_update_index_in_dim(rows, drawn, row, 1)

    return lax.fori_loop(0, jnp.sum(needs), one, log_rows)
