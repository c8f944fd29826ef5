"""Zhou, Chen and Chen, "Prior-Aligned Meta-RL: Thompson Sampling with Learned Priors": its abstract."""

from __future__ import annotations

from bayesmdp.studies.claims.claim import Claim, Stored

__all__ = ["CLAIMS"]

STUDY, SHAPE = "make study STUDIES=mtsrl", "make study STUDIES=mtsrl_shape"
MAP = "Small engines whose tasks have a spread of .25 to 1, N = 20 to 180."
FULL = ("recommendation",)
ALL = (
    "recommendation",
    "recommendation-small",
    "recommendation-osband",
    "recommendation-tabular",
    "gaussian",
    "gaussian-anisotropic",
    "gaussian-tails",
)
BOTH = ("recommendation", "recommendation-small", "gaussian", "gaussian-anisotropic")
LEARNED, ASSUMED = "The noise of the targets is learned, too.", "The noise of the targets is that of the first prior."
LEARNERS = {
    "MTSRL": (LEARNED, ALL),
    "MTSRL, noise assumed": (ASSUMED, BOTH),
    "MTSRL+": (LEARNED, ALL),
    "MTSRL+, noise assumed": (ASSUMED, BOTH),
    "empirical Bayes": (LEARNED, ALL),
}
"""Where each agent's noise comes from, and the cells in which the agent was run."""
SPREAD_ALIKE = ("gaussian", "gaussian-anisotropic")


def _statement(statement: str, cells: tuple[str, ...] = ALL, threshold: float = 0.0) -> Stored:
    return Stored("mtsrl_claims", {"statement": statement, "cell": cells}, threshold=threshold)


def _shape(statement: str) -> Stored:
    return Stored("mtsrl_shape_statements", {"statement": statement})


def _name(learner: str) -> str:
    return f"{learner} (ours)" if learner == "empirical Bayes" else learner


CLAIMS = (
    *(
        Claim(
            "Abstract",
            f"{_name(learner)} has less regret than prior-independent RL once the prior is learned.",
            f"Compared with RLSVI over the last tasks. {noise}",
            _statement(f"{learner}: less regret than RLSVI at the end, by", cells),
            STUDY,
        )
        for learner, (noise, cells) in LEARNERS.items()
    ),
    *(
        Claim(
            "Abstract",
            f"{_name(learner)} tracks the meta-oracle.",
            f"At least half of RLSVI's excess over the oracle is gone at the end. {noise}",
            _statement(f"{learner}: share of RLSVI's excess over the oracle gone at the end", cells, 0.5),
            STUDY,
        )
        for learner, (noise, cells) in LEARNERS.items()
    ),
    *(
        Claim(
            "not in the paper",
            f"{_name(learner)} is within 15% of the oracle by task 40.",
            f"The oracle assumes the noise with which the others begin. {noise}",
            _statement(f"{learner}: within 15% of the oracle at the end, by this share of the oracle's regret", cells),
            STUDY,
        )
        for learner, (noise, cells) in LEARNERS.items()
    ),
    Claim(
        "not in the paper",
        "Empirical Bayes (ours) is within 10% of the best rule for the covariance.",
        "MTSRL+ shrunk, isotropic, not shrunk, and empirical Bayes with estimated strength; the best by mean regret.",
        _statement("empirical Bayes: within 10% of the best rule, by this share of its regret", SPREAD_ALIKE),
        STUDY,
    ),
    *(
        Claim(
            "Abstract",
            f"{_name(learner)} substantially outperforms bandit-only meta-baselines.",
            f"{reading} {noise}",
            _statement(f"{learner}: less regret than {rival} at the end, by", cells),
            STUDY,
        )
        for learner, (noise, cells) in LEARNERS.items()
        for rival, reading in (
            (
                "AdaTS",
                "Compared with AdaTS, given the covariance of rewards, over the last tasks; any saving counts.",
            ),
            (
                "bandit, empirical Bayes",
                "Compared with a bandit that is given nothing and also learns its prior by empirical Bayes.",
            ),
        )
    ),
    *(
        Claim(
            "Abstract",
            f"{learner}'s meta-regret grows like sqrt(K).",
            "Regret per task in excess of the oracle's falls like the task's number to the power -1/2 or faster, at "
            "full size; no power is fitted where a learner is level with the oracle or below it.",
            Stored("mtsrl_rates", {"cell": FULL, "agent": learner}, "power", must_be="below", threshold=-0.5),
            STUDY,
        )
        for learner in ("MTSRL", "MTSRL, noise assumed", "MTSRL+", "MTSRL+, noise assumed")
    ),
    *(
        Claim(
            "Abstract",
            f"{learner} is better than prior-independent sampling after K of the order of {order}.",
            f"The task from which on its cumulative regret is below RLSVI's, as a share of {order}; an order has no "
            f"constant, and we chose 1. Layers with Normal Q-values, N = 10 to 160 and H = 2 to 6, under {priors}.",
            Stored("mtsrl_shape_crossings", {"agent": learner}, "of_order", must_be="below", threshold=1.0),
            SHAPE,
        )
        for learner, order, priors in (
            ("MTSRL", "H^2", "a wide first prior and one that is not bad"),
            ("MTSRL, at random first", "H^2", "a wide first prior"),
            ("MTSRL+", "N^2 H^2", "a wide first prior and one that is not bad"),
        )
    ),
    *(
        Claim(
            "Abstract",
            f"The number of tasks after which MTSRL+ is better grows at most like {quantity}^2.",
            f"The power of {quantity} in it, over {cells}, under a first prior as sure as tasks differ, and half as "
            "far from their mean as in the other cells. (MTSRL is better from the first task at which it can be in all "
            "of them, which says nothing of its growth.)",
            Stored(
                "mtsrl_shape_growth",
                {"agent": "MTSRL+", "quantity": quantity},
                "power",
                must_be="below",
                threshold=2.0,
            ),
            SHAPE,
        )
        for quantity, cells in (("H", "H = 2 to 6"), ("N", "N = 10 to 160"))
    ),
    *(
        Claim(
            "Abstract",
            f"{learner}'s cumulative meta-regret grows at most like sqrt(K).",
            "The power of K from 4 to 40 or 160 tasks in layers; none where a learner is at or below the oracle.",
            Stored(
                "mtsrl_shape_powers",
                {"agent": learner, "reference": "oracle"},
                "power",
                must_be="below",
                threshold=0.5,
            ),
            SHAPE,
        )
        for learner in ("MTSRL", "MTSRL, at random first", "MTSRL+")
    ),
    *(
        Claim("not in the paper", says, f"{reading} {MAP}", _shape(statement), SHAPE)
        for says, reading, statement in (
            (
                "Learning the covariance as well as the mean is worth more than learning the mean alone.",
                "MTSRL+, which is given nothing, compared with averages that keep RLSVI's covariance and noise.",
                "to learn the covariance, too: MTSRL+ has less regret than mean alone, noise assumed, by",
            ),
            (
                "Learning the covariance by empirical Bayes (ours) is worth more than learning the mean alone.",
                "Compared with averages that keep RLSVI's covariance and noise.",
                "to learn the covariance, too: empirical Bayes has less regret than mean alone, noise assumed, by",
            ),
            (
                "A learned prior on Q (ours, empirical Bayes) beats one on rewards.",
                "Compared with a bandit that also learns by empirical Bayes.",
                "a prior on Q: empirical Bayes has less regret than a bandit that learns likewise by",
            ),
        )
    ),
    Claim(
        "not in the paper",
        "A prior with a quarter of the tasks' covariance has less regret than the true one.",
        f"Both have the true mean and the true noise. {MAP} Layers with Normal Q-values.",
        _shape("a quarter of the tasks' covariance has less regret than all of it by"),
        SHAPE,
    ),
)
"""In the order of the abstract."""
