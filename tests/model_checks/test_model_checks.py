"""Replicates, surprises, and rival priors: against closed forms and models known to be wrong."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats
from scipy.special import betaln

import bayesmdp as bm
from bayesmdp.models import dirichlet_transitions, normal_gamma_rewards, normal_rewards, river_current
from tests.statistical import assert_means

RIVER = bm.environments.riverswim(6)
LOG = bm.collect(RIVER, steps=400, seed=2)


@pytest.mark.slow
def test_replicates_have_the_predictive_moments() -> None:
    """Dirichlet-multinomial, of each pair's tries."""
    posterior = bm.infer(dirichlet_transitions(RIVER), LOG, draws=4_000)
    check = bm.replicate_logs(posterior, LOG, RIVER, replicates=4_000)
    seen = check["observed_data"]["transitions"].values
    for group, before in (("posterior_predictive", 1 + seen), ("prior_predictive", np.ones_like(seen))):
        made = check[group]["transitions"].values[0]
        tries = seen.sum(-1, keepdims=True)
        np.testing.assert_array_equal(made.sum(-1), np.broadcast_to(tries[..., 0], made.shape[:-1]))
        assert_means(made, tries * before / before.sum(-1, keepdims=True), group)
    visits = check["posterior_predictive"]["visits"]
    assert (visits.sum(("state", "action")) == LOG.sizes["step"]).all()
    assert check["observed_data"]["total_reward"].item() == pytest.approx(float(LOG["reward"].sum()))


@pytest.mark.filterwarnings("ignore:Variables .* look discrete", "ignore:num_samples is larger")
def test_arviz_draws_replicates() -> None:
    """All variables of both groups, and its plots for one axis the total reward."""
    import arviz as az

    log = LOG.isel(step=slice(0, 60))
    check = bm.replicate_logs(bm.infer(dirichlet_transitions(RIVER), log, draws=20), log, RIVER, replicates=20)
    for group in ("posterior_predictive", "prior_predictive"):
        drawn = az.plot_ppc_dist(check, group=group).viz["predictive_dist"]
        assert {"transitions", "visits", "total_reward"} <= set(drawn.to_dataset().data_vars)
    az.plot_ppc_tstat(check, t_stat="mean")
    for plot in (az.plot_ppc_pit, az.plot_ppc_interval):
        plot(check, var_names=["total_reward"])
    assert bm.surprises(check, "total_reward").index.names == ["log"]


@pytest.mark.slow
def test_a_wrong_structure_surprises_and_the_right_one_does_not() -> None:
    kernel = np.array(RIVER.transition)
    kernel[3, 1, 2:5] = [0.6, 0.3, 0.1]  # a rapid in the middle
    rapid = RIVER.replace(transition=kernel)
    log = bm.collect(rapid, np.tile([0.2, 0.8], (6, 1)), steps=3_000, seed=0)
    tails = {}
    for name, prior in (("current", river_current(RIVER)), ("rows", dirichlet_transitions(RIVER))):
        posterior = bm.infer(prior, log, mdp=RIVER, draws=2_000)
        tails[name] = bm.surprises(bm.replicate_logs(posterior, log, RIVER, replicates=500))["tail"]
    assert tails["current"].iloc[0] <= 1 / 500
    far = tails["current"][tails["current"] < 0.005].reset_index()
    assert ((far["state"] == 3) & (far["action"] == "right")).any()
    assert tails["rows"].iloc[0] > 0.005
    table = bm.compare_priors(
        log, {"current": river_current(RIVER), "rows": dirichlet_transitions(RIVER)}, mdp=RIVER, draws=2_000
    )
    assert table.index[0] == "rows"
    assert table.loc["current", "worse_by"] > 5 * table.loc["current", "worse_by_se"]


def test_log_evidence_of_rows() -> None:
    posterior = bm.infer(dirichlet_transitions(RIVER, 0.3), LOG, draws=0)
    expected = bm.dirichlet_log_evidence(LOG, RIVER, 0.3)
    assert posterior.attrs["log_evidence"] == pytest.approx(expected, abs=1e-9)
    assert posterior.attrs["log_evidence_sd"] == 0


def test_log_evidence_of_normal_rewards() -> None:
    """Of one pair's rewards: a multivariate Normal, and for an unknown noise a multivariate t."""
    paid = np.array([0.3, -1.2, 2.0])
    place = np.zeros(3, np.int32)
    log = bm.Transitions(place, place, place, paid, np.ones(3))
    one = bm.MDP(transition=np.ones((1, 1, 1)), reward=np.zeros(1), discount=0.9)
    rows = dirichlet_transitions(one)
    known = bm.infer(normal_rewards(one, rows, mean=0.5, scale=2.0, noise=0.7), log, draws=0, mdp=one)
    covariance = 0.49 * np.eye(3) + 4.0
    expected = stats.multivariate_normal(np.full(3, 0.5), covariance).logpdf(paid)
    assert known.attrs["log_evidence"] == pytest.approx(expected, abs=1e-9)
    unknown = bm.infer(
        normal_gamma_rewards(one, rows, mean=0.5, weight=0.4, shape=2.0, rate=3.0), log, draws=0, mdp=one
    )
    shape = 3.0 / 2.0 * (np.eye(3) + 1 / 0.4)
    expected = stats.multivariate_t(np.full(3, 0.5), shape, df=4.0).logpdf(paid)
    assert unknown.attrs["log_evidence"] == pytest.approx(expected, abs=1e-9)


def test_leave_one_out_of_a_coin(capsys: pytest.CaptureFixture[str]) -> None:
    """A Beta posterior's own leave-one-out predictions, in closed form."""
    coin = bm.MDP(transition=np.full((1, 1, 2), 0.5), reward=np.zeros((1, 1)), discount=0.9, successor=[[[0, 0]]])
    heads, tails = 30.0, 12.0
    zeros = np.zeros(2, np.int32)
    log = bm.Transitions(zeros, zeros, np.array([0, 1], np.int32), np.zeros(2), np.array([heads, tails]))
    priors = {"coin": dirichlet_transitions(coin, [2.0, 3.0])}
    table = bm.compare_priors(log, priors, mdp=coin, draws=20_000, progress=True)
    assert "coin: " in capsys.readouterr().err
    bm.compare_priors(log, priors, mdp=coin, draws=20_000)
    assert capsys.readouterr().err == ""  # where nobody looks
    a, b = 2 + heads, 3 + tails
    expected = heads * np.log((a - 1) / (a + b - 1)) + tails * np.log((b - 1) / (a + b - 1))
    assert table.loc["coin", "elpd_loo"] == pytest.approx(expected, abs=0.02)
    evidence = betaln(a, b) - betaln(2, 3)
    assert table.loc["coin", "log_evidence"] == pytest.approx(evidence, abs=1e-9)
    assert table.loc["coin", "worst_k"] < 0.7


@pytest.mark.parametrize("priors", [{}, [river_current(RIVER)]])
def test_no_priors(priors: object) -> None:
    with pytest.raises(TypeError, match="priors must be a mapping of names to models"):
        bm.compare_priors(LOG, priors)  # type: ignore[arg-type]


def test_a_prior_that_cannot_be_right_is_last_and_one_that_is_alone_is_refused() -> None:
    def still(data):
        """Nobody moves; the log shows that some do."""
        stays = jnp.broadcast_to(jnp.eye(6)[:, None], (6, 2, 6))
        numpyro.sample("idle", dist.Beta(1, 1))
        numpyro.deterministic("transition", stays)
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(stays[data.state, data.action]), obs=data.next_state)

    table = bm.compare_priors(LOG, {"still": still, "current": river_current(RIVER)}, mdp=RIVER, draws=400)
    assert table.index.tolist() == ["current", "still"]
    assert table.loc["still", "log_evidence"] == table.loc["still", "elpd_loo"] == -np.inf
    assert table["probability"].tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="has probability 0 under the model"):
        bm.compare_priors(LOG, {"still": still}, mdp=RIVER, draws=400)


def test_priors_of_states_that_are_numbers_are_compared() -> None:
    """The log predictive density of each step from the others is known: a Normal regression without it."""
    room = bm.environments.thermostat()
    log = bm.collect(room, steps=80, seed=0)
    priors = {"physics": bm.models.thermostat(), "lines": bm.models.linear_dynamics(room)}
    table = bm.compare_priors(log, priors, mdp=room, draws=2_000)
    assert table.index[0] == "physics" and (table["engine"] == "exact").all()
    heat = np.array([{"off": 0.0, "low": 0.5, "high": 1.0}[name] for name in log["action"].values])
    x = np.stack([5.0 - log["state"].values[:, 0], heat], -1)
    y = (log["next_state"] - log["state"]).values[:, 0]
    exact = 0.0
    for i in range(80):
        rest = np.arange(80) != i
        precision = np.diag([1 / 0.1**2, 1 / 2.0**2]) + x[rest].T @ x[rest] / 0.3**2
        mean = np.linalg.solve(precision, np.array([0.2 / 0.1**2, 3.0 / 2.0**2]) + x[rest].T @ y[rest] / 0.3**2)
        exact += stats.norm(x[i] @ mean, np.sqrt(0.3**2 + x[i] @ np.linalg.solve(precision, x[i]))).logpdf(y[i])
    assert table.loc["physics", "elpd_loo"] == pytest.approx(exact, abs=0.15)
    lake = bm.environments.slippery_lake()
    wandering = {"lake": bm.models.slippery_lake(lake), "lines": bm.models.linear_dynamics(lake)}
    with pytest.raises(ValueError, match=r"priors\['lake'\] observes 'cell', .* and priors\['lines'\] 'next_state'"):
        bm.compare_priors(bm.collect(lake, steps=20), wandering, mdp=lake)
