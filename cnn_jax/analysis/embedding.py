"""Similarity: images as vectors of a layer, and the nearest of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from cnn_jax.analysis.probe import Probe
from cnn_jax.ops.precision import accumulator


def embed(probe: Probe, layer: str, batches: Iterable[jax.Array]) -> np.ndarray:
    """Return each image's vector, ``[N, D]``, of length 1.

    It is the layer's output, averaged over rows and columns where it has them, divided by its
    Euclidean norm, so that a product of two is their cosine.
    """

    def read(x: jax.Array) -> jax.Array:
        return probe.read(x, [layer])[1][layer].astype(jnp.float32)

    return features(Partial(read), batches, unit=True)


def features(read: Partial, batches: Iterable[jax.Array], *, unit: bool = False) -> np.ndarray:
    """Return a vector of each image, float32 ``[N, D]``.

    Args:
        read: images -> maps ``[n, H', W', D]``, which are averaged over their pixels, or vectors
            ``[n, D]``. The arrays that it is bound to are arguments of what is compiled.
        batches: images ``[n, H, W, C]``, normalised.
        unit: whether the vectors are divided by their norm.
    """

    @jax.jit
    def one(read: Partial, x: jax.Array) -> jax.Array:
        maps = read(x)
        vectors = maps.mean(axis=(1, 2)) if maps.ndim == 4 else maps
        return normalised(vectors) if unit else vectors

    return np.concatenate([np.asarray(one(read, x), np.float32) for x in batches])


def normalised(vectors: Any) -> Any:
    """Return vectors ``[N, D]`` divided by their norm, in at least float32; zeros stay zeros."""
    vectors = vectors.astype(accumulator(vectors.dtype))
    norm = (vectors**2).sum(axis=1, keepdims=True) ** 0.5
    return vectors / (norm + (norm == 0))


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` nearest of ``vectors`` ``[N, D]`` for each of ``queries`` ``[M, D]``, exact.

    Returns:
        (similarities ``[M, k]``, the most similar first; indices ``[M, k]``).
    """

    @jax.jit
    def best(queries, vectors):
        return jax.lax.top_k(queries @ vectors.T, k)

    held, found = jnp.asarray(vectors), []
    step = max(1, 2**24 // max(len(vectors), 1))  # similarities in memory at once
    for start in range(0, len(queries), step):
        found.append(jax.device_get(best(queries[start : start + step], held)))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))  # type: ignore[return-value]


def precision(labels: np.ndarray, own: np.ndarray, neighbours: np.ndarray) -> float:
    """Return the mean share of an image's neighbours that have its label.

    Args:
        labels: int ``[N]``, of the images that ``neighbours`` point to.
        own: int ``[M]``, the labels asked for.
        neighbours: int ``[M, k]``.
    """
    return float(np.mean(labels[neighbours] == own[:, None]))


def without_self(rows: Sequence[int], neighbours: np.ndarray, k: int) -> np.ndarray:
    """Return ``neighbours`` ``[M, k + 1]`` of images ``rows`` without themselves, ``[M, k]``."""
    kept = []
    for row, found in zip(rows, neighbours, strict=True):
        kept.append([other for other in found if other != row][:k])
    return np.array(kept)
