"""Programs that apply a network to data without training it: evaluation, and statistics."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnn_jax.runs import feed
from cnn_jax.ops.cpu import build_onednn
from cnn_jax.data import order, resident
from cnn_jax.data.prepare.cache import cache_dir
from cnn_jax.data.parts import Part, Stream
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runs.experiment import Experiment
from cnn_jax.train import compilation, metrics, parallel, state, step
from cnn_jax.train.statistics import STATISTICS, make_estimate_step, pooled, replaced

Data = resident.Resident | Stream  # a part as programs take it


def place(part: Part | Stream, mesh: Mesh) -> Data:
    """Return a part as programs take it: copied to every device, or to be streamed."""
    if isinstance(part, Stream):
        return part
    alike = parallel.replicated(mesh)
    return resident.place(part, lambda array: parallel.place(array, alike))


def load_native(experiment: Experiment, mesh: Mesh) -> dict[str, Any]:
    """Make ``train.native`` computable where it is set; return oneDNN's version, for the record."""
    if not experiment.config.train.native:
        return {}
    if [device.platform for device in mesh.devices.flat] != ["cpu"]:
        kinds = ", ".join(device.device_kind for device in mesh.devices.flat)
        raise BadInputError(f"train.native computes on one CPU device, not on {kinds}")
    loaded = build_onednn.load(cache_dir() / "native")
    if experiment.dtype == jnp.bfloat16 and not loaded.takes_bfloat16:
        raise BadInputError(
            "train.native: oneDNN has no bfloat16 for this processor, which lacks AVX-512; "
            "set train.precision to float32"
        )
    return {"onednn": loaded.version}


def evaluation(experiment: Experiment, mesh: Mesh) -> Callable[..., dict[str, Any]]:
    """Return the exact evaluation of a part: each example counts once, the last batch padded.

    It takes variables, a part and, if wanted, a list that the predicted classes of the part's
    examples are put into, int32 ``[N]``.
    """
    section = experiment.config.data
    load_native(experiment, mesh)
    eval_step = experiment.computed(step.make_eval_step(experiment.module))
    over_devices = parallel.batched(mesh)
    batch_size = -(-section.batch_size // mesh.size) * mesh.size  # devices share it evenly
    compiled = partial(jax.jit, out_shardings=parallel.replicated(mesh))

    @compiled
    def shown(variables, images, labels, mask):
        images = experiment.scaled(images)
        return eval_step(variables, {"image": images, "label": labels, "mask": mask})

    @compiled
    def gathered(variables, data, start):
        rows = start + jnp.arange(batch_size, dtype=jnp.int32)
        rows = jax.lax.with_sharding_constraint(rows, over_devices)
        mask = rows < len(data)
        rows = jnp.minimum(rows, len(data) - 1)
        return shown(variables, data.images[rows], data.labels[rows], mask)

    def evaluate(
        variables: state.Variables, data: Data, predicted: list[np.ndarray] | None = None
    ) -> dict[str, Any]:
        if isinstance(data, Stream):
            calls = (
                partial(shown, variables, *batch)
                for batch in feed.passing(experiment, data, batch_size, mesh)
            )
        else:
            starts = range(0, len(data), batch_size)
            calls = (partial(gathered, variables, data, np.int32(at)) for at in starts)
        parts = _one_ahead(calls)
        if predicted is not None:
            classes = np.concatenate(jax.device_get([each for _, each in parts]))
            predicted.append(classes[: len(data)])
        return metrics.means([sums for sums, _ in parts], section.classes)

    return evaluate


def statistics(experiment: Experiment, mesh: Mesh) -> Callable[..., state.Variables]:
    """Return what gives a network the BatchNorm statistics that its parameters have.

    It takes variables, the training part and the run's seed. The statistics are those of
    ``optim.ema_batches`` batches, the first of the run's order and at most an epoch, as evaluation
    shows them: not augmented, without dropout. Each batch is normalised as a whole, on however many
    devices it lies and whatever ``accumulate`` and ``stat_batch`` are. Layers that the run did not
    train, and those that inference leaves out, keep theirs.
    """
    config = experiment.config
    batch_size = config.data.batch_size
    estimate = experiment.computed(make_estimate_step(experiment.module, experiment.phases[-1][1]))
    over_devices, alike = parallel.batched(mesh), parallel.replicated(mesh)
    options = compilation.options(deterministic=config.train.deterministic)

    def shown(variables, images):
        return estimate(variables, experiment.scaled(images))

    def gathered(variables, data, rows):
        rows = jax.lax.with_sharding_constraint(rows, over_devices)
        return shown(variables, data.images[rows])

    def compiled(function: Callable[..., Any], *names: str) -> compilation.Once:
        jitted = jax.jit(function, out_shardings=alike)
        return compilation.Once(jitted, "the estimate of statistics", names, options)

    on_pixels = compiled(shown, "variables", "images")
    on_rows = compiled(gathered, "variables", "data", "rows")

    def estimated(variables: state.Variables, data: Data, seed: int) -> state.Variables:
        count = min(config.optim.ema_batches, len(data) // batch_size)
        if not count or STATISTICS not in variables:
            return variables
        if isinstance(data, Stream):
            batches = feed.first(experiment, data, batch_size, mesh, count, seed)
            calls = (partial(on_pixels, variables, images) for images in batches)
        else:
            rows = np.asarray(order.permutation(seed, 0, len(data)))[: count * batch_size]
            calls = (
                partial(on_rows, variables, data, parallel.place(each, alike))
                for each in rows.reshape(count, batch_size)
            )
        return replaced(variables, pooled(jax.device_get(_one_ahead(calls))))

    return estimated


def _one_ahead(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Return what calls give, each of them dispatched while the one before runs, no more.

    Hundreds at once starve each other of threads where virtual devices share few cores.
    """
    found: list[Any] = []
    for call in calls:
        if len(found) > 1:
            jax.block_until_ready(found[-2])
        found.append(call())
    return found
