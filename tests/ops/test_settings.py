"""Under jax's own settings and in jax.export operators and layers work where Flax's do.

``jax.disable_jit()`` to step through a program, ranks and types that have to agree, and shapes
that an exported program leaves open.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from cnn_jax import models, ops
from cnn_jax.nn import blocks, layers
from cnn_jax.ops import norm
from cnn_jax.ops.adaptive import adaptive_avg_pool
from cnn_jax.tasks.losses import cross_entropy

KEY = jax.random.key(0)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


X, SCALE = draw(2, 8, 9, 4), jnp.linspace(0.5, 2, 4)


def kernel(*shape):
    return draw(*shape, seed=1)


def bound(x):
    """Normalise as maps too large for XLA's own gradient are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(norm, "_SMALL", 0)
        return ops.batch_norm(x, SCALE, SCALE)[0]


OPERATORS = {
    "conv2d": lambda x: ops.conv2d(x, kernel(3, 3, 4, 6), padding="same"),
    "conv2d strided": lambda x: ops.conv2d(x, kernel(3, 2, 4, 6), stride=2, padding=1),
    "conv2d pointwise": lambda x: ops.conv2d(x, kernel(1, 1, 4, 6)),
    "conv2d banded": lambda x: ops.conv2d(x, kernel(5, 5, 4, 6), padding=2),
    "conv2d grouped": lambda x: ops.conv2d(x, kernel(3, 3, 2, 6), groups=2, dilation=2),
    "convolve2d": lambda x: ops.convolve2d(x, kernel(3, 3, 4, 6)),
    "depthwise_conv2d": lambda x: ops.depthwise_conv2d(x, kernel(3, 3, 1, 4), padding=1),
    "max_pool": lambda x: ops.max_pool(x, 3, stride=2, padding=1),
    "max_pool ceil_mode": lambda x: ops.max_pool(x, 3, stride=2, ceil_mode=True),
    "avg_pool": lambda x: ops.avg_pool(x, 2),
    "avg_pool ceil_mode": lambda x: ops.avg_pool(x, 3, stride=2, padding=1, ceil_mode=True),
    "avg_pool uncounted": lambda x: ops.avg_pool(x, 3, padding=1, count_include_pad=False),
    "global_avg_pool": ops.global_avg_pool,
    "adaptive_avg_pool": lambda x: adaptive_avg_pool(x, 3),
    "local_response_norm": ops.local_response_norm,
    "batch_norm": lambda x: ops.batch_norm(x, SCALE, SCALE)[0],
    "batch_norm bound": bound,
    "batch_norm ghost": lambda x: ops.batch_norm(x, SCALE, SCALE, stat_batch=1)[0],
    "add_relu": lambda x: ops.add_relu(x, x),
    "cross_entropy": lambda x: cross_entropy(x.reshape(x.shape[0], -1), jnp.arange(2), 0.1),
}
operators = pytest.mark.parametrize("name", OPERATORS)

# Layers by their constructor; those that BatchNorm and Dropout stand for are called to train.
LAYERS: dict[str, Any] = {
    "Conv": partial(layers.Conv, 6),
    "Conv strided": partial(layers.Conv, 6, (3, 2), 2, 1, groups=2),
    "Dense": partial(layers.Dense, 6),
    "BatchNorm": layers.BatchNorm,
    "BatchNorm unbiased": partial(layers.BatchNorm, unbiased=True),
    "Affine": layers.Affine,
    "Dropout": partial(layers.Dropout, 0.5),
    **{f"Downsample {kind}": partial(layers.Downsample, kind) for kind in ("stride", "max", "avg")},
    **{f"Downsample {kind}": partial(layers.Downsample, kind) for kind in ("conv", "blur")},
    "ConvNormAct": partial(blocks.ConvNormAct, 6),
    "BasicBlock": partial(blocks.BasicBlock, 6, 2),
    "BasicBlock A": partial(blocks.BasicBlock, 6, 2, "A"),
    "BottleneckBlock": partial(blocks.BottleneckBlock, 6),
    "SeparableBlock": partial(blocks.SeparableBlock, 6, 2),
    "Fire": partial(blocks.Fire, 2, 2, "simple"),
    "Inception": partial(blocks.Inception, (2, 2, 2, 2, 2, 2)),
}
TRAINED = (layers.BatchNorm, layers.Affine, layers.Dropout, blocks.ConvNormAct, blocks.BasicBlock)
TRAINED = (*TRAINED, blocks.BottleneckBlock, blocks.SeparableBlock, blocks.Inception)
every_layer = pytest.mark.parametrize("name", LAYERS)


def called(layer: nn.Module, train=True):
    """Return the function of images that a layer with given weights is, and what it updates."""
    how: dict[str, Any] = {"train": train} if isinstance(layer, TRAINED) else {}
    variables = jax.jit(partial(layer.init, **how))(KEY, X)

    def call(x):
        rngs = {"dropout": KEY}
        return layer.apply(variables, x, **how, rngs=rngs, mutable=["batch_stats"])

    return call


def differentiated(function):
    """Return value, gradient, Hessian-vector product and ``vmap`` of a function of images."""

    def loss(x):
        return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(function(x)))

    def every(x):
        gradient = jax.grad(loss)
        return (
            function(x),
            gradient(x),
            jax.jvp(gradient, (x,), (jnp.cos(x),))[1],
            jax.vmap(function)(jnp.stack([x, x + 1])),
        )

    return every


def close(found, expected, tolerance=1e-4):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * (1 + np.abs(b).max()))


@operators
def test_operators_without_jit(name):
    """Value, first and second derivatives and vmap are those of the compiled program."""
    every, x = differentiated(OPERATORS[name]), X[:, :6, :7]
    expected = jax.jit(every)(x)
    with jax.disable_jit():
        close(every(x), expected)


@pytest.mark.parametrize("name", ["conv2d", "depthwise_conv2d", "max_pool", "avg_pool", "add_relu"])
def test_xlas_operators_without_jit(name):
    every, x = differentiated(OPERATORS[name]), X[:, :6, :7]
    with ops.stock():
        expected = jax.jit(every)(x)
        with jax.disable_jit():
            close(every(x), expected)


@every_layer
def test_layers_without_jit(name):
    call = called(LAYERS[name]())
    expected = jax.jit(call)(X)
    with jax.disable_jit():
        close(call(X), expected)


SMALL: dict[str, tuple[Any, tuple[int, ...]]] = {
    "lenet5": ({}, (2, 32, 32, 1)),
    "resnet20": ({}, (2, 12, 12, 3)),
    "mobilenet_v1": ({"width": 0.25}, (2, 32, 32, 3)),
    "squeezenet1_1": ({}, (2, 32, 32, 3)),
}


@pytest.mark.parametrize("name", ["lenet5", pytest.param("resnet20", marks=pytest.mark.slow)])
def test_models_without_jit(name):
    fields, shape = SMALL[name]
    module, x = models.create(name, num_classes=10, **fields), draw(*shape)
    variables = jax.jit(partial(module.init, train=False))(KEY, x)

    def gradient(variables, x):
        def loss(params):
            logits = module.apply({**variables, "params": params}, x, train=False)
            return cross_entropy(logits, jnp.arange(2)).mean()  # type: ignore[arg-type]

        return jax.value_and_grad(loss)(variables["params"])

    expected = jax.jit(gradient)(variables, x)
    with jax.disable_jit():
        close(gradient(variables, x), expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@operators
def test_operators_where_ranks_and_types_have_to_agree(name, dtype):
    """No array is broadcast to a higher rank, none is promoted without a word."""
    operator = OPERATORS[name]
    if dtype != jnp.float32 and name.startswith(("conv", "depthwise")):
        pytest.skip("filters of another type")

    def both(x):
        return operator(x), jax.grad(lambda x: operator(x).astype(jnp.float32).sum())(x)

    x = X.astype(dtype)
    expected = jax.jit(lambda x: both(x))(x)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        close(jax.jit(lambda x: both(x))(x), expected)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@every_layer
def test_layers_where_ranks_and_types_have_to_agree(name, dtype):
    make = LAYERS[name]
    constructor = make.func if isinstance(make, partial) else make
    if hasattr(constructor, "dtype"):
        make = partial(make, dtype=dtype)
    elif dtype != jnp.float32:
        pytest.skip("takes its types from the layers in it")
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        for train in (False, True):
            jax.eval_shape(called(make(), train), X.astype(dtype))


def exported(function, **how):
    """Export a function of images ``[b, h, w, 4]`` and return it as a call of the program."""
    shape = export.symbolic_shape("b, h, w, 4", **how)
    program = export.export(jax.jit(function))(jax.ShapeDtypeStruct(shape, jnp.float32))
    return jax.jit(program.call)


@pytest.mark.parametrize("stock", [False, True])
@operators
def test_operators_of_open_shapes(name, stock):
    """One program for every batch, height and width."""
    operator = OPERATORS[name]
    if name == "cross_entropy":
        operator = lambda x: cross_entropy(x.mean((1, 2)), jnp.zeros(x.shape[0], int), 0.1)  # noqa: E731
    if stock:
        with ops.stock():
            program = exported(operator)
    else:
        program = exported(operator)
    for shape in ((2, 8, 9, 4), (3, 13, 7, 4)):
        close(program(draw(*shape)), jax.jit(operator)(draw(*shape)))


@pytest.mark.parametrize("name", ["conv2d", "max_pool", "avg_pool", "batch_norm", "add_relu"])
def test_gradients_of_open_shapes(name):
    """Of a strided convolution neither jax nor Flax exports it."""
    gradient = jax.grad(lambda x: jnp.sin(OPERATORS[name](x)).sum())
    program = exported(gradient)
    close(program(X), jax.jit(gradient)(X))


def test_windows_of_open_size():
    """A pool over the whole image, whatever its size, as Flax's."""
    for pool, over in ((ops.avg_pool, jnp.mean), (ops.max_pool, jnp.max)):
        program = exported(lambda x, pool=pool: pool(x, x.shape[1:3]))
        np.testing.assert_allclose(program(X)[:, 0, 0], over(X, (1, 2)), rtol=1e-5, atol=1e-6)


@every_layer
def test_layers_of_open_shapes(name):
    call = called(LAYERS[name]())
    program = exported(call)
    x = draw(3, 11, 10, 4)
    close(program(x), jax.jit(call)(x))


def test_an_open_batch_that_maps_over_closed_images():
    """The examples' own shapes are known; how many there are is not."""
    function = jax.vmap(lambda x: ops.max_pool(ops.conv2d(x[None], kernel(3, 3, 4, 6)), 2)[0])
    (b,) = export.symbolic_shape("b")
    program = export.export(jax.jit(function))(jax.ShapeDtypeStruct((b, 8, 9, 4), jnp.float32))
    close(jax.jit(program.call)(draw(5, 8, 9, 4)), function(draw(5, 8, 9, 4)))


@pytest.mark.parametrize(
    "name", ["lenet5", *(pytest.param(n, marks=pytest.mark.slow) for n in list(SMALL)[1:])]
)
def test_models_of_open_shapes(name):
    """Of an open batch, and of open rows and columns where the network has no fixed size."""
    fields, shape = SMALL[name]
    module = models.create(name, num_classes=10, **fields)
    variables = jax.jit(partial(module.init, train=False))(KEY, draw(*shape))
    sides = "32, 32" if name == "lenet5" else "h, w"
    spec = export.symbolic_shape(f"b, {sides}, {shape[3]}")

    def function(x):
        return module.apply(variables, x, train=False)

    program = export.export(jax.jit(function))(jax.ShapeDtypeStruct(spec, jnp.float32))
    others = [shape] if name == "lenet5" else [shape, (1, shape[1] + 9, shape[2] + 4, shape[3])]
    for other in others:
        x = draw(*other)
        close(jax.jit(program.call)(x), jax.jit(function)(x))


FAMILIES = {
    "mlp": (28, 28, 1),
    "lenet1": (28, 28, 1),
    "lenet5_classic": (32, 32, 1),
    "alexnet_2012": (227, 227, 3),
    "zfnet": (224, 224, 3),
    "vgg11_bn": (224, 224, 3),
    "googlenet": (224, 224, 3),
    "inception_v3": (299, 299, 3),
    "resnet20": (32, 32, 3),
    "mobilenet_v1": (32, 32, 3),
    "squeezenet1_0": (224, 224, 3),
    "nin": (32, 32, 3),
    "allcnn_c": (32, 32, 3),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_models_where_ranks_and_types_have_to_agree(name):
    module = models.create(name, num_classes=10)
    x = jax.ShapeDtypeStruct((2, *FAMILIES[name]), jnp.float32)

    def trained(x):
        variables = module.init(KEY, x, train=False)
        return module.apply(
            variables, x, train=True, rngs={"dropout": KEY}, mutable=["batch_stats"]
        )

    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        jax.eval_shape(trained, x)
