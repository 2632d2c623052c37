"""Values of the test examples that a study's endpoints ask a cell to keep: values.npz.

They are taken from the one evaluation of the test set at the cell's end, so that it is not opened
again for them: a strategy that has the network's outputs beside its predictions computes them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.runtime import archives
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError
from cnn_jax.tasks import measures
from cnn_jax.train.evaluation import OnDevices
from cnn_jax.train.setup import Setup
from cnn_jax.train.state import Variables
from cnn_jax.train.strategies import Strategy

VALUES = "values.npz"  # metric -> its value of each test example, float64 [N]
BATCH = 1024  # examples whose values are computed at once


class _Outputs:
    """A task whose scores are the network's outputs as they are; the rest is the task's own."""

    def __init__(self, task: Any):
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def scores(self, outputs: Any) -> jax.Array:
        """Return the outputs."""
        return outputs[0] if isinstance(outputs, tuple) else outputs


class Keeping(Strategy):
    """A strategy that keeps values of the examples whose predictions are asked for."""

    def __init__(self, setup: Setup, folder: Path, metrics: Sequence[str]):
        super().__init__(dataclasses.replace(setup, task=_Outputs(setup.task)))
        self._folder, self._metrics = folder, metrics

    def evaluate(
        self, variables: Variables, data: OnDevices, predicted: list[np.ndarray] | None = None
    ) -> dict[str, Any]:
        """Return the metrics of a part; see ``evaluation``."""
        if predicted is None:
            return super().evaluate(variables, data)
        outputs: list[np.ndarray] = []
        measured = self._evaluate(variables, data, predicted, outputs)
        write(self._folder, values(self._metrics, outputs[0], np.asarray(data.labels)))
        return measured


def keeping(folder: Path, metrics: Sequence[str]) -> Callable[[Setup], Strategy] | None:
    """Return the strategy of a cell that keeps values of ``metrics``; None where it keeps none."""
    return (lambda setup: Keeping(setup, folder, metrics)) if metrics else None


def values(
    metrics: Sequence[str], outputs: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the value of each example by metric, float64 ``[N]``.

    Args:
        metrics: names of metrics that have a value for each example.
        outputs: of the network, ``[N, ...]``.
        labels: of the examples, ``[N, ...]``.
    """
    found = {}
    for name, measure in measures.named(metrics).items():
        if not isinstance(measure, measures.Mean):
            raise BadInputError(f"the metric {name!r} has no value for each example")
        parts = [
            np.asarray(
                measure.each(
                    jnp.asarray(outputs[at : at + BATCH]),
                    {"label": jnp.asarray(labels[at : at + BATCH])},
                )
            )
            for at in range(0, len(outputs), BATCH)
        ]
        found[name] = np.concatenate(parts).astype(np.float64)
        if found[name].shape != (len(outputs),):
            raise BadInputError(
                f"the metric {name!r} gives {list(found[name].shape)}, not a number"
            )
    return found


def write(folder: Path, kept: Mapping[str, np.ndarray]) -> None:
    """Keep values in a cell's folder."""
    with written(folder / VALUES) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **kept)


def read(folder: Path, metrics: Sequence[str], examples: int) -> dict[str, np.ndarray]:
    """Return the values that a cell has kept.

    Raises:
        UnreadableFileError: they are missing, damaged or not a number for each example.
    """
    if not metrics:
        return {}
    file = folder / VALUES
    with archives.opened(file, "file of examples' values") as archive:
        held = archives.arrays(archive)
    for name in metrics:
        if name not in held or held[name].shape != (examples,) or held[name].dtype.kind != "f":
            raise UnreadableFileError(file, f"has no {name} of each of {examples} test examples")
    return {name: held[name] for name in metrics}
