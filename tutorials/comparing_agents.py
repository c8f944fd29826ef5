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
# # Comparing agents honestly
#
# A table in which one agent beats another is made in minutes. Whether it means anything is a question about seeds,
# pairs, intervals, and the number of tables that were made. This tutorial asks it of one sweep: AQ-BRMDP on RiverSwim-6
# with 200 settings of its schedule, its prior and the discount, beside posterior sampling (PSRL), 32 replicates of
# 5,000 steps each, all of it twice, on two seeds. You will see
#
# 1. what a single run is worth;
# 2. why agents should share the same random numbers;
# 3. what an interval says, and how many replicates it takes;
# 4. what happens to 5% when there are 200 comparisons;
# 5. what happens to the winner on a new seed;
# 6. how sensitive AQ-BRMDP really is to its schedule;
# 7. how to run no more than is needed to decide, and what a mean may hide.
#
# `bayesmdp sweep aq_schedule` makes the numbers: it is a file of ten lines, and may be interrupted, killed and resumed.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

import bayesmdp as bm
from bayesmdp.results.comparison import option_effects, paired_differences, settings_table
from bayesmdp.results.comparison_plots import plot_differences, plot_effects
from bayesmdp.studies.tables import stored_table
from bayesmdp.sweeps import read_sweep_file, shipped_sweeps

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
BLUE, ORANGE, RED, GREY = "#0072B2", "#E69F00", "#D55E00", "0.5"


def tidy(axes):
    for ax in np.ravel(axes):
        ax.spines[["top", "right"]].set_visible(False)


sweep = read_sweep_file(shipped_sweeps()["aq_schedule"])
for axis in sweep.axes:
    print(f"{axis.key:24}", *(f"{value:.3g}" for value in axis.values))
print(len(list(sweep.cells())), "settings,", sweep.count, "replicates,", *sweep.lengths, "steps")

# %% [markdown]
# ## 1. One run is an anecdote
#
# Here are the two agents in ten replicates. Each is a run that a paper might show.

# %%
river = bm.environments.riverswim(6, discount=0.99)
prior = bm.models.dirichlet_transitions(river, concentration=1 / 6)
agents = {"PSRL": bm.agents.psrl(prior), "AQ-BRMDP": bm.agents.aq_brmdp(prior)}
result = bm.simulate(river, agents, steps=500 if SMALL else 5_000, replicates=10, seed=0, thin=100)
regret = result["regret"].sum("step").to_pandas().T
print(regret.round(0).astype(int).T.to_string())
wins = int((regret["AQ-BRMDP"] < regret["PSRL"]).sum())
print(
    f"AQ-BRMDP has less regret in {wins} of 10 runs; the luckiest run has {regret.to_numpy().min():,.0f},"
    f" the unluckiest {regret.to_numpy().max():,.0f}"
)

# %% [markdown]
# Anyone who shows one run can show whatever they like. What we want is the *mean* over many runs, and how precisely it
# is known.
#
# ## 2. The same luck for all
#
# In the same replicate all agents, in all settings, meet the same random numbers. Some luck helps everyone, and the
# difference of two agents within a replicate does not see it. How much is gained depends on the pair. Below, the
# standard error of each setting's difference from PSRL, paired, over that of two independent samples.

# %%
table = stored_table("aq_schedule", index_col=[0, 1, 2, 3, 4, 5]).rename(columns=int)
table.columns.name = "replicate"
table.attrs["problem"] = ["discount", "concentration"]
first, second = (table.xs(seed, level="seed") for seed in (0, 1))
for totals in (first, second):
    totals.attrs = table.attrs


def beside(totals, agent="PSRL"):
    """The agent's totals in the problem of each setting of AQ-BRMDP."""
    own = totals.xs("AQ-BRMDP", level="agent")
    rival = totals.xs(agent, level="agent").droplevel(["scale", "sensitivity"])
    place = pd.MultiIndex.from_arrays([own.index.get_level_values(name) for name in table.attrs["problem"]])
    return own, rival.reindex(place).set_axis(own.index)


own, rival = beside(first)
paired = (own - rival).std(axis=1, ddof=1)
unpaired = np.sqrt(own.var(axis=1, ddof=1) + rival.var(axis=1, ddof=1))
gain = (paired / unpaired).rename("ratio")
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for (discount, part), colour in zip(gain.groupby(level="discount"), (BLUE, ORANGE), strict=True):
    ax.hist(part, bins=np.linspace(0.5, 1.2, 29), alpha=0.6, color=colour, label=f"discount {discount:g}")
ax.axvline(1, color=GREY, linestyle=":")
ax.set(xlabel="standard error, paired over unpaired", ylabel="settings")
ax.set_title("What common random numbers are worth", loc="left")
ax.legend(frameon=False)
tidy(ax)
plt.show()
one, other = (own.xs((scale, 0.25), level=("scale", "sensitivity")) for scale in (1.0, 1.5))
alike = (one - other).std(axis=1) / np.sqrt(one.var(axis=1) + other.var(axis=1))
print(f"against PSRL: median {gain.median():.2f}; C = 1.5 against C = 1: {alike.median():.2f}")

# %% [markdown]
# Less than one might hope. At discount .99 luck is shared a little, at .95 hardly: two agents that have once acted
# differently are in different states from then on, and the same random numbers mean something else there. Neighbours on
# the grid (C of 1 and 1.5) keep a standard error of .74 of the unpaired one, which saves nearly half of the replicates.
# Pairing costs nothing, so use it; but do not count on it.
#
# ## 3. Intervals, and how many replicates
#
# A 95% interval narrows with the square root of the number of replicates. How many are needed? For each setting, we
# compute the number at which the interval of the paired difference is as wide as the difference.

# %%
difference = own - rival
needed = (1.96 * difference.std(axis=1, ddof=1) / difference.mean(axis=1)) ** 2
quarter = needed.groupby(level="discount").quantile([0.25, 0.5, 0.75]).unstack()
print("replicates needed for an interval that just leaves zero out: quartiles over settings")
print(quarter.round(0).astype(int).to_string())
counts = np.array([2, 4, 8, 16, 32])
one = difference.xs(0.99, level="discount").xs(1.0, level="scale").xs(0.25, level="sensitivity")
one = one[one.index < 0.5].iloc[0].to_numpy()
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
bounds = [settings_table(pd.DataFrame([one[:count]])).iloc[0] for count in counts]
error = np.array([[b["mean"] - b["lower"], b["upper"] - b["mean"]] for b in bounds]).T
ax.errorbar(range(len(counts)), [b["mean"] for b in bounds], error, fmt="o", color=BLUE, capsize=3)
ax.axhline(0, color=GREY, linestyle=":")
ax.set_xticks(range(len(counts)), counts)
ax.set(xlabel="replicates", ylabel="regret less PSRL's", ylim=(-20_000, 20_000))
ax.set_title("The same two agents, after more and more replicates", loc="left")
tidy(ax)
plt.show()

# %% [markdown]
# Four replicates gave a narrower interval than 32, and two the widest of all: with so few, the width itself is a matter
# of luck. At discount .95 a handful of replicates shows the difference of half of the settings from PSRL. At .99, where
# they are closer, half would need more than 37, and a quarter more than 126. That is not a defect of the sweep: at .99
# a difference of a tenth of the regret cannot be seen with 32 replicates.
#
# ## 4. Two hundred comparisons
#
# At 5%, one in twenty null differences is called significant. In a sweep they do not occur independently: all settings
# are compared with the same runs of PSRL, and if those were lucky, a whole map of settings looks different. To see what
# chance alone produces, flip the signs of the differences, for all settings together, replicate by replicate, as if a
# coin had swapped the names. This removes every true difference.

# %%
rng = np.random.default_rng(0)
signs = rng.choice([-1.0, 1.0], size=(10_000, difference.shape[1]))
flipped = signs @ difference.to_numpy().T / signs.shape[1]  # means [swap, setting]
variance = ((difference**2).mean(axis=1).to_numpy() - flipped**2) / (signs.shape[1] - 1)
p = 2 * stats.t.sf(np.abs(flipped) / np.sqrt(variance), signs.shape[1] - 1)
false = (p < 0.05).sum(1)
any_holm = p.min(1) < 0.05 / p.shape[1]  # Holm's first step: if the smallest does not pass, none does
fig, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.hist(false, bins=np.arange(0, 201, 5), color=RED, alpha=0.7)
ax.set(xlabel="settings of 200 that would be called significant", ylabel="swaps", yscale="log")
ax.set_title("Where nothing differs: claims at 5%, uncorrected", loc="left")
tidy(ax)
plt.show()
print(
    f"uncorrected: {false.mean():.0f} false claims on average, at least one in {np.mean(false > 0):.0%} of swaps, "
    f"more than 50 in {np.mean(false > 50):.0%}"
)
print(f"after Holm's correction: any in {any_holm.mean():.1%} of swaps")

# %%
print(f"{'problem':32}{'uncorrected':>12}{'Holm':>6}{'Benjamini-Hochberg':>20}{'Wilcoxon, Holm':>16}   of 50")
for problem in ((d, c) for d in (0.95, 0.99) for c in (1 / 6, 1.0)):
    row = []
    for options in ({"correction": "none"}, {}, {"correction": "bh"}, {"test": "wilcoxon"}):
        tested = paired_differences(first, "PSRL", **options).reset_index()
        here = (tested["discount"] == problem[0]) & ((tested["concentration"] - problem[1]).abs() < 1e-6)
        row.append(int(tested.loc[here, "significant"].sum()))
    print(
        f"discount {problem[0]:g}, Dirichlet({problem[1]:.2g})".ljust(32)
        + f"{row[0]:12}{row[1]:6}{row[2]:20}{row[3]:16}"
    )

# %% [markdown]
# Nothing differed, and on average 10 of 200 were significant, as expected; but they come in clusters, half of the
# time hardly any, now and then fifty and more. A map with a whole dark corner is what one bad day of the baseline looks
# like. Holm's correction makes a false claim in 2% of the swaps, less than the 5% it promises, since it does not know
# that settings share their luck. Where differences are large (discount .95) it costs little; where they are small (.99)
# it takes away much of what looked like findings, and Benjamini and Hochberg's, which promises less, gives back most.
#
# ## 5. The winner's curse
#
# The best of many is best partly by luck, and luck does not last. Here are the settings that came out best on the first
# seed, in each problem, and how they did on the second: the same code, other random numbers.

# %%
means = pd.DataFrame({"first": first.mean(axis=1), "second": second.mean(axis=1)}).xs("AQ-BRMDP", level="agent")
psrl = pd.DataFrame({"first": first.mean(axis=1), "second": second.mean(axis=1)}).xs("PSRL", level="agent")
rows = []
for problem, part in means.groupby(level=["discount", "concentration"]):
    best = part["first"].idxmin()
    rank = int(part["second"].rank().loc[best])
    base = psrl.droplevel(["scale", "sensitivity"]).loc[problem]
    rows.append(
        {
            "discount": problem[0],
            "concentration": round(problem[1], 2),
            "C": best[2],
            "kappa": best[3],
            "saved, first seed": f"{1 - part.loc[best, 'first'] / base['first']:.0%}",
            "saved, second seed": f"{1 - part.loc[best, 'second'] / base['second']:.0%}",
            "rank there, of 50": rank,
        }
    )
print(pd.DataFrame(rows).to_string(index=False))
fig, ax = plt.subplots(figsize=(5.2, 4.6), layout="constrained")
for (discount, part), colour in zip(means.groupby(level="discount"), (BLUE, ORANGE), strict=True):
    relative = part / part.groupby(level="concentration").transform("mean")
    ax.plot(relative["first"], relative["second"], ".", color=colour, label=f"discount {discount:g}")
ax.axline((1, 1), slope=1, color=GREY, linestyle=":")
ax.set(xlabel="regret on the first seed, over the mean of its problem", ylabel="on the second seed")
ax.set(xscale="log", yscale="log")
for axis in (ax.xaxis, ax.yaxis):
    axis.set_minor_formatter("")
    axis.set_major_locator(plt.FixedLocator([0.6, 1, 2, 4]))
    axis.set_major_formatter("{x:g}")
ax.set_title("What of a setting's rank is the setting's", loc="left")
ax.legend(frameon=False)
tidy(ax)
plt.show()

# %% [markdown]
# The curse is mild here, and not by virtue of 32 replicates: the surface is smooth, so that the best setting's
# neighbours are good too, and the ranking mostly reflects the settings. But savings of 20% at discount .95 became 15%
# on the new seed, and 26% at .99 became 13%. For the chosen setting, report the second column.
#
# ## 6. How sensitive is AQ-BRMDP to its schedule?

# %%
both = pd.concat([first, second.rename(columns=lambda replicate: replicate + 32)], axis=1)
both.attrs = table.attrs
tested = paired_differences(both, "PSRL")
figure = plot_differences(tested, baseline="PSRL")
plt.show()
sure = tested[tested["significant"]].assign(better=lambda rows: rows["difference"] < 0)
print(sure.groupby(table.attrs["problem"])["better"].agg(significant="size", better="sum").to_string())
print("the defaults, C = 1 and kappa = .25:")
ours = tested.reset_index().query("scale == 1 and sensitivity == 0.25")
print(ours[[*table.attrs["problem"], "relative", "p", "p_adjusted"]].round(3).to_string(index=False))

# %%
figure = plot_effects(option_effects(both), settings_table(both))
plt.show()

# %% [markdown]
# Both seeds together, 64 replicates. What can be said after correcting for 200 comparisons:
#
# - **At C = 1 kappa hardly matters up to .5, and much beyond.** Regret over PSRL's is .82, .86 and .91 at kappa .1, .25
#   and .5 in the first problem, and the other three are like it; at kappa 1 it is 1.0 to 1.7. Levels that follow visits
#   closely chase every pair that was seldom tried.
# - **The best C depends on the prior.** Under the sparse prior, Dirichlet(1/S), a C of 3 and more with a small kappa is
#   a disaster (up to eleven times PSRL's regret): the levels of all pairs stay low for long. Under the uniform prior a
#   C of 3 and 4 is among the best there is at discount .95. A C of .75 to 1, with kappa up to .5, is good in all four.
# - **Better than PSRL, surely: 30 of 200**, 19 of them at discount .95 under the uniform prior, at least two in every
#   problem; **worse, surely: 68.** The paper's Figure 1 claims less regret than PSRL: it is so at many settings, and
#   not at every one.
# - **The package's own defaults** (C = 1, kappa = .25) save 14 and 15% at discount .95, 23 and 10% at .99. After
#   correction for 200 comparisons the second and the third stay sure, p of the first is .13 and of the last 1. They
#   were chosen after looking at another study, under another reading of kappa; under that reading they saved 13% in one
#   problem and nothing for sure.
#
# ## 7. As many replicates as it takes
#
# Sixty-four replicates are too many for a difference that ten would show, and too few for one that is not there.
# Looking after each eight and stopping at the first p below .05 is no way out: with eight looks and fifteen pairs most
# comparisons of equal agents would claim something. A group-sequential test spends its 5% over all looks and pairs,
# gives up pairs that will hardly be told apart, and runs on only what still matters. From a shell it is `bayesmdp
# compare my.toml --until-decided`.

# %%
river = bm.environments.riverswim(6, discount=0.99)
prior = bm.models.dirichlet_transitions(river, 1 / 6)
agents = {
    "PSRL": bm.agents.psrl(prior),
    "BEB": bm.agents.beb(prior),
    "MBIE-EB": bm.agents.mbie_eb(prior),
    "BOSS": bm.agents.boss(prior),
    "TSEB": bm.agents.tseb(prior),
    "AQ-BRMDP": bm.agents.aq_brmdp(prior),
}
looks = bm.Looks(replicates=16 if SMALL else 64)
decided = bm.simulate_until_decided(river, agents, steps=200 if SMALL else 2_000, thin=100, looks=looks)
print(decided.decisions.round(0).to_string())
runs = decided.totals.notna().sum(axis=1)
print(f"{runs.sum()} runs of {decided.totals.size}: {runs.to_dict()}")

# %% [markdown]
# 176 runs of 384, and the fifteen verdicts are those that Holm's correction gives to all 64 replicates: all pairs
# differ but BEB and MBIE-EB. BOSS and TSEB were done after two looks. In 500 simulated comparisons of six equal agents
# 3.4% made a false claim; where three are equal to each other and three to each other 2.2%, and of two equal pairs
# 4.2%.
#
# The mean of BOSS hides two kinds of runs. The share of runs with at most a regret shows them; and ranks have intervals
# that hold together.

# %%
whole = decided.totals.dropna(axis=1)
print(bm.robust_summary(whole).round(0).to_string())
fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
bm.plot_profiles(bm.performance_profiles(whole), ax)
plt.show()

# %% [markdown]
# Three of BOSS' sixteen runs lose less than any of PSRL's, and most of the others are stuck: its ten tries of each pair
# misled it there, and it never tries again. No mean says so.
