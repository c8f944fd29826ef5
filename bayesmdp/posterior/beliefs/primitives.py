"""Beliefs about continuous problems, for agents that see the primitives of each step.

Where the posterior is known in closed form its sums are all that is carried
(:mod:`~bayesmdp.posterior.closed_forms.find_form`). Any other prior is followed by particles, which need the steps
themselves: there is room for a number of them that is fixed beforehand, and catching up evaluates all of them.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.model_runs import computed_at_random, latent_sites, looked_at, with_values
from bayesmdp.model_reading.primitives import drawn_primitives
from bayesmdp.model_reading.read_model import Model, read_sites
from bayesmdp.model_reading.records import Records
from bayesmdp.models.arguments import Frozen, freeze, thaw
from bayesmdp.posterior.beliefs.belief import Belief
from bayesmdp.posterior.beliefs.make_belief import ByParticles, bare_model, with_particles
from bayesmdp.posterior.beliefs.primitive_particles import PrimitiveParticles, one_row
from bayesmdp.posterior.closed_forms.find_form import ClosedForm, find_form
from bayesmdp.posterior.closed_forms.priors import NotConjugate
from bayesmdp.posterior.particles.coordinates import coordinates
from bayesmdp.posterior.particles.sampler import Settings

if TYPE_CHECKING:
    from bayesmdp.problems.simulated_mdp import SimulatedMDP
    from bayesmdp.problems.world import Step

__all__ = ["recorded_belief"]

PLACES = 64
"""Random places, beside the anchors, from which steps are tried."""


def recorded_belief(model: Model, mdp: SimulatedMDP, num_draws: int, room: int) -> Belief:
    """The belief of a model of recorded primitives.

    The same arguments give the same functions, so agents that share a prior share its compiled code.

    Parameters
    ----------
    model : NumPyro function of `Records`
        In closed form if it is found, unless made with `with_particles`.
    mdp : SimulatedMDP
        Read for where states lie and how many actions there are.
    num_draws : int
        Draws a call of `draw` returns.
    room : int
        Steps there is room for where there is no closed form.

    Raises
    ------
    Unsuitable
        If there is no closed form, and particles cannot carry the unknowns either.
    TypeError, ValueError
        If the model is not as :mod:`bayesmdp.model_reading.records` asks.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> belief = recorded_belief(bm.models.slippery_lake(lake), lake, 10, room=100)
    >>> with jax.enable_x64(True):
    ...     state, sites = belief.draw(jax.random.key(1), belief.init(jax.random.key(0)))
    >>> {name: values.shape for name, values in sites.items()}
    {'direction': (10, 3), 'mobility': (10,), 'reach': (10,)}
    """
    bare = bare_model(model)
    problem = mdp.problem
    rng = np.random.default_rng(0)
    places = np.concatenate([problem.anchors, rng.uniform(problem.low, problem.high, (PLACES, problem.start.size))])
    state = freeze(np.repeat(places, problem.num_actions, 0))
    asked, recorded = (
        set(_probe(bare, state, problem.num_actions)[0].seen),
        {*mdp.primitives, "next_state", "reward", "terminal"},
    )
    if asked - recorded:
        raise ValueError(
            f"the model observes {sorted(asked - recorded)[0]!r}, which {mdp.name} does not record; it records "
            f"{', '.join(map(repr, sorted(recorded)))}"
        )
    if not isinstance(model, ByParticles):
        try:
            form, identity = _form(model, state, problem.num_actions)
            return _exact(model, form, num_draws, identity, state, problem.num_actions)
        except NotConjugate:
            model = with_particles(model)
    return _by_particles(model.model, state, problem.num_actions, num_draws, room, model.settings)


@lru_cache(maxsize=256)
def _probe(model: Model, state: Frozen, num_actions: int) -> tuple[Records, str]:
    """Steps from each place by each action, as the model draws them.

    And a digest of unknowns, primitives and next states, and of how probable they are, in that run of the model.
    """
    places = thaw(state)
    action = np.arange(len(places), dtype=np.int32) % num_actions
    data = Records(places, action, {}, np.ones(len(places)))
    with jax.enable_x64(True):
        try:
            drawn, told = computed_at_random(model, data, looked_at(model, data, latent_sites), _drawn_and_told)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise TypeError(
                f"the model {getattr(model, '__name__', model)!r} does not run on steps of a continuous problem, as "
                f"bayesmdp.model_reading.records describes: {type(error).__name__}: {error}"
            ) from error
    digest = hashlib.sha256()
    for name, parts in told.items():
        digest.update(name.encode())
        for part in parts:
            digest.update(np.ascontiguousarray(part).tobytes())
    return data._replace(seen=drawn), digest.hexdigest()[:16]


@lru_cache(maxsize=256)
def _form(model: Model, state: Frozen, num_actions: int) -> tuple[ClosedForm, str]:
    data, identity = _probe(model, state, num_actions)
    with jax.enable_x64(True):
        return find_form(read_sites(model, data), data), identity


def _drawn_and_told(messages: dict[str, Any]) -> tuple[dict[str, Array], dict[str, list[Array]]]:
    """Primitives; and the value of each site and, where it is sampled, the log of its probability."""
    told = {
        name: [site["value"], *([site["fn"].log_prob(site["value"])] if site["type"] == "sample" else [])]
        for name, site in with_values(messages).items()
    }
    return drawn_primitives(messages), told


def _no_table(state: Any) -> Any:
    raise TypeError("a belief about a continuous problem has no table of pairs")


@lru_cache(maxsize=256)
def _exact(model: Model, form: Any, num_draws: int, identity: str, state: Frozen, num_actions: int) -> Belief:
    """The belief of a closed form, whose sums are all that is carried."""
    asked = _probe(model, state, num_actions)[0].seen

    def observe(key: Key[Array, ""], state: Any, step: Step) -> Any:
        return form.learn(model, state, one_row(step, asked))

    return Belief(
        lambda key: jax.tree.map(jnp.asarray, form.before),
        observe,
        lambda key, state: (state, form.draw(key, state, num_draws)),
        _no_table,
        _no_table,
        form.draw,
        dims=form.dims,
        identity=identity,
        parameters=form.parameters,
    )


@lru_cache(maxsize=256)
def _by_particles(
    model: Model, state: Frozen, num_actions: int, num_draws: int, room: int, settings: Settings
) -> Belief:
    probe, told = _probe(model, state, num_actions)
    with jax.enable_x64(True):
        reading = read_sites(model, probe)
        layout = coordinates(model, jax.tree.map(lambda column: column[:1], probe))
        identity = f"{told} {settings} {room}"
    follow = PrimitiveParticles(model, layout, settings, num_draws, probe, tuple(reading.latents), room)
    return Belief(
        follow.init,
        follow.observe,
        follow.draw,
        _no_table,
        _no_table,
        follow.sample,
        dims=tuple(reading.dims.items()),
        identity=identity,
        report=follow.report,
        room=room,
    )
