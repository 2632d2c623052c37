"""Saving pictures: formats, fonts, the same bytes each time, nothing half-written."""

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from cnn_jax.runtime import figures
from cnn_jax.runtime.errors import BadInputError

CHECKS = np.array([[0.0, 1.0], [1.0, 0.0]])

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from cnn_jax.runtime import figures

files = [Path(file) for file in sys.argv[1:]]
with figures.drawn(files, (3.0, 2.0)) as figure:
    left, right = figure.subplots(1, 2)
    left.plot([0, 1, 2], [3, 1, 2], "o--", label="a line")
    left.legend()
    right.imshow(np.array([[0.0, 1.0], [1.0, 0.0]]), cmap="gray", interpolation="nearest")
    figure.suptitle("a title")
"""


def draw(*files: Path) -> None:
    """Draw a line, an image and text, in this process."""
    with figures.drawn(files, (3.0, 2.0)) as figure:
        left, right = figure.subplots(1, 2)
        left.plot([0, 1, 2], [3, 1, 2], "o--", label="a line")
        left.legend()
        right.imshow(CHECKS, cmap="gray", interpolation="nearest")
        figure.suptitle("a title")


@pytest.fixture(scope="module")
def held(tmp_path_factory) -> dict[str, bytes]:
    """Return a picture's bytes by format."""
    folder = tmp_path_factory.mktemp("drawn")
    files = [folder / f"picture.{kind}" for kind in figures.FORMATS]
    draw(*files)
    return {kind: file.read_bytes() for kind, file in zip(figures.FORMATS, files, strict=True)}


def test_formats_are_what_their_endings_say(held):
    assert held["png"].startswith(b"\x89PNG")
    assert held["pdf"].startswith(b"%PDF")
    assert ElementTree.fromstring(held["svg"]).tag.endswith("svg")
    with Image.open(io.BytesIO(held["png"])) as picture:
        assert picture.size == (600, 400)
        assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_another_process_writes_the_same_bytes(held, tmp_path):
    files = [tmp_path / f"again.{kind}" for kind in figures.FORMATS]
    # Neither the clock nor the order of sets in this process may tell.
    own = os.environ | {"PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1000000000"}
    subprocess.run([sys.executable, "-c", PROGRAM, *map(str, files)], env=own, check=True)
    assert {kind: (tmp_path / f"again.{kind}").read_bytes() for kind in held} == held


def test_the_users_own_settings_change_nothing(held, tmp_path):
    own: Any = {"font.size": 30, "pdf.fonttype": 3, "svg.fonttype": "path", "image.cmap": "jet"}
    with matplotlib.rc_context(own):
        for kind, content in held.items():
            draw(file := tmp_path / f"own.{kind}")
            assert file.read_bytes() == content
        assert matplotlib.rcParams["font.size"] == 30  # and are left as they were


def test_vector_files_are_fit_for_print(held):
    assert b"/FontFile2" in held["pdf"]  # TrueType
    assert b"/Type3" not in held["pdf"]
    assert b"CreationDate" not in held["pdf"]
    text = held["svg"].decode()
    assert "dc:date" not in text
    assert {"a title", "a line"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", text))


def test_pixels_of_an_image_stay_squares(held):
    (data,) = re.findall(r'base64,([^"]+)"', held["svg"].decode())
    with Image.open(io.BytesIO(base64.b64decode(re.sub(r"\s", "", data)))) as embedded:
        seen = np.asarray(embedded.convert("RGBA"))
    opaque = seen[seen[..., 3] == 255][:, 0]
    assert set(opaque.tolist()) == {0, 255}  # nothing in between


def test_what_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), figures.drawn([tmp_path / "a.pdf"], (2, 2)):
        _ = 1 / 0
    line = r"a\.gif=gif: it has to be png, pdf or svg"
    with (
        pytest.raises(BadInputError, match=line),
        figures.drawn([tmp_path / "a.png", tmp_path / "a.gif"], (2, 2)),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInputError, match="--format=gif: it has to be png, pdf or svg"):
        figures.check_format("gif", "--format")
