"""BatchNorm's statistics of given parameters, estimated over batches.

The parameters' running mean was never trained as it is, so no running statistics are its own: they
are measured (Izmailov et al. 2018, section 3.2; Wu and Johnson 2021, section 3).
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from cnn_jax.nn.context import ESTIMATES, Cut, cut
from cnn_jax.train.parallel import place
from cnn_jax.train.partial import Paths, merge
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

    def step(variables: Variables, images: jax.Array) -> Any:
        with cut(Cut(trained=trained, estimates=True)):
            _, found = module.apply(variables, images, train=False, mutable=[ESTIMATES])
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
        path: place(value.astype(own[path].dtype), own[path].sharding)
        for path, value in new.items()
    }
    statistics = merge(variables[STATISTICS], traverse_util.unflatten_dict(placed))
    return variables | {STATISTICS: statistics}
