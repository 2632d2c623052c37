"""Layers read and changed while a network runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.runtime.errors import BadInputError
from tests.analysis.networks import Linear, Pooled, Small, noise, probe

SHAPE = (8, 10, 2)


def test_layers_have_their_shapes_in_order():
    net = probe(Small(), SHAPE)
    assert net.layers == {
        "conv1": (8, 10, 4),
        "bn1": (8, 10, 4),
        "conv2": (4, 5, 6),
        "head": (3,),
    }
    assert list(net.maps) == ["conv1", "bn1", "conv2"]
    assert net.layer() == "head"
    assert net.layer(maps=True) == "conv2"


def test_what_is_read_is_what_the_layer_computes():
    net, x = probe(Pooled(), SHAPE), noise((2, *SHAPE))
    logits, read = net.read(x, ["conv"])
    params = net.variables["params"]
    maps = ops.conv2d(x, params["conv"]["kernel"]) + params["conv"]["bias"]
    np.testing.assert_allclose(read["conv"], maps, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logits, net(x), rtol=1e-6)


def test_what_is_added_goes_on():
    net, x = probe(Pooled(), SHAPE), noise((1, *SHAPE))
    add = jnp.zeros((1, 6, 8, 4)).at[0, 2, 3, 1].set(48.0)
    logits, read = net.read(x, ["conv"], {"conv": add})
    head = net.variables["params"]["head"]["kernel"]
    np.testing.assert_allclose(logits, net(x) + head[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(read["conv"], net.read(x, ["conv"])[1]["conv"] + add, rtol=1e-6)


def test_an_unknown_layer_gets_the_list():
    net = probe(Small(), SHAPE)
    with pytest.raises(BadInputError, match="--layer=conv3: no such layer; there are conv1, bn1"):
        net.layer("conv3")
    with pytest.raises(BadInputError, match=r"there are conv1, bn1, conv2$"):
        net.layer("head", maps=True)
    with pytest.raises(BadInputError, match="no layer of Linear puts out images"):
        probe(Linear(), SHAPE).layer(maps=True)


def test_gradients_pass_through_what_is_read():
    net, x = probe(Pooled(), SHAPE), noise((1, *SHAPE))
    slope = jax.grad(lambda x: net.read(x, ["conv"])[1]["conv"][0, 0, 0, 2])(x)
    kernel = net.variables["params"]["conv"]["kernel"][..., 2]
    np.testing.assert_allclose(slope[0, :3, :3], kernel, rtol=1e-5, atol=1e-6)
    assert not np.any(slope[0, 3:])
