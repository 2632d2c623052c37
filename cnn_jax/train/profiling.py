"""Profiling some of a run's steps."""

from pathlib import Path

import jax


class Trace:
    """Profiles the steps from START to STOP, if they are given; use as a context."""

    def __init__(self, steps: tuple[int, int] | None, folder: Path | None):
        self._steps = steps if folder is not None else None
        self._folder, self._on = folder, False

    def __enter__(self) -> "Trace":
        return self

    def at(self, step: int) -> None:
        """Start or stop before the dispatch of ``step``."""
        if self._steps and not self._on and self._steps[0] <= step < self._steps[1]:
            jax.profiler.start_trace(str(self._folder))
            self._on = True
        elif self._steps and self._on and step >= self._steps[1]:
            self._stop()

    def _stop(self) -> None:
        if self._on:
            jax.profiler.stop_trace()
            self._on = False

    def __exit__(self, *exception: object) -> None:
        self._stop()
