"""Other places where a run's metrics may go: TensorBoard, Weights & Biases."""

from pathlib import Path
from typing import Any, Protocol

from cnn_jax.errors import BadInputError

WRITERS = ("tensorboard", "wandb")


class Writer(Protocol):
    """Takes the lines of metrics.jsonl as they are written."""

    def write(self, step: int, split: str, metrics: dict[str, Any]) -> None:
        """Take one line."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def open_writer(name: str, folder: Path, config: dict[str, Any]) -> Writer:
    """Return the writer ``name`` for a run in ``folder``.

    Raises:
        BadInputError: an unknown name, or a library that is not installed.
    """
    if name not in WRITERS:
        raise BadInputError(f"train.writers has {name!r}; there is {', '.join(WRITERS)}")
    try:
        return TensorBoard(folder) if name == "tensorboard" else WeightsAndBiases(folder, config)
    except ModuleNotFoundError as error:
        raise BadInputError(
            f"train.writers: {name!r} needs {error.name}; pip install 'cnn-jax[{name}]'"
        ) from None


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
