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
# # A prior of your own
#
# Most methods of Bayesian reinforcement learning come with one prior: every state-action pair has its own unknown
# distribution over next states. Often you know more. In this lesson you write a prior that says so, as a NumPyro
# function, and you will see
#
# 1. what the prior believes before any data;
# 2. how much more the same log teaches under it;
# 3. that a closed-form posterior is found where there is one, and sampled where there is none;
# 4. an agent learning with it, many times faster;
# 5. what happens when the structure is wrong, and what shows it.

# %%
import os

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
STEPS, REPLICATES = (100, 2) if SMALL else (2_000, 32)
COLOURS = {"one current": "#0072B2", "a current each": "#E69F00", "similar currents": "#CC79A7", "Dirichlet": "#009E73"}

# %% [markdown]
# ## A river
#
# RiverSwim has six states in a line. Action *left* goes with the current and always works; *right* is against it and
# may fail. A tiny reward (.005) waits at the left end, a large one (1) at the right end. The truth, hidden from
# inference: in the interior a swim to the right goes one ahead with probability .35, stays with .6 and drifts one
# back with .05. At both ends it succeeds with probability .6.

# %%
river = bm.environments.riverswim(6)
LEFT, RIGHT = 0, 1
inside = np.arange(1, 5)


def build(current, ends):
    """Transition probabilities [state, action, next_state] from `current` [(state,) back-stay-ahead] and `ends`."""
    transition = jnp.zeros((6, 2, 6)).at[np.arange(6), LEFT, [0, 0, 1, 2, 3, 4]].set(1)  # left always works
    for move in (-1, 0, 1):
        transition = transition.at[inside, RIGHT, inside + move].set(current[..., move + 1])
    transition = transition.at[0, RIGHT, [0, 1]].set(jnp.stack([1 - ends, ends]))
    return transition.at[5, RIGHT, [4, 5]].set(jnp.stack([1 - ends, ends]))


# %% [markdown]
# ## The prior, as a function
#
# Our knowledge: the current is the same all along the river, the two ends are alike, and a swimmer moves by one state
# at most. Two unknowns are left. A model draws the unknowns, computes the site `transition` from them, and says how
# the next states of the log came about. That is all that is asked of it.

# %%


def one_current(data):
    """A river with one unknown current, the same in every interior state."""
    current = numpyro.sample("current", dist.Dirichlet(np.ones(3)), infer={"event_dims": ["move"]})
    ends = numpyro.sample("ends", dist.Uniform(0.0, 1.0))
    transition = numpyro.deterministic("transition", build(current, ends))
    with data.rows():  # a plate over the distinct transitions seen, each weighted by how often
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


dirichlet = dirichlet_transitions(river, concentration=1 / 6)  # the usual prior, which knows nothing

log = bm.collect(river, policy="uniform", steps=300, seed=0)
posteriors = {"one current": bm.infer(one_current, log), "Dirichlet": bm.infer(dirichlet, log)}
print(posteriors["one current"].attrs["engine"], "-", posteriors["one current"].attrs["reason"])

# %% [markdown]
# Nobody said that this prior is conjugate. `infer` differentiated the log-likelihood, saw that each row of the log
# adds a constant to the parameters of a Dirichlet or a Beta distribution, and so draws from the posterior exactly.
#
# ## A look at the prior
#
# Before the data, ask each prior a question whose answer you can judge: *a swimmer keeps swimming right for 25 steps
# from the left end; how likely is the right end then?* Each draw from the prior gives one answer.

# %%


def arrival(transition, steps=25):
    """Probability to be in the last state after swimming right from the first [...]."""
    return np.linalg.matrix_power(transition[..., RIGHT, :], steps)[..., 0, -1]


fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, (name, posterior) in zip(axes, posteriors.items(), strict=True):
    for group, colour in (("prior", "0.75"), ("posterior", COLOURS[name])):
        answers = arrival(posterior[group]["transition"].values).ravel()
        ax.hist(
            answers,
            bins=np.linspace(0, 1, 41),
            weights=np.full(answers.size, 1 / answers.size),
            color=colour,
            alpha=0.75,
            label=f"{group}: {(answers < 0.05).mean():.0%} below .05",
        )
    ax.axvline(arrival(river.transition), color="black", linewidth=1, linestyle=":", label="truth")
    ax.set_title(f"Prior: {name}", loc="left")
    ax.set_xlabel("probability of the right end after 25 swims right")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("share of draws")
fig.suptitle("One question, asked before the data and after 300 steps", x=0.01, ha="left")
plt.show()

# %% [markdown]
# Before the data both leave a wide range open and expect little: most draws say that the right end is hard to reach.
# After 300 random steps the prior with one current has closed in on the truth. Under the Dirichlet prior anything
# between .1 and .9 is still believed: a random swimmer hardly ever sees the right half of the river.
#
# ## What the same log teaches
#
# The next picture shows it state by state. It also has a third model, between the two. Perhaps the current is
# *similar* all along the river but not quite the same: each interior state has its own, drawn around a common centre,
# and the log tells how far they spread.

# %%


def similar_currents(data):
    """Each interior state has its own current, drawn around a common centre."""
    centre = numpyro.sample("centre", dist.Normal(0.0, 1.5))  # log-odds of going ahead
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("interior", 4):
        offset = numpyro.sample("offset", dist.Normal(0.0, 1.0))
    ahead = numpyro.deterministic("ahead", 1 / (1 + jnp.exp(-(centre + spread * offset))))
    back = numpyro.sample("back", dist.Uniform(0.0, 1.0))  # share of the failures that drift back
    ends = numpyro.sample("ends", dist.Uniform(0.0, 1.0))
    current = jnp.stack([(1 - ahead) * back, (1 - ahead) * (1 - back), ahead], axis=-1)
    transition = numpyro.deterministic("transition", build(current, ends))
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


sampler = {"draws": 40, "num_warmup": 200, "chains": 2} if SMALL else {"draws": 600, "num_warmup": 300}
posteriors["similar currents"] = bm.infer(similar_currents, log, **sampler)
print(posteriors["similar currents"].attrs["engine"], "-", posteriors["similar currents"].attrs["reason"])

# %% [markdown]
# The same call, another engine: a Normal prior has no closed form here, so NumPyro's No-U-Turn sampler (NUTS) ran,
# and the reason is written down.

# %%


def seen_moves(log, mdp):
    """Swims right in each interior state: numbers of moves back, stays and moves ahead [state, move]."""
    seen = bm.compress(log, mdp)
    counts = np.zeros((6, 2, 6))
    counts[seen.state, seen.action, seen.next_state] = seen.weight
    return np.stack([counts[inside, RIGHT, inside + move] for move in (-1, 0, 1)], axis=-1)


def plot_ahead(ax, posteriors, truth, tries):
    """90% intervals of the probability of going ahead, for each interior state and model."""
    for i, (name, posterior) in enumerate(posteriors.items()):
        draws = posterior["posterior"]["transition"].values.reshape(-1, 6, 2, 6)
        low, middle, high = np.quantile(draws[:, inside, RIGHT, inside + 1], [0.05, 0.5, 0.95], axis=0)
        place = inside + 0.18 * (i - (len(posteriors) - 1) / 2)
        ax.vlines(place, low, high, color=COLOURS[name], linewidth=3, label=name)
        ax.plot(place, middle, "o", color=COLOURS[name], markeredgecolor="white", markersize=7)
    ax.hlines(
        np.broadcast_to(truth, 4),
        inside - 0.35,
        inside + 0.35,
        color="black",
        linestyle=":",
        linewidth=1.2,
        label="truth",
    )
    ax.set_xticks(inside, [f"state {s}\n{n:.0f} tries" for s, n in zip(inside, tries, strict=True)])
    ax.set(ylim=(-0.02, 1.02), ylabel="probability of going ahead")
    ax.spines[["top", "right"]].set_visible(False)


order = ("one current", "similar currents", "Dirichlet")
fig, ax = plt.subplots(figsize=(8.5, 4.2), layout="constrained")
plot_ahead(ax, {name: posteriors[name] for name in order}, 0.35, seen_moves(log, river).sum(-1))
ax.legend(frameon=False, ncols=2, loc="upper left")
ax.set_title("The same 300 steps under three priors: 90% intervals", loc="left")
plt.show()

# %% [markdown]
# With one current, a state with two tries is known as well as one with 34: all 47 swims count everywhere. The
# Dirichlet prior learns each state from its own tries only, and two lucky ones in state 3 lead it astray. Similar
# currents borrow from each other, but less where few tries tell how far they may differ.
#
# ## Learning online
#
# The same function drives an agent. PSRL (posterior sampling) draws one river from its posterior, does what is best
# for that river for a while, and draws again. Without a closed form an agent carries the posterior by particles, which
# takes longer. To keep this lesson short we replace similar currents by `a_current_each`, which has a closed form:
# every interior state has a current of its own, and only the shape of the river is known.
#
# *Regret* is the value lost, summed over steps, by acting on the agent's policy instead of the best one.

# %%


def a_current_each(data):
    """Each interior state has an unknown current of its own."""
    with numpyro.plate("interior", 4):
        current = numpyro.sample("current", dist.Dirichlet(np.ones(3)), infer={"event_dims": ["move"]})
    ends = numpyro.sample("ends", dist.Uniform(0.0, 1.0))
    transition = numpyro.deterministic("transition", build(current, ends))
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


priors = {"one current": one_current, "a current each": a_current_each, "Dirichlet": dirichlet}
agents = {name: bm.agents.psrl(prior) for name, prior in priors.items()}
result = bm.simulate(river, agents, steps=STEPS, replicates=REPLICATES, seed=0)
final = bm.final_regret(result)
print(final.to_dataframe().round(1))
print("median over replicates:", result["regret"].sum("step").median("replicate").round(1).to_series().to_dict())

# %% [markdown]
# Two facts, "one moves by one state at most" and "left always works", reduce the regret from about 1,300 to a few tens
# (at full size).
# The Dirichlet prior must find by trial that a swim does not jump from one end to the other. Half of the runs under
# the structured priors have no regret at all. Their means come from a few runs with an unlucky start, so that one
# current is not visibly better here than a current for each state: this river is learnt almost at once under either.
#
# ## When the structure is wrong
#
# Now the river has rapids: in state 4 a swim to the right is thrown back with probability .9. And the left end is
# pleasant: its reward is .1 a step, worth 2 if you stay for good. The right end is worth more, but hardly anyone gets
# past the rapids: staying at the left end is best.
#
# A swimmer who always swims right makes a log of 600 steps.

# %%
transition, reward = river.transition.copy(), river.reward.copy()
transition[4, RIGHT] = 0, 0, 0, 0.9, 0.09, 0.01
reward[0, LEFT] = 0.1
rapids = river.replace(transition=transition, reward=reward, name="rapids")
swims = bm.collect(rapids, policy=["right"] * 6, steps=600, seed=0)
moves = seen_moves(swims, rapids)
beliefs = {
    "one current": bm.infer(one_current, swims),
    "similar currents": bm.infer(similar_currents, swims, **sampler),
}

# %% [markdown]
# A posterior never says that its model is wrong: it only weighs what the model allows. To see it, let the model speak
# about the data. A *posterior predictive check* draws new data from the posterior, as many swims in each state as the
# log has, and asks whether what was seen is like them.

# %%
rng = np.random.default_rng(0)
fig, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
plot_ahead(axes[0], beliefs, rapids.transition[inside, RIGHT, inside + 1], moves.sum(-1))
axes[0].legend(frameon=False)
axes[0].set_title("What is believed: 90% intervals", loc="left")
for i, (name, belief) in enumerate(beliefs.items()):
    draws = belief["posterior"]["transition"].values.reshape(-1, 6, 2, 6)
    probability = np.clip(draws[:, inside, RIGHT, inside + 1], 0, 1)
    tries, ahead = moves.sum(-1).astype(int), moves[:, 2]
    replicated = rng.binomial(tries, probability)
    extreme = np.minimum((replicated >= ahead).mean(0), (replicated <= ahead).mean(0))
    print(f"{name}: share of new data at least as extreme, states 1 to 4: {np.round(extreme, 3)}")
    low, high = np.quantile(replicated / np.maximum(tries, 1), [0.05, 0.95], axis=0)
    axes[1].vlines(
        inside + 0.18 * (i - 0.5), low, high, color=COLOURS[name], linewidth=3, label=f"{name}: 90% of new data"
    )
axes[1].plot(inside, ahead / np.maximum(tries, 1), "kx", markersize=8, label="the log")
axes[1].set_xticks(inside, [f"state {s}" for s in inside])
axes[1].set(ylim=(-0.02, 1.02), ylabel="share of swims that went ahead")
axes[1].legend(frameon=False)
axes[1].set_title("What it predicts, against what was seen", loc="left")
axes[1].spines[["top", "right"]].set_visible(False)
fig.suptitle("A river with rapids in state 4", x=0.01, ha="left", fontsize=13)
plt.show()

# %% [markdown]
# With one current the posterior is narrow and wrong in every state: an average of the rapids and the calm water,
# which exists nowhere. More data make it narrower still. The check shows it: the crosses lie far outside what that
# model predicts. The model with similar currents needs no such warning. Its spread grows until the rapids fit in.
#
# ## What a wrong structure costs

# %%
wrong = bm.simulate(rapids, agents, steps=STEPS, replicates=REPLICATES, seed=0)
print(bm.final_regret(wrong).to_dataframe().round(1))

fig, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
for ax, data, title in zip(axes, (result, wrong), ("the river as believed", "a river with rapids"), strict=True):
    bm.plot_regret(data, ax)
    ax.set_title(f"Regret of PSRL, {title}", loc="left")
plt.show()

# %% [markdown]
# On the river as believed, structure is almost free learning. On the river with rapids the agent that believes in one
# current never stops paying: its regret grows as a straight line. It swims up to the rapids and is thrown back, and
# every swim in calm water restores its hope. The Dirichlet prior pays for its ignorance, once, and then does what is
# right. The prior with a current for each state, a little weaker than the wrong one, does best.
#
# What to take home:
#
# - Say what you know, and no more. The weaker structure cost nothing on the first river and saved the second.
# - Where you are not sure, let the model say how far its own structure may fail, as with similar currents.
# - Check predictions against the log before you trust a narrow posterior.
#
# All that a model may do is in `models/README.md`, on the site *Writing a model*. The package has a prior much like
# `one_current`, in `models/river_current.py`.
