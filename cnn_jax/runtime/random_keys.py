"""Random streams: one key for each purpose, all derived from the run's seed."""

import enum

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.runtime.errors import BadInputError


class Purpose(enum.IntEnum):
    """What randomness is for; streams of different purposes never share a key."""

    INIT = 0
    ORDER = 1
    AUGMENT = 2
    DROPOUT = 3
    TASK = 4  # what a task's forward draws


def stream(seed: int | np.integer | np.ndarray | jax.Array, purpose: Purpose) -> jax.Array:
    """Return the key of a purpose: a pure function of the run's seed.

    ``seed`` is a number or what ``argument`` makes of one. Raises ``BadInputError`` for a number
    that is no seed.
    """
    given = argument(seed) if isinstance(seed, int) else seed
    if given.ndim:
        key = jax.random.wrap_key_data(jnp.asarray(given), impl="threefry2x32")
    else:
        key = jax.random.key(given)
    return jax.random.fold_in(key, int(purpose))


def argument(seed: int) -> np.integer | np.ndarray:
    """Return a seed as programs take it: an argument, so that all seeds share one compilation.

    Its streams are those of the number itself, to the bit. A seed of more than 32 bits comes as its
    two words, uint32 ``[2]``, the upper one first: what JAX makes a key of where it has integers
    of 64 bits. Raises ``BadInputError`` for a number that is no
    seed: a negative one, or one of more than 64 bits.
    """
    if not 0 <= seed < 2**64:
        raise BadInputError(f"a seed is a whole number from 0 to 2**64 - 1, not {seed}")
    if seed >= 2**32:
        return np.array([seed // 2**32, seed % 2**32], np.uint32)
    # The type that jax.random.key gives a Python integer.
    return np.int64(seed).astype(jax.dtypes.canonicalize_dtype(np.int64))
