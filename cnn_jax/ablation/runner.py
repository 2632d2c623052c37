"""Runs a study's cells in worker processes, several at once, and shows how far they are."""

import collections
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cnn_jax.ablation import cells, worker
from cnn_jax.ablation.plan import Cell, Plan
from cnn_jax.train.loop import StoppedError

REFRESH = 0.5  # seconds between two looks at the cells


@dataclasses.dataclass
class _Progress:
    """What the table shows."""

    total: int
    waiting: collections.deque[Cell]
    running: dict[str, Cell] = dataclasses.field(default_factory=dict)
    ended: dict[str, str] = dataclasses.field(default_factory=dict)  # folder -> done or failed
    steps: int = 0  # of the cells that ended
    started: float = dataclasses.field(default_factory=time.monotonic)


def run_cells(folder: Path, plan: Plan, *, jobs: int = 1, retry: bool = False) -> dict[str, str]:
    """Train every cell that is not finished; return the states of all, by cell folder.

    Args:
        folder: of the study.
        plan: its cells.
        jobs: worker processes at once.
        retry: whether cells that failed before are tried again; they are left otherwise.

    Raises:
        StoppedError: after SIGTERM or SIGINT, once the workers have saved their cells.
    """
    before = {cell.folder: cells.state(cells.place(folder, cell)) for cell in plan.cells}
    wanted = (cells.WAITING, cells.FAILED) if retry else (cells.WAITING,)
    todo = collections.deque(cell for cell in plan.cells if before[cell.folder] in wanted)
    if not todo:
        return before
    for cell in todo:
        cells.request(folder, plan, cell)
    now = _Progress(len(todo), todo)
    lock = threading.Lock()
    # A worker's share of the cores depends on the jobs, not on what is left to do: sums over
    # another number of threads are rounded otherwise, and a killed study has to end the same.
    slots = range(min(jobs, len(todo)))
    pool = [_Worker(folder, now, lock, slot, jobs) for slot in slots]
    with _signals() as received, _shown(folder, now):
        for worker in pool:
            worker.start()
        while any(worker.is_alive() for worker in pool):
            time.sleep(REFRESH / 5)
            if received:
                with lock:
                    now.waiting.clear()
                for worker in pool:
                    worker.stop()
    if received:
        raise StoppedError(received[0])
    return before | now.ended


def default_jobs() -> int:
    """Return how many cells run at once unless told: one a GPU, else one a core, at most four."""
    gpus = worker.visible_gpus()
    return len(gpus) if gpus else min(os.cpu_count() or 1, 4)


class _Worker(threading.Thread):
    """Feeds one worker process with cells; starts another where it dies."""

    def __init__(self, folder: Path, now: _Progress, lock: threading.Lock, slot: int, of: int):
        super().__init__(daemon=True)
        self._folder, self._now, self._lock = folder, now, lock
        self._command = [sys.executable, "-m", "cnn_jax.ablation.worker", str(slot), str(of)]
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
        """Work through the waiting cells."""
        while (cell := self._next()) is not None:
            own = cells.place(self._folder, cell)
            answer, status = self._ask(own)
            if self._stopping and not answer:
                break
            if not answer:  # killed, out of memory, a crash in a library: the study goes on
                cells.note_failure(own, f"its process ended with status {status}")
            with self._lock:
                del self._now.running[cell.folder]
                self._now.ended[cell.folder] = answer or cells.FAILED
                self._now.steps += cell.steps
        self._end()

    def _end(self) -> None:
        """Close the process's ends; it stops when nobody can ask any more."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
            self._process.wait()

    def _next(self) -> Cell | None:
        with self._lock:
            if self._stopping or not self._now.waiting:
                return None
            cell = self._now.waiting.popleft()
            self._now.running[cell.folder] = cell
            return cell

    def _ask(self, own: Path) -> tuple[str, int | None]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            # In a session of its own: a terminal's interrupt reaches the study, which passes it on.
            with (own / cells.LOG).open("a") as log:
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
            process.stdin.write(f"{own.resolve()}\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
        except OSError:
            answer = ""
        return answer, None if answer else process.wait()


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    received: list[int] = []
    old: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for signum in (signal.SIGTERM, signal.SIGINT):
            old[signum] = signal.signal(signum, lambda number, frame: received.append(number))
    try:
        yield received
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def _shown(folder: Path, now: _Progress) -> Iterator[None]:
    """Show a live table on a terminal, elsewhere a line for each cell that ends."""
    console = Console(stderr=True)
    ended = threading.Event()
    show = _live if console.is_terminal else _lines
    thread = threading.Thread(target=show, args=(folder, now, console, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _live(folder: Path, now: _Progress, console: Console, ended: threading.Event) -> None:
    with Live(console=console, refresh_per_second=2) as live:
        while not ended.wait(REFRESH):
            live.update(table(folder, now))
        live.update(table(folder, now))


def _lines(folder: Path, now: _Progress, console: Console, ended: threading.Event) -> None:
    told: set[str] = set()

    def tell() -> None:
        for name in list(now.ended):
            if name not in told:
                told.add(name)
                text = f"{len(told)}/{now.total} cells  {name}  {now.ended[name]}"
                print(f"{text}  {_clock(remaining(folder, now))} left", file=sys.stderr, flush=True)

    while not ended.wait(REFRESH):
        tell()
    tell()


def remaining(folder: Path, now: _Progress) -> float | None:
    """Return the seconds left, from the steps done and to do; None before the first cell."""
    running = list(now.running.values())
    todo = sum(cell.steps for cell in [*now.waiting, *running])
    here = sum(min(cells.progress(cells.place(folder, c)), c.steps) for c in running)
    done = now.steps + here
    return (time.monotonic() - now.started) * (todo - here) / done if done else None


def table(folder: Path, now: _Progress) -> Table:
    """Return how far the study is, as a rich table."""
    left = _clock(remaining(folder, now))
    title = f"{len(now.ended)} of {now.total} cells, {left} left"
    shown = Table("cell", "step", "", title=title)
    for name, how in list(now.ended.items())[-8:]:
        shown.add_row(name, "", how)
    for name, cell in list(now.running.items()):
        shown.add_row(name, f"{cells.progress(cells.place(folder, cell))}/{cell.steps}", "running")
    if now.waiting:
        shown.add_row(f"{len(now.waiting)} more", "", "waiting")
    return shown


def _clock(seconds: float | None) -> str:
    return "?" if seconds is None else f"{int(seconds // 60)}:{int(seconds % 60):02d}"
