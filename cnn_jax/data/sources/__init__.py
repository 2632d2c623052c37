"""Sources: a name or a folder becomes a data set.

Every source but ``synthetic`` is converted once into array_record files, which tensorflow-datasets
reads without TensorFlow.
"""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.dataset import Dataset
from cnn_jax.data.parts import Part
from cnn_jax.data.prepare import builders, cache, download
from cnn_jax.data.prepare.builders import Builder, Entries
from cnn_jax.data.prepare.cache import cache_dir
from cnn_jax.data.prepare.recipe import Recipe, prepare
from cnn_jax.data.reading import Wanted, read
from cnn_jax.data.sources import catalogue, folder, official, registered
from cnn_jax.ops.geometry import pair
from cnn_jax.registry import is_known, nearest, table
from cnn_jax.runtime.errors import BadInputError

SYNTHETIC = "synthetic"
SYNTHETIC_EXAMPLES = {"train": 2048, "test": 512}
OWN = ("digits", "folder", *official.SETS)
# Name -> a ``Dataset``, or a function of the directory (None where none is given) that returns one;
# None for the project's own.
REGISTERED: dict[str, Any] = table("dataset", dict.fromkeys((*OWN, SYNTHETIC)))


def load(
    name: str,
    directory: str | None,
    wanted: Wanted | None = None,
    *,
    on_error: str = "raise",
    classes: int | None = None,
) -> Dataset:
    """Return the data set ``name``, prepared first if it is not and can be.

    Args:
        name: one of ``OWN``, ``synthetic``, a registered one, or a name of tensorflow-datasets'
            catalogue.
        directory: for ``folder`` the images, else where prepared sets are kept; or, for any
            name, a prepared set itself.
        wanted: which part of it, and how.
        on_error: 'raise' or 'skip', what a broken image file does.
        classes: how many ``synthetic`` has, or at least a set whose labels are mere numbers.

    Raises:
        BadInputError: unknown name, or a folder or file that cannot be used.
    """
    wanted = wanted or Wanted()
    if name == SYNTHETIC:
        return synthetic(wanted, classes or 1000)
    if name not in OWN and is_known("dataset", name):
        return registered.load(name, REGISTERED[name], directory, wanted)
    place = cache.folder(directory, "data.dir") if directory else None
    try:
        return read(_locate(name, place, on_error), name, wanted, classes)
    except OSError as error:
        where = error.filename or place or cache_dir()
        raise BadInputError(
            f"data.dir: {str(where)!r} cannot be read: {error.strerror or error}"
        ) from None


def _locate(name: str, place: Path | None, on_error: str) -> Path:
    """Return the prepared set, which one of the project's own is made into."""
    if place is not None and catalogue.is_prepared(place):
        return place
    if name == "folder":
        if place is None:
            raise BadInputError("data.dir: the source 'folder' needs the folder of images")
        return prepare(_of_folder(place, cache_dir(), on_error))
    root = place or cache_dir()
    if name in OWN:
        return prepare(_recipe(name, root, None))
    found = catalogue.find(name, root)
    if found is None:
        raise BadInputError(_unknown(name, root))
    return found


def _unknown(name: str, root: Path) -> str:
    near = _misspelt(name)
    if near:
        return f"data.name: unknown source {name!r}; did you mean {near}?"
    return (
        f"data.name: {name!r} is none of {', '.join((*OWN, SYNTHETIC))}, and no set of that name "
        f"is prepared in {root}; cnn-jax prepare --data={name} prepares one of "
        f"tensorflow-datasets' catalogue, with TensorFlow ({catalogue.EXTRA})"
    )


def _misspelt(name: str) -> str | None:
    """Return the source that an unknown name is close to; kmnist is close to mnist, but known."""
    near = nearest(name, (*OWN, SYNTHETIC))
    return near[0] if near and not catalogue.lists(name) else None


def prepare_source(name: str, *, archives: str | None = None, directory: str | None = None) -> Path:
    """Convert a data set, once; return its folder.

    Args:
        name: of the source.
        archives: where its archives lie that were fetched by hand; for ``folder`` the images.
        directory: where prepared sets are kept; the cache folder if None.

    Raises:
        BadInputError: unknown name, bad input, no connection, no space.
    """
    root = cache.folder(directory, "--data_dir") if directory else cache_dir()
    given = cache.folder(archives, "--from") if archives else None
    if given is not None and not given.is_dir():
        raise BadInputError(f"--from: {str(given)!r} is not a folder")
    if name == "folder":
        if given is None:
            raise BadInputError("--data=folder takes the folder of images: --from=DIR")
        return prepare(_of_folder(given, root, "raise"))
    if name not in (*OWN, SYNTHETIC) and is_known("dataset", name):
        raise BadInputError(f"--data={name} is registered, and made when it is used: no preparing")
    if name in OWN:
        if given is not None and name not in official.SETS:
            raise BadInputError(f"--data={name} is made of no archives; leave --from out")
        return prepare(_recipe(name, root, given))
    if _misspelt(name):
        raise BadInputError(_unknown(name, root))
    if given is not None:
        raise BadInputError(f"--data={name}: --from is for {', '.join(official.SETS)} and folder")
    return catalogue.find(name, root) or catalogue.prepare(name, root)


def _of_folder(images: Path, root: Path, on_error: str) -> Recipe:
    listed = folder.listing(images)
    stamp = folder.stamp(images, listed, on_error)

    def build(work: Path, scratch: Path) -> Builder:
        del scratch
        return Builder(work, "folder", *folder.entries(listed), on_error, listed.told)

    return Recipe("folder", root / f"folder-{stamp}", build)


def _recipe(name: str, root: Path, given: Path | None) -> Recipe:
    def build(work: Path, scratch: Path) -> Builder:
        made: tuple[tuple[str, ...], dict[str, Entries]]
        if name == "digits":
            made = builders.digits()
        else:
            made = official.SETS[name].classes, _official(name, root, given, scratch)
        return Builder(work, name, *made)

    return Recipe(name, root, build)


def _official(name: str, root: Path, given: Path | None, scratch: Path) -> dict[str, Entries]:
    """Return the parts of an official set, its archives given or downloaded."""
    archives = official.SETS[name].archives
    if given is not None:
        for archive in archives:
            if not (given / archive.name).is_file():
                raise BadInputError(f"--from: {str(given)!r} lacks {archive.name}")
            download.verify(given / archive.name, archive)
        return official.entries(name, [given / archive.name for archive in archives], scratch)
    downloads = root / name / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        files = [download.fetch(archive, downloads) for archive in archives]
        parts = official.entries(name, files, scratch)
        for file in files:  # read into memory; what is prepared replaces them
            file.unlink()
        return parts
    finally:
        with contextlib.suppress(OSError):  # what can be continued stays
            downloads.rmdir()


def synthetic(wanted: Wanted, classes: int) -> Dataset:
    """Return random images, the same every time: for measuring speed, not for learning."""
    size = (224, 224) if wanted.image_size is None else pair(wanted.image_size, "data.image_size")
    left = size if wanted.subsample is None else wanted.subsample.size(size)
    rng = np.random.default_rng(0)
    parts = {
        name: Part(
            rng.integers(0, 256, (count, *left, 3), np.uint8),
            (np.arange(count) % classes).astype(np.int32),
        )
        for name, count in SYNTHETIC_EXAMPLES.items()
    }
    names = tuple(str(label) for label in range(classes))
    half, spread = (0.5,) * 3, (0.289,) * 3  # of a uniform distribution on 0..1
    return Dataset(parts["train"], parts["test"], names, size, half, spread)
