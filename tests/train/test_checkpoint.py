"""Checkpoints: bits survive, the latest and the best stay."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import models
from cnn_jax.errors import BadInputError
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.train.state import TrainState, init_state


def make_state(seed: int) -> TrainState:
    module = models.create("mlp", num_classes=3, hidden=(5,))
    state = init_state(module, optax.adam(0.1), (2, 2, 1), seed, jnp.float32)
    noise = jax.random.normal(jax.random.key(seed), (7,))
    return state.replace(step=state.step + seed, opt_state=(state.opt_state, noise))


def assert_equal(one: TrainState, other: TrainState) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_a_state_comes_back_bit_for_bit_with_its_notes(tmp_path):
    state = make_state(3)
    with Checkpoints(tmp_path) as kept:
        kept.save(3, state, {"seconds": 1.5}, None)
    with Checkpoints(tmp_path) as kept:
        assert kept.latest() == 3
        restored, notes = kept.restore(3, like=make_state(0))
        network = kept.restore_network(kept.choose(None), like=make_state(0).variables)
    assert notes == {"seconds": 1.5}
    assert_equal(restored, state)
    assert_equal(restored.replace(variables=network), state)


def test_the_latest_and_the_best_are_kept(tmp_path):
    accuracies = {1: 0.5, 2: 0.9, 3: 0.7, 4: None, 5: 0.8}
    with Checkpoints(tmp_path, keep=1) as kept:
        for step, accuracy in accuracies.items():
            metrics = None if accuracy is None else {"accuracy": accuracy, "loss": 1.0}
            kept.save(step, make_state(step), {}, metrics)
    with Checkpoints(tmp_path, keep=1) as kept:
        for step in (2, 5):
            restored, _ = kept.restore(step, like=make_state(0))
            assert_equal(restored, make_state(step))
        with pytest.raises(BadInputError, match=r"--step=3: .* no such checkpoint, only 2, 5"):
            kept.choose(3)


def test_an_empty_folder_is_named(tmp_path):
    with Checkpoints(tmp_path) as kept:
        assert kept.latest() is None
        with pytest.raises(BadInputError, match="holds no checkpoint"):
            kept.choose(None)
