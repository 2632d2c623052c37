"""Random streams: one key for each purpose, all derived from the run's seed."""

import enum

import jax
import numpy as np


class Purpose(enum.IntEnum):
    """What randomness is for; streams of different purposes never share a key."""

    INIT = 0
    ORDER = 1
    AUGMENT = 2
    DROPOUT = 3


def stream(seed: int | np.integer | jax.Array, purpose: Purpose) -> jax.Array:
    """Return the key of a purpose: a pure function of the run's seed."""
    return jax.random.fold_in(jax.random.key(seed), int(purpose))


def argument(seed: int) -> np.integer:
    """Return a seed as programs take it: an argument, so that all seeds share one compilation.

    Its streams are those of the number itself, to the bit.
    """
    # The type that jax.random.key gives a Python integer.
    return np.int64(seed).astype(jax.dtypes.canonicalize_dtype(np.int64))
