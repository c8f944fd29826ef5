"""Finding a matrix-Normal Wishart regression: as :mod:`~bayesmdp.posterior.closed_forms.find_regression`, for vectors.

Priors are read off runs of the model at random values of its unknowns. The form is believed only if it explains the
log-likelihood of rows at others, and the sums of a log that of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.compiled_programs import quickly_compiled
from bayesmdp.model_reading.likelihood import row_values
from bayesmdp.model_reading.model_runs import base_distribution, looked_at, sites
from bayesmdp.model_reading.primitives import bare, per_row
from bayesmdp.model_reading.read_model import Model, Reading
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import freeze, thaw
from bayesmdp.posterior.closed_forms.find_regression import (
    ROWS,
    TRIALS,
    check_sums,
    differ,
    find_regression,
    looks_linear,
)
from bayesmdp.posterior.closed_forms.matrix_regression import MatrixRegression, MatrixSums, features_of_rows
from bayesmdp.posterior.closed_forms.priors import NotConjugate
from bayesmdp.posterior.closed_forms.regression import Regression
from bayesmdp.posterior.closed_forms.transitions import check_independent

__all__ = ["check_all_rows", "find_any_regression", "looks_like_regression"]


def looks_like_regression(reading: Reading, data: Records) -> bool:
    """Whether all that a model observes is Normal, and its unknowns are Normal or may be their noise, also a matrix.

    Parameters
    ----------
    reading : Reading
    data : Records

    Returns
    -------
    bool
    """
    return _of_matrix(reading) or looks_linear(reading, data)


def _of_matrix(reading: Reading) -> bool:
    return any(issubclass(latent.kind, dist.Wishart) for latent in reading.latents.values())


def find_any_regression(reading: Reading, data: Records) -> Regression | MatrixRegression:
    """Find the closed form of a regression, whether its noise is numbers or a matrix.

    Parameters
    ----------
    reading : Reading
        The model, as `read_sites` found it.
    data : Records

    Returns
    -------
    Regression or MatrixRegression

    Raises
    ------
    NotConjugate
        With the reason.
    """
    if not _of_matrix(reading):
        return find_regression(reading, data)
    check_independent(reading.factors)
    scaled = [name for name, latent in reading.latents.items() if latent.scaled]
    if scaled:
        raise NotConjugate(f"the prior of {scaled[0]!r} is scaled")
    noise, *more = (name for name, latent in reading.latents.items() if issubclass(latent.kind, dist.Wishart))
    others = {name: latent for name, latent in reading.latents.items() if name != noise}
    if more or not others or not all(issubclass(latent.kind, dist.MultivariateNormal) for latent in others.values()):
        raise NotConjugate(f"beside the precision {noise!r} unknowns must all be MultivariateNormal")
    size = reading.latents[noise].shape[-1]
    if reading.latents[noise].shape != (size, size) or any(each.shape[-1] != size for each in others.values()):
        raise NotConjugate(f"the precision {noise!r} is not one matrix of the size of the coefficients' last axis")
    if not looked_at(reading.model, data, _observes_one_vector):
        raise NotConjugate(f"with the precision {noise!r} rows must observe one site, which is MultivariateNormal")
    some = np.linspace(0, len(data.weight) - 1, ROWS).round().astype(int)
    data = jax.tree.map(lambda column: np.asarray(column)[some], data)._replace(weight=np.ones(ROWS))
    form = _read_prior(reading, data, noise, tuple((name, each.shape) for name, each in others.items()))
    _verify(form, reading, data)
    return form


def _observes_one_vector(messages: dict[str, Any]) -> bool:
    found = [bare(site["fn"]) for site in per_row(messages).values()]
    return len(found) == 1 and isinstance(found[0], dist.MultivariateNormal)


def _random_unknowns(mean: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Coefficients about a mean, and precisions; the first of 1."""
    rng, size, made = np.random.default_rng(20260303), mean.shape[1], []
    for trial in range(TRIALS):
        root = np.tril(rng.normal(size=(size, size)), -1) + np.diag(np.exp(rng.uniform(-0.5, 0.5, size)))
        made.append((mean + rng.normal(size=mean.shape), root @ root.T if trial else np.eye(size)))
    return made


def _read_prior(
    reading: Reading, data: Records, noise: str, coefficients: tuple[tuple[str, tuple[int, ...]], ...]
) -> MatrixRegression:
    size = reading.latents[noise].shape[-1]
    number = sum(int(np.prod(shape[:-1])) for _, shape in coefficients)
    dims, empty = tuple(reading.dims.items()), freeze(np.zeros(()))
    skeleton = MatrixRegression(coefficients, noise, freeze(np.zeros((number, size))), *(empty,) * 3, dims)
    runs = []
    for trial, (weights, precision) in enumerate(_random_unknowns(np.zeros((number, size)))):
        # Other rows too: a prior must not depend on the data.
        rows = jax.tree.map(lambda column: np.roll(column, trial, 0), data)  # noqa: B023
        values = {name: jnp.asarray(value) for name, value in skeleton.values(weights, precision).items()}
        runs.append((precision, *map(np.asarray, _priors(reading.model, skeleton, rows, values))))
    _, mean, _, degrees, scale = runs[0]
    variances = []
    for precision, other, covariance, freedom, matrix in runs:
        same = np.array_equal(other, mean) and np.array_equal(freedom, degrees) and np.array_equal(matrix, scale)
        if not same:
            raise NotConjugate("a prior depends on another unknown, or on the data")
        times = covariance @ precision  # so many times 1
        variances.append(times[:, 0, 0])
        if not np.allclose(times, variances[-1][:, None, None] * np.eye(size), rtol=1e-8, atol=1e-9):
            raise NotConjugate(f"the covariance of coefficients is not a number times the inverse of {noise!r}")
    if not np.allclose(variances, variances[0], rtol=1e-8, atol=0):
        raise NotConjugate("a prior depends on another unknown, or on the data")
    rate = np.linalg.inv(scale)
    return skeleton._replace(
        mean=freeze(mean),
        precision=freeze(np.diag(1 / variances[0])),
        degrees=freeze(degrees),
        rate=freeze((rate + rate.T) / 2),
    )


@partial(quickly_compiled, static_argnums=(0, 1))
def _priors(
    model: Model, skeleton: MatrixRegression, data: Records, values: Mapping[str, Array]
) -> tuple[Array, Array, Array, Array]:
    """Means [feature, coordinate] and covariances of coefficients, degrees of freedom and scale of the precision."""
    messages = sites(model, data, dict(values))
    means, covariances = [], []
    for name, shape in skeleton.sites:
        fn, size = base_distribution(messages[name]["fn"]), shape[-1]
        means.append(jnp.broadcast_to(fn.loc, shape).reshape(-1, size))
        covariances.append(jnp.broadcast_to(fn.covariance_matrix, (*shape, size)).reshape(-1, size, size))
    fn = base_distribution(messages[skeleton.noise]["fn"])
    return jnp.concatenate(means), jnp.concatenate(covariances), fn.concentration, fn.scale_matrix


@partial(jax.jit, static_argnums=(0, 1))
def _explained(model: Model, form: MatrixRegression, data: Records, weights: Array, precision: Array) -> Array:
    """What the form says of the log-likelihood [row] but for a constant."""
    residual, features, times = features_of_rows(model, form, data)
    moved = residual - features @ (weights - thaw(form.mean))
    return times * (jnp.linalg.slogdet(precision)[1] - jnp.einsum("ri,ij,rj->r", moved, precision, moved)) / 2


def _trials(form: MatrixRegression) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    return _random_unknowns(thaw(form.mean))


def _log_likelihoods(form: MatrixRegression, reading: Reading, data: Records) -> NDArray[np.float64]:
    """The model's log-likelihood [trial, row] at some values of the unknowns."""
    told = []
    for weights, precision in _trials(form):
        values = {name: jnp.asarray(value) for name, value in form.values(weights, precision).items()}
        told.append(np.asarray(row_values(reading.model, data, values)))
    return np.stack(told)


def _verify(form: MatrixRegression, reading: Reading, data: Records) -> None:
    """Refuse a model whose rows are not as likely as the regression says, at random values of the unknowns."""
    said = np.stack([np.asarray(_explained(reading.model, form, data, *each)) for each in _trials(form)])
    wrong = differ(_log_likelihoods(form, reading, data), said)
    if wrong.any():
        raise NotConjugate(
            f"the likelihood of row {int(np.flatnonzero(wrong)[0])} is not that of a linear regression, with features "
            f"that all coordinates share, on the unknowns {', '.join(map(repr, reading.latents))}"
        )


def check_all_rows(form: Regression | MatrixRegression, reading: Reading, sums: Any, data: Records) -> None:
    """Refuse a log that is not as likely as its sums say, at random values of the unknowns.

    Parameters
    ----------
    form : Regression or MatrixRegression
    reading : Reading
    sums : Sums or MatrixSums
        Of the data alone.
    data : Records

    Raises
    ------
    NotConjugate
        If there are such rows.
    """
    if isinstance(form, Regression):
        return check_sums(form, reading, sums, data)
    seen = np.asarray(data.weight) > 0
    said = np.array([_of_sums(form, sums, *each) for each in _trials(form)])
    if differ(_log_likelihoods(form, reading, data)[:, seen].sum(-1), said).any():
        raise NotConjugate(
            "the likelihood of some rows of the log is not that of a linear regression on the unknowns "
            f"{', '.join(map(repr, reading.latents))}, though that of others is"
        )
    return None


def _of_sums(
    form: MatrixRegression, sums: MatrixSums, weights: NDArray[np.float64], precision: NDArray[np.float64]
) -> float:
    apart = weights - thaw(form.mean)
    cross = apart.T @ sums.cross
    squares = sums.square - cross - cross.T + apart.T @ sums.gram @ apart
    return float((sums.count * np.linalg.slogdet(precision)[1] - np.sum(precision * squares)) / 2)
