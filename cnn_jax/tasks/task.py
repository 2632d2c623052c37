"""What a task says of a network's outputs."""

from collections.abc import Iterable
from typing import Any, Protocol

import jax

# image [N, H, W, C]; label int32 [N], or targets [N, ...]; in training perhaps target
# [N, classes], which a loss then takes instead of the label; in evaluation mask bool [N], which
# says what counts. For a task with a forward keys [N], too, a random key for each example.
Batch = dict[str, jax.Array]


class Task(Protocol):
    """What is learned.

    Metrics are pure sums over examples, a tree of arrays: they are added up on the device, over
    batches and devices, and divided once, on the host.

    A task may have more than this. ``forward(apply, batch) -> outputs`` is how training runs the
    network, where that is not ``apply(batch["image"])``: several times, or beside another network
    (evaluation runs it once). A later call of ``apply`` sees the statistics that an earlier one
    has moved, and draws anew. Statistics cannot leave ``grad``, ``vmap`` or ``scan``: a network
    that keeps some is not to be called within. ``check_labels(labels, what)`` raises
    ``BadInputError`` for labels that the task has no use for. ``scores(outputs) -> [N, ...]``,
    ``of_scores(scores, labels) -> metrics by name`` and ``in_full() -> task`` serve the command
    ``evaluate``. ``best`` names the metric that the best checkpoint is the best in,
    ``least_is_best`` says that it has the least: accuracy, and the most, without. ``loss_name`` is
    what a picture calls the loss, with its unit.
    """

    def loss(self, outputs: Any, batch: Batch) -> jax.Array:
        """Return what training makes small, an example each, ``[N]``."""
        ...

    def metrics(self, outputs: Any, batch: Batch, *, train: bool) -> Any:
        """Return the sums over the examples of a batch that its mask lets through, if it has one.

        They have ``loss`` and ``examples``, arrays ``[]``, ``+`` and ``cleared()``, which gives
        zeros on the same devices.
        """
        ...

    def zero(self, dtype: Any) -> Any:
        """Return the sums over no examples; those that are no counts are of ``dtype``."""
        ...

    def means(self, parts: Iterable[Any]) -> dict[str, Any]:
        """Return the metrics by name, of the sums over several batches."""
        ...

    def predictions(self, outputs: Any) -> jax.Array:
        """Return what the network says of each example, such as a class."""
        ...
