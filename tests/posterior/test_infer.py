"""From a log to a DataTree."""

from collections import Counter
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from scipy import stats

from bayesmdp.environments import riverswim
from bayesmdp.logs.compress import compress
from bayesmdp.logs.log import make_log
from bayesmdp.model_reading.rows import Transitions
from bayesmdp.models import dirichlet_transitions, river_current
from bayesmdp.posterior import NotConjugate, draw, infer
from bayesmdp.simulation.collect import collect
from tests.statistical import assert_follows, assert_means, assert_standard_normal

RIVER = riverswim(4).replace(states=("west", "ford", "mill", "east"))


def walk(steps: int = 120) -> xr.Dataset:
    rng, s, rows = np.random.default_rng(0), 0, []
    for _ in range(steps):
        a = int(rng.random() < 0.7)
        t = int(rng.choice(4, p=RIVER.transition[s, a]))
        rows.append((s, a, t))
        s = t
    s, a, t = np.array(rows).T
    return make_log(RIVER, s, a, RIVER.reward[s, a, 0], t)


LOG = walk()
COUNTS = np.zeros((4, 2, 4))
_rows = compress(LOG)
COUNTS[_rows.state, _rows.action, _rows.next_state] = _rows.weight


def drift(data: Transitions) -> None:
    """A current that is not conjugate: logistic in one normal number."""
    level = numpyro.sample("level", dist.Normal(0, 2))
    ahead = 1 / (1 + jnp.exp(-level))
    transition = jnp.full((4, 2, 4), (1 - ahead) / 3).at[:, :, 0].set(ahead)
    numpyro.deterministic("transition", transition)
    with data.rows():
        numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)


def test_exact_tree() -> None:
    tree = infer(dirichlet_transitions(RIVER, 0.5), LOG, draws=20_000, seed=1)
    assert set(tree.children) == {"posterior", "prior", "parameters", "observed_data", "constant_data"}
    transition = tree.posterior["transition"]
    assert transition.dims == ("chain", "draw", "state", "action", "next_state")
    assert transition["state"].values.tolist() == ["west", "ford", "mill", "east"]
    assert transition["action"].values.tolist() == ["left", "right"]
    assert tree.attrs["engine"] == tree.posterior.attrs["engine"] == "exact"
    assert "conjugate" in tree.attrs["reason"]
    assert tree.attrs["model"] == "dirichlet_transitions"
    assert tree.attrs["num_transitions"] == 120
    a = 0.5 + COUNTS
    np.testing.assert_array_equal(tree.parameters["transition"].transpose("state", "action", "next_state"), a)
    assert_means(transition.values.reshape(-1, 4, 2, 4), a / a.sum(-1, keepdims=True))
    assert_means(tree.prior["transition"].values.reshape(-1, 4, 2, 4), np.full((4, 2, 4), 0.25))
    assert float(tree.constant_data["weight"].sum()) == 120
    seen = list(zip(tree.constant_data["state"].values, tree.observed_data["next_state"].values, strict=True))
    assert ("west", "ford") in seen
    assert ("west", "east") not in seen


@pytest.mark.parametrize("make", [dirichlet_transitions, river_current])
def test_draws_on_request_are_those_that_infer_makes(make: Any) -> None:
    model = make(riverswim(4))
    log = collect(riverswim(4), policy="uniform", steps=60, seed=0)
    kept, made = (infer(model, log, draws=n, seed=3) for n in (0, 40))
    assert set(kept.children) == {"parameters", "observed_data", "constant_data"}
    xr.testing.assert_identical(kept.parameters.to_dataset(), made.parameters.to_dataset())
    drawn = draw(kept, 40, model=model).posterior
    for site in made.posterior:
        assert drawn[site].dims == made.posterior[site].dims
        np.testing.assert_array_equal(drawn[site].values, made.posterior[site].values)
    other = draw(kept, 40, model=model, seed=4).posterior
    assert not np.array_equal(other["transition"].values, drawn["transition"].values)


def test_beta_parameters_count() -> None:
    log = collect(riverswim(4), policy="uniform", steps=60, seed=0)
    seen = infer(river_current(riverswim(4)), log, draws=0).parameters
    state, action, after = (log[name].values for name in ("state", "action", "next_state"))
    ahead = ((state == 0) & (action == "right") & (after == 1)).sum()
    stayed = ((state == 0) & (action == "right") & (after == 0)).sum()
    assert seen["start"].sel(parameter=["a", "b"]).values.tolist() == [1 + ahead, 1 + stayed]


def test_what_draw_refuses() -> None:
    log = collect(riverswim(4), policy="uniform", steps=60, seed=0)
    structured = infer(river_current(riverswim(4)), log, draws=0)
    with pytest.raises(ValueError, match=r"the model computes 'transition' from other sites; pass model"):
        draw(structured, 10)
    with pytest.raises(ValueError, match="has no group 'parameters'"):
        draw(xr.DataTree(), 10)
    with pytest.raises(TypeError, match="must be a DataTree"):
        draw(xr.Dataset(), 10)  # type: ignore[arg-type]


def test_same_seed_same_draws() -> None:
    prior = river_current(riverswim(4))
    one, same, other = (infer(prior, LOG, draws=20, seed=seed) for seed in (3, 3, 4))
    xr.testing.assert_identical(one, same)
    assert not one.posterior["start"].equals(other.posterior["start"])


def test_successor_table_and_labels() -> None:
    table = RIVER.with_successors()
    tree = infer(dirichlet_transitions(table), LOG, mdp=table, draws=8)
    assert tree.posterior["transition"].dims[2:] == ("state", "action", "outcome")
    plain = infer(dirichlet_transitions(RIVER), LOG, mdp=RIVER, draws=8)
    assert tree.observed_data["next_state"].values.tolist() == plain.observed_data["next_state"].values.tolist()


def test_compressed_data_need_no_labels() -> None:
    tree = infer(river_current(riverswim(4)), compress(LOG), draws=10)
    assert dict(tree.posterior.sizes) == {"chain": 2, "draw": 5, "move": 3, "state": 4, "action": 2, "next_state": 4}
    assert tree.posterior["state"].values.tolist() == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_arviz_reads_it(tmp_path: Path) -> None:
    import arviz as az

    tree = infer(dirichlet_transitions(RIVER), LOG, draws=200)
    summary = az.summary(tree, var_names=["transition"])
    assert len(summary) == 32
    assert float(summary["r_hat"].astype(float).max()) < 1.1
    assert "transition[west, right, ford]" in summary.index
    tree.to_netcdf(tmp_path / "posterior.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "posterior.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), tree)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There are not enough devices")
def test_nuts_agrees_with_exact() -> None:
    import arviz as az

    prior = river_current(riverswim(4), concentration=(1.0, 2.0, 2.0))
    tree = infer(prior, LOG, draws=4_000, method="nuts", num_warmup=500)
    assert tree.attrs["engine"] == "nuts"
    assert "method='nuts'" in tree.attrs["reason"]
    assert {"diverging", "energy", "n_steps", "lp", "tree_depth"} <= set(tree.sample_stats)
    assert int(tree.sample_stats["diverging"].sum()) == 0
    n = COUNTS[:, 1]
    parameters = {
        "start": np.array([1 + n[0, 1], 1 + n[0, 0]]),
        "end": np.array([1 + n[3, 3], 1 + n[3, 2]]),
        "current": np.array([c + n[1, 1 + m] + n[2, 2 + m] for c, m in ((1, -1), (2, 0), (2, 1))]),
    }
    ess, error = az.ess(tree, method="mean"), az.mcse(tree)
    for name, a in parameters.items():
        mean = a / a.sum()
        truth = mean if name == "current" else mean[0]
        assert (ess[name] > 400).all()
        drawn = tree.posterior[name].mean(("chain", "draw"))
        assert_standard_normal((drawn.values - truth) / error[name].values, name)


@pytest.mark.filterwarnings("ignore:There are not enough devices")
def test_auto_falls_back_on_nuts_and_says_why() -> None:
    tree = infer(drift, LOG, draws=400, num_warmup=300)
    assert tree.attrs["engine"] == "nuts"
    assert {"diverging", "energy", "n_steps", "lp", "tree_depth"} <= set(tree.sample_stats)
    assert "not quadratic in 'level', as a Normal prior asks" in tree.attrs["reason"]
    share = COUNTS[..., 0].sum() / COUNTS.sum()
    assert float(tree.posterior["transition"][..., 0].mean()) == pytest.approx(share, abs=0.02)
    assert tree.prior["level"].shape == tree.posterior["level"].shape
    with pytest.raises(NotConjugate, match="not quadratic in 'level'"):
        infer(drift, LOG, method="exact")


def _elsewhere() -> xr.Dataset:
    log = LOG.copy(deep=True)
    log["next_state"][7] = "sea"
    return log


def _jump() -> Transitions:
    return Transitions(np.array([0]), np.array([0]), np.array([3]), np.zeros(1), np.ones(1))


def _certain(data: Any) -> None:
    numpyro.deterministic("transition", RIVER.transition)


PRIOR = dirichlet_transitions(RIVER)
BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "method": ({"method": "exactly"}, ValueError, "method must be one of auto, exact, smc, nuts; got 'exactly'"),
    "draws": ({"draws": -1}, ValueError, "draws must be an integer of at least 0; got -1"),
    "draws float": ({"draws": 10.0}, ValueError, "draws must be an integer"),
    "chains": ({"chains": 0}, ValueError, "chains must be"),
    "seed": ({"seed": -1}, ValueError, "seed must be"),
    "empty log": ({"log": LOG.isel(step=slice(0))}, ValueError, "the log is empty"),
    "no log": ({"log": [1, 2]}, TypeError, "a log is an xarray.Dataset"),
    "unknown label": ({"log": _elsewhere()}, ValueError, "next_state at step 7 is 'sea'"),
    "model": ({"model": "prior"}, TypeError, "got str"),
    "no transition": ({"model": lambda data: None}, ValueError, "no site 'transition'"),
    "nothing unknown": ({"model": _certain}, ValueError, "the model has no unknown: none of its sites"),
    "other sizes": (
        {"model": dirichlet_transitions(riverswim(6))},
        ValueError,
        r"shape \(6, 2, 6\); the log's labels say \(4, 2, 4\)",
    ),
    "fewer sizes": ({"model": dirichlet_transitions(riverswim(3))}, ValueError, "but the data hold state 3"),
    "impossible": (
        {"model": river_current(riverswim(4)), "log": _jump()},
        ValueError,
        r"row \(state 0, action 0, next_state 3\), which has probability 0",
    ),
    "no weight": ({"log": _jump()._replace(weight=np.zeros(1))}, ValueError, "not all 0"),
    "ragged": ({"log": _jump()._replace(weight=np.ones(2))}, ValueError, "shapes"),
    "negative index": ({"log": _jump()._replace(state=np.array([-1]))}, ValueError, "state holds a negative index"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    arguments, error, message = BAD[case]
    arguments = {"model": PRIOR, "log": LOG} | arguments
    with pytest.raises(error, match=message):
        infer(arguments.pop("model"), arguments.pop("log"), **arguments)


@pytest.mark.filterwarnings("ignore:There are not enough devices")
def test_impossible_data_are_refused_by_nuts_too() -> None:
    with pytest.raises(ValueError, match=r"row \(state 0, action 0, next_state 3\), which has probability 0"):
        infer(river_current(riverswim(4)), _jump(), method="nuts")


def test_observed_rewards_are_not_averaged() -> None:
    """The posterior of a Bernoulli reward's chance, against counting: means over a row's steps would not do."""

    def paid(data: Any) -> None:
        transition = numpyro.sample("transition", dist.Dirichlet(np.ones((4, 2, 4))).to_event(2))
        chance = numpyro.sample("chance", dist.Beta(1.0, 1.0))
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(transition[data.state, data.action]), obs=data.next_state)
            numpyro.sample("reward", dist.Bernoulli(chance), obs=data.reward)

    won = np.random.default_rng(0).random(LOG.sizes["step"]) < 0.3
    log = LOG.assign(reward=("step", won.astype(float)))
    drawn = infer(paid, log, draws=4_000, method="exact").posterior["chance"].values.ravel()
    assert_follows(drawn, stats.beta(1 + won.sum(), 1 + (~won).sum()), "chance")


def test_rows_are_labelled_as_the_log_is() -> None:
    """What was seen comes back by its labels, with actions that are unlike in what they do."""
    log = collect(RIVER, steps=200, seed=3)
    tree = infer(dirichlet_transitions(RIVER), log, draws=0)
    seen, rows = tree["constant_data"].to_dataset(), tree["observed_data"].to_dataset()
    found = zip(
        seen["state"].values, seen["action"].values, rows["next_state"].values, seen["weight"].values, strict=True
    )
    steps = zip(*(log[name].values.tolist() for name in ("state", "action", "next_state")), strict=True)
    assert {(str(s), str(a), str(t)): int(n) for s, a, t, n in found if n} == {
        tuple(map(str, step)): number for step, number in Counter(steps).items()
    }
