# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What prior alignment means
#
# An agent that learned its prior from earlier tasks has a prior that is slightly wrong. How much can that cost? The
# analysis of Thompson sampling with a learned prior rests on one idea, *prior alignment*: compare the agent with a
# second agent that has the true prior but slightly different noise in the data of its first few episodes. If that noise
# is chosen well, both agents have the *same posterior* afterwards, and from then on they behave identically. You will
# see
#
# 1. the two posteriors that two priors give from the same data;
# 2. the shift of the noise after which the two posteriors coincide exactly;
# 3. how unlikely that noise is, and why it hardly matters once there are some data.
#
# Prior alignment is a proof technique, not an algorithm: no agent can choose its noise. (The paper's proof was not at
# hand; the coupling here is derived from its name and from earlier work on bandits.)

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from scipy import stats

import bayesmdp as bm
from bayesmdp.models import gaussian_q

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "0.5"


def tidy(axes):
    for ax in np.ravel(axes):
        ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## 1. One log, two priors
#
# The smallest problem that shows the idea has one state, two actions and one step per episode, so that the weights of Q
# are the values of the two actions. The true prior has mean mu = (0, 0) and covariance Sigma; the mean of the learned
# prior is off by Delta.

# %%
bandit = bm.MDP(
    transition=np.ones((2, 2, 1)),
    successor=np.ones((2, 2, 1), int),
    reward=np.zeros((2, 2)),
    discount=None,
    stage=[0, 1],
    terminal=[False, True],
    features=np.stack([np.eye(2), np.zeros((2, 2))]),
    name="two-armed",
)
NOISE, MEAN, DELTA = 1.0, np.zeros(2), np.array([0.8, -0.5])
COVARIANCE = np.array([[0.6, 0.3], [0.3, 0.5]])
right = gaussian_q(bandit, MEAN, COVARIANCE, noise=NOISE)
learned = gaussian_q(bandit, MEAN + DELTA, COVARIANCE, noise=NOISE)

rng = np.random.default_rng(3)
TRUTH = rng.multivariate_normal(MEAN, COVARIANCE)


def warm_up(tries):
    """So many tries of each action: the rows of a regression."""
    features = np.tile(np.eye(2), (tries, 1))
    target = features @ TRUTH + NOISE * rng.normal(size=2 * tries)
    return bm.Targets(np.zeros(2 * tries, int), features, target, np.ones(2 * tries))


def posterior(prior, data):
    known = bm.infer(prior, data, mdp=bandit, draws=0)["parameters"].to_dataset().isel(stage=0)
    return known["mean"].values, known["covariance"].values


data = warm_up(3)
(mean, covariance), (off, same) = posterior(right, data), posterior(learned, data)
print("posterior means  ", mean.round(3), off.round(3))
print("same covariance? ", np.allclose(covariance, same))

# %% [markdown]
# The covariances agree, since a posterior covariance depends neither on the prior mean nor on the targets. The means
# differ by `precision^-1 Sigma^-1 Delta`, where `precision` is the inverse of the posterior covariance.
#
# ## 2. The luck that makes up for it
#
# Let A be the matrix of the features [row, action], b the vector of the targets and sigma the standard deviation of
# their noise. The posterior mean is `precision^-1 (Sigma^-1 mu + A'b / sigma^2)`. To keep it while mu moves by Delta,
# A'b has to move by `-sigma^2 Sigma^-1 Delta`. The smallest change of the noise that does so is
#
#     shift = -A (A'A)^-1 sigma^2 Sigma^-1 Delta.


# %%
def shift(data):
    """Of the targets' noise [row]: what undoes Delta."""
    design = data.features
    return -design @ np.linalg.solve(design.T @ design, NOISE**2 * np.linalg.solve(COVARIANCE, DELTA))


aligned = data._replace(target=data.target + shift(data))
again, _ = posterior(learned, aligned)
print("aligned          ", mean.round(3), again.round(3))
assert np.allclose(mean, again, atol=1e-12)

# %%
fig, axes = plt.subplots(1, 2, figsize=(9.5, 4.2), sharex=True, sharey=True, layout="constrained")


def draw_normal(ax, mean, covariance, colour, label, style="-"):
    values, vectors = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    width, height = 2 * np.sqrt(stats.chi2.ppf(0.8, 2) * values[::-1])
    ax.add_patch(
        Ellipse(
            mean, width, height, angle=angle, fill=False, edgecolor=colour, linestyle=style, linewidth=1.8, label=label
        )
    )
    ax.plot(*mean, ".", color=colour)


for ax, found, title in (
    (axes[0], off, "the same luck: two posteriors"),
    (axes[1], again, "aligned luck: one posterior"),
):
    draw_normal(ax, MEAN, COVARIANCE, BLUE, "right prior", ":")
    draw_normal(ax, MEAN + DELTA, COVARIANCE, ORANGE, "learned prior", ":")
    draw_normal(ax, mean, covariance, BLUE, "posterior, right prior")
    draw_normal(ax, found, same, ORANGE, "posterior, learned prior", "--")
    ax.set_title(title, loc="left")
    ax.set_xlabel("value of action 0")
axes[0].set_ylabel("value of action 1")
axes[0].legend(frameon=False, loc="upper left", fontsize=8)
axes[0].set(xlim=(-2.2, 2.6), ylim=(-2.6, 2.0))
tidy(axes)

# %% [markdown]
# The regions hold 80% of the probability. In the right panel the dashed ellipse lies on the solid one: from here on the
# two agents draw the same weights from the same random numbers, and act alike for ever.
#
# ## 3. What it costs
#
# Both agents live in the same world, so the second agent's noise is in fact not shifted. But Normal noise that is
# shifted a little is nearly as likely as noise that is not. The probability of anything that the first agent may do
# therefore differs from the second agent's by at most the *total variation* distance between Normal(0, sigma^2 I) and
# Normal(shift, sigma^2 I), which is `2 Phi(|shift| / (2 sigma)) - 1`, where Phi is the Normal distribution function.
# And |shift| falls like one over the square root of the number of tries.

# %%
tries = np.unique(np.logspace(0, 3, 8 if SMALL else 30).astype(int))
length = np.array([np.linalg.norm(shift(warm_up(n))) for n in tries])
variation = 2 * stats.norm.cdf(length / (2 * NOISE)) - 1
fig, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
ax.loglog(tries, variation, color=BLUE)
ax.loglog(tries, variation[-1] * np.sqrt(tries[-1] / tries), color=GREY, linestyle=":", linewidth=1)
ax.text(
    tries[0], 1.05 * variation[-1] * np.sqrt(tries[-1] / tries[0]), "slope -1/2", color=GREY, ha="left", va="bottom"
)
ax.set_xlabel("tries of each action before the comparison")
ax.set_ylabel("largest difference in probability\nof anything the two may do")
ax.set_title("A wrong prior mean is forgotten like this", loc="left")
tidy(ax)
slope = np.polyfit(np.log(tries[-5:]), np.log(variation[-5:]), 1)[0]
print(f"{tries[0]} try: {variation[0]:.2f};  {tries[-1]} tries: {variation[-1]:.3f};  slope at the end {slope:.2f}")

# %% [markdown]
# So a learned prior costs at most its error, measured in units of the prior's own width (`Sigma^-1 Delta`), divided by
# the square root of the number of observations; and its error falls with the square root of the number of tasks. The
# argument needs two conditions, and both can fail in practice:
#
# - `A'A` must be invertible: if the warm-up never tries some feature, no shift of the noise can make up for an error
#   there. Empirical Bayes does not need this condition; see [learning a prior](learning_a_prior.py).
# - `Sigma^-1 Delta` must be small: a learned covariance that is too narrow in some direction makes it arbitrarily
#   large. The *widening* of MTSRL+ is meant to prevent this.

# %%
plt.show()
