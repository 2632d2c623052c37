"""Other ways back through a ReLU: guided backpropagation and the deconvolution network.

Both are a gradient in which the ReLU's rule is another one, g being what arrives from above and x
what the ReLU saw: the gradient passes g where x > 0, the deconvolution network where g > 0
(Zeiler & Fergus 2013, section 2.1), guided backpropagation where both are (Springenberg et al.
2014, figure 1). Everything else is differentiated as ever: a convolution's derivative is the
transposed filter and a max-pool's the switch.

The ReLUs are found in the traced program, as a maximum of something and zero or as the ReLU of a
sum, so that it does not matter by which function a network calls them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from cnn_jax.ops.activation import ADD_RELU

Rule = Literal["guided", "deconvnet"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def relu(x: jax.Array, rule: Rule) -> jax.Array:
    """Return max(x, 0), differentiated by another rule."""
    return jnp.maximum(x, 0)


def _forward(x, rule):
    return relu(x, rule), x


def _backward(rule, x, g):
    g = jnp.maximum(g, 0)
    return (jnp.where(x > 0, g, 0) if rule == "guided" else g,)


relu.defvjp(_forward, _backward)


def with_rule(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Return ``function`` of arrays with the ReLUs in it replaced by ``relu``."""

    def replaced(*args: Any) -> Any:
        program, shape = jax.make_jaxpr(function, return_shape=True)(*args)
        results = _run(program.jaxpr, program.consts, jax.tree.leaves(args), rule)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return replaced


def count(function: Callable[..., Any], *args: Any) -> int:
    """Return how many ReLUs ``function`` runs through."""
    return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
    inner = [_inner(eqn) for eqn in jaxpr.eqns]
    own = sum(bool(_operands(eqn)) for eqn in jaxpr.eqns)
    return own + sum(_count(program.jaxpr) for program in inner if program is not None)


def _operands(eqn: Any) -> list[Any]:
    """Return that whose sum a ReLU is applied to; nothing for any other equation."""
    if eqn.primitive.name == ADD_RELU:
        return eqn.invars
    if eqn.primitive.name != "max":
        return []
    a, b = eqn.invars
    return [a] if _is_zero(b) else [b] if _is_zero(a) else []


def _is_zero(atom: Any) -> bool:
    return isinstance(atom, core.Literal) and np.ndim(atom.val) == 0 and float(atom.val) == 0


def _inner(eqn: Any) -> core.ClosedJaxpr | None:
    """Return the program that an equation only calls; of a custom derivative, if it is a ReLU."""
    name, params = eqn.primitive.name, eqn.params
    if name in ("jit", "pjit", "closed_call"):
        return params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
    if name in ("remat", "checkpoint", "remat2"):
        return core.ClosedJaxpr(params["jaxpr"], ())
    if name == "custom_jvp_call" and _is_relu(params["call_jaxpr"].jaxpr):
        return params["call_jaxpr"]
    return None


def _is_relu(jaxpr: core.Jaxpr) -> bool:
    if len(jaxpr.eqns) != 1:
        return False
    (eqn,) = jaxpr.eqns
    inner = _inner(eqn)
    return bool(_operands(eqn)) or (inner is not None and _is_relu(inner.jaxpr))


def _run(jaxpr: core.Jaxpr, consts: Sequence[Any], args: Sequence[Any], rule: Rule) -> list[Any]:
    """Evaluate a program, entering what it calls, with its ReLUs replaced."""
    known: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    known.update(zip(jaxpr.invars, args, strict=True))

    def value(atom):
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for eqn in jaxpr.eqns:
        inner, operands = _inner(eqn), _operands(eqn)
        if operands:
            results = [relu(functools.reduce(jnp.add, map(value, operands)), rule)]
        elif inner is not None:
            results = _run(inner.jaxpr, inner.consts, [value(a) for a in eqn.invars], rule)
        else:
            params = eqn.primitive.get_bind_params(eqn.params)
            found = eqn.primitive.bind(*map(value, eqn.invars), **params)
            results = found if eqn.primitive.multiple_results else [found]
        known.update(zip(eqn.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]
