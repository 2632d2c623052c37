"""What a run writes while it goes: metrics.jsonl, flow.jsonl, progress on stderr.

Nothing else logs.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from cnn_jax.data.dataset import TEST, TRAIN
from cnn_jax.runtime import json_file
from cnn_jax.train import appended
from cnn_jax.train import flow as gradient_flow
from cnn_jax.train.appended import Mark
from cnn_jax.train.flow import Flow
from cnn_jax.train.progress import Bar, Meter, on_terminal, say, words
from cnn_jax.train.writers import Writer

EMA = "_ema"  # behind a split's name: of the averaged network

read_metrics = appended.read


def cut_back(file: Path, step: int, noted: Sequence[Mark] = ()) -> str | None:
    """Drop what a resumed run will write again: lines after ``step`` and the end's test line.

    ``noted`` are the marks that the checkpoint has of the file. Returns what is wrong, or None.
    """
    return appended.cut_back(
        file,
        lambda line: line["step"] <= step and not line.get("split", "").startswith(TEST),
        noted,
    )


def cut_flow_back(file: Path, step: int, noted: Sequence[Mark] = ()) -> str | None:
    """Drop what a run resumed at ``step`` will measure again: lines of that step and later ones.

    As ``cut_back``.
    """
    return appended.cut_back(file, lambda line: line["step"] < step, noted)


class RunLog:
    """Appends metrics to a file, flushed a line, and shows progress: a bar on a terminal."""

    def __init__(
        self,
        file: Path | None,
        *,
        flow_file: Path | None = None,
        step: int,
        total: int,
        batch_size: int,
        writers: Sequence[Writer] = (),
        silent: bool = False,
        noted: Mapping[str, Any] | None = None,
    ):
        """Open the log at ``step``; without a file its lines are kept in memory.

        ``silent``: write and show nothing, another process does. ``noted`` is what the checkpoint
        that the run goes on from says of the files, by name.
        """
        self._total, self._batch_size, self._writers = total, batch_size, writers
        self._silent = silent
        files = [] if silent else [each for each in (file, flow_file) if each]
        self._files = [_Appending(each, (noted or {}).get(each.name)) for each in files]
        self._memory = file is None
        self.lines: list[dict[str, Any]] = []  # in memory
        self._meter = Meter(step)
        self._bar = Bar(TRAIN, step, total) if on_terminal() and not silent else None

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.close()
        for file in self._files:
            file.close()
        for writer in self._writers:
            writer.close()

    def write(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        """Append one line; without a terminal, print it too."""
        if self._silent:
            return
        for writer in self._writers:
            writer.write(step, split, metrics)
        line = {"step": step, "split": split} | metrics
        for file in self._files[:1]:
            file.append(line)
        if self._memory:
            self.lines.append(line)
        text = f"step {step:>{len(str(self._total))}}/{self._total}  {split:<10}  {words(metrics)}"
        if self._bar:
            if split != TRAIN:  # the bar shows training
                self._bar.print(text)
        else:
            say(text + (f"  {self._speed()}" if split == TRAIN else ""))

    def write_flow(self, flows: Sequence[tuple[int, Flow]]) -> None:
        """Append what was measured of the gradient flow, by step, a line each."""
        for step, flow in flows:
            for file in self._files[1:2]:
                file.append({"step": step} | gradient_flow.line(flow))

    def marks(self) -> dict[str, list[list[int]]]:
        """Return what a checkpoint notes of the files: name -> a mark for it and each before."""
        return {file.name: [list(mark) for mark in file.marks()] for file in self._files}

    def progress(self, step: int, loss: float) -> None:
        """Show how far training is; ``step`` is finished."""
        self._meter.tick(step)
        if self._bar:
            self._bar.update(step, rate=self._speed(), loss=f"loss {loss:.4f}")

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


class _Appending:
    """A file that lines of JSON are appended to; made with the first one."""

    def __init__(self, file: Path, noted: Any = None):
        self.name, self.mark = file.name, appended.mark(file)
        content = file.read_bytes() if file.exists() else b""
        self._marks = [each for each in appended.marks(noted) if each.begins(content)]
        self._path = file
        self._file: int | None = None

    def append(self, line: dict[str, Any]) -> None:
        """Append one line, which other processes see at once."""
        content = json.dumps(json_file.plain(line)).encode() + b"\n"
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            left = content
            while left:  # a full disk takes a part first, and says why with the rest
                left = left[os.write(self._file, left) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None
        self.mark = self.mark.longer(content)

    def marks(self) -> Sequence[Mark]:
        """Return the file's beginnings at the checkpoints, one that is being made included."""
        if self.mark not in self._marks:
            self._marks.append(self.mark)
        return self._marks

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
