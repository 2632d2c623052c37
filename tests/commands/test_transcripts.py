"""What each command prints, for --help and for one use, as files that anyone can read.

In ``transcripts``, ``$ `` begins a command; ``[..]`` stands for anything within a line, and a line
``[...]`` for any lines. ``python -m tests.commands.test_transcripts`` writes them again where they
do not fit any more.
"""

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from cnn_jax.commands import COMMANDS, main
from tests.fixtures import torch_tensors

FOLDER = Path(__file__).parent / "transcripts"
ANY, LINES = "[..]", "[...]"


def written(name: str) -> list[tuple[str, list[str]]]:
    """Return (command, lines printed) of a transcript."""
    parts = re.split(r"^\$ (.*)\n", (FOLDER / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(command, text.rstrip("\n").split("\n")) for command, text in pairs]


def printed(command: str) -> list[str]:
    """Run a command in this process; return its stdout, and the line of one that fails."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main.main(shlex.split(command)[1:])
    lines = [line.rstrip() for line in out.getvalue().rstrip("\n").split("\n")]
    return lines if status == 0 else [*filter(None, lines), err.getvalue().splitlines()[-1]]


def pattern(lines: list[str]) -> str:
    made = []
    for line in lines:
        within = ".*".join(map(re.escape, line.split(ANY)))
        made.append("(?:.*\n)*?" if line == LINES else f"{within}\n")
    return "".join(made)


def prepare(folder: Path) -> None:
    """Write what the commands take: images, and weights of PyTorch."""
    (folder / "images").mkdir()
    for index in range(2):
        pixels = np.full((8, 8), 200 * index, np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{index}.png")
    safetensors.numpy.save_file(torch_tensors("resnet20", 10), folder / "resnet20.safetensors")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transcripts")
    prepare(folder)
    return folder


def test_every_command_has_a_transcript():
    assert {file.stem for file in FOLDER.iterdir()} == {"cnn-jax", *COMMANDS}


# In the order of the commands: the first trains what the others read.
def test_commands_print_what_is_written(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("cnn-jax", *COMMANDS):
        held = written(name)
        assert held[0][0].endswith(" --help")
        assert len(held) >= 2, f"{name} shows no use"
        for command, lines in held:
            found = "\n".join(printed(command)) + "\n"
            assert re.fullmatch(pattern(lines), found), f"$ {command}\n{found}"


def write() -> None:
    """Write the transcripts of the commands in them again."""
    os.environ["COLUMNS"] = "100"
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepare(Path(folder))
        for name in ("cnn-jax", *COMMANDS):
            text = []
            for command, lines in written(name):
                found = printed(command)
                fits = re.fullmatch(pattern(lines), "\n".join(found) + "\n")
                text += [f"$ {command}", *(lines if fits else found), ""]
            (FOLDER / f"{name}.txt").write_text("\n".join(text).rstrip("\n") + "\n")


if __name__ == "__main__":
    sys.exit(write())
