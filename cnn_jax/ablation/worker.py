"""A process that trains cells: ``python -m cnn_jax.ablation.worker SLOT OF [IMPORT ...]``.

It imports the plug-ins that the study has, reads lists of folders, one a line, trains those in a
list together, and answers each with a list of how they ended, ``done`` or ``failed``. It stops,
with the state of the running cell saved, at SIGTERM, and when nobody is left to ask for more, so
that a killed study leaves nothing running. What a cell prints goes into its log.txt.
"""

import glob
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from cnn_jax.registry import import_plugins


def visible_gpus() -> list[str]:
    """Return the names of NVIDIA's devices that a process may use, without asking a library."""
    if os.environ.get("JAX_PLATFORMS", "cuda").split(",")[0] not in ("cuda", "gpu"):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name]
    return [path.removeprefix("/dev/nvidia") for path in sorted(glob.glob("/dev/nvidia[0-9]*"))]


def take_share(slot: int, of: int) -> None:
    """Leave other workers their devices: a GPU each, or a share of the cores. Before jax."""
    if of == 1:
        return
    gpus = visible_gpus()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        if of > len(gpus):
            os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    elif hasattr(os, "sched_setaffinity"):  # not on macOS
        cores = sorted(os.sched_getaffinity(0))
        own = threads(of)
        if own is not None and len(cores) >= of:
            os.sched_setaffinity(0, cores[slot * own : (slot + 1) * own])


def threads(of: int) -> int | None:
    """Return how many threads a worker has, one of ``of``; None where GPUs compute.

    All have as many: sums are cut by threads, so that their number decides last digits.
    """
    if visible_gpus() or not hasattr(os, "sched_getaffinity"):
        return None
    cores = len(os.sched_getaffinity(0))
    return cores // of if cores >= of else cores


def prepare(imports: Sequence[str] = ()) -> None:
    """Set up a process that trains cells; ``imports`` are its plug-ins."""
    from cnn_jax.runtime.malloc import tune_malloc

    tune_malloc()
    from cnn_jax.train.compilation import keep_compiled_in_cache

    keep_compiled_in_cache()
    import_plugins(imports)


def main() -> int:
    """Serve requests until there are no more; return the exit status."""
    take_share(int(sys.argv[1]), int(sys.argv[2]))
    prepare(sys.argv[3:])
    from cnn_jax.ablation import cells
    from cnn_jax.train.stopping import StoppedError

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    requests: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            requests.put(line.rstrip("\n"))
        requests.put(None)
        if busy.is_set():  # whoever asked is gone; the loop saves and stops
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=listen, daemon=True).start()
    while (request := requests.get()) is not None:
        folders = [Path(folder) for folder in json.loads(request)]
        log = os.open(folders[0] / cells.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        busy.set()
        try:
            ended = cells.run(folders)
        except StoppedError as error:
            return 128 + error.signum
        busy.clear()
        print(json.dumps(ended), file=answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
