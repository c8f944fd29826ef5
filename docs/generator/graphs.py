"""Drawings of decision problems: a graph of a small table, where a large one leads, walks where states are numbers."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray

import bayesmdp as bm
from bayesmdp.results.plots import colour_of, new_figure

__all__ = ["draw_environment"]

ROWS = {"frozen_lake": 4, "risky_lake": 4, "from_gymnasium": 4}
"""Environments whose states are numbered cells of a grid, with its rows in their example."""
IN_A_ROW = ("riverswim", "chain", "queue", "inventory", "generalised_chain", "hard_linear_mdp")
LARGEST = 21
"""States up to which a problem is drawn as a graph."""


def draw_environment(name: str, problem: Any) -> Figure:
    """Draw a problem in the way that fits it."""
    if hasattr(problem, "transition"):
        kernel = _dense(problem)
        return _graph(name, problem, kernel) if len(kernel) <= LARGEST else _matrix(problem, kernel)
    return _walks(problem) if hasattr(problem, "model") else _densities(problem)


def _dense(problem: Any) -> NDArray[np.float64]:
    """The kernel [state, action, next_state] of a problem, whatever it is stored as."""
    kernel = np.asarray(problem.transition)
    if problem.successor is None:
        return kernel
    states, actions, _ = kernel.shape
    dense = np.zeros((states, actions, states))
    state, action, _ = np.indices(kernel.shape)
    np.add.at(dense, (state, action, np.asarray(problem.successor)), kernel)
    return dense


def _places(name: str, problem: Any) -> NDArray[np.float64]:
    """Where states are drawn [state, 2]: as their labels or stages say, on a grid, in a row, or round a circle."""
    labels, number = [str(label) for label in problem.states], len(problem.states)
    cells = [re.findall(r"\d+", label) for label in labels]
    if name in ROWS:
        return np.array([(state % ROWS[name], -(state // ROWS[name])) for state in range(number)]) * 1.5
    if name in IN_A_ROW:
        return np.array([(1.5 * state, 0.0) for state in range(number)])
    if name == "generalised_double_loop":
        angle = np.pi / 2.5 * np.arange(1, 5)
        loop = 1.6 * np.stack([1 - np.cos(angle), np.sin(angle)], -1)
        return np.concatenate([[(0, 0)], loop * [-1, 1], loop])
    if name == "clinic":
        return np.array(
            [*((3.0 * level, -2.0 * age) for age in (0, 1) for level in (0, 1, 2)), (7.6, -1.9), (7.6, -0.1)]
        )
    if name == "network_routing":
        return np.array([(2.4 * int(b) + 0.9 * len(more), -1.6 * int(a)) for a, b, *more in cells])
    if getattr(problem, "stage", None) is not None:
        stage = np.asarray(problem.stage)
        return np.array([(1.8 * s, -1.2 * np.sum(stage[:i] == s)) for i, s in enumerate(stage)])
    if all(len(cell) == 2 for cell in cells):
        return np.array([(int(column), -int(row)) for row, column in cells]) * 1.5
    if number == 1:
        return np.zeros((1, 2))
    angle = np.pi / 2 - 2 * np.pi * np.arange(number) / number
    return np.stack([np.cos(angle), np.sin(angle)], -1) * max(1.2, 0.36 * number)


def _graph(name: str, problem: Any, kernel: NDArray[np.float64]) -> Figure:
    places = np.asarray(_places(name, problem), float)
    span = np.ptp(places, 0)
    figure = new_figure(min(8.0, 2.5 + 0.75 * span[0]), min(6.5, 2.0 + 0.75 * span[1]))
    axes = figure.subplots()
    available, terminal = np.asarray(problem.available), np.asarray(problem.terminal)
    for action, label in enumerate(problem.actions):
        colour = colour_of(action % 8)
        for state in np.flatnonzero(available[:, action] & ~terminal):
            for after in np.flatnonzero(kernel[state, action] > 0.004):
                share = float(kernel[state, action, after])
                _arrow(axes, places[state], places[after], 0.12 + 0.1 * action, colour, share)
        axes.plot([], [], color=colour, label=str(label))
    for state, label in enumerate(problem.states):
        text = re.sub(r"[()' ]", "", str(label)) if isinstance(label, tuple) else str(label).replace(", ", "\n")
        box = {"boxstyle": "circle" if len(text) < 5 else "round", "edgecolor": "0.2", "linewidth": 0.8}
        box["facecolor"] = "0.8" if terminal[state] else "white"
        axes.text(*places[state], text, ha="center", va="center", fontsize=7, zorder=5, color="0.1", bbox=box)
    axes.set_xlim(places[:, 0].min() - 0.9, places[:, 0].max() + 0.9)
    axes.set_ylim(places[:, 1].min() - 0.8, places[:, 1].max() + 1.1)
    axes.set_aspect("equal")
    axes.axis("off")
    if len(problem.actions) <= 8:
        axes.legend(frameon=False, fontsize="small", ncols=4, loc="upper center", bbox_to_anchor=(0.5, 0.02))
    return figure


def _arrow(axes: Axes, start: Any, end: Any, bend: float, colour: Any, share: float) -> None:
    """An arrow from one state to another, or a loop, the stronger the more probable."""
    look = {"color": colour, "alpha": 0.25 + 0.75 * share, "linewidth": 0.6 + 1.6 * share, "zorder": 2}
    if np.array_equal(start, end):
        left, right = np.array([-0.12, 0.2]), np.array([0.2, 0.12])
        start, end, bend, ends = start + left, start + right, -1.6 - bend, (0, 0)
    else:
        ends = (10, 10)
    arrow = FancyArrowPatch(
        start,
        end,
        connectionstyle=f"arc3,rad={bend}",
        arrowstyle="-|>",
        mutation_scale=8,
        shrinkA=ends[0],
        shrinkB=ends[1],
        **look,
    )
    axes.add_patch(arrow)


def _matrix(problem: Any, kernel: NDArray[np.float64]) -> Figure:
    figure = new_figure(5.2, 4.6)
    axes = figure.subplots()
    reached = kernel.mean(1)
    state, after = np.nonzero(reached > 0.02)
    axes.scatter(after, state, s=2, color=colour_of(0), marker="s", linewidths=0)
    axes.set(xlabel="next state", ylabel="state", xlim=(-1, len(kernel)), ylim=(len(kernel), -1))
    axes.set_title(f"next states more probable than .02, mean of {len(problem.actions)} actions", fontsize="medium")
    return figure


def _walks(problem: Any) -> Figure:
    """Some walks with actions at random, in the first two coordinates or over time."""
    figure = new_figure(5.6, 3.6)
    axes = figure.subplots()
    length = np.ptp([problem.problem.low[:2], problem.problem.high[:2]], 0)
    for seed in range(6):
        log = bm.collect(problem, policy="uniform", steps=60, seed=seed)
        states = np.array(log["state"], float).reshape(60, -1)[:, :2]
        # Lines are broken where an episode begins anew, and where an angle goes round.
        for end in ("terminated", "truncated"):
            if end in log:
                states[1:][np.asarray(log[end])[:-1]] = np.nan
        states[1:][(np.abs(np.diff(states, axis=0)) > 0.6 * length[: states.shape[1]]).any(1)] = np.nan
        axes.plot(*states.T, ".-", color=colour_of(seed), linewidth=0.8, markersize=3)
    two = states.shape[1] > 1
    axes.set(xlabel="first coordinate" if two else "step", ylabel="second coordinate" if two else "state")
    axes.set_title("six walks of up to 60 steps, actions at random", fontsize="medium")
    return figure


def _densities(problem: Any) -> Figure:
    """Where each action leads from two states of a problem that is known by its steps alone."""
    figure = new_figure(8.0, 2.8)
    uniforms = np.random.default_rng(0).random((4_000, 2))
    facts = jax.tree.map(jnp.asarray, problem.problem)
    for axes, start in zip(figure.subplots(1, 2, sharey=True), (0.2, 0.6), strict=True):
        for action, label in enumerate(problem.actions):
            draw = jax.vmap(lambda u, s=start, a=action: facts.draw(facts.parameters, u, np.float32(s), a))
            style = {"bins": 60, "density": True, "histtype": "step", "color": colour_of(action), "label": str(label)}
            axes.hist(np.asarray(draw(uniforms)), **style)
        axes.set(xlabel="next state", title=f"from state {start}", xlim=(0, 1))
    axes.legend(frameon=False, fontsize="small")
    figure.axes[0].set_ylabel("density of 4,000 draws")
    return figure
