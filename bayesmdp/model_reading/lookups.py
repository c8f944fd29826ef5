"""Lookups of a model in places that an array does not have.

Inside a compiled program ``transition[data.state, data.action]`` cannot fail: JAX takes the nearest place that there
is. A model with its indices swapped then has a posterior like any other, and a wrong one. So the lookups of one
abstract run are followed before anything is compiled: where an index comes from the data by the few operations that
indexing is made of, it is computed in NumPy and compared with the array's shape. An index that depends on the unknowns
is left alone, and so is a lookup that says itself what happens outside (``array.at[index].get(mode="clip")``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from bayesmdp.model_reading.model_runs import Latent, Model, sites
from bayesmdp.model_reading.records import Records
from bayesmdp.model_reading.rows import Transitions

__all__ = ["FOLLOWED", "NESTED", "broadcast", "check_lookups"]

# What JAX makes of `array[index]`: a negative index counts from the end, and several indices are laid side by side.
FOLLOWED: dict[str, Callable[..., Any]] = {
    "lt": lambda x, y, **_: x < y,
    "add": lambda x, y, **_: x + y,
    "sub": lambda x, y, **_: x - y,
    "mul": lambda x, y, **_: x * y,
    "select_n": lambda which, *cases, **_: np.choose(np.asarray(which, int), cases),
    "convert_element_type": lambda x, *, new_dtype, **_: np.asarray(x).astype(new_dtype),
    "broadcast_in_dim": lambda x, *, shape, broadcast_dimensions, **_: broadcast(x, shape, broadcast_dimensions),
    "concatenate": lambda *parts, dimension, **_: np.concatenate(parts, dimension),
    "reshape": lambda x, *, new_sizes, **_: np.reshape(x, new_sizes),
    "squeeze": lambda x, *, dimensions, **_: np.squeeze(x, dimensions),
}
NESTED = ("jit", "pjit", "closed_call")


def check_lookups(model: Model, data: Transitions | Records, latents: Mapping[str, Latent]) -> None:
    """Refuse a model that looks up by the data what an array does not hold.

    Parameters
    ----------
    model : NumPyro function of the data
    data : Transitions or Records, of arrays
    latents : mapping
        The model's unknowns, by name.

    Raises
    ------
    IndexError
        With the array's shape, the axis, the index and the row.
    """
    columns, structure = jax.tree.flatten(data)
    unknowns = tuple((name, latent.shape, int if latent.discrete else float) for name, latent in latents.items())
    program = _traced.trace(model, structure, unknowns, columns).jaxpr
    known: list[_Known] = [np.asarray(column) for column in columns]
    for shape, axis, index, row in _outside(program, known):
        of_row = row is not None and row < len(data.state)
        where = f" at row {row} (state {data.state[row]}, action {data.action[row]})" if of_row else ""
        of_table = (
            "transition is [state, action, next_state or outcome], and a row's is transition[data.state, data.action]; "
        )
        raise IndexError(
            f"the model looks up index {index} along axis {axis} of an array of shape {shape}{where}; there are "
            f"indices 0 to {shape[axis] - 1}, and JAX would take the nearest without a word. "
            f"{of_table * isinstance(data, Transitions)}where an index beyond the array is meant, say so with "
            'array.at[index].get(mode="clip")'
        )


# JAX keeps what it traced, so that the same model and shapes are not traced again.
@partial(jax.jit, static_argnums=(0, 1, 2))
def _traced(model: Model, structure: Any, unknowns: tuple[tuple[str, tuple[int, ...], type], ...], columns: Any) -> Any:
    # What the unknowns are worth is not to be followed, so they come from an operation that is not.
    zeros = {name: jnp.zeros(shape, kind) for name, shape, kind in unknowns}
    values = lax.optimization_barrier(zeros)  # type: ignore[no-untyped-call]
    sites(model, jax.tree.unflatten(structure, columns), values)


type _Known = NDArray[Any] | None
type _Lookup = tuple[tuple[int, ...], int, int, int | None]
"""An array's shape, the axis, the index, and its place along the first axis of all indices: the row if there is one a
row."""


def _outside(program: Any, inputs: list[_Known]) -> Generator[_Lookup, None, list[_Known]]:
    """The lookups of a traced program that are outside; in the end, what is known of its outputs."""
    known: dict[Any, _Known] = dict(zip(program.jaxpr.invars, inputs, strict=True))
    for var, const in zip(program.jaxpr.constvars, program.consts, strict=True):
        if not jnp.issubdtype(var.aval.dtype, jax.dtypes.extended):  # keys of random numbers are no arrays of NumPy's
            known[var] = np.asarray(const)

    def value(operand: Any) -> _Known:
        return np.asarray(operand.val) if hasattr(operand, "val") else known.get(operand)

    for equation in program.jaxpr.eqns:
        name, operands = equation.primitive.name, [value(operand) for operand in equation.invars]
        if name == "gather" and equation.params["mode"] == lax.GatherScatterMode.PROMISE_IN_BOUNDS:
            if operands[1] is not None:
                yield from _beyond(equation.invars[0].aval.shape, operands[1], equation.params)
        elif name in NESTED:
            outputs = yield from _outside(equation.params["jaxpr"], operands)
            known.update(zip(equation.outvars, outputs, strict=True))
        elif name in FOLLOWED and all(operand is not None for operand in operands):
            known[equation.outvars[0]] = FOLLOWED[name](*operands, **equation.params)
    return [value(output) for output in program.jaxpr.outvars]


def _beyond(shape: tuple[int, ...], indices: NDArray[Any], params: dict[str, Any]) -> Iterator[_Lookup]:
    axes = params["dimension_numbers"].start_index_map
    for place, axis in enumerate(axes):
        along = indices[..., place]
        wrong = (along < 0) | (along > shape[axis] - params["slice_sizes"][axis])
        if wrong.any():
            first = np.argwhere(wrong)[0]
            yield shape, axis, int(along[tuple(first)]), int(first[0]) if len(first) else None


def broadcast(x: Any, shape: tuple[int, ...], dimensions: tuple[int, ...]) -> NDArray[Any]:
    """Repeat an array along the axes of `shape` that are none of `dimensions`, as ``lax.broadcast_in_dim`` does.

    Parameters
    ----------
    x : array
    shape, dimensions : tuple of int
        Which axis of `shape` each of the array's is.

    Returns
    -------
    array [*shape]
    """
    sizes = [1] * len(shape)
    for place, size in zip(dimensions, np.shape(x), strict=True):
        sizes[place] = size
    return np.broadcast_to(np.reshape(x, sizes), shape)
