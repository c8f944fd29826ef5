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
# # Solutions to lesson 6: exploring, and comparing honestly

# %%
import numpy as np
from scipy import stats

import bayesmdp as bm

river = bm.environments.riverswim(6)

# %% [markdown]
# ## 1. Who never tries never swims
#
# Both agents learn Q-functions by least squares, in episodes of ten steps. `lsvi` acts by its best guess; `rlsvi`
# draws its guess at random, as far as it is not sure. The first takes the small reward near the start and stays.

# %%
episodes = bm.unroll(river.replace(features=np.eye(12).reshape(6, 2, 12)), 10)
prior = bm.models.gaussian_q(episodes, covariance=5.0, noise=0.1)
agents = {"guess": bm.agents.lsvi(prior), "draw": bm.agents.rlsvi()}
result = bm.simulate(episodes, agents, steps=2_000, replicates=8, seed=0, thin=50)
regret = result["regret"].sum("step")
print(regret.mean("replicate").round(1).to_series().to_dict())
assert float(regret.sel(agent="draw").mean()) < float(regret.sel(agent="guess").mean())

# %% [markdown]
# ## 2. The interval by hand
#
# Student's t over replicates: mean -+ t s / sqrt(n).

# %%
values = regret.sel(agent="draw").values
half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
told = bm.final_regret(result).sel(agent="draw")
print(f"{values.mean():.1f} -+ {half:.1f}")
assert np.allclose([told["lower"], told["upper"]], [values.mean() - half, values.mean() + half])

# %% [markdown]
# ## 3. A hundred comparisons of equals
#
# Of tests at the level .05 on agents that do not differ, some five in a hundred find a difference. Holm's correction
# keeps the probability of any such finding below .05.

# %%
p_values = np.random.default_rng(0).random(100)  # what such tests give when nothing differs
found = int((p_values < 0.05).sum())
order = np.sort(p_values)
corrected = int(np.cumprod(order < 0.05 / np.arange(100, 0, -1)).sum())
print(f"{found} of 100 uncorrected, {corrected} after Holm's correction")
assert found > 0
assert corrected == 0
