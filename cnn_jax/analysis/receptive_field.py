"""Receptive fields, carried through a traced program from equation to equation.

Each array that depends on the input has, for rows and for columns, the stretch of input pixels
that its first position sees and the distance in the input between neighbouring positions, the
jump (Araujo et al. 2019, "Computing receptive fields of convolutional neural networks"). Every
primitive changes them in its own way: `transfer` says how.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Axis(NamedTuple):
    """Rows or columns of the input, as an array sees them.

    ``position`` is the array's axis that walks along them, None once they are summed up.
    Position 0 sees input pixels ``low`` to ``high``, outside the image where it is padded.
    """

    position: int | None
    low: int
    high: int
    jump: int

    def moved(self, position: int | None) -> "Axis":
        """Return the same view from another axis of the array."""
        return self._replace(position=position)

    def windowed(self, position: int, before: int, reach: int, stride: int) -> "Axis":
        """Return the view through windows that start ``before`` early and are reach + 1 long."""
        low = self.low - before * self.jump
        high = self.high + (reach - before) * self.jump
        return Axis(position, low, high, self.jump * stride)

    def summed(self, n: int) -> "Axis":
        """Return the view of something that sees all ``n`` positions."""
        return Axis(None, self.low, self.high + (n - 1) * self.jump, self.jump)


ReceptiveField = tuple[Axis, Axis]  # rows, columns


def input_view(rows: int = 1, columns: int = 2) -> ReceptiveField:
    """Return the view of the input itself: each pixel sees itself."""
    return Axis(rows, 0, 0, 1), Axis(columns, 0, 0, 1)


def field_and_jump(view: ReceptiveField) -> tuple[Any, Any]:
    """Return the receptive field and the jump in pixels: an int, or (rows, columns) if unequal.

    The field counts padded positions. The jump is None where rows or columns are summed up.
    """
    rows, columns = (axis.high - axis.low + 1 for axis in view)
    field = rows if rows == columns else (rows, columns)
    if any(axis.position is None for axis in view):
        return field, None
    jump = view[0].jump if view[0].jump == view[1].jump else (view[0].jump, view[1].jump)
    return field, jump


def union(views: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
    """Return the view of an array whose values depend on all of ``views``."""
    seen = [view for view in views if view is not None]
    if not seen:
        return None

    def joined(axes: Sequence[Axis]) -> Axis:
        positions = [axis.position for axis in axes if axis.position is not None]
        return Axis(
            positions[0] if positions else None,
            min(axis.low for axis in axes),
            max(axis.high for axis in axes),
            max(axis.jump for axis in axes),
        )

    return joined([view[0] for view in seen]), joined([view[1] for view in seen])


def transfer(eqn: Any, views: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
    """Return the view of what an equation computes from arrays with ``views``.

    Primitives without a rule of their own are taken to keep positions where they keep sizes, and
    to see everything where they do not. None: nothing of the input, or not expressible, for
    upsampled positions are fractions of pixels apart.
    """
    rule = _RULES.get(eqn.primitive.name, _other)
    if eqn.primitive.name.startswith("reduce_window"):
        rule = _reduce_window
    elif eqn.primitive.name.startswith(("reduce_", "arg")):
        rule = _reduce
    results = []
    for index, view in enumerate(views):
        if view is not None:
            rows, columns = (_through(rule, eqn, index, axis) for axis in view)
            if rows is None or columns is None:
                return None
            results.append((rows, columns))
    return union(results)


def _through(rule, eqn, index: int, axis: Axis) -> Axis | None:
    if axis.position is None:
        return axis
    return rule(eqn, index, axis, axis.position, eqn.invars[index].aval.shape)


def _other(eqn, index, axis, at, shape):
    out = eqn.outvars[0].aval.shape
    kept = len(out) == len(shape) and out[at] == shape[at]
    return axis if kept else axis.summed(shape[at])


def _conv(eqn, index, axis, at, shape):
    spec, params = eqn.params["dimension_numbers"], eqn.params
    spatial = list(spec.lhs_spec[2:])
    if index != 0 or at not in spatial:
        return axis.summed(shape[at])
    i = spatial.index(at)
    if params["lhs_dilation"][i] > 1:
        return None
    field = eqn.invars[1].aval.shape[spec.rhs_spec[2 + i]]
    reach = (field - 1) * params["rhs_dilation"][i]
    before = params["padding"][i][0]
    return axis.windowed(spec.out_spec[2 + i], before, reach, params["window_strides"][i])


def _reduce_window(eqn, index, axis, at, shape):
    params = eqn.params
    reach = (params["window_dimensions"][at] - 1) * params["window_dilation"][at]
    return axis.windowed(at, params["padding"][at][0], reach, params["window_strides"][at])


def _slice(eqn, index, axis, at, shape):
    strides = eqn.params["strides"] or (1,) * len(shape)
    return axis.windowed(at, -eqn.params["start_indices"][at], 0, strides[at])


def _pad(eqn, index, axis, at, shape):
    before, _, between = eqn.params["padding_config"][at]
    return None if between else axis.windowed(at, before, 0, 1)


def _transpose(eqn, index, axis, at, shape):
    return axis.moved(list(eqn.params["permutation"]).index(at))


def _broadcast(eqn, index, axis, at, shape):
    return axis.moved(eqn.params["broadcast_dimensions"][at])


def _reshape(eqn, index, axis, at, shape):
    out = eqn.outvars[0].aval.shape
    for position, size in enumerate(out):
        if size == shape[at] and math.prod(out[:position]) == math.prod(shape[:at]):
            return axis.moved(position)
    return axis.summed(shape[at])


def _reduce(eqn, index, axis, at, shape):
    axes = eqn.params["axes"]
    if at in axes:
        return axis.summed(shape[at])
    return axis.moved(at - sum(reduced < at for reduced in axes))


def _squeeze(eqn, index, axis, at, shape):
    axes = eqn.params["dimensions"]
    return axis.summed(1) if at in axes else axis.moved(at - sum(gone < at for gone in axes))


def _dot(eqn, index, axis, at, shape):
    contracting, batch = eqn.params["dimension_numbers"]
    if at in contracting[index]:
        return axis.summed(shape[at])
    if at in batch[index]:
        return axis.moved(list(batch[index]).index(at))
    free = [d for d in range(len(shape)) if d not in contracting[index] and d not in batch[index]]
    before = len(batch[0])
    if index == 1:
        lhs = eqn.invars[0].aval.shape
        before += len(lhs) - len(contracting[0]) - len(batch[0])
    return axis.moved(before + free.index(at))


def _concatenate(eqn, index, axis, at, shape):
    return axis.summed(shape[at]) if at == eqn.params["dimension"] else axis


_RULES = {
    "conv_general_dilated": _conv,
    "slice": _slice,
    "pad": _pad,
    "transpose": _transpose,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "dot_general": _dot,
    "concatenate": _concatenate,
}
