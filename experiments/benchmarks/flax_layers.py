"""The networks of ``cnn_jax.models`` computed by Flax's own layers.

The baseline must be the same network in other hands. So the modules stay, and what they call is
replaced: ``flax.linen``'s Conv, BatchNorm and Dropout on the same parameters, and XLA's own
pooling, which is what ``flax.linen``'s max_pool and avg_pool lower to.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn

from cnn_jax import ops
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.separable import DepthwiseConv
from cnn_jax.ops.geometry import pads, pair


@contextlib.contextmanager
def flax_layers() -> Iterator[None]:
    """Compute with Flax's layers what is traced in this context."""
    with ops.stock(), nn.intercept_methods(_replaced):
        yield


def _replaced(following: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    layer = context.module
    if context.method_name != "__call__" or layer.is_initializing():
        return following(*args, **kwargs)
    if isinstance(layer, layers.Conv):
        own = _conv(layer, layer.features, layer.groups, layer.dilation, layer.use_bias)
        return own.apply({"params": layer.variables["params"]}, *args)
    if isinstance(layer, DepthwiseConv):
        channels = args[0].shape[-1]
        own = _conv(layer, channels, channels, 1, False)
        return own.apply({"params": layer.variables["params"]}, *args)
    if isinstance(layer, layers.BatchNorm):
        train = kwargs["train"]
        own = nn.BatchNorm(
            not train,
            momentum=layer.momentum,
            epsilon=layer.epsilon,
            dtype=layer.dtype,
            parent=None,
        )
        y, updated = own.apply(layer.variables, *args, mutable=["batch_stats"])
        if train:
            for name, value in updated["batch_stats"].items():
                layer.put_variable("batch_stats", name, value)
        return y
    if isinstance(layer, layers.Dropout) and kwargs["train"] and layer.rate:
        key = layer.make_rng("dropout")
        own = nn.Dropout(layer.rate, deterministic=False, parent=None)
        return own.apply({}, *args, rngs={"dropout": key})
    return following(*args, **kwargs)


def _conv(layer: Any, features: int, groups: int, dilation: Any, use_bias: bool) -> nn.Conv:
    field = pair(layer.kernel_size, "kernel_size")
    sides: Any = pads(layer.padding, layer.kernel_size, dilation)
    return nn.Conv(
        features,
        field,
        pair(layer.stride, "stride"),
        sides,
        kernel_dilation=pair(dilation, "dilation"),
        feature_group_count=groups,
        use_bias=use_bias,
        dtype=layer.dtype,
        parent=None,
    )
