"""tensorflow-datasets' catalogue: sets that were prepared with TensorFlow, read without it."""

import contextlib
import importlib.util
import sys
from pathlib import Path

import tensorflow_datasets as tfds

from cnn_jax.data.prepare import prepared, seal
from cnn_jax.runtime.errors import BadInputError, first_line

EXTRA = "pip install 'cnn-jax[catalogue]'"


def lists(name: str) -> bool:
    """Return whether the catalogue has ``name`` (or ``name/config``)."""
    return name.partition("/")[0] in tfds.list_builders(with_community_datasets=False)


def is_prepared(folder: Path) -> bool:
    """Return whether ``folder`` is a prepared set itself, or a damaged one."""
    return any((folder / name).is_file() for name in (prepared.INFO, seal.SEAL))


def find(name: str, root: Path) -> Path | None:
    """Return the newest prepared version of ``name`` (or ``name/config``) under ``root``."""
    parts = Path(name).parts
    if not parts or "\0" in name or Path(name).is_absolute() or ".." in parts:
        return None  # no name, but a way to some set
    folder = root / name
    found = [
        info.parent
        for info in (*folder.glob(f"*/{prepared.INFO}"), *folder.glob(f"*/*/{prepared.INFO}"))
    ]

    def version(path: Path) -> tuple[int, ...]:
        return tuple(int(x) for x in path.name.split(".") if x.isdigit())

    return max(found, key=version, default=None)


def prepare(name: str, root: Path) -> Path:
    """Prepare a set of the catalogue, which takes TensorFlow; return its folder.

    Raises:
        BadInputError: TensorFlow is not installed, the catalogue lacks the name, or it fails.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise BadInputError(
            f"--data={name}: sets of the catalogue are prepared with TensorFlow; install it "
            f"({EXTRA}), or take a folder that was prepared elsewhere as data.dir"
        )
    try:
        builder = tfds.builder(name, data_dir=str(root), file_format="array_record")
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except Exception as error:  # whatever its builder does
        raise BadInputError(f"--data={name}: {first_line(error)}") from None
    folder = Path(builder.data_path)
    seal.write(folder, prepared.open_set(folder, name).classes or ())
    return folder
