"""GoogLeNet's table 1 module by module, and the factorised modules' outputs."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.analysis import summarize
from cnn_jax.nn.blocks import (
    ConvNormAct,
    Inception,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

# module: widths, input side and channels, parameters with biases, mega-MACs, naive mega-MACs
TABLE = {
    "3a": ((64, 96, 128, 16, 32, 32), 28, 192, 163_696, "128.0", "303.5"),
    "3b": ((128, 128, 192, 32, 96, 64), 28, 256, 388_736, "304.3", "854.2"),
    "4a": ((192, 96, 208, 16, 48, 64), 14, 480, 376_176, "73.6", "307.1"),
    "4b": ((160, 112, 224, 24, 64, 64), 14, 512, 449_160, "87.9", "378.9"),
    "4c": ((128, 128, 256, 24, 64, 64), 14, 512, 510_104, "99.9", "404.6"),
    "4d": ((112, 144, 288, 32, 64, 64), 14, 512, 605_376, "118.5", "431.9"),
    "4e": ((256, 160, 320, 32, 128, 128), 14, 528, 868_352, "170.0", "655.7"),
    "5a": ((256, 160, 320, 32, 128, 128), 7, 832, 1_043_456, "51.1", "258.3"),
    "5b": ((384, 192, 384, 48, 128, 128), 7, 832, 1_444_080, "70.7", "287.0"),
}
biased = partial(ConvNormAct, norm=None)


@pytest.mark.parametrize("at", TABLE)
def test_modules_of_table_1_reduced_and_naive(at):
    widths, side, channels, params, macs, naive_macs = TABLE[at]
    reduced = summarize(Inception(widths, unit=biased), (side, side, channels))
    naive = summarize(Inception(widths, reduce=False, unit=biased), (side, side, channels))
    assert reduced.params == params
    assert f"{reduced.macs / 1e6:.1f}" == macs
    assert f"{naive.macs / 1e6:.1f}" == naive_macs


def test_weights_of_3a_without_biases_and_its_5x5_branch():
    widths, side, channels, *_ = TABLE["3a"]
    counted = {}
    for reduce in (True, False):
        module = Inception(widths, reduce=reduce, unit=ConvNormAct)
        rows = summarize(module, (side, side, channels)).rows
        counted[reduce] = {row.path: row for row in rows}
    weights = {
        reduce: sum(row.params for path, row in rows.items() if path.endswith("conv"))
        for reduce, rows in counted.items()
    }
    assert weights == {False: 387_072, True: 163_328}
    assert counted[False]["b5x5/conv"].macs == 120_422_400
    through_16 = [counted[True][path].macs for path in ("b5x5_reduce/conv", "b5x5/conv")]
    assert sum(through_16) == 12_443_648


def test_a_naive_module_passes_the_pool_through_as_its_last_channels():
    x = jax.random.normal(jax.random.key(0), (1, 6, 6, 3))
    module = Inception((1, 1, 2, 1, 1, 1), reduce=False, unit=biased)
    y = module.apply(module.init(jax.random.key(1), x, train=False), x, train=False)
    assert isinstance(y, jax.Array)
    assert y.shape == (1, 6, 6, 1 + 2 + 1 + 3)
    pooled = np.full((1, 6, 6, 3), -np.inf)
    for row in range(6):
        for column in range(6):
            around = x[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            pooled[:, row, column] = around.max((1, 2))
    np.testing.assert_array_equal(y[..., -3:], pooled)


@pytest.mark.parametrize(
    ("module", "channels", "shape"),
    [
        (InceptionA(pool_features=32), 192, (35, 35, 256)),
        (InceptionA(pool_features=64), 256, (35, 35, 288)),
        (InceptionB(), 288, (17, 17, 768)),
        (InceptionC(width=128), 768, (35, 35, 768)),
        (InceptionD(), 768, (17, 17, 1280)),
        (InceptionE(), 1280, (35, 35, 2048)),
    ],
)
def test_shapes_of_the_factorised_modules(module, channels, shape):
    x = jax.ShapeDtypeStruct((1, 35, 35, channels), jnp.float32)
    y, _ = jax.eval_shape(partial(module.init_with_output, train=False), jax.random.key(0), x)
    assert y.shape == (1, *shape)


def test_a_factorised_7x7_sees_what_it_replaces_at_two_sevenths_of_the_weights():
    rows = {row.path: row for row in summarize(InceptionC(width=128), (17, 17, 768)).rows}
    chain = [rows[f"b7x7_{i}/conv"] for i in (2, 3)]
    assert chain[0].receptive_field == (1, 7)
    assert chain[1].receptive_field == 7
    assert chain[0].params * 7 == 7 * 7 * 128 * 128


def run(module, variables, *args, **fields) -> Any:
    """Apply a module; its type says that there might be a state too."""
    return module.apply(variables, *args, **fields)


def test_conv_norm_act_has_a_bias_only_without_normalisation():
    x = jnp.ones((1, 4, 4, 2))
    shapes = {}
    for norm in (None, ConvNormAct.norm):
        variables = ConvNormAct(3, norm=norm).init(jax.random.key(0), x, train=False)
        shapes[norm is None] = jax.tree.map(jnp.shape, variables["params"])
    assert shapes[True] == {"conv": {"kernel": (3, 3, 2, 3), "bias": (3,)}}
    assert shapes[False] == {
        "conv": {"kernel": (3, 3, 2, 3)},
        "bn": {"scale": (3,), "bias": (3,)},
    }


def test_conv_norm_act_computes_a_convolution_then_relu():
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    unit = ConvNormAct(4, 3, 2, norm=None)
    variables = unit.init(jax.random.key(1), x, train=False)
    kernel = np.asarray(jax.tree.leaves(variables["params"]["conv"])[-1])
    padded = np.pad(np.asarray(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((2, 3, 3, 4))
    for row, column in np.ndindex(3, 3):
        window = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected[:, row, column] = np.einsum("nijc,ijco->no", window, kernel)
    y = run(unit, variables, x, train=False)
    np.testing.assert_allclose(y, np.maximum(expected, 0), rtol=1e-5, atol=1e-5)
