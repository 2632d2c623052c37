"""Transforms that mix two examples of a batch.

Functions of (key, own, images, targets): a key for the whole batch and one for each example,
images float32 ``[N, H, W, C]``, targets float32 ``[N, classes]`` that sum up to one. The partner
of each place is drawn from the batch's key, its share from the example's own.
"""

import jax
import jax.numpy as jnp

from cnn_jax.data.augment.arguments import Alpha, Probability
from cnn_jax.data.augment.erase import inside

Mixed = tuple[jax.Array, jax.Array]


def partners(key: jax.Array, count: int) -> jax.Array:
    """Return the place whose example is mixed into that of each place: a permutation."""
    return jax.random.permutation(key, count)


def _shares(own: jax.Array, alpha: float, probability: float) -> jax.Array:
    """Return the share that each example keeps, Beta(alpha, alpha); 1 where it stays whole."""

    def draw(key: jax.Array) -> jax.Array:
        chance, share = jax.random.split(key)
        mixes = jax.random.bernoulli(chance, probability)
        # Beta(1, 1) is uniform, and drawn without the sampler's loops.
        kept = jax.random.uniform(share) if alpha == 1 else jax.random.beta(share, alpha, alpha)
        return jnp.where(mixes, kept, 1.0)

    return jax.vmap(draw)(own)


def mixup(
    key: jax.Array,
    own: jax.Array,
    images: jax.Array,
    targets: jax.Array,
    *,
    alpha: Alpha = 0.2,
    probability: Probability = 1.0,
) -> Mixed:
    """Average each image with its partner's, and the targets likewise (Zhang et al. 2017)."""
    other = partners(key, len(images))
    share = _shares(own, alpha, probability)
    wide = share[:, None, None, None]
    return (
        wide * images + (1 - wide) * images[other],
        share[:, None] * targets + (1 - share[:, None]) * targets[other],
    )


def cutmix(
    key: jax.Array,
    own: jax.Array,
    images: jax.Array,
    targets: jax.Array,
    *,
    alpha: Alpha = 1.0,
    probability: Probability = 1.0,
) -> Mixed:
    """Paste a rectangle of the partner's image, the targets by area (Yun et al. 2019).

    The rectangle has the image's aspect ratio and the share 1 - lambda of its area before halves
    are rounded down and it is cut at the rim, as in the authors' code; the targets are weighted by
    what is left of it.
    """
    height, width = images.shape[1:3]
    other = partners(key, len(images))
    share = _shares(own, alpha, probability)

    def rectangle(key: jax.Array, share: jax.Array) -> jax.Array:
        # A fold of its own: the share was drawn from the same key.
        place = jax.random.fold_in(key, 2)
        row, column = jax.random.randint(place, (2,), 0, jnp.asarray([height, width]))
        side = jnp.sqrt(1 - share)
        # As many pixels before the centre as from it on: the side is even.
        up = jnp.floor(height * side).astype(int) // 2
        along = jnp.floor(width * side).astype(int) // 2
        return inside((height, width), row - up, column - along, row + up, column + along)

    pasted = jax.vmap(rectangle)(own, share)
    kept = 1 - jnp.mean(pasted, axis=(1, 2, 3), dtype=targets.dtype)[:, None]
    return (
        jnp.where(pasted, images[other], images),
        kept * targets + (1 - kept) * targets[other],
    )
