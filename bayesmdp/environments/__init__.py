"""Decision problems to learn on, one file each: functions that return an :class:`~bayesmdp.mdp.MDP`."""

from bayesmdp.environments.frozen_lake import frozen_lake
from bayesmdp.environments.riverswim import riverswim

__all__ = ["frozen_lake", "riverswim"]
