"""Prepared sets as their owners have them: read, or told in one line what is the matter."""

import json
import re
import resource
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from cnn_jax.data import reading, sources
from cnn_jax.data.prepare import prepared, shards
from cnn_jax.data.reading import Wanted
from cnn_jax.runtime.errors import BadInputError
from tests.data.prepared_sets import noise, prepare
from tests.fixtures import write_images

F = tfds.features
LABELS = {"train": [0, 1, 2, 1, 0], "test": [2, 1]}


def load(folder, name="theirs", **wanted):
    return sources.load(name, str(folder), Wanted(**wanted))


def refused(folder, line, **wanted) -> None:
    with pytest.raises(BadInputError, match=line) as caught:
        load(folder, **wanted)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    labels = {"train": [0, 1, 2], "validation": [2, 0], "test": [-1] * 6}
    return prepare(tmp_path_factory.mktemp("unlabelled"), labels)


def test_of_a_test_split_without_labels_and_a_validation_split_the_latter_is_taken(
    unlabelled, capsys
):
    for _ in range(2):  # read from the records, and from the cache
        source = load(unlabelled)
        assert sorted(source.parts["test"].labels) == [0, 2]
        assert capsys.readouterr().err == (
            "data.test: the split test of 'theirs' has no labels (6 of 6 are -1); validation is "
            "taken\n"
        )
    line = r"the split test of 'theirs' has no labels .* set data\.test=validation"
    refused(unlabelled, line, test="test")
    for stream in (False, True):
        refused(unlabelled, r"has no labels \(2 of 2 are -1\)", train="test[:2]", stream=stream)


def test_what_has_no_labels_or_lacks_some_is_refused(tmp_path):
    labels = {"train": [0, 1, 2], "test": [1, -1, 2, -1, -1]}
    refused(
        prepare(tmp_path / "a", labels),
        r"the split test of 'theirs' lacks some of its labels \(3 of 5 are -1\)",
    )
    refused(prepare(tmp_path / "b", LABELS | {"test": [-1]}), r"no labels \(1 of 1 are -1\)$")


@pytest.mark.parametrize("stream", [False, True])
def test_labels_beyond_the_classes_are_refused(tmp_path, stream):
    folder = prepare(tmp_path, LABELS, label=F.ClassLabel(num_classes=3))
    features = json.loads((folder / "features.json").read_text())
    features["featuresDict"]["features"]["label"]["classLabel"]["numClasses"] = "2"
    (folder / "features.json").write_text(json.dumps(features))
    line = r"the split train of 'theirs' has labels outside 0\.\.1: 1 of 5, such as 2"
    refused(folder, line, stream=stream)


IMAGES = [
    F.Tensor(shape=(8, 9, 3), dtype=np.uint8),
    F.Tensor(shape=(8, 9, 1), dtype=np.uint8, encoding="zlib"),
    F.Tensor(shape=(8, 9), dtype=np.uint8, encoding="bytes"),
    F.Tensor(shape=(None, None, 3), dtype=np.uint8, encoding="bytes"),
    F.Image(shape=(8, 9, 1)),
    F.Image(shape=(None, None, 3)),
]


@pytest.mark.parametrize("image", IMAGES, ids=repr)
def test_images_and_arrays_are_read_pixel_by_pixel(tmp_path, image):
    folder = prepare(tmp_path, LABELS, image=image)
    varies = image.shape[0] is None
    if varies:
        refused(folder, "data.image_size: images have different sizes; set it")
    for stream in (False, True):
        # The first example's size where they vary.
        source = load(folder, image_size=(5, 5) if varies else None, stream=stream)
        shown = {
            part.read(row).tobytes()
            for part in (source.train, source.parts["test"])
            for row in range(len(part))
        }
        assert len(shown) == 5  # the splits' images are the same ones
        height, width, channels = source.train.image_shape
        assert channels == (*image.shape, 1)[2]
        assert (height, width) == (source.size if not varies else (5, 5))
        for key in (0, 3) if varies else range(5):
            assert noise(key, image.shape).tobytes() in shown


def test_labels_that_are_numbers_have_the_classes_that_occur_in_any_split(tmp_path):
    labels = {"train": [0, 1, 4], "test": [2], "extra": [5, -1]}
    folder = prepare(tmp_path, labels, label=F.Scalar(dtype=np.int64))
    splits = json.loads((folder / "dataset_info.json").read_text())["splits"]
    edit(folder, splits=[*splits, splits[0] | {"name": "empty", "shardLengths": []}])
    assert load(folder).classes == tuple("012345")
    assert sorted(load(folder).train.labels) == [0, 1, 4]
    assert sources.load("theirs", str(folder), classes=8).classes == tuple("01234567")
    assert load(folder).only(("4", "2", "1")).parts["test"].labels.tolist() == [1]
    refused(folder, r"data\.test: 'empty' holds no examples|is no slice", test="empty")
    assert reading.contents(folder)["classes"] is None


def test_a_number_that_32_bits_do_not_hold_is_no_label(tmp_path):
    folder = prepare(tmp_path, {"train": [0, 2**40], "test": [1]}, label=F.Scalar(dtype=np.int64))
    refused(folder, "labels that are none, such as 1099511627776")


def test_what_stands_beside_image_and_label_is_not_looked_at(tmp_path):
    folder = prepare(tmp_path, LABELS, file_name=F.Text(), box=F.Text())
    assert load(folder).train.image_shape == (8, 9, 3)


OTHER = [
    ({"names": ("img", "label")}, "'theirs' has the features img, label; an 'image' and its"),
    ({"names": ("image", "fine_label")}, "has the features fine_label, image; an 'image' and"),
    ({"label": F.Text()}, "the 'label' of 'theirs' is of the kind Text"),
    ({"label": F.Scalar(dtype=np.float32)}, "'label' .* is of the kind Scalar, float32"),
    ({"label": F.Sequence(F.ClassLabel(num_classes=3))}, "'label' .* is of the kind Sequence"),
    ({"image": F.Tensor(shape=(8, 9, 4), dtype=np.uint8)}, r"Tensor, uint8 \[8, 9, 4\]; an image"),
    ({"image": F.Tensor(shape=(8,), dtype=np.uint8)}, r"Tensor, uint8 \[8\]; an image is"),
]


@pytest.mark.parametrize(("features", "line"), OTHER, ids=range(len(OTHER)))
def test_features_of_another_kind_are_told_by_name(tmp_path, features, line):
    labels = LABELS
    if isinstance(features.get("label"), F.Text):
        labels = {split: ["x"] * len(of) for split, of in LABELS.items()}
    if isinstance(features.get("label"), F.Sequence):
        labels = {split: [[0]] * len(of) for split, of in LABELS.items()}
    refused(prepare(tmp_path, labels, **features), line)


def edit(folder, **fields) -> None:
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | fields))


def test_files_that_take_tensorflow_come_with_the_command_that_converts_them(tmp_path):
    folder = prepare(tmp_path, LABELS)
    before = [load(folder).train.read(row).tobytes() for row in range(5)]
    edit(folder, fileFormat="tfrecord")
    refused(
        folder,
        r"holds tfrecord files.*: tfds convert_format "
        rf"--dataset_version_dir={re.escape(str(folder))} --out_file_format=array_record$",
    )
    # What that command leaves: the new files beside the old.
    edit(folder, alternativeFileFormats=["array_record"])
    assert [load(folder).train.read(row).tobytes() for row in range(5)] == before


def test_a_shard_that_is_missing_cut_or_has_other_examples_is_named(tmp_path):
    folder = prepare(tmp_path, LABELS)
    shard = folder / "theirs-train.array_record-00000-of-00001"
    content = shard.read_bytes()
    for bad, line in [
        (None, "theirs-train.*' is missing"),
        (b"", "theirs-train.*' cannot be read"),
        (content[: len(content) // 2], "theirs-train.*' cannot be read"),
        ((folder / "theirs-test.array_record-00000-of-00001").read_bytes(), "has 2 examples; by"),
    ]:
        shard.unlink(missing_ok=True)
        if bad is not None:
            shard.write_bytes(bad)
        refused(folder, line)
    position = content.index(b"IDAT")
    shard.write_bytes(content[:position] + b"x" + content[position + 1 :])
    refused(folder, r"theirs-train.*' cannot be read, record 0 of the split: .*mismatch")
    shard.write_bytes(content)
    assert len(load(folder).train) == 5


def test_names_of_shards_that_are_none_are_the_fault_of_the_file_that_has_them(tmp_path):
    folder = prepare(tmp_path, LABELS)
    (split, *others) = json.loads((folder / "dataset_info.json").read_text())["splits"]
    for template in ("{NAME}-{SPLIT}.{FILEFORMAT}", "{SPLIT", "{SPLIT}{"):
        edit(folder, splits=[split | {"filepathTemplate": template}, *others])
        refused(folder, "dataset_info.json' is damaged, or does not belong to this set: ")


def test_a_kind_of_feature_that_nobody_knows_is_one_line(tmp_path, capfd):
    folder = prepare(tmp_path, LABELS)
    content = (folder / "features.json").read_text()
    (folder / "features.json").write_text(content.replace(".ClassLabel", ".Classlabel"))
    refused(folder, "features.json' is damaged, .*Unrecognized FeatureConnector type")
    assert not capfd.readouterr().err


def test_features_of_another_set_are_noticed(tmp_path):
    folder = prepare(tmp_path / "a", LABELS)
    for number, image in enumerate([F.Image(shape=(9, 8, 3)), F.Image(shape=(8, 9, 1))]):
        other = prepare(tmp_path / f"other{number}", LABELS, image=image)
        shutil.copy(other / "features.json", folder)
        refused(folder, "features.json' does not belong to this set, whose first image is 8x9")


def test_a_set_of_many_files_raises_the_limit_on_open_ones_or_says_so(monkeypatch):
    limits = [64, 1024]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.__setitem__(0, new[0]))
    shards.allow(4)
    assert limits == [1024, 1024]  # four, and what else a run may want
    with pytest.raises(BadInputError, match=r"has 2,000 files.* may open 1,024.*ulimit -n 2128"):
        shards.allow(2000)


def test_a_sealed_set_is_checked_and_keeps_its_names(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    write_images(tmp_path / "images/train", classes=["a", "b b"])
    write_images(tmp_path / "images/test", classes=["a", "b b"], per_class=2)
    folder = sources.prepare_source("folder", archives=str(tmp_path / "images"))
    held = prepared.open_set(folder, "folder")
    assert held.sealed is not None
    assert held.classes == ("a", "b b")
    assert sorted(held.sealed["files"]) == sorted(
        file.name for file in folder.iterdir() if file.name != "cnn-jax.json"
    )
    # A set that was prepared before there were seals.
    (folder / "cnn-jax.json").unlink()
    again = prepared.open_set(folder, "folder")
    assert again.sealed is None
    assert (again.classes, again.sizes, again.grey) == (held.classes, [(8, 8)], True)
    (folder / "label.labels.txt").unlink()
    with pytest.raises(BadInputError, match=r"label\.labels\.txt' is damaged, or does not belong"):
        prepared.open_set(folder, "folder")
