"""Functions from Python files of the user's own, with their mistakes told by file and line."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType
from typing import Any

from bayesmdp.foundation.suggestions import did_you_mean

__all__ = ["check_model", "from_file", "model_name", "needed_arguments", "told_by_line"]


def check_model(model: Any) -> None:
    """Refuse with a `TypeError` what cannot be called, and so is no model."""
    if not callable(model):
        raise TypeError(f"a model is a NumPyro function of the data; got {type(model).__name__}")


def model_name(model: Any) -> str:
    """Return the name that a model is recorded under: a function's own, or its class's if it has none.

    Examples
    --------
    >>> from functools import partial
    >>> model_name(model_name), model_name(partial(model_name))
    ('model_name', 'partial')
    """
    return getattr(model, "__name__", type(model).__name__)


def from_file(path: Path, name: str) -> Callable[..., Any]:
    """Run a Python file and return its function of a name.

    Raises
    ------
    ValueError
        If there is no such file or function, or the file fails.

    Parameters
    ----------
    path : Path
    name : str

    Returns
    -------
    callable
    """
    loader = _AsItStands(path.stem, str(path))
    spec = spec_from_loader(path.stem, loader)
    if not path.is_file() or path.suffix != ".py" or spec is None:
        raise ValueError(f"no Python file {path}; a prior of your own is FILE.py:NAME")
    module = module_from_spec(spec)
    with told_by_line(str(path)):
        loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        functions = [name for name, value in vars(module).items() if inspect.isfunction(value)]
        raise ValueError(f"{path} has no function {name!r}; {did_you_mean(name, functions)}")
    return function


class _AsItStands(SourceFileLoader):
    """Compiles the file itself: kept bytecode goes by second and length, and would miss a quick change."""

    def get_code(self, fullname: str) -> CodeType:
        """Neither read bytecode nor leave any beside the user's file."""
        return self.source_to_code(self.get_data(self.path), self.path)


def needed_arguments(function: Callable[..., Any], given: Container[str] = ()) -> list[str]:
    """Name the arguments without which a function cannot be called, and that are not given.

    Parameters
    ----------
    function : callable
    given : container of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> needed_arguments(lambda mdp, table, scale=1.0: None, {"table"})
    ['mdp']
    """
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in variadic]
    return [name for name in needed if name not in given]


@contextmanager
def told_by_line(path: str) -> Iterator[None]:
    """Make any error of the user's own file a `ValueError` of one line."""
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == Path(path).resolve()]
        place = f"{path} line {lines[-1]}: " if path and lines else f"{path}: " if path else ""
        raise ValueError(f"{place}{type(error).__name__ + ': ' if path else ''}{error}") from error
