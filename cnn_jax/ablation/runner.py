"""Runs a study's cells in worker processes, several at once."""

import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from cnn_jax.ablation import cells, worker
from cnn_jax.ablation.progress import REFRESH, Progress, Unit, shown, units_to_do
from cnn_jax.ablation.stored import Plan
from cnn_jax.registry import imports
from cnn_jax.train.stopping import StoppedError, signals


def run_cells(folder: Path, plan: Plan, *, jobs: int = 1, retry: bool = False) -> None:
    """Train every cell that is not finished.

    Args:
        folder: of the study.
        plan: its cells.
        jobs: worker processes at once.
        retry: whether cells that failed before are tried again; they are left otherwise.

    Raises:
        StoppedError: after SIGTERM or SIGINT, once the workers have saved their cells.
    """
    todo = collections.deque(units_to_do(folder, plan, retry=retry))
    if not todo:
        return
    now = Progress(sum(map(len, todo)), todo)
    # A worker's share of the cores depends on the jobs, not on what is left to do: sums over
    # another number of threads are rounded otherwise, and a killed study has to end the same.
    pool = [_Worker(folder, now, slot, jobs) for slot in range(min(jobs, len(todo)))]
    with signals() as received, shown(folder, now):
        for worker in pool:
            worker.start()
        while any(worker.is_alive() for worker in pool):
            time.sleep(REFRESH / 5)
            if received:
                with now.lock:
                    now.waiting.clear()
                for worker in pool:
                    worker.stop()
    if received:
        raise StoppedError(received[0])


def default_jobs() -> int:
    """Return how many cells run at once unless told: one a GPU, else one a core, at most four."""
    gpus = worker.visible_gpus()
    return len(gpus) if gpus else min(os.cpu_count() or 1, 4)


class _Worker(threading.Thread):
    """Feeds one worker process with cells; starts another where it dies."""

    def __init__(self, folder: Path, now: Progress, slot: int, of: int):
        super().__init__(daemon=True)
        self._folder, self._now = folder, now
        place = [str(slot), str(of), *imports()]
        self._command = [sys.executable, "-m", "cnn_jax.ablation.worker", *place]
        self._process: subprocess.Popen | None = None
        self._stopping = False

    def stop(self) -> None:
        """Ask the process to save and end."""
        if self._stopping:
            return  # once: a second signal would not wait for the state to be saved
        self._stopping = True
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)

    def run(self) -> None:
        """Work through what waits."""
        while (unit := self._next()) is not None:
            folders = [cells.folder_of(self._folder, cell) for cell in unit]
            answers, status = self._ask(folders)
            if self._stopping and not answers:
                break
            if not answers:  # killed, out of memory, a crash in a library: the study goes on
                answers = cells.note_end(folders, f"its process ended with status {status}")
            self._now.end(unit, answers)
        self._end()

    def _end(self) -> None:
        """Close the process's ends; it stops when nobody can ask any more."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            self._process.wait()

    def _next(self) -> Unit | None:
        with self._now.lock:
            if self._stopping or not self._now.waiting:
                return None
            unit = self._now.waiting.popleft()
        self._now.start(unit)
        return unit

    def _ask(self, folders: list[Path]) -> tuple[list[str], int | None]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            # In a session of its own: a terminal's interrupt reaches the study, which passes it on.
            with (folders[0] / cells.LOG).open("a") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            request = json.dumps([str(folder.resolve()) for folder in folders])
            process.stdin.write(request + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = ""
        return (json.loads(answer), None) if answer else ([], process.wait())
