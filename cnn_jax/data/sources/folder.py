"""A folder of images: ``train/CLASS/**``, and likewise ``test/`` and ``val/`` where they are.

What lies in a subfolder of a class belongs to the class. Classes have the names that their folders
have in ``train/``; one that another part spells in another Unicode form is the same. Whatever is
not taken is counted, but for what systems leave behind.
"""

import contextlib
import dataclasses
import hashlib
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cnn_jax.data.prepare.builders import CUT_SEED, TEST_SHARE, Entries, Files
from cnn_jax.data.split import stratified
from cnn_jax.runtime.errors import BadInputError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
# The folders that a part may lie in.
FOLDERS = {TRAIN: ("train",), VALIDATION: ("val", "valid", "validation"), TEST: ("test",)}

SYSTEMS = {"thumbs.db", "desktop.ini", "icon\r", "__macosx"}  # in lower case; and hidden files
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Formats that may hold deep levels, which were decoded otherwise before ``levels`` was written.
DEEP = (".fits", ".im", ".pfm", ".pgm", ".spi", ".tif", ".tiff")

TEST_PART = "the test part"  # in notes on what a folder without test/ is tested on

DANGLING = "links that lead nowhere"
CIRCULAR = "links to a folder that they lie in"
SPECIAL = "things that are neither files nor folders"
LOOSE = "files beside the folders of classes"
BESIDE = "images beside train/"
OTHER = "folders beside train/ that are no part of the data"


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images of a folder: by part (path, label), sorted; classes by label.

    ``left_out`` are lines that count what was not taken, ``notes`` lines on how the parts came
    about.
    """

    classes: tuple[str, ...]
    parts: dict[str, list[tuple[Path, int]]]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def told(self) -> dict[str, list[str]]:
        """Return the lines that are kept with the prepared set."""
        return {"left_out": list(self.left_out), "notes": list(self.notes)}


def stamp(directory: Path, listing: Listing, on_error: str) -> str:
    """Return what names a folder's data set: another list of files, or other files, make another.

    Args:
        directory: the folder.
        listing: of its images.
        on_error: what a broken file does; it decides which examples there are.
    """
    digest = hashlib.sha256(os.fsencode(f"{directory.resolve()} {on_error}"))
    with _told():
        for path, _ in (pair for part in listing.parts.values() for pair in part):
            status = path.stat()
            digest.update(os.fsencode(f"{path.relative_to(directory)} {status.st_size} "))
            digest.update(f"{status.st_mtime_ns}\n".encode())
            if path.suffix.lower() in DEEP:
                digest.update(b"levels by their range\n")
    for line in (*listing.left_out, *listing.notes):
        digest.update(os.fsencode(f"{line}\n"))
    return digest.hexdigest()[:16]


def entries(listing: Listing) -> tuple[tuple[str, ...], dict[str, Entries]]:
    """Return the classes and the parts of a folder."""
    return listing.classes, {part: Files(pairs) for part, pairs in listing.parts.items()}


def listing(directory: Path) -> Listing:
    """Return the images of a folder.

    Without ``test/``, the validation part serves for testing, as in sets of tensorflow-datasets;
    without either, a cut of ``train/``.

    Raises:
        BadInputError: the folder is not laid out like that, or cannot be read.
    """
    if not directory.is_dir():
        raise BadInputError(
            f"data.dir: {str(directory)!r} is not a folder; give one that holds "
            "train/CLASS/ with images"
        )
    if not (directory / TRAIN).is_dir():
        raise BadInputError(
            f"data.dir: {str(directory)!r} has no folder train/; images belong in train/CLASS/"
        )
    with _told():
        return _Lister(directory).listing()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn a failure to read a folder or a file into a line that names it."""
    try:
        yield
    except OSError as error:
        raise BadInputError(f"data.dir: {error.filename!r}: {error.strerror}") from None


class _Lister:
    def __init__(self, directory: Path):
        self._directory = directory
        self._left: dict[str, list[Path]] = {}
        self._notes: list[str] = []

    def listing(self) -> Listing:
        found = {part: self._classes(folder) for part, folder in self._parts().items()}
        classes = tuple(sorted(found[TRAIN]))
        for part, files in found.items():
            self._check(part, files, classes)
        label = {_form(name): number for number, name in enumerate(classes)}
        parts = {
            part: [(path, label[_form(name)]) for name in sorted(files) for path in files[name]]
            for part, files in found.items()
        }
        parts = self._with_test(parts)
        return Listing(classes, parts, tuple(self._lines()), tuple(self._notes))

    def _parts(self) -> dict[str, Path]:
        """Return the folder of each part that there is."""
        names = {name: part for part, each in FOLDERS.items() for name in each}
        found: dict[str, Path] = {}
        for entry in self._entries(self._directory):
            path = self._directory / entry.name
            if not entry.is_dir():
                self._leave(BESIDE, entry, path, only=path.suffix.lower() in IMAGES)
            elif entry.name not in names:
                self._left.setdefault(OTHER, []).append(path)
            elif names[entry.name] in found:
                other = found[names[entry.name]].name
                raise BadInputError(
                    f"data.dir: {str(self._directory)!r} has both {other}/ and {entry.name}/; "
                    "keep one as the validation part"
                )
            else:
                found[names[entry.name]] = path
        return {part: found[part] for part in FOLDERS if part in found}

    def _classes(self, folder: Path) -> dict[str, list[Path]]:
        """Return the images of each class of a part."""
        found: dict[str, list[Path]] = {}
        for entry in self._entries(folder):
            path = folder / entry.name
            if entry.is_dir():
                found[entry.name] = list(self._images(path, frozenset()))
            else:
                self._leave(LOOSE, entry, path)
        empty = [name for name, files in found.items() if not files]
        if not found or empty:
            where = folder / empty[0] if empty else folder
            raise BadInputError(f"data.dir: {str(where)!r} holds no images (CLASS/*.png or *.jpg)")
        forms: dict[str, str] = {}
        for name in found:
            if _form(name) in forms:
                raise BadInputError(
                    f"data.dir: {str(folder)!r} has two folders for the class {name!r}, which "
                    f"differ in their Unicode form alone ({forms[_form(name)]!a} and "
                    f"{name!a}); make them one"
                )
            forms[_form(name)] = name
        return found

    def _images(self, folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
        """Yield the files in a folder and its subfolders, in the order of their names."""
        status = folder.stat()
        above |= {(status.st_dev, status.st_ino)}
        for entry in self._entries(folder):
            path = folder / entry.name
            if entry.is_file():
                yield path
            elif not entry.is_dir():
                self._leave(SPECIAL, entry, path)
            elif (entry.stat().st_dev, entry.stat().st_ino) in above:
                self._left.setdefault(CIRCULAR, []).append(path)
            else:
                yield from self._images(path, above)

    def _check(self, part: str, files: dict[str, list[Path]], classes: tuple[str, ...]) -> None:
        """Check that the classes of a part are those of training; note other spellings."""
        spelt = {_form(name): name for name in classes}
        for name in files:
            if _form(name) not in spelt:
                folder = self._directory / self._name(files[name][0]) / name
                raise BadInputError(
                    f"data.dir: {str(folder)!r} is a class that train/ lacks; add its images "
                    "there, or remove it"
                )
            if name not in classes:
                self._notes.append(
                    f"the {part} part's class {name!r} is that of training, which has it in "
                    f"another Unicode form ({name!a} and {spelt[_form(name)]!a})"
                )

    def _with_test(
        self, parts: dict[str, list[tuple[Path, int]]]
    ) -> dict[str, list[tuple[Path, int]]]:
        if TEST in parts:
            return parts
        if VALIDATION in parts:
            name = self._name(parts[VALIDATION][0][0])
            self._notes.append(
                f"no test/ beside train/: {name}/ ({len(parts[VALIDATION])} images) is {TEST_PART}"
            )
            return parts
        every = parts[TRAIN]
        train, test = stratified(np.array([label for _, label in every]), TEST_SHARE, CUT_SEED)
        if not len(test):
            raise BadInputError(
                f"data.dir: {TEST_SHARE} of {len(every)} images is no test set, if each class "
                "keeps one to train on; give a folder test/ beside train/"
            )
        self._notes.append(
            f"neither test/ nor val/ beside train/: {len(test)} of its {len(every)} images are "
            f"cut off as {TEST_PART}"
        )
        return {TRAIN: [every[row] for row in train], TEST: [every[row] for row in test]}

    def _name(self, path: Path) -> str:
        """Return the folder of the part that an image is in."""
        return path.relative_to(self._directory).parts[0]

    def _entries(self, folder: Path) -> list[os.DirEntry]:
        """Return what a folder holds, sorted by name, without what systems leave behind."""
        with os.scandir(folder) as found:
            visible = [
                entry
                for entry in found
                if not entry.name.startswith(".") and entry.name.lower() not in SYSTEMS
            ]
        return sorted(visible, key=lambda entry: entry.name)

    def _leave(self, reason: str, entry: os.DirEntry, path: Path, only: bool = True) -> None:
        if entry.is_symlink() and not path.exists():
            reason, only = DANGLING, True
        if only:
            self._left.setdefault(reason, []).append(path)

    def _lines(self) -> Iterator[str]:
        for reason, paths in self._left.items():
            example = str(paths[0].relative_to(self._directory))
            yield f"{len(paths)} {reason}, such as {example!r}"


def _form(name: str) -> str:
    """Return a class's name in the one form that all its spellings in Unicode share."""
    return unicodedata.normalize("NFC", name)
