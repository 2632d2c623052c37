"""The memory setting, each time in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

TUNE = "from cnn_jax.runtime.malloc import tune_malloc; import sys; done = tune_malloc();"
HAS_GLIBC = platform.libc_ver()[0] == "glibc"


def run(code, **environment):
    """Run Python ``code`` and return what it prints."""
    inherited = {k: v for k, v in os.environ.items() if k != "CNN_JAX_TUNE_MALLOC"}
    environment = {**inherited, "JAX_PLATFORMS": "cpu", **environment}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


@pytest.mark.skipif(not HAS_GLIBC, reason="no glibc")
def test_applies_to_cpu_programs_alone():
    assert run(TUNE + "print(done)") == "True"
    assert run(TUNE + "print(done)", JAX_PLATFORMS="cuda") == "False"
    assert run(TUNE + "print(done)", JAX_PLATFORMS="tpu,cpu") == "False"


def test_can_be_switched_off():
    assert run(TUNE + "print(done)", CNN_JAX_TUNE_MALLOC="0") == "False"


def test_comes_too_late_after_jax():
    assert run("import jax;" + TUNE + "print(done)") == "False"


@pytest.mark.skipif(not HAS_GLIBC, reason="no glibc")
def test_large_blocks_come_from_the_heap():
    """A block of 64 MiB is given back to the system by default, and kept when tuned."""
    grown = (
        "import ctypes; c = ctypes.CDLL(None); c.malloc.restype = c.sbrk.restype = ctypes.c_void_p;"
        "c.free.argtypes = [ctypes.c_void_p]; before = c.sbrk(0);"
        "c.free(c.malloc(64 << 20)); print(c.sbrk(0) - before >= 64 << 20)"
    )
    assert run(TUNE + grown) == "True"
    assert run(TUNE + grown, CNN_JAX_TUNE_MALLOC="0") == "False"
