"""The command line, called as a user calls it."""

from __future__ import annotations

from typer.testing import CliRunner

from bayesmdp.cli import app as cli

__all__ = ["call", "told_in_one_line"]


def call(*arguments: object, code: int = 0, columns: int | None = None) -> tuple[str, str]:
    """Standard output and error of a call that must exit with `code`, on a terminal of so many columns."""
    width = {} if columns is None else {"COLUMNS": str(columns)}
    finished = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env=width)
    if finished.exception is not None and not isinstance(finished.exception, SystemExit):
        raise finished.exception
    assert finished.exit_code == code, finished.stderr
    return finished.stdout, finished.stderr


def told_in_one_line(*arguments: object) -> str:
    """The message of a call that must be refused, perhaps after a line of what is being done."""
    _, message = call(*arguments, code=2)
    *said, told = message.splitlines(keepends=True)
    assert told.startswith("bayesmdp: ") and told.endswith("\n")
    assert all(line.startswith("reading ") for line in said), message
    return told
