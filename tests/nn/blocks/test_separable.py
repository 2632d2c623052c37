"""Depthwise separable convolution against full convolution."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import ops
from cnn_jax.analysis import summarize
from cnn_jax.nn.blocks import DepthwiseConv, SeparableBlock


def run(module, variables, *args, **fields) -> Any:
    """Apply a module; its type says that there might be a state too."""
    return module.apply(variables, *args, **fields)


def test_a_depthwise_convolution_is_a_full_one_with_a_diagonal_kernel():
    x = jax.random.normal(jax.random.key(0), (2, 7, 7, 3))
    layer = DepthwiseConv(3, 2)
    variables: Any = dict(layer.init(jax.random.key(1), x))
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (3, 3, 1, 3)
    diagonal = jnp.eye(3)[None, None] * kernel
    expected = ops.conv2d(x, diagonal, stride=2, padding="same")
    np.testing.assert_allclose(run(layer, variables, x), expected, rtol=1e-5, atol=1e-5)


def test_separating_costs_an_eighth_to_a_ninth():
    cost = {
        separable: summarize(SeparableBlock(512, separable=separable), (14, 14, 512)).macs
        for separable in (True, False)
    }
    assert cost[False] == 14 * 14 * 9 * 512 * 512
    # Howard et al. 2017, section 3.1: 1 / outputs + 1 / field²
    assert cost[True] * 9 * 512 == cost[False] * (9 + 512)
