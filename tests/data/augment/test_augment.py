"""Composing transforms: their order, their keys, and what is wrong with bad ones."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data import augment, preprocessing
from cnn_jax.data.augment import erase, mix, spatial
from cnn_jax.runtime.errors import BadInputError

SHAPE = (5, 6, 3)
IMAGES = jnp.arange(4 * 5 * 6 * 3, dtype=jnp.float32).reshape(4, *SHAPE)
LABELS = jnp.asarray([0, 1, 2, 1])
PLACES = jnp.arange(4, dtype=jnp.uint32)
KEY = jax.random.key(3)


def composed(steps, **options):
    return jax.jit(augment.pipeline(steps, SHAPE, 3, **options))


def test_transforms_are_applied_in_order_each_with_its_key():
    steps = {"pad_crop": {"padding": 2}, "flip": {"probability": 0.5}}
    images, targets = composed(steps)(KEY, PLACES, IMAGES, LABELS)
    assert targets is None
    for place in range(4):
        own = jax.random.fold_in(KEY, place)
        first, second = jax.random.fold_in(own, 0), jax.random.fold_in(own, 1)
        expected = spatial.flip(second, spatial.pad_crop(first, IMAGES[place], padding=2))
        np.testing.assert_array_equal(images[place], expected)


def test_an_image_depends_on_its_place_in_the_global_batch_alone():
    apply = composed({"pad_crop": {"padding": 2}, "flip": {}})
    together, _ = apply(KEY, PLACES, IMAGES.astype(jnp.uint8), LABELS)
    alone, _ = apply(KEY, PLACES[2:3], IMAGES[2:3].astype(jnp.uint8), LABELS[2:3])
    np.testing.assert_array_equal(together[2], alone[0])


def test_mixes_come_in_their_place_and_hand_on_their_targets():
    steps: dict = {"mixup": {"alpha": 1.0}, "flip": {"probability": 1.0}, "cutmix": {}}
    images, targets = composed(steps)(KEY, PLACES, IMAGES, LABELS)
    own = jax.vmap(jax.random.fold_in, (None, 0))(KEY, PLACES)
    batch = jax.random.fold_in(KEY, 2**32 - 1)

    def keys(place: int):
        return jax.random.fold_in(batch, place), jax.vmap(jax.random.fold_in, (0, None))(own, place)

    @jax.jit
    def by_hand():
        mixed, soft = mix.mixup(*keys(0), IMAGES, jax.nn.one_hot(LABELS, 3), alpha=1.0)
        return mix.cutmix(*keys(2), mixed[:, :, ::-1], soft)

    expected = by_hand()
    np.testing.assert_allclose(images, expected[0], rtol=1e-6)
    assert targets is not None
    np.testing.assert_allclose(targets, expected[1], rtol=1e-6)
    assert np.count_nonzero(np.asarray(targets) % 1) > 0


def test_what_was_done_before_keeps_its_place_in_the_order():
    steps = {"random_resized_crop": {}, "pad_crop": {"padding": 2}}
    done = composed(steps, done=("random_resized_crop",))
    images, _ = done(KEY, PLACES, IMAGES, LABELS)
    key = jax.random.fold_in(jax.random.fold_in(KEY, 1), 1)
    np.testing.assert_array_equal(images[1], spatial.pad_crop(key, IMAGES[1], padding=2))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_transform_takes_its_defaults_and_keeps_the_shape(channels):
    steps = {name: {} for name in augment.TRANSFORMS}
    apply = augment.pipeline(steps, (8, 9, channels), 3)
    images = jax.ShapeDtypeStruct((4, 8, 9, channels), jnp.uint8)
    changed, targets = jax.eval_shape(apply, KEY, PLACES, images, LABELS)
    assert (changed.shape, changed.dtype) == (images.shape, jnp.float32)
    assert (targets.shape, targets.dtype) == ((4, 3), jnp.float32)


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ({"flipp": {}}, "unknown transform 'flipp'; did you mean flip?"),
        ({"pad_crop": {"pad": 2}}, "data.augment.pad_crop has no argument 'pad'; it has padding"),
        ({"mixup": {"own": 2}}, "has no argument 'own'; it has alpha, probability"),
        (
            {"pad_crop": {"padding": -3}},
            "data.augment.pad_crop.padding is -3; it has to be a whole",
        ),
        ({"pad_crop": {"padding": "x"}}, "data.augment.pad_crop.padding is 'x'; it has to be"),
        (
            {"mixup": {"alpha": "x"}},
            "data.augment.mixup.alpha is 'x'; it has to be a finite number",
        ),
        ({"flip": 1}, "data.augment.flip is 1; it has to be a dict of arguments"),
        (
            {"pad_crop": {"padding": 5}},
            "padding is 5; it has to be a whole number at least 0 and at most 4 on images of 5x6",
        ),
        (
            {"cutout": {}},
            "data.augment.cutout.size is 16; it has to be a whole number at least 1 "
            "and at most 10 on images of 5x6",
        ),
    ],
)
def test_bad_steps_are_named(steps, line):
    with pytest.raises(BadInputError, match=re.escape(line)):
        augment.pipeline(steps, SHAPE, 3)


def ends(name: str):
    """Return (argument, value in its range at an end, value beyond that end) of a transform."""
    limits: dict[str, tuple] = {
        "probability": ((0, -0.1), (1, 1.1)),
        "padding": ((0, -1),),
        "area": (((0.5, 0.5), (1, 0.08)), ((0.1, 1.0), (0.1, 1.1)), ((0.1, 1), (0, 1))),
        "ratio": (((0.75, 0.75), (4 / 3, 3 / 4)), ((0.01, 100), (0, 1))),
        "degrees": ((0, -15.0), (180, 181)),
        "fill": ((0, -1), (255, 256)),
        "factor": (((1, 1), (1.25, 0.8)), ((0.01, 1), (-0.8, 1.25))),
        "share": ((0, -0.1), (1, 1.5)),
        "strength": ((0, -0.4),),
        "brightness": ((0, -0.4),),
        "contrast": ((0, -0.4),),
        "saturation": ((0, -0.4),),
        "hue": ((0, -0.1), (0.5, 0.6)),
        "std": ((0, -10.0), (255, 300)),
        "size": ((1, 0), (2, 2.5)),
        "alpha": ((1e-6, 0), (1.0, -1)),
        "operations": ((1, 0), (14, 15), (2, 2.0)),
        "magnitude": ((0, -1), (10, 10.5)),
    }
    parameters = inspect.signature(augment.TRANSFORMS[name]).parameters.values()
    fields = [field.name for field in parameters if field.kind is field.KEYWORD_ONLY]
    return [(field, good, bad) for field in fields for good, bad in limits[field]]


@pytest.mark.parametrize("name", [*augment.TRANSFORMS])
def test_arguments_outside_their_range_are_refused_before_anything_is_traced(name, monkeypatch):
    monkeypatch.setattr(jax, "eval_shape", None)
    for argument, good, bad in ends(name):
        assert augment.checked({name: {argument: good}}) == {name: {argument: good}}
        for wrong in (bad, float("nan"), True, "x", None):
            line = rf"^data\.augment\.{name}\.{argument} is .*; it has to be .*$"
            with pytest.raises(BadInputError, match=line):
                augment.checked({name: {argument: wrong}})


def test_numpys_numbers_are_taken_as_pythons():
    given = {
        "pad_crop": {"padding": np.int64(3)},
        "random_resized_crop": {"area": np.array([0.25, 1.0]), "ratio": [np.float32(0.5), 2]},
    }
    made = augment.checked(given)
    assert made["pad_crop"]["padding"] == 3
    assert made["random_resized_crop"] == {"area": (0.25, 1.0), "ratio": (0.5, 2)}
    flat = [made["pad_crop"]["padding"], *made["random_resized_crop"]["area"]]
    assert {type(value) for value in flat} == {int, float}
    with pytest.raises(BadInputError, match="padding is True"):
        augment.checked({"pad_crop": {"padding": np.True_}})


def test_colours_of_two_channels_are_told_in_one_line():
    with pytest.raises(BadInputError, match=r"contrast cannot take .* 1 or 3 channels, not 2"):
        augment.pipeline({"contrast": {}}, (8, 8, 2), 3)


def test_the_widest_arguments_leave_something_of_the_image():
    """A window within the largest padding, and the largest square, show part of the image."""
    image = jnp.full(SHAPE, 9.0)
    many = jax.random.split(KEY, 200)
    crop = jax.jit(jax.vmap(lambda key: spatial.pad_crop(key, image, padding=4)))(many)
    assert np.asarray(crop).max((1, 2, 3)).min() == 9
    cut = jax.jit(jax.vmap(lambda key: erase.cutout(key, image, size=10, fill=0.0)))(many)
    assert np.asarray(cut).max() == 9


def test_scaling_is_affine_by_channel():
    images = np.array([[[[0, 255]]]], np.uint8)
    scaled = preprocessing.scale(jnp.asarray(images), (0.5, 0.25), (0.5, 0.25), jnp.float32)
    np.testing.assert_allclose(scaled, [[[[-1.0, 3.0]]]])


def test_shares_of_a_batch_are_mixed_as_the_whole_is():
    steps = {"flip": {}, "mixup": {"alpha": 1.0}}
    whole, targets = composed(steps)(KEY, PLACES, IMAGES, LABELS)
    apply = augment.pipeline(steps, SHAPE, 3, axis="d")
    shares = [x.reshape(2, 2, *x.shape[1:]) for x in (PLACES, IMAGES, LABELS)]
    parts, soft = jax.pmap(apply, "d", in_axes=(None, 0, 0, 0))(KEY, *shares)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5)
    assert targets is not None
    np.testing.assert_allclose(np.concatenate(soft), targets, rtol=1e-5)


def dimmed(key, image, *, by=0.5):
    """Return the image, darker; it declares no range."""
    return image * by


def test_a_transform_from_outside_needs_no_ranges(monkeypatch):
    monkeypatch.setitem(augment.TRANSFORMS, "dimmed", dimmed)
    monkeypatch.setitem(augment.TRANSFORMS, "dark", functools.partial(dimmed, by=0.25))
    apply = augment.pipeline({"dimmed": {"by": 0.5}, "dark": {}}, (8, 9, 1), 3)
    images = jnp.full((4, 8, 9, 1), 80, jnp.uint8)
    np.testing.assert_array_equal(apply(KEY, PLACES, images, LABELS)[0], np.full_like(images, 10))


@pytest.mark.parametrize(
    ("name", "transform", "line"),
    [
        ("halved", lambda key, x: x[::2], r"returns float32\[4,9,1\] for float32\[8,9,1\]"),
        ("rounded", lambda key, x: x.astype(jnp.int32), r"returns int32\[8,9,1\] for float32"),
        ("looking", lambda key, x: {}["x"], "cannot take {}: 'x'"),
        ("sized", lambda key, x: x.size_of, "cannot take {}: .*size_of"),
        ("branching", lambda key, x: x if x.sum() > 0 else -x, "cannot take {}: Attempted boolean"),
        ("half_mix", lambda key, keys, x, y: (x, y[:, 1:]), r"returns .*'float32\[2,2\]'\) for"),
    ],
)
def test_a_transform_that_does_not_do_is_one_line(name, transform, line, monkeypatch):
    monkeypatch.setitem(augment.TRANSFORMS, name, transform)
    with pytest.raises(BadInputError, match=rf"^data\.augment\.{name} {line}"):
        augment.pipeline({name: {}}, (8, 9, 1), 3)


@pytest.mark.parametrize("name", [*augment.TRANSFORMS])
def test_transforms_work_where_there_are_doubles(name):
    with jax.enable_x64(True):
        augment.pipeline({name: {}}, (8, 9, 1), 3)
