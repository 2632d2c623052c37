"""What a network's classes are called: as its run knows them, or as a file says."""

from collections.abc import Sequence
from pathlib import Path

from cnn_jax.runs import workdir
from cnn_jax.runtime.errors import BadInputError


def of_run(folder: Path, classes: int, file: str | Path | None = None) -> Sequence[str] | None:
    """Return the names of a network's classes, by their numbers; None where nobody knows them.

    Args:
        folder: of the run.
        classes: how many the network has.
        file: that ``--names`` names, which says it instead of the run.
    """
    return workdir.read_classes(folder) if file is None else read_names(file, classes)


def read_names(file: str | Path, classes: int) -> list[str]:
    """Return the names of the classes from a text file, one a line.

    Raises:
        BadInputError: no such file, or another number of lines than ``classes``.
    """
    try:
        # Lines end where files have line ends: a name may hold what else Unicode counts as one.
        names = Path(file).read_text("utf-8").removesuffix("\n").split("\n")
    except OSError as error:
        raise BadInputError(f"--names: {str(file)!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInputError(f"--names: {str(file)!r} is no text in UTF-8 ({error})") from None
    if len(names) != classes:
        raise BadInputError(
            f"--names: {str(file)!r} has {len(names)} lines; the network has {classes} classes"
        )
    return names
