"""Small sets live on the device: images are gathered, augmented and scaled inside jit."""

from collections.abc import Callable

import jax
import numpy as np
from flax import struct

from cnn_jax.data import order
from cnn_jax.data.parts import Part


class Resident(struct.PyTreeNode):
    """A part of a data set on the device: images ``[N, H, W, C]`` and labels int32 ``[N]``."""

    images: jax.Array
    labels: jax.Array

    @classmethod
    def of(cls, part: Part, put: Callable[[np.ndarray], jax.Array]) -> "Resident":
        """Copy a part to the devices, as ``put`` does it with an array."""
        return cls(images=put(part.images), labels=put(part.labels))

    def __len__(self) -> int:
        return self.labels.shape[0]


class Shuffled:
    """The rows of a run's batches: an epoch's permutation computed once, and ahead of its use."""

    def __init__(self, seed: int, n: int, batch_size: int):
        self.seed, self._n, self._batch_size = seed, n, batch_size
        self._epoch, self._rows = -1, np.empty(0, np.int32)
        self._drawn = {0: order.permutation(seed, 0, n)}  # compiles before a run's clock asks

    def locate(self, step: int) -> tuple[np.ndarray, int]:
        """Return int32 ``[2 n]``, the orders of the step's epoch and the next, and the offset.

        The batch of ``step`` is the ``batch_size`` rows from the offset on.
        """
        epoch, offset = order.position(step, self._batch_size, self._n)
        if epoch != self._epoch:
            # The one after the next is not waited for: a device computes it beside the steps.
            self._drawn = {
                wanted: self._drawn[wanted]
                if wanted in self._drawn
                else order.permutation(self.seed, wanted, self._n)
                for wanted in range(epoch, epoch + 3)
            }
            orders = [self._drawn[epoch], self._drawn[epoch + 1]]
            self._epoch, self._rows = epoch, np.concatenate(orders)
        return self._rows, offset

    def steps_ahead(self, step: int) -> int:
        """Return how many batches from ``step`` on the two orders hold; at least one."""
        _, offset = order.position(step, self._batch_size, self._n)
        return (2 * self._n - offset) // self._batch_size
