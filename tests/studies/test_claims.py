"""Claims and their verdicts: by hand on made-up tables, and all that the papers' lists name."""

import re
from pathlib import Path

import pandas as pd
import pytest

from bayesmdp.studies import FAMILIES
from bayesmdp.studies.claims import PAPERS, claims
from bayesmdp.studies.claims.claim import Claim, Stored, judged
from bayesmdp.studies.tables import stored_table

ROOT = Path(__file__).parents[2]
EVERY = [(paper, claim) for paper, stated in PAPERS.items() for claim in stated]


@pytest.fixture
def stored(monkeypatch):
    """Judge a claim by this table in the place of a study's."""

    def judge(table, shown):
        monkeypatch.setattr("bayesmdp.studies.claims.claim.stored_table", lambda name, dtype: table)
        return judged(Claim("1", "It is so.", "as read", shown, "make study"))

    return judge


@pytest.mark.parametrize(
    ("lower", "upper", "must_be", "verdict"),
    [
        (2.01, 3, "above", "yes"),
        (2, 3, "above", "open"),
        (1, 2, "above", "no"),
        (1, 2, "below", "yes"),
        (1.9, 2.1, "below", "open"),
        (2.01, 3, "below", "no"),
        (1.8, 2.2, "near", "yes"),
        (1.7, 2.1, "near", "open"),
        (2.3, 2.4, "near", "no"),
        (1.0, 1.7, "near", "no"),
        (float("nan"), 3, "above", "open"),
    ],
)
def test_an_interval_is_judged_by_where_it_lies(stored, lower, upper, must_be, verdict):
    table = pd.DataFrame({"figure": [(lower + upper) / 2], "lower": [lower], "upper": [upper]})
    shown = Stored("any", must_be=must_be, threshold=2.0, tolerance=0.1)
    assert stored(table, shown).verdict == verdict


def test_several_rows_are_counted_and_only_those_asked_for(stored):
    table = pd.DataFrame(
        {
            "cell": ["a", "b", "c", "d"],
            "saved": [1.0, -1.0, 0.0, 9.0],
            "saved_lower": [0.5, -2.0, -1.0, 8.0],
            "saved_upper": [1.5, -0.5, 1.0, 10.0],
        }
    )
    told = stored(table, Stored("any", {"cell": ("a", "b", "c")}, "saved"))
    assert told == ("-1 to 1 in 3", "above 0", "yes in 1, no in 1, open in 1")
    without = table.assign(saved=table["saved"].where(table["cell"] != "b"))
    assert stored(without, Stored("any", {"cell": ("a", "b", "c")}, "saved")).figure == "0 to 1 in 3"
    assert stored(table, Stored("any", {"cell": "d"}, "saved")) == ("9 [8, 10.0]", "above 0", "yes")
    with pytest.raises(ValueError, match=r"the table 'any' has no rows with \{'cell': 'e'\}"):
        stored(table, Stored("any", {"cell": "e"}, "saved"))


@pytest.mark.parametrize(("paper", "claim"), EVERY, ids=[f"{paper}-{i}" for i, (paper, _) in enumerate(EVERY)])
def test_every_claim_has_a_figure_or_a_test_or_says_why_it_has_none(paper, claim):
    kinds = [claim.shown is not None, claim.tested, bool(claim.why_open)]
    assert sum(kinds) == 1
    assert judged(claim).verdict
    if claim.shown is not None:
        for column, wanted in claim.shown.rows.items():
            entries = set(stored_table(claim.shown.table, dtype={column: str})[column])
            assert {wanted} <= entries if isinstance(wanted, str) else set(wanted) <= entries
        (study,) = re.fullmatch(r"make study STUDIES=(\w+)", claim.command).groups()
        assert study.replace("_", "-") in FAMILIES
    if claim.tested:
        file, name = re.fullmatch(r"python -m pytest (\S+) -k (\w+)", claim.command).groups()
        assert re.search(rf"def test\w*{name}", (ROOT / file).read_text())


def test_the_table_holds_every_claim():
    table = claims()
    assert len(table) == len(EVERY) and set(table["paper"]) == set(PAPERS)
    assert table.loc[~table["verdict"].str.startswith("open:"), "command"].str.len().min() > 0
    with pytest.raises(ValueError, match="no paper 'tsebb'; did you mean 'tseb'"):
        claims("tsebb")
    with pytest.raises(ValueError, match="no table 'risky_lak'; did you mean 'risky_lake'"):
        stored_table("risky_lak")
