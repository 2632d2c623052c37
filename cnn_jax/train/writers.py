"""Other places where a run's metrics may go: TensorBoard, Weights & Biases."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from cnn_jax.runtime.errors import BadInputError


class Writer(Protocol):
    """Takes the lines of metrics.jsonl as they are written."""

    def write(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        """Take one line."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


LIBRARIES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def check_writers(names: Sequence[str]) -> None:
    """Raise ``BadInputError`` for an unknown name or a library that is not installed."""
    for name in names:
        if name not in LIBRARIES:
            raise BadInputError(f"train.writers has {name!r}; there is {', '.join(LIBRARIES)}")
        if importlib.util.find_spec(LIBRARIES[name]) is None:
            raise BadInputError(
                f"train.writers: {name!r} needs {LIBRARIES[name]}, which is not installed: "
                f"pip install 'cnn-jax[{name}]'"
            )


def open_writer(name: str, folder: Path, config: dict[str, Any]) -> Writer:
    """Return the writer ``name``, one that ``check_writers`` let pass, for a run in ``folder``."""
    return TensorBoard(folder) if name == "tensorboard" else WeightsAndBiases(folder, config)


class TensorBoard:
    """Event files in ``tensorboard/``, a subfolder a split so that curves share their axes."""

    def __init__(self, folder: Path):
        from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

        self._open, self._folder = SummaryWriter, folder / "tensorboard"
        self._splits: dict[str, Any] = {}

    def write(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        """Write a scalar for each number, flushed: what is not dies with the process."""
        if split not in self._splits:
            # A resumed run writes the steps after its checkpoint again: the reader drops the old.
            self._splits[split] = self._open(str(self._folder / split), purge_step=step)
        for name, value in metrics.items():
            self._splits[split].add_scalar(name, value, step)
        self._splits[split].flush()

    def close(self) -> None:
        """Close the files."""
        for writer in self._splits.values():
            writer.close()


class WeightsAndBiases:
    """A run in ``wandb/``; WANDB_MODE=offline keeps it there, to be sent later."""

    def __init__(self, folder: Path, config: dict[str, Any]):
        import wandb  # pyright: ignore[reportMissingImports]

        self._run = wandb.init(
            dir=str(folder), id=_identity(folder), name=folder.name, config=config, resume="allow"
        )

    def write(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        """Log one line under ``split/name``."""
        self._run.log({f"{split}/{name}": value for name, value in metrics.items()}, step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


def _identity(folder: Path) -> str:
    """Return the run's id, kept in its folder, so that a resumed run goes on in the same one."""
    import uuid

    file = folder / "wandb-id.txt"
    if not file.exists():
        file.write_text(uuid.uuid4().hex[:12])
    return file.read_text()
