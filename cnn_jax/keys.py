"""Random streams: one key for each purpose, all derived from the run's seed."""

import enum

import jax


class Purpose(enum.IntEnum):
    """What randomness is for; streams of different purposes never share a key."""

    INIT = 0
    ORDER = 1
    AUGMENT = 2
    DROPOUT = 3


def stream(seed: int | jax.Array, purpose: Purpose) -> jax.Array:
    """Return the key of a purpose: a pure function of the run's seed."""
    return jax.random.fold_in(jax.random.key(seed), int(purpose))
