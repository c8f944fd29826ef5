"""Song, Wang and Zhou, "Evolving Robustness-Exploration Trade-off in Online Reinforcement Learning" (2026)."""

from __future__ import annotations

from bayesmdp.studies.claims.claim import Claim, Stored

__all__ = ["CLAIMS"]

RIVER, LAKE, GROWTH = (
    "make study STUDIES=river_schedule",
    "make study STUDIES=risky_lake",
    "make study STUDIES=regret_growth",
)
OURS = "AQ C=1 k=0.25"
SPARSE = ("6-0.95-sparse", "6-0.99-sparse", "10-0.95-sparse", "10-0.99-sparse")
UNIFORM = tuple(cell.replace("sparse", "uniform") for cell in SPARSE)
NEIGHBOURS = ("6-0.95-neighbours", "10-0.95-neighbours")
SETTINGS = (
    "The paper's discount, prior, C and kappa cannot be recovered from the text, so every cell that was run is counted."
)
ON_RIVERS = f"C = 1, kappa = .25, the visit factor a mixture. {SETTINGS}"
RIVERS = (*SPARSE, *UNIFORM, *NEIGHBOURS)


def _river(statement: str, cells: tuple[str, ...] = ()) -> Stored:
    rows: dict[str, str | tuple[str, ...]] = {"adaptive": OURS, "statement": statement}
    return Stored("river_schedule", rows | ({"cell": cells} if cells else {}))


def _lake(statement: str) -> Stored:
    return Stored("risky_lake", {"statement": statement})


def _growth(regret: str) -> Stored:
    agents = ("AQ C=0.25", "AQ C=1", "AQ C=4")
    rows: dict[str, str | tuple[str, ...]] = {"regret": regret, "agent": agents, "steps": "100000"}
    return Stored("regret_growth", rows, figure="exponent", must_be="below", threshold=0.5)


CLAIMS = (
    Claim(
        "Theorem 1",
        "sqrt(n) (V_alpha - V) is asymptotically Normal; alpha changes its mean but not its covariance.",
        "One chain of four states, 40,000 observations, 1,000 data sets.",
        tested=True,
        command="python -m pytest tests/studies/test_theory.py -k theorem_1",
    ),
    Claim(
        "Proposition 1",
        "The quantile value of a policy is at most its posterior quantile value at level 1 - (1 - alpha)^S.",
        "S counts the states whose rows are uncertain.",
        tested=True,
        command="python -m pytest tests/planning/test_plan.py -k guarantee_holds",
    ),
    Claim(
        "Lemma 1",
        "The plan is optimistic except with probability S A lambda_k, and never below the plan at the floor.",
        "Two states; kernels are drawn from the prior.",
        tested=True,
        command="python -m pytest tests/agents/test_schedule.py -k lemma_1",
    ),
    Claim(
        "Lemma 1, last equality",
        "The visit factors of all pairs sum to their number.",
        "This holds for the mixture 1 - kappa + kappa r at every kappa, and for the power r^kappa at kappa = 1 only.",
        tested=True,
        command="python -m pytest tests/agents/test_schedule.py -k visit_factors",
    ),
    Claim(
        "Theorem 2, (15)",
        "Bayes regret grows at most like sqrt(T).",
        "True kernels drawn from the prior, C = 1/4, 1, 4; the figure is the exponent over T = 10,000 to 100,000.",
        _growth("regret"),
        GROWTH,
    ),
    Claim(
        "Theorem 2, (16)",
        "Robust Bayes regret grows at most like sqrt(T).",
        "As above; robust regret is how far a policy falls short of the cautious plan, by that plan's own measure.",
        _growth("robust_regret"),
        GROWTH,
    ),
    Claim(
        "5.1", "AQ-BRMDP has less regret than PSRL.", ON_RIVERS, _river("PSRL's final regret exceeds AQ's by"), RIVER
    ),
    Claim(
        "5.1",
        "AQ-BRMDP reaches the right end earlier than PSRL.",
        ON_RIVERS,
        _river("PSRL reaches the right end later than AQ by (steps)", RIVERS),
        RIVER,
    ),
    Claim(
        "5.1",
        "AQ-BRMDP spends more time at the right end than PSRL.",
        ON_RIVERS,
        _river("AQ's share of time in the last two states exceeds PSRL's by", RIVERS),
        RIVER,
    ),
    *(
        Claim(
            "5.1",
            f"The constant level {level} stays at the left end.",
            f"The agent spends more than .9 of its time in the first two states, under Dirichlet({prior}).",
            Stored("river_schedule", dict(shown.rows), threshold=0.9),
            RIVER,
        )
        for level in (0.1, 0.3, 0.5)
        for prior, cells in (("1/S", SPARSE), ("1", UNIFORM), ("1 on neighbours", NEIGHBOURS))
        for shown in (_river(f"BRMDP-{level}'s share of time in the first two states is above .9", cells),)
    ),
    Claim(
        "5.1",
        "The constant level .5 goes to the right more often than .1.",
        ON_RIVERS,
        _river("BRMDP-0.5's share of time in the last two states exceeds BRMDP-0.1's by", RIVERS),
        RIVER,
    ),
    Claim("5.2", "AQ-BRMDP has less regret than PSRL.", SETTINGS, _lake("PSRL's final regret exceeds AQ's by"), LAKE),
    Claim(
        "5.2",
        "AQ-BRMDP has less robust regret than PSRL.",
        "V^(.1,*) - V^(.1,policy), both in the quantile BR-MDP of the pseudo-episode; this is never negative.",
        _lake("PSRL's final robust regret exceeds AQ's by"),
        LAKE,
    ),
    *(
        Claim(
            "5.2",
            f"The constant level {level} has less regret than PSRL.",
            SETTINGS,
            _lake(f"PSRL's final regret exceeds BRMDP-{level}'s by"),
            LAKE,
        )
        for level in (0.1, 0.3, 0.5)
    ),
    Claim(
        "5.2",
        "The constant level .3 has less regret than .5.",
        SETTINGS,
        _lake("BRMDP-0.5's final regret exceeds BRMDP-0.3's by"),
        LAKE,
    ),
    Claim(
        "5.2",
        "The constant level .3 has less regret than .1.",
        SETTINGS,
        _lake("BRMDP-0.1's final regret exceeds BRMDP-0.3's by"),
        LAKE,
    ),
    *(
        Claim(
            "5.2",
            f"AQ-BRMDP's posterior .1-quantile value is above that of {other}.",
            "The mean over 20 checkpoints.",
            _lake(f"AQ's posterior quantile value, a mean over time, exceeds {other}'s by"),
            LAKE,
        )
        for other in ("PSRL", "BRMDP-0.1", "BRMDP-0.3", "BRMDP-0.5")
    ),
    Claim(
        "EC.7.6, Table EC.1",
        "Regret is below PSRL's for every kappa.",
        "kappa = .1 to 1 as a mixture, on the lake without a shortcut; the share of PSRL's regret that is saved.",
        Stored(
            "risky_lake_kappa",
            {"agent": ("AQ k=0.1", "AQ k=0.25", "AQ k=0.5", "AQ k=0.75", "AQ k=1")},
            figure="reduction",
        ),
        LAKE,
    ),
    Claim(
        "EC.7.6, Table EC.1",
        "The same with kappa as an exponent.",
        "kappa = .1 to .75 as a power.",
        Stored(
            "risky_lake_kappa",
            {"agent": ("AQ k=0.1 power", "AQ k=0.25 power", "AQ k=0.5 power", "AQ k=0.75 power")},
            figure="reduction",
        ),
        LAKE,
    ),
    Claim(
        "EC.7.7",
        "On the continuous lake AQ-BRMDP has less regret than posterior sampling.",
        "Q is a neural network; the visit factor is a power, as it was when the study was run.",
        Stored("slippery_lake", {"cell": "neural", "agent": "AQ-BRMDP"}, figure="saved"),
        "make study STUDIES=slippery_lake",
    ),
    Claim(
        "not in the paper",
        "An adaptive level has less regret than a tuned constant level of one half or more.",
        "Each is chosen on one half of the replicates and judged on the other half, in nine problems.",
        Stored("levels", {"statement": "the adaptive agent's regret is below the constant level's by"}),
        "make study STUDIES=levels",
    ),
    Claim(
        "3.1 and 4",
        "Levels that rise with the number of the pseudo-episode reduce regret.",
        "The time factor (C = 1) against a constant lambda = .2, both with the visit factor, in nine problems.",
        Stored("levels", {"statement": "the time factor saves, beside the visit factor"}),
        "make study STUDIES=levels",
    ),
    Claim(
        "2.1",
        "The approach extends to unknown rewards.",
        "Mean rewards are Normal(0, 1) a priori and observed with noise .1; PSRL's excess regret on RiverSwim-6.",
        Stored("levels", {"cell": "river-rewards", "statement": "AQ-BRMDP as the paper has it is below PSRL by"}),
        "make study STUDIES=levels",
    ),
    Claim(
        "EC.23",
        "Levels near one ask for more draws than our agents make.",
        "AQ-BRMDP with 1,000 draws at every plan instead of 200: its excess regret, on RiverSwim-6 at two discounts.",
        Stored("draw_reuse", {"agent": "AQ-BRMDP fresh 1000"}, "excess", must_be="below"),
        "make study STUDIES=draw_reuse",
    ),
    Claim(
        "EC.7, figures of state occupancy",
        "Heat maps and moving averages of single runs.",
        "",
        why_open="the paper prints no numbers to compare with; the tutorial draws its own figures",
    ),
)
"""In the order of the paper."""
