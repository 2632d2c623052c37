"""conv2d against independent computations, on generated cases and on the corners."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from cnn_jax import ops
from cnn_jax.runtime.errors import BadInputError
from tests.ops.reference import im2col, loops

HAS_TORCH = importlib.util.find_spec("torch") is not None
sizes = st.integers(1, 9)
sides = st.tuples(st.integers(0, 3), st.integers(0, 3))


@st.composite
def convolutions(draw):
    """Draw (input shape, kernel shape, stride, padding, groups, dilation)."""
    pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
    field, stride = draw(pairs), draw(pairs)
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(sides, sides))
    groups, channels, filters = (
        draw(st.integers(1, 4)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
    )
    shape = (draw(st.integers(0, 3)), draw(sizes), draw(sizes), groups * channels)
    return shape, (*field, channels, groups * filters), stride, padding, groups, dilation


def whole_numbers(seed, *shapes):
    """Return arrays of small whole numbers: sums of their products are exact in float32."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.integers(-4, 5, shape), jnp.float32) for shape in shapes]


def in_torch(x, w, g, stride, padding, groups, dilation):
    import torch  # pyright: ignore[reportMissingImports]

    images, filters = (0, 3, 1, 2), (3, 2, 0, 1)
    x, w, g = (
        torch.tensor(np.ascontiguousarray(np.transpose(a, axes)))
        for a, axes in ((x, images), (w, filters), (g, images))
    )
    x.requires_grad_()
    w.requires_grad_()
    (top, bottom), (left, right) = padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    y = torch.nn.functional.conv2d(padded, w, None, stride, 0, dilation, groups)
    y.backward(g)
    back, last = (0, 2, 3, 1), (2, 3, 1, 0)
    assert x.grad is not None
    assert w.grad is not None
    return y.detach().permute(back), x.grad.permute(back), w.grad.permute(last)


POINT, STRIP = ((0, 0), (0, 0)), ((0, 0), (2, 1))


def drawn(case, seed):
    """Return (x, w, the gradient of the result) and the arguments of a case that has a result."""
    shape, kernel, stride, padding, groups, dilation = case
    size = [
        (shape[1 + i] + sum(padding[i]) - (kernel[i] - 1) * dilation[i] - 1) // stride[i] + 1
        for i in range(2)
    ]
    assume(min(size) > 0)
    x, w, g = whole_numbers(seed, shape, kernel, (shape[0], *size, kernel[3]))
    how = {"stride": stride, "padding": padding, "groups": groups, "dilation": dilation}
    return (x, w, g), how


def with_gradients(how):
    """Return the function of (x, w, g) that gives the convolution and its two gradients."""

    def function(x, w, g):
        y, back = jax.vjp(lambda x, w: ops.conv2d(x, w, **how), x, w)
        return y, *back(g)

    return function


def check(case, seed):
    shape, kernel, stride, padding, groups, dilation = case
    (x, w, g), how = drawn(case, seed)

    def lax(x, w, g):
        def convolve(x, w):
            return jax.lax.conv_general_dilated(
                x,
                w,
                stride,
                padding,
                rhs_dilation=dilation,
                feature_group_count=groups,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )

        y, back = jax.vjp(convolve, x, w)
        return y, *back(g)

    results = jax.jit(with_gradients(how))(x, w, g)
    others: list = [im2col(x, w, g, *case[2:])]
    reach = [(kernel[i] - 1) * dilation[i] for i in range(2)]
    if all(max(padding[i]) <= reach[i] for i in range(2)):  # beyond, XLA's own gradient is wrong
        others.append(jax.jit(lax)(x, w, g))
    if np.prod(g.shape[1:3]) < 1000:
        others.append(loops(x, w, g, *case[2:]))
    if HAS_TORCH and shape[0]:
        others.append(in_torch(x, w, g, *case[2:]))
    for other in others:
        for ours_, theirs in zip(results, other, strict=True):
            np.testing.assert_array_equal(ours_, theirs)


cases = given(convolutions(), st.integers(0, 2**31))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@cases
@example(((2, 9, 7, 4), (1, 1, 4, 6), (1, 1), POINT, 1, (1, 1)), 0)  # a matrix product
@example(((2, 9, 7, 4), (1, 1, 4, 6), (3, 2), POINT, 1, (1, 1)), 0)  # stride above the field
@example(((2, 9, 8, 5), (3, 3, 1, 5), (1, 1), ((1, 1), (1, 1)), 5, (1, 1)), 0)  # depthwise
@example(((2, 9, 8, 5), (3, 3, 1, 5), (2, 2), ((1, 1), (1, 1)), 5, (1, 1)), 0)
@example(((2, 9, 8, 3), (3, 2, 1, 6), (2, 3), ((1, 0), (0, 2)), 3, (2, 1)), 0)  # multiplier 2
@example(((2, 9, 8, 3), (3, 3, 3, 5), (2, 2), ((1, 1), (1, 1)), 1, (1, 1)), 0)  # phases
@example(((2, 9, 8, 3), (5, 5, 3, 4), (1, 1), POINT, 1, (1, 1)), 0)  # bands
@example(((2, 9, 8, 3), (2, 6, 3, 4), (1, 1), ((1, 0), (5, 1)), 1, (1, 1)), 0)
@example(((1, 5, 5, 2), (1, 4, 2, 3), (1, 2), STRIP, 1, (1, 1)), 0)  # 1xN
@example(((2, 1, 1, 2), (3, 3, 2, 3), (1, 1), ((1, 1), (1, 1)), 1, (1, 1)), 0)  # one pixel
@example(((2, 2, 2, 2), (4, 4, 2, 3), (2, 2), ((1, 1), (1, 1)), 1, (1, 1)), 0)  # larger than x
@example(((0, 5, 5, 2), (3, 3, 2, 3), (2, 2), ((1, 1), (1, 1)), 1, (1, 1)), 0)  # no image
@example(((1, 1, 3, 1), (2, 2, 1, 2), (1, 1), ((1, 1), (2, 0)), 1, (1, 1)), 0)  # padding > field
@example(((2, 100, 100, 1), (3, 3, 1, 2), (1, 1), ((1, 0), (2, 1)), 1, (1, 1)), 0)  # large maps
def test_values_and_gradients_are_exact(case, seed):
    """Bit for bit what loops, im2col, lax and PyTorch compute: whole numbers leave no rounding."""
    check(case, seed)


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@cases
def test_five_hundred_more_are_exact(case, seed):
    check(case, seed)


@pytest.mark.parametrize("how", [{}, {"stride": 2, "padding": ((1, 0), (0, 2)), "groups": 2}])
def test_convolve2d_flips_the_kernel(how):
    x, w = whole_numbers(0, (2, 7, 6, 4), (3, 2, 4 // how.get("groups", 1), 6))
    flipped = w[::-1, ::-1]
    np.testing.assert_array_equal(ops.convolve2d(x, w, **how), ops.conv2d(x, flipped, **how))


def test_convolve2d_is_scipys():
    signal = pytest.importorskip("scipy.signal")
    x, w = whole_numbers(0, (1, 7, 6, 1), (3, 2, 1, 1))
    expected = signal.convolve2d(x[0, :, :, 0], w[:, :, 0, 0], mode="valid")
    np.testing.assert_array_equal(ops.convolve2d(x, w)[0, :, :, 0], expected)


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_is_one_convolution_a_channel(multiplier):
    x, w = whole_numbers(0, (2, 7, 8, 4), (3, 3, 1, 4 * multiplier))
    y = ops.depthwise_conv2d(x, w, stride=2, padding="same")
    for c in range(4):
        channels = slice(c * multiplier, (c + 1) * multiplier)
        alone = ops.conv2d(x[..., c : c + 1], w[..., channels], stride=2, padding="same")
        np.testing.assert_array_equal(y[..., channels], alone)


def test_groups_of_krizhevsky_see_half_of_the_channels():
    x, w = whole_numbers(0, (1, 5, 5, 4), (3, 3, 2, 6))
    y = ops.conv2d(x, w, groups=2)
    np.testing.assert_array_equal(y[..., :3], ops.conv2d(x[..., :2], w[..., :3]))
    np.testing.assert_array_equal(y[..., 3:], ops.conv2d(x[..., 2:], w[..., 3:]))


@pytest.mark.parametrize(
    ("shape", "kernel", "arguments", "words"),
    [
        ((1, 5, 5, 3), (3, 3, 4, 8), {}, ["(1, 5, 5, 3)", "(3, 3, 4, 8)", "channels"]),
        ((1, 5, 5, 4), (3, 3, 2, 5), {"groups": 2}, ["(3, 3, 2, 5)", "groups=2"]),
        ((1, 5, 5, 4), (3, 3, 4, 5), {"groups": 0}, ["groups=0"]),
        ((1, 2, 5, 3), (5, 3, 3, 8), {"padding": 1}, ["(5, 3)", "(1, 2, 5, 3)", "padding"]),
        ((1, 5, 5, 3), (3, 3, 3, 8), {"dilation": 3}, ["dilation", "(1, 5, 5, 3)"]),
        ((1, 5, 5, 3), (4, 4, 3, 8), {"padding": "same"}, ["'same'", "4"]),
        ((1, 5, 5, 3), (3, 3, 3, 8), {"padding": "full"}, ["padding", "'full'"]),
        ((1, 5, 5, 3), (3, 3, 3, 8), {"stride": 0}, ["stride", "0"]),
        ((5, 5, 3), (3, 3, 3, 8), {}, ["(5, 5, 3)", "[N, H, W, C]"]),
    ],
)
def test_bad_input_is_named(shape, kernel, arguments, words):
    with pytest.raises(BadInputError) as error:
        ops.conv2d(jnp.zeros(shape), jnp.zeros(kernel), **arguments)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message
