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

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from numpyro.distributions.transforms import biject_to

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.likelihood import of_prior
from bayesmdp.model_reading.model_runs import Latent, computed_at_random, latent_sites, looked_at, repeated
from bayesmdp.model_reading.read_model import Data, Model, base_distribution
from bayesmdp.models.arguments import Frozen, freeze

__all__ = [
    "MAX_CHOICES",
    "Coordinates",
    "Unsuitable",
    "concentration_of",
    "coordinates",
]

TRIALS = 3

EXTREMES = 1e-100, 1e12
"""Concentrations beyond are taken to be these: 16 digits cannot tell."""

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
    """Read a model's unknowns from an abstract run of it and one compiled one, with 64 bits on.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions or Records

    Returns
    -------
    Coordinates

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
    fn, concentration = message["fn"], concentration_of(message)
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


def _support(name: str, fn: Any) -> Shaped[Array, "value ..."]:
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


def concentration_of(site: dict[str, Any]) -> Float[Array, "... category"] | None:
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
