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
# # What a good prior is worth, and how a bad one shows
#
# A prior with independent rows of a kernel can be written for any problem, but knows nothing: what was learned about
# ice in one corner says nothing about ice in another. If you know how a problem is structured, you can say so in a few
# lines of NumPyro. Such a model rarely has a closed form; *particles* represent its posterior, for a log or in an
# agent, and nothing else changes. You will see
#
# 1. a structured prior of a frozen lake, its posterior and its evidence;
# 2. what it is worth online, in three problems and under four algorithms, and whether cleverness can replace it;
# 3. which of several maps is true;
# 4. a structure that is wrong, how the checks reveal it, and its repair.

# %%
import os

import arviz as az
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions, tied_moves
from bayesmdp.studies.tables import stored_table

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "0.5"
DRAWS = 400 if SMALL else 4_000


def tidy(axes):
    for ax in np.ravel(axes):
        ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## 1. Ice that slips alike everywhere
#
# On the frozen lake a move goes where it was meant to, or to either side. `slips()` says where these three ways lead
# from each cell; the one unknown of `ice` is how often one slips at all. It is right: two moves in three slip.

# %%
lake = bm.environments.frozen_lake(discount=0.95)
ice = tied_moves(lake, bm.environments.slips(), pattern=[[0.5, 0, 0.5], [0, 1, 0]])
rows = dirichlet_transitions(lake, concentration=1 / 16)

log = bm.collect(lake, steps=100, seed=0)
posterior = bm.infer(ice, log, mdp=lake, method="smc", draws=DRAWS)
slip = posterior.posterior["cause"].sel(kind=0)
print(posterior.attrs["engine"], "-", posterior.attrs["reason"])
print(f"slips {float(slip.mean()):.2f} +- {float(slip.std()):.2f}")

# %% [markdown]
# How probable is the log under each prior? The log evidence covers all its steps in order; a difference of 3 is 20 to
# 1. `elpd_loo` measures instead how well each step is predicted from the others.

# %%
options = {"mdp": lake, "draws": DRAWS}
print(bm.compare_priors(log, {"rows": rows, "ice": ice}, **options).round(2).to_string())

# %% [markdown]
# This determines what a plan can promise: the value of a cautious plan (the 10% quantile) under its own posterior.

# %%
for name, prior in (("rows", rows), ("ice", ice)):
    tree = bm.infer(prior, log, mdp=lake, method="auto" if name == "rows" else "smc", draws=DRAWS)
    plan = bm.plan(tree, lake, risk=bm.Quantile(0.1))
    worth = bm.evaluate(lake, plan.policy).values[0]
    print(f"{name}: promises {plan['value'].values[0]:.3f}, is worth {worth:.3f}; the best is worth ", end="")
    print(f"{bm.solve(lake)['value'].values[0]:.3f}")

# %% [markdown]
# ## 2. Online
#
# The same agents under both priors, on common random numbers: 32 replicates of 2,000 steps. PSRL, BR-MDP, AQ-BRMDP and
# TSEB take any model; where it has no closed form they follow it by particles, and record their `effective_size`.

# %%
worth = stored_table("structure")
print(worth.pivot(index="agent", columns="cell", values=["rows", "structured"]).round(0).to_string())

# %%
curves = stored_table("structure_curves")
cells = ["river", "lake", "queue"]
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for ax, cell in zip(axes, cells, strict=True):
    part = curves[curves["cell"] == cell].set_index("step")
    for name, colour in (("PSRL", BLUE), ("AQ-BRMDP", ORANGE)):
        ax.plot(part.index, part[name], color=colour, linestyle=":", label=name)
        ax.plot(part.index, part[f"{name}, structured"], color=colour, label=f"{name}, structured prior")
    ax.set_title({"river": "one current", "lake": "one slip", "queue": "two rates"}[cell], loc="left")
    ax.set_xlabel("step")
axes[0].set_ylabel("regret so far")
axes[0].legend(frameon=False, fontsize=8)
tidy(axes)

# %% [markdown]
# Knowing the structure saves regret in all twelve cases, for certain in eleven: on the queue PSRL saves 124 (-141 to
# 388) of 906. Earlier random numbers put that at 358 (156 to 559): 32 replicates are few where a run can be unlucky.
#
# ### Structure, or a cleverer agent?
#
# The study `structure-agents`, declared before it was run, has a ladder of beliefs under five agents: *flat* rows;
# *sparse* ones, which know what next states are possible; moves that are *tied*, as likely everywhere; on the river
# also its *current* (tied, with rates of their own at the ends) and rows that share a concentration (*hierarchical*).
# 64 replicates (24 of the hierarchy), of 500 steps on the river and 1,000 on the lake; bars are 95% intervals.

# %%
ladder = stored_table("structure_agents")
ladder[["algorithm", "belief"]] = ladder["agent"].str.split(", ", expand=True)
COLOURS = dict(zip(ladder["algorithm"].unique(), (BLUE, ORANGE, "#009E73", "#CC79A7", "#D55E00"), strict=True))
fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.8), layout="constrained", width_ratios=(4, 3, 2))
for ax, (cell, part) in zip(axes, ladder.groupby("cell", sort=False), strict=True):
    beliefs = list(part["belief"].unique())
    for number, (name, own) in enumerate(part.groupby("algorithm", sort=False)):
        at = np.arange(len(beliefs)) + 0.12 * (number - 2)
        own = own.set_index("belief").loc[beliefs]
        error = [own["regret"] - own["regret_lower"], own["regret_upper"] - own["regret"]]
        ax.errorbar(at, own["regret"], error, fmt="o", markersize=5, color=COLOURS[name], label=name)
    ax.set_xticks(range(len(beliefs)), beliefs)
    ax.set_yscale("symlog", linthresh=10)
    ax.set_ylim(0, 2_000)
    ax.set_title({"river": "river", "lake": "lake"}.get(cell, "river, 24 replicates"), loc="left")
axes[0].set_ylabel("regret")
axes[0].legend(frameon=False, fontsize=8)
tidy(axes)
plt.show()
statements = stored_table("structure_agents_statements")
print(statements.drop(columns="threshold").round(0).to_string(index=False))

# %% [markdown]
# - **Structure beats cleverness.** The plainest agent, posterior sampling, with *sparse*, *tied* or *current* beliefs
#   has surely less regret than the best of five agents with flat rows: on the river by 312, 286 and 280 of 338, on the
#   lake by 36 and 123 of 130.
# - **Knowing what is possible is half of it, or all.** On the river *sparse* rows are worth as much as the current
#   itself: what an agent with flat rows spends its time on is ruling out leaps. On the lake they are not.
# - **Cleverness matters where structure is missing, and which kind is luck.** The variance bonus is the best agent of
#   the river with flat rows and the worst of the lake. With tied moves on the lake posterior sampling, AQ-BRMDP, TSEB
#   and BEB lose 8 to 15.
# - **Caution has a price that structure does not pay.** AQ-BRMDP begins at its floor whatever is known; under the
#   river's current it loses 111, the others 0 to 55.
# - **A hierarchy alone is not structure.** Rows that share an unknown concentration leave posterior sampling behind
#   AQ-BRMDP with flat rows. (By 100 particles for 73 unknowns: what the exact posterior is worth may be more.)
#
# ## 3. Which map is true
#
# Discrete unknowns are fine as long as their values can be tried one by one. A corridor of rooms has a wall somewhere,
# and we have three drawings of it; moves fail one time in five or so.

# %%
SIZE = 5
maps = []
for wall in (1, 2, 3):  # between rooms wall and wall + 1
    ahead = np.minimum(np.arange(SIZE) + 1, SIZE - 1)
    back = np.maximum(np.arange(SIZE) - 1, 0)
    ahead[wall], back[wall + 1] = wall, wall + 1
    stay = np.arange(SIZE)
    maps.append(np.stack([np.stack([back, stay], -1), np.stack([ahead, stay], -1)], 1))  # [room, action, move]
kernel = np.eye(SIZE)[maps[1]].swapaxes(-1, -2) @ np.array([0.8, 0.2])
rooms = bm.MDP(transition=kernel, reward=np.eye(SIZE)[SIZE - 1], discount=0.9, actions=("back", "ahead"))
plans = tied_moves(rooms, np.stack(maps), (4.0, 1.0))
for steps in (3, 10, 30):
    seen = bm.infer(plans, bm.collect(rooms, "uniform", steps=steps, seed=0), mdp=rooms, draws=DRAWS)
    chances = [float((seen.posterior["map"] == k).mean()) for k in range(3)]
    print(f"after {steps:2d} steps:", ", ".join(f"map {k} {chance:.2f}" for k, chance in enumerate(chances)))

# %% [markdown]
# ## 4. A structure that is wrong
#
# Now a wind blows over the eastern half of the lake: there all moves slip to the right of what was meant, or not at
# all. The model `ice` still has one slip for all cells. Its posterior is confident, as that of a wrong model is.

# %%
table = bm.environments.slips()
east = (np.arange(16) % 4 >= 2)[:, None, None]
shares = np.where(east, [0.0, 0.4, 0.6], [1 / 3, 1 / 3, 1 / 3])
windy = lake.replace(transition=np.einsum("sam,samt->sat", np.broadcast_to(shares, table.shape), np.eye(16)[table]))
log = bm.collect(windy, steps=2_000, seed=3)
wrong = bm.infer(ice, log, mdp=windy, method="smc", draws=DRAWS)
slip = wrong.posterior["cause"].sel(kind=0)
print(f"slips {float(slip.mean()):.2f} +- {float(slip.std()):.2f}")

# %% [markdown]
# *Would such logs be likely?* `replicate_logs` makes logs of the same length from the posterior; `surprises` says which
# numbers of the real one lie far out among them.

# %%
check = bm.replicate_logs(wrong, log, windy, replicates=100 if SMALL else 1_000)
far = bm.surprises(check)
print(far.head(8).round(3).to_string())
print(f"{(far['tail'] < 0.01).sum()} of {(far['sd'] > 0).sum()} counts are out of the central 99%")

# %%
made, seen = check["posterior_predictive"]["transitions"], check["observed_data"]["transitions"]
fig, ax = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
wide = made.stack(replicate=("chain", "draw"))
live = (wide.mean("replicate").values > 1).ravel()
low, high = (wide.quantile(q, "replicate").values.ravel()[live] for q in (0.005, 0.995))
told = seen.values.ravel()[live]
order = np.argsort(wide.mean("replicate").values.ravel()[live])
place = np.arange(live.sum())
out = (told < low) | (told > high)
ax.vlines(place, low[order], high[order], color=GREY, linewidth=2, label="99% of the replicates")
ax.plot(place[~out[order]], told[order][~out[order]], ".", color=BLUE, label="the log")
ax.plot(place[out[order]], told[order][out[order]], ".", color="#D55E00", label="the log, far out")
ax.set_yscale("symlog", linthresh=10)
ax.set(xlabel="pair and next state, by expected count", ylabel="times seen")
ax.set_title("One slip for the whole lake does not explain this log", loc="left")
ax.legend(frameon=False, loc="upper left")
tidy(ax)

# %% [markdown]
# ArviZ draws such replicates too. How often each pair is visited, and what is earned, are just as the model expects:
# actions were random, and a walk that slips to the right is as lost as one that slips either way. A check shows what it
# looks at; here only the transitions tell.

# %%
flat = check.map_over_datasets(lambda group: group.stack(pair=("state", "action"), create_index=False))
visits_shown = az.plot_ppc_interval(flat, var_names=["visits"])
totals_shown = az.plot_ppc_tstat(check, var_names=["total_reward"], t_stat="mean")

# %% [markdown]
# The counts that stand out are all in the east: that is where the model needs fixing. Each half gets its own
# probabilities; the model is ten lines.


# %%
def two_ices(data):
    """Each half of the lake slips in its own way."""
    with numpyro.plate("side", 2):
        half = numpyro.sample("half", dist.Dirichlet(np.ones(3)), infer={"event_dims": ["move"]})
    share = half[(np.arange(16) % 4 >= 2).astype(int)]  # [state, move]
    effect = jnp.asarray(np.eye(16)[table])
    transition = numpyro.deterministic("transition", jnp.einsum("sm,samt->sat", share, effect))
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


rivals = {"ice": ice, "three moves": tied_moves(windy, table), "two ices": two_ices, "rows": rows}
print(bm.compare_priors(log, rivals, mdp=windy, draws=DRAWS).round(2).to_string())

# %% [markdown]
# Evidence and leave-one-out ask different questions of the second best. The rows prior had to learn each row from
# nothing, which costs it at every early step, so its evidence is the least; with all other steps known it predicts a
# step better than `ice` does, which has no way to be right about the east.

# %%
mended = bm.infer(two_ices, log, mdp=windy, method="smc", draws=DRAWS)
print(mended.posterior["half"].mean(("chain", "draw")).round(2).values)
far = bm.surprises(bm.replicate_logs(mended, log, windy, replicates=100 if SMALL else 1_000))
print(f"{(far['tail'] < 0.01).sum()} of {(far['sd'] > 0).sum()} counts are out of the central 99%")

# %%
plt.show()
