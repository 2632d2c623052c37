"""A program's standard streams when nobody reads them, or when they are not there.

Progress and logs are expendable: a run that takes days does not end because the reader of its log
has. Results are not: what cannot be written to standard output ends the program.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

OUTPUT = "standard output"
STDERR = 2


class _Expendable(io.FileIO):
    """A stream whose reader may go: what cannot be written is dropped."""

    def write(self, data, /):
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class _Results(io.FileIO):
    """A stream that says which one it is when it cannot be written."""

    def write(self, data, /):
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, OUTPUT) from None


def guard() -> None:
    """Make this process's standard streams such streams; once, before anything is written.

    A stream that was closed for this process (``2>&-``) becomes one that drops everything, and its
    number is taken, so that no file that is opened later gets what libraries write to it. Streams
    that a program put in their places stay.
    """
    for number in range(3):
        _occupy(number)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process lives
    elif sys.stdout is sys.__stdout__:
        sys.stdout = _opened(sys.stdout, _Results)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    elif sys.stderr is sys.__stderr__:
        sys.stderr = _opened(sys.stderr, _Expendable)


def drop_output() -> None:
    """Send what standard output still holds, and is given from now on, nowhere.

    Otherwise the interpreter would fail once more when it ends.
    """
    with contextlib.suppress(OSError, ValueError):
        number = sys.stdout.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


def _occupy(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if null != number:
            os.dup2(null, number)
            os.close(null)


def _opened(stream: Any, kind: type[io.FileIO]) -> io.TextIOWrapper:
    """Return a stream to the same file; file names that are not text are written as they are."""
    stream.flush()
    utf8 = stream.encoding.lower().replace("-", "") == "utf8"
    return io.TextIOWrapper(
        io.BufferedWriter(kind(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="surrogateescape" if utf8 else "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what is written to the process's stderr inside, by libraries in C++ too."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDERR)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, STDERR)
        os.close(nowhere)
        os.close(kept)
