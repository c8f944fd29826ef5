"""Text from outside, as it is shown: labels, names and messages are data, and no terminal or figure may read them.

Terminals obey escape sequences, Rich has its markup and emoji codes, Matplotlib its formulas between dollar signs.
Everything a person named goes through here, or through a console that has the rest switched off
(:func:`bayesmdp.cli.console.make_console`), so that what is shown is what was written and different names look
different.
"""

from __future__ import annotations

__all__ = ["in_figure", "one_line", "visible"]


def visible(text: object) -> str:
    r"""Write characters that cannot be seen as Python escapes them; line breaks stay.

    Examples
    --------
    >>> visible("a\x1b[31m\u200b[low] $x$")
    'a\\x1b[31m\\u200b[low] $x$'
    """
    return "".join(
        sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in str(text).replace("\r\n", "\n")
    )


def one_line(text: object) -> str:
    r"""Do as `visible`, with line breaks escaped too: for a label in a table.

    Examples
    --------
    >>> one_line("two\nlines")
    'two\\nlines'
    """
    return visible(text).replace("\n", r"\n")


def in_figure(text: object) -> str:
    r"""Do as `visible`, with no formula between dollar signs: for text of Matplotlib, which drops the backslashes.

    Examples
    --------
    >>> in_figure("costs $5 to $6")
    'costs \\$5 to \\$6'
    """
    return visible(text).replace("$", r"\$")
