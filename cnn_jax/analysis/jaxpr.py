"""Reading a traced program: its equations in order, with sub-programs entered."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from jax.extend import core

from cnn_jax.analysis.receptive_field import ReceptiveField, transfer

# visit(equation, scopes, views of its results, how often it runs)
Visit = Callable[[Any, tuple[str, ...], Sequence[ReceptiveField | None], int], None]

# The sub-programs of these say how two scalars combine; they are not calls.
_COMBINERS = ("reduce", "scatter", "select_and", "sort", "cum")


def multiply_adds(eqn: Any) -> int:
    """Return the multiply-adds of a convolution or a matrix product, 0 for any other equation.

    1 MAC is one multiplication and one addition. Every output counts its whole window, padded
    positions too, as torchvision counts.
    """
    if eqn.primitive.name == "conv_general_dilated":
        kernel = eqn.invars[1].aval.shape
        filters = kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
        return math.prod(eqn.outvars[0].aval.shape) * (math.prod(kernel) // filters)
    if eqn.primitive.name == "dot_general":
        (contracting, _), _ = eqn.params["dimension_numbers"]
        summed = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracting)
        return math.prod(eqn.outvars[0].aval.shape) * summed
    return 0


def total_multiply_adds(jaxpr: core.Jaxpr) -> int:
    """Return the multiply-adds of a whole program."""
    total = 0

    def visit(eqn, scopes, views, times):
        nonlocal total
        total += times * multiply_adds(eqn)

    walk(jaxpr, [None] * len(jaxpr.invars), visit)
    return total


def walk(
    jaxpr: core.Jaxpr,
    views: Sequence[ReceptiveField | None],
    visit: Visit,
    scopes: tuple[str, ...] = (),
    times: int = 1,
) -> list[ReceptiveField | None]:
    """Visit every equation of ``jaxpr``, entering sub-programs, and return its results' views.

    A scan's body counts as often as it runs; a while loop's, whose trips no trace knows, once; of
    a conditional's branches the one with the most multiply-adds counts.
    """
    known: dict[Any, ReceptiveField | None] = dict(zip(jaxpr.invars, views, strict=True))

    def view(atom):
        return None if isinstance(atom, core.Literal) else known.get(atom)

    for eqn in jaxpr.eqns:
        names = tuple(scope.name for scope in eqn.source_info.name_stack.stack)
        inner, taken, runs = sub_program(eqn)
        ins = [view(atom) for atom in eqn.invars]
        if inner is None:
            outs = [transfer(eqn, ins)] * len(eqn.outvars)
        else:
            outs = walk(inner, ins[taken], visit, scopes + names, times * runs)
            outs = (outs + [None] * len(eqn.outvars))[: len(eqn.outvars)]
        visit(eqn, scopes + names, outs, times)
        known.update(zip(eqn.outvars, outs, strict=True))
    return [view(atom) for atom in jaxpr.outvars]


def sub_program(eqn: Any) -> tuple[core.Jaxpr | None, slice, int]:
    """Return what an equation calls, which of its operands that takes, and how often it runs."""
    name, params = eqn.primitive.name, eqn.params
    everything = slice(None)
    if name == "cond":
        branches = [branch.jaxpr for branch in params["branches"]]
        return max(branches, key=total_multiply_adds), slice(1, None), 1
    if name == "while":
        return params["body_jaxpr"].jaxpr, slice(params["cond_nconsts"], None), 1
    if name == "scan":
        return params["jaxpr"].jaxpr, everything, params["length"]
    if name.startswith(_COMBINERS):
        return None, everything, 1
    for value in params.values():
        inner = value.jaxpr if isinstance(value, core.ClosedJaxpr) else value
        if isinstance(inner, core.Jaxpr) and len(inner.invars) == len(eqn.invars):
            return inner, everything, 1
    return None, everything, 1
