"""The folder of a run that is made of objects: what it was, so that nothing else goes on in it."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.dataset import Dataset, fingerprint
from cnn_jax.runtime import distributed, json_file, provenance, random_keys
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.curves import Caption, caption
from cnn_jax.train.dispatch import Share, on_pixels
from cnn_jax.train.fitted import Fitted
from cnn_jax.train.folder import CHECKPOINTS, RESULT, Folder, Nowhere, Record
from cnn_jax.train.lock import RunLock
from cnn_jax.train.setup import Setup

OBJECTS, CONFIG = "trainer.json", "config.json"

# Makes a run's folder, once everything else is known to be right, and holds it.
Opening = Callable[[Setup, Dataset], contextlib.AbstractContextManager[Folder | Nowhere]]


class Made(TypedDict):
    """trainer.json: digests of what a run was made of."""

    step: str
    shapes: str
    data: str
    steps: int
    batch_size: int
    seed: int


class Result(TypedDict):
    """result.json, at the least. Numbers that are not finite are None."""

    metrics: dict[str, dict[str, float | None]]
    steps: int
    run: NotRequired[str]


WORDS = {
    "step": "another step (network, loss, optimizer, augmentation, or how they are computed)",
    "shapes": "a state of other shapes",
    "data": "other data",
    "steps": "another number of steps",
    "batch_size": "another batch size",
    "seed": "another seed",
}


def opening(workdir: str | Path | Opening | None) -> Opening:
    """Return what opens a run's folder: one that is named, one's own, or none at all."""
    if callable(workdir):
        return workdir
    if workdir is None:
        return lambda setup, dataset: contextlib.nullcontext(Nowhere())
    return lambda setup, dataset: _opened(Path(workdir), setup, dataset)


@contextlib.contextmanager
def _opened(path: Path, setup: Setup, dataset: Dataset) -> Iterator[Folder]:
    if (path / CONFIG).exists():
        raise BadInputError(
            f"workdir: {str(path)!r} holds a run of a config; choose another folder"
        )
    made = digests(setup, dataset)
    _check_same(path, made)
    with contextlib.ExitStack() as stack:
        if distributed.is_first():
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BadInputError(f"workdir: {str(path)!r}: {error.strerror}") from None
            stack.enter_context(RunLock(path))
            _check_same(path, made)  # again: another process may have made it meanwhile
            json_file.write(path / OBJECTS, made)
        distributed.wait_for_all("run's folder made")
        about = caption(path.name, setup.task, setup.preprocessing.augment)
        yield OwnFolder(path, f"{made['step']} {made['data']} {made['seed']}", about=about)


def digests(setup: Setup, dataset: Dataset) -> dict[str, Any]:
    """Return what tells a run of these objects from another one.

    The step counts as the program that it is lowered to, so that a layer, a loss or a constant of
    an optimizer that changed is seen, whatever it is written in.
    """

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    state = jax.eval_shape(setup.initial_state)
    shape, n = setup.preprocessing.image_shape, setup.batch_size
    images, seed = dataset.train.read(0).dtype, np.asarray(random_keys.argument(setup.seed))
    batch = (
        jax.ShapeDtypeStruct((n, *shape), images),
        jax.ShapeDtypeStruct((n,), jnp.int32),
        jax.ShapeDtypeStruct(seed.shape, seed.dtype),
    )
    texts = [
        jax.jit(on_pixels(setup, Share(), setup.train_step, phase)).lower(state, *batch).as_text()
        for phase in range(len(setup.phases))
    ]
    starts = [start for start, _ in setup.phases]
    shapes = [
        (jax.tree_util.keystr(path), leaf.shape, str(leaf.dtype))
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    ]
    return {
        "step": digest(f"{starts} {texts}"),
        "shapes": digest(str(shapes)),
        "data": fingerprint(dataset.parts),
        "steps": setup.total,
        "batch_size": n,
        "seed": setup.seed,
    }


def _check_same(path: Path, made: dict[str, Any]) -> None:
    """Raise ``BadInputError`` if the folder holds a run of other objects."""
    held: Any = json_file.find(path / OBJECTS, Made, "what a run was made of")
    if held is None:
        if path.is_dir() and any((path / name).exists() for name in (RESULT, CHECKPOINTS)):
            raise BadInputError(
                f"workdir: {str(path)!r} holds files of a run but no {OBJECTS}; choose another "
                "folder"
            )
        return
    differing = [WORDS[name] for name in WORDS if held[name] != made[name]]
    if differing:
        raise BadInputError(
            f"workdir: {str(path)!r} holds a run with {', '.join(differing)}; choose another folder"
        )


@dataclasses.dataclass(frozen=True)
class OwnFolder(Folder):
    """The folder of a run that is made of objects; ``about`` is said of its curves."""

    about: Caption = Caption()  # noqa: RUF009, it is frozen

    def measured(self) -> dict[str, dict[str, Any]] | None:
        """Return the metrics of a run that is finished, so that its test set is opened once."""
        held: Any = json_file.find(self.path / RESULT, Result, "a run's result")
        return None if held is None else held["metrics"]

    def end(self, found: Fitted, record: Record, examples: int) -> Fitted:
        """Write a finished run's result and its curves; return what was trained."""
        found = super().end(found, record, examples)
        result = {
            "run": self.run,
            "metrics": found.metrics,
            "steps": found.steps,
            "epochs": found.steps * found.batch_size / examples,
            "seconds": round(found.seconds, 3),
            "seconds_by_use": {name: round(s, 3) for name, s in found.seconds_by_use.items()},
            "images_per_second": found.images_per_second,
            "devices": found.devices,
            "versions": provenance.versions(),
            "git": provenance.commit(),
        }
        if found.stopped is None:
            self.finish(result | found.record, self.about)
        return found
