"""Finding the closed form of a model of recorded primitives, of whichever kind it has.

A model is first asked whether all of it is a regression, or whether its sites observe the unknowns directly. If it is
neither it may fall apart (:mod:`~bayesmdp.posterior.closed_forms.product`). Which sites and unknowns belong together is
found by changing one unknown after the other: those whose log probability changes with it are of its part. Parts that
are regressions are then taken together, and so are those with unknowns that are observed directly. That nothing in a
part depends on the others' unknowns is asked again of all parts at once, at random values of all unknowns: first of
some rows, and of a log then of all.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.compiled_programs import quickly_compiled
from bayesmdp.model_reading.model_runs import sites
from bayesmdp.model_reading.read_model import Model, Reading
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import freeze
from bayesmdp.posterior.closed_forms.find_matrix_regression import (
    check_all_rows,
    find_any_regression,
    looks_like_regression,
)
from bayesmdp.posterior.closed_forms.find_regression import ROWS, TRIALS, looks_linear
from bayesmdp.posterior.closed_forms.matrix_regression import MatrixRegression
from bayesmdp.posterior.closed_forms.primitives import Pairs, find_pairs
from bayesmdp.posterior.closed_forms.priors import NotConjugate
from bayesmdp.posterior.closed_forms.product import Factor, Product
from bayesmdp.posterior.closed_forms.regression import Regression
from bayesmdp.posterior.closed_forms.transitions import check_independent

__all__ = ["ClosedForm", "check_log", "find_form"]

type ClosedForm = Pairs | Regression | MatrixRegression | Product


def find_form(reading: Reading, data: Records) -> ClosedForm:
    """Find the closed form of a model's posterior, for data in these rows, whatever their weights.

    Parameters
    ----------
    reading : Reading
        The model, as `read_sites` found it.
    data : Records

    Returns
    -------
    Pairs, Regression, MatrixRegression or Product

    Raises
    ------
    NotConjugate
        With the reason.
    """
    try:
        return _find_one(reading, data)
    except NotConjugate:
        product = _find_product(reading, data)
        if product is None:
            raise
        return product


def check_log(form: ClosedForm, reading: Reading, sums: Any, data: Records) -> None:
    """Refuse a log with rows that are not as likely as the form says, which was found from some rows.

    Parameters
    ----------
    form : Pairs, Regression, MatrixRegression or Product
    reading : Reading
    sums : as the form has them
        Of the data alone.
    data : Records

    Raises
    ------
    NotConjugate
        If there are such rows.
    """
    if isinstance(form, Product):
        _check_apart(form, reading, data)
        for factor, own in zip(form.factors, sums, strict=True):
            check_log(factor.form, factor.read(reading), own, data)
    elif not isinstance(form, Pairs):  # pairs were looked for in all rows
        check_all_rows(form, reading, sums, data)


def _find_one(reading: Reading, data: Records) -> Pairs | Regression | MatrixRegression:
    return find_any_regression(reading, data) if looks_like_regression(reading, data) else find_pairs(reading, data)


def _find_product(reading: Reading, data: Records) -> Product | None:
    """The closed form of each part of a model; None where all of it is one part."""
    check_independent(reading.factors)
    some = np.linspace(0, len(data.weight) - 1, ROWS).round().astype(int)
    few = jax.tree.map(lambda column: np.asarray(column)[some], data)._replace(weight=np.ones(ROWS))
    values = reading.latent_values(few)
    told = _log_probabilities(reading.model, few, values)

    def factor(own: set[str], form: Any = None) -> Factor:
        unknowns = tuple(name for name in reading.latents if name in own)
        held = tuple((name, freeze(np.asarray(values[name]))) for name in reading.latents if name not in own)
        hidden = tuple(name for name in told if name not in own and name not in reading.latents)
        return Factor(form, unknowns, hidden, held)

    # Parts of one kind make one form.
    kinds: dict[str, set[str]] = {}
    for own in _connected(reading, few, values, told):
        part = factor(own).read(reading)
        if any(issubclass(latent.kind, dist.Wishart) for latent in part.latents.values()):
            kind = f"matrix of {next(iter(part.latents))}"
        else:
            kind = "linear" if part.latents and looks_linear(part, few) else "pairs"
        kinds[kind] = kinds.get(kind, set()) | own
    if len(kinds) < 2:
        return None
    factors = []
    for own in kinds.values():
        bare = factor(own)
        # A part without unknowns has nothing to be learned, and a likelihood.
        form = _find_one(bare.read(reading), data) if bare.unknowns else Pairs((), (), (), ())
        factors.append(bare._replace(form=form))
    product = Product(tuple(factors))
    _check_apart(product, reading, few)
    return product


def _connected(
    reading: Reading, data: Records, values: dict[str, NDArray[Any]], told: dict[str, NDArray[Any]]
) -> list[set[str]]:
    """Names of the sampled sites that depend on the same unknowns, directly or by way of others."""
    groups = [{name} for name in told]
    others = reading.latent_values(data, 1)
    for name in reading.latents:
        changed = _log_probabilities(reading.model, data, {**values, name: others[name]})
        moved = {site for site in told if not np.array_equal(told[site], changed[site], equal_nan=True)} | {name}
        joined = set().union(*(group for group in groups if group & moved))
        groups = [*(group for group in groups if not group & moved), joined]
    return groups


def _log_probabilities(model: Model, data: Records, values: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(value) for name, value in _computed(model, data, values).items()}


@partial(quickly_compiled, static_argnums=0)
def _computed(model: Model, data: Records, values: dict[str, Array]) -> dict[str, Array]:
    """Log probabilities [...] of each sampled site, as often as they count."""
    given = {name: jnp.asarray(value) for name, value in values.items()}
    told = {}
    for name, site in sites(model, data, given).items():
        if site["type"] == "sample":
            each = site["fn"].log_prob(site["value"])
            told[name] = each if site["scale"] is None else site["scale"] * each
    return told


def _check_apart(product: Product, reading: Reading, data: Records) -> None:
    """Refuse parts in which a site depends on the unknowns of another, at random values of all of them."""
    for trial in range(TRIALS):
        values = reading.latent_values(data, 2 + trial)
        whole = _log_probabilities(reading.model, data, values)
        for factor in product.factors:
            own = {name: values[name] for name in factor.unknowns}
            for name, told in _log_probabilities(factor.of(reading.model), data, own).items():
                if not np.allclose(told, whole[name], rtol=1e-9, atol=1e-9, equal_nan=True):
                    alone = ", ".join(factor.unknowns) or "no unknown"
                    raise NotConjugate(f"{name!r} depends on {alone} alone in some rows, and in others on more")
