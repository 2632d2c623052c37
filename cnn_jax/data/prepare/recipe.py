"""Preparing a data set: once, whole or not at all, one process at a time."""

import contextlib
import dataclasses
import io
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import tensorflow_datasets as tfds

from cnn_jax.data.prepare import seal
from cnn_jax.data.prepare.builders import VERSION, Builder
from cnn_jax.runtime.errors import BadInputError


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a source is prepared.

    Args:
        name: of the source.
        root: the folder that will hold ``name/VERSION``.
        build: (folder for the set, empty folder for scratch) -> builder; may download, and
            raises ``BadInputError``.
    """

    name: str
    root: Path
    build: Callable[[Path, Path], Builder]

    @property
    def target(self) -> Path:
        """Return where the prepared set is, once it is."""
        return self.root / self.name / VERSION


def prepare(recipe: Recipe) -> Path:
    """Prepare a set, unless that was done; return its folder.

    All work goes on in a folder beside the target, which is renamed when it is complete: a set
    that is there is whole. What an interrupted preparation left is removed by the next one. Of
    several processes one prepares and the others wait for it.

    Raises:
        BadInputError: the input is bad, or the disk is full or not writable; nothing is left.
    """
    if recipe.target.exists():
        return recipe.target
    made = _missing(recipe.target.parent)
    try:
        recipe.target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(recipe):
            if not recipe.target.exists():
                _convert(recipe)
    except OSError as error:
        raise BadInputError(
            f"data.dir: cannot prepare {recipe.name} in {recipe.target}: {error.strerror or error}"
        ) from None
    finally:
        for folder in made:  # the deepest first; what holds something stays
            with contextlib.suppress(OSError):
                folder.rmdir()
    return recipe.target


def _write(builder: Builder) -> None:
    try:
        builder.download_and_prepare()
    except RuntimeError as error:  # array_record's writer: the disk, in words
        raise OSError(str(error).partition("; ")[0].replace("\n", " ")) from None


def _missing(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.parents) if not path.exists()]


@contextlib.contextmanager
def _alone(recipe: Recipe) -> Iterator[None]:
    """Hold the right to prepare a set; the kernel takes it back from a process that dies."""
    lock = filelock.FileLock(recipe.target.parent / f".{VERSION}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(f"waiting for another process that prepares {recipe.name}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        # While it is held: who waits for it notices, and makes a new one.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _convert(recipe: Recipe) -> None:
    prefix = f".{VERSION}-"
    for left in recipe.target.parent.glob(f"{prefix}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=recipe.target.parent))
    tfds.disable_progress_bar()  # the project shows its own
    print(f"preparing {recipe.name} in {recipe.target}", file=sys.stderr)
    try:
        scratch = work / "scratch"
        scratch.mkdir()
        builder = recipe.build(work, scratch)
        with contextlib.redirect_stdout(io.StringIO()):  # the line above says it all
            _write(builder)
        seal.write(Path(builder.data_path), builder.classes)
        Path(builder.data_path).rename(recipe.target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
