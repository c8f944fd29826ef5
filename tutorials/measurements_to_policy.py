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
# # From measurements to a policy
#
# A clinic has a table of measurements and treatments. It has no states: nobody wrote down "the state of the patient". A
# policy needs states, so we have to make them, and how we do this determines what can be learned. You will see
#
# 1. how measurements become states: cut-offs, quantiles, categories, in one line each;
# 2. how to get from the raw table to a plan, and from the plan to an action for the next patient;
# 3. that too few states hide what matters, and too many leave too little data in each;
# 4. how the log itself shows whether to merge or split states, and when rare states should learn from their neighbours;
# 5. the same with a public benchmark, where the obvious score makes bad states, and how to notice.
#
# The clinic is invented, so that we can do what no clinic can: compute what a policy truly does to its patients.
# Nothing here says how to treat anybody.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

import bayesmdp as bm
from bayesmdp.environments.measured_clinic import ACTIONS, BEHAVIOUR
from bayesmdp.studies.icu_sepsis import treat

bm.keep_programs()  # What is compiled here is kept on disk, so that the next start is quick.

SMALL = "BAYESMDP_SMALL" in os.environ  # set by the tests: the same lesson in seconds, with figures that mean little
PATIENTS, LOGS, DRAWS, SEPSIS = (60, 1, 20, 40) if SMALL else (100, 6, 100, 1_000)
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "0.45"

# %% [markdown]
# ## The table
#
# One row per visit, every four hours: age, lactate and temperature, the treatment, the measurements at the next visit,
# and how the stay ended, if it did. Patients who have recovered or died are no longer measured.

# %%
visits = bm.environments.clinic_visits(PATIENTS, seed=0)
print(visits.head(6).drop(columns=["hour", "next_age", "next_temperature"]).to_string(index=False))
print(f"{len(visits):,} visits of {PATIENTS} patients, {visits['well'].sum()} got well")

# %% [markdown]
# ## Measurements become states
#
# A *recoding* has one part for each measurement. `cutoffs(2,4)` divides lactate where clinicians do; `bins(18,65,90)`
# has edges, and refuses values outside them; `quantiles(3)` takes its cut-offs from the data, once. The states are the
# combinations that occur.

# %%
recoding = bm.states(visits, ["age:bins(18,65,90)", "lactate:cutoffs(2,4)"])
print(pd.Series(recoding.apply(visits)).value_counts().to_string())

# %% [markdown]
# A label shows on which side an interval is closed: a patient aged 65 is in `65 to 90`, a lactate of 4 is `>=4`.
# Nothing is guessed. A missing value is refused, naming its row, unless missing values have a state of their own:

# %%
for spec in ("lactate:cutoffs(2,4)", "lactate:cutoffs(2,4,missing=state)"):
    gap = visits.assign(lactate=visits["lactate"].mask(visits.index == 2))
    try:
        print(bm.states(gap, spec).states)
    except ValueError as error:
        print(error)

# %% [markdown]
# `read_log` takes the same specifications and makes states and next states from the table; where a stay has ended, the
# column `ended` gives the next state. From then on it is a log like any other, and the recoding stays with it. On the
# command line all of this is
#
# ```
# bayesmdp plan visits.csv --state "age:bins(18,65,90)" --state "lactate:cutoffs(2,4)" --end-column ended ...
# bayesmdp recommend results/visits-plan.nc new.csv --out advice.csv
# ```

# %%
COLUMNS = {"action": "treatment", "reward": "well"}


def read(table, spec):
    return bm.read_log(table, columns=COLUMNS, state=spec, end_column="ended")


def planned(log, **options):
    """A plan without the check of its promise, which takes most of the time."""
    return bm.plan_log(log, discount=0.99, draws=DRAWS, calibration=0, **options)


log = read(visits, recoding)
report = planned(log)
print(report.policy[["action", "visits", "tried", "worth_quantile"]].to_dataframe().round(3).to_string())

# %% [markdown]
# ## What to do with the next patient
#
# `recommend` takes rows of raw measurements and finds their states by the recoding with which the plan was made. Every
# row gets an answer. Where the log has no data, nothing is recommended, and the reason is given.

# %%
new = pd.DataFrame({"age": [34, 71, 71, 95, 50], "lactate": [4.0, 3.9, 4.4, 2.0, None]})
told = bm.recommend(report, new)
print(new.join(told[["status", "action", "tried", "worth_quantile", "why"]]).round(2).to_string())

# %% [markdown]
# ## How many states?
#
# In this clinic, three bands of lactate matter, and whether a patient is 65 or older. We know that; the clinic does
# not. It may use too few states or, to be on the safe side, many. So we plan with several recodings of the same tables
# and compute what each plan truly delivers: `recommend` gives its action at every age and lactate, and the clinic's own
# dynamics do the rest. Where a plan gives no advice, the clinic continues as before.

# %%
RECODINGS = {
    "lactate above 3": ["lactate:cutoffs(3)"],
    "lactate, 3 bands": ["lactate:cutoffs(2,4)"],
    "and age at 65": ["age:cutoffs(65)", "lactate:cutoffs(2,4)"],
    "6 ages, 6 bands": ["age:bins(18,30,40,50,65,75,90)", "lactate:cutoffs(1,2,3,4,6)"],
}
CLINIC = bm.environments.clinic(discount=0.99)
# Every possible patient: lactate is equally likely at each tenth within its band.
AGES, TENTHS = np.arange(18, 90), np.arange(5, 80)
everyone = pd.DataFrame({"age": AGES.repeat(len(TENTHS)), "lactate": np.tile(TENTHS, len(AGES)) / 10})
band = np.searchsorted([20, 40], TENTHS, side="right")


def true_value(action):
    """The discounted probability of getting well if `action` [patient of everyone] is what is done."""
    as_now = BEHAVIOUR[np.tile(band, len(AGES))]
    share = np.where((action == "")[:, None], as_now, action[:, None] == np.array(ACTIONS))
    share = share.reshape(len(AGES), len(TENTHS), 3)
    by_band = np.stack([share[:, band == each].mean(1) for each in range(3)], axis=1)  # [age, band, treatment]
    values = []
    for age, policy in zip(AGES, by_band, strict=True):
        own = slice(3, 6) if age >= 65 else slice(0, 3)
        row = np.einsum("ba,bas->bs", policy, np.asarray(CLINIC.transition)[own])
        value = np.linalg.solve(np.eye(3) - 0.99 * row[:, own], row[:, 7])
        values.append(value[1:].mean())  # patients come with lactate of 2 or more
    return float(np.mean(values))


NOW = true_value(np.full(len(everyone), ""))
BEST = float(bm.solve(CLINIC)["value"].values @ CLINIC.initial)
rows = []
for seed in range(LOGS):
    table = bm.environments.clinic_visits(PATIENTS, seed=seed)
    for name, spec in RECODINGS.items():
        for pooled in (False, True) if name.startswith("6") else (False,):
            plan = planned(read(table, spec), prior="pooled" if pooled else "auto")
            rows.append(
                {
                    "states": name + ", pooled" * pooled,
                    "promised": plan.bound,
                    "delivered": true_value(bm.recommend(plan, everyone)["action"].to_numpy()),
                }
            )
results = pd.DataFrame(rows)
print(f"now {NOW:.3f}, best possible {BEST:.3f}")
print(results.groupby("states", sort=False).mean().round(3).to_string())

# %%
fig, ax = plt.subplots(figsize=(8.6, 3.9), layout="constrained")
names = list(dict.fromkeys(results["states"]))
for place, name in enumerate(names[::-1]):
    own = results[results["states"] == name]
    jitter = place + np.linspace(-0.16, 0.16, len(own)) if len(own) > 1 else [place]
    ax.hlines(jitter, own["promised"], own["delivered"], color="0.85", linewidth=1, zorder=0)
    ax.plot(own["delivered"], jitter, "o", color=BLUE, markersize=5, label="delivered" if not place else None)
    ax.plot(
        own["promised"], jitter, "|", color=ORANGE, markersize=9, label="promised, unchecked" if not place else None
    )
for value, text in ((NOW, "as now"), (BEST, "best")):
    ax.axvline(value, color=GREY, linewidth=1, linestyle=":", zorder=0)
    ax.annotate(text, (value, len(names) - 0.42), color=GREY, ha="center", fontsize=9, annotation_clip=False)
ax.set_yticks(range(len(names)), names[::-1])
ax.set_ylim(-0.6, len(names) - 0.5)
ax.set_xlabel("discounted probability of getting well (one line a log)")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, loc="lower left", fontsize=9)
ax.set_title(f"{LOGS} logs of {PATIENTS} patients, each read in five ways", loc="left", pad=18)
plt.show()

# %% [markdown]
# - **Too coarse.** With one cut at 3, a patient at 3.5 and one at 7 are the same. They need different treatments; what
#   is learned about the mixture is right for neither, and the plan delivers no more than current practice. Its promise
#   is broken, and no number of patients would help: the posterior describes states that are not real states.
# - **Too fine.** With 6 ages and 6 bands there are 36 states for about 600 visits. Nothing is hidden, but each row is
#   estimated from a few tries, and most of the possible gain is lost.
# - **Pooled.** Here rare states learn from their neighbours: the prior of a row is based on what the same action did in
#   nearby states, measured in levels up or down, with a weight chosen by the evidence of the log. That recovers most of
#   what was lost. On the command line it is `--pool`.
#
# ## Merge or split? Ask the log
#
# Even when the truth is unknown, the log can tell us something. `judge_states` takes each pair of neighbouring levels:
# if what follows does not depend on which of the two it was, one row explains both, and the evidence favours merging.
# With the measurements it also tests the opposite: whether what follows depends on where within its level a measurement
# was.

# %%
table = bm.environments.clinic_visits(10 * PATIENTS, seed=0)
judged = {}
for name in ("lactate above 3", "6 ages, 6 bands"):
    judged[name] = bm.judge_states(read(table, RECODINGS[name]), table)
    rare = int(judged[name]["rare"].sum())
    print(
        f"{name}: {judged[name].attrs['measured']} states, {rare} with fewer than {judged[name].attrs['few']} actions"
    )

# %%
fig, axes = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained", width_ratios=(1, 1.25))
for ax, (name, found), kind in zip(axes, judged.items(), ("split", "merge"), strict=True):
    own = found.isel(change=found["kind"].values == kind).sortby("log_odds")
    pairs = zip(own["first"].values, own["second"].values, strict=True)
    labels = [f"{a} + {b}" if kind == "merge" else f"{a}, at {b.split()[-1]}" for a, b in pairs]
    colours = [{"favoured": GREEN, "against": ORANGE, "open": "0.75"}[verdict] for verdict in own["verdict"].values]
    ax.barh(range(len(labels)), own["log_odds"], color=colours, height=0.6)
    ax.set_yticks(range(len(labels)), labels, fontsize=9)
    ax.set_ylim(len(labels) - 10.6, len(labels) - 0.4)
    ax.axvline(0, color="black", linewidth=0.8)
    for end in (-3, 3):
        ax.axvline(end, color=GREY, linewidth=0.8, linestyle=":")
    ax.set_xscale("symlog", linthresh=3)
    places = [-300, -30, -3, 0, 3, 30, 300]
    ax.set_xticks(places, [f"{place:+d}" if place else "0" for place in places])
    ax.minorticks_off()
    ax.set_xlim(-600, 600)
    ax.set_xlabel(f"log odds for {'splitting' if kind == 'split' else 'merging'} (dotted: 20 to 1)")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set_title(f"{name}: {kind}?", loc="left")
plt.show()

# %% [markdown]
# On the left, both sides of the cut at 3 should be split. On the right, the cuts at 2 and 4 must stay. Nearly all other
# neighbours may be merged, and should be. One verdict is wrong: there is a difference at 65, but the evidence slightly
# favours merging `50 to <65` with `65 to <75`. With 36 states, these ages have few steps in each, and with few steps
# rows look alike. So make the most certain changes first, and judge again:

# %%
for spec in (RECODINGS["6 ages, 6 bands"], ["age:bins(18,30,40,50,65,75,90)", "lactate:cutoffs(2,4)"]):
    again = bm.judge_states(read(table, spec))
    at_65 = again.isel(change=int(np.argmax(again["first"].values == "age 50 to <65")))
    states, odds = again.attrs["measured"], float(at_65["log_odds"])
    print(f"{states} states: log odds for merging at 65 {odds:+.1f}, {at_65['verdict'].values}")

# %% [markdown]
# ## A public benchmark
#
# ICU-Sepsis is a simulator estimated from intensive-care records. Its states are clusters of patients by 47
# measurements. The package gives the measurements of each cluster: its centre, and the SOFA score with which hospitals
# rate how ill a patient is. We let its clinicians treat patients, keep the measurements and discard the states.

# %%
measured = bm.environments.sepsis_measurements().round({"sofa": 1})
stays = treat(SEPSIS, seed=0).to_dataframe().reset_index(drop=True)
stays = stays.join(measured, on="state").join(measured.add_prefix("next_"), on="next_state")
stays["ended"] = stays["next_state"].where(stays["terminated"], "")
stays = stays.drop(columns=["state", "next_state", "truncated"])
print(stays[["action", "sofa", "x0", "x1", "next_sofa", "terminated", "ended"]].tail(4).round(2).to_string(index=False))

# %% [markdown]
# The SOFA score seems ideal for states. The alternative is k-means on the 47 measurements: `(columns, estimator)` is a
# part of a recoding like any other, and the centres of its clusters are stored with the plan as plain numbers.

# %%
EVERY = [f"x{i}" for i in range(47)]
CLUSTERS = (5, 10) if SMALL else (10, 30)
SEPSIS_STATES = {
    "SOFA, 5 bands": ["sofa:cutoffs(5,8,11,14)"],
    "SOFA, 12 bands": ["sofa:quantiles(12)"],
    **{f"k-means, {k} clusters": (EVERY, KMeans(k, n_init=1, random_state=0)) for k in CLUSTERS},
}
sepsis = bm.environments.icu_sepsis(discount=0.99, admissible_only=False)
clinicians = bm.environments.clinicians_policy()


def survival(policy):
    return float(bm.evaluate(sepsis, policy).values @ sepsis.initial)


table = {}
for name, spec in SEPSIS_STATES.items():
    log = bm.read_log(stays, state=spec, end_column="ended")
    plan = planned(log)
    told = bm.recommend(plan, measured)
    # The clinicians go on where nothing is recommended.
    policy = clinicians.copy()
    for state, action in told["action"][told["action"] != ""].items():
        policy.loc[{"state": state}] = 0
        policy.loc[{"state": state, "action": action}] = 1
    checks = plan.tree["log_checks"].to_dataset()
    table[name] = {
        "states": int(plan.tree["states"].attrs["measured"]),
        "promised": plan.bound,
        "delivered": survival(policy),
        "order, adjusted p": float(checks["p_adjusted"].sel(check="order")),
    }
table = pd.DataFrame(table).T
best = float(bm.solve(sepsis)["value"].values @ sepsis.initial)
print(f"clinicians {survival(clinicians):.3f}, best possible {best:.3f}")
print(table.round(3).to_string())

# %%
fig, ax = plt.subplots(figsize=(8.6, 2.9), layout="constrained")
for place, (_, row) in enumerate(table[::-1].iterrows()):
    ax.hlines(place, *sorted((row["promised"], row["delivered"])), color="0.85", linewidth=2, zorder=0)
    ax.plot(row["delivered"], place, "o", color=BLUE, label="delivered" if not place else None)
    ax.plot(
        row["promised"], place, "|", color=ORANGE, markersize=13, label="promised, unchecked" if not place else None
    )
ax.axvline(survival(clinicians), color=GREY, linewidth=1, linestyle=":", zorder=0)
ax.annotate("clinicians", (survival(clinicians), 3.5), color=GREY, ha="center", fontsize=9, annotation_clip=False)
ax.set_yticks(range(len(table)), table.index[::-1])
ax.set_ylim(-0.5, 3.5)
ax.set_xlabel("discounted probability of survival")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
ax.set_title(f"ICU-Sepsis, one log of {SEPSIS:,} patients: the score makes bad states", loc="left", pad=18)
plt.show()

# %% [markdown]
# Plans by SOFA promise much and deliver no more than the clinicians. The clinicians knew more than the score, and acted
# on it: within a band, patients who got vasopressors were different from those who did not, and a plan that sees only
# the band mistakes the difference between patients for a difference between treatments. No posterior can detect this,
# because it assumes that the states contain everything that matters. With 5 bands the check of *order* reveals it; with
# 12 it does not. Clusters of all measurements deliver more than the clinicians here, and promise less. (This is one
# log; another may differ.)
#
# What to remember:
#
# - Include in the states everything that the people who acted relied on, rather than what is convenient.
# - Look at `judge_states` and at the alarms before you look at the plan. Merge what the log cannot distinguish and
#   split what it can; where states remain rare, pool them.
# - A promise assumes that the states contain everything that matters. Coarse states lead to bold promises.
# - Keep the recoding with the plan (this is automatic), and use `recommend` for new rows, so that states mean the same.
