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
# # Solutions to lesson 7: average reward, and states that are numbers

# %%
import numpy as np

import bayesmdp as bm

# %% [markdown]
# ## 1. The gain by hand
#
# Under a policy with the stationary distribution d the gain is d'r. On RiverSwim-6 always swimming right is best.

# %%
river = bm.environments.riverswim(6, discount=None)
kernel, reward = river.transition[:, 1], river.reward[:, 1, 0]
system = np.vstack([kernel.T - np.eye(6), np.ones(6)])
stationary = np.linalg.lstsq(system, np.r_[np.zeros(6), 1], rcond=None)[0]
gain = float(stationary @ reward)
print(f"gain {gain:.7f}")
assert abs(gain - 0.4286224) < 1e-6
assert abs(gain - float(bm.solve(river).gain)) < 1e-8

# %% [markdown]
# ## 2. How near to 1 must the discount be?
#
# (1 - gamma) V(s) tends to the gain as gamma tends to 1, with an error of about (1 - gamma) times the span of the
# bias.

# %%
span = float(bm.hardness(river)["span"])
for gamma in (0.9, 0.99, 0.999):
    value = bm.solve(bm.environments.riverswim(6, discount=gamma)).value.values
    error = abs((1 - gamma) * value - gain).max()
    print(f"discount {gamma}: error {error:.4f}, bound {(1 - gamma) * span:.4f}")
    assert error <= (1 - gamma) * span + 1e-9

# %% [markdown]
# ## 3. A law with two unknowns
#
# A room loses a share of the difference to the outside, and a heater adds to it. The posterior of a log is exact, and
# found to be.

# %%
room = bm.environments.thermostat()
log = bm.collect(room, policy="uniform", steps=200, seed=0)
posterior = bm.infer(bm.models.thermostat(), log, mdp=room, draws=2_000, seed=0)
leak = posterior["posterior"]["leak"].values.ravel()
print(posterior.attrs["engine"], f"leak {leak.mean():.3f}, sd {leak.std():.3f}; in truth .1")
assert posterior.attrs["engine"] == "exact"
assert abs(leak.mean() - 0.1) < 5 * leak.std()
