"""One run at a time works in a run's folder: a lock that the system lets go of.

It is an ``flock`` on a file, so a process that was killed blocks nobody, and the file that it left
means nothing. Two runs of one process exclude each other too.
"""

import contextlib
import datetime
import errno
import fcntl
import os
import socket
import sys
from pathlib import Path

from cnn_jax.runtime.errors import BadInputError

FILE = ".run.lock"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some network file systems


class FolderInUseError(BadInputError):
    """Another process, or another run of this one, works in the folder."""


class RunLock:
    """The lock of a run's folder, for as long as it is entered.

    Entering takes it where the folder exists; ``take`` does once it was made. Both raise
    ``FolderInUseError`` where another run has it.
    """

    def __init__(self, folder: Path):
        self._folder, self._file = folder, folder / FILE
        self._descriptor: int | None = None

    def __enter__(self) -> "RunLock":
        if self._folder.is_dir():
            self.take()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._descriptor is not None:
            # Before letting go: whoever opened the file meanwhile sees that it is gone.
            with contextlib.suppress(OSError):
                self._file.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def take(self) -> None:
        """Take the lock, unless this object has it."""
        while self._descriptor is None:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                self._lock(descriptor)
                if self._is_current(descriptor):
                    self._sign(descriptor)
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            raise FolderInUseError(
                f"--workdir: {str(self._folder)!r} is in use by {who}; "
                "wait for its end or choose another folder"
            ) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            line = f"{self._folder}: there are no locks on this file system ({error.strerror})"
            print(f"{line}; see that no other process trains in it", file=sys.stderr)

    def _is_current(self, descriptor: int) -> bool:
        """Return whether the open file is still the folder's: its holder may just have ended."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._file))
        except FileNotFoundError:
            return False

    @staticmethod
    def _sign(descriptor: int) -> None:
        """Write who has the lock, for the message of those that have to wait."""
        now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        text = f"process {os.getpid()} on {socket.gethostname()} since {now}"
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
