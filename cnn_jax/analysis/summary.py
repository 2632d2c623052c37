"""What a network is made of, layer by layer, read off the program that JAX traces.

No layer has a formula of its own: the traced program (jaxpr) of an inference pass is walked, so a
user's module is counted as exactly as the zoo's.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any, cast

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.analysis.jaxpr import multiply_adds, walk
from cnn_jax.analysis.probe import inference
from cnn_jax.analysis.receptive_field import ReceptiveField, field_and_jump, input_view
from cnn_jax.runtime.errors import BadInputError

_MARK = "cnn_jax_module:"  # a scope of the trace that tells which module an equation belongs to


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer: a module with parameters or multiply-adds of its own, or a pooling window.

    Attributes:
        path: where it is in the network, 'stage1_block1/conv1'.
        kind: the module's class, or 'max_pool' or 'avg_pool'.
        output_shape: of one image's output, without the batch axis; None if the layer does not
            run in inference (an auxiliary head).
        params: trainable numbers.
        macs: multiply-adds for one image; 1 MAC is one multiplication and one addition, padded
            positions count.
        receptive_field: input pixels that one output sees, padding included: an int, or (rows,
            columns) if they differ; None if the layer does not run.
        jump: input pixels between neighbouring outputs; None without rows and columns.
        activation_bytes: size of one image's output.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...] | None
    params: int
    macs: int
    receptive_field: int | tuple[int, int] | None
    jump: int | tuple[int, int] | None
    activation_bytes: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """The rows of a network in the order in which it runs, and their totals for one image."""

    model: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        """Trainable numbers, those of auxiliary heads included."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and matrix products in inference, for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all rows' outputs for one image, as if each were kept."""
        return sum(row.activation_bytes for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return totals and rows as plain values."""
        totals = {name: getattr(self, name) for name in ("params", "macs", "activation_bytes")}
        rows = [dataclasses.asdict(row) for row in self.rows]
        return {"model": self.model, "input_shape": self.input_shape, **totals, "rows": rows}

    def to_json(self) -> str:
        """Return ``to_dict`` as one line of JSON."""
        return json.dumps(self.to_dict())


@dataclasses.dataclass
class _Layer:
    """What is gathered about one row while the program is walked."""

    kind: str
    output: Any = None  # a shape with its dtype
    params: int = 0
    macs: int = 0
    view: ReceptiveField | None = None


def summarize(module: nn.Module, input_shape: Sequence[int]) -> Summary:
    """Count a network's parameters, multiply-adds and receptive fields without running it.

    Args:
        module: any Linen module that takes images [N, H, W, C]; its keyword ``train``, if it has
            one, is False.
        input_shape: (H, W, C), or (N, H, W, C), whose N is left out: all counts are for one image.

    Raises:
        BadInputError: the shape is not one of images.
    """
    shape, layers, variables = _trace(module, input_shape)
    params = flax.traverse_util.flatten_dict(variables.get("params", {}))
    for path, leaf in cast(dict[tuple[str, ...], Any], params).items():
        layer = layers.setdefault(path[:-1], _Layer(kind="not run"))
        layer.params += math.prod(leaf.shape)
    rows = tuple(
        _row("/".join(path) or type(module).__name__, layer)
        for path, layer in layers.items()
        if layer.params or layer.macs or layer.kind.endswith("_pool")
    )
    return Summary(type(module).__name__, shape, rows)


def views(module: nn.Module, input_shape: Sequence[int]) -> dict[str, ReceptiveField]:
    """Return what each layer sees of the input, by its path, where that can be said.

    Arguments and errors as for ``summarize``; of a layer's equations the last one counts.
    """
    _, layers, _ = _trace(module, input_shape)
    return {"/".join(path): layer.view for path, layer in layers.items() if layer.view}


def _trace(
    module: nn.Module, input_shape: Sequence[int]
) -> tuple[tuple[int, ...], dict[tuple[str, ...], _Layer], Any]:
    """Return (H, W, C), the layers in their order, and the shapes of the variables."""
    shape = tuple(input_shape)
    if len(shape) not in (3, 4) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise BadInputError(f"input is H,W,C in pixels and channels, not {input_shape!r}")
    shape = shape[-3:]
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    mode = inference(module)
    found: dict[tuple[str, ...], _Layer] = {}

    def forward(variables, x):
        with nn.intercept_methods(_marking(found)):
            return module.apply(variables, x, **mode)

    with ops.stock():
        variables = jax.eval_shape(lambda key, x: module.init(key, x, **mode), jax.random.key(0), x)
        program = jax.make_jaxpr(forward)(variables, x).jaxpr
    return shape, _walk(program, found), variables


def _marking(found: dict[tuple[str, ...], _Layer]):
    """Return an interceptor that names each module in the trace and notes its output."""

    def intercept(call, args, kwargs, context):
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        path = context.module.path
        layer = found.setdefault(path, _Layer(kind=type(context.module).__name__))
        with jax.named_scope(_MARK + "/".join(path)):
            result = call(*args, **kwargs)
        arrays = jax.tree.leaves(result)
        if arrays:
            layer.output = jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)
        return result

    return intercept


def _walk(program, found: dict[tuple[str, ...], _Layer]) -> dict[tuple[str, ...], _Layer]:
    """Return modules and pools in the order in which their equations run."""
    layers: dict[tuple[str, ...], _Layer] = {}

    def visit(eqn, scopes, views, times):
        marks = [scope for scope in scopes if scope.startswith(_MARK)]
        if not marks:
            return
        name = marks[-1].removeprefix(_MARK)
        path = tuple(name.split("/")) if name else ()
        output = eqn.outvars[0].aval
        view = views[0]
        if eqn.primitive.name.startswith("reduce_window") and _pools(eqn, view):
            kind = "max_pool" if eqn.primitive.name.endswith("max") else "avg_pool"
            same = sum(p[:-1] == path and layer.kind == kind for p, layer in layers.items())
            layers[*path, f"{kind}_{same + 1}"] = _Layer(kind, output, view=view)
            return
        layer = layers.setdefault(path, found[path])
        layer.macs += times * multiply_adds(eqn)
        layer.view = view or layer.view

    views = [None] * (len(program.invars) - 1) + [input_view()]
    walk(program, views, visit)
    return layers


def _pools(eqn, view: ReceptiveField | None) -> bool:
    """Say whether a window reaches over rows or columns (and not over channels alone)."""
    windows = eqn.params["window_dimensions"]
    return view is not None and any(
        axis.position is not None and windows[axis.position] > 1 for axis in view
    )


def _row(path: str, layer: _Layer) -> Row:
    field, jump = field_and_jump(layer.view) if layer.view else (None, None)
    shape, size = None, 0
    if layer.output is not None:
        shape = tuple(layer.output.shape[1:])
        size = math.prod(shape) * layer.output.dtype.itemsize
    return Row(path, layer.kind, shape, layer.params, layer.macs, field, jump, size)
