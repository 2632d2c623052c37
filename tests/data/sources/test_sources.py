"""Sources: digits and folders, prepared once, and what is wrong with bad ones."""

import io
import os
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cnn_jax.data import sources
from cnn_jax.data.parts import Part
from cnn_jax.data.reading import Wanted
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import write_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    write_images(tmp_path / "images/train")
    write_images(tmp_path / "images/test", per_class=3)
    return tmp_path / "images"


def images_of(part) -> np.ndarray:
    assert isinstance(part, Part)
    return part.images


def prepared(folder) -> list[str]:
    cache = folder.parent / "cache"
    return (
        sorted(str(file.relative_to(cache)) for file in cache.rglob("*")) if cache.exists() else []
    )


def test_digits_are_all_1797_each_once_in_seventeen_greys():
    source = sources.load("digits", None)
    original: Any = load_digits()
    assert (len(source.train), len(source.parts["test"])) == (1438, 359)
    assert images_of(source.train).shape[1:] == (8, 8, 1)
    images = np.concatenate([images_of(source.train), images_of(source.parts["test"])])[..., 0]
    labels = np.concatenate([source.train.labels, source.parts["test"].labels])
    ours = sorted((label, image.tobytes()) for label, image in zip(labels, images, strict=True))
    greys = np.round(original.images * 255 / 16).astype(np.uint8)
    theirs = [(label, image.tobytes()) for label, image in zip(original.target, greys, strict=True)]
    assert ours == sorted(theirs)


def test_a_folder_is_read_back_exactly(folder):
    source = sources.load("folder", str(folder))
    assert source.classes == ("a", "b")
    for name, part in (("train", source.train), ("test", source.parts["test"])):
        files = sorted((folder / name).rglob("*.png"))
        expected = sorted(
            (source.classes.index(file.parent.name), np.asarray(Image.open(file)).tobytes())
            for file in files
        )
        found = zip(part.labels.tolist(), images_of(part), strict=True)
        assert sorted((label, image.tobytes()) for label, image in found) == expected


def test_a_folder_is_converted_once_and_again_when_it_changes(folder):
    sources.load("folder", str(folder))
    before = prepared(folder)
    sources.load("folder", str(folder))
    assert prepared(folder) == before
    (folder / "train/a/0.png").unlink()
    assert len(sources.load("folder", str(folder)).train) == 15
    assert len(prepared(folder)) > len(before)


def test_the_order_of_examples_does_not_depend_on_where_the_folder_is(folder, tmp_path):
    one = sources.load("folder", str(folder))
    folder.rename(tmp_path / "moved")
    other = sources.load("folder", str(tmp_path / "moved"))
    np.testing.assert_array_equal(images_of(one.train), images_of(other.train))
    np.testing.assert_array_equal(one.train.labels, other.train.labels)


def test_colour_grey_and_jpeg_may_be_mixed(folder):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    Image.fromarray(red).save(folder / "train/a/red.jpg", quality=95)
    images = images_of(sources.load("folder", str(folder)).train)
    assert images.shape == (17, 8, 8, 3)
    grey = (images[..., 0] == images[..., 1]).all((1, 2))
    assert grey.sum() == 16
    np.testing.assert_allclose(images[~grey].mean((0, 1, 2)), [200, 0, 0], atol=3)


def test_images_are_resized_with_antialiasing(folder):
    part = sources.load("folder", str(folder), Wanted(image_size=4)).train
    files = sorted((folder / "train").rglob("*.png"))
    # Two by two pixels become their mean; exact halves are rounded up.
    halves = [np.asarray(Image.open(file)).reshape(4, 2, 4, 2).mean((1, 3)) for file in files]
    expected = {np.floor(image + 0.5).astype(np.uint8).tobytes() for image in halves}
    assert {image.tobytes() for image in images_of(part)} == expected


def test_without_a_test_folder_a_cut_serves(folder):
    for file in sorted((folder / "test").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (folder / "test").rmdir()
    source = sources.load("folder", str(folder))
    assert (len(source.train), len(source.parts["test"])) == (14, 2)
    assert sorted(source.parts["test"].labels) == [0, 1]


def truncated() -> bytes:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(
        whole, "png"
    )
    return whole.getvalue()[:2000]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"a letter", "is not an image file"), (truncated(), "cannot be decoded")],
)
def test_a_broken_file_is_named_or_skipped_and_counted(folder, content, reason):
    (folder / "train/b/broken.png").write_bytes(content)
    with pytest.raises(BadInputError, match=rf"train/b/broken\.png {reason}.*on_error=skip"):
        sources.load("folder", str(folder))
    assert prepared(folder) == []  # nothing half-converted is left
    source = sources.load("folder", str(folder), on_error="skip")
    assert len(source.train) == 16
    assert len(source.skipped) == 1
    assert "broken.png" in source.skipped[0]


def test_a_folder_of_broken_files_is_refused_even_when_skipping(folder):
    for file in (folder / "test").rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(BadInputError, match="no image of the test part can be decoded"):
        sources.load("folder", str(folder), on_error="skip")


def damage(folder, kind):
    if kind == "missing":
        return str(folder / "nowhere"), "nowhere' is not a folder"
    if kind == "no train":
        (folder / "train").rename(folder / "training")
        return str(folder), "has no folder train/"
    if kind == "empty":
        (folder / "empty/train").mkdir(parents=True)
        return str(folder / "empty"), "holds no images"
    if kind == "empty class":
        (folder / "train/c").mkdir()
        return str(folder), "train/c' holds no images"
    if kind == "extra class":
        (folder / "test/b").rename(folder / "test/dog")
        return str(folder), "test/dog' is a class that train/ lacks; add its images there"
    (folder / "train/a/large.png").unlink(missing_ok=True)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "train/a/large.png")
    return str(folder), "data.image_size: images have different sizes (8x8, 9x9)"


@pytest.mark.parametrize(
    "kind", ["missing", "no train", "empty", "empty class", "extra class", "sizes"]
)
def test_a_bad_folder_is_named(folder, kind):
    path, line = damage(folder, kind)
    with pytest.raises(BadInputError) as caught:
        sources.load("folder", path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hidden_files_are_no_images(folder):
    (folder / "train/a/.DS_Store").write_bytes(b"x")
    (folder / "train/.cache").mkdir()
    assert len(sources.load("folder", str(folder)).train) == 16


def test_an_unknown_source_is_named():
    with pytest.raises(BadInputError, match=r"unknown source 'digit'; did you mean digits\?"):
        sources.load("digit", None)


def test_a_cache_that_cannot_be_written_is_named(folder, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", os.fspath(folder / "train/a/0.png"))
    with pytest.raises(BadInputError, match="cannot prepare folder in"):
        sources.load("folder", str(folder))


@pytest.mark.parametrize(
    ("directory", "line"),
    [
        ("~nobody_of_this_name/sets", "data.dir: '~nobody_of_this_name/sets' names the home of"),
        ("a\0b", "data.dir: .* is no name of a folder"),
        ("x" * 300, "data.dir: '.*' cannot be read: File name too long"),
        ("a file", r"data\.dir: cannot prepare digits in .*: Not a directory"),
    ],
)
def test_a_place_that_cannot_be_is_one_line(tmp_path, monkeypatch, directory, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_text("x")
    with pytest.raises(BadInputError, match=line) as caught:
        sources.load("digits", directory)
    assert "\n" not in str(caught.value)


def test_home_is_where_a_tilde_stands(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CNN_JAX_CACHE", "~/own")
    assert len(sources.load("folder", "~/images").train) == 16
    assert sorted(path.name[:6] for path in (tmp_path / "own").iterdir()) == ["decode", "folder"]
    monkeypatch.setenv("CNN_JAX_CACHE", "~nobody_of_this_name")
    with pytest.raises(BadInputError, match=r"CNN_JAX_CACHE: .* names the home of nobody here"):
        sources.load("folder", str(folder))
