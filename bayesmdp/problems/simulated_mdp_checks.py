"""What `SimulatedMDP` refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import random
from numpy.typing import NDArray
from numpyro import handlers

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.user_code import check_model
from bayesmdp.foundation.validation import distributions, finite_array, reject_first
from bayesmdp.model_reading.primitives import bare, observes_next_state, per_row, unknowns
from bayesmdp.model_reading.read_model import Model, trace
from bayesmdp.model_reading.records import Records
from bayesmdp.problems.mesh import Mesh

__all__ = [
    "check_actions",
    "check_anchors",
    "check_available",
    "check_functions",
    "check_mesh",
    "check_starts",
    "check_truth",
    "first_state",
]

COLUMNS = ("state", "action", "reward", "next_state", "terminated", "truncated")


STARTS = 200
"""First states that are tried."""


def check_actions(actions: Any) -> tuple[Any, int]:
    """Return a finite list of actions, and how many there are; refuse a range of them.

    Parameters
    ----------
    actions : sequence of labels

    Returns
    -------
    actions : sequence
    number : int
    """
    listed = isinstance(actions, Sequence | np.ndarray) and not isinstance(actions, str)
    if not listed or not len(actions):
        raise TypeError(
            f"actions must be a finite list of labels; got {actions!r}. There are no continuous actions here: give a "
            "grid of them, as np.linspace(-2, 2, 9)"
        )
    return actions, len(actions)


def first_state(start: Any) -> NDArray[np.float64]:
    """Return the first state, or the mean of its distribution.

    Parameters
    ----------
    start : array [coordinate], or NumPyro distribution of one

    Returns
    -------
    array [coordinate]
    """
    if not isinstance(start, dist.Distribution):
        return finite_array("start", np.atleast_1d(np.asarray(start, float)))
    if start.batch_shape or len(start.event_shape) != 1:
        raise ValueError(
            f"the distribution of start has batch shape {start.batch_shape} and event shape {start.event_shape}; "
            "expected none and (coordinates,): say .to_event(1)"
        )
    return _some_starts(start).mean(0)


def _some_starts(starts: dist.Distribution) -> NDArray[np.float64]:
    with jax.enable_x64(True):
        return np.asarray(_sampled(starts, random.key(0)), float)


@jax.jit
def _sampled(starts: Any, key: Array) -> Array:
    return starts.sample(key, (STARTS,))


@jax.jit
def _called(function: Callable[[Array], Array], places: Array) -> Array:
    return function(places)


def check_starts(
    starts: Any,
    start: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    terminal: Callable[[Array], Array] | None,
) -> None:
    """Refuse first states that are not finite, outside the box or terminal, and a `terminal` that does not say which.

    Parameters
    ----------
    starts : Distribution or None
    start, low, high : arrays [coordinate]
    terminal : callable or None
    """
    first = start[None]
    if starts is not None:
        first = _some_starts(starts)
        reject_first("a drawn start", ~np.isfinite(first), first, "is not finite")
        outside = (first < low) | (first > high)
        reject_first("a drawn start", outside, first, "lies outside of the box from low to high; widen the box")
    if terminal is None:
        return
    with jax.enable_x64(True):
        ends = np.asarray(jax.jit(terminal)(first))
    if ends.shape != (len(first),) or ends.dtype != bool:
        raise ValueError(
            f"terminal of {len(first)} states is {ends.dtype} of shape {ends.shape}; expected bool ({len(first)},)"
        )
    if ends.any():
        raise ValueError(f"the start {first[int(np.argmax(ends))].tolist()} is terminal: nobody could act")


def check_truth(
    model: Model, truth: Mapping[str, NDArray[np.float64]] | None, start: NDArray[np.float64], *, paid: bool
) -> dict[str, tuple[int, ...]]:
    """Refuse a truth that is not of the model's unknowns, all of them, and a model that does not run.

    Parameters
    ----------
    model : NumPyro function of `Records`
    truth : mapping of site to array, or None
    start : array [coordinate]
        A state to run the model in.
    paid : bool
        Whether the model must say what a step pays; else it must not, for the problem does.

    Returns
    -------
    dict
        Shapes of the unknowns, by name.
    """
    check_model(model)
    shapes: dict[str, tuple[int, ...]] = {}

    def possible(truth: Mapping[str, Array] | None) -> dict[str, Array]:
        """Whether each value is one that there can be; all else is refused in tracing."""
        one = Records(jnp.asarray(start)[None], jnp.zeros(1, jnp.int32), {}, jnp.ones(1))
        messages = trace(handlers.seed(model, random.key(0)), one)
        _check_sites(messages, start.size, paid=paid)
        latents = unknowns(messages)
        shapes.update({name: np.shape(site["value"]) for name, site in latents.items()})
        if truth is None:
            return {}
        for name in latents:
            if name not in truth:
                raise ValueError(f"truth has no {name!r}, which the model does not know; it has {', '.join(truth)}")
        found = {}
        for name, value in truth.items():
            if name not in latents:
                raise ValueError(f"truth has {name!r}; the model's unknowns are {', '.join(latents)}")
            fn, wanted = latents[name]["fn"], np.shape(latents[name]["value"])
            if value.shape != wanted:
                raise ValueError(f"truth of {name!r} has shape {value.shape}; the model's has {wanted}")
            # A truth may lie where the prior has no density, but not where no such thing can be.
            support = dist.constraints.positive if isinstance(bare(fn), dist.Pareto) else fn.support
            found[name] = jnp.all(support(value))
        return found

    with jax.enable_x64(True):
        try:
            fine = jax.eval_shape(possible, None) if truth is None else jax.jit(possible)(dict(truth))
        except KeyError as error:
            raise ValueError(
                f"the model looks up {error} in data.seen; nothing is recorded of a simulation: use "
                f"data.seen.get({error})"
            ) from None
    for name, there in fine.items():
        if not there and truth is not None:
            raise ValueError(f"truth of {name!r} is {truth[name].tolist()}, which it cannot be under the model")
    return shapes


def _check_sites(messages: Mapping[str, Any], coordinates: int, *, paid: bool) -> None:
    if "next_state" not in messages:
        raise ValueError(
            "the model computes no next state: call numpyro.deterministic('next_state', ...) [row, coordinate], or "
            f"sample it in data.rows(); its sites are {', '.join(map(repr, messages))}"
        )
    if messages["next_state"]["type"] == "sample" and not observes_next_state(messages):
        raise ValueError("the model samples next_state outside of the rows: do so inside `with data.rows():`")
    shape = np.shape(messages["next_state"]["value"])
    if shape != (1, coordinates):
        raise ValueError(f"the model's next_state has shape {shape} for one row; expected (1, {coordinates})")
    drawn = per_row(messages)
    if paid and "reward" not in drawn:
        raise ValueError(
            "there is no reward, and the model samples none: give reward=, or sample 'reward' [row] in data.rows() "
            "with obs=data.reward"
        )
    if not paid and "reward" in drawn:
        raise ValueError(
            "the model samples what a step pays, and reward says it too: pass reward=None, or leave it out"
        )
    if paid and np.shape(drawn["reward"]["value"]) != (1,):
        shape = np.shape(drawn["reward"]["value"])
        raise ValueError(f"the model's reward has shape {shape} for one row; expected (1,), one number a row")
    if "terminal" in drawn:
        site = drawn["terminal"]
        shape, support = np.shape(site["value"]), bare(site["fn"]).support
        if shape != (1,) or support is not dist.constraints.boolean:
            raise ValueError(
                f"the model's terminal is a {type(bare(site['fn'])).__name__} of shape {shape} for one row; expected a "
                "Bernoulli of shape (1,): whether the step ends the episode"
            )
    reserved = [name for name in drawn if name in COLUMNS and name not in ("next_state", "reward")]
    if reserved:
        raise ValueError(f"the primitive {reserved[0]!r} has the name of a column of logs; give it another")


def check_mesh(
    mesh: Mesh, coordinates: int, num_actions: int, discount: float, kernel: list[NDArray[np.float64]]
) -> None:
    """Refuse a mesh that is not of a problem of these sizes and this discount.

    Parameters
    ----------
    mesh : Mesh
    coordinates, num_actions : int
    discount : float
        The problem's.
    kernel : list of one array [point, action, point]
        At the truth.
    """
    points, states = np.shape(mesh.points), mesh.mdp.num_states
    if points != (states, coordinates):
        raise ValueError(f"mesh points have shape {points}; expected ({states}, {coordinates})")
    if mesh.mdp.num_actions != num_actions or mesh.mdp.discount != discount:
        raise ValueError(
            f"the mesh has {mesh.mdp.num_actions} actions and discount {mesh.mdp.discount}; the problem "
            f"{num_actions} and {discount}"
        )
    # It is computed anew for each draw, and nothing normalises it.
    distributions("the mesh's kernel", kernel[0], (states, num_actions, states), tolerance=1e-8)


def check_anchors(anchors: NDArray[np.float64], coordinates: int) -> None:
    """Refuse anchors unless they are [anchor, coordinate] with at least one row.

    Parameters
    ----------
    anchors : array
    coordinates : int
        Of a state.
    """
    if anchors.ndim != 2 or not len(anchors) or anchors.shape[1] != coordinates:
        raise ValueError(
            f"anchors have shape {anchors.shape}; expected [anchor, coordinate], some with {coordinates} coordinates"
        )


def check_available(available: Callable[[Array], Array] | None, places: NDArray[np.float64], num_actions: int) -> None:
    """Refuse an `available` that does not say of each action whether it may be taken, or allows none somewhere.

    Parameters
    ----------
    available : callable or None
        A pytree, as `SimulatedProblem` has it.
    places : array [place, coordinate]
        Where it is tried.
    num_actions : int
    """
    if available is None:
        return
    with jax.enable_x64(True):
        told = np.asarray(_called(available, places))
    if told.shape != (len(places), num_actions) or told.dtype != bool:
        raise ValueError(
            f"available of {len(places)} states is {told.dtype} of shape {told.shape}; expected bool "
            f"({len(places)}, {num_actions})"
        )
    if not told.any(-1).all():
        raise ValueError(f"no action is available in {places[int(np.argmin(told.any(-1)))].tolist()}")


def check_functions(
    features: NDArray[np.float64],
    alike: NDArray[np.bool_],
    after: NDArray[np.float64],
    reward: NDArray[np.float64],
    reward_range: NDArray[np.float64],
) -> None:
    """Refuse functions that give other shapes than they should, no numbers, or rewards out of their range.

    Parameters
    ----------
    features : array [place, feature]
    alike : bool array [place]
    after : array [place, coordinate]
        Next states.
    reward : array [place]
    reward_range : array [2]
    """
    several = len(after)
    if features.ndim != 2 or len(features) != several:
        raise ValueError(f"features of {several} states have shape {features.shape}; expected [state, feature]")
    for name, given in (("alike", alike), ("reward", reward)):
        if given.shape != (several,):
            raise ValueError(f"{name} of {several} states has shape {given.shape}; expected ({several},)")
    for name, given in (("features", features), ("next_state", after), ("reward", reward)):
        if not np.isfinite(given).all():
            raise ValueError(f"{name} is {given[~np.isfinite(given)][0]} for some states; it must be finite")
    least, most = reward_range
    outside = (reward < least) | (reward > most)
    if outside.any():
        raise ValueError(f"a reward is {reward[outside][0]:g}, outside the reward_range {(float(least), float(most))}")
