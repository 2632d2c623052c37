"""Predicting the classes of image files."""

import json

import numpy as np
import pytest
from PIL import Image

from cnn_jax.commands import main
from tests.fixtures import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a network that tells bright images from dark ones."""
    kernel = np.zeros((64, 6), np.float32)
    kernel[:, 0], kernel[:, 1] = 1 / 64, -1 / 64
    head = {"kernel": kernel, "bias": np.array([0, 0, -9, -9, -9, -9], np.float32)}
    folder = tmp_path_factory.mktemp("predict") / "run"
    names = ("bright", "dark", "c", "d", "e", "f")
    variables = {"params": {"head": head}}
    write_run(folder, "mlp", image_shape=(8, 8, 1), classes=names, variables=variables, hidden=())
    return folder


@pytest.fixture
def images(tmp_path):
    """Return a grey image and a large coloured one."""
    Image.fromarray(np.full((8, 8), 250, np.uint8)).save(tmp_path / "white.png")
    Image.fromarray(np.full((40, 30, 3), 5, np.uint8)).save(tmp_path / "black.jpg")
    return [str(tmp_path / "white.png"), str(tmp_path / "black.jpg")]


def predicted(capsys, *arguments: str) -> list[dict]:
    assert main.main(["predict", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_images_of_any_size_get_names_and_probabilities(run, images, capsys):
    white, black = predicted(capsys, f"--workdir={run}", *images)
    assert [white["image"], black["image"]] == images
    assert len(white["classes"]) == 5
    assert (white["classes"][0]["class"], white["classes"][0]["index"]) == ("bright", 0)
    assert (black["classes"][0]["class"], black["classes"][0]["index"]) == ("dark", 1)
    value = (250 / 255 - 0.3) / 0.2
    scores = np.exp([value, -value, -9, -9, -9, -9])
    assert white["classes"][0]["probability"] == pytest.approx(scores[0] / scores.sum(), abs=1e-6)
    assert [c["probability"] for c in white["classes"]] == sorted(
        (c["probability"] for c in white["classes"]), reverse=True
    )
    # Another normalisation turns everything round.
    flags = ["--config.data.mean=(1.5,)", "--top=1"]
    (turned,) = predicted(capsys, f"--workdir={run}", *flags, images[0])
    assert [c["class"] for c in turned["classes"]] == ["dark"]


def test_more_images_than_a_batch_keep_their_order(run, images, capsys):
    lines = predicted(capsys, f"--workdir={run}", "--top=1", *images * 40)
    assert [line["classes"][0]["class"] for line in lines] == ["bright", "dark"] * 40


def test_names_come_from_a_file_or_are_numbers(tmp_path, images, capsys):
    write_run(tmp_path / "run", "mlp", image_shape=(8, 8, 1), named=False, hidden=())
    workdir = f"--workdir={tmp_path / 'run'}"
    (line,) = predicted(capsys, workdir, images[0])
    assert set(line["classes"][0]) == {"index", "probability"}
    (tmp_path / "names").write_text("\n".join(f"name {i}" for i in range(10)) + "\n")
    (line,) = predicted(capsys, workdir, f"--names={tmp_path / 'names'}", images[0])
    assert line["classes"][0]["class"] == f"name {line['classes'][0]['index']}"
    # Line ends of other systems are line ends; what else Unicode counts as one is part of a name.
    names = [f"na\u2028me {i}" for i in range(10)]
    (tmp_path / "names").write_text("\r\n".join(names) + "\r\n", newline="")
    (line,) = predicted(capsys, workdir, f"--names={tmp_path / 'names'}", images[0])
    assert line["classes"][0]["class"] == f"na\u2028me {line['classes'][0]['index']}"


def test_what_cannot_be_predicted_is_named(run, images, tmp_path, capsys):
    (tmp_path / "text.png").write_text("no image")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:600])
    (tmp_path / "names").write_text("one\n")
    (tmp_path / "latin").write_bytes("caf\u00e9\n".encode("latin-1") * 6)
    cases = [
        ([images[0], str(tmp_path / "text.png")], "text.png' is not an image file"),
        ([str(tmp_path / "cut.png")], "cut.png' cannot be decoded"),
        ([str(tmp_path / "none.png")], "none.png': No such file"),
        ([str(tmp_path)], "cut.png' cannot be decoded"),
        ([images[0], "--top=0"], "--top=0"),
        ([images[0], "--config.data.image_size=None"], "data.image_size is unset"),
        ([images[0], "--config.data.image_size=9"], "do not fit images of 9x9x1"),
        ([images[0], "--config.seed=1"], "only --config.data.FIELD can be set"),
        ([images[0], "--config.data.std=(1.,1.)"], "takes 1 channels, a number for each"),
        ([images[0], f"--names={tmp_path / 'names'}"], "has 1 lines; the network has 6 classes"),
        ([images[0], f"--names={tmp_path / 'latin'}"], "latin' is no text in UTF-8"),
        ([images[0], f"--names={tmp_path}"], "Is a directory"),
    ]
    for arguments, line in cases:
        assert main.main(["predict", f"--workdir={run}", *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert line in printed.err
        assert len(printed.err.splitlines()) == 1


def test_a_folder_stands_for_the_images_in_it_and_below(run, images, tmp_path, capsys):
    (tmp_path / "more/inner").mkdir(parents=True)
    for name in ("more/b.png", "more/inner/a.png", "more/c.JPG"):
        Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path / name)
    (tmp_path / "more/notes.txt").write_text("no image")
    found = predicted(capsys, f"--workdir={run}", images[0], str(tmp_path / "more"))
    names = [images[0], *(str(tmp_path / "more" / n) for n in ("b.png", "c.JPG", "inner/a.png"))]
    assert [line["image"] for line in found] == names
    (tmp_path / "empty").mkdir()
    assert main.main(["predict", f"--workdir={run}", str(tmp_path / "empty")]) == 2
    assert "is a folder without image files (.bmp" in capsys.readouterr().err
