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

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import nn, random
from jax.scipy.special import gammaln
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.distributions.transforms import biject_to

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.likelihood import log_likelihood_of, of_prior, prior_density
from bayesmdp.model_reading.model_runs import Latent, computed_at_random, latent_sites, looked_at, repeated
from bayesmdp.model_reading.read_model import Data, Model, base_distribution, trace
from bayesmdp.model_reading.rows import Transitions, all_transitions, safe_log
from bayesmdp.models.arguments import Frozen, freeze, thaw
from bayesmdp.posterior.random_variables import rolled_log_gamma

__all__ = [
    "MAX_CHOICES",
    "Coordinates",
    "Points",
    "Unsuitable",
    "coordinates",
    "evaluate",
    "evaluate_at_random",
    "evaluate_kernel",
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
        """The length of z."""
        return sum(int(np.prod(shape)) for _, shape, _ in self.continuous)

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Sites that are sampled."""
        return (*(name for name, _, _ in self.continuous), *(name for name, _ in self.discrete))

    @property
    def choices(self) -> int:
        """Joint values of the discrete unknowns; 1 where there are none."""
        return self.discrete[0][1][0][0] if self.discrete else 1


class _Site(NamedTuple):
    """What an abstract run tells of a site of the prior.

    Attributes
    ----------
    shape : tuple of int, or None
        The shape of its z; None of a discrete unknown and of a factor.
    of_gammas : bool
        Whether z is made of Gamma variables.
    factor, reweighted, sampled : bool
        Whether it is a factor, whether it is scaled or masked, and whether it has a sample_shape.
    """

    shape: tuple[int, ...] | None
    of_gammas: bool
    factor: bool
    reweighted: bool
    sampled: bool


def coordinates(model: Model, data: Data) -> Coordinates:
    """Read from an abstract run of the model and one compiled one, with 64 bits on.

    Raises
    ------
    Unsuitable
        If there is no unknown, or naming the site: a prior without a density at its own draws, a discrete unknown with
        too many values.
    """
    row = repeated(data, 1)
    latents, computed, prior_sites, names = looked_at(model, row, _looked)
    if not latents:
        raise Unsuitable(f"the model has no unknown: none of its sites {', '.join(map(repr, names))} is sampled")
    try:
        tried = [computed_at_random(model, row, latents, _tried, seed) for seed in range(TRIALS)]
    except jax.errors.JAXTypeError:  # the model computes how many values an unknown can take
        with jax.disable_jit():
            tried = [computed_at_random(model, row, latents, _tried, seed) for seed in range(TRIALS)]
    supports = tried[0][1]
    discrete = _numbered({name: (values, latents[name].shape) for name, values in supports.items()})
    for densities, values_of in tried:
        _check_prior(prior_sites, densities, supports, values_of)
    continuous = tuple(
        (name, shape, prior_sites[name].of_gammas) for name in latents if (shape := prior_sites[name].shape) is not None
    )
    return Coordinates(continuous, discrete, (*latents, *computed))


def _looked(
    messages: dict[str, Any],
) -> tuple[dict[str, Latent], tuple[str, ...], dict[str, _Site], tuple[str, ...]]:
    """The unknowns, the names of computed sites, the sites of the prior, and all names."""
    computed = tuple(name for name, site in messages.items() if site["type"] == "deterministic")
    return latent_sites(messages), computed, {n: _site(m) for n, m in _prior_sites(messages)}, tuple(messages)


def _site(message: dict[str, Any]) -> _Site:
    fn, concentration = message["fn"], _concentration(message)
    factor, shape = isinstance(fn, dist.Unit), None
    if concentration is not None:
        shape = concentration.shape
    elif not factor and not fn.support.is_discrete:
        shape = tuple(biject_to(fn.support).inverse_shape(np.shape(message["value"])))
    reweighted = message["scale"] is not None or isinstance(fn, dist.MaskedDistribution)
    return _Site(shape, concentration is not None, factor, reweighted, bool(message["kwargs"].get("sample_shape")))


def _prior_sites(messages: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, site) for name, site in messages.items() if site["type"] == "sample" and of_prior(site)]


def _tried(messages: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Log densities of the prior's sites, and the values that discrete unknowns can take."""
    latents = latent_sites(messages)
    return (
        {name: jnp.asarray(site["fn"].log_prob(site["value"])) for name, site in _prior_sites(messages)},
        {name: _support(name, messages[name]["fn"]) for name, latent in latents.items() if latent.discrete},
    )


def _check_prior(
    prior_sites: dict[str, _Site],
    densities: dict[str, NDArray[Any]],
    supports: dict[str, NDArray[Any]],
    again: dict[str, NDArray[Any]],
) -> None:
    """Refuse priors that cannot be drawn from as they are, and such as have no density at their own draws."""
    for name, site in prior_sites.items():
        density, remedy = densities[name], "; use method='nuts', on a log"
        if (np.isnan(density) | (density == -np.inf)).any():
            what = "factor" if site.factor else "prior"
            raise Unsuitable(f"the {what} of {name!r} is {density[~np.isfinite(density)][0]} at a draw of the prior")
        if site.factor:
            raise Unsuitable(f"the factor {name!r} makes the prior another than that drawn from{remedy}")
        if site.reweighted:
            raise Unsuitable(f"the prior of {name!r} is scaled or masked, and so another than that drawn from{remedy}")
        if site.sampled:
            raise Unsuitable(f"{name!r} has a sample_shape; put it in a plate of that size")
        if name in supports and not np.array_equal(again[name], supports[name]):
            raise Unsuitable(f"the values that {name!r} can take depend on another unknown; give it one support")


def _support(name: str, fn: Any) -> Array:
    try:
        return jnp.ravel(fn.enumerate_support(expand=False))
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
    digits, numbered = np.indices(sizes).reshape(len(sizes), -1) if sizes else np.zeros((0, 1), int), []
    for name, (values, shape) in supports.items():
        count = int(np.prod(shape))
        own, digits = digits[:count], digits[count:]
        numbered.append((name, freeze(np.ascontiguousarray(values[own.T].reshape(-1, *shape)))))
    return tuple(numbered)


def _concentration(site: dict[str, Any]) -> Array | None:
    """The concentration [..., category] of a Dirichlet or Beta site; None of a site of another kind."""
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
    """Log density of ``relative = log g - log a``, in a form that cancels nothing where a is large."""
    large = concentration > LARGE
    big, small = jnp.where(large, concentration, LARGE), jnp.where(large, 1.0, concentration)
    stirling = 0.5 * jnp.log(big / (2 * jnp.pi)) - 1 / (12 * big)
    direct = small * jnp.log(small) - small - gammaln(small)
    return concentration * (relative - jnp.expm1(relative)) + jnp.where(large, stirling, direct)


def prior_draw(model: Model, layout: Coordinates, key: Array, data: Data) -> tuple[Array, Array]:
    """One draw of the prior: z [size] and the choice."""
    made: dict[str, Array] = {}
    # Bits and not keys: JAX would compile a loop for each key that is split. NumPyro's own are apart from them.
    words = random.bits(key, (len(layout.continuous), 2), jnp.uint32)
    own = {name: words[number] for number, (name, *_) in enumerate(layout.continuous)}

    def fill(site: dict[str, Any]) -> Any:
        concentration = _concentration(site) if site["name"] in own else None
        if concentration is None:
            return None
        log_gamma = rolled_log_gamma(own[site["name"]], concentration)
        middle, spread = _standard(concentration)
        made[site["name"]] = (log_gamma - jnp.log(concentration) - middle) / spread
        return _distribution(site, log_gamma)

    others = random.fold_in(key, 2**31)
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


class Points(NamedTuple):
    """What a model says of data at a few random points.

    Attributes
    ----------
    log_prior : array [point]
    rows : array [point, row]
        Log-likelihoods.
    kernel : array [point, state, action, outcome]
        Logs of ``transition``, or nothing where the data are of recorded primitives.
    """

    log_prior: NDArray[np.float64]
    rows: NDArray[np.float64]
    kernel: NDArray[np.float64]

    def of_kernel_alone(self, data: Transitions) -> bool:
        """Whether a row's log-likelihood is the log of its entry of ``transition``."""
        looked_up = self.kernel[:, data.state, data.action, data.next_state]
        return bool(np.allclose(self.rows, looked_up, rtol=1e-12, atol=1e-12))


def evaluate_at_random(model: Model, layout: Coordinates, data: Transitions) -> Points:
    """`evaluate` and `evaluate_kernel` at TRIALS points, and first at all choices of the first of them."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(TRIALS, layout.size))
    z = np.concatenate([np.repeat(z[:1], layout.choices, 0), z[1:]])
    choice = np.concatenate([np.arange(layout.choices), np.arange(1, TRIALS) % layout.choices]).astype(np.int32)
    return jax.tree.map(np.asarray, _points(model, layout, z, choice, data._replace(weight=np.ones(len(data.state)))))


@partial(jax.jit, static_argnums=(0, 1))
def _points(model: Model, layout: Coordinates, z: Array, choice: Array, data: Transitions) -> Points:
    def point(z: Array, choice: Array) -> Points:
        return Points(*evaluate(model, layout, z, choice, data), evaluate_kernel(model, layout, z, choice)[1])

    return jax.vmap(point)(z, choice)


def values_at(model: Model, layout: Coordinates, z: Array, choice: Array, data: Data) -> dict[str, Array]:
    """Every unobserved site's value."""
    messages, _ = _at(model, layout, z, choice, data)
    return {name: messages[name]["value"] for name in layout.names}
