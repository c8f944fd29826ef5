"""What a process computes, into a file: certified plans, a run of an agent of each kind, posteriors.

XLA chooses instructions by the processor it finds, and with them which multiplications and additions are fused and what
is computed again where it is used. A plan must be as good as its certificate says under each choice, so
`tests/project/test_instruction_sets.py` runs this module once for each::

    XLA_FLAGS=--xla_cpu_max_isa=AVX2 python -m tests.instruction_sets avx2.npz
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

import bayesmdp as bm
from bayesmdp.agents import GROUPS
from bayesmdp.planning import CVaR, Draws, Mean, Quantile, policy_iteration, value_iteration

__all__ = ["CASES", "RISKS", "SHAPES", "Case", "cases"]

SHAPES = (20, 4, 2), (40, 6, 3), (25, 9, 2), (100, 5, 2)
"""Draws, states and actions."""
CASES = 250
"""Of each shape, each planned under three risk measures by two solvers."""
RISKS = {"quantile": Quantile, "cvar": CVaR, "mean": lambda level: Mean()}


class Case(NamedTuple):
    """A planning problem without terminal states.

    Attributes
    ----------
    kernels : array [draw, state, action, state]
    reward : array [state, action, 1]
    discount : float
    level : array [state, action]
    """

    kernels: NDArray[np.float64]
    reward: NDArray[np.float64]
    discount: float
    level: NDArray[np.float64]


def cases(shape: tuple[int, int, int]) -> Iterator[Case]:
    """Random problems: sharp and flat rows, rewards with many zeros, draws that come twice, levels at whole ranks."""
    draws, states, actions = shape
    rng = np.random.default_rng(draws)
    for number in range(CASES):
        gammas = rng.standard_gamma((1.0, 1 / states, 0.01)[number % 3], (draws, states, actions, states)) + 1e-300
        kernels = gammas / gammas.sum(-1, keepdims=True)
        if number % 7 == 0:
            kernels[draws // 2 :] = kernels[: draws - draws // 2]
        reward = rng.random((states, actions, 1)) * (rng.random((states, actions, 1)) < (0.3 if number % 2 else 1))
        rank = rng.integers(1, draws, (states, actions)) if number % 5 == 0 else rng.integers(1, draws)
        level = (rank - (0 if number % 4 else rng.random())) / draws
        level = np.clip(np.broadcast_to(level, (states, actions)), 0.001, 0.999)
        yield Case(kernels, reward, (0.5, 0.9, 0.95, 0.99)[number // 3 % 4], level)


def plans(shape: tuple[int, int, int]) -> dict[str, Any]:
    """Value, policy, residual and bound of each case, inside one program as agents plan."""
    every = jax.tree.map(lambda *column: jnp.stack(column), *cases(shape))
    problem = bm.MDP(reward=np.asarray(every.reward[0]), discount=0.9).problem

    def solve(case: Case) -> dict[str, Any]:
        known = jax.tree.map(jnp.asarray, problem)._replace(reward=case.reward, discount=case.discount)
        made = partial(value_iteration, known, Draws(case.kernels, case.reward), tolerance=4e-11)
        policies = partial(policy_iteration, known, Draws(case.kernels, case.reward), tolerance=4e-11)
        solvers = {"sweeps": made, "policies": policies}
        return {f"{n}-{risk}": s(RISKS[risk](case.level)) for n, s in solvers.items() for risk in RISKS}

    found = jax.device_get(jax.jit(lambda every: lax.map(solve, every))(every))
    return {
        f"plan/{'-'.join(map(str, shape))}/{name}/{part}": getattr(plan, part)
        for name, plan in found.items()
        for part in ("value", "policy", "residual", "bound")
    }


def runs() -> dict[str, Any]:
    """What the first agent of each kind does, and loses, in 150 steps of its problem in the contract."""
    found = {}
    for example, *_ in GROUPS.values():
        name = example.make.__name__
        result = bm.simulate(example.problem, {"A": example.agent()}, steps=150, replicates=1, seed=0)
        found |= {f"run/{name}/{part}": result[part].values for part in ("action", "regret")}
    return found


def posteriors() -> dict[str, Any]:
    """Draws and evidence of a closed form, of one that is found, and of particles."""
    river = bm.environments.riverswim(6)
    log = bm.collect(river, policy="uniform", steps=300, seed=0)
    priors = {"dirichlet": bm.models.dirichlet_transitions(river), "current": bm.models.river_current(river)}
    trees = {name: bm.infer(prior, log, mdp=river, draws=500, seed=1) for name, prior in priors.items()}
    trees["particles"] = bm.infer(priors["current"], log, mdp=river, method="smc", draws=500, seed=1)
    found: dict[str, Any] = {f"posterior/{name}/draws": t.posterior["transition"].values for name, t in trees.items()}
    return found | {f"posterior/{name}/evidence": t.attrs["log_evidence"] for name, t in trees.items()}


if __name__ == "__main__":
    with jax.enable_x64(True):
        computed = {name: value for shape in SHAPES for name, value in plans(shape).items()}
    np.savez(sys.argv[1], **computed, **runs(), **posteriors())
