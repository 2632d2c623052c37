"""Which program is compiled: inside and outside of ``ops.stock()``, and for which platform."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import ops

X, W = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 1, 4))


def depthwise(x, w):
    return ops.conv2d(x, w, padding="same", groups=4)


def test_stock_is_part_of_jits_cache_key():
    """One compiled function serves both; each finds its own program again."""
    traces = []

    @jax.jit
    def function(x, w):
        traces.append(None)
        return depthwise(x, w)

    plain = function(X, W)
    with ops.stock():
        stock = function(X, W)
    assert len(traces) == 2
    function(X, W)
    with ops.stock():
        function(X, W)
    assert len(traces) == 2
    np.testing.assert_allclose(plain, stock, rtol=1e-6)


def test_stock_uses_xlas_convolution():
    # A function of its own each time: lowering is cached by function as well.
    ours = jax.jit(lambda x, w: depthwise(x, w)).lower(X, W).as_text()
    with ops.stock():
        stock = jax.jit(lambda x, w: depthwise(x, w)).lower(X, W).as_text()
    assert "stablehlo.convolution" not in ours
    assert "stablehlo.convolution" in stock


def test_the_platform_compiled_for_decides():
    """On a machine with a CPU alone, programs for GPU and TPU hold XLA's convolution."""

    def exported(platform):
        return jax.export.export(jax.jit(depthwise), platforms=[platform])(X, W).mlir_module()

    assert "stablehlo.convolution" not in exported("cpu")
    assert "stablehlo.convolution" in exported("cuda")
    assert "stablehlo.convolution" in exported("tpu")
