"""Official archives: read back exactly, and every way in which one can be bad."""

import gzip
import pickle

import numpy as np
import pytest

from cnn_jax.data import sources
from cnn_jax.data.parts import Part
from cnn_jax.data.sources import official
from cnn_jax.runtime.errors import BadInputError
from tests.data import archives


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def made(name: str):
    if name.startswith("cifar"):
        return archives.cifar(int(name.removeprefix("cifar")))
    return archives.mnist()


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_archives_are_prepared_and_read_back_exactly(name, tmp_path, monkeypatch):
    files, parts = made(name)
    archives.publish(monkeypatch, name, files)
    placed = archives.put(tmp_path / "placed", files)
    folder = sources.prepare_source(name, archives=str(placed))
    assert folder.is_relative_to(tmp_path / "cache")
    source = sources.load(name, None)
    assert len(source.classes) == (100 if name == "cifar100" else 10)
    for part, found in (("train", source.train), ("test", source.test)):
        assert isinstance(found, Part)
        images, labels = parts[part]
        pairs = zip(found.labels.tolist(), found.images, strict=True)
        assert sorted((label, image.tobytes()) for label, image in pairs) == sorted(
            (label, image.tobytes()) for label, image in zip(labels.tolist(), images, strict=True)
        )
        assert found.images.shape == images.shape


def test_the_published_checksums_and_classes_are_well_formed():
    for name, known in official.SETS.items():
        assert len(known.archives) == (4 if "mnist" in name else 1)
        for archive in known.archives:
            assert len(bytes.fromhex(archive.sha256)) == 32
            assert archive.url.endswith(archive.name)
    assert list(official.SETS["cifar100"].classes) == sorted(official.SETS["cifar100"].classes)
    assert official.SETS["cifar100"].classes[-1] == "worm"
    assert len({name for known in official.SETS.values() for name in known.classes}) == 130


class Evil:
    def __reduce__(self):
        return print, ("owned",)


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


BAD = {
    "wrong checksum": ("mnist", None, "is not the official train-images-idx3-ubyte.gz"),
    "truncated gzip": ("mnist", truncated, "cannot be unpacked"),
    "no gzip": ("mnist", lambda data: b"text", "cannot be unpacked"),
    "short idx": (
        "mnist",
        lambda data: gzip.compress(gzip.decompress(data)[:-1]),
        "is no IDX file",
    ),
    "labels for images": ("mnist", lambda data: archives.idx(np.zeros(7, np.uint8)), "belong"),
    "truncated tar": ("cifar10", truncated, "cannot be unpacked"),
    "outside": ("cifar10", lambda data: archives.tar({"../../x": b"x"}), "outside"),
    "absolute": ("cifar10", lambda data: archives.tar({"/tmp/../../x": b"x"}), "outside"),
    "missing batch": ("cifar10", lambda data: archives.tar({"x": b""}), "lacks data_batch_1"),
    "evil pickle": (
        "cifar100",
        lambda data: archives.tar({"cifar-100-python/train": pickle.dumps(Evil(), 2)}),
        "print does not belong into it",
    ),
    "no batch": (
        "cifar100",
        lambda data: archives.tar({"cifar-100-python/train": archives.python2({b"data": 3})}),
        "is no batch of CIFAR images",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_archive_is_one_line_and_leaves_nothing(case, tmp_path, monkeypatch, cache, capfd):
    name, damage, line = BAD[case]
    files, _ = made(name)
    first = next(iter(files))
    if damage is not None:
        files[first] = damage(files[first])
    archives.publish(monkeypatch, name, files)
    if damage is None:
        files[first] = files[first][:-1] + b"x"
    placed = archives.put(tmp_path / "a/b/placed", files)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInputError, match=line) as caught:
        sources.prepare_source(name, archives=str(placed))
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert not cache.exists()
    assert "owned" not in capfd.readouterr().out


def test_archives_that_are_not_there_are_named(tmp_path):
    with pytest.raises(BadInputError, match=r"lacks cifar-10-python\.tar\.gz"):
        sources.prepare_source("cifar10", archives=str(tmp_path))
    with pytest.raises(BadInputError, match=r"--from: .*nowhere' is not a folder"):
        sources.prepare_source("cifar10", archives=str(tmp_path / "nowhere"))
