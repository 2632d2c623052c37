"""Training a part of the parameters: trees cut by the paths of what is trained.

Parameters that are not trained are constants of the loss: no gradient is asked for, so the
backward pass ends where the last trained layer begins, and the optimizer keeps nothing for them.
"""

from typing import Any

import jax
import optax
from flax import traverse_util

Path = tuple[str, ...]
Paths = frozenset[Path]  # of parameters, such as ('stage1_block1', 'conv1', 'kernel')


def select(tree: Any, paths: Paths | None) -> Any:
    """Return the parameters at ``paths`` as a tree of their own; all of them if None."""
    if paths is None:
        return tree
    flat = traverse_util.flatten_dict(tree)
    return traverse_util.unflatten_dict({path: x for path, x in flat.items() if path in paths})


def merge(tree: Any, part: Any) -> Any:
    """Return ``tree`` with the parameters of ``part``, a tree that ``select`` made, in place."""
    flat = traverse_util.flatten_dict(tree) | traverse_util.flatten_dict(part)
    return traverse_util.unflatten_dict(flat)


def narrow(optimizer: optax.GradientTransformation, state: Any, params: Any) -> Any:
    """Return the part of an optimizer's state that belongs to ``params``.

    ``state`` is of those parameters and others; what it has for none in particular, such as
    counts, goes along.
    """
    wanted = jax.tree_util.tree_flatten_with_path(jax.eval_shape(optimizer.init, params))
    held = dict(jax.tree_util.tree_leaves_with_path(state))
    return jax.tree.unflatten(wanted[1], [held[path] for path, _ in wanted[0]])


def widen(state: Any, part: Any) -> Any:
    """Return ``state`` with what ``narrow`` took out of it, updated, in its place."""
    new = dict(jax.tree_util.tree_leaves_with_path(part))
    return jax.tree_util.tree_map_with_path(lambda path, old: new.get(path, old), state)
