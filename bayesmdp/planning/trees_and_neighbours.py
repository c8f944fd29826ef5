"""Q by trees and by nearest neighbours: averages of targets that were seen, which never lie beyond them.

Such *averagers* cannot make fitted iteration diverge, as regressions can (Gordon, 1995), and need no features that
values are linear in. `TreesQ` is the fitted Q iteration of Ernst, Geurts and Wehenkel (2005), by their extremely
randomised trees, as scikit-learn grows them; all actions share a tree here, and trees are of a depth that is given.
They are grown on the host, between compiled steps that simulate: for plans, and not for agents, whose loop is one
compiled program. What has been grown is laid out as arrays and asked in compiled code, so that a plan's policy is as
others are. `NeighboursQ` keeps the latest places and their targets, needs no library, and is compiled throughout.

Both see the problem's features, and neighbours are near by these. Where places are few for their dimension, the
coordinates themselves may serve better: ``mdp.replace(features=...)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Num
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.foundation.extras import brought_by
from bayesmdp.foundation.validation import integer

__all__ = ["NeighboursQ", "TreesQ"]


@dataclass(frozen=True)
class TreesQ:
    """Q by an ensemble of extremely randomised trees (Ernst, Geurts and Wehenkel, 2005), for plans.

    Attributes
    ----------
    trees : int
    depth : int
        Splits from the root to a leaf, at most; memory and time double with each.
    fewest : int
        Places in a leaf, at least.
    seed : int
        Of the splits. They are drawn anew for each fit, by what was seen.
    on_host : bool
        That they are fitted between compiled programs, and not in one.

    See Also
    --------
    bayesmdp.planning.NeighboursQ : in compiled code too.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> trees = bm.planning.FittedQ(TreesQ(trees=10), places=256, samples=4)
    >>> trees.approximation.depth
    7
    """

    trees: int = 30
    depth: int = 7
    fewest: int = 4
    seed: int = 0
    on_host: ClassVar[bool] = True

    def __post_init__(self) -> None:
        integer("trees", self.trees, 1)
        integer("depth", self.depth, 1)
        if self.depth > 16:
            raise ValueError(f"a tree of depth {self.depth} has {2**self.depth:,} leaves; it is at most 16")
        integer("fewest", self.fewest, 1)
        integer("seed", self.seed, 0)

    def init(self, key: Array, num_features: int, num_actions: int) -> dict[str, Array]:
        """Return trees of one leaf, which is 0."""
        del key, num_features
        inner, leaves = 2**self.depth - 1, 2**self.depth
        return {
            "feature": jnp.zeros((self.trees, inner), jnp.int32),
            "threshold": jnp.full((self.trees, inner), jnp.inf),
            "value": jnp.zeros((self.trees, leaves, num_actions)),
        }

    def value(self, fit: dict[str, Array], features: Num[Array, "... feature"]) -> Float[Array, "... action"]:
        """Return the mean over trees of the leaves [..., action]."""
        flat = features.reshape(-1, features.shape[-1])
        row = jnp.arange(len(flat))

        def add(total: Array, tree: dict[str, Array]) -> tuple[Array, None]:
            # Inner nodes are numbered level by level, so that the children of i are 2 i + 1 and 2 i + 2.
            node = jnp.zeros(len(flat), jnp.int32)
            for _ in range(self.depth):
                right = flat[row, tree["feature"][node]] > tree["threshold"][node]
                node = 2 * node + 1 + right
            return total + tree["value"][node - (2**self.depth - 1)], None

        total = jnp.zeros((len(flat), fit["value"].shape[-1]), fit["value"].dtype)
        mean = lax.scan(add, total, jax.tree.map(jnp.asarray, fit))[0] / self.trees
        return mean.reshape(*features.shape[:-1], -1)

    def improve(
        self, fit: dict[str, Array], features: Num[Array, "place feature"], target: Float[Array, "place action"]
    ) -> dict[str, Array]:
        """Return trees grown anew on targets [place, action]; the last fit is only asked for its shapes.

        Raises
        ------
        TypeError
            In compiled code, such as an agent's.
        """
        if isinstance(target, jax.core.Tracer):
            raise TypeError(
                "trees are grown on the host, between compiled programs: TreesQ is for plans, FittedQ(TreesQ()); "
                "agents take 'linear', 'neural' or NeighboursQ()"
            )
        with brought_by("sklearn"):
            from sklearn.ensemble import ExtraTreesRegressor

        seen, wanted = np.asarray(features, np.float64), np.asarray(target, np.float64)
        # Other splits for each fit, and the same for the same targets.
        seed = np.random.SeedSequence([self.seed, *np.frombuffer(wanted.tobytes()[:64], np.uint32)]).generate_state(1)
        grown = ExtraTreesRegressor(
            self.trees, max_depth=self.depth, min_samples_leaf=self.fewest, random_state=int(seed[0])
        ).fit(seen, wanted)
        laid = [self._laid_out(each.tree_) for each in grown.estimators_]
        return {name: np.stack([each[name] for each in laid]) for name in laid[0]}

    def _laid_out(self, tree: Any) -> dict[str, NDArray[Any]]:
        """A tree of scikit-learn's as a full one; what is below a leaf is the leaf."""
        inner = 2**self.depth - 1
        feature, threshold = np.zeros(inner, np.int32), np.full(inner, np.inf)
        # The node of theirs at each place of ours.
        node = np.zeros(2 * inner + 1, np.int64)
        for i in range(inner):
            here = node[i]
            left, right = tree.children_left[here], tree.children_right[here]
            if left >= 0:
                feature[i], threshold[i] = tree.feature[here], _as_asked(tree.threshold[here])
                node[2 * i + 1], node[2 * i + 2] = left, right
            else:
                node[2 * i + 1 : 2 * i + 3] = here
        value = tree.value[node[inner:], :, 0]
        return {"feature": feature, "threshold": threshold, "value": np.asarray(value, np.float64)}


def _as_asked(threshold: float) -> float:
    """The largest number that scikit-learn, which rounds features to 32 bits, takes to be at most the threshold."""
    rounded = np.float32(threshold)
    below = rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf))
    above = np.nextafter(below, np.float32(np.inf))
    return (float(below) + float(above)) / 2


@dataclass(frozen=True)
class NeighboursQ:
    """Q by the mean target of the nearest places, of the latest that were seen.

    Attributes
    ----------
    neighbours : int
    kept : int
        Places that are kept, the latest. More than one iteration draws average over these.

    See Also
    --------
    bayesmdp.planning.TreesQ : trees, which choose what matters.

    Examples
    --------
    >>> import bayesmdp as bm
    >>> bm.agents.fitted_psrl(bm.models.thermostat(), approximation=NeighboursQ(neighbours=4)).algorithm
    'fitted-psrl'
    """

    neighbours: int = 8
    kept: int = 512

    def __post_init__(self) -> None:
        integer("neighbours", self.neighbours, 1)
        integer("kept", self.kept, self.neighbours)

    def init(self, key: Array, num_features: int, num_actions: int) -> dict[str, Array]:
        """Return places [place, feature] and their targets [place, action], all of them 0."""
        del key
        return {"place": jnp.zeros((self.kept, num_features)), "target": jnp.zeros((self.kept, num_actions))}

    def value(self, fit: dict[str, Array], features: Num[Array, "... feature"]) -> Float[Array, "... action"]:
        """Return the mean target [..., action] of the nearest places."""
        place, target = jnp.asarray(fit["place"]), jnp.asarray(fit["target"])
        flat = features.reshape(-1, features.shape[-1])
        # Squared distances less what is the same for all places.
        apart = (place**2).sum(-1) - 2 * flat @ place.T

        # One nearest place after the other: for few of them that is far quicker than XLA's sort.
        def add(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            total, left = carry
            nearest = jnp.argmin(left, -1)
            taken = jnp.arange(self.kept) == nearest[:, None]
            return total + target[nearest], jnp.where(taken, jnp.inf, left)

        total = jnp.zeros((len(flat), target.shape[-1]), target.dtype)
        mean = lax.fori_loop(0, self.neighbours, add, (total, apart))[0] / self.neighbours
        return mean.reshape(*features.shape[:-1], -1)

    def improve(
        self, fit: dict[str, Array], features: Num[Array, "place feature"], target: Float[Array, "place action"]
    ) -> dict[str, Array]:
        """Return the latest places, with those of this fit before older ones."""
        seen = {"place": features, "target": target}
        return {name: jnp.concatenate([jnp.asarray(each), fit[name]])[: self.kept] for name, each in seen.items()}
