"""Weighted rows of experience: what models are conditioned on.

:class:`Transitions` is a log compressed: one row per distinct (state, action, next state), weighted by how often it was
seen. Length is fixed by what can be seen rather than by how much was, so nothing recompiles as data grow and the cost
of a posterior does not grow with the number of steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.primitives import Messenger

from bayesmdp.foundation.arrays import Array

__all__ = ["MeanRewards", "Targets", "Transitions", "all_transitions", "combinations", "safe_log"]


PLATE = "data_rows"
"""The plate of `data.rows()`; no site of a model may have this name."""


class Transitions(NamedTuple):
    """Weighted rows of experience: what a model's `data` argument is.

    Attributes
    ----------
    state, action, next_state : int array [row]
        Indices. With a successor table `next_state` holds the *outcome*, so that in either form
        ``transition[data.state, data.action, data.next_state]`` is the probability of a row.
    reward : array [row]
        Mean reward of the row's steps.
    weight : array [row]
        How often the row was seen; 0 is no observation.
    covariates : mapping of name to array [row]
        What else is known of the row's steps, which a model reads as ``data.NAME``; an agent's rows have none.

    Examples
    --------
    >>> import numpy as np
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> seen = bm.compress(bm.collect(river, steps=50, seed=0))
    >>> isinstance(seen, Transitions), float(seen.weight.sum())
    (True, 50.0)
    """

    state: Array
    action: Array
    next_state: Array
    reward: Array
    weight: Array
    covariates: Mapping[str, Array] = {}

    @contextlib.contextmanager
    def rows(self) -> Iterator[None]:
        """Enter the plate ``data_rows`` with each row's log-likelihood counted `weight` times.

        Rows of weight 0 are masked (NumPyro's `scale` refuses zeros), so the same model function gives the prior, the
        posterior and predictions. Categorical probabilities may be exactly 0: see ``_SafeLogarithm``.
        """
        with weighted_rows(self.weight), _SafeLogarithm():
            yield

    def __getattr__(self, name: str) -> Any:
        if name in self.covariates:
            return self.covariates[name]
        raise no_column(self, name)


class MeanRewards(Transitions):
    """Rows of which at least one stands for steps that were paid differently, so that its reward is none of theirs.

    They tell all there is to know of transitions. To a model that observes rewards a mean would pass for a reward.
    """


class Targets(NamedTuple):
    """Weighted rows of a regression of Q-values: what the `data` argument of a model with a site ``theta`` is.

    Attributes
    ----------
    stage : int array [row]
    features : array [row, feature]
    target : array [row]
        What the pair turned out to be worth.
    weight : array [row]
        How often; 0 is no observation.

    Examples
    --------
    >>> import numpy as np
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(3, 2)
    >>> rows = Targets(np.zeros(4, int), np.eye(4, 12), np.ones(4), np.ones(4))
    >>> bm.infer(bm.models.gaussian_q(shop), rows, mdp=shop, draws=100).posterior["theta"].sizes["feature"]
    12
    """

    stage: Array
    features: Array
    target: Array
    weight: Array

    @contextlib.contextmanager
    def rows(self) -> Iterator[None]:
        """Enter the plate ``data_rows``, as in `Transitions.rows`."""
        with weighted_rows(self.weight):
            yield

    def __getattr__(self, name: str) -> Any:
        raise no_column(self, name)


def no_column(data: Any, name: str) -> AttributeError:
    """Make the error about a column that the rows of a model do not have.

    Parameters
    ----------
    data : Transitions or Targets
    name : str

    Returns
    -------
    AttributeError
        Of no interest to those who only try.
    """
    own = [field for field in data._fields if field != "covariates"]
    columns = ", ".join([*own, *(data.covariates if isinstance(data, Transitions) else ())])
    return AttributeError(
        f"the data have no {name!r}: a model may read {columns} of them, and enter rows(). Other columns of a log are "
        "dropped unless read_log(covariates=[...]) keeps them, and an agent's experience has none",
        name=name,
    )


def combinations(covariates: Mapping[str, NDArray[Any]], rows: int) -> tuple[NDArray[np.int64], int]:
    """Number the combinations of values that rows have.

    Parameters
    ----------
    covariates : mapping of name to array [row]
    rows : int
        How many rows there are, where there is no covariate to tell.

    Returns
    -------
    number : int array [row]
        Which combination a row has.
    count : int
        How many there are; 1 without covariates.
    """
    number, count = np.zeros(rows, np.int64), 1
    for values in covariates.values():
        distinct, place = np.unique(values, return_inverse=True)
        _, number = np.unique(number * len(distinct) + place, return_inverse=True)
        count = int(number.max()) + 1
    return number, count


@contextlib.contextmanager
def weighted_rows(weight: Array) -> Iterator[None]:
    """Enter the plate of rows, with rows of weight 0 masked and the others scaled by it."""
    seen = jnp.asarray(weight) > 0
    if isinstance(weight, jax.core.Tracer):
        times: Any = jnp.where(seen, weight, 1)
    else:
        times = _Times(np.where(np.asarray(weight) > 0, weight, 1))
    with numpyro.plate(PLATE, len(weight)), handlers.mask(mask=seen), handlers.scale(scale=times):
        yield


class _Times:
    """How often each row counts, as what `handlers.scale` takes.

    A site's scale is among what NumPyro and ArviZ compare and hash where they look at a model abstractly
    (`PytreeTrace`), which arrays are not made for.
    """

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def __jax_array__(self) -> Array:
        return jnp.asarray(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, jax.Array):
            return jnp.asarray(self.values) * other
        return _Times(self.values * np.asarray(other))

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Times) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.values.shape, self.values.tobytes()))


class _SafeLogarithm(Messenger):  # type: ignore[misc]
    """Takes logs of a Categorical's probabilities only where they are positive.

    The log of 0 has the gradient 0 / 0, and the NaN would reach every unknown through any product with a zero, even
    from an outcome nobody saw. Here the log is -inf with gradient 0.
    """

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] == "sample" and type(msg["fn"]) is dist.CategoricalProbs:
            msg["fn"] = _SafeCategorical(msg["fn"].probs, validate_args=False)


class _SafeCategorical(dist.CategoricalProbs):  # type: ignore[misc]
    """Takes the log of the one probability that was observed, and not of all of its row."""

    def log_prob(self, value: Array) -> Array:
        place = jnp.expand_dims(value, -1)
        shape = jnp.broadcast_shapes(place.shape[:-1], self.probs.shape[:-1])
        rows = jnp.broadcast_to(self.probs, (*shape, self.probs.shape[-1]))
        probability = jnp.take_along_axis(rows, jnp.broadcast_to(place, (*shape, 1)), axis=-1)[..., 0]
        return safe_log(probability)


def safe_log(probability: Array) -> Array:
    """Logs, -inf with gradient 0 where the probability is 0."""
    possible = probability > 0
    return jnp.where(possible, jnp.log(jnp.where(possible, probability, 1)), -jnp.inf)


def all_transitions(num_states: int, num_actions: int, num_outcomes: int) -> Transitions:
    """Return every possible row, none seen: the form in which an agent carries its experience.

    Row ``(state * num_actions + action) * num_outcomes + outcome`` is that transition, so `weight` reshapes to
    counts [state, action, outcome].

    Parameters
    ----------
    num_states, num_actions, num_outcomes : int

    Returns
    -------
    Transitions, rows [state * action * outcome]

    Examples
    --------
    >>> rows = all_transitions(2, 1, 2)
    >>> rows.state.tolist(), rows.next_state.tolist()
    ([0, 0, 1, 1], [0, 1, 0, 1])
    """
    state, action, outcome = np.indices((num_states, num_actions, num_outcomes)).reshape(3, -1).astype(np.int32)
    nothing = np.zeros(state.size)
    return Transitions(state, action, outcome, nothing, nothing)
