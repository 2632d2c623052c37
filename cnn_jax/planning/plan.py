"""The train step compiled ahead of time for a TPU slice that nobody here has to own."""

import importlib.util
import os
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh

from cnn_jax.config import Config
from cnn_jax.planning import without_data
from cnn_jax.planning.collectives import collectives
from cnn_jax.planning.topologies import CHIPS, StepPlan
from cnn_jax.runtime import streams
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import dispatch, sharding
from cnn_jax.train.setup import Setup
from cnn_jax.train.state import TrainState

_TOPOLOGY = re.compile(rf"({'|'.join(CHIPS)}):\d+x\d+(x\d+)?")


def plan(config: Config, topology: str) -> StepPlan:
    """Compile the train step of ``config`` for a TPU slice; no TPU and no data are needed.

    Args:
        config: complete; ``data.classes`` has to be set, the images' size is the model's own
            where ``data.image_size`` is not, and the channels are as many as ``data.mean`` has.
        topology: generation and shape of the slice, as v5e:2x2 or v4:2x2x1.

    Raises:
        BadInputError: a topology that does not exist, a batch that its chips do not divide, a
            field that only the data could settle, or no TPU compiler installed.
    """
    devices = _devices(topology)
    experiment, _ = without_data.experiment(config)
    config = experiment.config
    batch_size, accumulate = config.data.batch_size, config.optim.accumulate
    _check_divided(batch_size, len(devices), accumulate)
    mesh = Mesh(np.array(devices), (sharding.AXIS,), axis_types=(AxisType.Auto,))
    setup = experiment.setup()
    state, batch = _arguments(setup, mesh)
    facts: dict[str, Any] = {
        "topology": topology,
        "model": config.model.name,
        "image_shape": experiment.image_shape,
        "classes": config.data.classes,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "chips": len(devices),
        "parameters": _per_chip(state.variables["params"]),
        "state": _per_chip(state),
        "batch": _per_chip(batch),
        "memory": (chip := CHIPS[topology.partition(":")[0]]).memory,
        "peak_flops": chip.flops,
    }
    try:
        kept = jax.tree.map(lambda x: x.sharding, state), sharding.replicated(mesh)
        step = jax.jit(_step(setup), donate_argnums=0, out_shardings=kept)
        compiled = step.lower(state, batch).compile()
    except jax.errors.JaxRuntimeError as error:
        used, room = _exhausted(str(error))
        if used is None and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return _too_large(facts, used, room or chip.memory)
    memory: Any = compiled.memory_analysis()
    taken = _bytes_taken(memory)
    cost: Any = compiled.cost_analysis()
    return StepPlan(
        **facts,
        temporaries=memory.temp_size_in_bytes,
        total=taken,
        fits=taken <= chip.memory,
        largest_part=_largest(facts, taken, chip.memory),
        flops=cost.get("flops"),
        collectives=collectives(compiled.as_text() or ""),
    )


def _too_large(facts: dict[str, Any], used: int | None, room: int) -> StepPlan:
    """Return the plan of a step that a chip's memory, ``room`` bytes, does not hold."""
    return StepPlan(
        **facts,
        temporaries=None,
        total=used,
        fits=False,
        largest_part=_largest(facts, used, room),
        flops=None,
        collectives={},
    )


def _check_divided(batch_size: int, chips: int, accumulate: int) -> None:
    """Raise ``BadInputError`` unless the parts of a batch are shared evenly by all chips."""
    if batch_size % (chips * accumulate):
        raise BadInputError(
            f"data.batch_size is {batch_size}, which {chips} chips x "
            f"optim.accumulate={accumulate} do not divide; "
            f"take a multiple of {chips * accumulate}"
        )


def _devices(topology: str) -> list[Any]:
    """Return the chips of a slice, as devices that can be compiled for and nothing else."""
    if not _TOPOLOGY.fullmatch(topology):
        raise BadInputError(
            f"--topology is {topology!r}; it has to be a generation ({', '.join(CHIPS)}) and a "
            "shape, as v5e:2x2 or v4:2x2x1"
        )
    if importlib.util.find_spec("libtpu") is None:
        raise BadInputError(
            "planning compiles with libtpu, which is not installed: pip install 'cnn-jax[tpu]'"
        )
    # There may be no TPU host to ask, and a compiler shares what a chip would not.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    from jax.experimental import topologies

    try:
        with streams.silenced():  # libtpu tells what it misses of a TPU's host
            return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise BadInputError(f"--topology={topology}: libtpu has no such slice ({line})") from None


def _arguments(setup: Setup, mesh: Mesh) -> tuple[TrainState, dict[str, Any]]:
    """Return state and batch as shapes with their shardings."""

    def placed(x: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    n = setup.batch_size
    batch = {
        "image": jax.ShapeDtypeStruct((n, *setup.preprocessing.image_shape), jnp.uint8),
        "label": jax.ShapeDtypeStruct((n,), jnp.int32),
    }
    shapes = jax.eval_shape(setup.initial_state)
    layout = sharding.state_shardings(shapes, mesh, cut=setup.execution.shard_state)
    over = sharding.batched(mesh)
    return jax.tree.map(placed, shapes, layout), jax.tree.map(lambda x: placed(x, over), batch)


def _step(setup: Setup) -> Callable[[TrainState, Any], Any]:
    """Return training's step on a batch of pixels as they are stored: augment, scale, update."""
    program = dispatch.on_pixels(setup, dispatch.Share(), setup.train_step, -1)
    return lambda state, batch: program(state, batch["image"], batch["label"], setup.seed)


def _bytes_taken(memory: Any) -> int:
    """Return the bytes of a chip that a compiled program takes in all."""
    taken = memory.argument_size_in_bytes + memory.output_size_in_bytes
    taken += memory.temp_size_in_bytes - memory.alias_size_in_bytes
    return taken + memory.generated_code_size_in_bytes


def _per_chip(tree: Any) -> int:
    """Return the bytes that one chip holds of a tree of placed shapes."""
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape), dtype=np.int64)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _exhausted(message: str) -> tuple[int | None, int | None]:
    """Return (bytes used, bytes there are) as the compiler says when memory runs out."""
    found = re.search(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm", message)
    if found is None:
        return None, None
    scale = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    return (
        int(float(found[1]) * scale[found[2]]),
        int(float(found[3]) * scale[found[4]]),
    )


def _largest(facts: dict[str, Any], used: int | None, room: int) -> int | None:
    """Return how many images fit at once, by estimate, or None where nothing is known."""
    if used is None:
        return None
    fixed = facts["state"] + facts["parameters"]  # and a gradient
    share = max(used - fixed, 1) * facts["accumulate"] / facts["batch_size"]
    chips = facts["chips"]
    return max(0, int((room - fixed) / share) // chips * chips)
