"""Prasanna, Chandar and Ravindran, "TSEB: More Efficient Thompson Sampling for Policy Learning"."""

from __future__ import annotations

from bayesmdp.studies.claims.claim import Claim, Stored

__all__ = ["CLAIMS"]

STUDY = "make study STUDIES=tseb"
PRINTED = {"0": 1382.80, "0.1": 1963.74, "0.5": 1956.22, "0.9": 1934.99, "1": 1942.63}
NOISE = "4"

CLAIMS = (
    *(
        Claim(
            "Table 2, Chain",
            f"lambda = {weight} earns {printed:,.0f}.",
            f"1,000 steps in episodes of 20 that begin in the first state, discount .95; rewards are drawn about the "
            f"drawn means with a standard deviation of {NOISE}, chosen after looking at results for several.",
            Stored(
                "tseb",
                {"cell": "chain-restart", "agent": f"lambda {weight}, sd {NOISE}"},
                figure="reward",
                must_be="near",
                threshold=printed,
                tolerance=0.05,
            ),
            STUDY,
        )
        for weight, printed in PRINTED.items()
    ),
    Claim(
        "Table 2, Chain",
        "Posterior sampling (lambda = 1) earns 1,943.",
        "The same with drawn means as rewards, which is what posterior sampling draws.",
        Stored(
            "tseb", {"cell": "chain", "agent": "lambda 1"}, "reward", must_be="near", threshold=1942.63, tolerance=0.05
        ),
        STUDY,
    ),
    Claim(
        "Table 3, Queue",
        "All lambdas, including 0, get 5,023 to 5,062: within 2% of 5,040.",
        "Read as packets served in 10,000 steps at .5 arrivals per step, not as reward net of costs.",
        Stored("tseb_queue", {}, "served", must_be="near", threshold=5040.0, tolerance=0.02),
        STUDY,
    ),
    Claim(
        "Table 3, Queue",
        "The same, read as reward net of costs.",
        "The environment's own reward in 10,000 steps.",
        Stored("tseb_queue", {}, "reward", must_be="near", threshold=5040.0, tolerance=0.02),
        STUDY,
    ),
    Claim(
        "Table 1, Theorems 4.1 and 4.2",
        "PAC bounds, smaller than those of MBIE and of variance bonuses.",
        "",
        why_open="bounds up to constants; steps far from optimal are counted at five epsilons (table tseb_pac)",
    ),
    *(
        Claim(
            "Figure 2",
            f"The distance between the sampled and the true problem falls at lambda = {weight}.",
            "Chain: the mean over pairs of a row's absolute error, in the first five episodes minus the last five.",
            Stored("tseb_oscillation", {"agent": f"lambda {weight}", "distance": "kernel"}, "fallen"),
            STUDY,
        )
        for weight in ("0", "0.5", "1")
    ),
    Claim(
        "Figure 2",
        "In single runs the distance oscillates at lambda = 1.",
        "The share of episodes in which it rises: 0 if it only falls, one half if it is noise about a constant.",
        Stored("tseb_oscillation", {"agent": "lambda 1", "distance": "kernel"}, "rises", threshold=0.4),
        STUDY,
    ),
    Claim(
        "Figure 2",
        "At lambda = 0 the distance does not oscillate.",
        "As above: the distance must rise in fewer than .4 of the episodes.",
        Stored(
            "tseb_oscillation", {"agent": "lambda 0", "distance": "kernel"}, "rises", must_be="below", threshold=0.4
        ),
        STUDY,
    ),
    *(
        Claim(
            "Future work",
            says,
            f"{reading} (ours); regret saved relative to TSEB at lambda = .5 on Chain, Queue and RiverSwim.",
            Stored("tseb_extended", {"agent": agent}, "saved"),
            STUDY,
        )
        for agent, says, reading in (
            ("3 models", "TSEB can be extended to BOSS.", "Three drawn problems, merged at each episode"),
            (
                "lambda rises",
                "lambda can adapt.",
                "1 - lambda falls like one over the square root of the number of the episode",
            ),
            ("c is drawn", "The bonus can have a prior.", "Its scale is log-Normal with standard deviation 1"),
        )
    ),
)
"""In the order of the paper."""
