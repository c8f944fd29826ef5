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
# # Solutions to lesson 8: a prior learned across tasks

# %%
import numpy as np

import bayesmdp as bm

# %% [markdown]
# ## 1. Normal with Normal, by hand
#
# Tasks have theta ~ N(mu, tau^2); each leaves an estimate with the error variance s^2. So estimates are N(mu, tau^2 +
# s^2), and their variance less s^2 is an estimate of tau^2. That subtraction is what MTSRL+ does with matrices.

# %%
rng = np.random.default_rng(0)
tasks, tau, s = 20_000, 0.7, 0.5
theta = rng.normal(1.0, tau, tasks)
estimates = theta + rng.normal(0, s, tasks)
naive, mended = estimates.var(ddof=1), estimates.var(ddof=1) - s**2
print(f"variance of tasks {tau**2:.3f}; of estimates {naive:.3f}; less the noise {mended:.3f}")
assert abs(mended - tau**2) < 0.03
assert naive > tau**2 + 0.2

# %% [markdown]
# ## 2. What the prior is worth
#
# With the prior N(mu, tau^2) the best guess of a new task shrinks its estimate towards mu. The mean squared error
# falls from s^2 to tau^2 s^2 / (tau^2 + s^2).

# %%
weight = tau**2 / (tau**2 + s**2)
shrunk = 1.0 + weight * (estimates - 1.0)
errors = ((estimates - theta) ** 2).mean(), ((shrunk - theta) ** 2).mean()
print(f"error {errors[0]:.4f} without the prior, {errors[1]:.4f} with it")
assert abs(errors[1] - tau**2 * s**2 / (tau**2 + s**2)) < 0.01
assert errors[1] < errors[0]

# %% [markdown]
# ## 3. The same with Q-functions
#
# Tasks differ in their rewards, so that their Q-values are drawn from one Normal distribution. Thompson sampling with
# the true prior of the tasks (the meta-oracle) loses less in a new task than one that knows nothing (RLSVI).

# %%
frame = bm.environments.layers(width=2, actions=2, horizon=3)
truth = bm.models.gaussian_q_tasks(frame, mean=2.0, covariance=0.25)
prior = bm.models.gaussian_q(frame, mean=2.0, covariance=0.25, noise=0.5)
agents = {"RLSVI": bm.agents.rlsvi(noise=0.5), "oracle": bm.agents.tsrl(prior)}
result = bm.simulate_tasks(frame, agents, truth=truth, tasks=6, steps=90, replicates=4, seed=0)
lost = result["regret"].groupby("task").sum().mean(("replicate", "task"))
print(lost.to_series().round(2).to_dict())
assert float(lost.sel(agent="oracle")) < float(lost.sel(agent="RLSVI"))
