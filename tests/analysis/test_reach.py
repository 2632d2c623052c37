"""Receptive fields measured by gradients, held to what theory allows."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models, ops
from cnn_jax.analysis.probe import Probe, inference
from cnn_jax.analysis.reach import patch, reach
from cnn_jax.analysis.summary import views
from cnn_jax.nn import layers
from tests.analysis.networks import probe


class Stack(nn.Module):
    pool: bool

    @nn.compact
    def __call__(self, x):
        x = layers.Conv(2, 3, name="conv1")(x)
        x = ops.max_pool(x, 2) if self.pool else x
        x = layers.Conv(2, 3, name="conv2")(x)
        return layers.Conv(2, 3, name="conv3")(x)


@pytest.mark.parametrize(("pool", "sides"), [(False, (3, 5, 7)), (True, (3, 8, 12))])
def test_the_lectures_stacks_are_measured_as_they_are_computed(pool, sides):
    net = probe(Stack(pool=pool), (24, 22, 1))
    seen = views(net.module, net.image_shape)
    for layer, side in zip(("conv1", "conv2", "conv3"), sides, strict=True):
        found = reach(net, layer, seen[layer], images=8)
        assert found.theory == found.measured
        assert found.theory is not None
        top, bottom, left, right = found.theory
        assert (bottom - top + 1, right - left + 1) == (side, side)
        assert 1 <= found.effective <= side


def test_the_effective_field_of_many_layers_is_smaller_than_the_theory():
    class Deep(nn.Module):
        @nn.compact
        def __call__(self, x):
            for index in range(8):
                x = layers.Conv(1, 3, name=f"conv{index}")(x)
            return x

    net = probe(Deep(), (25, 25, 1))
    ones = jax.tree.map(lambda leaf: jnp.ones_like(leaf) / 9, net.variables)
    net = Probe(net.module, ones, net.image_shape)
    found = reach(net, "conv7", views(net.module, net.image_shape)["conv7"], images=1)
    # Sums of eight uniform steps on -1, 0, 1: the gradient is their distribution, known exactly.
    step = np.ones(3) / 3
    line = np.array([1.0])
    for _ in range(8):
        line = np.convolve(line, step)
    exact = np.outer(line, line)
    np.testing.assert_allclose(found.slope[4:21, 4:21], exact, rtol=1e-4)
    assert found.theory == found.measured == (4, 20, 4, 20)
    assert found.effective == pytest.approx(np.sqrt(np.sum(exact > 0.0455 * exact.max())))
    assert found.effective < 12


def test_a_patch_is_cut_at_the_images_edge():
    seen = views(Stack(pool=False), (24, 22, 1))["conv3"]
    assert patch(seen, (0, 0), (24, 22)) == (0, 3, 0, 3)
    assert patch(seen, (10, 21), (24, 22)) == (7, 13, 18, 21)
    assert patch(None, (0, 0), (24, 22)) == (0, 23, 0, 21)


class Found(Exception):  # noqa: N818, no error
    """Ends a forward pass where the wanted layer is reached."""


class Prefix(Probe):
    """A network that is run as far as the layer that is read: all that its gradient needs."""

    def read(self, x, layers, add=None):
        (wanted,) = layers

        def intercept(call, args, kwargs, context):
            result = call(*args, **kwargs)
            if context.method_name == "__call__" and "/".join(context.module.path) == wanted:
                raise Found(result)
            return result

        with pytest.raises(Found) as found, nn.intercept_methods(intercept):
            self.module.apply(self.variables, x, **inference(self.module))
        return x, {wanted: found.value.args[0]}


SIDES = {"inception_v3": 107}  # less than it was made for
# The same layers as another network until its units see all of the image.
AS_FAR_AS = {
    "resnet101": "resnet50",
    **{f"resnet{depth}": "resnet44" for depth in (56, 110, 1202)},
    **{f"plain{depth}": "plain44" for depth in (56, 110)},
}


def random_network(name):
    """Return a network of the zoo with random kernels, as small as what it sees allows."""
    height, _, channels = models.image_shape(name)
    side = SIDES.get(name, min(height, 96))
    shape = (side, side, channels)
    # Its auxiliary head, which inference does not use, would ask for larger images.
    fields: dict[str, Any] = {"aux": False} if name == "inception_v3" else {}
    module = models.create(name, num_classes=4, **fields)
    variables = jax.eval_shape(
        lambda: module.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
    )
    rng = np.random.default_rng(0)

    def value(path, leaf):
        if path[-1].key in ("scale", "var"):
            return jnp.ones(leaf.shape)
        if path[-1].key != "kernel" or leaf.ndim == 2:  # dense layers see all anyway
            return jnp.zeros(leaf.shape)
        spread = np.sqrt(2 / max(np.prod(leaf.shape[:-1]), 1))
        return jnp.asarray(spread * rng.standard_normal(leaf.shape, np.float32))

    return Prefix(module, jax.tree_util.tree_map_with_path(value, variables), shape)


def telling(net, seen):
    """Return the layers whose units do not see all of the image, by theory, in their order."""
    found = []
    for layer, (rows, columns, *_) in net.maps.items():
        top, bottom, left, right = patch(
            seen.get(layer), (rows // 2, columns // 2), net.image_shape[:2]
        )
        if (bottom - top + 1, right - left + 1) != net.image_shape[:2]:
            found.append(layer)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in models.MODELS if name != "mlp"])
def test_theory_contains_what_is_measured(name):
    net = random_network(name)
    seen = views(net.module, net.image_shape)
    unseen = set(net.maps) - set(seen)
    assert all("Dropout" in layer for layer in unseen)  # nothing is left of it in inference
    layers = telling(net, seen)
    if name in AS_FAR_AS:
        other = random_network(AS_FAR_AS[name])
        those = views(other.module, other.image_shape)
        assert layers == telling(other, those)
        assert all(seen[layer] == those[layer] for layer in layers)
        return
    found = reach(net, layers[-1], seen[layers[-1]], images=2)
    assert found.theory is not None
    assert found.measured is not None
    top, bottom, left, right = found.measured
    assert found.theory[0] <= top <= bottom <= found.theory[1]
    assert found.theory[2] <= left <= right <= found.theory[3]
