"""BatchNorm's statistics of given parameters, estimated over batches.

The parameters' running mean was never trained as it is, so no running statistics are its own: they
are measured (Izmailov et al. 2018, section 3.2; Wu and Johnson 2021, section 3).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util
from jax.sharding import Mesh

from cnn_jax.data import order
from cnn_jax.data.parts import Stream
from cnn_jax.nn.calling import mode
from cnn_jax.nn.context import ESTIMATES, Cut, cut
from cnn_jax.train import compilation, feed, sharding
from cnn_jax.train.evaluation import OnDevices, one_ahead
from cnn_jax.train.partial import Paths, merge
from cnn_jax.train.setup import Setup
from cnn_jax.train.state import Variables

STATISTICS = "batch_stats"
MEAN, VARIANCE = "mean", "var"


def make_estimate_step(
    module: nn.Module, trained: Paths | None = None
) -> Callable[[Variables, jax.Array], Any]:
    """Return (variables, images) -> mean and variance by BatchNorm layer, of this batch.

    The network works as in inference, but for BatchNorm, which normalises by the batch. ``trained``
    are the paths of the parameters that the run trains, all if None: BatchNorm layers with none of
    them work as in inference too, and are left out.
    """

    inference = mode(module, train=False)

    def step(variables: Variables, images: jax.Array) -> Any:
        with cut(Cut(trained=trained, estimates=True)):
            _, found = module.apply(variables, images, mutable=[ESTIMATES], **inference)
        return found.get(ESTIMATES, {})

    return step


def pooled(batches: Sequence[Any]) -> Any:
    """Return the mean and the variance over batches of equal size, from those of each.

    The variance is the mean of the batches' variances plus the variance of their means, as of all
    their examples together (Wu and Johnson 2021, section 3). In float64, on the host.
    """
    flat: list[Any] = [traverse_util.flatten_dict(batch) for batch in batches]
    found: dict[Any, np.ndarray] = {}
    for path in flat[0]:
        values = np.stack([np.asarray(batch[path], np.float64) for batch in flat])
        found[path] = values.mean(0)
        if path[-1] == VARIANCE:
            means = [np.asarray(batch[*path[:-1], MEAN], np.float64) for batch in flat]
            found[path] += np.var(np.stack(means), axis=0)
    return traverse_util.unflatten_dict(found)


def replaced(variables: Variables, found: Any) -> Variables:
    """Return variables with statistics in place of their own, in their types and where they lie."""
    own: Any = traverse_util.flatten_dict(variables[STATISTICS])
    new: Any = traverse_util.flatten_dict(found)
    placed = {
        path: sharding.spread(value.astype(own[path].dtype), own[path].sharding)
        for path, value in new.items()
    }
    statistics = merge(variables[STATISTICS], traverse_util.unflatten_dict(placed))
    return variables | {STATISTICS: statistics}


def estimation(setup: Setup, mesh: Mesh) -> Callable[..., Variables]:
    """Return what gives a network the BatchNorm statistics that its parameters have.

    It takes variables, the training part and the run's seed. The statistics are those of
    ``ema_batches`` batches, the first of the run's order and at most an epoch, as evaluation
    shows them: not augmented, without dropout. Each batch is normalised as a whole, on however many
    devices it lies and whatever ``accumulate`` and ``stat_batch`` are. Layers that the run did not
    train, and those that inference leaves out, keep theirs.
    """
    batch_size = setup.batch_size
    estimate = setup.computed(make_estimate_step(setup.module, setup.phases[-1][1]))
    over_devices, alike = sharding.batched(mesh), sharding.replicated(mesh)
    options = compilation.options(deterministic=setup.execution.deterministic)

    def shown(variables, images):
        return estimate(variables, setup.preprocessing.scaled(images))

    def gathered(variables, data, rows):
        rows = jax.lax.with_sharding_constraint(rows, over_devices)
        return shown(variables, data.images[rows])

    def compiled(function: Callable[..., Any], *names: str) -> compilation.Once:
        jitted = jax.jit(function, out_shardings=alike)
        return compilation.Once(jitted, "the estimate of statistics", names, options)

    on_pixels = compiled(shown, "variables", "images")
    on_rows = compiled(gathered, "variables", "data", "rows")

    def estimated(variables: Variables, data: OnDevices, seed: int) -> Variables:
        count = min(setup.ema_batches, len(data) // batch_size)
        if not count or STATISTICS not in variables:
            return variables
        if isinstance(data, Stream):
            batches = feed.first(setup, data, mesh, count, seed)
            calls = (partial(on_pixels, variables, images) for images in batches)
        else:
            rows = np.asarray(order.permutation(seed, 0, len(data)))[: count * batch_size]
            calls = (
                partial(on_rows, variables, data, sharding.spread(each, alike))
                for each in rows.reshape(count, batch_size)
            )
        return replaced(variables, pooled(jax.device_get(one_ahead(calls))))

    return estimated
