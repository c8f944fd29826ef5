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
# # Solutions to lesson 3: a prior of your own

# %%
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import bayesmdp as bm

# %% [markdown]
# ## 1. A machine in ten lines
#
# A machine is good or broken; we wait or repair. How often a good machine breaks, and how often a repair works, is
# unknown.

# %%
workshop = bm.MDP(
    transition=[[[0.9, 0.1], [1.0, 0.0]], [[0.0, 1.0], [0.6, 0.4]]],
    reward=[[1.0, 0.0], [0.0, -1.0]],
    discount=0.95,
    states=("good", "broken"),
    actions=("wait", "repair"),
)


def machine(data):
    breaks = numpyro.sample("breaks", dist.Beta(1, 9))
    works = numpyro.sample("works", dist.Beta(2, 2))
    good = jnp.stack([jnp.stack([1 - breaks, breaks]), jnp.array([1.0, 0.0])])
    broken = jnp.stack([jnp.array([0.0, 1.0]), jnp.stack([works, 1 - works])])
    transition = numpyro.deterministic("transition", jnp.stack([good, broken]))
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


log = bm.collect(workshop, policy="uniform", steps=400, seed=0)
posterior = bm.infer(machine, log, draws=4_000, seed=1)
print(posterior.attrs["engine"], "-", posterior.attrs["reason"])
assert posterior.attrs["engine"] == "exact"

# %% [markdown]
# ## 2. Which prior does the log speak for?
#
# One with free rows spends its probability on kernels that cannot be, such as a good machine that a repair breaks.
# The evidence charges it for that.

# %%
rivals = {"machine": machine, "free rows": bm.models.dirichlet_transitions(workshop, 1.0)}
table = bm.compare_priors(log, rivals, mdp=workshop)
print(table["probability"].round(3).to_dict())
assert table.index[0] == "machine"

# %% [markdown]
# ## 3. A structure that is wrong
#
# This model believes that a repair always works. A log in which one failed is impossible under it, and is refused by
# name.


# %%
def sure(data):
    breaks = numpyro.sample("breaks", dist.Beta(1, 9))
    good = jnp.stack([jnp.stack([1 - breaks, breaks]), jnp.array([1.0, 0.0])])
    broken = jnp.stack([jnp.array([0.0, 1.0]), jnp.array([1.0, 0.0])])
    transition = numpyro.deterministic("transition", jnp.stack([good, broken]))
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


refused = ""
try:
    bm.infer(sure, log)
except ValueError as error:
    refused = str(error)
print(refused)
assert "state 1, action 1, next_state 1" in refused  # broken, repair, broken
