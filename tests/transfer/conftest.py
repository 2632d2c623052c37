"""The networks of torchvision are large, and so is what was compiled for them."""

import jax
import pytest


@pytest.fixture(autouse=True)
def forget_programs():
    """Give the memory of a test's programs back."""
    yield
    jax.clear_caches()
