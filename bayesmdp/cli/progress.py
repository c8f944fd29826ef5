"""Progress of long work on the terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import rich.box
import rich.progress

from bayesmdp.cli.console import make_console
from bayesmdp.cli.messages import say
from bayesmdp.foundation.visible_text import one_line

__all__ = ["Progress"]
if TYPE_CHECKING:
    pass


class Progress:
    """Runs finished and time left: bars on a terminal, otherwise about ten plain lines.

    The first run of each agent compiles its program, so the time left is told from then on.
    """

    def __init__(self, expected: Mapping[str, int]) -> None:
        """How many runs of each agent there are to be."""
        self.expected, self.done = sum(expected.values()), Counter(dict.fromkeys(expected, 0))
        self.began, self.before = time.monotonic(), 0
        console = make_console(stderr=True)
        self.bar: rich.progress.Progress | None = None
        if not console.is_terminal:
            return
        self.bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}", markup=False),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[rate]}", markup=False),
            rich.progress.TimeRemainingColumn(),
            console=console,
            speed_estimate_period=300,
        )
        self.all = self.bar.add_task("compiling", total=self.expected, rate="")
        self.tasks = {
            agent: self.bar.add_task(one_line(agent), total=runs, rate="") for agent, runs in expected.items()
        }

    def __enter__(self) -> Progress:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *stop: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, agent: str, replicate: int, seconds: float) -> None:
        """Count a finished run: the `on_replicate` of `simulate`."""
        del replicate, seconds
        self.count(agent, 1)

    def count(self, agent: str, runs: int) -> None:
        """Count finished runs of an agent."""
        last, self.done[agent] = self.done.total(), self.done[agent] + runs
        total = last + runs
        compiled = not self.before and min(self.done.values()) > 0
        if compiled:
            self.began, self.before = time.monotonic(), total
        if self.bar is not None:
            self.bar.advance(self.tasks[agent], runs)
            self.bar.advance(self.all, runs)
            if compiled:
                self.bar.reset(self.all, completed=total, description="all")
            elif rate := self._rate(total):
                self.bar.update(self.all, rate=f"{rate:.3g} runs/s")
            return
        tenth = max(1, self.expected // 10)
        if total == self.expected or total // tenth > last // tenth:
            line = f"{total:,} of {self.expected:,} runs"
            if (rate := self._rate(total)) and total < self.expected:
                line += f", {rate:.3g} a second, about {(self.expected - total) / rate:.0f} s left"
            say(line)

    def _rate(self, total: int) -> float:
        """Runs a second since all programs were compiled; 0 if that is not known yet."""
        return (total - self.before) / (time.monotonic() - self.began) if 0 < self.before < total else 0.0
