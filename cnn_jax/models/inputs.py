"""What the networks check of their input before they run."""

import jax

from cnn_jax.errors import BadInputError


def require_size(x: jax.Array, least: int, layer: str) -> None:
    """Raise ``BadInputError`` unless ``x`` is [N, H, W, C] with H and W of at least ``least``.

    ``layer`` names the layer that has no pixels left below that size, as 'model: layer'.
    """
    if x.ndim != 4:
        raise BadInputError(f"{layer.split(':')[0]}: takes images [N, H, W, C], not {x.shape}")
    height, width = x.shape[1:3]
    if min(height, width) < least:
        raise BadInputError(
            f"{layer} needs images of at least {least}x{least}, not {height}x{width}; "
            "set data.image_size"
        )
