"""Settings that every test runs under: eight virtual CPU devices, a cache of its own."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Before jax is imported: read once, when its CPU backend starts.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"


# The same cases in every run: a red run can be repeated, and a green one says what it tried.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def cache():
    """Keep prepared data sets out of the user's cache."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNN_JAX_CACHE", folder)
        yield Path(folder)
