"""Linear algebra of many small matrices, for which threads are a burden."""

from __future__ import annotations

from threadpoolctl import threadpool_limits

__all__ = ["one_blas_thread"]


def one_blas_thread() -> threadpool_limits:
    """Return a context in which linear algebra runs in one thread: matrices here are many and small.

    With two OpenBLAS threads a system of 110 unknowns took twenty times as long; and beside other work, where threads
    wait for each other, 200 systems of 100 unknowns took 17 s, and .1 s with one. The limit is the whole process's.
    """
    return threadpool_limits(1, "blas")
