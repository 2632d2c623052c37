"""Arrays of the cache: what is read is what was written, whatever became of the files."""

import os

import numpy as np
import pytest

from cnn_jax.data.prepare import arrays
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError

ARRAY = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
ABOUT = ("seven images", (7, 5, 3), np.uint8)


def pieces(array=ARRAY):
    return iter([array[:4], array[4:]])


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK", 64)  # four blocks with the header
    file = tmp_path / "a-crop0.5.npy"
    arrays.write(file, *ABOUT, pieces())
    return file


def test_an_array_is_read_back_by_us_and_by_numpy(file):
    np.testing.assert_array_equal(arrays.read(file, *ABOUT), ARRAY)
    np.testing.assert_array_equal(arrays.read(file, ABOUT[0], (7, None, None), np.uint8), ARRAY)
    np.testing.assert_array_equal(np.load(file), ARRAY)
    assert b'"crc32": [' in file.read_bytes()
    assert os.listdir(file.parent) == [file.name]


def test_every_flipped_bit_is_noticed(file):
    content = bytearray(file.read_bytes())
    for place in range(len(content)):
        content[place] ^= 1 << place % 8
        file.write_bytes(content)
        with pytest.raises(UnreadableFileError, match=r"a-crop0\.5\.npy' "):
            arrays.read(file, *ABOUT)
        content[place] ^= 1 << place % 8


@pytest.mark.parametrize(
    "other",
    [
        ("other images", (7, 5, 3), np.uint8),
        ("seven images", (7, 3, 5), np.uint8),
        ("seven images", (7, 15), np.uint8),
        ("seven images", (7, 5, 3), np.int8),
    ],
)
def test_another_array_is_not_taken_for_this(file, other):
    with pytest.raises(UnreadableFileError, match="holds another array than its name says"):
        arrays.read(file, *other)


def damaged(file, how):
    content = file.read_bytes()
    if how == "flipped":
        content = content[:140] + bytes([content[140] ^ 16]) + content[141:]
    elif how == "cut":
        content = content[:-1]
    elif how == "longer":
        content += b"\0"
    elif how == "empty":
        content = b""
    elif how == "a larger shape":  # what NumPy would make 3 TB of room for
        content = content.replace(b"(7, 5, 3), }" + b" " * 12, b"(7, 5, 3000000000000), }")
    elif how == "edited":
        content = content.replace(b'"shape": [7', b'"shape": [8')
    elif how == "an endless record":
        content = content[:-8] + b"\xff" * 8
    elif how == "of NumPy alone":
        np.save(file, ARRAY)
        content = file.read_bytes()
    elif how == "swapped":
        arrays.write(file, "b", (7, 5, 3), np.uint8, pieces(255 - ARRAY))
        content = file.read_bytes()
    assert content != file.read_bytes() or how in ("of NumPy alone", "swapped")
    file.write_bytes(content)


HOW = ["flipped", "cut", "longer", "empty", "a larger shape", "edited", "an endless record"]
HOW += ["of NumPy alone", "swapped"]


@pytest.mark.parametrize("how", HOW)
def test_what_is_damaged_is_made_again_and_said_in_one_line(file, how, capsys):
    damaged(file, how)
    np.testing.assert_array_equal(arrays.kept(file, *ABOUT, pieces), ARRAY)
    said = capsys.readouterr().err
    assert said.endswith("; it is made again\n")
    assert said.count("\n") == 1
    # The second time there is nothing to make.
    np.testing.assert_array_equal(arrays.kept(file, *ABOUT, lambda: iter(())), ARRAY)
    assert not capsys.readouterr().err


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(BadInputError, match=r"the cache cannot be written: .*Not a directory"):
        arrays.kept(tmp_path / "cache/decoded/a.npy", *ABOUT, pieces)
