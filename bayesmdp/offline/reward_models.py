"""What the rewards of a log are: known numbers, ones and zeros, or numbers that scatter; and how far each is known.

The mean of three rewards is not what an action pays. Taken as known, the action that was lucky three times wins, and a
plan promises what luck paid. So rewards are known only where the log shows that they are: no transition that was seen
again paid anything else, at least 10 steps were such, and either each number that was paid at all was paid again by its
transition, or so many different ones were, 10, that a transition seen once is believed to be like them. Where all rows
paid the same, and not all 0 or all 1, nothing tells how other rewards would scatter, and they are taken to be known.
Otherwise ones and zeros have unknown probabilities,

    reward[s, a] ~ Beta(a, b),                 r ~ Bernoulli(reward[s, a]),

and other numbers unknown means, and noise that may differ by pair,

    reward[s, a] ~ Normal(mean, scale),        r ~ Normal(reward[s, a], noise[s, a]).

What pairs have in common comes from the log. a and b are those of the mean and the variance that a chance has over a
grid of means and of weights, each by its evidence, the probability that the log has under it (in closed form); the
square of the scale is the mean of its posterior under a uniform prior of the scale (Gelman, 2006), and the mean is the
likeliest. The noise of a pair comes from its own rewards and, as far as these are few, from all others': variances are
inverse Gamma,

    noise[s, a]^2 ~ InverseGamma(shape, rate),    scatter / noise^2 ~ chi-square with n - 1 degrees of freedom,

with shape and rate by the evidence of the scatters, and taken at their posterior mean, which is how far a Student t
scatters whose noise is as uncertain. A prior in which the spread of the means goes with the noise of each pair (the
conjugate Normal-Gamma) was tried first: it shrinks the noisiest pairs least, and those are the ones that luck favours.
Grids move and scale with the rewards. Where the log speaks for it (:mod:`bayesmdp.offline.reward_ties`) rewards are
those of the state that is entered, and reward[s'] and noise[s'] stand in the place of those of a pair. All of this is
empirical Bayes, and the choice is ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, softmax

from bayesmdp import models
from bayesmdp.model_reading.read_model import Model
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.offline.experience import Experience, RewardSums
from bayesmdp.offline.reward_ties import MIDDLES, SCALES, TRIALS, Tie, tied_by, triple_of
from bayesmdp.problems.mdp import MDP

__all__ = ["KINDS", "RewardModel", "RewardScatter", "paid_by", "reward_model"]

KINDS = ("auto", "known", "normal", "bernoulli")
ROUNDING = 1e-9
"""Of the largest reward: numbers that differ by less are one."""

AGAIN = 10
"""Steps that must have repeated a transition, and its reward, before rewards are called known; and different rewards
that must have been so repeated before one that was paid once is believed to be like them."""

PLACES: dict[Tie, str] = {"pair": "", "next_state": " of the state entered"}
SHAPES = np.array([1.0, 2, 5, 20, 1000])
SPREADS = np.array([0.1, 0.3, 0.6, 1, 1.7, 3])


class RewardModel(NamedTuple):
    """What is believed of rewards before the log, and why.

    Attributes
    ----------
    kind : {"known", "normal", "bernoulli"}
    options : dict of float or array [state, action] or [next_state]
        Those of the prior of its kind.
    described : str
    by : {"pair", "next_state"}
        What rewards hang on.
    """

    kind: str
    options: dict[str, Any]
    described: str
    by: Tie = "pair"

    def wrap(self, mdp: MDP, transitions: Model) -> Model:
        """Return the NumPyro model of transitions and rewards."""
        if self.kind == "known":
            return transitions
        make = models.normal_rewards if self.kind == "normal" else models.beta_bernoulli_rewards
        return make(mdp, transitions, **self.options, tied="next_state" if self.by == "next_state" else False)

    def again(self, experience: Experience) -> RewardModel:
        """Return the model of this kind that other rewards speak for."""
        refit = {"known": lambda _: {}, "normal": _normal, "bernoulli": _beta}[self.kind]
        return self._replace(options=refit(paid_by(experience, self.by)))

    def posterior(self, experience: Experience) -> dict[str, NDArray[np.float64]]:
        """Parameters [state, action, parameter], or [next_state, parameter], by the name of their site; none if known.

        They are those that `infer` finds for the model, without reading it.
        """
        if self.kind == "known":
            return {}
        n, mean, _ = paid_by(experience, self.by)
        if self.kind == "bernoulli":
            ones = n * mean
            return {"reward": np.stack([self.options["a"] + ones, self.options["b"] + n - ones], -1)}
        at, scale, noise = (self.options[name] for name in ("mean", "scale", "noise"))
        precision = 1 / scale**2 + n / noise**2
        return {"reward": np.stack([(at / scale**2 + n * mean / noise**2) / precision, precision**-0.5], -1)}


class RewardScatter:
    """How rewards scatter about their means: as those of a log do, with the noise of each pair, or state entered.

    Parameters
    ----------
    model : RewardModel
    rows : Transitions
        One for each distinct reward of a transition.
    experience : Experience
        Of the same log.
    """

    def __init__(self, model: RewardModel, rows: Transitions, experience: Experience) -> None:
        self.kind, self.by = model.kind, model.by
        if model.kind != "normal":
            return
        self.noise = np.asarray(model.options["noise"])
        # Residuals of groups with more than one, of variance 1, each to be drawn as often as it was seen.
        at = (rows.next_state,) if self.by == "next_state" else (rows.state, rows.action)
        paid = paid_by(experience, self.by)
        tries = paid.tries[at]
        again = tries > 1
        apart = (rows.reward - paid.mean[at])[again] / self.noise[at][again]
        weight = rows.weight[again]
        apart = apart * np.sqrt(tries[again] / (tries[again] - 1))
        size = np.sqrt((weight * apart**2).sum() / weight.sum()) if weight.sum() else 0.0
        self.residuals = apart / size if size > 0 else None
        self._until = np.cumsum(weight)

    def __call__(
        self,
        rng: np.random.Generator,
        state: NDArray[np.int64],
        action: NDArray[np.int64],
        outcome: NDArray[np.int64],
        mean: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return one reward for each mean."""
        if self.kind == "known":
            return mean
        if self.kind == "bernoulli":
            return (rng.random(len(mean)) < mean).astype(float)
        if self.residuals is None:
            apart = rng.standard_normal(len(mean))
        else:
            apart = self.residuals[np.searchsorted(self._until, rng.random(len(mean)) * self._until[-1], "right")]
        noise = self.noise[outcome] if self.by == "next_state" else self.noise[state, action]
        return np.asarray(mean + noise * apart)


def paid_by(experience: Experience, by: Tie) -> RewardSums:
    """The rewards of a log by what they hang on."""
    if by == "pair":
        return experience.paid
    assert experience.entered is not None
    return experience.entered


def reward_model(log: xr.Dataset, rows: Transitions, experience: Experience, kind: str = "auto") -> RewardModel:
    """Say what the rewards of a log are.

    Parameters
    ----------
    log : Dataset over ``step``
    rows : Transitions
        One for each distinct reward of a transition.
    experience : Experience
        Of the same log.
    kind : {"auto", "known", "normal", "bernoulli"}

    Returns
    -------
    RewardModel

    Raises
    ------
    ValueError
        For a kind that is none, or rewards that are not 0 and 1 and are to be.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> from bayesmdp.logs.compress import compress
    >>> from bayesmdp.offline.experience import added_up
    >>> river = bm.environments.riverswim(6)
    >>> log = bm.collect(river, policy="uniform", steps=100, seed=0)
    >>> rows = compress(log, river, distinct_rewards=True)
    >>> reward_model(log, rows, added_up(rows, river)).kind
    'known'
    """
    if kind not in KINDS:
        raise ValueError(f"rewards must be one of {', '.join(KINDS)}; got {kind!r}")
    paid = np.asarray(log["reward"].values, float)
    binary = bool(np.isin(paid, (0.0, 1.0)).all())
    if kind == "bernoulli" and not binary:
        step = int(np.flatnonzero(~np.isin(paid, (0.0, 1.0)))[0])
        raise ValueError(
            f"rewards='bernoulli' needs rewards of 0 or 1; the log's reward at step {step} is {paid[step]}"
        )
    triple = triple_of(rows, experience)
    triples = int(triple.max()) + 1
    differ = int((np.ptp(_by_triple(rows, triple), axis=1) > ROUNDING * np.abs(paid).max()).sum())
    again = int(rows.weight.sum()) - triples
    if kind == "known" or (kind == "auto" and not differ and again >= AGAIN and _repeated(rows, triple)):
        held = f"taken to be their means, although {differ:,} of {triples:,} transitions had different rewards"
        held *= differ > 0
        steps = f"each of {triples:,} transitions always had the same reward, with {again:,} repeats"
        return RewardModel("known", {}, f"known: {held or steps}")
    if kind == "auto" and not binary and np.ptp(paid) <= ROUNDING * np.abs(paid).max():
        return RewardModel("known", {}, "taken to be known, since every row has the same one")
    if kind == "bernoulli" or (kind == "auto" and binary):
        by = tied_by(rows, experience, "bernoulli")
        options = _beta(paid_by(experience, by))
        told = f"unknown probability of 1{PLACES[by]}: {_shown(options)}, by the log's evidence"
        return RewardModel("bernoulli", options, told, by)
    by = tied_by(rows, experience, "normal")
    options = _normal(paid_by(experience, by))
    shown = {name: options[name] for name in ("mean", "scale")} | {"noise": float(np.median(options["noise"]))}
    told = f"unknown means and noise{PLACES[by]}: {_shown(shown)}, by the log's evidence"
    return RewardModel("normal", options, told, by)


def _by_triple(rows: Transitions, triple: NDArray[np.int64]) -> NDArray[np.float64]:
    """The least and the largest reward [transition, 2] of each transition."""
    ends = np.stack([np.full(triple.max() + 1, np.inf), np.full(triple.max() + 1, -np.inf)], 1)
    np.minimum.at(ends[:, 0], triple, rows.reward)
    np.maximum.at(ends[:, 1], triple, rows.reward)
    return ends


def _repeated(rows: Transitions, triple: NDArray[np.int64]) -> bool:
    """Whether transitions that paid alike again tell of all the rewards that were paid."""
    often = np.bincount(triple, rows.weight) > 1
    place = np.round(rows.reward / (ROUNDING * max(np.abs(rows.reward).max(), np.finfo(float).tiny)))
    repeated = np.unique(place[often[triple]])
    return len(repeated) >= AGAIN or len(repeated) == len(np.unique(place))


def _shown(options: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in options.items())


def _beta(paid: RewardSums) -> dict[str, float]:
    """The Beta prior of chances, of the mean and the variance that its posterior has under a flat prior of both."""
    n = paid.tries.ravel()
    n, ones = n[n > 0], (n * paid.mean.ravel())[n > 0]
    weight, middle = (each.ravel() for each in np.meshgrid(TRIALS, MIDDLES, indexing="ij"))
    a, b = (weight * middle)[:, None], (weight * (1 - middle))[:, None]
    probable = softmax((betaln(a + ones, b + n - ones) - betaln(a, b)).sum(-1))
    # The mean and the variance of a chance, over all that weight and middle may be.
    mean = float(probable @ middle)
    variance = float(probable @ (middle * (1 - middle) / (weight + 1) + (middle - mean) ** 2))
    weighs = mean * (1 - mean) / variance - 1
    return {"a": weighs * mean, "b": weighs * (1 - mean)}


def _normal(paid: RewardSums) -> dict[str, Any]:
    """The Normal prior of means by the evidence, and the noise of each group."""
    noise = _noise(paid)
    tries = paid.tries
    tried = tries > 0
    m, variance = paid.mean[tried], (noise**2 / np.maximum(tries, 1))[tried]
    spread = np.sqrt(np.average((m - m.mean()) ** 2) + paid.noise_variance)
    scale = SCALES[:, None] * spread
    of_mean = scale**2 + variance
    centre = (m / of_mean).sum(-1, keepdims=True) / (1 / of_mean).sum(-1, keepdims=True)
    # The likelihood of the scale has the centre integrated out, as in restricted maximum likelihood.
    evidence = -0.5 * (np.log(of_mean) + (m - centre) ** 2 / of_mean).sum(-1)
    evidence -= 0.5 * np.log((1 / of_mean).sum(-1))
    # Uniform in the scale and not in its logarithm: that the means differ is not to be given up lightly.
    probable = softmax(evidence + np.log(scale[:, 0]))
    square = float(probable @ scale[:, 0] ** 2)
    precision = 1 / (square + variance)
    # What is not known of the centre is shared by all, and stands for each as more spread about it.
    wide = float(np.sqrt(square + 1 / precision.sum()))
    return {"mean": float((precision * m).sum() / precision.sum()), "scale": wide, "noise": noise}


def _noise(paid: RewardSums) -> NDArray[np.float64]:
    """Standard deviations of rewards about the mean of their group."""
    degrees = np.maximum(paid.tries - 1, 0)
    again, pooled = degrees > 0, paid.noise_variance
    if not paid.scatter.any():
        # Nothing scattered so far: that the next pair does has, by the rule of succession, a chance of 1 / (pairs + 2).
        tried = paid.tries > 0
        between = float(np.var(paid.mean[tried])) / (int(again.sum()) + 2)
        return np.sqrt(np.where(again, pooled, max(between, pooled)))
    shape, part = (each.ravel()[:, None] for each in np.meshgrid(SHAPES, SPREADS, indexing="ij"))
    rate = shape * part * pooled
    after = shape + degrees[again] / 2
    evidence = gammaln(after) - gammaln(shape) + shape * np.log(rate)
    evidence = (evidence - after * np.log(rate + paid.scatter[again] / 2)).sum(-1)
    a, b = _log_mean(shape[:, 0], evidence), _log_mean(part[:, 0], evidence) * pooled
    # The mean of an inverse Gamma needs a shape above 1; below 1.5 it is told as that of 1.5.
    return np.asarray(np.sqrt((a * b + paid.scatter / 2) / np.maximum(a + degrees / 2 - 1, 0.5)))


def _log_mean(values: NDArray[np.float64], evidence: NDArray[np.float64]) -> float:
    return float(np.exp(softmax(evidence) @ np.log(values)))
