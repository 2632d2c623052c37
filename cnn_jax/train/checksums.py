"""Checksums of arrays, by their path in a tree."""

import zlib
from typing import Any

import jax
import numpy as np


def checksums(tree: Any) -> dict[str, int]:
    """Return the crc32 of each array's bytes, by its path."""
    return {
        jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(_whole(leaf)).tobytes())
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _whole(leaf: Any) -> np.ndarray:
    """Return an array as every process has it, also where its pieces lie on several."""
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)
