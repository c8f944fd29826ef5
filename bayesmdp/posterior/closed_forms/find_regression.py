"""Finding a linear regression: whether what a model observes is Normal, linear in Normal unknowns, and by which noise.

Priors, locations, scales and groups of the noise are read off runs of the model at random values of its unknowns, and
believed only if they explain the log-likelihood of rows at others (:mod:`~bayesmdp.posterior.closed_forms.regression`).
That is asked of some rows; the sums of a log are then asked to explain the log-likelihood of all of them.
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
from scipy.linalg import block_diag

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.compiled_programs import quickly_compiled
from bayesmdp.model_reading.likelihood import row_values
from bayesmdp.model_reading.model_runs import base_distribution, looked_at, sites
from bayesmdp.model_reading.primitives import bare, per_row
from bayesmdp.model_reading.read_model import Model, Reading
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import freeze, thaw
from bayesmdp.posterior.closed_forms.priors import NotConjugate
from bayesmdp.posterior.closed_forms.regression import Regression
from bayesmdp.posterior.closed_forms.regression_rows import Sums, residuals_of_rows
from bayesmdp.posterior.closed_forms.transitions import check_independent

__all__ = ["ROWS", "TRIALS", "check_sums", "differ", "find_regression", "looks_linear"]

TRIALS, ROWS = 5, 64
"""Random values of the unknowns that a model is tried at, and rows that it is tried on."""
TOLERANCE = 1e-8
NOISES = (dist.Gamma, dist.Exponential, dist.InverseGamma)


def looks_linear(reading: Reading, data: Records) -> bool:
    """Whether all that a model observes is Normal, and its unknowns are Normal or may be their noise.

    Parameters
    ----------
    reading : Reading
    data : Records

    Returns
    -------
    bool
    """
    kinds = (dist.Normal, dist.MultivariateNormal, *NOISES)
    if not all(issubclass(latent.kind, kinds) for latent in reading.latents.values()):
        return False

    def normal(messages: dict[str, Any]) -> bool:
        found = per_row(messages).values()
        return bool(found) and all(isinstance(bare(site["fn"]), kinds[:2]) for site in found)

    return looked_at(reading.model, data, normal)


def find_regression(reading: Reading, data: Records) -> Regression:
    """Find the closed form of a linear regression for data in these rows, whatever their weights.

    Parameters
    ----------
    reading : Reading
        The model, as `read_sites` found it.
    data : Records

    Returns
    -------
    Regression

    Raises
    ------
    NotConjugate
        With the reason.
    """
    check_independent(reading.factors)
    if not looks_linear(reading, data):
        raise NotConjugate("not all that the model observes is Normal, given Normal unknowns and perhaps their noise")
    noises = [name for name, latent in reading.latents.items() if issubclass(latent.kind, NOISES)]
    scaled = [name for name, latent in reading.latents.items() if latent.scaled]
    if scaled:
        raise NotConjugate(f"the prior of {scaled[0]!r} is scaled")
    some = np.linspace(0, len(data.weight) - 1, ROWS).round().astype(int)
    data = jax.tree.map(lambda column: np.asarray(column)[some], data)._replace(weight=np.ones(ROWS))
    form = _read_prior(reading, data, tuple(noises))
    _verify(form, reading, data)
    return form


def _read_prior(reading: Reading, data: Records, noise: tuple[str, ...]) -> Regression:
    """The prior of the coefficients and of the noise, and which of them belong together."""
    model = reading.model
    coefficients = tuple((name, latent.shape) for name, latent in reading.latents.items() if name not in noise)
    if not coefficients:
        raise NotConjugate("none of the unknowns is Normal")
    size = sum(int(np.prod(shape)) for _, shape in coefficients)
    noises = tuple(
        (name, reading.latents[name].shape, issubclass(reading.latents[name].kind, dist.InverseGamma)) for name in noise
    )
    groups = sum(int(np.prod(shape)) for _, shape, _ in noises) if noises else 1
    of_noise_alone = Regression((), noises, *(freeze(np.zeros(0)),) * 5, ())
    rng, runs = np.random.default_rng(20260301), []
    for trial in range(TRIALS):
        precisions = np.exp(rng.uniform(-1, 1, groups)) if trial else np.ones(groups)
        values = {name: rng.normal(size=each) for name, each in coefficients}
        values |= of_noise_alone.values(np.zeros(0), precisions)
        # Other rows too: a prior must not depend on the data.
        rows = jax.tree.map(lambda column: np.roll(column, trial, 0), data)  # noqa: B023
        told = _priors(model, tuple(name for name, _ in coefficients), noise, rows, values)
        runs.append((precisions, *jax.tree.map(np.asarray, told)))
    _, mean, covariance, of_noise = runs[0]
    group = np.zeros(size, int)
    for precisions, other, spread, noise_prior in runs[1:]:
        if not (np.array_equal(other, mean) and np.array_equal(noise_prior, of_noise)):
            raise NotConjugate("a prior depends on another unknown, or on the data")
        ratio = np.diag(covariance) / np.diag(spread)  # the precision of a coefficient's own noise
        match = np.isclose(ratio[:, None], precisions if noise else 1.0, rtol=1e-9)
        if not match.any(-1).all():
            worst = int(np.argmin(match.any(-1)))
            raise NotConjugate(
                f"the standard deviation of {_named(coefficients, worst)}, a coefficient, is not a number over the "
                f"square root of a precision {_either(noise)}"
                if noise
                else "a prior depends on another unknown, or on the data"
            )
        group = match.argmax(-1)
        if not np.allclose(covariance, spread * np.sqrt(ratio[:, None] * ratio), rtol=1e-9, atol=0):
            raise NotConjugate("the prior's correlations depend on another unknown")
    across = covariance * (group[:, None] != group)
    if across.any():
        raise NotConjugate("coefficients with different noise are correlated")
    # Fill up the groups that have fewer coefficients than others.
    numbers = np.bincount(group, minlength=groups)
    fillers = np.repeat(np.arange(groups), numbers.max() - numbers)
    place = np.argsort(np.concatenate([group, fillers]), kind="stable").reshape(groups, -1)
    mean = np.concatenate([mean, np.zeros(len(fillers))])
    covariance = block_diag(covariance, np.eye(len(fillers)))
    own = covariance[place[:, :, None], place[:, None, :]]
    gamma = of_noise if noise else np.full((2, 1), np.nan)
    return Regression(
        coefficients,
        noises,
        freeze(place),
        freeze(mean[place]),
        freeze(np.linalg.inv(own)),
        freeze(gamma[0]),
        freeze(gamma[1]),
        tuple(reading.dims.items()),
    )


def _either(noises: tuple[str, ...]) -> str:
    """The sites of the noise, quoted."""
    return " or ".join(map(repr, noises))


def _named(coefficients: tuple[tuple[str, tuple[int, ...]], ...], position: int) -> str:
    """An element among all coefficients, by its site and index."""
    for name, shape in coefficients:
        if position < np.prod(shape):
            return f"{name}{[int(i) for i in np.unravel_index(position, shape)]}"
        position -= int(np.prod(shape))
    raise IndexError(position)


@partial(quickly_compiled, static_argnums=(0, 1, 2))
def _priors(
    model: Model, names: tuple[str, ...], noises: tuple[str, ...], data: Records, values: Mapping[str, Array]
) -> tuple[Array, Array, Array]:
    """Mean [coefficient] and covariance [coefficient, coefficient] of the prior, and that of the noise [2, group]."""
    messages = sites(model, data, dict(values))
    means, blocks = [], []
    for name in names:
        fn, shape = base_distribution(messages[name]["fn"]), jnp.shape(messages[name]["value"])
        means.append(jnp.broadcast_to(fn.loc, shape).ravel())
        if isinstance(fn, dist.MultivariateNormal):
            each = jnp.broadcast_to(fn.covariance_matrix, (*shape, shape[-1])).reshape(-1, shape[-1], shape[-1])
            blocks.append(jax.scipy.linalg.block_diag(*each))
        else:
            blocks.append(jnp.diag(jnp.broadcast_to(fn.scale, shape).ravel() ** 2))
    gamma = [jnp.zeros((2, 0))]
    for name in noises:
        fn, shape = base_distribution(messages[name]["fn"]), jnp.shape(messages[name]["value"])
        concentration = getattr(fn, "concentration", jnp.ones(()))
        gamma.append(jnp.stack([jnp.broadcast_to(each, shape).ravel() for each in (concentration, fn.rate)]))
    return jnp.concatenate(means), jax.scipy.linalg.block_diag(*blocks), jnp.concatenate(gamma, -1)


@partial(jax.jit, static_argnums=(0, 1))
def _explained(
    model: Model, form: Regression, data: Records, coefficients: Array, log_noise: Array
) -> tuple[Array, Array]:
    """What the form says of the log-likelihood [trial, row] but for a constant; and groups [row, residual, group]."""
    residual, slope, belongs, times = residuals_of_rows(model, form, data)
    apart = (coefficients - jnp.asarray(form.centre()))[:, thaw(form.place)]
    # A residual moves with the coefficients of its own group alone.
    moved = residual + jnp.einsum("regi,reg,tgi->tre", slope, belongs, apart)
    own = jnp.einsum("reg,tg->tre", belongs, log_noise)
    return (times * (own - jnp.exp(own) * moved**2) / 2).sum(-1), belongs


def _verify(form: Regression, reading: Reading, data: Records) -> None:
    """Refuse a model whose rows are not as likely as the regression says, at random values of the unknowns."""
    coefficients, log_noise = _random_unknowns(form)
    said, belongs = map(np.asarray, _explained(reading.model, form, data, coefficients, log_noise))
    noise = _either(tuple(name for name, *_ in form.noises))
    if not (np.isclose(belongs, 0, atol=1e-9) | np.isclose(belongs, 1, atol=1e-9)).all():
        raise NotConjugate(f"a scale of what is observed is not a number over the square root of {noise}")
    if not np.isclose(belongs.sum(-1), 1).all():
        raise NotConjugate(f"the noise of some of what is observed is known, and that of the rest is {noise}")
    wrong = differ(_log_likelihoods(form, reading, data, coefficients, log_noise), said)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise NotConjugate(
            f"the likelihood of row {row} is not that of a linear regression on the unknowns "
            f"{', '.join(map(repr, reading.latents))}"
        )


def check_sums(form: Regression, reading: Reading, sums: Sums, data: Records) -> None:
    """Refuse a log that is not as likely as its sums say, at random values of the unknowns.

    Forms are found from some rows, and others may go by another rule: those of a rare action, say.

    Parameters
    ----------
    form : Regression
    reading : Reading
    sums : Sums
        Of the data alone.
    data : Records

    Raises
    ------
    NotConjugate
        If there are such rows.
    """
    coefficients, log_noise = _random_unknowns(form)
    apart = (coefficients - form.centre())[:, thaw(form.place)]
    # Of sums of squared residuals, moved from the prior's mean to these coefficients.
    squares = sums.square - 2 * np.einsum("gi,tgi->tg", sums.shift, apart)
    squares += np.einsum("tgi,gij,tgj->tg", apart, sums.gram, apart)
    said = ((sums.count * log_noise - np.exp(log_noise) * squares) / 2).sum(-1)
    seen = np.asarray(data.weight) > 0
    if differ(_log_likelihoods(form, reading, data, coefficients, log_noise)[:, seen].sum(-1), said).any():
        raise NotConjugate(
            "the likelihood of some rows of the log is not that of a linear regression on the unknowns "
            f"{', '.join(map(repr, reading.latents))}, though that of others is"
        )


def _log_likelihoods(
    form: Regression,
    reading: Reading,
    data: Records,
    coefficients: NDArray[np.float64],
    log_noise: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The model's log-likelihood [trial, row] at some values of the unknowns."""
    told = []
    for each, log in zip(coefficients, log_noise, strict=True):
        values = {name: jnp.asarray(value) for name, value in form.values(each, np.exp(log)).items()}
        told.append(np.asarray(row_values(reading.model, data, values)))
    return np.stack(told)


def differ(total: NDArray[np.float64], said: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say whether two log-likelihoods differ by more than a constant and rounding.

    Parameters
    ----------
    total, said : array [trial, ...]

    Returns
    -------
    bool array [...]
    """
    return ~(np.ptp(total - said, axis=0) <= TOLERANCE * (1 + np.abs(total).max(0) + np.abs(said).max(0)))


def _random_unknowns(form: Regression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients [trial, coefficient], as the prior draws them at precisions of 1, and logs of precisions."""
    rng, groups = np.random.default_rng(20260302), len(thaw(form.mean))
    coefficients = form.centre() + rng.normal(size=(TRIALS, form.centre().size)) * _spread(form)
    return coefficients, rng.uniform(-1, 1, (TRIALS, groups)) * bool(form.noises)


def _spread(form: Regression) -> NDArray[np.float64]:
    """Standard deviations of all coefficients under the prior, at precisions of 1."""
    flat = np.zeros(form.centre().size)
    each = np.linalg.inv(thaw(form.precision))
    flat[thaw(form.place).ravel()] = np.sqrt(np.diagonal(each, axis1=1, axis2=2)).ravel()
    return flat
