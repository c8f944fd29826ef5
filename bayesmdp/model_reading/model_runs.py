"""Running a model: abstractly, at random values of its unknowns, or at given ones.

Everything here expects 64 bits to be on, and runs the model through NumPyro's handlers. A model's operations are never
run one by one, since each would be a program for XLA to compile, at 25 ms apiece: what its sites are - names, shapes,
kinds of distributions - is read from abstract runs (:func:`looked_at`), and their values come from one compiled program
(:func:`run_at_random`), the same for every log where it is given one row of it (:func:`repeated`).
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.primitives import Messenger

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.compiled_programs import quickly_compiled
from bayesmdp.model_reading.rows import PLATE

__all__ = [
    "TRACING",
    "Data",
    "Latent",
    "Model",
    "Run",
    "base_distribution",
    "computed_at_random",
    "is_latent",
    "is_unobserved",
    "latent_sites",
    "looked_at",
    "messages_at_random",
    "parameters_of",
    "repeated",
    "run_at_random",
    "sites",
    "trace",
    "with_values",
]

type Model = Callable[[Any], Any]
"""A NumPyro model of one argument, the data."""

type Data = Any
"""What a model reads: `Transitions`, or `Targets` in a model of Q-values, or what tasks left behind."""

# NumPyro keeps its handlers on one stack for all threads, and agents are compiled side by side.
TRACING = threading.RLock()


class Latent(NamedTuple):
    """A site that is sampled and not observed.

    Attributes
    ----------
    kind : type
        Of its distribution, under NumPyro's expansions.
    shape : tuple of int
    scaled, discrete : bool
        Whether its density is raised to a power, and whether its values are countable.
    """

    kind: type
    shape: tuple[int, ...]
    scaled: bool
    discrete: bool


class Run(NamedTuple):
    """What a model says at one choice of its unknowns.

    Attributes
    ----------
    values : dict of arrays
        Of the latent and the deterministic sites.
    parameters : dict of dicts of arrays
        Those of each latent's distribution, by NumPyro's names.
    """

    values: dict[str, Array]
    parameters: dict[str, dict[str, Array]]


def sites(model: Model, data: Data, values: dict[str, Array] | None = None, seed: int = 0) -> dict[str, Any]:
    """Run a model, and return NumPyro's messages by site, with latents given or random, of moderate size.

    To be called where the model is traced, or is asked for a message itself: elsewhere each operation of the model
    would be compiled by itself.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions, Targets or Records
    values : mapping of site to array, optional
        Latents that are given; the others are random.
    seed : int
        Of the random ones.

    Returns
    -------
    dict of messages
    """
    rng = np.random.default_rng(seed)

    def fill(site: dict[str, Any]) -> Any:
        if values is not None and site["name"] in values:
            return values[site["name"]]
        shape = site["fn"].shape(site["kwargs"].get("sample_shape", ()))
        return _place(site, _random_numbers(type(base_distribution(site["fn"])), shape, rng, 1.0))

    return _filled(model, data, fill, jax.random.key(seed))


def run_at_random(model: Model, data: Data, latents: Mapping[str, Latent], seed: int = 0, spread: float = 1.0) -> Run:
    """Run a model at random values of its unknowns, of moderate size unless `spread` is large.

    Sites of known families are filled with numbers made here: where a model is only being read the prior does not
    matter, and compiling JAX's own Gamma sampler for it would take seconds.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions, Targets or Records
    latents : mapping of site to Latent
    seed : int
    spread : float
        Times the moderate size.

    Returns
    -------
    Run
        Of NumPy arrays.
    """
    return computed_at_random(model, data, latents, _run, seed, spread)


def _run(messages: dict[str, Any]) -> Run:
    values = {name: jnp.asarray(site["value"]) for name, site in messages.items() if is_unobserved(site)}
    latents = {name: site for name, site in messages.items() if is_latent(site)}
    return Run(
        values, {name: jax.tree.map(jnp.asarray, parameters_of(site["fn"])[1]) for name, site in latents.items()}
    )


def computed_at_random[T](
    model: Model,
    data: Data,
    latents: Mapping[str, Latent],
    compute: Callable[[dict[str, Any]], T],
    seed: int = 0,
    spread: float = 1.0,
    numbers: Mapping[str, NDArray[np.float64]] | None = None,
) -> T:
    """Run a model as `run_at_random` does, and return what `compute` makes of its messages, in one compiled program.

    `numbers` go before those made here, each in the place of the random ones of its site.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions, Targets or Records
    latents : mapping of site to Latent
    compute : callable
        ``compute(messages by site)``, a module-level function; it is traced.
    seed : int
    spread : float
        Times the moderate size.
    numbers : mapping of site to array, optional
        In the place of the random numbers of a site.

    Returns
    -------
    pytree of NumPy arrays
    """
    rng = np.random.default_rng(seed)
    made = {name: _random_numbers(latent.kind, latent.shape, rng, spread) for name, latent in latents.items()}
    made |= numbers or {}
    given = {name: numbers for name, numbers in made.items() if numbers is not None}
    computed: T = jax.tree.map(np.asarray, _computed(model, data, compute, given, seed))
    return computed


@partial(quickly_compiled, static_argnums=(0, 2))
def _computed(
    model: Model, data: Data, compute: Callable[[dict[str, Any]], Any], numbers: dict[str, Array], seed: int
) -> Any:
    return compute(_filled(model, data, lambda site: _place(site, numbers.get(site["name"])), jax.random.key(seed)))


def messages_at_random(
    model: Model, data: Data, latents: Mapping[str, Latent], trials: Sequence[Mapping[str, NDArray[np.float64]]]
) -> list[dict[str, Any]]:
    """Run a model once a trial, at random values of its unknowns.

    Parameters
    ----------
    trials : sequence of mapping of site to array
        Numbers that go before the random ones; the position of a trial is the seed of the rest.

    Returns
    -------
    list of dict
        NumPyro's messages by site, as `sites` gives them, with NumPy arrays in the place of JAX's.
    """
    described = looked_at(model, data, _without_parts)
    runs = [
        computed_at_random(model, data, latents, _parts, seed, numbers=numbers) for seed, numbers in enumerate(trials)
    ]
    return [{name: site | computed[name] for name, site in described.items()} for computed in runs]


def _parts(messages: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What of the messages is computed: NumPyro's distributions are trees of arrays."""
    return _entries(messages, "fn", "value", "scale")


def _without_parts(messages: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return _entries(messages, "name", "type", "is_observed", "cond_indep_stack")


def _entries(messages: dict[str, Any], *keys: str) -> dict[str, dict[str, Any]]:
    return {name: {key: site.get(key) for key in keys} for name, site in with_values(messages).items()}


def with_values(messages: dict[str, Any]) -> dict[str, Any]:
    """The messages of sites that are sampled, observed or computed."""
    return {name: site for name, site in messages.items() if site["type"] in ("sample", "deterministic")}


def looked_at[T](model: Model, data: Data, look: Callable[[dict[str, Any]], T]) -> T:
    """Return what `look` says of the messages by site of an abstract run: nothing is computed.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions, Targets or Records
    look : callable
        ``look(messages by site)``; sites have shapes and no values.
    """
    told: list[T] = []
    jax.eval_shape(lambda: told.append(look(sites(model, data))))
    return told[0]


def _filled(model: Model, data: Data, fill: Callable[[dict[str, Any]], Any], key: Array) -> dict[str, Any]:
    """Messages by site with latents given by `fill`, or drawn where that is None."""

    def fill_latent(site: dict[str, Any]) -> Any:
        return fill(site) if site["type"] == "sample" and not site.get("is_observed") else None

    return trace(handlers.seed(handlers.substitute(model, substitute_fn=fill_latent), key), data)


def _random_numbers(
    kind: type, shape: tuple[int, ...], rng: np.random.Generator, spread: float
) -> NDArray[np.float64] | None:
    """What `_place` makes values of; None for families that are drawn from as they are."""
    if issubclass(kind, dist.Beta):
        return np.clip(rng.beta(0.5, 0.5, shape), 1e-3, 1 - 1e-3)
    if issubclass(kind, dist.Dirichlet):
        raw = np.exp(rng.uniform(-4, 4, shape))
        return np.asarray(raw / raw.sum(-1, keepdims=True))
    if issubclass(kind, dist.Normal):
        return np.asarray(spread * rng.uniform(-2, 2, shape))
    if issubclass(kind, dist.Gamma | dist.Exponential):
        return np.exp(spread * rng.uniform(-1, 1, shape))
    return None


def _place(site: dict[str, Any], numbers: Array | None) -> Array | None:
    """Values of a latent, from numbers that know nothing of its parameters."""
    fn = base_distribution(site["fn"])
    if isinstance(fn, dist.ImproperUniform):
        raise ValueError(f"the prior of {site['name']!r} is improper: nothing can be drawn from it; give it another")
    if numbers is None:
        return None
    numbers = jnp.asarray(numbers)
    if isinstance(fn, dist.Normal):
        return fn.loc + fn.scale * numbers
    return fn.mean * numbers if isinstance(fn, dist.Gamma | dist.Exponential) else numbers


def parameters_of(fn: Any) -> tuple[type, dict[str, Any]]:
    """The kind of a distribution, under expansions, and its parameters by NumPyro's names."""
    base = base_distribution(fn)
    known = ((name, vars(base).get(name)) for name in type(base).arg_constraints)
    return type(base), {name: value for name, value in known if isinstance(value, jax.typing.ArrayLike)}


def trace(model: Model, data: Data) -> dict[str, Any]:
    """Run a model once, one thread at a time, and return NumPyro's messages by site.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions, Targets or Records

    Returns
    -------
    dict of messages
    """
    with TRACING, _NamesApart(), handlers.trace() as seen:
        try:
            model(data)
        except (IndexError, jax.errors.TracerArrayConversionError) as error:
            raise _lookup_error(error, seen) from error
    return dict(seen)


def _lookup_error(error: Exception, seen: dict[str, Any]) -> Exception:
    """What is said of a model's lookup in an array that has no such place, or that is none of JAX's."""
    frames = traceback.extract_tb(error.__traceback__)
    libraries = Path(__file__).parents[1], Path(jax.__file__).parents[1]
    own = [frame for frame in frames if not any(Path(frame.filename).is_relative_to(at) for at in libraries)] or frames
    place = f"{own[-1].filename} line {own[-1].lineno}: {own[-1].line}"
    if isinstance(error, jax.errors.TracerArrayConversionError):
        return TypeError(
            f"{place}: a NumPy array is looked up by data of JAX's; wrap it, as in jnp.asarray(table)[...]"
        )
    shapes = [f"{name} {np.shape(site['value'])}" for name, site in seen.items() if is_unobserved(site)]
    return IndexError(
        f"{place}: {str(error).rstrip('.')}. Of the sites so far the shapes are {', '.join(shapes) or 'none'}; "
        "transition is [state, action, next_state or outcome], and a row's is transition[data.state, data.action]"
    )


class _NamesApart(Messenger):  # type: ignore[misc]
    """Refuses a site and a plate of one name, of which NumPyro would keep one and forget the other."""

    def __init__(self) -> None:
        super().__init__()
        self.plates: dict[str, bool] = {}

    def process_message(self, msg: dict[str, Any]) -> None:
        name, is_plate = msg.get("name"), msg["type"] == "plate"
        if name is None or self.plates.setdefault(name, is_plate) == is_plate:
            return
        whose = ", the one that data.rows() enters" if name == PLATE else ""
        raise ValueError(f"{name!r} is the name of a site and of a plate{whose}; give the site another name")


def base_distribution(fn: Any) -> Any:
    """The distribution under NumPyro's expansions and changes of batch to event axes."""
    while isinstance(fn, dist.ExpandedDistribution | dist.Independent):
        fn = fn.base_dist
    return fn


def latent_sites(messages: dict[str, Any]) -> dict[str, Latent]:
    """What the sites that are sampled and not observed are."""
    found = {}
    for name, site in messages.items():
        if is_latent(site):
            fn, shape = site["fn"], np.shape(site["value"])
            discrete = bool(getattr(fn.support, "is_discrete", False))
            found[name] = Latent(type(base_distribution(fn)), shape, site["scale"] is not None, discrete)
    return found


def is_latent(site: dict[str, Any]) -> bool:
    """Whether a site is sampled and not observed."""
    return bool(site["type"] == "sample" and not site["is_observed"])


def is_unobserved(site: dict[str, Any]) -> bool:
    """Whether a site is latent or computed."""
    return site["type"] == "deterministic" or is_latent(site)


def repeated(data: Data, times: int) -> Data:
    """Return the first row, repeated.

    Parameters
    ----------
    data : Transitions, Targets or Records
    times : int
    """
    return jax.tree.map(lambda column: np.repeat(np.asarray(column)[:1], times, axis=0), data)
