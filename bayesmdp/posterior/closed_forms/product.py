"""Closed forms of models that fall apart: products of regressions and of unknowns that are observed directly.

Where no site and no prior depends on unknowns of more than one part of a model, the posterior is a product and so is
the evidence: with unknowns a and b, and the sites of the rows that each decides,

    p(a, b | data) = p(a | data) p(b | data),    p(data) = integral p(a) L(data; a) da  integral p(b) L(data; b) db.

An example is a regression of next states beside Beta probabilities with which steps end an episode. A part is the model
itself with the sites of all other parts hidden, and their unknowns held at some values, on which nothing in it depends.
So each part is found, updated and drawn from as if it were alone, at a cost that does not grow with what was seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key
from numpy.typing import NDArray
from numpyro import handlers

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Model, Reading
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import Frozen, thaw
from bayesmdp.posterior.closed_forms.families import FAMILIES, Family
from bayesmdp.posterior.closed_forms.matrix_regression import MatrixRegression, regression_of
from bayesmdp.posterior.closed_forms.primitives import Pairs
from bayesmdp.posterior.closed_forms.regression import Regression
from bayesmdp.posterior.closed_forms.regression_rows import Sums

__all__ = ["Factor", "PartOfModel", "Product", "families_of", "regression_in"]


@dataclass(frozen=True)
class PartOfModel:
    """A model without the sites that other parts of it decide; itself a model, and hashable.

    Attributes
    ----------
    model : NumPyro function of the data
    hidden : tuple of str
        Observed sites of other parts.
    held : tuple of (unknown of another part, the value that stands for it)
    """

    model: Model
    hidden: tuple[str, ...]
    held: tuple[tuple[str, Frozen], ...]

    def __call__(self, data: Any) -> Any:
        """Run the model; what is hidden is seen by no handler outside."""
        held = {name: jnp.asarray(thaw(value)) for name, value in self.held}
        with handlers.block(hide=[*self.hidden, *held]), handlers.substitute(data=held):
            return self.model(data)


class Factor(NamedTuple):
    """One part of a product; hashable.

    Attributes
    ----------
    form : Pairs, Regression or MatrixRegression
    unknowns : tuple of str
        Those of the part.
    hidden, held
        Of what is no part of it, as for `PartOfModel`.
    """

    form: Pairs | Regression | MatrixRegression
    unknowns: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    held: tuple[tuple[str, Frozen], ...] = ()

    def of(self, model: Model) -> PartOfModel:
        """The part of a model."""
        return PartOfModel(model, self.hidden, self.held)

    def read(self, reading: Reading) -> Reading:
        """What was read of a model, of this part of it."""
        return reading._replace(
            model=self.of(reading.model),
            latents={name: reading.latents[name] for name in self.unknowns},
            dims={name: reading.dims[name] for name in self.unknowns},
        )

    @property
    def prefix(self) -> str:
        """What the names of its parameters begin with; those of pairs are the names of unknowns."""
        return "" if isinstance(self.form, Pairs) else f"{self.unknowns[0]}."


class Product(NamedTuple):
    """A model whose posterior is a product of closed forms; hashable.

    Its sums are a tuple of those of its factors, and its methods are what those of a `Regression` are.

    Attributes
    ----------
    factors : tuple of Factor
    """

    factors: tuple[Factor, ...]

    def described(self) -> str:
        """The form without its numbers, as an attr of a posterior."""
        return json.dumps([{"unknowns": each.unknowns, "form": each.form.described()} for each in self.factors])

    @classmethod
    def of_parameters(cls, described: str, parameters: Mapping[str, NDArray[Any]]) -> Product:
        """The form whose prior is a posterior, from what a posterior holds of it.

        Parameters
        ----------
        described : str
        parameters : mapping
            By the names of `parameters`, with ``place`` of each regression.
        """
        factors = []
        for told in json.loads(described):
            unknowns, begins = tuple(told["unknowns"]), f"{next(iter(told['unknowns']), '')}."
            if "families" in json.loads(told["form"]):
                form: Any = Pairs.of_parameters(told["form"], {name: parameters[name] for name in unknowns})
            else:
                own = {name[len(begins) :]: each for name, each in parameters.items() if name.startswith(begins)}
                form = regression_of(told["form"], own)
            factors.append(Factor(form, unknowns))
        return cls(tuple(factors))

    @property
    def before(self) -> tuple[Any, ...]:
        """The sums of no data."""
        return tuple(each.form.before for each in self.factors)

    @property
    def dims(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Names of the axes by unknown."""
        return tuple(own for each in self.factors for own in each.form.dims)

    @property
    def work(self) -> int:
        """Products that the sums of a row take, about."""
        return sum(each.form.work for each in self.factors)

    def learn(self, model: Model, sums: tuple[Any, ...], data: Records) -> tuple[Any, ...]:
        """The sums after these rows; may be traced, for a few rows.

        Parameters
        ----------
        model : NumPyro function of the data
        sums : tuple
            Before the rows.
        data : Records
        """
        return tuple(each.form.learn(each.of(model), own, data) for each, own in self._with(sums))

    def learn_log(self, model: Model, sums: tuple[Any, ...], data: Records) -> tuple[Any, ...]:
        """The sums after a log; see `Regression.learn_log`."""
        return tuple(each.form.learn_log(each.of(model), own, data) for each, own in self._with(sums))

    def parameters(self, sums: tuple[Any, ...]) -> dict[str, Array]:
        """The posterior's parameters: those of pairs by unknown, others after their part's first unknown and a dot."""
        return {
            each.prefix + name: value
            for each, own in self._with(sums)
            for name, value in each.form.parameters(own).items()
        }

    def draw(self, key: Key[Array, ""], sums: tuple[Any, ...], num_draws: int) -> dict[str, Array]:
        """Draw the unknowns [draw, ...] by site; may be traced.

        Parameters
        ----------
        key : key
        sums : tuple
        num_draws : int
        """
        keys = jax.random.split(key, len(self.factors))
        drawn = [
            each.form.draw(own_key, own, num_draws) for (each, own), own_key in zip(self._with(sums), keys, strict=True)
        ]
        return {name: values for part in drawn for name, values in part.items()}

    def mean_values(self, sums: tuple[Any, ...]) -> dict[str, NDArray[np.float64]]:
        """The unknowns at the posterior's mean, by site."""
        parts = [each.form.mean_values(own) for each, own in self._with(sums)]
        return {name: values for part in parts for name, values in part.items()}

    def log_evidence(self, reading: Reading, sums: tuple[Any, ...], data: Records) -> float:
        """The log probability density of the data under the prior.

        Parameters
        ----------
        reading : Reading
            Of the whole model.
        sums : tuple
            After the data.
        data : Records
        """
        return sum(each.form.log_evidence(each.read(reading), own, data) for each, own in self._with(sums))

    def impossible(self, model: Model, data: Records) -> NDArray[np.bool_]:
        """Find the rows that have probability 0 whatever the unknowns are."""
        return np.any([each.form.impossible(each.of(model), data) for each in self.factors], axis=0)

    def _with(self, sums: tuple[Any, ...]) -> list[tuple[Factor, Any]]:
        return list(zip(self.factors, sums, strict=True))


def families_of(described: str) -> dict[str, Family]:
    """Return the families of the unknowns that are observed directly, by their names.

    Parameters
    ----------
    described : str
        What a product's `described` said.
    """
    forms = [json.loads(told["form"]) for told in json.loads(described)]
    return {name: FAMILIES[family] for form in forms for name, (_, family) in form.get("families", {}).items()}


def regression_in(form: Any, model: Model, sums: Any) -> tuple[Regression, Model, Sums] | None:
    """Return the regression of next states in a closed form, the part of the model that it is of, and its sums.

    Parameters
    ----------
    form : Pairs, Regression, MatrixRegression or Product
        Or None, where there is no closed form.
    model : NumPyro function of the data
    sums : as the form has them

    Returns
    -------
    tuple or None
        None where next states are of another form.
    """
    if isinstance(form, Regression):
        return form, model, sums
    if isinstance(form, Product):
        for factor, own in zip(form.factors, sums, strict=True):
            if isinstance(factor.form, Regression) and "next_state" not in factor.hidden:
                return factor.form, factor.of(model), own
    return None
