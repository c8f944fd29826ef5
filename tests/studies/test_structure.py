"""The study of structured priors: what it declares, and the stored tables."""

from bayesmdp.studies import find
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
