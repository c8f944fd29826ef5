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
# # Robustness and exploration
#
# A low quantile of the posterior protects a plan from what is not known. The same low quantile keeps an agent from
# finding it out. Song, Wang and Zhou (2026, arXiv 2605.24345) call this the robustness-exploration trade-off, and have
# theorems and examples on both sides of it. The [other tutorial](aq_brmdp_on_riverswim.py) on their paper is about
# their agent; this one is about what the choice of a level does. You will see
#
# 1. how far a level moves a value, in units of what the data leave open;
# 2. what a plan for a level really guarantees, which corresponds to another level;
# 3. one bet in which caution is right, and one trap that a cautious agent never leaves;
# 4. where the paper's statements about its risky lake hold, in a study that was declared before it was run;
# 5. why posterior draws may be reused while a log is read, but not while an agent acts on them, whether they are
#    weighted or not.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.colors import ListedColormap
from scipy import stats

import bayesmdp as bm
from bayesmdp.environments.risky_lake import GOAL, HOLES
from bayesmdp.studies.risky_lake import CELLS
from bayesmdp.studies.tables import stored_table
from bayesmdp.studies.theorem_1 import asymptotics
from bayesmdp.studies.two_kernels import downside, trap

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
BLUE, ORANGE, GREEN, PINK, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"


def tidy(axes):
    for ax in np.ravel(axes):
        ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## 1. What a level does
#
# Take a fixed policy on four states and n observed transitions. P is the transition matrix under this policy, r its
# reward, gamma the discount and V its true value. The posterior of each row p of P is a Dirichlet distribution, and the
# *quantile value* at level alpha solves
#
# $$ V_\alpha(s) = r(s) + \gamma\, \mathrm{quantile}_\alpha\big(p_s^\top V_\alpha\big). $$
#
# How far is it from the true V? That depends on the data, which are random. Theorem 1 says that over many data sets
# $\sqrt n\,(V_\alpha - V)$ is asymptotically Normal, with mean and covariance
#
# $$ \gamma\, z_\alpha\, M \sigma \qquad\text{and}\qquad \gamma^2 M\, \mathrm{diag}(\sigma^2)\, M^\top,
#    \qquad M = (I - \gamma P)^{-1}, $$
#
# where $z_\alpha$ is the Normal quantile, and $\sigma(s)$ is the standard deviation of the next state's value divided
# by the square root of the share of observations that s gets. So the level should shift the values and not scatter
# them. `asymptotics` draws the data sets and solves for the quantile value of each. It returns the theorem's
# predictions beside the simulated moments.

# %%
LEVELS = (0.1,) if SMALL else (0.1, 0.3, 0.5, 0.7, 0.9)
SIZES = (400,) if SMALL else (100, 1_000, 20_000)
DATA_SETS, DRAWS = (50, 50) if SMALL else (400, 200)
tables = {
    (n, level): asymptotics(level=level, observations=n, data_sets=DATA_SETS, num_draws=DRAWS).isel(state=0, other=0)
    for n in SIZES
    for level in LEVELS
}

# %%
any_table = tables[SIZES[0], LEVELS[0]]
spread = float(any_table["predicted_covariance"]) ** 0.5
slope = float(any_table["predicted_mean"]) / stats.norm.ppf(LEVELS[0])
grid = np.linspace(0.03, 0.97, 95)
fig, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharex=True, layout="constrained")
axes[0].plot(grid, slope * stats.norm.ppf(grid), color="0.5", label="Theorem 1")
axes[1].axhline(spread, color="0.5", label="Theorem 1")
for i, (n, colour) in enumerate(zip(SIZES, (ORANGE, GREEN, BLUE), strict=False)):
    place = np.array(LEVELS) + 0.015 * (i - 1)
    mean, error, variance = (
        np.array([float(tables[n, level][name]) for level in LEVELS]) for name in ("mean", "mean_error", "covariance")
    )
    width = stats.norm.ppf(0.975)
    style = {"fmt": "o", "markersize": 4, "color": colour, "label": f"{n:,} observations"}
    axes[0].errorbar(place, mean, width * error, **style)
    # The interval of a standard deviation, from the chi-squared distribution of a sample variance.
    ends = np.sqrt((DATA_SETS - 1) * variance / stats.chi2.ppf([[0.975], [0.025]], DATA_SETS - 1))
    sd = np.sqrt(variance)
    axes[1].errorbar(place, sd, np.abs(ends - sd), **style)
axes[0].set(xlabel="level", ylabel=r"mean of $\sqrt{n}\,(V_\alpha - V)$, first state")
axes[0].set_title("The level shifts the value ...", loc="left")
axes[1].set(xlabel="level", ylabel=r"standard deviation of $\sqrt{n}\,(V_\alpha - V)$", ylim=(0, 1.35 * spread))
axes[1].set_title("... and does not scatter it", loc="left")
axes[0].legend(frameon=False)
tidy(axes)
plt.show()

# %%
# The shift in standard deviations of the value itself, and the probability of a Normal variable below it.
for level in (0.1, 0.3, 0.5):
    z = slope * stats.norm.ppf(level) / spread
    print(
        f"level {level} in every row: {z:+.2f} standard deviations, the whole value's {stats.norm.cdf(z):.3f}-quantile"
    )

# %% [markdown]
# The shift follows $z_\alpha$, and from 1,000 observations on the spread hardly depends on the level. With 100
# observations there is still a difference: low levels shift the value less than the theorem says, and scatter it less.
#
# Now compare the sizes of shift and spread. Both shrink like $1/\sqrt n$, so *their ratio does not change with n*: more
# data make a cautious plan less wrong but not less cautious. And the ratio is larger than the level says. Errors of
# independent rows partly cancel, so their spreads add like roots of sums of squares. But a plan that expects a bad
# quantile of every row at once adds the spreads themselves. With four rows alike the level acts twice as strongly, and
# in general up to $\sqrt S$ times for S rows (this remark is ours).
#
# ## 2. What a plan guarantees
#
# Proposition 1 turns this into a guarantee. Suppose that the S rows that a policy meets are independent. Then with
# posterior probability $(1-\alpha)^S$ all of them are at least as good as their alpha-quantiles say, and in that case
# the policy is worth at least what was planned. In other words, $V_\alpha$ is at most the posterior quantile of the
# policy's value at level $1 - (1-\alpha)^S$. `bm.plan` returns that level as the attr `guarantee_level`, counting only
# rows that are not known.
#
# For S = 6 and alpha = .1 this level is .47, for S = 12 it is .72, and a promise that may be broken 72 times in 100 is
# no promise. What is the plan really worth? Draw kernels from the posterior, evaluate the policy under each, and take
# the quantile: `bm.quantile_value` does this, with an interval that accounts for the number of draws. We take rivers of
# several lengths and suppose that each pair was tried 100 times, with exactly the expected outcomes. Then we write the
# posterior down: concentrations in a group `parameters` are all that `bm.plan(..., quantile="exact")` and `bm.draw`
# need. All rivers are stored in arrays of the same size, of which the shorter ones use the first states, so everything
# is compiled once.

# %%
TRIES, ALPHA = 100, 0.1
LENGTHS = (3, 6) if SMALL else (3, 6, 9, 12)
VALUE_DRAWS = 200 if SMALL else 4_000


def padded_river(length, size):
    """A river with states behind it that are out of reach."""
    true = bm.environments.riverswim(length)
    transition = np.repeat(np.eye(size)[:, None], 2, axis=1)
    transition[:length, :, :length] = true.transition
    reward = np.zeros((size, 2))
    reward[:length] = true.reward[..., 0]
    return bm.MDP(transition=transition, reward=reward, discount=0.99, actions=true.actions, name="river")


def posterior_of(river, length):
    """Dirichlet posteriors after `TRIES` observations of each pair that went as expected."""
    concentration = TRIES * river.transition
    concentration[:length, :, :length] += 1 / length
    parameters = xr.Dataset({"transition": (("state", "action", "next_state"), concentration)})
    return xr.DataTree.from_dict({"parameters": parameters})


def normal_level(river):
    """What Theorem 1 makes of the level, for the policy that always swims."""
    swim = river.transition[:, 1]
    spread = np.linalg.inv(np.eye(len(swim)) - river.discount * swim)[0]
    value = bm.evaluate(river, ["right"] * len(swim)).values
    sigma = np.sqrt(np.maximum(swim @ value**2 - (swim @ value) ** 2, 0))
    return stats.norm.cdf(stats.norm.ppf(ALPHA) * spread @ sigma / np.sqrt(spread**2 @ sigma**2))


rows = {}
for length in LENGTHS:
    river = padded_river(length, LENGTHS[-1])
    posterior = posterior_of(river, length)
    plan = bm.plan(posterior, river, bm.Quantile(ALPHA), quantile="exact")
    stricter = bm.plan(posterior, river, bm.Quantile(1 - (1 - ALPHA) ** (1 / length)), quantile="exact")
    draws = bm.draw(posterior, VALUE_DRAWS, seed=length)
    values = bm.value_draws(draws, river, plan["policy"]).isel(state=0)
    worth = bm.quantile_value(draws, river, plan["policy"], ALPHA)
    rows[length] = {
        "truth": float(bm.evaluate(river, plan["policy"])[0]),
        "promise": float(plan["value"][0]),
        "stricter": float(stricter["value"][0]),
        "quantile value": float(worth["initial"]),
        "lower": float(worth["initial_lower"]),
        "upper": float(worth["initial_upper"]),
        "guarantee": plan.attrs["guarantee_level"],
        "broken": float((values < plan["value"][0]).mean()),
        "Normal": normal_level(river),
    }
rivers = pd.DataFrame.from_dict(rows, orient="index").rename_axis("S")
print(rivers.round(3).to_string())

# %%
fig, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
size = np.arange(1, LENGTHS[-1] + 1)
axes[0].plot(size, 1 - (1 - ALPHA) ** size, color="0.6")
axes[0].plot(rivers["guarantee"], "o", color=RED, label="Proposition 1: at most")
axes[0].plot(rivers["broken"], "s", color=BLUE, label="share of posterior draws in which it is")
axes[0].plot(rivers["Normal"], color=BLUE, linewidth=1, label="the same, by Theorem 1")
axes[0].axhline(ALPHA, color="0.6", linestyle=":")
axes[0].annotate("asked for", (1, ALPHA), xytext=(0, 3), textcoords="offset points", color="0.4", fontsize=9)
axes[0].set(xlabel="states in the river", ylabel="probability that the promise is broken", ylim=(-0.02, 1))
axes[0].set_title("A .1-quantile plan is far safer than guaranteed ...", loc="left")
axes[0].legend(frameon=False, loc="upper left")
share = rivers.div(rivers["truth"], axis=0)
axes[1].axhline(1, color="0.6", linestyle=":")
axes[1].annotate(
    "truth", (LENGTHS[-1], 1), xytext=(0, 3), textcoords="offset points", color="0.4", fontsize=9, ha="right"
)
bars = np.abs(share[["lower", "upper"]].sub(share["quantile value"], axis=0)).T
axes[1].errorbar(share.index, share["quantile value"], bars, fmt="s-", color=BLUE, label="posterior .1-quantile value")
axes[1].plot(share["promise"], "o-", color=RED, label="promise of the plan for level .1")
axes[1].plot(share["stricter"], "o:", color=ORANGE, label=r"promise of the plan for level $1 - .9^{1/S}$")
axes[1].set(xlabel="states in the river", ylabel="value at the start, as a share of the truth", ylim=(0, 1.12))
axes[1].set_title("... and promises less than it safely could", loc="left")
axes[1].legend(frameon=False, loc="lower left")
tidy(axes)
plt.show()

# %% [markdown]
# The guarantee is true, but far from what happens: on twelve states it allows the promise to be broken in 72 of 100
# worlds, and the promise is broken in less than one. The reason is that of section 1. It is a much rarer event than one
# in ten that all rows are bad at once, and the Normal distribution of Theorem 1 (blue line) predicts how rare at 100
# tries per pair.
#
# So the promise errs on the safe side, and the longer the river, the more value it leaves out. It should not be
# reported as the plan's value. A guarantee level of .1 would require a plan for level $1 - .9^{1/S}$, which promises
# even less (orange). To report what a plan is worth with posterior probability .9, evaluate it: the blue squares. (Use
# other draws than those that the plan was made with; these plans used none.)
#
# ### Exact quantiles
#
# These plans used no draws. Under a Dirichlet posterior the distribution function of a target p.v, the expected value
# of the next state, is a known integral, and `quantile="exact"` solves it for the quantile to near machine precision.
# How many draws would have been enough?

# %%
REPEATS, MOST = (4, 200) if SMALL else (40, 1_600)
NUMBERS = [n for n in (25, 50, 100, 200, 400, 800, 1_600) if n <= MOST]
river = bm.environments.riverswim(6, discount=0.99)
posterior = posterior_of(river, 6)
exact = bm.plan(posterior, river, bm.Quantile(ALPHA), quantile="exact")
sampled = np.zeros((REPEATS, len(NUMBERS)))
for i in range(REPEATS):
    draws = bm.draw(posterior, MOST, seed=i)
    for j, n in enumerate(NUMBERS):  # the first n draws of each set
        sampled[i, j] = float(bm.plan(draws, river, bm.Quantile(ALPHA, num_draws=n))["value"][0])

fig, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
jitter = np.exp(np.random.default_rng(0).uniform(-0.12, 0.12, sampled.shape))
ax.plot(np.array(NUMBERS) * jitter, sampled, ".", color=BLUE, alpha=0.35, markeredgewidth=0)
ax.plot(NUMBERS, sampled.mean(0), "_", color="black", markersize=22, markeredgewidth=2)
ax.axhline(float(exact["value"][0]), color=RED, label=f"exact (error at most {exact.attrs['bound']:.0e})")
ax.set_xscale("log")
ax.set_xticks(NUMBERS, [f"{n:,}" for n in NUMBERS])
ax.minorticks_off()
ax.set(xlabel="posterior draws (bars: means)", ylabel="promised value at the start")
ax.set_title("The same .1-quantile plan, from draws and without", loc="left")
ax.legend(frameon=False)
tidy(ax)
plt.show()

# %%
error = pd.DataFrame({"mean": sampled.mean(0), "sd": sampled.std(0, ddof=1)}, index=pd.Index(NUMBERS, name="draws"))
print((error - [float(exact["value"][0]), 0]).rename(columns={"mean": "mean error"}).round(2).to_string())

# %% [markdown]
# Draws mostly scatter the promise, by some 2% at 200 draws, and the scatter falls with the square root of their number.
# With few draws there is also a bias: the quantile of 25 draws is the third smallest, which corresponds to a level of
# about .12. An agent that plans hundreds of times can live with that; for one plan that matters, take the exact
# quantile.
#
# ## 3. Two small worlds
#
# ### A bet
#
# Example 1 of the paper's appendix has a safe loop, which pays c per step, and a risky action. Under kernel 1 the risky
# action leads to a good state, which pays 1 per step for ever; under kernel 2 it leads to a state that pays nothing.
# The posterior gives kernel 2 the mass q. The mean plan takes the bet while $c < \gamma(1-q)$; the quantile plan does
# not take it once $q$ reaches its level. The regret is $c/(1-\gamma)$ if the bet is lost and $(\gamma - c)/(1-\gamma)$
# if a winning bet is not taken.
#
# *Posterior downside exposure* to a loss is the probability that the regret is at least this loss:
# `bm.downside_exposure`. Here c = .5, the discount is .9 and the level .2.

# %%
GAMMA, SAFE, LEVEL = 0.9, 0.5, 0.2
lost, missed = SAFE / (1 - GAMMA), (GAMMA - SAFE) / (1 - GAMMA)
masses = np.round(np.arange(1, 10) / 10, 1)
exposure = {q: downside(GAMMA, SAFE, q, level=LEVEL)["exposure"] for q in masses}  # to a loss of 4.5
losses = np.arange(0.25, 6, 0.5)
by_loss = [downside(GAMMA, SAFE, 0.3, level=LEVEL, loss=loss)["exposure"] for loss in losses]

fig, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
names = {"mean": "mean plan", f"quantile:{LEVEL}": f"{LEVEL}-quantile plan"}
bets = {"mean": 1 - SAFE / GAMMA, f"quantile:{LEVEL}": LEVEL}  # up to this mass each takes the bet
for (name, label), colour, marker in zip(names.items(), (ORANGE, BLUE), "os", strict=True):
    axes[0].plot(masses, [exposure[q][name] for q in masses], marker, color=colour, label=label)
    mass = np.linspace(0, 1, 1_001)
    axes[0].plot(mass, np.where(mass < bets[name], mass, 0), color=colour, linewidth=1)
    axes[1].plot(losses, [table[name] for table in by_loss], marker, color=colour, markersize=4)
loss = np.linspace(0, 6, 1_001)
axes[1].plot(loss, 0.3 * (loss <= lost), color=ORANGE, linewidth=1)
axes[1].plot(loss, 0.7 * (loss <= missed), color=BLUE, linewidth=1)
axes[0].set(xlabel="posterior mass q of the kernel in which the bet is lost", ylabel="posterior downside exposure")
axes[0].set_title("Exposure to a loss of 4.5 (lines: closed form)", loc="left")
axes[0].legend(frameon=False)
axes[1].set(xlabel="loss")
axes[1].set_title("Exposure at q = .3, to any loss", loc="left")
axes[1].annotate(
    "bet not taken:\nmisses 4 with probability .7", (missed, 0.7), xytext=(4.15, 0.62), color=BLUE, fontsize=9
)
axes[1].annotate("bet taken:\nloses 5 with probability .3", (lost, 0.3), xytext=(4.15, 0.32), color=ORANGE, fontsize=9)
tidy(axes)
plt.show()

# %% [markdown]
# In the left panel the mean plan is exposed as long as it bets, with probability up to .4. The quantile plan is exposed
# only while the bad kernel's mass is below its level. The right panel shows the price: an agent that does not bet
# misses 4 with probability .7. Caution does not make regret rare, it makes large regret impossible. Whether that is
# worth it depends on which loss hurts, and that is what the level should express.
#
# ### A trap
#
# In Example 2 the start has the same safe loop, and a probe that leads to one of two rooms. The room reveals the
# kernel, and an agent that knows the kernel knows the way on to the good state. Staying reveals nothing. A plan for a
# quantile below both masses expects nothing good from either room. So the agent stays, learns nothing, and plans as
# before. While $c < \gamma^2$ its regret is $(\gamma^2 - c)/(1-\gamma)$ at every step, for ever.

# %%
STEPS, REPLICATES = (60, 2) if SMALL else (400, 8)
result = trap(GAMMA, SAFE, level=0.1, steps=STEPS, replicates=REPLICATES)
total = result["regret"].cumsum("step")
rate = (GAMMA**2 - SAFE) / (1 - GAMMA)
fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
colours = {"PSRL": ORANGE, "BRMDP": BLUE, "AQ-BRMDP": GREEN}
for agent, colour in colours.items():
    name = "BRMDP, level .1" if agent == "BRMDP" else agent
    axes[0].plot(total["step"], total.sel(agent=agent).mean("replicate"), color=colour, label=name, linewidth=2)
    for i, replicate in enumerate(total.sel(agent=agent).values):
        axes[1].plot(total["step"], replicate, color=colour, alpha=0.6, linewidth=1, label=name if i == 0 else None)
for ax in axes:
    ax.plot(total["step"], rate * total["step"], color="black", linestyle=":", label=f"{rate:.2g} a step")
    ax.set(xlabel="step", ylabel="cumulative regret")
axes[0].set_title("The trap does not open by itself", loc="left")
axes[0].legend(frameon=False)
axes[1].set(xlim=(0, 60), ylim=(0, 60 * rate))
axes[1].set_title("The first 60 steps, replicate by replicate", loc="left")
tidy(axes)
plt.show()

# %%
at_start = (result["state"] == 0).cumprod("step").sum("step")  # steps until it first leaves
last = result["state"].isel(step=-1)
for agent in colours:
    stay, end = at_start.sel(agent=agent).values, last.sel(agent=agent).values
    print(
        f"{agent}: {np.median(stay):.0f} steps at the start (median); then {(end == 3).sum()} of {REPLICATES} in the "
        f"good state, {(end == 4).sum()} in the barren one; regret {float(total.sel(agent=agent)[:, -1].mean()):,.1f}"
    )

# %% [markdown]
# BRMDP at level .1 never leaves, and follows the closed form to the last digit. No amount of time helps; only another
# level does. AQ-BRMDP begins as cautiously as that, but its level rises with every pseudo-episode, and when it passes
# 1/2 the rooms look good enough to enter. Its cost is the waiting time.
#
# PSRL leaves at once, but its regret alone flatters it. It follows one drawn kernel for a whole pseudo-episode, even in
# the room, although the room has just revealed the true kernel. So one time in two it takes the wrong door. After that
# its regret does not grow, because nothing better is possible in the barren state: regret measures decisions from where
# an agent is, not what it has lost by getting there. AQ-BRMDP fares better here for a reason that is no merit. At a
# level above 1/2 both doors of a room look good; ties go to the first action, and that happens to be the right one
# under the kernel that is true in this picture.
#
# ## 4. The risky lake
#
# The paper's second experiment is a frozen lake without end. Holes are sticky, and the goal sends the agent back to a
# random cell. Beside a hole, two moves from the goal, there is a shortcut: *right* in cell 6 reaches the goal at once
# or falls into the hole, and the latter far more often. The experiment's numbers cannot be recovered from the text that
# we have. So the study `risky-lake` runs a grid: slip 1/3 and .1, a shortcut that fails with probability .7 and .9, two
# priors and two discounts. A few more cells change the probability of getting out of a hole, the place of the shortcut,
# or the length of the run. The study was declared before it was run. Every statement of section 5.2 becomes a figure
# with a 95% interval over 64 paired replicates. A statement *holds* if the whole interval lies above 0, *fails* if the
# whole interval lies at or below 0, and is *open* otherwise. The figures in the table are differences of regret or of
# value.
#
# *Robust regret* needs an interpretation. The paper's (16) subtracts a policy's value from that of the cautious plan,
# which is the quantile plan at the floor .1. Its EC.6 says that the summands are never negative, and Lemma 3 subtracts
# two quantile values of one policy. So both values are taken here in the current quantile problem: V*_.1 minus V_.1 of
# the policy. (We used to subtract the policy's true value. That made robust regret negative as soon as an agent did
# better than the cautious plan promises. This version is `Robust(policy_under="truth")`.)

# %%
fig, ax = plt.subplots(figsize=(3.4, 3.4), layout="constrained")
KINDS = {0: "start", GOAL: "goal", **dict.fromkeys(HOLES, "hole")}
SHADES = {"goal": "#CDEBDD", "hole": "0.82", "start": "white"}
for cell in range(16):
    row, column = divmod(cell, 4)
    kind = KINDS.get(cell, "")
    ax.add_patch(plt.Rectangle((column, row), 1, 1, facecolor=SHADES.get(kind, "white"), edgecolor="0.6"))
    ax.text(column + 0.5, row + 0.5, kind, ha="center", va="center", fontsize=9)
    ax.text(column + 0.06, row + 0.07, cell, va="top", fontsize=7, color="0.5")
for end, colour, bend, share in (((3.05, 1.5), RED, 0, "p"), ((3.1, 3.3), GREEN, 0.35, "1 - p")):
    arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", end, (2.55, 1.5), arrowprops=arrow)
    ax.text(*{"p": (2.75, 1.4), "1 - p": (2.2, 2.75)}[share], share, color=colour, ha="center", fontsize=9)
ax.set(xlim=(-0.03, 4.03), ylim=(4.03, -0.03), aspect="equal")
ax.set_title("Right in cell 6: a hole with probability p", fontsize=9, loc="left")
ax.axis("off")
plt.show()

# %%
claims = stored_table("risky_lake")
cells = list(CELLS)
figures = stored_table("risky_lake_regret")
VERDICTS = {"no": "fails", "open": "open", "yes": "holds"}
PALETTE = ListedColormap(["#F4A582", "#E8E8E8", "#92C5DE"])
PARTS = r"^(?P<slip>[\d.]+)-(?P<failure>[\d.]+)-(?P<prior>[a-z]+)-(?P<discount>[\d.]+)-?(?P<other>.*)$"
OTHER = {"exit-0.01": "exit .01", "exit-0.2": "exit .2", "cell-4": "in cell 4", "long": "20,000"}


def told(cell):
    """The settings of a cell, under each other."""
    part = pd.Series([cell]).str.extract(PARTS).iloc[0]
    slip, prior = {"0.33": "1/3"}.get(part["slip"], part["slip"]), {"sparse": "1/S", "uniform": "1"}[part["prior"]]
    return "\n".join([slip, part["failure"], prior, part["discount"], OTHER.get(part["other"], "")])


def short(number):
    return f"{number:,.0f}" if abs(number) >= 10 else f"{number:.2f}"


table = claims.pivot(index="statement", columns="cell", values=["holds", "figure"])
statements = claims["statement"].unique()
holds, figure = (table[name].loc[statements, cells].to_numpy() for name in ("holds", "figure"))
colour = np.vectorize(list(VERDICTS).index, otypes=[int])(holds)
fig, ax = plt.subplots(figsize=(4.8 + 0.68 * len(cells), 2 + 0.34 * len(statements)), layout="constrained")
ax.pcolormesh(colour, cmap=PALETTE, vmin=0, vmax=2, edgecolor="white", linewidth=2)
for (i, j), number in np.ndenumerate(figure):
    ax.text(j + 0.5, i + 0.5, short(number), ha="center", va="center", fontsize=8)
ax.set_xticks(np.arange(len(cells)) + 0.5, [told(cell) for cell in cells], fontsize=8)
names = [name.replace("AQ's", "AQ-BRMDP's").replace(", a mean over time,", "") for name in statements]
ax.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
ax.invert_yaxis()
ax.xaxis.tick_top()
ax.annotate(
    "slip\nfailure\nprior\ndiscount\nbesides",
    (0, 1),
    xytext=(-8, 3.5),
    xycoords="axes fraction",
    textcoords="offset points",
    ha="right",
    va="bottom",
    fontsize=8,
    color="0.4",
)
ax.tick_params(length=0)
ax.spines[:].set_visible(False)
handles = [plt.Line2D([], [], marker="s", linestyle="", markersize=10, color=c) for c in PALETTE.colors]
fig.legend(handles, VERDICTS.values(), frameon=False, ncols=3, loc="outside lower left")
fig.suptitle("Section 5.2, statement by statement", x=0.01, ha="left")
plt.show()

# %%
verdict = claims["holds"].map(VERDICTS)
counts = pd.crosstab(claims["statement"], verdict).reindex(index=statements, columns=VERDICTS.values(), fill_value=0)
print(counts.to_string())

# %% [markdown]
# The next figure shows the regret in each cell. The three fixed levels are joined, so that one sees whether regret
# rises or falls with the level, or turns.

# %%
FIXED = {"BRMDP-0.1": 0.1, "BRMDP-0.3": 0.3, "BRMDP-0.5": 0.5}


def against_psrl(ax, rows, quantity):
    """One cell's agents, in multiples of PSRL's mean."""
    rows = rows.set_index("agent")
    bounds = rows[[quantity, f"{quantity}_lower", f"{quantity}_upper"]] / rows.loc["PSRL", quantity]
    bounds.columns = ["mean", "lower", "upper"]
    for agent, colour in (("PSRL", ORANGE), ("AQ-BRMDP", GREEN)):
        ax.axhspan(bounds.loc[agent, "lower"], bounds.loc[agent, "upper"], color=colour, alpha=0.25, linewidth=0)
        ax.axhline(bounds.loc[agent, "mean"], color=colour, label=agent)
    fixed = bounds.loc[list(FIXED)]
    error = np.abs(fixed[["lower", "upper"]].sub(fixed["mean"], axis=0)).T.to_numpy()
    ax.errorbar(
        list(FIXED.values()), fixed["mean"], error, fmt="o-", color=BLUE, markersize=4, label="BRMDP at a level"
    )
    ax.set_xticks(list(FIXED.values()), [".1", ".3", ".5"])
    ax.set_xlim(0.05, 0.55)


across = min(7, len(cells))
down = -(-len(cells) // across)
fig, axes = plt.subplots(
    down, across, figsize=(max(7, 1 + 1.6 * across), 0.9 + 2.4 * down), sharey=True, squeeze=False, layout="constrained"
)
for ax in axes.flat[len(cells) :]:
    ax.set_visible(False)
for ax, cell in zip(axes.flat, cells, strict=False):
    against_psrl(ax, figures[figures["cell"] == cell], "regret")
    slip, failure, prior, discount, other = told(cell).split("\n")
    ax.set_title(f"slip {slip}, fails {failure}\nprior {prior}, {discount}\n{other}", loc="left", fontsize=8)
    ax.set_yscale("log")
for ax in axes[:, 0]:
    ax.set_ylabel("final regret, in PSRL's")
axes[0, 0].set_yticks((0.5, 1, 2, 4), ("0.5", "1", "2", "4"))
axes[0, 0].minorticks_off()
fig.supxlabel("level")
fig.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncols=3, loc="outside upper right")
fig.suptitle("Regret against the level", x=0.01, ha="left")
tidy(axes)
plt.show()

# %%
regret = figures.pivot(index="cell", columns="agent", values="regret").loc[cells, ["PSRL", *FIXED, "AQ-BRMDP"]]
turns = {(True, True): "falls", (False, False): "rises", (True, False): "least at .3", (False, True): "most at .3"}
step = regret[list(FIXED)].diff(axis=1).iloc[:, 1:] < 0
by_level = claims[claims["statement"].str.match(r"BRMDP-0\.[15]'s final")].groupby("cell")["holds"]
sure = by_level.agg(lambda verdicts: (verdicts != "open").all())
shape = pd.Series([turns[tuple(pair)] for pair in step.to_numpy().tolist()], cells)
print(regret.round(0).assign(least=regret.idxmin(axis=1), by_level=shape, decided=sure.loc[cells]).to_string())

# %% [markdown]
# In the 21 cells the slip and the prior decide the outcome.
#
# - **AQ-BRMDP against PSRL: as the paper says.** It has less regret in 18 of the 21 cells, and less robust
#   regret and a larger posterior quantile value in 20 each. The others are open; no cell shows the contrary. Over
#   20,000 steps both lose the same, as far as 64 replicates can tell: 45,200 and 45,700.
# - **Every fixed level has less regret than PSRL where exploration hardly matters.** At slip 1/3 this holds for 23 of
#   24 comparisons, and the last is open. At slip .1 it holds for all where the prior is uniform, or where an agent
#   leaves holes so seldom that exploring means sitting in one. In the other eight cells at slip .1, under
#   Dirichlet(1/S), it is not shown once in 24 comparisons, and 19 show the contrary.
# - **AQ-BRMDP is best of all in just those eight cells**, by its mean regret, and in one more. At discount .95, and
#   where holes are left easily, its posterior .1-quantile value is above that of every fixed level. At slip 1/3 it is
#   the other way round: AQ-BRMDP is behind the levels .3 and .5 in posterior quantile in all eight cells, and in seven
#   of them the intervals exclude 0. Our reading: on such slippery ice no agent can hold back; it is thrown about the
#   lake and learns whether it wants to or not, and optimism has nothing to add.
# - **No order among the fixed levels.** The paper has least regret at .3, and more at .1 and at .5. Of these 42
#   comparisons 25 are open, 11 agree with the paper and 6 show the contrary. Level .1 has more regret than .3 under
#   Dirichlet(1/S) at discount .99, or with the shortcut in cell 4. It has less where the prior is
#   uniform and the ice slippery; there regret rises with the level.
# - **Robust regret favours cautious agents.** By the plan's own measure an agent that plans at level .1 has next to
#   none, whatever its regret: 6, against PSRL's 1,029, in the seventh cell, where its regret is the largest of all.
#   Between agents that explore it agrees with the paper: AQ-BRMDP gives up less of what the cautious plan promises than
#   PSRL does, by 15 to 46%.
#
# ### How much the sensitivity matters
#
# The paper also varies kappa, which controls how strongly the schedule sends an agent to pairs that it has seldom
# tried. It does so on the lake without the shortcut (its Table EC.1).

# %%
sensitivity = stored_table("risky_lake_kappa", index_col="agent")
psrl, adaptive = sensitivity.loc["PSRL"], sensitivity.drop(index="PSRL")
readings = {"mixture": ~adaptive.index.str.endswith("power"), "power": adaptive.index.str.endswith("power")}
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.axhspan(psrl["regret_lower"], psrl["regret_upper"], color=ORANGE, alpha=0.25, linewidth=0)
ax.axhline(psrl["regret"], color=ORANGE, label="PSRL")
for (reading, rows), colour, shift in zip(readings.items(), (GREEN, RED), (-0.006, 0.006), strict=True):
    rows = adaptive[rows]
    kappa = rows.index.str.extract(r"k=([\d.]+)")[0].astype(float).to_numpy()
    error = np.abs(rows[["regret_lower", "regret_upper"]].sub(rows["regret"], axis=0)).T.to_numpy()
    label = f"AQ-BRMDP, the visit factor a {reading}"
    ax.errorbar(kappa + shift, rows["regret"], error, fmt="o-", color=colour, label=label)
ax.set(xlabel="kappa", ylabel="final regret", ylim=(0, None))
ax.set_xticks((0.1, 0.25, 0.5, 0.75, 1))
ax.set_title("The lake without the shortcut: regret against kappa", loc="left")
ax.legend(frameon=False)
tidy(ax)
plt.show()
print(adaptive[["reduction", "reduction_lower", "reduction_upper"]].map("{:.0%}".format).to_string())

# %% [markdown]
# Reductions are shares of PSRL's regret. With the visit factor as a mixture AQ-BRMDP saves 20, 12 and 6% at kappa .1,
# .25 and .5 and loses 6 and 19% at .75 and 1. With the power it saves 19 and 9% at .1 and .25, and from .5 on it saves
# nothing. The paper reports less regret than PSRL at every kappa that it tries, and little difference between them. The
# mixture comes nearer to that, but not all the way: at kappa = 1 mixture and power are the same, and the agent pursues
# every pair that it has seldom tried; on a lake most of these are not worth it. (Only slip 1/3 was tried.)
#
# ### How both regrets grow
#
# Theorem 2 bounds both Bayes regrets, against the optimal plan and against the cautious one, by the order of $\sqrt T$.
# The study `regret-growth`, declared before it was run, draws the true river from the prior and runs 100,000 steps.
# R(T) is the cumulative regret after T steps. The exponent over a decade is log10 R(10 T) / R(T): it is 1/2 for growth
# like $\sqrt T$.

# %%
growth = stored_table("regret_growth")
last = growth[growth["steps"] == 100_000]
fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), sharex=True, layout="constrained")
for ax, (kind, rows) in zip(axes, last.groupby("regret", sort=False), strict=True):
    for (cell, own), colour, shift in zip(rows.groupby("cell", sort=False), (BLUE, GREEN), (-0.12, 0.12), strict=True):
        place = np.arange(len(own)) + shift
        error = np.abs(own[["exponent_lower", "exponent_upper"]].sub(own["exponent"], axis=0)).T.to_numpy()
        ax.errorbar(own["exponent"], place, xerr=error, fmt="o", color=colour, label=f"prior {cell}")
        for x, y, total in zip(own["exponent_upper"], place, own["total"], strict=True):
            ax.annotate(f"  {total:,.0f}", (x, y), va="center", fontsize=8, color=colour)
    ax.set_yticks(range(len(own)), own["agent"])
    ax.axvline(0.5, color="0.5", linestyle="--", linewidth=1)
    ax.set(xlabel="exponent over T = 10,000 to 100,000", xlim=(-0.1, 0.65))
    ax.set_title({"regret": "Bayes regret", "robust_regret": "robust Bayes regret"}[kind], loc="left")
axes[1].legend(frameon=False, fontsize=8, loc="upper left")
fig.suptitle("How fast both regrets grow (dashed: the root of T; numbers: at 100,000 steps)", x=0.01, ha="left")
tidy(axes)
plt.show()

# %% [markdown]
# - **Bayes regret** grows with the power .11 to .42 of T over the last decade. The interval is below 1/2 for all agents
#   but AQ-BRMDP with C = 4 under Dirichlet(1), whose interval is .13 to .59.
# - **Robust regret** grows with the power .31 to .38 under Dirichlet(1/S). Under Dirichlet(1) the power is .49, .49 and
#   .57 at C = 1/4, 1 and 4, where the decade before had .70 to .72. It is still falling towards what the theorem says
#   about the long run, which does not prove that it gets there.
# - **C trades one regret for the other, on one side.** Under Dirichlet(1/S) robust regret falls with C: 1,413, 742 and
#   384 at 1/4, 1 and 4. Bayes regret is least in the middle: 1,243, 754 and 1,836. With C = 1/4 the agent is optimistic
#   too soon and loses by both measures. PSRL has a Bayes regret of 879 and a robust regret of 789: AQ-BRMDP with C = 1
#   is level with it on robust regret, and ahead by its mean on Bayes regret.
#
# ## 5. Reusing draws
#
# An agent that plans on 200 posterior draws spends much of its time making them. Do they have to be new at each plan? A
# Dirichlet draw is a row of Gamma variables divided by its sum, and a Gamma(a + 1) variable is a Gamma(a) variable plus
# an exponential one. So when an outcome is observed once more, add an exponential variable to its entry, and the old
# draw has become a draw from the new posterior. For a fixed log this is exact. The paper leaves open whether an agent
# may do this.
#
# Here is why it may not. Take a coin whose probability of heads is unknown, uniform a priori, and in truth 1/2. The
# reader of a log sees 20 tosses. An agent tosses only while its own draw says that heads are more likely than tails.
# Both keep one draw throughout. If a draw is from the posterior, then the posterior's distribution function at the draw
# is uniform on [0, 1]. We simulate 20,000 readers and as many agents.

# %%
COINS, TOSSES = (500 if SMALL else 20_000), 20


def ranks(acts, fresh):
    """The posterior's distribution function at the draw in hand after all tosses."""
    rng = np.random.default_rng(0)
    seen = np.ones((COINS, 2))  # Beta(1, 1)
    gamma = rng.standard_gamma(seen)
    for _ in range(TOSSES):
        if fresh:
            gamma = rng.standard_gamma(seen)
        tossed = gamma[:, 0] > gamma[:, 1] if acts else np.ones(COINS, bool)
        face = rng.integers(2, size=COINS)
        one = tossed[:, None] & (face[:, None] == np.arange(2))
        seen += one
        gamma += one * rng.exponential(size=(COINS, 1))
    if fresh:
        gamma = rng.standard_gamma(seen)
    return stats.beta.cdf(gamma[:, 0] / gamma.sum(1), *seen.T)


ways = {
    "kept, for a fixed log": (False, False, GREEN),
    "fresh, for one who acts": (True, True, ORANGE),
    "kept, for one who acts": (True, False, RED),
}
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for name, (acts, fresh, colour) in ways.items():
    rank = ranks(acts, fresh)
    distance, p_value = stats.kstest(rank, "uniform")
    print(f"{name}: Kolmogorov-Smirnov distance from uniform {distance:.3f} (p = {p_value:.2g})")
    ax.hist(rank, bins=25, range=(0, 1), density=True, histtype="step", color=colour, linewidth=1.8, label=name)
ax.set(xlabel="where the draw lies in the posterior", ylabel="density", xlim=(0, 1))
ax.set_title("A kept draw that is acted on is too low", loc="left")
ax.legend(frameon=False)
tidy(ax)
plt.show()

# %% [markdown]
# A reader's kept draw is a posterior draw, and so is an agent's fresh draw. An agent's kept draw is too low: draws that
# happen to be high are corrected by the tosses that they cause, and draws that happen to be low cause none. Bad luck
# preserves itself. The arithmetic of the draws is correct; the problem is that the choice of the data depends on the
# draws.
#
# How much does that cost on a larger problem, and how much has to be renewed to repair it? The study `draw-reuse`,
# declared before it was run, has two agents on RiverSwim-6. They plan on 200 draws, of which all, a share or none is
# made anew at each plan, or on 1,000 fresh ones. There are 64 replicates, with the same random numbers for all.

# %%
reuse = stored_table("draw_reuse", dtype={"cell": str})
reuse[["planner", "rule"]] = reuse["agent"].str.split(n=1, expand=True)
RULES = list(reuse["rule"].unique())
discounts = reuse["cell"].unique()
fig, axes = plt.subplots(
    2, len(discounts), figsize=(5.5 * len(discounts), 6), sharex=True, sharey="row", layout="constrained"
)
place = np.arange(len(RULES))
for (above, below), cell in zip(axes.T, discounts, strict=True):
    for planner, colour, shift in (("BRMDP-0.5", BLUE, -0.1), ("AQ-BRMDP", GREEN, 0.1)):
        rows = reuse[(reuse["cell"] == cell) & (reuse["planner"] == planner)].set_index("rule").loc[RULES]
        ratio = 1 + rows[["excess", "excess_lower", "excess_upper"]] / rows.loc["fresh", "regret"]
        error = np.abs(ratio[["excess_lower", "excess_upper"]].sub(ratio["excess"], axis=0)).T.to_numpy()
        above.errorbar(place + shift, ratio["excess"], error, fmt="o", markersize=5, color=colour, label=planner)
        below.plot(place + shift, rows["seconds"] / rows.loc["fresh", "seconds"], "o", markersize=5, color=colour)
    above.set_title(f"discount {cell}: a plan about every {1 / (1 - float(cell)):.0f} steps", loc="left")
    below.set_xlabel("share of the draws renewed at each plan")
    below.set_xticks(place, [rule.replace("share ", "").replace(" ", "\n") for rule in RULES])
for ax in axes.flat:
    ax.axhline(1, color="0.6", linestyle=":", zorder=0)
axes[0, 0].set(ylabel="regret over that with fresh draws", yscale="log")
axes[0, 0].set_yticks((0.5, 1, 2, 4), ("0.5", "1", "2", "4"))
axes[0, 0].minorticks_off()
axes[1, 0].set(ylabel="time over that with fresh draws", ylim=(0, None))
axes[0, 0].legend(frameon=False, loc="upper left")
fig.suptitle("Reusing draws on RiverSwim-6: what it costs, what it saves", x=0.01, ha="left")
tidy(axes)
plt.show()

# %%
compact = reuse.set_index(["planner", "rule", "cell"])[["regret", "excess", "excess_lower", "excess_upper", "seconds"]]
print(compact.unstack("cell").swaplevel(axis=1).sort_index(axis=1, level=0, sort_remaining=False).to_string())

# %% [markdown]
# - **Kept draws ruin the median agent (BRMDP at level .5).** It has no optimism to bring it back to a pair that all its
#   draws call bad. At discount .99, where it gets by with fresh draws, its regret with kept ones is several times as
#   large. A share of .1 still doubles it, and even a share of a quarter has more regret by its interval. At .5 the
#   interval reaches zero. At .95 the intervals are wide, and those of shares of .05 and more contain zero. No share
#   below 1 is shown to be safe.
# - **AQ-BRMDP tolerates kept draws.** Its levels rise until some draw calls every pair good, which undoes the trap. At
#   discount .99 no share differs from fresh draws. At .95 kept draws, and a share of .25, have even *less* regret, and
#   the intervals exclude zero: a bias that happens to suit this river, not a reason to keep draws.
# - **More draws than 200.** Where AQ-BRMDP's levels are near one, the paper's EC.23 asks for more than the 200 draws at
#   which our agents stop. With 1,000 its regret is 65 (5 to 124) less at .95, about 5%; at .99 the interval of the
#   difference contains zero. The median agent *loses* by them at .99, 7,900 (350 to 15,400): the randomness of few
#   draws is what now and then sends it exploring.
# - **Keeping draws saves little time.** Fresh draws cost time once per plan, kept ones once per step, because every
#   observation is added to all of them. With a plan every 20 steps or so, keeping takes a quarter off the time of a
#   run. With a plan every 100 steps it takes nearly twice as long as drawing anew. (These are medians from a machine
#   that had other work: take them as a tendency.)
#
# So fresh draws are the default, and `draws="renewed"` is for agents that plan often and at high levels.
#
# ### Weights, and rows that did not change
#
# Two ways of reusing draws look free of bias. *Weighted*: the draws of a row keep their values, and the weight of each
# is the likelihood of what was observed since; the row is drawn anew when few draws have all the weight. *Changed*: a
# row is drawn anew when it was observed, and its draws are kept when it was not, since its posterior is then unchanged.
# We try both on the agent with the coin. It now keeps four draws and acts on one of them, picked by weight.

# %%
POOL = 4


def pooled_ranks(rule):
    """The posterior's distribution function at the draw in hand after all tosses, from a pool of draws."""
    rng = np.random.default_rng(0)
    seen = np.ones((COINS, 2))  # Beta(1, 1)
    pool = rng.beta(*seen.T[..., None], (COINS, POOL))
    made = seen.copy()
    for toss in range(TOSSES + 1):
        since = seen - made
        weight = pool ** since[:, :1] * (1 - pool) ** since[:, 1:]
        weight /= weight.sum(1, keepdims=True)
        changed, poor = since.any(1), 1 / (weight**2).sum(1) < POOL / 2
        anew = {"weighted": poor, "changed": changed, "unseen": ~changed | poor}[rule]
        pool[anew] = rng.beta(*seen[anew].T[..., None], (anew.sum(), POOL))
        weight[anew], made[anew] = 1 / POOL, seen[anew]
        pick = (weight.cumsum(1) < rng.uniform(size=(COINS, 1))).sum(1).clip(max=POOL - 1)
        draw = pool[np.arange(COINS), pick]
        if toss < TOSSES:
            face = rng.integers(2, size=COINS)
            seen += (draw > 0.5)[:, None] & (face[:, None] == np.arange(2))
    return stats.beta.cdf(draw, *seen.T)


fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for rule, colour in (("weighted", BLUE), ("changed", RED), ("unseen", GREEN)):
    rank = pooled_ranks(rule)
    distance, p_value = stats.kstest(rank, "uniform")
    print(
        f"{rule}: Kolmogorov-Smirnov distance from uniform {distance:.3f} (p = {p_value:.2g}), mean {rank.mean():.3f}"
    )
    ax.hist(rank, bins=25, range=(0, 1), density=True, histtype="step", color=colour, linewidth=1.8, label=rule)
ax.axhline(1, color="0.6", linestyle=":")
ax.set(xlabel="where the draw lies in the posterior", ylabel="density", xlim=(0, 1))
ax.set_title("Weights do not undo that draws were acted on", loc="left")
ax.legend(frameon=False)
tidy(ax)
plt.show()

# %% [markdown]
# The trap is where nothing was observed. A coin that all four draws call bad is not tossed and has no data. So its
# weights stay as they are, it is not drawn anew, and its draws are too low. A weight corrects for the data, but not for
# the influence of the draws on which data came. *Unseen* is the opposite rule: draw anew what was *not* observed since
# it was drawn, and weight the rest. That opens the trap but is not free of bias either: what is kept is what was good
# enough to be tried, and its draws are too high.
#
# The study `draw-weights`, declared before it was run, has all three rules on RiverSwim-6 (128 replicates of 5,000
# steps). A rule may spend the time that it saves on draws: each has as many as take the time of 200 fresh ones, or of
# 50.

# %%
weights = stored_table("draw_weights", dtype={"cell": str})
weights[["planner", "rule"]] = weights["agent"].str.split(n=1, expand=True)
fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.8), sharey=True, layout="constrained")
titles = {"0.95": "discount .95", "0.99": "discount .99", "0.95-quarter": "discount .95, a quarter of the time"}
for ax, (cell, title) in zip(axes, titles.items(), strict=True):
    for planner, colour, shift in (("BRMDP-0.5", BLUE, 0.12), ("AQ-BRMDP", GREEN, -0.12)):
        rows = weights[(weights["cell"] == cell) & (weights["planner"] == planner)].set_index("rule")
        ratio = 1 + rows[["excess", "excess_lower", "excess_upper"]].drop("fresh") / rows.loc["fresh", "regret"]
        error = np.abs(ratio[["excess_lower", "excess_upper"]].sub(ratio["excess"], axis=0)).T.to_numpy()
        place = np.arange(len(ratio))[::-1] + shift
        ax.errorbar(ratio["excess"], place, xerr=error, fmt="o", markersize=5, color=colour, label=planner)
    ax.axvline(1, color="0.6", linestyle=":", zorder=0)
    ax.set(xlabel="regret over that with fresh draws", xscale="log", xlim=(0.35, 12))
    ax.set_xticks((0.5, 1, 2, 4, 8), ("0.5", "1", "2", "4", "8"))
    ax.minorticks_off()
    ax.set_title(title, loc="left")
axes[0].set_yticks(np.arange(len(ratio))[::-1], ratio.index)
axes[0].legend(frameon=False, fontsize=8)
tidy(axes)
plt.show()
print(weights.set_index(["planner", "rule", "cell"])["regret"].unstack("cell").round(0).to_string())

# %% [markdown]
# - **The median agent is ruined again**, in all three cells, by weights and by rows kept because they did not change. A
#   share of .1 of all rows drawn anew at each plan is too little: where there are enough draws for the trap to be rare,
#   they are rarely renewed in time.
# - **Unseen cannot be told apart from fresh draws**, though it has a bias, towards trying, which is harmless. It costs
#   as much time as fresh draws, since most rows are not observed between one plan and the next: the draws that need
#   renewing are just those that it would save time to keep.
# - **AQ-BRMDP gains from the bias**, in all three cells with weights, by 5 to 16%: its levels open the trap, and there
#   is more than one way to be lucky.
# - **Fewer fresh draws help the median agent most** at .95: with 50 instead of 200, in a quarter of the time, its
#   regret is 1,366 instead of 3,430. Only "unseen" with as few draws is as low (1,150), and not distinguishable from
#   it.
#
# The answer to the paper's question, as far as this goes, has three parts. No draw on which an agent acted is free of
# bias, weighted or not. A bias towards trying does no harm, and a bias against it ruins an agent without optimism of
# its own. Of the rules tried, the one that does no harm saves no time.
