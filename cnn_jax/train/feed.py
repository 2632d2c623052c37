"""Streamed batches on the devices: each process reads its share, in the order of the steps."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnn_jax.data.parts import Stream
from cnn_jax.data.stream import Batch, Batches, read_ahead
from cnn_jax.train import sharding
from cnn_jax.train.setup import Execution, Setup

# Puts a process's share of a batch on its devices.
Put = Callable[[np.ndarray], Any]


def globally(mesh: Mesh) -> Put:
    """Return what makes one array, cut over all devices, of what the processes have."""
    over = sharding.batched(mesh)
    return lambda share: jax.make_array_from_process_local_data(over, share)


def by_device(share: np.ndarray) -> np.ndarray:
    """Return a share with a leading axis of this process's devices, as pmap takes it."""
    devices = jax.local_device_count()
    return share.reshape(devices, len(share) // devices, *share.shape[1:])


class Feed:
    """The training batches of a run by step, read ahead from wherever it is asked to begin."""

    def __init__(self, setup: Setup, part: Stream, mesh: Mesh, put: Put):
        self._batches = Batches(
            part,
            setup.batch_size,
            places=sharding.own_places(mesh, setup.batch_size),
            steps=setup.total,
            seed=setup.seed,
            window=setup.preprocessing.window,
        )
        self._execution, self._put = setup.execution, put
        self._reading = contextlib.ExitStack()
        self._iterator: Iterator[Batch] = iter(())
        self._next = -1
        self._held: tuple[int, tuple[Any, Any]] | None = None

    def take(self, step: int) -> tuple[Any, Any]:
        """Return images uint8 ``[N, H, W, C]`` and labels int32 ``[N]`` of a step."""
        held, self._held = self._held, None
        if held is not None and held[0] == step:
            return held[1]
        if step != self._next:
            self.close()
            ahead = _ahead(self._batches, self._execution, step)
            self._iterator = self._reading.enter_context(ahead)
        batch, self._next = next(self._iterator), step + 1
        return self._put(batch["image"]), self._put(batch["label"])

    def peek(self, step: int) -> tuple[Any, Any]:
        """Return a step's images and labels and have them ready to be taken."""
        self._held = step, self.take(step)
        return self._held[1]

    def close(self) -> None:
        """Stop reading ahead."""
        self._reading.close()


def passing(
    execution: Execution, part: Stream, batch_size: int, mesh: Mesh
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield images, labels and masks of one pass over a part, each example once."""
    places, put = sharding.own_places(mesh, batch_size), globally(mesh)
    with _ahead(Batches(part, batch_size, places=places), execution, 0) as batches:
        for batch in batches:
            yield put(batch["image"]), put(batch["label"]), put(batch["mask"])


def first(setup: Setup, part: Stream, mesh: Mesh, count: int, seed: int) -> Iterator[Any]:
    """Yield the images of the first ``count`` batches of a run's order, not augmented."""
    places, put = sharding.own_places(mesh, setup.batch_size), globally(mesh)
    batches = Batches(part, setup.batch_size, places=places, steps=count, seed=seed)
    with _ahead(batches, setup.execution, 0) as read:
        for batch in read:
            yield put(batch["image"])


def _ahead(batches: Batches, execution: Execution, start: int):
    return read_ahead(batches, start, readers=execution.readers, workers=execution.workers)
