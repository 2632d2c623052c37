"""Translation: does a network see the same when the image moves by some pixels?"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis.probe import Probe
from cnn_jax.analysis.receptive_field import ReceptiveField
from cnn_jax.ops.precision import accumulator

MOST = 8  # pixels


def shifted(x: np.ndarray, pixels: int) -> np.ndarray:
    """Move images ``[N, H, W, C]`` down and right; the edge's pixels fill what opens up."""
    sides = ((0, 0), (pixels, 0), (pixels, 0), (0, 0))
    return np.pad(x, sides, mode="edge")[:, : x.shape[1], : x.shape[2]]


def consistency(probe: Probe, x: np.ndarray, shifts: Sequence[int]) -> np.ndarray:
    """Return the share of images whose class is the same after each shift, ``[shifts]``.

    Zhang 2019, section 4.1, with diagonal shifts against the unmoved image.
    """
    classes = jax.jit(lambda x: jnp.argmax(probe(x), axis=-1))
    still = np.asarray(classes(x))
    return np.array([np.mean(np.asarray(classes(shifted(x, s))) == still) for s in shifts])


def equivariance_error(
    probe: Probe,
    x: np.ndarray,
    layers: Sequence[str],
    views: dict[str, ReceptiveField],
    shifts: Sequence[int],
) -> dict[str, np.ndarray]:
    """Return how far each layer is from moving along with the image, layer -> ``[shifts]``.

    The error is |up(f(shift(x))) - shift(up(f(x)))| / |up(f(x)) - mean| in the Euclidean norm,
    where ``up`` repeats each value as often as the layer's jump, so that shifts are in the
    image's pixels (Zhang 2019, section 4.2, takes the cosine instead). All places that both
    maps show are compared, so that a padding that the image does not move over counts too.
    """
    forward = jax.jit(lambda x: probe.read(x, layers)[1])
    still = jax.device_get(forward(x))
    found: dict[str, list[float]] = {name: [] for name in layers}
    for pixels in shifts:
        moved = jax.device_get(forward(shifted(x, pixels)))
        for name in layers:
            found[name].append(_error(still[name], moved[name], views[name], pixels))
    return {name: np.array(errors) for name, errors in found.items()}


def _error(still: np.ndarray, moved: np.ndarray, view: ReceptiveField, pixels: int) -> float:
    # Pixel p of a grown map belongs to position p // jump.
    grown = [
        np.arange(n * axis.jump - pixels) for axis, n in zip(view, still.shape[1:3], strict=True)
    ]
    here = [pixel // axis.jump for pixel, axis in zip(grown, view, strict=True)]
    there = [(pixel + pixels) // axis.jump for pixel, axis in zip(grown, view, strict=True)]
    # NumPy adds up in the type it is given.
    still, moved = (a.astype(accumulator(a.dtype)) for a in (still, moved))
    before = still[:, here[0]][:, :, here[1]]
    after = moved[:, there[0]][:, :, there[1]]
    spread = np.linalg.norm(before - before.mean(axis=(1, 2), keepdims=True))
    return float(np.linalg.norm(after - before) / max(float(spread), 1e-12))
