"""How far a study's cells are: a live table on a terminal, elsewhere a line a cell."""

import collections
import contextlib
import dataclasses
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cnn_jax.ablation import cells
from cnn_jax.ablation.stored import Cell, Plan
from cnn_jax.runtime.json_file import UnreadableFileError

REFRESH = 0.5  # seconds between two looks at the cells

Unit = tuple[Cell, ...]  # cells that train together: one, or the lanes of one program


@dataclasses.dataclass
class Progress:
    """What is waiting, running and ended; kept by those who run cells, read by the table."""

    total: int  # cells
    waiting: collections.deque[Unit]
    running: dict[str, Cell] = dataclasses.field(default_factory=dict)
    ended: dict[str, str] = dataclasses.field(default_factory=dict)  # folder -> done or failed
    steps: int = 0  # of the cells that ended
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    started: float = dataclasses.field(default_factory=time.monotonic)

    def start(self, unit: Unit) -> None:
        """Note that cells are being run."""
        with self.lock:
            self.running |= {cell.folder: cell for cell in unit}

    def end(self, unit: Unit, how: Sequence[str]) -> None:
        """Note how cells ended."""
        with self.lock:
            for cell, state in zip(unit, how, strict=True):
                self.running.pop(cell.folder, None)
                self.ended[cell.folder] = state
                self.steps += cell.steps


def units_to_do(folder: Path, plan: Plan, *, retry: bool) -> list[Unit]:
    """Return what is left to run, its requests written.

    ``retry``: also cells that failed, and, once what they hold is set aside, those whose files were
    changed since they ended or are another cell's.
    """
    wanted = (cells.WAITING, cells.FAILED) if retry else (cells.WAITING,)
    units: dict[tuple, list[Cell]] = {}
    for cell in plan.cells:
        own = cells.folder_of(folder, cell)
        state = cells.state(own)
        if retry and state == cells.DONE and damage(own, cell) is not None:
            print(f"{own.name}: set aside as {cells.set_aside(own).name}", file=sys.stderr)
            state = cells.WAITING
        if state in wanted:
            cells.request(folder, plan, cell)
            key = (cell.arm, cell.lanes or (cell.seed,))
            units.setdefault(key, []).append(cell)
    return [tuple(unit) for unit in units.values()]


def damage(own: Path, cell: Cell) -> str | None:
    """Return what is wrong with a finished cell's files, a line, or None."""
    try:
        cells.outcome(own, cell)
        cells.gradient_norms(own)
    except UnreadableFileError as error:
        return str(error)
    return None


@contextlib.contextmanager
def shown(folder: Path, now: Progress) -> Iterator[None]:
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


def _live(folder: Path, now: Progress, console: Console, ended: threading.Event) -> None:
    with Live(console=console, refresh_per_second=2) as live:
        while not ended.wait(REFRESH):
            live.update(table(folder, now))
        live.update(table(folder, now))


def _lines(folder: Path, now: Progress, console: Console, ended: threading.Event) -> None:
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


def remaining(folder: Path, now: Progress) -> float | None:
    """Return the seconds left, from the steps done and to do; None before the first cell."""
    running = list(now.running.values())
    waiting = [cell for unit in list(now.waiting) for cell in unit]
    todo = sum(cell.steps for cell in [*waiting, *running])
    here = sum(min(cells.progress(cells.folder_of(folder, c)), c.steps) for c in running)
    done = now.steps + here
    return (time.monotonic() - now.started) * (todo - here) / done if done else None


def table(folder: Path, now: Progress) -> Table:
    """Return how far the study is, as a rich table."""
    left = _clock(remaining(folder, now))
    title = f"{len(now.ended)} of {now.total} cells, {left} left"
    shown = Table("cell", "step", "", title=title)
    for name, how in list(now.ended.items())[-8:]:
        shown.add_row(name, "", how)
    for name, cell in list(now.running.items()):
        shown.add_row(
            name, f"{cells.progress(cells.folder_of(folder, cell))}/{cell.steps}", "running"
        )
    if now.waiting:
        shown.add_row(f"{sum(map(len, list(now.waiting)))} more", "", "waiting")
    return shown


def _clock(seconds: float | None) -> str:
    return "?" if seconds is None else f"{int(seconds // 60)}:{int(seconds % 60):02d}"
