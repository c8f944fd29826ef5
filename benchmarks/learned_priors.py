"""Episodes of agents over linear Q-functions, beside the same in NumPy, and what learning a prior costs.

* RLSVI on RiverSwim-6 in episodes of 20 steps, tabular (d = 12), and on the recommendation engine, small (d = 20) and
  at full size (4,521 states, d = 110, 200 episodes a task).
* The NumPy contender carries the Gram matrix and inverts it once a stage; its targets are vectorised over all steps.
* Priors learned from 50 tasks at full size: seconds a method.

Run: ``python benchmarks/learned_priors.py``; a few minutes.
"""

import numpy as np
from _timing import race  # first: it sets how many threads there are

import bayesmdp as bm
from bayesmdp.learned_priors.empirical_bayes import empirical_bayes
from bayesmdp.learned_priors.q_values import meta_posterior, mtsrl, mtsrl_plus
from bayesmdp.models import logistic_transitions
from bayesmdp.posterior.closed_forms.q_values import GaussianPrior
from bayesmdp.posterior.q_regression.backward import TaskStatistics

RIDGE, NOISE = 0.2, 0.001**0.5


def in_numpy(mdp, episodes, seed=0):
    """RLSVI as one would write it."""
    rng = np.random.default_rng(seed)
    stages, size = mdp.horizon, mdp.features.shape[-1]
    successor = np.arange(mdp.num_states) if mdp.successor is None else mdp.successor
    successor = np.broadcast_to(successor, mdp.transition.shape)
    gram = np.stack([RIDGE * np.eye(size)] * stages)
    seen = [([], [], []) for _ in range(stages)]
    starts = np.flatnonzero(mdp.initial)
    for _ in range(episodes):
        theta = np.zeros((stages + 1, size))
        for h in reversed(range(stages)):
            features, rewards, following = seen[h]
            shift = np.zeros(size)
            if features:
                q = np.where(mdp.available[following], mdp.features[following] @ theta[h + 1], -np.inf)
                value = np.where(mdp.terminal[following], 0, q.max(-1))
                shift = np.array(features).T @ (np.array(rewards) + value) / NOISE**2
            inverse = np.linalg.inv(gram[h])
            theta[h] = inverse @ shift + np.linalg.cholesky(inverse) @ rng.standard_normal(size)
        s = starts[0]
        for h in range(stages):
            a = int(np.where(mdp.available[s], mdp.features[s] @ theta[h], -np.inf).argmax())
            outcome = rng.choice(mdp.num_outcomes, p=mdp.transition[s, a])
            reward = mdp.reward[s, a][0 if mdp.reward.shape[-1] == 1 else outcome]
            phi, s = mdp.features[s, a], successor[s, a, outcome]
            gram[h] += np.outer(phi, phi) / NOISE**2
            for part, value in zip(seen[h], (phi, reward, s), strict=True):
                part.append(value)


def agents_at_work():
    river = bm.environments.riverswim(6, discount=None)
    worlds = {
        "RiverSwim-6, 20 steps": (bm.unroll(river.replace(features=np.eye(12).reshape(6, 2, 12)), 20), 500, None),
        "recommendation, 4 products": (bm.environments.recommendation(4, 3), 500, None),
        "recommendation, 10 products": (bm.environments.recommendation(10, 5), 200, 200),
    }
    for name, (mdp, episodes, room) in worlds.items():
        agent = {"RLSVI": bm.agents.rlsvi(ridge=RIDGE, noise=NOISE, episodes=room)}
        truth = logistic_transitions(mdp, mean=None, scale=0.5) if "recommendation" in name else None
        options = {"steps": episodes * mdp.horizon, "replicates": 1, "workers": 1}
        contenders = {"bayesmdp, exact regret": lambda m=mdp, a=agent, o=options: bm.simulate(m, a, **o)}
        if truth is not None:
            contenders["bayesmdp, regret by step"] = lambda m=mdp, a=agent, o=options, t=truth: bm.simulate_tasks(
                m, a, truth=t, tasks=1, **o
            )
        contenders["NumPy"] = lambda m=mdp, n=episodes: in_numpy(m, n)
        race(f"RLSVI on {name}", contenders, work=episodes * mdp.horizon, unit="steps", rounds=3)


def learning():
    rng = np.random.default_rng(0)
    tasks, stages, size = 50, 5, 110
    phi = rng.normal(size=(tasks, stages, 200, size))
    target = np.einsum("khni,khi->khn", phi, rng.normal(size=(tasks, stages, size))) + rng.normal(size=phi.shape[:3])
    past = TaskStatistics(
        np.swapaxes(phi, 2, 3) @ phi,
        np.einsum("khni,khn->khi", phi, target),
        (target**2).sum(-1),
        np.full((tasks, stages), 200.0),
        np.zeros((tasks, stages, size, size)),
        np.einsum("khni,khn->khi", phi, target),
    )
    base = GaussianPrior(np.zeros((stages, size)), np.stack([np.eye(size) * 5**0.5] * stages), np.full(stages, NOISE))
    known = base.covariance
    race(
        "a prior from 50 tasks, 5 stages, 110 features",
        {
            "MTSRL": lambda: mtsrl(past, base, covariance=known),
            "MTSRL+": lambda: mtsrl_plus(past, base, episodes=200, tasks=100),
            "AdaTS": lambda: meta_posterior(past, base, covariance=known),
            "empirical Bayes": lambda: empirical_bayes(past, base),
        },
        unit="priors",
        rounds=3,
    )


if __name__ == "__main__":
    agents_at_work()
    learning()
