"""Style transfer (Gatys et al. 2016): the content of one image, the style of another."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.analysis.maximise import total_variation
from cnn_jax.analysis.probe import Probe
from cnn_jax.ops.precision import wide


def gram(maps: jax.Array) -> jax.Array:
    """Return the products of maps ``[..., H, W, C]`` averaged over positions, ``[..., C, C]``.

    Equation 3 of the paper, divided by the number of positions, so that images of different
    sizes can be compared. Summed up in at least float32.
    """
    maps = wide(maps)
    flat = maps.reshape(*maps.shape[:-3], -1, maps.shape[-1])
    return jnp.einsum("...pc,...pd->...cd", flat, flat) / flat.shape[-2]


def _distance(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(wide(a) - wide(b)))


def _losses(
    probe: Probe,
    content: jax.Array,
    style: jax.Array,
    content_layer: str,
    style_layers: Sequence[str],
) -> Callable[[jax.Array], jax.Array]:
    """Return image ``[H, W, C]`` -> losses ``[3]``; arguments and losses as of ``transfer``."""
    layers = [content_layer, *style_layers]

    def read(x):
        return probe.read(x[None], layers)[1]

    start, aim = jax.jit(read)(content), jax.jit(read)(style)
    kept = start[content_layer]
    grams = {name: gram(aim[name]) for name in style_layers}
    at_first = {name: _distance(gram(start[name]), grams[name]) + 1e-12 for name in style_layers}
    strength = jnp.mean(jnp.square(wide(kept))) + 1e-12

    def losses(x):
        now = read(x)
        manner = [_distance(gram(now[name]), grams[name]) / at_first[name] for name in style_layers]
        return jnp.stack(
            [
                _distance(now[content_layer], kept) / strength,
                jnp.mean(jnp.stack(manner)),
                total_variation(x[None]),
            ]
        )

    return losses


def transfer(
    probe: Probe,
    content: jax.Array,
    style: jax.Array,
    *,
    content_layer: str,
    style_layers: Sequence[str],
    style_weight: float = 1e2,
    variation: float = 1e-2,
    steps: int = 300,
    rate: float = 0.03,
    limits: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Paint ``content`` in the manner of ``style``; both are normalised, ``[H, W, C]``.

    Adam on the image, from the content image on. Each layer's loss is divided by what it is at
    the content image (content: by the mean square of its maps), so that the weights mean the same
    in every network and with untrained weights.

    Args:
        probe: the network.
        content: the image to paint.
        style: the image whose manner to take, of the same size.
        content_layer: whose outputs are to stay (equation 1).
        style_layers: whose Gram matrices are to become the style's (equation 5).
        style_weight: of the mean over the style layers against the content.
        variation: weight of the total variation.
        steps: of Adam.
        rate: its learning rate, in normalised units.
        limits: the least and the largest value of each channel ``[C]``.

    Returns:
        (image ``[H, W, C]``, losses ``[steps, 3]``: content, style, variation, unweighted).
    """
    losses = _losses(probe, content, style, content_layer, style_layers)
    weights = jnp.array([1.0, style_weight, variation])
    optimizer = optax.adam(rate)

    @jax.jit
    def paint(x):
        def objective(x):
            parts = losses(x)
            return jnp.sum(weights * parts), parts

        def step(carry, _):
            x, state = carry
            slope, parts = jax.grad(objective, has_aux=True)(x)
            change, state = optimizer.update(slope, state)
            x = x + change
            return (x if limits is None else jnp.clip(x, *limits), state), parts

        (x, _), history = jax.lax.scan(step, (x, optimizer.init(x)), length=steps)
        return x, history

    return paint(jnp.asarray(content))
