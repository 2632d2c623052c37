"""Layers: conventions, types and parity with other implementations."""

import importlib.util
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.nn import context, layers
from cnn_jax.runtime.errors import BadInputError

KINDS = ["stride", "max", "avg", "conv", "blur"]
HAS_TORCH = importlib.util.find_spec("torch") is not None


def apply(layer: nn.Module, variables, *args, **how) -> Any:
    """``layer.apply``, whose result is an array or a pair: no static type for both."""
    return layer.apply(variables, *args, **how)


def images(*shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape) * 3 + 2


def test_conv_is_the_operator_and_a_bias():
    x = images(2, 9, 8, 4)
    layer = layers.Conv(6, (3, 2), stride=2, padding=((1, 0), (2, 1)), groups=2, dilation=(2, 1))
    variables = layer.init(jax.random.key(1), x)
    variables["params"]["bias"] = jnp.arange(6.0)
    kernel = jnp.asarray(variables["params"]["kernel"])
    assert kernel.shape == (3, 2, 2, 6)
    y = ops.conv2d(x, kernel, stride=2, padding=((1, 0), (2, 1)), groups=2, dilation=(2, 1))
    np.testing.assert_allclose(apply(layer, variables, x), y + jnp.arange(6.0), rtol=1e-6)


def test_batch_norm_keeps_the_share_momentum():
    x = images(4, 5, 6, 3)
    layer = layers.BatchNorm(momentum=0.8)
    variables = layer.init(jax.random.key(0), x, train=True)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], np.zeros(3))  # init: no update
    y, state = apply(layer, variables, x, train=True, mutable=["batch_stats"])
    exact = np.asarray(x, np.float64)
    mean, var = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(var + 1e-5), atol=1e-5)
    np.testing.assert_allclose(state["batch_stats"]["mean"], 0.2 * mean, rtol=1e-5)
    np.testing.assert_allclose(state["batch_stats"]["var"], 0.8 + 0.2 * var, rtol=1e-5)
    still = apply(layer, {**variables, **state}, x, train=False)
    running = state["batch_stats"]
    expected = (exact - running["mean"]) / np.sqrt(np.asarray(running["var"]) + 1e-5)
    np.testing.assert_allclose(still, expected, atol=1e-5)


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_batch_norm_is_pytorchs():
    import torch  # pyright: ignore[reportMissingImports]

    x = images(4, 5, 6, 3)
    layer = layers.BatchNorm(momentum=0.9, unbiased=True, epsilon=1e-3)
    theirs = torch.nn.BatchNorm2d(3, eps=1e-3, momentum=0.1)
    theirs.train()
    variables = layer.init(jax.random.key(0), x, train=True)
    for seed in range(3):
        x = images(4, 5, 6, 3, seed=seed)
        y, state = apply(layer, variables, x, train=True, mutable=["batch_stats"])
        variables = {**variables, **state}
        expected = theirs(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        np.testing.assert_allclose(y, expected.detach(), atol=1e-5)
    running = state["batch_stats"]
    np.testing.assert_allclose(running["mean"], np.asarray(theirs.running_mean), rtol=1e-5)
    np.testing.assert_allclose(running["var"], np.asarray(theirs.running_var), rtol=1e-5)


def test_batch_norm_of_one_value_has_no_unbiased_variance():
    layer = layers.BatchNorm(unbiased=True)
    x = jnp.ones((1, 3))
    variables = layer.init(jax.random.key(0), x, train=True)
    _, state = apply(layer, variables, x, train=True, mutable=["batch_stats"])
    assert np.isfinite(state["batch_stats"]["var"]).all()


@pytest.mark.parametrize("train", [False, True])
def test_batch_norm_in_bfloat16_keeps_wide_statistics(train):
    x = images(8, 16, 16, 3).astype(jnp.bfloat16)
    layer = layers.BatchNorm(dtype=jnp.bfloat16, scale_init=nn.initializers.zeros)
    variables = layer.init(jax.random.key(0), x, train=train)
    y, state = apply(layer, variables, x, train=train, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, np.zeros(y.shape))  # scale starts as told
    assert {a.dtype for a in jax.tree.leaves([variables, state])} == {jnp.dtype("float32")}
    if train:
        exact = np.asarray(x, np.float64).mean((0, 1, 2))
        np.testing.assert_allclose(state["batch_stats"]["mean"], 0.1 * exact, rtol=1e-5)


def test_layers_in_float64():
    with jax.enable_x64(True):
        x = images(2, 6, 6, 3).astype(jnp.float64)
        for layer in (layers.Conv(4, dtype=jnp.float64), layers.BatchNorm(dtype=jnp.float64)):
            how: dict[str, Any] = {"train": True} if isinstance(layer, layers.BatchNorm) else {}
            variables = layer.init(jax.random.key(0), x, **how)
            y, state = apply(layer, variables, x, **how, mutable=["batch_stats"])
            assert {a.dtype for a in jax.tree.leaves([y, variables, state])} == {jnp.dtype("f8")}


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("window", [None, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_downsample_kinds_agree_in_shape(kind, window, stride):
    layer = layers.Downsample(kind, stride, window)
    x = images(2, 7, 8, 3)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    assert y.shape == (2, -(-7 // stride), -(-8 // stride), 3)
    assert bool(variables) == (kind == "conv")


@pytest.mark.parametrize("kind", ["stride", "max", "avg", "blur"])
def test_downsample_keeps_a_flat_image(kind):
    """Also at the edges for the first three; blur sees zeros there."""
    y = apply(layers.Downsample(kind, 2), {}, jnp.ones((1, 7, 7, 1)))
    inner = y[:, 1:-1, 1:-1] if kind == "blur" else y
    np.testing.assert_allclose(inner, np.ones(inner.shape), rtol=1e-6)


def test_downsample_by_known_answers():
    x = jnp.arange(25.0).reshape(1, 5, 5, 1)

    def answer(kind):
        return apply(layers.Downsample(kind, 2), {}, x)[0, :, :, 0]

    np.testing.assert_array_equal(answer("stride"), [[0, 2, 4], [10, 12, 14], [20, 22, 24]])
    np.testing.assert_array_equal(answer("max"), [[6, 8, 9], [16, 18, 19], [21, 23, 24]])
    np.testing.assert_array_equal(answer("avg"), [[3, 5, 6.5], [13, 15, 16.5], [20.5, 22.5, 24]])
    np.testing.assert_allclose(answer("blur")[1, 1], 12)
    binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
    spot = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1)
    every = apply(layers.Downsample("blur", 1), {}, spot)[0, 1:4, 1:4, 0]
    np.testing.assert_allclose(every, binomial, rtol=1e-6)


def test_unknown_downsample_is_named():
    with pytest.raises(BadInputError, match="'mean'"):
        layers.Downsample("mean").init(jax.random.key(0), jnp.ones((1, 4, 4, 1)))


def test_dropout_keeps_the_mean_and_rests_in_inference():
    x = jnp.ones((100, 100))
    layer = layers.Dropout(0.3)
    np.testing.assert_array_equal(apply(layer, {}, x, train=False), x)
    y = np.asarray(apply(layer, {}, x, train=True, rngs={"dropout": jax.random.key(0)}))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((y == 0).mean() - 0.3) < 0.02


def test_dropout_goes_by_the_place_in_the_batch():
    """The same values drop, whether the batch comes whole or in parts."""
    x = jnp.ones((8, 20))
    layer, rngs = layers.Dropout(0.5), {"dropout": jax.random.key(3)}
    whole = apply(layer, {}, x, train=True, rngs=rngs)
    with context.cut(context.Cut(positions=jnp.array([5, 2]))):
        part = apply(layer, {}, x[:2], train=True, rngs=rngs)
    np.testing.assert_array_equal(part, whole[jnp.array([5, 2])])
    assert not np.array_equal(whole[5], whole[2])
