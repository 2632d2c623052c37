"""Settings that every test runs under: eight virtual CPU devices, a cache of its own."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Before jax is imported: read once, when its CPU backend starts.
os.environ["JAX_PLATFORMS"] = "cpu"
_flags = ["--xla_force_host_platform_device_count=8"]
# Compiling takes most of the tests' time, and optimising machine code almost half of that. What XLA
# makes of a program before is the same. CNN_JAX_TEST_OPTIMISED=1 is for slow tests.
if os.environ.get("CNN_JAX_TEST_OPTIMISED") != "1":
    _flags.append("--xla_backend_optimization_level=0")
os.environ["XLA_FLAGS"] = " ".join(_flags)

# What is compiled is kept, for the tests' other processes and for the next time.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parent.parent / ".jax_cache")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"


# The same cases in every run: a red run can be repeated, and a green one says what it tried.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def cache():
    """Keep prepared data sets out of the user's cache."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNN_JAX_CACHE", folder)
        yield Path(folder)
