"""Linear-Gaussian models of Q-values: read from a NumPyro function, and conditioned on data in closed form.

The prior of ``theta`` [stage, feature] is read from its distribution; that targets are Normal about <features, theta>
with a noise of their stage's own is found out from the log-likelihood: at random weights, features and targets it must
be ``-(target - <features, theta[stage]>)^2 / (2 noise[stage]^2)`` and a constant.

With L a square root of a stage's covariance, ``theta = mean + L u`` where u is standard Normal before any data, and
after rows of features A and targets b it is Normal with

    precision = I + L'A'A L / noise^2,    mean = precision^-1 L'A'(b - A mean) / noise^2,

in which nothing is inverted that might be singular.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Float
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.likelihood import row_log_likelihood
from bayesmdp.model_reading.model_runs import base_distribution, is_latent, sites
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.rows import PLATE, Targets
from bayesmdp.posterior.closed_forms.priors import NotConjugate

__all__ = ["GaussianPrior", "condition", "posterior_draw", "read_gaussian", "root"]

POINTS, ROWS = 12, 4
"""Values of theta, and rows of each stage at each of them, that a likelihood is tried at."""
TOLERANCE = 1e-9


class GaussianPrior(NamedTuple):
    """What a linear-Gaussian model says before any data.

    Attributes
    ----------
    mean : array [stage, feature]
    factor : array [stage, feature, feature]
        L, a square root of the covariance: ``L @ L.T``.
    noise : array [stage]
        Standard deviation of targets.
    """

    mean: Float[Array, "stage feature"]
    factor: Float[Array, "stage feature feature"]
    noise: Float[Array, " stage"]

    @property
    def covariance(self) -> Float[Array, "... feature feature"]:
        """The covariance [stage, feature, feature]."""
        return self.factor @ self.factor.swapaxes(-1, -2)


def root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """A square root [..., feature, feature] of a covariance that may be singular."""
    values, vectors = np.linalg.eigh((covariance + covariance.swapaxes(-1, -2)) / 2)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0))[..., None, :])


def posterior_draw(
    prior: GaussianPrior,
    precision: Float[Array, "feature feature"],
    shift: Float[Array, " feature"],
    normal: Float[Array, "... feature"],
) -> Float[Array, "... feature"]:
    """The weights of a stage at the standard Normal numbers `normal`; with zeros, their mean.

    Parameters
    ----------
    prior : GaussianPrior
        That of one stage: mean [feature], factor [feature, feature].
    precision, shift : arrays [feature, feature], [feature]
        Sums over rows of ``L'phi phi'L / noise^2`` and ``L'phi (b - <phi, mean>) / noise^2``.
    normal : array [..., feature]

    Returns
    -------
    array [..., feature]
    """
    lower = jnp.linalg.cholesky(jnp.eye(precision.shape[-1]) + precision)
    centre = cho_solve((lower, True), shift)
    spread = solve_triangular(lower, jnp.moveaxis(normal, -1, 0), lower=True, trans=1)
    return prior.mean + (centre + jnp.moveaxis(spread, 0, -1)) @ prior.factor.T


def condition(
    prior: GaussianPrior, gram: Float[Array, "stage feature feature"], score: Float[Array, "stage feature"]
) -> tuple[Float[Array, "stage feature"], Float[Array, "stage feature feature"]]:
    """Posterior mean [stage, feature] and covariance [stage, feature, feature].

    Parameters
    ----------
    gram, score : arrays [stage, feature, feature], [stage, feature]
        Sums over rows of ``phi phi'`` and ``phi b``, of each stage.

    Examples
    --------
    >>> one = GaussianPrior(np.zeros((1, 1)), np.ones((1, 1, 1)), np.ones(1))
    >>> [round(float(x.squeeze()), 2) for x in condition(one, np.full((1, 1, 1), 4.0), np.full((1, 1), 8.0))]
    [1.6, 0.2]
    """
    xp = (gram + prior.factor).__array_namespace__()  # NumPy's where all is
    across = xp.swapaxes(prior.factor, 1, 2)
    variance = prior.noise[:, None] ** 2
    precision = xp.eye(prior.mean.shape[-1]) + across @ gram @ prior.factor / variance[..., None]
    residual = score - (gram @ prior.mean[..., None])[..., 0]
    centre = xp.linalg.solve(precision, (across @ (residual / variance)[..., None]))
    covariance = prior.factor @ xp.linalg.solve(precision, across)
    return prior.mean + (prior.factor @ centre)[..., 0], (covariance + xp.swapaxes(covariance, 1, 2)) / 2


@lru_cache(maxsize=256)
def read_gaussian(model: Model, stages: int, features: int) -> GaussianPrior:
    """Find the prior and the noise of a model of Q-values, which are found out, not declared.

    Parameters
    ----------
    model : NumPyro function of `Targets`
    stages, features : int

    Returns
    -------
    GaussianPrior

    Raises
    ------
    NotConjugate
        If the prior is not Normal, or targets are not linear in theta with Normal noise: with how they differ.
    TypeError, ValueError
        If the model breaks the contract of models of Q-values.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> shop = bm.environments.recommendation(3, 2)
    >>> prior = read_gaussian(bm.models.gaussian_q(shop, covariance=5.0, noise=0.5), 2, 12)
    >>> prior.mean.shape, float(prior.covariance[0, 0, 0]), prior.noise.tolist()
    ((2, 12), 5.0, [0.5, 0.5])
    """
    with jax.enable_x64(True):
        mean, factor = _prior(model, stages, features)
        noise = _noise(model, stages, features)
    prior = GaussianPrior(*(np.array(part, np.float64) for part in (mean, factor, noise)))
    for part in prior:
        part.flags.writeable = False
    return prior


def _probe_rows(stages: int, features: int, each: int, seed: int = 0) -> Targets:
    """Made-up rows, `each` a stage, which run through the stages again and again."""
    rng, rows = np.random.default_rng(seed), each * stages
    return Targets(np.arange(rows) % stages, rng.normal(size=(rows, features)), rng.normal(size=rows), np.ones(rows))


def _prior(
    model: Model, stages: int, features: int
) -> tuple[Float[Array, "stage feature"], Float[Array, "stage feature feature"]]:
    def read() -> list[tuple[Array, Array]]:
        # Of stage 0 only, since the model may have fewer stages than it is read for.
        probes = (_probe_rows(stages, features, 1, seed) for seed in range(3))
        return [_prior_at(model, data._replace(stage=0 * data.stage), (stages, features)) for data in probes]

    first, *others = jax.tree.map(np.asarray, jax.jit(read)())
    if any(part.dtype != np.float64 for part in first):
        raise ValueError("the prior of 'theta' is in 32 bits; give the model Python or NumPy float64 numbers")
    if any(not np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True)):
        raise NotConjugate("the prior of 'theta' depends on the data")
    return first


def _prior_at(
    model: Model, data: Targets, shape: tuple[int, int]
) -> tuple[Float[Array, "stage feature"], Float[Array, "stage feature feature"]]:
    """Mean and factor of the prior of a model that sees these data."""
    try:
        messages = sites(model, data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the model does not take rows of {shape[1]} features: {error}") from error
    latents = {name: message for name, message in messages.items() if is_latent(message)}
    if "theta" not in latents:
        raise NotConjugate(
            f"the prior of 'theta' is computed from {', '.join(map(repr, latents)) or 'nothing'}"
            if "theta" in messages
            else "the model has no site 'theta'"
        )
    if len(latents) > 1:
        other = next(name for name in latents if name != "theta")
        raise NotConjugate(f"the model has another unknown beside 'theta', {other!r}")
    for name, message in messages.items():
        outside = not [frame for frame in message.get("cond_indep_stack", ()) if frame.name == PLATE]
        if message["type"] == "sample" and message["is_observed"] and outside:
            raise NotConjugate(f"the factor {name!r} multiplies the prior by something unknown to its family")
    site = latents["theta"]
    if np.shape(site["value"]) != shape:
        raise ValueError(f"theta has shape {np.shape(site['value'])}; expected [stage, feature] = {shape}")
    if site["scale"] is not None:
        raise NotConjugate("the prior of 'theta' is scaled")
    fn = base_distribution(site["fn"])
    if isinstance(fn, dist.Normal):
        factor = jax.vmap(jnp.diag)(jnp.broadcast_to(fn.scale, shape))
    elif isinstance(fn, dist.MultivariateNormal):
        factor = jnp.broadcast_to(fn.scale_tril, (*shape, shape[1]))
    else:
        raise NotConjugate(f"the prior of 'theta' is {type(fn).__name__}; closed forms are known here for Normal")
    return jnp.broadcast_to(fn.loc, shape), factor


def _noise(model: Model, stages: int, features: int) -> Float[Array, " stage"]:
    """The noise [stage], from how fast a row's log-likelihood falls; believed only if it explains all random points."""
    rng = np.random.default_rng(20260103)
    theta = rng.normal(size=(POINTS, stages, features)) * 3.0 ** (np.arange(POINTS) % 3 - 1)[:, None, None]
    data = _probe_rows(stages, features, ROWS)
    data = data._replace(target=data.target * 10.0 ** (np.arange(ROWS * stages) // stages % 4 - 1))

    def log_likelihood(theta: Array) -> tuple[Array, Array]:
        often = data._replace(weight=2.0 + data.stage)
        return tuple(row_log_likelihood(model, rows, {"theta": theta}) for rows in (data, often))

    seen, often = map(np.asarray, jax.jit(jax.vmap(log_likelihood))(theta))
    if not np.allclose(often, seen * (2 + data.stage), rtol=1e-9):
        raise ValueError("rows are not counted `weight` times: observe inside `with data.rows():`")
    squares = (data.target - np.einsum("rf,prf->pr", data.features, theta[:, data.stage])) ** 2 / 2
    y, x = seen.reshape(-1, stages), squares.reshape(-1, stages)
    far, near = x.argmax(0), x.argmin(0)
    stage = np.arange(stages)
    slope = (y[near, stage] - y[far, stage]) / (x[far, stage] - x[near, stage])
    residual = np.ptp(y + slope * x, axis=0)
    wrong = ~((residual <= TOLERANCE * (1 + np.abs(y).max(0))) & (slope > 0))
    if wrong.any():
        raise NotConjugate(
            f"targets of stage {int(np.argmax(wrong))} are not Normal about <features, theta> with a noise of its own"
        )
    return slope**-0.5
