"""RandAugment's operations, one by one, against Pillow on the same parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

from cnn_jax.data.augment import randaugment, spatial
from cnn_jax.data.augment.randaugment import OPERATIONS

RNG = np.random.default_rng(0)
# Not all levels occur, so that there is something to stretch and to equalise.
RGB = (RNG.integers(30, 180, (31, 37, 3)) * RNG.random((31, 37, 1)) ** 0.5).astype(np.uint8)
STRENGTH = 0.7
THRESHOLD = 256 - int(256 * STRENGTH)


@functools.cache
def compiled():
    return jax.jit(randaugment.apply, static_argnums=2)


def found(name: str, sign: float) -> np.ndarray:
    image = jnp.asarray(RGB, jnp.float32)
    return np.asarray(compiled()(image, OPERATIONS.index(name), STRENGTH, sign))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", lambda image: image),
        ("autocontrast", ImageOps.autocontrast),
        ("equalize", ImageOps.equalize),
        (
            "solarize",
            lambda image: ImageOps.solarize(image, THRESHOLD),
        ),
        ("posterize", lambda image: ImageOps.posterize(image, 8 - round(4 * STRENGTH))),
    ],
)
def test_tables_are_pillows(name, expected):
    pillow = np.asarray(expected(Image.fromarray(RGB)), np.float32)
    # Pillow's stretching rounds through a float, which may fall on the other side of a level.
    assert np.abs(found(name, 1.0) - pillow).max() <= (name == "autocontrast")


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    ("name", "enhance"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("colour", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_blends_are_pillows(name, enhance, sign):
    factor = 1 + sign * STRENGTH * 0.9
    pillow = np.asarray(enhance(Image.fromarray(RGB)).enhance(factor), np.float32)
    assert np.abs(found(name, sign) - pillow).max() <= 1.7


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_warps_are_pillows_away_from_the_rim(name, sign):
    height, width = RGB.shape[:2]
    amount = sign * STRENGTH
    x0, y0 = width / 2, height / 2
    slope = amount * 0.3
    affine = {
        "shear_x": (1, slope, -slope * y0, 0, 1, 0),
        "shear_y": (1, 0, 0, slope, 1, -slope * x0),
        "translate_x": (1, 0, amount * 0.45 * width, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, amount * 0.45 * height),
    }
    image = Image.fromarray(RGB)

    def warped(plane: Image.Image) -> np.ndarray:
        if name == "rotate":
            return np.asarray(plane.rotate(amount * 30, Image.Resampling.BILINEAR), np.float32)
        how = Image.Transform.AFFINE
        return np.asarray(
            plane.transform((width, height), how, affine[name], Image.Resampling.BILINEAR),
            np.float32,
        )

    # At the rim Pillow repeats a pixel where this project lets the outside in: only compare
    # pixels whose neighbours all come from inside.
    mask = Image.new("L", (width, height), 255)
    whole = spatial.warp(
        jnp.asarray(np.asarray(mask, np.float32))[..., None],
        *_matrix(name, amount, height, width),
    )
    inner = np.asarray(whole)[..., 0] > 254.9
    assert inner.mean() > 0.4
    assert np.abs(found(name, sign) - warped(image))[inner].max() <= 1.001


def _matrix(name: str, amount: float, height: int, width: int):
    matrices = {
        "rotate": spatial.turning(amount * 30.0),
        "shear_x": jnp.asarray([[1.0, 0.0], [amount * 0.3, 1.0]]),
        "shear_y": jnp.asarray([[1.0, amount * 0.3], [0.0, 1.0]]),
    }
    shifts = {
        "translate_x": (0.0, amount * 0.45 * width),
        "translate_y": (amount * 0.45 * height, 0.0),
    }
    return matrices.get(name, jnp.eye(2)), jnp.asarray(shifts.get(name, (0.0, 0.0)))


@pytest.mark.parametrize("magnitude", [0, 1, 3, 5, 7.5, 9, 10])
def test_solarize_inverts_from_autoaugments_threshold_on(magnitude):
    """AutoAugment's code calls Pillow's solarize with 256 - int(magnitude / 10 * 256)."""
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pillow = ImageOps.solarize(Image.fromarray(every), 256 - int(magnitude / 10 * 256))
    image = jnp.asarray(every, jnp.float32)[..., None]
    ours = compiled()(image, OPERATIONS.index("solarize"), magnitude / 10, 1.0)
    np.testing.assert_array_equal(np.asarray(ours)[..., 0], np.asarray(pillow))


def test_operations_are_drawn_evenly_with_either_sign():
    image = jnp.asarray(RGB, jnp.float32)  # every operation leaves a mark of its own on it
    draw = jax.jit(
        jax.vmap(lambda key: randaugment.randaugment(key, image, operations=1, magnitude=7.0))
    )
    seen = np.asarray(draw(jax.random.split(jax.random.key(0), 1500)))
    every = jax.jit(
        jax.vmap(lambda which, sign: randaugment.apply(image, which, 0.7, sign), (0, 0))
    )
    which = jnp.repeat(jnp.arange(len(OPERATIONS)), 2)
    results = np.asarray(every(which, jnp.tile(jnp.asarray([1.0, -1.0]), len(OPERATIONS))))
    names = {i: OPERATIONS[i // 2] for i in range(len(results))}
    nearest = [int(np.abs(results - x).max((1, 2, 3)).argmin()) for x in seen]
    assert max(np.abs(results[n] - x).max() for n, x in zip(nearest, seen, strict=True)) < 0.01
    counts: dict[str, int] = dict.fromkeys(OPERATIONS, 0)
    for place in nearest:
        counts[names[place]] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4
    directed = [place % 2 for place in nearest if names[place] in randaugment.WARPS]
    share, count = np.mean(directed), len(directed)
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(count)
