"""Transforms that move pixels, against NumPy, SciPy and Pillow."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats

from cnn_jax.data import decode
from cnn_jax.data.augment import boxes, spatial

IMAGE = jnp.arange(5 * 6 * 2, dtype=jnp.float32).reshape(5, 6, 2) + 1
PHOTO = np.random.default_rng(0).uniform(0, 255, (23, 30, 3)).astype(np.float32)


def keys(count: int) -> jax.Array:
    return jax.random.split(jax.random.key(0), count)


def test_pad_crop_is_a_shift_and_every_shift_is_as_likely():
    padded = np.pad(IMAGE, ((1, 1), (1, 1), (0, 0)))
    shifts = {padded[r : r + 5, c : c + 6].tobytes(): (r, c) for r in range(3) for c in range(3)}
    crops = jax.jit(jax.vmap(lambda key: spatial.pad_crop(key, IMAGE, padding=1)))(keys(9000))
    found = [shifts[np.asarray(crop).tobytes()] for crop in crops]  # a KeyError is a wrong crop
    counts = [found.count(shift) for shift in shifts.values()]
    # 9,000 draws of 9 shifts: chi-square with 8 degrees of freedom exceeds 31.8 once in 10,000.
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 31.8


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_flip_mirrors_columns_at_its_rate(probability):
    flip = jax.jit(jax.vmap(lambda key: spatial.flip(key, IMAGE, probability=probability)))
    flipped = np.asarray(flip(keys(4000)))
    mirrored = np.all(flipped == np.asarray(IMAGE)[:, ::-1], axis=(1, 2, 3))
    kept = np.all(flipped == np.asarray(IMAGE), axis=(1, 2, 3))
    assert np.all(mirrored ^ kept)
    # Four standard deviations: wrong once in 16,000.
    assert abs(mirrored.mean() - probability) <= 4 * np.sqrt(probability * (1 - probability) / 4000)


@pytest.mark.parametrize(
    ("matrix", "shift"),
    [
        (spatial.turning(17.0), (0.0, 0.0)),
        (spatial.turning(-160.0), (1.5, -2.25)),
        (np.eye(2) / 1.3, (0.0, 0.0)),
        (np.eye(2), (3.0, -4.5)),
        (np.array([[1.0, 0.0], [0.3, 1.0]]), (0.0, 0.0)),
    ],
)
def test_warping_is_scipys_affine_transform(matrix, shift):
    found = jax.jit(spatial.warp, static_argnums=3)(
        PHOTO, jnp.asarray(matrix), jnp.asarray(shift), 7.0
    )
    centre = (np.array(PHOTO.shape[:2]) - 1) / 2
    offset: Any = centre + np.array(shift) - np.asarray(matrix, np.float64) @ centre
    for channel in range(3):
        expected = ndimage.affine_transform(
            PHOTO[..., channel], matrix, offset, order=1, mode="grid-constant", cval=7.0
        )
        np.testing.assert_allclose(found[..., channel], expected, atol=0.02)


def test_a_quarter_turn_is_counter_clockwise_and_exact():
    square = PHOTO[:, :23]
    turned = spatial.warp(jnp.asarray(square), spatial.turning(90.0), jnp.zeros(2))
    np.testing.assert_allclose(turned, np.rot90(square), atol=0.02)


def spread(transform, count: int = 2000) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(transform))(keys(count)))


def ramp(axis: int) -> jax.Array:
    """Return an image whose values are coordinates relative to the centre, wide enough."""
    side = 41
    line = jnp.arange(side, dtype=jnp.float32) - side // 2
    return jnp.broadcast_to(line[:, None] if axis == 0 else line[None, :], (side, side))[..., None]


def test_angles_factors_and_shifts_are_drawn_evenly():
    # On a ramp, what a warp shows next to the centre tells its matrix.
    down, along = ramp(0), ramp(1)
    turned = spread(lambda key: spatial.rotation(key, along, degrees=20)[20, 25, 0])
    angles = np.degrees(np.arccos(turned / 5))  # the sign of the angle is lost in the cosine
    assert stats.kstest(angles, stats.uniform(0, 20).cdf).pvalue > 1e-4
    signs = spread(lambda key: spatial.rotation(key, down, degrees=20)[20, 25, 0]) < 0
    assert abs(signs.mean() - 0.5) < 4 * 0.5 / np.sqrt(2000)  # wrong once in 16,000
    zoomed = spread(lambda key: spatial.scale(key, along, factor=(0.5, 2.0))[20, 25, 0])
    assert stats.kstest(np.log2(5 / zoomed), stats.uniform(-1, 2).cdf).pvalue > 1e-4
    for axis, image in enumerate((down, along)):
        moved = spread(lambda key, i=image: spatial.translation(key, i, share=0.1)[20, 20, 0])
        assert stats.kstest(moved, stats.uniform(-4.1, 8.2).cdf).pvalue > 1e-4, axis


def test_positive_shares_move_the_image_down_and_right():
    key = jax.random.key(1)
    shift = np.asarray(jax.random.uniform(key, (2,), jnp.float32, -1, 1)) * 0.1 * 41
    assert spatial.translation(key, ramp(0))[20, 20, 0] == pytest.approx(-shift[0], abs=1e-4)
    assert spatial.translation(key, ramp(1))[20, 20, 0] == pytest.approx(-shift[1], abs=1e-4)


@pytest.mark.parametrize("box", [(0, 0, 23, 30), (3, 5, 12, 9), (10, 0, 13, 30), (22, 29, 1, 1)])
def test_an_enlarged_window_is_pillows_and_the_hosts(box):
    top, left, rows, columns = box
    found = jax.jit(spatial.resized_window)(PHOTO, top, left, rows, columns)
    for channel in range(3):
        window = Image.fromarray(PHOTO[top : top + rows, left : left + columns, channel])
        expected = window.resize((30, 23), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(found[..., channel], np.asarray(expected), atol=0.02)
    levels = PHOTO.astype(np.uint8)
    on_host = decode.resize(levels, (23, 30), (left, top, left + columns, top + rows))
    on_device = spatial.resized_window(jnp.asarray(levels, jnp.float32), top, left, rows, columns)
    assert np.abs(on_host - np.asarray(on_device)).max() <= 2.01


AREA, RATIO = (0.2, 0.7), (3 / 4, 4 / 3)


def windows(count: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    draw = [
        boxes.window(rng.random(boxes.DRAWS), height, width, area=AREA, ratio=RATIO)
        for _ in range(count)
    ]
    return np.array(draw)


def test_windows_have_their_area_ratio_and_place():
    top, left, rows, columns = windows(4000, 4000, 4000).T
    assert stats.kstest(rows * columns / 16e6, stats.uniform(0.2, 0.5).cdf).pvalue > 1e-4
    ratio = np.log(columns / rows) / np.log(4 / 3)
    assert stats.kstest(ratio, stats.uniform(-1, 2).cdf).pvalue > 1e-4
    assert stats.kstest(top / (4000 - rows), stats.uniform(0, 1).cdf).pvalue > 1e-4
    assert stats.kstest(left / (4000 - columns), stats.uniform(0, 1).cdf).pvalue > 1e-4


def test_windows_lie_inside_and_every_place_is_reached():
    top, left, rows, columns = windows(3000, 7, 5).T
    assert np.all((top >= 0) & (left >= 0) & (rows >= 1) & (columns >= 1))
    assert np.all((top + rows <= 7) & (left + columns <= 5))
    for size in np.unique(rows):
        assert set(top[rows == size]) == set(range(7 - size + 1)), size


@pytest.mark.parametrize(("height", "width"), [(10, 300), (300, 10)])
def test_where_no_window_fits_the_centre_serves(height, width):
    top, left, rows, columns = boxes.window(
        np.full(boxes.DRAWS, 0.9), height, width, area=(0.9, 1.0), ratio=RATIO
    )
    long, short = (columns, rows) if width > height else (rows, columns)
    assert (short, long) == (10, round(10 * 4 / 3))
    assert abs((left + columns / 2) - width / 2) <= 0.5
    assert abs((top + rows / 2) - height / 2) <= 0.5


def test_host_and_device_draw_the_same_window():
    uniform = np.random.default_rng(3).random((50, *boxes.DRAWS)).astype(np.float32)

    def draw(u):
        return boxes.window(u, 31, 47, area=AREA, ratio=RATIO, xp=jnp)

    on_device = np.stack(jax.jit(jax.vmap(draw))(uniform), axis=1)
    on_host = [boxes.window(u, 31, 47, area=AREA, ratio=RATIO) for u in uniform]
    assert np.mean(np.all(on_device == np.array(on_host), axis=1)) >= 0.96  # but for roundings


def test_random_resized_crop_is_its_window():
    key = jax.random.key(5)
    box = boxes.window(
        np.asarray(jax.random.uniform(key, boxes.DRAWS)), 23, 30, area=AREA, ratio=RATIO
    )
    photo = jnp.asarray(PHOTO)
    found = spatial.random_resized_crop(key, photo, area=AREA, ratio=RATIO)
    np.testing.assert_allclose(found, spatial.resized_window(photo, *map(int, box)), atol=1e-3)
