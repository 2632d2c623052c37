"""What a residual block adds, where it strides, and that a plain block is its twin."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.analysis import summarize
from cnn_jax.nn.blocks import BasicBlock, BottleneckBlock
from cnn_jax.nn.blocks.residual import pad_shortcut
from cnn_jax.runtime.errors import BadInputError


def owned(block, shape):
    """Return the names of a block's layers."""
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(partial(block.init, train=False), jax.random.key(0), x)
    return set(variables["params"])


def test_a_projection_appears_only_where_shapes_disagree():
    body = {"conv1", "bn1", "conv2", "bn2"}
    projected = body | {"proj", "proj_bn"}
    same, wider = (8, 8, 16), (8, 8, 8)
    assert owned(BasicBlock(16, shortcut="B"), same) == body
    assert owned(BasicBlock(16, shortcut="B"), wider) == projected
    assert owned(BasicBlock(16, stride=2, shortcut="B"), same) == projected
    assert owned(BasicBlock(16, shortcut="C"), same) == projected
    for shortcut in ("A", None):
        assert owned(BasicBlock(16, stride=2, shortcut=shortcut), wider) == body


@pytest.mark.parametrize("block", [BasicBlock, BottleneckBlock])
def test_without_its_weights_a_block_is_its_shortcut(block):
    channels = 16 if block is BottleneckBlock else 4
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, channels))
    outputs = {}
    for shortcut in ("A", "B", None):
        module = block(4, shortcut=shortcut)
        variables = module.init(jax.random.key(1), x, train=False)
        zeros = jax.tree.map(jnp.zeros_like, variables)
        outputs[shortcut] = module.apply(zeros, x, train=False)
    np.testing.assert_array_equal(outputs["A"], jax.nn.relu(x))
    np.testing.assert_array_equal(outputs["B"], jax.nn.relu(x))
    np.testing.assert_array_equal(outputs[None], jnp.zeros_like(x))


def test_shortcut_a_keeps_every_second_pixel_between_two_halves_of_zeros():
    x = jnp.arange(5 * 5 * 2.0).reshape(1, 5, 5, 2) + 1
    y = pad_shortcut(x, 6, 2)
    assert y.shape == (1, 3, 3, 6)
    np.testing.assert_array_equal(y[..., 2:4], x[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., :2], 0)
    np.testing.assert_array_equal(y[..., 4:], 0)


def test_version_moves_the_stride_from_the_3x3_to_the_first_1x1():
    sizes = {}
    for version in (1, 1.5):
        block = BottleneckBlock(8, stride=2, version=version)
        rows = summarize(block, (12, 12, 16)).rows
        sizes[version] = {row.path: row.output_shape[0] for row in rows if row.output_shape}
    assert [sizes[1][f"conv{i}"] for i in (1, 2, 3)] == [6, 6, 6]
    assert [sizes[1.5][f"conv{i}"] for i in (1, 2, 3)] == [12, 6, 6]
    assert sizes[1]["proj"] == sizes[1.5]["proj"] == 6


def test_costs_of_a_bottleneck_against_two_3x3():
    def cost(block, channels):
        rows = summarize(block, (56, 56, channels)).rows
        convs = [row for row in rows if row.kind == "Conv"]
        return sum(row.params for row in convs), sum(row.macs for row in convs)

    narrow, bottleneck = cost(BasicBlock(64), 64), cost(BottleneckBlock(64), 256)
    wide = cost(BasicBlock(256), 256)
    assert (narrow[0], bottleneck[0], wide[0]) == (73_728, 69_632, 1_179_648)
    assert [f"{macs / 1e6:.1f}" for _, macs in (narrow, bottleneck)] == ["231.2", "218.4"]
    assert f"{wide[1] / 1e6:.0f}" == "3699"
    assert f"{wide[1] / bottleneck[1]:.1f}" == "16.9"


@pytest.mark.parametrize(
    ("block", "error"),
    [
        (BasicBlock(4, shortcut="D"), "shortcut is 'A', 'B', 'C' or None, not 'D'"),  # type: ignore
        (BasicBlock(4, shortcut="A"), "shortcut A cannot narrow 8 channels to 4"),
        (BottleneckBlock(4, version=2), "version of a bottleneck block is 1 or 1.5, not 2"),
    ],
)
def test_bad_fields_are_named(block, error):
    with pytest.raises(BadInputError, match=error):
        block.init(jax.random.key(0), jnp.ones((1, 4, 4, 8)), train=False)
