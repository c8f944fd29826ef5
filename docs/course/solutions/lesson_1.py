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
# # Solutions to lesson 1: coin flips

# %%
import numpy as np
from scipy import stats

import bayesmdp as bm

# %% [markdown]
# ## 1. By hand
#
# A uniform prior is Beta(1, 1). After 7 heads and 3 tails the posterior is Beta(8, 4), with mean 8 / 12. Here a coin
# is a problem with one state and one action, whose second outcome is heads. (A single number for the concentration
# would be that of a next *state*, of which there is only one here; so each outcome gets its own.)

# %%
coin = bm.environments.bernoulli_bandit([0.5])
zero = np.zeros(2, int)
log = bm.Transitions(
    state=zero, action=zero, next_state=np.array([0, 1]), reward=zero + 0.0, weight=np.array([3.0, 7.0])
)
posterior = bm.infer(bm.models.dirichlet_transitions(coin, [1.0, 1.0]), log, mdp=coin, draws=40_000, seed=0)
heads = posterior["posterior"]["transition"].values[..., 0, 0, 1].ravel()
print(f"mean {heads.mean():.4f}, and by hand {8 / 12:.4f}")
assert posterior.attrs["engine"] == "exact"
assert abs(heads.mean() - 8 / 12) < 5 * stats.beta(8, 4).std() / np.sqrt(heads.size)
assert stats.kstest(heads, stats.beta(8, 4).cdf).pvalue > 1e-4

# %% [markdown]
# ## 2. The next flip
#
# The probability that the next flip is heads is the posterior mean, here 2/3: averaging a probability over what is
# possible gives its mean. That of two heads in a row is E[p^2] = Var p + (E p)^2, more than (2/3)^2.

# %%
twice = (heads**2).mean()
by_formula = 8 * 9 / (12 * 13)
print(f"two heads: {twice:.4f}, by the formula {by_formula:.4f}, and with the mean alone {(8 / 12) ** 2:.4f}")
assert abs(twice - by_formula) < 0.01
assert by_formula > (8 / 12) ** 2

# %% [markdown]
# ## 3. Is it worth a try?
#
# A coin that pays 1 for heads, of which nothing is known, against one that pays .55 for certain, at a discount of .9.
# The mean of the unknown coin is .5, yet its Gittins index, the sure payment that is just as good, is higher, since
# what is learned can be used later.

# %%
index = bm.gittins_index(1, 1, discount=0.9)
print(f"the unknown coin is worth as much as a sure {index:.4f} a step")
assert 0.70 < index < 0.71  # Gittins (1979) has .7029
assert index > 0.55
