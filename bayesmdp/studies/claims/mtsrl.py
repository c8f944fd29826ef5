"""Zhou, Chen and Chen, "Prior-Aligned Meta-RL: Thompson Sampling with Learned Priors": its abstract."""

from __future__ import annotations

from bayesmdp.studies.claims.claim import Claim, Stored

__all__ = ["CLAIMS"]

STUDY = "make study STUDIES=mtsrl"
FULL = ("recommendation",)
ALL = ("recommendation", "recommendation-small", "recommendation-tabular", "gaussian", "gaussian-tails")
OTHER = "recommendation at full size, small, with exact features; Normal Q-values; their tails long"


def _statement(statement: str, cells: tuple[str, ...] = ALL, threshold: float = 0.0) -> Stored:
    return Stored("mtsrl_claims", {"statement": statement, "cell": cells}, threshold=threshold)


CLAIMS = (
    *(
        Claim(
            "Abstract",
            f"{learner} has less regret than prior-independent RL once the prior is learned.",
            f"Against RLSVI over the last tasks, in five of the study's cells: {OTHER}.",
            _statement(f"{learner}: less regret than RLSVI at the end, by"),
            STUDY,
        )
        for learner in ("MTSRL", "MTSRL+")
    ),
    *(
        Claim(
            "Abstract",
            f"{learner} tracks the meta-oracle.",
            "At least half of RLSVI's excess over the oracle is gone at the end.",
            _statement(f"{learner}: share of RLSVI's excess over the oracle gone at the end", threshold=0.5),
            STUDY,
        )
        for learner in ("MTSRL", "MTSRL+")
    ),
    *(
        Claim(
            "Abstract",
            f"{learner} substantially outperforms bandit-only meta-baselines.",
            "Against AdaTS, which is told the covariance of rewards, over the last tasks; any saving counts.",
            _statement(f"{learner}: less regret than AdaTS at the end, by"),
            STUDY,
        )
        for learner in ("MTSRL", "MTSRL+")
    ),
    *(
        Claim(
            "Abstract",
            f"{learner}'s meta-regret grows like sqrt(K).",
            "Regret a task over the oracle's falls with the task's number like its power -1/2 or faster, at full size.",
            Stored("mtsrl_rates", {"cell": FULL, "agent": learner}, "power", must_be="below", threshold=-0.5),
            STUDY,
        )
        for learner in ("MTSRL", "MTSRL+")
    ),
    Claim(
        "Abstract",
        "Better than prior-independent sampling after K of the order of H^2, and N^2 H^2 with a learned covariance.",
        "",
        why_open="N and H are not varied; N^2 H^2 is a million tasks at N = 200 and H = 5",
    ),
)
"""In the order of the abstract."""
