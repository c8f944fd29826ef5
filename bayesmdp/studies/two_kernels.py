"""Two small MDPs that show what a quantile is for and what it costs (Song, Wang and Zhou 2026, EC.4), as studies.

In both the posterior holds two kernels, c is the reward of a safe loop at the start, and nothing else pays but a good
state that is never left, 1 a step.

*Example 1, downside exposure.* The risky action leads to the good state under kernel 1 and to a barren one under kernel
2, of mass q. If ``discount / 2 < c < discount (1 - q)``, the plan for the posterior mean takes the risk, and the plan
for a quantile ``level <= q`` does not. They regret, and only there,

    mean plan, kernel 2: c / (1 - discount),    quantile plan, kernel 1: (discount - c) / (1 - discount).

*Example 2, the self-confirming trap.* Probing leads to one of two rooms, which reveals the kernel; in a room one of two
actions leads to the good state and the other to the barren one, and which one depends on the kernel. The safe loop
reveals nothing. A plan for a quantile at or below both masses expects nothing of either action, hence stays, learns
nothing and stays for ever: if ``c < discount^2``, at the regret ``(discount^2 - c) / (1 - discount)`` a step.

    >>> downside()["start"].to_dict()
    {'mean': 'risky', 'quantile:0.2': 'safe'}
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesmdp.posterior import Belief
    from bayesmdp.problems.mdp import MDP

__all__ = ["downside", "downside_problem", "trap", "trap_problem", "two_kernels"]


def downside_problem(
    discount: float = 0.9, safe: float = 0.5, mass: float = 0.3, num_draws: int = 10
) -> tuple[MDP, xr.Dataset]:
    """Example 1: an MDP whose kernel is not known, and its posterior as draws.

    Parameters
    ----------
    discount : float
    safe : float
        c.
    mass : float
        q, the posterior mass of kernel 2, a multiple of ``1 / num_draws``.
    num_draws : int

    Examples
    --------
    >>> mdp, posterior = downside_problem()
    >>> posterior["transition"].sel(state="start", action="risky", next_state="barren").values.sum().item()
    3.0
    """
    import numpy as np
    import xarray as xr

    from bayesmdp.problems.mdp import MDP

    bad = round(mass * num_draws)
    if abs(bad - mass * num_draws) > 1e-9:
        raise ValueError(f"mass must be a multiple of 1 / num_draws; got {mass} with {num_draws} draws")
    states, actions = ["start", "good", "barren"], ["safe", "risky"]
    draws = np.broadcast_to(np.eye(3)[:, None], (num_draws, 3, 2, 3)).copy()
    draws[:, 0, 1] = np.eye(3)[[2] * bad + [1] * (num_draws - bad)]
    mdp = MDP(
        reward=np.array([[safe, 0], [1, 1], [0, 0]]),
        discount=discount,
        states=states,
        actions=actions,
        name="downside exposure",
    )
    coords = {"state": states, "action": actions, "next_state": states}
    return mdp, xr.Dataset({"transition": (("draw", *coords), draws)}, coords)


def downside(
    discount: float = 0.9, safe: float = 0.5, mass: float = 0.3, *, level: float = 0.2, loss: float | None = None
) -> pd.DataFrame:
    """Example 1: what the two plans do at the start, and their posterior downside exposure there.

    Parameters
    ----------
    discount, safe, mass : float
        As for `downside_problem`.
    level : float
    loss : float, optional
        The regret that counts as a downside; by default midway between the two plans' regrets.

    Returns
    -------
    DataFrame
        One row a plan: ``start``, its action there; ``regret_1`` and ``regret_2``, under kernels 1 and 2; ``exposure``,
        the posterior probability of a regret of at least `loss`.
    """
    import pandas as pd

    from bayesmdp.planning import Mean, Quantile, downside_exposure, evaluate, plan, solve

    mdp, posterior = downside_problem(discount, safe, mass)
    loss = (discount / 2) / (1 - discount) if loss is None else loss
    rows = {}
    for risk in (Mean(), Quantile(level)):
        policy = plan(posterior, mdp, risk).policy
        regrets = []
        for draw in (-1, 0):  # a draw of kernel 1, one of kernel 2
            true = mdp.replace(transition=posterior["transition"].values[draw])
            regrets.append(float(solve(true).value[0] - evaluate(true, policy)[0]))
        exposure = float(downside_exposure(posterior, mdp, policy, loss)[0])
        rows[str(risk)] = (str(policy.values[0]), *regrets, exposure)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["start", "regret_1", "regret_2", "exposure"])


def trap_problem(discount: float = 0.9, safe: float = 0.5) -> tuple[MDP, MDP]:
    """Make Example 2 under kernel 1 and under kernel 2.

    Parameters
    ----------
    discount : float
    safe : float
        Reward of the safe loop at the start.

    Returns
    -------
    one, two : MDP

    Examples
    --------
    >>> one, two = trap_problem()
    >>> [int(mdp.transition[0, mdp.action_index("second")].argmax()) for mdp in (one, two)]
    [1, 2]
    """
    import numpy as np

    from bayesmdp.problems.mdp import MDP

    start, first, second, good, barren = range(5)
    kernels = np.zeros((2, 5, 2, 5))
    kernels[:, start, 0, start] = 1
    kernels[:, [good, barren], :, [good, barren]] = 1
    for kernel, (room, right) in enumerate(((first, 0), (second, 1))):
        kernels[kernel, start, 1, room] = 1
        kernels[kernel, [first, second], right, good] = 1
        kernels[kernel, [first, second], 1 - right, barren] = 1
    one, two = (
        MDP(
            transition=kernel,
            reward=np.array([[safe, 0], [0, 0], [0, 0], [1, 1], [0, 0]]),
            discount=discount,
            states=["start", "room 1", "room 2", "good", "barren"],
            actions=["first", "second"],  # at the start: stay, probe
            name=f"trap, kernel {i}",
        )
        for i, kernel in enumerate(kernels, 1)
    )
    return one, two


@lru_cache(maxsize=64)
def two_kernels(one: MDP, two: MDP, num_draws: int, mass: float = 0.5) -> Belief:
    """Make the belief that one of two kernels is the true one.

    Not a conjugate prior, hence a belief of its own: its state is the log mass of each kernel and the rows seen.

    Parameters
    ----------
    one, two : MDP
        With the same states and actions.
    num_draws : int
        Kernels that `draw` returns.
    mass : float in [0, 1]
        Prior mass on the second.

    Returns
    -------
    Belief
    """
    import hashlib

    import jax
    import jax.numpy as jnp
    import numpy as np

    from bayesmdp.model_reading.rows import all_transitions
    from bayesmdp.posterior import Belief

    assert one.transition is not None and two.transition is not None
    kernels = np.stack([one.transition, two.transition])
    shape = kernels.shape[1:]
    empty = all_transitions(*shape)
    with np.errstate(divide="ignore"):
        logs = np.log(kernels)

    def init(key: Any) -> Any:
        return jnp.log(jnp.array([1 - mass, mass])), jnp.zeros(shape)

    def observe(key: Any, state: Any, step: Any) -> Any:
        weights, counts = state
        weights = weights + jnp.asarray(logs)[:, step.state, step.action, step.outcome]
        return weights - jax.nn.logsumexp(weights), counts.at[step.state, step.action, step.outcome].add(1)

    def sample(key: Any, state: Any, num_draws: int) -> dict[str, Any]:
        which = jax.random.categorical(key, state[0], shape=(num_draws,))
        return {"transition": jnp.asarray(kernels)[which]}

    return Belief(
        init=init,
        observe=observe,
        draw=lambda key, state: (state, sample(key, state, num_draws)),
        visits=lambda state: state[1].sum(-1),
        rows=lambda state: empty._replace(weight=state[1].ravel()),
        sample=sample,
        dims=(("transition", ("state", "action", "next_state")),),
        identity=hashlib.sha256(kernels.tobytes() + np.float64(mass).tobytes()).hexdigest()[:16],
    )


def trap(
    discount: float = 0.9,
    safe: float = 0.5,
    *,
    level: float = 0.1,
    steps: int = 400,
    replicates: int = 8,
    seed: int = 0,
) -> xr.DataTree:
    """Run Example 2 online, kernel 1 being the true one, for PSRL, a low fixed level and AQ-BRMDP.

    Parameters
    ----------
    discount, safe
        As for `trap_problem`.
    level : float
        The fixed one.
    steps, replicates, seed : int

    Returns
    -------
    DataTree
        As `simulate` returns it.

    Examples
    --------
    >>> regret = trap(steps=50, replicates=2)["regret"]
    >>> bool(abs(regret.sel(agent="BRMDP") - (0.9**2 - 0.5) / (1 - 0.9)).max() < 1e-9)
    True
    """
    from dataclasses import replace

    from bayesmdp import agents
    from bayesmdp.models import dirichlet_transitions
    from bayesmdp.simulation.simulate import simulate

    one, two = trap_problem(discount, safe)
    unused = dirichlet_transitions(one)

    def believing(agent: agents.Agent, num_draws: int) -> agents.Agent:
        return replace(agent, make_belief=lambda mdp: two_kernels(one, two, num_draws))

    crew = {
        "PSRL": believing(agents.psrl(unused), 1),
        "BRMDP": believing(agents.brmdp(unused, level=level), 200),
        "AQ-BRMDP": believing(agents.aq_brmdp(unused), 200),
    }
    return simulate(one, crew, steps=steps, replicates=replicates, seed=seed)
