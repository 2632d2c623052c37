"""Residual networks whose blocks, norms and activations come from outside."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.analysis import summarize
from cnn_jax.models import create
from cnn_jax.nn import context
from cnn_jax.nn.blocks.residual import BasicBlock, BottleneckBlock
from cnn_jax.runtime.errors import BadInputError


class SEBottleneck(BottleneckBlock):
    """With squeeze-and-excitation (Hu et al. 2017, section 3)."""

    ratio: int = 16

    def refine(self, y, *, train):
        gate = nn.relu(nn.Dense(y.shape[-1] // self.ratio)(jnp.mean(y, axis=(1, 2))))
        return y * nn.sigmoid(nn.Dense(y.shape[-1])(gate))[:, None, None]


class RandomDepth(BasicBlock):
    """Dropped in training with a probability that grows with depth (Huang et al. 2016, eq. 4)."""

    index: int = 0
    blocks: int = 1
    last: float = 0.5
    reads_context = True

    def refine(self, y, *, train):
        alive = 1 - (self.index + 1) / self.blocks * (1 - self.last)
        if not train:
            return alive * y
        keys = context.example_keys(self.make_rng("dropout"), len(y))
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, alive))(keys)
        return y * kept[:, None, None, None]


def test_squeeze_and_excitation_has_the_published_parameters():
    module: Any = create("resnet50", num_classes=1000, block=SEBottleneck)
    assert summarize(module, (224, 224, 3)).params == 28_088_024


def test_a_block_that_changes_nothing_is_the_default():
    class Same(BasicBlock):
        pass

    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
    outputs = []
    for block in (None, Same):
        module: Any = create("resnet20", num_classes=4, block=block, width=4)
        variables = module.init(jax.random.key(0), x, train=False)
        outputs.append(module.apply(variables, x, train=False))
    np.testing.assert_array_equal(*outputs)


def test_group_normalisation_leaves_examples_alone():
    norm = partial(nn.GroupNorm, num_groups=4)
    module: Any = create("resnet20", num_classes=4, norm=norm, width=8, act=nn.gelu)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 16, 16, 3)), jnp.float32)
    variables = module.init(jax.random.key(0), x, train=False)
    assert set(variables) == {"params"}
    ours = create("resnet20", num_classes=4, width=8)
    assert summarize(module, (16, 16, 3)).params == summarize(ours, (16, 16, 3)).params
    together = module.apply(variables, x, train=True)
    alone = jnp.concatenate([module.apply(variables, x[i : i + 1], train=True) for i in range(3)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_stochastic_depth_is_drawn_by_the_place_in_the_batch():
    module: Any = create("resnet20", num_classes=4, block=RandomDepth, width=4, norm=nn.LayerNorm)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 16, 16, 3)), jnp.float32)
    variables = module.init(jax.random.key(0), x, train=False)
    rngs = {"dropout": jax.random.key(1)}
    whole = module.apply(variables, x, train=True, rngs=rngs)
    assert not np.allclose(whole, module.apply(variables, x, train=False))
    with context.cut(context.Cut(positions=jnp.arange(4, 8))):
        half = module.apply(variables, x[4:], train=True, rngs=rngs)
    np.testing.assert_allclose(half, whole[4:], rtol=1e-4, atol=1e-5)


def test_a_norm_beside_batch_norm_false_is_refused():
    module: Any = create("resnet20", num_classes=4, norm=nn.LayerNorm, batch_norm=False)
    with pytest.raises(BadInputError, match=r"^norm is set, and batch_norm=False"):
        jax.eval_shape(partial(module.init, train=False), jax.random.key(0), jnp.ones((1, 8, 8, 3)))
