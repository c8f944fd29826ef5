"""Experiments as plain data, one file a paper; ``bayesmdp run FILE/STUDY`` runs one."""

from collections.abc import Mapping
from types import ModuleType

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.studies import (
    adapted_weight,
    aq_brmdp,
    average_levels,
    average_reward,
    average_reward_shape,
    bbrl,
    bbrl_inexact,
    control_learning,
    doubt_levels,
    draw_reuse,
    draw_weights,
    learned_levels,
    levels,
    mtsrl,
    mtsrl_shape,
    regret_growth,
    risky_lake,
    river_schedule,
    slippery_lake,
    structure,
    structure_agents,
    tseb,
)
from bayesmdp.studies.study import AgentSpec, Study

__all__ = ["FAMILIES", "STUDIES", "AgentSpec", "Study", "find"]

FAMILIES: Mapping[str, ModuleType] = {
    "aq-brmdp": aq_brmdp,
    "river-schedule": river_schedule,
    "risky-lake": risky_lake,
    "levels": levels,
    "doubt-levels": doubt_levels,
    "average-levels": average_levels,
    "learned-levels": learned_levels,
    "regret-growth": regret_growth,
    "draw-reuse": draw_reuse,
    "draw-weights": draw_weights,
    "tseb": tseb,
    "adapted-weight": adapted_weight,
    "average-reward": average_reward,
    "average-reward-shape": average_reward_shape,
    "mtsrl": mtsrl,
    "mtsrl-shape": mtsrl_shape,
    "structure": structure,
    "structure-agents": structure_agents,
    "bbrl": bbrl,
    "bbrl-inexact": bbrl_inexact,
    "slippery-lake": slippery_lake,
    "control-learning": control_learning,
}
"""The files of studies; a new one is one line here, beside its import."""

STUDIES: Mapping[str, Study] = {
    f"{family}/{name}": study for family, module in FAMILIES.items() for name, study in module.STUDIES.items()
}
"""Every study, as ``bayesmdp run`` names it."""


def find(name: str) -> Study:
    """The study of that name.

    Raises
    ------
    KeyError
        If there is none, with the name that is nearest.

    Examples
    --------
    >>> find("aq-brmdp/riverswim-6").title
    'AQ-BRMDP, fixed levels and PSRL on RiverSwim-6 (Figure 1)'
    """
    if name not in STUDIES:
        hint = did_you_mean(name, STUDIES, otherwise="", likeness=0.4, quoted=False)
        raise KeyError(f"no study {name!r}; {hint}{' ' if hint else ''}`bayesmdp list` shows them all")
    return STUDIES[name]
