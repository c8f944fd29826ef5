"""How the command line writes the number that a policy is worth."""

__all__ = ["short"]


def short(number: float) -> str:
    """Four figures of a number, without a minus before nothing.

    Parameters
    ----------
    number : float

    Examples
    --------
    >>> short(-0.0), short(12_345.6)
    ('0.000', '12,346')
    """
    number += 0.0
    return f"{number:,.0f}" if 1e4 <= abs(number) < 1e15 else f"{number:#.4g}"
