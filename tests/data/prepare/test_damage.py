"""Damage to any file of a prepared set or of the cache: the same arrays as before, or one line."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.data import sources
from cnn_jax.data.reading import Wanted
from cnn_jax.runtime.errors import BadInputError
from tests.data.prepared_sets import prepare
from tests.fixtures import write_images

SHARD = "folder-{}.array_record-00000-of-00001"
# The files of a set that this project prepared, and those of its arrays in the cache.
SIDE = ("dataset_info.json", "features.json", "label.labels.txt", "metadata.json", "cnn-jax.json")
SEALED = (*SIDE, SHARD.format("train"), SHARD.format("test"))
CACHED = ("train-8x8*.npy", "test-8x8*.npy", "train-labels.npy", "test-labels.npy")
OTHERS = ("dataset_info.json", "features.json", "theirs-train.array_record-00000-of-00001")


def flip(file: Path, rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)


def cut(file: Path, rng: np.random.Generator) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.integers(1, len(content))])


def lose(file: Path, rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    start = int(rng.integers(len(content)))
    content[start : start + 64] = bytes(len(content[start : start + 64]))
    file.write_bytes(content)


def empty(file: Path, rng: np.random.Generator) -> None:
    del rng
    file.write_bytes(b"")


def remove(file: Path, rng: np.random.Generator) -> None:
    del rng
    file.unlink()


def double(file: Path, rng: np.random.Generator) -> None:
    del rng
    file.write_bytes(2 * file.read_bytes())


def swap(file: Path, rng: np.random.Generator) -> None:
    """Exchange a file with one of its neighbours, of the same kind where there is one."""
    others = sorted(other for other in file.parent.iterdir() if other != file)
    alike = [other for other in others if other.suffix[:6] == file.suffix[:6]] or others
    other = alike[rng.integers(len(alike))]
    held = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(held)


DAMAGES = (flip, cut, lose, empty, remove, double, swap)


class Held:
    """A prepared set with the arrays of a cache, to be damaged and put right again."""

    def __init__(self, root: Path, set_: Path):
        self._root, self.set, self.cache = root, root / "now/set", root / "now/cache"
        shutil.copytree(set_, root / "before/set")
        self.restore()
        self.content = self.load()
        shutil.copytree(self.cache, root / "before/cache")

    def restore(self) -> None:
        shutil.rmtree(self._root / "now", ignore_errors=True)
        shutil.copytree(self._root / "before", self._root / "now")

    def load(self, *, stream: bool = False) -> list[tuple[str, bytes]]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CNN_JAX_CACHE", str(self.cache))
            source = sources.load("any", str(self.set), Wanted(stream=stream))
        return [
            (source.classes[part.labels[row]], part.read(row).tobytes())
            for part in (source.train, source.parts["test"])
            for row in range(len(part))
        ]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    root = tmp_path_factory.mktemp("ours")
    for part, count in (("train", 8), ("test", 3)):
        write_images(root / "images" / part, per_class=count, classes=["a", "b b", "c"])
    prepared = sources.prepare_source(
        "folder", archives=str(root / "images"), directory=str(root / "prepared")
    )
    return Held(root, prepared)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    root = tmp_path_factory.mktemp("theirs")
    return Held(root, prepare(root / "prepared", {"train": [0, 1, 2, 1], "test": [2, 1]}))


def cases(files):
    return [
        pytest.param(name, damage, seed, id=f"{damage.__name__} {name}")
        for name in files
        for seed, damage in enumerate(DAMAGES)
    ]


def loaded(held: Held, *, stream: bool = False) -> list[tuple[str, bytes]] | None:
    """Return what a set holds, None if it is refused in one line."""
    try:
        return held.load(stream=stream)
    except BadInputError as error:
        line = str(error)
    assert "\n" not in line
    assert str(held.set.parent) in line
    return None


@pytest.mark.parametrize(("name", "damage", "seed"), cases(SEALED))
def test_a_set_of_ours_is_what_was_prepared_or_is_refused(ours, name, damage, seed):
    ours.restore()
    shutil.rmtree(ours.cache)  # the records are read
    damage(ours.set / name, np.random.default_rng(seed))
    assert loaded(ours, stream=bool(seed % 2)) in (ours.content, None)


@pytest.mark.parametrize(("name", "damage", "seed"), cases(CACHED))
def test_an_array_of_the_cache_is_what_was_decoded(ours, name, damage, seed, capsys):
    ours.restore()
    capsys.readouterr()
    (file,) = ours.cache.rglob(name)
    damage(file, np.random.default_rng(seed))
    assert ours.load() == ours.content
    said = capsys.readouterr().err.splitlines()
    assert all(line.endswith("; it is made again") for line in said)
    assert bool(said) == (damage is not remove)
    assert ours.load() == ours.content
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("name", "damage", "seed"), cases(OTHERS))
def test_a_set_of_others_is_read_or_refused(theirs, name, damage, seed):
    theirs.restore()
    shutil.rmtree(theirs.cache)
    damage(theirs.set / name, np.random.default_rng(seed))
    found = loaded(theirs, stream=bool(seed % 2))
    if name.endswith("-of-00001"):  # its records carry checksums
        assert found in (theirs.content, None)
