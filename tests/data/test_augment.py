"""Augmentation: what each transform does, and from which key."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data import augment, resident
from cnn_jax.errors import BadInputError

IMAGE = jnp.arange(5 * 6 * 2, dtype=jnp.float32).reshape(5, 6, 2) + 1


def keys(count: int) -> jax.Array:
    return jax.random.split(jax.random.key(0), count)


def test_pad_crop_is_a_shift_and_every_shift_is_as_likely():
    padded = np.pad(IMAGE, ((1, 1), (1, 1), (0, 0)))
    shifts = {padded[r : r + 5, c : c + 6].tobytes(): (r, c) for r in range(3) for c in range(3)}
    crops = jax.vmap(lambda key: augment.pad_crop(key, IMAGE, padding=1))(keys(9000))
    found = [shifts[np.asarray(crop).tobytes()] for crop in crops]  # a KeyError is a wrong crop
    counts = [found.count(shift) for shift in shifts.values()]
    # 9,000 draws of 9 shifts: chi-square with 8 degrees of freedom exceeds 31.8 once in 10,000.
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 31.8


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_flip_mirrors_columns_at_its_rate(probability):
    flipped = jax.vmap(lambda key: augment.flip(key, IMAGE, probability=probability))(keys(4000))
    mirrored = np.array([np.array_equal(image, IMAGE[:, ::-1]) for image in flipped])
    kept = np.array([np.array_equal(image, IMAGE) for image in flipped])
    assert np.all(mirrored ^ kept)
    # Four standard deviations: wrong once in 16,000.
    assert abs(mirrored.mean() - probability) <= 4 * np.sqrt(probability * (1 - probability) / 4000)


def test_transforms_are_applied_in_order_each_with_its_key():
    key = jax.random.key(3)
    apply = augment.pipeline(
        {"pad_crop": {"padding": 2}, "flip": {"probability": 0.5}}, IMAGE.shape
    )
    first, second = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
    expected = augment.flip(second, augment.pad_crop(first, IMAGE, padding=2))
    np.testing.assert_array_equal(apply(key, IMAGE), expected)


def test_an_image_depends_on_its_own_key_alone():
    images = jnp.stack([IMAGE, IMAGE + 100, IMAGE + 200]).astype(jnp.uint8)
    apply = augment.pipeline({"pad_crop": {"padding": 2}, "flip": {}}, IMAGE.shape)
    together = resident.augment(images, keys(3), apply)
    alone = resident.augment(images[1:2], keys(3)[1:2], apply)
    np.testing.assert_array_equal(together[1], alone[0])


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ({"flipp": {}}, "unknown transform 'flipp'; did you mean flip?"),
        ({"pad_crop": {"pad": 2}}, "data.augment.pad_crop has no argument 'pad'; it has padding"),
        ({"pad_crop": {"padding": -3}}, "data.augment.pad_crop cannot take {'padding': -3}"),
        ({"pad_crop": {"padding": "x"}}, "data.augment.pad_crop cannot take {'padding': 'x'}"),
    ],
)
def test_bad_steps_are_named(steps, line):
    with pytest.raises(BadInputError, match=re.escape(line)):
        augment.pipeline(steps, IMAGE.shape)


def test_scaling_is_affine_by_channel():
    images = np.array([[[[0, 255]]]], np.uint8)
    scaled = resident.scale(jnp.asarray(images), (0.5, 0.25), (0.5, 0.25), jnp.float32)
    np.testing.assert_allclose(scaled, [[[[-1.0, 3.0]]]])
