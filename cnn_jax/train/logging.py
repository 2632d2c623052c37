"""What a run writes while it goes: metrics.jsonl, flow.jsonl, progress on stderr.

Nothing else logs.
"""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cnn_jax.atomic_file import written
from cnn_jax.train import flow as gradient_flow
from cnn_jax.train.flow import Flow
from cnn_jax.train.writers import Writer

# Which split the lines of the loop speak of; the test set's line comes once, at the end.
TRAIN, VALIDATION, TEST = "train", "validation", "test"
EMA = "_ema"  # behind a split's name: of the parameters' running mean


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl, or flow.jsonl; one that a kill cut short is left out."""
    lines = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break  # appended in order, so nothing follows a torn line
    return lines


def cut_back(file: Path, step: int) -> None:
    """Drop what a resumed run will write again: lines after ``step`` and the end's test line."""
    kept = [x for x in read_metrics(file) if x["step"] <= step and not x["split"].startswith(TEST)]
    _write_lines(file, kept)


def cut_flow_back(file: Path, step: int) -> None:
    """Drop what a run resumed at ``step`` will measure again: lines of that step and later ones."""
    if file.exists():
        _write_lines(file, [line for line in read_metrics(file) if line["step"] < step])


def _write_lines(file: Path, lines: list[dict[str, Any]]) -> None:
    with written(file) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines))


class RunLog:
    """Appends metrics to a file, flushed a line, and shows progress: a bar on a terminal."""

    def __init__(
        self,
        file: Path,
        *,
        flow_file: Path | None = None,
        step: int,
        total: int,
        batch_size: int,
        writers: Sequence[Writer] = (),
        silent: bool = False,
    ):
        """Open the log at ``step``; ``silent``: write and show nothing, another process does."""
        self._total, self._batch_size, self._writers = total, batch_size, writers
        self._silent = silent
        self._file: TextIO = open(os.devnull, "w") if silent else file.open("a")  # noqa: SIM115
        self._flow_file = flow_file
        self._meter = _Meter(step)
        self._bar = _bar() if sys.stderr.isatty() and not silent else None
        self._task = None
        if self._bar:
            self._task = self._bar.add_task(TRAIN, total=total, completed=step, rate="", loss="")
            self._bar.start()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
        self._file.close()
        for writer in self._writers:
            writer.close()

    def write(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        """Append one line; without a terminal, print it too."""
        if self._silent:
            return
        for writer in self._writers:
            writer.write(step, split, metrics)
        line = json.dumps({"step": step, "split": split} | metrics)
        self._file.write(line + "\n")
        self._file.flush()
        text = f"step {step:>{len(str(self._total))}}/{self._total}  {split:<10}  {_words(metrics)}"
        if self._bar:
            if split != TRAIN:  # the bar shows training
                self._bar.console.print(text, highlight=False)
        else:
            rate = f"  {self._speed()}" if split == TRAIN else ""
            print(text + rate, file=sys.stderr, flush=True)

    def write_flow(self, flows: Sequence[tuple[int, Flow]]) -> None:
        """Append what was measured of the gradient flow, by step, a line each."""
        if self._silent or self._flow_file is None or not flows:
            return
        with self._flow_file.open("a") as file:
            for step, flow in flows:
                file.write(json.dumps({"step": step} | gradient_flow.line(flow)) + "\n")

    def progress(self, step: int, loss: float) -> None:
        """Show how far training is; ``step`` is finished."""
        self._meter.tick(step)
        if self._bar and self._task is not None:
            self._bar.update(
                self._task, completed=step, rate=self._speed(), loss=f"loss {loss:.4f}"
            )

    def pause(self) -> None:
        """Leave the time until the next progress out of the rates: evaluating, saving."""
        self._meter.pause()

    def _speed(self) -> str:
        rate = self._meter.rate
        if rate is None:
            return ""
        left = max(self._total - self._meter.step, 0) / rate
        images = rate * self._batch_size
        clock = f"{int(left // 60)}:{int(left % 60):02d}"
        return f"{rate:.1f} steps/s  {images:,.0f} images/s  {clock} left"

    @property
    def images_per_second(self) -> float | None:
        """Images trained on a second, compiling, evaluating and saving left out."""
        rate = self._meter.mean_rate
        return None if rate is None else rate * self._batch_size


class _Meter:
    """Steps a second, from the times between ticks; a pause opens a new stretch."""

    def __init__(self, step: int):
        self.step = step
        self._last: float | None = None  # the first tick ends compilation: it starts the clock
        self._steps, self._seconds = 0, 0.0
        # Sums over some ticks, not a mean of their rates: two ticks may come at almost one time.
        self._recent: deque[tuple[int, float]] = deque(maxlen=20)

    def tick(self, step: int) -> None:
        now = time.perf_counter()
        if self._last is not None and step > self.step:
            steps, seconds = step - self.step, now - self._last
            self._steps, self._seconds = self._steps + steps, self._seconds + seconds
            self._recent.append((steps, seconds))
        self.step, self._last = step, now

    def pause(self) -> None:
        self._last = None

    @property
    def rate(self) -> float | None:
        seconds = sum(seconds for _, seconds in self._recent)
        return sum(steps for steps, _ in self._recent) / seconds if seconds else None

    @property
    def mean_rate(self) -> float | None:
        return self._steps / self._seconds if self._seconds else None


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[rate]}"),
        console=Console(stderr=True),
    )


def _words(metrics: dict[str, Any]) -> str:
    words = []
    for name, value in metrics.items():
        if name.startswith("accuracy"):
            words.append(f"{name} {100 * value:.2f} %")
        elif isinstance(value, float):
            words.append(f"{name} {value:.4g}")
    return "  ".join(words)
