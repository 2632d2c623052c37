"""Progress of long work on files: a bar on a terminal, plain lines otherwise."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LONG = 10_000  # less is over before it is read


@contextlib.contextmanager
def meter(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many of ``total`` are done since it was last called."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)
        return
    done = 0
    if total >= LONG:
        print(f"{what}: {total:,}", file=sys.stderr, flush=True)

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        # A line a quarter: enough to see that it moves, few enough for a log.
        if total >= LONG and 4 * before // total < 4 * done // total < 4:
            print(f"{what}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    yield advance
