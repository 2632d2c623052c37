"""Every way to differentiate, map and place the operators: as XLA's own operators do it.

The reference is the same function under ``ops.stock()``, in float64, so tolerances are tight.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from cnn_jax import ops
from cnn_jax.ops import norm

X = (2, 7, 6, 4)


def conv(kernel, **how):
    return partial(ops.conv2d, **how), (X, kernel)


def normalised(x, scale, bias):
    y, mean, variance = ops.batch_norm(x, scale, bias)
    return y * mean + jnp.square(variance)


def normalised_large(x, scale, bias):
    """As maps too large for XLA's own gradient are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(norm, "_SMALL", 0)
        return normalised(x, scale, bias)


OPERATORS = {
    "dense": conv((3, 3, 4, 3), padding="same"),
    "pointwise": conv((1, 1, 4, 3)),
    "pointwise_strided": conv((1, 1, 4, 3), stride=2),
    "phased": conv((3, 2, 4, 3), stride=2, padding=((1, 0), (0, 2))),
    "depthwise": conv((3, 3, 1, 4), stride=2, padding="same", groups=4),
    "depthwise_dilated": conv((3, 3, 1, 4), padding="same", groups=4, dilation=2),
    "grouped": conv((3, 3, 2, 6), padding=1, groups=2),
    "max_pool": (partial(ops.max_pool, window=3, stride=2, padding=1), (X,)),
    "max_pool_disjoint": (partial(ops.max_pool, window=2), (X,)),
    "avg_pool": (partial(ops.avg_pool, window=3, stride=2, padding=1), (X,)),
    "batch_norm": (normalised, (X, (4,), (4,))),
    "batch_norm_dense": (normalised, ((5, 4), (4,), (4,))),
    "batch_norm_large": (normalised_large, (X, (4,), (4,))),
    "batch_norm_large_dense": (normalised_large, ((5, 4), (4,), (4,))),
    "local_response_norm": (partial(ops.local_response_norm, alpha=0.1), (X,)),
}
operators = pytest.mark.parametrize("name", OPERATORS)


def arrays(name, seed=0, dtype=jnp.float64):
    _, shapes = OPERATORS[name]
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return tuple(jax.random.normal(k, s, dtype) for k, s in zip(keys, shapes, strict=True))


def close(ours, theirs, rtol=1e-9):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, np.abs(b).max()))


def compare(function, *args):
    """Check a function of arrays that uses operators against itself under ``stock()``."""
    ours = jax.jit(lambda *a: function(*a))(*args)
    with ops.stock():
        theirs = jax.jit(lambda *a: function(*a))(*args)
    close(ours, theirs)


@operators
def test_derivatives(name):
    """Value, reverse, forward, Hessian-vector products and reverse over reverse."""
    operator, shapes = OPERATORS[name]
    every = tuple(range(len(shapes)))

    def modes(args, tangents):
        def loss(*args):
            return jnp.sin(operator(*args)).sum()

        def along(*args):
            pairs = zip(jax.grad(loss, every)(*args), tangents, strict=True)
            return sum((g * t).sum() for g, t in pairs)

        gradient = jax.grad(loss, every)
        return {
            "value and forward": jax.jvp(operator, args, tangents),
            "reverse": gradient(*args),
            "forward over reverse": jax.jvp(gradient, args, tangents),
            "reverse over reverse": jax.grad(along, every)(*args),
        }

    with jax.enable_x64(True):
        compare(modes, arrays(name), arrays(name, 1))


@operators
def test_vmap(name):
    """Of the operator and of its gradient, over all arguments and over the images alone."""
    operator, shapes = OPERATORS[name]
    every = tuple(range(len(shapes)))

    def modes(args, others):
        def gradient(*args):
            return jax.grad(lambda *a: jnp.sin(operator(*a)).sum(), every)(*args)

        stacks = [jnp.stack(pair, 1) for pair in zip(args, others, strict=True)]
        alone = (1, *(None for _ in args[1:]))
        return (
            jax.vmap(operator, 1)(*stacks),
            jax.vmap(gradient, 1)(*stacks),
            jax.vmap(operator, alone)(stacks[0], *args[1:]),
            jax.vmap(gradient, alone)(stacks[0], *args[1:]),
        )

    with jax.enable_x64(True):
        compare(modes, arrays(name), arrays(name, 1))


@operators
def test_derivatives_are_those_of_finite_differences(name):
    operator, _ = OPERATORS[name]
    with jax.enable_x64(True):
        check_grads(jax.jit(operator), arrays(name), order=1, modes=["fwd", "rev"], rtol=1e-4)


@operators
@pytest.mark.parametrize(("dtype", "rtol"), [(jnp.float32, 2e-5), (jnp.bfloat16, 2e-2)])
def test_narrow_types(name, dtype, rtol):
    """Value and gradient keep the type and stay as near to float64 as it allows."""
    operator, shapes = OPERATORS[name]
    every = tuple(range(len(shapes)))

    def modes(*args):
        return operator(*args), jax.grad(lambda *a: operator(*a).sum(), every)(*args)

    narrow = arrays(name, dtype=dtype)
    ours = jax.jit(modes)(*narrow)
    assert all(a.dtype == dtype for a in jax.tree.leaves(ours[1]))
    with jax.enable_x64(True), ops.stock():
        wide = jax.jit(modes)(*(a.astype(jnp.float64) for a in narrow))
    close(ours, wide, rtol)


@operators
def test_eight_devices(name):
    """A batch sharded over eight devices gives the values and gradients of one device."""
    operator, shapes = OPERATORS[name]
    every = tuple(range(len(shapes)))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def modes(x, *rest):
        gradient = jax.grad(lambda *a: jnp.sin(operator(*a)).sum(), every)(x, *rest)
        return operator(x, *rest), gradient

    with jax.enable_x64(True):
        x, *rest = arrays(name)
        x = jnp.concatenate([x * (i + 1) for i in range(8)])
        sharded = jax.device_put(x, NamedSharding(mesh, P("data")))
        close(jax.jit(modes)(sharded, *rest), jax.jit(modes)(x, *rest))


@pytest.mark.parametrize("name", ["dense", "pointwise", "phased", "depthwise", "max_pool"])
def test_shard_map(name):
    """Gradients of unsharded filters are summed over the devices, with types checked."""
    operator, shapes = OPERATORS[name]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

    def gradient(x, w):
        return jax.grad(lambda w: jnp.sin(operator(x * w.sum(), *[w][: len(shapes) - 1])).sum())(w)

    def summed(x, w):
        def loss(w):
            y = operator(x * w.sum(), *[w][: len(shapes) - 1])
            return jax.lax.psum(jnp.sin(y).sum(), "data")

        return jax.grad(loss)(w)

    with jax.enable_x64(True):
        x, *rest = arrays(name)
        w = rest[0] if rest else jnp.ones((1,))
        x = jnp.concatenate([x * (i + 1) for i in range(8)])
        mapped = jax.shard_map(summed, mesh=mesh, in_specs=(P("data"), P()), out_specs=P())
        close(jax.jit(mapped)(x, w), jax.jit(gradient)(x, w))


def test_statistics_of_a_large_mean():
    """Mean 1000, standard deviation 5e-4: the variance is right within 1 %."""
    x = np.random.default_rng(0).normal(1000, 5e-4, (16, 28, 28, 8)).astype(np.float32)
    expected = x.astype(np.float64)
    _, mean, variance = jax.jit(ops.batch_norm)(x, jnp.ones(8), jnp.zeros(8))
    np.testing.assert_allclose(variance, expected.var((0, 1, 2)), rtol=0.01)
    np.testing.assert_allclose(mean, expected.mean((0, 1, 2)), rtol=1e-7)
