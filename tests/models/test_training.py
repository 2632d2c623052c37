"""Every network takes a training step under jit, in float32 and bfloat16, and compiles once."""

import zlib
from functools import partial
from typing import Any, cast

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.models import MODELS, create, image_shape

SIZES = {
    "inception_v3": 299,
    "inception_v1": 79,
    "alexnet": 63,
    "alexnet_2012": 67,
    "zfnet": 47,
    **{name: 32 for name in MODELS if name.startswith(("vgg", "squeezenet", "googlenet"))},
    **{name: 8 for name in MODELS if name.startswith(("resnet", "plain", "allcnn", "nin"))},
    # Statistics of four values, all that 8x8 images leave in the last stage, would make the
    # gradients of 150 layers overflow.
    **{f"resnet{depth}": 64 for depth in (101, 152)},
}
# One of each block; the others differ in their tables alone and are trained by the slow test.
QUICK = {
    "mlp": {},
    "lenet5_classic": {},
    "alexnet_2012": {"hidden": (16, 16)},
    "resnet20": {"stages": (1, 1)},
    "resnet50": {"stages": (1, 1), "width": 8},
    "allcnn_c": {},
}

# What is compiled runs twice: optimising it would take longer than it saves.
UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def drawn(module, images, seed=0):
    """Return variables of a network drawn with NumPy: compiling the initialisers takes longer."""
    x = jax.ShapeDtypeStruct(images.shape, images.dtype)
    shapes = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), x)

    def draw(path, leaf):
        if path[-1] != "kernel":
            return jnp.full(leaf.shape, float(path[-1] in ("scale", "var")), leaf.dtype)
        rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.asarray(scale * rng.standard_normal(leaf.shape, np.float32), leaf.dtype)

    flat = flax.traverse_util.flatten_dict(shapes)
    return flax.traverse_util.unflatten_dict(
        {path: draw(path, leaf) for path, leaf in flat.items()}
    )


def train_twice(name, dtype, **values):
    module = create(name, num_classes=4, dtype=dtype, **values)
    size = SIZES.get(name, 32)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((4, size, size, 3), np.float32))
    labels = jnp.arange(4)
    variables = drawn(module, images)

    @partial(jax.jit, compiler_options=UNOPTIMISED)
    def step(variables, key):
        def loss(params):
            outputs, state = module.apply(
                variables | {"params": params},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            heads = outputs if isinstance(outputs, tuple) else (outputs,)
            losses = [-jax.nn.log_softmax(y)[labels, labels].mean() for y in heads]
            return losses[0] + 0.3 * sum(losses[1:]), state

        (value, state), slope = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        params = jax.tree.map(lambda p, g: p - 1e-3 * g, variables["params"], slope)
        return variables | state | {"params": params}, value

    once, first = step(variables, jax.random.key(0))
    twice, second = step(once, jax.random.key(1))
    assert cast(Any, step)._cache_size() == 1
    assert np.isfinite([first, second]).all()
    flat: Any = flax.traverse_util.flatten_dict
    for path, leaf in flat(twice).items():
        before = flat(variables)[path]
        assert leaf.dtype == before.dtype == jnp.float32, path
        if path[0] == "batch_stats":
            assert np.any(leaf != before), path
    kernels = flat(twice["params"], sep="/")
    for path, before in flat(variables["params"], sep="/").items():
        if path.endswith("kernel"):
            assert np.any(kernels[path] != before), f"{path} has no gradient"


@pytest.mark.parametrize("name", QUICK)
def test_a_step_in_float32(name):
    train_twice(name, jnp.float32, **QUICK[name])


@pytest.mark.parametrize("name", ["resnet20", "lenet5_classic"])
def test_a_step_in_bfloat16(name):
    train_twice(name, jnp.bfloat16, **QUICK[name])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "resnet1202"])
def test_every_model_takes_a_step(name, dtype):
    hidden = {"hidden": (16, 16)} if "alex" in name or name == "zfnet" else {}
    values = {"hidden": 16} if name.startswith("vgg") else hidden
    train_twice(name, dtype, **values)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name == "resnet1202" else ()) for name in MODELS],
)
def test_every_model_survives_abstract_training_at_full_size(name):
    module = create(name, num_classes=1000)
    x = jax.ShapeDtypeStruct((256, *image_shape(name)), jnp.float32)
    variables = jax.eval_shape(partial(module.init, train=True), jax.random.key(0), x)

    rngs = {"dropout": jax.random.key(0)}
    train = partial(module.apply, train=True, mutable=["batch_stats"], rngs=rngs)
    outputs, _ = jax.eval_shape(train, variables, x)
    assert {leaf.shape for leaf in jax.tree.leaves(outputs)} == {(256, 1000)}
