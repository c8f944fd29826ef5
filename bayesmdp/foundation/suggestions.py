"""What to say to someone who asked for a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]

MOST_LISTED = 40
"""Names listed in full; beyond, the message would be longer than a screen."""


def did_you_mean(
    name: object, known: Iterable[object], *, otherwise: str | None = None, likeness: float = 0.6, quoted: bool = True
) -> str:
    """Suggest the known name nearest to a mistyped one.

    Parameters
    ----------
    name : object
        What was asked for.
    known : iterable of object
        What there is; compared as text.
    otherwise : str, optional
        The advice where nothing is near; by default it lists what there is.
    likeness : float in [0, 1]
        How alike two names must be, as `difflib.get_close_matches` measures it.
    quoted : bool
        Whether the suggestion stands in quotation marks.

    Returns
    -------
    str
        Half a sentence, to stand after a semicolon.

    Examples
    --------
    >>> did_you_mean("scal", ["scale", "floor"])
    "did you mean 'scale'?"
    >>> did_you_mean("river", ["rover", "riverswim"])
    "did you mean 'riverswim'?"
    >>> did_you_mean("epsilon", ["scale", "floor"])
    'it has scale, floor'
    """
    names = list(map(str, known))
    close = get_close_matches(str(name), names, 3, likeness)
    # Who stops short means a name that goes on from there, rather than one that is shorter to mend.
    close.sort(key=lambda each: not each.startswith(str(name)))
    if close:
        return f"did you mean {close[0]!r}?" if quoted else f"did you mean {close[0]}?"
    if otherwise is not None:
        return otherwise
    listed = ", ".join(names[:MOST_LISTED]) or "none"
    return f"it has {listed}" + (f", and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else "")
