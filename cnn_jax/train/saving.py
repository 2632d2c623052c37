"""What keeps a checkpoint from being written, as one line."""

import logging
import os
import re
from pathlib import Path

from cnn_jax.runtime.errors import first_line


class SaveError(OSError):
    """A checkpoint cannot be written: a full disk, no right to write.

    Args:
        folder: of the checkpoints.
        kept: the step of the newest whole one; None if there is none.
        error: what the library raised, in whatever words.
    """

    def __init__(self, folder: Path, kept: int | None, error: Exception):
        quoted = re.search(r"os_error_code='(\d+)'", str(error))  # TensorStore's
        number = int(quoted[1]) if quoted else getattr(error, "errno", None)
        reason = first_line(error) if number is None else os.strerror(number)
        what = "there is none yet" if kept is None else f"the last whole one is of step {kept}"
        line = f"{str(folder)!r}: a checkpoint cannot be saved: {reason}; {what}"
        super().__init__(*((line,) if number is None else (number, line)))


class _SaidOnce(logging.Filter):
    """Drops what Orbax's threads log of an error, traceback included: it is raised as well."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR or "orbax" not in record.pathname


_said_once = _SaidOnce()


def quiet() -> None:
    """Have Orbax log no error that it raises as well."""
    logging.getLogger("absl").addFilter(_said_once)  # which a logger has once
