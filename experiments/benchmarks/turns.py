"""Programs that take turns: each in a process of its own, one step at a time.

A worker prints one JSON object when it is ready, then one for each line it reads. While one side
works, the others wait for their line, so that all see the same machine, slow moments included.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def process_peak() -> int:
    """Return the most memory that this process has held, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> (20 if sys.platform == "darwin" else 10)


def serve(
    ready: Mapping[str, Any], step: Callable[[], float], peak: Callable[[], int] = process_peak
) -> None:
    """Be a worker: say what was prepared, then time ``step`` for each line, until there is none.

    Args:
        ready: what the first line says.
        step: does the work, waits for its end and returns the loss.
        peak: the most memory held so far, in MiB.
    """
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        loss = step()
        ms = 1e3 * (time.perf_counter() - begin)
        print(json.dumps({"ms": ms, "loss": loss, "peak": peak()}), flush=True)


class Worker:
    """A worker process, and what it said when it was ready (``ready``)."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(environment),
        )
        self.ready = self._answer()

    def ask(self) -> dict[str, float]:
        """Return one turn's milliseconds (ms), loss and MiB of peak memory (peak)."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with status {self._process.wait()}")
        return json.loads(line)
