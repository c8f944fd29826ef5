"""Reading a model: its unknowns, what they are called along each axis, and the log-likelihood of each row.

Everything here expects 64 bits to be on, and runs the model through NumPyro's handlers; nothing is asked of the model
but the contract that :func:`check` checks.

A model's own operations are never run one by one, since each would be a program for XLA to compile, at 25 ms apiece.
What its sites are - names, shapes, kinds of distributions - is read from abstract runs, which compute nothing
(:func:`looked_at`); numbers come from two compiled programs: one of the unknowns, for one row of data, whatever the log
(:func:`run_at_random`), and one of the rows' log-likelihoods (:func:`row_values`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro import handlers

from bayesmdp.data import Targets, Transitions, all_transitions
from bayesmdp.mdp import Array

__all__ = [
    "PLATE",
    "Data",
    "Impossible",
    "Latent",
    "Model",
    "Program",
    "Run",
    "base_distribution",
    "check",
    "describe_row",
    "latent_values",
    "log_likelihood_of",
    "looked_at",
    "of_prior",
    "parameters_of",
    "prior_density",
    "read",
    "read_for_agents",
    "read_sites",
    "row_log_likelihood",
    "row_values",
    "run_at_random",
    "sample_prior",
    "sites",
    "trace",
]

type Model = Callable[[Any], Any]
"""A NumPyro model of one argument, the data."""

type Data = Any
"""What a model reads: `Transitions`, or `Targets` in a model of Q-values, or what tasks left behind."""

PLATE = "row"

AXES = ("chain", "draw", "state", "action", "next_state", "outcome", "row", "parameter")
"""Names that posteriors give to axes, and sites may not have."""

PARAMETERS: dict[type, tuple[str, ...]] = {
    dist.Dirichlet: ("concentration",),
    dist.Beta: ("concentration1", "concentration0"),
    dist.Uniform: ("low", "high"),
    dist.Normal: ("loc", "scale"),
    dist.Gamma: ("concentration", "rate"),
    dist.Exponential: ("rate",),
    dist.Pareto: ("scale", "alpha"),
}
"""Of the families of priors with closed forms."""

# NumPyro keeps its handlers on one stack for all threads, and agents are compiled side by side.
TRACING = threading.RLock()


class Impossible(ValueError):
    """A log holds what has probability 0 under a model, whatever its unknowns are."""


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
    parameters : dict of tuples of arrays
        Of the latents' distributions, as `parameters_of` orders them.
    """

    values: dict[str, Array]
    parameters: dict[str, tuple[Array, ...]]


class Program(NamedTuple):
    """A model as read from abstract runs of it.

    Attributes
    ----------
    latents : dict of Latent
        Sampled and not observed sites, by name.
    deterministic : tuple of str
    dims : dict
        Names of the axes of each site of either kind.
    shape : (num_states, num_actions, num_outcomes)
        Of ``transition``.
    """

    latents: dict[str, Latent]
    deterministic: tuple[str, ...]
    dims: dict[str, tuple[str, ...]]
    shape: tuple[int, int, int]

    @property
    def names(self) -> tuple[str, ...]:
        """Every site that is not observed."""
        return (*self.latents, *self.deterministic)


def sites(model: Model, data: Data, values: dict[str, Array] | None = None, seed: int = 0) -> dict[str, Any]:
    """NumPyro's messages by site, with some latents given and the rest random, of moderate size.

    To be called where the model is traced, or is asked for a message itself: elsewhere each operation of the model
    would be compiled by itself.
    """
    rng = np.random.default_rng(seed)

    def fill(site: dict[str, Any]) -> Any:
        if values is not None and site["name"] in values:
            return values[site["name"]]
        shape = site["fn"].shape(site["kwargs"].get("sample_shape", ()))
        return _place(site, _random_numbers(type(base_distribution(site["fn"])), shape, rng, 1.0))

    return _filled(model, data, fill, jax.random.key(seed))


def run_at_random(model: Model, data: Data, latents: Mapping[str, Latent], seed: int = 0, spread: float = 1.0) -> Run:
    """The model at random values of its unknowns, of moderate size unless `spread` is large, for one row of `data`.

    Sites of known families are filled with numbers made here: where a model is only being read the prior does not
    matter, and compiling JAX's own Gamma sampler for it would take seconds.
    """
    rng = np.random.default_rng(seed)
    made = {name: _random_numbers(latent.kind, latent.shape, rng, spread) for name, latent in latents.items()}
    given = {name: numbers for name, numbers in made.items() if numbers is not None}
    return jax.tree.map(np.asarray, _run(model, _repeated(data, 1), given, seed))


@partial(jax.jit, static_argnums=0)
def _run(model: Model, data: Data, numbers: dict[str, Array], seed: int) -> Run:
    messages = _filled(model, data, lambda site: _place(site, numbers.get(site["name"])), jax.random.key(seed))
    values = {name: jnp.asarray(site["value"]) for name, site in messages.items() if _is_unobserved(site)}
    latents = {name: site for name, site in messages.items() if _is_latent(site)}
    return Run(values, {name: tuple(map(jnp.asarray, parameters_of(site["fn"])[1])) for name, site in latents.items()})


def looked_at[T](model: Model, data: Data, look: Callable[[dict[str, Any]], T]) -> T:
    """What `look` says of the messages by site of an abstract run: nothing is computed, so there are no values."""
    told: list[T] = []
    jax.eval_shape(lambda data: told.append(look(sites(model, data))), data)
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


def parameters_of(fn: Any) -> tuple[type, tuple[Any, ...]]:
    """The kind of a distribution, under expansions, and its parameters where the kind is a known one."""
    base = base_distribution(fn)
    names = next((names for kind, names in PARAMETERS.items() if isinstance(base, kind)), ())
    return type(base), tuple(getattr(base, name) for name in names)


def latent_values(model: Model, data: Data, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Random values of the latent sites, of moderate size."""
    latents = looked_at(model, data, _latents)
    values = run_at_random(model, data, latents, seed).values
    return {name: values[name] for name in latents}


def trace(model: Model, data: Data) -> dict[str, Any]:
    """NumPyro's messages by site, of one run; one thread at a time."""
    with TRACING:
        return dict(handlers.trace(model).get_trace(data))


def base_distribution(fn: Any) -> Any:
    """The distribution under NumPyro's expansions and changes of batch to event axes."""
    while isinstance(fn, dist.ExpandedDistribution | dist.Independent):
        fn = fn.base_dist
    return fn


def read(model: Model, data: Transitions, outcome: str = "next_state") -> Program:
    """The unknowns of a model, checked against the contract of models.

    Parameters
    ----------
    outcome : {"next_state", "outcome"}
        What the last axis of ``transition`` is called.

    Raises
    ------
    TypeError, ValueError
        If `model` is no function, has no site ``transition`` [state, action, next_state], has rows that do not sum to
        1, has a ``reward`` of another shape, a site named as an axis or one whose shape depends on the data, or
        observes outside ``data.rows()``.
    """
    if not callable(model):
        raise TypeError(f"a model is a NumPyro function of the data; got {type(model).__name__}")
    latents, deterministic, dims, shapes = looked_at(model, _repeated(data, 1), _unknowns)
    if "transition" not in dims:
        listed = ", ".join(map(repr, dims)) or "none"
        raise ValueError(
            "the model has no site 'transition': sample it, or compute it and call "
            f"numpyro.deterministic('transition', ...); its sites are {listed}"
        )
    _check_fixed(model, data)
    for seed in range(3):
        _check_transition(run_at_random(model, data, latents, seed).values["transition"])
    shape = shapes["transition"]
    for name, size in zip(("state", "action", "next_state"), shape, strict=True):
        largest = int(np.max(getattr(data, name), initial=0))
        if largest >= size:
            raise ValueError(f"transition has shape {shape}, but the data hold {name} {largest}")
    dims["transition"] = ("state", "action", outcome)
    _check_names(dims)
    if "reward" in dims:
        given = shapes["reward"]
        if given not in (shape[:2], shape):
            raise ValueError(
                f"reward has shape {given}; expected [state, action] = {shape[:2]}, or with {outcome} {shape}; "
                "if it is another thing, give the site another name"
            )
        dims["reward"] = dims["transition"][: len(given)]
    return Program(latents, deterministic, dims, shape)  # type: ignore[arg-type]


def _latents(messages: dict[str, Any]) -> dict[str, Latent]:
    found = {}
    for name, site in messages.items():
        if _is_latent(site):
            fn, shape = site["fn"], np.shape(site["value"])
            discrete = bool(getattr(fn.support, "is_discrete", False))
            found[name] = Latent(type(base_distribution(fn)), shape, site["scale"] is not None, discrete)
    return found


def _unknowns(
    messages: dict[str, Any],
) -> tuple[dict[str, Latent], tuple[str, ...], dict[str, tuple[str, ...]], dict[str, tuple[int, ...]]]:
    """The latents, the names of the deterministic sites, and of both the names of axes and the shapes."""
    latents = _latents(messages)
    deterministic = tuple(name for name, site in messages.items() if site["type"] == "deterministic")
    names = (*latents, *deterministic)
    dims = {name: _dims(messages[name]) for name in names}
    return latents, deterministic, dims, {name: np.shape(messages[name]["value"]) for name in names}


def read_sites(model: Model, data: Data) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """The unknowns of a model of recorded primitives, as NumPyro's messages by name, and the names of their axes.

    Raises
    ------
    TypeError, ValueError
        If `model` is no function, computes no ``next_state`` [row, coordinate] or one that depends on its unknowns, or
        has a site named as an axis.
    """
    if not callable(model):
        raise TypeError(f"a model is a NumPyro function of the data; got {type(model).__name__}")
    messages = sites(model, data)
    latents = {name: site for name, site in messages.items() if _is_latent(site)}
    if "next_state" not in messages or messages["next_state"]["type"] != "deterministic":
        raise ValueError(
            "the model computes no next state: call numpyro.deterministic('next_state', ...) [row, coordinate]; its "
            f"sites are {', '.join(map(repr, messages))}"
        )
    shape = np.shape(messages["next_state"]["value"])
    if shape != np.shape(data.state):
        raise ValueError(f"next_state has shape {shape}; expected [row, coordinate] = {np.shape(data.state)}")
    for seed in range(1, 4):
        other = np.asarray(sites(model, data, seed=seed)["next_state"]["value"])
        moved = ~np.isclose(other, np.asarray(messages["next_state"]["value"]), rtol=1e-9, atol=1e-12).all(-1)
        if moved.any():
            raise ValueError(
                f"next_state of row {int(np.flatnonzero(moved)[0])} depends on the unknowns {', '.join(latents)} "
                "though all primitives are given, and nothing would be learned from it: sample what it depends on in "
                "data.rows(), and record it"
            )
    dims = {name: _dims(site) for name, site in latents.items()}
    _check_names(dims)
    return latents, dims


def read_for_agents(model: Model, shape: tuple[int, int, int], outcome: str) -> tuple[Program, bool]:
    """`read` of a model about an MDP of `shape`, and whether it observes rewards, which must then be an unknown."""
    one = all_transitions(1, 1, 1)
    with jax.enable_x64(True):
        program = read(model, one, outcome)
    if program.shape != shape:
        raise ValueError(f"the model's transition has shape {program.shape}; the MDP's sizes are {shape}")
    rewarded = reads_reward(model, one)
    if rewarded and "reward" not in program.names:
        raise ValueError(
            "the model observes rewards but has no unknown 'reward' for agents to plan with: sample their means, or "
            "compute them and call numpyro.deterministic('reward', ...) [state, action]"
        )
    return program, rewarded


def check(model: Model, data: Transitions) -> NDArray[np.float64]:
    """Refuse a model whose rows are not counted `weight` times each.

    Returns
    -------
    array [row]
        The rows' log-likelihoods, each seen once, for some interior values of the unknowns.

    Raises
    ------
    ValueError
        Naming the site that is observed outside ``data.rows()``, or the row.
    """
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, len(data.state)).astype(float)
    values = latent_values(model, data)
    once = np.asarray(row_values(model, data._replace(weight=np.ones(len(weight))), values))
    often = np.asarray(row_values(model, data._replace(weight=weight), values))
    with np.errstate(invalid="ignore"):
        wrong = np.isfinite(once) & ~(np.abs(often - weight * once) <= 1e-9 * (1 + np.abs(weight * once)))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"the log-likelihood of {describe_row(data, row)} is {once[row]:.6g} when seen once but {often[row]:.6g} "
            f"when seen {weight[row]:g} times; observe inside `with data.rows():` and leave data.weight to it"
        )
    return once


def row_log_likelihood(model: Model, data: Transitions | Targets, values: dict[str, Array]) -> Array:
    """Log-likelihood [row] of the observed sites given all latents, with the model's own masks and scales.

    It is -inf where a value is none that its distribution can take, whether NumPyro validates or not.
    """
    return log_likelihood_of(sites(model, data, values), data)


def log_likelihood_of(messages: dict[str, Any], data: Data) -> Array:
    """`row_log_likelihood`, of one run of the model."""
    total = jnp.zeros(len(data.weight))
    for name, site in messages.items():
        if site["type"] != "sample" or not site["is_observed"]:
            continue
        log_likelihood = _log_probability(site["fn"], site["value"])
        if site["scale"] is not None:
            log_likelihood = site["scale"] * log_likelihood
        frames = [frame for frame in site["cond_indep_stack"] if frame.name == PLATE]
        if not frames:
            if isinstance(site["fn"], dist.Unit):  # a numpyro.factor outside the rows is part of the prior
                continue
            raise ValueError(f"site {name!r} is observed outside the plate of rows; observe inside `with data.rows():`")
        log_likelihood = jnp.moveaxis(log_likelihood, frames[0].dim, 0)
        total = total + log_likelihood.reshape(len(data.weight), -1).sum(-1)
    return total


def prior_density(messages: dict[str, Any]) -> Array:
    """Log density of the latents of one run, with what the model multiplies it by outside the rows."""
    total = jnp.zeros(())
    for site in messages.values():
        if site["type"] == "sample" and of_prior(site):
            density = site["fn"].log_prob(site["value"])
            total = total + (density if site["scale"] is None else site["scale"] * density).sum()
    return total


def of_prior(site: dict[str, Any]) -> bool:
    """Whether a site's density is part of the prior: unknowns, and factors outside the rows."""
    inside = any(frame.name == PLATE for frame in site["cond_indep_stack"])
    return _is_latent(site) or (isinstance(site["fn"], dist.Unit) and not inside)


# Compiled once for a model and a number of rows, whatever the log; and compiled, NumPyro does not warn of values that a
# distribution cannot take, which are refused by name elsewhere.
@partial(jax.jit, static_argnums=0)
def row_values(model: Model, data: Transitions, values: dict[str, Array]) -> Array:
    """`row_log_likelihood`, compiled."""
    return row_log_likelihood(model, data, values)


def _log_probability(fn: Any, value: Array) -> Array:
    log_probability = fn.log_prob(value)
    seen: Any = True
    while isinstance(fn, dist.MaskedDistribution):
        fn, seen = fn.base_dist, seen & fn._mask
    if isinstance(fn, dist.Unit):  # a numpyro.factor: there is no value to be impossible
        return log_probability
    try:
        allowed = fn.support(value)
    except (NotImplementedError, TypeError):  # a distribution that does not say
        return log_probability
    return jnp.where(allowed | ~jnp.asarray(seen), log_probability, -jnp.inf)


def reads_reward(model: Model, data: Transitions) -> bool:
    """Whether the model looks at ``data.reward``, so that rows may not be merged over rewards."""
    asked = []

    class Watched(Transitions):
        @property
        def reward(self) -> Array:
            asked.append(True)
            return self[3]

    with jax.enable_x64(True):
        jax.eval_shape(lambda data: sites(model, Watched(*data)) and None, data)
    return bool(asked)


def describe_row(data: Transitions, row: int, *, reward: bool = False) -> str:
    """A row in words."""
    ending = f", reward {data.reward[row]:.10g}" if reward else ""
    return f"row (state {data.state[row]}, action {data.action[row]}, next_state {data.next_state[row]}{ending})"


def _is_latent(site: dict[str, Any]) -> bool:
    return bool(site["type"] == "sample" and not site["is_observed"])


def _is_unobserved(site: dict[str, Any]) -> bool:
    return site["type"] == "deterministic" or _is_latent(site)


def _repeated(data: Data, times: int) -> Data:
    """The first row so many times."""
    return jax.tree.map(lambda column: np.repeat(np.asarray(column)[:1], times, axis=0), data)


def _dims(site: dict[str, Any]) -> tuple[str, ...]:
    """Plate names, then the model's own `infer={"event_dims": [...]}`, then the names ArviZ would give."""
    ndim = np.ndim(site["value"])
    names = {frame.dim: frame.name for frame in site.get("cond_indep_stack", ())}
    event = site["fn"].event_dim if site["type"] == "sample" else ndim - len(names)
    given = list(site.get("infer", {}).get("event_dims", []))
    tail = given if len(given) == event else [f"{site['name']}_dim_{i}" for i in range(event)]
    head = [names.get(i - (ndim - event), f"{site['name']}_plate_{i}") for i in range(ndim - event)]
    return (*head, *tail)


def _check_names(dims: dict[str, tuple[str, ...]]) -> None:
    axes = {*AXES, *(axis for own in dims.values() for axis in own)}
    taken = [name for name in dims if name in axes]
    if taken:
        raise ValueError(f"the site {taken[0]!r} has the name of an axis of posteriors; give it another")


def _check_fixed(model: Model, data: Transitions) -> None:
    """Refuse unknowns whose shape depends on how many rows there are."""

    def shapes(messages: dict[str, Any]) -> dict[str, tuple[int, ...] | None]:
        return {name: np.shape(site["value"]) if _is_unobserved(site) else None for name, site in messages.items()}

    once, twice = (looked_at(model, _repeated(data, times), shapes) for times in (1, 2))
    for name in (*once, *twice):
        if name not in once or name not in twice:
            raise ValueError(f"the site {name!r} is there for some data only; sites must not depend on the data")
        if once[name] != twice[name]:
            raise ValueError(
                f"the site {name!r} has shape {once[name]} for 1 rows of data and {twice[name]} for twice as many; "
                "unknowns must have one shape, whatever the data"
            )


def _check_transition(transition: Array) -> None:
    values = np.asarray(transition, float)
    if values.ndim != 3:
        raise ValueError(f"transition has shape {values.shape}; expected [state, action, next_state]")
    total = values.sum(-1)
    wrong = ~(np.abs(total - 1) <= 1e-6)
    if wrong.any():
        s, a = np.argwhere(wrong)[0]
        raise ValueError(
            f"transition[{s}, {a}] sums to {total[s, a]:.6g} for some values of the unknowns; it must sum to 1"
        )
    if (values < 0).any():
        index = ", ".join(map(str, np.argwhere(values < 0)[0]))
        raise ValueError(f"transition[{index}] is negative for some values of the unknowns")


@partial(jax.jit, static_argnames=("model", "shape"))
def sample_prior(model: Model, key: Array, shape: tuple[int, int, int]) -> dict[str, Array]:
    """One prior draw of every latent and deterministic site of a model about an MDP of `shape`."""
    messages = trace(handlers.seed(model, key), all_transitions(*shape))
    return {name: site["value"] for name, site in messages.items() if _is_unobserved(site)}
