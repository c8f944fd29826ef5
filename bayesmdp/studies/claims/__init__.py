"""What the four papers claim, and what the stored studies say of it; ``bayesmdp claims`` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayesmdp.foundation.suggestions import did_you_mean
from bayesmdp.studies.claims import aq_brmdp, average_reward, mtsrl, tseb
from bayesmdp.studies.claims.claim import Claim, claims_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PAPERS", "Claim", "claims"]

PAPERS: Mapping[str, tuple[Claim, ...]] = {
    "aq-brmdp": aq_brmdp.CLAIMS,
    "tseb": tseb.CLAIMS,
    "mtsrl": mtsrl.CLAIMS,
    "average-reward": average_reward.CLAIMS,
}
"""The claims of each paper."""


def claims(paper: str | None = None) -> pd.DataFrame:
    """Judge the papers' claims by the tables of the studies that were run.

    Parameters
    ----------
    paper : str, optional
        One of `PAPERS`; all by default.

    Returns
    -------
    DataFrame
        One row a claim: ``paper``, ``place``, ``claim``, ``reading``, ``figure`` with its 95% interval or the range of
        several, ``threshold``, ``verdict`` (yes, no, open; of several figures how many of each) and ``command``, which
        runs the study or the test again.

    Raises
    ------
    ValueError
        For a paper that is none of them.

    Examples
    --------
    >>> claims("average-reward")["verdict"].iloc[5]
    'yes, by a test'
    """
    if paper is not None and paper not in PAPERS:
        raise ValueError(f"no paper {paper!r}; {did_you_mean(paper, PAPERS)}")
    return claims_table(PAPERS if paper is None else {paper: PAPERS[paper]})
