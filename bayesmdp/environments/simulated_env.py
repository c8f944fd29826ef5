"""A problem whose states are numbers, as an environment of Gymnasium. It imports Gymnasium when it is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import gymnasium
import jax
import numpy as np
from jax import random
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.problems.simulated_mdp import SimulatedMDP
from bayesmdp.problems.simulated_problem import SimulatedProblem, simulated_world
from bayesmdp.problems.world import NOISE

__all__ = ["SimulatedEnv"]


class SimulatedEnv(gymnasium.Env[NDArray[np.float64], Any]):
    """See :func:`~bayesmdp.environments.to_gymnasium`, which makes these."""

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012, an instance variable of the base class

    def __init__(self, mdp: SimulatedMDP, max_steps: int | None, unavailable: str, render_mode: str | None) -> None:
        self.mdp, self.unavailable, self.render_mode = mdp, unavailable, render_mode
        length = mdp.problem.length
        self.max_steps = int(length) if max_steps is None and length is not None else max_steps
        low, high = (mdp.problem.low, mdp.problem.high) if mdp.problem.confined else (-np.inf, np.inf)
        shape = mdp.problem.start.shape
        self.observation_space = gymnasium.spaces.Box(low, high, shape, np.float64)
        self.action_space = gymnasium.spaces.Discrete(mdp.num_actions)
        self.spec = gymnasium.envs.registration.EnvSpec(
            id=re.sub(r"[^\w:.-]", "-", mdp.name),
            entry_point="bayesmdp.environments.gymnasium:to_gymnasium",
            kwargs={"mdp": mdp, "max_steps": max_steps, "unavailable": unavailable, "render_mode": render_mode},
        )
        self._state, self._steps, self._over = np.full(shape, np.nan), 0, True

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start an episode where the problem does; there are no options."""
        if options:
            raise ValueError(
                f"reset has no options; got {', '.join(map(repr, options))}: to start elsewhere, make the environment "
                "of mdp.replace(start=...)"
            )
        super().reset(seed=seed)
        with jax.enable_x64(True):
            self._state = np.asarray(_first(random.key(int(self.np_random.integers(2**31))), self.mdp.problem))
        self._steps, self._over = 0, False
        return self._state.copy(), self._info()

    def step(self, action: Any) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        if self._over:
            raise gymnasium.error.ResetNeeded("no episode is running; call reset() first")
        taken, truth = self._effective(action), self.mdp.truth
        with jax.enable_x64(True):
            told = _stepped(self.np_random.random(NOISE), self.mdp.problem, truth, self._state, np.int32(taken))
            self._state, reward, terminated = np.asarray(told[0]), float(told[1]), bool(told[2])
        self._steps += 1
        truncated = not terminated and self._steps == self.max_steps
        self._over = terminated or truncated
        return self._state.copy(), reward, terminated, truncated, self._info()

    def render(self) -> str | None:
        state = ", ".join(f"{each:g}" for each in self._state)
        return None if self.render_mode is None else f"{self.mdp.name}: {state}\n"

    def _allowed(self) -> NDArray[np.bool_]:
        available = self.mdp.problem.available
        return np.ones(self.mdp.num_actions, bool) if available is None else np.asarray(available(self._state))

    def _effective(self, action: Any) -> int:
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is no action; actions are 0 to {self.mdp.num_actions - 1}")
        available = np.flatnonzero(self._allowed())
        if action in available:
            return int(action)
        if self.unavailable == "mean":
            return int(self.np_random.choice(available))
        labels = self.mdp.actions
        raise ValueError(
            f"action {int(action)} ({labels[action]!r}) is not available in state {self._state.tolist()}; available "
            f"are {', '.join(repr(labels[i]) for i in available)}: see info['action_mask']"
        )

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._allowed().astype(np.int8)}


@jax.jit
def _first(key: Array, problem: SimulatedProblem) -> Array:
    return problem.draw_start(key)


@jax.jit
def _stepped(
    uniforms: Array, problem: SimulatedProblem, truth: Mapping[str, Array], state: Array, action: Array
) -> tuple[Array, Array, Array]:
    """The next state, the reward and whether the episode ends there."""
    problem, truth = jax.tree.map(jax.numpy.asarray, (problem, truth))
    step, _ = simulated_world(problem, truth).step(uniforms, state, action)
    return step.next_state, step.reward, step.last
