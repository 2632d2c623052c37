"""What excites a unit: the images that do it most, and its activation projected back to pixels."""

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis import relu
from cnn_jax.analysis.probe import Probe


class Activation(NamedTuple):
    """A unit's largest activation in an image, and where in the layer's output it is."""

    value: float
    image: int
    position: tuple[int, int]


def top_activations(
    probe: Probe, layer: str, units: Sequence[int], batches: Iterable[jax.Array], k: int
) -> list[list[Activation]]:
    """Return the ``k`` images that excite each unit most, one place an image, strongest first.

    Args:
        probe: the network.
        layer: of the units.
        units: their channels.
        batches: normalised images ``[N, H, W, C]``, read once, one batch at a time; images are
            numbered through. Memory holds one batch and ``k`` results a unit.
        k: how many.
    """
    chosen = jnp.array(units)

    @jax.jit
    def largest(x):
        values = probe.read(x, [layer])[1][layer][..., chosen].reshape(len(x), -1, len(units))
        return values.max(axis=1).T, values.argmax(axis=1).T

    shape = probe.layers[layer]
    columns = shape[1] if len(shape) == 3 else 1
    # A heap a unit, whose first is the weakest; of equal ones the earlier image wins.
    heaps: list[list[tuple[float, int, int]]] = [[] for _ in units]
    start = 0
    for x in batches:
        for best, values, places in zip(heaps, *jax.device_get(largest(x)), strict=True):
            for i, (value, place) in enumerate(zip(values, places, strict=True)):
                entry = (float(value), -(start + i), int(place))
                if len(best) < k:
                    heapq.heappush(best, entry)
                else:
                    heapq.heappushpop(best, entry)
        start += len(x)
    return [
        [
            Activation(value, -image, divmod(place, columns))
            for value, image, place in sorted(best, reverse=True)
        ]
        for best in heaps
    ]


def project(probe: Probe, x: jax.Array, layer: str, unit: int, positions: np.ndarray) -> jax.Array:
    """Return one activation of each image projected back to its pixels, ``[N, H, W, C]``.

    Zeiler & Fergus 2013, section 2.1: all other activations of the layer are set to zero; then
    transposed filters, the switches of the max-pools and the ReLUs that ``relu`` describes lead
    down to the pixels. Normalisation, in inference a multiplication, is one on the way down too.

    Args:
        probe: the network.
        x: images ``[N, H, W, C]``.
        layer: of the unit.
        unit: its channel.
        positions: int ``[N, 2]``, row and column in the layer's output; ignored of one without.
    """

    def read(x):
        return probe.read(x, [layer])[1][layer]

    @jax.jit
    def back(x, positions):
        down = relu.with_rule(read, "deconvnet")
        maps, pull = jax.vjp(down, x)
        if maps.ndim == 4:
            at = (jnp.arange(len(x)), positions[:, 0], positions[:, 1], unit)
        else:
            at = (jnp.arange(len(x)), unit)
        return pull(jnp.zeros_like(maps).at[at].set(maps[at]))[0]

    return back(x, jnp.asarray(positions))
