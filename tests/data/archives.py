"""Archives in the formats that MNIST's and CIFAR's authors publish, with other pixels."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cnn_jax.data.sources import official

RNG = np.random.default_rng(0)
Arrays = tuple[np.ndarray, np.ndarray]


def idx(array: np.ndarray) -> bytes:
    """Return a gzipped IDX file: 0, 0, type 8, number of axes, axes, bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


Pickler: Any = vars(pickle)["_Pickler"]  # the one in Python, whose methods can be replaced


class Python2Pickler(Pickler):
    """Writes what Python 2 wrote: all strings as bytes, and numpy's module names of that time."""

    dispatch: ClassVar = dict(Pickler.dispatch)

    def save_string(self, value: bytes | str) -> None:
        data = value if isinstance(value, bytes) else value.encode()
        self.write(b"T" + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    def save_global(self, obj, name=None):
        if getattr(obj, "__name__", "") != "_reconstruct":
            return super().save_global(obj, name)
        self.write(b"cnumpy.core.multiarray\n_reconstruct\n")
        self.memoize(obj)

    dispatch[bytes] = dispatch[str] = save_string


def python2(value) -> bytes:
    out = io.BytesIO()
    Python2Pickler(out, 2).dump(value)
    return out.getvalue()


def mnist(count: int = 30) -> tuple[dict[str, bytes], dict[str, Arrays]]:
    """Return the four files by name, and what they hold by part."""
    files, parts = {}, {}
    for part, prefix, n in (("train", "train", count), ("test", "t10k", count // 2)):
        images = RNG.integers(0, 256, (n, 28, 28), np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        files[f"{prefix}-images-idx3-ubyte.gz"] = idx(images)
        files[f"{prefix}-labels-idx1-ubyte.gz"] = idx(labels)
        parts[part] = images[..., None], labels
    return files, parts


def tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def cifar(classes: int, count: int = 4) -> tuple[dict[str, bytes], dict[str, Arrays]]:
    """Return the archive by name, and what it holds by part: 5 batches of ``count``, or 1."""
    ten = classes == 10
    folder, key = (
        ("cifar-10-batches-py", b"labels") if ten else ("cifar-100-python", b"fine_labels")
    )
    train = [f"data_batch_{i}" for i in range(1, 6)] if ten else ["train"]
    members, batches = {}, []
    for name in [*train, "test_batch" if ten else "test"]:
        rows = RNG.integers(0, 256, (count, 3072), np.uint8)
        labels = RNG.integers(0, classes, count).tolist()
        batch = {b"batch_label": name.encode(), key: labels, b"data": rows}
        if not ten:
            batch[b"coarse_labels"] = [0] * count
        members[f"{folder}/{name}"] = python2(batch)
        planes = rows.reshape(count, 3, 32, 32)
        batches.append((np.stack([planes[:, c] for c in range(3)], -1), np.array(labels)))
    images, labels = (np.concatenate(x) for x in zip(*batches[:-1], strict=True))
    parts = {"train": (images, labels), "test": batches[-1]}
    return {f"cifar-{classes}-python.tar.gz": tar(members)}, parts


def publish(
    monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes], base: str = ""
) -> None:
    """Make these files, at an address ``base``, the official archives of a set."""
    archives = tuple(
        replace(
            archive,
            url=f"{base}/{archive.name}",
            size=len(files[archive.name]),
            sha256=hashlib.sha256(files[archive.name]).hexdigest(),
        )
        for archive in official.SETS[name].archives
    )
    monkeypatch.setitem(official.SETS, name, replace(official.SETS[name], archives=archives))


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder, as someone who fetched them by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder
