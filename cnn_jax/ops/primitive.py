"""Primitives that are lowered one way for the CPU and another way elsewhere.

``define`` makes one out of plain functions of arrays. Derivatives are added by those who know
them; the rules for shapes, ``vmap``, evaluation outside jit and lowering are the same for all.

Whose operators compute is chosen when a function is traced, by ``stock()`` and ``native()``, and is
part of jit's cache key, so that one function can be compiled in several ways in one program.
"""

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from cnn_jax.ops.arguments import is_known
from cnn_jax.ops.precision import wide

_OURS, _STOCK, _NATIVE = range(3)
_whose = jax.make_user_context(_OURS)


def stock():
    """Compute with XLA's own operators in this context: no formulation of this project.

    ``with ops.stock(): ...``
    """
    return _whose(_STOCK)


def native():
    """Convolve with oneDNN in this context, on a CPU and in float32; else as without it.

    ``cnn_jax.ops.cpu.build_onednn.load`` has to be called before such a program is run.
    ``with ops.native(): ...``
    """
    return _whose(_NATIVE)


def is_stock(*arrays: jax.Array) -> bool:
    """Tell whether to use XLA's operators: inside ``stock()``, and for what only they can do.

    Explicit sharding types need a rule for each operator, which XLA's own have. Dimensions that
    ``jax.export`` leaves open cannot be compared with the sizes by which formulations are chosen.
    """
    types = [jax.typeof(a) for a in arrays]
    return _whose.value == _STOCK or any(any(t.sharding.spec) or _is_open(t) for t in types)


def _is_open(*arrays) -> bool:
    return not all(is_known(size) for a in arrays for size in a.shape)


def is_native() -> bool:
    """Tell whether ``native()`` is in force."""
    return _whose.value == _NATIVE


def define(
    name: str,
    default: Callable,
    *,
    cpu: Callable | None = None,
    images: tuple[bool, ...] = (),
    multiple_results: bool = False,
    unrolled: bool = False,
    narrow: bool = False,
) -> Primitive:
    """Return a primitive that computes ``default(*arrays, **params)``.

    Args:
        name: of the primitive in printed programs.
        default: the function for every platform.
        cpu: the function for the CPU: what ``default`` returns, or None to use that after all.
            Float arrays come to it in at least float32, unless ``narrow``.
        images: for each argument, whether its first axis is the batch that the results have
            too; ``vmap`` over such arguments alone makes that batch larger.
        multiple_results: whether the functions return a tuple.
        unrolled: whether ``vmap`` over other arguments binds the primitive once for each example
            instead of computing ``default`` under ``vmap``.
        narrow: whether ``cpu`` takes floats narrower than float32 as they are.
    """
    prim = Primitive(name)
    prim.multiple_results = multiple_results

    @cache
    def results(shapes, params):
        return jax.eval_shape(partial(default, **dict(params)), *shapes)

    def abstract(*avals, **params):
        shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in avals)
        outs = results(shapes, tuple(params.items()))
        like = partial(avals[0].update, weak_type=False)
        if multiple_results:
            return [like(shape=out.shape, dtype=out.dtype) for out in outs]
        return like(shape=outs.shape, dtype=outs.dtype)

    @cache
    def compiled(params):
        return jax.jit(partial(prim.bind, **dict(params)))

    def evaluated(*args, **params):
        # As jax does with its own primitives: compiled one by one, also where jit is disabled.
        with jax.disable_jit(False):
            return compiled(tuple(params.items()))(*args)

    prim.def_abstract_eval(abstract)
    prim.def_impl(evaluated)
    batching.primitive_batchers[prim] = partial(_batched, prim, default, images, unrolled)
    mlir.register_lowering(prim, mlir.lower_fun(default, multiple_results))
    if cpu is not None:
        on_cpu = partial(_on_cpu, cpu, default, results, narrow)
        mlir.register_lowering(prim, mlir.lower_fun(on_cpu, multiple_results), platform="cpu")
    return prim


def _batched(prim, default, images, unrolled, args, dims, **params):
    """Return what ``prim`` gives under ``vmap`` over the axes ``dims``, and its own axes, all 0."""
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    more = any(d is not None and not image for d, image in zip(dims, images, strict=True))
    if more and unrolled and is_known(size):
        each = [prim.bind(*map(partial(_take, i), args, dims), **params) for i in range(size)]
        out = jax.tree.map(lambda *outs: jnp.stack(outs), *each)
    elif more:
        out = jax.vmap(partial(default, **params), in_axes=tuple(dims))(*args)
    else:
        out = prim.bind(*map(partial(_merge, size), args, dims, images), **params)
        out = jax.tree.map(partial(_split, size), out)
    return out, jax.tree.map(lambda _: 0, out)


def _on_cpu(cpu, default, results, narrow, *args, **params):
    """Return what ``cpu`` computes, or ``default`` where it is not asked or gives None.

    ``results`` maps shapes and parameters to the shapes and types of what comes out.
    """
    floats = all(jnp.issubdtype(a.dtype, jnp.floating) for a in args[:1])
    out = None
    if floats and not _is_open(*args) and all(a.size for a in args):
        out = cpu(*(args if narrow else map(wide, args)), **params)
    if out is None:
        return default(*args, **params)
    shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in args)
    like = results(shapes, tuple(params.items()))
    return jax.tree.map(lambda a, b: a.astype(b.dtype), out, like)


def bind(prim: Primitive, *arrays: jax.Array, **params):
    """Bind ``prim`` to arrays that vary over the same axes of a ``shard_map``."""
    axes = frozenset().union(*(_varying(a) for a in arrays))
    return prim.bind(*(_vary(a, axes) for a in arrays), **params)


def _varying(a):
    return jax.typeof(a).manual_axis_type.varying


def _vary(a, axes):
    missing = tuple(axes - _varying(a))
    return jax.lax.pcast(a, missing, to="varying") if missing else a


def _take(i, a, dim):
    return a if dim is None else jax.lax.index_in_dim(a, i, dim, keepdims=False)


def _merge(size, a, dim, image):
    if not image:
        return a
    a = jnp.broadcast_to(a, (size, *a.shape)) if dim is None else jnp.moveaxis(a, dim, 0)
    return a.reshape(size * a.shape[1], *a.shape[2:])


def _split(size, a):
    return a.reshape(size, a.shape[0] // size, *a.shape[1:])
