"""Where the time of a run goes."""

import contextlib
import time
from collections.abc import Iterator

COMPILE, DATA, COMPUTE, OTHER = USES = ("compile", "data", "compute", "other")


class Clock:
    """Seconds by what they were spent on; inner sections are not counted among outer ones."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(USES, 0.0)
        self._at = OTHER
        self._since = time.perf_counter()

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Count what happens inside for ``name``."""
        before = self._switch(name)
        try:
            yield
        finally:
            self._switch(before)

    def total(self) -> float:
        """Return the seconds since the clock was made."""
        self._switch(self._at)
        return sum(self.seconds.values())

    def _switch(self, name: str) -> str:
        now = time.perf_counter()
        self.seconds[self._at] += now - self._since
        before, self._at, self._since = self._at, name, now
        return before
