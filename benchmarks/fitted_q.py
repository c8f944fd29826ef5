"""What planning by fitted Q iteration costs on the slippery lake, and what it could cost at the least.

* One plan of AQ-BRMDP at its defaults (20 iterations, 64 + 15 places, 4 actions, 32 draws, 8 next states: 1.6 million
  simulated steps), with the network and linear, and one of PSRL; beside them the matrix products alone that the network
  needs for as many values, in the same 32 bits: the limit; and a plain NumPy loop that does the same.
* Runs of 1,000 steps, a thread each.

Run: ``python benchmarks/fitted_q.py``; some minutes.
"""

from itertools import pairwise

from _timing import race  # first: it sets how many threads there are

# isort: split
import jax
import jax.numpy as jnp
import numpy as np

import bayesmdp as bm
from bayesmdp.planning import LinearQ, Mean, NeuralQ, Quantile, fitted_q_iteration
from bayesmdp.posterior.beliefs.primitives import recorded_belief

LAKE = bm.environments.slippery_lake()
PRIOR = bm.models.slippery_lake(LAKE)
ITERATIONS, PLACES, SAMPLES, DRAWS, ACTIONS = 20, 64, 8, 32, 4
PAIRS = (PLACES + len(LAKE.problem.anchors)) * ACTIONS * SAMPLES
WIDTHS = (20, 64, 64, 4)


def planner(approximation, num_draws):
    """A call that makes one plan."""
    problem = jax.tree.map(jnp.asarray, LAKE.problem)
    belief = recorded_belief(PRIOR, LAKE, num_draws, 1)
    _, values = belief.draw(jax.random.key(0), belief.init(jax.random.key(0)))
    fit = approximation.init(jax.random.key(0), WIDTHS[0], ACTIONS)
    risk = Mean() if num_draws == 1 else Quantile(0.3)

    def judge(y, anchors, alike):
        return (y.mean(0) if num_draws == 1 else risk.value(y)), ()

    @jax.jit
    def plan(key, values, fit):
        sizes = {"iterations": ITERATIONS, "places": PLACES, "samples": SAMPLES}
        return fitted_q_iteration(key, problem, PRIOR, values, fit, judge, approximation=approximation, **sizes)[0]

    return lambda: jax.block_until_ready(plan(jax.random.key(1), values, fit))


def products():
    """The network's matrix products and nothing else."""
    weights = [jnp.ones(shape, jnp.float32) for shape in pairwise(WIDTHS)]
    features = jnp.ones((DRAWS * PAIRS, WIDTHS[0]), jnp.float32)

    @jax.jit
    def multiply(features, weights):
        def once(x, _):
            hidden = x
            for weight in weights:
                hidden = hidden @ weight
            return x + hidden[:, :1] * 1e-30, None

        return jax.lax.scan(once, features, None, length=ITERATIONS)[0]

    return lambda: jax.block_until_ready(multiply(features, weights))


def plain():
    """The targets of a plan in NumPy, by hand for this lake; the regression is left out."""
    rng = np.random.default_rng(0)
    letters = np.array(list("".join(LAKE.layout)))
    headings = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])
    weights = [rng.normal(0, 0.1, s).astype(np.float32) for s in pairwise(WIDTHS)]
    eye = np.eye(16, dtype=np.float32)
    ice = np.flatnonzero(np.isin(letters, ("S", "F")))
    direction = rng.dirichlet(np.ones(3), DRAWS)
    mobility, reach = rng.beta(1, 1, DRAWS), 0.5 * (1 + rng.pareto(2, DRAWS))
    count = PAIRS // (ACTIONS * SAMPLES)

    def cells(state):
        at = np.clip(state.astype(int), 0, 3)
        return at[..., 1] * 4 + at[..., 0]

    def value(state):
        cell = cells(state)
        kinds = (letters[cell] == "H")[..., None], (letters[cell] == "G")[..., None]
        hidden = np.concatenate([state / 4, eye[cell], *kinds], -1, dtype=np.float32)
        for weight in weights[:-1]:
            hidden = np.maximum(hidden @ weight, 0)
        return (hidden @ weights[-1]).max(-1)

    def plan():
        for _ in range(ITERATIONS):
            state = np.repeat(rng.uniform(0, 4, (count, 2)), ACTIONS * SAMPLES, 0)
            action = np.tile(np.repeat(np.arange(ACTIONS), SAMPLES), count)
            kind, pick, luck, length = letters[cells(state)], *rng.uniform(size=(3, len(state)))
            turn = (pick > np.cumsum(direction, -1)[:, :2, None]).sum(1)
            heading = np.where((kind == "H"), action, (action + 1 - turn) % 4)
            moves = (kind != "H") | (luck < mobility[:, None])
            ahead = state + (length * reach[:, None])[..., None] * headings[heading]
            inside = moves & ((ahead >= 0) & (ahead <= 4)).all(-1)
            after = np.where(inside[..., None], ahead, state)
            back = rng.choice(ice, len(state))
            home = np.stack([back % 4, back // 4], -1) + rng.uniform(size=(len(state), 2))
            after = np.where((kind == "G")[:, None], home, after)
            earned = (letters[cells(after)] == "G") & (kind != "G")
            y = (earned + 0.95 * value(after)).reshape(DRAWS, -1, SAMPLES).mean(-1)
            np.quantile(y, 0.3, axis=0, method="inverted_cdf")

    return plan


def plans():
    with jax.enable_x64(True):
        race(
            "a plan",
            {
                "matrix products alone": products(),
                "AQ-BRMDP, network": planner(NeuralQ(), DRAWS),
                "AQ-BRMDP, linear": planner(LinearQ(), DRAWS),
                "PSRL, network": planner(NeuralQ(), 1),
                "PSRL, linear": planner(LinearQ(), 1),
                "NumPy, targets of AQ-BRMDP": plain(),
            },
            unit="plans",
            rounds=5,
        )


def runs():
    makers = {"PSRL": bm.agents.fitted_psrl, "AQ-BRMDP": bm.agents.fitted_aq_brmdp}
    race(
        "1,000 steps",
        {
            f"{name}, {by}": lambda maker=maker, by=by: bm.simulate(
                LAKE, {"agent": maker(PRIOR, approximation=by)}, steps=1_000, replicates=1, workers=1
            )
            for by in ("neural", "linear")
            for name, maker in makers.items()
        },
        work=1_000,
        unit="steps",
        rounds=1,
    )


if __name__ == "__main__":
    plans()
    runs()
