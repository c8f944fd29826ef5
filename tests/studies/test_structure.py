"""The study of structured priors: what it declares, and the stored tables."""

import numpy as np
import xarray as xr

from bayesmdp.studies import find, structure_agents
from bayesmdp.studies.structure import ALGORITHMS, STUDIES
from bayesmdp.studies.tables import stored_table


def test_agents_have_their_own_priors() -> None:
    study = find("structure/lake")
    mdp = study.make_mdp()
    agents = study.make_agents(mdp, study.make_prior(mdp))
    assert set(agents) == {*ALGORITHMS, *(f"{name}, structured" for name in ALGORITHMS)}
    assert len(dict(agents["PSRL, structured"].make_belief(mdp).dims)) == 2  # cause and transition
    assert len(dict(agents["PSRL"].make_belief(mdp).dims)) == 1


def test_a_small_river() -> None:
    study = find("structure/river").with_agents(["PSRL", "PSRL, structured"])
    result = study.run(steps=200, replicates=2)
    assert result["regret"].dims == ("agent", "replicate", "step")


def test_tables_are_of_the_study_and_say_that_structure_pays() -> None:
    table = stored_table("structure")
    assert set(table["cell"]) == set(STUDIES)
    assert set(table["agent"]) == set(ALGORITHMS)
    # Certain in all cases but one, posterior sampling on the queue, where a few runs by particles are unlucky.
    assert (table["saved"] > 0).all()
    assert table.loc[table["saved_lower"] <= 0, ["cell", "agent"]].to_numpy().tolist() == [["queue", "PSRL"]]
    assert set(stored_table("structure_curves")["cell"]) == set(STUDIES)


def test_agents_and_beliefs_are_held_against_each_other() -> None:
    study = structure_agents.STUDIES["lake"]
    luck = np.random.default_rng(0).normal(size=(len(study.agents), 12, 1))
    better = {"TSEB, flat": 40, "PSRL, tied": 70, "BEB, tied": 80}
    regret = 100 + luck - np.array([better.get(name, 0) for name in study.agents])[:, None, None]
    result = xr.DataTree(
        xr.Dataset({"regret": (("agent", "replicate", "step"), regret)}, {"agent": list(study.agents)})
    )
    table = structure_agents.claims(result).set_index("statement")
    ahead = table.loc["tied: posterior sampling's regret is below that of the best agent under flat by"]
    assert ahead["best"] == "TSEB, flat" and ahead["holds"] == "yes" and abs(ahead["figure"] - 30) < 2
    ours = table.loc["tied: the best agent's regret is below that of posterior sampling by"]
    assert ours["best"] == "BEB, tied" and abs(ours["figure"] - 10) < 2


def test_beliefs_know_what_they_say_they_know() -> None:
    study = find("structure-agents/river")
    mdp = study.make_mdp()
    agents = study.make_agents(mdp, study.make_prior(mdp))
    sites = {
        belief: set(dict(agents[f"PSRL, {belief}"].make_belief(mdp).dims)) for belief in ("flat", "tied", "current")
    }
    assert sites == {
        "flat": {"transition"},
        "tied": {"cause", "transition"},
        "current": {"current", "start", "end", "transition"},
    }
    # Every stroke leads where the river may take a swimmer.
    table = structure_agents._strokes()["leads_to"]
    reached = np.zeros((6, 2, 6), bool)
    np.put_along_axis(reached, table, True, -1)
    assert (reached >= (mdp.transition > 0)).all()


def test_what_is_said_of_structure_is_in_the_table() -> None:
    told = stored_table("structure_agents_statements").set_index(["cell", "statement"])
    words = " ".join((structure_agents.__doc__ or "").split())
    text = "{}: posterior sampling's regret is below that of the best agent under flat by"
    for cell, beliefs in {"river": ("sparse", "tied", "current"), "lake": ("sparse", "tied")}.items():
        rows = told.loc[cell].loc[[text.format(belief) for belief in beliefs]]
        assert (rows["holds"] == "yes").all()
    for cell, belief in (("river", "sparse"), ("lake", "sparse"), ("lake", "tied")):
        row = told.loc[(cell, text.format(belief))]
        assert f"{row['figure']:.0f} ({row['lower']:.0f} to {row['upper']:.0f})" in words
    assert told.loc[("river-hierarchical", text.format("hierarchical")), "holds"] == "no"
    regret = stored_table("structure_agents").set_index(["cell", "agent"])["regret"]
    for belief in ("flat", "sparse", "tied"):
        rows = regret.loc["lake"][[f"{name}, {belief}" for name in structure_agents.AGENTS]]
        assert rows.idxmax() == f"variance bonus, {belief}"
