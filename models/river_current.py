"""RiverSwim with a current: a structured prior, and the example to start from when writing one's own.

Swimming right is uncertain, and the current is the same all along the river, so every interior state tells about every
other. Three unknowns replace a distribution for each state and action:

    current ~ Dirichlet(concentration)          back, stay or ahead, at each interior state
    start   ~ Beta(1, 1)                        leaving the first state (else stay)
    end     ~ Beta(1, 1)                        holding on to the last state (else drift one back)

Swimming left always succeeds. `transition` is a deterministic function of these, and impossible moves have probability
exactly 0. The posterior is still exact, as :func:`bayesmdp.infer` finds by differentiation: each row seen adds one to
one entry, so current | log ~ Dirichlet(concentration + moves back, stayed and ahead, over all interior states).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from .arguments import Sizes, pair_sizes

__all__ = ["river_current"]

LEFT, RIGHT = 0, 1


def river_current(mdp: Sizes, *, concentration: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Callable[[Any], None]:
    """A river whose current is unknown but the same in every interior state.

    Parameters
    ----------
    mdp
        Read for `num_states`, at least 3, and `num_actions`: 0, left, and 1, right, as in
        `bayesmdp.environments.riverswim`.
    concentration : three positive floats
        Of moving back, staying and moving ahead when swimming right in an interior state.

    Returns
    -------
    NumPyro model with the sites ``current`` [move], ``start``, ``end`` and ``transition`` [state, action, next_state]

    Raises
    ------
    ValueError
        If there is no interior state, a concentration is not positive, or the MDP has a table of successors.

    Examples
    --------
    >>> import bayesmdp as bm, numpyro
    >>> from bayesmdp.model_reading.rows import all_transitions
    >>> model = numpyro.handlers.seed(river_current(bm.environments.riverswim(6)), 0)
    >>> sites = numpyro.handlers.trace(model).get_trace(all_transitions(6, 2, 6))
    >>> [name for name in sites if sites[name]["type"] in ("sample", "deterministic")]
    ['current', 'start', 'end', 'transition', 'next_state']
    """
    num_states, num_actions = pair_sizes(mdp)
    if num_states < 3 or num_actions != 2:
        raise ValueError(f"a river has at least 3 states and 2 actions; this MDP has {num_states} and {num_actions}")
    successor = getattr(mdp, "successor", None)
    if successor is not None and (np.shape(successor)[-1] != num_states or (successor != np.arange(num_states)).any()):
        raise ValueError(
            "river_current is about next states, and this MDP, as all that are made from a log, has a table of "
            "successors instead: give the river itself, such as riverswim(6)"
        )
    moves = np.asarray(concentration, float)
    if moves.shape != (3,) or not (np.isfinite(moves) & (moves > 0)).all():
        raise ValueError(f"concentration must be three positive numbers (back, stay, ahead); got {concentration!r}")
    return _model(num_states, tuple(moves.tolist()))


@lru_cache(maxsize=64)
def _model(num_states: int, moves: tuple[float, ...]) -> Callable[[Any], None]:
    """Equal priors are one function, so what was compiled for one serves the next."""
    first, last = 0, num_states - 1

    def model(data: Any) -> None:
        # Arrays are made here: JAX would go on reading one from outside at the precision it first compiled it with.
        inside = np.arange(1, num_states - 1)
        known = np.zeros((num_states, 2, num_states))
        known[np.arange(num_states), LEFT, np.maximum(np.arange(num_states) - 1, first)] = 1.0

        current = numpyro.sample("current", dist.Dirichlet(np.array(moves)), infer={"event_dims": ["move"]})
        start = numpyro.sample("start", dist.Beta(1.0, 1.0))
        end = numpyro.sample("end", dist.Beta(1.0, 1.0))

        transition = jnp.asarray(known)
        for step, probability in zip((-1, 0, 1), current, strict=True):
            transition = transition.at[inside, RIGHT, inside + step].set(probability)
        transition = transition.at[first, RIGHT, first + 1].set(start).at[first, RIGHT, first].set(1 - start)
        transition = transition.at[last, RIGHT, last].set(end).at[last, RIGHT, last - 1].set(1 - end)
        numpyro.deterministic("transition", transition)

        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    model.__name__ = "river_current"
    return model
