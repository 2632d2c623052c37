"""In which order the modules of a network run: traced, so that nothing is computed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax


class Call(NamedTuple):
    """A call of a module's method.

    Attributes:
        path: names of the modules around it and its own; empty for the network itself.
        method: such as ``__call__``.
        shape: of what it returned, ``[N, ...]``; None where that is not one array.
        start: how many calls began before it.
        kind: the name of the module's class.
    """

    path: tuple[str, ...]
    method: str
    shape: tuple[int, ...] | None
    start: int
    kind: str


def calls(run: Callable[..., Any], *args: Any) -> list[Call]:
    """Return the calls of modules that ``run(*args)`` makes, in the order in which they end.

    ``run`` applies or initialises a network; ``args`` are arrays, or their shapes and dtypes.
    """
    ended: list[Call] = []
    begun = 0

    def note(call, args, kwargs, context):
        nonlocal begun
        start, begun = begun, begun + 1
        result = call(*args, **kwargs)
        shape = tuple(result.shape) if hasattr(result, "shape") else None
        kind = type(context.module).__name__
        ended.append(Call(context.module.path, context.method_name, shape, start, kind))
        return result

    def traced(*args):
        with nn.intercept_methods(note):
            return run(*args)

    jax.eval_shape(traced, *args)
    return ended


def children(run: Callable[..., Any], *args: Any) -> list[str]:
    """Return the names of a network's direct children in the order in which they begin to run.

    Arguments as for ``calls``. Initialising also runs what only training runs, auxiliary heads.
    """
    begun = sorted(calls(run, *args), key=lambda call: call.start)
    return list(dict.fromkeys(call.path[0] for call in begun if call.path))
