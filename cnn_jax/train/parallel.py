"""Devices: a mesh with one axis, over which the batch is cut."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"


def make_mesh() -> Mesh:
    """Return the mesh of all devices."""
    # Explicit axis types, make_mesh's default, reject integer-label cross-entropy.
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds a copy of."""
    return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
    """Return the sharding of arrays whose first axis is cut over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))
