"""Sizes, channels, classes and fields that networks take or refuse."""

import contextlib
from functools import partial
from typing import Any, cast

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.models import MODELS, create, fields, inputs
from cnn_jax.runtime.errors import BadInputError

# The least side of an image, found by arithmetic over the layers without padding.
LEAST = {
    "lenet1": 16,
    "lenet5_classic": 16,
    "lenet5": 16,
    "alexnet": 63,
    "alexnet_2012": 67,
    "zfnet": 47,
    "googlenet": 15,
    "inception_v1": 31,
    "nin": 4,
    "inception_v3": 75,
    "squeezenet1_0": 21,
    "squeezenet1_1": 17,
    **{name: 32 for name in MODELS if name.startswith("vgg")},
}


def trace(name, size, channels=3, classes=5, **values):
    """Return shape and type of a network's logits without computing them."""
    values = {"aux": False} | values if "aux" in fields(name) else values
    module = create(name, num_classes=classes, **values)
    x = jax.ShapeDtypeStruct((2, size, size, channels), jnp.float32)
    run = partial(module.init_with_output, train=False)
    return jax.eval_shape(run, jax.random.key(0), x)


LIGHT = [name for name in MODELS if name not in ("resnet110", "resnet1202", "plain110")]


@pytest.mark.parametrize("name", LIGHT)
def test_the_least_size_runs_and_one_pixel_less_says_what_would(name):
    least = LEAST.get(name, 1)
    logits, _ = trace(name, least)
    assert logits.shape == (2, 5)
    if least > 1:
        message = (
            rf"^\w+: \w+ needs images of at least {least}x{least}, not {least - 1}x{least - 1};"
        )
        with pytest.raises(BadInputError, match=message):
            trace(name, least - 1)


@pytest.mark.parametrize("name", [name for name in LEAST if not name.endswith("_bn")])
def test_the_least_size_is_not_an_invention(name, monkeypatch):
    guard = inputs.require_size
    for module in list(vars(models).values()):
        if getattr(module, "require_size", None) is guard:
            monkeypatch.setattr(module, "require_size", lambda *_: None)
    refused, variables = False, {}
    with contextlib.suppress(BadInputError):
        refused = True
        _, variables = trace(name, LEAST[name] - 1)
        refused = False
    # Or the pixels have run out on the way into a dense layer, which then has no weights.
    assert refused or any(0 in leaf.shape for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.parametrize("channels", [1, 4])
def test_one_to_four_channels_and_any_number_of_classes(name, channels):
    logits, _ = trace(name, max(LEAST.get(name, 1), 33), channels, classes=channels + 1)
    assert logits.shape == (2, channels + 1)


@pytest.mark.parametrize("name", LIGHT)
def test_bfloat16_computes_narrow_and_keeps_parameters_and_logits_in_float32(name):
    size = max(LEAST.get(name, 1), 33)
    logits, variables = trace(name, size, dtype=jnp.bfloat16)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    values = {"aux": False} if "aux" in fields(name) else {}
    module = create(name, num_classes=5, dtype=jnp.bfloat16, **values)
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    run = partial(module.apply, train=False, capture_intermediates=True, mutable=["intermediates"])
    _, state = jax.eval_shape(run, variables, x)
    outputs = cast(Any, flax.traverse_util.flatten_dict(state["intermediates"]))
    inner = [
        value[0].dtype
        for path, value in outputs.items()
        if len(path) > 1 and path[0] != "Dropout_0"
    ]
    # Dropout passes on what it gets: the images themselves in the All-CNNs.
    assert set(inner) == {jnp.dtype("bfloat16")}


def test_the_auxiliary_heads_say_what_size_they_take():
    for name, least in (("inception_v1", 79), ("inception_v3", 299)):
        trace(name, least, aux=True)
        with pytest.raises(BadInputError, match=f"aux.* at least {least}x{least}, not"):
            trace(name, least - 1, aux=True)


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(BadInputError, match=r"unknown model 'resnet51'; did you mean .*resnet50"):
        create("resnet51", num_classes=10)


def test_an_unknown_field_names_those_there_are():
    with pytest.raises(BadInputError, match=r"model 'alexnet_2012' has no field 'group'.* groups"):
        create("alexnet_2012", num_classes=10, group=1)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("alexnet_2012", {"groups": 3}, "groups is 1 or 2, not 3"),
        ("allcnn_c", {"downsample": "sum"}, "downsample is one of pool, .*, not 'sum'"),
        ("resnet20", {"stem": "mnist"}, "stem is 'imagenet' or 'cifar', not 'mnist'"),
        ("resnet20", {"shortcut": "D"}, "shortcut is 'A', 'B', 'C' or None, not 'D'"),
        ("resnet50", {"version": 2}, "version of a bottleneck block is 1 or 1.5, not 2"),
        ("squeezenet1_0", {"bypass": "both"}, "bypass is .*, not 'both'"),
        ("squeezenet1_0", {"squeeze_ratio": 0.001}, "squeeze_ratio 0.001 leaves fire2 without"),
        ("mobilenet_v1", {"width": 0.01}, "width 0.01 leaves conv1 without channels"),
        ("lenet5", {"classes": 0}, "num_classes is an int >= 1, not 0"),
    ],
)
def test_a_fields_bad_value_is_named(name, values, message):
    with pytest.raises(BadInputError, match=message):
        trace(name, 70, **values)


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_in_their_ranges_and_numbers_beyond_them_are_refused(name):
    values = {field: None if default is str else default for field, default in fields(name).items()}
    assert create(name, num_classes=cast(int, np.int64(3)), **values) is not None
    kinds = {"version", "groups"}  # whose layers refuse what they have not
    for field, default in fields(name).items():
        allowed, _ = models.declared(name)[field]
        assert allowed is not None, "every field declares what it takes"
        for wrong in (float("nan"), -1, object()):
            assert not allowed.holds(wrong)
            if isinstance(default, (int, float, tuple)) and field not in kinds:
                line = rf"^model\.{field} is .*; it has to be [^\n]*$"
                with pytest.raises(BadInputError, match=line):
                    create(name, num_classes=3, **{field: wrong})


@pytest.mark.parametrize("classes", [0, -1, True, 2.0, "3", None])
def test_a_number_of_classes_that_is_none_is_refused(classes):
    with pytest.raises(BadInputError, match="num_classes is an int >= 1, not"):
        create("mlp", num_classes=classes)


def test_images_without_a_batch_axis_are_refused():
    module = create("resnet20", num_classes=10)
    with pytest.raises(BadInputError, match=r"resnet: takes images \[N, H, W, C\]"):
        jax.eval_shape(partial(module.init, train=False), jax.random.key(0), jnp.ones((8, 8, 3)))


def test_torchvisions_input_conversion_takes_colour_alone():
    trace("googlenet", 32, transform_input=True)
    with pytest.raises(BadInputError, match="transform_input takes images of 3 channels, not 1"):
        trace("googlenet", 32, channels=1, transform_input=True)
