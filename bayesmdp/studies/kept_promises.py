"""Is what a plan from a log promises true of the world? Problems that nobody tuned for, by the hundred.

Declared before it was run. In each problem a true MDP is drawn or taken, a behaviour makes one log of it, and the log
goes the way of ``bayesmdp plan`` (risk ``quantile:0.1``, discount .9, 200 draws, 20 logs of each of
two worlds to check the promise on): the problem and the prior from the log, the plan, the bound, and what the check
lowers it by. Then the policy's *true* value where episodes start is compared with

- ``promise``: the number that the command tells one to quote;
- ``raw``: the posterior quantile it was before it was lowered.

A promise is *kept* if the true value is at least as large, and *beyond* if it is more than the best policy earns. Both
are shares of 400 problems a cell, with Wilson's 95% intervals; .90 is due, .86 at the interval's lower end is asked,
and beyond in at most 2%. The *price* of a promise and the value of the policy are told as medians of the difference to
the behaviour, in units of the mean difference between the best policy and the behaviour. Fewer problems than 400 may
have been run; the column ``problems`` says how many.

What came out. Promises are kept in 96% of the 6,960 problems, 144 to 288 of each cell, and in 90 to 100% of a cell; no
cell's interval lies below .90, and in 31 of 32 it lies above the .86 that is asked; it does not in ``deterministic``
(from .84), of which 144 were run. The raw quantile is kept in 84%, in thirteen cells surely in less than .90. That
promises are beyond in at most 2% holds in 16 cells; in ``deterministic``, ``inventory-6``, ``inventory-11``, ``chain``
and ``river`` they surely are in more, .04 to .08. Where the plan is the best policy, whatever breaks the
promise is beyond what any policy earns, so that 2% would ask for a promise at .98 and not at .90. The price is largest
in ``clusters``, ``deterministic-normal`` and ``lake-normal``, where the promise is hardly above the behaviour or below
it.

A first run came before plans left out rarely tried actions (:mod:`bayesmdp.offline.least_tries`), with 200 to 400
problems a cell, of which these are the first. There promises were kept in 96%, in 90 to 100% of each cell, all of whose
intervals began above .86; raw quantiles in 83%. Leaving actions out has a price in the shortest logs of behaviour that
tries all: the median policy gains .62 of what there is to gain in ``dirichlet-50`` and .49 in ``ring-50``, .87 and .73
in the first run.

Truths: Dirichlet rows (5 states, 3 actions, .2 a state); sparse rows (10 states, 3 actions, two next states each);
nearly deterministic rows (.95 to one); a ring of 12 with moves that slip; two clusters of 5, rarely left; inventories
of 6 levels with demand from U(1, 3.3) and of 11 (`environments.inventory`); a queue of 11 with arrivals from U(.2, .7);
a machine of 8 stages of wear that only a repair mends; Garnets of 50 states (1,000 steps); and Chain, RiverSwim-6 and
FrozenLake. Mean rewards of the drawn ones are standard Normal by pair (ring: by state; clusters: better in the second),
and rewards known, Normal with a standard deviation given in units of the spread of the means, Student-t(3), Bernoulli,
by next state, those of the state entered alone (Normal or ones), or with a spread of its own for each pair. Behaviour
is uniform; skewed (Dirichlet .3 over actions); or uniform in half of the states and one action in the others.

``make study STUDIES=kept_promises`` runs every cell that ``results/`` does not hold, and writes ``kept_promises.csv``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bayesmdp.studies.by_problem import by_cell, rounding, share, tables_by_problem

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.random import Generator
    from numpy.typing import NDArray

    from bayesmdp.offline.made_prior import MadePrior
    from bayesmdp.problems.mdp import MDP

__all__ = ["CELLS", "Cell", "Problem", "main", "make_problem", "run_problem", "summary"]

PROBLEMS = 400
DISCOUNT, LEVEL, DRAWS, LOGS = 0.9, 0.1, 200, 20


class Cell(NamedTuple):
    """Problems of one kind.

    Attributes
    ----------
    truth : str
        Of `TRUTHS`.
    steps : int
        Of the log.
    rewards : str
        "known", "normal", "t", "bernoulli", "by pair" (noise), "by next state" (added to what a pair pays), "entered"
        or "entered ones" (what entering a state pays, and nothing else).
    noise : float
        Standard deviation of a reward, in units of the spread of mean rewards.
    behaviour : str
        "uniform", "skewed" or "half".
    scale, shift : float
        Rewards are multiplied by, and moved by, these.
    """

    truth: str
    steps: int = 300
    rewards: str = "known"
    noise: float = 0.0
    behaviour: str = "uniform"
    scale: float = 1.0
    shift: float = 0.0


CELLS: Mapping[str, Cell] = {
    "dirichlet": Cell("dirichlet"),
    "dirichlet-normal": Cell("dirichlet", rewards="normal", noise=0.5),
    "dirichlet-normal-100": Cell("dirichlet", 100, "normal", 1.0),
    "dirichlet-scaled": Cell("dirichlet", rewards="normal", noise=0.5, scale=0.01, shift=-1.0),
    "dirichlet-shifted": Cell("dirichlet", rewards="normal", noise=0.5, scale=100.0, shift=10.0),
    "dirichlet-skewed": Cell("dirichlet", rewards="normal", noise=0.5, behaviour="skewed"),
    "dirichlet-half": Cell("dirichlet", rewards="normal", noise=0.5, behaviour="half"),
    "dirichlet-50": Cell("dirichlet", 50, "normal", 0.5),
    "dirichlet-by-next-state": Cell("dirichlet", rewards="by next state", noise=0.5),
    "dirichlet-entered": Cell("dirichlet", rewards="entered", noise=0.5),
    "dirichlet-entered-100": Cell("dirichlet", 100, "entered", 1.0),
    "dirichlet-entered-ones": Cell("dirichlet", rewards="entered ones"),
    "sparse-t": Cell("sparse", rewards="t", noise=0.5),
    "sparse-3000": Cell("sparse", 3_000, "normal", 0.5),
    "deterministic": Cell("deterministic"),
    "deterministic-normal": Cell("deterministic", rewards="normal", noise=2.0),
    "ring": Cell("ring", rewards="bernoulli"),
    "ring-50": Cell("ring", 50),
    "clusters": Cell("clusters", rewards="by pair", noise=1.0),
    "inventory-6": Cell("inventory-6"),
    "inventory-6-normal": Cell("inventory-6", rewards="normal", noise=0.5),
    "inventory-11": Cell("inventory-11"),
    "inventory-11-3000": Cell("inventory-11", 3_000),
    "queue": Cell("queue"),
    "queue-normal": Cell("queue", rewards="normal", noise=0.5),
    "machine": Cell("machine", rewards="normal", noise=0.5),
    "chain": Cell("chain"),
    "river": Cell("river"),
    "lake": Cell("lake"),
    "lake-normal": Cell("lake", rewards="normal", noise=0.5),
    "garnet": Cell("garnet", 1_000),
    "garnet-normal": Cell("garnet", 1_000, "normal", 0.5),
}


def _rows(rng: Generator, truth: str) -> NDArray[Any]:
    """A kernel [state, action, next_state] of a family that has no environment here."""
    import numpy as np

    if truth == "dirichlet":
        return rng.dirichlet(np.full(5, 0.2), size=(5, 3))
    if truth == "machine":
        return _machine(rng)
    if truth == "ring":
        kernel, state = np.zeros((12, 2, 12)), np.arange(12)
        moves = rng.beta(8, 2)
        for action, step in enumerate((1, -1)):
            kernel[state, action, (state + step) % 12] += moves
            kernel[state, action, state] += 1 - moves
        return kernel
    kernel = np.zeros((10, 3, 10))
    if truth == "sparse":
        for row in kernel.reshape(-1, 10):
            row[rng.choice(10, 2, replace=False)] = rng.dirichlet(np.ones(2))
    elif truth == "deterministic":
        kernel += 0.005
        np.put_along_axis(kernel, rng.integers(10, size=(10, 3, 1)), 0.955, -1)
    else:  # two clusters of five
        for half, other in ((slice(0, 5), slice(5, 10)), (slice(5, 10), slice(0, 5))):
            kernel[half, :, half] = 0.97 * rng.dirichlet(np.full(5, 0.3), size=(5, 3))
            kernel[half, :, other] = 0.03 / 5
    return kernel


def _machine(rng: Generator) -> NDArray[Any]:
    """Eight stages of wear: run (worse by chance), care (worse less often), repair (as new)."""
    import numpy as np

    kernel, worse = np.zeros((8, 3, 8)), rng.dirichlet([3.0, 2.0, 1.0])
    for stage in range(8):
        for more, chance in enumerate(worse):
            kernel[stage, 0, min(stage + more, 7)] += chance
        kernel[stage, 1, min(stage + 1, 7)] += worse[1] / 3
        kernel[stage, 1, stage] += 1 - worse[1] / 3
        kernel[stage, 2, 0] = 1
    return kernel


def _truth(rng: Generator, truth: str) -> MDP:
    """An MDP of a family."""
    import numpy as np

    from bayesmdp import environments
    from bayesmdp.problems.mdp import MDP

    shipped: Mapping[str, Callable[[], MDP]] = {
        "inventory-6": lambda: environments.inventory(5, demand=rng.uniform(1, 3.3), discount=DISCOUNT, rescale=False),
        "inventory-11": lambda: environments.inventory(discount=DISCOUNT, rescale=False),
        "queue": lambda: environments.queue(rng.uniform(0.2, 0.7), capacity=10, discount=DISCOUNT),
        "chain": lambda: environments.chain(discount=DISCOUNT),
        "river": lambda: environments.riverswim(6, discount=DISCOUNT),
        "lake": lambda: environments.frozen_lake(discount=DISCOUNT),
        "garnet": lambda: environments.garnet(discount=DISCOUNT, seed=int(rng.integers(2**31))),
    }
    if truth in shipped:
        return shipped[truth]()
    kernel = _rows(rng, truth)
    size, actions, _ = kernel.shape
    reward: NDArray[Any] = rng.standard_normal((size, actions))
    if truth == "ring":
        reward = np.repeat(rng.uniform(size=(size, 1)), actions, 1)
    elif truth == "clusters":
        reward += 2.0 * (np.arange(size) >= 5)[:, None]
    elif truth == "machine":
        reward = np.stack([1 - np.arange(8) / 6, 0.6 - np.arange(8) / 6, np.full(8, -1.0)], 1)
    return MDP(transition=kernel, reward=reward, discount=DISCOUNT, name=truth)


def _behaviour(rng: Generator, mdp: MDP, kind: str) -> NDArray[Any]:
    import numpy as np

    weight = mdp.available.astype(float)
    if kind == "skewed":
        weight = weight * rng.dirichlet(np.full(mdp.num_actions, 0.3), size=mdp.num_states).clip(1e-3)
    if kind == "half":
        one = np.zeros_like(weight)
        np.put_along_axis(one, np.argmax(weight * rng.random(weight.shape), 1)[:, None], 1, 1)
        weight = np.where((rng.random(mdp.num_states) < 0.5)[:, None], one, weight)
    return weight / weight.sum(-1, keepdims=True)


def _log(rng: Generator, mdp: MDP, behaviour: NDArray[Any], cell: Cell) -> tuple[MDP, xr.Dataset]:
    """The MDP with its rewards as the cell has them, and a log of it."""
    import numpy as np

    from bayesmdp.logs.log import make_log

    assert mdp.transition is not None
    live = mdp.available & ~mdp.terminal[:, None]
    paid = (mdp.transition * mdp.reward).sum(-1)
    spread = float(paid[live].std()) or 1.0
    alone, bring = cell.rewards.startswith("entered"), np.zeros(1)
    if cell.rewards in ("by next state", "entered"):
        bring = rng.standard_normal(mdp.num_states)
    elif cell.rewards == "entered ones":
        bring = rng.random(mdp.num_states)
    if alone:
        spread = float((mdp.transition @ bring)[live].std())
    noise = cell.noise * spread * np.ones(live.shape)
    if cell.rewards == "by pair":
        noise = noise * np.exp(rng.normal(0, 1, live.shape))
    reward = np.broadcast_to(0 if alone else mdp.reward, mdp.transition.shape) + bring
    mdp = mdp.replace(reward=cell.scale * (reward + cell.shift))
    kernel, paid = mdp.transition, mdp.reward
    assert kernel is not None
    columns: dict[str, list[Any]] = {name: [] for name in ("state", "action", "reward", "next_state", "terminated")}
    state = int(rng.choice(mdp.num_states, p=mdp.initial))
    for _ in range(cell.steps):
        action = int(rng.choice(mdp.num_actions, p=behaviour[state]))
        outcome = int(rng.choice(mdp.num_outcomes, p=kernel[state, action]))
        after = outcome if mdp.successor is None else int(mdp.successor[state, action, outcome])
        pay = float(paid[state, action, outcome if paid.shape[-1] > 1 else 0])
        if cell.rewards in ("bernoulli", "entered ones"):
            pay = float(rng.random() < pay)
        elif cell.rewards == "t":
            pay += cell.scale * noise[state, action] * rng.standard_t(3) / 3**0.5
        else:
            pay += cell.scale * noise[state, action] * rng.standard_normal()
        over = bool(mdp.terminal[after])
        for name, value in zip(columns, (state, action, pay, after, over), strict=True):
            columns[name].append(value)
        state = int(rng.choice(mdp.num_states, p=mdp.initial)) if over else after
    arrays = {name: np.array(values) for name, values in columns.items()}
    return mdp, make_log(mdp, **arrays).assign_attrs(ordered=1)


class Problem(NamedTuple):
    """A true MDP, a log of it, and what a log says.

    Attributes
    ----------
    mdp, described : MDP
        The truth, and what the log describes.
    log : Dataset
    made : MadePrior
    today : float
        What the behaviour that made the log earns.
    """

    mdp: MDP
    described: MDP
    log: xr.Dataset
    made: MadePrior
    today: float


def make_problem(cell: Cell, seed: int) -> Problem:
    """Make one problem of a cell, its log, and the prior that the log speaks for.

    Parameters
    ----------
    cell : Cell
    seed : int
    """
    import numpy as np

    from bayesmdp import evaluate, mdp_from_log
    from bayesmdp.offline.named_prior import make_prior

    rng = np.random.default_rng([seed, sum(cell.truth.encode())])
    mdp = _truth(rng, cell.truth)
    behaviour = _behaviour(rng, mdp, cell.behaviour)
    mdp, log = _log(rng, mdp, behaviour, cell)
    described = mdp_from_log(log, discount=DISCOUNT, elsewhere="each", initial=mdp.initial)
    today = float(evaluate(mdp, behaviour).values @ mdp.initial)
    return Problem(mdp, described, log, make_prior("auto", log, described, {}), today)


def run_problem(cell: Cell, seed: int, *, draws: int = DRAWS, logs: int = LOGS) -> dict[str, float]:
    """Make one problem, go the way of ``bayesmdp plan``, and compare with the truth.

    Parameters
    ----------
    cell : Cell
    seed : int
    draws, logs : int
        Draws of a plan; logs of each world.

    Returns
    -------
    dict of float
        ``truth``, ``promise``, ``raw``, ``best``, ``behaviour`` (values at the start), ``checked`` (the share of logs
        on which the raw bound was kept).
    """
    import numpy as np

    from bayesmdp import evaluate, solve
    from bayesmdp.offline.calibration import calibrate
    from bayesmdp.offline.logs_alike import Recording
    from bayesmdp.offline.promise import Pipeline, promised
    from bayesmdp.planning.quantile import Quantile
    from bayesmdp.planning.quantile_interval import left_quantile

    given = make_problem(cell, seed)
    mdp, made = given.mdp, given.made
    assert made.remade is not None
    pipeline = Pipeline(given.described, made.remade, Quantile(LEVEL), LEVEL, draws, least_tries=made.least_tries())
    said = promised(pipeline, made.experience, seed)
    raw = float(left_quantile(said.values, LEVEL))
    recording = Recording(mdp.initial, 0.0)
    checked = calibrate(pipeline, made.rows, made.scatter, recording=recording, logs=logs, seed=seed)

    def at_start(value: xr.DataArray) -> float:
        return float(value.values @ mdp.initial)

    legal = np.where(mdp.available[np.arange(mdp.num_states), said.policy], said.policy, mdp.available.argmax(-1))
    return {
        "truth": at_start(evaluate(mdp, [mdp.actions[i] for i in legal])),
        "promise": raw - checked.value.lowered,
        "raw": raw,
        "best": at_start(solve(mdp)["value"]),
        "behaviour": given.today,
        "checked": checked.value.kept / checked.logs,
    }


def summary(problems: pd.DataFrame) -> pd.DataFrame:
    """Shares kept and beyond with Wilson's 95% intervals, and prices, by cell.

    Parameters
    ----------
    problems : DataFrame
        Columns ``cell`` and those of `run_problem`.

    Returns
    -------
    DataFrame
    """

    def row_of(group: pd.DataFrame) -> dict[str, float]:
        scale = float((group["best"] - group["behaviour"]).abs().mean())
        row: dict[str, float] = {}
        slack = rounding(group["truth"])
        for name in ("promise", "raw"):
            row |= share(f"{name}_kept", group["truth"] >= group[name] - slack)
            row |= share(f"{name}_beyond", group[name] > group["best"] + slack)
            row[f"{name}_price"] = float((group[name] - group["behaviour"]).median()) / scale
        return row | {"policy": float((group["truth"] - group["behaviour"]).median()) / scale}

    return by_cell(problems, row_of)


main = tables_by_problem(
    "kept-promises",
    CELLS,
    PROBLEMS,
    lambda cell, seed: run_problem(cell, seed),
    {"kept_promises": lambda ran: summary(ran).round(4)},
)
