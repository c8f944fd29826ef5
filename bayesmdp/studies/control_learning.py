"""How many episodes Gymnasium's control problems take to learn: planners in learned models, beside Q-learning.

Declared when three runs of *futures* and four of *Q-learning* had been seen on the pendulum, and four of *Q-learning*
on the mountain car; their options were not changed after. Those of *fitted* come from a test of it.

- ``pendulum``: Pendulum-v1 seen as (cosine, sine, speed), torques -2, 0 and 2, 10 episodes of 200 steps; the prior is
  `fourier_dynamics` with its defaults. *futures* is `futures_psrl`; *futures of five* averages the returns of five
  models, as PETS does over its ensemble (Chua et al., 2018); *fitted* is `fitted_psrl`, linear in 255 bumps.
- ``pendulum-long``: *Q-learning* alone, 300 episodes.
- ``mountain-car``: 3,000 steps of *fitted*, whose prior believes in little noise; the goal is too far for *futures*.
- ``mountain-car-long``: *Q-learning* alone, 20,000 steps.
- ``cart-pole``: CartPole-v1, 6,000 steps; the prior is `linear_dynamics`, which believes in little noise. *fitted* is
  linear in polynomials of the fourth order and averages its last 100 fits. It was declared after the others, when two
  runs of it had been seen.

*Q-learning* is `tile_q_learning` with its defaults. Told are the reward of an episode of the pendulum and of the cart,
by its number, where every replicate came to its end, and after how many steps the car first reached the goal, over
eight replicates. Numbers of other papers are no rivals: PETS was not run on these problems.

What came out. On the pendulum *futures* swings up from the fourth or fifth episode on (-240, -344 to -136, in the
fourth; -203, -342 to -64, in the fifth). The same search with the true physics earns -137 (-153 to -121, over 120
episodes, measured after the study); *futures* -236 (-320 to -152) in the sixth, -149 (-247 to -51) in the eighth and
-122 (-173 to -71) in the tenth. Five models are not told apart from one. *Q-learning* is at -1,117 (-1,305 to -930) in
the tenth and comes to where *futures* is in the fourth after 150 to 300 (-222, -376 and -165 in the 150th, 200th and
300th). *fitted* learns as fast in the first two episodes and then stays between -470 and -590. With the true physics
the same places and features make a plan that earns -125, so what was learned misleads it: probably off the circle,
which is all that is ever seen, and a small part of the box that places fill. On the mountain car *fitted* reached the
goal in all eight runs, first after 652 (370 to 934) steps, and *Q-learning* after 5,679 (5,170 to 6,188). One run of
*futures* of 1,500 steps, 100 deep, did not reach it. On the cart the pole stands for 494 (481 to 507) of 500 steps in
the fourth episode, 500 in the fifth and 480 (448 to 511) in the tenth: 496 on average from the fourth to the twelfth,
which came after 71 to 1,025 steps. Two runs with polynomials of the second order, 100 iterations at 256 places and the
last fit alone stayed at 132 to 429 steps from the fourth episode on, 240 on average.

``make study STUDIES=control_learning`` runs what ``results/`` does not hold, and writes ``control_learning.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesmdp.studies.statements import finished_cells, interval_table
from bayesmdp.studies.study import AgentSpec, Study

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["STUDIES", "arrivals", "control_table", "main"]

EPISODE = 200
TOLD = (1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 50, 75, 100, 150, 200, 300)
"""Episodes whose reward is told."""
FITTED = {"iterations": 150, "places": 400, "samples": 1, "approximation": "linear"}

_PENDULUM: dict[str, Any] = {
    "environment": "pendulum",
    "environment_options": {"torques": 3, "seen": "circle"},
    "thin": EPISODE,
    "replicates": 8,
    "note": "Gymnasium's Pendulum-v1",
}
BALANCED = {"iterations": 200, "averaged": 100, "places": 512, "samples": 1, "approximation": "linear"}
_CAR: dict[str, Any] = {"environment": "mountain_car", "replicates": 8, "note": "Gymnasium's MountainCar-v0"}
Q_LEARNING = {"Q-learning": AgentSpec("tile_q_learning")}

STUDIES: Mapping[str, Study] = {
    "pendulum": Study(
        title="a pendulum is swung up, by what was learned of it",
        prior="fourier_dynamics",
        agents={
            "futures": AgentSpec("futures_psrl"),
            "futures of five": AgentSpec("futures_psrl", {"num_draws": 5}),
            "fitted": AgentSpec("fitted_psrl", FITTED),
            **Q_LEARNING,
        },
        steps=10 * EPISODE,
        **_PENDULUM,
    ),
    "pendulum-long": Study(
        title="a pendulum is swung up, without a model",
        prior=None,
        agents=Q_LEARNING,
        steps=300 * EPISODE,
        **_PENDULUM,
    ),
    "mountain-car": Study(
        title="a car leaves its valley, by what was learned of it",
        prior="fourier_dynamics",
        prior_options={"noise": 0.002},
        agents={"fitted": AgentSpec("fitted_psrl", FITTED)},
        steps=3_000,
        **_CAR,
    ),
    "mountain-car-long": Study(
        title="a car leaves its valley, without a model",
        prior=None,
        agents=Q_LEARNING,
        steps=20_000,
        **_CAR,
    ),
    "cart-pole": Study(
        title="a pole is balanced on a cart, by what was learned of it",
        environment="cart_pole",
        environment_options={"order": 4},
        prior="linear_dynamics",
        prior_options={"noise": 0.002},
        agents={"fitted": AgentSpec("fitted_psrl", BALANCED)},
        steps=6_000,
        replicates=8,
        note="Gymnasium's CartPole-v1",
    ),
}


def arrivals(state: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say after which steps the mountain car had reached its goal, of all but the last.

    From the goal, at .5, an episode begins again at -.5, as it does from anywhere when it is cut off. In the step
    before it the car's speed takes it to the goal, but for what a step changes of that, at most .0035.

    Parameters
    ----------
    state : array [..., step, coordinate]

    Returns
    -------
    bool array [..., step - 1]
    """
    place, speed = state[..., 0], state[..., 1]
    return (place + speed > 0.49)[..., :-1] & (place[..., 1:] < 0)


def episode_lengths(state: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Return how many steps the cart's episodes lasted that came to their end, of each replicate.

    An episode begins where the cart is not where its speed takes it.

    Parameters
    ----------
    state : array [replicate, step, coordinate]
    """
    import numpy as np

    from bayesmdp.environments.cart_pole import SECONDS

    begins = np.abs(state[:, 1:, 0] - state[:, :-1, 0] - SECONDS * state[:, :-1, 1]) > 1e-9
    return [np.diff(np.flatnonzero(np.append(True, own))) for own in begins]


def control_table(result: xr.DataTree) -> pd.DataFrame:
    """What a cell tells of each agent: the reward of episodes, or the first step in which the goal was reached.

    Parameters
    ----------
    result : DataTree
        Of the pendulum in windows of an episode, or of a car or cart in single steps.

    Returns
    -------
    DataFrame
        A row for each agent, measure and episode (0 for the car): the mean over replicates with its 95% interval, and
        how many of the replicates it is of.
    """
    import numpy as np
    import pandas as pd

    data = result.to_dataset()
    rows: dict[tuple[str, str, int], Any] = {}
    for name in map(str, data["agent"].values):
        own = data.sel(agent=name)
        if "mountain" in data.attrs["mdp"]:
            reached = arrivals(own["state"].values)
            rows[name, "steps to the goal", 0] = 1.0 + reached.argmax(-1)[reached.any(-1)]
            continue
        # Of the pendulum a window is an episode; of the cart each step earns 1.
        is_pendulum = "pendulum" in data.attrs["mdp"]
        earned = list(own["reward"].values) if is_pendulum else episode_lengths(own["state"].values)
        for episode in TOLD:
            if episode <= min(map(len, earned)):
                of_each = [replicate[episode - 1] for replicate in earned]
                rows[name, "reward of the episode", episode] = np.array(of_each, float)
    table = interval_table({row: {"mean": sample} for row, sample in rows.items()})
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["agent", "measure", "episode"])
    return table.assign(replicates=[len(sample) for sample in rows.values()])


def main(folder: str = "results", tables: str = "results") -> None:
    """Run the cells that `folder` does not hold yet, and write the table to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the table, written as CSV.
    """
    from pathlib import Path

    import pandas as pd

    told = [
        control_table(result).reset_index().assign(cell=cell)
        for cell, result in finished_cells("control-learning", STUDIES, folder)
    ]
    pd.concat(told).set_index(["cell", "agent", "measure", "episode"]).round(1).to_csv(
        Path(tables) / "control_learning.csv"
    )
