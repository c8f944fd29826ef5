"""Which engine an agent's belief runs on: the closed form where there is one, particles elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayesmdp.foundation.user_code import check_model, model_name
from bayesmdp.foundation.validation import integer, number
from bayesmdp.model_reading.read_model import Model
from bayesmdp.posterior.beliefs.belief import Belief
from bayesmdp.posterior.beliefs.exact import exact_belief
from bayesmdp.posterior.beliefs.particles import smc_belief
from bayesmdp.posterior.closed_forms.priors import NotConjugate
from bayesmdp.posterior.particles.sampler import Settings

if TYPE_CHECKING:
    from bayesmdp.models.arguments import Sizes

__all__ = ["ByParticles", "bare_model", "make_belief", "with_particles"]


@dataclass(frozen=True)
class ByParticles:
    """A model and how particles are to follow its posterior; itself the same model."""

    model: Model
    settings: Settings

    @property
    def __name__(self) -> str:
        return model_name(self.model)

    def __call__(self, data: Any) -> Any:
        return self.model(data)


def with_particles(
    model: Model,
    particles: int = 500,
    *,
    threshold: float = 0.5,
    moves: int = 100,
    leapfrog: int = 2,
    share: float = 0.05,
) -> ByParticles:
    """The same prior, to be followed by particles wherever it is used, even if it has a closed form.

    Parameters
    ----------
    model : NumPyro model
    particles : int
        More are more exact, and cost so much more.
    threshold : float in (0, 1)
        Resample where the effective sample size would fall below this share of the particles.
    moves : int
        At most so many moves after resampling; fewer once particles have forgotten where they were.
    leapfrog : int
        Gradients in a move of Hamiltonian Monte Carlo.
    share : float in [0, 1]
        Of the particles that are moved whenever an agent draws.

    See Also
    --------
    bayesmdp.infer : chooses the engine by itself.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> prior = with_particles(bm.models.river_current(river), 200)
    >>> result = bm.simulate(river, {"PSRL": bm.agents.psrl(prior)}, steps=100, replicates=1)
    >>> bool((result["effective_size"] <= 200.001).all())
    True
    """
    settings = Settings(
        integer("particles", particles, 2),
        number("threshold", threshold, above=0, below=1),
        integer("moves", moves, 1),
        integer("leapfrog", leapfrog, 1),
        number("share", share, minimum=0, maximum=1),
    )
    return ByParticles(bare_model(model), settings)


def bare_model(model: Model) -> Model:
    """Return the model itself, where it was given with how particles are to follow it.

    Parameters
    ----------
    model : NumPyro model

    Raises
    ------
    TypeError
        If it is no function.
    """
    check_model(model)
    return model.model if isinstance(model, ByParticles) else model


def make_belief(model: Model, mdp: Sizes, num_draws: int, *, draws: str = "fresh", share: float = 0.1) -> Belief:
    """The belief of any model about an MDP of the given sizes.

    Parameters
    ----------
    model : NumPyro function of the data
        Exact if its posterior is known in closed form, unless made with `with_particles`.
    mdp, num_draws, draws, share
        As for :func:`~bayesmdp.posterior.beliefs.exact.exact_belief`.

    Raises
    ------
    NotConjugate
        If renewed or kept draws are asked of a model that has no closed form.
    ValueError
        As from either engine.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> belief = make_belief(bm.models.dirichlet_transitions(river), river, num_draws=2)
    >>> dict(belief.dims)["transition"]
    ('state', 'action', 'next_state')
    """
    if not isinstance(model, ByParticles):
        try:
            return exact_belief(model, mdp, num_draws, draws=draws, share=share)
        except NotConjugate as error:
            if draws != "fresh":
                raise NotConjugate(f"draws={draws!r} needs a closed form; use draws='fresh'. {error}") from error
            model = with_particles(model)
    if draws != "fresh":
        raise ValueError(f"draws={draws!r} is of exact beliefs; particles have draws='fresh'")
    return smc_belief(model.model, mdp, num_draws, model.settings)
