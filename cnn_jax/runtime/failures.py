"""What is wrong with the machine rather than with the program: an exception's one line.

A full disk, a limit on open files, memory that is exhausted: what raises them are calls into the
operating system, allocators and compilers anywhere, each with an exception type of its own, and
libraries wrap them once more. They are told by their type and errno, or by the words that the
operating system, XLA and TensorStore have for them. No imports but the standard library.
"""

import dataclasses
import errno
import os
import re

from cnn_jax.runtime.errors import BadInputError

_SPACE = "free some space"
_REMEDIES = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs' files",
    errno.EAGAIN: "raise the limit on processes and threads (ulimit -u)",
    errno.EROFS: "choose a place that can be written",
    errno.EIO: "check the device",
}
# How exceptions that are no OSError quote the operating system.
_QUOTED = {os.strerror(number): number for number in _REMEDIES if number != errno.EAGAIN}
_QUOTED["can't start new thread"] = errno.EAGAIN
_QUOTING = (RuntimeError, ValueError, ImportError, SystemError)
_EXHAUSTED = re.compile(
    r"RESOURCE_EXHAUSTED|[Oo]ut of memory|bad_alloc|Cannot allocate memory"
    r"|failed to map segment|Unable to allocate"
)
_PATH = re.compile(r"""["'](/[^"']+)["']""")
_LONGEST = 200  # characters of what a library says


@dataclasses.dataclass(frozen=True)
class Failure:
    """What failed, as a line without its end; ``memory``: there is not enough of it."""

    line: str
    memory: bool = False


def failure(error: BaseException) -> Failure | None:
    """Return what failed in the machine; None for bad input, and for a defect of the program.

    What an exception was raised from counts too: libraries wrap what they catch.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, BadInputError):
            return None
        if (found := _failure(cause)) is not None:
            return found
        cause = cause.__cause__
    return None


def _failure(error: BaseException) -> Failure | None:
    text = _first_line(error)
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return Failure(f"out of memory ({text})" if text else "out of memory", memory=True)
    if isinstance(error, OSError):
        files = [repr(os.fsdecode(f)) for f in (error.filename, error.filename2) if _names(f)]
        what = error.strerror or text or type(error).__name__
        return Failure(_with_remedy(": ".join([*files[:1], what]), error.errno))
    if not isinstance(error, _QUOTING):
        return None
    whole = str(error)
    for words, number in _QUOTED.items():
        if words in whole:
            path = _PATH.search(whole)
            line = f"{path[1]!r}: {words}" if path else words
            return Failure(_with_remedy(line, number))
    if _EXHAUSTED.search(whole):
        return Failure(f"out of memory ({text})", memory=True)
    return None


def _names(file: object) -> bool:
    return isinstance(file, (str, bytes, os.PathLike))


def _with_remedy(line: str, number: int | None) -> str:
    remedy = _REMEDIES.get(number or 0)
    return f"{line}; {remedy}" if remedy else line


def _first_line(error: BaseException) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    return line if len(line) <= _LONGEST else line[:_LONGEST].rstrip() + " ..."
