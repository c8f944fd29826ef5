"""Beliefs of conjugate models.

They carry how often each possible row was seen, n, the sum of the rewards it brought, and for models that observe
rewards the sum of their squares; with the tables of `conjugate` a draw of a Dirichlet site is

    p ~ Dirichlet(concentration + sum over rows of n[row] c[row]),

one of another family accordingly (:mod:`~bayesmdp.posterior.closed_forms.families`), and ``transition`` and ``reward``
are whatever the model makes of them. Sums of squares have a price: of a precision's 16 digits, twice those are lost by
which the mean reward exceeds its standard deviation.

*Fresh* draws are independent at every call. *Renewed* draws are kept between calls as Gamma variables g, p = g /
sum(g): since ``Gamma(a + 1) = Gamma(a) + Exp(1)``, a transition changes the entries it adds to and nothing else, and a
call replaces only a share of the draws, in rotation. *Kept* draws are the limit in which none is ever replaced. For
data gathered regardless of the draws, such as a fixed log, kept draws are draws from the posterior; an agent's data are
not (its actions depended on the draws, so an unlucky set may keep it from learning otherwise: a pair that looks bad in
all of them is never tried again), which makes renewal an approximation, the smaller the share, the faster and the
coarser, and keeping all of them wrong for agents, there to be compared with.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.validation import integer, number
from bayesmdp.model_reading.model_runs import repeated, run_at_random
from bayesmdp.model_reading.read_model import Model, check, read_for_agents
from bayesmdp.model_reading.rows import Transitions, all_transitions
from bayesmdp.posterior.beliefs.belief import Belief
from bayesmdp.posterior.beliefs.tally import Tally
from bayesmdp.posterior.closed_forms.draws import MOMENT_DRAWS, completed, draw_sites, log_gammas
from bayesmdp.posterior.closed_forms.linear_sites import linear_in
from bayesmdp.posterior.closed_forms.transitions import Conjugate, find, find_for_any_reward

if TYPE_CHECKING:
    from bayesmdp.models.arguments import Sizes
    from bayesmdp.problems.world import Step

__all__ = ["Kept", "Sums", "draw_rule", "exact_belief"]

DRAWS = ("fresh", "renewed", "kept")


class Sums(NamedTuple):
    """State of fresh draws.

    Attributes
    ----------
    seen : array [row, 2 or 3]
        Of each row: how often it was seen, the sum of its rewards, and if the model observes rewards that of their
        squares.
    """

    seen: Array


class Kept(NamedTuple):
    """State of renewed or kept draws.

    Attributes
    ----------
    seen : array [row, 2]
        As in `Sums`.
    cursor : int
        The first draw to be replaced by the next call of `draw`.
    log_gamma : dict of arrays [draw, entry]
        Logs, since most Gamma variables of small concentration are below the smallest float.
    """

    seen: Array
    cursor: Array
    log_gamma: dict[str, Array]


def exact_belief(model: Model, mdp: Sizes, num_draws: int, *, draws: str = "fresh", share: float = 0.1) -> Belief:
    """The belief of a conjugate model about an MDP of the given sizes.

    The same arguments give the same functions, so agents that share a prior share its compiled code.

    Parameters
    ----------
    model : NumPyro function of the data
    mdp
        Read for `num_states`, `num_actions` and `num_outcomes`.
    num_draws : int
        Draws a call of `draw` returns.
    draws : {"fresh", "renewed", "kept"}
        Kept draws are right for data gathered regardless of them only; see the module.
    share : float in (0, 1], default 0.1
        Of the draws that each call replaces, when renewed.

    Raises
    ------
    NotConjugate
        With the reason.
    ValueError
        If an option or the model's ``transition`` is not as expected, or renewal is asked of a model with unknowns of
        other families than Dirichlet and Beta, or that adds other than whole observations to its concentrations.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.models import dirichlet_transitions
    >>> river = bm.environments.riverswim(6)
    >>> belief = exact_belief(dirichlet_transitions(river), river, 10)
    >>> with jax.enable_x64(True):
    ...     state, sites = belief.draw(jax.random.key(1), belief.init(jax.random.key(0)))
    >>> sites["transition"].shape
    (10, 6, 2, 6)
    """
    draw_rule(num_draws, draws, share)
    return _exact_belief(
        model,
        (int(mdp.num_states), int(mdp.num_actions), int(mdp.num_outcomes)),
        num_draws,
        {"fresh": None, "renewed": max(1, math.ceil(share * num_draws - 1e-9)), "kept": 0}[draws],
        "next_state" if getattr(mdp, "successor", None) is None else "outcome",
    )


def draw_rule(num_draws: int, draws: str, share: float) -> dict[str, Any]:
    """The options of `exact_belief` that say how draws are made, checked."""
    if draws not in DRAWS:
        raise ValueError(f"draws must be one of {', '.join(DRAWS)}; got {draws!r}")
    return {
        "num_draws": integer("num_draws", num_draws, 1),
        "draws": draws,
        "share": number("share", share, above=0, maximum=1),
    }


@lru_cache(maxsize=256)
def _found(model: Model, shape: tuple[int, int, int], outcome: str) -> Conjugate:
    program, rewarded = read_for_agents(model, shape, outcome)
    return (find_for_any_reward if rewarded else find)(model, all_transitions(*shape), outcome, program)


@lru_cache(maxsize=256)
def _exact_belief(
    model: Model, shape: tuple[int, int, int], num_draws: int, num_renewed: int | None, outcome: str
) -> Belief:
    found = _found(model, shape, outcome)
    empty = all_transitions(*shape)
    tally = Tally(shape, squares=any(site.coefficient.ndim > 2 for site in found.sites.values()))

    asked = [name for name in ("transition", "reward") if name in found.program.dims]
    computed = {name: linear_in(name, model, empty, found) for name in asked if name not in found.sites}
    linear = {name: site for name, site in computed.items() if site is not None}

    def rows(state: Sums | Kept) -> Transitions:
        return tally.rows(state.seen)

    def visits(state: Sums | Kept) -> Array:
        return tally.visits(state.seen)

    identity = _identity(model, found, empty)
    # What rows add to a Normal or a Gamma is in units of its prior.
    movable = all(site.family.simplex for site in found.sites.values())

    def build(prior: dict[str, Array] | None = None) -> Belief:
        def parameters(state: Sums | Kept) -> dict[str, Array]:
            return found.posterior(state.seen, prior)

        def concentration(state: Sums | Kept) -> dict[str, Array]:
            known = parameters(state)
            return {name: known[name] for name, site in found.sites.items() if site.family.simplex}

        def init(key: Array) -> Sums:
            return Sums(tally.nothing())

        def observe(key: Array, state: Sums, step: Step) -> Sums:
            return Sums(tally.add(state.seen, step))

        def sample(key: Array, state: Sums | Kept, num_draws: int) -> dict[str, Array]:
            return draw_sites(key, model, found.layout, empty, parameters(state), num_draws)

        def draw(key: Array, state: Sums) -> tuple[Sums, dict[str, Array]]:
            return state, sample(key, state, num_draws)

        def moments(key: Array, state: Sums | Kept) -> tuple[Sums | Kept, dict[str, tuple[Array, Array]]]:
            """Exact where the site is an unknown of a known family or linear in such; else of MOMENT_DRAWS draws."""
            known = parameters(state)
            exact = {name: site.family.moments(known[name]) for name, site in found.sites.items()}
            exact |= {name: site.moments(exact) for name, site in linear.items()}
            exact = {name: exact[name] for name in asked if name in exact}
            if len(exact) == len(asked):
                return state, exact
            drawn = sample(key, state, MOMENT_DRAWS)
            return state, {name: exact.get(name, (drawn[name].mean(0), drawn[name].var(0, ddof=1))) for name in asked}

        def possible(data: Transitions) -> NDArray[np.bool_]:
            return np.asarray(found.impossible | (check(model, data) > -1e300))

        fresh = Belief(
            init,
            observe,
            draw,
            visits,
            rows,
            sample,
            dims=tuple(found.program.dims.items()),
            identity=identity,
            concentration=concentration,
            parameters=parameters,
            moments=moments,
            possible=possible if found.program.rewarded else None,
            with_prior=build if movable else None,
        )
        if num_renewed is None:
            return fresh

        for name, site in found.sites.items():
            if not site.family.simplex:
                raise ValueError(
                    f"renewed and kept draws need Dirichlet and Beta unknowns; {name!r} is {site.family.name}. Use "
                    "draws='fresh'"
                )
            if site.coefficient.ndim > 2:
                raise ValueError(
                    f"renewed and kept draws need rows that add 1 to {name!r}, whatever the reward. Use draws='fresh'"
                )
            if not np.isin(site.coefficient, (0.0, 1.0)).all():
                other = site.coefficient[~np.isin(site.coefficient, (0.0, 1.0))].flat[0]
                raise ValueError(
                    f"renewed and kept draws need rows that add 1 to {name!r}; one adds {other:g}. Use draws='fresh'"
                )

        def init_kept(key: Array) -> Kept:
            state = init(key)
            return Kept(
                state.seen, jnp.zeros((), jnp.int32), log_gammas(key, found.layout, parameters(state), num_draws)
            )

        def observe_kept(key: Array, state: Kept, step: Step) -> Kept:
            place, log_gamma = tally.row(step), dict(state.log_gamma)
            for name, subkey in zip(log_gamma, jax.random.split(key, len(log_gamma)), strict=True):
                site = found.sites[name]
                entry, adds = jnp.asarray(site.entry)[place], jnp.asarray(site.coefficient)[place]
                amount = jnp.log(jax.random.exponential(subkey, (num_draws, entry.size), jnp.float64)) + jnp.log(adds)
                log_gamma[name] = log_gamma[name].at[:, entry].set(jnp.logaddexp(log_gamma[name][:, entry], amount))
            return Kept(tally.add(state.seen, step), state.cursor, log_gamma)

        def draw_kept(key: Array, state: Kept) -> tuple[Kept, dict[str, Array]]:
            if num_renewed == 0:
                return state, completed(model, found.layout, empty, parameters(state), state.log_gamma)
            place = (state.cursor + jnp.arange(num_renewed, dtype=jnp.int32)) % num_draws
            fresh = log_gammas(key, found.layout, parameters(state), num_renewed)
            log_gamma = {name: state.log_gamma[name].at[place].set(fresh[name]) for name in fresh}
            cursor = (state.cursor + num_renewed) % num_draws
            sites = completed(model, found.layout, empty, parameters(state), log_gamma)
            return Kept(state.seen, cursor, log_gamma), sites

        return fresh._replace(init=init_kept, observe=observe_kept, draw=draw_kept)

    return build()


def _identity(model: Model, found: Conjugate, data: Transitions) -> str:
    """A digest of what the posterior is made of: priors, tables, and the kernel at a fixed point."""
    with jax.enable_x64(True):
        kernel = run_at_random(model, repeated(data, 1), found.program.latents).values["transition"].astype(float)
    digest = hashlib.sha256(kernel.tobytes())
    for name, site in found.sites.items():
        digest.update((name if site.family.simplex else f"{site.prior.sites}{site.family.name}").encode())
        for table in (site.concentration, site.entry, site.coefficient):
            digest.update(np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()[:16]
