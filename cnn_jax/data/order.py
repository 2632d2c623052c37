"""The order in which examples are seen: a pure function of (seed, epoch, step).

Example p of a run is ``permutation(seed, p // n)[p % n]``. Batches straddle epochs, so that
within an epoch nothing is dropped or seen twice.
"""

from functools import partial

import jax
import jax.numpy as jnp

from cnn_jax.runtime import random_keys


@partial(jax.jit, static_argnums=2)
def _permutation(seed: jax.Array, epoch: jax.Array | int, n: int) -> jax.Array:
    key = jax.random.fold_in(random_keys.stream(seed, random_keys.Purpose.ORDER), epoch)
    return jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32))


def permutation(seed: int, epoch: jax.Array | int, n: int) -> jax.Array:
    """Return the order of an epoch's ``n`` examples, int32 ``[n]``."""
    return _permutation(random_keys.argument(seed), epoch, n)


def position(step: int, batch_size: int, n: int) -> tuple[int, int]:
    """Return (epoch, offset in it) of the first example of a step's batch."""
    return divmod(step * batch_size, n)
