"""The order in which modules run."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.analysis.execution import calls, children


class Block(nn.Module):
    """A convolution, after a module that it was given."""

    first: nn.Module

    @nn.compact
    def __call__(self, x):
        return nn.Conv(4, (1, 1), name="conv")(self.first(x))


class Network(nn.Module):
    """Modules that are named, made and run in three different orders."""

    @nn.compact
    def __call__(self, x, *, train):
        head, stem = nn.Dense(3, name="a_head"), nn.Conv(2, (3, 3), name="c_stem")
        x = Block(stem, name="b_block")(x)
        if train or self.is_initializing():
            nn.Dense(2, name="aux")(x)
        return head(x.mean(axis=(1, 2))), head(x.max(axis=(1, 2)))


X = jax.ShapeDtypeStruct((5, 6, 8, 1), jnp.float32)
INIT = partial(Network().init, jax.random.key(0), train=False)
VARIABLES = jax.eval_shape(INIT, X)


def test_calls_end_from_the_inside_out():
    found = calls(partial(Network().apply, train=False), VARIABLES, X)
    ended = [("/".join(call.path), call.shape) for call in found if call.method == "__call__"]
    assert ended == [
        ("c_stem", (5, 6, 8, 2)),
        ("b_block/conv", (5, 6, 8, 4)),
        ("b_block", (5, 6, 8, 4)),
        ("a_head", (5, 3)),
        ("a_head", (5, 3)),
        ("", None),
    ]


def test_children_come_once_and_as_they_begin():
    run = partial(Network().apply, train=False)
    assert children(run, VARIABLES, X) == ["b_block", "c_stem", "a_head"]
    assert children(run, VARIABLES, X) == ["b_block", "c_stem", "a_head"]  # traced once more
    assert children(INIT, X) == ["b_block", "c_stem", "aux", "a_head"]
