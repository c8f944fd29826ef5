"""Is a plan from a log better than the behaviour that made it, and how sure is that? Ours beside rivals by their names.

Declared before it was run. In each problem a true MDP is drawn or taken, a behaviour of a set quality
(`behaviour_of_quality`: 0 is the uniform policy, 1 the best one) makes a log of some episodes from the start, cut after
50 steps, and every method makes a policy of the same log. What is told is the *gain*: the true value of the policy at
the start less that of the behaviour, as a share of what the best policy gains. By cell and method: its mean with a 95%
bootstrap interval over problems, the mean of the worst tenth of problems, and the share that are *worse* than the
behaviour (by more than rounding). Declared: 200 problems a cell; the column ``problems`` says how many were run.

Ours, all of one posterior (`prior_from_log`, rewards as the log shows, 200 draws), the behaviour estimated from the log
(`estimated_behaviour`), the action of the behaviour in states that the log never saw:

- ``mean`` and ``quantile:0.1``: plans for the value, the second what ``bayesmdp plan`` does by default;
- ``gain cvar:0.25``, ``gain cvar:0.1``, ``gain quantile:0.1``: plans for the gain over the estimated behaviour.

Rivals (:mod:`bayesmdp.offline.safe_improvement`), with the estimated behaviour and the settings that their papers try:
``maximum likelihood``; ``reward-adjusted`` by .003, .03 and .3 of the spread of rewards; ``spibb`` Pi_b and Pi_<=b with
5, 10, 20 or 50 tries; ``soft spibb`` with a budget of .1, .5, 1 or 2.

Of the three plans for the gain the posterior also says how sure it is, under 1,000 fresh draws: ``bound``, the
0.1-quantile of the gain, is *kept* if the true gain is no smaller (.9 is due); it is not checked as the promise of
`bayesmdp plan` is.

Cells: Garnets of 50 states, 4 actions and 4 next states with a goal (.95), Wet Chicken 5 x 5 (.95), an inventory of 11
(.9), rewards as they are, and of Garnets also Normal with a standard deviation of .2.

``make study STUDIES=better_than_behaviour`` runs every problem that ``results/`` does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.random import Generator
    from numpy.typing import NDArray

    from bayesmdp.offline.experience import Experience
    from bayesmdp.problems.mdp import MDP

__all__ = ["CELLS", "Cell", "main", "run_problem", "summary"]

PROBLEMS = 200
LONGEST, DRAWS, FRESH, LEVEL = 50, 200, 1_000, 0.1

ADJUSTMENTS, ENOUGH, BUDGETS = (0.003, 0.03, 0.3), (5, 10, 20, 50), (0.1, 0.5, 1.0, 2.0)
GAINS = ("cvar:0.25", "cvar:0.1", "quantile:0.1")


class Cell(NamedTuple):
    """Problems of one kind.

    Attributes
    ----------
    truth : {"garnet", "chicken", "inventory"}
    quality : float
        Of the behaviour.
    episodes : int
    noise : float
        Standard deviation of rewards.
    """

    truth: str
    quality: float
    episodes: int
    noise: float = 0.0


CELLS: Mapping[str, Cell] = {
    "garnet-0.5-10": Cell("garnet", 0.5, 10),
    "garnet-0.5-20": Cell("garnet", 0.5, 20),
    "garnet-0.7-100": Cell("garnet", 0.7, 100),
    "garnet-0.9-20": Cell("garnet", 0.9, 20),
    "garnet-0.9-100": Cell("garnet", 0.9, 100),
    "garnet-0.9-20-noisy": Cell("garnet", 0.9, 20, 0.2),
    "chicken-0.5-10": Cell("chicken", 0.5, 10),
    "chicken-0.9-10": Cell("chicken", 0.9, 10),
    "inventory-0.5-10": Cell("inventory", 0.5, 10),
    "inventory-0.9-10": Cell("inventory", 0.9, 10),
}


def _truth(cell: Cell, seed: int) -> MDP:
    from bayesmdp import environments

    if cell.truth == "garnet":
        return environments.garnet(seed=seed)
    if cell.truth == "chicken":
        return environments.wet_chicken()
    return environments.inventory(discount=0.9, rescale=False)


def _log(rng: Generator, mdp: MDP, behaviour: NDArray[Any], cell: Cell) -> xr.Dataset:
    """Episodes from the start, step by step."""
    import numpy as np

    from bayesmdp.logs.log import make_log

    kernel = mdp.transition
    assert kernel is not None
    columns: dict[str, list[Any]] = {
        name: [] for name in ("state", "action", "reward", "next_state", "terminated", "truncated")
    }
    for _ in range(cell.episodes):
        state = int(rng.choice(mdp.num_states, p=mdp.initial))
        for step in range(LONGEST):
            action = int(rng.choice(mdp.num_actions, p=behaviour[state]))
            after = int(rng.choice(mdp.num_states, p=kernel[state, action]))
            pay = float(mdp.reward[state, action, after if mdp.reward.shape[-1] > 1 else 0])
            over = bool(mdp.terminal[after])
            row = (
                state,
                action,
                pay + cell.noise * rng.standard_normal(),
                after,
                over,
                not over and step == LONGEST - 1,
            )
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
            if over:
                break
            state = after
    arrays = {name: np.array(values) for name, values in columns.items()}
    return make_log(mdp, **arrays).assign_attrs(ordered=1)


def _rivals(experience: Experience, problem: MDP, behaviour: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Policies of the others, by name."""
    import numpy as np

    from bayesmdp.offline import safe_improvement as others

    seen = others.likeliest(experience, problem)
    tried = seen.tries > 0
    spread = float(np.ptp(seen.reward[tried])) or 1.0
    yield "maximum likelihood", others.maximum_likelihood(seen)
    for factor in ADJUSTMENTS:
        yield f"reward-adjusted {factor:g}", others.reward_adjusted(seen, factor * spread)
    for enough in ENOUGH:
        yield f"spibb b {enough}", others.spibb(seen, behaviour, enough, "b")
        yield f"spibb at most b {enough}", others.spibb(seen, behaviour, enough)
    for budget in BUDGETS:
        yield f"soft spibb {budget:g}", others.soft_spibb(seen, behaviour, budget)


def run_problem(cell: Cell, seed: int, *, draws: int = DRAWS, fresh: int = FRESH) -> pd.DataFrame:
    """Make one problem and its log, and the policies of all methods.

    Parameters
    ----------
    cell : Cell
    seed : int
    draws, fresh : int
        To plan with, and to judge the gain by.

    Returns
    -------
    DataFrame
        A row each method: ``method``, ``gain`` (share of what the best gains), and of plans for the gain ``bound``, in
        the same units, and ``better``, the posterior probability that anything is gained.
    """
    import numpy as np
    import pandas as pd

    import bayesmdp as bm
    from bayesmdp.offline.behaviour import estimated_behaviour
    from bayesmdp.offline.named_prior import make_prior
    from bayesmdp.planning.posterior_value import left_quantile
    from bayesmdp.planning.risk_names import risk_from_text

    rng = np.random.default_rng([seed, sum(cell.truth.encode()), cell.episodes, round(100 * cell.quality)])
    mdp = _truth(cell, seed)
    true = bm.environments.behaviour_of_quality(mdp, cell.quality, seed=seed)
    log = _log(rng, mdp, true, cell)
    problem = bm.mdp_from_log(log, discount=mdp.discount, elsewhere="each", initial=mdp.initial)
    made = make_prior("auto", log, problem, {})
    known = bm.infer(made.model, log, mdp=problem, draws=0)
    planning = bm.draw(known, draws, seed=2 * seed, model=made.model)
    judging = bm.draw(known, fresh, seed=2 * seed + 1, model=made.model)
    behaviour = estimated_behaviour(log, problem).mean
    unseen = (made.experience.tries.sum(-1) == 0)[:, None]

    def at_start(policy: Any) -> float:
        return float(bm.evaluate(mdp, policy).values @ mdp.initial)

    today = at_start(true)
    most = float(bm.solve(mdp)["value"].values @ mdp.initial) - today
    rows: list[dict[str, Any]] = []

    def judged(method: str, policy: NDArray[Any], **told: float) -> None:
        policy = np.where(unseen, behaviour, policy)
        policy = np.where(mdp.available, policy, 0)
        total = policy.sum(-1, keepdims=True)
        policy = np.where(
            total > 0, policy / np.where(total > 0, total, 1), mdp.available / mdp.available.sum(-1, keepdims=True)
        )
        rows.append({"method": method, "gain": (at_start(policy) - today) / most, **told})

    one_of = {label: i for i, label in enumerate(problem.actions)}
    for risk in ("mean", f"quantile:{LEVEL:g}"):
        planned = bm.plan(planning, problem, risk_from_text(risk), strict=False)["policy"].values.tolist()
        judged(risk, np.eye(problem.num_actions)[[one_of[label] for label in planned]])
    for risk in GAINS:
        plan = bm.plan(planning, problem, risk_from_text(risk), baseline=behaviour)
        gained = bm.gain_draws(judging, problem, plan["probability"], behaviour).values @ problem.initial
        told = {"bound": float(left_quantile(gained, LEVEL)) / most, "better": float((gained > 0).mean())}
        judged(f"gain {risk}", plan["probability"].values, **told)
    for method, policy in _rivals(made.experience, problem, behaviour):
        judged(method, policy)
    return pd.DataFrame(rows)


def summary(problems: pd.DataFrame) -> pd.DataFrame:
    """Mean gain with its interval, the worst tenth, the share worse than the behaviour, and bounds kept.

    Parameters
    ----------
    problems : DataFrame
        Columns ``cell``, ``seed`` and those of `run_problem`.

    Returns
    -------
    DataFrame
        A row each cell and method.
    """
    import numpy as np
    import pandas as pd
    from scipy.stats import bootstrap

    table = []
    for (cell, method), group in problems.groupby(["cell", "method"], sort=False):
        gain = np.sort(group["gain"].to_numpy())
        ends = bootstrap((gain,), np.mean, rng=0, method="percentile").confidence_interval
        worst = gain[: max(1, len(gain) // 10)]
        told = group["bound"].notna()
        kept = float((group["gain"] >= group["bound"] - 1e-9)[told].mean()) if told.any() else np.nan
        table.append(
            {
                "cell": cell,
                "method": method,
                "problems": len(group),
                "gain": gain.mean(),
                "gain_lower": ends.low,
                "gain_upper": ends.high,
                "worst_tenth": worst.mean(),
                "worse": float((gain < -1e-9).mean()),
                "bound_kept": kept,
            }
        )
    return pd.DataFrame(table).set_index(["cell", "method"])


def _ran(folder: str, cells: Sequence[str], problems: int) -> Iterator[pd.DataFrame]:
    """Rows of each cell: those that the folder holds, and what is missing."""
    from pathlib import Path

    import pandas as pd

    for name in cells:
        path = Path(folder) / f"better-than-behaviour-{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        done = pd.read_csv(path) if path.exists() else pd.DataFrame({"seed": []})
        for seed in range(done["seed"].nunique(), problems):
            rows = run_problem(CELLS[name], seed).assign(cell=name, seed=seed)
            done = pd.concat([done, rows], ignore_index=True) if len(done) else rows
            done.to_csv(path, index=False)
        yield done[done["seed"] < problems]


def main(
    folder: str = "results",
    tables: str = "results",
    *,
    cells: Sequence[str] = tuple(CELLS),
    problems: int = PROBLEMS,
) -> None:
    """Run what `folder` does not hold yet, problem by problem, and write the table to `tables`.

    Parameters
    ----------
    folder : str
        Of the cells' results files.
    tables : str
        Folder of the table, written as CSV.
    cells : sequence of str
    problems : int
        Of each cell.
    """
    from pathlib import Path

    import pandas as pd

    summary(pd.concat(_ran(folder, cells, problems))).round(4).to_csv(Path(tables) / "better_than_behaviour.csv")
