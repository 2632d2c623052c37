"""oneDNN's convolutions, where the extra ``native`` is installed, against the others."""

import importlib.metadata
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from cnn_jax import ops
from cnn_jax.ops.cpu import build_onednn
from tests.ops.test_conv import POINT, convolutions, drawn, whole_numbers, with_gradients

HAS_ONEDNN = any(found.name == "onednn-cpu-gomp" for found in importlib.metadata.distributions())
HAS_COMPILER = shutil.which(os.environ.get("CXX", "c++")) is not None
needs_native = pytest.mark.skipif(
    not (HAS_ONEDNN and HAS_COMPILER), reason="no extra 'native', or no C++ compiler"
)
pytestmark = needs_native


@pytest.fixture(scope="module", autouse=True)
def loaded(cache):
    found = build_onednn.load(cache / "native")
    assert found.version == "3.2.0"
    return found


def computed(function, *arrays):
    """Return what a function gives, compiled with oneDNN and without."""

    def natively(*arrays):
        with ops.native():
            return function(*arrays)

    program = jax.jit(natively).lower(*arrays)
    assert "cnn_jax_convolve" in program.as_text()
    return program.compile()(*arrays), jax.jit(function)(*arrays)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(convolutions(), st.integers(0, 2**31))
@example(((2, 9, 7, 4), (1, 1, 4, 6), (3, 2), POINT, 1, (1, 1)), 0)
@example(((2, 9, 8, 20), (3, 3, 1, 20), (2, 2), ((1, 1), (1, 1)), 20, (1, 1)), 0)  # depthwise
@example(((2, 9, 8, 3), (3, 2, 1, 6), (2, 3), ((1, 0), (0, 2)), 3, (2, 1)), 0)  # multiplier 2
@example(((2, 33, 31, 16), (3, 3, 16, 32), (1, 1), ((1, 1), (1, 1)), 1, (1, 1)), 0)  # blocked
@example(((4, 35, 35, 3), (7, 7, 3, 64), (2, 2), ((3, 3), (3, 3)), 1, (1, 1)), 0)  # a stem
def test_values_and_gradients_are_exact(case, seed):
    """Bit for bit the other formulations': whole numbers leave no rounding."""
    assume(case[0][0])  # some image
    arrays, how = drawn(case, seed)
    for ours, theirs in zip(*computed(with_gradients(how), *arrays), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_derivatives_of_derivatives_are_exact():
    x, w = whole_numbers(0, (2, 6, 5, 4), (3, 3, 2, 6))

    def cubes(x, w):
        return (ops.conv2d(x, w, stride=2, padding=1, groups=2) ** 3).sum()

    def curvature(x, w):
        slopes = jax.grad(cubes, (0, 1))
        return jax.jvp(slopes, (x, w), (jnp.ones_like(x), jnp.ones_like(w)))[1]

    for ours, theirs in zip(*computed(curvature, x, w), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("axes", [(0, None), (None, 3), (0, 0)])
def test_vmap_over_images_and_filters(axes):
    shapes = [(2, 5, 5, 3), (3, 3, 3, 4)]
    shapes = [s if a is None else (*s[:a], 3, *s[a:]) for s, a in zip(shapes, axes, strict=True)]
    x, w = whole_numbers(0, *shapes)
    together = jax.vmap(lambda x, w: ops.conv2d(x, w, padding=1), axes)
    ours, theirs = computed(together, x, w)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("shape", "filters", "how"),
    [
        ((8, 32, 32, 16), (3, 3, 16, 16), {"padding": 1}),
        ((4, 16, 16, 32), (3, 3, 1, 32), {"padding": 1, "groups": 32, "stride": 2}),
        ((4, 14, 14, 64), (1, 1, 64, 128), {}),
        ((2, 33, 33, 3), (7, 7, 3, 24), {"padding": 3, "stride": 2}),
    ],
)
def test_bfloat16_is_rounded_once(shape, filters, how, loaded):
    """Products of whole numbers are summed without rounding; only the results are rounded."""
    if not loaded.takes_bfloat16:
        pytest.skip("no AVX-512")
    x, w = whole_numbers(0, shape, filters)
    g = whole_numbers(1, jax.eval_shape(lambda x, w: ops.conv2d(x, w, **how), x, w).shape)
    arrays = [a.astype(jnp.bfloat16) for a in (x, w, *g)]
    for ours, theirs in zip(*computed(with_gradients(how), *arrays), strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_array_equal(ours, theirs)


def test_float64_is_not_onednns_and_loses_nothing():
    with jax.enable_x64(True), ops.native():
        wide = jnp.full((1, 3, 3, 1), 1 + 2.0**-40, jnp.float64)
        assert ops.conv2d(wide, jnp.ones((1, 1, 1, 1), jnp.float64))[0, 0, 0, 0] == 1 + 2.0**-40


def test_the_choice_is_part_of_jits_cache_key():
    x, w = whole_numbers(0, (1, 4, 4, 2), (3, 3, 2, 2))
    traces = []

    @jax.jit
    def function(x, w):
        traces.append(None)
        return ops.conv2d(x, w)

    for _ in range(2):
        function(x, w)
        with ops.native():
            function(x, w)
        with ops.stock():
            function(x, w)
    assert len(traces) == 3


def test_other_platforms_get_xlas_convolution():
    x, w = whole_numbers(0, (1, 4, 4, 2), (3, 3, 2, 2))

    def natively(x, w):
        with ops.native():
            return ops.conv2d(x, w)

    program = jax.export.export(jax.jit(natively), platforms=["cuda"])(x, w).mlir_module()
    assert "stablehlo.convolution" in program
    assert "cnn_jax_convolve" not in program
