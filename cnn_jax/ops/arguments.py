"""What operators check of their arguments: each fault is one line that names the argument."""

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.core import Tracer

from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

# A size that ``jax.export`` leaves open until the program runs. JAX names its type nowhere.
_Symbolic = type(export.symbolic_shape("n")[0])


def is_known(size: Any) -> bool:
    """Return whether a dimension is a number, not one that ``jax.export`` leaves open."""
    return not isinstance(size, _Symbolic)


def as_whole(value: Any) -> Any:
    """Return an integer of any type - Python's, NumPy's, an array ``[]`` - as an int.

    A dimension that is left open is returned as it is; None for all else, bools and floats too.
    """
    if isinstance(value, _Symbolic):
        return value
    if isinstance(value, bool) or getattr(value, "dtype", None) == jnp.bool_:
        return None
    try:
        return operator.index(value)
    except TypeError:  # a traced array's is one as well
        return None


def at_least(least: int, *sizes: Any) -> bool:
    """Return whether all sizes reach ``least``, as far as they are known."""
    return all(size >= least for size in sizes if is_known(size))


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return an argument as an int, or raise ``BadInputError`` if it is none from ``least`` on."""
    number = as_whole(value)
    if not isinstance(number, int) or number < least:
        raise BadInputError(f"{name}={shown(value)} has to be an int of at least {least}")
    return number


def number(name: str, value: Any, least: float, most: float = math.inf) -> None:
    """Raise ``BadInputError`` for what is no finite number from ``least`` to ``most``.

    A traced one, whose value nobody knows yet, is let through.
    """
    if isinstance(value, Tracer):
        return
    plain = value.item() if getattr(value, "shape", None) == () else value
    ranges.check(name, plain, ranges.at_least(least, high=most))


def array(name: str, value: Any) -> jax.Array:
    """Return an array of jax or NumPy as one of jax, or raise ``BadInputError`` for all else."""
    try:
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            return jnp.asarray(value)
    except TypeError:  # of strings, of objects
        pass
    kind = getattr(value, "dtype", type(value).__name__)
    raise BadInputError(f"{name} takes arrays of numbers, not {kind}")


def images(name: str, value: Any) -> jax.Array:
    """Return an array of images ``[N, H, W, C]`` with pixels, or raise ``BadInputError``."""
    x = array(name, value)
    if x.ndim != 4:
        raise BadInputError(f"{name} takes images [N, H, W, C], not {x.shape}")
    if not at_least(1, *x.shape[1:3]):
        raise BadInputError(f"{name}: images {x.shape} have no pixels")
    return x


def common_type(name: str, *arrays: jax.Array) -> Any:
    """Return the type that jax promotes arrays to, or raise ``BadInputError`` if there is none."""
    try:
        return jnp.result_type(*(a.dtype for a in arrays))
    except ValueError:
        types = " and ".join(str(a.dtype) for a in arrays)
        raise BadInputError(f"{name}: {types} have no common type; cast one of them") from None


def shown(value: Any) -> str:
    """Return ``repr`` of a value on one line, cut where it is long."""
    if isinstance(value, Tracer):
        return "a traced value, which is not known before the program runs"
    line = " ".join(repr(value).split())
    return line if len(line) <= 80 else f"{line[:77]}..."
