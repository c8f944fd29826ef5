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
# # A first posterior
#
# Someone walked at random over a frozen lake and wrote down every step. From that log we want two things: what is now
# known about the ice, and a policy to follow. You will learn
#
# 1. what a prior says before any data, and what a log adds to it;
# 2. where a log teaches nothing;
# 3. how to plan for the average of what is still possible, and how to plan with caution;
# 4. how far to believe the value that a plan promises.

# %%
import os

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little

# %% [markdown]
# ## The lake, and what we pretend not to know
#
# A 4 by 4 lake. Cells are numbered row by row from 0, the start, to 15, the goal. Cells 5, 7, 11 and 12 are holes.
# The ice is slippery: you go where you meant to go in one step out of three, and else to one side. Entering the goal
# earns 1, a hole ends the walk. Rewards are discounted by .99 a step.
#
# The environment knows all transition probabilities. We show them to the simulator, which makes the log, and keep
# them to grade ourselves at the end. Inference and planning never see them.

# %%
lake = bm.environments.frozen_lake()
log = bm.collect(lake, policy="uniform", steps=500, seed=0)
print(lake)
print(log.to_dataframe().head())

# %% [markdown]
# ## The prior
#
# A *prior* is a NumPyro model: a function that draws the unknowns, then the data given the unknowns. Here each
# state-action pair has its own unknown row of probabilities over the 16 next cells, and each row has a Dirichlet
# distribution with concentration 1/16. That small number says: a row has few likely next cells, and any cell may be
# among them. It knows nothing of the map: it believes that a step may lead from one corner to another.
#
# `infer` returns draws from the prior and from the posterior, in one `xarray.DataTree` that ArviZ reads. It also says
# how it made them.

# %%
prior = dirichlet_transitions(lake, concentration=1 / 16)
posterior = bm.infer(prior, log, draws=1_000, seed=1)
print(posterior.attrs["engine"], "-", posterior.attrs["reason"])

# %% [markdown]
# The engine is *exact*: these are independent draws from the true posterior, not the path of a sampler. For this
# prior one can check it by hand: a Dirichlet row plus counts is a Dirichlet row again, with the counts added. The
# mean of the draws must be (1/16 + count) / (1 + visits), up to the noise of 1,000 draws.

# %%
counts = np.zeros((16, 4, 16))
seen = bm.compress(log)  # the distinct transitions, with how often each was seen
counts[seen.state, seen.action, seen.next_state] = seen.weight
by_hand = (1 / 16 + counts) / (1 + counts.sum(-1, keepdims=True))
by_draws = posterior["posterior"]["transition"].mean(("chain", "draw")).values
noise = posterior["posterior"]["transition"].std(("chain", "draw")).values / np.sqrt(1_000)
print(f"largest difference {abs(by_hand - by_draws).max():.3f}; in standard errors, root mean square", end=" ")
print(f"{np.sqrt(np.mean(((by_hand - by_draws) / noise) ** 2)):.2f} (1 is what chance gives)")

# %% [markdown]
# ArviZ summarises any part of it. Here are three entries of one row, for the step right from the start: the truth is
# 1/3 for each of staying (0), going right (1) and going down (4). `eti89` are the bounds of the central 89% interval.
# R-hat and the effective sample sizes judge samplers; here they only confirm that the draws are independent.

# %%
row = {"state": 0, "action": "right"}
print(az.summary(posterior, var_names=["transition"], coords=row | {"next_state": [0, 1, 4]}))

# %% [markdown]
# ArviZ draws it too. A *forest plot* has a line for each next cell: the thin bar holds 89% of the draws, the thick
# one half of them, and the circle is their mean.

# %%
first_row = {
    group: xr.Dataset({"probability": posterior[group]["transition"].sel(row, drop=True)})
    for group in ("prior", "posterior")
}
forest = az.plot_forest(
    {group: xr.DataTree.from_dict({"posterior": draws}) for group, draws in first_row.items()},
    combined=True,
    labels=["next_state"],
    figure_kwargs={"figsize": (7.5, 5.5)},
)
forest.add_legend("model", title="", loc="upper right", bbox_to_anchor=(0.98, 0.95), ncols=2, frameon=False)
fig = plt.gcf()
fig.axes[-1].axvline(1 / 3, color="0.6", linestyle=":", zorder=0)
fig.suptitle("A step right from the start: probability of each next cell (dotted line: 1/3)", x=0.02, ha="left")
plt.show()

# %% [markdown]
# The prior (blue) is the same for all 16 cells: mean 1/16, but long bars, because it holds that some few cells take
# nearly all of the probability, and does not know which. The posterior (orange) has found the three. The other 13 are
# now believed to be close to 0. No one told it the map.
#
# ## Where nothing was learnt
#
# A random walker starts over at the start, so it sees much of the start's surroundings and little of the rest. A row
# that was never tried keeps its prior, exactly.

# %%
tries = counts.sum(-1)
live = ~lake.terminal
never, rarely = (tries[live] == 0).sum(), (tries[live] < 5).sum()
print(f"{never} of {tries[live].size} pairs were never tried, {rarely} fewer than 5 times")
print(f"the goal was entered {int(counts[:, :, 15].sum())} times in {int(tries.sum())} steps")

# %%
corners = {"left": [(0, 0), (0, 1)], "down": [(0, 1), (1, 1)], "right": [(1, 0), (1, 1)], "up": [(0, 0), (1, 0)]}
fig, ax = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
colours = plt.colormaps["viridis"]
for cell, (down, across) in enumerate(np.ndindex(4, 4)):
    if lake.terminal[cell]:
        name = "goal" if cell == 15 else "hole"
        ax.text(across + 0.5, down + 0.5, f"{cell}\n{name}", ha="center", va="center", color="0.5")
        continue
    for a, action in enumerate(lake.actions):
        (x0, y0), (x1, y1) = corners[action]
        n = tries[cell, a]
        triangle = [(across + 0.5, down + 0.5), (across + x0, down + y0), (across + x1, down + y1)]
        face = colours(np.log1p(n) / np.log1p(tries.max())) if n else "white"
        ax.add_patch(
            plt.Polygon(triangle, facecolor=face, edgecolor="white" if n else "0.8", hatch="" if n else "////")
        )
        x, y = across + (0.5 + x0 + x1) / 3, down + (0.5 + y0 + y1) / 3
        ax.text(
            x,
            y,
            f"{n:.0f}" if n else "none",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if 0 < n < 20 else "black",
        )
ax.set(xlim=(0, 4), ylim=(4, 0), xticks=[], yticks=[], aspect="equal")
ax.set_title("How often each direction was tried in each cell", loc="left")
plt.show()

# %% [markdown]
# The start is the upper left cell. Every triangle is one state-action pair; hatched ones were never tried. Holes and
# the goal have no rows to learn: the walk ends there.
#
# ## Two plans from one posterior
#
# A plan needs one number for each pair, but the posterior offers a thousand: the value of the pair under each draw.
# The *mean plan* takes their average. The *0.1-quantile plan* takes the number that nine draws in ten exceed. Both
# are solved by the same call, and both say how exactly: `bound` is a certified bound on the error of the value.

# %%
plans = {"mean": bm.plan(posterior, lake), "0.1-quantile": bm.plan(posterior, lake, risk=bm.Quantile(0.1))}
for name, plan in plans.items():
    value = float(plan["value"].sel(state=0))
    print(f"{name}: promises {value:.4f} at the start (error at most {plan.attrs['bound']:.0e})")

# %% [markdown]
# A *promise* is the plan's value under its own criterion. What it *delivers* is the value of its policy on the true
# lake, which we may compute because we made the lake: `evaluate` does. `solve` finds the best policy there, which is
# worth .542 at the start.

# %%
optimum = float(bm.solve(lake)["value"][0])
print(f"best possible: {optimum:.3f}")
arrows = {"left": "←", "down": "↓", "right": "→", "up": "↑"}
for name, plan in plans.items():
    chosen = [lake.action_index(action) for action in plan["policy"].values.tolist()]
    untried = int((tries[np.arange(16), chosen] == 0)[live].sum())
    delivers = float(bm.evaluate(lake, plan["policy"])[0])
    print(f"{name}: delivers {delivers:.3f}; uses {untried} pairs that were never tried")
    for cells in plan["policy"].values.reshape(4, 4):
        print("   ", " ".join(arrows[action] for action in cells))

# %% [markdown]
# With 500 steps neither plan is good, and each is bad in its own way.
#
# The mean plan leans on ignorance. In a row that was never tried every cell is still possible, the goal too, so the
# average leads to the goal with probability 1/16. No row that *was* tried ever led there.
#
# The 0.1-quantile plan promises almost nothing, because almost no path to the goal survives the question "and if this
# row were one of the worse ones?", asked at every step. Where all actions are worth nearly 0 to it, its choice among
# them is arbitrary, not careful. Caution cannot replace data.
#
# ## How promise and delivery change with the size of the log
#
# One log of 500 steps is one story. Now take many logs, and more steps. We have seen that the posterior is the prior
# plus the counts, so here we draw it with NumPy: `plan` accepts any `Dataset` with the right dims, whoever made it.
#
# The second prior below knows the map: which cells touch which. `with_successors` gives the lake in a form in which
# each row has three entries only, the next cells that can be reached, and the prior is a Dirichlet with concentration
# 1/3.

# %%
LOGS, DRAWS = (2, 50) if SMALL else (16, 200)
SIZES = (250, 1_000) if SMALL else (250, 1_000, 4_000, 16_000, 64_000)
RISKS = {"mean plan": bm.Mean(), "0.1-quantile plan": bm.Quantile(0.1)}


def posterior_draws(log, mdp, rng):
    """Draws from the posterior of Dirichlet rows, by hand."""
    shape = (mdp.num_states, mdp.num_actions, mdp.num_outcomes)
    concentration = np.full(shape, 1 / mdp.num_outcomes)
    seen = bm.compress(log, mdp)
    concentration[seen.state, seen.action, seen.next_state] += seen.weight
    gamma = rng.standard_gamma(concentration, (DRAWS, *shape)) + 1e-300  # a row of zeros has no distribution
    last = "next_state" if mdp.successor is None else "outcome"
    return xr.Dataset({"transition": (("draw", "state", "action", last), gamma / gamma.sum(-1, keepdims=True))})


def promises_and_deliveries(mdp):
    """Both numbers for both plans, many logs and several sizes of log."""
    results = np.zeros((2, len(RISKS), LOGS, len(SIZES)))
    for i in range(LOGS):
        rng = np.random.default_rng(i)
        whole = bm.collect(lake, policy="uniform", steps=SIZES[-1], seed=100 + i)
        for j, size in enumerate(SIZES):
            draws = posterior_draws(whole.isel(step=slice(size)), mdp, rng)
            for k, risk in enumerate(RISKS.values()):
                plan = bm.plan(draws, mdp, risk=risk)
                results[:, k, i, j] = float(plan["value"][0]), float(bm.evaluate(mdp, plan["policy"])[0])
    return xr.DataArray(
        results,
        dims=("number", "plan", "log", "steps"),
        coords={"number": ["promise", "delivery"], "plan": list(RISKS), "steps": list(SIZES)},
    )


numbers = xr.concat(
    [promises_and_deliveries(lake), promises_and_deliveries(lake.with_successors())],
    xr.IndexVariable("prior", ["any cell may follow any cell", "only cells that touch may follow"]),
)

# %%
fig, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
for ax, name in zip(axes, numbers["prior"].values, strict=True):
    ax.axhline(optimum, color="0.5", linewidth=1)
    ax.annotate(
        "best possible", (SIZES[0], optimum), xytext=(0, 3), textcoords="offset points", color="0.4", fontsize=9
    )
    for plan, colour in zip(RISKS, ("#0072B2", "#D55E00"), strict=True):
        for number, style in (("promise", "--"), ("delivery", "-")):
            values = numbers.sel(prior=name, plan=plan, number=number)
            ax.plot(SIZES, values.mean("log"), style, color=colour, marker="o", markersize=4, label=f"{plan}: {number}")
            if number == "delivery":
                low, high = values.quantile([0.1, 0.9], "log").values
                ax.fill_between(SIZES, low, high, color=colour, alpha=0.12, linewidth=0)
    ax.set_xscale("log")
    ax.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
    ax.minorticks_off()
    ax.set_title(f"Prior: {name}", loc="left")
    ax.set_xlabel("steps in the log")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("value at the start")
axes[0].set_ylim(bottom=0)
axes[1].legend(frameon=False, loc="lower right")
fig.suptitle(
    f"What a plan promises and what it delivers (means of {LOGS} logs; bands: 8 logs in 10)", x=0.01, ha="left"
)
plt.show()

# %%
table = numbers.mean("log").to_dataframe("value")["value"].unstack("steps").round(3)
print(table.to_string())
kept = (numbers.sel(number="delivery") >= numbers.sel(number="promise") - 1e-6).mean("log")
print("\nshare of logs whose plan delivers at least what it promises")
print(kept.to_dataframe("share")["share"].unstack("steps").round(2).to_string())

# %% [markdown]
# What one sees:
#
# - **The mean plan promises too much from small logs.** With 250 steps and the first prior it promises .27 and
#   delivers .09. A plan picks, among many uncertain rows, those that look best, and the best looking are in part the
#   luckiest. With the second prior and 1,000 steps it promises .59, which is more than the best policy of all is
#   worth. With long logs and the first prior it promises a little too little, because that prior still lets every row
#   leak to everywhere.
# - **The 0.1-quantile plan keeps its promise**: in every log, at every size. The price is that it promises little,
#   and for long: after 64,000 steps still .42 of a possible .54. It asks for a bad row at every step of the way, and
#   bad luck everywhere at once is rarer than one time in ten.
# - **Its caution does not pay on average here.** It delivers less than the mean plan from small logs and the same
#   from large ones. Use it where a broken promise costs more than a missed chance.
# - **A better prior is worth many steps.** Knowing which cells touch, a plan from 250 steps delivers more than one
#   from 1,000 steps without.
#
# The bands overlap, since 16 logs differ a lot from one another: the order of the two deliveries is a tendency, not a
# law.
#
# Next: [a prior of your own](prior_of_your_own.py), in which the prior knows more than which cells touch.
