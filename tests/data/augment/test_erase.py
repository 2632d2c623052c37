"""Cutout and random erasing."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from cnn_jax.data.augment import erase

WHITE = jnp.full((20, 24, 3), 255.0)


def keys(count: int) -> jax.Array:
    return jax.random.split(jax.random.key(0), count)


def test_cutout_is_a_square_about_every_pixel_cut_at_the_rim():
    cut = jax.jit(jax.vmap(lambda key: erase.cutout(key, WHITE, size=6, fill=9.0)))(keys(3000))
    centres = []
    for image in np.asarray(cut):
        rows, columns = (np.flatnonzero(np.any(image == 9, axis=(1 - axis, 2))) for axis in (0, 1))
        hole = np.zeros((20, 24, 3), bool)
        hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        np.testing.assert_array_equal(image, np.where(hole, 9, 255))
        # The side that is not at the rim tells the centre.
        row = rows[-1] - 2 if rows[-1] < 19 else rows[0] + 3
        column = columns[-1] - 2 if columns[-1] < 23 else columns[0] + 3
        assert len(rows) == min(row + 3, 20) - max(row - 3, 0)
        assert len(columns) == min(column + 3, 24) - max(column - 3, 0)
        centres.append((row, column))
    for axis, count in ((0, 20), (1, 24)):
        seen = np.bincount([centre[axis] for centre in centres], minlength=count)
        assert stats.chisquare(seen).pvalue > 1e-4


def test_random_erasing_puts_noise_in_a_rectangle_at_its_rate():
    erased = np.asarray(
        jax.jit(jax.vmap(lambda key: erase.random_erasing(key, WHITE, probability=0.25)))(
            keys(4000)
        )
    )
    changed = np.any(erased != 255, axis=-1)
    touched = changed.any((1, 2))
    assert abs(touched.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)  # wrong once in 16,000
    shares = []
    for hole in changed[touched]:
        rows, columns = (np.flatnonzero(hole.any(1 - axis)) for axis in (0, 1))
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        shares.append(hole.mean())
    # Areas are rounded to whole pixels, and shapes that do not fit are drawn again.
    assert 0.01 < min(shares) < 0.03
    assert 0.35 < max(shares) < 0.42
    levels = erased[touched][changed[touched]]
    assert stats.kstest(levels.ravel()[:5000], stats.uniform(0, 255).cdf).pvalue > 1e-4
