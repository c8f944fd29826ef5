"""Posterior sampling on a space of numbers: fitted Q iteration for one sampled model a pseudo-episode.

As `psrl`, with states that are numbers and Q approximated; the rival of Song, Wang and Zhou (2026), section EC.7.7.
"""

from __future__ import annotations

from bayesmdp.agents.agent import Agent
from bayesmdp.agents.families.fitted_q import fitted_agent, judged_alone
from bayesmdp.model_reading.read_model import Model
from bayesmdp.planning.approximations import Approximation

__all__ = ["fitted_psrl"]


def fitted_psrl(
    prior: Model,
    *,
    approximation: str | Approximation = "neural",
    iterations: int = 20,
    places: int = 64,
    samples: int = 8,
    averaged: int = 1,
    room: int = 5_000,
) -> Agent:
    """Plan for one posterior draw on a space of numbers, by fitted Q iteration (PSRL).

    Parameters
    ----------
    prior : NumPyro model of `Records`
        What is unknown, and the simulator; see :mod:`bayesmdp.model_reading.records`.
    approximation : {"neural", "linear"} or Approximation
        Such as ``bm.planning.NeuralQ(width=128)``.
    iterations : int
        Iterations of fitted Q at the start of each pseudo-episode.
    places : int
        States at which Q is fitted, drawn anew for each iteration, uniformly over the box of states.
    samples : int
        Next states simulated for each place and action.
    averaged : int
        How many of the last iterations' fits are averaged, where Q is linear in the fit: each alone is as noisy as the
        places it saw. Plans (`FittedQ`) average by themselves. With 1 the agent is the paper's.
    room : int
        Steps there is room for, where the posterior has no closed form and is followed by particles.

    Returns
    -------
    Agent

    Raises
    ------
    ValueError
        For options out of range.

    Notes
    -----
    *When.* Where states are numbers and a NumPyro model simulates steps.

    *When not.* Where a table would do: Q is approximated, and nothing is certified.

    *Cost.* One fitted Q iteration a pseudo-episode, under one draw; `room` bounds the steps.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> lake = bm.environments.slippery_lake()
    >>> agent = fitted_psrl(bm.models.slippery_lake(lake), approximation="linear")
    >>> result = bm.simulate(lake, {"PSRL": agent}, steps=50, replicates=1)
    >>> dict(result.sizes)
    {'agent': 1, 'replicate': 1, 'step': 50, 'coordinate': 2}
    """
    return fitted_agent(
        "fitted-psrl",
        prior,
        judged_alone,
        {},
        num_draws=1,
        by=approximation,
        iterations=iterations,
        places=places,
        samples=samples,
        averaged=averaged,
        room=room,
    )
