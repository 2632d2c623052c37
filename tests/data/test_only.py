"""Some of the classes, and pixels in another order."""

import numpy as np
import pytest

from cnn_jax.data.dataset import Dataset
from cnn_jax.data.decode import View, show
from cnn_jax.data.parts import Part
from cnn_jax.data.shuffle import shuffled
from cnn_jax.data.subsample import Subsample
from cnn_jax.runs.experiment import assemble, load_config
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import write_images


def source() -> Dataset:
    labels = np.array([0, 1, 2, 0, 2, 1], np.int32)
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    part = Part(images, labels)
    return Dataset(part, part[np.array([2, 1])], ("a", "b", "c"), (2, 2))


def test_classes_are_kept_and_relabelled_in_the_order_given():
    kept = source().only(("c", "a"))
    assert kept.classes == ("c", "a")
    assert isinstance(kept.train, Part)
    assert kept.train.labels.tolist() == [1, 0, 1, 0]
    assert kept.train.images[:, 0, 0, 0].tolist() == [0, 2, 3, 4]
    assert kept.parts["test"].labels.tolist() == [0]
    assert kept.train.labels.dtype == np.int32


def test_a_class_that_is_none_gets_the_nearest_name():
    with pytest.raises(BadInputError, match=r"data.only: no class is called 'B'; a, b, c is"):
        source().only(("a", "B"))


@pytest.mark.parametrize("stream", [False, True])
def test_every_source_can_leave_classes_out(tmp_path, stream):
    write_images(tmp_path / "train", classes="abc", per_class=6)
    write_images(tmp_path / "test", classes="abc", per_class=2)
    flags = [f"data.dir={tmp_path}", "data.name=folder", 'data.only=("c","a")', "model.name=mlp"]
    flags += ["data.image_size=8", "data.classes=2", "data.validation=0.0", f"data.stream={stream}"]
    config = load_config("configs/lenet5_digits.py", [f"--config.{flag}" for flag in flags])
    made = assemble(config)
    assert made.classes == ("c", "a")
    for name, count in (("train", 12), ("test", 4)):
        part = made.parts[name]
        assert np.bincount(part.labels).tolist() == [count // 2] * 2
        means = [part.read(row).mean() for row in range(count)]
        assert [mean > 120 for mean in means] == [label == 0 for label in part.labels]


def test_a_permutation_moves_whole_pixels_and_is_one_for_all_images():
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    moved = shuffled(images, 7)
    assert moved.shape == images.shape
    before, after = (x.reshape(3, 20, 3) for x in (images, moved))
    order = [int(np.flatnonzero((before[0] == pixel).all(axis=1))[0]) for pixel in after[0]]
    assert sorted(order) == list(range(20))
    assert order != list(range(20))
    np.testing.assert_array_equal(after, before[:, order])
    np.testing.assert_array_equal(shuffled(images[1], 7), moved[1])
    assert np.any(shuffled(images, 8) != moved)


def test_images_are_shuffled_alike_from_memory_from_disk_and_alone(tmp_path):
    write_images(tmp_path / "train", per_class=4)
    write_images(tmp_path / "test", per_class=2)
    shown = []
    for stream in (False, True):
        flags = [f"data.dir={tmp_path}", "data.name=folder", "data.shuffle_pixels=3"]
        flags += ["data.image_size=8", "model.name=mlp", f"data.stream={stream}", "data.classes=2"]
        config = load_config("configs/lenet5_digits.py", [f"--config.{flag}" for flag in flags])
        part = assemble(config).parts["test"]
        shown.append(np.stack([part.read(row) for row in range(4)]))
    np.testing.assert_array_equal(*shown)
    encoded = (tmp_path / "test/a/0.png").read_bytes()
    alone = show(encoded, View((8, 8), grey=True, shuffle=3))
    plain = show(encoded, View((8, 8), grey=True))
    np.testing.assert_array_equal(alone, shuffled(plain, 3))
    assert any((alone == image).all() for image in shown[0])


def test_only_the_test_images_may_be_thinned(tmp_path):
    write_images(tmp_path / "train", per_class=6)
    write_images(tmp_path / "test", per_class=2)
    flags = [f"data.dir={tmp_path}", "data.name=folder", "data.image_size=8", "model.name=mlp"]
    flags += ["data.classes=2", "data.subsample=0.25", "data.subsample_as=missing"]
    parts = {}
    for where in ("all", "test"):
        own = [*flags, f"data.subsample_in={where}"]
        config = load_config("configs/lenet5_digits.py", [f"--config.{flag}" for flag in own])
        parts[where] = assemble(config).parts
    black = {
        (where, name): float(np.mean([part.read(row) == 0 for row in range(len(part))]))
        for where, found in parts.items()
        for name, part in found.items()
    }
    # The noise makes a pixel black by itself now and then.
    assert max(black["test", "train"], black["test", "validation"]) < 0.05
    assert min(black["all", "train"], black["test", "test"], black["all", "test"]) >= 0.75
    thinned = Subsample(0.25, "missing")
    plain = show((tmp_path / "test/a/0.png").read_bytes(), View((8, 8), grey=True))
    found = parts["test"]["test"]
    assert any((thinned(plain) == found.read(row)).all() for row in range(len(found)))


def test_smaller_images_cannot_be_only_the_tests():
    flags = ["--config.data.subsample=0.5", "--config.data.subsample_in=test"]
    with pytest.raises(BadInputError, match=r"'data\.subsample_in' is 'test'; it has to be all"):
        load_config("configs/lenet5_digits.py", flags)
