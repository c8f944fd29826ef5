"""What a study is made of, so that numbers of two studies, or of two states of one model, are never mixed.

A study is told by its options and by the source of the functions that it names: of a module the whole file, of a
function typed into a script or a notebook its own text and what it closes over. What those import is not looked at;
for that each chunk brings a fingerprint of what was really run: the problem's arrays, the priors' densities at some
points, all options.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bayesmdp.studies import AgentSpec, Study
from bayesmdp.studies.study import find_part, made_options, part_name
from bayesmdp.studies.task_study import TaskStudy

__all__ = ["described", "fingerprint", "sources"]

LEFT_OUT = ("title", "note", "replicates", "steps", "thin")
"""Of a study's fields, those that do not change its numbers or that a sweep sets."""
MADE = ("prior_options", "truth_options")
"""Fields that may be functions that return options."""
LARGEST = 1_000
"""Numbers of an array that is written out; of larger ones a digest is kept."""


def described(value: Any) -> Any:
    """A study as JSON can hold it.

    Examples
    --------
    >>> from bayesmdp.studies import find
    >>> described(find("aq-brmdp/riverswim-6").with_agents(["PSRL"]))["agents"]
    {'PSRL': {'algorithm': 'psrl'}}
    """
    if isinstance(value, Study | AgentSpec):
        told = {}
        for each in fields(value):
            held = getattr(value, each.name)
            if each.name not in LEFT_OUT:
                told[each.name] = described(made_options(held) if each.name in MADE else held)
        return {name: each for name, each in told.items() if each not in (None, {}, "", 0, False)}
    if isinstance(value, Mapping):
        return {str(key): described(each) for key, each in value.items()}
    if isinstance(value, partial):
        return [described(value.func), described(value.args), described(value.keywords)]
    if isinstance(value, str):
        # A file of the user's own may have moved; what is in it is told by its digest.
        return Path(value).name if ".py:" in value else value
    if callable(value):
        return f"{value.__module__}:{part_name(value)}"
    if isinstance(value, list | tuple):
        return [described(each) for each in value]
    if hasattr(value, "tolist"):
        array = np.asarray(value)
        return array.tolist() if array.size <= LARGEST else _digest(array.tobytes() + str(array.shape).encode())
    return value


def sources(study: Study, *, sent: bool = True) -> dict[str, str]:
    """Digests of the source of the environment, the priors and the agents, by name.

    Without `sent`, only of what a worker imports by itself: functions of a script are sent to it as they are.

    Parameters
    ----------
    study : Study
    sent : bool
        Whether functions that are sent to workers count too.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> from bayesmdp.studies import find
    >>> sorted(sources(find("aq-brmdp/riverswim-6").with_agents(["PSRL"])))
    ['agents.psrl', 'environments.riverswim', 'models.dirichlet_transitions']
    """
    named = [("environments", study.environment), ("models", study.prior), ("models", study.reward_prior)]
    if isinstance(study, TaskStudy):
        named.append(("models", study.truth))
    for spec in study.agents.values():
        named += [("agents", spec.algorithm), ("models", spec.prior)]
    told = {}
    for kind, part in named:
        if part is None:
            continue
        function = find_part(kind, part)
        inner = function.func if isinstance(function, partial) else function
        if sent or inner.__module__ != "__main__":
            told[f"{kind}.{Path(part_name(part)).name}"] = _digest(_source(function))
    return told


def fingerprint(attrs: Mapping[Any, Any]) -> int:
    """A number, positive in 63 bits, for the attrs of a result: what `simulate` says determines its numbers."""
    told = json.dumps({str(key): value for key, value in attrs.items() if key != "title"}, sort_keys=True, default=str)
    return int(_digest(told.encode()), 16) >> 1 or 1


def _source(function: Callable[..., Any]) -> bytes:
    """The text that makes a function, as far as it can be had."""
    if isinstance(function, partial):
        return _source(function.func) + repr(described([function.args, function.keywords])).encode()
    # What a decorator makes of a function is told by that function, unless it forgot it.
    function = inspect.unwrap(function)
    if not inspect.isfunction(function):
        return repr(described(vars(function) if hasattr(function, "__dict__") else function)).encode()
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    within = repr(described([cells, function.__defaults__, function.__kwdefaults__])).encode()
    try:
        if function.__module__ == "__main__":
            return inspect.getsource(function).encode() + within
        file = inspect.getsourcefile(function)
        if file:
            return Path(file).read_bytes() + within
    except (TypeError, OSError):
        pass
    return _code(function.__code__) + within


def _code(code: Any) -> bytes:
    """A function's compiled form, with those inside it."""
    constants = b"".join(_code(each) if hasattr(each, "co_code") else repr(each).encode() for each in code.co_consts)
    return code.co_code + repr((code.co_names, code.co_varnames)).encode() + constants


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
