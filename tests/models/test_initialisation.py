"""Initial values are a function of the seed and the parameter's path, and of nothing else."""

from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.models import create
from cnn_jax.nn import layers


def start(name, seed=0, size=32, channels=3, classes=10, **fields) -> Any:
    """Return initial parameters by path."""
    module = create(name, num_classes=classes, **fields)
    key = jax.random.key(seed, impl="rbg")  # compiles in a tenth of the time
    variables = module.init(key, jnp.zeros((1, size, size, channels)), train=False)
    return flax.traverse_util.flatten_dict(variables["params"], sep="/")


def assert_shared(one, other, least):
    """Check that kernels agree wherever path and shape do, at ``least`` that many times."""
    shared = [p for p in one if p in other and one[p].shape == other[p].shape]
    assert sum(path.endswith("kernel") for path in shared) >= least
    for path in shared:
        np.testing.assert_array_equal(one[path], other[path], err_msg=path)


@pytest.mark.parametrize(
    ("left", "right", "shared"),
    [
        (("resnet20", {"stages": (1, 1)}), ("plain20", {"stages": (1, 1)}), 6),
        (("resnet20", {"stages": (1, 1)}), ("resnet20", {"stages": (1, 1), "shortcut": "B"}), 6),
        # A deeper arm starts from the shallower one's values in the layers that both have.
        (("resnet20", {"stages": (1, 1)}), ("resnet20", {"stages": (2, 1)}), 6),
        (
            ("allcnn_c", {"widths": (4, 6), "downsample": "convpool"}),
            ("allcnn_c", {"widths": (4, 6), "downsample": "conv"}),
            9,
        ),
        (
            ("allcnn_c", {"widths": (4, 6), "downsample": "pool"}),
            ("allcnn_c", {"widths": (4, 6), "downsample": "convpool"}),
            7,
        ),
    ],
)
def test_arms_of_a_study_share_their_start_wherever_path_and_shape_agree(left, right, shared):
    assert_shared(start(left[0], **left[1]), start(right[0], **right[1]), shared)


def test_a_bias_more_or_less_leaves_the_kernels_alone():
    x, key = jnp.ones((1, 4, 4, 2)), jax.random.key(3)
    kernels = [
        layers.Conv(3, use_bias=use_bias).init(key, x)["params"]["kernel"]
        for use_bias in (True, False)
    ]
    np.testing.assert_array_equal(kernels[0], np.asarray(kernels[1]))


def test_seeds_and_paths_tell_kernels_apart():
    params = start("resnet20", stages=(2, 1))
    same_shape = [params[f"stage1_block{b}/conv{c}/kernel"] for b in (1, 2) for c in (1, 2)]
    same_shape.append(start("resnet20", seed=1, stages=(2, 1))["stage1_block1/conv1/kernel"])
    for i, one in enumerate(same_shape):
        for other in same_shape[:i]:
            assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize(
    "name", ["resnet110", "resnet152", "googlenet", "inception_v3", "vgg19_bn"]
)
def test_no_two_paths_run_together_into_the_same_key(name):
    # Linen joins the names on the way without a separator: ("a1", "b") and ("a", "1b") would meet.
    module = create(name, num_classes=2)
    x = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), x)
    kernels = [p for p in flax.traverse_util.flatten_dict(variables["params"]) if p[-1] == "kernel"]
    assert len({"".join(path) for path in kernels}) == len(kernels)


def test_kernels_before_relu_start_as_he_et_al_say():
    params = start("resnet20", stages=(1, 1), classes=100)
    fans = {"stage1_block1/conv2": 9 * 16, "stage2_block1/conv2": 9 * 32, "head": 32}
    for path, fan_in in fans.items():
        kernel = np.asarray(params[f"{path}/kernel"])
        # The sample's standard deviation is within 4 / sqrt(2 n) of the true one.
        tolerance = 4 / np.sqrt(2 * kernel.size)
        np.testing.assert_allclose(kernel.std(), np.sqrt(2 / fan_in), rtol=tolerance)
        assert abs(kernel.mean()) < 4 * kernel.std() / np.sqrt(kernel.size)
    assert all(not np.any(value) for path, value in params.items() if path.endswith("bias"))


def test_alexnet_2012_starts_as_published():
    params = start("alexnet_2012", size=67, widths=(8, 16, 16, 16, 16), hidden=(16, 16))
    for path, value in params.items():
        layer, leaf = path.split("/")
        if leaf == "bias":
            ones = layer in ("conv2", "conv4", "conv5", "fc6", "fc7")
            np.testing.assert_array_equal(value, 1.0 if ones else 0.0, err_msg=path)
        else:
            np.testing.assert_allclose(value.std(), 0.01, rtol=4 / np.sqrt(2 * value.size))


def test_the_classic_lenets_start_within_their_uniform_bounds():
    params = start("lenet5_classic", channels=1)
    bounds = {"conv1/kernel": 2.4 / 25, "fc5/kernel": 2.4 / 400, "fc6/kernel": 2.4 / 120}
    for path, bound in bounds.items():
        largest = np.abs(params[path]).max()
        assert 0.9 * bound < largest <= bound, path
    sparse = np.abs(params["conv3/kernel"]).max((0, 1))
    assert sparse[:3].max() <= 2.4 / 75 < np.abs(params["conv3/kernel"]).max() + 2.4 / 300
    assert np.abs(sparse[-6:]).max() <= 2.4 / 150
