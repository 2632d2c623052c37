"""Reading prepared sets: slices, sizes, streams, sets that others prepared."""

import dataclasses
import importlib.util
import io
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from cnn_jax.data import reading, sources
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.reading import Wanted
from cnn_jax.data.sources import catalogue
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import write_images


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    write_images(folder / "train", per_class=10)
    write_images(folder / "test", per_class=3)
    return str(folder)


def stored(part) -> list[tuple[int, bytes]]:
    return [(int(part.labels[row]), part.read(row).tobytes()) for row in range(len(part))]


def test_slices_are_rows_of_the_prepared_order(images):
    whole = stored(sources.load("folder", images).train)
    for train, test, rows, others in [
        ("train[:75%]", "train[75%:]", range(15), range(15, 20)),
        ("train[2:5]+train[10:12]", "test", [2, 3, 4, 10, 11], None),
    ]:
        source = sources.load("folder", images, Wanted(train=train, test=test))
        assert stored(source.train) == [whole[row] for row in rows]
        if others is not None:
            assert stored(source.parts["test"]) == [whole[row] for row in others]


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (Wanted(train="dev"), "data.train: 'dev' is no slice of train, test"),
        (Wanted(train="train[:x]"), r"data.train: 'train\[:x\]' is no slice"),
        (Wanted(train="train+test"), "mixes splits"),
        (Wanted(train="train[:0]"), "holds no examples"),
        (Wanted(test="train[:10%]"), "share examples"),
    ],
)
def test_bad_slices_are_named(images, wanted, line):
    with pytest.raises(BadInputError, match=line):
        sources.load("folder", images, wanted)


def test_a_stream_reads_what_memory_holds(images):
    for size, crop in ((None, None), (6, None), (4, 0.5)):
        wanted = Wanted(train="train[:12]", image_size=size, crop=crop)
        resident = sources.load("folder", images, wanted)
        streamed = sources.load("folder", images, dataclasses.replace(wanted, stream=True))
        assert isinstance(resident.train, Part)
        assert isinstance(streamed.train, Stream)
        assert stored(resident.train) == stored(streamed.train)
        assert stored(resident.parts["test"]) == stored(streamed.parts["test"])
        assert resident.train.image_shape == streamed.train.image_shape


def test_a_set_too_large_for_the_device_is_streamed(images, monkeypatch):
    monkeypatch.setattr(reading, "RESIDENT_BYTES", 26 * 64 - 1)
    assert isinstance(sources.load("folder", images).train, Stream)
    with pytest.raises(BadInputError, match=r"data.stream: images of 8x8 take .* leave it unset"):
        sources.load("folder", images, Wanted(stream=False))
    monkeypatch.setattr(reading, "RESIDENT_BYTES", 26 * 64)
    assert isinstance(sources.load("folder", images).train, Part)


def test_windows_of_the_original_stream_where_sizes_differ(images, tmp_path):
    assert isinstance(sources.load("folder", images, Wanted(original=True)).train, Part)
    write_images(tmp_path / "images/train")
    Image.new("L", (9, 7)).save(tmp_path / "images/train/a/odd.png")
    for original in (False, True):
        wanted = Wanted(image_size=8, original=original)
        source = sources.load("folder", str(tmp_path / "images"), wanted)
        assert isinstance(source.train, Stream) == original


def test_constants_are_stored_with_a_folder_over_all_training_pixels(images):
    source = sources.load("folder", images)
    assert isinstance(source.train, Part)
    pixels = source.train.images / 255
    assert source.mean == pytest.approx((pixels.mean(),), abs=1e-6)
    assert source.std == pytest.approx((pixels.std(),), abs=1e-6)


class Elsewhere(tfds.core.GeneratorBasedBuilder):
    """A set as the catalogue has them: fixed size, a validation split, no notes of ours."""

    VERSION = tfds.core.Version("3.0.2")
    name = "elsewhere"

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(4, 5, 3)),
            "label": tfds.features.ClassLabel(names=["x", "y"]),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any):
        return {"train": self._generate_examples(7), "validation": self._generate_examples(3)}

    def _generate_examples(self, count):  # pyright: ignore[reportIncompatibleMethodOverride]
        for key in range(count):
            encoded = io.BytesIO()
            Image.fromarray(np.full((4, 5, 3), 10 * key, np.uint8)).save(encoded, "png")
            encoded.seek(0)
            yield key, {"image": encoded, "label": key % 2, "file_name": str(key)}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalogue")
    tfds.disable_progress_bar()
    Elsewhere(data_dir=str(root), file_format="array_record").download_and_prepare()
    return root


@pytest.mark.parametrize("where", ["root", "set"])
def test_a_set_prepared_elsewhere_is_read_by_name_or_by_folder(theirs, where):
    place = theirs if where == "root" else theirs / "elsewhere/3.0.2"
    source = sources.load("elsewhere", str(place))
    assert (len(source.train), len(source.parts["test"]), source.classes) == (7, 3, ("x", "y"))
    assert source.size == (4, 5)
    assert source.mean is None
    for row in range(7):
        assert source.train.labels[row] == source.train.read(row)[0, 0, 0] // 10 % 2


def test_the_newest_version_and_a_named_config_are_found(theirs, tmp_path):
    for version in ("a/9.0.0", "a/10.0.0", "b/small/1.0.0"):
        (tmp_path / version).mkdir(parents=True)
        (tmp_path / version / "dataset_info.json").write_text("{}")
    assert catalogue.find("a", tmp_path) == tmp_path / "a/10.0.0"
    assert catalogue.find("b/small", tmp_path) == tmp_path / "b/small/1.0.0"
    assert catalogue.find("c", tmp_path) is None


@pytest.mark.parametrize("name", ["", ".", "..", "../catalogue/theirs", "a\0"])
def test_a_name_is_no_way_to_some_set(theirs, name):
    assert catalogue.find(str(theirs / "theirs"), theirs) is None
    with pytest.raises(BadInputError, match="no set of that name is prepared"):
        sources.load(name, str(theirs))


def test_a_set_that_is_not_prepared_says_how(tmp_path):
    with pytest.raises(BadInputError, match=r"cnn-jax prepare --data=imagenette .*\[catalogue\]"):
        sources.load("imagenette", str(tmp_path))

    if importlib.util.find_spec("tensorflow") is None:
        with pytest.raises(BadInputError, match="prepared with TensorFlow; install it"):
            sources.prepare_source("imagenette", directory=str(tmp_path))
        # A name of the catalogue, not a slip of the pen for one of ours.
        with pytest.raises(BadInputError, match="--data=kmnist: sets of the catalogue are"):
            sources.prepare_source("kmnist", directory=str(tmp_path))
    with pytest.raises(BadInputError, match=r"unknown source 'mnits'; did you mean mnist\?"):
        sources.prepare_source("mnits", directory=str(tmp_path))


def test_synthetic_images_are_the_same_every_time():
    one = sources.load("synthetic", None, Wanted(image_size=8), classes=7)
    two = sources.load("synthetic", None, Wanted(image_size=8), classes=7)
    assert one.train.image_shape == (8, 8, 3)
    assert len(one.classes) == 7
    assert stored(one.parts["test"]) == stored(two.test)
