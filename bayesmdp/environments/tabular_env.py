"""An MDP played in NumPy, as an environment of Gymnasium. This module alone imports Gymnasium when it is imported."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import gymnasium
import jax
import numpy as np
from numpy.typing import NDArray

from bayesmdp.problems.mdp import MDP

__all__ = ["TabularEnv"]

type Row = list[tuple[float, int, float, bool]]
"""A pair's outcomes in toy-text form: (probability, next state, reward, terminated)."""


@jax.jit
def _scattered(noise: Any, uniform: float, mean: float, state: int, action: int) -> Any:
    return noise.draw(uniform, mean, state, action)


class TabularEnv(gymnasium.Env[Any, Any]):
    """See :func:`~bayesmdp.environments.to_gymnasium`, which makes these."""

    metadata = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012, an instance variable of the base class

    def __init__(self, mdp: MDP, max_steps: int | None, unavailable: str, render_mode: str | None) -> None:
        self.mdp, self.max_steps, self.unavailable, self.render_mode = mdp, max_steps, unavailable, render_mode
        self.observation_space = gymnasium.spaces.Discrete(mdp.num_states)
        self.action_space = gymnasium.spaces.Discrete(mdp.num_actions)
        self.initial_state_distrib = mdp.initial
        self.spec = gymnasium.envs.registration.EnvSpec(
            id=re.sub(r"[^\w:.-]", "-", mdp.name),
            entry_point="bayesmdp.environments.gymnasium:to_gymnasium",
            kwargs={"mdp": mdp, "max_steps": max_steps, "unavailable": unavailable, "render_mode": render_mode},
        )
        self._labels = _told(mdp.states)
        self._state, self._steps, self._over = -1, 0, True

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        """Start an episode in a state of the initial distribution; there are no options."""
        if options:
            raise ValueError(
                f"reset has no options; got {', '.join(map(repr, options))}: to start elsewhere, make the environment "
                "of mdp.replace(initial=...)"
            )
        super().reset(seed=seed)
        self._state, self._steps, self._over = _sample(self.np_random, self.mdp.initial), 0, False
        return self._state, self._info()

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if self._over:
            raise gymnasium.error.ResetNeeded("no episode is running; call reset() first")
        mdp, state, action = self.mdp, self._state, self._effective(action)
        outcome = _sample(self.np_random, mdp.transition[state, action])  # type: ignore[index]
        rewards = mdp.reward[state, action]
        self._state = outcome if mdp.successor is None else int(mdp.successor[state, action, outcome])
        self._steps += 1
        terminated = bool(mdp.terminal[self._state])
        truncated = not terminated and self._steps == self.max_steps
        self._over = terminated or truncated
        reward = self._paid(float(rewards[outcome % len(rewards)]), state, action)
        return self._state, reward, terminated, truncated, self._info()

    def _paid(self, mean: float, state: int, action: int) -> float:
        """What a step pays: its mean, or a number that scatters about it as the problem's rewards do."""
        noise = self.mdp.problem.noise
        if noise is None:
            return mean
        with jax.enable_x64(True):
            return float(_scattered(noise, self.np_random.random(), mean, state, action))

    def render(self) -> str | None:
        return None if self.render_mode is None else f"{self.mdp.name}: {self.mdp.states[self._state]}\n"

    @cached_property
    def P(self) -> dict[int, dict[int, Row]]:
        """The transitions in toy-text form: what `step` does, with the means of rewards that scatter."""
        return {state: dict(enumerate(self._rows(state))) for state in range(self.mdp.num_states)}

    def _rows(self, state: int) -> list[Row]:
        mdp = self.mdp
        if mdp.terminal[state]:
            return [[(1.0, state, 0.0, True)]] * mdp.num_actions
        rows: list[Row] = [[] for _ in range(mdp.num_actions)]
        actions = np.flatnonzero(mdp.available[state])
        for action in actions:
            kernel = mdp.transition[state, action]  # type: ignore[index]
            outcome = np.flatnonzero(kernel)
            after = outcome if mdp.successor is None else mdp.successor[state, action, outcome]
            reward = np.broadcast_to(mdp.reward[state, action], kernel.shape)[outcome]
            columns = (kernel[outcome], after, reward, mdp.terminal[after])
            rows[action] = list(zip(*(column.tolist() for column in columns), strict=True))
        if self.unavailable == "mean":
            mean = [(p / len(actions), *rest) for action in actions for p, *rest in rows[action]]
            rows = [row or mean for row in rows]  # type: ignore[misc]
        return rows

    def _effective(self, action: Any) -> int:
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is no action; actions are 0 to {self.mdp.num_actions - 1}")
        available = np.flatnonzero(self.mdp.available[self._state])
        if action in available:
            return int(action)
        if self.unavailable == "mean":
            return int(self.np_random.choice(available))
        labels = self.mdp.actions
        raise ValueError(
            f"action {int(action)} ({labels[action]!r}) is not available in state {self.mdp.states[self._state]!r}; "
            f"available are {', '.join(repr(labels[i]) for i in available)}: see info['action_mask']"
        )

    def _info(self) -> dict[str, Any]:
        mask = self.mdp.available[self._state].astype(np.int8)
        return {"state": self._labels[self._state], "action_mask": mask}


class _Whole(int):
    """A whole number among other labels."""


class _Real(float):
    """Any other number among other labels."""


def _told(labels: Sequence[Hashable]) -> Sequence[Hashable]:
    """States' labels as `info` has them, equal to those of the MDP.

    Gymnasium's vector environments gather them in an array of the type of the first one they meet if that is a number,
    and of objects otherwise. Numbers that do not all fit into one such array therefore are of types of their own.
    """
    kinds = {type(label) for label in labels}
    if len(kinds) == 1 and (kinds != {int} or np.asarray(labels).dtype == int):
        return labels
    whole, real = int | np.integer | np.bool_, float | np.floating
    return [_Whole(x) if isinstance(x, whole) else _Real(x) if isinstance(x, real) else x for x in labels]


def _sample(rng: np.random.Generator, probability: NDArray[np.float64]) -> int:
    cumulative = np.cumsum(probability)
    return int(np.searchsorted(cumulative / cumulative[-1], rng.random(), side="right"))
