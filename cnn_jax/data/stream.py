"""Streaming: batches read, decoded and resized ahead in threads, in the run's order.

A batch is a function of its step alone, so a run goes on at any step and sees the same examples
for any number of threads, worker processes and hosts. Grain does the reading ahead; its own state
is never kept.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from cnn_jax.data import decode, order, threads
from cnn_jax.data.augment import boxes
from cnn_jax.data.parts import Part, Stream

Batch = dict[str, np.ndarray]  # image uint8 [n, H, W, C], label int32 [n], mask bool [n]


class Batches:
    """This host's share of the batches of a part, by step: ``batches[step]``.

    Args:
        part: images to read.
        batch_size: examples a step, over all hosts.
        places: those of the global batch that this host reads; all of them if None.
        steps: of the run; None is one pass in the part's own order, each example once, the last
            batch padded with masked examples.
        seed: of the run's order.
        window: arguments of random-resized-crop, which is applied here, where the whole image
            is; None leaves it out. The window is drawn from the seed and the example's number in
            the run, step x batch_size + place.
    """

    def __init__(
        self,
        part: Part | Stream,
        batch_size: int,
        *,
        places: range | None = None,
        steps: int | None = None,
        seed: int = 0,
        window: Mapping[str, Any] | None = None,
    ):
        self._part, self._batch_size, self._seed = part, batch_size, seed
        self._places = range(batch_size) if places is None else places
        self._shuffled = steps is not None
        self._steps = -(-len(part) // batch_size) if steps is None else steps
        self._window = None if window is None else dict(window)

    def __len__(self) -> int:
        return self._steps

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of a step's examples, int ``[n]``; past the part's end in one pass."""
        numbers = self._numbers(step)
        if not self._shuffled:
            return numbers
        epochs, offsets = np.divmod(numbers, len(self._part))
        found = np.empty_like(numbers)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            found[here] = _permutation(self._seed, int(epoch), len(self._part))[offsets[here]]
        return found

    def _numbers(self, step: int) -> np.ndarray:
        return step * self._batch_size + np.asarray(self._places, np.int64)

    def __getitem__(self, step: Any) -> Batch:
        part, rows = self._part, self.rows(step)
        mask = rows < len(part)
        rows = np.minimum(rows, len(part) - 1)
        if isinstance(part, Part):
            assert self._window is None, "an image in memory is no longer whole"
            images = part.images[rows]
        else:
            # All are read before the first is decoded: taking turns, reading and decoding drive
            # each other out of the processor's caches, which costs a tenth of the time.
            files = [part.encoded(int(row)) for row in rows]
            images = np.empty((len(rows), *part.image_shape), np.uint8)
            for place, number in enumerate(self._numbers(step)):
                box = self._box(int(number))
                images[place] = part.shown(int(rows[place]), files[place], box)
        return {"image": images, "label": part.labels[rows], "mask": mask}

    def _box(self, number: int) -> Callable[[int, int], decode.Box] | None:
        """Return what says where an example's window lies in an image of a height and width."""
        if self._window is None:
            return None
        bounds = self._window

        def box(height: int, width: int) -> decode.Box:
            top, left, rows, columns = random_window(self._seed, number, height, width, bounds)
            return left, top, left + columns, top + rows

        return box


def random_window(
    seed: int, number: int, height: int, width: int, arguments: Mapping[str, Any]
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of example ``number``'s window in this run."""
    key = np.array([seed % 2**64, number], np.uint64)
    uniform = np.random.Generator(np.random.Philox(key=key)).random(boxes.DRAWS)
    bounds = boxes.CUSTOMARY | dict(arguments)
    top, left, rows, columns = boxes.window(
        uniform, height, width, area=bounds["area"], ratio=bounds["ratio"]
    )
    return int(top), int(left), int(rows), int(columns)


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.asarray(order.permutation(seed, epoch, n))


@contextlib.contextmanager
def read_ahead(
    batches: Batches, start: int = 0, *, readers: int | None = None, workers: int = 0
) -> Iterator[Iterator[Batch]]:
    """Yield an iterator over the batches from step ``start`` on, some of them read ahead.

    Args:
        batches: by step.
        start: the first step.
        readers: threads (in each worker process); as many as there are cores if None.
        workers: processes that read instead of this one; 0 is threads alone, which is faster
            unless Python's lock is what holds them up.
    """
    import grain  # half a second of start-up, for runs that stream

    readers = readers or threads.available()
    ahead = grain.ReadOptions(num_threads=readers, prefetch_buffer_size=readers + 1)
    source: Any = batches  # a RandomAccessDataSource, but for the type of the index
    dataset = grain.MapDataset.source(source)[start:].to_iter_dataset(ahead)
    if workers:
        _flags_are_parsed()
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=1)
        dataset = dataset.mp_prefetch(options, worker_init_fn=_on_the_cpu)
    iterator = iter(dataset)
    try:
        yield iterator
    finally:
        iterator.close()


def _on_the_cpu(worker: int, workers: int) -> None:
    """Keep a worker, which computes the order with jax, from taking the accelerator."""
    import jax

    jax.config.update("jax_platforms", "cpu")


def _flags_are_parsed() -> None:
    """Tell absl, whose flags Grain hands to its workers, that this program has none."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
