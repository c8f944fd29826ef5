"""A problem of five rooms, posed on a space of numbers and as a table."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

import bayesmdp as bm

ROOMS, DISCOUNT = 5, 0.8


def corridor(data):
    """Rooms [0, 1), [1, 2), ...: an action leads on with a probability of its own, from the last back to the first."""
    likely = numpyro.sample("likely", dist.Beta(np.array([1.0, 2.0]), 1.0))
    room = rooms(jnp.asarray(data.state))
    with data.rows():
        forward = numpyro.sample("forward", dist.Bernoulli(likely[data.action]), obs=data.seen.get("forward"))
    step = jnp.where(forward == 1, room + 1, jnp.where(data.action == 1, 0, room))
    numpyro.deterministic("next_state", (step % ROOMS + 0.5)[:, None])


def rooms(state):
    return jnp.clip(jnp.floor(state[..., 0]), 0, ROOMS - 1).astype(int)


def which_room(state):
    return jnp.eye(ROOMS)[rooms(state)]


def round_trip(state, action, next_state):
    return ((rooms(state) == ROOMS - 1) & (rooms(next_state) == 0)).astype(float)


def rooms_where(likely):
    return bm.SimulatedMDP(
        model=corridor,
        truth={"likely": likely},
        reward=round_trip,
        reward_range=(0.0, 1.0),
        features=which_room,
        start=[0.5],
        low=[0.0],
        high=[float(ROOMS)],
        actions=("careful", "bold"),
        discount=DISCOUNT,
        anchors=np.arange(ROOMS)[:, None] + 0.5,
    )


MDP = rooms_where([0.5, 0.8])


def tabular(likely):
    """The same problem as kernels [draw, state, action, next_state], for rewards on entering room 0 from the last."""
    kernel = np.zeros((len(likely), ROOMS, 2, ROOMS))
    for s in range(ROOMS):
        for a in range(2):
            kernel[:, s, a, (s + 1) % ROOMS] += likely[:, a]
            kernel[:, s, a, 0 if a else s] += 1 - likely[:, a]
    reward = np.zeros((ROOMS, 2, ROOMS))
    reward[ROOMS - 1, :, 0] = 1.0
    return bm.MDP(reward=reward, discount=DISCOUNT).problem, kernel, reward
