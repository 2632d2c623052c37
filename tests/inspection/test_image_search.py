"""`search-images` from the command line: indexing, queries, precision, refusals."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_jax.commands import main
from cnn_jax.inspection import image_search, open_run
from tests.fixtures import write_images, write_run

SHAPE, CLASSES = (8, 8, 1), ("dark", "light", "middle")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a run, its images, and others to look for."""
    folder = tmp_path_factory.mktemp("searched")
    write_images(folder / "images/train", per_class=12, classes=CLASSES)
    write_images(folder / "images/test", per_class=6, classes=CLASSES)
    write_run(folder / "run", "mlp", image_shape=SHAPE, classes=CLASSES, hidden=(16,))
    return folder


def lines(capsys, place: Path, *arguments: str) -> list[dict]:
    assert main.main(["search-images", f"--workdir={place / 'run'}", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_image_of_the_index_finds_itself_first(place, tmp_path, capsys):
    index, images = f"--index={tmp_path / 'index'}", place / "images/test"
    (made,) = lines(capsys, place, index, f"--images={images}", "--layer=fc1")
    assert (made["images"], made["size"], made["layer"]) == (18, 16, "fc1")
    queries = [str(images / "light/3.png"), str(images / "dark/0.png")]
    sheet = tmp_path / "sheet.png"
    light, dark = lines(capsys, place, index, "--top=4", f"--sheet={sheet}", *queries)
    assert light["image"] == queries[0]
    assert len(light["neighbours"]) == 4
    assert light["neighbours"][0]["image"] == "light/3.png"
    assert light["neighbours"][0]["class"] == "light"
    assert light["neighbours"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert dark["neighbours"][0]["image"] == "dark/0.png"
    similarities = [neighbour["similarity"] for neighbour in light["neighbours"]]
    assert similarities == sorted(similarities, reverse=True)
    assert np.asarray(Image.open(sheet)).std() > 10


def test_precision_against_raw_pixels(place, tmp_path, capsys):
    flags = ["--config.data.name=folder", f"--config.data.dir={place / 'images'}"]
    index = f"--index={tmp_path / 'index'}"
    made, found = lines(capsys, place, index, *flags, "--measure", "--top=3")
    assert made["images"] == found["images"] == 18
    # Brightness is all that tells the classes apart, and raw pixels are centred.
    assert found["precision@3"] > found["precision@3 of raw pixels"] + 0.2


def test_the_test_sets_images_are_called_by_their_files(place, tmp_path, capsys):
    data = ["--config.data.name=folder", f"--config.data.dir={place / 'images'}"]
    index = f"--index={tmp_path / 'index'}"
    sheet = f"--sheet={tmp_path / 'sheet.png'}"
    query = str(place / "images/test/light/3.png")
    (made, found) = lines(capsys, place, index, *data, sheet, query)
    assert made["layer"] == "fc1"
    assert found["neighbours"][0]["image"] == "test/light/3.png"
    names = [neighbour["image"] for neighbour in found["neighbours"]]
    assert len(set(names)) == len(names) == 10
    assert all((place / "images" / name).is_file() for name in names)
    assert np.asarray(Image.open(tmp_path / "sheet.png")).std() > 10


def test_a_test_set_that_is_cut_from_training_has_its_files_too(place, tmp_path, capsys):
    write_images(tmp_path / "images/train", per_class=20, classes=CLASSES)
    shutil.copy(tmp_path / "images/train/dark/0.png", tmp_path / "images/train/dark/zwin.png")
    data = ["--config.data.name=folder", f"--config.data.dir={tmp_path / 'images'}"]
    index = tmp_path / "index"
    lines(capsys, place, f"--index={index}", *data)
    with np.load(index) as held:
        names = [str(name) for name in held["names"]]
    assert len(set(names)) == len(names) >= 6
    assert all((tmp_path / "images" / name).is_file() for name in names)


def test_images_that_are_no_files_are_called_by_their_places(place, tmp_path, capsys):
    write_run(tmp_path / "run", "mlp", image_shape=SHAPE, hidden=(16,))
    index = f"--index={tmp_path / 'index'}"
    query = str(place / "images/test/light/3.png")
    (_, found) = lines(capsys, tmp_path, index, "--config.data.name=digits", query)
    assert all(re.fullmatch(r"test\[\d+\]", n["image"]) for n in found["neighbours"])


def test_the_layer_before_the_last_is_no_dropout(tmp_path):
    write_run(tmp_path / "run", "lenet5", image_shape=(32, 32, 1), dropout=0.5)
    probe = open_run(tmp_path / "run").probe
    assert list(probe.layers)[-2].startswith("Dropout")
    assert probe.before_last() == "fc6"


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="FAISS is not installed")
def test_graph_search_finds_almost_what_exact_search_finds(place, tmp_path, capsys):
    index = f"--index={tmp_path / 'index'}"
    lines(capsys, place, index, f"--images={place / 'images'}")
    (found,) = lines(capsys, place, index, "--measure", "--method=faiss", "--top=5")
    assert found["recall of faiss"] > 0.95


def test_another_network_and_other_files_are_refused(place, tmp_path, capsys, monkeypatch):
    index = tmp_path / "index"
    lines(capsys, place, f"--index={index}", f"--images={place / 'images/test'}")
    write_run(tmp_path / "other", "mlp", image_shape=SHAPE, classes=CLASSES, hidden=(17,))
    (tmp_path / "text").write_text("nothing")
    (tmp_path / "empty").mkdir()
    monkeypatch.setitem(sys.modules, "faiss", None)
    query = str(place / "images/test/dark/0.png")
    cases = [
        ([f"--workdir={tmp_path / 'other'}", f"--index={index}"], "made with another network"),
        ([f"--index={index}", "--layer=head"], "is of the layer fc1, not head"),
        ([f"--index={tmp_path / 'text'}"], "is no index of images"),
        ([f"--index={index}", f"--images={place}"], "exists; leave --images out"),
        ([f"--index={tmp_path / 'new'}", f"--images={tmp_path / 'empty'}"], "holds no PNG or JPEG"),
        ([f"--index={tmp_path / 'new'}", "--layer=conv1", f"--images={place}"], "are fc1, head"),
        ([f"--index={tmp_path / 'no/where'}"], "is not a folder"),
        ([f"--index={index}", "--method=faiss", query], "pip install faiss-cpu"),
        ([f"--index={index}", "--method=annoy", query], "there is exact, faiss"),
        ([f"--index={tmp_path / 'new'}", "--method=annoy"], "there is exact, faiss"),
        ([f"--index={index}", "--top=0"], "--top=0"),
        ([f"--index={index}", "--sheet=x.png"], "takes the images to look for"),
        ([f"--index={index}", "--sheet=x.bmp", query], "has to end in .png, .pdf or .svg"),
        ([f"--index={index}", f"--sheet={tmp_path / 'no/x.png'}", query], "lies in no folder"),
    ]
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    for arguments, line in cases:
        run = [] if arguments[0].startswith("--workdir") else [f"--workdir={place / 'run'}"]
        assert main.main(["search-images", *run, *arguments]) == 2
        printed = capsys.readouterr()
        assert line in printed.err
        assert printed.out == ""
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


def test_a_folder_is_read_a_batch_at_a_time(place, tmp_path, monkeypatch):
    for index in range(150):
        Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / f"{index:03d}.png")
    counts = []

    def counted(files, config, read=image_search.read_images):
        counts.append(len(files))
        return read(files, config)

    monkeypatch.setattr(image_search, "read_images", counted)
    index = image_search.build(open_run(place / "run"), None, tmp_path)
    assert counts == [64, 64, 22]
    assert list(index.names[:2]) == ["000.png", "001.png"]
    assert set(index.labels) == {-1}


def first_format(held: dict[str, np.ndarray], **changes: Any) -> dict[str, Any]:
    """Return an index's arrays as the first format has them, fields of ``about`` changed."""
    about = json.loads(str(held["about"])) | {"format": 1} | changes
    plain = {name: value for name, value in about.items() if name not in ("arrays", "digest")}
    return held | {"about": np.array(json.dumps(plain))}


def test_damage_of_an_index_is_one_line_that_names_it(place, tmp_path, capsys):
    file = tmp_path / "index"
    lines(capsys, place, f"--index={file}", f"--images={place / 'images/test'}")
    with np.load(file) as opened:
        held = dict(opened)
    first = first_format(held)
    query = str(place / "images/test/dark/0.png")
    with file.open("wb") as stored:
        np.savez(stored, allow_pickle=False, **first)
    (found,) = lines(capsys, place, f"--index={file}", "--top=1", query)  # the first format loads
    assert found["neighbours"][0]["image"] == "dark/0.png"
    vectors, labels = held["vectors"], held["labels"]
    about = json.loads(str(held["about"]))
    nan = np.where(np.arange(vectors.size).reshape(vectors.shape) == 5, np.nan, vectors)
    cases = [
        (held | {"vectors": -vectors}, "vectors is not what was written with it"),
        (held | {"labels": labels[::-1]}, "labels is not what was written"),
        (held | {"about": np.array(json.dumps(about | {"layer": "head"}))}, "digest differs"),
        (first | {"about": np.array("{")}, "is damaged"),
        (first | {"about": vectors}, "is damaged"),
        (first_format(held, layer=None), "Expected str"),
        (first_format(held, classes="abc"), "Expected array"),
        (first_format(held, classes=["one"]), "labels are not those of 1 classes"),
        (first_format(held, format=3), "has format 3, newer than 2; update"),
        (first | {"vectors": nan}, "not finite"),
        (first | {"vectors": vectors * 9}, "longer than 1"),
        (first | {"vectors": vectors.astype(np.float64)}, "not float64"),
        (first | {"vectors": vectors[0]}, "vectors are float32 [N, D]"),
        (first | {"vectors": vectors[:0]}, "vectors are float32 [N, D]"),
        (first | {"vectors": vectors[:, :3].copy()}, "puts out 16"),
        (first | {"vectors": vectors[:5]}, "5 vectors have names [18]"),
        (first | {"names": held["names"][:5]}, "names [5]"),
        (first | {"names": labels}, "names and labels are text and integers"),
        (first | {"labels": labels + 1}, "labels are not those"),
        (first | {"labels": labels.astype(np.float32)}, "text and integers"),
        ({name: value for name, value in first.items() if name != "labels"}, "lacks labels"),
        ({name: value for name, value in first.items() if name != "about"}, "lacks about"),
        (first | {"names": np.array([None] * 18)}, "holds Python objects"),
    ]
    for changed, line in cases:
        with file.open("wb") as stored:
            np.savez(stored, allow_pickle=True, **changed)
        assert (
            main.main(["search-images", f"--workdir={place / 'run'}", f"--index={file}", query])
            == 2
        )
        printed = capsys.readouterr()
        assert line in printed.err, line
        assert str(file) in printed.err
        assert len(printed.err.splitlines()) == 1
        assert printed.out == ""


def test_images_that_have_moved_are_told_before_anything_is_drawn(place, tmp_path, capsys):
    shutil.copytree(place / "images/test", tmp_path / "images")
    index, sheet = f"--index={tmp_path / 'index'}", f"--sheet={tmp_path / 'sheet.png'}"
    lines(capsys, place, index, f"--images={tmp_path / 'images'}")
    (tmp_path / "images").rename(tmp_path / "moved")
    query = str(tmp_path / "moved/dark/0.png")
    assert main.main(["search-images", f"--workdir={place / 'run'}", index, sheet, query]) == 2
    printed = capsys.readouterr()
    assert f"{str(tmp_path / 'images')!r} that was indexed is not there any more" in printed.err
    assert printed.out == ""
    (found,) = lines(capsys, place, index, "--top=1", query)  # their vectors are in the index
    assert found["neighbours"][0]["image"] == "dark/0.png"
