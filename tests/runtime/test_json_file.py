"""Small files: what was written comes back; anything else is one line that names the file."""

import json
from typing import Any, NotRequired, TypedDict

import numpy as np
import pytest

from cnn_jax.runtime import json_file
from cnn_jax.runtime.json_file import UnreadableFileError


class Kind(TypedDict):
    seed: int
    name: str
    numbers: list[float]
    metrics: dict[str, dict[str, float | None]]
    note: NotRequired[str | None]


FIELDS = {
    "seed": 3,
    "name": "café",
    "numbers": (0.1, 1e-300, 5),
    "metrics": {"test": {"loss": float("nan"), "accuracy": 0.25}},
}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "record.json"
    json_file.write(file, FIELDS)
    return file


def read(file) -> Any:
    return json_file.read(file, Kind, "a record")


def test_what_was_written_comes_back_as_json_has_it(file):
    held = read(file)
    assert held["numbers"] == [0.1, 1e-300, 5]
    assert held["metrics"]["test"] == {"loss": None, "accuracy": 0.25}
    assert held == json.loads(file.read_text())
    assert next(iter(held)) == "format"
    assert json_file.write(file, FIELDS) == held


def told(file) -> str | None:
    try:
        read(file)
    except UnreadableFileError as error:
        return str(error)
    return None


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_or_a_cut_never_passes(file, seed):
    rng = np.random.default_rng(seed)
    whole = file.read_bytes()
    for _ in range(60):
        place = int(rng.integers(len(whole) - 1))  # the last one is a line's end
        damaged = bytearray(whole)
        if rng.random() < 0.3:
            damaged = damaged[:place]
        else:
            damaged[place] ^= 1 << int(rng.integers(8))
        if damaged.split() == whole.split():
            continue
        file.write_bytes(damaged)
        line = told(file)
        assert line is None or (str(file) in line and len(line.splitlines()) == 1)
        if line is None:  # white space between words
            assert read(file) == json.loads(whole)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": "3"}, "seed"),
        ({"seed": 4}, "digest"),
        ({"numbers": [1, None]}, "numbers"),
        ({"digest": None}, "digest"),
        ({"format": 2}, "update cnn-jax"),
    ],
)
def test_a_changed_field_is_named(file, change, says):
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UnreadableFileError, match=says):
        read(file)


def test_a_missing_field_a_missing_file_and_another_kind_are_told(file, tmp_path):
    held = json.loads(file.read_text())
    del held["name"]
    file.write_text(json.dumps(held))
    with pytest.raises(UnreadableFileError, match="name"):
        read(file)
    file.write_text("[1, 2]")
    with pytest.raises(UnreadableFileError, match="is not a record"):
        read(file)
    with pytest.raises(UnreadableFileError, match="missing"):
        read(tmp_path / "none.json")
    assert json_file.find(tmp_path / "none.json", Kind, "a record") is None


def test_a_file_of_an_earlier_version_needs_no_digest(file):
    old = {"seed": 3, "name": "a", "numbers": [], "metrics": {}}
    file.write_text(json.dumps(old))
    assert read(file) == old


def test_names_that_are_no_utf_8_come_back(tmp_path):
    name = b"ni\xf1o".decode(errors="surrogateescape")
    held = json_file.write(tmp_path / "record.json", FIELDS | {"name": name})
    assert read(tmp_path / "record.json") == held
    assert held["name"] == name
    (tmp_path / "record.json").read_text("utf-8")
