"""Pooling: values, ties, NaN, padding and the program that is compiled."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cnn_jax import ops
from cnn_jax.runtime.errors import BadInputError

HAS_TORCH = importlib.util.find_spec("torch") is not None
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
sides = st.tuples(st.integers(0, 2), st.integers(0, 2))


@st.composite
def poolings(draw):
    """Draw (input shape, window, stride, padding); padding is half a window at most."""
    window, stride = draw(pairs), draw(pairs)
    padding = tuple(tuple(min(p, size // 2) for p in draw(sides)) for size in window)
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 9)), draw(st.integers(1, 9)), 3)
    fits = [shape[1 + i] + sum(padding[i]) >= window[i] for i in range(2)]
    assume(all(fits))
    return shape, window, stride, padding


def both(pool, x):
    """Return value and gradient of ``pool`` as compiled, and the same in XLA's own operators."""

    def run(x):
        y, back = jax.vjp(pool, x)
        weights = jnp.arange(1.0, 1 + y.size, dtype=y.dtype).reshape(y.shape) % 5
        return y, *back(weights)

    ours = jax.jit(run)(x)
    with ops.stock():
        return ours, jax.jit(run)(x)


@settings(max_examples=40, deadline=None)
@given(poolings(), st.integers(0, 2**31))
def test_max_pool_is_laxs_with_ties(case, seed):
    """Small whole numbers after a ReLU: most windows hold ties, all sums are exact."""
    shape, window, stride, padding = case
    x = np.maximum(np.random.default_rng(seed).integers(-3, 3, shape), 0).astype(np.float32)
    ours, lax = both(lambda x: ops.max_pool(x, window, stride=stride, padding=padding), x)
    for a, b in zip(ours, lax, strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=30, deadline=None)
@given(poolings(), st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_avg_pool_is_the_mean_of_counted_pixels(case, ceil_mode, count_include_pad, seed):
    (shape, window, stride, padding) = case
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    how = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    (y, x_g), (_, lax_g) = both(
        lambda x: ops.avg_pool(x, window, **how, count_include_pad=count_include_pad), x
    )
    np.testing.assert_allclose(x_g, lax_g, rtol=1e-5, atol=1e-5)
    (top, _), (left, _) = padding
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    inside = np.zeros(padded.shape[1:3])
    inside[top : top + shape[1], left : left + shape[2]] = 1
    if count_include_pad:
        inside[:] = 1
    for p, q in np.ndindex(*y.shape[1:3]):
        rows = slice(p * stride[0], p * stride[0] + window[0])
        columns = slice(q * stride[1], q * stride[1] + window[1])
        count = max(1, inside[rows, columns].sum())
        expected = padded[:, rows, columns].astype(np.float64).sum((1, 2)) / count
        np.testing.assert_allclose(y[:, p, q], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("window", "stride", "padding"),
    [(3, 2, 1), (3, 2, 0), (2, 2, 0), (2, 3, 1), (3, 3, 1), (5, 3, 2)],
)
def test_sizes_and_values_are_pytorchs(window, stride, padding, ceil_mode):
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

    x = jax.random.normal(jax.random.key(0), (2, 10, 7, 3))
    theirs = torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)
    how = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    expected = F.max_pool2d(theirs, window, **how).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(ops.max_pool(x, window, **how), expected)
    for count in (False, True):
        expected = F.avg_pool2d(theirs, window, **how, count_include_pad=count)
        y = ops.avg_pool(x, window, **how, count_include_pad=count)
        np.testing.assert_allclose(y, expected.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 3), (2, 3), (3, 2), (3, 1)])
def test_max_pool_of_ordinary_numbers(window, stride):
    """Bit for bit where windows do not overlap; else within 1e-6, for the order of the sums."""
    x = jax.nn.relu(jax.random.normal(jax.random.key(0), (2, 13, 12, 4)))
    g = jax.random.normal(jax.random.key(1), ops.max_pool(x, window, stride=stride).shape)

    def gradient(x):
        return jax.vjp(lambda x: ops.max_pool(x, window, stride=stride), x)[1](g)[0]

    ours = jax.jit(gradient)(x)
    with ops.stock():
        lax = jax.jit(gradient)(x)
    if stride >= window:
        np.testing.assert_array_equal(ours, lax)
    else:
        np.testing.assert_allclose(ours, lax, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_nan_and_minus_infinity(window, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (2, 9, 8, 4)).astype(np.float32)
    x[rng.random(x.shape) < 0.15] = np.nan
    x[0, :4, :5] = -np.inf
    x[1, 2, 2:4] = np.nan
    ours, lax = both(lambda x: ops.max_pool(x, window, stride=stride, padding=padding), x)
    assert np.isnan(ours[0]).any()
    assert np.isneginf(ours[0]).any()
    for a, b in zip(ours, lax, strict=True):
        np.testing.assert_array_equal(a, b)


def test_whole_gradient_goes_to_the_first_of_equals():
    x = jnp.zeros((1, 4, 4, 1))
    gradient = jax.grad(lambda x: ops.max_pool(x, 2).sum())(x)[0, :, :, 0]
    np.testing.assert_array_equal(gradient, [[1, 0, 1, 0], [0] * 4] * 2)


def test_gradient_is_deterministic():
    """No scatter, and no select-and-scatter, is compiled; runs agree bit for bit."""
    x = jax.random.normal(jax.random.key(0), (4, 17, 17, 8)).round(1)

    def run(x):
        def loss(x):
            return jnp.sin(ops.max_pool(x, 3, stride=2, padding=1)).sum()

        return jax.value_and_grad(loss)(x)

    compiled = jax.jit(run).lower(x).compile()
    assert "scatter" not in str(compiled.as_text())
    first = compiled(x)
    for _ in range(5):
        np.testing.assert_array_equal(first[1], compiled(x)[1])
    with ops.stock():  # the word to look for is the right one
        assert "scatter" in jax.jit(run).lower(x).as_text()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.int32, jnp.uint8])
def test_types_are_kept(dtype):
    x = jnp.arange(32).reshape(1, 4, 8, 1).astype(dtype)
    y = ops.max_pool(x, 2)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y[0, 1, :, 0].astype(int), [25, 27, 29, 31])


def test_large_windows_are_left_to_xla():
    x = jax.random.normal(jax.random.key(0), (1, 20, 20, 2))
    (y, x_g), (_, lax_g) = both(lambda x: ops.max_pool(x, 20), x)
    np.testing.assert_array_equal(y[0, 0, 0], x.max((0, 1, 2)))
    np.testing.assert_array_equal(x_g, lax_g)
    np.testing.assert_allclose(ops.avg_pool(x, 20)[0, 0, 0], x.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(ops.global_avg_pool(x), x.mean((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("pool", [ops.max_pool, ops.avg_pool])
@pytest.mark.parametrize(
    ("shape", "window", "how", "words"),
    [
        ((1, 3, 9, 2), 5, {}, ["(5, 5)", "(1, 3, 9, 2)"]),
        ((1, 3, 9, 2), 6, {"padding": 1}, ["(6, 6)", "padding"]),
        ((3, 9, 2), 2, {}, ["(3, 9, 2)", "[N, H, W, C]"]),
        ((1, 9, 9, 2), 2, {"padding": "same"}, ["'same'", "2"]),
        ((1, 9, 9, 2), 0, {}, ["window", "0"]),
    ],
)
def test_bad_input_is_named(pool, shape, window, how, words):
    with pytest.raises(BadInputError) as error:
        pool(jnp.zeros(shape), window, **how)
    for word in words:
        assert word in str(error.value)
