"""Work on many small things in threads, in their order."""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def available() -> int:
    """Return how many threads this process may keep busy."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a share of the machine is counted as such
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def chunks(count: int, size: int, work: Callable[[range], list[T]]) -> Iterator[list[T]]:
    """Yield ``work(range)`` for ranges of ``size`` that cover ``count``, computed ahead in threads.

    Only a few results wait at any time, however large ``count`` is.
    """

    import grain  # half a second, spent where there is work for threads

    def run(start: int) -> list[T]:
        return work(range(start, min(start + size, count)))

    threads = available()
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    iterator = iter(grain.MapDataset.range(0, count, size).map(run).to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()
