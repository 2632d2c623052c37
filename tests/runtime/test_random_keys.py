"""Seeds: each one a run of its own, and small ones what they always were."""

import itertools

import jax
import numpy as np
import pytest

from cnn_jax.data import order
from cnn_jax.runtime import random_keys
from cnn_jax.runtime.errors import BadInputError

SEEDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1)


def words(key: jax.Array) -> tuple[int, ...]:
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_no_two_seeds_share_a_stream():
    made = [
        words(random_keys.stream(seed, purpose))
        for seed in SEEDS
        for purpose in random_keys.Purpose
    ]
    assert len(set(made)) == len(made)
    orders = [np.asarray(order.permutation(seed, 0, 50)).tolist() for seed in SEEDS]
    assert all(a != b for a, b in itertools.combinations(orders, 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stream_is_that_of_jaxs_own_key(seed):
    # JAX makes keys of integers of 64 bits where those are switched on.
    with jax.enable_x64(True):
        key = jax.random.key(np.uint64(seed).view(np.int64))
        wanted = words(jax.random.fold_in(key, int(random_keys.Purpose.ORDER)))
        assert words(random_keys.stream(seed, random_keys.Purpose.ORDER)) == wanted
    assert words(random_keys.stream(seed, random_keys.Purpose.ORDER)) == wanted
    # As an argument of a program, too.
    traced = jax.jit(lambda seed: random_keys.stream(seed, random_keys.Purpose.ORDER))(
        random_keys.argument(seed)
    )
    assert words(traced) == wanted


@pytest.mark.parametrize("seed", [-1, 2**64, -(2**40)])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(BadInputError, match=str(seed)):
        random_keys.argument(seed)
