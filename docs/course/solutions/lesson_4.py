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
# # Solutions to lesson 4: from a log to a promise

# %%
import bayesmdp as bm

lake = bm.environments.frozen_lake(discount=0.95)
log = bm.collect(lake, policy="uniform", steps=2_000, seed=0)

# %% [markdown]
# ## 1. A plan, and its promise
#
# The number that is told is lower than what the posterior alone says, by what the check found.

# %%
report = bm.plan_log(log, discount=0.95, draws=200, seed=0)
print(f"told {report.bound:.3f}; {report.checked}")
assert report.bound <= float(report.policy.attrs["initial_worth_quantile"]) + 1e-9

# %% [markdown]
# ## 2. Was it kept?
#
# With the true lake at hand, which a practitioner has not, we may look. On this log the promise was kept. Of twelve
# logs of this lake (seeds 0 to 5, 2,000 and 4,000 steps) it was kept on eleven, where nine in ten are promised.

# %%
policy = {state: action for state, action in zip(report.policy.state.values, report.policy.action.values, strict=True)}
actions = [policy.get(state) or "left" for state in lake.states]
truth = float(bm.evaluate(lake, actions)[0])
print(f"in truth {truth:.3f}")
assert truth >= report.bound

# %% [markdown]
# ## 3. May the log be believed?
#
# It was made by the lake itself, with no fault, so nothing should be alarming but that some pairs were tried seldom.

# %%
checked = bm.check_log(log, "uniform", mdp=lake)
alarms = [str(check) for check, alarm in zip(checked["check"].values, checked["alarm"].values, strict=True) if alarm]
print(f"alarms: {alarms}")
assert set(alarms) <= {"few tries"}
