"""Fetching archives: resumed where they stopped, held to their checksum."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cnn_jax.data.progress import meter
from cnn_jax.runtime.errors import BadInputError

PIECE = 1 << 16  # bytes; what a broken connection loses at most
ATTEMPTS = 5  # a connection that breaks is continued so often
TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True)
class Archive:
    """A file that a data set is made of: its address, its size in bytes, its sha256."""

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.url.rpartition("/")[2]


def verify(file: Path, archive: Archive) -> None:
    """Raise ``BadInputError`` unless ``file`` is the archive, byte for byte."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != archive.sha256:
        size = file.stat().st_size
        what = (
            f"its {size:,} bytes have another checksum"
            if size == archive.size
            else f"it has {size:,} bytes instead of {archive.size:,}"
        )
        raise BadInputError(f"{str(file)!r} is not the official {archive.name}: {what}")


def fetch(archive: Archive, folder: Path) -> Path:
    """Download an archive into ``folder``, unless it is there; return the file.

    What an interrupted download left in ``NAME.part`` is continued, if the server can; a file
    with a wrong checksum is removed.

    Raises:
        BadInputError: it cannot be reached, or is not what it should be.
    """
    file, part = folder / archive.name, folder / f"{archive.name}.part"
    if file.exists():
        verify(file, archive)
        return file
    with meter(f"downloading {archive.url}, bytes", archive.size) as advance:
        _download(archive, part, advance)
    try:
        verify(part, archive)
    except BadInputError:
        part.unlink()
        raise
    part.rename(file)
    return file


def _download(archive: Archive, part: Path, advance: Callable[[int], None]) -> None:
    import requests  # costs start-up time, needed rarely

    advance(part.stat().st_size if part.exists() else 0)
    for attempt in range(ATTEMPTS):
        have = part.stat().st_size if part.exists() else 0
        if have >= archive.size:
            return
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with requests.get(
                archive.url, headers=headers, stream=True, timeout=TIMEOUT
            ) as response:
                response.raise_for_status()
                continued = response.status_code == requests.codes.partial_content
                if have and not continued:
                    advance(-have)
                with part.open("ab" if continued else "wb") as out:
                    for piece in response.iter_content(PIECE):
                        out.write(piece)
                        advance(len(piece))
        except requests.RequestException as error:
            if attempt == ATTEMPTS - 1 or isinstance(error, requests.HTTPError):
                raise BadInputError(
                    f"cannot download {archive.url} ({type(error).__name__}); give the command "
                    "again, or fetch the archive yourself and name its folder: "
                    "cnn-jax prepare --from=DIR"
                ) from None
        except OSError:  # no space, most likely: a part of a file is of no use then
            part.unlink(missing_ok=True)
            raise
