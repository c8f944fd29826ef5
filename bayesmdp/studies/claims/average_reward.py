"""The paper "Provably Efficient Reinforcement Learning for Infinite-Horizon Average-Reward Linear MDPs"."""

from __future__ import annotations

from bayesmdp.studies.claims.claim import Claim, Stored

__all__ = ["CLAIMS"]

STUDY, SHAPE = "make study STUDIES=average_reward", "make study STUDIES=average_reward_shape"
TABLE, LINEAR = "gamma-UCB-CVI", "gamma-LSCVI-UCB"
WHY = (
    "A pair is tried until its bonus is below its fixed gap, (beta / gap)^2 times; this gives twice the bound's powers."
)


def _exponent(agent: str) -> Stored:
    return Stored("average_reward_exponents", {"agent": agent}, "exponent", must_be="below", threshold=0.5)


def _statements(first: str, other_scale: str) -> Stored:
    """A statement at the scale that `first` ends with, and at another."""
    other = f"{first.rpartition(' ')[0]} {other_scale}"
    return Stored("average_reward_statements", {"statement": (first, other)})


CLAIMS = (
    *(
        Claim(
            place,
            f"The regret of {agent} grows at most like sqrt(T).",
            f"{constants}; exponents fitted over T = 1,000 to 100,000 in three worlds. A bound is for the long run.",
            _exponent(agent + suffix),
            STUDY,
        )
        for place, agent in (("Theorem 2", "gamma-UCB-CVI"), ("Theorem 5", "gamma-LSCVI-UCB"))
        for constants, suffix in (("Constants chosen in practice", ""), ("The theory's constants", ", theory"))
    ),
    Claim(
        "Theorem 9",
        "Clipping by the visited states alone keeps the guarantee.",
        "The efficient variant, with constants chosen in practice.",
        _exponent("gamma-LSCVI-UCB, visited"),
        STUDY,
    ),
    Claim(
        "Lemma 10",
        "Properties of efficient clipping.",
        "All five properties are checked on random functions.",
        tested=True,
        command="python -m pytest tests/planning/test_average_reward.py -k clipping",
    ),
    Claim(
        "Tables 1 and 2",
        "Rates of FOPO, LOOP, REGAL, OSP and EBF.",
        "",
        why_open="their steps are optimisations for which no efficient method is known",
    ),
    *(
        Claim(
            place,
            f"The regret of {agent} grows with {quantity} at most like {shown}.",
            f"{worlds}; T = 20,000, constants that learn. {WHY}",
            Stored(
                "average_reward_powers",
                {"quantity": quantity, "agent": agent},
                "power",
                must_be="below",
                threshold=threshold,
            ),
            SHAPE,
        )
        for place, agent, quantity, shown, threshold, worlds in (
            ("Theorem 2", TABLE, "sp(v*)", "its first power", 1.0, "RiverSwim-6, made more and more lazy"),
            ("Theorem 5", LINEAR, "sp(v*)", "its first power", 1.0, "RiverSwim-6, made more and more lazy"),
            ("Theorem 2", TABLE, "S", "its first power", 1.0, "RiverSwim-6 with copies of its states"),
            ("Theorem 5", LINEAR, "S", "its power 0", 0.1, "Copies of states that share their features; below .1"),
            ("Theorem 5", LINEAR, "d", "d^(3/2)", 1.5, "The hard linear MDP, d + 1 = 4 to 8 features"),
            (
                "Section 3, conjecture",
                f"{TABLE}, Bernstein",
                "S",
                "S^(1/2), as conjectured",
                0.5,
                "The same worlds as for the paper's bonus",
            ),
        )
    ),
    Claim(
        "Section 4.1",
        "Max-pooling is better than a minimum with the previous values.",
        "Sums of gaps in three worlds at two scales of the bonus; the paper's own argument is its proof.",
        _statements("the least of all sweeps costs more than max, c = 0.003", "0.01"),
        SHAPE,
    ),
    *(
        Claim(
            place,
            f"Clipping keeps the optimism of {agent} from costing the effective horizon.",
            "A room whose only value is the hope for its untried doors, two scales of the bonus. On rivers, shops and "
            "routers clipping rarely binds.",
            _statements(f"not to clip costs more than {agent}, c = {scale}", other),
            SHAPE,
        )
        for place, agent, scale, other in (
            ("Section 3", "gamma-ucb-cvi", "0.5", "1.0"),
            ("Section 4", "gamma-lscvi-ucb", "0.007", "0.014"),
            ("Theorem 9", "gamma-lscvi-ucb-visited", "0.007", "0.014"),
        )
    ),
    Claim(
        "Section 3",
        "Bernstein bonuses cost less at the same scale.",
        "Ours, after a conjecture; scales .1 and 1 in five worlds. In some of them the paper's bonus learns nothing.",
        _statements("the paper's bonus costs more than Bernstein, c = 0.1", "1.0"),
        SHAPE,
    ),
)
"""In the order of the paper."""
