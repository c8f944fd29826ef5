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
# # States that are numbers: a frozen lake without squares
#
# On this lake you can stand anywhere in $[0, 4]^2$, and a move has a random length. No table of transitions can be
# written down, but a NumPyro model can describe how a step happens, and that is enough: it is both the likelihood for
# the posterior and the simulator for the planner. You will see
#
# 1. the model, and what is recorded of each step;
# 2. a posterior in closed form, one of whose parts no derivative could have found;
# 3. the same model as a simulator, under what is known so far;
# 4. AQ-BRMDP against posterior sampling, with Q a neural network, or linear.
#
# The problem is that of Song, Wang and Zhou (2026), section EC.7.7; the numbers in it are ours.

# %%
import os

import arviz as az
import jax
import matplotlib.pyplot as plt
import numpy as np

import bayesmdp as bm
from bayesmdp.problems.simulated_problem import next_states
from bayesmdp.studies.tables import stored_table

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
BLUE, ORANGE, RED, GREY = "#0072B2", "#E69F00", "#D55E00", "0.5"


def tidy(axes):
    for ax in np.ravel(axes):
        ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## 1. What is random
#
# On ice, a move turns to the left of the intended direction, goes ahead, or turns to the right. A hole lets you go now
# and then. The length is uniform up to some reach. At the goal you are put back on the ice. The simulator records these
# *primitives* with each step.

# %%
lake = bm.environments.slippery_lake()
print("\n".join(lake.layout))
print(lake, lake.truth)
log = bm.collect(lake, steps=40, seed=1)  # actions at random; or give it a function of the state
print(log.isel(step=slice(4)).drop_vars(["cell", "offset"]).to_dataframe().unstack("coordinate").T.to_string())

# %% [markdown]
# ## 2. The posterior
#
# The prior is a Dirichlet for the turns, a Beta for the holes, and a Pareto for the reach: if it is Pareto(scale,
# shape), then after n lengths of which m is the longest it is Pareto(max(scale, m), shape + n). The likelihood of the
# lengths is 0 for a reach below the longest: its support depends on what is unknown. Where closed forms are found by
# differentiating the likelihood, as for finite problems, this one cannot be; here it is read off the distributions.

# %%
prior = bm.models.slippery_lake(lake)
posterior = bm.infer(prior, log, mdp=lake, draws=400 if SMALL else 4_000)
print(posterior.attrs["engine"], "-", posterior.attrs["reason"])
for name, values in posterior["parameters"].data_vars.items():
    print(
        f"{name:9s}",
        values.dropna("parameter").to_series().round(3).to_dict() if "parameter" in values.dims else values.values,
    )
print(f"longest of {int(log['length'].count())} lengths: {float(log['length'].max()):.3f}")

# %%
learned = az.plot_prior_posterior(posterior, var_names=["direction", "mobility"])

# %% [markdown]
# ## 3. The model as a simulator
#
# `next_states(model, key, values, ...)` draws next states given values of the unknowns. Here are those of one state
# and action, *right* from the middle of the lake: under the prior, under the posterior of 40 steps, and in truth. Each
# dot has unknowns of its own, so the first two are predictive distributions.

# %%
place, right, count = np.array([1.5, 2.5]), 2, 200 if SMALL else 1_500
states, actions = np.tile(place, (count, 1)), np.full(count, right)


def predicted(group):
    """One next state for each draw of the unknowns."""
    draws = {name: values.stack(d=("chain", "draw")).transpose("d", ...).values for name, values in group.items()}
    some = {name: values[np.arange(count) % len(values)] for name, values in draws.items()}
    keys = jax.random.split(jax.random.key(0), count)
    one = jax.jit(jax.vmap(lambda key, values: next_states(lake.model, key, values, place[None], np.array([right]))[0]))
    return np.asarray(one(keys, some))


with jax.enable_x64(True):
    truth = np.asarray(next_states(lake.model, jax.random.key(0), lake.truth, states, actions))
    clouds = {
        "before any data": predicted(posterior["prior"].to_dataset()),
        "after 40 steps": predicted(posterior["posterior"].to_dataset()),
        "in truth": truth,
    }
fig, axes = plt.subplots(1, 3, figsize=(10.5, 3.7), layout="constrained")
shades = {"S": "white", "F": "white", "H": "0.75", "G": "#CFE8CF"}
for ax, (title, cloud) in zip(axes, clouds.items(), strict=True):
    for row, letters in enumerate(lake.layout):
        for column, letter in enumerate(letters):
            ax.add_patch(plt.Rectangle((column, row), 1, 1, facecolor=shades[letter], edgecolor="0.9"))
    ax.plot(*cloud.T, ".", color=BLUE, markersize=3, alpha=0.25)
    ax.plot(*place, "o", color=RED, markersize=6)
    ax.set(xlim=(0, 4), ylim=(4, 0), xticks=[], yticks=[], aspect="equal")
    ax.set_title(title, loc="left")

# %% [markdown]
# ## 4. Learning online
#
# The agents draw from the posterior at the start of each pseudo-episode, and plan by *fitted Q iteration*: at places
# picked at random they simulate next states under each draw, and regress Q on what those are worth. Posterior sampling
# plans for one draw. AQ-BRMDP takes a quantile over 32, at levels that rise with time, soonest where the draws still
# disagree. Here are a few steps; the table and the curves are of the study, 2,000 steps and 24 replicates of each.

# %%
sizes = {"approximation": "linear", "iterations": 5, "places": 32, "samples": 4}
agents = {"PSRL": bm.agents.fitted_psrl(prior, **sizes), "AQ-BRMDP": bm.agents.fitted_aq_brmdp(prior, **sizes)}
run = bm.simulate(lake, agents, steps=100 if SMALL else 500, replicates=2)
print(run["regret"].sum("step").mean("replicate").round(1).to_series().to_string())

# %% [markdown]
# Regret is $V^* - V^{\pi}$ at each step under the true lake, both solved for on a mesh of 784 points: exact but for the
# mesh, whose best value is within .3% of that of a finer one.

# %%
table = stored_table("slippery_lake").set_index(["cell", "agent"])
shown = ["regret", "regret_lower", "regret_upper", "saved", "saved_lower", "saved_upper", "last_tenth", "reward"]
print(table[shown].round(1).to_string())

# %%
curves = stored_table("slippery_lake_curves")
colours = {"PSRL": BLUE, "AQ-BRMDP": ORANGE, "BRMDP-0.3": GREY, "told": "black"}
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for ax, cell in zip(axes, ["neural", "linear"], strict=True):
    part = curves[curves["cell"] == cell].set_index("step")
    for name, colour in colours.items():
        ax.plot(part.index, part[name], color=colour, linestyle=":" if name == "told" else "-", label=name)
    ax.set_title({"neural": "Q by a network", "linear": "Q linear in the same features"}[cell], loc="left")
    ax.set_xlabel("step")
    ax.set_ylim(0)
axes[0].set_ylabel("regret so far, mean of 24 runs")
axes[0].legend(frameon=False)
tidy(axes)

# %% [markdown]
# With a network AQ-BRMDP loses 118 where posterior sampling loses 156, which is 39 less on the same luck (25 to 53): as
# the paper says. Most of it is won in the first five hundred steps. In the last two hundred the four agents are not
# told apart, and what they still lose, .03 to .05 a step where the best value is 1.1, is the network's. *told*, which
# knows the lake all along, loses 87: more than half of the regret is the price of fitted Q and not of learning. One
# fixed level does not do it (.3 saves 1, -16 to 18).
#
# Linear in the same features Q cannot tell where in a cell one stands, and no agent comes to act well. AQ-BRMDP saves
# 145 there (107 to 182) and loses less than *told*: its high levels late in the run make up for some of what linear
# targets get wrong. That is luck with this lake rather than learning, and not what the schedule is for.

# %%
plt.show()
