"""States from measurements: pandas says which bin, quantiles part rows as pandas does, and no row is lost."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesmdp.logs.binned_parts import Bins, Quantiles
from bayesmdp.logs.measured_states import Recoding, as_recoding, states
from bayesmdp.logs.state_specs import part_from_text

EDGES = (0, 40, 65, 80)
SPEC = ["age:bins(0,40,65,80)", "lactate:quantiles(4)", "ward"]


def measured(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(0, 81, rows),
            "lactate": rng.gamma(2, 1, rows).round(1),
            "ward": rng.choice(["a", "b", "c"], rows),
        }
    )


@pytest.mark.parametrize("closed", ["left", "right"])
def test_bins_are_those_of_pandas(closed: str) -> None:
    # Every edge, and the numbers next to it on both sides.
    near = [np.nextafter(edge, side) for edge in EDGES for side in (-np.inf, np.inf)]
    values = pd.Series([*EDGES, *near, 20.0, 64.5])
    right = closed == "right"
    # The outer edge that pandas leaves out on the left-closed rule is its last.
    edges = list(EDGES) if right else [*EDGES[:-1], np.nextafter(EDGES[-1], np.inf)]
    expected = pd.cut(values, edges, right=right, include_lowest=right, labels=False).fillna(-1).astype(int)
    level = Bins("age", tuple(map(float, EDGES)), closed).levels(pd.DataFrame({"age": values}), ".")
    assert level.tolist() == expected.tolist()
    assert -1 in level and {0, 1, 2} <= set(level.tolist())


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("x:bins(0,1.5,3)", ("x 0 to <1.5", "x 1.5 to 3")),
        ("x:bins(0,1.5,3,closed=right)", ("x 0 to 1.5", "x >1.5 to 3")),
        ("x:cutoffs(2,4)", ("x <2", "x 2 to <4", "x >=4")),
        ("x:cutoffs(2,4,closed=right)", ("x <=2", "x >2 to 4", "x >4")),
        ("x:bins(-inf,2,4)", ("x <2", "x 2 to 4")),
        ("x:bins(2,4,inf,closed=right)", ("x 2 to 4", "x >4")),
        ("x:cutoffs(-1e-3, missing=state)", ("x <-0.001", "x >=-0.001", "x missing")),
    ],
)
def test_a_label_says_which_side_is_closed(text: str, labels: tuple[str, ...]) -> None:
    part = part_from_text(text)
    assert part.labels == labels
    # What a label says is what the bin does.
    tests = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
    values = np.array([-1, -0.001, 0, 1, 1.5, 2, 3, 3.5, 4, 5])
    level = part.levels(pd.DataFrame({"x": values}), ".")
    for number, label in enumerate(label for label in labels if "missing" not in label):
        within = np.ones(len(values), bool)
        for place, bound in enumerate(label.removeprefix("x ").split(" to ")):
            sign = bound.rstrip("0123456789.-e")
            sign = sign or (">=" if place == 0 else "<=")
            within &= tests[sign](values, float(bound.lstrip("<>=")))
        assert (level == number).tolist() == within.tolist(), label


@pytest.mark.parametrize("rows", [4, 5, 6, 101, 1000])
@pytest.mark.parametrize("number", [2, 3, 4, 7])
def test_quantiles_part_rows_as_pandas_does(rows: int, number: int) -> None:
    values = pd.Series(np.random.default_rng([rows, number]).standard_normal(rows))
    part = Quantiles("x", number, "right").settled(pd.DataFrame({"x": values}), ".")
    codes = pd.qcut(values, number, labels=False)
    assert part.levels(pd.DataFrame({"x": values}), ".").tolist() == pd.factorize(codes, sort=True)[0].tolist()
    # Closed on the left is closed on the right, seen in the mirror.
    left = Quantiles("x", number).settled(pd.DataFrame({"x": values}), ".")
    mirrored = pd.factorize(pd.qcut(-values, number, labels=False), sort=True)[0]
    assert left.levels(pd.DataFrame({"x": values}), ".").tolist() == (mirrored.max() - mirrored).tolist()


def test_cuts_of_quantiles_are_short_and_part_all_the_same() -> None:
    values = pd.Series(np.random.default_rng(0).gamma(2, 1, 500).round(1))
    part = Quantiles("x", 4).settled(pd.DataFrame({"x": values}), ".")
    assert all(round(edge, 1) == edge for edge in part.edges[1:-1])
    for edge, quantile in zip(part.edges[1:-1], values.quantile([0.25, 0.5, 0.75]), strict=True):
        assert (values < edge).sum() == (values < quantile).sum()


@pytest.mark.parametrize("closed", ["left", "right"])
def test_ties_make_fewer_bins_and_are_told(closed: str) -> None:
    frame = pd.DataFrame({"x": [0.0] * 60 + [1.0] * 30 + [2.0] * 10})
    part = Quantiles("x", 4, closed).settled(frame, ".")
    # The quartiles are 0, 0 and 1: below 1 lie 60, and up to 1 another 30.
    assert np.bincount(part.levels(frame, ".")).tolist() == ([60, 40] if closed == "left" else [60, 30, 10])
    assert "in the place of 4" in part.told
    assert "in the place of 4" in states(frame, f"x:quantiles(4,closed={closed})").told[0]
    constant = states(pd.DataFrame({"x": [3, 3, 3]}), "x:quantiles(2)")
    assert constant.states == ("x any",) and constant.told


def test_all_distinct_values_keep_every_bin() -> None:
    told = states(pd.DataFrame({"x": range(8)}), "x:quantiles(4)")
    assert told.states == ("x <2", "x 2 to <4", "x 4 to <6", "x >=6") and told.told == ()
    told = states(pd.DataFrame({"x": range(8)}), "x:quantiles(4,closed=right)")
    assert told.states == ("x <=1", "x >1 to 3", "x >3 to 5", "x >5") and told.told == ()


def test_only_combinations_that_occur_are_states_and_are_in_order() -> None:
    frame = pd.DataFrame({"age": [70, 30, 70, 30], "ward": ["b", "a", "a", "a"]})
    recoding = states(frame, ["age:cutoffs(65)", "ward:categories(b,a)"])
    assert recoding.states == ("age <65, ward a", "age >=65, ward b", "age >=65, ward a")
    assert recoding.apply(frame).tolist() == [recoding.states[i] for i in (1, 0, 2, 0)]
    # A combination that did not occur has a label all the same, which is no state.
    new = recoding.apply(pd.DataFrame({"age": [30], "ward": ["b"]}))
    assert new.tolist() == ["age <65, ward b"] and new[0] not in recoding.states


def test_json_brings_back_the_same_labels_on_new_rows() -> None:
    fitted, new = states(measured(), SPEC), measured(seed=1)
    again = Recoding.from_json(fitted.to_json())
    assert again == fitted and json.loads(fitted.to_json())["format"] == 1
    assert again.apply(new).tolist() == fitted.apply(new).tolist()
    # Cuts are those of the rows it was fitted to, not of the new ones.
    assert states(new, SPEC).parts[1] != fitted.parts[1] and fitted.fit(new).parts == fitted.parts


@pytest.mark.parametrize(
    "text", ["", "{}", '{"format": 2, "parts": [], "cells": []}', "[1]", '{"format": 1, "parts": 3}']
)
def test_what_is_no_recoding_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="this is no recoding that can be read"):
        Recoding.from_json(text)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([3, 1, 2], ["3", "1", "2"]),
        ([3.0, 1.0, 2.5], ["3", "1.0", "2.50"]),
        ([True, False, True], ["True", "False", "True"]),
        (["a", None, "b"], [" a ", "NA", "b"]),
        (pd.array([1, None, 2], "Int64"), ["1", "", "2"]),
        (pd.Categorical(["x", "y", "x"]), ["x", "y", "x"]),
    ],
)
def test_text_and_values_are_the_same_states(left: object, right: list[str]) -> None:
    spec = "x:categories(missing=state)"
    frames = [pd.DataFrame({"x": column}) for column in (left, right)]
    assert states(frames[0], spec).apply(frames[0]).tolist() == states(frames[1], spec).apply(frames[1]).tolist()
    assert states(frames[0], spec).apply(frames[1]).tolist() == states(frames[0], spec).apply(frames[0]).tolist()


@pytest.mark.parametrize("dtype", ["float16", "float32", "Float32", "float64"])
def test_a_number_of_few_bits_is_on_the_side_of_a_cut_where_it_is_written(dtype: str) -> None:
    written = [1.9, 2.2, 2.3, 4.7, None]
    frame = pd.DataFrame({"lactate": pd.array(written, dtype="Float64").astype(dtype)})
    for spec in ("lactate:cutoffs(2.2, 2.3, missing=state)", "lactate:categories(1.9, 2.2, 2.3, 4.7, missing=state)"):
        whole = states(pd.DataFrame({"lactate": written}), spec)
        assert whole.apply(frame).tolist() == whole.apply(pd.DataFrame({"lactate": written})).tolist()


def test_numbers_are_read_from_text_with_a_decimal_comma() -> None:
    recoding = as_recoding("x:cutoffs(1.5)").fit(pd.DataFrame({"x": ["1,4", "1,5"]}), decimal=",")
    assert recoding.apply(pd.DataFrame({"x": ["1,49", "2"]}), decimal=",").tolist() == ["x <1.5", "x >=1.5"]
    with pytest.raises(ValueError, match=r"row 0: x is '1,49', which is no finite number; .* pass decimal=','"):
        recoding.apply(pd.DataFrame({"x": ["1,49"]}))
    with pytest.raises(ValueError, match="no finite number"):
        recoding.apply(pd.DataFrame({"x": ["1.000,5"]}), decimal=",")


def test_names_are_told_apart_whatever_they_hold() -> None:
    # Without quotation marks both rows were "a x, b y, b z".
    frame = pd.DataFrame({"a": ["x, b y", "x"], "b": ["z", "y, b z"]})
    assert len(set(states(frame, ["a", "b"]).states)) == 2
    frame = pd.DataFrame({"a": ["missing", None]})
    assert states(frame, "a:categories(missing=state)").states == ('a "missing"', "a missing")
    assert states(pd.DataFrame({"a": ["007", "7"]}), "a").states == ("a 007", "a 7")


def test_categories_keep_the_order_of_numbers_and_of_pandas() -> None:
    assert states(pd.DataFrame({"x": ["10", "9", "2"]}), "x").states == ("x 2", "x 9", "x 10")
    ordered = pd.Categorical(["low", "high"], ["low", "mid", "high"], ordered=True)
    recoding = states(pd.DataFrame({"x": ordered}), "x")
    assert recoding.states == ("x low", "x high") and recoding.parts[0].ordered


BAD = [
    ("age:bins(0,65,40)", "40 comes after 65"),
    ("age:bins(0,40,40)", "40 stands there twice"),
    ("age:bins(1)", "two edges or more"),
    ("age:bins()", "two edges or more, .* got none"),
    ("age:bins(0,forty)", "'forty' is no number"),
    ("age:bins(0,nan)", "'nan' is no number"),
    ("age:bins(0,1_0)", "'1_0' is no number"),
    ("age:bin(0,40)", "no kind 'bin'; did you mean 'bins'"),
    ("age:bins(0,40", "not closed by a bracket"),
    ("age bins(0,40)", "has no colon"),
    (":bins(0,40)", "names no column"),
    ("", "a state is written"),
    ("age:bins(0,40,clsed=left)", "did you mean 'closed'"),
    ("age:bins(0,40,closed=both)", "closed must be left or right"),
    ("age:bins(0,40,missing=drop)", "missing must be refuse or state"),
    ("age:quantiles(1)", "two bins or more"),
    ("age:quantiles(2.5)", "one whole number"),
    ("age:quantiles(2,3)", "one whole number"),
    ("age:quantiles(inf)", "one whole number"),
    ("age:cutoffs()", "one number or more"),
    ("age:cutoffs(inf)", "one number or more"),
    ("ward:categories(a,a)", "'a' stands there twice"),
    ("ward:categories(a,)", "a category is empty"),
    ("ward:categories(a,closed=left)", "no option closed"),
    ('ward:categories("a,b)', "quotation mark left open"),
    ("lactat:quantiles(4)", "no column 'lactat' .*did you mean 'lactate'"),
    ("age:bins(0,40)", r"row \d+: age is \d+, above 40, where the bins end; .*bins\(...,inf\)"),
    ("age:bins(80,90)", r"row \d+: age is \d+, below 80, where the bins end; .*bins\(-inf,...\)"),
    ("ward:categories(a,b,cc)", "ward is 'c', none of the 3 categories; did you mean 'cc'"),
    ("ward:cutoffs(1)", r"row 0: ward is '\w', which is no finite number; give it a number"),
    ("lactate", r"lactate holds \d+ distinct numbers.*lactate:quantiles\(4\)"),
    (["age:cutoffs(1)", "age:cutoffs(2)"], "'age' is recoded twice"),
    ([], "needs a part or more"),
]


@pytest.mark.parametrize(("spec", "told"), BAD, ids=str)
def test_refusals(spec: str | list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        states(measured(), spec)


def test_other_refusals() -> None:
    with pytest.raises(TypeError, match="declared by texts"):
        states(measured(), 3)  # type: ignore[arg-type] # what it is about
    with pytest.raises(ValueError, match="'age' more than once"):
        states(pd.concat([measured(), measured()[["age"]]], axis=1), "age:cutoffs(3)")
    for spec in ("age:quantiles(4)", "ward"):
        with pytest.raises(ValueError, match="fit"):
            as_recoding(spec).apply(measured())
    with pytest.raises(ValueError, match="no number to take quantiles of"):
        states(pd.DataFrame({"x": [None, None]}), "x:quantiles(2,missing=state)")


def test_missing_values_are_refused_or_a_state() -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0]})
    with pytest.raises(ValueError, match=r"row 1: x is missing; give it a value, .* with missing=state"):
        states(frame, "x:cutoffs(2)")
    assert states(frame, "x:cutoffs(2,missing=state)").apply(frame).tolist() == ["x <2", "x missing", "x >=2"]
    text = pd.DataFrame({"x": ["1", " NA ", "", "3"]})
    assert states(text, "x:cutoffs(2,missing=state)").apply(text).tolist() == ["x <2", *["x missing"] * 2, "x >=2"]
    # What is wrong is not missing.
    with pytest.raises(ValueError, match="row 0: x is 'high', which is no finite number"):
        states(pd.DataFrame({"x": ["high"]}), "x:cutoffs(2,missing=state)")
    with pytest.raises(ValueError, match="row 0: x is inf, which is no finite number"):
        states(pd.DataFrame({"x": [np.inf]}), "x:cutoffs(2,missing=state)")


messy = st.one_of(st.floats(), st.integers(-5, 90), st.sampled_from(["", "NA", "40", "65.0", "1e3", "x", "6,5", None]))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(messy, min_size=1, max_size=8),
    st.lists(st.integers(-3, 90), min_size=2, max_size=5, unique=True).map(sorted),
    st.sampled_from(["left", "right"]),
    st.booleans(),
)
def test_every_row_has_one_state_or_a_reason(column: list, edges: list[int], closed: str, missing: bool) -> None:
    frame = pd.DataFrame({"x": pd.Series(column, dtype=object), "y": ["a"] * len(column)})
    part = Bins("x", tuple(map(float, edges)), closed, missing)
    recoding = Recoding((part, as_recoding("y:categories(a)").parts[0]))
    read = recoding.read(frame)
    every = {f"{label}, y a" for label in part.labels}
    assert len(read.labels) == len(column) and len(set(part.labels)) == len(part.labels)
    for row, value in enumerate(column):
        assert (read.labels[row] in every) != (row in read.why)
        # As a text file would have it, it is the same.
        alone = pd.DataFrame({"x": [value], "y": ["a"]})
        assert recoding.read(alone).labels[0] == read.labels[row]
        if row in read.why:
            with pytest.raises(ValueError, match=r"^row 0: x is "):
                recoding.apply(alone)
        if isinstance(value, int):
            inside = edges[0] <= value <= edges[-1]
            assert inside == (read.labels[row] != "")


class TestEstimators:
    def frame(self) -> pd.DataFrame:
        return measured(400)

    def test_clusters_are_kept_as_numbers(self) -> None:
        cluster, pipeline = pytest.importorskip("sklearn.cluster"), pytest.importorskip("sklearn.pipeline")
        from sklearn.preprocessing import StandardScaler

        frame, new, columns = self.frame(), measured(seed=5), ["age", "lactate"]
        for estimator in (
            cluster.KMeans(5, n_init=2, random_state=0),
            pipeline.make_pipeline(StandardScaler(), cluster.KMeans(5, n_init=2, random_state=0)),
        ):
            recoding = states(frame, (columns, estimator))
            expected = estimator.fit(frame[columns].astype(float)).predict(new[columns].astype(float))
            again = Recoding.from_json(recoding.to_json())
            assert again == recoding
            assert again.apply(new).tolist() == [f"cluster {number}" for number in expected]
            assert len(set(expected)) == 5

    def test_leaves_are_kept_as_numbers(self) -> None:
        tree = pytest.importorskip("sklearn.tree")
        frame, new, columns = self.frame(), measured(seed=5), ["age", "lactate"]
        fitted = tree.DecisionTreeRegressor(max_leaf_nodes=7, random_state=0).fit(frame[columns], frame["lactate"] ** 2)
        again = Recoding.from_json(states(frame, [(columns, fitted), "ward"]).to_json())
        expected = [
            f"leaf {leaf}, ward {ward}" for leaf, ward in zip(fitted.apply(new[columns]), new["ward"], strict=True)
        ]
        assert again.apply(new).tolist() == expected
        # At a threshold, and closer to it than single precision tells.
        thresholds = fitted.tree_.threshold[fitted.tree_.feature == 1]
        near = [value + step for value in thresholds for step in (-1e-12, 0, 1e-12)]
        table = pd.DataFrame({"age": 40.0, "lactate": near, "ward": "a"})
        expected = [f"leaf {leaf}, ward a" for leaf in fitted.apply(table[columns])]
        assert again.apply(table).tolist() == expected

    def test_others_stay_in_memory(self) -> None:
        mixture = pytest.importorskip("sklearn.mixture")
        frame, columns = self.frame(), ["age", "lactate"]
        fitted = mixture.GaussianMixture(3, random_state=0).fit(frame[columns])
        recoding = states(frame, (columns, fitted))
        labels = recoding.apply(frame).tolist()
        assert labels == [f"class {number}" for number in fitted.predict(frame[columns])]
        # It is frozen: a later fit of the same estimator does not reach it.
        fitted.fit(measured(seed=9)[columns] * 2)
        assert recoding.apply(frame).tolist() == labels
        with pytest.raises(TypeError, match=r"GaussianMixture are not written to files.*recoding="):
            recoding.to_json()

    def test_refusals(self) -> None:
        tree = pytest.importorskip("sklearn.tree")
        frame = self.frame()
        with pytest.raises(ValueError, match="DecisionTreeClassifier is not fitted"):
            states(frame, (["age"], tree.DecisionTreeClassifier()))
        fitted = tree.DecisionTreeClassifier(max_depth=2).fit(frame[["age", "lactate"]], frame["ward"])
        with pytest.raises(ValueError, match="was fitted to age, lactate; got lactate, age"):
            states(frame, (["lactate", "age"], fitted))
        with pytest.raises(ValueError, match=r"row 2: lactate is missing; give it a value, leave the row out$"):
            states(frame, (["age", "lactate"], fitted)).apply(
                frame.assign(lactate=frame["lactate"].mask(frame.index == 2))
            )


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab:(),=\"'-.019 einfbsclsdmgqut\n"), max_size=30) | st.text(max_size=20))
def test_any_text_is_a_part_or_refused(text: str) -> None:
    for written in (text, f"x:bins({text})", f"x:categories({text})", f"x:quantiles({text})"):
        try:
            part = part_from_text(written)
        except ValueError as error:
            assert str(error)
        else:
            assert part.columns[0] and len(set(part.labels)) == len(part.labels)
