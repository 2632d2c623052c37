"""`inspect` from the command line: every kind, on networks of different build, and refusals."""

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_jax import inspection
from cnn_jax.commands import main
from cnn_jax.inspection import KINDS
from cnn_jax.inspection.flowing import by_step
from cnn_jax.inspection.subject import _one_a_class, around_grey, colours, spread
from tests.fixtures import write_images, write_run

CLASSES = ("cat", "dog", "eel")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return (folder of a run, flags that name its data)."""
    folder = tmp_path_factory.mktemp("inspected")
    write_images(folder / "images/train", per_class=12, side=16, classes=CLASSES)
    write_images(folder / "images/test", per_class=4, side=16, classes=CLASSES)
    stages: dict[str, Any] = {"stages": (1, 1), "width": 4}
    shape = (16, 16, 1)
    write_run(folder / "run", "resnet20", image_shape=shape, classes=CLASSES, **stages)
    flags = ["--config.data.name=folder", f"--config.data.dir={folder / 'images'}"]
    return folder / "run", flags


def drawn(capsys, run, what: str, out, *arguments: str) -> list[np.ndarray]:
    """Draw a kind; return its pictures' pixels."""
    folder, flags = run
    command = ["inspect", f"--workdir={folder}", f"--what={what}", f"--out={out}", *flags]
    assert main.main([*command, *arguments]) == 0
    files = capsys.readouterr().out.splitlines()
    return [np.asarray(Image.open(file)) for file in files if file.endswith(".png")]


@pytest.mark.parametrize("what", ["filters", "grad-cam"])
def test_a_kind_leaves_a_picture(run, what, tmp_path, capsys):
    (picture,) = drawn(capsys, run, what, tmp_path)
    assert picture.min() < 100 < 200 < picture.max()
    assert [file.name for file in tmp_path.iterdir()] == [f"{what}.png"]


@pytest.mark.slow
def test_all_kinds_make_a_page_that_needs_no_other_file(run, tmp_path, capsys):
    blocks = {"stage1_block1": 0.5, "stage2_block1": 2.0, "conv1": 1.0}
    norms = {"gradient": blocks, "update_to_weight": blocks, "branch_to_skip": {}}
    flows = [{"step": step} | norms for step in (0, 1)]
    (run[0] / "flow.jsonl").write_text("\n".join(map(json.dumps, flows)))
    logged = {"step": 1, "split": "train", "loss": 1.0, "accuracy": 0.5}
    (run[0] / "metrics.jsonl").write_text(json.dumps(logged) + "\n")
    pictures = drawn(capsys, run, "all", tmp_path)
    # Style draws its losses, too, and the gradient flow what training recorded.
    assert len(pictures) == len(KINDS) + 2
    assert [line["step"] for line in inspection.open_run(run[0]).flow] == [0]  # its checkpoint's
    page = (tmp_path / "report.html").read_text()
    assert "left out" not in page
    assert re.findall(r"<h2>(.*?)</h2>", page) == list(KINDS)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    held = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    files = {file.read_bytes() for file in tmp_path.glob("*.png")}
    assert {base64.b64decode(data) for data in held} == files
    assert len(files) == len(pictures)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "lenet5_classic"])
def test_what_a_network_does_not_allow_is_left_out_of_the_page(model, tmp_path, capsys):
    side = {"mlp": 8, "lenet5_classic": 32}[model]
    fields: dict[str, Any] = {"hidden": (9,)} if model == "mlp" else {}
    write_run(tmp_path / "run", model, image_shape=(side, side, 1), classes=CLASSES, **fields)
    Image.fromarray(np.full((8, 8), 250, np.uint8)).save(tmp_path / "white.png")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 30, 3), np.uint8)).save(tmp_path / "noise.png")
    images = [str(tmp_path / name) for name in ("white.png", "noise.png")]
    page = tmp_path / "out/report.html"
    command = ["inspect", f"--workdir={tmp_path / 'run'}", "--what=all", f"--out={page.parent}"]
    assert main.main([*command, *images]) == 0
    left_out = re.findall(r"<h2>([^<]*)</h2><p>[^<]*</p>\n<p class=.left-out", page.read_text())
    data = {"deconvnet", "gradient-flow", "shifts", "batch", "curves"}
    maps = {"filters", "feature-maps", "grad-cam", "style", "receptive-field"}
    assert set(left_out) == (data | maps if model == "mlp" else data)
    capsys.readouterr()


def test_what_training_recorded_is_drawn_by_block_in_the_networks_order():
    lines = [
        {
            "step": step,
            "gradient": {"head": 3.0, "stem": step + 1.0},
            "update_to_weight": {"head": None, "stem": 0.1},
            "branch_to_skip": {"block": 0.5},
        }
        for step in range(0, 100, 10)
    ]
    gradient, update, branch = by_step(lines, ["stem", "block/conv", "block", "head"])
    assert gradient.ticks == update.ticks == ["stem", "head"]
    assert branch.ticks == ["block"]
    assert list(gradient.curves)[::4] == ["step 0", "step 90"]
    assert gradient.curves["step 90"] == (range(2), [91.0, 3.0])


def test_images_of_any_size_are_taken_and_said(run, tmp_path, capsys):
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / "large.png")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "right.png")
    files = [tmp_path / "large.png", tmp_path / "right.png"]
    subject = inspection.open_run(run[0], files)
    assert capsys.readouterr().err == f"{files[0]}: 40x30 pixels, resized to 16x16\n"
    assert subject.pixels.shape == (2, 16, 16, 1)
    assert list(subject.captions) == ["large.png", "right.png"]


def test_one_line_for_what_cannot_be_drawn(run, tmp_path, capsys):
    folder, flags = run
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "file").write_text("")
    out = f"--out={tmp_path / 'out'}"
    cases = [
        ([out, "--what=filter", *flags], "choose from filters, feature-maps"),
        ([out, "--what=grad-cam", "--layer=conv9", *flags], "no such layer; there are conv1, bn1"),
        ([out, "--what=filters", "--layer=bn1"], "no such convolution; there are conv1"),
        ([out, "--what=deconvnet", "--unit=8", *flags], "has the units 0 to 7"),
        ([out, "--what=saliency"], "names no data; give image files"),
        ([out, "--what=saliency", str(tmp_path / "text.png")], "text.png' is not an image file"),
        ([f"--out={tmp_path / 'file'}", "--what=filters"], "--out: "),
        ([out, "--what=filters", "--config.seed=1"], "only --config.data.FIELD can be set"),
    ]
    for arguments, line in cases:
        assert main.main(["inspect", f"--workdir={folder}", *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert line in printed.err
        told = [x for x in printed.err.splitlines() if not x.startswith("preparing ")]
        assert len(told) == 1
        assert not list((tmp_path / "out").glob("*"))


def test_the_shown_examples_are_the_first_of_each_class():
    labels = np.array([2, 2, 0, 1, 0, 1, 2, 0])
    np.testing.assert_array_equal(_one_a_class(labels), [2, 3, 0, 4, 5, 1])
    assert spread("abcdefg", 3) == ["a", "d", "g"]
    assert spread("ab", 3) == ["a", "b"]


def test_colours_of_one_two_and_three_channels():
    for channels in (1, 2, 3, 5):
        images = np.arange(4 * channels).reshape(1, 2, 2, channels)
        shown = colours(images)
        assert shown.shape == (1, 2, 2, 3)
        np.testing.assert_array_equal(shown[..., 0], images[..., 0])
        if channels < 3:
            np.testing.assert_array_equal(shown[..., 2], images[..., 0])
    np.testing.assert_array_equal(
        around_grey(np.array([[[[-2.0], [0.0], [1.0]]]]))[0, 0, :, 0], [0, 0.5, 0.75]
    )
