"""How large a network's parameters are, or their gradients or updates: norms by group."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.ops.precision import wide

KERNEL = "kernel"  # what a layer calls the weights that multiply its input


def norms(tree: Any, group: Callable[[tuple[str, ...]], str | None]) -> dict[str, jax.Array]:
    """Return the Euclidean norm of each group of arrays in a tree, in at least float32.

    Args:
        tree: parameters, or what has their structure.
        group: path of an array, such as ("stage1_block2", "conv1", "kernel") -> the name of its
            group; None leaves it out.
    """
    squares: dict[str, jax.Array] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = group(tuple(str(getattr(entry, "key", entry)) for entry in path))
        if name is not None:
            squares[name] = squares.get(name, 0) + jnp.sum(jnp.square(wide(leaf)))
    return {name: jnp.sqrt(square) for name, square in squares.items()}


def block(path: tuple[str, ...]) -> str:
    """Return an array's block: the direct child of the network that it belongs to."""
    return path[0]


def block_of_kernel(path: tuple[str, ...]) -> str | None:
    """Return a kernel's block; other parameters have none."""
    return path[0] if path[-1] == KERNEL else None


def layer_of_kernel(path: tuple[str, ...]) -> str | None:
    """Return the path of a kernel's layer; other parameters have none."""
    return "/".join(path[:-1]) if path[-1] == KERNEL else None
