"""The analysis against NumPy and SciPy, written out, on synthetic results; and against hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from bayesmdp.results import analysis
from tests.synthetic import synthetic_result

DIMS = ("agent", "replicate", "step")


@pytest.fixture(scope="module")
def result() -> xr.DataTree:
    return synthetic_result(3, replicates=7, steps=120, seed=3)


def t_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    return scipy.stats.t.interval(confidence, len(values) - 1, values.mean(), scipy.stats.sem(values))


def made(**variables: np.ndarray) -> xr.Dataset:
    """A Dataset of the form of results from arrays [agent, replicate, step]."""
    shape = next(iter(variables.values())).shape
    coords = {"agent": [f"agent {i}" for i in range(shape[0])], "step": np.arange(1, shape[2] + 1)}
    return xr.Dataset({name: (DIMS, values) for name, values in variables.items()}, coords, {"thin": 1})


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_regret_curve_is_a_t_interval_at_each_step(result: xr.DataTree, confidence: float) -> None:
    curve = analysis.regret_curve(result, confidence=confidence)
    cumulative = result["regret"].values.cumsum(-1)
    assert curve["mean"].dims == ("agent", "step")
    for i, j in ((0, 0), (1, 57), (2, 119)):
        lower, upper = t_interval(cumulative[i, :, j], confidence)
        at = curve.isel(agent=i, step=j)
        np.testing.assert_allclose(
            [at["mean"], at["lower"], at["upper"]], [cumulative[i, :, j].mean(), lower, upper], rtol=1e-10
        )
    np.testing.assert_array_equal(curve["step"], result["step"])


def measured(result: xr.DataTree, seed: int = 5) -> xr.DataTree:
    """The results with robust regret, some of it negative, and posterior quantile values, of random numbers."""
    rng = np.random.default_rng(seed)
    agents, replicates = result.sizes["agent"], result.sizes["replicate"]
    robust = result["regret"].values - rng.uniform(0, 3, result["regret"].shape)
    values = np.cumsum(rng.uniform(0, 1, (agents, replicates, 4)), -1)
    root = result.to_dataset().assign(
        robust_regret=(DIMS, robust), quantile_value=(("agent", "replicate", "checkpoint"), values)
    )
    root = root.assign_coords(checkpoint=result["step"].values[-1] // 4 * np.arange(1, 5))
    root.attrs["robust"] = '{"level": 0.1, "draw_scale": 68.0}'
    return xr.DataTree(root)


def test_robust_regret_is_analysed_as_regret_is(result: xr.DataTree) -> None:
    both = measured(result)
    swapped = xr.DataTree(both.to_dataset().assign(regret=both["robust_regret"]))
    for function, given in (
        (analysis.regret_curve, {}),
        (analysis.final_regret, {}),
        (analysis.compare, {"baseline": "PSRL"}),
    ):
        one = function(both, quantity="robust_regret", **given)  # type: ignore[operator]
        xr.testing.assert_equal(one, function(swapped, **given))  # type: ignore[operator]
    assert analysis.regret_curve(both, quantity="robust_regret").attrs["quantity"] == "robust_regret"
    with pytest.raises(ValueError, match="no 'robust_regret'; it holds"):
        analysis.final_regret(result, quantity="robust_regret")


def test_quantile_values_are_t_intervals_at_each_checkpoint(result: xr.DataTree) -> None:
    both = measured(result)
    curve = analysis.quantile_value_curve(both)
    assert curve["step"].values.tolist() == [30, 60, 90, 120] and curve.attrs["level"] == 0.1
    sample = both["quantile_value"].values[1, :, 2]
    at = curve.isel(agent=1, step=2)
    np.testing.assert_allclose([at["mean"], at["lower"], at["upper"]], [sample.mean(), *t_interval(sample)], rtol=1e-10)
    with pytest.raises(ValueError, match=r"no 'quantile_value'; it is measured by simulate\(\.\.\., robust="):
        analysis.quantile_value_curve(result)


@pytest.mark.parametrize("window", [1, 7, 120])
def test_moving_average_is_a_convolution(result: xr.DataTree, window: int) -> None:
    average = analysis.moving_average_reward(result, window=window)
    each = np.array(
        [[np.convolve(run, np.ones(window) / window, "valid") for run in runs] for runs in result["reward"].values]
    )
    np.testing.assert_allclose(average["mean"], each.mean(1), atol=1e-12)
    np.testing.assert_array_equal(average["step"], np.arange(window, 121))
    lower, upper = t_interval(each[1, :, -1])
    np.testing.assert_allclose(
        average.isel(agent=1, step=-1)[["lower", "upper"]].to_array(), [lower, upper], atol=1e-12
    )


def test_thinned_results_agree_with_full_ones_at_the_recorded_steps() -> None:
    full, thinned = synthetic_result(2, steps=120), synthetic_result(2, steps=120, thin=5)
    recorded = np.arange(5, 121, 5)
    for function, options in (
        (analysis.regret_curve, {}),
        (analysis.moving_average_reward, {"window": 20}),
        (analysis.final_regret, {}),
    ):
        expected = function(full, **options)
        if "step" in expected.dims:
            expected = expected.sel(step=recorded[recorded >= expected["step"].values[0]])
        xr.testing.assert_allclose(function(thinned, **options), expected)
    assert float(analysis.summary(thinned)["reward"][0]) == pytest.approx(float(analysis.summary(full)["reward"][0]))


@pytest.mark.parametrize(("steps", "thin", "bins"), [(120, 1, 10), (120, 1, 7), (120, 5, 10), (120, 40, 50)])
def test_occupancy_counts_every_recorded_state_once(steps: int, thin: int, bins: int) -> None:
    result = synthetic_result(2, steps=steps, thin=thin, states=4)
    shares = analysis.occupancy(result, bins=bins)
    state, step = result["state"].values, result["step"].values
    assert shares["start"].values[0] == 0
    assert shares["stop"].values[-1] == steps
    np.testing.assert_array_equal(shares["start"].values[1:], shares["stop"].values[:-1])
    for j, (start, stop) in enumerate(zip(shares["start"].values, shares["stop"].values, strict=True)):
        inside = state[:, :, (step > start) & (step <= stop)]
        for label in range(4):
            np.testing.assert_allclose(
                shares["occupancy"].isel(bin=j).sel(state=label), (inside == label).mean((1, 2)), atol=1e-15
            )
    np.testing.assert_allclose(shares["overall"].sum("state"), 1, atol=1e-14)
    np.testing.assert_allclose(shares["overall"].sel(state=3), (state == 3).mean((1, 2)), atol=1e-15)


def test_occupancy_of_part_of_a_run(result: xr.DataTree) -> None:
    part = analysis.occupancy(result.sel(step=slice(61, 100)), bins=4)
    np.testing.assert_array_equal(part["start"], [60, 70, 80, 90])


def test_states_have_their_labels() -> None:
    result = made(state=np.array([[[0, 1, 1, 1]]]))
    result.attrs["states"] = '["bank", "river", [1, 2]]'
    shares = analysis.occupancy(result, bins=1)
    assert shares["state"].values.tolist() == ["bank", "river", "[1, 2]"]
    assert shares["overall"].values.tolist() == [[0.25, 0.75, 0.0]]


def test_compare_is_a_paired_t_interval(result: xr.DataTree) -> None:
    difference = analysis.compare(result, "BRMDP-0.1")
    assert difference["agent"].values.tolist() == ["PSRL", "BRMDP-0.3"]
    total = result["regret"].sum("step").values
    test = scipy.stats.ttest_rel(total[2], total[1])
    interval = test.confidence_interval(0.95)
    at = difference.sel(agent="BRMDP-0.3")
    np.testing.assert_allclose(at[["lower", "upper"]].to_array(), [interval.low, interval.high], rtol=1e-10)
    assert float(at["better"]) == np.mean(total[2] < total[1])
    assert difference.attrs["baseline"] == "BRMDP-0.1"


def test_compare_counts_ties_as_not_better() -> None:
    difference = analysis.compare(made(regret=np.array([[[1.0], [2.0], [3.0]], [[1.0], [1.0], [5.0]]])), "agent 0")
    assert difference["better"].values.tolist() == [1 / 3]


def test_what_is_not_known_is_not_0() -> None:
    """Where a problem has no optimal value to hold runs against, regret is NaN."""
    unknown = made(regret=np.array([[[3.0, 0.5], [2.0, 0.0]], [[np.nan, np.nan], [1.0, 0.0]]]))
    assert analysis.compare(unknown, "agent 0").isnull().all().to_array().all()
    np.testing.assert_array_equal(analysis.suboptimal_steps(unknown, 1.0)["mean"], [1.0, np.nan])
    np.testing.assert_array_equal(analysis.final_regret(unknown)["mean"], [2.75, np.nan])
    assert np.isnan(analysis.regret_curve(unknown)["upper"].values[1]).all()


@pytest.mark.parametrize(
    "objective, message", [("average", "average reward"), ("episode", "of whole episodes and not")]
)
def test_suboptimal_steps_are_of_discounted_value(objective: str, message: str) -> None:
    other = made(regret=np.ones((1, 1, 2))).assign_attrs(objective=objective)
    with pytest.raises(ValueError, match=message):
        analysis.suboptimal_steps(other, 0.1)


def test_summary_of_a_synthetic_result(result: xr.DataTree) -> None:
    told = analysis.summary(result)
    total, reward = result["regret"].sum("step").values, result["reward"].mean("step").values
    np.testing.assert_allclose(told["regret"], total.mean(1))
    np.testing.assert_allclose(told.isel(agent=2)[["reward_lower", "reward_upper"]].to_array(), t_interval(reward[2]))
    np.testing.assert_allclose(told["solves"], result["solves"].values[:, :, -1].mean(1))
    np.testing.assert_allclose(told["seconds"], np.median(result["timing/seconds"].values, axis=1))
    assert told["failures"].values.tolist() == [0, 0, 0]
    assert told.attrs["steps"] == 120


def test_summary_without_account_and_timing_has_nan() -> None:
    told = analysis.summary(made(regret=np.ones((1, 2, 3)), reward=np.ones((1, 2, 3))))
    assert [bool(told[name].isnull().all()) for name in ("solves", "failures", "seconds")] == [True] * 3


def test_summary_takes_the_time_of_the_replicates_that_were_timed(result: xr.DataTree) -> None:
    seconds = result["timing/seconds"].copy()
    seconds[:, :4] = np.nan
    resumed = xr.DataTree.from_dict({"/": result.to_dataset(), "/timing": xr.Dataset({"seconds": seconds})})
    np.testing.assert_allclose(analysis.summary(resumed)["seconds"], np.median(seconds.values[:, 4:], axis=1))


def test_one_replicate_has_no_interval_and_says_so() -> None:
    final = analysis.final_regret(synthetic_result(2, replicates=1))
    assert bool(final["mean"].notnull().all())
    assert bool(final[["lower", "upper"]].to_array().isnull().all())
    assert "one replicate" in final.attrs["interval"]


def test_the_order_of_dims_does_not_matter(result: xr.DataTree) -> None:
    turned = result.to_dataset().transpose("step", "agent", "replicate")
    xr.testing.assert_allclose(analysis.moving_average_reward(turned), analysis.moving_average_reward(result))
    xr.testing.assert_identical(analysis.occupancy(turned), analysis.occupancy(result))


def test_results_are_not_changed(result: xr.DataTree) -> None:
    before = result.copy(deep=True)
    for function in (
        analysis.regret_curve,
        analysis.moving_average_reward,
        analysis.occupancy,
        analysis.final_regret,
        analysis.summary,
    ):
        function(result)
    analysis.compare(result, "PSRL")
    xr.testing.assert_identical(result, before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: analysis.regret_curve({"regret": 1}), TypeError, "what simulate returns, a DataTree; got dict"),
        (lambda r: analysis.regret_curve(r.to_dataset()[["reward"]]), ValueError, "no 'regret'; it holds reward"),
        (lambda r: analysis.regret_curve(xr.Dataset()), ValueError, "it holds nothing"),
        (lambda r: analysis.regret_curve(r.isel(agent=0)), ValueError, r"dims \('replicate', 'step'\); expected"),
        (lambda r: analysis.regret_curve(r.isel(replicate=[])), ValueError, "empty along 'replicate'"),
        (lambda r: analysis.regret_curve(r, confidence=1.0), ValueError, "confidence must be .* got 1.0"),
        (lambda r: analysis.regret_curve(r, confidence=95), ValueError, "confidence must be .* got 95"),
        (lambda r: analysis.moving_average_reward(r, window=0), ValueError, "window must be an integer of at least 1"),
        (lambda r: analysis.moving_average_reward(r, window=2.5), ValueError, "window must be an integer.*2.5"),
        (lambda r: analysis.moving_average_reward(r, window=121), ValueError, "121 steps is longer than the run, 120"),
        (
            lambda r: analysis.moving_average_reward(synthetic_result(1, steps=120, thin=5), window=12),
            ValueError,
            "window = 12 is no multiple of thin = 5.*use 10 or 15",
        ),
        (lambda r: analysis.moving_average_reward(r.isel(step=[0, 5])), ValueError, "after step 1 one is missing"),
        (lambda r: analysis.summary(r.to_dataset().assign_attrs(thin=3)), ValueError, "thin = 3 steps apart"),
        (lambda r: analysis.occupancy(r.to_dataset().drop_attrs()), ValueError, "no attribute 'thin'"),
        (lambda r: analysis.occupancy(r, bins=-1), ValueError, "bins must be an integer of at least 1; got -1"),
        (
            lambda r: analysis.occupancy(r.to_dataset().assign_attrs(states="[0, 1]")),
            ValueError,
            "is no index of the result's 2 states",
        ),
        (lambda r: analysis.compare(r, "psrl"), KeyError, "no agent 'psrl' in the result; it has PSRL, BRMDP-0.1"),
        (lambda r: analysis.compare(r.sel(agent=["PSRL"]), "PSRL"), ValueError, "no agent but 'PSRL'"),
    ],
)
def test_bad_input_is_named(result: xr.DataTree, call, error: type[Exception], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        call(result)
