"""BatchNorm's statistics of given parameters, against those of all examples at once."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.nn import layers
from cnn_jax.tasks import Classification
from cnn_jax.train.optim import make_optimizer
from cnn_jax.train.state import init_state
from cnn_jax.train.statistics import make_estimate_step, pooled, replaced
from cnn_jax.train.step import make_train_step


class Net(nn.Module):
    """Two normalised layers, the second after one that drops, and one that inference leaves out."""

    unbiased: bool = False

    @nn.compact
    def __call__(self, x, *, train):
        x = layers.BatchNorm(unbiased=self.unbiased, name="first")(x, train=train)
        x = layers.Dropout(0.5, name="drop")(layers.Dense(4, name="fc")(x), train=train)
        x = layers.BatchNorm(unbiased=self.unbiased, name="second")(x, train=train)
        if train or self.is_initializing():
            layers.BatchNorm(name="head")(x, train=train)
        return x


IMAGES = jax.random.normal(jax.random.key(1), (6, 32, 3)) * 2 + jnp.arange(6.0)[:, None, None]


def estimated(module, trained=None):
    variables = dict(module.init(jax.random.key(0), IMAGES[0], train=False))
    step = make_estimate_step(module, trained)
    found = pooled(jax.device_get([step(variables, x) for x in IMAGES]))
    return variables, found


@pytest.mark.parametrize("unbiased", [False, True])
def test_they_are_those_of_all_examples(unbiased):
    """Exactly so in the first layer, whose input does not depend on the batch."""
    variables, found = estimated(Net(unbiased))
    every = np.asarray(IMAGES, np.float64)
    np.testing.assert_allclose(found["first"]["mean"], every.reshape(-1, 3).mean(0), rtol=1e-6)
    variance = every.reshape(-1, 3).var(0)
    if unbiased:  # each batch's own is corrected
        variance = every.var(1, ddof=1).mean(0) + every.mean(1).var(0)
    np.testing.assert_allclose(found["first"]["var"], variance, rtol=1e-5)
    # The second is given what the first normalised by its batch, and nothing drops.
    kernel, bias = (np.asarray(variables["params"]["fc"][name]) for name in ("kernel", "bias"))
    normalised = (every - every.mean(1, keepdims=True)) / np.sqrt(
        every.var(1, keepdims=True) + 1e-5
    )
    given = normalised @ kernel + bias
    np.testing.assert_allclose(found["second"]["mean"], given.mean((0, 1)), atol=1e-5)


def test_what_inference_leaves_out_and_what_is_frozen_keep_theirs():
    variables, found = estimated(Net(), frozenset({("second", "scale"), ("fc", "kernel")}))
    assert set(found) == {"second"}
    new = replaced(variables, found)
    for name in ("first", "head"):
        jax.tree.map(
            np.testing.assert_array_equal,
            new["batch_stats"][name],
            variables["batch_stats"][name],
        )
    assert not np.array_equal(
        new["batch_stats"]["second"]["mean"], variables["batch_stats"]["second"]["mean"]
    )
    assert new["params"] is variables["params"]


def test_estimating_leaves_the_running_statistics_alone():
    module = Net()
    variables = module.init(jax.random.key(0), IMAGES[0], train=False)
    kept = jax.tree.map(np.asarray, variables["batch_stats"])
    make_estimate_step(module)(dict(variables), IMAGES[0])
    jax.tree.map(np.testing.assert_array_equal, kept, variables["batch_stats"])


def test_the_mean_of_what_is_frozen_stays_bit_for_bit():
    module = Net()
    trained = frozenset({("second", "scale"), ("second", "bias"), ("fc", "kernel")})
    optimizer = make_optimizer("sgd", lambda _: 0.1)
    start = init_state(module, optimizer, (3,), 0, jnp.float32, ema=True, trained=trained)
    # Other statistics than a layer begins with: a mean of equal values may still round.
    rest = jax.tree.map(lambda x: x + 0.1, start.ema_rest)
    state = start.replace(ema_rest=rest, variables=start.variables | rest)
    task = Classification(3)
    step = jax.jit(make_train_step(module, task, optimizer, seed=0, ema=0.7, trained=trained))
    for images in IMAGES[:3]:
        before = state.ema_rest["batch_stats"]
        state, _ = step(state, {"image": images, "label": jnp.zeros(len(images), jnp.int32)})
        after, live = state.ema_rest["batch_stats"], state.variables["batch_stats"]
        jax.tree.map(np.testing.assert_array_equal, after["first"], before["first"])
        for name in ("mean", "var"):
            expected = 0.7 * before["second"][name] + 0.3 * live["second"][name]
            np.testing.assert_allclose(after["second"][name], expected, rtol=1e-6)
