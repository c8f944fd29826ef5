"""What was measured of the patients of ICU-Sepsis: the centre of each cluster, for recodings of one's own.

A state of :mod:`bayesmdp.environments.icu_sepsis` is a cluster of patients by 47 measurements of MIMIC-III records. The
authors' package ships the centres of the clusters, in standardised units and without names, and the mean SOFA score of
each (Sequential Organ Failure Assessment, 0 to 24: how far six organ systems fail). Whoever makes coarser states of
these can ask the benchmark what was lost.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmdp.environments.icu_sepsis import _assets

__all__ = ["sepsis_measurements"]


def sepsis_measurements() -> pd.DataFrame:
    """What was measured in each state of ICU-Sepsis in which somebody is treated.

    Returns
    -------
    DataFrame [state]
        By the label of the state: ``sofa``, and ``x0`` to ``x46``, the standardised measurements.

    Raises
    ------
    ImportError
        If the package ``icu-sepsis`` is not installed.

    Examples
    --------
    >>> measured = sepsis_measurements()
    >>> measured.shape, round(float(measured["sofa"].max()), 1)
    ((713, 48), 18.0)
    """
    with np.load(_assets() / "dynamics.npz") as archive:
        sofa, centres = archive["sofa_scores"], archive["state_cluster_centers"]
    # The last three are the ends: nothing was measured there.
    number = len(sofa) - 3
    table = pd.DataFrame(centres[:number], columns=[f"x{i}" for i in range(centres.shape[1])])
    table.insert(0, "sofa", sofa[:number])
    return table.set_axis([f"s{i}" for i in range(number)]).rename_axis("state")
