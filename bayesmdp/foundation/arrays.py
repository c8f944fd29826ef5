"""The type of arrays."""

from __future__ import annotations

from typing import Any

__all__ = ["Array"]


type Array = Any
"""A NumPy or JAX array, or a traced one."""
