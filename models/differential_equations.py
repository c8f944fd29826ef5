"""Steps of differential equations ``dy / dt = f(t, y)`` by the Runge-Kutta method of fourth order.

k1 = f(y),  k2 = f(y + h k1 / 2),  k3 = f(y + h k2 / 2),  k4 = f(y + h k3),
y' = y + h (k1 + 2 k2 + 2 k3 + k4) / 6
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

__all__ = ["runge_kutta"]


def runge_kutta(rates: Callable[[Any, Any], Any], state: Any, time: float, steps: int) -> Any:
    """Return the state after some time; may be traced and differentiated.

    Parameters
    ----------
    rates : callable
        ``rates(time, state) -> d state / dt``, of the state's shape; time starts at 0.
    state : array
    time : float
    steps : int
        Equal parts of the time, each of which is one step of the method: its error falls with their fourth power.

    Returns
    -------
    array of the state's shape
    """
    h = time / steps

    def step(y: Any, t: Any) -> tuple[Any, None]:
        k1 = rates(t, y)
        k2 = rates(t + h / 2, y + h / 2 * k1)
        k3 = rates(t + h / 2, y + h / 2 * k2)
        k4 = rates(t + h, y + h * k3)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return step(state, 0.0)[0] if steps == 1 else lax.scan(step, state, h * np.arange(steps))[0]
