"""A function of arrays, computed with each distinct entry once.

Structured models repeat themselves: the same three probabilities of a current stand at every place of a river, and most
of a kernel's entries are 0. Of an array of a traced program the values that differ are kept, and a table, made
beforehand, of which value stands where. What moves entries (reshaping, indexing by known indices, setting entries,
repeating) then moves numbers of the table, on the host, and costs nothing as the program runs; what computes entry by
entry is computed once for each combination of values that occurs; sums and matrix products once for each row that
differs. Two entries count as the same only where the program makes them by the same operations from the same values, so
that no coincidence of numbers can merge what is different (value numbering: Alpern, Wegman and Zadeck, 1988, here entry
by entry). Whatever is none of these operations is computed as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun
from numpy.typing import NDArray

from bayesmdp.foundation.arrays import Array
from bayesmdp.model_reading.lookups import FOLLOWED, NESTED
from bayesmdp.model_reading.moved_entries import MOVED

__all__ = ["distinct_entries"]

GAIN = 2
"""Values are kept apart from their places where there are this many times as many places; else nothing is gained."""

# fmt: off
ENTRY_BY_ENTRY = frozenset((
    "abs", "add", "and", "bitcast_convert_type", "ceil", "clamp", "convert_element_type", "copy", "cos", "cosh",
    "digamma", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow",
    "is_finite", "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter",
    "not", "or", "pow", "rem", "round", "rsqrt", "select_n", "shift_left", "shift_right_arithmetic", "sign", "sin",
    "sinh", "sqrt", "square", "stop_gradient", "sub", "tan", "tanh", "xor",
))
# fmt: on
KNOWN = FOLLOWED | {
    "gt": lambda x, y, **_: x > y,
    "ge": lambda x, y, **_: x >= y,
    "le": lambda x, y, **_: x <= y,
    "eq": lambda x, y, **_: x == y,
    "ne": lambda x, y, **_: x != y,
    "and": lambda x, y, **_: x & y,
    "or": lambda x, y, **_: x | y,
    "not": lambda x, **_: ~x,
}
"""What is computed beforehand of known arrays: whether an index is within an array is asked by these."""
REDUCED = frozenset(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or"))


class _Entries(NamedTuple):
    """An array, as values and which of them stands where.

    Attributes
    ----------
    values : array [value], or the array itself
        A NumPy array where it is known beforehand.
    place : int array of the array's shape, or None
        Numbers of values; None of an array that is kept as it is.
    """

    values: Any
    place: NDArray[np.intp] | None = None

    @property
    def known(self) -> bool:
        return isinstance(self.values, np.ndarray)

    def places(self) -> NDArray[np.intp]:
        """Numbers of values in the flattened `values`."""
        return np.arange(math.prod(self.values.shape)).reshape(self.values.shape) if self.place is None else self.place

    def at(self, place: NDArray[np.intp]) -> Any:
        """The values at these numbers."""
        flat = self.values.reshape(-1)
        if self.known:
            return flat[place]
        if place.shape == flat.shape and (place == np.arange(len(flat))).all():
            return flat
        if flat.shape == (1,):
            return jnp.broadcast_to(flat[0], place.shape)
        return flat.at[place].get(mode="promise_in_bounds")

    def whole(self) -> Any:
        """The array itself."""
        return self.values if self.place is None else self.at(self.place)


def distinct_entries(
    function: Callable[..., tuple[Array, Array]], *example: Any
) -> tuple[Callable[..., tuple[Array, Array]], NDArray[np.intp]]:
    """Return a function that computes each distinct entry of an array once, and which entry stands where.

    Parameters
    ----------
    function : callable
        Of arrays; returns a number and an array [row].
    *example : arrays
        Of the shapes and types of its arguments.

    Returns
    -------
    function : callable
        Of the same arguments; returns the number and an array [entry].
    place : int array [row]
        The entry of each row.

    Examples
    --------
    >>> tied = lambda p: (p**2, jnp.log(jnp.zeros((2, 3)).at[0].set(p).at[1, 1].set(1 - p).ravel()))
    >>> entries, place = distinct_entries(tied, jnp.array(0.5))
    >>> entries(0.25)[1].shape, place.tolist()
    ((3,), [1, 1, 1, 0, 2, 0])
    """
    places: list[NDArray[np.intp]] = []

    def distinct(*arguments: Any) -> tuple[Array, Array]:
        number, rows = _run(program, [_Entries(argument) for argument in arguments])
        values, place = _used(rows, rows.places())
        places.append(place)
        return number.whole(), jnp.asarray(values)

    program = jax.make_jaxpr(function)(*example)
    compact = jaxpr_as_fun(jax.make_jaxpr(distinct)(*example))
    return lambda *arguments: tuple(compact(*map(jnp.asarray, arguments))), places[-1]


def _run(program: Any, inputs: list[_Entries]) -> list[_Entries]:
    """The outputs of a traced program."""
    found: dict[Any, _Entries] = dict(zip(program.jaxpr.invars, inputs, strict=True))
    for var, const in zip(program.jaxpr.constvars, program.consts, strict=True):
        found[var] = const if isinstance(const, _Entries) else _of_constant(const)

    def read(operand: Any) -> _Entries:
        return _of_constant(operand.val) if hasattr(operand, "val") else found[operand]

    for equation in _needed(program.jaxpr):
        operands = [read(operand) for operand in equation.invars]
        if equation.primitive.name in NESTED:
            outputs = _run(equation.params["jaxpr"], operands)
        else:
            outputs = _computed(equation, operands)
        found.update(zip(equation.outvars, outputs, strict=True))
    return [read(output) for output in program.jaxpr.outvars]


def _needed(program: Any) -> Iterator[Any]:
    """The equations on which outputs depend."""
    wanted, kept = {id(var) for var in program.outvars}, []
    for equation in reversed(program.eqns):
        if any(id(var) in wanted for var in equation.outvars):
            kept.append(equation)
            wanted |= {id(var) for var in equation.invars}
    return reversed(kept)


def _of_constant(constant: Any) -> _Entries:
    if jnp.issubdtype(jnp.result_type(constant), jax.dtypes.extended) or isinstance(constant, jax.core.Tracer):
        return _Entries(constant)
    array = np.asarray(constant)
    if array.size < GAIN:
        return _Entries(array)
    # By their bits: -0 is another number than 0, and NaN the same as itself.
    bits = np.ascontiguousarray(array).view(f"u{array.itemsize}") if array.dtype.kind == "f" else array
    _, first, place = np.unique(bits, return_index=True, return_inverse=True)
    if GAIN * len(first) > array.size:
        return _Entries(array)
    return _Entries(array.reshape(-1)[first], place.reshape(array.shape))


def _computed(equation: Any, operands: list[_Entries]) -> list[_Entries]:
    """The outputs of one operation."""
    name, params = equation.primitive.name, equation.params
    if name in KNOWN and all(operand.known for operand in operands):
        made = np.asarray(KNOWN[name](*(operand.whole() for operand in operands), **params))
        return [_of_constant(made.astype(equation.outvars[0].aval.dtype))]
    if name == "iota":
        shape, dimension = params["shape"], params["dimension"]
        return [_Entries(np.asarray(np.indices(shape)[dimension], dtype=params["dtype"]))]
    outputs: list[_Entries] | None = None
    if name in MOVED:
        outputs = _moved(equation, operands)
    elif any(operand.place is not None for operand in operands):
        if name in ENTRY_BY_ENTRY:
            outputs = _entry_by_entry(equation, operands)
        elif name in REDUCED:
            outputs = _reduced(equation, *operands)
        elif name == "dot_general":
            outputs = _product(equation, *operands)
    if outputs is not None:
        return outputs
    return [_Entries(output) for output in _bound(equation, [operand.whole() for operand in operands])]


def _bound(equation: Any, operands: list[Any], **changed: Any) -> list[Any]:
    """What the operation makes of arrays."""
    params = equation.primitive.get_bind_params(equation.params | changed)
    # Functions stand beside the parameters in older versions of JAX, and among them in newer ones.
    functions, params = params if isinstance(params, tuple) else ((), params)
    made = equation.primitive.bind(*functions, *operands, **params)
    return list(made) if equation.primitive.multiple_results else [made]


def _used(entries: _Entries, place: NDArray[np.intp]) -> tuple[Any, NDArray[np.intp]]:
    """The values that stand somewhere, and their numbers."""
    used, numbers = np.unique(place, return_inverse=True)
    return entries.at(used), numbers.reshape(place.shape)


def _entry_by_entry(equation: Any, operands: list[_Entries]) -> list[_Entries] | None:
    """Each combination of values once."""
    shape = equation.outvars[0].aval.shape
    places = [np.broadcast_to(operand.places(), shape).ravel() for operand in operands]
    combination = np.zeros(math.prod(shape), np.intp)
    for operand, place in zip(operands, places, strict=True):
        # Numbered anew after each operand, so that numbers stay small.
        combination = combination * math.prod(operand.values.shape) + place
        combination = np.unique(combination, return_inverse=True)[1].reshape(-1)
    _, first = np.unique(combination, return_index=True)
    if GAIN * len(first) > len(combination):
        return None
    values = _bound(equation, [operand.at(place[first]) for operand, place in zip(operands, places, strict=True)])[0]
    return [_Entries(values, combination.reshape(shape))]


def _rows(place: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows of a table [row, column] that differ, and the number of each."""
    rows, number = np.unique(place, axis=0, return_inverse=True)
    return rows, number.reshape(-1)


def _reduced(equation: Any, operand: _Entries) -> list[_Entries] | None:
    """Each row once, of those that are summed up or whose largest is taken."""
    axes, place = equation.params["axes"], operand.places()
    kept = [axis for axis in range(place.ndim) if axis not in axes]
    shape = equation.outvars[0].aval.shape
    rows, number = _rows(place.transpose(*kept, *axes).reshape(math.prod(shape), -1))
    if GAIN * len(rows) > len(number):
        return None
    return [_Entries(_bound(equation, [operand.at(rows)], axes=(1,))[0], number.reshape(shape))]


def _product(equation: Any, left: _Entries, right: _Entries) -> list[_Entries] | None:
    """Each pair of rows once; outputs are [batch, row of the left, row of the right]."""
    contracted, batched = equation.params["dimension_numbers"]
    rows, numbers = [], []
    for operand, summed, batch in zip((left, right), contracted, batched, strict=True):
        place = operand.places()
        free = [axis for axis in range(place.ndim) if axis not in (*summed, *batch)]
        sizes = math.prod(place.shape[axis] for axis in batch), math.prod(place.shape[axis] for axis in free)
        found, number = _rows(place.transpose(*batch, *free, *summed).reshape(math.prod(sizes), -1))
        rows.append(found)
        numbers.append(number.reshape(sizes))
    pair = numbers[0][:, :, None] * len(rows[1]) + numbers[1][:, None, :]
    used, number = np.unique(pair, return_inverse=True)
    if GAIN * len(used) > pair.size:
        return None
    of_left, of_right = np.divmod(used, len(rows[1]))
    aval = equation.outvars[0].aval
    values = jnp.einsum(
        "vk,vk->v",
        left.at(rows[0][of_left]),
        right.at(rows[1][of_right]),
        precision=equation.params["precision"],
        preferred_element_type=equation.params["preferred_element_type"] or aval.dtype,
    )
    return [_Entries(values, number.reshape(aval.shape))]


def _moved(equation: Any, operands: list[_Entries]) -> list[_Entries] | None:
    """What moves entries, on the numbers of their values."""
    name, params = equation.primitive.name, equation.params
    indexed = name in ("gather", "scatter")
    if indexed and not operands[1].known:
        return None
    moving = [operands[0], *operands[2:]] if indexed else operands
    # Values that several arrays share are the same in what is made of these.
    parts = list({id(operand.values): operand for operand in moving}.values())
    ends = np.cumsum([0, *(math.prod(part.values.shape) for part in parts)])
    offset = {id(part.values): end for part, end in zip(parts, ends, strict=False)}
    places = [operand.places() + offset[id(operand.values)] for operand in moving]
    made = (
        MOVED[name](*places[:1], operands[1].whole(), *places[1:], **params)
        if indexed
        else MOVED[name](*places, **params)
    )
    if made is None:
        return None
    outputs = made if isinstance(made, list) else [made]
    if all(operand.known for operand in moving):
        values: Any = np.concatenate([part.values.reshape(-1) for part in parts])
        return [_of_constant(values[place]) for place in outputs]
    if any(GAIN * len(np.unique(place)) > place.size for place in outputs):
        return None
    dtype = equation.outvars[0].aval.dtype
    joined = _Entries(jnp.concatenate([jnp.asarray(part.values, dtype).reshape(-1) for part in parts]))
    return [_Entries(*_used(joined, place)) for place in outputs]
