"""The small files of a run, a data set, a study or an index: JSON with a format and a digest.

One reader for all of them. What it returns has the fields and types that its caller declares, and
is what was written: a file that was damaged, cut or edited since says so in one line.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError, first_line

FORMAT, DIGEST = "format", "digest"
_PREFIX = "sha256:"

T = TypeVar("T")


class UnreadableFileError(BadInputError):
    """A file that is missing, damaged, of another kind or of a newer format."""

    def __init__(self, file: str | Path, reason: str):
        super().__init__(f"{str(file)!r} {reason}")
        self.file = Path(file)


def sealed(fields: Mapping[str, Any], *, version: int = 1) -> dict[str, Any]:
    """Return ``fields`` as a file holds them: plain JSON with ``format`` first, ``digest`` last.

    Numbers that are not finite, which JSON does not have, become None. ``version`` is the format's.
    """
    held = plain({FORMAT: version} | dict(fields))
    return held | {DIGEST: _digest(held)}


def write(file: Path, fields: Mapping[str, Any], *, version: int = 1) -> dict[str, Any]:
    """Write ``fields`` to a file, whole or not at all; return what it holds (see ``sealed``)."""
    held = sealed(fields, version=version)
    with written(file) as temporary:
        text = json.dumps(held, indent=2, ensure_ascii=False) + "\n"
        # A name that is no UTF-8 has surrogates, which JSON can have as escapes alone.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return held


def read(file: Path, kind: type[T], what: str, *, version: int = 1) -> T:
    """Return what a file holds, ``format`` and ``digest`` included.

    Args:
        file: that ``write`` wrote, or JSON that an earlier version wrote without a digest.
        kind: what it has to hold: a ``TypedDict``, or another type of JSON's values.
        what: it is, for messages: "a run's result".
        version: the newest format that the caller knows.

    Raises:
        UnreadableFileError: it is missing, cannot be read, is of a newer format, lacks a field or
            has one of another type, or is not what was written.
    """
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        raise UnreadableFileError(file, f"is missing; it is {what}") from None
    except OSError as error:
        raise UnreadableFileError(file, f"cannot be read: {error.strerror}") from None
    return parse(text, kind, what, source=file, version=version)


def find(file: Path, kind: type[T], what: str, *, version: int = 1) -> T | None:
    """Return what a file holds, as ``read``; None if there is none."""
    return read(file, kind, what, version=version) if file.exists() else None


def parse(
    text: bytes | str,
    kind: type[T],
    what: str,
    *,
    source: str | Path,
    version: int = 1,
    digest_since: int = 1,
) -> T:
    """Return what the text of a file holds, as ``read``; ``source`` names it in errors.

    ``digest_since`` is the first format that has a digest.
    """
    try:
        held = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = first_line(error)
        raise UnreadableFileError(source, f"is damaged: {what} is JSON ({reason})") from None
    if isinstance(held, dict):
        number = held.get(FORMAT, 0)
        if isinstance(number, int) and number > version:
            raise UnreadableFileError(
                source, f"has format {number}, newer than {version}; update cnn-jax"
            )
    try:
        msgspec.convert(held, kind)
    except msgspec.ValidationError as error:
        line = str(error).replace("`", "").replace("$.", "").replace("$", "the file")
        raise UnreadableFileError(source, f"is not {what}, or a damaged one: {line}") from None
    if isinstance(held, dict) and DIGEST not in held and held.get(FORMAT) in range(digest_since):
        return cast(T, held)
    # Without a format it is of the time before records, when a digest was some field of its own.
    if isinstance(held, dict) and (FORMAT in held or str(held.get(DIGEST)).startswith(_PREFIX)):
        whole = {name: value for name, value in held.items() if name != DIGEST}
        if held.get(DIGEST) != _digest(whole):
            raise UnreadableFileError(
                source, f"was changed or damaged since it was written ({what}); its digest differs"
            )
    return cast(T, held)


def _digest(fields: Mapping[str, Any]) -> str:
    """Return the digest of a file's fields, whatever their order and layout."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return _PREFIX + hashlib.sha256(text.encode()).hexdigest()


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back: None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
