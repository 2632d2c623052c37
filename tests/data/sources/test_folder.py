"""Listing a folder: what is taken, what is left out and said, how classes are spelt."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import config as configs
from cnn_jax.commands import main
from cnn_jax.data import sources
from cnn_jax.data.reading import Wanted
from cnn_jax.data.sources import folder
from cnn_jax.data.split import stratified
from cnn_jax.runs import workdir
from cnn_jax.runs.experiment import assemble, complete
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import write_images


def write(root: Path, **parts: dict[str, int] | Sequence[str]) -> Path:
    """Write files that nothing decodes, so many a class (or two), into train/ and so on."""
    for part, classes in parts.items():
        counts = classes if isinstance(classes, dict) else dict.fromkeys(classes, 2)
        for name, count in counts.items():
            (root / part / name).mkdir(parents=True)
            for index in range(count):
                (root / part / name / f"{index}.png").write_bytes(b"x")
    return root


def names(listed: folder.Listing, part: str, root: Path) -> list[tuple[str, int]]:
    return [(str(path.relative_to(root / part)), label) for path, label in listed.parts[part]]


def test_what_lies_below_a_class_belongs_to_it(tmp_path):
    root = write(tmp_path, train="ab", test="ab")
    write(root, **{"train/a/more/still": {"deep": 1}, "train/a/0": {"": 1}})
    listed = folder.listing(root)
    a = ["a/0/0.png", "a/0.png", "a/1.png", "a/more/still/deep/0.png"]
    expected = [*((name, 0) for name in a), ("b/0.png", 1), ("b/1.png", 1)]
    assert names(listed, "train", root) == expected
    assert listed.left_out == listed.notes == ()


def test_links_are_followed_and_those_that_lead_nowhere_counted(tmp_path):
    root = write(tmp_path / "images", train="ab", test="ab")
    write(tmp_path / "elsewhere", c={"": 3})
    (root / "train/c").symlink_to(tmp_path / "elsewhere/c")
    (root / "train/a/2.png").symlink_to(tmp_path / "elsewhere/c/0.png")
    (root / "train/a/again").symlink_to(root / "train/a")
    for number in range(5):
        (root / f"train/b/gone{number}.png").symlink_to("/nowhere/x.png")
    (root / "train/d").symlink_to("/nowhere")
    listed = folder.listing(root)
    assert listed.classes == ("a", "b", "c")
    assert np.bincount([label for _, label in listed.parts["train"]]).tolist() == [3, 2, 3]
    assert listed.left_out == (
        "1 links to a folder that they lie in, such as 'train/a/again'",
        "6 links that lead nowhere, such as 'train/b/gone0.png'",
    )


def test_what_is_not_taken_is_counted_but_for_what_systems_leave(tmp_path):
    root = write(tmp_path, train="ab", test="ab", holdout="ab")
    for name in ("x.jpg", "train/y.jpg", "train/z.jpg", "test/z.jpg"):
        (root / name).write_bytes(b"x")
    for name in ("README.md", ".hidden.png", "train/.DS_Store", "train/a/Thumbs.db"):
        (root / name).write_bytes(b"x")
    (root / "train/__MACOSX").mkdir()
    os.mkfifo(root / "train/a/pipe.png")
    listed = folder.listing(root)
    assert {part: len(pairs) for part, pairs in listed.parts.items()} == {"train": 4, "test": 4}
    assert sorted(listed.left_out) == [
        "1 folders beside train/ that are no part of the data, such as 'holdout'",
        "1 images beside train/, such as 'x.jpg'",
        "1 things that are neither files nor folders, such as 'train/a/pipe.png'",
        "3 files beside the folders of classes, such as 'train/y.jpg'",
    ]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_is_a_part_and_serves_for_testing(tmp_path, name):
    root = write(tmp_path / "both", train="ab", test="ab", **{name: {"a": 3, "b": 1}})
    listed = folder.listing(root)
    assert [(part, len(pairs)) for part, pairs in listed.parts.items()] == [
        ("train", 4),
        ("validation", 4),
        ("test", 4),
    ]
    assert listed.notes == ()
    root = write(tmp_path / "alone", train="ab", **{name: {"a": 3, "b": 1}})
    listed = folder.listing(root)
    assert list(listed.parts) == ["train", "validation"]
    assert listed.notes == (f"no test/ beside train/: {name}/ (4 images) is the test part",)


def test_two_validation_folders_are_one_too_many(tmp_path):
    root = write(tmp_path, train="ab", val="ab", valid="ab")
    with pytest.raises(BadInputError, match="has both val/ and valid/; keep one"):
        folder.listing(root)


def test_a_test_part_that_is_cut_from_training_is_said_to_be(tmp_path):
    root = write(tmp_path, train={"a": 30, "b": 15})
    listed = folder.listing(root)
    assert {part: len(pairs) for part, pairs in listed.parts.items()} == {"train": 41, "test": 4}
    assert listed.notes == (
        "neither test/ nor val/ beside train/: 4 of its 45 images are cut off as the test part",
    )


def test_a_classs_only_image_is_trained_on(tmp_path):
    alone = {f"alone{number}": 1 for number in range(20)}
    root = write(tmp_path / "some", train=alone | {"many": 20})
    parts = folder.listing(root).parts
    assert {label for _, label in parts["train"]} == set(range(21))
    assert {label for _, label in parts["test"]} == {20}
    root = write(tmp_path / "all", train=alone)
    with pytest.raises(
        BadInputError, match=r"0\.1 of 20 images is no test set, if each class keeps"
    ):
        folder.listing(root)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5])
def test_no_cut_takes_all_of_a_class(share):
    for counts in ((1,) * 20, (1, 1, 1, 1, 2), (1, 30, 2, 1, 5), (2, 2, 2), (3, 3, 1)):
        labels = np.repeat(np.arange(len(counts)), counts)
        for seed in range(3):
            rest, part = stratified(labels, share, seed)
            assert set(labels[rest]) == set(range(len(counts)))
            assert len(part) <= round(share * len(labels))


COMPOSED, DECOMPOSED = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")


def test_a_class_is_the_same_in_any_unicode_form(tmp_path):
    root = write(tmp_path, train=[COMPOSED, "dog"], test=[DECOMPOSED, "dog"])
    listed = folder.listing(root)
    assert listed.classes == (COMPOSED, "dog")
    assert [label for _, label in listed.parts["test"]] == [0, 0, 1, 1]
    assert len(listed.notes) == 1
    assert r"in another Unicode form ('cafe\u0301' and 'caf\xe9')" in listed.notes[0]
    write(root, **{"train": [DECOMPOSED]})
    with pytest.raises(BadInputError, match=r"two folders for the class .* Unicode form alone"):
        folder.listing(root)


def test_classes_that_differ_in_case_are_two(tmp_path):
    root = write(tmp_path, train=["Cat", "cat"], test=["cat"])
    assert folder.listing(root).classes == ("Cat", "cat")


ODD = ["cat", "cat ", "a\nb", " ", '"cat "', "x\u2028y", "caf\u00e9", "caf\u00e9 au lait"]


def test_names_of_any_kind_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    root, latin = tmp_path / "images", os.fsdecode(b"ni\xf1o")
    for part, count in (("train", 3), ("test", 1)):
        write_images(root / part, per_class=count, classes=[*ODD, latin])
    os.rename(root / "train/cat/0.png", os.fsencode(root / "train/cat") + b"/Mu\xf1oz.png")
    (root / "train/cat/1.png").rename(root / "train/cat/a\nb.png")
    source = sources.load("folder", str(root))
    assert source.classes == tuple(sorted([*ODD, latin]))
    assert np.bincount(source.train.labels).tolist() == [3] * (len(ODD) + 1)
    (root / "train/cat/a\nb.png").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"train/cat/a\\nb\.png is not an image") as caught:
        sources.load("folder", str(root))
    assert "\n" not in str(caught.value)


def test_a_file_that_vanishes_is_named_or_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    for part in ("train", "test"):
        write_images(tmp_path / "images" / part)
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == "3.png" and path.parent.name == "b" and path.parents[1].name == "train":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(BadInputError, match=r"train/b/3\.png cannot be read: Permission denied"):
        sources.load("folder", str(tmp_path / "images"))
    source = sources.load("folder", str(tmp_path / "images"), on_error="skip")
    assert len(source.train) == 15
    assert [line.endswith("cannot be read: Permission denied") for line in source.skipped] == [True]


def test_the_name_of_a_set_changes_with_what_is_said_of_it(tmp_path):
    root = write(tmp_path, train="ab", test="ab")
    stamps = {folder.stamp(root, folder.listing(root), "raise")}
    assert stamps == {folder.stamp(root, folder.listing(root), "raise")}
    for change in ("dangling", "other"):
        if change == "dangling":
            (root / "train/a/x.png").symlink_to("/nowhere")
        else:
            (root / "train/a/x.png").unlink()
            (root / "train/a/y.png").write_bytes(b"y")
        stamps.add(folder.stamp(root, folder.listing(root), "raise"))
    stamps.add(folder.stamp(root, folder.listing(root), "skip"))
    assert len(stamps) == 4


def images(root: Path, *parts: str, per_class: int = 10) -> Path:
    for part in parts:
        write_images(root / part, per_class=per_class)
    return root


def test_what_is_said_of_a_folder_stays_with_its_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    root = images(tmp_path / "images", "train")
    (root / "train/a/gone.png").symlink_to("/nowhere")
    (root / "train/b/text.png").write_text("no image")
    expected = (
        "neither test/ nor val/ beside train/: 2 of its 21 images are cut off as the test part",
        "left out 1 links that lead nowhere, such as 'train/a/gone.png'",
        "left out 1 files that cannot be decoded:",
        f"  {root / 'train/b/text.png'} is not an image file",
    )
    for _ in range(2):  # when it is prepared, and when it is read again
        source = sources.load("folder", str(root), on_error="skip")
        assert source.notes == expected
        assert [line.strip() for line in source.skipped] == [
            "1 links that lead nowhere, such as 'train/a/gone.png'",
            expected[-1].strip(),
        ]
    (root / "train/b/text.png").unlink()
    capsys.readouterr()
    main.main(["prepare", "--data=folder", f"--from={root}", f"--data_dir={tmp_path / 'sets'}"])
    told = capsys.readouterr()
    assert told.err.splitlines()[1:] == [expected[0].replace("21", "20"), expected[1]]
    assert len(told.out.splitlines()) == 1


def config(root: Path, **data):
    fields = configs.base_config()
    fields.model.name = "mlp"
    fields.data.name, fields.data.dir, fields.data.batch_size = "folder", str(root), 8
    fields.data.update(data)
    return complete(fields)


def test_a_sets_own_validation_part_takes_the_place_of_a_share(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    root = images(tmp_path / "images", "train", "test")
    write_images(root / "valid", per_class=4)
    experiment = assemble(config(root))
    sizes = {name: len(part) for name, part in experiment.parts.items()}
    assert sizes == {"train": 20, "test": 20, "validation": 8}
    assert experiment.config.data.validate_on == "validation"
    assert "validated on the set's own split validation (8 examples)" in capsys.readouterr().err
    for streamed in (True, False):
        source = sources.load("folder", str(root), Wanted(stream=streamed))
        assert source.validation is not None
        assert np.bincount(source.validation.labels).tolist() == [4, 4]
        only = source.only(["b", "a"]).validation
        assert only is not None
        np.testing.assert_array_equal(only.labels, 1 - source.validation.labels)
    assert "validation" not in assemble(config(root, validation=0.0)).parts
    half = assemble(config(root, validate_on="validation[:50%]")).parts
    assert len(half["validation"]) == 4
    with pytest.raises(BadInputError, match=r"data\.validate_on and data.test share examples"):
        assemble(config(root, validate_on="test[:2]"))


def test_a_validation_part_that_is_tested_on_is_not_validated_on(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    root = images(tmp_path / "images", "train", "val")
    experiment = assemble(config(root))
    sizes = {name: len(part) for name, part in experiment.parts.items()}
    assert sizes == {"train": 18, "test": 20, "validation": 2}
    assert experiment.config.data.validate_on is None


def test_a_run_on_a_share_is_not_continued_on_another_part(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    root = images(tmp_path / "images", "train", "test")
    held = assemble(config(root)).config
    workdir.create(tmp_path / "run", held, "ab")
    write_images(root / "val", per_class=4)
    with pytest.raises(
        BadInputError, match=r"data\.validate_on is None there and 'validation' here"
    ):
        workdir.check_same(tmp_path / "run", assemble(config(root)).config)
