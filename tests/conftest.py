"""Settings that every test runs under: eight virtual CPU devices."""

import os

# Before jax is imported: read once, when its CPU backend starts.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
