"""A folder of images: ``train/CLASS/*`` and ``test/CLASS/*``."""

import hashlib
import os
from pathlib import Path

import numpy as np

from cnn_jax.data.builders import CUT_SEED, TEST_SHARE, Entries, Files
from cnn_jax.data.split import stratified
from cnn_jax.errors import BadInputError


def stamp(directory: Path, files: dict[str, list[Path]], on_error: str) -> str:
    """Return what names a folder's data set: another list of files, or other files, make another.

    Args:
        directory: the folder.
        files: of its parts.
        on_error: what a broken file does; it decides which examples there are.
    """
    digest = hashlib.sha256(f"{directory.resolve()} {on_error}".encode())
    for path in (path for part in files.values() for path in part):
        status = path.stat()
        digest.update(f"{path.relative_to(directory)} {status.st_size} ".encode())
        digest.update(f"{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def entries(files: dict[str, list[Path]]) -> tuple[tuple[str, ...], dict[str, Entries]]:
    """Return the classes and the parts of a folder; without ``test/`` a cut of train/ serves."""
    classes = tuple(sorted({path.parent.name for path in files["train"]}))
    number = {name: label for label, name in enumerate(classes)}
    labelled = {
        part: [(path, number[path.parent.name]) for path in paths] for part, paths in files.items()
    }
    if "test" not in labelled:
        every = labelled["train"]
        train, test = stratified(np.array([label for _, label in every]), TEST_SHARE, CUT_SEED)
        labelled = {"train": [every[i] for i in train], "test": [every[i] for i in test]}
        if not labelled["test"]:
            raise BadInputError(
                f"data.dir: {TEST_SHARE} of {len(every)} images is no test set; "
                "give a folder test/ beside train/"
            )
    return classes, {part: Files(pairs) for part, pairs in labelled.items()}


def listing(directory: Path) -> dict[str, list[Path]]:
    """Return the sorted image files of train/ and, where there is one, test/.

    Raises:
        BadInputError: the folder is not laid out like that.
    """
    if not directory.is_dir():
        raise BadInputError(
            f"data.dir: {str(directory)!r} is not a folder; give one that holds "
            "train/CLASS/ with images"
        )
    if not (directory / "train").is_dir():
        raise BadInputError(
            f"data.dir: {str(directory)!r} has no folder train/; images belong in train/CLASS/"
        )
    parts: dict[str, list[Path]] = {}
    classes: dict[str, set[str]] = {}
    for part in ("train", "test"):
        folder = directory / part
        if not folder.is_dir():
            continue
        names = sorted(entry.name for entry in os.scandir(folder) if _visible(entry, folder=True))
        files = {
            name: sorted(e.name for e in os.scandir(folder / name) if _visible(e, folder=False))
            for name in names
        }
        empty = [name for name in names if not files[name]]
        if not names or empty:
            where = folder / empty[0] if empty else folder
            raise BadInputError(f"data.dir: {str(where)!r} holds no images (CLASS/*.png or *.jpg)")
        classes[part] = set(names)
        parts[part] = [folder / name / file for name in names for file in files[name]]
    extra = sorted(classes.get("test", set()) - classes["train"])
    if extra:
        raise BadInputError(
            f"data.dir: {str(directory / 'test' / extra[0])!r} is a class that train/ lacks; "
            "add its images there, or remove it"
        )
    return parts


def _visible(entry: os.DirEntry, *, folder: bool) -> bool:
    return not entry.name.startswith(".") and (entry.is_dir() if folder else entry.is_file())
