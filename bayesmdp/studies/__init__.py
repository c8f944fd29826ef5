"""Experiments as plain data, one file a paper; ``bayesmdp run FILE/STUDY`` runs one."""

from bayesmdp.studies import (
    aq_brmdp,
    average_reward,
    draw_reuse,
    mtsrl,
    risky_lake,
    river_schedule,
    slippery_lake,
    structure,
    tseb,
)
from bayesmdp.studies.study import AgentSpec, Study

__all__ = ["STUDIES", "AgentSpec", "Study", "find"]

STUDIES = {
    f"{paper}/{name}": study
    for paper, module in (
        ("aq-brmdp", aq_brmdp),
        ("river-schedule", river_schedule),
        ("risky-lake", risky_lake),
        ("draw-reuse", draw_reuse),
        ("tseb", tseb),
        ("average-reward", average_reward),
        ("mtsrl", mtsrl),
        ("structure", structure),
        ("slippery-lake", slippery_lake),
    )
    for name, study in module.STUDIES.items()
}


def find(name: str) -> Study:
    """The study of that name, or a `KeyError` that lists the names there are."""
    if name not in STUDIES:
        raise KeyError(f"no study {name!r}; the studies are {', '.join(STUDIES)}")
    return STUDIES[name]
