"""Devices: a mesh with one axis, over which the batch, and perhaps the state, is cut."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

AXIS = "data"


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Return the mesh of some devices; of all devices of all processes if None."""
    count = jax.device_count() if devices is None else len(devices)
    # Explicit axis types, make_mesh's default, reject integer-label cross-entropy.
    return jax.make_mesh((count,), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds a copy of."""
    return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
    """Return the sharding of arrays whose first axis is cut over the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def own_places(mesh: Mesh, batch_size: int) -> range:
    """Return which places of a batch that is cut over the devices are this process's."""
    share = batch_size // mesh.size
    own = [d.process_index == jax.process_index() for d in mesh.devices.flat]
    first = own.index(True)
    assert all(own[first : first + sum(own)]), "a process's devices are neighbours in the mesh"
    return range(first * share, (first + sum(own)) * share)


def spread(array: np.ndarray, sharding: Sharding) -> jax.Array:
    """Return a host's array, which every process has, as one array over all devices."""
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def state_shardings(shapes: Any, mesh: Mesh, *, cut: bool) -> Any:
    """Return where each array of a state lies: on every device, or in equal pieces if ``cut``.

    Pieces are cut along the longest axis that the devices divide (ZeRO, Rajbhandari et al. 2019,
    stage 3: parameters and what the optimizer keeps); what cannot be cut is replicated.
    """

    def where(shape: Any) -> NamedSharding:
        lengths = [n if n % mesh.size == 0 else 0 for n in shape.shape]
        if not cut or math.prod(shape.shape) < mesh.size or not any(lengths):
            return replicated(mesh)
        axis = lengths.index(max(lengths))
        return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))

    return jax.tree.map(where, shapes)


def stack(tree: Any) -> Any:
    """Return a replicated tree with a leading axis of this process's devices, as pmap takes it."""
    whole = jax.tree.map(lambda x: np.asarray(x.addressable_data(0)), tree)
    devices = np.arange(jax.local_device_count())
    return jax.pmap(lambda _, tree: tree, in_axes=(0, None))(devices, whole)


def unstack(tree: Any, mesh: Mesh) -> Any:
    """Return what pmap made of a stacked tree as a replicated one, without moving anything."""

    def one(x: jax.Array) -> jax.Array:
        copies = [shard.data[0] for shard in x.addressable_shards]
        shape = x.shape[1:]
        return jax.make_array_from_single_device_arrays(shape, replicated(mesh), copies)

    return jax.tree.map(one, tree)
