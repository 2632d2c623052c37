"""Where strides, sizes and projections are, stage by stage, and what the fields change."""

from functools import partial
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.analysis import summarize
from cnn_jax.models import MODELS, create
from cnn_jax.models.allcnn import KERNEL_SIZES


def shapes(name, shape, **fields):
    """Return output shapes by path."""
    rows = summarize(create(name, num_classes=10, **fields), shape).rows
    return {row.path: row.output_shape for row in rows if row.output_shape is not None}


def layers_of(name, size, **fields):
    """Return the paths of the modules that own parameters."""
    module = create(name, num_classes=10, **fields)
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    variables = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), x)
    return {"/".join(path[:-1]) for path in flax.traverse_util.flatten_dict(variables["params"])}


def projections(name, size, **fields):
    return {path for path in layers_of(name, size, **fields) if path.endswith("proj")}


@pytest.mark.parametrize(
    ("name", "shape", "sizes"),
    [
        (
            "zfnet",
            (224, 224, 3),
            {"conv1": 110, "max_pool_1": 55, "conv2": 26, "max_pool_2": 13, "max_pool_3": 6},
        ),
        (
            "alexnet_2012",
            (227, 227, 3),
            {"conv1": 55, "max_pool_1": 27, "conv2": 27, "max_pool_2": 13, "max_pool_3": 6},
        ),
        (
            "alexnet",
            (224, 224, 3),
            {"conv1": 55, "max_pool_1": 27, "conv2": 27, "max_pool_2": 13, "max_pool_3": 6},
        ),
        (
            "vgg16",
            (224, 224, 3),
            {
                "max_pool_1": 112,
                "max_pool_2": 56,
                "max_pool_3": 28,
                "max_pool_4": 14,
                "conv5_3": 14,
            },
        ),
        (
            "googlenet",
            (224, 224, 3),
            {
                "conv1/conv": 112,
                "max_pool_1": 56,
                "max_pool_2": 28,
                "inception3b/b1x1/conv": 28,
                "max_pool_3": 14,
                "inception4e/b1x1/conv": 14,
                "max_pool_4": 7,
                "inception5b/b1x1/conv": 7,
            },
        ),
        (
            "inception_v3",
            (299, 299, 3),
            {
                "conv1a/conv": 149,
                "conv2a/conv": 147,
                "conv2b/conv": 147,
                "max_pool_1": 73,
                "conv4a/conv": 71,
                "max_pool_2": 35,
                "inception5d/b1x1/conv": 35,
                "inception6e/b1x1/conv": 17,
                "inception7c/b1x1/conv": 8,
            },
        ),
        (
            "resnet50",
            (224, 224, 3),
            {
                "conv1": 112,
                "max_pool_1": 56,
                "stage1_block3/conv3": 56,
                "stage2_block4/conv3": 28,
                "stage3_block6/conv3": 14,
                "stage4_block3/conv3": 7,
            },
        ),
        (
            "resnet20",
            (32, 32, 3),
            {"conv1": 32, "stage1_block3/conv2": 32, "stage2_block3/conv2": 16},
        ),
        (
            "mobilenet_v1",
            (224, 224, 3),
            {"conv1": 112, "block1/dw": 112, "block2/dw": 56, "block6/dw": 14, "block13/pw": 7},
        ),
        (
            "squeezenet1_0",
            (224, 224, 3),
            {"conv1": 109, "fire4/squeeze": 54, "fire8/squeeze": 27, "fire9/squeeze": 13},
        ),
        (
            "squeezenet1_1",
            (224, 224, 3),
            {"conv1": 111, "fire3/squeeze": 55, "fire5/squeeze": 27, "fire9/squeeze": 13},
        ),
        ("nin", (32, 32, 3), {"cccp2": 32, "max_pool_1": 16, "cccp4": 16, "avg_pool_1": 8}),
        ("lenet1", (28, 28, 1), {"conv1": 24, "avg_pool_1": 12, "conv2": 8, "avg_pool_2": 4}),
        ("lenet5_classic", (32, 32, 1), {"conv1": 28, "pool2": 14, "conv3": 10, "pool4": 5}),
    ],
)
def test_sizes_stage_by_stage(name, shape, sizes):
    found = shapes(name, shape)
    assert {path: found[path][:2] for path in sizes} == {p: (n, n) for p, n in sizes.items()}


def test_which_blocks_of_a_resnet_own_a_projection():
    first = {f"stage{stage}_block1/proj" for stage in (2, 3, 4)}
    assert projections("resnet18", 64) == first
    assert projections("resnet34", 64) == first
    assert projections("resnet50", 64) == first | {"stage1_block1/proj"}
    assert projections("resnet20", 32) == projections("plain20", 32) == set()
    assert projections("resnet20", 32, shortcut="B") == {f"stage{i}_block1/proj" for i in (2, 3)}
    assert projections("plain18", 64) == set()
    everywhere = {path for path in layers_of("resnet18", 64) if path.endswith("conv1")}
    assert len(projections("resnet18", 64, shortcut="C")) == len(everywhere - {"conv1"}) == 8


@pytest.mark.parametrize("version", [1, 1.5])
def test_only_the_first_blocks_of_later_stages_stride(version):
    found = shapes("resnet50", (64, 64, 3), version=version)
    sizes = {path: shape[0] for path, shape in found.items() if path.startswith("stage")}
    for stage, side in ((2, 8), (3, 4), (4, 2)):
        assert sizes[f"stage{stage}_block1/conv1"] == (side if version == 1 else 2 * side)
        assert sizes[f"stage{stage}_block1/conv2"] == side
        assert sizes[f"stage{stage}_block2/conv1"] == side
    assert sizes["stage1_block1/conv1"] == sizes["stage1_block1/conv2"] == 16


def test_removed_layers_leave_the_names_of_the_others():
    kept = layers_of("zfnet", 64, widths=(96, 256, 0, 0, 256), hidden=(0, 0))
    assert kept == {"conv1", "conv2", "conv5", "head"}
    assert layers_of("alexnet_2012", 67, hidden=(4096, 0)) == {
        *(f"conv{i}" for i in range(1, 6)),
        *("fc6", "head"),
    }


@pytest.mark.parametrize("letter", ["a", "b", "c"])
def test_the_four_downsamplings_of_allcnn_agree_in_every_size_they_share(letter):
    found = {
        kind: shapes(f"allcnn_{letter}", (32, 32, 3), downsample=kind)
        for kind in ("pool", "stride", "convpool", "conv")
    }
    for kind, paths in found.items():
        assert paths["conv3_1"] == (8, 8, 192), kind
        assert paths["conv2_1"][:2] == ((8, 8) if kind == "stride" and letter == "a" else (16, 16))
    down = {kind: paths["down1"][0] for kind, paths in found.items() if "down1" in paths}
    assert down == {"convpool": 32, "conv": 16}
    assert [f"conv1_{i}" in found["pool"] for i in (1, 2)] == [True, len(KERNEL_SIZES[letter]) == 2]


def test_naive_inception_grows_to_4944_channels():
    found = shapes("inception_v1", (64, 64, 3), reduce=False, aux=False)
    assert found["inception5b/max_pool_1"][-1] == 4048  # the passed-through pool of 5b
    module = create("inception_v1", num_classes=7, reduce=False, aux=False)
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), x)
    assert variables["params"]["head"]["kernel"].shape == (4944, 7)


@pytest.mark.parametrize(("name", "heads"), [("googlenet", 2), ("inception_v1", 2)])
def test_auxiliary_heads_run_in_training_only_and_are_always_made(name, heads):
    x = jax.ShapeDtypeStruct((2, 80, 80, 3), jnp.float32)
    module: Any = create(name, num_classes=7)
    assert (0.3,) * heads == module.AUX_WEIGHTS
    made = [
        jax.eval_shape(partial(module.init, train=train), jax.random.key(0), x)
        for train in (False, True)
    ]
    assert jax.tree.map(jnp.shape, made[0]) == jax.tree.map(jnp.shape, made[1])
    assert {f"aux{i + 1}" for i in range(heads)} < set(made[0]["params"])
    rngs = {"dropout": jax.random.key(0)}
    outputs, _ = jax.eval_shape(
        partial(module.apply, train=True, mutable=["batch_stats"], rngs=rngs), made[0], x
    )
    assert [out.shape for out in outputs] == [(2, 7)] * (1 + heads)
    logits = jax.eval_shape(partial(module.apply, train=False), made[0], x)
    assert logits.shape == (2, 7)
    without = create(name, num_classes=7, aux=False)
    variables = jax.eval_shape(partial(without.init, train=True), jax.random.key(0), x)
    assert not any(layer.startswith("aux") for layer in variables["params"])


def test_mobilenets_width_multiplies_every_layer():
    full, half = (shapes("mobilenet_v1", (32, 32, 3), width=width) for width in (1.0, 0.5))
    body = [path for path in full if path != "head"]
    assert [half[path][-1] * 2 for path in body] == [full[path][-1] for path in body]


def test_every_model_takes_train_by_keyword_only_and_without_default():
    for name in MODELS:
        module = create(name, num_classes=2)
        x = jnp.zeros((1, 32, 32, 3))
        with pytest.raises(TypeError, match="train"):
            jax.eval_shape(module.init, jax.random.key(0), x)
        with pytest.raises(TypeError, match="positional"):
            jax.eval_shape(partial(module.init), jax.random.key(0), x, True)


def test_codes_of_the_classic_are_fixed_signs_and_all_differ():
    from cnn_jax.models.digit_codes import codes

    ten, more = codes(10), codes(62)
    assert ten.shape == (10, 84)
    np.testing.assert_array_equal(np.abs(more), 1)
    np.testing.assert_array_equal(more[:10], ten)
    distance = (more[:, None] != more[None]).sum(-1)
    assert distance[~np.eye(62, dtype=bool)].min() >= 4
