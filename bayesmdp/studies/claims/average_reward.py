"""The paper "Provably Efficient Reinforcement Learning for Infinite-Horizon Average-Reward Linear MDPs"."""

from __future__ import annotations

from bayesmdp.studies.claims.claim import Claim, Stored

__all__ = ["CLAIMS"]

STUDY = "make study STUDIES=average_reward"


def _exponent(agent: str) -> Stored:
    return Stored("average_reward_exponents", {"agent": agent}, "exponent", must_be="below", threshold=0.5)


CLAIMS = (
    *(
        Claim(
            place,
            f"Regret of {agent} grows like sqrt(T) at most.",
            f"{constants}; exponents fitted over T = 1,000 to 100,000 in three worlds. A bound is of the long run.",
            _exponent(agent + suffix),
            STUDY,
        )
        for place, agent in (("Theorem 2", "gamma-UCB-CVI"), ("Theorem 5", "gamma-LSCVI-UCB"))
        for constants, suffix in (("Constants chosen in practice", ""), ("The theory's constants", ", theory"))
    ),
    Claim(
        "Theorem 9",
        "Clipping by the states visited alone keeps the guarantee.",
        "The efficient variant, constants chosen in practice.",
        _exponent("gamma-LSCVI-UCB, visited"),
        STUDY,
    ),
    Claim(
        "Lemma 10",
        "Properties of efficient clipping.",
        "All five, on random functions.",
        tested=True,
        command="python -m pytest tests/planning/test_average_reward.py -k clipping",
    ),
    Claim(
        "Tables 1 and 2",
        "Rates of FOPO, LOOP, REGAL, OSP and EBF.",
        "",
        why_open="their steps are optimisations that nobody knows how to do efficiently",
    ),
    Claim(
        "Theorems 2 and 5",
        "Regret is proportional to the span of v*, and to S, or to d^(3/2).",
        "",
        why_open="span, S and d are not varied one at a time",
    ),
    Claim(
        "Section 4.1",
        "Max-pooling is better than a minimum with the previous values.",
        "",
        why_open="the monotone alternative is not built",
    ),
    Claim(
        "Section 3",
        "Bernstein bonuses save a factor of sqrt(S).",
        "",
        why_open="future work of the paper, not built",
    ),
)
"""In the order of the paper."""
