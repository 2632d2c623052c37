"""Attribution against closed forms on networks made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.analysis import attribution
from cnn_jax.analysis.probe import Probe
from cnn_jax.models import create
from tests.analysis.networks import Linear, Pooled, Small, noise, probe, read

SHAPE = (6, 7, 2)
CLASSES = jnp.array([2, 0])


def test_a_linear_networks_gradient_is_its_matrix():
    net, x = probe(Linear(), SHAPE), noise((2, *SHAPE))
    kernel = net.variables["params"]["head"]["kernel"]
    expected = np.stack([np.asarray(kernel[:, c]).reshape(SHAPE) for c in CLASSES])
    np.testing.assert_allclose(attribution.gradient(net, x, CLASSES), expected, rtol=1e-6)
    largest = attribution.saliency(net, x, CLASSES)
    np.testing.assert_allclose(largest, np.abs(expected).max(-1), rtol=1e-6)
    np.testing.assert_allclose(attribution.guided_backprop(net, x, CLASSES), expected, rtol=1e-6)


def test_integrated_gradients_of_a_linear_network_are_exact():
    net, x, start = probe(Linear(), SHAPE), noise((2, *SHAPE)), noise(SHAPE, 1)
    found, gap = attribution.integrated_gradients(net, x, CLASSES, start, steps=2)
    slope = attribution.gradient(net, x, CLASSES)
    np.testing.assert_allclose(found, (x - start) * slope, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gap, [0, 0], atol=1e-5)


@pytest.mark.slow
def test_integrated_gradients_of_resnet20_are_complete():
    module = create("resnet20", num_classes=10)
    x = noise((1, 32, 32, 3))
    variables = jax.jit(lambda: module.init(jax.random.key(0), x, train=False))()
    net = Probe(module, variables, (32, 32, 3))
    label = jnp.array([3])
    found, gap = attribution.integrated_gradients(net, x, label, jnp.zeros((32, 32, 3)))
    rise = net(x)[0, 3] - net(jnp.zeros_like(x))[0, 3]
    assert abs(float(rise)) > 0.1
    assert abs(float(found.sum()) / float(rise) - 1) < 1e-3
    np.testing.assert_allclose(found.sum() + gap[0], rise, rtol=1e-5)


def test_guided_backprop_passes_only_what_is_positive_twice():
    net, x = probe(Pooled(rectified=True), SHAPE), noise((1, *SHAPE))
    params, label = net.variables["params"], jnp.array([1])
    maps = read(net, x, "conv")
    arriving = params["head"]["kernel"][:, 1] / (4 * 5)  # the mean's and the head's derivative
    kept = np.where((maps > 0) & (arriving > 0), arriving, 0)
    kernel = params["conv"]["kernel"]
    expected = jax.lax.conv_transpose(
        jnp.asarray(kept), kernel, (1, 1), "VALID", transpose_kernel=True
    )
    assert 0 < np.count_nonzero(kept) < np.count_nonzero((maps > 0) & (arriving != 0))
    found = attribution.guided_backprop(net, x, label)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_grad_cam_of_a_pooled_convolution_is_its_class_activation_map():
    net, x = probe(Pooled(), SHAPE), noise((2, *SHAPE))
    maps = read(net, x, "conv")
    weights = net.variables["params"]["head"]["kernel"][:, CLASSES] / (4 * 5)
    expected = np.maximum(np.einsum("nhwc,cn->nhw", maps, weights), 0)
    found = attribution.grad_cam(net, x, CLASSES, "conv")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.any(found > 0)


def test_grad_cam_takes_any_convolution():
    net, x = probe(Small(), (8, 8, 3)), noise((2, 8, 8, 3))
    for layer, side in (("conv1", 8), ("conv2", 4)):
        found = attribution.grad_cam(net, x, CLASSES, layer)
        assert found.shape == (2, side, side)
        assert np.any(found > 0)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (6, 9), (3, 4)])
def test_occlusion_finds_a_planted_square(row, column):
    # The network looks at the brightness of 3x3 pixels and at nothing else.
    net = probe(Linear(), (10, 13, 1))
    kernel = np.zeros((10, 13, 3), np.float32)
    kernel[row : row + 3, column : column + 3, 1] = 1
    net.variables["params"]["head"]["kernel"] = kernel.reshape(-1, 3)
    x, label = jnp.ones((1, 10, 13, 1)), jnp.array([1])
    loss = attribution.occlusion(net, x, label, window=3, stride=1)[0]
    best = np.unravel_index(loss.argmax(), loss.shape)
    assert best == (row + 1, column + 1)
    far = np.ones((10, 13), bool)
    far[max(row - 2, 0) : row + 5, max(column - 2, 0) : column + 5] = False
    np.testing.assert_allclose(loss[far], 0, atol=1e-6)
