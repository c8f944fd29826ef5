"""Pictures of the cards beside problems: what priors draw, and the regret of agents, from the stored table of runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import bayesmdp as bm
from bayesmdp.results.plots import colour_of, new_figure
from docs.generator.agent_runs import stored

__all__ = ["draw_prior", "draw_regret"]


def draw_regret(name: str) -> Figure:
    """Cumulative regret of an agent on two problems, with its 95% interval, beside the other agents shown there."""
    table = stored()
    mine = table[table["agent"] == name]
    figure = new_figure(8.0, 3.0)
    for axes, problem in zip(figure.subplots(1, 2), dict.fromkeys(mine["problem"]), strict=True):
        here = table[table["problem"] == problem]
        for other, curve in here.groupby("agent"):
            if other != name:
                axes.plot(curve["step"], curve["mean"], color="0.8", linewidth=0.8, zorder=1)
        curve = here[here["agent"] == name]
        axes.fill_between(curve["step"], curve["lower"], curve["upper"], color=colour_of(0), alpha=0.25, zorder=2)
        axes.plot(curve["step"], curve["mean"], color=colour_of(0), linewidth=2, zorder=3, label=name)
        axes.plot([], [], color="0.8", label="other agents")
        top = max(here.groupby("agent")["mean"].max().median(), curve["mean"].max())
        axes.set_ylim(0, 1.15 * top)
        axes.set(title=problem, xlabel="step", ylabel="cumulative regret")
        axes.title.set_fontsize("medium")
        axes.legend(frameon=False, fontsize="small", loc="upper left")
    return figure


def draw_prior(example: Any, problem: Any) -> Figure:
    """Some draws of a prior: rows of its kernel, rewards, weights of a Q-function, or walks in drawn problems."""
    draws, name = _prior_draws(example, problem), example.make.__name__
    if name.endswith(("_rewards", "_tasks")) and "reward" in draws:
        return _dots(draws["reward"], "pair of a state and an action", "mean reward")
    if "transition" in draws:
        return _rows(draws["transition"], problem)
    if "theta" in draws:
        return _dots(draws["theta"], "weight of a feature", "theta")
    return _walks(example, problem, draws)


def _prior_draws(example: Any, problem: Any) -> dict[str, NDArray[np.float64]]:
    """Draws of what a prior is about [draw, ...]: without a log where it runs so, otherwise as `infer` has them."""
    from numpyro import handlers

    from bayesmdp.model_reading.rows import all_transitions

    model = example.model(problem)
    if problem is None:
        data = SimpleNamespace(gram=np.zeros((5, 1, 1, 1)), score=np.zeros((5, 1, 1)))
    elif hasattr(problem, "transition") and example.make.__name__ != "gaussian_q":
        data = all_transitions(problem.num_states, problem.num_actions, problem.num_outcomes)
    else:
        log = bm.collect(problem, steps=8, seed=0)
        prior = bm.infer(model, log, mdp=_asked_of(example, problem), draws=16)["prior"]
        return {name: np.asarray(value)[:, 0] for name, value in prior.data_vars.items()}
    traces = [handlers.trace(handlers.seed(model, seed)).get_trace(data) for seed in range(4)]
    return {
        site: np.stack([np.asarray(trace[site]["value"]) for trace in traces])
        for site in ("transition", "reward", "theta")
        if site in traces[0]
    }


def _asked_of(example: Any, problem: Any) -> Any:
    """The problem that a prior is one of: where it draws rewards, they are not known."""
    if not example.make.__name__.endswith("_rewards"):
        return problem
    return problem.replace(model=example.model(problem), truth=None, reward=None, reward_range=(-1e3, 1e3))


def _dots(draws: NDArray[np.float64], axis: str, name: str) -> Figure:
    figure = new_figure(6.0, 2.6)
    axes = figure.subplots()
    for index, draw in enumerate(draws[:5]):
        shown = draw.reshape(-1)[:24]
        axes.plot(np.arange(len(shown)), shown, "o-", color=colour_of(index), linewidth=0.6, markersize=4)
    axes.set(xlabel=axis, ylabel=name)
    axes.set_title(f"{len(draws[:5])} draws", fontsize="medium")
    return figure


def _rows(kernels: NDArray[np.float64], problem: Any) -> Figure:
    """The kernel of one action in some draws, side by side."""
    figure = new_figure(8.0, 2.4)
    action = problem.num_actions - 1
    axis = "next state" if problem.successor is None else "outcome"
    for index, (axes, kernel) in enumerate(zip(figure.subplots(1, 4), kernels, strict=False)):
        axes.imshow(kernel[:16, action, :16], cmap="Blues", vmin=0, vmax=1)
        axes.set_title(f"draw {index + 1}", fontsize="medium")
        axes.set(xticks=[], yticks=[], xlabel=axis)
    figure.axes[0].set_ylabel("state")
    figure.suptitle(f"transition probabilities of action {problem.actions[action]!s}", fontsize="medium")
    return figure


def _walks(example: Any, problem: Any, draws: dict[str, NDArray[np.float64]]) -> Figure:
    """A walk in each of some problems drawn from a prior of states that are numbers."""
    figure = new_figure(6.0, 3.0)
    axes = figure.subplots()
    model, asked = example.model(problem), _asked_of(example, problem)
    for seed in range(4):
        world = asked.replace(model=model, truth={name: value[seed] for name, value in draws.items()})
        log = bm.collect(world, policy="uniform", steps=40, seed=0)
        axes.plot(np.asarray(log["state"]).reshape(40, -1)[:, 0], color=colour_of(seed), linewidth=1.2)
    low, high = float(problem.problem.low[0]), float(problem.problem.high[0])
    lowest, highest = axes.get_ylim()
    axes.set_ylim(max(lowest, 1.5 * low - 0.5 * high), min(highest, 1.5 * high - 0.5 * low))
    axes.set(xlabel="step", ylabel="first coordinate")
    axes.set_title("one walk, the same actions, in each of four problems drawn from the prior", fontsize="medium")
    return figure
