"""What the networks check of their input and have in common of their fields."""

from typing import Annotated

import jax

from cnn_jax.ops.arguments import is_known
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

# The share of its values that dropout takes away.
Share = Annotated[float, ranges.below(1, low=0)]
# Channels, and several such numbers. A kernel has products of them, which no array could hold from
# some size on.
WIDTH = ranges.whole(1, high=2**24)
Count = Annotated[int, WIDTH]
Counts = Annotated[tuple[int, ...], ranges.Each(WIDTH)]
# Layers: thousands of them take a trace without end.
DEPTH = ranges.whole(1, high=1000)
# A factor of channels.
Factor = Annotated[float, ranges.above(0, high=1024)]


def require_size(x: jax.Array, least: int, layer: str) -> None:
    """Raise ``BadInputError`` unless ``x`` is [N, H, W, C] with H and W of at least ``least``.

    ``layer`` names the layer that has no pixels left below that size, as 'model: layer'.
    """
    if x.ndim != 4:
        raise BadInputError(f"{layer.split(':')[0]}: takes images [N, H, W, C], not {x.shape}")
    height, width = x.shape[1:3]
    # Sizes that are open, of a network that is exported for all of them, are not looked at.
    if any(is_known(side) and side < least for side in (height, width)):
        raise BadInputError(
            f"{layer} needs images of at least {least}x{least}, not {height}x{width}; "
            "set data.image_size"
        )
