"""The study of what regret depends on: one thing changes at a time, and its tables are of its cells."""

import numpy as np
import pytest

import bayesmdp as bm
from bayesmdp.studies.average_reward_shape import GROWTHS, STUDIES, powers_table, statements
from bayesmdp.studies.tables import stored_table


def spans_and_sizes(cells):
    for cell in cells:
        mdp = STUDIES[cell].make_mdp()
        size = mdp.num_states * mdp.num_actions if mdp.features is None else mdp.features.shape[-1]
        yield float(bm.solve(mdp).attrs["span"]), mdp.num_states, size


@pytest.mark.parametrize("quantity", [pytest.param(name, marks=[pytest.mark.slow] * (name == "d")) for name in GROWTHS])
def test_one_quantity_grows_and_the_others_stay(quantity):
    spans, states, features = map(np.array, zip(*spans_and_sizes(GROWTHS[quantity]), strict=True))
    grown = {"sp(v*)": spans, "S": states, "d": features}
    np.testing.assert_allclose(grown.pop(quantity), list(GROWTHS[quantity].values()), rtol=1e-4)
    for name, values in grown.items():
        np.testing.assert_allclose(values, values[0], rtol=1e-6, err_msg=name)


def test_powers_are_of_the_cells_that_grow():
    gaps = {cell: {"A": np.full(4, 3.0 * x**1.5)} for cell, x in GROWTHS["d"].items()}
    found = powers_table(gaps).set_index("quantity")
    assert list(found.index) == ["d"]
    assert found.loc["d", "power"] == pytest.approx(1.5)


def test_statements_are_paired():
    gaps = {
        "told 1 times": [10.0, 20.0, 30.0],
        "told 0.25 times": [12.0, 22.0, 32.0],
        "told 4 times": [9.0, 19.0, 29.0],
    }
    told = statements(gaps).set_index("statement")
    assert told["figure"].tolist() == [2.0, -1.0]
    assert told["holds"].tolist() == ["yes", "no"]


def test_tables_hold_cells_of_the_study():
    assert set(stored_table("average_reward_shape")["cell"]) == set(STUDIES)
    assert set(stored_table("average_reward_powers")["quantity"]) == set(GROWTHS)
    judged = stored_table("average_reward_statements")
    assert {cell.partition("-")[0] for cell in judged["cell"]} == {"told", "pooling", "clipping", "bonus"}
