"""Reductions of narrow types: summed up and divided in float32 or wider, rounded once.

The right values are those of float64, within half a unit in the last place of the type.
"""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.analysis import embedding, flow, maximise, shifts, style
from cnn_jax.nn import layers
from cnn_jax.ops.adaptive import adaptive_avg_pool
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks.losses import cross_entropy

NARROW = [jnp.bfloat16, jnp.float16]
whose = pytest.mark.parametrize("stock", [False, True])
narrow = pytest.mark.parametrize("dtype", NARROW)


def run(function, *args, stock=False):
    """Return what ``function`` gives when compiled, by our operators or by XLA's own."""
    if not stock:
        return jax.jit(lambda *a: function(*a))(*args)
    with ops.stock():
        return jax.jit(lambda *a: function(*a))(*args)


def maps(dtype, *shape, scale=1.0, seed=0):
    """Return what a ReLU puts out: half of the values are 0."""
    x = np.random.default_rng(seed).standard_normal(shape) * scale
    return jnp.asarray(np.maximum(x, 0), dtype)


def is_rounded_once(found, exact, *, atol=1e-30):
    """Check that ``found`` is ``exact`` (float64) but for the rounding of its own type."""
    half = float(ml_dtypes.finfo(found.dtype).eps) / 2
    np.testing.assert_allclose(np.asarray(found, np.float64), exact, rtol=half * 1.02, atol=atol)


@whose
@pytest.mark.parametrize(
    ("dtype", "value", "window"),
    [
        (jnp.uint8, 200, 2),  # 4 x 200 does not fit into a byte
        (jnp.uint8, 1, 16),  # nor does the count 256
        (jnp.int8, 100, 2),
        (jnp.int8, -128, 3),
        (jnp.int16, 32767, 9),
        (jnp.uint16, 65535, 2),
        (jnp.int32, 2**31 - 128, 2),
        (jnp.bool_, 1, 17),
        (jnp.float16, 2000, 7),  # the sum is above 65504
        (jnp.float16, 1, 64),
        (jnp.bfloat16, 1, 17),
        (jnp.bfloat16, 2000, 8),
        (jnp.bfloat16, 1, 64),
        (jnp.float8_e4m3fn, 240, 2),
    ],
)
def test_the_mean_of_equal_values_is_that_value(dtype, value, window, stock):
    x = jnp.full((1, window, window, 2), value).astype(dtype)
    means = {
        "avg_pool": run(lambda x: ops.avg_pool(x, window), x, stock=stock),
        "vmap": run(jax.vmap(lambda x: ops.avg_pool(x, window)), x[None], stock=stock),
        "global": run(ops.global_avg_pool, x, stock=stock),
        "adaptive": run(lambda x: adaptive_avg_pool(x, 1), x, stock=stock),
    }
    expected = dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.float32
    for name, mean in means.items():
        assert mean.dtype == expected, name
        np.testing.assert_array_equal(np.asarray(mean, np.float64), value, err_msg=name)


@whose
@narrow
def test_means_of_maps_are_rounded_once(dtype, stock):
    x = maps(dtype, 2, 28, 27, 8)
    exact = np.asarray(x, np.float64)
    is_rounded_once(run(ops.global_avg_pool, x, stock=stock), exact.mean((1, 2)))
    is_rounded_once(
        run(lambda x: ops.avg_pool(x, (28, 27)), x, stock=stock)[:, 0, 0], exact.mean((1, 2))
    )
    # Rows, then columns: rounded in between, a third of these would be off.
    cells = [slice(i * 28 // 5, -(-(i + 1) * 28 // 5)) for i in range(5)]
    across = [slice(i * 27 // 5, -(-(i + 1) * 27 // 5)) for i in range(5)]
    pooled = run(lambda x: adaptive_avg_pool(x, 5), x, stock=stock)
    by_hand = [[exact[:, rows, columns].mean((1, 2)) for columns in across] for rows in cells]
    is_rounded_once(pooled, np.moveaxis(np.array(by_hand), 2, 0))


@whose
@narrow
def test_the_gradient_of_a_mean_is_rounded_once(dtype, stock):
    """A pixel in the middle lies in 17 x 17 windows: so many cotangents are summed up for it."""
    x = maps(dtype, 1, 33, 33, 2)
    g = maps(dtype, 1, 17, 17, 2, seed=1)

    def gradient(x, g):
        return jax.vjp(lambda x: ops.avg_pool(x, 17, stride=1), x)[1](g)[0]

    found = run(gradient, x, g, stock=stock)
    assert found.dtype == dtype
    is_rounded_once(found[:, 16, 16], np.asarray(g, np.float64).sum((1, 2)) / 17**2)


@whose
def test_local_response_norm_squares_in_float32(stock):
    """The squares of 300 and more do not fit into float16, nor the sums of small ones."""
    for dtype in NARROW:
        x = maps(dtype, 2, 3, 3, 32, scale=400)
        exact = np.asarray(x, np.float64)
        sums = np.stack(
            [np.square(exact[..., max(0, c - 2) : c + 3]).sum(-1) for c in range(32)], -1
        )
        y = run(ops.local_response_norm, x, stock=stock)
        assert y.dtype == dtype
        is_rounded_once(y, exact / (2 + 1e-4 * sums) ** 0.75)


@whose
@narrow
def test_convolutions_sum_up_in_float32(dtype, stock):
    """4,096 ones: in float16 a sum of ones stops at 2048, in bfloat16 at 256."""
    x, w = jnp.ones((1, 8, 8, 64), dtype), jnp.ones((8, 8, 64, 1), dtype)
    assert run(ops.conv2d, x, w, stock=stock)[0, 0, 0, 0] == 4096
    x = x.reshape(1, 64, 64, 1)
    pixels, weights = jnp.ones((1, 1, 1, 8192), dtype), jnp.ones((1, 1, 8192, 2), dtype)
    assert run(ops.conv2d, pixels, weights, stock=stock)[0, 0, 0, 0] == 8192

    def kernel_gradient(x):
        one = jnp.ones((1, 1, 1, 1), dtype)
        return jax.grad(lambda w: ops.conv2d(x, w).astype(jnp.float32).sum())(one)

    assert run(kernel_gradient, x, stock=stock)[0, 0, 0, 0] == 4096


@whose
@narrow
def test_batch_norm_normalises_in_float32(dtype, stock):
    x = maps(dtype, 8, 6, 6, 4, scale=3) + 100
    exact = np.asarray(x, np.float64)
    mean, var = exact.mean((0, 1, 2)), exact.var((0, 1, 2))
    y, *statistics = run(ops.batch_norm, x, jnp.ones(4), jnp.zeros(4), stock=stock)
    np.testing.assert_allclose(statistics[0], mean, rtol=1e-6)
    np.testing.assert_allclose(statistics[1], var, rtol=1e-4)
    is_rounded_once(y, (exact - mean) / np.sqrt(var + 1e-5), atol=1e-5)


@pytest.mark.parametrize("dtype", [*NARROW, jnp.float32])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_computed_in_float32(dtype, smoothing):
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(16, 1000)) * 3, dtype)
    labels = jnp.asarray(rng.integers(0, 1000, 16))
    exact = np.asarray(logits, np.float64)
    log_shares = exact - np.log(np.exp(exact).sum(1, keepdims=True))
    targets = np.eye(1000)[labels] * (1 - smoothing) + smoothing / 1000
    losses = jax.jit(cross_entropy, static_argnums=2)(logits, labels, smoothing)
    assert losses.dtype == jnp.float32
    np.testing.assert_allclose(losses, -(targets * log_shares).sum(1), rtol=1e-5)
    given = cross_entropy(logits, labels, 0.0, jnp.asarray(targets, dtype))
    assert given.dtype == jnp.float32


@pytest.mark.parametrize("window", [3, 9, 16])
def test_blur_weighs_in_float32(window):
    """The 81 weights of a window of 9 are no bfloat16, of integers all are 0."""
    for dtype, value in ((jnp.bfloat16, 1), (jnp.float16, 2000), (jnp.uint8, 200)):
        x = jnp.full((1, 40, 40, 1), value).astype(dtype)
        y = layers.Downsample("blur", 2, window).apply({}, x)
        np.testing.assert_array_equal(np.asarray(y, np.float64)[:, 9:11, 9:11], value)


def test_analysis_adds_up_in_float32():
    x = jnp.full((2, 16, 16, 3), 300, jnp.float16)
    np.testing.assert_array_equal(style.gram(x), np.full((2, 3, 3), 90_000.0))
    stripes = x.at[:, ::2].set(0)  # of 16 rows, 15 pairs differ by 300
    assert maximise.total_variation(stripes) == pytest.approx(15 / 16 * 90_000)
    vectors = embedding.normalised(np.full((2, 64), 300, np.float16))
    np.testing.assert_allclose(vectors, np.full((2, 64), 1 / 8), rtol=1e-3)
    norms = flow.layer_norms({"conv": {"kernel": jnp.full((3, 3, 4, 100), 300, jnp.float16)}})
    assert norms["conv"] == pytest.approx(300 * 60)


def test_equivariance_of_narrow_maps_is_measured_in_float32():
    still = maps(jnp.float16, 1, 32, 32, 16, scale=300)
    moved = np.asarray(shifts.shifted(np.asarray(still), 1)) * np.float16(1.25)
    views = [layer_axis(), layer_axis()]
    found = shifts._error(np.asarray(still), moved, views, 1)  # type: ignore[arg-type]
    wide = shifts._error(np.asarray(still, np.float64), np.float64(moved), views, 1)  # type: ignore[arg-type]
    assert found == pytest.approx(wide, rel=1e-5)


def layer_axis():
    """Return the view of a layer with a position for each pixel, as far as it is asked for."""
    from types import SimpleNamespace

    return SimpleNamespace(jump=1)


@pytest.mark.parametrize("dtype", [jnp.bool_, jnp.float8_e4m3fn, jnp.float8_e5m2, jnp.bfloat16])
def test_max_pool_of_every_type_starts_from_its_least_value(dtype):
    """Also of those without an infinity; the padding never wins."""
    x = (-jnp.arange(16.0)).reshape(1, 4, 4, 1).astype(dtype)
    for y in (run(pool_3, x), run(pool_3, x, stock=True)):
        assert y.dtype == dtype
        expected = np.asarray(run(pool_3, x.astype(jnp.float32)), dtype)
        np.testing.assert_array_equal(y, expected)


def pool_3(x):
    return ops.max_pool(x, 3, stride=2, padding=1)


def test_types_that_an_operator_cannot_take_are_named():
    counts = jnp.ones((2, 3, 3, 4), jnp.uint8)
    with pytest.raises(BadInputError, match="uint8"):
        ops.batch_norm(counts, jnp.ones(4), jnp.zeros(4))
    with pytest.raises(BadInputError, match="uint8"):
        ops.local_response_norm(counts)
    with pytest.raises(BadInputError, match="bool"):
        ops.conv2d(counts > 0, jnp.ones((1, 1, 4, 4), bool))
    with pytest.raises(BadInputError, match="complex64"):
        ops.max_pool(counts.astype(jnp.complex64), 2)
    with pytest.raises(BadInputError, match="float8_e4m3fn and float32"):
        ops.conv2d(counts.astype(jnp.float8_e4m3fn), jnp.ones((1, 1, 4, 4)))


def test_whole_numbers_convolve_as_in_pytorch():
    torch = pytest.importorskip("torch")
    x, w = np.full((1, 1, 5, 5), 100, np.uint8), np.ones((1, 1, 2, 2), np.uint8)
    expected = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w))
    y = ops.conv2d(jnp.asarray(x).transpose(0, 2, 3, 1), jnp.asarray(w).transpose(2, 3, 1, 0))
    assert y.dtype == jnp.uint8
    np.testing.assert_array_equal(y[..., 0], expected[:, 0])
