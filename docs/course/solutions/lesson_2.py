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
# # Solutions to lesson 2: from a posterior to a plan

# %%
import numpy as np

import bayesmdp as bm

river = bm.environments.riverswim(6)
log = bm.collect(river, policy="uniform", steps=600, seed=3)
posterior = bm.infer(bm.models.dirichlet_transitions(river, 1 / 6), log, mdp=river, draws=400, seed=0)

# %% [markdown]
# ## 1. A row by hand
#
# The posterior mean of a Dirichlet row is (concentration + counts) / (their sum).

# %%
seen = bm.compress(log)
counts = np.zeros((6, 2, 6))
counts[seen.state, seen.action, seen.next_state] = seen.weight
by_hand = (1 / 6 + counts) / (1 + counts.sum(-1, keepdims=True))
by_draws = posterior["posterior"]["transition"].mean(("chain", "draw")).values
print(f"largest difference {abs(by_hand - by_draws).max():.3f}")
assert abs(by_hand - by_draws).max() < 0.15
assert np.sqrt(((by_hand - by_draws) ** 2).mean()) < 0.02

# %% [markdown]
# ## 2. More caution, less promised
#
# The value of a plan never rises as the level falls, in no state: a lower quantile is never larger.

# %%
plans = {level: bm.plan(posterior, river, bm.Quantile(level)) for level in (0.1, 0.3, 0.5)}
values = np.stack([plans[level].value.values for level in (0.1, 0.3, 0.5)])
print(values[:, 0].round(3))
assert (np.diff(values, axis=0) >= -1e-8).all()

# %% [markdown]
# ## 3. What a policy is truly worth
#
# No policy is worth more than the best one, and only here, where we know the truth, can we say by how much less.

# %%
best = bm.solve(river)
lost = {level: float(best.value[0] - bm.evaluate(river, plan.policy)[0]) for level, plan in plans.items()}
print({level: round(each, 3) + 0 for level, each in lost.items()})
assert min(lost.values()) >= -1e-8
