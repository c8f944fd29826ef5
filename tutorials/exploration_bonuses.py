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
# # Exploration bonuses from one posterior
#
# An agent that does not know its world must sometimes try actions that do not look best. One classical way to make it
# do so is a *bonus*: add something to the reward of every pair that is not well known, and plan as if the sum were the
# reward. The plan then leads to such pairs by itself. Many algorithms work like this, and they differ in what they call
# "not well known". Here all of them hold the same belief: some use its posterior, some only the counts that it keeps.
# You will see
#
# 1. how a prior says that rewards are unknown too;
# 2. what each bonus looks like on the same belief, over the states of a queue;
# 3. how close the simplest bonus comes to the Bayes-adaptive optimum, in a problem where that can be computed;
# 4. what TSEB's lambda does on Chain, and that the scale of its bonus matters more;
# 5. all agents side by side: reward, regret, and the number of steps that were far from optimal;
# 6. whether a rising lambda saves the search for the best fixed one;
# 7. the return of bonus agents and of planners that look ahead, against the time that they take per step.

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions, normal_rewards
from bayesmdp.studies.tables import stored_table

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
BLUE, ORANGE, GREEN, PINK, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "0.5"


def tidy(axes):
    for ax in np.ravel(axes):
        ax.spines[["top", "right"]].set_visible(False)


# %% [markdown]
# ## 1. Rewards as part of the prior
#
# A queue of up to 50 packets is served slowly or, for a price, fast. Neither the probabilities of service nor the
# rewards are known. One more function turns a model of the transitions into a model of transitions and rewards. It is
# still one NumPyro model, and its posterior is still exact.

# %%
line = bm.environments.queue(discount=0.95)
prior = normal_rewards(line, dirichlet_transitions(line, concentration=1 / 3), scale=2.0, noise=0.5)
log = bm.collect(line, policy="uniform", steps=400, seed=0)
posterior = bm.infer(prior, log, mdp=line, draws=400)
print(posterior.attrs["engine"], "-", posterior.attrs["reason"])
told = posterior.posterior["reward"].sel(state=[0, 3, 20], action="fast")
print(told.mean(("chain", "draw")).values.round(2), "+-", told.std(("chain", "draw")).values.round(2))

# %% [markdown]
# The log never visits 20 packets: the posterior there is the prior.
#
# ## 2. The same belief, five bonuses
#
# We give that log to the agents, step by step, and ask each agent what it adds to the reward of each pair:
#
# - *BEB* adds beta / (1 + n0 + n), where n is the number of visits of the pair and n0 the weight of its prior;
# - *MBIE-EB* adds beta / sqrt(n), which falls more slowly; a pair that was never tried gets the largest value that is
#   possible;
# - *variance* adds posterior standard deviations of reward and transitions;
# - *TSEB* adds the distance of the sampled reward from the mean observed reward, plus a multiple of 1 / n;
# - *R-MAX* is all or nothing: a pair is known after m tries.

# %%
AGENTS = {
    "BEB": bm.agents.beb(prior),
    "MBIE-EB": bm.agents.mbie_eb(prior),
    "variance": bm.agents.variance_bonus(prior),
    "TSEB": bm.agents.tseb(prior),
    "R-MAX": bm.agents.rmax(prior),
}


def after(agent, log):
    """The agent's plan after it has seen a log."""
    from bayesmdp.problems.world import Step

    with jax.enable_x64(True):
        rules = agent.rules(agent.make_belief(line), line.problem, agent.options)
        observe, state = jax.jit(rules.observe), rules.init(jax.random.key(0))
        frame = log.to_dataframe()
        for s, a, r, t in frame[["state", "action", "reward", "next_state"]].itertuples(index=False):
            action = line.action_index(a)
            outcome = int(np.flatnonzero(line.successor[s, action] == t)[-1])
            step = Step(*map(np.int32, (s, action, outcome, t)), np.float64(r), np.bool_(False))
            state = observe(jax.random.key(1), state, step)
        return jax.jit(rules.begin)(jax.random.key(2), state)


plans = {name: after(agent, log) for name, agent in AGENTS.items()}
visits = log.to_dataframe().groupby(["state", "action"]).size().unstack(fill_value=0).reindex(range(51), fill_value=0)

# %%
SHOWN = 16
fig, axes = plt.subplots(3, 2, figsize=(9.5, 7.5), sharex=True, layout="constrained")
for column, action in zip((BLUE, ORANGE), ("slow", "fast"), strict=True):
    axes[0, 0].step(range(SHOWN), visits[action][:SHOWN], where="mid", color=column, label=action)
axes[0, 0].set_title("tries in the log", loc="left")
axes[0, 0].legend(frameon=False)
for ax, (name, plan) in zip(axes.flat[1:], plans.items(), strict=True):
    values = np.asarray(plan.account["known" if name == "R-MAX" else "bonus"])
    for a, colour in enumerate((BLUE, ORANGE)):
        ax.step(range(SHOWN), values[:SHOWN, a], where="mid", color=colour)
    ax.set_title("known to R-MAX" if name == "R-MAX" else f"bonus of {name}", loc="left")
for ax in axes[-1]:
    ax.set_xlabel("packets in the queue")
fig.suptitle("One belief, and what five agents make of it", x=0.01, ha="left")
tidy(axes)
plt.show()

# %% [markdown]
# All bonuses are larger where tries are few. Those of BEB and TSEB are nearly flat once a pair was tried a dozen times;
# that of MBIE-EB is not. The variance bonus uses more than counts: it knows from the prior how much a row *could* vary.
# So does TSEB's part for the reward, which compares a sample with the observations. (Where nothing was tried MBIE-EB
# shows 0: there its optimism is not a bonus but the value itself.)
#
# ## 3. How good can it be?
#
# Take two arms whose success probabilities are unknown, with uniform priors. The Bayes-adaptive optimum, which plans
# with everything that the agent may still learn, is then a dynamic program over counts. Another dynamic program gives
# the value of an agent that takes the arm with the larger posterior mean plus beta / (1 + n0 + n).

# %%
HORIZON, DISCOUNT = (15 if SMALL else 60), 0.9


def arms(beta=None):
    """Expected discounted wins under BEB with `beta`, or of the best agent."""
    value = None
    for depth in range(HORIZON, -1, -1):
        wins, losses, others = np.meshgrid(*[np.arange(depth + 1)] * 3, indexing="ij")
        rest = depth - wins - losses - others
        here = rest >= 0
        n, m = wins + losses, np.where(here, others + rest, 0)
        p, q = (wins + 1) / (n + 2), (others + 1) / (m + 2)
        first, second = p, q
        if value is not None:
            keep = DISCOUNT * value
            first = p * (1 + keep[wins + 1, losses, others]) + (1 - p) * keep[wins, losses + 1, others]
            second = q * (1 + keep[wins, losses, others + 1]) + (1 - q) * keep[wins, losses, others]
        chosen = first >= second if beta is None else p + beta / (3 + n) >= q + beta / (3 + m) - 1e-12
        value = np.where(here, np.where(chosen, first, second), 0)
    return float(value[0, 0, 0])


scales = np.array([0, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 8, 16])
loss = arms() - np.array([arms(beta) for beta in scales])
fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.plot(scales, loss / arms(), "o-", color=BLUE, markersize=4)
ax.set_xscale("symlog", linthresh=0.1)
ax.set_yscale("log")
ax.set_xticks([0, 0.1, 0.5, 1, 2, 4, 8, 16], ["0", "0.1", "0.5", "1", "2", "4", "8", "16"])
ax.minorticks_off()
ax.set(xlabel="beta", ylabel="share of the best value lost")
ax.set_title("BEB on two arms: what it loses to the Bayes-adaptive optimum", loc="left")
tidy(ax)
plt.show()
print(
    f"best {arms():.4f}; lost without a bonus {loss[0]:.4f}, at best {loss.min():.5f} with beta {scales[loss.argmin()]}"
)

# %% [markdown]
# With the right beta BEB loses next to nothing, and without any bonus it loses a little. With the beta of the theorem
# (2 H^2 for horizon H, here in the hundreds) it would hardly ever stop exploring. This is the general picture: the form
# of a bonus matters less than its scale, and the scales of the theory are made for proofs.
#
# ## 4. TSEB on Chain
#
# TSEB draws an MDP from the posterior and plans for lambda times its reward plus (1 - lambda) times the bonus. lambda =
# 1 is posterior sampling; lambda = 0 is pure exploration. The study `tseb` was declared before it was run; these are
# its tables.
#
# Two questions of interpretation come first. What is R(s, a), "drawn from the posterior"? It can be a *mean*, whose
# posterior narrows as rewards are observed: that is posterior sampling, and our default. Or it can be a *reward*, which
# scatters about its mean however much was observed. The paper speaks of "the sampled reward distribution". And what do
# its tables count? On Queue the printed figures are alike for all lambdas, 0 included; they cannot be rewards net of
# costs. Here are the printed figures beside ours, under each reading.

# %%
PRINTED = {
    "Table 2": (1382.8, 1963.74, 1951.72, 1944.65, 1954.06, 1956.22, 1955.14, 1953.99, 1940.77, 1934.99, 1942.63),
    "Table 3": (5050, 5061, 5038, 5048, 5051, 5042, 5040, 5062, 5038, 5026, 5023),
}
weights = np.arange(11) / 10
rewards = stored_table("tseb")
noisy = rewards[rewards["cell"] == "chain-noise"].copy()
parts = noisy["agent"].str.extract(r"lambda ([\d.]+), sd ([\d.]+), (\d+) steps").astype(float)
noisy["lambda"], noisy["sd"], noisy["episode"] = parts[0], parts[1], parts[2]
queue = stored_table("tseb_queue")


def with_errors(ax, at, rows, figure, colour, label):
    error = np.abs(rows[[f"{figure}_lower", f"{figure}_upper"]].sub(rows[figure], axis=0)).T.to_numpy()
    ax.errorbar(at, rows[figure], error, fmt="o-", color=colour, markersize=4, label=label)


fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for ax, (table, figures) in zip(axes, PRINTED.items(), strict=True):
    ax.plot(weights, figures, "x--", color="black", label=f"printed ({table})")
    ax.set(xlabel="lambda")
with_errors(axes[0], weights, rewards[rewards["cell"] == "chain"], "reward", BLUE, "ours, means drawn")
chosen = noisy[(noisy["sd"] == 7) & (noisy["episode"] == 20)]
with_errors(axes[0], chosen["lambda"], chosen, "reward", GREEN, "ours, rewards drawn, sd 7")
restarted = rewards[(rewards["cell"] == "chain-restart") & rewards["agent"].str.endswith("sd 4")]
places = restarted["agent"].str.extract(r"lambda ([\d.]+)")[0].astype(float)
with_errors(axes[0], places, restarted, "reward", ORANGE, "the same, sd 4, episodes begin anew")
axes[0].set(ylabel="total reward of 1,000 steps", ylim=(0, None))
axes[0].set_title("Chain", loc="left")
with_errors(axes[1], weights, queue, "served", GREEN, "ours, packets served")
with_errors(axes[1], weights, queue, "reward", BLUE, "ours, reward net of costs")
axes[1].set(ylabel="total of 10,000 steps", ylim=(-1_000, 6_000))
axes[1].annotate(f"lambda = 0: {queue['reward'].iloc[0]:,.0f}", (0.03, -850), color=BLUE, fontsize=9)
axes[1].set_title("Queue", loc="left")
for ax in axes:
    ax.legend(frameon=False, fontsize=8, loc="lower right")
fig.suptitle("The paper's tables and ours (means of 100 runs, 95% intervals)", x=0.01, ha="left")
tidy(axes)
plt.show()

# %% [markdown]
# The standard deviations, 7 and 4, were chosen after looking at reward as a function of the standard deviation and the
# episode length. The next figure shows this function for the world without restarts, for three episode lengths.

# %%
fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
for ax, weight in zip(axes, (0.1, 0.5, 1.0), strict=True):
    for episode, colour in ((10, ORANGE), (20, GREEN), (50, PINK)):
        rows = noisy[(noisy["episode"] == episode) & (noisy["lambda"] == weight)]
        with_errors(ax, rows["sd"], rows, "reward", colour, f"{episode} steps")
    ax.axhline(PRINTED["Table 2"][round(10 * weight)], color="black", linestyle="--", linewidth=1, label="printed")
    ax.set(xlabel="standard deviation of a drawn reward", ylim=(0, None))
    ax.set_title(f"lambda = {weight:g}", loc="left")
axes[0].set_ylabel("total reward")
axes[0].legend(frameon=False, fontsize=8)
fig.suptitle("Rewards that scatter keep TSEB from settling (episodes of 10, 20, 50 steps)", x=0.01, ha="left")
tidy(axes)
plt.show()
print(rewards[rewards["cell"] == "chain"].drop(columns="cell").to_string(index=False))

# %%
scale = rewards[rewards["cell"] == "chain-scale"].copy()
parts = scale["agent"].str.extract(r"lambda ([\d.]+), c = (.*)")
scale["lambda"], scale["c"] = parts[0].astype(float), parts[1]
scale = scale[(scale["c"] != "0") | (scale["lambda"] > 0)]  # there is nothing to plan for: all actions are equally good
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for (name, rows), colour in zip(scale.groupby("c", sort=False), (RED, ORANGE, GREEN, GREY), strict=True):
    error = np.abs(rows[["reward_lower", "reward_upper"]].sub(rows["reward"], axis=0)).T.to_numpy()
    axes[0].errorbar(rows["lambda"], rows["reward"], error, fmt="o-", color=colour, markersize=4, label=f"c = {name}")
axes[0].set(xlabel="lambda", ylabel="total reward", title="the scale of the bonus")
axes[0].legend(frameon=False, fontsize=8)
bonus = stored_table("tseb_bonus", index_col="episode")
for name, colour in (("lambda 0", RED), ("lambda 0.5", GREEN), ("lambda 1", BLUE)):
    axes[1].plot(bonus.index, bonus[name], color=colour, label=name)
axes[1].set(xlabel="episode", ylabel="mean bonus over pairs", title="the f-function (Figure 2)", yscale="log")
axes[1].legend(frameon=False, fontsize=8)
for ax in axes:
    ax.set_title(ax.get_title(), loc="left")
    ax.set_title("", loc="center")
tidy(axes)
plt.show()

# %%
distances = stored_table("tseb_distances", dtype={"run": str})
fig, axes = plt.subplots(2, 3, figsize=(11, 5.2), sharex=True, sharey="row", layout="constrained")
for column, (agent, own) in zip(axes.T, distances.groupby("agent", sort=False), strict=True):
    for ax, quantity in zip(column, ("kernel", "bonus"), strict=True):
        for run, rows in own.groupby("run"):
            mean = run == "mean"
            style = {"color": "black", "linewidth": 1.5} if mean else {"color": BLUE, "linewidth": 0.8, "alpha": 0.6}
            label = "mean of 100 runs" if mean else "single runs" if run == "0" else None
            ax.plot(rows["episode"], rows[quantity], label=label, **style)
    column[0].set_title(agent, loc="left")
    column[1].set(xlabel="episode", yscale="log")
axes[0, 0].set_ylabel("sampled rows' error")
axes[1, 0].set_ylabel("mean bonus, c f")
axes[0, 0].legend(frameon=False, fontsize=8)
fig.suptitle("How far is the sampled Chain from the true one (Figure 2)?", x=0.01, ha="left")
tidy(axes)
plt.show()
print(stored_table("tseb_oscillation").drop(columns=["fallen_lower", "fallen_upper"]).to_string(index=False))

# %% [markdown]
# - **Table 2: drawn rewards, in episodes with restarts.** If each episode of 20 steps begins in the first state and
#   rewards scatter with standard deviation 4, our agents earn 1,427 at lambda = 0 and 1,989 to 2,022 above it. The
#   paper prints 1,383 and 1,935 to 1,964: ours are 1 to 3% more. Without restarts, a standard deviation of 7 gives
#   2,015 to 2,028 (3 to 5% more), and 1,532 at lambda = 0, which is 11% more. With drawn means the pattern is there in
#   part. Every lambda from .1 on earns about twice what lambda = 0 does (1.94 to 2.20 times), but the totals are 3,200
#   to 3,280 up to .5, and 10 to 12% less at lambda = 1. What the paper calls good is an agent that plans for noise:
#   with drawn means the same agents earn 42 to 59% more.
# - **Table 3: most likely packets served.** Ours are 4,973 at lambda = 0 and 5,000 to 5,002 above it, where the paper
#   prints 5,023 to 5,062. They agree within 2%, but the printed figures are above what arrives at a rate of .5, so the
#   paper's rate may be a little higher. Any agent that serves fast often enough serves what arrives. So this count says
#   nothing about a policy, and the order of the lambdas is noise. Net of costs, lambda = 0 fills the queue to see what
#   happens and loses 13,191, and reward rises with lambda, to 2,323 at 1.
# - **Figure 2: the distance falls, and single runs swing.** Over 50 episodes the error of a sampled row falls from 1.1
#   to .11, .20 and .23 at lambda 0, .5 and 1. Each sample is drawn anew, so in single runs the error rises in 43% of
#   the episodes at lambda = 0 and 45% at 1. In the three runs shown the swings are wider at 1, where some pairs stay
#   little known; this may be what the paper calls oscillation. f itself falls smoothly at lambda = 0 and in steps at .5
#   and 1. Pure exploration ends with the smallest f and not the largest (.04, against .22 at lambda = .5 and .26 at 1).
#   That is to be expected: f is mostly 1 / n, and pure exploration goes where n is small.
# - **The scale decides.** f bounds a difference of values. Added to rewards as it stands (c = 1), it mostly drowns
#   them, even at lambda = .9. With c = 1 - discount it does so at .1, and at .9 the agent earns more than with the
#   default. The default, (1 - discount)^2 / 4, is ours and was found on Chain.
#
# ## 5. Side by side

# %%
agents = stored_table("tseb_agents")
worlds = agents["cell"].unique()
fig, axes = plt.subplots(1, len(worlds), figsize=(11, 3.8), sharey=True, layout="constrained")
for ax, cell in zip(axes, worlds, strict=True):
    rows = agents[agents["cell"] == cell].iloc[::-1]
    error = np.abs(rows[["suboptimal_lower", "suboptimal_upper"]].sub(rows["suboptimal"], axis=0)).T.to_numpy()
    ax.errorbar(rows["suboptimal"], rows["agent"], xerr=error, fmt="o", color=BLUE)
    ax.set_title(cell.removeprefix("all-"), loc="left")
    ax.set_xlim(0, None)
fig.supxlabel("steps, of 2,000, under a policy more than 1 from optimal")
fig.suptitle("The PAC question: how many steps are far from optimal?", x=0.01, ha="left")
tidy(axes)
plt.show()
print(agents.set_index(["cell", "agent"])[["reward", "regret", "suboptimal"]].round(3).to_string())

# %% [markdown]
# - No agent wins everywhere. BEB is far from optimal for the fewest steps on Chain, MBIE-EB on RiverSwim, and one of
#   the two on Queue (their intervals overlap); on Chain MBIE-EB is among the worst. Each agent has one scale for all
#   three worlds, whose rewards differ in size by a factor of 10, and a bonus is most sensitive to its scale.
# - TSEB at lambda = .5 spends fewer steps far from optimal than posterior sampling on Chain (309 against 511), about as
#   many on RiverSwim and more on Queue (620 against 491). On Queue and RiverSwim this is so at every epsilon from .25
#   to 4 (`tseb_pac`; on Chain every policy but the best loses more than that). The paper argues that TSEB is
#   sample-efficient where posterior sampling is not; this holds on one of its two examples.
# - **TSEB's extensions.** The paper names three as future work. As built here (cells `extended`, table `tseb_extended`)
#   none is better than TSEB at lambda = .5 on Chain or RiverSwim. A lambda that rises to 1 saves 901 (654 to 1,148) of
#   3,829 on Queue, where posterior sampling is better still. It loses 4,185 (2,092 to 6,277) on Chain, where
#   exploration pays longest. So it moves TSEB towards PSRL, for better and worse. A scale that is drawn at random loses
#   on Queue and RiverSwim. Three merged models lose on Queue, as much as BOSS loses there.
# - BOSS and R-MAX plan a fixed number of times and then no more. Where ten tries mislead them they stay misled; this
#   explains BOSS' mean on RiverSwim, .08 of .43 per step.
#
# ## 6. A lambda that nobody has to tune
#
# Which lambda is best differs from world to world. The study `adapted-weight` (declared before it was run; 128
# replicates of 5,000 steps) lets lambda rise with the number k of the episode, lambda = 1 - (1 - lambda_1) k^-decay:
# explore first, exploit later. The curve shows the fixed values and the lines the rising ones; bands and bars are 95%
# intervals.

# %%
adapted = stored_table("adapted_weight")
fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for ax, (cell, rows) in zip(axes, adapted.groupby("cell", sort=False), strict=True):
    fixed = rows[rows["agent"].str.startswith("lambda")]
    at = fixed["agent"].str.removeprefix("lambda ").astype(float)
    error = [fixed["regret"] - fixed["regret_lower"], fixed["regret_upper"] - fixed["regret"]]
    ax.errorbar(at, fixed["regret"], error, fmt="o-", color=BLUE, markersize=4, label="fixed")
    for name, colour in (("rises from 0, decay 0.25", ORANGE), ("rises from 0, decay 0.5", GREEN)):
        row = rows[rows["agent"] == name].iloc[0]
        ax.axhline(row["regret"], color=colour, label=name)
        ax.axhspan(row["regret_lower"], row["regret_upper"], color=colour, alpha=0.15, linewidth=0)
    ax.set(xlabel="lambda", ylim=(0.7 * fixed["regret"].min(), 2.2 * fixed["regret"].min()))
    ax.set_title(cell, loc="left")
axes[0].set_ylabel("regret after 5,000 steps")
axes[0].legend(frameon=False, fontsize=8)
tidy(axes)
plt.show()
statements = stored_table("adapted_weight_statements")
print(statements.drop(columns=["threshold", "chosen"]).to_string(index=False))

# %% [markdown]
# The rule that needs no tuning starts from 0 with decay .5. In no world is it behind the best fixed lambda (.3, 1 and
# .4) with an interval that excludes 0. On Chain that says little, since the interval reaches from a loss of 4,969 to a
# gain of 980. On RiverSwim only, a rising lambda is ahead of the best fixed one with an interval that excludes 0, by
# 3%. What it saves is the search.
#
# ## 7. How much time does a decision deserve?
#
# Bonus agents take microseconds per step, planners that look ahead take milliseconds. Here are both on the problems of
# Castronovo et al. (2016), drawn from priors that all agents know (study `bbrl`, 200 problems of each kind): the return
# against the time of a step. The times were taken on a busy machine and are good to a factor of two.

# %%
returns = stored_table("bbrl")
kinds = {
    "bonus": (BLUE, ("BEB 2.5", "MBIE-EB", "variance bonus", "TSEB 0.5")),
    "sampling": (GREEN, ("PSRL", "BOSS")),
    "risk": (ORANGE, ("BRMDP 0.5", "BRMDP 0.8", "AQ-BRMDP")),
    "looks ahead": (RED, ("BFS3", "BAMCP 100", "BAMCP 500")),
}
styles = {
    agent: {"color": colour, "marker": marker, "label": f"{agent} ({kind})"}
    for kind, (colour, agents) in kinds.items()
    for agent, marker in zip(agents, "osD^", strict=False)
}
fig, axes = plt.subplots(1, 3, figsize=(11.5, 4), layout="constrained")
for ax, (cell, rows) in zip(axes, returns.groupby("cell", sort=False), strict=True):
    rows = rows.set_index("agent")
    for agent, style in styles.items():
        if agent in rows.index:
            row = rows.loc[agent]
            error = [[row["return"] - row["lower"]], [row["upper"] - row["return"]]]
            ax.errorbar(row["milliseconds"], row["return"], error, linestyle="", markersize=5, elinewidth=0.8, **style)
    best = rows.loc["optimum", "return"]
    ax.axhline(best, color=GREY, linestyle=":")
    ax.annotate(
        "the problem known", (0.98, best), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=GREY
    )
    ax.set(xscale="log", xlabel="milliseconds a step")
    ax.set_title(cell, loc="left")
axes[0].set_ylabel("discounted return")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
tidy(axes)
plt.show()

# %% [markdown]
# A hundred times the time buys nothing that 200 problems can show. Castronovo et al. did not have the variance bonus,
# which is the best of our additional agents on all three kinds: 41.7 (39.0 to 44.4) on the chain, where BEB with the
# scale that they tuned has 42.5 (39.6 to 45.5); 3.05 (2.94 to 3.15) on the double loop, beside BAMCP's 3.10 (3.00 to
# 3.20); and 6.20 (5.79 to 6.61) on the grid, where the next agent has 4.86 (4.44 to 5.27), and an agent that knows the
# problem has 10.7. On the grid, planners that look ahead by 100 simulations rarely see the goal.
#
# What if the prior is not the distribution from which the problems are drawn? In the study `bbrl-inexact` (declared
# before it was run) the prior has one count for every next state, and does not know which states can be reached.

# %%
priors = stored_table("bbrl_inexact")
priors[["algorithm", "prior"]] = priors["agent"].str.split(", ", expand=True)
names = list(priors["algorithm"].unique())[::-1]
fig, axes = plt.subplots(1, 3, figsize=(11.5, 3.6), sharey=True, layout="constrained")
for ax, (cell, rows) in zip(axes, priors.groupby("cell", sort=False), strict=True):
    for prior, colour, shift in (("exact", BLUE, 0.12), ("inexact", ORANGE, -0.12)):
        part = rows[rows["prior"] == prior].set_index("algorithm").reindex(names)
        error = [part["return"] - part["return_lower"], part["return_upper"] - part["return"]]
        ax.errorbar(part["return"], np.arange(len(names)) + shift, xerr=error, fmt="o", color=colour, label=prior)
    ax.set(xlabel="discounted return")
    ax.set_title(cell, loc="left")
axes[0].set_yticks(range(len(names)), names)
axes[0].legend(frameon=False, fontsize=8, loc="center right")
tidy(axes)
plt.show()

# %% [markdown]
# On the grid this costs nearly everything: of a return of 4 to 6 the agents keep .03 to .26 (BAMCP, of 2.6, keeps .4).
# A row with one count per state expects 23 of 25 steps to lead to unreachable states, and 250 steps do not correct a
# hundred such rows. On the chain, with five states, BEB, the variance bonus and BAMCP lose 2 or 3 of 35 to 43, with
# intervals that exclude 0. On the double loop hardly anything is lost, since what a pair leads to is seen at once. It
# pays to know what can be reached in a world where much cannot, as on RiverSwim ([structured
# priors](structured_priors.py)).
#
# In short: no bonus wins everywhere, the scale of a bonus matters more than its form, and on the grid an inexact prior
# costs nearly everything.
