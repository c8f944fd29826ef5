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
# # Solutions to lesson 5: quantiles, and a level that adapts

# %%
import numpy as np

import bayesmdp as bm

# %% [markdown]
# ## 1. A bet
#
# Safe earns c a step. Risky leads to 1 a step or to nothing; the second has the posterior probability q. By the mean,
# risky counts gamma (1 - q) / (1 - gamma); by a quantile at a level of at most q it counts nothing.

# %%
gamma, c, q = 0.9, 0.5, 0.3
bet = bm.MDP(
    transition=np.array([[[1, 0, 0], [0, 1 - q, q]], [[0, 1, 0]] * 2, [[0, 0, 1]] * 2], float),
    reward=[[c, 0.0], [1.0, 1.0], [0.0, 0.0]],
    discount=gamma,
    states=("start", "good", "bad"),
    actions=("safe", "risky"),
)
draws = np.tile(bet.transition, (10, 1, 1, 1))
draws[:7, 0, 1], draws[7:, 0, 1] = (0, 1, 0), (0, 0, 1)  # in 7 worlds of 10 risky is good
import xarray as xr

worlds = xr.Dataset({"transition": (("draw", "state", "action", "next_state"), draws)})
mean, cautious = bm.plan(worlds, bet), bm.plan(worlds, bet, bm.Quantile(0.1))
print(str(mean.policy[0].values), str(cautious.policy[0].values))
assert (str(mean.policy[0].values), str(cautious.policy[0].values)) == ("risky", "safe")
assert abs(float(mean.value[0]) - gamma * (1 - q) / (1 - gamma)) < 1e-8
assert abs(float(cautious.value[0]) - c / (1 - gamma)) < 1e-8

# %% [markdown]
# ## 2. How many draws does a level take?
#
# The error of an order statistic grows towards the tails like alpha (1 - alpha) / pdf(z)^2: 1.57 at one half, 2.9 at
# .1 and 14 at .01.

# %%
from scipy.stats import norm

factors = {level: level * (1 - level) / norm.pdf(norm.ppf(level)) ** 2 for level in (0.5, 0.1, 0.01)}
print({level: round(float(each), 2) for level, each in factors.items()})
assert np.allclose(list(factors.values()), [1.57, 2.92, 13.9], rtol=0.01)

# %% [markdown]
# ## 3. A level that does not adapt
#
# With `decay=0` and `sensitivity=0` the levels of AQ-BRMDP neither rise nor tell pairs apart: it is `brmdp` at the
# level 1 - scale, run for run.

# %%
river = bm.environments.riverswim(6)
prior = bm.models.dirichlet_transitions(river, 1 / 6)
agents = {
    "adaptive": bm.agents.aq_brmdp(prior, scale=0.5, decay=0.0, sensitivity=0.0),
    "fixed": bm.agents.brmdp(prior, level=0.5),
}
result = bm.simulate(river, agents, steps=300, replicates=2, seed=0)
difference = abs(result["reward"].sel(agent="adaptive") - result["reward"].sel(agent="fixed")).max()
print(f"largest difference of a reward: {float(difference)}")
assert float(difference) == 0
