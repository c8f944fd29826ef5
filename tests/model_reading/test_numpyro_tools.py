"""Everything that NumPyro and ArviZ offer works on a model before, between and after `infer`, in 32 and in 64 bits."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import log_likelihood
from scipy import stats

import bayesmdp as bm
from bayesmdp.foundation.widths import keep_widths_apart
from bayesmdp.model_reading.rows import PLATE
from tests.numpyro_tools import CASES, LOG, RIVER, TOOLS, closed_over, failures, nuts, of_log


@pytest.mark.parametrize(
    ("name", "ours_first", "wide"),
    [
        pytest.param("current", True, False, marks=pytest.mark.slow),
        pytest.param("closed over", True, False, marks=pytest.mark.slow),
        ("closed over", False, False),
        pytest.param("closed over", False, True, marks=pytest.mark.slow),
    ],
)
def test_the_cheap_tools_work_before_and_after_ours(name: str, ours_first: bool, wide: bool) -> None:
    cheap = {tool: TOOLS[tool] for tool in ("log_likelihood", "log_density")}
    with jax.enable_x64(wide):
        assert failures(name, cheap, ours_first=ours_first) == []


@pytest.mark.slow
@pytest.mark.parametrize(("first", "wide"), [("ours", "0"), ("theirs", "1")], ids=["32 bits", "64 bits"])
def test_all_tools_on_all_models(first: str, wide: str) -> None:
    """In a process of its own, with the width that a user sets there.

    Programs are left as they are written: it is a third of the time, and what works does not hang on how fast.
    """
    told = subprocess.run(
        [sys.executable, "-m", "tests.numpyro_tools", first],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "JAX_ENABLE_X64": wide, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == "none", told.stdout + told.stderr[-2_000:]


def test_the_sweep_leaves_no_shipped_prior_out() -> None:
    elsewhere = {"gaussian_q_hierarchy", "gaussian_q_tasks"}  # of what tasks left behind; a distribution, without rows
    assert set(bm.models.PRIORS) - elsewhere <= set(CASES)


@pytest.mark.parametrize("wide_first", [True, False])
def test_an_array_is_read_at_the_width_of_the_moment(wide_first: bool) -> None:
    keep_widths_apart()
    array, kept = np.full(3, 0.1), []
    for wide in (wide_first, not wide_first, wide_first):
        with jax.enable_x64(wide):
            # A program that holds the array, kept, and another that meets it afterwards.
            kept.append(jax.jit(lambda: jnp.sum(array)).trace())
            found = float(jax.jit(lambda: jnp.sum(array))())
        assert (found == 0.1 + 0.1 + 0.1) is wide
        np.testing.assert_allclose(found, 0.3, rtol=1e-6)
    assert not keep_widths_apart()  # once is enough


def test_log_likelihoods_after_ours_are_those_of_the_table() -> None:
    case = of_log(closed_over())
    posterior = bm.infer(case.model, case.log, mdp=case.mdp, draws=8)
    rows = posterior.posterior["transition"].values.reshape(8, 6, 2, 6)
    found = log_likelihood(case.model, {"transition": rows.astype(np.float32)}, case.data)["next_state"]
    data = case.data
    np.testing.assert_allclose(found, np.log(rows[:, data.state, data.action, data.next_state]), rtol=1e-5)


@pytest.mark.slow
def test_arviz_reads_the_axes_of_a_model_with_rows() -> None:
    import arviz as az

    case = of_log(closed_over())
    bm.infer(case.model, case.log, mdp=case.mdp, draws=0)
    mcmc = nuts(case)
    tree = az.from_numpyro(mcmc)
    assert tree.posterior["transition"].dims[:4] == ("chain", "draw", "state", "action")
    assert tree.observed_data["next_state"].dims == (PLATE,)
    # Another log of the same model, whose rows weigh differently, is compared with this one by value.
    case.data.weight[:] = 1 + np.arange(len(case.data.weight))
    assert az.from_numpyro(mcmc).posterior.sizes == tree.posterior.sizes


def test_the_weights_scale_the_density_as_they_count() -> None:
    """By hand: a Beta prior and 3 and 2 steps."""

    def model(data: Any) -> None:
        x = numpyro.sample("x", dist.Beta(2.0, 3.0))
        with data.rows(), numpyro.handlers.scale(scale=np.array([1.0, 2.0])):
            numpyro.sample("went", dist.Bernoulli(x), obs=data.next_state)

    rows = bm.Transitions(*np.zeros((2, 2), int), np.array([0, 1]), np.zeros(2), np.array([3.0, 2.0]))
    with jax.enable_x64(True):
        density, _ = numpyro.infer.util.log_density(model, (rows,), {}, {"x": 0.3})
    by_hand = stats.beta.logpdf(0.3, 2, 3) + 3 * np.log(0.7) + 2 * 2 * np.log(0.3)
    np.testing.assert_allclose(density, by_hand, rtol=1e-14)


def _with_site(name: str, *, observed: bool) -> Any:
    def model(data: Any) -> None:
        if not observed:
            numpyro.sample(name, dist.Normal(0.0, 1.0))
        with numpyro.plate("state", 6, dim=-2), numpyro.plate("action", 2, dim=-1):
            transition = numpyro.sample("transition", dist.Dirichlet(np.ones(6)))
        went = name if observed else "went"
        with data.rows():
            numpyro.sample(went, dist.Categorical(transition[data.state, data.action]), obs=data.next_state)

    return model


ENGINES = ("smc", "nuts", "compare")
NAMES = ("row", "next_state", "outcome", "chain", "draw", "parameter", "reward", "weight", "seen", "data", "step")


@pytest.mark.parametrize("name", ["row", "reward", "draw"])
def test_an_observed_site_may_have_almost_any_name(name: str) -> None:
    tree = bm.infer(_with_site(name, observed=True), LOG, mdp=RIVER, draws=0)
    assert tree.attrs["engine"] == "exact"


@pytest.mark.parametrize("observed", [True, False])
@pytest.mark.parametrize("name", [PLATE, "state", "action"])
def test_a_site_with_the_name_of_a_plate_is_refused(name: str, observed: bool) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is the name of a site and of a plate") as refused:
        bm.infer(_with_site(name, observed=observed), LOG, mdp=RIVER, draws=4, method="nuts", num_warmup=2)
    assert ("the one that data.rows() enters" in str(refused.value)) == (name == PLATE)


# One function lays out what any engine draws, so that two names, one of them an axis of draws, stand for all.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "method"),
    [*((name, "exact") for name in NAMES), *((name, engine) for name in ("row", "draw") for engine in ENGINES)],
)
def test_an_observed_site_may_have_almost_any_name_in_all_engines(name: str, method: str) -> None:
    model = _with_site(name, observed=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*diverged", RuntimeWarning)
        if method == "compare":
            table = bm.compare_priors(LOG, {"named": model, "plain": _with_site("went", observed=True)}, mdp=RIVER)
            assert table["log_evidence"].nunique() == 1
        else:
            assert bm.infer(model, LOG, mdp=RIVER, draws=8, num_warmup=8, method=method).attrs["engine"] == method


def test_a_column_that_a_model_may_not_read_is_told() -> None:
    def model(data: Any) -> None:
        numpyro.sample("level", dist.Normal(0, 1), obs=data.group)

    told = (
        r"no 'group': a model may read state, action, next_state, reward, weight of them.* Other columns of a log are"
    )
    log = LOG.assign(group=("step", np.zeros(LOG.sizes["step"])))
    with pytest.raises(AttributeError, match=told):
        bm.infer(model, log, mdp=RIVER)
    with pytest.raises(AttributeError, match="may read stage, features, target, weight of them"):
        _ = bm.Targets(*np.zeros((4, 1))).group


def _looking_up(how: str) -> Any:
    table = np.zeros((6, 2))

    def model(data: Any) -> None:
        with numpyro.plate("state", 6, dim=-2), numpyro.plate("action", 2, dim=-1):
            transition = numpyro.sample("transition", dist.Dirichlet(np.ones(6)))
        if how == "too many":
            row = transition[data.state, data.action, data.next_state, 0]
        elif how == "swapped":
            row = table[1, 5]
        else:
            row = table[data.state, data.action]
        with data.rows():
            chances = transition[data.state, data.action] + 0 * jnp.sum(row)
            numpyro.sample("went", dist.Categorical(chances), obs=data.next_state)

    return model


@pytest.mark.parametrize(
    ("how", "kind", "told"),
    [
        (
            "too many",
            IndexError,
            r"line \d+: row = .*4 were indexed\. .* are transition \(6, 2, 6\); transition is \[state",
        ),
        (
            "swapped",
            IndexError,
            r"index 5 is out of bounds for axis 1 with size 2\. .* a row's is transition\[data.state",
        ),
        ("NumPy", TypeError, r"row = table\[data.state, data.action\]: .* wrap it, as in jnp.asarray\(table\)"),
    ],
)
def test_lookups_that_fail_are_told_with_their_line(how: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        bm.infer(_looking_up(how), LOG, mdp=RIVER, draws=0)
