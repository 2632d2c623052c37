"""Memory allocation of a CPU program, set once at its edge. Standard library only.

XLA:CPU allocates the buffers of a step anew at every step. glibc serves large ones with ``mmap``
and gives them back with ``munmap``, so that every step pays a page fault for each 4 KiB of them:
up to a third of the time of a training step. Keeping freed memory in one heap avoids that. The
price: memory that was used once stays with the process until it ends.
"""

import ctypes
import glob
import os
import platform
import sys

SWITCH = "CNN_JAX_TUNE_MALLOC"

# Parameters of mallopt(3), from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


_tuned = False


def is_tuned() -> bool:
    """Return whether this process keeps freed memory."""
    return _tuned


def tune_malloc() -> bool:
    """Keep freed memory in the process; return whether that was done.

    Call it before jax is imported. Does nothing except on Linux with glibc, for programs that
    run on the CPU, and nothing where the environment variable ``CNN_JAX_TUNE_MALLOC`` is 0.
    """
    if os.environ.get(SWITCH, "1") == "0" or "jax" in sys.modules or not _on_cpu():
        return False
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = (
        (_M_ARENA_MAX, 1),
        (_M_MMAP_MAX, 0),
        (_M_TRIM_THRESHOLD, -1),
        (_M_TOP_PAD, 64 << 20),
    )
    global _tuned
    _tuned = all(mallopt(name, value) == 1 for name, value in settings)
    return _tuned


def _on_cpu() -> bool:
    """Tell whether jax will run on the CPU, as far as can be known before it is imported."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms:
        return platforms.split(",")[0] == "cpu"
    return not any(
        glob.glob(f"/dev/{name}") for name in ("nvidia[0-9]*", "kfd", "accel*", "vfio/*")
    )
