"""Learning a prior from tasks, by name: what agents across tasks call after a task, and :func:`learn_prior` of logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from bayesmdp.foundation.one_thread import one_blas_thread
from bayesmdp.foundation.validation import finite_array, integer, number, reject_first
from bayesmdp.learned_priors.empirical_bayes import empirical_bayes
from bayesmdp.learned_priors.full_bayes import full_bayes
from bayesmdp.learned_priors.q_values import RULES, meta_posterior, mtsrl, mtsrl_plus, pooled_noise
from bayesmdp.learned_priors.transitions import dirichlet_prior
from bayesmdp.logs.log import label_indices
from bayesmdp.model_reading.read_model import Model
from bayesmdp.models import dirichlet_transitions, gaussian_q
from bayesmdp.posterior.beliefs.exact import exact_belief
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior, read_gaussian, root
from bayesmdp.posterior.inference.q_values import of_q_values, statistics_of
from bayesmdp.problems.labels import label_array
from bayesmdp.problems.mdp import MDP

__all__ = ["METHODS", "Method", "Past", "learn_prior"]


class Past(NamedTuple):
    """What a method is told.

    Attributes
    ----------
    tasks : TaskStatistics, or counts [task, state, action, outcome]
        Of the tasks before, the oldest first.
    base, previous : GaussianPrior, or concentrations [state, action, outcome]
        The prior that the first tasks were played under, and the one learned last, if any was.
    episodes, total : int
        Episodes a task, and tasks in all.
    seed : int
    """

    tasks: Any
    base: Any
    previous: Any
    episodes: int
    total: int
    seed: int


class Method(NamedTuple):
    """A way of learning a prior.

    Attributes
    ----------
    learn : callable
        ``learn(past, **options) -> prior`` of the same kind as the base.
    about : {"theta", "transition"}
    own_targets : bool
        Whether a task's targets are made with the prior it was played under; with the base otherwise.
    least : int
        Tasks it needs.
    options : mapping of name to ``check(name, value)``
    needs : tuple of str
        Options without a default.
    """

    learn: Callable[..., Any]
    about: str = "theta"
    own_targets: bool = True
    least: int = 1
    options: Mapping[str, Callable[[str, Any], Any]] = {}
    needs: tuple[str, ...] = ()


def _mtsrl(past: Past, **options: Any) -> GaussianPrior:
    return mtsrl(past.tasks, past.base, **options)


def _mtsrl_plus(past: Past, **options: Any) -> GaussianPrior:
    return mtsrl_plus(past.tasks, past.base, episodes=past.episodes, tasks=past.total, **options)


def _empirical_bayes(past: Past, **options: Any) -> GaussianPrior:
    return empirical_bayes(past.tasks, past.base, past.previous, **options)


def _adats(past: Past, *, covariance: Any, learn_noise: bool = True) -> GaussianPrior:
    base = _with_noise(past, learn_noise)
    mean, known = meta_posterior(past.tasks, base, covariance=covariance)
    return GaussianPrior(mean, root(covariance + known), base.noise)


def _meta_ts(past: Past, *, covariance: Any, learn_noise: bool = True) -> GaussianPrior:
    base = _with_noise(past, learn_noise)
    mean, known = meta_posterior(past.tasks, base, covariance=covariance)
    normal = np.random.default_rng(past.seed).standard_normal(mean.shape)
    return GaussianPrior(mean + (root(known) @ normal[..., None])[..., 0], root(covariance), base.noise)


def _with_noise(past: Past, learn_noise: bool) -> GaussianPrior:
    """The base, with the noise that the tasks' regressions show if it is to be learned."""
    base: GaussianPrior = past.base
    return base._replace(noise=pooled_noise(past.tasks, base)) if learn_noise else base


def _full_bayes(past: Past, **options: Any) -> GaussianPrior:
    return full_bayes(past.tasks, past.base, seed=past.seed, **options)


def _dirichlet(past: Past, **options: Any) -> Any:
    return dirichlet_prior(past.tasks, past.base, **options)


def _covariance(name: str, value: Any) -> Any:
    """[stage, feature, feature], symmetric, no eigenvalue below 0."""
    array = finite_array(name, value)
    if array.ndim != 3 or array.shape[1] != array.shape[2]:
        raise ValueError(f"{name} has shape {array.shape}; expected [stage, feature, feature]")
    least, size = np.linalg.eigvalsh(array)[:, 0], np.abs(array).max((1, 2))
    off = np.abs(array - array.swapaxes(1, 2)).max((1, 2))
    reject_first(name, (off > 1e-9 * size) | (least < -1e-9 * size), least, "", verb="has the smallest eigenvalue")
    return array


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False; got {value!r}")
    return value


def _rule(name: str, value: Any) -> str:
    if value not in RULES:
        raise ValueError(f"{name} must be one of {', '.join(RULES)}; got {value!r}")
    return str(value)


def _perhaps_at_least_0(name: str, value: Any) -> float | None:
    return None if value is None else number(name, value, minimum=0)


_NOISE: dict[str, Any] = {"learn_noise": _flag}
_KNOWN: dict[str, Any] = {"options": {"covariance": _covariance, **_NOISE}, "needs": ("covariance",)}
_AT_LEAST_0, _POSITIVE = partial(number, minimum=0), partial(number, above=0)
_WIDTH: dict[str, Any] = {"rule": _rule, "shrink": partial(number, minimum=0, maximum=1), "scale": _AT_LEAST_0}
_COUNT = partial(integer, minimum=1)
_FULL: dict[str, Any] = {
    "draws": _COUNT,
    "chains": _COUNT,
    "num_warmup": _COUNT,
    "spread": _POSITIVE,
    "concentration": _POSITIVE,
}

METHODS: Mapping[str, Method] = {
    "mtsrl": Method(_mtsrl, own_targets=False, **_KNOWN),
    "mtsrl+": Method(_mtsrl_plus, own_targets=False, least=2, options={**_WIDTH, **_NOISE}),
    "empirical-bayes": Method(_empirical_bayes, least=2, options={"strength": _perhaps_at_least_0, **_NOISE}),
    "full-bayes": Method(_full_bayes, options=_FULL),
    "adats": Method(_adats, **_KNOWN),
    "meta-ts": Method(_meta_ts, **_KNOWN),
    "dirichlet": Method(_dirichlet, about="transition", least=2, options={"strength": _POSITIVE}),
}
"""By name; see :mod:`~bayesmdp.learned_priors.q_values`, `empirical_bayes`, `full_bayes` and `transitions`."""


def learn_prior(
    posteriors: Sequence[xr.DataTree],
    base: Model,
    mdp: MDP,
    method: str | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> Model:
    """The prior of the next task, learned from the posteriors of earlier ones.

    Parameters
    ----------
    posteriors : sequence of DataTree
        One a task, from :func:`~bayesmdp.infer` with `base` and the same `mdp`.
    base : NumPyro model
        `gaussian_q` or another linear-Gaussian model of ``theta``; or `dirichlet_transitions`.
    mdp : MDP
        Read for its sizes.
    method : str, optional
        Of Q-values ``"mtsrl"`` (with ``covariance=`` [stage, feature, feature], of the tasks), ``"mtsrl+"``
        (``rule=``, ``shrink=``, ``scale=``), ``"empirical-bayes"`` (the default; ``strength=``), ``"full-bayes"``
        (``draws=``, ...), ``"adats"`` or ``"meta-ts"`` (``covariance=``); of transitions ``"dirichlet"``
        (``strength=``). With ``learn_noise=`` all of Q-values but ``"full-bayes"`` learn the targets' noise, too, or do
        not: MTSRL and MTSRL+ do not by default, the others do. The width of a widened MTSRL+ looks at the number of
        tasks, here that of the posteriors; in `simulate_tasks` it is that of all tasks to come.
    seed : int
        Of the methods that draw.

    Returns
    -------
    NumPyro model
        `gaussian_q` or `dirichlet_transitions`, which any agent takes.

    Raises
    ------
    ValueError
        If the method is not known or not for such posteriors, or there are too few of them.

    See Also
    --------
    bayesmdp.across_tasks : the same from task to task while an agent acts.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> river = bm.environments.riverswim(6)
    >>> base = bm.models.dirichlet_transitions(river)
    >>> logs = [bm.collect(river, steps=500, seed=task) for task in range(5)]
    >>> learned = learn_prior([bm.infer(base, log, mdp=river, draws=0) for log in logs], base, river)
    >>> learned.__name__
    'dirichlet_transitions'
    """
    if not len(posteriors):
        raise ValueError("posteriors is empty; give one posterior a task")
    about = "theta" if of_q_values(base, mdp) else "transition"
    for task, tree in enumerate(posteriors):
        if ("likelihood" in tree.children) != (about == "theta"):
            raise ValueError(f"posteriors[{task}] is not of {about!r}, as base is: infer it with base and the same mdp")
    name = method or {"theta": "empirical-bayes", "transition": "dirichlet"}[about]
    told = checked_options(name, options)
    check_method(name, about, "the posteriors are")
    chosen = METHODS[name]
    if len(posteriors) < chosen.least:
        raise ValueError(f"method {name!r} needs at least {chosen.least} tasks; got {len(posteriors)}")
    if about == "transition":
        counts = np.stack([_counts(tree, mdp) for tree in posteriors])
        prior = _concentration(base, mdp)
        learned = chosen.learn(Past(counts, prior, prior, 0, len(counts), seed), **told)
        return dirichlet_transitions(mdp, learned)
    assert mdp.features is not None
    prior = read_gaussian(base, int(mdp.horizon or 0), mdp.features.shape[-1])
    tasks = statistics_of(list(posteriors))
    square = np.shape(prior.factor)
    known: Any = told.get("covariance", prior.factor)
    for what, given in (("the posteriors", tasks.gram.shape[1:]), ("covariance", known.shape)):
        if given != square:
            raise ValueError(f"{what} have [stage, feature, feature] = {given}; base has {square}")
    episodes = int(tasks.count[:, 0].mean())
    with one_blas_thread():
        learned = chosen.learn(Past(tasks, prior, None, episodes, len(posteriors), seed), **told)
    with jax.enable_x64(True):
        return as_model(learned, mdp)


def as_model(prior: GaussianPrior, mdp: MDP) -> Model:
    """Make a NumPyro model of a learned prior; a singular covariance is widened by 1e-9 of its largest variance.

    Parameters
    ----------
    prior : GaussianPrior
    mdp : MDP
        Whose features the prior's weights are of.

    Returns
    -------
    NumPyro model
    """
    covariance = np.asarray(prior.covariance)
    values = np.linalg.eigvalsh(covariance)
    least, largest = values[:, 0], values[:, -1]
    widening = np.where(least > 1e-9 * largest, 0, 1e-9 * largest + 1e-300)
    return gaussian_q(mdp, np.asarray(prior.mean), covariance, noise=np.asarray(prior.noise), widening=widening)


def checked_options(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of a method by name and value.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    options : mapping
        Refused if one is not the method's, or it lacks one.

    Returns
    -------
    dict
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    chosen = METHODS[method]
    for name in options:
        if name not in chosen.options:
            raise ValueError(f"method {method!r} has no option {name!r}; it has {', '.join(chosen.options) or 'none'}")
    for name in chosen.needs:
        if name not in options:
            raise ValueError(f"method {method!r} needs {name}=, that of the tasks [stage, feature, feature]")
    return {name: chosen.options[name](name, value) for name, value in options.items()}


def check_method(method: str, about: str, subject: str) -> None:
    """Refuse a method that is for other unknowns.

    Parameters
    ----------
    method : str
    about : str
        What the prior at hand is about.
    subject : str
        Whose prior it is, for the message.
    """
    if METHODS[method].about != about:
        raise ValueError(f"method {method!r} is for priors of {METHODS[method].about!r}; {subject} of {about!r}")


def _counts(tree: xr.DataTree, mdp: MDP) -> Any:
    """How often each outcome was seen [state, action, outcome]."""
    rows = xr.merge([tree["constant_data"].to_dataset(), tree["observed_data"].to_dataset()])
    states, actions = label_array(mdp.states, text=True).tolist(), label_array(mdp.actions, text=True).tolist()
    named = {"state": states, "action": actions, "next_state": states}
    index = [label_indices(rows, name, labels) for name, labels in named.items()]
    if mdp.successor is not None:
        index[2] = (mdp.successor[index[0], index[1]] == index[2][:, None]).argmax(-1)
    counts = np.zeros((mdp.num_states, mdp.num_actions, mdp.num_outcomes))
    np.add.at(counts, tuple(index), rows["weight"].values)
    return counts


def _concentration(base: Model, mdp: MDP) -> Any:
    belief = exact_belief(base, mdp, num_draws=1)
    with jax.enable_x64(True):
        found = belief.concentration(belief.init(jax.random.key(0))) if belief.concentration else {}
    if "transition" not in found or "reward" in dict(belief.dims):
        raise ValueError("a Dirichlet prior is learned for models whose one unknown is a Dirichlet 'transition'")
    return np.asarray(found["transition"])
