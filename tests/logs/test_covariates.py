"""Covariates: kept where they are asked for, read by models, and exact where there is a truth."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayesmdp as bm
from bayesmdp.cli.app import app
from bayesmdp.logs.covariates import covariates_of
from bayesmdp.logs.read_log import read_log

HOSPITALS = ["east", "north", "west"]


def frame(rows: int = 400) -> pd.DataFrame:
    """A machine that is repaired in three places, each with a chance of its own."""
    rng = np.random.default_rng(0)
    place, action = rng.integers(0, 3, rows), rng.integers(0, 2, rows)
    works = np.where(action == 1, rng.random(rows) < np.array([0.2, 0.5, 0.9])[place], rng.random(rows) < 0.5)
    return pd.DataFrame(
        {
            "state": "broken",
            "action": np.array(["wait", "repair"])[action],
            "reward": 0.0,
            "next_state": np.where(works, "good", "broken"),
            "hospital": np.array(HOSPITALS)[place],
            "load": rng.integers(0, 2, rows),
            "age": np.round(rng.random(rows), 2),
        }
    )


def log_of(data: pd.DataFrame, *covariates: str) -> xr.Dataset:
    return read_log(data, states=["broken", "good"], actions=["wait", "repair"], covariates=covariates, gaps="allow")


def by_hospital(data: Any) -> None:
    """Each hospital's chance that a repair works; what is planned with is that of the west."""
    works = numpyro.sample("works", dist.Beta(1, 1).expand([3]))
    waits = numpyro.sample("waits", dist.Beta(1, 1))

    def kernel(chance: Any) -> Any:
        broken = jnp.stack([jnp.stack([1 - waits, waits]), jnp.stack([1 - chance, chance])])
        return jnp.stack([broken, jnp.array([[0.0, 1.0], [0.0, 1.0]])])

    numpyro.deterministic("transition", kernel(works[2]))
    kernels = jax.vmap(kernel)(works)
    with data.rows():
        rows = kernels[data.hospital, data.state, data.action]
        numpyro.sample("next_state", dist.Categorical(rows), obs=data.next_state)


def test_labels_are_positions_and_numbers_are_numbers() -> None:
    data = frame()
    log = log_of(data, "hospital", "load", "age")
    known = covariates_of(log)
    np.testing.assert_array_equal(known["hospital"], [HOSPITALS.index(name) for name in data["hospital"]])
    np.testing.assert_array_equal(known["load"], data["load"])
    np.testing.assert_array_equal(known["age"], data["age"])
    assert known["load"].dtype == np.int64 and known["age"].dtype == np.float64
    assert log["hospital"].values.tolist() == data["hospital"].tolist()
    assert "left_out" not in log.attrs and log.attrs["covariates"] == ["hospital", "load", "age"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_every_source_gives_the_same(suffix: str, tmp_path: Path) -> None:
    data, path = frame(30), tmp_path / f"log{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
        data.to_parquet(path)
    else:
        data.to_csv(path, index=False)
    options: dict[str, Any] = {"covariates": ["hospital", "age"], "gaps": "allow"}
    mine, theirs = (covariates_of(read_log(source, **options)) for source in (path, data))
    np.testing.assert_equal(mine, theirs)


def test_rows_are_distinct_in_what_the_model_reads_and_the_posterior_is_exact() -> None:
    data = frame()
    posterior = bm.infer(by_hospital, log_of(data, "hospital", "age"), draws=400, seed=0)
    assert posterior.attrs["engine"] == "exact"
    tries = data[data.action == "repair"].groupby("hospital")["next_state"]
    worked = tries.apply(lambda column: int((column == "good").sum())).to_numpy()
    expected = np.stack([1 + worked, 1 + tries.size().to_numpy() - worked], -1)
    np.testing.assert_allclose(posterior["parameters"]["works"], expected, rtol=1e-12)
    rows = posterior["constant_data"]
    assert set(rows["hospital"].values.tolist()) == {0, 1, 2} and "age" not in rows
    assert rows.sizes["row"] == 3 * 2 * 2 and float(rows["weight"].sum()) == len(data)
    # Sites that are computed are computed without rows, and drawn again from what is kept.
    again = bm.draw(posterior, 400, model=by_hospital)["posterior"]
    for drawn in (posterior["posterior"], again):
        np.testing.assert_allclose(drawn["transition"].values[..., 0, 1, 1], drawn["works"].values[..., 2], rtol=1e-12)
    mdp = bm.MDP(reward=[0.0, 1.0], discount=0.9, states=["broken", "good"], actions=["wait", "repair"])
    assert bm.plan(posterior, mdp)["policy"].values[0] == "repair"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["smc", "nuts"])
def test_other_engines_agree(method: str) -> None:
    log = log_of(frame(60), "hospital")
    exact, other = (
        bm.infer(by_hospital, log, method=each, draws=1_000, seed=1)["posterior"]["works"].mean(("chain", "draw"))
        for each in ("exact", method)
    )
    np.testing.assert_allclose(other, exact, atol=0.03)


def test_rewards_of_different_covariates_are_not_merged() -> None:
    def paid_by_hospital(data: Any) -> None:
        numpyro.deterministic("transition", jnp.full((2, 2, 2), 0.5))
        level = numpyro.sample("level", dist.Normal(0, 1).expand([3]))
        with data.rows():
            numpyro.sample("paid", dist.Normal(level[data.hospital], 1.0), obs=data.reward)

    data = frame(90)
    data["reward"] = np.random.default_rng(1).normal(data["hospital"].map(HOSPITALS.index), 1.0)
    posterior = bm.infer(paid_by_hospital, log_of(data, "hospital"), draws=0)
    by = data.groupby("hospital")["reward"]
    np.testing.assert_allclose(
        posterior["parameters"]["level"].sel(parameter="mean"), by.sum() / (1 + by.size()), rtol=1e-9
    )


def test_priors_are_compared_by_what_they_read() -> None:
    def alike(data: Any) -> None:
        works, waits = (numpyro.sample(name, dist.Beta(1, 1)) for name in ("works", "waits"))
        broken = jnp.stack([jnp.stack([1 - waits, waits]), jnp.stack([1 - works, works])])
        transition = numpyro.deterministic("transition", jnp.stack([broken, jnp.array([[0.0, 1.0], [0.0, 1.0]])]))
        with data.rows():
            row = transition[data.state, data.action]
            numpyro.sample("next_state", dist.Categorical(row), obs=data.next_state)

    table = bm.compare_priors(log_of(frame(), "hospital"), {"alike": alike, "by hospital": by_hospital})
    assert table.index[0] == "by hospital" and table["log_evidence"].notna().all()


def test_what_is_wrong_is_named() -> None:
    data = frame(20)
    for names, error, message in (
        (["hospitals"], ValueError, "no column 'hospitals' for a covariate; did you mean 'hospital'"),
        ("hospital", TypeError, r"must be a list of names; got 'hospital': write \['hospital'\]"),
        (["action"], ValueError, "a model cannot read data.action"),
    ):
        with pytest.raises(error, match=message):
            read_log(data, covariates=names, gaps="allow")
    with pytest.raises(ValueError, match=r"cannot read data\.count"):
        read_log(data.rename(columns={"load": "count"}), covariates=["count"], gaps="allow")
    with pytest.raises(ValueError, match=r"the DataFrame row 3: the covariate 'age' is missing"):
        read_log(data.assign(age=data["age"].where(data.index != 3)), covariates=["age"], gaps="allow")
    with pytest.raises(
        AttributeError, match=r"which read_log left out: name it in read_log\(covariates=\['hospital'\]\)"
    ):
        bm.infer(by_hospital, log_of(data))
    # Agents have none.
    river = bm.environments.riverswim(3)
    with pytest.raises(AttributeError, match="an agent's experience has none"):
        bm.simulate(river, {"A": bm.agents.psrl(by_hospital)}, steps=5, replicates=1)
    # A label beyond those that the model knows.
    with pytest.raises(IndexError, match="index 3 along axis 0"):
        bm.infer(by_hospital, log_of(data.assign(hospital=np.tile(["a", "b", "c", "d"], 5)), "hospital"))


PRIOR = """
import numpy as np
import numpyro
import numpyro.distributions as dist


def by_hospital(mdp):
    shape = mdp.sizes

    def model(data):
        kernels = numpyro.sample("kernels", dist.Dirichlet(np.ones((3, *shape))).to_event(3))
        numpyro.deterministic("transition", kernels[2])
        with data.rows():
            rows = kernels[data.hospital, data.state, data.action]
            numpyro.sample("next_state", dist.Categorical(rows), obs=data.next_state)

    return model
"""


def test_from_the_command_line(tmp_path: Path) -> None:
    data = frame(200).assign(terminated=lambda data: data["next_state"] == "good")
    data.to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "prior.py").write_text(PRIOR)
    options = {
        "--prior": tmp_path / "prior.py:by_hospital",
        "--covariate": "hospital",
        "--gaps": "allow",
        "--out": tmp_path / "plan.nc",
        "--elsewhere": "none",
    }
    command = [
        "plan",
        tmp_path / "log.csv",
        "--no-calibration",
        *(part for option in options.items() for part in option),
    ]
    told = CliRunner().invoke(app, list(map(str, command)))
    assert told.exit_code == 0, told.output
    with xr.open_datatree(tmp_path / "plan.nc") as plan:
        assert set(plan["constant_data"]["hospital"].values.tolist()) == {0, 1, 2}
        # One row of an outcome for each hospital and each pair that was tried.
        assert plan["posterior/parameters" if "posterior/parameters" in plan else "parameters"]["kernels"].ndim == 4
