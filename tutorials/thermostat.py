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
# # From measurements to a policy: a thermostat
#
# A heater has three settings, and somebody logged the temperature of a room while trying them. How well the room keeps
# warm, and how much the heater adds, are unknown. We go from the log to a policy, and state at every step what remains
# unknown:
#
# 1. a log of measurements, and two priors of how temperatures change;
# 2. which of them the log supports, and what remains unknown;
# 3. a plan, and what it is worth, with an interval;
# 4. what a cautious plan does differently;
# 5. what the plan does in new rows, and where it gives no advice.

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import bayesmdp as bm
from bayesmdp.planning import FittedQ, Rollouts, fitted_policy

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "0.5"

# %% [markdown]
# ## 1. The log
#
# Each row is one hour: the temperature, what the heater did, and the temperature afterwards. `read_log` takes a file or
# a data frame with one column for each coordinate of the state; here there is only one.

# %%
room = bm.environments.thermostat()  # plays the room; we use only its log until we evaluate the plan
logged = bm.collect(room, steps=25, seed=0)
frame = pd.DataFrame(
    {
        "degrees": logged["state"].values[:, 0],
        "heater": logged["action"].values,
        "next_degrees": logged["next_state"].values[:, 0],
        "reward": logged["reward"].values,
    }
)
print(frame.round(2).head(4).to_string())
log = bm.read_log(frame, coordinates=["degrees"], columns={"action": "heater"})

# %% [markdown]
# The reward of a step is known: comfort is 1 at 20 degrees and less on either side, and heating costs something. The
# two priors describe how one temperature follows from the last. The first knows the physics: a share of the difference
# from the outside temperature is lost, and the heater adds something. The second knows only that the change is linear
# in the temperature, with a separate line for each heater setting and noise of unknown size.

# %%
physics, lines = bm.models.thermostat(), bm.models.linear_dynamics(room)
table = bm.compare_priors(log, {"physics": physics, "lines": lines}, mdp=room, draws=500)
print(table[["engine", "log_evidence", "elpd_loo", "p_loo"]].round(1).to_string())

# %% [markdown]
# Both posteriors are exact: the next temperature is Normal and linear in the unknowns. The package detects this; nobody
# has to declare it. The difference in log evidence is what knowing the physics is worth.
#
# ## 2. What remains unknown

# %%
posterior = bm.infer(physics, log, mdp=room, draws=1_000, seed=1)
draws = posterior.posterior
fig, ax = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
for group, colour, label in (("prior", GREY, "before"), ("posterior", BLUE, "after 25 hours")):
    cloud = posterior[group]
    ax.plot(cloud["leak"].values.ravel(), cloud["power"].values.ravel(), ".", color=colour, markersize=2, label=label)
ax.plot(0.1, 3.0, "o", color=ORANGE, label="true values")
ax.set(xlabel="share lost per hour", ylabel="degrees added by full heat", xlim=(-0.1, 0.5), ylim=(-3, 9))
ax.legend(frameon=False, markerscale=3)
ax.spines[["top", "right"]].set_visible(False)
correlation = float(np.corrcoef(draws["leak"].values.ravel(), draws["power"].values.ravel())[0, 1])
print(f"leak {draws['leak'].mean():.3f} +- {draws['leak'].std():.3f}, with power {correlation:+.2f}")

# %% [markdown]
# The log determines the two only jointly: a room that leaks more but has a stronger heater looks much the same.
#
# ## 3. A plan, and what it is worth
#
# The model also serves as the simulator. Planning fits Q under some posterior draws; the policy is then evaluated by
# following it under other draws, so that the plan does not grade itself. The interval covers the simulation error.

# %%
ways = FittedQ(places=64, samples=2, num_draws=8, rollouts=Rollouts(number=2_000)) if SMALL else FittedQ()
plan = bm.plan(posterior, room.replace(truth=None), solver=ways, strict=not SMALL)
print(f"worth {plan.value:.2f}, between {plan.lower:.2f} and {plan.upper:.2f} with confidence {plan.confidence}")
print(f"the targets that Q was fitted to are missed by {plan.misfit:.2f}")

# %% [markdown]
# The value is a mean over the posterior. It differs from draw to draw, and a bad room is worth less:

# %%
worth = bm.value_draws(posterior, room, plan, rollouts=ways.rollouts)
print(f"under the draws from {worth.min():.1f} to {worth.max():.1f}, each known to {worth['error'].mean():.2f}")
quantile = bm.quantile_value(posterior, room, plan, 0.1, rollouts=ways.rollouts)
low, high = float(quantile.initial_lower), float(quantile.initial_upper)
print(f"with probability .9 at least {quantile.initial:.2f} ({low:.2f} to {high:.2f})")

# %% [markdown]
# Here the truth is known, so we can check what the plan delivers, and what the best plan for the true room would.

# %%
true = bm.evaluate(room, plan, rollouts=ways.rollouts)
best = bm.solve(room, solver=ways, strict=not SMALL)
thumb = bm.evaluate(room, lambda state: jnp.where(state[0] < 20, 2, 0), rollouts=ways.rollouts)
print(f"in truth {true:.2f} ({true.lower:.2f} to {true.upper:.2f}); knowing the room {best.value:.2f}")
print(f"full heat below 20 degrees, none above: {thumb:.2f}")

# %% [markdown]
# ## 4. A cautious plan
#
# `bm.Quantile(0.1)` uses the tenth percentile over the draws at each step instead of the mean.

# %%
cautious = bm.plan(posterior, room.replace(truth=None), bm.Quantile(0.1), solver=ways, strict=not SMALL)
degrees = np.linspace(10, 26, 161)[:, None]
fig, ax = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
for each, colour, label, lift in ((plan, BLUE, "mean", 0.03), (cautious, ORANGE, "quantile .1", -0.03)):
    heat = fitted_policy(each, room).q(degrees).argmax(-1)
    ax.plot(degrees[:, 0], heat + lift, color=colour, label=label)
ax.set(xlabel="degrees", yticks=[0, 1, 2], yticklabels=room.actions)
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
print(f"the cautious plan is worth at least {cautious.value:.2f} with probability .9 (lower end {cautious.lower:.2f})")

# %% [markdown]
# ## 5. New rows
#
# A plan is a Dataset and can be saved as a file. It gives an action for each row; outside the range in which it was
# fitted it gives none.

# %%
new = pd.DataFrame({"degrees": [14.0, 19.4, 23.0, None, 55.0]})
print(pd.concat([new, bm.recommend(plan, new, mdp=room)], axis=1).round(2).to_string())

# %% [markdown]
# The room can also be learned while it is heated: `bm.agents.fitted_psrl(physics)` acts by a draw from the posterior
# and plans again as the posterior changes. With a closed-form posterior, a step costs the same after a year as on day
# one.

# %%
agent = bm.agents.fitted_psrl(physics, approximation="linear", iterations=20, places=32, samples=2)
run = bm.simulate(room, {"PSRL": agent}, steps=50 if SMALL else 400, replicates=2)
hourly = run["reward"].mean("replicate").isel(agent=0)
print(f"the first 25 hours earned {hourly[:25].mean():.2f} an hour, the last 25 {hourly[-25:].mean():.2f}")
assert jax.config.jax_enable_x64 is False  # the package computes in 64 bits and leaves your setting alone
plt.show()
