"""Attribution: which pixels speak for a class.

Images are normalised ``[N, H, W, C]``; ``classes`` int ``[N]`` says which logit of each is looked
at. All of them explain the logit, before softmax, except occlusion, which watches the probability.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis import relu
from cnn_jax.analysis.probe import Probe
from cnn_jax.ops.precision import wide


def _own(logits: jax.Array, classes: jax.Array) -> jax.Array:
    return jnp.take_along_axis(logits, jnp.asarray(classes)[:, None], axis=1)[:, 0]


def gradient(probe: Probe, x: jax.Array, classes: jax.Array) -> jax.Array:
    """Return the gradient of each image's logit by its pixels, ``[N, H, W, C]``."""
    return jax.jit(jax.grad(lambda x: _own(probe(x), classes).sum()))(x)


def saliency(probe: Probe, x: jax.Array, classes: jax.Array) -> jax.Array:
    """Return the largest gradient of a pixel's channels, ``[N, H, W]`` (Simonyan et al. 2013)."""
    return jnp.abs(gradient(probe, x, classes)).max(axis=-1)


def guided_backprop(probe: Probe, x: jax.Array, classes: jax.Array) -> jax.Array:
    """Return the guided gradient, signed, ``[N, H, W, C]`` (Springenberg et al. 2014)."""
    guided = relu.with_rule(probe, "guided")
    return jax.jit(jax.grad(lambda x: _own(guided(x), classes).sum()))(x)


def integrated_gradients(
    probe: Probe,
    x: jax.Array,
    classes: jax.Array,
    baseline: jax.Array,
    *,
    steps: int = 256,
) -> tuple[jax.Array, jax.Array]:
    """Return what each value adds to the logit on the way from ``baseline`` to the image.

    Sundararajan et al. 2017, equation 3, by the midpoint rule with ``steps`` points on the
    straight line. ``baseline`` is one image ``[H, W, C]`` or one for each.

    Returns:
        (attributions ``[N, H, W, C]``, gap ``[N]``): the gap is what their sum lacks to the
        difference of the logits, which it would equal with infinitely many steps.
    """
    x = wide(x)  # of it are the sum over the steps and that over the pixels
    baseline = jnp.broadcast_to(wide(baseline), x.shape)
    slope = jax.grad(lambda x: _own(probe(x), classes).sum())

    @jax.jit
    def mean_slope(x):
        def add(i, total):
            return total + slope(baseline + (x - baseline) * ((i + 0.5) / steps))

        return jax.lax.fori_loop(0, steps, add, jnp.zeros_like(x)) / steps

    found = (x - baseline) * mean_slope(x)
    logits = jax.jit(probe)
    difference = _own(logits(x), classes) - _own(logits(baseline), classes)
    return found, difference - found.sum(axis=(1, 2, 3))


def grad_cam(probe: Probe, x: jax.Array, classes: jax.Array, layer: str) -> jax.Array:
    """Return where a layer's maps speak for the class, ``[N, H', W']``, at least 0.

    Selvaraju et al. 2016, equations 1 and 2: the maps weighted by the mean of the logit's
    gradient over each, summed, ReLU.
    """
    shape = (x.shape[0], *probe.layers[layer])

    @jax.jit
    def cam(x):
        def score(zero):
            logits, read = probe.read(x, [layer], {layer: zero})
            return _own(logits, classes).sum(), read[layer]

        slope, maps = map(wide, jax.grad(score, has_aux=True)(jnp.zeros(shape, x.dtype)))
        weights = slope.mean(axis=(1, 2), keepdims=True)
        return jax.nn.relu((weights * maps).sum(axis=-1))

    return cam(x)


def occlusion(
    probe: Probe,
    x: jax.Array,
    classes: jax.Array,
    *,
    window: int,
    stride: int,
    fill: float = 0.0,
) -> np.ndarray:
    """Return how much of the class's probability each covered square costs, ``[N, H, W]``.

    Zeiler & Fergus 2013, section 4.2. A square of ``window`` pixels of the normalised value
    ``fill`` moves by ``stride`` over the image and past its edges; each pixel gets the mean loss
    over the squares that cover it.
    """
    _, height, width, _ = x.shape

    @jax.jit
    def probability(x, row, column):
        inside = [
            (jnp.arange(size) >= start) & (jnp.arange(size) < start + window)
            for size, start in ((height, row), (width, column))
        ]
        covered = (inside[0][:, None] & inside[1])[None, :, :, None]
        shares = jax.nn.softmax(probe(jnp.where(covered, fill, x)))
        return _own(shares, classes)

    whole = np.asarray(probability(x, -window, -window))
    loss, count = np.zeros(x.shape[:3]), np.zeros((height, width))
    for row in range(-window + stride, height, stride):
        for column in range(-window + stride, width, stride):
            lost = whole - np.asarray(probability(x, row, column))
            square = slice(max(row, 0), row + window), slice(max(column, 0), column + window)
            loss[:, *square] += lost[:, None, None]
            count[square] += 1
    return loss / np.maximum(count, 1)
