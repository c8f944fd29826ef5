"""Finding conjugacy, by differentiating a model's own log-likelihood.

Priors are read from the model (:mod:`~bayesmdp.posterior.closed_forms.priors`), and what each row adds to them from
derivatives of its log-likelihood (:mod:`~bayesmdp.posterior.closed_forms.coefficients`): a row of weight w adds ``w c``
to the natural parameters of the one element it depends on, for a Dirichlet ``c`` observations of an entry. What was
found is believed only if it reproduces each row's log-likelihood at further random points. This is exact for what it
accepts: mixtures, sums, noise of another family and priors that depend on other unknowns fail one of the steps, and the
error says which row and how. For each row and site, the single batch element that the row depends on is identified.

An agent does not know which rewards it will see. Its rows' coefficients are therefore found at several rewards, and
must be polynomials of degree 2 at most,

    c(r) = c0 + c1 r + c2 r^2,    so that n rewards of a row add  n c0 + (sum of r) c1 + (sum of r^2) c2,

which is so for Normal, Poisson and Bernoulli rewards among others. Rewards that a model gives no probability are left
out: for a Bernoulli two remain, 0 and 1, and c is linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.read_model import Reading, check, describe_row
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.posterior.closed_forms.coefficients import (
    Point,
    Rows,
    chunk_size,
    coefficients,
    random_point,
    refuse,
    values_of_rows,
)
from bayesmdp.posterior.closed_forms.draws import Layout
from bayesmdp.posterior.closed_forms.families import ExponentialFamily
from bayesmdp.posterior.closed_forms.priors import NotConjugate, Prior, priors

__all__ = ["Conjugate", "NotConjugate", "Site", "check_independent", "find", "find_for_any_reward"]

TOLERANCE = 1e-9
# Moderate points, and points towards the corners: what is clipped or switched there must not pass for conjugate.
SPREADS = (*np.linspace(0.3, 3, 5), *np.linspace(3.5, 6, 15))
# Whole numbers for counts and events, parts of 1 for shares, others for rewards of any kind.
# The far and the crooked ones are for models that clip, round or switch.
PROBES = (0.0, 1.0, 2.0, 3.0, 7.0, 0.125, 0.25, 0.5, 0.75, -1.0, -2.5, 0.1234567, -31.41593, 1e3, -1e4)


class Site(NamedTuple):
    """A latent site, or the two of a Normal-Gamma, and what each row adds to it.

    Attributes
    ----------
    prior : Prior
    entry : int array [row, entry]
        Positions in the flattened natural parameters.
    coefficient : array [row, entry] or [row, entry, 3]
        What a row of weight 1 adds there, or what the row adds there for each time it was seen, for each unit of
        reward and of reward squared.
    """

    prior: Prior
    entry: NDArray[np.int32]
    coefficient: NDArray[np.float64]

    @property
    def family(self) -> ExponentialFamily:
        """The family of the prior."""
        return self.prior.family

    @property
    def concentration(self) -> NDArray[np.float64]:
        """The parameters of the prior; those of a Beta have a last axis (a, b)."""
        return self.prior.parameters

    def posterior(self, seen: Float[Array, "row ..."], prior: Float[Array, "..."] | None = None) -> Float[Array, "..."]:
        """Parameters given the weights [row], or the weights and sums of rewards and their squares [row, 3].

        With `prior` given its parameters stand in the place of the model's own.
        """
        before = self.prior.parameters if prior is None else prior
        if self.coefficient.ndim == 3:
            added = (self.coefficient * seen[:, None]).sum(-1)
        else:
            added = self.coefficient * (seen if seen.ndim == 1 else seen[:, 0])[:, None]
        natural = self.family.natural(before)
        if isinstance(added, np.ndarray) and isinstance(natural, np.ndarray):  # no program for numbers that are known
            flat: Array = natural.flatten()
            np.add.at(flat, self.entry, added)
            return self.family.standard(flat.reshape(natural.shape), before)
        flat, rounds = jnp.asarray(natural.ravel()), _rounds(self.entry, natural.size)
        if rounds is None:
            flat = flat.at[self.entry].add(added)
        else:  # the same sums, in the same order
            added = jnp.append(added.ravel(), 0)
            for places in rounds:
                flat += added[: natural.size] if (places == np.arange(natural.size)).all() else added[places]
        return self.family.standard(flat.reshape(natural.shape), before)


FEW_ROUNDS = 8
"""Most additions to an entry that are written out."""


def _rounds(entry: NDArray[np.int32], size: int) -> list[NDArray[np.int64]] | None:
    """What is added to each of `size` entries first, second, and so on, where that is a few things for most of them.

    On a CPU an agent's plan waits for a scatter longer than for the gathers that do the same.

    Returns
    -------
    list of int arrays [size] or None
        Places in `entry`, flattened; its size stands for nothing.
    """
    flat = entry.ravel()
    order = np.argsort(flat, kind="stable")
    number = np.bincount(flat, minlength=size)
    most = int(number.max(initial=0))
    if most > FEW_ROUNDS or most * size > 2 * flat.size:
        return None
    begins = np.cumsum(number) - number
    told = np.append(order, np.full(most, flat.size))
    return [np.where(number > i, told[begins + i], flat.size) for i in range(most)]


class Conjugate(NamedTuple):
    """A model whose posterior is a product of known families.

    Attributes
    ----------
    sites : dict of Site
        A pair is under the name of its second site.
    impossible : bool array [row]
        Rows of probability 0 whatever the unknowns are.
    reading : Reading
        The model, as it was read.
    """

    sites: dict[str, Site]
    impossible: NDArray[np.bool_]
    reading: Reading

    @property
    def layout(self) -> Layout:
        return Layout(
            tuple((site.prior.sites, site.family) for site in self.sites.values()), self.reading.deterministic
        )

    def posterior(self, seen: Array, prior: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """Parameters by site; see `Site.posterior`. Sites that `prior` leaves out keep their own."""
        return {name: site.posterior(seen, (prior or {}).get(name)) for name, site in self.sites.items()}


def find(reading: Reading, data: Transitions) -> Conjugate:
    """The closed form of a model's posterior for data in these rows, whatever their weights.

    Parameters
    ----------
    reading : Reading
        The model, as `read` found it.
    data : Transitions
        Which rows there are; their weights are not read.

    Raises
    ------
    NotConjugate
        If there is no closed form, with the reason.
    TypeError, ValueError
        If the model breaks the contract of models.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.model_reading.read_model import read
    >>> from bayesmdp.model_reading.rows import all_transitions
    >>> from bayesmdp.models import river_current
    >>> with jax.enable_x64(True):
    ...     found = find(read(river_current(bm.environments.riverswim(4))), all_transitions(4, 2, 4))
    >>> {name: site.concentration.shape for name, site in found.sites.items()}
    {'current': (3,), 'start': (2,), 'end': (2,)}
    """
    with jax.enable_x64(True):
        data, prior_of = _checked(reading, data)
        site_of, impossible = _find(reading, data, prior_of)
    return Conjugate(site_of, impossible, reading)


def find_for_any_reward(reading: Reading, data: Transitions) -> Conjugate:
    """The closed form whatever rewards the rows bring, as functions of the sums of rewards and of their squares.

    Parameters
    ----------
    reading : Reading
        The model, as `read` found it.
    data : Transitions
        Which rows there are; their weights and rewards are not read.

    Raises
    ------
    NotConjugate
        If there is no closed form, with the reason; also where the reward enters by more than its square.
    TypeError, ValueError
        If the model breaks the contract of models.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.model_reading.read_model import read
    >>> from bayesmdp.model_reading.rows import all_transitions
    >>> from bayesmdp.models import dirichlet_transitions, normal_rewards
    >>> river = bm.environments.riverswim(3)
    >>> model = normal_rewards(river, dirichlet_transitions(river), noise=0.5)
    >>> with jax.enable_x64(True):
    ...     found = find_for_any_reward(read(model), all_transitions(3, 2, 3))
    >>> found.sites["reward"].coefficient[0].tolist()  # of z and -z^2 / 2: 4 r and 4
    [[0.0, 4.0, 0.0], [4.0, 0.0, 0.0]]
    """
    with jax.enable_x64(True):
        data, prior_of = _checked(reading, data)
        tables = []
        for number, reward in enumerate(PROBES):
            paid = data._replace(reward=np.full(len(data.state), reward))
            tables.append(_find(reading, paid, prior_of, SPREADS if number < 2 else SPREADS[::4]))
        impossible = np.stack([impossible for _, impossible in tables])
        if impossible.all():
            raise NotConjugate(f"the model gives probability 0 to each of the rewards {', '.join(map(str, PROBES))}")
        site_of = {}
        for name, prior in prior_of.items():
            entry, coefficient = _polynomial(name, [table[name] for table, _ in tables], ~impossible, data)
            if not coefficient[..., 1:].any():
                coefficient = coefficient[..., 0]
            site_of[name] = Site(prior, entry, coefficient)
    return Conjugate(site_of, impossible.all(0), reading)


def _checked(reading: Reading, data: Transitions) -> tuple[Transitions, dict[str, Prior]]:
    """The rows, each seen once, and the prior of each unknown."""
    data = jax.tree.map(np.asarray, data)._replace(weight=np.ones(len(data.state)))
    prior_of = priors(reading, data)
    check_independent(reading.factors)
    few = chunk_size(data, reading.shape[-1])
    check(reading, jax.tree.map(lambda column: column[:few], data), values_of_rows)
    return data, prior_of


def _find(
    reading: Reading,
    data: Transitions,
    prior_of: dict[str, Prior],
    spreads: tuple[float, ...] = SPREADS,
) -> tuple[dict[str, Site], NDArray[np.bool_]]:
    """Each prior's site, and the impossible rows."""
    rows = Rows(reading, data, prior_of)
    rng = np.random.default_rng(20260101)
    points = [random_point(rng, prior_of, spread) for spread in spreads]
    log_likelihood = np.stack([rows.values(point) for point in points])
    impossible = _impossible(log_likelihood, data)
    site_of = {
        name: Site(prior, *coefficients(prior, rows, points[0], rng, impossible)) for name, prior in prior_of.items()
    }
    _verify(site_of, rows, points, log_likelihood, impossible)
    for name, site in site_of.items():
        refuse(site.family.improper(site.coefficient), data, site.family.improper_complaint.format(name))
    return site_of, impossible


def check_independent(factors: tuple[str, ...]) -> None:
    """Refuse factors outside the rows, which would be part of the prior."""
    if factors:
        raise NotConjugate(f"the factor {factors[0]!r} multiplies the prior by something unknown to its family")


def _impossible(log_likelihood: NDArray[np.float64], data: Transitions) -> NDArray[np.bool_]:
    nothing = log_likelihood < -1e300
    wrong = np.isnan(log_likelihood) | (log_likelihood == np.inf)
    if wrong.all(0).any():
        row = int(np.flatnonzero(wrong.all(0))[0])
        raise ValueError(f"the model's log-likelihood of {describe_row(data, row)} is not a number")
    for what, where in (("not a number", wrong.any(0)), ("impossible", nothing.any(0) & ~nothing.all(0))):
        if where.any():
            first = describe_row(data, int(np.flatnonzero(where)[0]))
            raise NotConjugate(f"{first} is {what} for some values of the unknowns and not for others")
    return nothing.all(0)


def _verify(
    site_of: dict[str, Site],
    rows: Rows,
    points: list[Point],
    log_likelihood: NDArray[np.float64],
    impossible: NDArray[np.bool_],
) -> None:
    """Refuse rows whose log-likelihood is not, up to a constant, what the sites' coefficients say at all points."""
    wrong = _unexplained(site_of, points, log_likelihood, impossible)
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    touched = [name for name, site in site_of.items() if site.coefficient[row].any()] or list(site_of)
    for name in touched:
        prior, complaint = site_of[name].prior, site_of[name].family.complaint
        if complaint is None:
            continue
        # Each by itself, so that the one to blame is named: a row may tell about the transition, too.
        alone = [points[0] | {site: point[site] for site in prior.sites} for point in points]
        values = np.stack([rows.values(point) for point in alone])
        how = f"it is not {complaint.format(*prior.sites)}"
        refuse(_unexplained(site_of, alone, values, impossible) & (np.arange(len(wrong)) == row), rows.data, how)
    if len(touched) > 1:
        names = " and ".join(map(repr, touched))
        refuse(wrong, rows.data, f"it joins the unknowns {names} other than as a product of powers")
    refuse(wrong, rows.data, f"it is not linear in the log of {' and '.join(map(repr, touched))}")


def _unexplained(
    site_of: dict[str, Site], points: list[Point], log_likelihood: NDArray[np.float64], impossible: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Rows [row] whose log-likelihood varies otherwise than was found."""
    constant = []
    for point, value in zip(points, log_likelihood, strict=True):
        explained = np.zeros(len(value))
        for site in site_of.values():
            explained += (site.coefficient * _statistics(site.prior, point).ravel()[site.entry]).sum(-1)
        constant.append(np.where(impossible, 0.0, value) - np.where(impossible, 0.0, explained))
    size = 1 + np.abs(np.where(impossible, 0.0, log_likelihood)).max(0)
    return np.asarray(~(np.ptp(constant, axis=0) <= TOLERANCE * size))


def _statistics(prior: Prior, point: Point) -> NDArray[np.float64]:
    return prior.family.statistics(tuple(point[name] for name in prior.sites), prior.parameters)


def _polynomial(
    name: str, tables: list[Site], legal: NDArray[np.bool_], data: Transitions
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Entries [row, entry] and coefficients [row, entry, power of the reward], from those at each of PROBES."""
    entries, values = np.stack([t.entry for t in tables]), np.stack([t.coefficient for t in tables])
    touched = values.any(-1) & legal
    row = np.arange(len(data.state))
    entry = entries[touched.argmax(0), row]
    changes = (touched & (entries != entry).any(-1)).any(0)
    refuse(changes, data, f"the reward says which entry of {name!r} it adds to")
    coefficient = np.zeros((*entry.shape, 3))
    whole = np.array([float(reward).is_integer() for reward in PROBES])
    for pattern in np.unique(legal, axis=1).T:
        rows = np.flatnonzero((legal == pattern[:, None]).all(0))
        probes, tried = np.array(PROBES)[pattern], values[pattern][:, rows]
        if not len(probes):
            continue
        if len(probes) < 4 and not whole[pattern].all():
            refuse(np.isin(row, rows), data, f"too few of the rewards {PROBES} have a probability")
        coefficient[rows] = fit = _newton(probes[:3], tried[:3])
        off = np.abs(np.einsum("rp,nep->rne", probes[:, None] ** np.arange(3), fit) - tried).max((0, 2))
        refuse(np.isin(row, rows[off > 1e-8 * (1 + np.abs(tried).max((0, 2)))]), data, "it is no square in the reward")
    return entry, coefficient


def _newton(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients [..., power] of the polynomial through up to three points; exactly 0 where `y` does not vary."""
    slope = (y[1] - y[0]) / (x[1] - x[0]) if len(x) > 1 else 0 * y[0]
    bend = ((y[2] - y[1]) / (x[2] - x[1]) - slope) / (x[2] - x[0]) if len(x) > 2 else 0 * y[0]
    x1 = x[1] if len(x) > 1 else 0.0
    return np.stack([y[0] - slope * x[0] + bend * x[0] * x1, slope - bend * (x[0] + x1), bend], -1)
