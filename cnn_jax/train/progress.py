"""Progress on stderr: a bar on a terminal, lines elsewhere, and how fast it goes.

A run does not end because nobody reads it any more.
"""

import contextlib
import sys
import time
from collections import deque
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

# Of a stream that was closed, by its reader (OSError) or by this process (ValueError).
UNREAD = (OSError, ValueError)


def say(line: str) -> None:
    """Print a line on stderr, if there is one."""
    if sys.stderr is not None:
        with contextlib.suppress(*UNREAD):
            print(line, file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Return whether stderr is a terminal."""
    with contextlib.suppress(*UNREAD):
        return sys.stderr is not None and sys.stderr.isatty()
    return False


class Bar:
    """A bar of the steps that are done."""

    def __init__(self, name: str, step: int, total: int):
        self._progress = Progress(
            TextColumn("{task.completed}/{task.total}"),
            BarColumn(),
            TextColumn("{task.fields[loss]}"),
            TextColumn("{task.fields[rate]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(name, total=total, completed=step, rate="", loss="")
        with contextlib.suppress(*UNREAD):
            self._progress.start()

    def update(self, step: int, loss: str, rate: str) -> None:
        """Move the bar to ``step``, with ``loss`` and ``rate`` beside it."""
        with contextlib.suppress(*UNREAD):
            self._progress.update(self._task, completed=step, loss=loss, rate=rate)

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        with contextlib.suppress(*UNREAD):
            self._progress.console.print(line, highlight=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        with contextlib.suppress(*UNREAD):
            self._progress.stop()


class Meter:
    """Steps a second, from the times between ticks; a pause opens a new stretch."""

    def __init__(self, step: int):
        self.step = step
        self._last: float | None = None  # the first tick ends compilation: it starts the clock
        self._steps, self._seconds = 0, 0.0
        # Sums over some ticks, not a mean of their rates: two ticks may come at almost one time.
        self._recent: deque[tuple[int, float]] = deque(maxlen=20)

    def tick(self, step: int) -> None:
        """Note that ``step`` is finished."""
        now = time.perf_counter()
        if self._last is not None and step > self.step:
            steps, seconds = step - self.step, now - self._last
            self._steps, self._seconds = self._steps + steps, self._seconds + seconds
            self._recent.append((steps, seconds))
        self.step, self._last = step, now

    def pause(self) -> None:
        """Leave out the time until the next tick."""
        self._last = None

    @property
    def rate(self) -> float | None:
        """Steps a second, of late."""
        seconds = sum(seconds for _, seconds in self._recent)
        return sum(steps for steps, _ in self._recent) / seconds if seconds else None

    @property
    def mean_rate(self) -> float | None:
        """Steps a second, over all of them."""
        return self._steps / self._seconds if self._seconds else None


def words(metrics: dict[str, Any]) -> str:
    """Return metrics as a line shows them."""
    shown = []
    for name, value in metrics.items():
        if name.startswith("accuracy"):
            shown.append(f"{name} {100 * value:.2f} %")
        elif isinstance(value, float):
            shown.append(f"{name} {value:.4g}")
    return "  ".join(shown)
