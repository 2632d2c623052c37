"""How much a residual block's branch adds to what its shortcut passes, noted for who asks.

Who does makes the collection ``SHORTCUTS`` mutable; otherwise a block computes nothing for it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

SHORTCUTS = "shortcuts"


def note(block: nn.Module, branch: jax.Array, skip: jax.Array) -> None:
    """Add the squared norms of a block's branch and shortcut to ``[branch, skip]`` of the block.

    Any module that adds the two may call this in its ``__call__``.
    """
    if block.is_initializing() or not block.is_mutable_collection(SHORTCUTS):
        return
    kept = jnp.promote_types(branch.dtype, jnp.float32)
    squares = jnp.stack([jnp.sum(jnp.square(x.astype(kept))) for x in (branch, skip)])
    block.sow(
        SHORTCUTS,
        "squares",
        squares,
        init_fn=lambda: jnp.zeros(2, kept),
        reduce_fn=jnp.add,
    )
