"""The papers' open questions, at small size: statements by hand, and that stored tables say what their modules say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bayesmdp.studies import adapted_weight, average_levels, doubt_levels, draw_weights, learned_levels, levels
from bayesmdp.studies.study import Study
from bayesmdp.studies.tables import stored_table


def made_result(study: Study, better: dict[str, float]) -> xr.DataTree:
    """Regrets of 12 replicates that are 100 and some luck, less what an agent is better by."""
    luck = np.random.default_rng(0).normal(size=(len(study.agents), 12, 1))
    regret = 100 + luck - np.array([better.get(agent, 0) for agent in study.agents])[:, None, None]
    return xr.DataTree(xr.Dataset({"regret": (("agent", "replicate", "step"), regret)}, {"agent": list(study.agents)}))


def test_a_rising_lambda_is_judged_on_what_did_not_choose_it() -> None:
    study = adapted_weight.STUDIES["chain"]
    better = {"lambda 0.3": 50, "rises from 0, decay 1": 70, adapted_weight.UNTUNED: 40}
    table = adapted_weight.claims(made_result(study, better))
    assert set(table["chosen"]) == {"lambda 0.3; rises from 0, decay 1"}
    np.testing.assert_allclose(table["figure"], [-10, 40, 40, 20], atol=2)
    assert table["holds"].tolist() == ["no", "yes", "yes", "yes"]


@pytest.mark.parametrize("name", doubt_levels.STUDIES)
def test_levels_by_doubt_stand_beside_what_was_best(name: str) -> None:
    study, (constant, adaptive) = doubt_levels.STUDIES[name], doubt_levels.CHOSEN[name]
    assert set(study.agents) == {levels.DEFAULT, constant, adaptive, "doubt", "doubt, relative"}
    assert study.agents[constant] == levels.STUDIES[name].agents[constant]
    table = doubt_levels.claims(made_result(study, {"doubt": 30, constant: 60}))
    assert table["rival"].tolist() == [constant, adaptive, levels.DEFAULT] * 2
    np.testing.assert_allclose(table["figure"][:2], [-30, 30], atol=2)


def test_rivals_are_those_of_the_stored_table() -> None:
    told = stored_table("levels").drop_duplicates("cell").set_index("cell")["chosen"]
    assert {name: tuple(told[name].split(", ")) for name in doubt_levels.CHOSEN} == dict(doubt_levels.CHOSEN)


def test_the_module_says_what_the_table_says() -> None:
    told = stored_table("adapted_weight_statements").set_index(["cell", "statement"])
    untuned = told.xs("the untuned rule's regret is below that of the best fixed lambda by", level="statement")
    assert untuned["holds"].tolist() == ["open"] * 3
    words = " ".join((adapted_weight.__doc__ or "").split())
    for row in untuned.to_dict("records"):
        assert f"{row['figure']:,.0f}, " in words
        assert f"{row['lower']:,.0f} to {row['upper']:,.0f}" in words


def test_what_is_said_of_doubt_is_in_the_table() -> None:
    told = stored_table("doubt_levels_statements")
    words = " ".join((doubt_levels.__doc__ or "").split())
    relative = told[told["statement"].str.startswith("doubt, relative") & told["statement"].str.contains("defaults")]
    relative = relative.set_index("cell")
    assert set(relative.index[relative["holds"] == "no"]) == {"long-river", "chain"}
    assert not (relative["holds"] == "yes").any()
    for cell in ("long-river", "chain"):
        assert f"by {-relative.loc[cell, 'figure']:,.0f}" in words
    constant = told[told["statement"].str.contains("best constant level")]
    assert not (constant["holds"] == "yes").any()
    single = told[told["statement"].str.startswith("doubt: ") & ~told["statement"].str.contains("constant")]
    assert set(single["cell"][single["holds"] == "yes"]) == {"river-uniform"}
    regret = stored_table("doubt_levels").set_index(["cell", "agent"])
    stuck = regret.loc[("long-river", "doubt, relative")]
    assert stuck["regret_lower"] == stuck["regret_upper"]  # never left the bank
    assert (18 / 20) * 2**-0.5 > 0.63


def test_rules_of_using_draws_again_are_held_against_fresh_ones() -> None:
    study = draw_weights.STUDIES["0.99"]
    better = {"BRMDP-0.5 weighted": -50, "BRMDP-0.5 weighted, and .1": -20, "AQ-BRMDP unseen": 30}
    table = draw_weights.claims(made_result(study, better)).set_index("statement")["figure"]
    assert table["BRMDP-0.5, weighted: its regret is below that with fresh draws by"] == pytest.approx(-50, abs=2)
    assert table["BRMDP-0.5, weighted, and .1: its regret is below that without the .1 by"] == pytest.approx(30, abs=2)
    assert table["AQ-BRMDP, unseen: its regret is below that with fresh draws by"] == pytest.approx(30, abs=2)
    # More draws for rules that save time, and the budget of a pair in proportion.
    agents = study.agents
    assert agents["AQ-BRMDP changed"].options["num_draws"] > agents["AQ-BRMDP fresh"].options["num_draws"] == 200
    assert {round(spec.options["draw_scale"] / spec.options["num_draws"], 6) for spec in agents.values()} == {0.34}


def test_what_is_said_of_weights_is_in_the_table() -> None:
    told = stored_table("draw_weights_statements").set_index(["cell", "statement"])
    words = " ".join((draw_weights.__doc__ or "").split())
    fresh = "its regret is below that with fresh draws by"
    for cell in draw_weights.STUDIES:
        rows = told.loc[cell]
        for rule in ("weighted", "changed"):
            assert rows.loc[f"BRMDP-0.5, {rule}: {fresh}", "holds"] == "no"
        worse = rows.loc["BRMDP-0.5, changed: " + fresh, "figure"] < rows.loc["BRMDP-0.5, weighted: " + fresh, "figure"]
        assert worse and rows.loc[f"AQ-BRMDP, weighted: {fresh}", "holds"] == "yes"
        assert {rows.loc[f"{agent}, unseen: {fresh}", "holds"] for agent in ("BRMDP-0.5", "AQ-BRMDP")} == {"open"}
        gain = rows.loc[f"AQ-BRMDP, weighted: {fresh}"]
        assert f"{gain['figure']:,.0f} ({gain['lower']:,.0f} to {gain['upper']:,.0f})" in words
    shares = told[
        told.index.get_level_values(1).str.contains("BRMDP-0.5, .*and .1: its regret is below that with fresh")
    ]
    assert shares["holds"].tolist().count("no") == 5 and len(shares) == 6


def test_caution_under_a_learned_prior_is_judged_by_its_tasks() -> None:
    """Regrets of 16 tasks by hand: what is first, last and worst, and that C is judged on what did not choose it."""
    agents = list(learned_levels.AGENTS)
    regret = 100 + np.random.default_rng(0).normal(size=(len(agents), 12, 16))
    regret[agents.index("AQ-BRMDP C=1, learned"), :, 8:] -= 30
    regret[agents.index("AQ-BRMDP C=0.25"), :, 8:] -= 10
    regret[agents.index("PSRL, learned"), :, 14:] += 50  # two bad tasks
    regret[agents.index("PSRL, learned from 2"), :, 2:6] += 7
    data = xr.Dataset(
        {"regret": (("agent", "replicate", "step"), regret)}, {"agent": agents, "task": ("step", np.arange(16))}
    )
    table = learned_levels.claims(xr.DataTree(data)).set_index("statement")
    assert set(table["chosen"]) == {"C=0.25; C=1"}
    wanted = {
        "AQ-BRMDP: a learned prior lowers its regret by": 30,
        "learned: AQ-BRMDP's regret is below that of PSRL by": 30 + 50 / 4,
        "learned: AQ-BRMDP's regret in the worst tasks is below that of PSRL by": 80,
        "learned from 2, first: AQ-BRMDP's regret is below that of PSRL by": 7,
        "learned: the C that is best then has less regret than the C that is best without by": 30,
    }
    for statement, figure in wanted.items():
        assert table.loc[statement, "figure"] == pytest.approx(figure, abs=1.5)


def test_what_is_said_of_learned_levels_is_in_the_table() -> None:
    told = stored_table("learned_levels_statements").set_index(["cell", "statement"])
    words = " ".join((learned_levels.__doc__ or "").split())
    for cell in learned_levels.STUDIES:
        rows = told.loc[cell]
        for better in ("", " in the worst tasks"):
            row = rows.loc[f"learned: AQ-BRMDP's regret{better} is below that of PSRL by"]
            assert row["holds"] == "yes"
        row = rows.loc["learned: AQ-BRMDP's regret is below that of PSRL by"]
        assert f"{row['figure']:,.0f} ({row['lower']:,.0f} to {row['upper']:,.0f})" in words
        level = rows.loc["learned: AQ-BRMDP's regret is below that of level 0.8 by"]
        assert level["holds"] == "no" and f"{-level['figure']:,.0f} ({-level['upper']:,.0f} to" in words
        share = rows.loc["AQ-BRMDP: share of its excess over its oracle that the learned prior takes", "figure"]
        assert f"{share:.0%} (" in words


def test_levels_without_a_discount_are_judged_by_gaps() -> None:
    study = average_levels.STUDIES["river"]
    result = made_result(study, {"level 0.7": 60, "AQ-BRMDP": 40, "AQ-BRMDP k=0": 30})
    data = result.to_dataset()
    result = xr.DataTree(data.rename(regret="gap").assign(regret=0 * data["regret"], period=data["regret"] * 0 + 7))
    table = average_levels.claims(result).set_index("statement")
    assert set(table["chosen"]) == {"level 0.7"}
    wanted = {
        "AQ-BRMDP's regret is below that of posterior sampling by": 40,
        "AQ-BRMDP's regret is below that of the best fixed level by": -20,
        "the visit factor lowers AQ-BRMDP's regret by": 10,
    }
    for statement, figure in wanted.items():
        assert table.loc[statement, "figure"] == pytest.approx(figure, abs=2)


def test_what_is_said_of_levels_without_a_discount_is_in_the_table() -> None:
    told = stored_table("average_levels_statements").set_index(["cell", "statement"])
    words = " ".join((average_levels.__doc__ or "").split())
    for cell in average_levels.STUDIES:
        ahead = told.loc[(cell, "AQ-BRMDP's regret is below that of posterior sampling by")]
        assert ahead["holds"] == "yes"
        assert f"{ahead['figure']:,.0f} ({ahead['lower']:,.0f} to {ahead['upper']:,.0f})" in words
        level = told.loc[(cell, "AQ-BRMDP's regret is below that of the best fixed level by")]
        assert level["holds"] == "open" and f"{level['figure']:,.0f}, {level['lower']:,.0f} to" in words
        assert told.loc[(cell, "the visit factor lowers AQ-BRMDP's regret by"), "holds"] == "open"
    table = stored_table("average_levels").set_index(["cell", "agent"])
    assert (table["failures"] > 1).sum() == 1 and table.loc[("river", "AQ-BRMDP C=4"), "failures"] > 1
