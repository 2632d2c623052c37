"""Fields that studies change: what they change, and that they change nothing else."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from cnn_jax import models, ops
from cnn_jax.analysis import summarize
from cnn_jax.nn.blocks.conv import ConvNormAct
from cnn_jax.nn.blocks.inception import Inception
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import compilation


def quickly(function, *args):
    """Return an untrained network's answer, compiled in a hurry."""
    return compilation.hurried(jax.jit(partial(function, train=False)), *args)(*args)


def shapes(name: str, size: tuple[int, int, int], **fields):
    module = models.create(name, num_classes=10, **fields)
    x = jnp.zeros((2, *size))
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    out = jax.eval_shape(lambda v: module.apply(v, x, train=False), variables)
    assert out.shape == (2, 10)
    leaves: dict[tuple[str, ...], Any] = dict(flatten_dict(variables))
    return {"/".join(path): leaf.shape for path, leaf in leaves.items()}


@pytest.mark.parametrize(
    ("name", "size", "fields"),
    [
        ("allcnn_c", (32, 32, 3), {"widths": (4, 8)}),
        ("lenet5", (32, 32, 1), {}),
        ("vgg11", (32, 32, 3), {"width": 2, "hidden": 8}),
    ],
)
def test_what_replaces_the_pool_leaves_the_other_shapes_alone(name, size, fields):
    pooled = shapes(name, size, downsample="pool", **fields)
    assert shapes(name, size, downsample="avg", **fields) == pooled
    assert shapes(name, size, downsample="stride", **fields) == pooled
    if name != "allcnn_c":
        assert shapes(name, size, downsample="blur", **fields) == pooled
    learned = shapes(name, size, downsample="conv", **fields)
    assert {path: learned[path] for path in pooled} == pooled
    added = set(learned) - set(pooled)
    assert added
    assert all(path.startswith("params/down") for path in added)


def test_macs_of_lenet5_by_hand():
    def macs(**fields):
        return summarize(models.create("lenet5", num_classes=10, **fields), (32, 32, 1)).macs

    dense = 400 * 120 + 120 * 84 + 84 * 10
    assert macs(downsample="avg") == 28**2 * 6 * 25 + 10**2 * 16 * 150 + dense
    assert macs(downsample="stride") == 14**2 * 6 * 25 + 5**2 * 16 * 150 + dense
    learned = 14**2 * 6 * 6 * 4 + 5**2 * 16 * 16 * 4
    assert macs(downsample="conv") == macs() + learned


@pytest.mark.parametrize("name", ["lenet5", "vgg11", "allcnn_c"])
def test_an_unknown_way_to_halve_is_refused(name):
    with pytest.raises(BadInputError, match="'max'"):
        shapes(name, (32, 32, 1), downsample="max")


def test_average_pooling_at_the_border_counts_pixels_alone():
    x = jnp.ones((1, 4, 4, 1))
    y = ops.avg_pool(x, 3, stride=2, padding="same", count_include_pad=False)
    np.testing.assert_allclose(y, np.ones((1, 2, 2, 1)), rtol=1e-6)


def test_without_batch_norm_the_parameters_stay_and_the_statistics_go():
    small = {"stages": (1, 1), "widths": (4, 6), "stem": "cifar"}
    made = {}
    for batch_norm in (True, False):
        module = models.create("resnet18", num_classes=10, batch_norm=batch_norm, **small)
        made[batch_norm] = quickly(module.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    assert set(made[False]) == {"params"}
    jax.tree.map(np.testing.assert_array_equal, made[True]["params"], made[False]["params"])


def test_without_batch_norm_the_output_grows_with_the_input():
    module = models.create("plain20", num_classes=10, batch_norm=False, stages=(1, 1, 1), width=2)
    x = jax.random.normal(jax.random.key(1), (3, 8, 8, 1))
    variables = quickly(module.init, jax.random.key(0), x)
    once = quickly(module.apply, variables, x)
    np.testing.assert_allclose(quickly(module.apply, variables, 4 * x), 4 * once, rtol=1e-4)


def test_widths_are_those_of_the_stages():
    found = shapes("resnet20", (8, 8, 1), widths=(3, 5, 7), shortcut="B", stages=(1, 1, 1))
    assert found["params/conv1/kernel"] == (3, 3, 1, 3)
    assert found["params/stage2_block1/conv1/kernel"] == (3, 3, 3, 5)
    assert found["params/head/kernel"] == (7, 10)
    with pytest.raises(BadInputError, match=r"widths \(3, 5\)"):
        shapes("resnet20", (8, 8, 1), widths=(3, 5))


def test_a_linear_reduction_lacks_its_relu_and_nothing_else():
    widths = (2, 2, 3, 2, 3, 2)
    x = jax.random.normal(jax.random.key(1), (2, 5, 5, 4))
    unit = partial(ConvNormAct, norm=None)
    plain, linear = (Inception(widths, linear=flag, unit=unit) for flag in (False, True))
    variables = quickly(plain.init, jax.random.key(0), x)
    same = jax.eval_shape(lambda: linear.init(jax.random.key(0), x, train=False))
    assert jax.tree.structure(variables) == jax.tree.structure(same)
    assert not np.allclose(quickly(plain.apply, variables, x), quickly(linear.apply, variables, x))
    # With biases that lift every reduction above zero there is nothing for the ReLU to do.
    for branch in ("b3x3_reduce", "b5x5_reduce"):
        variables["params"][branch]["conv"]["bias"] += 100.0
    lifted = [quickly(module.apply, variables, x) for module in (plain, linear)]
    np.testing.assert_allclose(*lifted, rtol=1e-5)


def test_inception_keeps_the_modules_that_are_named():
    fields = {"aux": False, "width": 0.125, "modules": ("3a", "4b")}
    found = shapes("inception_v1", (32, 32, 1), **fields)
    named = {path.split("/")[1] for path in found if "inception" in path}
    assert named == {"inception3a", "inception4b"}
    assert found["params/inception3a/b1x1/conv/kernel"] == (1, 1, 24, 8)
    with pytest.raises(BadInputError, match="'6a'"):
        shapes("inception_v1", (32, 32, 1), aux=False, modules=("6a",))


def test_squeezenet_scales_every_number_of_filters():
    found = shapes("squeezenet1_1", (32, 32, 1), width=0.25)
    assert found["params/conv1/kernel"] == (3, 3, 1, 16)
    assert found["params/fire2/squeeze/kernel"] == (1, 1, 16, 4)
    assert found["params/fire9/expand3x3/kernel"] == (3, 3, 16, 64)


def test_dropout_of_lenet5_acts_in_training_alone():
    module = models.create("lenet5", num_classes=10, dropout=0.5)
    x = jax.random.normal(jax.random.key(1), (2, 32, 32, 1))
    variables = quickly(module.init, jax.random.key(0), x)
    still = quickly(models.create("lenet5", num_classes=10).apply, variables, x)
    np.testing.assert_array_equal(quickly(module.apply, variables, x), still)

    def train(key):
        return module.apply(variables, x, train=True, rngs={"dropout": key})

    run = compilation.hurried(jax.jit(train), jax.random.key(0))
    assert not np.allclose(run(jax.random.key(0)), run(jax.random.key(1)))
