"""Exact evaluation of a part of the data: each example counts once."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.resident import Resident
from cnn_jax.train import feed, native, sharding, state, step
from cnn_jax.train.setup import Setup

OnDevices = Resident | Stream  # a part as programs take it


def on_devices(part: Part | Stream, mesh: Mesh) -> OnDevices:
    """Return a part as programs take it: copied to every device, or to be streamed."""
    if isinstance(part, Stream):
        return part
    alike = sharding.replicated(mesh)
    return Resident.of(part, lambda array: sharding.spread(array, alike))


def evaluation(setup: Setup, mesh: Mesh) -> Callable[..., dict[str, Any]]:
    """Return the exact evaluation of a part: each example counts once, the last batch padded.

    It takes variables, a part and, if wanted, a list that the predictions of the part's examples
    are put into, ``[N]``, classes as int32, and another for the task's scores ``[N, ...]``.
    """
    if setup.execution.native:
        native.load(mesh, setup.preprocessing.dtype)
    eval_step = setup.computed(step.make_eval_step(setup.module, setup.task))
    over_devices = sharding.batched(mesh)
    batch_size = -(-setup.batch_size // mesh.size) * mesh.size  # devices share it evenly
    compiled = partial(jax.jit, out_shardings=sharding.replicated(mesh))

    @partial(compiled, static_argnames="scoring")
    def shown(variables, images, labels, mask, scoring=False):
        images = setup.preprocessing.scaled(images)
        batch = {"image": images, "label": labels, "mask": mask}
        return eval_step(variables, batch, scoring) if scoring else eval_step(variables, batch)

    @partial(compiled, static_argnames="scoring")
    def gathered(variables, data, start, scoring=False):
        rows = start + jnp.arange(batch_size, dtype=jnp.int32)
        rows = jax.lax.with_sharding_constraint(rows, over_devices)
        mask = rows < len(data)
        rows = jnp.minimum(rows, len(data) - 1)
        return shown(variables, data.images[rows], data.labels[rows], mask, scoring=scoring)

    def evaluate(
        variables: state.Variables,
        data: OnDevices,
        predicted: list[np.ndarray] | None = None,
        scores: list[np.ndarray] | None = None,
    ) -> dict[str, Any]:
        how = {"scoring": True} if scores is not None else {}
        if isinstance(data, Stream):
            calls = (
                partial(shown, variables, *batch, **how)
                for batch in feed.passing(setup.execution, data, batch_size, mesh)
            )
        else:
            starts = range(0, len(data), batch_size)
            calls = (partial(gathered, variables, data, np.int32(at), **how) for at in starts)
        parts = one_ahead(calls)
        said = [each[0] if scores is not None else each for _, each in parts]
        if predicted is not None:
            predicted.append(np.concatenate(jax.device_get(said))[: len(data)])
        if scores is not None:
            found = np.concatenate(jax.device_get([each[1] for _, each in parts]))
            scores.append(found[: len(data)])
        return setup.task.means([sums for sums, _ in parts])

    return evaluate


def one_ahead(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Return what calls give, each of them dispatched while the one before runs, no more.

    Hundreds at once starve each other of threads where virtual devices share few cores.
    """
    found: list[Any] = []
    for call in calls:
        if len(found) > 1:
            jax.block_until_ready(found[-2])
        found.append(call())
    return found
