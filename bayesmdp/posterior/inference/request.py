"""What `infer` is asked for, and draws: from a closed form, or by the samplers that serve every kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from bayesmdp.foundation.validation import integer
from bayesmdp.model_reading.read_model import Data, Model, Reading
from bayesmdp.posterior.closed_forms.draws import Layout, exact_draws
from bayesmdp.posterior.inference import nuts, particles
from bayesmdp.posterior.inference.tree import in_chains
from bayesmdp.posterior.particles.sampler import DEFAULT, Settings

__all__ = ["METHODS", "Drawn", "Request", "check_draws", "drawn_exactly", "num_chains", "sampled"]

METHODS = ("auto", "exact", "smc", "nuts")


class Request(NamedTuple):
    """The options of `infer`, checked; `chains` divides `draws`."""

    draws: int
    method: str
    seed: int
    chains: int
    num_warmup: int
    progress: bool


class Drawn(NamedTuple):
    """Draws of the unknowns before and after the data.

    Attributes
    ----------
    posterior, prior : {site: array [chain, draw, ...]}
    statistics : {name: array [chain, draw]}
        How each draw was made; empty but for NUTS.
    account : {name: float}
        Of the run as a whole: the log evidence and what else the attrs of a posterior say.
    """

    posterior: dict[str, NDArray[Any]]
    prior: dict[str, NDArray[Any]]
    statistics: dict[str, NDArray[Any]]
    account: dict[str, float]


def num_chains(draws: int, chains: int) -> int:
    """Return the largest number of chains, `chains` at most, that divides `draws`.

    Parameters
    ----------
    draws : int
    chains : int

    Returns
    -------
    int
    """
    return max(n for n in range(1, integer("chains", chains, 1) + 1) if draws % n == 0)


def check_draws(draws: int, reason: str) -> None:
    """Refuse to keep parameters alone where there are none.

    Parameters
    ----------
    draws : int
    reason : str
        Why there is no closed form.
    """
    if not draws:
        raise ValueError(f"draws must be at least 1 where the posterior is not known in closed form: {reason}")


def drawn_exactly(
    before: dict[str, NDArray[Any]],
    after: dict[str, NDArray[Any]],
    layout: Layout,
    reading: Reading | None,
    log_evidence: float,
    request: Request,
) -> Drawn:
    """Draw from a prior and from its posterior in closed form.

    The model, as it was read, is needed where it computes sites from others.

    Parameters
    ----------
    before, after : mapping of site to array
        Parameters of the prior and of the posterior.
    layout : Layout
    reading : Reading or None
    log_evidence : float
    request : Request

    Returns
    -------
    Drawn
    """
    prior, posterior = (
        in_chains(exact_draws(parameters, layout, request.draws, request.seed, reading, prior=first), request.chains)
        for parameters, first in ((before, True), (after, False))
    )
    return Drawn(posterior, prior, {}, {"log_evidence": log_evidence, "log_evidence_sd": 0.0})


def sampled(
    engine: str, model: Model, data: Data, names: Sequence[str], request: Request, settings: Settings = DEFAULT
) -> Drawn:
    """Draw sites by particles or by NUTS.

    Parameters
    ----------
    engine : {"smc", "nuts"}
    model : NumPyro function of the data
    data : Transitions, Targets or Records
    names : sequence of str
        The sites.
    request : Request
    settings : Settings
        Of particles.

    Returns
    -------
    Drawn
    """
    if engine == "smc":
        sample = particles.run(
            model,
            data,
            num_draws=request.draws,
            num_chains=request.chains,
            seed=request.seed,
            settings=settings,
            progress=request.progress,
        )
        return Drawn(sample.draws, sample.prior, {}, sample.account())
    posterior, statistics = nuts.run(
        model,
        data,
        names,
        num_draws=request.draws,
        num_chains=request.chains,
        num_warmup=request.num_warmup,
        seed=request.seed,
        progress=request.progress,
    )
    prior = nuts.prior_draws(model, data, names, request.draws, request.seed + 1)
    return Drawn(posterior, in_chains(prior, request.chains), statistics, {})
