"""Lookups beyond an array, which JAX would clamp, are refused; those that mean what they say are not."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayesmdp as bm
from bayesmdp.model_reading.lookups import check_lookups
from bayesmdp.model_reading.model_runs import latent_sites, looked_at

RIVER = bm.environments.riverswim(6)
LOG = bm.collect(RIVER, policy="uniform", steps=60, seed=0)
ROWS = bm.compress(LOG)
KEY = jax.random.key(0)
PRIOR = dist.Dirichlet(np.ones((6, 2, 6)))


def looking_up(rows_of):
    def model(data):
        transition = numpyro.sample("transition", PRIOR)
        with data.rows():
            numpyro.sample("next_state", dist.Categorical(rows_of(transition, data)), obs=data.next_state)

    return model


def chosen(which):
    """A model in which an unknown says which of two tables holds."""

    def model(data):
        transition = numpyro.sample("transition", PRIOR)
        other = numpyro.sample("other", dist.Categorical(np.full(9, 1 / 9)))
        with data.rows():
            probs = which(transition, data, other)
            numpyro.sample("next_state", dist.Categorical(probs), obs=data.next_state)

    return model


SWAPPED = looking_up(lambda transition, data: transition[data.action, data.state])
BEYOND = {
    "swapped": SWAPPED,
    "swapped, one after the other": looking_up(lambda transition, data: transition[:, data.state][data.action, 0]),
    "off by one": looking_up(lambda transition, data: transition[data.state + 5, data.action]),
    "a cell's number in a table too short": looking_up(
        lambda transition, data: transition.reshape(12, 6)[:4][data.state * 2 + data.action]
    ),
    "negative, and too far": looking_up(lambda transition, data: transition[data.state - 9, data.action]),
}
WITHIN = {
    "as it should be": looking_up(lambda transition, data: transition[data.state, data.action]),
    "a cell's number": looking_up(lambda transition, data: transition.reshape(12, 6)[data.state * 2 + data.action]),
    "from the end": looking_up(lambda transition, data: transition[data.state - 6, data.action - 2]),
    "clipped on purpose": looking_up(
        lambda transition, data: transition.at[data.state + 5, data.action].get(mode="clip")
    ),
    "filled on purpose": looking_up(
        lambda transition, data: transition.at[data.state + 5, data.action].get(mode="fill", fill_value=1 / 6)
    ),
    "beside a key of random numbers": looking_up(
        lambda transition, data: transition[data.state, data.action] + 0 * jax.random.uniform(KEY)
    ),
    "by an unknown": chosen(lambda transition, data, other: transition[(data.state + other) % 6, data.action]),
    "by an unknown alone": chosen(lambda transition, data, other: transition[other, data.action]),
    "in a NumPy array": looking_up(
        lambda transition, data: transition[jnp.asarray(np.arange(6))[data.state], data.action]
    ),
}


def check(model, data):
    with jax.enable_x64(True):
        check_lookups(model, data, looked_at(model, data, latent_sites))


@pytest.mark.parametrize("name", BEYOND)
def test_what_an_array_does_not_hold_is_refused(name):
    with pytest.raises(
        IndexError, match=r"along axis \d of an array of shape \(.*\) at row \d+ \(state \d, action \d\)"
    ):
        check(BEYOND[name], ROWS)


@pytest.mark.parametrize("name", WITHIN)
def test_what_means_what_it_says_is_not(name):
    check(WITHIN[name], ROWS)


@pytest.mark.parametrize(
    "use",
    [
        lambda: bm.infer(SWAPPED, LOG),
        lambda: bm.infer(SWAPPED, LOG, method="smc"),
        lambda: bm.infer(SWAPPED, LOG, method="nuts"),
        lambda: bm.agents.psrl(SWAPPED).make_belief(RIVER),
        lambda: bm.agents.psrl(bm.with_particles(SWAPPED)).make_belief(RIVER),
    ],
    ids=["exact", "particles", "nuts", "agent", "agent by particles"],
)
def test_no_engine_takes_swapped_indices(use):
    with pytest.raises(IndexError, match=r"index 2 along axis 1 of an array of shape \(6, 2, 6\)"):
        use()


def test_the_index_and_the_row_are_the_first_that_are_beyond():
    first = int(np.argmax(ROWS.state >= 2))
    with pytest.raises(IndexError, match=rf"index {ROWS.state[first]} .* at row {first} \(state {ROWS.state[first]},"):
        check(SWAPPED, ROWS)
