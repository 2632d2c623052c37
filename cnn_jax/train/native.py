"""oneDNN's convolutions, made ready where a run asks for them."""

from typing import Any

import jax.numpy as jnp
from jax.sharding import Mesh

from cnn_jax.data.prepare.cache import cache_dir
from cnn_jax.ops.cpu import build_onednn
from cnn_jax.runtime.errors import BadInputError


def load(mesh: Mesh, dtype: Any) -> dict[str, Any]:
    """Make ``train.native`` computable on the devices; return oneDNN's version, for the record.

    Raises:
        BadInputError: other devices than one CPU, or a type that its processor does not have.
    """
    if [device.platform for device in mesh.devices.flat] != ["cpu"]:
        kinds = ", ".join(device.device_kind for device in mesh.devices.flat)
        raise BadInputError(f"train.native computes on one CPU device, not on {kinds}")
    loaded = build_onednn.load(cache_dir() / "native")
    if dtype == jnp.bfloat16 and not loaded.takes_bfloat16:
        raise BadInputError(
            "train.native: oneDNN has no bfloat16 for this processor, which lacks AVX-512; "
            "set train.precision to float32"
        )
    return {"onednn": loaded.version}
