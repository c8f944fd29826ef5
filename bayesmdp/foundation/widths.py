"""NumPy arrays that a function closes over, in 64 bits where JAX has 64 and in 32 where it has 32.

Our public functions compute in 64 bits (``jax.enable_x64``) and leave the caller's own programs as they are, which have
32 by default. Both run one NumPyro model, which may hold NumPy arrays. JAX makes a constant of such an array when it
traces, and hands out the same constant for the same array as long as any program holds it, whatever its width has
become since: the cache of `jax._src.dtypes.canonicalize_value` goes by the array alone (seen with jax 0.12). A model
that `infer` has read would then fail in NumPyro's own tools, and the other way round, with dtypes that do not agree,
with code that XLA refuses, or with half the digits and no word.

So the constant is looked up by the array *and* its width. There is no public way to say so. Where JAX tells the widths
apart by itself nothing is changed.
"""

from __future__ import annotations

import weakref
from importlib import import_module
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

__all__ = ["keep_widths_apart"]


def keep_widths_apart() -> bool:
    """Let JAX make constants of NumPy arrays at the width of the moment; whether it had to be told."""
    try:
        dtypes, literals = (import_module(f"jax._src.{name}") for name in ("dtypes", "literals"))
        make, register = dtypes.canonicalize_value, dtypes.register_canonicalize_value_handler
        constant, check = literals.TypedNdArray, dtypes.check_valid_dtype
    except (ImportError, AttributeError):  # another JAX, which does this elsewhere
        return False
    if not _confuses_widths(make):
        return False
    made: dict[tuple[int, np.dtype[Any]], tuple[weakref.ref[Any], weakref.ref[Any]]] = {}

    def of_array(array: NDArray[Any]) -> Any:
        if isinstance(array, constant):
            return array
        check(array.dtype)
        dtype = dtypes.canonicalize_dtype(array.dtype)
        key = id(array), dtype
        source, known = (refer() for refer in made[key]) if key in made else (None, None)
        if source is not array or known is None:  # a number may be that of an array before
            known = constant(np.asarray(array, dtype))
            made[key] = weakref.ref(array), weakref.ref(known, lambda _: made.pop(key, None))
        return known

    register(np.ndarray, of_array)
    return True


def _confuses_widths(make: Any) -> bool:
    array = np.zeros(1)
    with jax.enable_x64(True):
        wide = make(array)
    with jax.enable_x64(False):
        return bool(make(array).dtype == wide.dtype)
