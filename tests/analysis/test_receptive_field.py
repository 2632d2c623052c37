"""Receptive fields against three independent derivations: by hand, by recursion, by gradients."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.analysis import summarize
from cnn_jax.models import create
from cnn_jax.nn import layers


def fields_and_jumps(module, shape):
    rows = summarize(module, shape).rows
    return {row.path: (row.receptive_field, row.jump) for row in rows}


def chain(*windows):
    """Return field and jump after each (name, window, stride): r += (k - 1) j, then j *= s."""
    field, jump, found = 1, 1, {}
    for name, window, stride in windows:
        field, jump = field + (window - 1) * jump, jump * stride
        found[name] = (field, jump)
    return found


ALEXNET = [
    *(("conv1", 11, 4), ("max_pool_1", 3, 2), ("conv2", 5, 1), ("max_pool_2", 3, 2)),
    *(("conv3", 3, 1), ("conv4", 3, 1), ("conv5", 3, 1), ("max_pool_3", 3, 2)),
]
VGG16 = []
for stage, convs in enumerate((2, 2, 3, 3, 3), 1):
    VGG16 += [(f"conv{stage}_{index}", 3, 1) for index in range(1, convs + 1)]
    VGG16.append((f"max_pool_{stage}", 2, 2))


@pytest.mark.parametrize(
    ("name", "windows", "last"),
    # The last figures are in the literature too (Araujo et al. 2019, table 1).
    [("alexnet", ALEXNET, 195), ("vgg16", VGG16, 212)],
)
def test_every_convolution_and_pool_of_a_chain(name, windows, last):
    found = fields_and_jumps(create(name, num_classes=10), (224, 224, 3))
    expected = chain(*windows)
    assert {path: found[path] for path in expected} == expected
    assert list(expected.values())[-1][0] == last


@pytest.mark.parametrize("version", [1, 1.5])
def test_every_convolution_of_resnet50(version):
    windows = [("conv1", 7, 2), ("max_pool_1", 3, 2)]
    projections = {}
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(1, blocks + 1):
            at = f"stage{stage}_block{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            if block == 1:  # a 1x1 from where the block starts
                before = chain(*windows)[windows[-1][0]]
                projections[f"{at}/proj"] = (before[0], before[1] * stride)
            first, second = (stride, 1) if version == 1 else (1, stride)
            windows += [(f"{at}/conv1", 1, first), (f"{at}/conv2", 3, second)]
            windows.append((f"{at}/conv3", 1, 1))
    found = fields_and_jumps(create("resnet50", num_classes=10, version=version), (224, 224, 3))
    expected = chain(*windows) | projections
    convs = {path for path in found if path.rpartition("/")[2].startswith(("conv", "proj"))}
    assert convs - {path for path in convs if path.endswith("_bn")} <= set(expected)
    assert {path: found[path] for path in expected} == expected
    assert found["stage4_block3/conv3"] == ((483, 32) if version == 1 else (427, 32))


class Stack(nn.Module):
    """3×3 convolutions with a 2×2/2 max-pool between, or without."""

    pool: bool

    @nn.compact
    def __call__(self, x):
        x = layers.Conv(1, 3, name="conv1")(x)
        if self.pool:
            x = ops.max_pool(x, 2)
        x = layers.Conv(1, 3, name="conv2")(x)
        return layers.Conv(1, 3, name="conv3")(x)


def test_the_lectures_stacks_of_3x3():
    plain = fields_and_jumps(Stack(pool=False), (16, 16, 1))
    assert [plain[f"conv{i}"] for i in (1, 2, 3)] == [(3, 1), (5, 1), (7, 1)]
    pooled = fields_and_jumps(Stack(pool=True), (16, 16, 1))
    assert [pooled[path][0] for path in ("conv1", "max_pool_1", "conv2")] == [3, 4, 8]


class Tangle(nn.Module):
    """Branches, dilation, uneven fields, strided slices, transposes and padding by hand."""

    @nn.compact
    def __call__(self, x):
        x = layers.Conv(2, (3, 5), stride=(2, 1), name="conv1")(x)
        left = layers.Conv(2, 3, dilation=2, name="left")(x)
        right = ops.avg_pool(x, 3, stride=1, padding="same")
        x = left + jnp.concatenate([right[..., :1], x[..., 1:]], axis=-1)
        x = jnp.pad(x, ((0, 0), (2, 0), (0, 1), (0, 0)))[:, 1::2, ::2]
        x = jnp.swapaxes(x, 1, 2)
        x = layers.Conv(3, (1, 3), padding="valid", name="turned")(x)
        x = jnp.swapaxes(x, 1, 2).reshape(x.shape[0], x.shape[2], x.shape[1], 3)
        return layers.Conv(1, 1, name="last")(x)


def test_a_tangle_of_operators_sees_what_its_gradient_says():
    module, shape = Tangle(), (48, 40, 2)
    field, jump = fields_and_jumps(module, shape)["last"]
    x = jax.random.normal(jax.random.key(0), (1, *shape))
    variables = module.init(jax.random.key(1), x)

    def seen(row, column):
        def output(x) -> Any:
            return module.apply(variables, x)

        slope = jax.grad(lambda x: output(x)[0, row, column, 0])(x)
        rows, columns = np.nonzero(np.abs(slope[0]).sum(-1))
        return rows.min(), rows.max(), columns.min(), columns.max()

    top, bottom, left, right = seen(5, 8)
    assert field == (bottom - top + 1, right - left + 1)
    below, _, beside, _ = seen(6, 9)
    assert jump == (below - top, beside - left)


def test_a_dense_layer_sees_all_and_has_no_jump():
    found = fields_and_jumps(create("lenet5", num_classes=10), (32, 32, 1))
    assert found["conv3"] == (14, 2)
    assert found["fc5"] == (32, None)


def test_channels_reduced_and_split_leave_the_field_alone():
    class Gate(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = layers.Conv(4, 3, name="conv1")(x)
            a, b = jnp.split(x, 2, axis=-1)
            x = nn.softmax(a, axis=-1) * b / b.max(axis=-1, keepdims=True)
            return layers.Conv(1, 3, name="conv2")(x)

    assert fields_and_jumps(Gate(), (9, 9, 1))["conv2"] == (5, 1)


def test_an_upsampled_field_is_left_open():
    class Up(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.ConvTranspose(2, (3, 3), strides=(2, 2), name="up")(x)
            return layers.Conv(1, 3, name="conv")(x)

    found = fields_and_jumps(Up(), (9, 9, 1))
    assert found == {"up": (None, None), "conv": (None, None)}
