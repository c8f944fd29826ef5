"""What tests of stores share: a small sweep, and all that is in a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bayesmdp.sweeps import Sweep

RIVER = "aq-brmdp/riverswim-6"


def small_sweep(**changes: Any) -> Sweep:
    """PSRL and AQ-BRMDP, one shared option and one of an agent's own; 3 replicates in chunks of 2."""
    told: dict[str, Any] = {
        "grid": {"environment.discount": [0.9, 0.95], "AQ-BRMDP.scale": [0.5, 2.0]},
        "settings": {"AQ-BRMDP.num_draws": 20},
        "agents": ["PSRL", "AQ-BRMDP"],
        "replicates": 3,
        "steps": 100,
        "chunk": 2,
    }
    return Sweep(RIVER, **{**told, **changes})


def contents(store: Path) -> dict[str, bytes]:
    """Every file by its place, to the last byte."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}
