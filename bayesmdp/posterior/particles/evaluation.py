"""A model evaluated where particles are: densities of the prior, likelihoods of rows, and values of its sites."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import lax, nn, random
from jax.scipy.special import gammaln
from jaxtyping import Float, Int, Key
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.distributions.transforms import biject_to

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.likelihood import inside, log_likelihood_of, prior_density
from bayesmdp.model_reading.read_model import ONE_ROW, Data, Model, base_distribution, trace
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.models.arguments import thaw
from bayesmdp.posterior.particles.coordinates import TRIALS, Coordinates, concentration_of
from bayesmdp.posterior.random_variables import rolled_log_gamma

__all__ = [
    "Points",
    "evaluate",
    "evaluate_at_random",
    "evaluate_kernel",
    "one_row",
    "prior_draw",
    "values_at",
]

LOG_2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""The upper bits of log 2, and the rest."""
SERIES = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
LARGE = 1e3
"""Concentrations from which on two terms of Stirling's series are exact to 3e-12."""


def _distribution(site: dict[str, Any], log_gamma: Float[Array, "... category"]) -> Float[Array, "..."]:
    """The value of a Dirichlet or Beta site."""
    if isinstance(base_distribution(site["fn"]), dist.Beta):
        return nn.sigmoid(log_gamma[..., 0] - log_gamma[..., 1])
    return nn.softmax(log_gamma, -1)


def _standard(
    concentration: Float[Array, "... category"],
) -> tuple[Float[Array, "... category"], Float[Array, "... category"]]:
    """m(a) - log a and s(a) of the module docstring."""
    middle = jnp.log1p(0.5 / concentration) - 1 / concentration
    return middle, jnp.sqrt(concentration**-2.0 + 1 / (concentration + 0.5))


def _log_density_of_log_gamma(
    relative: Float[Array, "... category"], concentration: Float[Array, "... category"]
) -> Float[Array, "... category"]:
    """Log density of ``relative = log g - log a``, in a form that cancels nothing where a is large."""
    large = concentration > LARGE
    big, small = jnp.where(large, concentration, LARGE), jnp.where(large, 1.0, concentration)
    stirling = 0.5 * jnp.log(big / (2 * jnp.pi)) - 1 / (12 * big)
    direct = small * jnp.log(small) - small - gammaln(small)
    return concentration * (relative - jnp.expm1(relative)) + jnp.where(large, stirling, direct)


def prior_draw(
    model: Model, layout: Coordinates, key: Key[Array, ""], data: Data
) -> tuple[Float[Array, " size"], Int[Array, ""]]:
    """Draw once from the prior.

    Parameters
    ----------
    model : NumPyro function of the data
    layout : Coordinates
        The model's unknowns, as `coordinates` read them.
    key : key
    data : Transitions or Records
        Any that the model can run on.

    Returns
    -------
    z : array [size]
    choice : int
    """
    made: dict[str, Array] = {}
    # Bits and not keys: JAX would compile a loop for each key that is split. NumPyro's own are apart from them.
    words = random.bits(key, (len(layout.continuous), 2), jnp.uint32)
    own = {name: words[number] for number, (name, *_) in enumerate(layout.continuous)}

    def fill(site: dict[str, Any]) -> Any:
        concentration = concentration_of(site) if site["name"] in own else None
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
            made[name] = biject_to(site["fn"].support).inv(inside(site["fn"], site["value"]))
    same = jnp.ones(layout.choices, bool)
    for name, values in layout.discrete:
        table = jnp.asarray(thaw(values))
        same &= (table == messages[name]["value"]).reshape(layout.choices, -1).all(-1)
    z = jnp.concatenate([jnp.ravel(made[name]) for name, *_ in layout.continuous]) if made else jnp.zeros(0)
    return z, jnp.argmax(same).astype(jnp.int32)


def _at(
    model: Model, layout: Coordinates, z: Float[Array, " size"], choice: Int[Array, ""], data: Data
) -> tuple[dict[str, Any], Float[Array, ""]]:
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
            concentration = concentration_of(site)
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


def evaluate(
    model: Model, layout: Coordinates, z: Float[Array, " size"], choice: Int[Array, ""], data: Data
) -> tuple[Float[Array, ""], Float[Array, " row"]]:
    """Compute the log prior density of a point and the log-likelihood of each row there.

    Parameters
    ----------
    model : NumPyro function of the data
    layout : Coordinates
        The model's unknowns, as `coordinates` read them.
    z : array [size]
        Coordinates of the continuous unknowns.
    choice : int
        Number of the discrete unknowns' joint value.
    data : Transitions or Records
        Rows count as often as their weights say.

    Returns
    -------
    log_prior : float
    rows : array [row]
    """
    messages, log_prior = _at(model, layout, z, choice, data)
    return log_prior, log_likelihood_of(messages, data)


def one_row(data: Transitions) -> Transitions:
    """A row that tells nothing, with covariates where the data have them."""
    return ONE_ROW._replace(covariates=jax.tree.map(lambda column: column[:1], dict(data.covariates)))


def evaluate_kernel(
    model: Model,
    layout: Coordinates,
    z: Float[Array, " size"],
    choice: Int[Array, ""],
    row: Transitions = ONE_ROW,
) -> tuple[Float[Array, ""], Float[Array, "state action outcome"]]:
    """Compute the log prior density of a point and the logs of the kernel there.

    Many times as fast to differentiate, since no row is looked up: the model is given `row`, which has the covariates
    that it asks for.

    Parameters
    ----------
    model : NumPyro function of the data
    layout : Coordinates
        The model's unknowns, as `coordinates` read them.
    z : array [size]
        Coordinates of the continuous unknowns.
    choice : int
        Number of the discrete unknowns' joint value.
    row : Transitions
        One row.

    Returns
    -------
    log_prior : float
    kernel : array [state, action, outcome]
    """
    messages, log_prior = _at(model, layout, z, choice, row)
    return log_prior, _log(messages["transition"]["value"])


def _log(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Logarithms of numbers that are not negative and their slope, which may not be differentiated again.

    Four times as fast as XLA's on the CPU, which computes them number by number. With x = 2^k m, m from sqrt(1/2) to
    sqrt(2) and s = (m - 1) / (m + 1), log x = k log 2 + 2 (s + s^3/3 + ...); the coefficients are those of fdlibm's
    e_log.c (Sun Microsystems, 1993), for an error below one unit in the last place.
    """
    positive = x > 0
    whole = lax.stop_gradient(jnp.where(positive, x, 1.0))
    bits = lax.bitcast_convert_type(whole, jnp.int64)
    exponent = (bits - np.float64(np.sqrt(0.5)).view(np.int64)) >> np.int64(52)
    f = lax.bitcast_convert_type(bits - (exponent << np.int64(52)), jnp.float64) - 1
    k = exponent.astype(jnp.int32).astype(jnp.float64)
    s = f / (2 + f)
    series, half = jnp.zeros_like(s), f * f / 2
    for coefficient in reversed(SERIES):
        series = series * s * s + coefficient
    log = k * LOG_2[0] - ((half - (s * (half + series * s * s) + k * LOG_2[1])) - f)
    # x / x - 1 is 0 and has the slope 1 / x.
    return jnp.where(positive, log + (x / whole - 1), -jnp.inf)


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
    """Compute `evaluate` and `evaluate_kernel` at TRIALS points, and first at all choices of the first of them.

    Parameters
    ----------
    model : NumPyro function of the data
    layout : Coordinates
        The model's unknowns, as `coordinates` read them.
    data : Transitions

    Returns
    -------
    Points
    """
    rng = np.random.default_rng(0)
    z = rng.normal(size=(TRIALS, layout.size))
    z = np.concatenate([np.repeat(z[:1], layout.choices, 0), z[1:]])
    choice = np.concatenate([np.arange(layout.choices), np.arange(1, TRIALS) % layout.choices]).astype(np.int32)
    return jax.tree.map(np.asarray, _points(model, layout, z, choice, data._replace(weight=np.ones(len(data.state)))))


@partial(jax.jit, static_argnums=(0, 1))
def _points(
    model: Model,
    layout: Coordinates,
    z: Float[Array, "particle size"],
    choice: Int[Array, " particle"],
    data: Transitions,
) -> Points:
    def point(z: Float[Array, " size"], choice: Int[Array, ""]) -> Points:
        kernel = evaluate_kernel(model, layout, z, choice, one_row(data))[1]
        return Points(*evaluate(model, layout, z, choice, data), kernel)

    return jax.vmap(point)(z, choice)


def values_at(
    model: Model, layout: Coordinates, z: Float[Array, " size"], choice: Int[Array, ""], data: Data
) -> dict[str, Array]:
    """Return the value of every site that is not observed.

    Parameters
    ----------
    model : NumPyro function of the data
    layout : Coordinates
        The model's unknowns, as `coordinates` read them.
    z : array [size]
        Coordinates of the continuous unknowns.
    choice : int
        Number of the discrete unknowns' joint value.
    data : Transitions or Records

    Returns
    -------
    dict of arrays by site
    """
    messages, _ = _at(model, layout, z, choice, data)
    return {name: messages[name]["value"] for name in layout.names}
