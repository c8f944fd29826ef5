"""In the tests every array that a function of the package takes or returns has the axes that its annotation says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray

__all__ = ["ROOMS", "arrays_checked"]

ROOMS = ("bayesmdp.planning", "bayesmdp.posterior", "bayesmdp.agents", "bayesmdp.simulation")
"""The packages whose functions are checked."""


def arrays_checked[F: Callable[..., Any]](function: F) -> F:
    """Check a function's arrays, and leave its other arguments to mypy and to the function's own refusals."""
    annotations = {name: _evaluated(kind, function) for name, kind in inspect.get_annotations(function).items()}
    function.__annotations__ = {name: kind for name, kind in annotations.items() if _is_of_arrays(kind)}
    return beartype(function) if function.__annotations__ else function


def _evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    """What an annotation written as a string stands for; None if it names what only mypy imports."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(function, "__globals__", {}))
    except (NameError, TypeError):
        return None


def _is_of_arrays(annotation: Any) -> bool:
    """Whether it is an array of jaxtyping's, or a union, tuple or mapping of such and None."""
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    parts = get_args(annotation)
    return any(map(_is_of_arrays, parts))
