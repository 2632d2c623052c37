"""How a run ends before its last step: told to by a signal, or since it has diverged."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import jax

from cnn_jax.runtime.errors import BadInputError


class DivergedError(BadInputError):
    """The loss or the parameters are not finite."""


class StoppedError(Exception):
    """A signal asked the run to stop; its state is saved."""

    def __init__(self, signum: int):
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them; the loop acts between two calls."""
    received: list[int] = []

    def note(signum: int, frame: Any) -> None:
        received.append(signum)

    old: dict[int, Any] = {}
    # With several processes SIGTERM is JAX's, which tells the others of it.
    own = (signal.SIGTERM, signal.SIGINT) if jax.process_count() == 1 else ()
    with contextlib.suppress(ValueError):  # only the main thread may set handlers
        for signum in own:
            old[signum] = signal.signal(signum, note)
    try:
        yield received
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)
