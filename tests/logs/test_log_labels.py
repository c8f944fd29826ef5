"""Labels as a source writes them: exact or refused, in the order that is declared."""

import unicodedata

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr

from bayesmdp import infer, mdp_from_log
from bayesmdp.logs.compress import compress
from bayesmdp.logs.read_log import read_log
from bayesmdp.problems.labels import label_array

HASHES = [2**63, 2**63 + 1, 2**64 - 1]
MIXED = [1, 2**63, 2**63 + 1]


def frame(state, next_state=None, action=None, reward=0.0):
    columns = {"state": state, "action": "go" if action is None else action, "reward": reward}
    return pd.DataFrame(columns | {"next_state": state if next_state is None else next_state})


def of_size(states):
    """A Dirichlet model of so many states and one action."""

    def model(data):
        transition = numpyro.sample("transition", dist.Dirichlet(np.ones((states, 1, states))).to_event(2))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    return model


def sources(table, folder):
    table.to_csv(folder / "log.csv", index=False)
    table.to_csv(folder / "log.tsv", index=False, sep="\t")
    table.to_csv(folder / "log.csv.gz", index=False)
    table.to_parquet(folder / "log.parquet")
    yield from (folder / "log.csv", folder / "log.tsv", folder / "log.csv.gz", folder / "log.parquet")
    yield table
    yield table.astype(object)
    yield table.convert_dtypes()
    yield table.astype({"state": "category"})
    yield table.to_xarray()
    yield xr.Dataset({name: ("step", table[name].to_numpy()) for name in table}, attrs={"states": [1, 2**63]})


@pytest.mark.parametrize("labels", [HASHES, MIXED, [2**53 + 1, 2**53 + 2, 2**62 + 1], [-(2**63), 0, 2**63 - 1]])
@pytest.mark.parametrize("column", ["state", "action", "next_state"])
def test_large_numbers_are_read_exactly(labels, column, tmp_path):
    dtype = np.uint64 if max(labels) >= 2**63 else np.int64
    written = np.array(labels, dtype)
    table = frame(np.arange(3)).assign(**{column: written})
    for source in sources(table, tmp_path):
        log = read_log(source, gaps="allow")
        assert [str(label) for label in log[column].values.tolist()] == list(map(str, labels))
        assert {str(label) for label in labels} <= set(
            map(str, log.attrs["actions" if column == "action" else "states"])
        )
        assert len(compress(log).weight) == 3  # none run together


def test_a_problem_keeps_large_numbers_apart():
    log = read_log(frame(np.array(MIXED, np.uint64)), gaps="allow")
    assert mdp_from_log(log, discount=0.9).states == tuple(MIXED)
    for labels, kind in ((MIXED, "u"), (HASHES, "u"), ([-1, 1], "i"), ([-1, 2**63], "O"), ([2**64, 1], "O")):
        array = label_array(labels)
        assert array.dtype.kind == kind
        assert array.tolist() == labels
    assert label_array([-1, 2**63], text=True).tolist() == ["-1", str(2**63)]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (np.array([1.0, 2.0**53 + 2]), r"row 1: state is 9007199254740994.0, a float, which cannot tell it from its"),
        (np.array([1.0, 2.0**63]), "row 1: .* keep whole numbers as int, or as text"),
        (np.array([1, 2**24 + 2], np.float32), "row 1: state is 16777218.0, a float"),
        (np.array([1, np.float32(2**24 + 2)], object), "row 1: .* a float"),
        (pd.array([1.0, 2.0**60], dtype="Float64"), "row 1: .* a float"),
        (pd.Categorical([1.0, 2.0**60]), "row 1: .* a float"),
        (np.array([-1, 2**63], object), "row 1: state is 9223372036854775808, too large to stand beside -1; .*astype"),
        (np.array([2**64, 1], object), "row 0: state is 18446744073709551616, too large for a whole number"),
    ],
)
def test_numbers_that_no_array_holds_are_refused(state, told):
    with pytest.raises(ValueError, match=told):
        read_log(frame(state), gaps="allow")


def test_floats_that_are_exact_are_labels():
    exact = [0.0, 2.0**53 - 1, 1 - 2.0**53]  # 2**53 may have been the next number
    assert read_log(frame(np.array(exact)), gaps="allow")["state"].values.tolist() == [int(x) for x in exact]


def test_a_log_whose_columns_were_rounded_is_refused():
    """NumPy makes floats of ints below and above 2**63, and these are no labels of a set of ints."""
    column = ("step", np.array([1, 2**63 + 1]))
    log = xr.Dataset(
        {"state": column, "action": ("step", [0, 0]), "reward": ("step", [0.0, 0.0]), "next_state": column}
    )
    with pytest.raises(ValueError, match=r"log state at step 1 is 9[^,]*, which is no state"):
        compress(log.assign_attrs(states=[1, 2**63, 2**63 + 1], actions=[0]))


def test_declared_labels_are_taken_in_their_order(tmp_path):
    table = frame(["well", "ill"], ["ill", "well"], ["wait", "treat"])
    declared = {"states": ["well", "ill", "severe"], "actions": np.array(["wait", "treat", "operate"])}
    for source in sources(table, tmp_path):
        log = read_log(source, **declared)
        assert log.attrs["states"] == ["well", "ill", "severe"]
        assert log.attrs["actions"] == ["wait", "treat", "operate"]
        rows = compress(log)
        assert sorted(zip(rows.state, rows.action, rows.next_state, strict=True)) == [(0, 0, 1), (1, 1, 0)]
    problem = mdp_from_log(log, discount=0.9)
    assert problem.states == ("well", "ill", "severe")
    assert (problem.successor[2] == -1).all()  # nothing is known of what was never seen
    with pytest.raises(ValueError, match="state 'severe' was never acted in"):
        mdp_from_log(log, discount=0.9, elsewhere="none")


def test_declared_labels_say_what_digits_are(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("state,action,reward,next_state\n1,0,0,2\n2,0,0,1\n")
    assert read_log(path, states=[2, 1, 0])["state"].values.tolist() == [1, 2]
    log = read_log(path, states=["2", "1", "10"])
    assert log["state"].values.tolist() == ["1", "2"]
    assert log.attrs["states"] == ["2", "1", "10"]
    path.write_text(f"state,action,reward,next_state\n{2**63},0,0,1\n1,0,0,0.5\n")
    with pytest.raises(ValueError, match=r"line 3: next_state is '0.5'"):
        read_log(path, states=[1, 2**63])
    path.write_text(f"state,action,reward,next_state\n{2**63},0,0,1\n1,0,0,1\n")
    assert read_log(path, states=[1, 2**63])["state"].values.tolist() == [2**63, 1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"states": ["a"]}, "row 1: state is 'b', none of the 1 states declared: 'a'; .* declare it with states="),
        ({"states": [0, 1]}, "row 0: state is 'a', none of the 2 states declared: 0, 1"),
        ({"actions": ["stop"]}, "row 0: action is 'go', none of the 1 actions declared: 'stop'.* with actions="),
        ({"states": []}, "states declares no label"),
        ({"states": "ab"}, "states must be a list of labels; got 'ab'"),
        ({"states": 2}, "states must be a list of labels; got 2"),
        ({"states": ["a", "b", "a"]}, r"states\[2\] is 'a', which stands at 0 already"),
        ({"states": ["a", 1]}, r"states\[1\] is 1 and states\[0\] is 'a'; use one kind"),
        ({"states": [True]}, r"states\[0\] is True, where labels are whole numbers or text"),
        ({"actions": [0.5]}, r"actions\[0\] is 0.5, where labels are whole"),
    ],
)
def test_what_is_not_declared_is_refused(options, told):
    with pytest.raises((ValueError, TypeError), match=told):
        read_log(frame(["a", "b"]), gaps="allow", **options)


def test_categories_keep_their_order_and_those_never_seen(tmp_path):
    grades = ["well", "ill", "severe"]
    both = pd.Categorical(["well", "ill"], grades, ordered=True), pd.Categorical(["ill", "well"], grades, ordered=True)
    table = frame(*both, pd.Categorical(["wait", "treat"], ["wait", "treat", "operate"], ordered=True))
    table.to_parquet(tmp_path / "log.parquet")
    for source in (table, tmp_path / "log.parquet"):
        assert read_log(source).attrs["states"] == grades
    assert read_log(table).attrs["actions"] == ["wait", "treat", "operate"]
    # A column without them, or with fewer, follows the other's order.
    assert read_log(table.assign(next_state=["ill", "well"])).attrs["states"] == grades
    fewer = pd.Categorical(["ill", "well"], ["well", "ill"])
    assert read_log(table.assign(next_state=fewer)).attrs["states"] == grades
    # The caller's word goes before them.
    assert read_log(table, states=["ill", "well"]).attrs["states"] == ["ill", "well"]
    # Orders are brought together where they do not contradict each other.
    longer = pd.Categorical(["ill", "dead"], ["ill", "severe", "dead"], ordered=True)
    assert read_log(table.assign(next_state=longer), gaps="allow").attrs["states"] == [*grades, "dead"]
    text = read_log(table.assign(next_state=["ill", "end"]), gaps="allow")
    assert text.attrs["states"] == [*grades, "end"]
    other = pd.Categorical(["ill", "well"], ["ill", "well", "severe"], ordered=True)
    with pytest.raises(ValueError, match=r"categories of state and next_state .* contradict each other; .* states="):
        read_log(table.assign(next_state=other))
    # What a filtered frame has lost is no state.
    filtered = pd.Categorical(["b", "a"], ["a", "b", "lost"])
    assert read_log(frame(filtered, filtered), gaps="allow").attrs["states"] == ["a", "b"]
    without = frame(pd.Categorical(["b", "a"]), pd.Categorical(["a", "c"]))
    assert read_log(without, gaps="allow").attrs["states"] == ["a", "b", "c"]
    numbers = frame(pd.Categorical([2, 0], [2, 1, 0], ordered=True))
    assert read_log(numbers, gaps="allow").attrs["states"] == [2, 1, 0]


def test_how_a_file_packs_a_column_is_no_order(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    packed = pa.array(["b", "a"]).dictionary_encode()
    columns = {"state": packed, "action": packed, "reward": pa.array([0.0, 0.0]), "next_state": packed}
    parquet.write_table(pa.table(columns), tmp_path / "log.parquet")
    assert read_log(tmp_path / "log.parquet", gaps="allow").attrs["states"] == ["a", "b"]


def test_one_name_coded_in_two_ways_is_refused(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "fièvre") for form in ("NFC", "NFD"))
    assert composed != decomposed
    table = frame(["sain", composed], [decomposed, "sain"])
    for source in sources(table, tmp_path):
        with pytest.raises(ValueError, match=r"next_state is 'fie\\u0300vre', which elsewhere is 'fi\\xe8vre'.*'NFC'"):
            read_log(source)
    with pytest.raises(ValueError, match="coded in two ways"):
        read_log(frame([composed, "a"]), states=[decomposed, "a"], gaps="allow")
    for name in (composed, decomposed):
        assert read_log(frame([name, "a"]), gaps="allow").attrs["states"] == ["a", name]


@pytest.mark.parametrize("dtype", [bool, object, "boolean", "bool[pyarrow]"])
def test_rewards_may_be_true_or_false(dtype, tmp_path):
    table = frame(["a", "a"], reward=pd.array([True, False], dtype=dtype))
    for source in sources(table.astype({"reward": bool}), tmp_path):
        assert read_log(source)["reward"].values.tolist() == [1, 0]
    assert read_log(table)["reward"].values.tolist() == [1, 0]


def test_the_error_about_a_models_sizes_says_how_to_declare_labels():
    log = read_log(frame(["well", "ill"], ["ill", "well"]))
    model = of_size(3)
    with pytest.raises(ValueError, match=r"log's labels say \(2, 1, 2\).*read_log\(states=\[...\], actions=\[...\]\)"):
        infer(model, log)
    declared = read_log(frame(["well", "ill"], ["ill", "well"]), states=["well", "ill", "severe"])
    posterior = infer(model, declared, draws=0)
    assert posterior["parameters"]["state"].values.tolist() == ["well", "ill", "severe"]
    assert posterior["parameters"]["transition"].sel(state="well", next_state="ill").values.item() == 2


def test_an_error_about_a_column_left_out_says_so():
    log = read_log(frame(["well", "ill"], ["ill", "well"]).assign(group=[0, 1]))

    def grouped(data):
        return data.group

    with pytest.raises(
        AttributeError, match=r"'group'.* which read_log left out: name it in read_log\(covariates=\['group'\]\)"
    ):
        infer(grouped, log)
    with pytest.raises(AttributeError) as other:
        infer(lambda data: data.age, log)
    assert "left out" not in str(other.value)
