"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, from the archives that their authors publish."""

import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.prepare.builders import Arrays, Entries
from cnn_jax.data.prepare.download import Archive
from cnn_jax.runtime.errors import BadInputError, first_line

CVDF = "https://storage.googleapis.com/cvdf-datasets/mnist/"  # a mirror; LeCun's page is gone
ZALANDO = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"

# Images uint8 [N, H, W] or [N, H, W, 3] and labels int [N], by part.
Parts = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Official:
    """A data set: its archives, its classes, and how the archives are read.

    ``read`` takes the archives' files in their order and an empty folder to extract into.
    """

    archives: tuple[Archive, ...]
    classes: tuple[str, ...]
    read: Callable[[list[Path], Path], Parts]


def entries(name: str, files: list[Path], scratch: Path) -> dict[str, Entries]:
    """Return the parts of an official set from its archives.

    Raises:
        BadInputError: an archive that is damaged, holds something else, or wants to write outside
            of ``scratch``.
    """
    try:
        parts = SETS[name].read(files, scratch)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        names = ", ".join(str(file) for file in files)
        raise BadInputError(f"{names} cannot be unpacked: {first_line(error)}") from None
    return {part: Arrays(f"{name} {part}", *both) for part, both in parts.items()}


# --- MNIST's format: big-endian headers, then bytes --------------------------------------------


def read_idx(file: Path) -> np.ndarray:
    """Return the array of a gzipped IDX file of unsigned bytes (LeCun's MNIST page).

    Its header is 0, 0, 8 for unsigned bytes, the number of axes, and four bytes an axis.
    """
    data = gzip.decompress(file.read_bytes())
    axes = data[3] if data[:3] == b"\0\0\x08" and len(data) > 3 else None
    shape = None
    if axes and len(data) >= 4 + 4 * axes:
        shape = tuple(np.frombuffer(data, ">u4", axes, 4).astype(int).tolist())
    if axes is None or shape is None or len(data) != 4 + 4 * axes + int(np.prod(shape)):
        raise BadInputError(f"{str(file)!r} is no IDX file of unsigned bytes, or a part of one")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _read_mnist(files: list[Path], scratch: Path) -> Parts:
    del scratch
    arrays = [read_idx(file) for file in files]
    parts = {"train": (arrays[0], arrays[1]), "test": (arrays[2], arrays[3])}
    for part, (images, labels) in parts.items():
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise BadInputError(
                f"{part}: images {images.shape} and labels {labels.shape} do not belong together"
            )
    return parts


# --- CIFAR's format: pickled rows of 3,072 bytes, a colour plane after the other ----------------


class _Unpickler(pickle.Unpickler):
    """Reads what CIFAR's pickles consist of, and nothing that could run code."""

    ALLOWED = {  # noqa: RUF012 - a constant
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong into it")
        return self.ALLOWED[module, name]


def read_batch(file: Path, label: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 ``[N, 32, 32, 3]`` and labels ``[N]`` of one of CIFAR's batches.

    Args:
        file: a pickle of Python 2, a dict with ``data`` uint8 ``[N, 3072]`` and lists of labels.
        label: the key of the labels.
    """
    try:
        batch = _Unpickler(io.BytesIO(file.read_bytes()), encoding="bytes").load()
        rows, labels = batch[b"data"], np.asarray(batch[label])
        if rows.dtype != np.uint8 or rows.shape != (len(labels), 3072):
            raise ValueError(f"data has the shape {rows.shape} and {rows.dtype}")
    except OSError as error:
        raise BadInputError(f"the archive lacks {file.name} ({error.strerror})") from None
    except Exception as error:  # a pickle can go wrong in any way
        raise BadInputError(
            f"{file.name} is no batch of CIFAR images: {first_line(error)}"
        ) from None
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _read_cifar(folder: str, train: list[str], test: str, label: bytes) -> Callable[..., Parts]:
    def read(files: list[Path], scratch: Path) -> Parts:
        with tarfile.open(files[0], "r:gz") as archive:
            # The filter refuses absolute paths, '..' and links that lead outside.
            archive.extractall(scratch, filter="data")
        batches = [read_batch(scratch / folder / name, label) for name in train]
        images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        return {"train": (images, labels), "test": read_batch(scratch / folder / test, label)}

    return read


def _archives(base: str, table: str) -> tuple[Archive, ...]:
    """Return the archives of a table: name, bytes, sha256."""
    rows = (line.split() for line in table.strip().splitlines())
    return tuple(Archive(base + name, int(size), digest) for name, size, digest in rows)


MNIST_FILES = """
train-images-idx3-ubyte.gz 9912422 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609
train-labels-idx1-ubyte.gz   28881 3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c
t10k-images-idx3-ubyte.gz  1648877 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6
t10k-labels-idx1-ubyte.gz     4542 f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6
"""
FASHION_FILES = """
train-images-idx3-ubyte.gz 26421880 3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84
train-labels-idx1-ubyte.gz    29515 a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845
t10k-images-idx3-ubyte.gz   4422102 346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073
t10k-labels-idx1-ubyte.gz      5148 67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5
"""
CIFAR10_FILES = """
cifar-10-python.tar.gz  170498071 6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce
"""
CIFAR100_FILES = """
cifar-100-python.tar.gz 169001437 85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7
"""
DIGITS = "0 1 2 3 4 5 6 7 8 9"
CLOTHES = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot"
CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
BATCHES = [f"data_batch_{i}" for i in range(1, 6)]
OF_CIFAR10 = _read_cifar("cifar-10-batches-py", BATCHES, "test_batch", b"labels")
OF_CIFAR100 = _read_cifar("cifar-100-python", ["train"], "test", b"fine_labels")

SETS = {
    "mnist": Official(_archives(CVDF, MNIST_FILES), tuple(DIGITS.split()), _read_mnist),
    "fashion_mnist": Official(
        _archives(ZALANDO, FASHION_FILES), tuple(CLOTHES.split()), _read_mnist
    ),
    "cifar10": Official(_archives(TORONTO, CIFAR10_FILES), tuple(CIFAR10.split()), OF_CIFAR10),
    "cifar100": Official(_archives(TORONTO, CIFAR100_FILES), tuple(CIFAR100.split()), OF_CIFAR100),
}
