"""A model as functions of an unconstrained vector and of a choice: what gradient kernels and particles move in.

Each continuous unknown x is written as ``x = T(z)``, T the bijection that NumPyro knows for its support, which may
depend on other unknowns. The density of z is that of x times the Jacobian of T.

Not so Dirichlet and Beta unknowns, most of whose mass may lie beyond where that bijection is cut off (an entry of
concentration .05 is below 1e-16 one time in six). Theirs are as many coordinates as categories: the entries are
``g_k / sum g`` with independent ``g_k ~ Gamma(a_k)``, and

    log g = m(a) + s(a) z,    m = log(a + 1/2) - 1/a,    s^2 = 1 / a^2 + 1 / (a + 1/2),

m and s being near the mean and the standard deviation of log g, whatever a is, so that an unknown concentration and
the entries that it governs need not move together.

Discrete unknowns have finite supports; their joint values are numbered, and `choice` is such a number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import nn, random
from jax.scipy.special import gammaln
from numpyro import handlers
from numpyro.distributions.transforms import biject_to

from bayesmdp.data import Transitions, all_transitions, safe_log
from bayesmdp.mdp import Array
from bayesmdp.models.arguments import Frozen, freeze, thaw
from bayesmdp.posterior.program import (
    Data,
    Model,
    base_distribution,
    log_likelihood_of,
    of_prior,
    prior_density,
    sites,
    trace,
)
from bayesmdp.posterior.random import standard_log_gamma

__all__ = [
    "MAX_CHOICES",
    "Coordinates",
    "Unsuitable",
    "coordinates",
    "evaluate",
    "evaluate_kernel",
    "of_kernel_alone",
    "prior_draw",
    "values_at",
]

TRIALS = 3

EXTREMES = 1e-100, 1e12
"""Concentrations beyond are taken to be these: 16 digits cannot tell."""
LARGE = 1e3
"""Concentrations from which on two terms of Stirling's series are exact to 3e-12."""

MAX_CHOICES = 256
"""Joint values of the discrete unknowns, all of which are tried in turn."""


class Unsuitable(ValueError):
    """Why particles cannot carry a model's unknowns."""


class Coordinates(NamedTuple):
    """How the unknowns are laid out; hashable.

    Attributes
    ----------
    continuous : tuple of (site, shape of its z, whether it is made of Gamma variables)
    discrete : tuple of (site, values [choice, ...])
    names : tuple of str
        All sites that are not observed, computed ones too.
    """

    continuous: tuple[tuple[str, tuple[int, ...], bool], ...]
    discrete: tuple[tuple[str, Frozen], ...]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Of z."""
        return sum(int(np.prod(shape)) for _, shape, _ in self.continuous)

    @property
    def choices(self) -> int:
        """Joint values of the discrete unknowns; 1 where there are none."""
        return self.discrete[0][1][0][0] if self.discrete else 1


def coordinates(model: Model, data: Data) -> Coordinates:
    """Read from one run of the model, with 64 bits on.

    Raises
    ------
    Unsuitable
        If there is no unknown, or naming the site: a prior without a density at its own draws, a discrete unknown with
        too many values.
    """
    messages = sites(model, data)
    latents = {n: m for n, m in messages.items() if m["type"] == "sample" and not m["is_observed"]}
    computed = tuple(name for name, message in messages.items() if message["type"] == "deterministic")
    if not latents:
        raise Unsuitable(f"the model has no unknown: none of its sites {', '.join(map(repr, messages))} is sampled")
    continuous, supports = [], {}
    for name, message in latents.items():
        fn, shape = message["fn"], np.shape(message["value"])
        if fn.support.is_discrete:
            supports[name] = (_support(name, fn), shape)
        elif (concentration := _concentration(message)) is not None:
            continuous.append((name, concentration.shape, True))
        else:
            continuous.append((name, tuple(biject_to(fn.support).inverse_shape(shape)), False))
    layout = Coordinates(tuple(continuous), _numbered(supports), (*latents, *computed))
    for seed in range(TRIALS):
        _check_prior(trace(handlers.seed(model, random.key(seed)), data), supports)
    return layout


def _check_prior(messages: dict[str, Any], supports: dict[str, Any]) -> None:
    """Refuse priors that cannot be drawn from as they are, and such as have no density at their own draws."""
    for name, site in messages.items():
        if site["type"] != "sample" or not of_prior(site):
            continue
        density, remedy = np.asarray(site["fn"].log_prob(site["value"])), "; use method='nuts', on a log"
        if (np.isnan(density) | (density == -np.inf)).any():
            what = "factor" if isinstance(site["fn"], dist.Unit) else "prior"
            raise Unsuitable(f"the {what} of {name!r} is {density[~np.isfinite(density)][0]} at a draw of the prior")
        if isinstance(site["fn"], dist.Unit):
            raise Unsuitable(f"the factor {name!r} makes the prior another than that drawn from{remedy}")
        if site["scale"] is not None or isinstance(site["fn"], dist.MaskedDistribution):
            raise Unsuitable(f"the prior of {name!r} is scaled or masked, and so another than that drawn from{remedy}")
        if site["kwargs"].get("sample_shape"):
            raise Unsuitable(f"{name!r} has a sample_shape; put it in a plate of that size")
        if name in supports and not np.array_equal(_support(name, site["fn"]), supports[name][0]):
            raise Unsuitable(f"the values that {name!r} can take depend on another unknown; give it one support")


def _support(name: str, fn: Any) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(fn.enumerate_support(expand=False)).ravel()
    except NotImplementedError:
        raise Unsuitable(
            f"the discrete unknown {name!r} is {type(fn).__name__}, whose values cannot be enumerated; sum it out in "
            "the model, or give it a finite support"
        ) from None


def _numbered(supports: dict[str, tuple[np.ndarray[Any, Any], tuple[int, ...]]]) -> tuple[tuple[str, Frozen], ...]:
    """All joint values, each site's with a leading axis ``choice``."""
    sizes = [len(values) for values, shape in supports.values() for _ in range(int(np.prod(shape)))]
    total = float(np.prod([float(size) for size in sizes]))
    if total > MAX_CHOICES:
        raise Unsuitable(
            f"the discrete unknowns {', '.join(map(repr, supports))} have {total:g} joint values, of which at most "
            f"{MAX_CHOICES} are tried; sum them out in the model"
        )
    digits, found = np.indices(sizes).reshape(len(sizes), -1) if sizes else np.zeros((0, 1), int), []
    for name, (values, shape) in supports.items():
        count = int(np.prod(shape))
        own, digits = digits[:count], digits[count:]
        found.append((name, freeze(np.ascontiguousarray(values[own.T].reshape(-1, *shape)))))
    return tuple(found)


def _concentration(site: dict[str, Any]) -> Array | None:
    """Of a Dirichlet or Beta site [..., category]; None where it is of another kind."""
    base = base_distribution(site["fn"])
    if isinstance(base, dist.Dirichlet):
        concentration = jnp.broadcast_to(base.concentration, site["fn"].shape())
    elif isinstance(base, dist.Beta):
        pair = jnp.stack(jnp.broadcast_arrays(base.concentration1, base.concentration0), -1)
        concentration = jnp.broadcast_to(pair, (*site["fn"].shape(), 2))
    else:
        return None
    return jnp.clip(jnp.asarray(concentration, jnp.float64), *EXTREMES)


def _distribution(site: dict[str, Any], log_gamma: Array) -> Array:
    """The value of a Dirichlet or Beta site."""
    if isinstance(base_distribution(site["fn"]), dist.Beta):
        return nn.sigmoid(log_gamma[..., 0] - log_gamma[..., 1])
    return nn.softmax(log_gamma, -1)


def _standard(concentration: Array) -> tuple[Array, Array]:
    """m(a) - log a and s(a) of the module docstring."""
    middle = jnp.log1p(0.5 / concentration) - 1 / concentration
    return middle, jnp.sqrt(concentration**-2.0 + 1 / (concentration + 0.5))


def _log_density_of_log_gamma(relative: Array, concentration: Array) -> Array:
    """Of ``relative = log g - log a``, in a form that cancels nothing where a is large."""
    large = concentration > LARGE
    big, small = jnp.where(large, concentration, LARGE), jnp.where(large, 1.0, concentration)
    stirling = 0.5 * jnp.log(big / (2 * jnp.pi)) - 1 / (12 * big)
    direct = small * jnp.log(small) - small - gammaln(small)
    return concentration * (relative - jnp.expm1(relative)) + jnp.where(large, stirling, direct)


def prior_draw(model: Model, layout: Coordinates, key: Array, data: Data) -> tuple[Array, Array]:
    """One draw of the prior: z [size] and the choice."""
    made: dict[str, Array] = {}
    key, others = random.split(key)
    keys = dict(zip((name for name, *_ in layout.continuous), random.split(key, len(layout.continuous)), strict=True))

    def fill(site: dict[str, Any]) -> Any:
        concentration = _concentration(site) if site["name"] in keys else None
        if concentration is None:
            return None
        log_gamma = standard_log_gamma(keys[site["name"]], concentration)
        middle, spread = _standard(concentration)
        made[site["name"]] = (log_gamma - jnp.log(concentration) - middle) / spread
        return _distribution(site, log_gamma)

    messages = trace(handlers.seed(handlers.substitute(model, substitute_fn=fill), others), data)
    for name, _, of_gammas in layout.continuous:
        if not of_gammas:
            site = messages[name]
            made[name] = biject_to(site["fn"].support).inv(_inside(site["fn"], site["value"]))
    same = jnp.ones(layout.choices, bool)
    for name, values in layout.discrete:
        table = jnp.asarray(thaw(values))
        same &= (table == messages[name]["value"]).reshape(layout.choices, -1).all(-1)
    z = jnp.concatenate([jnp.ravel(made[name]) for name, *_ in layout.continuous]) if made else jnp.zeros(0)
    return z, jnp.argmax(same).astype(jnp.int32)


def _inside(fn: Any, value: Array) -> Array:
    """A draw that rounding has put on the edge of the support is put back into it."""
    support = fn.support
    while isinstance(support, dist.constraints.independent):
        support = support.base_constraint
    if support is dist.constraints.unit_interval:
        return jnp.clip(value, 1e-290, 1 - 2**-53)
    if support is dist.constraints.positive or support is dist.constraints.nonnegative:
        return jnp.maximum(value, 1e-290)
    return value


def _at(model: Model, layout: Coordinates, z: Array, choice: Array, data: Data) -> tuple[dict[str, Any], Array]:
    """Messages by site, and the log prior density of (z, choice)."""
    ends = np.cumsum([int(np.prod(shape)) for _, shape, _ in layout.continuous])
    parts = jnp.split(z, ends[:-1]) if len(ends) else []
    moved = {name: part.reshape(shape) for (name, shape, _), part in zip(layout.continuous, parts, strict=True)}
    of_gammas = {name for name, _, made in layout.continuous if made}
    chosen = {name: jnp.asarray(thaw(values))[choice] for name, values in layout.discrete}
    density = []

    def fill(site: dict[str, Any]) -> Any:
        if site["type"] != "sample" or site.get("is_observed"):
            return None
        name = site["name"]
        if name in chosen:
            return chosen[name]
        if name in of_gammas:
            concentration = _concentration(site)
            assert concentration is not None
            middle, spread = _standard(concentration)
            relative = middle + spread * moved[name]
            density.append((_log_density_of_log_gamma(relative, concentration) + jnp.log(spread)).sum())
            return _distribution(site, relative + jnp.log(concentration))
        transform = biject_to(site["fn"].support)
        value = transform(moved[name])
        density.append(transform.log_abs_det_jacobian(moved[name], value).sum())
        return value

    messages = trace(handlers.seed(handlers.substitute(model, substitute_fn=fill), random.key(0)), data)
    rest = {name: site for name, site in messages.items() if name not in of_gammas}
    return messages, sum(density, prior_density(rest))


def evaluate(model: Model, layout: Coordinates, z: Array, choice: Array, data: Data) -> tuple[Array, Array]:
    """Log prior density of (z, choice), and log-likelihoods [row] with each row seen as often as `data` says."""
    messages, log_prior = _at(model, layout, z, choice, data)
    return log_prior, log_likelihood_of(messages, data)


def evaluate_kernel(model: Model, layout: Coordinates, z: Array, choice: Array) -> tuple[Array, Array]:
    """`evaluate` where rows are of the kernel alone: the log prior density, and logs [state, action, outcome] of it.

    Many times as fast to differentiate, since no row is looked up.
    """
    messages, log_prior = _at(model, layout, z, choice, all_transitions(1, 1, 1))
    return log_prior, safe_log(messages["transition"]["value"])


def of_kernel_alone(model: Model, layout: Coordinates, data: Transitions) -> bool:
    """Whether a row's log-likelihood is the log of its entry of ``transition``, as tried at random values."""
    once = data._replace(weight=np.ones(len(data.state)))
    rng = np.random.default_rng(0)
    for number in range(TRIALS):
        z, choice = jnp.asarray(rng.normal(size=layout.size)), jnp.asarray(number % layout.choices, jnp.int32)
        _, rows = evaluate(model, layout, z, choice, once)
        _, kernel = evaluate_kernel(model, layout, z, choice)
        if not np.allclose(rows, kernel[data.state, data.action, data.next_state], rtol=1e-12, atol=1e-12):
            return False
    return True


def values_at(model: Model, layout: Coordinates, z: Array, choice: Array, data: Data) -> dict[str, Array]:
    """Every unobserved site's value."""
    messages, _ = _at(model, layout, z, choice, data)
    return {name: messages[name]["value"] for name in layout.names}
