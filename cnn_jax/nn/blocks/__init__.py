"""Building blocks of the zoo: pure Linen modules that never see a config.

Convolution and normalisation are injected as constructors (``functools.partial`` of the layers,
with the network's dtype bound), so that an ablation swaps a field and shares the class.
"""

from cnn_jax.nn.blocks.conv import ConvNormAct
from cnn_jax.nn.blocks.factorised import InceptionA, InceptionB, InceptionC, InceptionD, InceptionE
from cnn_jax.nn.blocks.fire import Fire
from cnn_jax.nn.blocks.inception import Inception
from cnn_jax.nn.blocks.residual import BasicBlock, BottleneckBlock
from cnn_jax.nn.blocks.separable import DepthwiseConv, SeparableBlock

__all__ = [
    "BasicBlock",
    "BottleneckBlock",
    "ConvNormAct",
    "DepthwiseConv",
    "Fire",
    "Inception",
    "InceptionA",
    "InceptionB",
    "InceptionC",
    "InceptionD",
    "InceptionE",
    "SeparableBlock",
]
