"""Activation maximisation: the image that a unit would like to see."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis.probe import Probe
from cnn_jax.ops.precision import wide


def total_variation(x: jax.Array) -> jax.Array:
    """Return the mean square of the differences of neighbouring pixels of ``[N, H, W, C]``."""
    x = wide(x)
    rows, columns = jnp.diff(x, axis=1), jnp.diff(x, axis=2)
    return (jnp.sum(jnp.square(rows)) + jnp.sum(jnp.square(columns))) / x.size


def _low_frequencies(shape: tuple[int, ...], power: float) -> np.ndarray:
    """Return what multiplies each frequency of an image: 1 / f^power, at most 1 / f0^power."""
    height, width = shape[:2]
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    f = np.maximum(np.hypot(rows, columns), 1 / max(height, width, 2))
    return (f / f.min()) ** -power


def _filtered(images: jax.Array, factors: np.ndarray) -> jax.Array:
    """Return images ``[N, H, W, C]`` whose frequencies are multiplied by ``factors``."""
    spectrum = jnp.fft.rfft2(images, axes=(1, 2)) * factors
    return jnp.fft.irfft2(spectrum, s=images.shape[1:3], axes=(1, 2))


def _activation(probe: Probe, layer: str | None, x: jax.Array, unit: jax.Array) -> jax.Array:
    """Return what a unit says of the one image in ``x`` ``[1, H, W, C]``; see ``maximise``."""
    if layer is None:
        return probe(x)[0, unit]
    maps = probe.read(x, [layer])[1][layer][0]
    return maps[maps.shape[0] // 2, maps.shape[1] // 2, unit] if maps.ndim == 3 else maps[unit]


def maximise(
    probe: Probe,
    layer: str | None,
    units: Sequence[int],
    *,
    seed: int = 0,
    steps: int = 256,
    rate: float = 0.05,
    jitter: int = 2,
    variation: float = 0.1,
    frequency: float = 1.0,
    limits: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Climb the activation of each unit from the same faint noise.

    Args:
        probe: the network.
        layer: of the unit; None takes the logits. Of an output with rows and columns, the place
            in the middle is taken.
        units: its channels, one image for each.
        seed: of the noise and the jitter.
        steps: of gradient ascent; each moves the image by ``rate`` in root mean square.
        rate: of a step, in normalised units.
        jitter: the image is rolled by up to so many pixels each way before a step.
        variation: weight of the total variation, in units of the activation.
        frequency: the gradient's frequency f is divided by f to this power, which keeps high
            frequencies out (Olah et al. 2017, "Feature visualization").
        limits: the least and the largest value of each channel ``[C]``; unlimited if None.

    Returns:
        (images ``[units, H, W, C]``, activation at each step ``[units, steps]``).
    """
    shape = (1, *probe.image_shape)
    scale = _low_frequencies(probe.image_shape, frequency)[None, :, :, None]

    def objective(x, unit):
        value = _activation(probe, layer, x, unit)
        return value - variation * total_variation(x), value

    def climb(unit, key):
        def step(x, key):
            rows, columns = jax.random.randint(key, (2,), -jitter, jitter + 1)
            moved = jnp.roll(x, (rows, columns), (1, 2))
            slope, value = jax.grad(objective, has_aux=True)(moved, unit)
            slope = _filtered(jnp.roll(slope, (-rows, -columns), (1, 2)), scale)
            x = x + rate * slope / (jnp.sqrt(jnp.mean(jnp.square(slope))) + 1e-12)
            if limits is not None:
                x = jnp.clip(x, *limits)
            return x, value

        first, *rest = jax.random.split(key, steps + 1)
        start = 0.01 * jax.random.normal(first, shape)
        return jax.lax.scan(step, start, jnp.stack(rest))

    def every(units, key):
        return jax.lax.map(lambda unit: climb(unit, key), units)

    images, values = jax.jit(every)(jnp.asarray(units), jax.random.key(seed))
    return images[:, 0], values
