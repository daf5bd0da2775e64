"""How far a run is, as terminals and notebooks show it: counts, rate, time to go, the longest runs, what failed.

Decides which lines have room on a terminal and what of them is cut. It takes a `bemsweep.progress.Progress`, wherever
that comes from, and never asks a run or a store.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from bemsweep.progress import Progress
from bemsweep.redaction import visible
from bemsweep.units import money_text

__all__ = ["ProgressView", "notebook_display"]

_BAR_WIDTH = 12
"""Characters that leave room for the rest on a terminal of 80."""

_MOST_RUNNING = 5
"""Variants under way that have a line of their own."""

_PAGE_WIDTH, _PAGE_HEIGHT = 100, 20
"""Characters and lines in a notebook."""

_SPARE_LINES = 2
"""Of the terminal's height: the bar, and the line that the cursor stands in."""


@dataclass(frozen=True)
class ProgressView:
    """What rich prints or keeps up to date (`rich.live.Live`): one line where nothing can be redrawn, some more on a
    terminal, as many as it has room for.
    """

    now: Progress
    """How far the run is."""
    is_done: bool = False
    """True for the last look, of which one line stays."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        has_lines = console.is_terminal and not self.is_done
        yield self._bar(has_longest=not has_lines)
        if has_lines:
            for line in self._lines(max(0, options.max_height - _SPARE_LINES)):
                yield Text(line, no_wrap=True, overflow="ellipsis")

    def _bar(self, *, has_longest: bool) -> Table:
        now = self.now
        completed, total = now.done + now.cached, str(now.total)
        # Of all columns the last is cut on a narrow terminal.
        columns = [Column(no_wrap=True) for _ in range(5)] + [Column()]
        grid = Table.grid(*columns, padding=(0, 1))
        grid.add_row(
            f"{now.stage:<9}",
            ProgressBar(total=now.total, completed=completed, width=_BAR_WIDTH),
            f"{completed:{len(total)}}/{total} done",
            f"{now.failed} failed  {now.cached} cached",
            self._rate(),
            Text(visible(now.longest) if has_longest else "", no_wrap=True, overflow="ellipsis"),
        )
        return grid

    def _rate(self) -> str:
        """Return variants per second, or seconds per variant where that reads better, the time to go, and the cost."""
        rate, eta = self.now.rate, None if self.is_done else self.now.eta_s
        told = [f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"] if rate else []
        if eta is not None:
            told.append(f"ETA {int(eta) // 3600:d}:{int(eta) % 3600 // 60:02d}:{int(eta) % 60:02d}")
        if self.now.cost_usd is not None:
            told.append(money_text(self.now.cost_usd))
        return " ".join(told)

    def _lines(self, room: int) -> list[str]:
        """Return what stands below the bar, at most `room` lines."""
        now = self.now
        words = [*([f"waits for {now.waits_for}"] if now.waits_for else []), *([now.unfit] if now.unfit else [])]
        failed = [f"{count:,} failed: {message}" for message, count in now.failures][: room // 2]
        running = [str(one) for one in now.running[:_MOST_RUNNING]]
        lines = [*words, *running[: max(0, room - len(words) - len(failed))], *failed]
        return [f"  {visible(' '.join(line.split()))}" for line in lines[:room]]


def notebook_display() -> Callable[[ProgressView], None] | None:
    """Return what shows a view in the running cell of a notebook, each in place of the one before.

    None if this process is no notebook's kernel; IPython is not imported to find that out.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    display: Any = sys.modules["IPython.display"]
    handles: list[Any] = []

    def show(view: ProgressView) -> None:
        text = _page(view)
        html = display.HTML(f"<pre>{escape(text)}</pre>")
        if handles:
            handles[0].update(html)
        else:
            handles.append(display.display(html, display_id=True))

    return show


def _page(view: ProgressView) -> str:
    """Return a view as the lines of a page."""
    file = io.StringIO()
    environment = {"COLUMNS": str(_PAGE_WIDTH), "LINES": str(_PAGE_HEIGHT)}
    Console(
        file=file, force_terminal=True, force_jupyter=False, color_system=None, legacy_windows=False,
        _environ=environment,
    ).print(view)  # fmt: skip
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())
