"""Zhou, Chen and Chen, "Prior-Aligned Meta-RL: Thompson Sampling with Learned Priors": its abstract."""

from __future__ import annotations

from bayesmdp.studies.claims.claim import Claim, Stored

__all__ = ["CLAIMS"]

STUDY = "make study STUDIES=mtsrl"
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
LEARNED, ASSUMED = "The noise of targets is learned, too.", "The noise of targets is the first prior's."
LEARNERS = {
    "MTSRL": (LEARNED, ALL),
    "MTSRL, noise assumed": (ASSUMED, BOTH),
    "MTSRL+": (LEARNED, ALL),
    "MTSRL+, noise assumed": (ASSUMED, BOTH),
    "empirical Bayes": (LEARNED, ALL),
}
"""How the noise is had, and the cells that an agent is in."""
SPREAD_ALIKE = ("gaussian", "gaussian-anisotropic")


def _statement(statement: str, cells: tuple[str, ...] = ALL, threshold: float = 0.0) -> Stored:
    return Stored("mtsrl_claims", {"statement": statement, "cell": cells}, threshold=threshold)


def _name(learner: str) -> str:
    return f"{learner} (ours)" if learner == "empirical Bayes" else learner


CLAIMS = (
    *(
        Claim(
            "Abstract",
            f"{_name(learner)} has less regret than prior-independent RL once the prior is learned.",
            f"Against RLSVI over the last tasks. {noise}",
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
            f"The oracle assumes the noise that the others begin with. {noise}",
            _statement(f"{learner}: within 15% of the oracle at the end, by this share of the oracle's regret", cells),
            STUDY,
        )
        for learner, (noise, cells) in LEARNERS.items()
    ),
    Claim(
        "not in the paper",
        "Empirical Bayes (ours) is within 10% of the best of the rules for the covariance.",
        "MTSRL+ shrunk, isotropic and not shrunk, and itself with its strength found; the best by its mean.",
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
                "Against AdaTS, which is told the covariance of rewards, over the last tasks; any saving counts.",
            ),
            ("bandit, empirical Bayes", "Against a bandit that is told nothing and learns its prior likewise."),
        )
    ),
    *(
        Claim(
            "Abstract",
            f"{learner}'s meta-regret grows like sqrt(K).",
            "Regret a task over the oracle's falls with the task's number like its power -1/2 or faster, at full size; "
            "no power where a learner is at the oracle or below it.",
            Stored("mtsrl_rates", {"cell": FULL, "agent": learner}, "power", must_be="below", threshold=-0.5),
            STUDY,
        )
        for learner in ("MTSRL", "MTSRL, noise assumed", "MTSRL+", "MTSRL+, noise assumed")
    ),
    Claim(
        "Abstract",
        "Better than prior-independent sampling after K of the order of H^2, and N^2 H^2 with a learned covariance.",
        "",
        why_open="N and H are not varied; N^2 H^2 is a million tasks at N = 200 and H = 5",
    ),
)
"""In the order of the abstract."""
