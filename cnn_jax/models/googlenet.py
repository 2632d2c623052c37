"""GoogLeNet (Szegedy et al. 2014): Inception v1 as published, and torchvision's network."""

from functools import partial
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.models.inputs import Factor, Share, require_size
from cnn_jax.nn import layers
from cnn_jax.nn.blocks.conv import ConvNormAct
from cnn_jax.nn.blocks.inception import Inception, Widths
from cnn_jax.ops import imagenet
from cnn_jax.ops.adaptive import adaptive_avg_pool
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

# Szegedy et al. 2014, table 1: the modules between the pools.
MODULES = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}
KEPT = ranges.Each(ranges.one_of(*MODULES), rising=True)  # in the order of the table


def from_imagenet_statistics(x: jax.Array) -> jax.Array:
    """Turn images [N, H, W, 3] standardised by ImageNet's statistics into (value - .5) / .5.

    torchvision's googlenet and inception_v3 were trained by others on that range, and its networks
    convert their input themselves ("transform_input").
    """
    if x.shape[-1] != 3:
        raise BadInputError(f"transform_input takes images of 3 channels, not {x.shape[-1]}")
    mean = jnp.asarray(imagenet.MEAN, x.dtype)
    std = jnp.asarray(imagenet.STD, x.dtype)
    return x * (std / 0.5) + (mean - 0.5) / 0.5


class AuxiliaryHead(nn.Module):
    """A classifier on inner features: 4×4 average, 1×1 convolution, two dense layers (section 5).

    ``adaptive`` averages to 4×4 cells whatever the size, as torchvision does; else the paper's
    5×5/3 average-pool, which makes 4×4 of 14×14.
    """

    num_classes: int
    unit: Any
    adaptive: bool = False
    dropout: float = 0.7
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map features ``[N, H, W, C]`` to logits ``[N, num_classes]``."""
        x = adaptive_avg_pool(x, 4) if self.adaptive else ops.avg_pool(x, 5, stride=3)
        x = self.unit(128, 1, name="conv")(x, train=train)
        x = layers.Dense(1024, dtype=self.dtype, name="fc1")(x.reshape(x.shape[0], -1))
        x = layers.Dropout(self.dropout)(nn.relu(x), train=train)
        x = layers.Dense(self.num_classes, dtype=self.dtype, name="head")(x)
        return layers.logits(x)


def _body(
    net: "GoogLeNet | InceptionV1",
    x,
    unit,
    module,
    aux_head,
    normalise,
    pool4,
    *,
    train,
    width=1.0,
    modules=tuple(MODULES),
):
    """Run the layers of table 1 under ``net``'s compact method."""
    halve = partial(ops.max_pool, stride=2, ceil_mode=True)

    def wide(channels: int) -> int:
        return max(round(width * channels), 1)

    x = unit(wide(64), 7, 2, name="conv1")(x, train=train)
    x = normalise(halve(x, 3))
    x = unit(wide(64), 1, name="conv2")(x, train=train)
    x = normalise(unit(wide(192), 3, name="conv3")(x, train=train))
    x = halve(x, 3)
    auxiliary = []
    for at in modules:
        widths = Widths(*(wide(channels) for channels in MODULES[at]))
        if at in ("4a", "5a"):
            x = halve(x, 3 if at == "4a" else pool4)
        x = module(widths, unit=unit, name=f"inception{at}")(x, train=train)
        # The heads run in training; init makes their parameters whatever ``train`` is.
        if at in ("4a", "4d") and net.aux and (train or net.is_initializing()):
            auxiliary.append(aux_head(name=f"aux{len(auxiliary) + 1}")(x, train=train))
    x = layers.Dropout(net.dropout)(ops.global_avg_pool(x), train=train)
    x = layers.logits(layers.Dense(net.num_classes, dtype=net.dtype, name="head")(x))
    return (x, *auxiliary) if net.aux and train else x


class GoogLeNet(nn.Module):
    """torchvision's network: BatchNorm for response normalisation, 3×3 in the "5×5" branches.

    ``aux`` adds the two auxiliary heads (loss weight 0.3 each); ``transform_input`` converts
    images as ``from_imagenet_statistics`` does. He initialisation.
    """

    AUX_WEIGHTS = (0.3, 0.3)

    num_classes: int
    aux: bool = True
    transform_input: bool = False
    dropout: Share = 0.2
    aux_dropout: Share = 0.7
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Any:
        """Map images ``[N, H, W, C]`` (at least 15x15) to logits ``[N, num_classes]``.

        In training with ``aux``: a tuple of the logits and those of the heads, in input order.
        """
        require_size(x, 15, "googlenet: pool3")
        if self.transform_input:
            x = from_imagenet_statistics(x)
        unit = partial(
            ConvNormAct,
            conv=partial(layers.Conv, dtype=self.dtype),
            norm=partial(layers.BatchNorm, epsilon=1e-3, dtype=self.dtype),
        )
        aux_head = partial(
            AuxiliaryHead, self.num_classes, unit, True, self.aux_dropout, dtype=self.dtype
        )
        module = partial(Inception, large=3)
        return _body(self, x, unit, module, aux_head, lambda x: x, 2, train=train)


class InceptionV1(nn.Module):
    """The network of Szegedy et al. 2014, table 1: biases, response normalisation, true 5×5.

    ``reduce=False`` takes the naive modules of figure 2a throughout, whose channels grow with the
    passed-through pools to 4,944; ``linear`` takes the ReLU from the convolutions that reduce.
    ``width`` multiplies every number of channels; ``modules`` are those of table 1 to keep.
    ``aux`` adds the two auxiliary heads (loss weight 0.3 each). He initialisation; the paper
    states none.
    """

    AUX_WEIGHTS = (0.3, 0.3)

    num_classes: int
    reduce: bool = True
    linear: bool = False
    width: Factor = 1.0
    modules: Annotated[tuple[str, ...], KEPT] = tuple(MODULES)
    aux: bool = True
    dropout: Share = 0.4
    aux_dropout: Share = 0.7
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> Any:
        """Map images ``[N, H, W, C]`` to logits ``[N, num_classes]``, with heads as GoogLeNet.

        The heads' 5×5 pool takes images of at least 79x79, the network itself of 31x31.
        """
        if self.aux:
            require_size(x, 79, "inception_v1: aux1's pool (without it, aux=False, 31x31)")
        require_size(x, 31, "inception_v1: pool4")
        unit = partial(ConvNormAct, conv=partial(layers.Conv, dtype=self.dtype), norm=None)
        aux_head = partial(
            AuxiliaryHead, self.num_classes, unit, False, self.aux_dropout, dtype=self.dtype
        )
        module = partial(Inception, reduce=self.reduce, linear=self.linear)
        if unknown := set(self.modules) - set(MODULES):
            raise BadInputError(
                f"modules: table 1 has no {min(unknown)!r}; it has {', '.join(MODULES)}"
            )
        return _body(
            self,
            x,
            unit,
            module,
            aux_head,
            ops.local_response_norm,
            3,
            train=train,
            width=self.width,
            modules=self.modules,
        )
